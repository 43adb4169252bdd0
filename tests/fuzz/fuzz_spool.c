/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool folder as a kill, a bad disk or somebody else left it: the input is a
 * segment's file. Where the first byte is odd, checksums are made right, so
 * that what stands behind them is reached. Reading ends, numbers rise, and
 * opening it again gives the same.
 */
#include <string.h>

#include "authd/records.h"
#include "authd/spool.h"
#include "common/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch.h"

#define SEGMENT "0000000000000001-0000000000000001.spool"

static void no_line(const char *line, size_t len, void *arg)
{
	(void)line;
	(void)len;
	(void)arg;
}

enum { MAGIC_LEN = 8, HEAD_LEN = 24, RECORDS_MAX = 4096 };

static struct loop *loop;
static struct sync *flusher;

static void on_safe(void *ctx, uint64_t token, int err)
{
	(void)ctx;
	(void)token;
	(void)err;
}

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	crc = ~crc;
	while (len--) {
		crc ^= *bytes++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

/* Puts the right sum into every record that is whole. */
static void sum_up(uint8_t *file, size_t len)
{
	size_t at = MAGIC_LEN;

	while (at + HEAD_LEN <= len) {
		uint8_t *head = file + at;
		uint32_t n = get_u32(head + 4), crc;

		if (memcmp(head, "GHS1", 4) != 0 || n > len - at - HEAD_LEN)
			return;
		crc = crc32c(crc32c(0, head, HEAD_LEN - 4), head + HEAD_LEN, n);
		for (int i = 0; i < 4; i++)
			head[20 + i] = (uint8_t)(crc >> (24 - 8 * i));
		at += HEAD_LEN + n;
	}
}

/* What the database would get: one object for each row, or a refusal. */
static void check_json(const struct spool_record *record)
{
	struct record_rows rows;

	if (records_json(record->kind, record->bytes, record->len, "key",
		    &rows) != 0) {
		FUZZ_CHECK(rows.n == 0);
		return;
	}
	FUZZ_CHECK(rows.n > 0);
	for (size_t i = 0; i < rows.n; i++) {
		const char *json = rows.row[i].json;

		FUZZ_CHECK(json[0] == '{' && json[strlen(json) - 1] == '}');
		for (const char *c = json; *c; c++)
			FUZZ_CHECK((unsigned char)*c >= ' ');
	}
	records_json_free(&rows);
}

/* @return a sum of what is read. */
static uint32_t read_through(struct spool *s, size_t len)
{
	struct spool_record record = {.number = 0};
	uint64_t last = 0;
	uint32_t sum = 0;
	size_t n = 0;

	while (spool_read(s, last, &record) == 0) {
		FUZZ_CHECK(record.number > last);
		FUZZ_CHECK(record.len <= SPOOL_RECORD_MAX && record.len <= len);
		sum = crc32c(sum, record.bytes, record.len);
		last = record.number;
		FUZZ_CHECK(++n <= len / HEAD_LEN);
		check_json(&record);
	}
	return sum;
}

static struct spool *open_spool(void)
{
	struct spool *s = NULL;

	FUZZ_CHECK(spool_open(loop, flusher, scratch_dir(), on_safe, NULL,
			   &s) == 0);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct spool_record record;
	struct spool *s;
	uint8_t *file;
	uint32_t sum;
	uint64_t last = 0;

	if (!loop) {
		log_open("fuzz", LOG_LEVEL_ERR);
		log_set_sink(no_line, NULL);
		FUZZ_CHECK(loop_event_new(&loop) == 0);
		FUZZ_CHECK(sync_new(loop, &flusher) == 0);
	}
	if (len < 1 || len > 65536)
		return 0;
	file = malloc(len);
	FUZZ_CHECK(file != NULL);
	memcpy(file, bytes + 1, len - 1);
	if (bytes[0] & 1)
		sum_up(file, len - 1);
	scratch_clear();
	scratch_write(SEGMENT, file, len - 1);
	free(file);

	s = open_spool();
	sum = read_through(s, len);
	spool_free(&s);
	s = open_spool();
	FUZZ_CHECK(read_through(s, len) == sum);
	/* It goes on after the last one. */
	FUZZ_CHECK(spool_append(s, SPOOL_CDR, "new", 3, 0) == 0);
	while (spool_read(s, last, &record) == 0)
		last = record.number;
	FUZZ_CHECK(record.kind == SPOOL_CDR && record.len == 3 &&
		   memcmp(record.bytes, "new", 3) == 0);
	spool_done(s, last);
	FUZZ_CHECK(spool_waiting(s) == 0);
	spool_free(&s);
	return 0;
}
