/* SPDX-License-Identifier: Apache-2.0 */
/* The strict settings reader: each mistake is one line with its number. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf.h"
#include "tests/unit/suite.h"

struct settings {
	char *name;
	char *folder;
	char *absent;
	uint64_t port;
	uint64_t big;
	bool flag;
	struct conf_list peers;
};

#define OPTION(t, n, d, lo, hi, u)                                             \
	{                                                                      \
		.name = #n, .type = (t),                                       \
		.offset = offsetof(struct settings, n), .def = (d),            \
		.min = (lo), .max = (hi), .unit = (u), .text = ""              \
	}

static const struct conf_option options[] = {
	OPTION(CONF_STRING, name, "nobody", 0, 8, ""),
	OPTION(CONF_STRING, folder, "/var/lib", 0, 0, ""),
	OPTION(CONF_STRING, absent, NULL, 0, 0, ""),
	OPTION(CONF_UINT, port, "5060", 1, 65535, ""),
	OPTION(CONF_UINT, big, "7", 0, UINT64_MAX, "ms"),
	OPTION(CONF_BOOL, flag, "false", 0, 0, ""),
	OPTION(CONF_LIST, peers, NULL, 0, 5, ""),
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static char path[64];
static char problem[CONF_PROBLEM_SIZE];

static void write_file(const char *text, size_t len)
{
	FILE *f;
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/gh-conf-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	f = fdopen(fd, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static int load(const char *text, struct settings *s)
{
	int rc;

	memset(s, 0, sizeof(*s));
	write_file(text, strlen(text));
	rc = conf_load(path, options, N_OPTIONS, s, problem);
	(void)unlink(path);
	return rc;
}

START_TEST(test_defaults)
{
	static const struct settings empty;
	struct settings s;

	ck_assert_int_eq(load("", &s), 0);
	ck_assert_str_eq(s.name, "nobody");
	ck_assert_str_eq(s.folder, "/var/lib");
	ck_assert_ptr_null(s.absent);
	ck_assert_uint_eq(s.port, 5060);
	ck_assert_uint_eq(s.big, 7);
	ck_assert(!s.flag);
	ck_assert_uint_eq(s.peers.n_items, 0);
	conf_free(options, N_OPTIONS, &s);
	ck_assert(!memcmp(&s, &empty, sizeof(s)));
	conf_free(options, N_OPTIONS, &s);
}
END_TEST

START_TEST(test_values)
{
	struct settings s;

	ck_assert_int_eq(load("# comment\n"
			      "// another\n"
			      "/* and\n one */\n"
			      "name = \"a b\"\n"
			      "folder=/srv/x\n"
			      "absent = \"\"\n"
			      "port = 65535\n"
			      "big = \"18446744073709551615\"\n"
			      "flag = yes\n"
			      "peers = {a, \"b c\", d}\n",
				 &s),
		0);
	ck_assert_str_eq(problem, "");
	ck_assert_str_eq(s.name, "a b");
	ck_assert_str_eq(s.folder, "/srv/x");
	ck_assert_str_eq(s.absent, "");
	ck_assert_uint_eq(s.port, 65535);
	ck_assert_uint_eq(s.big, UINT64_MAX);
	ck_assert(s.flag);
	ck_assert_uint_eq(s.peers.n_items, 3);
	ck_assert_str_eq(s.peers.items[1], "b c");
	conf_free(options, N_OPTIONS, &s);
}
END_TEST

START_TEST(test_booleans)
{
	static const struct {
		const char *text;
		bool value;
	} rows[] = {{"flag = true", true}, {"flag = on", true},
		{"flag = yes", true}, {"flag = false", false},
		{"flag = no", false}, {"flag = off", false}};
	struct settings s;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_eq(load(rows[i].text, &s), 0);
		ck_assert_int_eq(s.flag, rows[i].value);
		conf_free(options, N_OPTIONS, &s);
	}
}
END_TEST

