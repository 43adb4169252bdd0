// SPDX-License-Identifier: Apache-2.0
/*
 * Where a call goes, and when the next target is tried. Everything that has to
 * be asked (accounts, trunk health, random numbers) is a fact that the caller
 * of route_decide() brings; limits and registration are decided after it, by
 * call. RFC 5079 (anonymous calls refused), RFC 2782 (weights).
 */
#include "sbc/route.h"

#include <string.h>

#include "sbc/pattern.h"
#include "sbc/text.h"

#define SIP_TIMEOUT 408

/* Answers that say "not here, not now" about a trunk and nothing about the
 * called number: the next trunk may do better. */
static const unsigned default_causes[] = {408, 500, 502, 503, 504};

static const char *const kind_names[] = {
	[SIDE_TRUNK] = "trunk",
	[SIDE_PBX] = "pbx",
	[SIDE_PHONE] = "phone",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == SIDE_KIND_COUNT,
	"a name per kind");

const char *side_kind_name(enum side_kind kind)
{
	return (unsigned)kind < SIDE_KIND_COUNT ? kind_names[kind] : "unknown";
}

static bool has_prefix(const char *number, const char *prefix)
{
	struct span s = span_of(number);

	return span_skip(&s, prefix);
}

/** The block list speaks of calls from trunks; one that names a trunk speaks
 * of that one, whatever kind it is. */
static enum reason blocked(
	const struct settings *s, const struct route_facts *facts)
{
	if (!facts->from_trunk)
		return REASON_ROUTE_OK;
	for (size_t i = 0; i < s->n_blocked_callers; i++) {
		const Gh__BlockedCaller *row = s->blocked_callers[i];

		if (row->trunk ? row->trunk != facts->from_trunk->row->id
			       : facts->from != SIDE_TRUNK)
			continue;
		if (row->anonymous && !*facts->caller)
			return REASON_ROUTE_ANONYMOUS;
		if (!row->anonymous && *facts->caller && *row->match &&
			has_prefix(facts->caller, row->match))
			return REASON_ROUTE_BLOCKED_CALLER;
	}
	return REASON_ROUTE_OK;
}

static bool from_matches(const Gh__Route *row, const struct route_facts *facts)
{
	switch (row->from) {
	case GH__ROUTE_SOURCE__ROUTE_FROM_ANY:
		return true;
	case GH__ROUTE_SOURCE__ROUTE_FROM_PHONES:
		return facts->from == SIDE_PHONE;
	case GH__ROUTE_SOURCE__ROUTE_FROM_TRUNK:
		return facts->from_trunk &&
		       facts->from_trunk->row->id == row->from_trunk;
	default:
		return false;
	}
}

static bool called_matches(const struct route *route, const char *called)
{
	const Gh__Route *row = route->row;

	if (row->called_regex)
		return pattern_matches(&route->called_regex, called, 0, NULL);
	/* "112" is an emergency; a number that begins with it is not. */
	if (row->emergency)
		return !strcmp(called, row->called_match);
	return has_prefix(called, row->called_match);
}

static const struct route *find_route(
	const struct settings *s, const struct route_facts *facts)
{
	for (size_t i = 0; i < s->n_routes; i++)
		if (from_matches(s->routes[i].row, facts) &&
			has_prefix(facts->caller,
				s->routes[i].row->caller_match) &&
			called_matches(&s->routes[i], facts->called))
			return &s->routes[i];
	return NULL;
}

bool route_is_emergency(
	const struct settings *s, const struct route_facts *facts)
{
	const struct route *route = find_route(s, facts);

	return route && route->row->emergency;
}

