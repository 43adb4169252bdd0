/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live-state store: whatever happens to its writer or to its bytes, each
 * record is found as it was before or after its last change, or not at all.
 *
 * A killed writer is a forked child that ends at its n-th store to the map, for
 * every n there is; damage is every single bit of a small file, one at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"
#include "common/stat.h"
#include "common/store.h"
#include "common/store_map.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/suite.h"

#define SLOT    128u
#define N_SLOTS 64u
#define MANY    16

static const struct store_config config = {.name = "calls",
	.owner = PROCESS_SBC,
	.slot_size = SLOT,
	.n_slots = N_SLOTS};

/* For helpers that children use, too: a child must not write to Check's own
 * file, least of all while it is killed. */
static bool is_child;

#define MUST(what)                                                             \
	do {                                                                   \
		if (!(what)) {                                                 \
			if (is_child)                                          \
				_exit(1);                                      \
			ck_abort_msg("%s", #what);                             \
		}                                                              \
	} while (0)

/* What the callback was shown. */
struct shown {
	struct {
		struct store_record *record;
		uint32_t type, version;
		size_t len;
		uint8_t bytes[4096];
	} rows[MANY];
	size_t n;
	uint32_t refuse_type;
};

static struct shown shown;

static int on_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	struct shown *s = ctx;

	if (type == s->refuse_type)
		return ERR_VERSION;
	MUST(s->n < MANY);
	MUST(len <= sizeof(s->rows[0].bytes));
	s->rows[s->n].record = record;
	s->rows[s->n].type = type;
	s->rows[s->n].version = version;
	s->rows[s->n].len = len;
	memcpy(s->rows[s->n].bytes, bytes, len);
	s->n++;
	return 0;
}

static struct store *open_new(const struct store_config *c)
{
	struct store *s = NULL;

	log_open("test", LOG_LEVEL_ERR);
	memset(&shown, 0, sizeof(shown));
	ck_assert_int_eq(store_open(c, NULL, on_record, &shown, &s), 0);
	ck_assert_uint_eq(shown.n, 0);
	return s;
}

/* Opens what stands in fd, which stays the caller's. */
static struct store *open_again(const struct store_config *c, int fd)
{
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = NULL;

	memset(&shown, 0, sizeof(shown));
	found.fd = dup(fd);
	MUST(found.fd >= 0);
	MUST(store_open(c, &found, on_record, &shown, &s) == 0);
	MUST(found.fd == -1);
	return s;
}

static void fill(uint8_t *bytes, size_t len, unsigned seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 8) + 1);
}

static struct store_record *put(struct store *s, struct store_record *r,
	uint32_t type, size_t len, size_t n_live, unsigned seed)
{
	uint8_t bytes[4096];

	fill(bytes, len, seed);
	MUST(store_put(s, &r, type, 3, bytes, len, n_live) == 0);
	MUST(r != NULL);
	return r;
}

static bool is_filled(size_t row, size_t len, unsigned seed)
{
	uint8_t bytes[4096];

	fill(bytes, len, seed);
	return shown.rows[row].len == len &&
	       !memcmp(shown.rows[row].bytes, bytes, len);
}

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
			struct store *s = open_new(&config);
			int fd = dup(store_fd(s));

			if (lives[j] > lens[i]) {
				store_close(&s);
				(void)close(fd);
				continue;
			}
			(void)put(s, NULL, 9, lens[i], lives[j], 5);
			ck_assert_uint_eq(store_count(s), 1);
			store_close(&s);
			ck_assert_ptr_null(s);
			s = open_again(&config, fd);
			ck_assert_uint_eq(shown.n, 1);
			ck_assert_uint_eq(shown.rows[0].type, 9);
			ck_assert_uint_eq(shown.rows[0].version, 3);
			ck_assert(is_filled(0, lens[i], 5));
			store_remove(s, &shown.rows[0].record);
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
	struct store *s = open_new(&config);
	struct map_header *h = map_header(s);
	int fd = dup(store_fd(s));

	s->layout = h->layout = STORE_LAYOUT_OLD;
	h->checksum = map_header_checksum(h);
	(void)put(s, NULL, 1, 300, 0, 1);
	(void)put(s, NULL, 2, 40, 8, 2);
	store_close(&s);
	for (size_t n = 2; n < 5; n++) {
		s = open_again(&config, fd);
		ck_assert_uint_eq(map_header(s)->layout, STORE_LAYOUT_OLD);
		ck_assert_uint_eq(store_count(s), n);
		ck_assert_uint_eq(shown.n, n);
		ck_assert(is_filled(0, 300, 1));
		ck_assert(is_filled(1, 40, 2));
		(void)put(s, NULL, 3, 100, 0, 3);
		store_close(&s);
	}
	(void)close(fd);
}
END_TEST

