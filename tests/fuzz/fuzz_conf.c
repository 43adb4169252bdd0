/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A settings file. What is taken keeps to its rows; what is refused is one
 * line that names the file, and nothing is taken over.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/conf.h"
#include "tests/fuzz/fuzz.h"

struct values {
	char *text, *other;
	uint64_t number;
	bool flag;
	struct conf_list list;
};

static const struct conf_option options[] = {
	{"text", CONF_STRING, offsetof(struct values, text), "default", 0, 16,
		"", ""},
	{"other", CONF_STRING, offsetof(struct values, other), NULL, 0, 0, "",
		""},
	{"number", CONF_UINT, offsetof(struct values, number), "7", 3, 100000,
		"s", ""},
	{"flag", CONF_BOOL, offsetof(struct values, flag), "true", 0, 0, "",
		""},
	{"list", CONF_LIST, offsetof(struct values, list), NULL, 0, 40, "", ""},
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static void check_taken(const struct values *v)
{
	FUZZ_CHECK(v->text != NULL && strlen(v->text) <= 16);
	FUZZ_CHECK(!v->other || strlen(v->other) <= 4096);
	FUZZ_CHECK(v->number >= 3 && v->number <= 100000);
	FUZZ_CHECK(v->list.n_items <= CONF_LIST_MAX);
	for (size_t i = 0; i < v->list.n_items; i++)
		FUZZ_CHECK(v->list.items[i] && strlen(v->list.items[i]) <= 40);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct values none;
	char path[32], problem[CONF_PROBLEM_SIZE] = "";
	struct values v = none;
	int fd = memfd_create("conf", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (conf_load(path, options, N_OPTIONS, &v, problem) == 0) {
		check_taken(&v);
		conf_free(options, N_OPTIONS, &v);
	} else {
		FUZZ_CHECK(strncmp(problem, path, strlen(path)) == 0);
		FUZZ_CHECK(strlen(problem) < sizeof(problem));
		FUZZ_CHECK(!strchr(problem, '\n'));
	}
	FUZZ_CHECK(memcmp(&v, &none, sizeof(v)) == 0);
	close(fd);
	return 0;
}
