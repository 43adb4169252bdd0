/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table behind source learning. An address is never learned because it was
 * fast: each candidate needs a relation to what signaling said, and the
 * weaker the relation, the longer the probation. What happens over time
 * (freezing, re-learning, silence) is leg.c's.
 */
#include "mediad/learn.h"

static bool in_networks(const struct learn_rules *r, const struct addr *a)
{
	for (unsigned i = 0; i < r->n_networks; i++)
		if (addr_in_net(a, &r->networks[i]))
			return true;
	return false;
}

/* An address that nobody may talk to, whatever signaling says. */
static bool is_impossible(const struct learn_rules *r, const struct addr *a)
{
	if (!addr_is_set(a) || a->port == 0 || addr_is_any(a) ||
		addr_is_multicast(a) || a->family != r->bound.family)
		return true;
	return addr_is_loopback(a) && !addr_is_loopback(&r->bound);
}

enum reason learn_decide(const struct learn_rules *r, const struct addr *source)
{
	bool host_is_known = addr_is_set(&r->signaling) &&
			     addr_equal_ip(source, &r->signaling);

	if (is_impossible(r, source))
		return REASON_LEARN_REFUSED;
	if (addr_is_set(&r->signaled) && addr_equal(source, &r->signaled))
		return REASON_LEARN_SIGNALED;
	if (in_networks(r, source))
		return REASON_LEARN_NETWORK;
	if (r->nat == LEARN_NAT_NEVER)
		return REASON_LEARN_REFUSED;
	if (host_is_known && (r->behind_nat || r->nat == LEARN_NAT_ALWAYS))
		return REASON_LEARN_SAME_HOST;
	if (r->nat == LEARN_NAT_ALWAYS)
		return REASON_LEARN_OTHER_HOST;
	return REASON_LEARN_REFUSED;
}

unsigned learn_rank(enum reason decision)
{
	switch (decision) {
	case REASON_LEARN_SIGNALED:
		return 4;
	case REASON_LEARN_NETWORK:
		return 3;
	case REASON_LEARN_SAME_HOST:
		return 2;
	case REASON_LEARN_OTHER_HOST:
		return 1;
	default:
		return 0;
	}
}

unsigned learn_probation(enum reason decision)
{
	switch (decision) {
	case REASON_LEARN_SIGNALED:
		return 1;
	case REASON_LEARN_OTHER_HOST:
		return 5;
	default:
		return 2;
	}
}

bool learn_may_send(const struct learn_rules *r, const struct addr *target)
{
	if (is_impossible(r, target))
		return false;
	if (addr_is_set(&r->signaling) && addr_equal_ip(target, &r->signaling))
		return true;
	return in_networks(r, target);
}
