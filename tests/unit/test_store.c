/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live-state store: records of every length, full stores, other sizes, live
 * words, wiping. What a killed writer or damage leaves is in
 * test_store_damage.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/reason.h"
#include "common/stat.h"
#include "common/store.h"
#include "common/store_map.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/store_rig.h"
#include "tests/unit/suite.h"

/* -------------------------------------------------------------------- basics
 */

START_TEST(test_lengths)
{
	static const size_t lens[] = {
		0, 1, 63, 64, 65, 127, 128, 129, 192, 193, 1000, 2048};
	static const size_t lives[] = {0, 8, 16, 64};
	size_t i, j;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (j = 0; j < sizeof(lives) / sizeof(lives[0]); j++) {
			struct store *s = rig_open_new(&rig_config);
			int fd = dup(store_fd(s));

			if (lives[j] > lens[i]) {
				store_close(&s);
				(void)close(fd);
				continue;
			}
			(void)rig_put(s, NULL, 9, lens[i], lives[j], 5);
			ck_assert_uint_eq(store_count(s), 1);
			store_close(&s);
			ck_assert_ptr_null(s);
			s = rig_open_again(&rig_config, fd);
			ck_assert_uint_eq(rig_shown.n, 1);
			ck_assert_uint_eq(rig_shown.rows[0].type, 9);
			ck_assert_uint_eq(rig_shown.rows[0].version, 3);
			ck_assert(rig_is_filled(0, lens[i], 5));
			store_remove(s, &rig_shown.rows[0].record);
			ck_assert_uint_eq(store_slots_free(s), N_SLOTS);
			store_close(&s);
			(void)close(fd);
		}
	}
	ck_assert_uint_eq(stat_get(STAT_STORE_RECORDS), 0);
}
END_TEST

/* A file of the program before is gone on with as it is, so that this program
 * may follow again. */
START_TEST(test_layout_before)
{
	struct store *s = rig_open_new(&rig_config);
	struct map_header *h = map_header(s);
	int fd = dup(store_fd(s));

	s->layout = h->layout = STORE_LAYOUT_OLD;
	h->checksum = map_header_checksum(h);
	(void)rig_put(s, NULL, 1, 300, 0, 1);
	(void)rig_put(s, NULL, 2, 40, 8, 2);
	store_close(&s);
	for (size_t n = 2; n < 5; n++) {
		s = rig_open_again(&rig_config, fd);
		ck_assert_uint_eq(map_header(s)->layout, STORE_LAYOUT_OLD);
		ck_assert_uint_eq(store_count(s), n);
		ck_assert_uint_eq(rig_shown.n, n);
		ck_assert(rig_is_filled(0, 300, 1));
		ck_assert(rig_is_filled(1, 40, 2));
		(void)rig_put(s, NULL, 3, 100, 0, 3);
		store_close(&s);
	}
	(void)close(fd);
}
END_TEST

START_TEST(test_replace)
{
	struct store *s = rig_open_new(&rig_config);
	struct store_record *a, *b, *c;
	int fd = dup(store_fd(s));
	unsigned i;

	a = rig_put(s, NULL, 1, 300, 0, 1);
	b = rig_put(s, NULL, 2, 40, 0, 2);
	c = rig_put(s, NULL, 3, 10, 0, 3);
	for (i = 0; i < 1000; i++) {
		ck_assert_ptr_eq(rig_put(s, a, 1, 100 + i % 500, 0, i), a);
		ck_assert_ptr_eq(rig_put(s, b, 2, i % 200, 0, i), b);
	}
	store_remove(s, &c);
	ck_assert_ptr_null(c);
	store_remove(s, &c);
	ck_assert_uint_eq(store_count(s), 2);
	store_close(&s);
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 2);
	ck_assert_uint_eq(rig_shown.rows[0].type, 1);
	ck_assert(rig_is_filled(0, 100 + 999 % 500, 999));
	ck_assert(rig_is_filled(1, 999 % 200, 999));
	/* Handles that came from the file serve as others do. */
	(void)rig_put(s, rig_shown.rows[0].record, 1, 7, 0, 7);
	(void)rig_put(s, NULL, 4, 8, 0, 8);
	store_close(&s);
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 3);
	ck_assert(rig_is_filled(0, 7, 7));
	ck_assert_uint_eq(rig_shown.rows[2].type, 4);
	store_close(&s);
	(void)close(fd);
}
END_TEST

