/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of flowd: which connections of peers there are, what flowd has to
 * listen on, and the connections that we want to trunks. A flow reaches us as
 * a local TCP connection to our bridge listener; its port on flowd's side says
 * which flow it is (stack.c asks here).
 *
 * Announcement and connection may come in either order: bytes of a connection
 * that is not announced are not read, and after a second it is closed.
 */
#ifndef SBC_FLOW_H
#define SBC_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/table.h"
#include "sbc/settings.h"

struct ipc_link;
struct sbc;
struct flows;

#define FLOW_NAMES_MAX 16

/** A connection of a peer; read only outside flow.c. */
struct flow {
	struct table_node by_id;
	struct table_node by_port;
	uint64_t id;
	uint16_t port; /* of flowd's end of the bridge */
	struct addr peer;
	struct addr listen; /* of the listener that it speaks for */
	Gh__Transport transport;
	bool closed;              /* its last words may still be on their way */
	struct loop_timer *timer; /* to the end of that */
	struct flows *all;
	struct ipc_link *via; /* the flowd that has it */
	struct line *line;    /* it is one of ours to a trunk */
	char **names;         /* that the peer proved by its certificate */
	size_t n_names;
	LIST_ENTRY(flow) proven; /* where it proved anything */
	char *key; /* SHA-256 of the public key that it proved; "" = none */
};

/** @param path flowd's socket. @param bridge our local listener. Nothing is
 * connected until a snapshot has an address for connections. */
GH_MUST_CHECK int flows_new(struct sbc *sbc, const char *path,
	const struct addr *bridge, struct flows **flows_out);
void flows_free(struct flows **flows);
/** The bridge that flowd has to connect to. */
const struct addr *flows_bridge(const struct flows *flows);

/** A snapshot is in force. */
void flows_apply(struct flows *flows, const struct settings *settings);
/** The bridge listener is open: flowd may connect. */
void flows_on_bridge(struct flows *flows);

/** The flow of a local connection, by flowd's port; also one that has just
 * been closed. NULL = not announced. */
const struct flow *flow_at(const struct flows *flows, uint16_t port);
/** A flow that lives, or NULL. */
const struct flow *flow_find(const struct flows *flows, uint64_t id);
/** May bytes of the local connection from this port be read now? @return 1
 * yes, 0 not yet, ERR_REFUSED: it was not announced in time, close it. */
int flow_may_read(struct flows *flows, uint16_t port);
/** The connection that takes requests to this address of a trunk, as this
 * listener: ours, or one of the trunk's own that has proved its name by a
 * certificate (RFC 5923); NULL = there is none at the moment. */
const struct flow *flow_to(const struct flows *flows, const struct trunk *t,
	const struct addr *listen, Gh__Transport transport,
	const struct addr *remote);
/** Any connection to a trunk, for a dialog whose own has gone; or NULL. */
const struct flow *flow_of_trunk(const struct flows *flows,
	const struct trunk *t, const struct addr *listen,
	Gh__Transport transport);

/** Longer than this, a request must not go as a datagram to a trunk that takes
 * TCP (RFC 3261 18.1.1). */
#define FLOW_DATAGRAM_MAX 1300u
/** A connection that is asked for has this long. */
#define FLOW_ASK_US       2000000u
struct flow_ask;
typedef void (*flow_ask_fn)(void *ctx);
/** Connects to an address of a trunk that the settings reach by datagrams; fn
 * is called once, from the loop: then flow_to() has it, or the peer does not
 * take it (and is not asked again for a while).
 * @return 0, ERR_NOT_FOUND without an address of ours for it, ERR_FULL if there
 * are too many, or ERR_NOMEM. */
GH_MUST_CHECK int flow_ask(struct flows *flows, const struct trunk *t,
	Gh__Transport transport, const struct addr *remote, flow_ask_fn fn,
	void *ctx, struct flow_ask **ask_out);
/** Has it refused a connection a moment ago? */
bool flow_is_refused(const struct flows *flows, const struct trunk *t,
	const struct addr *listen, Gh__Transport transport,
	const struct addr *remote);
/** fn will not run. Safe on NULL. */
void flow_ask_cancel(struct flow_ask **ask);

/** May what came over this flow (0 = a datagram) speak for the trunk? Always,
 * unless the trunk has to prove itself: then the flow's certificate must have
 * its name or its pinned key. */
bool flow_proves(
	const struct flows *flows, uint64_t flow, const struct trunk *t);

/** A binding of a phone at this address came, or went. flowd is told of hosts
 * that have some. */
void flow_known(struct flows *flows, const struct addr *addr, bool known);
/** authd's Ban goes on to flowd. */
void flow_ban(struct flows *flows, const Gh__Ban *ban);

/** TCP, TLS, WS, WSS. */
bool transport_is_stream(Gh__Transport t);
bool transport_is_secured(Gh__Transport t);

#endif