START_TEST(test_replace)
{
	struct store *s = open_new(&config);
	struct store_record *a, *b, *c;
	int fd = dup(store_fd(s));
	unsigned i;

	a = put(s, NULL, 1, 300, 0, 1);
	b = put(s, NULL, 2, 40, 0, 2);
	c = put(s, NULL, 3, 10, 0, 3);
	for (i = 0; i < 1000; i++) {
		ck_assert_ptr_eq(put(s, a, 1, 100 + i % 500, 0, i), a);
		ck_assert_ptr_eq(put(s, b, 2, i % 200, 0, i), b);
	}
	store_remove(s, &c);
	ck_assert_ptr_null(c);
	store_remove(s, &c);
	ck_assert_uint_eq(store_count(s), 2);
	store_close(&s);
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 2);
	ck_assert_uint_eq(shown.rows[0].type, 1);
	ck_assert(is_filled(0, 100 + 999 % 500, 999));
	ck_assert(is_filled(1, 999 % 200, 999));
	/* Handles that came from the file serve as others do. */
	(void)put(s, shown.rows[0].record, 1, 7, 0, 7);
	(void)put(s, NULL, 4, 8, 0, 8);
	store_close(&s);
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 3);
	ck_assert(is_filled(0, 7, 7));
	ck_assert_uint_eq(shown.rows[2].type, 4);
	store_close(&s);
	(void)close(fd);
}
END_TEST

START_TEST(test_full)
{
	struct store *s = open_new(&config);
	struct store_record *r[N_SLOTS], *extra = NULL;
	static uint8_t big[STORE_RECORD_MAX + 1];
	int fd = dup(store_fd(s));
	unsigned i;

	for (i = 0; i < N_SLOTS; i++)
		r[i] = put(s, NULL, 1, 64, 0, i);
	ck_assert_uint_eq(store_slots_free(s), 0);
	ck_assert_int_eq(store_put(s, &extra, 1, 1, big, 1, 0), ERR_FULL);
	ck_assert_ptr_null(extra);
	/* A replacement needs room beside the old one, which stands. */
	ck_assert_int_eq(store_put(s, &r[3], 1, 1, big, 1, 0), ERR_FULL);
	for (i = 4; i < N_SLOTS; i++)
		store_remove(s, &r[i]);
	ck_assert_int_eq(store_put(s, &r[3], 1, 1, big, 64 * 61, 0), ERR_FULL);
	store_close(&s);
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 4);
	ck_assert(is_filled(3, 64, 3));
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
	struct store_config c = config;
	struct store *s = NULL;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c.slot_size = rows[i].slot_size;
		c.n_slots = rows[i].n_slots;
		ck_assert_int_eq(store_open(&c, NULL, on_record, &shown, &s),
			ERR_INVALID);
	}
	c.slot_size = 65536;
	c.n_slots = 3;
	s = open_new(&c);
	(void)put(s, NULL, 1, 4000, 0, 1);
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
	struct store *s = open_new(&config);
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
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 0);
	ck_assert_uint_eq(store_slots_free(s), N_SLOTS);
	(void)put(s, NULL, 1, 10, 0, 1);
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
	struct store *s = open_new(&c);
	struct stat st;

	ck_assert_int_lt(ftruncate(store_fd(s), 4096), 0);
	ck_assert_int_lt(ftruncate(store_fd(s), 1 << 30), 0);
	ck_assert_int_eq(fstat(store_fd(s), &st), 0);
	ck_assert_int_eq(st.st_size, 4096 + 102400000);
	ck_assert_int_le(st.st_blocks * 512, 16384);
	(void)put(s, NULL, 1, 10, 0, 1);
	ck_assert_int_eq(fstat(store_fd(s), &st), 0);
	ck_assert_int_le(st.st_blocks * 512, 16384 + 2 * 65536);
	store_close(&s);
}
END_TEST

