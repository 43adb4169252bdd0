/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool; see spool.h. Does not know what its records mean. Called by
 * records, which writes them to the database.
 *
 *	DIR/ID-NNNNNNNNNNNNNNNN.spool	segments; N = number of its first record
 *	DIR/position			number of the last done record
 *
 *	segment	magic[8], then records
 *	record	magic u32, len u32, number u64, kind u32, crc u32 (of all but
 *		itself), bytes
 *
 * A position is written after the database confirmed, so a kill between the
 * two hands records out twice, never not at all.
 */
#include "authd/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "authd/file.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/stat.h"

enum {
	PATH_SIZE = 4096,
	MAGIC_LEN = 8,
	HEAD_LEN = 24,
	/* Read at once: a batch of records, or one of the largest. */
	WINDOW_READ = 64 * 1024,
	WINDOW_SIZE = HEAD_LEN + SPOOL_RECORD_MAX,
	RECORD_MAGIC = 0x47485331, /* "GHS1" */
	/* Batches: a flush begins this long after the first record, or once
	 * so many wait. A flush costs as much as all else that a record costs;
	 * until then its sender has it too, and a kill loses none. */
	BATCH_US = 50 * 1000,
	BATCH_FULL = 64,
	/* Of the position: two numbers and their CRC, always as long. */
	POSITION_CRC_AT = 16 + 1 + 20 + 1,
	POSITION_LEN = POSITION_CRC_AT + 8 + 1,
};

/* Numbers never come near these; one from a file that does is damage, or it
 * would run over and new records would look old. */
#define FIRST_MAX (1ull << 62)
#define SPAN_MAX  (1ull << 32) /* within a segment */

static const char magic[MAGIC_LEN + 1] = "GHSPOOL1";

struct segment {
	TAILQ_ENTRY(segment) order;
	uint64_t first; /* number of its first record */
	uint64_t last;  /* 0 = none yet */
	uint64_t size;
	int fd;
};

/* A sender that waits for the flush. */
struct waiter {
	STAILQ_ENTRY(waiter) order;
	uint64_t token;
};
STAILQ_HEAD(waiters, waiter);

struct spool {
	struct loop *loop;
	struct sync *sync;
	struct loop_timer *timer;
	char dir[PATH_SIZE];
	int position_fd; /* -1 = not yet */
	uint64_t id;
	TAILQ_HEAD(, segment) segments;
	uint64_t next; /* number of the next record */
	uint64_t done;
	spool_fn on_safe;
	void *ctx;
	struct waiters waiting; /* written */
	unsigned n_waiting;
	struct waiters flushing; /* a flush that covers them is under way */
	bool is_flushing;
	/* Where the reader stands, so that it need not search. */
	struct segment *read_segment;
	uint64_t read_offset;
	uint64_t read_number; /* of the record before read_offset */
	/* What was read last, WINDOW_SIZE at most, of what a segment has for
	 * good: appending changes nothing of it. */
	uint8_t *window;
	int window_fd; /* -1 = none */
	uint64_t window_at;
	size_t window_len;
};

/* CRC-32C, bit by bit over a nibble table: records are small and rare. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	static const uint32_t nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede,
		0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4,
		0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

static uint32_t record_crc(
	const uint8_t *head, const uint8_t *bytes, size_t len)
{
	return crc32c(crc32c(0, head, HEAD_LEN - 4), bytes, len);
}

static int segment_path(
	const struct spool *s, const struct segment *seg, char *path)
{
	int n = snprintf(path, PATH_SIZE,
		"%s/%016" PRIx64 "-%016" PRIx64 ".spool", s->dir, s->id,
		seg->first);

	return n >= PATH_SIZE ? ERR_TOO_BIG : 0;
}

/* Both at once, nearly always by one call. */
static int write_record(int fd, const uint8_t head[HEAD_LEN], const void *bytes,
	size_t len, uint64_t offset)
{
	const struct iovec parts[2] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = HEAD_LEN},
		{.iov_base = (void *)(uintptr_t)bytes, .iov_len = len},
	};
	ssize_t n = pwritev(fd, parts, 2, (off_t)offset);

	if (n == (ssize_t)(HEAD_LEN + len))
		return 0;
	/* The bytes first: a head without its bytes would look torn. */
	if (file_write_at(fd, bytes, len, offset + HEAD_LEN) < 0)
		return ERR_SYSTEM;
	return file_write_at(fd, head, HEAD_LEN, offset);
}

/* Has len bytes at offset in the window. @return 0, ERR_TRUNCATED or
 * ERR_SYSTEM; *at_out is where they are. */
