/* SPDX-License-Identifier: Apache-2.0 */
/* A small store and what was found in it, for the suites of the store. */
#ifndef TESTS_UNIT_STORE_RIG_H
#define TESTS_UNIT_STORE_RIG_H

#include <check.h>
#include <unistd.h>

#include "common/store.h"

#define SLOT    128u
#define N_SLOTS 64u
#define MANY    16

extern const struct store_config rig_config;

/** For helpers that children use, too: a child must not write to Check's own
 * file, least of all while it is killed. */
extern bool rig_is_child;

#define MUST(what)                                                             \
	do {                                                                   \
		if (!(what)) {                                                 \
			if (rig_is_child)                                      \
				_exit(1);                                      \
			ck_abort_msg("%s", #what);                             \
		}                                                              \
	} while (0)

/** What the callback was shown. */
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

extern struct shown rig_shown;

/** The callback: ctx is a struct shown. */
int rig_on_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len);

/** An empty one. */
struct store *rig_open_new(const struct store_config *c);

/** Opens what stands in fd, which stays the caller's. */
struct store *rig_open_again(const struct store_config *c, int fd);

void rig_fill(uint8_t *bytes, size_t len, unsigned seed);

/** Writes a record with the bytes of a seed. */
struct store_record *rig_put(struct store *s, struct store_record *r,
	uint32_t type, size_t len, size_t n_live, unsigned seed);

/** Was a row shown with these? */
bool rig_is_filled(size_t row, size_t len, unsigned seed);

/** The state before: two records, one in a chain, with a gap in the slots. */
struct store *rig_make_before(void);

/** Is that what was shown? */
bool rig_is_before(void);

#endif
