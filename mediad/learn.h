/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From where may a side's media come, and where may ours go? Pure decisions on
 * addresses; leg.c keeps the state. Rule 2 of doc/architecture.md ("Media
 * source").
 */
#ifndef MEDIAD_LEARN_H
#define MEDIAD_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/reason.h"

#define LEARN_NETWORKS_MAX 64u

enum learn_nat { LEARN_NAT_AUTO, LEARN_NAT_ALWAYS, LEARN_NAT_NEVER };

/** What signaling said about one side. */
struct learn_rules {
	struct addr signaled;  /* address in the SDP; may be unset */
	struct addr signaling; /* host that signals; port is ignored */
	struct addr bound;     /* our own address */
	enum learn_nat nat;
	bool behind_nat;
	uint8_t n_networks;
	struct addr_net *networks; /* owned by whoever holds the rules */
};

/**
 * Ranks a source that sends to us.
 * @return LEARN_SIGNALED, LEARN_NETWORK, LEARN_SAME_HOST, LEARN_OTHER_HOST,
 *	or LEARN_REFUSED.
 */
enum reason learn_decide(
	const struct learn_rules *rules, const struct addr *source);

/** Higher is better; LEARN_REFUSED is 0. */
unsigned learn_rank(enum reason decision);

/** Packets in a row that such a source needs before it is believed: 1 = the
 * first one counts. */
unsigned learn_probation(enum reason decision);

/**
 * Whether media may go to the signaled address before anything was heard from
 * it: only if the host that signals named itself, or an address of the trunk's
 * media networks. A call must not aim our packets at a third party.
 */
bool learn_may_send(const struct learn_rules *rules, const struct addr *target);

#endif