static int look_at(struct spool *s, const struct segment *seg, uint64_t offset,
	size_t len, const uint8_t **at_out)
{
	uint64_t rest = seg->size > offset ? seg->size - offset : 0;
	size_t n = len > WINDOW_READ ? len : WINDOW_READ;
	int err;

	if (rest < len)
		return ERR_TRUNCATED;
	if (s->window_fd != seg->fd || offset < s->window_at ||
		offset - s->window_at > s->window_len ||
		s->window_len - (offset - s->window_at) < len) {
		if (n > rest)
			n = (size_t)rest;
		s->window_fd = -1;
		err = file_read_at(seg->fd, s->window, n, offset);
		if (err == ERR_TRUNCATED && n > len) {
			/* Somebody has cut the file: what is left counts. */
			n = len;
			err = file_read_at(seg->fd, s->window, n, offset);
		}
		if (err < 0)
			return err;
		s->window_fd = seg->fd;
		s->window_at = offset;
		s->window_len = n;
	}
	*at_out = s->window + (offset - s->window_at);
	return 0;
}

/* Reads the record at offset.
 * @return 0, ERR_TRUNCATED at the end or in a cut record, ERR_CORRUPT, or
 *	ERR_SYSTEM. */
static int read_record(struct spool *s, const struct segment *seg,
	uint64_t offset, struct spool_record *out)
{
	const uint8_t *head;
	uint32_t len;
	int err;

	err = look_at(s, seg, offset, HEAD_LEN, &head);
	if (err < 0)
		return err;
	len = bytes_get_u32(head + 4);
	if (bytes_get_u32(head) != RECORD_MAGIC || len > SPOOL_RECORD_MAX)
		return ERR_CORRUPT;
	err = look_at(s, seg, offset, HEAD_LEN + len, &head);
	if (err < 0)
		return err;
	if (record_crc(head, head + HEAD_LEN, len) != bytes_get_u32(head + 20))
		return ERR_CORRUPT;
	out->number = bytes_get_u64(head + 8);
	if (out->number - seg->first > SPAN_MAX)
		return ERR_CORRUPT;
	out->kind = (enum spool_kind)bytes_get_u32(head + 16);
	out->bytes = head + HEAD_LEN;
	out->len = len;
	return 0;
}

/* Looks for the next record that is whole, after damage at offset.
 * @return its offset, or the segment's size. */
static uint64_t skip_damage(
	struct spool *s, const struct segment *seg, uint64_t offset)
{
	struct spool_record record;
	uint8_t part[4096 + 3]; /* a word may lie across two */

	for (offset++; offset + HEAD_LEN <= seg->size;) {
		size_t n = sizeof(part);

		if (n > seg->size - offset)
			n = (size_t)(seg->size - offset);
		if (file_read_at(seg->fd, part, n, offset) < 0)
			break;
		for (size_t i = 0; i + 4 <= n; i++)
			if (bytes_get_u32(part + i) == RECORD_MAGIC &&
				read_record(s, seg, offset + i, &record) == 0)
				return offset + i;
		offset += n - 3;
	}
	return seg->size;
}

/* Reads a segment through: its last number, and cuts a torn tail off. */
static int scan_segment(struct spool *s, struct segment *seg)
{
	struct spool_record record;
	uint64_t offset = MAGIC_LEN, good = MAGIC_LEN;
	int err;

	while (offset < seg->size) {
		err = read_record(s, seg, offset, &record);
		if (err == ERR_SYSTEM)
			return err;
		if (err < 0) {
			uint64_t next = skip_damage(s, seg, offset);

			log_err("spool_damaged",
				LOG_UINT("segment", seg->first),
				LOG_UINT("offset", offset),
				LOG_UINT("bytes", next - offset), LOG_ERR(err));
			offset = next;
			continue;
		}
		if (record.number > seg->last)
			seg->last = record.number;
		offset += HEAD_LEN + record.len;
		good = offset;
	}
	if (good < seg->size) {
		s->window_fd = -1;
		if (ftruncate(seg->fd, (off_t)good) < 0)
			return ERR_SYSTEM;
		seg->size = good;
	}
	return 0;
}

static void free_segment(struct spool *s, struct segment *seg)
{
	TAILQ_REMOVE(&s->segments, seg, order);
	if (s->window_fd == seg->fd)
		s->window_fd = -1; /* its number may be another's next */
	if (seg->fd >= 0)
		close(seg->fd);
	free(seg);
}