START_TEST(test_refused_record)
{
	uint64_t before = reason_counted(REASON_STORE_RECORD);
	struct store *s = open_new(&config);
	struct store_found found = STORE_FOUND_NONE;
	int fd = dup(store_fd(s));

	(void)put(s, NULL, 1, 300, 0, 1);
	(void)put(s, NULL, 2, 300, 0, 2);
	store_close(&s);
	memset(&shown, 0, sizeof(shown));
	shown.refuse_type = 1;
	found.fd = dup(fd);
	ck_assert_int_eq(store_open(&config, &found, on_record, &shown, &s), 0);
	ck_assert_uint_eq(shown.n, 1);
	ck_assert_uint_eq(store_count(s), 1);
	ck_assert_uint_eq(reason_counted(REASON_STORE_RECORD), before + 1);
	store_close(&s);
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 1);
	ck_assert_uint_eq(shown.rows[0].type, 2);
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
	struct store *s = open_new(&config);
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
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 1);
	ck_assert_uint_eq(shown.rows[0].len, sizeof(record));
	memcpy(&record, shown.rows[0].bytes, sizeof(record));
	ck_assert_int_eq(store_word_get(&record.words[1], &value), 0);
	ck_assert_uint_eq(value, 77);
	ck_assert_int_eq(
		store_word_get(&store_live(s, shown.rows[0].record)[2], &value),
		0);
	ck_assert_uint_eq(value, 3);
	store_close(&s);
	(void)close(fd);
}
END_TEST

/* ------------------------------------------------------------ killed writers
 */

static long steps_left;

static void count_down(void)
{
	if (steps_left-- == 0)
		_exit(77);
}

/* The state before: two records, one in a chain, with a gap in the slots. */
static struct store *make_before(void)
{
	struct store *s = open_new(&config);
	struct store_record *gap;

	(void)put(s, NULL, 1, 200, 0, 1);
	gap = put(s, NULL, 9, 100, 0, 9);
	(void)put(s, NULL, 2, 30, 8, 2);
	store_remove(s, &gap);
	return s;
}

enum change {
	ADD_SMALL,
	ADD_CHAIN,
	GROW,
	SHRINK,
	SAME_SIZE,
	REPLACE_LIVE,
	REMOVE_CHAIN,
	REMOVE_SMALL,
	END,
	CHANGES,
};

static void make_change(struct store *s, enum change what)
{
	struct store_record *a = shown.rows[0].record;
	struct store_record *b = shown.rows[1].record;

	switch (what) {
	case ADD_SMALL:
		(void)put(s, NULL, 3, 20, 0, 3);
		break;
	case ADD_CHAIN:
		(void)put(s, NULL, 3, 500, 0, 3);
		break;
	case GROW:
		(void)put(s, a, 1, 700, 0, 4);
		break;
	case SHRINK:
		(void)put(s, a, 1, 5, 0, 4);
		break;
	case SAME_SIZE:
		(void)put(s, a, 1, 200, 0, 4);
		break;
	case REPLACE_LIVE:
		(void)put(s, b, 2, 30, 8, 4);
		break;
	case REMOVE_CHAIN:
		store_remove(s, &a);
		break;
	case REMOVE_SMALL:
		store_remove(s, &b);
		break;
	case END:
		store_end(&s, NULL);
		break;
	case CHANGES:
		break;
	}
}

static bool is_before(void)
{
	return shown.n == 2 && shown.rows[0].type == 1 &&
	       is_filled(0, 200, 1) && shown.rows[1].type == 2 &&
	       is_filled(1, 30, 2);
}

