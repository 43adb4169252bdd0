/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live-state store (store.h): making the file, writing records, giving
 * them up. What was left by a killed process is read by store_attach.c.
 *
 * Order of a put, each step harmless to be killed in:
 *	1. parts from the last to the first, with STATE_PART (nobody's yet)
 *	2. the head, all but its state word
 *	3. state = STATE_HEAD: from here on the new record counts, also beside
 *	   an older one of the same id, because its sequence is larger
 *	4. the old head's state = STATE_FREE, then its bytes are wiped
 * A removal is step 4 alone.
 */
#include "common/heap.h"
#include "common/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"
#include "common/stat.h"
#include "common/store_map.h"
#include "common/table.h"

/* Linux 6.3; a kernel that does not know it says EINVAL. */
#define NOEXEC_SEAL 8u

static void (*step_fn)(void);

void store_set_step(void (*step)(void))
{
	step_fn = step;
}

/* ------------------------------------------------------------------ the map */

void map_write(void *to, const void *from, size_t len)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	while (step_fn && len > 64) {
		step_fn();
		memcpy(t, f, 64);
		t += 64;
		f += 64;
		len -= 64;
	}
	if (step_fn)
		step_fn();
	if (len)
		memcpy(t, f, len);
}

void map_clear(void *to, size_t len)
{
	uint8_t *t = to;

	while (step_fn && len > 64) {
		step_fn();
		memset(t, 0, 64);
		t += 64;
		len -= 64;
	}
	if (step_fn)
		step_fn();
	secret_wipe(t, len);
}

void map_word(uint64_t *word, uint64_t value)
{
	if (step_fn)
		step_fn();
	/* Release: what was written before is in the map before. */
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

bool map_sizes_are_good(uint32_t slot_size, uint32_t n_slots)
{
	return slot_size >= STORE_SLOT_MIN && slot_size <= STORE_SLOT_MAX &&
	       slot_size % 64 == 0 && n_slots > 0 &&
	       (uint64_t)slot_size * n_slots <= STORE_BYTES_MAX;
}

size_t map_size(uint32_t slot_size, uint32_t n_slots)
{
	return MAP_HEADER_SIZE + (size_t)slot_size * n_slots;
}

/* Checksums are against damage, not against an attacker: whoever can write the
 * memory is the process itself. */
static uint64_t checksum(
	uint64_t k0, uint64_t k1, const void *bytes, size_t len)
{
	uint8_t key[16];

	memcpy(key, &k0, 8);
	memcpy(key + 8, &k1, 8);
	return table_siphash(key, bytes, len);
}

#define SUM_FACTOR 0x9e3779b97f4a7c15ull

/* No two values of x, and no two of word, have the same result. */
static inline uint64_t sum_step(uint64_t x, uint64_t word)
{
	x = (x ^ word) * SUM_FACTOR;
	return x ^ x >> 32;
}

/*
 * The checksum of a slot's bytes, in four sums side by side. Damage that is
 * within eight bytes is always found, other damage missed once in 2^64. A call
 * writes 14 kB of records: 62,000 instructions with the keyed hash, of
 * 1,300,000 in all, and 8,000 with this.
 */
static uint64_t quick_sum(uint64_t start, const void *bytes, size_t len)
{
	uint64_t sums[4] = {start, ~start, start + len, start ^ SUM_FACTOR};
	const uint8_t *p = bytes;
	uint64_t words[4];

	for (; len >= sizeof(words); p += sizeof(words), len -= sizeof(words)) {
		memcpy(words, p, sizeof(words));
		sums[0] = sum_step(sums[0], words[0]);
		sums[1] = sum_step(sums[1], words[1]);
		sums[2] = sum_step(sums[2], words[2]);
		sums[3] = sum_step(sums[3], words[3]);
	}
	memset(words, 0, sizeof(words));
	memcpy(words, p, len);
	for (unsigned i = 0; i < 4; i++)
		start = sum_step(start, sum_step(sums[i], words[i]));
	return start;
}

uint64_t map_header_checksum(const struct map_header *h)
{
	return checksum(MAP_MAGIC, 0, h, offsetof(struct map_header, checksum));
}

uint64_t map_slot_checksum(
	const struct store *s, uint32_t slot, const void *bytes, size_t n)
{
	const struct slot_head *h = map_slot(s, slot);
	uint64_t place = (uint64_t)s->owner << 32 | slot, sum;

	if (s->layout == STORE_LAYOUT_OLD) {
		sum = checksum(MAP_MAGIC, place, &h->id,
			sizeof(*h) - offsetof(struct slot_head, id));
		return checksum(sum, n, bytes, n);
	}
	sum = quick_sum(MAP_MAGIC ^ place, &h->id,
		sizeof(*h) - offsetof(struct slot_head, id));
	return quick_sum(sum, bytes, n);
}

/* Keeps the map out of swap as far as RLIMIT_MEMLOCK allows: pages are locked
 * as they come into use. */
static size_t lock_map(void *map, size_t size)
{
	size_t n;

	for (n = size; n >= 65536; n /= 2) {
		if (!mlock2(map, n, MLOCK_ONFAULT))
			return n;
	}
	return 0;
}

static void make_fd_name(
	const char *name, uint32_t slot_size, uint32_t n_slots, char *text)
{
	(void)snprintf(text, NOTIFY_FDNAME_MAX, "%.*s@%ux%u",
		STORE_NAME_MAX - 1, name, slot_size, n_slots);
}

int map_new(const struct store_config *config, int fd,
	const struct map_header *h, struct store **store_out)
{
	uint32_t slot_size = h->slot_size, n_slots = h->n_slots;
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		goto fail;
	s->fd = fd;
	s->layout = h->layout;
	s->slot_size = slot_size;
	s->n_slots = n_slots;
	s->owner = (uint32_t)config->owner;
	s->size = map_size(slot_size, n_slots);
	LIST_INIT(&s->records);
	(void)snprintf(s->name, sizeof(s->name), "%s", config->name);
	make_fd_name(config->name, slot_size, n_slots, s->fd_name);
	s->free_slots = calloc(n_slots, sizeof(*s->free_slots));
	if (!s->free_slots)
		goto fail;
	s->map = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->map == MAP_FAILED)
		goto fail;
	(void)madvise(s->map, s->size, MADV_DONTDUMP);
	s->locked = lock_map(s->map, s->size);
	*store_out = s;
	return 0;
fail:
	if (s)
		free(s->free_slots);
	free(s);
	(void)close(fd);
	return ERR_NOMEM;
}