START_TEST(test_full)
{
	struct store *s = rig_open_new(&rig_config);
	struct store_record *r[N_SLOTS], *extra = NULL;
	static uint8_t big[STORE_RECORD_MAX + 1];
	int fd = dup(store_fd(s));
	unsigned i;

	for (i = 0; i < N_SLOTS; i++)
		r[i] = rig_put(s, NULL, 1, 64, 0, i);
	ck_assert_uint_eq(store_slots_free(s), 0);
	ck_assert_int_eq(store_put(s, &extra, 1, 1, big, 1, 0), ERR_FULL);
	ck_assert_ptr_null(extra);
	/* A replacement needs room beside the old one, which stands. */
	ck_assert_int_eq(store_put(s, &r[3], 1, 1, big, 1, 0), ERR_FULL);
	for (i = 4; i < N_SLOTS; i++)
		store_remove(s, &r[i]);
	ck_assert_int_eq(store_put(s, &r[3], 1, 1, big, 64 * 61, 0), ERR_FULL);
	store_close(&s);
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 4);
	ck_assert(rig_is_filled(3, 64, 3));
	ck_assert_int_eq(
		store_put(s, &extra, 1, 1, big, sizeof(big), 0), ERR_TOO_BIG);
	ck_assert_int_eq(store_put(s, &extra, 1, 1, big, 72, 72), ERR_TOO_BIG);
	ck_assert_int_eq(store_put(s, &extra, 1, 1, big, 8, 16), ERR_TOO_BIG);
	ck_assert_int_eq(store_put(s, &extra, 1, 1, big, 16, 8), 0);
	ck_assert_int_eq(store_put(s, &extra, 1, 1, big, 16, 0), ERR_TOO_BIG);
	store_close(&s);
	(void)close(fd);
}
END_TEST

START_TEST(test_sizes)
{
	static const struct {
		uint32_t slot_size, n_slots;
	} rows[] = {{0, 1}, {64, 1}, {127, 1}, {129, 1}, {100, 1}, {128, 0},
		{65536 + 64, 1}, {65536, 20000}, {128, UINT32_MAX}};
	struct store_config c = rig_config;
	struct store *s = NULL;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c.slot_size = rows[i].slot_size;
		c.n_slots = rows[i].n_slots;
		ck_assert_int_eq(
			store_open(&c, NULL, rig_on_record, &rig_shown, &s),
			ERR_INVALID);
	}
	c.slot_size = 65536;
	c.n_slots = 3;
	s = rig_open_new(&c);
	(void)rig_put(s, NULL, 1, 4000, 0, 1);
	ck_assert_str_eq(store_fd_name(s), "calls@65536x3");
	store_close(&s);
}
END_TEST

/* Whether the file holds the marker byte anywhere behind its header. */
static bool holds(int fd, uint8_t marker)
{
	static uint8_t bytes[SLOT * N_SLOTS];
	ssize_t n = pread(fd, bytes, sizeof(bytes), MAP_HEADER_SIZE);

	ck_assert_int_eq(n, sizeof(bytes));
	return memchr(bytes, marker, sizeof(bytes)) != NULL;
}

