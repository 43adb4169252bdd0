/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a trunk or a PBX is: its addresses, one after the other, for whatever
 * is sent there: INVITE, SUBSCRIBE, MESSAGE, OPTIONS, REGISTER.
 *
 * The order is: where we are registered, then the rows of its targets by
 * priority, a name's addresses as RFC 3263 orders them. Who sends asks for one
 * place, tries it, and asks for the next where its own rules have it (a call
 * fails over, a text does not).
 */
#ifndef SBC_TARGET_H
#define SBC_TARGET_H

#include "common/reason.h"
#include "sbc/locate.h"
#include "sbc/settings.h"
#include "sbc/stack.h"

struct sbc;

/** A place that can be tried. */
struct target_place {
	const Gh__TrunkTarget *row; /* that led here */
	struct target target;
	const struct realm_address *address; /* of ours */
	char host[300]; /* the far side's, for the right of the @ */
};

/** One walk over a trunk's places. Its memory stays where it is from begin to
 * end; without a walk it is all zero. */
struct target_walk {
	struct sbc *sbc;
	const struct trunk *trunk; /* NULL = none */
	void (*fn)(void *ctx);
	void *ctx;
	bool insists;         /* takes places that are known to be silent */
	bool registrar_taken; /* it comes first */
	bool located;         /* the present row's name */
	size_t nth;           /* of the rows: the present one */
	struct addr registrar;
	struct locate_query *query;
	enum reason why;    /* what the name led to */
	struct addr *addrs; /* n of them; NULL = none */
	size_t n, next;
};

enum target_step {
	TARGET_FOUND,
	TARGET_ASKED,   /* fn runs once, later: then the same call again */
	TARGET_USELESS, /* this one can not be used; why_out says why */
	TARGET_END,     /* no further place */
};

/** Begins, or begins anew. trunk is borrowed until the walk ends. */
void target_walk_begin(struct target_walk *w, struct sbc *sbc,
	const struct trunk *trunk, void (*fn)(void *ctx), void *ctx);
/** The next place; of a useless one only its row is told. */
enum target_step target_walk_next(struct target_walk *w,
	struct target_place *place_out, enum reason *why_out);
/** The next place that can be used; with TARGET_END why_out says what the last
 * one lacked. Never TARGET_USELESS. */
enum target_step target_walk_usable(struct target_walk *w,
	struct target_place *place_out, enum reason *why_out);
/** The next address whoever is there, and without the registrar's: what is
 * known of a trunk is asked of each. */
enum target_step target_walk_address(struct target_walk *w,
	const Gh__TrunkTarget **row_out, struct addr *addr_out,
	enum reason *why_out);
/** Safe on one that was never begun. */
void target_walk_end(struct target_walk *w);

/** A row's place at this address.
 * @param insists	also where it is known to be silent.
 * @return ROUTE_OK, or why it can not be used. */
enum reason target_place_at(struct sbc *sbc, const struct trunk *t,
	const Gh__TrunkTarget *row, const struct addr *addr, bool insists,
	struct target_place *place_out);
/** Which of our sockets, and which connection, lead there. Without a
 * connection target_out has the socket all the same, address_out its address.
 * @return ROUTE_OK, or ROUTE_TRUNK_DOWN. */
enum reason target_reach(struct sbc *sbc, const struct trunk *t,
	Gh__Transport transport, const struct addr *addr,
	struct target *target_out, const struct realm_address **address_out);
/** The nth of a trunk's rows by priority, or NULL. */
const Gh__TrunkTarget *target_row(const struct trunk *t, size_t nth);

#endif
