/* SPDX-License-Identifier: Apache-2.0 */
/* See store_rig.h. */
#include "tests/unit/store_rig.h"

#include <string.h>
#include <unistd.h>

#include "common/log.h"

const struct store_config rig_config = {.name = "calls",
	.owner = PROCESS_SBC,
	.slot_size = SLOT,
	.n_slots = N_SLOTS};

bool rig_is_child;

struct shown rig_shown;

int rig_on_record(void *ctx, struct store_record *record, uint32_t type,
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

struct store *rig_open_new(const struct store_config *c)
{
	struct store *s = NULL;

	log_open("test", LOG_LEVEL_ERR);
	memset(&rig_shown, 0, sizeof(rig_shown));
	ck_assert_int_eq(store_open(c, NULL, rig_on_record, &rig_shown, &s), 0);
	ck_assert_uint_eq(rig_shown.n, 0);
	return s;
}

struct store *rig_open_again(const struct store_config *c, int fd)
{
	struct store_found found = STORE_FOUND_NONE;
	struct store *s = NULL;

	memset(&rig_shown, 0, sizeof(rig_shown));
	found.fd = dup(fd);
	MUST(found.fd >= 0);
	MUST(store_open(c, &found, rig_on_record, &rig_shown, &s) == 0);
	MUST(found.fd == -1);
	return s;
}

void rig_fill(uint8_t *bytes, size_t len, unsigned seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 8) + 1);
}

struct store_record *rig_put(struct store *s, struct store_record *r,
	uint32_t type, size_t len, size_t n_live, unsigned seed)
{
	uint8_t bytes[4096];

	rig_fill(bytes, len, seed);
	MUST(store_put(s, &r, type, 3, bytes, len, n_live) == 0);
	MUST(r != NULL);
	return r;
}

bool rig_is_filled(size_t row, size_t len, unsigned seed)
{
	uint8_t bytes[4096];

	rig_fill(bytes, len, seed);
	return rig_shown.rows[row].len == len &&
	       !memcmp(rig_shown.rows[row].bytes, bytes, len);
}

struct store *rig_make_before(void)
{
	struct store *s = rig_open_new(&rig_config);
	struct store_record *gap;

	(void)rig_put(s, NULL, 1, 200, 0, 1);
	gap = rig_put(s, NULL, 9, 100, 0, 9);
	(void)rig_put(s, NULL, 2, 30, 8, 2);
	store_remove(s, &gap);
	return s;
}

bool rig_is_before(void)
{
	return rig_shown.n == 2 && rig_shown.rows[0].type == 1 &&
	       rig_is_filled(0, 200, 1) && rig_shown.rows[1].type == 2 &&
	       rig_is_filled(1, 30, 2);
}
