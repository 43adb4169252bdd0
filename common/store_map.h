/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the store: what stands in the file, and the few functions through
 * which it is written. Used by store.c (writing) and store_attach.c (reading
 * what a killed process left); nobody else.
 */
#ifndef COMMON_STORE_MAP_H
#define COMMON_STORE_MAP_H

#include <stddef.h>
#include <sys/queue.h>

#include "common/store.h"

#define MAP_MAGIC       0x45524f5453424753ull /* "SGBSTORE" */
#define MAP_HEADER_SIZE 4096u
#define MAP_BLOCK_SIZE  65536u /* memory is taken in such steps */

/* Far apart from each other and from 0, so that no flipped bit makes one of
 * another. */
#define STATE_FREE      0ull
#define STATE_HEAD      0x48a3f1c65e0b9d27ull /* a whole record begins here */
#define STATE_PART      0x91d60e7b3c24f8a5ull /* belongs to a head, or nobody */

struct map_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t owner;
	uint32_t slot_size;
	uint32_t n_slots;
	uint64_t checksum; /* of the fields above */
	uint64_t touched;  /* a live word: slots from here on were never used */
};

/* Stands at the start of each slot; 64 bytes. */
struct slot_head {
	uint64_t state;    /* the word that makes a record valid */
	uint64_t checksum; /* of all below and the slot's bytes, not of live */
	uint64_t id;       /* the same for all versions of a record */
	uint64_t sequence; /* grows with each put; the larger one counts */
	uint32_t type;
	uint32_t version;
	uint32_t len; /* of the whole record, live bytes included */
	uint32_t n_live;
	uint32_t next; /* slot number + 1; 0 = the chain ends */
	uint32_t part; /* 0 in the head */
	uint64_t zero;
};

_Static_assert(sizeof(struct map_header) == 40, "layout 1 of the header");
_Static_assert(sizeof(struct slot_head) == 64, "layout 1 of a slot");
_Static_assert(offsetof(struct slot_head, id) == 16, "layout 1 of a slot");

struct store_record {
	LIST_ENTRY(store_record) next;
	uint64_t id;
	uint64_t sequence;
	uint32_t head; /* slot number */
	uint32_t n_live;
};

struct store {
	char name[STORE_NAME_MAX];
	char fd_name[NOTIFY_FDNAME_MAX];
	char stale_name[NOTIFY_FDNAME_MAX]; /* to be forgotten; "" if none */
	uint32_t layout; /* decides what a slot's checksum is */
	uint32_t owner;
	uint32_t slot_size;
	uint32_t n_slots;
	int fd;
	uint8_t *map;
	size_t size;
	size_t locked;
	uint32_t *free_slots; /* a stack */
	uint32_t n_free;
	uint32_t n_used;    /* slots below were used at least once */
	uint32_t n_touched; /* as the header says; >= n_used */
	uint64_t last_id;
	uint64_t last_sequence;
	LIST_HEAD(, store_record) records;
	size_t n_records;
};

static inline struct slot_head *map_slot(const struct store *s, uint32_t slot)
{
	return (struct slot_head *)(void *)(s->map + MAP_HEADER_SIZE +
					    (size_t)slot * s->slot_size);
}

static inline struct map_header *map_header(const struct store *s)
{
	return (struct map_header *)(void *)s->map;
}

/* Room that live bytes take at the start of a head's bytes. */
static inline uint32_t map_live_room(uint32_t n_live)
{
	return (n_live + 7u) & ~7u;
}

/* How many checked bytes part has room for. */
static inline uint32_t map_room(
	const struct store *s, uint32_t part, uint32_t n_live)
{
	return s->slot_size - (uint32_t)sizeof(struct slot_head) -
	       (part ? 0 : map_live_room(n_live));
}

/* Where part's checked bytes stand in its slot. */
static inline uint8_t *map_bytes(
	struct slot_head *h, uint32_t part, uint32_t n_live)
{
	return (uint8_t *)(h + 1) + (part ? 0 : map_live_room(n_live));
}

/* Whether sizes can be a file's at all. */
bool map_sizes_are_good(uint32_t slot_size, uint32_t n_slots);
size_t map_size(uint32_t slot_size, uint32_t n_slots);
uint64_t map_header_checksum(const struct map_header *h);
/** Checksum of one slot with n checked bytes. */
uint64_t map_slot_checksum(
	const struct store *s, uint32_t slot, const void *bytes, size_t n);

/* All stores to the map go through these. */
void map_write(void *to, const void *from, size_t len);
void map_clear(void *to, size_t len);
void map_word(uint64_t *word, uint64_t value);

/** Makes the process's side of a file whose header is good. fd is taken. */
GH_MUST_CHECK int map_new(const struct store_config *config, int fd,
	const struct map_header *h, struct store **store_out);
void map_free(struct store **store);
/** Gives up the chain from head; the record is invalid at once. */
void map_release(struct store *s, uint32_t head);
/** Adds a handle. @return NULL if memory is short. */
struct store_record *map_record_new(struct store *s, uint32_t head);
/** Copies a record out, live bytes last. @param bytes head's len bytes. */
void map_record_read(const struct store *s, uint32_t head, uint8_t *bytes);

/** Reads what a killed process left: checks all, makes handles of the good
 * records and frees the rest. fd is taken.
 * @return 0, or why the whole file is refused: ERR_VERSION, ERR_CORRUPT,
 *	ERR_REFUSED (another process's), ERR_TRUNCATED, ERR_NOMEM, ERR_SYSTEM.
 */
GH_MUST_CHECK int map_attach(
	const struct store_config *config, int fd, struct store **store_out);

#endif
