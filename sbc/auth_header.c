/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per parameter: where it goes, how long it may be, whether it must
 * stand in quotes. RFC 7616 3.4 forbids quotes around algorithm, qop and nc;
 * phones write them all the same, which harms nobody.
 */
#include "sbc/auth_header.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define PARAMS_MAX 32

struct field {
	const char *name;
	size_t offset;
	size_t size;
	bool must_quote;
	bool mandatory;
	bool may_be_empty;
};

#define FIELD(member, must_quote, mandatory, may_be_empty)                     \
	{                                                                      \
#member, offsetof(struct auth_fields, member),                 \
			sizeof(((struct auth_fields *)0)->member), must_quote, \
			mandatory, may_be_empty                                \
	}

static const struct field fields[] = {
	FIELD(username, true, true, false),
	FIELD(realm, true, true, false),
	FIELD(nonce, true, true, false),
	FIELD(uri, true, true, false),
	FIELD(response, true, true, false),
	FIELD(cnonce, true, false, false),
	FIELD(opaque, true, false, true),
	FIELD(algorithm, false, false, false),
	FIELD(qop, false, false, false),
	FIELD(nc, false, false, false),
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static bool is_token(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("-.!%*_+`'~", c));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const struct field *field_named(const char *name, size_t len)
{
	for (size_t i = 0; i < N_FIELDS; i++)
		if (strlen(fields[i].name) == len &&
			strncasecmp(fields[i].name, name, len) == 0)
			return &fields[i];
	return NULL;
}

/* quoted-string (RFC 3261 25.1) into out. */
static int unquote(const char *p, char *out, size_t size)
{
	size_t at = 0;

	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		/* also the end of the text */
		if ((unsigned char)*p < ' ' || *p == 0x7f || at + 1 >= size)
			return ERR_INVALID;
		out[at++] = *p;
	}
	out[at] = '\0';
	for (p++; is_blank(*p); p++)
		;
	return *p ? ERR_INVALID : 0;
}

static int bare(const char *p, char *out, size_t size)
{
	size_t at = 0;

	for (; is_token(*p); p++) {
		if (at + 1 >= size)
			return ERR_INVALID;
		out[at++] = *p;
	}
	out[at] = '\0';
	for (; is_blank(*p); p++)
		;
	return *p ? ERR_INVALID : 0;
}

static int read_value(const struct field *f, const char *value, char *out)
{
	int err;

	if (*value == '"')
		err = unquote(value, out, f->size);
	else if (f->must_quote)
		return ERR_INVALID;
	else
		err = bare(value, out, f->size);
	if (err == 0 && !out[0] && !f->may_be_empty)
		return ERR_INVALID;
	return err;
}

/* Splits "name = value". @return the value, or NULL. */
static const char *split(
	const char *param, const char **name_out, size_t *len_out)
{
	const char *p = param;

	while (is_blank(*p))
		p++;
	*name_out = p;
	while (is_token(*p))
		p++;
	*len_out = (size_t)(p - *name_out);
	while (is_blank(*p))
		p++;
	if (*len_out == 0 || *p != '=')
		return NULL;
	for (p++; is_blank(*p); p++)
		;
	return p;
}

int auth_fields_read(const char *const *params, struct auth_fields *fields_out)
{
	struct auth_fields read = {0};
	bool seen[N_FIELDS] = {false};

	for (size_t n = 0; params && params[n]; n++) {
		const char *name;
		size_t len;
		const char *value = split(params[n], &name, &len);
		const struct field *f;

		if (!value || n >= PARAMS_MAX)
			return ERR_INVALID;
		f = field_named(name, len);
		if (!f)
			continue;
		if (seen[f - fields])
			return ERR_INVALID;
		seen[f - fields] = true;
		if (read_value(f, value, (char *)&read + f->offset) != 0)
			return ERR_INVALID;
	}
	for (size_t i = 0; i < N_FIELDS; i++)
		if (fields[i].mandatory && !seen[i])
			return ERR_INVALID;
	*fields_out = read;
	return 0;
}

int auth_fields_realm(const char *const *params, char realm[AUTH_TEXT_SIZE])
{
	const struct field *want = field_named("realm", 5);

	for (size_t n = 0; params && params[n] && n < PARAMS_MAX; n++) {
		const char *name;
		size_t len;
		const char *value = split(params[n], &name, &len);

		if (value && field_named(name, len) == want)
			return read_value(want, value, realm);
	}
	return ERR_NOT_FOUND;
}
