/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live-state store: whatever happens to its writer or to its bytes, each
 * record is found as it was before or after its last change, or not at all.
 *
 * A killed writer is a forked child that ends at its n-th store to the map, for
 * every n there is; damage is every single bit of a small file, one at a time.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"
#include "common/store.h"
#include "common/store_map.h"
#include "tests/unit/store_rig.h"
#include "tests/unit/suite.h"

/* ------------------------------------------------------------ killed writers
 */

static long steps_left;

static void count_down(void)
{
	if (steps_left-- == 0)
		_exit(77);
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
	struct store_record *a = rig_shown.rows[0].record;
	struct store_record *b = rig_shown.rows[1].record;

	switch (what) {
	case ADD_SMALL:
		(void)rig_put(s, NULL, 3, 20, 0, 3);
		break;
	case ADD_CHAIN:
		(void)rig_put(s, NULL, 3, 500, 0, 3);
		break;
	case GROW:
		(void)rig_put(s, a, 1, 700, 0, 4);
		break;
	case SHRINK:
		(void)rig_put(s, a, 1, 5, 0, 4);
		break;
	case SAME_SIZE:
		(void)rig_put(s, a, 1, 200, 0, 4);
		break;
	case REPLACE_LIVE:
		(void)rig_put(s, b, 2, 30, 8, 4);
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

static bool is_after(enum change what)
{
	switch (what) {
	case ADD_SMALL:
		return rig_shown.n == 3 && rig_is_filled(0, 200, 1) &&
		       rig_is_filled(1, 30, 2) && rig_is_filled(2, 20, 3);
	case ADD_CHAIN:
		return rig_shown.n == 3 && rig_is_filled(0, 200, 1) &&
		       rig_is_filled(1, 30, 2) && rig_is_filled(2, 500, 3);
	case GROW:
		return rig_shown.n == 2 && rig_is_filled(0, 700, 4) &&
		       rig_is_filled(1, 30, 2);
	case SHRINK:
		return rig_shown.n == 2 && rig_is_filled(0, 5, 4) &&
		       rig_is_filled(1, 30, 2);
	case SAME_SIZE:
		return rig_shown.n == 2 && rig_is_filled(0, 200, 4) &&
		       rig_is_filled(1, 30, 2);
	case REPLACE_LIVE:
		return rig_shown.n == 2 && rig_is_filled(0, 200, 1) &&
		       rig_is_filled(1, 30, 4);
	case REMOVE_CHAIN:
		return rig_shown.n == 1 && rig_is_filled(0, 30, 2);
	case REMOVE_SMALL:
		return rig_shown.n == 1 && rig_is_filled(0, 200, 1);
	case END:
		/* What ends may be found in part: its owner wanted it gone.
		 * What is found is whole. */
		return rig_shown.n == 0 ||
		       (rig_shown.n == 1 && (rig_is_filled(0, 200, 1) ||
						    rig_is_filled(0, 30, 2)));
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
		rig_is_child = true;
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
	struct store *s = rig_open_again(&rig_config, fd);

	steps_left = n;
	store_set_step(count_down);
	make_change(s, what);
}

static void child_attaches(int fd, enum change what)
{
	(void)what;
	store_set_step(count_down);
	(void)rig_open_again(&rig_config, fd);
}

/* All slots are either free and empty or a record's. */
static void check_slots(struct store *s)
{
	size_t i, used = 0, left;

	for (i = 0; i < rig_shown.n; i++) {
		left = rig_shown.rows[i].type == 2 ? rig_shown.rows[i].len - 8
						   : rig_shown.rows[i].len;
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
			struct store *s = rig_make_before();
			int fd = dup(store_fd(s));
			bool killed;

			store_close(&s);
			killed = killed_at(n, child_changes, fd, what);
			s = rig_open_again(&rig_config, fd);
			ck_assert_msg(rig_is_before() || is_after(what),
				"change %d step %ld: %zu records", (int)what, n,
				rig_shown.n);
			if (rig_is_before()) {
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
				struct store *s = rig_make_before();
				int fd = dup(store_fd(s));
				bool killed;

				store_close(&s);
				(void)killed_at(
					n, child_changes, fd, changes[i]);
				killed = killed_at(
					m, child_attaches, fd, changes[i]);
				s = rig_open_again(&rig_config, fd);
				ck_assert(rig_is_before() ||
					  is_after(changes[i]));
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
		struct store *s = rig_make_before();
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

			rig_is_child = true;
			s = rig_open_again(&rig_config, fd);
			a = rig_shown.rows[0].record;
			for (n = 0;; n++) {
				(void)rig_put(s, a, 1, n % 900, 0, n % 900);
				if (b)
					store_remove(s, &b);
				else
					b = rig_put(s, NULL, 3, n % 700, 0,
						n % 700);
				if (n < 50 && write(progress[1], "x", 1) != 1)
					_exit(1);
			}
		}
		for (i = 0; i < 1 + round; i++)
			ck_assert_int_eq(read(progress[0], &byte, 1), 1);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		s = rig_open_again(&rig_config, fd);
		ck_assert_uint_ge(rig_shown.n, 2);
		ck_assert_uint_le(rig_shown.n, 3);
		for (i = 0; i < rig_shown.n; i++) {
			unsigned seed =
				rig_shown.rows[i].type == 2
					? 2
					: (unsigned)rig_shown.rows[i].len;

			ck_assert(
				rig_is_filled(i, rig_shown.rows[i].len, seed));
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
	struct store *s = rig_make_before();

	ck_assert_int_eq(pread(store_fd(s), bytes, FILE_SIZE, 0), FILE_SIZE);
	store_close(&s);
}

/* Opens a damaged file. @return how many of its two records were found; they
 * are whole, and nothing else is found. */
static size_t open_damaged(const uint8_t *bytes)
{
	int fd = make_file(bytes, FILE_SIZE, true);
	struct store *s = rig_open_again(&rig_config, fd);
	size_t i, n = rig_shown.n;
	struct store_record *r;

	for (i = 0; i < n; i++) {
		ck_assert(rig_shown.rows[i].type == 1 ||
			  rig_shown.rows[i].type == 2);
		ck_assert_uint_eq(rig_shown.rows[i].version, 3);
		if (rig_shown.rows[i].type == 1)
			ck_assert(rig_is_filled(i, 200, 1));
	}
	ck_assert_uint_le(n, 2);
	/* It can be worked with. */
	r = rig_put(s, NULL, 5, 400, 0, 5);
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
	struct store *s = rig_open_new(&rig_config);
	struct store_record *r = rig_put(s, NULL, 1, 300, 0, 1);
	unsigned slot, n_copied = 0;
	int fd;

	ck_assert_int_eq(pread(store_fd(s), old, FILE_SIZE, 0), FILE_SIZE);
	(void)rig_put(s, r, 1, 310, 0, 2);
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
	s = rig_open_again(&rig_config, fd);
	ck_assert_uint_eq(rig_shown.n, 1);
	ck_assert(rig_is_filled(0, 310, 2));
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
	struct store *s = rig_open_again(&rig_config, fd);

	ck_assert_uint_eq(rig_shown.n, 0);
	ck_assert_uint_eq(reason_counted(REASON_STORE_REFUSED), before + 1);
	(void)rig_put(s, NULL, 1, 10, 0, 1);
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
	memset(&rig_shown, 0, sizeof(rig_shown));
	ck_assert_int_eq(
		store_open(&rig_config, &found, rig_on_record, &rig_shown, &s),
		0);
	store_close(&s);
	(void)close(pair[1]);
	/* The file, undamaged, is not refused. */
	h->n_slots = N_SLOTS;
	h->checksum = map_header_checksum(h);
	ck_assert_uint_eq(open_damaged(bytes), 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_damage");

	suite_add(s, "kill_each_step", test_kill_each_step);
	suite_add(s, "kill_attach", test_kill_attach);
	suite_add(s, "kill_busy", test_kill_busy);
	suite_add(s, "every_bit", test_every_bit);
	suite_add(s, "both_versions", test_both_versions);
	suite_add(s, "wild", test_wild);
	suite_add(s, "refused", test_refused);
	return suite_run(s);
}
