/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static bool json_room(struct json *j, size_t n)
{
	size_t size;
	char *text;

	if (j->err)
		return false;
	/* First: the memory doubles past the bound. */
	if (j->len + n + 1 > JSON_SIZE_MAX) {
		j->err = ERR_TOO_BIG;
		return false;
	}
	if (j->len + n + 1 <= j->size)
		return true;
	for (size = j->size ? j->size : 512; size < j->len + n + 1;)
		size *= 2;
	text = realloc(j->text, size);
	if (!text) {
		j->err = ERR_NOMEM;
		return false;
	}
	j->text = text;
	j->size = size;
	return true;
}

static void json_put(struct json *j, const char *bytes, size_t len)
{
	if (!json_room(j, len))
		return;
	memcpy(j->text + j->len, bytes, len);
	j->len += len;
	j->text[j->len] = '\0';
}

/* Length of the valid UTF-8 sequence at s, 0 if there is none (RFC 3629). */
static size_t json_utf8_len(const unsigned char *s)
{
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Most texts are nothing but such characters. */
static bool json_is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static void json_quote(struct json *j, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	json_put(j, "\"", 1);
	while (*s) {
		char escape[8];
		size_t n = 0;

		while (json_is_plain(s[n]))
			n++;
		json_put(j, (const char *)s, n);
		s += n;
		if (!*s)
			break;
		n = json_utf8_len(s);
		if (n == 0) {
			json_put(j, "\\ufffd", 6);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			escape[0] = '\\';
			escape[1] = (char)*s;
			json_put(j, escape, 2);
		} else if (*s < 0x20 || *s == 0x7f) {
			snprintf(escape, sizeof(escape), "\\u%04x", *s);
			json_put(j, escape, 6);
		} else {
			json_put(j, (const char *)s, n);
		}
		s += n;
	}
	json_put(j, "\"", 1);
}

static void json_key(struct json *j, const char *key)
{
	if (j->need_comma)
		json_put(j, ",", 1);
	j->need_comma = true;
	if (!key)
		return;
	json_quote(j, key);
	json_put(j, ":", 1);
}

static void json_raw(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_put(j, text, strlen(text));
}

void json_begin(struct json *j)
{
	memset(j, 0, sizeof(*j));
	json_put(j, "{", 1);
}

int json_end(struct json *j, char **text_out)
{
	int err;

	json_put(j, "}", 1);
	err = j->err;
	if (err)
		free(j->text);
	else
		*text_out = j->text;
	memset(j, 0, sizeof(*j));
	return err;
}

void json_str(struct json *j, const char *key, const char *value)
{
	if (!value) {
		json_raw(j, key, "null");
		return;
	}
	json_key(j, key);
	json_quote(j, value);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
	char text[24], *at = text + sizeof(text);

	*--at = '\0';
	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	json_raw(j, key, at);
}

void json_some_str(struct json *j, const char *key, const char *value)
{
	if (value && *value)
		json_str(j, key, value);
}

void json_some_uint(struct json *j, const char *key, uint64_t value)
{
	if (value != 0)
		json_uint(j, key, value);
}

void json_int(struct json *j, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	json_raw(j, key, text);
}

void json_bool(struct json *j, const char *key, bool value)
{
	json_raw(j, key, value ? "true" : "false");
}

void json_time(struct json *j, const char *key, uint64_t wall_us)
{
	char text[CLOCK_UTC_SIZE];

	json_str(j, key, wall_us ? clock_format_utc(wall_us, text) : NULL);
}

void json_open_object(struct json *j, const char *key)
{
	json_raw(j, key, "{");
	j->need_comma = false;
}

void json_close_object(struct json *j)
{
	json_put(j, "}", 1);
	j->need_comma = true;
}

void json_open_array(struct json *j, const char *key)
{
	json_raw(j, key, "[");
	j->need_comma = false;
}

void json_close_array(struct json *j)
{
	json_put(j, "]", 1);
	j->need_comma = true;
}
