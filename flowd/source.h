/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may connect, decided before a byte is read and before any TLS work: bans,
 * connections per source, rates of strangers, the reserve for known phones.
 * A source is a host (IPv4 address or IPv6 /64). Pure but for memory.
 */
#ifndef FLOWD_SOURCE_H
#define FLOWD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/reason.h"
#include "common/table.h"
#include "common/token.h"

/** A known source may have this many times the connections of a stranger: an
 * office behind one address. */
#define SOURCE_KNOWN_FACTOR 10

struct source {
	struct table_node node;
	struct addr host;
	size_t n_flows;
	bool known; /* a registered phone is there */
	uint64_t banned_until_us;
	uint64_t idle_since_us; /* n_flows became 0 */
	struct token accepts;
};

/** What limits there are; the owner sets them at any time. */
struct source_limits {
	size_t max_flows;
	size_t max_per_source; /* 0 = no limit */
	size_t reserve_known;
	size_t max_handshakes;
	uint32_t accept_rate;        /* of all strangers, per second */
	uint32_t accept_rate_source; /* of one stranger */
};

struct sources {
	struct table table;
	struct source_limits limits;
	struct token accepts; /* of all strangers */
};

GH_MUST_CHECK int sources_init(struct sources *s, size_t max_sources);
void sources_done(struct sources *s);
void sources_set_limits(
	struct sources *s, const struct source_limits *limits, uint64_t now_us);

/**
 * May a connection from peer be taken?
 * @param trusted	a trunk's network: no ban, rate or limit of its own.
 * @param n_flows	connections there are; n_handshakes of them unfinished.
 * @param source_out	set only for FLOW_OPENED: the caller's to give back.
 * @return REASON_FLOW_OPENED, or why not.
 */
enum reason sources_take(struct sources *s, const struct addr *peer,
	bool trusted, size_t n_flows, size_t n_handshakes, uint64_t now_us,
	struct source **source_out);
/** For a connection that we open: counted, never refused. NULL if the table is
 * full. */
struct source *sources_take_out(
	struct sources *s, const struct addr *peer, uint64_t now_us);
/** The connection has gone. Safe on NULL. */
void sources_give(struct source *source, uint64_t now_us);

/** A phone registered from there, or its last registration there has gone. */
void sources_known(struct sources *s, const struct addr *host, bool known,
	uint64_t now_us);
/** until_us 0 lifts it. @return 0, or ERR_FULL. */
GH_MUST_CHECK int sources_ban(struct sources *s, const struct addr *host,
	uint64_t until_us, uint64_t now_us);
/** Forgets sources about which there is nothing to remember. */
void sources_tidy(struct sources *s, uint64_t now_us);

#endif
