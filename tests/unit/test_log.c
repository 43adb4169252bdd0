/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: form, escaping, bounds, the budget of lines that a peer causes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"
#include "tests/unit/suite.h"

static char last[4096];
static size_t last_len;
static unsigned n_lines;
static uint64_t now_us;

static void sink(const char *line, size_t len, void *arg)
{
	(void)arg;
	ck_assert_uint_lt(len, sizeof(last));
	memcpy(last, line, len);
	last[len] = '\0';
	last_len = len;
	n_lines++;
}

static uint64_t fake_now(void)
{
	return now_us;
}

static uint64_t fake_wall(void)
{
	return 1769903999000001;
}

static void begin(void)
{
	log_open("test", LOG_LEVEL_INFO);
	log_set_sink(sink, NULL);
	clock_set_source(fake_now, fake_wall);
	now_us = 10 * CLOCK_US_PER_S;
	n_lines = 0;
}

#define HEAD "2026-01-31T23:59:59.000001Z info test "

START_TEST(test_form)
{
	struct addr a;

	begin();
	ck_assert_int_eq(addr_parse("192.0.2.1:5060", &a), 0);
	log_info("plain");
	ck_assert_str_eq(last, HEAD "plain\n");
	log_info("fields", LOG_CALL("0123456789ABCDEF"), LOG_UINT("n", 7),
		LOG_INT("d", -7), LOG_ADDR("src", &a), LOG_ERR(ERR_FULL),
		LOG_ERRNO(ENOENT), LOG_STR("null", NULL),
		LOG_ADDR("none", NULL));
	ck_assert_str_eq(last,
		HEAD "fields call=0123456789ABCDEF n=7 d=-7 src=192.0.2.1:5060 "
		     "error=full error=\"No such file or directory\" null=- "
		     "none=-\n");
	log_info("max", LOG_UINT("u", UINT64_MAX), LOG_INT("i", INT64_MIN));
	ck_assert_str_eq(last, HEAD "max u=18446744073709551615 "
				    "i=-9223372036854775808\n");
	ck_assert_uint_eq(n_lines, 3);
}
END_TEST

