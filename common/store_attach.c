/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a store that a killed process left. Everything in the file is in
 * doubt: sizes, states, chains, checksums. Steps: header; all heads whose own
 * slot is whole; of each record the newest version whose chain is whole;
 * everything else is wiped and free. Half-written slots are the normal trace of
 * a kill and say nothing; a record that was valid once and is not whole any
 * more is one log line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reason.h"
#include "common/store_map.h"

/* A head whose own slot is whole. */
struct candidate {
	uint64_t id;
	uint64_t sequence;
	uint32_t slot;
};

struct scan {
	struct store *s;
	struct candidate *found;
	size_t n_found;
	uint8_t *claimed; /* one per slot */
	uint64_t n_dropped;
};

static void drop(struct scan *c, uint32_t slot, const char *problem)
{
	log_peer_warning("store_record_dropped", LOG_STR("store", c->s->name),
		LOG_UINT("slot", slot), LOG_STR("problem", problem));
	reason_count(REASON_STORE_RECORD);
	c->n_dropped++;
}

/* ------------------------------------------------------------------- header */

static int check_header(
	const struct store_config *config, int fd, struct map_header *h_out)
{
	struct map_header h;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Without the seals another holder could shorten the file and every
	 * access behind its end would kill us. */
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) !=
				 (F_SEAL_SHRINK | F_SEAL_GROW))
		return ERR_REFUSED;
	if (fstat(fd, &st))
		return ERR_SYSTEM;
	if (st.st_size < (off_t)MAP_HEADER_SIZE ||
		pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return ERR_TRUNCATED;
	if (h.magic != MAP_MAGIC)
		return ERR_CORRUPT;
	if (h.layout != STORE_LAYOUT && h.layout != STORE_LAYOUT_OLD)
		return ERR_VERSION;
	if (h.checksum != map_header_checksum(&h) ||
		!map_sizes_are_good(h.slot_size, h.n_slots))
		return ERR_CORRUPT;
	if (h.owner != (uint32_t)config->owner)
		return ERR_REFUSED;
	if ((uint64_t)st.st_size != map_size(h.slot_size, h.n_slots))
		return ERR_TRUNCATED;
	*h_out = h;
	return 0;
}

/* -------------------------------------------------------------------- heads */

/* Checked bytes that stand in part of a record. */
static uint32_t part_len(
	const struct store *s, const struct slot_head *h, uint32_t part)
{
	uint64_t before = 0, left = h->len - h->n_live, room;

	if (part)
		before = map_room(s, 0, h->n_live) +
			 (uint64_t)(part - 1) * map_room(s, 1, 0);
	room = map_room(s, part, h->n_live);
	if (before >= left)
		return 0;
	left -= before;
	return (uint32_t)(left < room ? left : room);
}

/* Whether the numbers of a slot can be, and its checksum fits. */
static bool slot_is_whole(const struct store *s, uint32_t slot)
{
	struct slot_head *h = map_slot(s, slot);
	uint32_t n;

	if (h->len > STORE_RECORD_MAX || h->n_live > h->len ||
		h->n_live > s->slot_size - sizeof(*h) ||
		h->part > STORE_RECORD_MAX / 64 || h->next > s->n_slots)
		return false;
	n = part_len(s, h, h->part);
	return h->checksum ==
	       map_slot_checksum(s, slot, map_bytes(h, h->part, h->n_live), n);
}

static void find_heads(struct scan *c)
{
	struct store *s = c->s;
	uint32_t slot;

	for (slot = 0; slot < s->n_touched; slot++) {
		const struct slot_head *h = map_slot(s, slot);

		if (h->state == STATE_FREE || h->state == STATE_PART)
			continue;
		if (h->state != STATE_HEAD) {
			drop(c, slot, "state");
			continue;
		}
		if (h->part || !slot_is_whole(s, slot)) {
			drop(c, slot, "checksum");
			continue;
		}
		c->found[c->n_found++] = (struct candidate){
			.id = h->id, .sequence = h->sequence, .slot = slot};
	}
}

/* By id, the newest version first. */
static int by_id_and_age(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
}

/* ------------------------------------------------------------------- chains */

