/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One registration per account at its PBX: from the first of its phones to the
 * last, while account and PBX are in service. What has changed (extension,
 * PBX) is taken back first and registered anew then.
 *
 * The Call-ID is made from the account and the trunk and the number from the
 * clock, so a new process goes on with the registration of the one before it
 * and needs no record: the contacts that it got back say what has to be there.
 * Many that begin or end at once are paced.
 *
 * Decides: which extensions are registered. registrant.c decides when to ask.
 * Does not decide where its calls go: the PBX's INVITE is for an extension like
 * any other (route.c). Called by bindings; the trunk's addresses come from
 * trunk_where.c.
 */
#include "config.h"

#include "sbc/surrogate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/trunk_inner.h"

#define SURROGATES_MAX 100000u
#define PACE_US        (2 * CLOCK_US_PER_MS) /* between two that begin */
#define RETRY_MAX_S    300u
#define CSEQ_AHEAD_MAX 100000u /* of the clock, by asking fast */

struct surrogate {
	struct table_node node;
	struct surrogates *all;
	uint64_t account;
	char extension[24];
	size_t place; /* of the trunk's, modulo their number */
	struct registrant reg;
};

struct surrogates {
	struct trunks *trunks;
	struct sbc *sbc;
	struct table table;
	uint64_t next_us;   /* when the next one may begin */
	uint32_t last_cseq; /* the highest of those that have ended */
};

static struct surrogate *of(struct registrant *r)
{
	return (struct surrogate *)((char *)r -
				    offsetof(struct surrogate, reg));
}

static struct surrogate *find(const struct surrogates *all, uint64_t account)
{
	struct table_node *node =
		table_find(&all->table, &account, sizeof account);

	return node != NULL ? TABLE_ENTRY(node, struct surrogate, node) : NULL;
}

const char *surrogate_state(const struct surrogates *all, uint64_t id)
{
	static const char *const names[] = {
		[REGISTRATION_NONE] = "trying",
		[REGISTRATION_TRYING] = "trying",
		[REGISTRATION_UP] = "registered",
		[REGISTRATION_FAILED] = "failed",
		[REGISTRATION_LEAVING] = "ending",
	};
	_Static_assert(sizeof names / sizeof *names == REGISTRATION_COUNT,
		"a name per state");
	const struct surrogate *s = all != NULL ? find(all, id) : NULL;

	return s != NULL ? names[s->reg.state] : NULL;
}

static void surrogate_free(struct surrogate *s)
{
	struct trunk_state *at = trunk_state_find(s->all->trunks, s->reg.trunk);

	if (at != NULL && at->n_surrogates != 0) {
		at->n_surrogates--;
		s->all->trunks->sweeps = true;
	}
	if (registrant_cseq(&s->reg) > s->all->last_cseq)
		s->all->last_cseq = registrant_cseq(&s->reg);
	registrant_done(&s->reg);
	table_remove(&s->all->table, &s->node);
	free(s);
}

/* So many that begin or end at once do it one after the other. */
static uint64_t pace(struct surrogates *all)
{
	uint64_t now = clock_now_us(), wait_us;

	if (all->next_us < now)
		all->next_us = now;
	wait_us = all->next_us - now;
	all->next_us += PACE_US;
	return wait_us;
}

static void tell(struct surrogate *s, enum reason why, const char *data)
{
	Gh__Event event = GH__EVENT__INIT;

	reason_count(why);
	log_info("surrogate", LOG_STR("extension", s->extension),
		LOG_UINT("trunk", s->reg.trunk),
		LOG_STR("reason", reason_text(why)), LOG_STR("data", data));
	event.wall_us = clock_wall_us();
	event.reason = reason_number(why);
	event.trunk = s->reg.trunk;
	event.account = s->account;
	event.data = (char *)(uintptr_t)data;
	cdr_event(s->all->sbc->cdrs, &event);
}

/* --- what registrant.c asks and tells --- */

static int where(struct registrant *r, struct registrant_place *out)
{
	struct surrogate *s = of(r);
	struct sbc *sbc = s->all->sbc;
	const struct trunk *t = settings_trunk(sbc->settings, r->trunk);
	const struct trunk_state *at =
		trunk_state_find(s->all->trunks, r->trunk);
	size_t n = 0;

	if (t == NULL || at == NULL || at->n_places == 0)
		return ERR_AGAIN;
	out->has_others = false;
	for (const char *c = s->extension; *c != '\0'; c++)
		n += (size_t)snprintf(out->user + n, sizeof out->user - n,
			*c == '#' ? "%%23" : "%c", *c);
	if (trunk_target_of(sbc, t, at->places[s->place % at->n_places],
		    &out->target, out->url) != 0)
		return ERR_NOT_FOUND;
	return trunk_contact_as(t, out->target.listener, out->user,
		out->contact, sizeof out->contact);
}

/* One after the other, each after its wait: they are one PBX's. */
static bool next(struct registrant *r, enum reason why, const char *data)
{
	(void)why;
	(void)data;
	of(r)->place++;
	return false;
}

static void on_up(struct registrant *r, const sip_t *sip, bool first)
{
	(void)sip;
	if (first)
		tell(of(r), REASON_SURROGATE_REGISTERED, "");
}

static void on_failed(struct registrant *r, enum reason why, const char *data)
{
	tell(of(r), why, data);
}

