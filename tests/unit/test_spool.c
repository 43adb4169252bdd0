/* SPDX-License-Identifier: Apache-2.0 */
/* The spool and the sealed store: cut at every byte, damaged at every byte. */
#include <check.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authd/spool.h"
#include "authd/vault.h"
#include "common/clock.h"
#include "common/log.h"

static char dir[] = "/tmp/gh-spool-XXXXXX";
static char spool_dir[64];
static struct loop *loop;
static struct sync *sync_;
static struct spool *spool;
static unsigned n_safe, n_failed;

static void quiet(const char *line, size_t len, void *arg)
{
	(void)line;
	(void)len;
	(void)arg;
}

static void on_safe(void *ctx, uint64_t token, int err)
{
	(void)ctx;
	(void)token;
	if (err == 0)
		n_safe++;
	else
		n_failed++;
	loop_stop(loop);
}

static void setup(void)
{
	log_set_sink(quiet, NULL);
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(spool_dir, sizeof(spool_dir), "%s/spool", dir);
	ck_assert_int_eq(loop_event_new(&loop), 0);
	ck_assert_int_eq(sync_new(loop, &sync_), 0);
	n_safe = n_failed = 0;
}

static void teardown(void)
{
	char command[128];

	spool_free(&spool);
	sync_free(&sync_);
	loop_free(&loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void reopen(void)
{
	spool_free(&spool);
	ck_assert_int_eq(
		spool_open(loop, sync_, spool_dir, on_safe, NULL, &spool), 0);
}

static void append(const char *text)
{
	ck_assert_int_eq(
		spool_append(spool, SPOOL_EVENT, text, strlen(text), 1), 0);
}

/* Reads all that is not done, joined by blanks. */
static const char *all(void)
{
	static char text[4096];
	struct spool_record r;
	uint64_t after = 0;

	text[0] = '\0';
	while (spool_read(spool, after, &r) == 0) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%.*s ", (int)r.len,
			(const char *)r.bytes);
		ck_assert_uint_gt(r.number, after);
		after = r.number;
	}
	return text;
}

static void segment_path(char path[256])
{
	char pattern[128];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*.spool", spool_dir);
	ck_assert_int_eq(glob(pattern, 0, NULL, &g), 0);
	snprintf(path, 256, "%s", g.gl_pathv[g.gl_pathc - 1]);
	globfree(&g);
}

START_TEST(spool_order)
{
	reopen();
	append("one");
	append("two");
	append("three");
	ck_assert_str_eq(all(), "one two three ");
	ck_assert_uint_eq(spool_waiting(spool), 3);
	spool_done(spool, 1);
	ck_assert_str_eq(all(), "two three ");
	while (n_safe < 3)
		ck_assert_int_eq(loop_run(loop), 0);
	reopen();
	ck_assert_str_eq(all(), "two three ");
	append("four");
	spool_done(spool, 3);
	reopen();
	ck_assert_str_eq(all(), "four ");
	spool_done(spool, 4);
	reopen();
	ck_assert_str_eq(all(), "");
	append("five");
	ck_assert_str_eq(all(), "five ");
	ck_assert_int_eq(spool_append(spool, SPOOL_CDR, "", 0, 0), 0);
	ck_assert_int_eq(
		spool_append(spool, SPOOL_CDR, "", SPOOL_RECORD_MAX + 1, 0),
		ERR_TOO_BIG);
}
END_TEST