static int add_segment(
	struct spool *s, uint64_t first, int flags, struct segment **out)
{
	struct segment *seg = calloc(1, sizeof(*seg)), *at;
	char path[PATH_SIZE];
	struct stat st;
	int err;

	if (!seg)
		return ERR_NOMEM;
	seg->first = first;
	err = segment_path(s, seg, path);
	if (err < 0)
		goto fail;
	err = ERR_SYSTEM;
	seg->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (seg->fd < 0)
		goto fail;
	if (fstat(seg->fd, &st) < 0) {
		close(seg->fd);
		goto fail;
	}
	seg->size = (uint64_t)st.st_size;
	TAILQ_FOREACH (at, &s->segments, order)
		if (at->first > first)
			break;
	if (at)
		TAILQ_INSERT_BEFORE(at, seg, order);
	else
		TAILQ_INSERT_TAIL(&s->segments, seg, order);
	*out = seg;
	return 0;
fail:
	free(seg);
	return err;
}

/* Opens one file of the folder if it is a segment. */
static int load_segment(struct spool *s, const char *name, uint64_t first)
{
	char head[MAGIC_LEN];
	struct segment *seg;
	int err;

	err = add_segment(s, first, 0, &seg);
	if (err < 0)
		return err;
	if (seg->size < MAGIC_LEN ||
		file_read_at(seg->fd, head, MAGIC_LEN, 0) < 0 ||
		memcmp(head, magic, MAGIC_LEN) != 0) {
		/* Killed before its first byte, or no file of ours. */
		if (seg->size > 0)
			log_err("spool_not_a_segment", LOG_STR("file", name));
		if (ftruncate(seg->fd, 0) < 0 ||
			file_write_at(seg->fd, magic, MAGIC_LEN, 0) < 0)
			return ERR_SYSTEM;
		seg->size = MAGIC_LEN;
		return 0;
	}
	return scan_segment(s, seg);
}

/* Name of a segment: id-number.spool. */
static bool parse_name(const char *name, uint64_t *id, uint64_t *first)
{
	char rest[8];

	return strlen(name) == 16 + 1 + 16 + 6 &&
	       sscanf(name, "%16" SCNx64 "-%16" SCNx64 "%7s", id, first,
		       rest) == 3 &&
	       strcmp(rest, ".spool") == 0 && *first > 0 && *first <= FIRST_MAX;
}

static int load_segments(struct spool *s)
{
	DIR *dir = opendir(s->dir);
	struct dirent *entry;
	uint64_t id, first;
	int err = 0;

	if (!dir)
		return ERR_SYSTEM;
	while (err == 0 && (entry = readdir(dir))) {
		if (!parse_name(entry->d_name, &id, &first))
			continue;
		if (s->id == 0)
			s->id = id;
		if (id == s->id)
			err = load_segment(s, entry->d_name, first);
		else
			log_err("spool_of_another_id",
				LOG_STR("file", entry->d_name));
	}
	closedir(dir);
	return err;
}

/* "id number crc": the CRC is over what stands before it. A line that does not
 * fit is no position: records are handed out again then. */
