/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live state that outlives its process: records in an anonymous memory file
 * that keeper holds. A process that was killed gets the file back by name and
 * finds every record as it was before or after its last change, never between.
 * Nothing is written to a disk; the file is sealed against resizing, kept out
 * of dumps, and locked into memory as far as the limit allows.
 *
 * The file is a header and equal slots; a record takes one or a chain of them.
 * A change writes new slots, makes them valid by one aligned word, then gives
 * up the old ones. Whoever attaches checks everything (bounds, chain, checksum,
 * owner) and drops a bad record with one log line.
 *
 * The last n_live bytes of a record may change in place while it stands: they
 * are outside the checksum and are written with store_word_set(), each word
 * whole and checked by itself. mediad's packet counters live there.
 *
 * Life: store_found_take() for each descriptor that keeper hands over,
 * store_open() once it has said that these were all, store_deposit() then and
 * whenever keeper comes back, store_end() where the owner ends in order.
 */
#ifndef COMMON_STORE_H
#define COMMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/notify.h"
#include "common/process.h"

/** Layout of header and slots. A file of another number is not read, but of
 * the one before (other checksums): it is gone on with as it is, so that an
 * upgrade that is taken back finds what it can read. */
#define STORE_LAYOUT     2u
#define STORE_LAYOUT_OLD 1u

#define STORE_SLOT_MIN   128u
#define STORE_SLOT_MAX   65536u
#define STORE_BYTES_MAX  (1ull << 30)
#define STORE_RECORD_MAX (128u * 1024u)
#define STORE_NAME_MAX   32

struct store;
struct store_record;

struct store_config {
	const char *name;   /* short: "calls"; borrowed */
	enum process owner; /* state of another process is refused */
	uint32_t slot_size; /* bytes, a multiple of 64; 64 are the slot's own */
	uint32_t n_slots;   /* the bound */
};

/**
 * Called for each record that was found good, in the order of their making.
 * @param record	the owner's handle from now on.
 * @param bytes		a copy that is wiped after return, live bytes last.
 * @return 0 to keep it; otherwise it is dropped with a log line. The store may
 *	not be changed from here.
 */
typedef int (*store_record_fn)(void *ctx, struct store_record *record,
	uint32_t type, uint32_t version, const void *bytes, size_t len);

/** Descriptors that keeper handed over; begins as STORE_FOUND_NONE. */
struct store_found {
	int fd;       /* of the wanted size; -1 = none */
	int other_fd; /* of another size: an older program's settings */
	char other_name[NOTIFY_FDNAME_MAX];
};
#define STORE_FOUND_NONE                                                       \
	{                                                                      \
		.fd = -1, .other_fd = -1                                       \
	}

/** Takes a descriptor if its name says that it belongs to this store.
 * @return whether it was taken; the caller closes or uses it otherwise. */
bool store_found_take(struct store_found *found,
	const struct store_config *config, const char *name, int fd);

/**
 * Opens the state that was found, or makes it new. Records of a file with
 * other sizes are copied over. What cannot be read is dropped with a line.
 * @param found	NULL, or emptied: its descriptors are the store's.
 * @return 0, ERR_NOMEM, ERR_INVALID for sizes that cannot be, or ERR_SYSTEM.
 */
GH_MUST_CHECK int store_open(const struct store_config *config,
	struct store_found *found, store_record_fn fn, void *ctx,
	struct store **store_out);
/** Gives the file to keeper, and tells it to forget the one of other sizes
 * that this one replaces. @return 0, ERR_AWAY or ERR_FULL: ask again. */
GH_MUST_CHECK int store_deposit(struct store *s, struct notify *keeper);
/** Wipes all records, tells keeper (may be NULL) to forget the file, and frees
 * the store with its handles. Safe on NULL. */
void store_end(struct store **s, struct notify *keeper);
/** Frees the store and leaves the state to the next process. Safe on NULL. */
void store_close(struct store **s);

/**
 * Writes a record whole.
 * @param record	*record NULL makes a new one; otherwise it is replaced,
 *			and where its live bytes are may change.
 * @param n_live	so many bytes at the end may change in place; they must
 *			fit the first slot, and be the same at each replacement.
 * @return 0; ERR_FULL, ERR_NOMEM or ERR_TOO_BIG, and the old one stands.
 */
GH_MUST_CHECK int store_put(struct store *s, struct store_record **record,
	uint32_t type, uint32_t version, const void *bytes, size_t len,
	size_t n_live);
/** Whether a record without live bytes says exactly this already. */
bool store_is(const struct store *s, const struct store_record *record,
	const void *bytes, size_t len);
/** How many bytes a record has ... */
size_t store_len(const struct store *s, const struct store_record *record);
/** ... and a copy of them. */
void store_read(const struct store *s, const struct store_record *record,
	void *bytes);
/** Removes a record and wipes its bytes; *record becomes NULL. Safe on NULL. */
void store_remove(struct store *s, struct store_record **record);

/** The live bytes, 64-byte aligned, valid until the record is replaced or
 * removed. One writer; it need not be the thread that uses the store. */
uint64_t *store_live(struct store *s, const struct store_record *record);

size_t store_count(const struct store *s);      /* records */
size_t store_slots_free(const struct store *s); /* of n_slots */
size_t store_locked(const struct store *s);     /* bytes kept from swap */
int store_fd(const struct store *s);            /* stays the store's */
const char *store_fd_name(const struct store *s);

/* A live word: 48 bits and 16 of their own check, written as one. All zeros
 * is no value. */

#define STORE_WORD_MAX ((1ull << 48) - 1)

static inline uint64_t store_word_make(uint64_t value)
{
	/* Every window of the factor has mixed bits, so that each flipped bit
	 * changes the check. */
	uint64_t check = (value * 0x9e3779b97f4a7c15ull) >> 48 ^ 0x5a5a;

	return (value & STORE_WORD_MAX) | check << 48;
}

/** @param value at most STORE_WORD_MAX. */
static inline void store_word_set(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, store_word_make(value & STORE_WORD_MAX),
		__ATOMIC_RELEASE);
}

/** @return 0, or ERR_CORRUPT. */
GH_MUST_CHECK static inline int store_word_get(
	const uint64_t *word, uint64_t *value_out)
{
	uint64_t w = __atomic_load_n(word, __ATOMIC_ACQUIRE);

	if (w != store_word_make(w & STORE_WORD_MAX))
		return ERR_CORRUPT;
	*value_out = w & STORE_WORD_MAX;
	return 0;
}

/** Is called before each store to the map, at most 64 bytes apart; NULL ends
 * it. For tests, which kill the writer there. */
void store_set_step(void (*step)(void));

#endif