START_TEST(test_wipe)
{
	struct store *s = rig_open_new(&rig_config);
	struct store_record *r = NULL, *other = NULL;
	uint8_t bytes[400];
	int fd = dup(store_fd(s));
	unsigned try;

	/* Slot heads hold random-looking checksums: a marker that came by
	 * chance is not there a second time. */
	for (try = 0; try < 20; try++) {
		memset(bytes, 0xee, sizeof(bytes));
		ck_assert_int_eq(store_put(s, &r, 1, 1, bytes, 400, 0), 0);
		ck_assert(holds(fd, 0xee));
		memset(bytes, 0x11, sizeof(bytes));
		ck_assert_int_eq(store_put(s, &r, 1, 1, bytes, 400, 0), 0);
		if (!holds(fd, 0xee))
			break;
	}
	ck_assert_uint_lt(try, 20);
	store_remove(s, &r);
	ck_assert(!holds(fd, 0x11));
	memset(bytes, 0xee, sizeof(bytes));
	ck_assert_int_eq(store_put(s, &other, 1, 1, bytes, 400, 0), 0);
	ck_assert(holds(fd, 0xee));
	store_end(&s, NULL);
	ck_assert_ptr_null(s);
	store_end(&s, NULL);
	ck_assert(!holds(fd, 0xee));
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 0);
	ck_assert_uint_eq(store_slots_free(s), N_SLOTS);
	(void)rig_put(s, NULL, 1, 10, 0, 1);
	store_close(&s);
	(void)close(fd);
}
END_TEST

/* The file cannot be resized, and an empty store takes no memory. */
START_TEST(test_file)
{
	struct store_config c = {.name = "big",
		.owner = PROCESS_MEDIAD,
		.slot_size = 1024,
		.n_slots = 100000};
	struct store *s = rig_open_new(&c);
	struct stat st;

	ck_assert_int_lt(ftruncate(store_fd(s), 4096), 0);
	ck_assert_int_lt(ftruncate(store_fd(s), 1 << 30), 0);
	ck_assert_int_eq(fstat(store_fd(s), &st), 0);
	ck_assert_int_eq(st.st_size, 4096 + 102400000);
	ck_assert_int_le(st.st_blocks * 512, 16384);
	(void)rig_put(s, NULL, 1, 10, 0, 1);
	ck_assert_int_eq(fstat(store_fd(s), &st), 0);
	ck_assert_int_le(st.st_blocks * 512, 16384 + 2 * 65536);
	store_close(&s);
}
END_TEST

START_TEST(test_refused_record)
{
	uint64_t before = reason_counted(REASON_STORE_RECORD);
	struct store *s = rig_open_new(&rig_config);
	struct store_found found = STORE_FOUND_NONE;
	int fd = dup(store_fd(s));

	(void)rig_put(s, NULL, 1, 300, 0, 1);
	(void)rig_put(s, NULL, 2, 300, 0, 2);
	store_close(&s);
	memset(&rig_shown, 0, sizeof(rig_shown));
	rig_shown.refuse_type = 1;
	found.fd = dup(fd);
	ck_assert_int_eq(
		store_open(&rig_config, &found, rig_on_record, &rig_shown, &s),
		0);
	ck_assert_uint_eq(rig_shown.n, 1);
	ck_assert_uint_eq(store_count(s), 1);
	ck_assert_uint_eq(reason_counted(REASON_STORE_RECORD), before + 1);
	store_close(&s);
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 1);
	ck_assert_uint_eq(rig_shown.rows[0].type, 2);
	store_close(&s);
	(void)close(fd);
}
END_TEST

/* ---------------------------------------------------------------- live words
 */

START_TEST(test_words)
{
	static const uint64_t values[] = {0, 1, 0xffff, 0x10000, 0x7fffffff,
		0xfedcba987654, STORE_WORD_MAX, STORE_WORD_MAX - 1};
	uint64_t word = 0, value = 7, flipped;
	size_t i;
	unsigned bit;

	ck_assert_int_eq(store_word_get(&word, &value), ERR_CORRUPT);
	for (i = 0; i < 10000; i++) {
		uint64_t v = i < 8 ? values[i] : i * 0x123456789abULL;

		v &= STORE_WORD_MAX;
		store_word_set(&word, v);
		ck_assert_int_eq(store_word_get(&word, &value), 0);
		ck_assert_uint_eq(value, v);
		for (bit = 0; bit < 64; bit++) {
			flipped = word ^ 1ull << bit;
			ck_assert_int_eq(
				store_word_get(&flipped, &value), ERR_CORRUPT);
		}
	}
}
END_TEST