/** The next of a row of random numbers that begins with the caller's. */
static uint32_t next_random(uint32_t *state)
{
	/* xorshift (Marsaglia 2003); 0 is its one bad state */
	uint32_t x = *state ? *state : 0x9e3779b9;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

/** RFC 2782: of the rows with the lowest priority left, one by weight. */
static size_t pick_row(
	const Gh__Route *row, const bool *taken, uint32_t *random)
{
	uint64_t sum = 0, at;
	uint32_t lowest = UINT32_MAX;
	size_t last = 0;

	for (size_t i = 0; i < row->n_targets; i++)
		if (!taken[i] && row->targets[i]->priority < lowest)
			lowest = row->targets[i]->priority;
	for (size_t i = 0; i < row->n_targets; i++)
		if (!taken[i] && row->targets[i]->priority == lowest)
			sum += (uint64_t)row->targets[i]->weight + 1;
	/* One more than its weight for each, so that weight 0 has a chance. */
	at = sum ? next_random(random) % sum : 0;
	for (size_t i = 0; i < row->n_targets; i++) {
		uint64_t share = (uint64_t)row->targets[i]->weight + 1;

		if (taken[i] || row->targets[i]->priority != lowest)
			continue;
		last = i;
		if (at < share)
			break;
		at -= share;
	}
	return last;
}

struct trial {
	const struct trunk *down[ROUTE_TARGETS_MAX];
	size_t n_down;
	bool loop;
};

static void add_trunk(struct route_decision *d, const struct trunk *trunk)
{
	for (size_t i = 0; i < d->n_targets; i++)
		if (!d->targets[i].is_account && d->targets[i].trunk == trunk)
			return;
	if (d->n_targets < ROUTE_TARGETS_MAX)
		d->targets[d->n_targets++] =
			(struct route_target){.trunk = trunk};
}

static void add_target(const struct route_facts *facts,
	const struct trunk *trunk, struct route_decision *d,
	struct trial *trial)
{
	if (!trunk || !trunk->row->enabled)
		return;
	if (trunk == facts->from_trunk ||
		(facts->from_trunk &&
			facts->from_trunk->row->id == trunk->row->id)) {
		trial->loop = true;
		return;
	}
	if (facts->trunk_in_service &&
		!facts->trunk_in_service(facts->ctx, trunk->row->id)) {
		trial->down[trial->n_down++] = trunk;
		return;
	}
	add_trunk(d, trunk);
}

/** The trunks of a row in order of trial. */
static void add_trunks(const struct settings *s,
	const struct route_facts *facts, const Gh__Route *row,
	struct route_decision *d, struct trial *trial)
{
	bool taken[ROUTE_TARGETS_MAX] = {false};
	uint32_t random = facts->random;

	for (size_t n = 0; n < row->n_targets && n < ROUTE_TARGETS_MAX; n++) {
		size_t i = pick_row(row, taken, &random);

		taken[i] = true;
		add_target(facts, settings_trunk(s, row->targets[i]->trunk), d,
			trial);
	}
	/* A probe may be wrong, and an emergency has nothing to lose. */
	for (size_t i = 0; row->emergency && i < trial->n_down; i++)
		add_trunk(d, trial->down[i]);
}

static void refuse(struct route_decision *d, enum reason why)
{
	d->why = why;
	d->sip = reason_sip(why);
	d->n_targets = 0;
}

static void to_account(const Gh__Account *account, struct route_decision *d)
{
	if (!account->enabled) {
		refuse(d, REASON_ROUTE_ACCOUNT_DISABLED);
		return;
	}
	d->targets[d->n_targets++] = (struct route_target){.is_account = true};
	d->why = REASON_ROUTE_OK;
}

/* An account with a list of classes may use the routes of these. */
static bool may_use(const struct route_facts *facts, const Gh__Route *row)
{
	const Gh__Account *account = facts->from_account;

	if (!account || !account->n_destination_classes || row->emergency)
		return true;
	for (size_t i = 0; i < account->n_destination_classes; i++)
		if (!strcmp(account->destination_classes[i],
			    row->destination_class))
			return true;
	return false;
}

static void follow_route(const struct settings *s,
	const struct route_facts *facts, struct route_decision *d)
{
	const Gh__Route *row = d->route->row;
	struct trial trial = {0};

	d->timeout_s = row->timeout_s;
	d->emergency = row->emergency;
	if (row->action == GH__ROUTE_ACTION__ROUTE_REJECT) {
		refuse(d, REASON_ROUTE_REJECT);
		if (row->reject_code)
			d->sip = row->reject_code;
		return;
	}
	if (row->action == GH__ROUTE_ACTION__ROUTE_TO_EXTENSION) {
		if (!facts->called_account) {
			refuse(d, REASON_ROUTE_UNKNOWN_NUMBER);
			return;
		}
		to_account(facts->called_account, d);
		return;
	}
	if (!may_use(facts, row)) {
		refuse(d, REASON_LIMIT_DESTINATION);
		return;
	}
	add_trunks(s, facts, row, d, &trial);
	if (d->n_targets)
		d->why = REASON_ROUTE_OK;
	else if (trial.loop && !trial.n_down)
		refuse(d, REASON_ROUTE_LOOP);
	else
		refuse(d, REASON_ROUTE_TRUNK_DOWN);
}

/** The same number with or without the plus. */
static bool same_number(const char *a, const char *b)
{
	return !strcmp(*a == '+' ? a + 1 : a, *b == '+' ? b + 1 : b);
}

static bool owns_number(const Gh__Account *account, const char *called)
{
	for (size_t i = 0; i < account->n_numbers; i++)
		if (same_number(account->numbers[i], called))
			return true;
	return false;
}

void route_decide(const struct settings *s, const struct route_facts *facts,
	struct route_decision *decision_out)
{
	struct route_decision d = {.why = REASON_ROUTE_NONE};
	enum reason why;

	d.route = find_route(s, facts);
	why = blocked(s, facts);
	if (why != REASON_ROUTE_OK) {
		d.route = NULL;
		refuse(&d, why);
	} else if (!*facts->called) {
		d.route = NULL;
		refuse(&d, REASON_ROUTE_BAD_NUMBER);
	} else if (d.route) {
		follow_route(s, facts, &d);
	} else if (facts->called_account &&
		   (facts->from != SIDE_TRUNK ||
			   owns_number(facts->called_account, facts->called))) {
		/* Extensions are dialled from the inside; from a trunk only
		 * the numbers that were given out. */
		to_account(facts->called_account, &d);
	} else {
		refuse(&d, REASON_ROUTE_NONE);
	}
	*decision_out = d;
}

bool route_fails_over(const struct route_decision *d, unsigned sip_status)
{
	const Gh__Route *row = d->route ? d->route->row : NULL;

	/* Silence, however the stack spells it, is never an answer. */
	if (!sip_status || sip_status == SIP_TIMEOUT)
		return true;
	if (row && row->n_failover_causes) {
		for (size_t i = 0; i < row->n_failover_causes; i++)
			if (row->failover_causes[i] == sip_status)
				return true;
		return false;
	}
	for (size_t i = 0;
		i < sizeof(default_causes) / sizeof(default_causes[0]); i++)
		if (default_causes[i] == sip_status)
			return true;
	return false;
}