static bool is_after(enum change what)
{
	switch (what) {
	case ADD_SMALL:
		return shown.n == 3 && is_filled(0, 200, 1) &&
		       is_filled(1, 30, 2) && is_filled(2, 20, 3);
	case ADD_CHAIN:
		return shown.n == 3 && is_filled(0, 200, 1) &&
		       is_filled(1, 30, 2) && is_filled(2, 500, 3);
	case GROW:
		return shown.n == 2 && is_filled(0, 700, 4) &&
		       is_filled(1, 30, 2);
	case SHRINK:
		return shown.n == 2 && is_filled(0, 5, 4) &&
		       is_filled(1, 30, 2);
	case SAME_SIZE:
		return shown.n == 2 && is_filled(0, 200, 4) &&
		       is_filled(1, 30, 2);
	case REPLACE_LIVE:
		return shown.n == 2 && is_filled(0, 200, 1) &&
		       is_filled(1, 30, 4);
	case REMOVE_CHAIN:
		return shown.n == 1 && is_filled(0, 30, 2);
	case REMOVE_SMALL:
		return shown.n == 1 && is_filled(0, 200, 1);
	case END:
		/* What ends may be found in part: its owner wanted it gone.
		 * What is found is whole. */
		return shown.n == 0 ||
		       (shown.n == 1 &&
			       (is_filled(0, 200, 1) || is_filled(0, 30, 2)));
	case CHANGES:
		break;
	}
	return false;
}

/* Runs fn in a child that ends at its n-th store. @return whether it did. */
static bool killed_at(
	long n, void (*fn)(int fd, enum change what), int fd, enum change what)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		is_child = true;
		steps_left = n;
		fn(fd, what);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert(WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0);
	return WEXITSTATUS(status) == 77;
}

static void child_changes(int fd, enum change what)
{
	long n = steps_left;
	struct store *s = open_again(&config, fd);

	steps_left = n;
	store_set_step(count_down);
	make_change(s, what);
}

static void child_attaches(int fd, enum change what)
{
	(void)what;
	store_set_step(count_down);
	(void)open_again(&config, fd);
}

/* All slots are either free and empty or a record's. */
static void check_slots(struct store *s)
{
	size_t i, used = 0, left;

	for (i = 0; i < shown.n; i++) {
		left = shown.rows[i].type == 2 ? shown.rows[i].len - 8
					       : shown.rows[i].len;
		used += left <= 64 ? 1 : (left + 63) / 64;
	}
	ck_assert_uint_eq(store_slots_free(s), N_SLOTS - used);
}

START_TEST(test_kill_each_step)
{
	enum change what;
	unsigned n_before, n_after;
	long n;

	for (what = 0; what < CHANGES; what++) {
		n_before = n_after = 0;
		for (n = 0;; n++) {
			struct store *s = make_before();
			int fd = dup(store_fd(s));
			bool killed;

			store_close(&s);
			killed = killed_at(n, child_changes, fd, what);
			s = open_again(&config, fd);
			ck_assert_msg(is_before() || is_after(what),
				"change %d step %ld: %zu records", (int)what, n,
				shown.n);
			if (is_before()) {
				/* Once done, never undone. */
				ck_assert_uint_eq(n_after, 0);
				n_before++;
			} else {
				n_after++;
			}
			ck_assert_uint_eq(
				reason_counted(REASON_STORE_RECORD), 0);
			check_slots(s);
			store_close(&s);
			(void)close(fd);
			if (!killed)
				break;
		}
		ck_assert_uint_gt(n_before, 0);
		ck_assert_uint_gt(n_after, 0);
	}
}
END_TEST

/* The next process is killed as well, at each store of its attaching. */
START_TEST(test_kill_attach)
{
	static const enum change changes[] = {GROW, REMOVE_CHAIN};
	size_t i;
	long n, m;

	for (i = 0; i < 2; i++) {
		for (n = 2; n < 40; n += 18) {
			for (m = 0;; m++) {
				struct store *s = make_before();
				int fd = dup(store_fd(s));
				bool killed;

				store_close(&s);
				(void)killed_at(
					n, child_changes, fd, changes[i]);
				killed = killed_at(
					m, child_attaches, fd, changes[i]);
				s = open_again(&config, fd);
				ck_assert(is_before() || is_after(changes[i]));
				check_slots(s);
				store_close(&s);
				(void)close(fd);
				if (!killed)
					break;
			}
		}
	}
	ck_assert_uint_eq(reason_counted(REASON_STORE_RECORD), 0);
}
END_TEST

