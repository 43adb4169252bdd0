/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a call goes. Pure: facts in, decision out, nothing asked of anybody.
 * The caller of route_decide() collects the facts first (who calls, whether
 * the called number or extension is an account, which trunks are in service).
 */
#ifndef SBC_ROUTE_H
#define SBC_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"
#include "sbc/settings.h"

#define ROUTE_NUMBER_SIZE 64
#define ROUTE_TARGETS_MAX 16

/** What kind of peer stands on a side. */
enum side_kind { SIDE_TRUNK, SIDE_PBX, SIDE_PHONE, SIDE_KIND_COUNT };
const char *side_kind_name(enum side_kind kind); /* as in CdrLeg.kind */

struct route_facts {
	enum side_kind from;
	const struct trunk *from_trunk;  /* SIDE_TRUNK and SIDE_PBX */
	const Gh__Account *from_account; /* SIDE_PHONE */
	const char *called;              /* after number_in() */
	const char *caller;              /* after number_in(); "" = anonymous */
	const Gh__Account *called_account; /* whose extension or number called
					      is; NULL if none */
	bool (*trunk_in_service)(void *ctx, uint32_t trunk);
	void *ctx;
	uint32_t random; /* for weights: a fresh random number */
};

struct route_target {
	bool is_account; /* all phones of account; else trunk */
	const struct trunk *trunk;
};

struct route_decision {
	enum reason why; /* ROUTE_OK or the refusal */
	unsigned sip;    /* what to answer on refusal */
	const struct route
		*route; /* that decided; NULL: by extension or number */
	struct route_target targets[ROUTE_TARGETS_MAX]; /* in order of trial */
	size_t n_targets;
	unsigned timeout_s; /* per target until a provisional answer; 0 =
			       default */
	bool emergency;
};

/**
 * Order: blocked callers; routes by priority; then, if no route matched, the
 * account that owns the called extension or number. A call from an account or
 * the PBX to an extension needs no route row; a PBX (trunk in an inside realm)
 * gets a call for an extension only through a route row, and so does a call
 * from an ITSP for an extension: without one it reaches assigned numbers only.
 *
 * Emergency rows come before all others whatever their priority, so that no
 * reject for a prefix swallows them; without regex they match the whole number
 * ("112" is one, "1123456" is not), and trunks that seem out of service are
 * tried last instead of never. The block list speaks of ITSPs; a row that
 * names a trunk speaks of that one, also if it is a PBX. No call goes back to
 * the trunk that it came from.
 */
void route_decide(const struct settings *s, const struct route_facts *facts,
	struct route_decision *decision_out);

/** Does the number lead to an emergency, as far as is known before the called
 * account is? Such a call is beyond every limit. */
bool route_is_emergency(
	const struct settings *s, const struct route_facts *facts);

/** Should this final answer of a target try the next one? 0 and 408 are
 * silence and always do; else the route's causes, and where it has none 500,
 * 502, 503 and 504. */
bool route_fails_over(const struct route_decision *d, unsigned sip_status);

/**
 * Applies a trunk's rules of one scope to a number: the first that matches
 * rewrites it; none matching leaves it as it is. Visual separators (RFC 3966
 * 5.1.1) and a tel: or sip: dress have been taken off by number_clean().
 * @return 0; ERR_TOO_BIG; ERR_INVALID if the result is no number.
 */
GH_MUST_CHECK int number_apply(const struct trunk *t, Gh__NumberRuleScope scope,
	const char *number, char out[ROUTE_NUMBER_SIZE]);
/**
 * Takes the number or name out of a user part: unescaped, bounded, without
 * separators and parameters (";phone-context=..." is dropped).
 * @return 0, ERR_TOO_BIG, or ERR_INVALID for characters that no number, no
 *	extension and no user name has.
 */
GH_MUST_CHECK int number_clean(const char *user, char out[ROUTE_NUMBER_SIZE]);

#endif