static void on_left(struct registrant *r)
{
	struct surrogate *s = of(r);
	struct surrogates *all = s->all;
	uint64_t id = s->account;
	const struct binding *b;

	tell(s, REASON_SURROGATE_ENDED, "");
	surrogate_free(s);
	/* Perhaps it is wanted elsewhere, or under another name. */
	b = bindings_of(all->sbc->bindings, id);
	surrogates_on_bindings(all, id, b != NULL ? b->account : NULL);
}

static const struct registrant_kind kind = {
	.retry_max_s = RETRY_MAX_S,
	.where = where,
	.next = next,
	.on_up = on_up,
	.on_failed = on_failed,
	.on_left = on_left,
	.refused = REASON_SURROGATE_FAILED,
};

/* --- when --- */

/* The same for the same extension in every process. */
static void make_names(struct surrogate *s)
{
	const uint32_t last = s->all->last_cseq;
	static const uint8_t key[16] = "gatehouse extn.";
	struct registrant_names *names = &s->reg.names;
	char what[64];
	int n = snprintf(what, sizeof what, "%llu %u",
		(unsigned long long)s->account, (unsigned)s->reg.trunk);

	snprintf(names->call_id, sizeof names->call_id, "w0-r%016llx",
		(unsigned long long)table_siphash(key, what, (size_t)n));
	ident_make_random(names->tag, sizeof names->tag - 1);
	/* Faster than we ever ask, also between two starts; it is back at 0
	 * after a year. */
	names->cseq = (uint32_t)(clock_wall_us() / (CLOCK_US_PER_S / 64)) &
		      0x7fffffff;
	/* One that ended and began anew at once has asked faster. */
	if (last > names->cseq && last - names->cseq < CSEQ_AHEAD_MAX)
		names->cseq = last;
}

/* The trunk that an account's extension is to be registered at, or NULL. */
static const struct trunk *wanted_at(
	const struct surrogates *all, const Gh__Account *row)
{
	const struct trunk *t;

	if (row == NULL || !row->enabled || !row->surrogate ||
		row->surrogate_trunk == 0)
		return NULL;
	t = settings_trunk(all->sbc->settings, row->surrogate_trunk);
	return t != NULL && t->row->enabled &&
			       t->realm->row->zone == GH__ZONE__ZONE_INSIDE
		       ? t
		       : NULL;
}

static void begin(
	struct surrogates *all, const Gh__Account *row, const struct trunk *t)
{
	struct trunk_state *at;
	struct surrogate *s;

	if (strlen(row->extension) >= sizeof s->extension)
		return;
	at = trunk_state_make(all->trunks, t->row->id);
	s = at != NULL ? calloc(1, sizeof *s) : NULL;
	if (s == NULL)
		return;
	s->all = all;
	s->account = row->id;
	snprintf(s->extension, sizeof s->extension, "%s", row->extension);
	if (registrant_init(&s->reg, &kind, all->trunks, t->row->id, row->id) !=
			0 ||
		table_add(&all->table, &s->node, &s->account,
			sizeof s->account) != 0) {
		registrant_done(&s->reg);
		free(s);
		return;
	}
	make_names(s);
	at->n_surrogates++;
	if (at->n_surrogates == 1)
		trunks_wake(all->trunks);
	registrant_start(&s->reg, t->row->register_expires_s, pace(all));
}

static bool is_same(const struct surrogate *s, const Gh__Account *row)
{
	return s->reg.trunk == row->surrogate_trunk &&
	       strcmp(s->extension, row->extension) == 0;
}

void surrogates_on_bindings(
	void *ctx, uint64_t id, const struct account *account)
{
	struct surrogates *all = ctx;
	struct surrogate *s = find(all, id);
	const Gh__Account *row = account != NULL ? account->row : NULL;
	const struct trunk *t;

	if (all->sbc->settings == NULL)
		return;
	t = wanted_at(all, row);
	if (s != NULL && (t == NULL || !is_same(s, row))) {
		/* What is wanted instead begins when it has left. */
		if (registrant_leave(&s->reg,
			    s->reg.state == REGISTRATION_UP ? pace(all) : 0))
			return;
		surrogate_free(s);
		s = NULL;
	}
	if (t == NULL)
		return;
	if (s == NULL)
		begin(all, row, t);
	else if (s->reg.state == REGISTRATION_LEAVING)
		/* The phone came back before the PBX knew that it had gone. */
		registrant_start(&s->reg, t->row->register_expires_s, 0);
}

/* --- life, death --- */

int surrogates_new(struct trunks *trunks, struct surrogates **surrogates_out)
{
	struct surrogates *all = calloc(1, sizeof *all);

	if (all == NULL)
		return ERR_NOMEM;
	all->trunks = trunks;
	all->sbc = trunks->sbc;
	if (table_init(&all->table, SURROGATES_MAX) != 0) {
		free(all);
		return ERR_NOMEM;
	}
	*surrogates_out = all;
	return 0;
}

void surrogates_free(struct surrogates **ref)
{
	struct surrogates *all = *ref;
	struct table_node *node;
	size_t bucket = 0;

	if (all == NULL)
		return;
	*ref = NULL;
	node = table_next(&all->table, &bucket, NULL);
	while (node != NULL) {
		struct surrogate *s = TABLE_ENTRY(node, struct surrogate, node);

		node = table_next(&all->table, &bucket, node);
		surrogate_free(s);
	}
	table_done(&all->table);
	free(all);
}