void map_free(struct store **store)
{
	struct store *s = *store;
	struct store_record *r;

	*store = NULL;
	if (!s)
		return;
	while ((r = LIST_FIRST(&s->records))) {
		LIST_REMOVE(r, next);
		free(r);
	}
	stat_add(STAT_STORE_RECORDS, (uint64_t)0 - s->n_records);
	(void)munmap(s->map, s->size);
	(void)close(s->fd);
	free(s->free_slots);
	free(s);
}

struct store_record *map_record_new(struct store *s, uint32_t head)
{
	const struct slot_head *h = map_slot(s, head);
	struct store_record *r = heap_lasting(sizeof(*r));

	if (!r)
		return NULL;
	r->id = h->id;
	r->sequence = h->sequence;
	r->head = head;
	r->n_live = h->n_live;
	LIST_INSERT_HEAD(&s->records, r, next);
	s->n_records++;
	stat_add(STAT_STORE_RECORDS, 1);
	return r;
}

/* Makes an empty file with its seals. @return the descriptor or ERR_SYSTEM. */
static int make_file(const struct store_config *config, size_t size)
{
	char name[STORE_NAME_MAX + 16];
	int fd;

	(void)snprintf(name, sizeof(name), "gatehouse-%s", config->name);
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return ERR_SYSTEM;
	if (ftruncate(fd, (off_t)size) ||
		fcntl(fd, F_ADD_SEALS,
			F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int error = errno;

		(void)close(fd);
		errno = error;
		return ERR_SYSTEM;
	}
	return fd;
}

static int make_new(const struct store_config *config, struct store **store_out)
{
	size_t size = map_size(config->slot_size, config->n_slots);
	struct map_header h = {.magic = MAP_MAGIC,
		.layout = STORE_LAYOUT,
		.owner = (uint32_t)config->owner,
		.slot_size = config->slot_size,
		.n_slots = config->n_slots,
		.touched = store_word_make(0)};
	struct store *s;
	int fd, rc;

	fd = make_file(config, size);
	if (fd < 0)
		return fd;
	/* Taken now, so that a page that is missing later is an error of
	 * fallocate() and not a signal. */
	if (fallocate(fd, 0, 0, MAP_HEADER_SIZE)) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	rc = map_new(config, fd, &h, &s);
	if (rc)
		return rc;
	h.checksum = map_header_checksum(&h);
	map_write(map_header(s), &h, sizeof(h));
	*store_out = s;
	return 0;
}

/* -------------------------------------------------------------------- slots */

/* Takes memory for the next block of slots and says so in the header. */
static int touch_block(struct store *s)
{
	uint32_t n = MAP_BLOCK_SIZE / s->slot_size;
	off_t start = (off_t)map_size(s->slot_size, s->n_touched);

	if (n == 0)
		n = 1;
	if (n > s->n_slots - s->n_touched)
		n = s->n_slots - s->n_touched;
	if (fallocate(s->fd, 0, start, (off_t)n * s->slot_size))
		return ERR_NOMEM;
	map_word(&map_header(s)->touched, store_word_make(s->n_touched + n));
	s->n_touched += n;
	return 0;
}

static int take_slot(struct store *s, uint32_t *slot_out)
{
	if (s->n_free) {
		*slot_out = s->free_slots[--s->n_free];
		return 0;
	}
	if (s->n_used >= s->n_slots)
		return ERR_FULL;
	if (s->n_used >= s->n_touched && touch_block(s))
		return ERR_NOMEM;
	*slot_out = s->n_used++;
	return 0;
}

void map_release(struct store *s, uint32_t head)
{
	uint32_t slot = head, n;

	map_word(&map_slot(s, head)->state, STATE_FREE);
	for (n = 0; n < s->n_slots; n++) {
		struct slot_head *h = map_slot(s, slot);
		uint32_t next = h->next;

		map_word(&h->state, STATE_FREE);
		map_clear(h, s->slot_size);
		s->free_slots[s->n_free++] = slot;
		if (!next || next > s->n_slots)
			break;
		slot = next - 1;
	}
}

/* --------------------------------------------------------------- the record */

struct draft {
	uint64_t id;
	uint64_t sequence;
	uint32_t type, version;
	const uint8_t *bytes;
	uint32_t len;
	uint32_t n_live;
	uint32_t n_parts;
};

static uint32_t count_parts(const struct store *s, uint32_t n, uint32_t n_live)
{
	uint32_t first = map_room(s, 0, n_live), rest = map_room(s, 1, 0);

	return n <= first ? 1 : 1 + (n - first + rest - 1) / rest;
}

/* Fills one slot, all but a head's state word. */
static void write_part(struct store *s, const struct draft *d, uint32_t part,
	uint32_t slot, uint32_t next)
{
	uint32_t first = map_room(s, 0, d->n_live), rest = map_room(s, 1, 0);
	uint32_t from = part ? first + (part - 1) * rest : 0;
	uint32_t n = d->len - d->n_live - from;
	struct slot_head *h = map_slot(s, slot);
	struct slot_head fresh = {.state = part ? STATE_PART : STATE_FREE,
		.id = d->id,
		.sequence = d->sequence,
		.type = d->type,
		.version = d->version,
		.len = d->len,
		.n_live = d->n_live,
		.next = next,
		.part = part};

	if (n > (part ? rest : first))
		n = part ? rest : first;
	map_write(h, &fresh, sizeof(fresh));
	if (!part && d->n_live)
		map_write(h + 1, d->bytes + d->len - d->n_live, d->n_live);
	map_write(map_bytes(h, part, d->n_live), d->bytes + from, n);
	map_word(&h->checksum, map_slot_checksum(s, slot, d->bytes + from, n));
}

/* Writes all parts from the last to the first. @return the head's slot by
 * head_out; nothing is valid yet. */
static int write_parts(
	struct store *s, const struct draft *d, uint32_t *head_out)
{
	uint32_t part = d->n_parts, slot = 0, next = 0;
	int rc;

	while (part--) {
		rc = take_slot(s, &slot);
		if (rc) {
			if (next)
				map_release(s, next - 1);
			return rc;
		}
		write_part(s, d, part, slot, next);
		next = slot + 1;
	}
	*head_out = slot;
	return 0;
}

int store_put(struct store *s, struct store_record **record, uint32_t type,
	uint32_t version, const void *bytes, size_t len, size_t n_live)
{
	struct store_record *r = *record;
	struct draft d = {.type = type,
		.version = version,
		.bytes = bytes ? bytes : (const uint8_t *)""};
	uint32_t head, old = 0;
	int rc;

	if (len > STORE_RECORD_MAX || n_live > len ||
		n_live > s->slot_size - sizeof(struct slot_head) ||
		(r && r->n_live != n_live))
		return ERR_TOO_BIG;
	d.len = (uint32_t)len;
	d.n_live = (uint32_t)n_live;
	d.n_parts = count_parts(s, d.len - d.n_live, d.n_live);
	if (d.n_parts > store_slots_free(s))
		return ERR_FULL;
	d.id = r ? r->id : s->last_id + 1;
	d.sequence = s->last_sequence + 1;
	rc = write_parts(s, &d, &head);
	if (rc)
		return rc;
	if (r) {
		old = r->head;
		r->head = head;
		r->sequence = d.sequence;
	} else {
		r = map_record_new(s, head);
		if (!r) {
			map_release(s, head);
			return ERR_NOMEM;
		}
	}
	s->last_sequence = d.sequence;
	if (d.id > s->last_id)
		s->last_id = d.id;
	map_word(&map_slot(s, head)->state, STATE_HEAD);
	if (*record)
		map_release(s, old);
	*record = r;
	return 0;
}

bool store_is(const struct store *s, const struct store_record *record,
	const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	struct slot_head *h = map_slot(s, record->head);

	if (h->len != len || h->n_live)
		return false;
	for (uint32_t part = 0; len; part++) {
		uint32_t n = map_room(s, part, 0);

		if (n > len)
			n = (uint32_t)len;
		if (memcmp(p, map_bytes(h, part, 0), n))
			return false;
		p += n;
		len -= n;
		if (len)
			h = map_slot(s, h->next - 1);
	}
	return true;
}

size_t store_len(const struct store *s, const struct store_record *record)
{
	return map_slot(s, record->head)->len;
}

void store_read(
	const struct store *s, const struct store_record *record, void *bytes)
{
	map_record_read(s, record->head, bytes);
}

void store_remove(struct store *s, struct store_record **record)
{
	struct store_record *r = *record;

	*record = NULL;
	if (!r)
		return;
	map_release(s, r->head);
	LIST_REMOVE(r, next);
	s->n_records--;
	stat_add(STAT_STORE_RECORDS, (uint64_t)-1);
	free(r);
}

uint64_t *store_live(struct store *s, const struct store_record *record)
{
	return (uint64_t *)(void *)(map_slot(s, record->head) + 1);
}

void map_record_read(const struct store *s, uint32_t head, uint8_t *bytes)
{
	struct slot_head *h = map_slot(s, head);
	uint32_t len = h->len, n_live = h->n_live;
	uint32_t left = len - n_live, part;

	memcpy(bytes + left, h + 1, n_live);
	for (part = 0; left; part++) {
		uint32_t n = map_room(s, part, n_live);

		if (n > left)
			n = left;
		memcpy(bytes, map_bytes(h, part, n_live), n);
		bytes += n;
		left -= n;
		if (left)
			h = map_slot(s, h->next - 1);
	}
}

/* --------------------------------------------------------------------- life */

bool store_found_take(struct store_found *found,
	const struct store_config *config, const char *name, int fd)
{
	char wanted[NOTIFY_FDNAME_MAX];
	size_t len = strlen(config->name);

	if (strncmp(name, config->name, len) || name[len] != '@')
		return false;
	make_fd_name(config->name, config->slot_size, config->n_slots, wanted);
	if (!strcmp(name, wanted)) {
		if (found->fd >= 0)
			(void)close(found->fd);
		found->fd = fd;
		return true;
	}
	if (found->other_fd >= 0)
		(void)close(found->other_fd);
	found->other_fd = fd;
	(void)snprintf(
		found->other_name, sizeof(found->other_name), "%s", name);
	return true;
}

/* Attaches a descriptor; what cannot be read as a whole is one line. */
static int attach(
	const struct store_config *config, int *fd, struct store **store_out)
{
	int rc = ERR_NOT_FOUND;

	if (*fd < 0)
		return rc;
	rc = map_attach(config, *fd, store_out);
	*fd = -1;
	if (rc) {
		log_err("store_refused", LOG_STR("store", config->name),
			LOG_ERR(rc));
		reason_count(REASON_STORE_REFUSED);
	}
	return rc;
}

static int by_id(const void *a, const void *b)
{
	const struct store_record *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

/* Shows one record to the owner; from may be another file than s. */
static void show_record(struct store *s, struct store *from,
	struct store_record *r, store_record_fn fn, void *ctx)
{
	struct slot_head h = *map_slot(from, r->head);
	uint8_t *bytes = malloc(h.len ? h.len : 1);
	int rc = ERR_NOMEM;

	if (bytes) {
		map_record_read(from, r->head, bytes);
		rc = 0;
	}
	if (!rc && s != from) {
		r = NULL;
		rc = store_put(
			s, &r, h.type, h.version, bytes, h.len, h.n_live);
	}
	if (!rc)
		rc = fn(ctx, r, h.type, h.version, bytes, h.len);
	if (rc) {
		log_peer_warning("store_record_refused",
			LOG_STR("store", s->name), LOG_UINT("type", h.type),
			LOG_UINT("version", h.version), LOG_ERR(rc));
		reason_count(REASON_STORE_RECORD);
		if (r)
			store_remove(s, &r);
	}
	if (bytes)
		secret_wipe(bytes, h.len);
	free(bytes);
}

static int show_all(
	struct store *s, struct store *from, store_record_fn fn, void *ctx)
{
	struct store_record **all, *r;
	size_t n = 0, i;

	all = calloc(from->n_records + 1, sizeof(struct store_record *));
	if (!all)
		return ERR_NOMEM;
	LIST_FOREACH (r, &from->records, next)
		all[n++] = r;
	qsort(all, n, sizeof(struct store_record *), by_id);
	for (i = 0; i < n; i++)
		show_record(s, from, all[i], fn, ctx);
	free(all);
	return 0;
}

int store_open(const struct store_config *config, struct store_found *found,
	store_record_fn fn, void *ctx, struct store **store_out)
{
	struct store_found none = STORE_FOUND_NONE;
	struct store *s = NULL, *other = NULL;
	int rc;

	if (!map_sizes_are_good(config->slot_size, config->n_slots) ||
		strlen(config->name) >= STORE_NAME_MAX)
		return ERR_INVALID;
	if (!found)
		found = &none;
	if (attach(config, &found->fd, &s) &&
		!attach(config, &found->other_fd, &other) &&
		other->slot_size == config->slot_size &&
		other->n_slots == config->n_slots) {
		s = other; /* its name lied, its header does not */
		other = NULL;
	}
	if (found->other_fd >= 0) {
		/* Both came: the newer one was complete before it was
		 * deposited. */
		(void)close(found->other_fd);
		found->other_fd = -1;
	}
	rc = s ? 0 : make_new(config, &s);
	if (rc)
		goto out;
	(void)snprintf(
		s->stale_name, sizeof(s->stale_name), "%s", found->other_name);
	rc = show_all(s, other ? other : s, fn, ctx);
	if (rc)
		goto out;
	log_info("store", LOG_STR("name", s->fd_name),
		LOG_UINT("records", s->n_records), LOG_UINT("bytes", s->size),
		LOG_UINT("locked", s->locked));
	*store_out = s;
	s = NULL;
out:
	map_free(&other);
	map_free(&s);
	return rc;
}

int store_deposit(struct store *s, struct notify *keeper)
{
	int rc = notify_store(keeper, s->fd_name, &s->fd, 1);

	if (rc)
		return rc;
	/* In this order keeper always holds a complete one. */
	if (s->stale_name[0] && strcmp(s->stale_name, s->fd_name))
		notify_unstore(keeper, s->stale_name);
	s->stale_name[0] = '\0';
	return 0;
}

void store_end(struct store **store, struct notify *keeper)
{
	struct store *s = *store;
	struct store_record *r;

	if (!s)
		return;
	/* Heads first, so that a kill in here leaves whole records or none. */
	while ((r = LIST_FIRST(&s->records)))
		store_remove(s, &r);
	map_word(&map_header(s)->touched, store_word_make(0));
	/* Gives the pages back as well; other holders see zeros. */
	(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		MAP_HEADER_SIZE, (off_t)(s->size - MAP_HEADER_SIZE));
	if (keeper)
		notify_unstore(keeper, s->fd_name);
	map_free(store);
}

void store_close(struct store **s)
{
	map_free(s);
}

size_t store_count(const struct store *s)
{
	return s->n_records;
}

size_t store_slots_free(const struct store *s)
{
	return s->n_free + (s->n_slots - s->n_used);
}

size_t store_locked(const struct store *s)
{
	return s->locked;
}

int store_fd(const struct store *s)
{
	return s->fd;
}

const char *store_fd_name(const struct store *s)
{
	return s->fd_name;
}