static void write_position(const char *text, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/position", spool_dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* Whatever becomes of the position, no record is lost: one that can not be
 * right hands out again what is still there. */
/* A flush waits for more records; where there are many it is at once, and what
 * comes meanwhile goes with the next. */
START_TEST(spool_flushes_together)
{
	uint64_t began_us = clock_now_us();

	reopen();
	append("one");
	append("two");
	while (n_safe < 2)
		ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_uint_ge(clock_now_us() - began_us, 50000);
	for (unsigned i = 0; i < 200; i++) {
		append("more");
		if (i % 70 == 69) {
			loop_stop(loop);
			ck_assert_int_eq(loop_run(loop), 0);
		}
	}
	while (n_safe < 202)
		ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_uint_eq(n_failed, 0);
}
END_TEST

START_TEST(spool_position_damaged_anywhere)
{
	char path[128], good[128] = "", older[128];
	size_t len;
	FILE *f;

	reopen();
	append("one");
	append("two");
	append("three");
	spool_done(spool, 2);
	spool_free(&spool);
	snprintf(path, sizeof(path), "%s/position", spool_dir);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	len = fread(good, 1, sizeof(good) - 1, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_uint_gt(len, 40);
	for (size_t i = 0; i < len - 1; i++) {
		char bad[128];

		memcpy(bad, good, sizeof(bad));
		bad[i] = bad[i] == '7' ? '8' : '7';
		write_position(bad, len);
		reopen();
		ck_assert_str_eq(all(), "one two three ");
		spool_free(&spool);
	}
	for (size_t i = 0; i < len - 1; i++) {
		write_position(good, i);
		reopen();
		ck_assert_msg(strcmp(all(), "one two three ") == 0 ||
				      strcmp(all(), "three ") == 0,
			"cut at %zu: %s", i, all());
		spool_free(&spool);
	}
	/* As an older version wrote it. */
	snprintf(older, sizeof(older), "%.16s 2\n", good);
	write_position(older, strlen(older));
	reopen();
	ck_assert_str_eq(all(), "three ");
	spool_done(spool, 3);
	reopen();
	ck_assert_str_eq(all(), "");
}
END_TEST

/* A kill can leave any number of the file's bytes: whole records before the
 * cut are all there, nothing else is, and the spool goes on. */
START_TEST(spool_cut_anywhere)
{
	static const char *const expected[] = {
		"", "alpha ", "alpha beta ", "alpha beta gamma "};
	off_t ends[4];
	char path[256], want[64];
	struct stat st;

	reopen();
	ends[0] = 8;
	append("alpha");
	ends[1] = ends[0] + 24 + 5;
	append("beta");
	ends[2] = ends[1] + 24 + 4;
	append("gamma");
	ends[3] = ends[2] + 24 + 5;
	segment_path(path);
	spool_free(&spool);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, ends[3]);
	for (off_t cut = ends[3]; cut >= 0; cut--) {
		int whole = 3;

		while (whole > 0 && ends[whole] > cut)
			whole--;
		ck_assert_int_eq(truncate(path, cut), 0);
		reopen();
		ck_assert_str_eq(all(), expected[whole]);
		append("new");
		snprintf(want, sizeof(want), "%snew ", expected[whole]);
		ck_assert_str_eq(all(), want);
		reopen();
		ck_assert_str_eq(all(), want);
		spool_free(&spool);
		/* Put the whole file back for the next cut. */
		ck_assert_int_eq(unlink(path), 0);
		reopen();
		spool_done(spool, 0);
		append("alpha");
		append("beta");
		append("gamma");
		spool_free(&spool);
		segment_path(path);
	}
}
END_TEST

/* One flipped bit anywhere loses that record at most. */
START_TEST(spool_damaged_anywhere)
{
	char path[256];
	uint8_t byte;
	int fd, found;
	struct stat st;

	reopen();
	append("alpha");
	append("beta");
	append("gamma");
	segment_path(path);
	spool_free(&spool);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	for (off_t at = 8; at < st.st_size; at++) {
		const char *text;

		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		reopen();
		text = all();
		found = (strstr(text, "alpha ") != NULL) +
			(strstr(text, "beta ") != NULL) +
			(strstr(text, "gamma ") != NULL);
		ck_assert_int_eq(found, 2);
		spool_free(&spool);
		byte ^= 0x10;
		/* A damaged last record was cut off with the tail. */
		ck_assert_int_eq(fstat(fd, &st), 0);
		if (at >= st.st_size)
			break;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}
END_TEST

START_TEST(spool_segments)
{
	static char big[100 * 1024];
	char pattern[128];
	glob_t g;

	memset(big, 'x', sizeof(big));
	reopen();
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(
			spool_append(spool, SPOOL_CDR, big, sizeof(big), 0), 0);
	snprintf(pattern, sizeof(pattern), "%s/*.spool", spool_dir);
	ck_assert_int_eq(glob(pattern, 0, NULL, &g), 0);
	ck_assert_uint_ge(g.gl_pathc, 3);
	globfree(&g);
	reopen();
	ck_assert_uint_eq(spool_waiting(spool), 100);
	spool_done(spool, 100);
	ck_assert_int_eq(glob(pattern, 0, NULL, &g), 0);
	ck_assert_uint_eq(g.gl_pathc, 1); /* the one being written to */
	globfree(&g);
	append("after");
	reopen();
	ck_assert_str_eq(all(), "after ");
}
END_TEST

/* ------------------------------------------------------------- the vault */

static struct key key;
static struct vault *vault;

static void vault_setup(void)
{
	char path[64], problem[KEY_PROBLEM_SIZE];

	setup();
	snprintf(path, sizeof(path), "%s/key", dir);
	ck_assert_int_eq(key_load(path, &key, problem), 0);
}

static void vault_teardown(void)
{
	vault_free(&vault);
	key_done(&key);
	teardown();
}

static void vault_again(void)
{
	vault_free(&vault);
	ck_assert_int_eq(vault_open(&key, dir, "v", 1000, &vault), 0);
}

static const char *get(const char *name)
{
	static char text[4096];
	uint8_t *bytes;
	size_t len;

	if (vault_get(vault, name, &bytes, &len) < 0)
		return "-";
	snprintf(text, sizeof(text), "%.*s", (int)len, (char *)bytes);
	vault_bytes_free(&bytes, len);
	return text;
}

static void put(const char *name, const char *text)
{
	ck_assert_int_eq(vault_put(vault, name, text, strlen(text)), 0);
}

START_TEST(vault_keeps)
{
	vault_again();
	put("a", "one");
	put("b", "two");
	put("a", "three");
	ck_assert_int_eq(vault_remove(vault, "b"), 0);
	ck_assert_int_eq(vault_remove(vault, "never"), 0);
	put("c", "");
	vault_again();
	ck_assert_uint_eq(vault_count(vault), 2);
	ck_assert_str_eq(get("a"), "three");
	ck_assert_str_eq(get("b"), "-");
	ck_assert_str_eq(get("c"), "");
}
END_TEST

static off_t vault_size(char path[64])
{
	struct stat st;

	snprintf(path, 64, "%s/v.sealed", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

START_TEST(vault_is_sealed)
{
	char path[64], bytes[4096];
	off_t size;
	int fd;

	vault_again();
	put("anna", "marker-secret");
	size = vault_size(path);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, bytes, sizeof(bytes)), size);
	close(fd);
	ck_assert_ptr_null(memmem(bytes, (size_t)size, "marker", 6));
	ck_assert_ptr_null(memmem(bytes, (size_t)size, "anna", 4));
}
END_TEST

START_TEST(vault_cut_anywhere)
{
	char path[64];
	off_t full, after_a;

	vault_again();
	put("a", "one");
	after_a = vault_size(path);
	put("b", "two");
	full = vault_size(path);
	for (off_t cut = full; cut >= 0; cut--) {
		vault_again();
		put("a", "one");
		ck_assert_int_eq(vault_remove(vault, "c"), 0);
		vault_free(&vault);
		unlink(path);
		vault_again();
		put("a", "one");
		put("b", "two");
		vault_free(&vault);
		ck_assert_int_eq(truncate(path, cut), 0);
		vault_again();
		ck_assert_str_eq(get("a"), cut >= after_a ? "one" : "-");
		ck_assert_str_eq(get("b"), cut >= full ? "two" : "-");
		put("c", "three");
		vault_again();
		ck_assert_str_eq(get("a"), cut >= after_a ? "one" : "-");
		ck_assert_str_eq(get("c"), "three");
	}
}
END_TEST

START_TEST(vault_damaged_anywhere)
{
	char path[64];
	uint8_t byte;
	off_t full;
	int fd;

	vault_again();
	put("a", "one");
	full = vault_size(path);
	vault_free(&vault);
	for (off_t at = 0; at < full; at++) {
		unlink(path);
		vault_again();
		put("a", "one");
		vault_free(&vault);
		fd = open(path, O_RDWR);
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x40;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		vault_again();
		ck_assert_str_eq(get("a"), "-");
		put("b", "two");
		vault_again();
		ck_assert_str_eq(get("b"), "two");
	}
}
END_TEST

START_TEST(vault_compacts)
{
	static char big[10000];
	char path[64];

	memset(big, 'y', sizeof(big) - 1);
	vault_again();
	put("keep", "me");
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(vault_put(vault, "x", big, sizeof(big)), 0);
		vault_replace(vault, vault_rewritten_fd(vault));
	}
	ck_assert_int_lt(vault_size(path), 2 * 1024 * 1024);
	ck_assert_str_eq(get("keep"), "me");
	vault_again();
	ck_assert_str_eq(get("keep"), "me");
	ck_assert_uint_eq(vault_count(vault), 2);
}
END_TEST

/* While the file is rewritten bit by bit, what is written and removed counts
 * at every moment, and a kill (reopening without replacing) loses nothing. */
START_TEST(vault_rewrites_in_service)
{
	enum { NAMES = 300, SIZE = 4000 };
	static char text[NAMES][SIZE];
	unsigned n_replaced = 0, n_copying = 0, version = 0;
	char name[16], path[64];
	bool there[NAMES] = {false};

	vault_again();
	srand(3);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned k = (unsigned)rand() % NAMES;
		int fd;

		snprintf(name, sizeof(name), "n%u", k);
		if (there[k] && rand() % 5 == 0) {
			ck_assert_int_eq(vault_remove(vault, name), 0);
			there[k] = false;
		} else {
			memset(text[k], 'a' + (int)(version++ % 26), SIZE - 1);
			put(name, text[k]);
			there[k] = true;
		}
		fd = vault_rewritten_fd(vault);
		/* Some changes come between the copy and the flush. */
		if (fd >= 0 && n_copying++ % 7 == 6) {
			vault_replace(vault, fd);
			n_replaced++;
			ck_assert_int_lt(vault_size(path), 4 * 1024 * 1024);
		}
		if (i % 500 == 499) {
			if (i % 1000 == 999)
				vault_again();
			for (k = 0; k < NAMES; k++) {
				snprintf(name, sizeof(name), "n%u", k);
				ck_assert_str_eq(
					get(name), there[k] ? text[k] : "-");
			}
		}
	}
	ck_assert_uint_gt(n_replaced, 2);
}
END_TEST