static void load_position(struct spool *s)
{
	char path[PATH_SIZE + 16], text[64] = "";
	uint64_t id, done;
	uint32_t crc;
	ssize_t len;
	int n, fd;

	snprintf(path, sizeof(path), "%s/position", s->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	n = sscanf(
		text, "%16" SCNx64 " %" SCNu64 " %8" SCNx32, &id, &done, &crc);
	/* The form without a CRC is of an older version. */
	if (n < 2 || (n == 2 && len >= POSITION_LEN))
		return;
	if (n == 3 && crc != crc32c(0, (const uint8_t *)text, POSITION_CRC_AT))
		return;
	if ((s->id == 0 || id == s->id) && done <= FIRST_MAX) {
		s->id = id;
		s->done = done;
	}
}

/* Over the old one, in place: a new file for each batch costs more than all
 * else that a batch costs here. Not flushed: after a power cut an old position
 * hands records out again. */
static void store_position(struct spool *s)
{
	char path[PATH_SIZE + 16], text[POSITION_LEN + 1];

	if (s->position_fd < 0) {
		snprintf(path, sizeof(path), "%s/position", s->dir);
		s->position_fd = open(path,
			O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	snprintf(text, sizeof(text), "%016" PRIx64 " %020" PRIu64 " ", s->id,
		s->done);
	snprintf(text + POSITION_CRC_AT, sizeof(text) - POSITION_CRC_AT,
		"%08" PRIx32 "\n",
		crc32c(0, (const uint8_t *)text, POSITION_CRC_AT));
	if (s->position_fd < 0 ||
		file_write_at(s->position_fd, text, POSITION_LEN, 0) < 0)
		log_err("spool_position", LOG_STR("folder", s->dir),
			LOG_ERRNO(errno));
}

static void on_timer(void *arg);

int spool_open(struct loop *loop, struct sync *sync, const char *dir,
	spool_fn on_safe, void *ctx, struct spool **spool_out)
{
	struct spool *s = calloc(1, sizeof(*s));
	struct segment *last;
	int err = ERR_TOO_BIG;

	if (!s)
		return ERR_NOMEM;
	s->loop = loop;
	s->sync = sync;
	s->position_fd = -1;
	s->on_safe = on_safe;
	s->ctx = ctx;
	TAILQ_INIT(&s->segments);
	STAILQ_INIT(&s->waiting);
	STAILQ_INIT(&s->flushing);
	if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= PATH_SIZE - 64)
		goto fail;
	err = ERR_NOMEM;
	s->window_fd = -1;
	s->window = malloc(WINDOW_SIZE);
	if (!s->window)
		goto fail;
	err = loop_timer_new(loop, on_timer, s, &s->timer);
	if (err < 0)
		goto fail;
	err = ERR_SYSTEM;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		goto fail;
	load_position(s);
	err = load_segments(s);
	if (err < 0)
		goto fail;
	while (s->id == 0)
		secret_random_bytes(&s->id, sizeof(s->id));
	s->next = s->done + 1;
	TAILQ_FOREACH (last, &s->segments, order)
		if (last->last >= s->next)
			s->next = last->last + 1;
	stat_set(STAT_CDR_SPOOLED, spool_waiting(s));
	*spool_out = s;
	return 0;
fail:
	spool_free(&s);
	return err;
}

static void free_waiters(struct waiters *list)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, order);
		free(w);
	}
}

void spool_free(struct spool **spool)
{
	struct spool *s = *spool;
	struct segment *seg;

	*spool = NULL;
	if (!s)
		return;
	while ((seg = TAILQ_FIRST(&s->segments))) {
		if (seg->fd >= 0 && fdatasync(seg->fd) < 0)
			log_err("spool_flush", LOG_ERRNO(errno));
		free_segment(s, seg);
	}
	free_waiters(&s->waiting);
	free_waiters(&s->flushing);
	if (s->position_fd >= 0)
		close(s->position_fd);
	loop_timer_free(s->loop, &s->timer);
	free(s->window);
	free(s);
}

uint64_t spool_id(const struct spool *s)
{
	return s->id;
}

uint64_t spool_waiting(const struct spool *s)
{
	return s->next - 1 - s->done;
}

static struct segment *last_segment(const struct spool *s)
{
	struct segment *seg, *last = NULL;

	TAILQ_FOREACH (seg, &s->segments, order)
		last = seg;
	return last;
}

/* The segment to write to, with room for len more bytes. */
static int writable_segment(struct spool *s, size_t len, struct segment **out)
{
	struct segment *seg = last_segment(s);
	int err;

	/* A number too far from its first would be read back as damage. */
	if (seg && seg->size + len <= SPOOL_SEGMENT_SIZE &&
		s->next - seg->first <= SPAN_MAX) {
		*out = seg;
		return 0;
	}
	/* A flush under way covers the old one; what waits is flushed now, so
	 * that one descriptor at a time has waiters. */
	if (seg && !STAILQ_EMPTY(&s->waiting) && fdatasync(seg->fd) < 0)
		return ERR_SYSTEM;
	err = add_segment(s, s->next, O_CREAT | O_EXCL, &seg);
	if (err < 0)
		return err;
	if (file_write_at(seg->fd, magic, MAGIC_LEN, 0) < 0) {
		char path[PATH_SIZE];

		if (segment_path(s, seg, path) == 0)
			unlink(path);
		free_segment(s, seg);
		return ERR_SYSTEM;
	}
	seg->size = MAGIC_LEN;
	*out = seg;
	return 0;
}

static void finish_waiters(struct spool *s, struct waiters *list, int err)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, order);
		s->on_safe(s->ctx, w->token, err);
		free(w);
	}
}

static void set_timer(struct spool *s)
{
	loop_timer_set(
		s->loop, s->timer, s->n_waiting < BATCH_FULL ? BATCH_US : 0);
}

static void on_flushed(void *ctx, int err)
{
	struct spool *s = ctx;

	s->is_flushing = false;
	if (err < 0)
		log_err("spool_flush", LOG_STR("folder", s->dir),
			LOG_ERRNO(errno));
	finish_waiters(s, &s->flushing, err);
	if (!STAILQ_EMPTY(&s->waiting))
		set_timer(s);
}