START_TEST(test_live)
{
	struct store *s = rig_open_new(&rig_config);
	struct store_record *r = NULL;
	struct {
		uint8_t fixed[200];
		uint64_t words[3];
	} record = {{0},
		{store_word_make(1), store_word_make(2), store_word_make(3)}};
	int fd = dup(store_fd(s));
	uint64_t value, *live;

	ck_assert_int_eq(store_put(s, &r, 1, 1, &record, sizeof(record),
				 sizeof(record.words)),
		0);
	live = store_live(s, r);
	ck_assert_uint_eq((uintptr_t)live % 64, 0);
	store_word_set(&live[1], 77);
	/* The writer dies here: closing writes nothing. */
	store_close(&s);
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 1);
	ck_assert_uint_eq(rig_shown.rows[0].len, sizeof(record));
	memcpy(&record, rig_shown.rows[0].bytes, sizeof(record));
	ck_assert_int_eq(store_word_get(&record.words[1], &value), 0);
	ck_assert_uint_eq(value, 77);
	ck_assert_int_eq(
		store_word_get(
			&store_live(s, rig_shown.rows[0].record)[2], &value),
		0);
	ck_assert_uint_eq(value, 3);
	store_close(&s);
	(void)close(fd);
}
END_TEST

/* ------------------------------------------------------- other sizes, keeper
 */

START_TEST(test_found_names)
{
	static const struct {
		const char *name;
		bool taken, wanted;
	} rows[] = {
		{"calls@128x64", true, true},
		{"calls@128x63", true, false},
		{"calls@", true, false},
		{"calls", false, false},
		{"callsx@128x64", false, false},
		{"call@128x64", false, false},
		{"", false, false},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_found found = STORE_FOUND_NONE;
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		ck_assert_int_eq(
			store_found_take(&found, &rig_config, rows[i].name, fd),
			rows[i].taken);
		ck_assert_int_eq(found.fd >= 0, rows[i].wanted);
		ck_assert_int_eq(
			found.other_fd >= 0, rows[i].taken && !rows[i].wanted);
		(void)close(fd);
	}
}
END_TEST

static void on_up(void *ctx)
{
	(void)ctx;
}

/* What keeper was sent next. */
static const char *keeper_reads(int fd, char *text, int *got)
{
	int fds[NOTIFY_FDS_MAX];
	size_t n_fds;

	*got = -1;
	if (notify_recv_fds(fd, text, fds, &n_fds) <= 0)
		return "";
	if (n_fds)
		*got = fds[0];
	return text;
}

/* A program with larger sizes takes the records over, deposits the new file
 * before the old one is forgotten, and prefers it where both come back. */
