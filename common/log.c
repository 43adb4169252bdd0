/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes log lines (log.h):
 *
 *	2026-01-31T23:59:59.000001Z info sbc register_ok user=alice src="a b"
 *
 * One line is one write(2) of at most LINE_SIZE bytes, so lines of several
 * processes on one pipe never mix. Text is quoted where it is not a plain
 * word; control characters, quotes, text direction marks and what is not UTF-8
 * become \xNN, so a terminal that shows the log obeys no peer. A line that is
 * too long ends with cut=yes. If the reader of standard error does not read,
 * the line is dropped and counted rather than stopping the loop.
 */
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/stat.h"

#define LINE_SIZE  2048
#define VALUE_MAX  512 /* bytes of one text that are looked at */
#define CUT_MARK   " cut=yes"
/* A closing quote, the mark and the newline always fit behind it. */
#define LINE_SPACE (LINE_SIZE - sizeof(CUT_MARK) - 1)

static const char *const level_names[] = {
	[LOG_LEVEL_ERR] = "err",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_COUNT,
	"every level has its name");

static const char *process_word = "gatehouse";
static enum log_level max_level = LOG_LEVEL_INFO;
static void (*sink_fn)(const char *line, size_t len, void *arg);
static void *sink_arg;

struct line {
	char text[LINE_SIZE];
	size_t len;
	bool cut;
};

void log_open(const char *process, enum log_level level)
{
	process_word = process;
	max_level = level;
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

enum log_level log_level(void)
{
	return max_level;
}

bool log_enabled(enum log_level level)
{
	return level <= max_level;
}

int log_level_parse(const char *text, enum log_level *level_out)
{
	unsigned i;

	for (i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (!strcmp(text, level_names[i])) {
			*level_out = (enum log_level)i;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

const char *log_level_name(enum log_level level)
{
	return (unsigned)level < LOG_LEVEL_COUNT ? level_names[level]
						 : "unknown";
}

void log_set_sink(
	void (*sink)(const char *line, size_t len, void *arg), void *arg)
{
	sink_fn = sink;
	sink_arg = arg;
}

/* Appends all of bytes or nothing. */
static bool put(struct line *l, const char *bytes, size_t len)
{
	if (l->cut || len > LINE_SPACE - l->len) {
		l->cut = true;
		return false;
	}
	memcpy(l->text + l->len, bytes, len);
	l->len += len;
	return true;
}

static void put_text(struct line *l, const char *text)
{
	(void)put(l, text, strlen(text));
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629) that may be shown
 * as it is; 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2, i;
	uint32_t c;

	if (*p < 0xc2 || *p > 0xf4 || left < n)
		return 0;
	c = *p & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	if (c >= 0xd800 && c <= 0xdfff)
		return 0;
	/* C1 controls, zero width and direction marks, line separators. */
	if (c < 0xa0 || (c >= 0x200b && c <= 0x200f) ||
		(c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
		c == 0xfeff)
		return 0;
	return n;
}

static bool is_plain(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return len > 0;
}

static void put_escaped(struct line *l, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i = 0;

	while (i < len && !l->cut) {
		size_t n = 1;
		char hex[5];

		if (p[i] >= 0x80)
			n = utf8_len(p + i, len - i);
		else if (p[i] < ' ' || p[i] == 0x7f)
			n = 0;
		if (n && p[i] != '"' && p[i] != '\\') {
			(void)put(l, text + i, n);
			i += n;
			continue;
		}
		(void)snprintf(hex, sizeof(hex), "\\x%02x", p[i]);
		(void)put(l, hex, 4);
		i++;
	}
}

static void put_str(struct line *l, const char *text)
{
	size_t len;
	bool longer;

	if (!text) {
		put_text(l, "-");
		return;
	}
	len = strnlen(text, VALUE_MAX + 1);
	longer = len > VALUE_MAX;
	if (longer)
		len = VALUE_MAX;
	if (!longer && is_plain(text, len)) {
		(void)put(l, text, len);
		return;
	}
	put_text(l, "\"");
	put_escaped(l, text, len);
	if (longer)
		put_text(l, "...");
	/* A quote that was opened is closed, also where the line is cut. */
	if (l->cut)
		l->text[l->len++] = '"';
	else
		put_text(l, "\"");
}

static void put_field(struct line *l, const struct log_field *f)
{
	char text[ADDR_TEXT_SIZE];
	char errno_text[64];
	size_t start = l->len;

	put_text(l, " ");
	put_text(l, f->key);
	put_text(l, "=");
	if (l->cut) {
		l->len = start; /* no half keys */
		return;
	}
	switch (f->type) {
	case LOG_TYPE_STR:
		put_str(l, f->str);
		break;
	case LOG_TYPE_UINT:
		(void)snprintf(
			text, sizeof(text), "%llu", (unsigned long long)f->u);
		put_text(l, text);
		break;
	case LOG_TYPE_INT:
		(void)snprintf(text, sizeof(text), "%lld", (long long)f->i);
		put_text(l, text);
		break;
	case LOG_TYPE_ADDR:
		put_text(l, f->addr ? addr_format(f->addr, text) : "-");
		break;
	case LOG_TYPE_ERR:
		put_str(l, err_text((int)f->i));
		break;
	case LOG_TYPE_ERRNO:
		put_str(l,
			strerror_r((int)f->i, errno_text, sizeof(errno_text)));
		break;
	case LOG_TYPE_END:
		break;
	}
}

static void write_line(const char *text, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	if (sink_fn) {
		sink_fn(text, len, sink_arg);
		return;
	}
	/* A pipe that polls writable takes PIPE_BUF bytes without blocking. */
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT)) {
		do
			n = write(STDERR_FILENO, text, len);
		while (n < 0 && errno == EINTR);
		if (n >= 0)
			return;
	}
	stat_add(STAT_LOG_DROPPED, 1);
}

/* Whether this call site may still write in this second. */
static bool site_admits(struct log_site *site, uint64_t *dropped_out)
{
	uint64_t second = clock_now_us() / CLOCK_US_PER_S;

	if (site->second != second) {
		site->second = second;
		site->n_passed = 0;
	}
	if (site->n_passed >= LOG_PEER_BURST) {
		site->n_dropped++;
		stat_add(STAT_LOG_DROPPED, 1);
		return false;
	}
	site->n_passed++;
	*dropped_out = site->n_dropped;
	site->n_dropped = 0;
	return true;
}

void log_write(enum log_level level, struct log_site *site, const char *event,
	const struct log_field *fields)
{
	int saved_errno = errno;
	char time_text[CLOCK_UTC_SIZE];
	uint64_t dropped = 0;
	struct line l;

	if (!log_enabled(level) || (site && !site_admits(site, &dropped)))
		return;
	l.len = 0;
	l.cut = false;
	put_text(&l, clock_format_utc(clock_wall_us(), time_text));
	put_text(&l, " ");
	put_text(&l, log_level_name(level));
	put_text(&l, " ");
	put_text(&l, process_word);
	put_text(&l, " ");
	put_text(&l, event);
	if (dropped)
		put_field(&l, &LOG_UINT("dropped", dropped));
	for (; fields->type != LOG_TYPE_END && !l.cut; fields++)
		put_field(&l, fields);
	if (l.cut) {
		memcpy(l.text + l.len, CUT_MARK, sizeof(CUT_MARK) - 1);
		l.len += sizeof(CUT_MARK) - 1;
	}
	l.text[l.len++] = '\n';
	write_line(l.text, l.len);
	errno = saved_errno;
}