START_TEST(test_escape)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"word", "word"},
		{"<sip:a@b;x>", "<sip:a@b;x>"},
		{"", "\"\""},
		{"two words", "\"two words\""},
		{"a=b", "\"a=b\""},
		{"a\"b", "\"a\\x22b\""},
		{"a\\b", "\"a\\x5cb\""},
		{"a\nb", "\"a\\x0ab\""},
		{"\r\n", "\"\\x0d\\x0a\""},
		{"\x1b[31m", "\"\\x1b[31m\""},
		{"\x7f", "\"\\x7f\""},
		{"\t", "\"\\x09\""},
		{"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
		{"\xe2\x82\xac", "\"\xe2\x82\xac\""},
		{"\xf0\x9f\x93\x9e", "\"\xf0\x9f\x93\x9e\""},
		/* not UTF-8: lone, cut, overlong, surrogate, too high */
		{"\xff", "\"\\xff\""},
		{"\x80", "\"\\x80\""},
		{"\xc3", "\"\\xc3\""},
		{"\xc3(", "\"\\xc3(\""},
		{"\xe2\x82", "\"\\xe2\\x82\""},
		{"\xc0\xaf", "\"\\xc0\\xaf\""},
		{"\xe0\x80\xaf", "\"\\xe0\\x80\\xaf\""},
		{"\xf0\x80\x80\xaf", "\"\\xf0\\x80\\x80\\xaf\""},
		{"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
		{"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},
		{"\xf5\x80\x80\x80", "\"\\xf5\\x80\\x80\\x80\""},
		/* well-formed, and still not to be shown */
		{"\xc2\x9b"
		 "31m",
			"\"\\xc2\\x9b31m\""},
		{"\xe2\x80\xae", "\"\\xe2\\x80\\xae\""},
		{"\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""},
		{"\xe2\x81\xa6", "\"\\xe2\\x81\\xa6\""},
		{"\xef\xbb\xbf", "\"\\xef\\xbb\\xbf\""},
	};
	char expected[256];
	size_t i;

	begin();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(expected, sizeof(expected), HEAD "e v=%s w=1\n",
			rows[i].out);
		log_info("e", LOG_STR("v", rows[i].in), LOG_UINT("w", 1));
		ck_assert_str_eq(last, expected);
	}
}
END_TEST

/* No text of any length or bytes makes two lines, a line over the bound, or an
 * open quote. */
START_TEST(test_bounds)
{
	static char text[5000];
	unsigned filler;
	size_t len, quotes, i;
	static const char fill[] = "a \"\n\xff\xc3";

	begin();
	for (filler = 0; filler < sizeof(fill) - 1; filler++) {
		for (len = 0; len < sizeof(text); len += 37) {
			memset(text, fill[filler], len);
			text[len] = '\0';
			log_info("e", LOG_STR("a", text), LOG_STR("b", text),
				LOG_STR("c", text), LOG_STR("d", text),
				LOG_STR("e", text), LOG_UINT("last", 1));
			ck_assert_uint_le(last_len, 2048);
			ck_assert_ptr_eq(
				strchr(last, '\n'), last + last_len - 1);
			for (i = quotes = 0; i < last_len; i++)
				quotes += last[i] == '"';
			ck_assert_uint_eq(quotes % 2, 0);
			ck_assert((strstr(last, " cut=yes\n") != NULL) ==
				  (strstr(last, " last=1") == NULL));
		}
	}
	/* One long value is shortened and leaves room for the others. */
	memset(text, 'a', 4000);
	text[4000] = '\0';
	log_info("e", LOG_STR("a", text), LOG_STR("reason", "auth_wrong"));
	ck_assert_ptr_nonnull(strstr(last, "aaa...\" reason=auth_wrong\n"));
}
END_TEST

START_TEST(test_levels)
{
	enum log_level level, back;

	begin();
	for (level = 0; level < LOG_LEVEL_COUNT; level++) {
		ck_assert_int_eq(
			log_level_parse(log_level_name(level), &back), 0);
		ck_assert_int_eq(level, back);
	}
	ck_assert_int_eq(log_level_parse("fatal", &back), ERR_NOT_FOUND);
	log_set_level(LOG_LEVEL_WARNING);
	ck_assert_int_eq(log_level(), LOG_LEVEL_WARNING);
	log_notice("no");
	log_info("no");
	log_debug("no");
	ck_assert_uint_eq(n_lines, 0);
	log_warning("yes");
	log_err("yes");
	ck_assert_uint_eq(n_lines, 2);
}
END_TEST

static void peer_line(void)
{
	log_peer_info("flood", LOG_UINT("n", 1));
}

START_TEST(test_rate)
{
	uint64_t before;
	unsigned i;

	begin();
	before = stat_get(STAT_LOG_DROPPED);
	for (i = 0; i < 1000; i++)
		peer_line();
	ck_assert_uint_eq(n_lines, LOG_PEER_BURST);
	ck_assert_uint_eq(
		stat_get(STAT_LOG_DROPPED) - before, 1000 - LOG_PEER_BURST);
	/* Another call site has a budget of its own. */
	log_peer_info("other");
	ck_assert_uint_eq(n_lines, LOG_PEER_BURST + 1);
	now_us += CLOCK_US_PER_S;
	peer_line();
	ck_assert_str_eq(last, HEAD "flood dropped=990 n=1\n");
	peer_line();
	ck_assert_str_eq(last, HEAD "flood n=1\n");
	/* A line that its level holds back costs no budget. */
	log_set_level(LOG_LEVEL_ERR);
	now_us += CLOCK_US_PER_S;
	for (i = 0; i < 100; i++)
		peer_line();
	log_set_level(LOG_LEVEL_INFO);
	peer_line();
	ck_assert_str_eq(last, HEAD "flood n=1\n");
}
END_TEST

/* A pipe that nobody reads loses lines, counts them and never blocks; each
 * line that gets through is whole. */
START_TEST(test_pipe)
{
	static char text[1024 * 1024];
	int fds[2], saved = dup(STDERR_FILENO);
	uint64_t before = stat_get(STAT_LOG_DROPPED);
	size_t got = 0, lines = 0, i, start = 0;
	ssize_t n;

	begin();
	log_set_sink(NULL, NULL);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	errno = 77;
	for (i = 0; i < 10000; i++)
		log_info("line", LOG_UINT("n", i));
	ck_assert_int_eq(errno, 77);
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(fds[1]);
	while ((n = read(fds[0], text + got, sizeof(text) - got)) > 0)
		got += (size_t)n;
	for (i = 0; i < got; i++) {
		if (text[i] != '\n')
			continue;
		ck_assert(!strncmp(text + start, HEAD, strlen(HEAD)));
		start = i + 1;
		lines++;
	}
	ck_assert_uint_eq(start, got);
	ck_assert_uint_gt(lines, 100);
	ck_assert_uint_eq(lines + stat_get(STAT_LOG_DROPPED) - before, 10000);
	(void)close(fds[0]);
	(void)close(saved);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");

	suite_add(s, "form", test_form);
	suite_add(s, "escape", test_escape);
	suite_add(s, "bounds", test_bounds);
	suite_add(s, "levels", test_levels);
	suite_add(s, "rate", test_rate);
	suite_add(s, "pipe", test_pipe);
	return suite_run(s);
}