START_TEST(test_new_sizes)
{
	static const struct notify_events events = {.on_up = on_up};
	struct store_config larger = rig_config;
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = rig_make_before();
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char text[NOTIFY_TEXT_MAX + 1], dir[] = "/tmp/gh-sto-XXXXXX";
	int old_fd = dup(store_fd(s)), new_fd, listen_fd, keeper_fd, got;
	struct notify *keeper;
	struct loop *loop;

	larger.slot_size = 512;
	ck_assert(store_found_take(
		&found, &larger, store_fd_name(s), dup(old_fd)));
	store_close(&s);
	ck_assert_int_ge(found.other_fd, 0);
	memset(&rig_shown, 0, sizeof(rig_shown));
	ck_assert_int_eq(
		store_open(&larger, &found, rig_on_record, &rig_shown, &s), 0);
	ck_assert(rig_is_before());
	ck_assert_uint_eq(store_slots_free(s), N_SLOTS - 2);
	(void)rig_put(s, rig_shown.rows[0].record, 1, 900, 0, 6);

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/keeper.sock", dir);
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(
		bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listen_fd, 1), 0);
	ck_assert_int_eq(fake_loop_new(&loop), 0);
	ck_assert_int_eq(notify_new(loop, sa.sun_path, PROCESS_SBC, &events,
				 NULL, &keeper),
		0);
	ck_assert_int_eq(store_deposit(s, keeper), ERR_AWAY);
	fake_loop_pass(loop, 100000);
	keeper_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(keeper_fd, 0);
	ck_assert_int_eq(store_deposit(s, keeper), 0);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got), "NAME=sbc\n");
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &new_fd),
		"FDSTORE=1\nFDNAME=calls@512x64\n");
	ck_assert_int_ge(new_fd, 0);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got),
		"FDSTOREREMOVE=1\nFDNAME=calls@128x64\n");
	ck_assert_int_eq(store_deposit(s, keeper), 0);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got),
		"FDSTORE=1\nFDNAME=calls@512x64\n");
	(void)close(got);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got), "");
	/* Killed before keeper forgot the old one: both come back. */
	store_close(&s);
	ck_assert(store_found_take(&found, &larger, "calls@128x64", old_fd));
	ck_assert(store_found_take(&found, &larger, "calls@512x64", new_fd));
	memset(&rig_shown, 0, sizeof(rig_shown));
	ck_assert_int_eq(
		store_open(&larger, &found, rig_on_record, &rig_shown, &s), 0);
	ck_assert_uint_eq(rig_shown.n, 2);
	ck_assert(rig_is_filled(0, 900, 6));
	ck_assert_int_eq(store_deposit(s, keeper), 0);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got),
		"FDSTORE=1\nFDNAME=calls@512x64\n");
	(void)close(got);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got),
		"FDSTOREREMOVE=1\nFDNAME=calls@128x64\n");
	store_end(&s, keeper);
	ck_assert_str_eq(keeper_reads(keeper_fd, text, &got),
		"FDSTOREREMOVE=1\nFDNAME=calls@512x64\n");
	notify_free(&keeper);
	loop_free(&loop);
	(void)close(keeper_fd);
	(void)close(listen_fd);
	(void)unlink(sa.sun_path);
	(void)rmdir(dir);
}
END_TEST

/* Smaller sizes that do not hold everything: what fits is kept, the rest is
 * dropped with its reason. */
START_TEST(test_smaller)
{
	uint64_t before = reason_counted(REASON_STORE_RECORD);
	struct store_config smaller = rig_config;
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = rig_make_before();

	smaller.n_slots = 4;
	(void)rig_put(s, NULL, 3, 10, 0, 3);
	ck_assert(store_found_take(
		&found, &smaller, store_fd_name(s), dup(store_fd(s))));
	store_close(&s);
	memset(&rig_shown, 0, sizeof(rig_shown));
	ck_assert_int_eq(
		store_open(&smaller, &found, rig_on_record, &rig_shown, &s), 0);
	ck_assert_uint_eq(rig_shown.n, 1);
	ck_assert(rig_is_filled(0, 200, 1));
	ck_assert_uint_eq(reason_counted(REASON_STORE_RECORD), before + 2);
	store_close(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store");

	suite_add(s, "lengths", test_lengths);
	suite_add(s, "replace", test_replace);
	suite_add(s, "layout_before", test_layout_before);
	suite_add(s, "full", test_full);
	suite_add(s, "sizes", test_sizes);
	suite_add(s, "wipe", test_wipe);
	suite_add(s, "file", test_file);
	suite_add(s, "refused_record", test_refused_record);
	suite_add(s, "words", test_words);
	suite_add(s, "live", test_live);
	suite_add(s, "found_names", test_found_names);
	suite_add(s, "new_sizes", test_new_sizes);
	suite_add(s, "smaller", test_smaller);
	return suite_run(s);
}
