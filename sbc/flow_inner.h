/* SPDX-License-Identifier: Apache-2.0 */
/* What flow.c, flow_link.c, flow_line.c and flow_config.c share. */
#ifndef SBC_FLOW_INNER_H
#define SBC_FLOW_INNER_H

#include <sys/queue.h>

#include "common/clock.h"
#include "common/device.h"
#include "common/ipc.h"
#include "sbc/flow.h"
#include "sbc/sbc.h"

#define FLOWS_MAX     1000000u
#define UNTOLD_MAX    64u
#define LINE_PAUSE_US (500 * CLOCK_US_PER_MS)

/* What a connection to a trunk has to prove, and shows of itself. */
struct line_terms {
	char name[256]; /* that its certificate must have */
	char ca[65], pin[65], certificate[65];
	char advertised[256]; /* host[:port] of our Via; "" = the listener's */
	char device[DEVICE_NAME_SIZE]; /* to leave by; "" = any */
};

/* A connection to a trunk: one that the settings want, or one for a request
 * that is too large for a datagram. */
struct line {
	LIST_ENTRY(line) next;
	struct flows *all;
	bool wanted;              /* by the settings: it is to stand */
	uint64_t needed_until_us; /* by a request */
	uint64_t refused_until_us;
	uint32_t trunk;
	uint32_t realm;
	struct addr listen;
	Gh__Transport transport;
	struct addr remote;
	struct line_terms terms;
	uint64_t request; /* under way; 0 = none */
	bool outdated;    /* ... under terms that hold no longer */
	struct flow *flow;
	uint64_t pause_us;
	struct loop_timer *timer;
	TAILQ_HEAD(, flow_ask) asks;
};

#define NAME_ADDRS_MAX 8

/* A target that is a name, and where it leads. */
struct flow_name {
	LIST_ENTRY(flow_name) next;
	struct flows *all;
	bool wanted;
	uint32_t trunk;
	char host[256];
	uint16_t port;
	Gh__Transport transport;
	struct addr addrs[NAME_ADDRS_MAX];
	size_t n_addrs;
	struct locate_query *query;
	struct loop_timer *timer; /* to the next look */
};

/* A local connection that flowd has not announced yet. */
struct untold {
	uint16_t port;
	uint64_t since_us;
};

/* Where registered phones are. */
struct host {
	struct table_node node;
	struct addr addr;
	size_t n_bindings;
};

struct flows {
	struct sbc *sbc;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct addr bridge;
	bool bridge_open;
	struct ipc_link *link; /* to the present flowd */
	/* To those that are retired, by the number of their names. */
	struct ipc_link *retired[PROCESS_OLD_MAX];
	struct loop_timer *retired_timer;
	uint64_t version, last_request;
	struct table by_id, by_port, hosts;
	LIST_HEAD(, line) lines;
	LIST_HEAD(, flow_name) names;
	LIST_HEAD(, flow) proven; /* with a certificate */
	struct untold untold[UNTOLD_MAX];
	size_t n_untold;
	uint64_t peer_start; /* of the present flowd */
};

/* flow.c */
struct flow *flow_by_id(const struct flows *flows, uint64_t id);
void flow_close(struct ipc_link *via, uint64_t id);
/** It has gone; it is kept for a moment. */
void flow_end(struct flow *f);
void flow_free(struct flow *f);
void flow_on_opened(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
void flow_on_closed(void *ctx, struct ipc_link *link, const Gh__Msg *msg);

/* flow_link.c */
void flow_say(struct ipc_link *via, const Gh__Msg *msg);
void flow_links_open(struct flows *flows);
void flow_links_free(struct flows *flows);

/* flow_name.c */
/** Where a target that is a name leads, as far as is known; it is looked for
 * from now on. */
const struct flow_name *flow_name_want(
	struct flows *flows, const struct trunk *t, const Gh__TrunkTarget *row);
/** Forgets those that nobody wants any more. */
void flow_names_sweep(struct flows *flows);
void flow_names_free(struct flows *flows);

/* flow_line.c */
/** The request for it failed. */
void flow_line_refused(struct line *line);
/** It has become a flow, or has not: who waits is told. */
void flow_line_tell(struct line *line);
/** Asks for it, if it lacks and flowd is there. */
void flow_line_ask(struct line *line);
/** The same later, with a growing pause. */
void flow_line_retry(struct line *line);
void flow_line_free(struct line *line);
/** Lines as a snapshot wants them. */
void flow_want_lines(struct flows *flows, const struct settings *s);

/* flow_config.c */
/** Tells a flowd the wanted state by the snapshot in force. */
void flow_send_config(struct flows *flows, struct ipc_link *via);

#endif