START_TEST(vault_of_another_key)
{
	char path[64], problem[KEY_PROBLEM_SIZE], bad[80];
	struct stat st;

	vault_again();
	put("a", "one");
	vault_free(&vault);
	key_done(&key);
	snprintf(path, sizeof(path), "%s/key2", dir);
	ck_assert_int_eq(key_load(path, &key, problem), 0);
	vault_again();
	ck_assert_str_eq(get("a"), "-");
	vault_size(path);
	snprintf(bad, sizeof(bad), "%s.bad", path);
	ck_assert_int_eq(stat(bad, &st), 0);
}
END_TEST

START_TEST(key_files)
{
	char path[64], problem[KEY_PROBLEM_SIZE];
	struct key other;
	struct stat st;
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/key", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(key_load(path, &other, problem), 0);
	ck_assert_mem_eq(other.master.bytes, key.master.bytes, KEY_SIZE);
	key_done(&other);
	ck_assert_int_eq(chmod(path, 0640), 0);
	ck_assert_int_eq(key_load(path, &other, problem), ERR_REFUSED);
	ck_assert_ptr_nonnull(strstr(problem, "chmod 600"));
	ck_assert_int_eq(chmod(path, 0600), 0);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pread(fd, &byte, 1, 20), 1);
	byte ^= 1;
	ck_assert_int_eq(pwrite(fd, &byte, 1, 20), 1);
	close(fd);
	ck_assert_int_eq(key_load(path, &other, problem), ERR_CORRUPT);
	ck_assert_int_eq(truncate(path, 10), 0);
	ck_assert_int_eq(key_load(path, &other, problem), ERR_CORRUPT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("spool");
	TCase *t = tcase_create("spool"), *v = tcase_create("vault");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_set_timeout(v, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, spool_order);
	tcase_add_test(t, spool_flushes_together);
	tcase_add_test(t, spool_position_damaged_anywhere);
	tcase_add_test(t, spool_cut_anywhere);
	tcase_add_test(t, spool_damaged_anywhere);
	tcase_add_test(t, spool_segments);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(v, vault_setup, vault_teardown);
	tcase_add_test(v, vault_keeps);
	tcase_add_test(v, vault_is_sealed);
	tcase_add_test(v, vault_cut_anywhere);
	tcase_add_test(v, vault_damaged_anywhere);
	tcase_add_test(v, vault_compacts);
	tcase_add_test(v, vault_rewrites_in_service);
	tcase_add_test(v, vault_of_another_key);
	tcase_add_test(v, key_files);
	suite_add_tcase(s, v);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