static void on_timer(void *arg)
{
	struct spool *s = arg;
	struct segment *seg = last_segment(s);

	if (s->is_flushing || !seg || STAILQ_EMPTY(&s->waiting))
		return;
	if (sync_file(s->sync, seg->fd, on_flushed, s) < 0) {
		loop_timer_set(s->loop, s->timer, BATCH_US);
		return;
	}
	s->is_flushing = true;
	s->n_waiting = 0;
	STAILQ_CONCAT(&s->flushing, &s->waiting);
}

int spool_append(struct spool *s, enum spool_kind kind, const void *bytes,
	size_t len, uint64_t token)
{
	uint8_t head[HEAD_LEN];
	struct segment *seg;
	struct waiter *w;
	int err;

	if (len > SPOOL_RECORD_MAX)
		return ERR_TOO_BIG;
	err = writable_segment(s, HEAD_LEN + len, &seg);
	if (err < 0)
		return err;
	w = calloc(1, sizeof(*w));
	if (!w)
		return ERR_NOMEM;
	bytes_put_u32(head, RECORD_MAGIC);
	bytes_put_u32(head + 4, (uint32_t)len);
	bytes_put_u64(head + 8, s->next);
	bytes_put_u32(head + 16, kind);
	bytes_put_u32(head + 20, record_crc(head, bytes, len));
	if (write_record(seg->fd, head, bytes, len, seg->size) < 0) {
		int saved = errno;

		if (ftruncate(seg->fd, (off_t)seg->size) < 0)
			log_err("spool_truncate", LOG_ERRNO(errno));
		free(w);
		errno = saved;
		return ERR_SYSTEM;
	}
	seg->size += HEAD_LEN + len;
	seg->last = s->next++;
	w->token = token;
	STAILQ_INSERT_TAIL(&s->waiting, w, order);
	s->n_waiting++;
	/* Counted from the first. */
	if (!s->is_flushing &&
		(s->n_waiting == 1 || s->n_waiting == BATCH_FULL))
		set_timer(s);
	stat_set(STAT_CDR_SPOOLED, spool_waiting(s));
	return 0;
}

/* Finds the place of the first record after a number. */
static void seek(struct spool *s, uint64_t after)
{
	struct segment *seg;

	TAILQ_FOREACH (seg, &s->segments, order)
		if (seg->last > after)
			break;
	s->read_segment = seg;
	s->read_offset = MAGIC_LEN;
	s->read_number = seg ? seg->first - 1 : after;
}

int spool_read(struct spool *s, uint64_t after, struct spool_record *record_out)
{
	struct spool_record record;
	int err;

	if (after < s->done)
		after = s->done;
	if (after + 1 >= s->next)
		return ERR_AGAIN;
	if (!s->read_segment || s->read_number > after)
		seek(s, after);
	while (s->read_segment) {
		if (s->read_offset >= s->read_segment->size) {
			s->read_segment = TAILQ_NEXT(s->read_segment, order);
			s->read_offset = MAGIC_LEN;
			continue;
		}
		err = read_record(s, s->read_segment, s->read_offset, &record);
		if (err == ERR_SYSTEM)
			return err;
		if (err < 0) {
			s->read_offset =
				skip_damage(s, s->read_segment, s->read_offset);
			continue;
		}
		s->read_offset += HEAD_LEN + record.len;
		s->read_number = record.number;
		if (record.number > after) {
			*record_out = record;
			return 0;
		}
	}
	return ERR_AGAIN;
}

void spool_done(struct spool *s, uint64_t number)
{
	struct segment *seg, *next;
	char path[PATH_SIZE];

	if (number <= s->done || number >= s->next)
		return;
	s->done = number;
	store_position(s);
	stat_set(STAT_CDR_SPOOLED, spool_waiting(s));
	for (seg = TAILQ_FIRST(&s->segments); seg; seg = next) {
		next = TAILQ_NEXT(seg, order);
		/* The newest stays: it is being written to. */
		if (!next || seg->last > number)
			break;
		if (s->is_flushing)
			break; /* its descriptor may be in use: next time */
		if (segment_path(s, seg, path) == 0 && unlink(path) < 0)
			log_err("spool_unlink", LOG_STR("file", path),
				LOG_ERRNO(errno));
		if (s->read_segment == seg)
			s->read_segment = NULL;
		free_segment(s, seg);
	}
}