/* A real SIGKILL in the middle of a busy writer. */
START_TEST(test_kill_busy)
{
	unsigned round;

	for (round = 0; round < 40; round++) {
		struct store *s = make_before();
		int fd = dup(store_fd(s)), progress[2], status;
		uint8_t byte;
		pid_t pid;
		size_t i;

		store_close(&s);
		ck_assert_int_eq(pipe2(progress, O_CLOEXEC), 0);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (!pid) {
			struct store_record *a, *b = NULL;
			unsigned n;

			is_child = true;
			s = open_again(&config, fd);
			a = shown.rows[0].record;
			for (n = 0;; n++) {
				(void)put(s, a, 1, n % 900, 0, n % 900);
				if (b)
					store_remove(s, &b);
				else
					b = put(s, NULL, 3, n % 700, 0,
						n % 700);
				if (n < 50 && write(progress[1], "x", 1) != 1)
					_exit(1);
			}
		}
		for (i = 0; i < 1 + round; i++)
			ck_assert_int_eq(read(progress[0], &byte, 1), 1);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		s = open_again(&config, fd);
		ck_assert_uint_ge(shown.n, 2);
		ck_assert_uint_le(shown.n, 3);
		for (i = 0; i < shown.n; i++) {
			unsigned seed = shown.rows[i].type == 2
						? 2
						: (unsigned)shown.rows[i].len;

			ck_assert(is_filled(i, shown.rows[i].len, seed));
		}
		check_slots(s);
		store_close(&s);
		(void)close(fd);
		(void)close(progress[0]);
		(void)close(progress[1]);
	}
	ck_assert_uint_eq(reason_counted(REASON_STORE_RECORD), 0);
}
END_TEST

/* -------------------------------------------------------------------- damage
 */

#define FILE_SIZE (MAP_HEADER_SIZE + SLOT * N_SLOTS)

