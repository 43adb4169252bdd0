/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live state that the process before left behind, with bytes of it changed: the
 * input says where and how (two bytes of place, one of change). Whatever is
 * found has the bounds of a record; the store works from there on, and the next
 * process finds just what this one left.
 */
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/store.h"
#include "tests/fuzz/fuzz.h"

enum { SLOT = 128, N_SLOTS = 12, RECORDS_MAX = N_SLOTS };

static const struct store_config config = {"fuzz", PROCESS_SBC, SLOT, N_SLOTS};

struct found {
	struct store_record *record[RECORDS_MAX];
	size_t n;
	uint32_t sum; /* of all that was shown */
};

static void no_line(const char *line, size_t len, void *arg)
{
	(void)line;
	(void)len;
	(void)arg;
}

static int on_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	struct found *f = ctx;
	const uint8_t *at = bytes;

	FUZZ_CHECK(f->n < RECORDS_MAX && len <= (size_t)SLOT * N_SLOTS);
	f->sum = f->sum * 31 + type + version * 7;
	for (size_t i = 0; i < len; i++)
		f->sum = f->sum * 31 + at[i];
	if (type == 99)
		return ERR_VERSION;
	f->record[f->n++] = record;
	return 0;
}

static struct store *open_at(int fd, struct found *f)
{
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = NULL;

	memset(f, 0, sizeof(*f));
	if (fd >= 0) {
		found.fd = dup(fd);
		FUZZ_CHECK(found.fd >= 0);
	}
	FUZZ_CHECK(store_open(&config, fd >= 0 ? &found : NULL, on_record, f,
			   &s) == 0);
	FUZZ_CHECK(store_count(s) == f->n);
	return s;
}

/* State with a short record, one in a chain, and one with live bytes. */
static int make_state(void)
{
	struct store_record *record;
	uint8_t bytes[300];
	struct found f;
	struct store *s = open_at(-1, &f);
	int fd;

	memset(bytes, 7, sizeof(bytes));
	record = NULL;
	FUZZ_CHECK(store_put(s, &record, 1, 1, bytes, 20, 0) == 0);
	record = NULL;
	FUZZ_CHECK(store_put(s, &record, 2, 1, bytes, 300, 0) == 0);
	record = NULL;
	FUZZ_CHECK(store_put(s, &record, 3, 2, bytes, 48, 16) == 0);
	fd = dup(store_fd(s));
	FUZZ_CHECK(fd >= 0);
	store_close(&s);
	return fd;
}

static void change(int fd, const uint8_t *bytes, size_t len)
{
	off_t size = lseek(fd, 0, SEEK_END);

	for (size_t i = 0; i + 2 < len; i += 3) {
		off_t at = (bytes[i] << 8 | bytes[i + 1]) % size;
		uint8_t byte;

		FUZZ_CHECK(pread(fd, &byte, 1, at) == 1);
		byte ^= bytes[i + 2];
		FUZZ_CHECK(pwrite(fd, &byte, 1, at) == 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct store_record *record = NULL;
	struct found f, again;
	struct store *s;
	int fd, next;

	log_open("fuzz", LOG_LEVEL_ERR);
	log_set_sink(no_line, NULL);
	fd = make_state();
	change(fd, bytes, len);
	s = open_at(fd, &f);
	if (store_put(s, &record, 5, 1, "new", 3, 0) == 0)
		store_remove(s, &record);
	for (size_t i = 0; i < f.n; i += 2)
		store_remove(s, &f.record[i]);
	FUZZ_CHECK(store_count(s) == f.n / 2);
	next = dup(store_fd(s)); /* another file where that one was no good */
	FUZZ_CHECK(next >= 0);
	store_close(&s);
	s = open_at(next, &again);
	FUZZ_CHECK(again.n == f.n / 2);
	for (size_t i = 0; i < again.n; i++)
		store_remove(s, &again.record[i]);
	FUZZ_CHECK(store_slots_free(s) == N_SLOTS);
	store_close(&s);
	close(next);
	close(fd);
	return 0;
}