START_TEST(test_problems)
{
	static const struct {
		const char *text;
		int line; /* 0: the problem has no line */
		const char *says;
	} rows[] = {
		{"port = 1\nbogus = 1\n", 2, "no such option 'bogus'"},
		{"\n\n\nport = 0\n", 4, "port must be from 1 to 65535, not 0"},
		{"port = 65536\n", 1, "port must be from 1 to 65535"},
		{"port = -1\n", 1, "whole number"},
		{"port = 0x10\n", 1, "whole number"},
		{"port = \"1 \"\n", 1, "whole number"},
		{"port = \"\"\n", 1, "whole number"},
		{"port = 1.5\n", 1, "whole number"},
		{"port = ten\n", 1, "whole number, not \"ten\""},
		{"big = 18446744073709551616\n", 1, "whole number"},
		{"big = 184467440737095516150\n", 1, "whole number"},
		{"flag = maybe\n", 1, "flag must be true or false"},
		{"flag = 1\n", 1, "flag must be true or false"},
		{"name = 123456789\n", 1, "name is longer than 8 bytes"},
		{"name = \"a\\nb\"\n", 1, "control character"},
		{"port = 1\n\nport = 2\n", 3,
			"port stands here for the second time"},
		{"port = 1\nport = 1\n", 2, "second time"},
		{"peers = {a}\npeers = {b}\n", 2, "second time"},
		{"peers = {a}\npeers += {b}\n", 2, "second time"},
		{"port += 1\n", 1, ""},
		{"peers = {a, 123456}\n", 1, "peers is longer than 5 bytes"},
		{"port 5060\n", 1, ""},
		{"port =\n", 0, ""},
		{"port = 5060 5061\n", 1, ""},
		{"= 5060\n", 1, ""},
		{"peers = {a, b\n", 0, ""},
		{"name = \"open\n", 0, ""},
		{"}\n", 1, ""},
		{"section { port = 1 }\n", 1, "no such option"},
		{"include(\"/etc/passwd\")\n", 1, "no such option"},
	};
	static const struct settings empty;
	char place[96];
	struct settings s;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_msg(load(rows[i].text, &s) == ERR_INVALID, "%s",
			rows[i].text);
		(void)snprintf(
			place, sizeof(place), "%s:%d: ", path, rows[i].line);
		if (rows[i].line)
			ck_assert_msg(!strncmp(problem, place, strlen(place)),
				"%s: %s", rows[i].text, problem);
		ck_assert_msg(
			!strncmp(problem, path, strlen(path)), "%s", problem);
		ck_assert_msg(strstr(problem, rows[i].says) != NULL, "%s: %s",
			rows[i].text, problem);
		ck_assert_msg(!strchr(problem, '\n'), "%s", problem);
		ck_assert(!memcmp(&s, &empty, sizeof(s)));
	}
}
END_TEST

START_TEST(test_list_bound)
{
	char text[1024] = "peers = {a";
	struct settings s;
	unsigned i;

	for (i = 1; i < CONF_LIST_MAX; i++)
		strncat(text, ",a", sizeof(text) - strlen(text) - 1);
	strncat(text, "}\n", sizeof(text) - strlen(text) - 1);
	ck_assert_int_eq(load(text, &s), 0);
	ck_assert_uint_eq(s.peers.n_items, CONF_LIST_MAX);
	conf_free(options, N_OPTIONS, &s);
	memcpy(strchr(text, '}'), ",a}", sizeof(",a}"));
	ck_assert_int_eq(load(text, &s), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(problem, "more than 64 items"));
}
END_TEST

START_TEST(test_files)
{
	static char huge[300 * 1024];
	struct settings s = {0};

	ck_assert_int_eq(conf_load("/nonexistent/x.conf", options, N_OPTIONS,
				 &s, problem),
		ERR_NOT_FOUND);
	ck_assert_str_eq(
		problem, "/nonexistent/x.conf: No such file or directory");
	ck_assert_int_eq(conf_load("/tmp", options, N_OPTIONS, &s, problem),
		ERR_INVALID);
	ck_assert_str_eq(problem, "/tmp: not a regular file");
	ck_assert_int_eq(
		conf_load("/dev/zero", options, N_OPTIONS, &s, problem),
		ERR_INVALID);
	memset(huge, '\n', sizeof(huge));
	write_file(huge, sizeof(huge));
	ck_assert_int_eq(
		conf_load(path, options, N_OPTIONS, &s, problem), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(problem, "larger than"));
	(void)unlink(path);
	write_file("port = 1\n\0port = 2\n", 19);
	ck_assert_int_eq(
		conf_load(path, options, N_OPTIONS, &s, problem), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(problem, "zero byte"));
	(void)unlink(path);
}
END_TEST

/* The environment is no second settings file. */
START_TEST(test_environment)
{
	struct settings s;

	ck_assert_int_eq(setenv("GH_TEST", "leak", 1), 0);
	ck_assert_int_eq(load("name = '${GH_TEST}'\n", &s), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(problem, "longer than 8"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf");

	suite_add(s, "defaults", test_defaults);
	suite_add(s, "values", test_values);
	suite_add(s, "booleans", test_booleans);
	suite_add(s, "problems", test_problems);
	suite_add(s, "list_bound", test_list_bound);
	suite_add(s, "files", test_files);
	suite_add(s, "environment", test_environment);
	return suite_run(s);
}