/* A sealed file with these bytes. */
static int make_file(const uint8_t *bytes, size_t len, bool seal)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	if (seal)
		ck_assert_int_eq(
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static void read_before(uint8_t bytes[FILE_SIZE])
{
	struct store *s = make_before();

	ck_assert_int_eq(pread(store_fd(s), bytes, FILE_SIZE, 0), FILE_SIZE);
	store_close(&s);
}

/* Opens a damaged file. @return how many of its two records were found; they
 * are whole, and nothing else is found. */
static size_t open_damaged(const uint8_t *bytes)
{
	int fd = make_file(bytes, FILE_SIZE, true);
	struct store *s = open_again(&config, fd);
	size_t i, n = shown.n;
	struct store_record *r;

	for (i = 0; i < n; i++) {
		ck_assert(shown.rows[i].type == 1 || shown.rows[i].type == 2);
		ck_assert_uint_eq(shown.rows[i].version, 3);
		if (shown.rows[i].type == 1)
			ck_assert(is_filled(i, 200, 1));
	}
	ck_assert_uint_le(n, 2);
	/* It can be worked with. */
	r = put(s, NULL, 5, 400, 0, 5);
	store_remove(s, &r);
	store_close(&s);
	(void)close(fd);
	return n;
}

START_TEST(test_every_bit)
{
	static uint8_t bytes[FILE_SIZE];
	/* Seven slots were used, the rest is empty. */
	const size_t end = MAP_HEADER_SIZE + 7 * SLOT;
	size_t i, n_lost = 0, n_all = 0, n_none = 0;
	unsigned bit;

	read_before(bytes);
	log_set_level(LOG_LEVEL_ERR);
	log_open("test", LOG_LEVEL_ERR);
	ck_assert_int_eq(freopen("/dev/null", "w", stderr) == NULL, false);
	for (i = 0; i < end; i++) {
		if (i == sizeof(struct map_header))
			i = MAP_HEADER_SIZE;
		for (bit = 0; bit < 8; bit++) {
			size_t n;

			bytes[i] ^= (uint8_t)(1u << bit);
			n = open_damaged(bytes);
			bytes[i] ^= (uint8_t)(1u << bit);
			if (i >= MAP_HEADER_SIZE)
				ck_assert_uint_ge(n, 1);
			/* A wrong mark of what was touched costs a search. */
			if (i >= offsetof(struct map_header, touched) &&
				i < sizeof(struct map_header))
				ck_assert_uint_eq(n, 2);
			n_all += n == 2;
			n_lost += n == 1;
			n_none += n == 0;
		}
	}
	/* The header's 32 bytes without the mark. */
	ck_assert_uint_eq(n_none, 32 * 8);
	ck_assert_uint_gt(n_lost, 200 * 8);
	ck_assert_uint_gt(n_all, 1000);
	ck_assert_uint_gt(reason_counted(REASON_STORE_RECORD), n_lost - 1);
	ck_assert_uint_eq(reason_counted(REASON_STORE_REFUSED), n_none);
}
END_TEST

/* Killed between the new version's commit and the old one's end: both stand,
 * the newer one counts, and nothing is reported as damage. */
START_TEST(test_both_versions)
{
	static uint8_t old[FILE_SIZE], both[FILE_SIZE];
	static const uint8_t empty[SLOT];
	struct store *s = open_new(&config);
	struct store_record *r = put(s, NULL, 1, 300, 0, 1);
	unsigned slot, n_copied = 0;
	int fd;

	ck_assert_int_eq(pread(store_fd(s), old, FILE_SIZE, 0), FILE_SIZE);
	(void)put(s, r, 1, 310, 0, 2);
	ck_assert_int_eq(pread(store_fd(s), both, FILE_SIZE, 0), FILE_SIZE);
	store_close(&s);
	for (slot = 0; slot < N_SLOTS; slot++) {
		size_t at = MAP_HEADER_SIZE + slot * SLOT;

		if (memcmp(both + at, empty, SLOT) ||
			!memcmp(old + at, empty, SLOT))
			continue;
		memcpy(both + at, old + at, SLOT);
		n_copied++;
	}
	ck_assert_uint_eq(n_copied, 5);
	fd = make_file(both, FILE_SIZE, true);
	s = open_again(&config, fd);
	ck_assert_uint_eq(shown.n, 1);
	ck_assert(is_filled(0, 310, 2));
	ck_assert_uint_eq(store_slots_free(s), N_SLOTS - 5);
	ck_assert_uint_eq(reason_counted(REASON_STORE_RECORD), 0);
	store_close(&s);
	(void)close(fd);
}
END_TEST

/* Wild damage: stretches of random bytes, copied slots, swapped slots. */
START_TEST(test_wild)
{
	static uint8_t good[FILE_SIZE], bytes[FILE_SIZE];
	unsigned round;

	read_before(good);
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	for (round = 0; round < 3000; round++) {
		uint32_t r[4];
		size_t at, len;

		memcpy(bytes, good, sizeof(bytes));
		secret_random_bytes(r, sizeof(r));
		switch (round % 3) {
		case 0:
			at = MAP_HEADER_SIZE + r[0] % (8 * SLOT);
			len = 1 + r[1] % (sizeof(bytes) - at);
			secret_random_bytes(bytes + at, len);
			break;
		case 1: /* a slot where another one was */
			memcpy(bytes + MAP_HEADER_SIZE + r[0] % 8 * SLOT,
				good + MAP_HEADER_SIZE + r[1] % 8 * SLOT, SLOT);
			break;
		default: /* fields of a slot's head, aligned */
			at = MAP_HEADER_SIZE + r[0] % 8 * SLOT + r[1] % 16 * 4;
			memcpy(bytes + at, &r[2], 4);
			break;
		}
		(void)open_damaged(bytes);
	}
}
END_TEST

static void refused_as(const uint8_t *bytes, size_t len, bool seal)
{
	uint64_t before = reason_counted(REASON_STORE_REFUSED);
	int fd = make_file(bytes, len, seal);
	struct store *s = open_again(&config, fd);

	ck_assert_uint_eq(shown.n, 0);
	ck_assert_uint_eq(reason_counted(REASON_STORE_REFUSED), before + 1);
	(void)put(s, NULL, 1, 10, 0, 1);
	store_close(&s);
	(void)close(fd);
}

START_TEST(test_refused)
{
	static uint8_t bytes[FILE_SIZE + SLOT];
	struct map_header *h = (struct map_header *)(void *)bytes;
	int pair[2];
	struct store_found found = STORE_FOUND_NONE;
	struct store *s;
	size_t len;

	read_before(bytes);
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	for (len = 0; len < FILE_SIZE; len = len * 2 + 1)
		refused_as(bytes, len, true);
	refused_as(bytes, FILE_SIZE - 1, true);
	refused_as(bytes, FILE_SIZE + 1, true);
	refused_as(bytes, FILE_SIZE, false);
	/* Another process's, another layout's, with good checksums. */
	h->owner = PROCESS_AUTHD;
	h->checksum = map_header_checksum(h);
	refused_as(bytes, FILE_SIZE, true);
	h->owner = PROCESS_SBC;
	h->layout = STORE_LAYOUT_OLD - 1;
	h->checksum = map_header_checksum(h);
	refused_as(bytes, FILE_SIZE, true);
	h->layout = STORE_LAYOUT + 1;
	h->checksum = map_header_checksum(h);
	refused_as(bytes, FILE_SIZE, true);
	h->layout = STORE_LAYOUT;
	h->n_slots = N_SLOTS + 1;
	h->checksum = map_header_checksum(h);
	refused_as(bytes, FILE_SIZE, true);
	h->n_slots = 0;
	h->checksum = map_header_checksum(h);
	refused_as(bytes, FILE_SIZE, true);
	/* No file at all. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	found.fd = pair[0];
	memset(&shown, 0, sizeof(shown));
	ck_assert_int_eq(store_open(&config, &found, on_record, &shown, &s), 0);
	store_close(&s);
	(void)close(pair[1]);
	/* The file, undamaged, is not refused. */
	h->n_slots = N_SLOTS;
	h->checksum = map_header_checksum(h);
	ck_assert_uint_eq(open_damaged(bytes), 2);
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
			store_found_take(&found, &config, rows[i].name, fd),
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
	struct store_config larger = config;
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = make_before();
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
	memset(&shown, 0, sizeof(shown));
	ck_assert_int_eq(store_open(&larger, &found, on_record, &shown, &s), 0);
	ck_assert(is_before());
	ck_assert_uint_eq(store_slots_free(s), N_SLOTS - 2);
	(void)put(s, shown.rows[0].record, 1, 900, 0, 6);

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
	memset(&shown, 0, sizeof(shown));
	ck_assert_int_eq(store_open(&larger, &found, on_record, &shown, &s), 0);
	ck_assert_uint_eq(shown.n, 2);
	ck_assert(is_filled(0, 900, 6));
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
	struct store_config smaller = config;
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = make_before();

	smaller.n_slots = 4;
	(void)put(s, NULL, 3, 10, 0, 3);
	ck_assert(store_found_take(
		&found, &smaller, store_fd_name(s), dup(store_fd(s))));
	store_close(&s);
	memset(&shown, 0, sizeof(shown));
	ck_assert_int_eq(
		store_open(&smaller, &found, on_record, &shown, &s), 0);
	ck_assert_uint_eq(shown.n, 1);
	ck_assert(is_filled(0, 200, 1));
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
	suite_add(s, "kill_each_step", test_kill_each_step);
	suite_add(s, "kill_attach", test_kill_attach);
	suite_add(s, "kill_busy", test_kill_busy);
	suite_add(s, "every_bit", test_every_bit);
	suite_add(s, "both_versions", test_both_versions);
	suite_add(s, "wild", test_wild);
	suite_add(s, "refused", test_refused);
	suite_add(s, "found_names", test_found_names);
	suite_add(s, "new_sizes", test_new_sizes);
	suite_add(s, "smaller", test_smaller);
	return suite_run(s);
}