/* Whether the chain from head is whole and nobody else's. */
static bool chain_is_whole(const struct scan *c, uint32_t head)
{
	const struct store *s = c->s;
	const struct slot_head *first = map_slot(s, head), *h = first;
	uint64_t left = first->len - first->n_live;
	uint32_t slot = head, part;

	for (part = 0;; part++) {
		if (c->claimed[slot])
			return false;
		if (part && (h->state != STATE_PART || h->part != part ||
				    h->id != first->id ||
				    h->sequence != first->sequence ||
				    h->len != first->len ||
				    h->n_live != first->n_live ||
				    !slot_is_whole(s, slot)))
			return false;
		left -= part_len(s, first, part);
		if (!left)
			return !h->next;
		if (!h->next)
			return false;
		slot = h->next - 1;
		if (slot >= s->n_touched)
			return false;
		h = map_slot(s, slot);
	}
}

static void claim_chain(struct scan *c, uint32_t head)
{
	uint32_t next = head + 1;

	while (next) {
		c->claimed[next - 1] = 1;
		next = map_slot(c->s, next - 1)->next;
	}
}

static int keep_newest(struct scan *c)
{
	struct store *s = c->s;
	bool kept = false;
	size_t i;

	for (i = 0; i < c->n_found; i++) {
		const struct candidate *f = &c->found[i];

		if (f->id > s->last_id)
			s->last_id = f->id;
		if (f->sequence > s->last_sequence)
			s->last_sequence = f->sequence;
		if (i && c->found[i - 1].id == f->id && kept)
			continue; /* an older version, not yet given up */
		kept = chain_is_whole(c, f->slot);
		if (!kept) {
			drop(c, f->slot, "chain");
			continue;
		}
		claim_chain(c, f->slot);
		if (!map_record_new(s, f->slot))
			return ERR_NOMEM;
	}
	return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

/* Wipes and frees what no record claims, high slots first, so that low ones
 * are used again first. */
static void free_rest(struct scan *c)
{
	struct store *s = c->s;
	uint32_t slot = s->n_touched;

	while (slot--) {
		struct slot_head *h = map_slot(s, slot);

		if (c->claimed[slot])
			continue;
		map_word(&h->state, STATE_FREE);
		if (!is_zero((const uint8_t *)h, s->slot_size))
			map_clear(h, s->slot_size);
		s->free_slots[s->n_free++] = slot;
	}
}

static int scan(struct store *s)
{
	struct scan c = {.s = s};
	int rc = ERR_NOMEM;

	c.found = calloc((size_t)s->n_touched + 1, sizeof(*c.found));
	c.claimed = calloc((size_t)s->n_touched + 1, 1);
	if (c.found && c.claimed) {
		find_heads(&c);
		qsort(c.found, c.n_found, sizeof(*c.found), by_id_and_age);
		rc = keep_newest(&c);
	}
	if (!rc)
		free_rest(&c);
	if (c.n_dropped)
		log_warning("store_damaged", LOG_STR("store", s->name),
			LOG_UINT("dropped", c.n_dropped),
			LOG_UINT("kept", s->n_records));
	free(c.found);
	free(c.claimed);
	return rc;
}

int map_attach(
	const struct store_config *config, int fd, struct store **store_out)
{
	struct map_header h;
	struct store *s;
	uint64_t touched;
	int rc;

	rc = check_header(config, fd, &h);
	if (rc) {
		(void)close(fd);
		return rc;
	}
	rc = map_new(config, fd, &h, &s);
	if (rc)
		return rc;
	/* Where that word is damaged, every slot is looked at. */
	if (store_word_get(&map_header(s)->touched, &touched) ||
		touched > h.n_slots) {
		touched = h.n_slots;
		if (fallocate(fd, 0, 0, (off_t)s->size)) {
			map_free(&s);
			return ERR_NOMEM;
		}
		map_word(&map_header(s)->touched, store_word_make(touched));
	}
	s->n_touched = s->n_used = (uint32_t)touched;
	rc = scan(s);
	if (rc) {
		map_free(&s);
		return rc;
	}
	*store_out = s;
	return 0;
}
