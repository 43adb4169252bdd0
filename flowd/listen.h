/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets: wanted by sbc's FlowConfig, opened by keeper, which
 * holds them beyond our death. Everything that can be refused by address alone
 * is refused here, before a byte is read and before any TLS work.
 *
 * Also keeps what listeners and outgoing connections need of TLS, and makes it
 * anew when files change: connections go on with what they have.
 */
#ifndef FLOWD_LISTEN_H
#define FLOWD_LISTEN_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/daemon.h"
#include "flowd/cert.h"
#include "flowd/config.h"
#include "flowd/flow.h"
#include "flowd/openssl.h"
#include "flowd/source.h"

enum listener_state {
	LISTENER_ASKED, /* keeper has not answered */
	LISTENER_OPEN,
	LISTENER_FAILED, /* tried again later */
	LISTENER_STATE_COUNT,
};

struct listeners;

struct listener {
	LIST_ENTRY(listener) next;
	struct listeners *all;
	const struct config_listener *want; /* of the config in force */
	struct face *face;
	enum listener_state state;
	char device[DEVICE_NAME_SIZE]; /* that keeper was asked for */
	int fd;
	struct loop_fd *watch;
	SSL_CTX *tls; /* NULL: plain, or its files are no good */
	char problem[CERT_PROBLEM_SIZE]; /* "" = none */
	char told[CERT_PROBLEM_SIZE];    /* why it is not open, as logged */
	uint64_t n_accepted, n_refused;
};

LIST_HEAD(listener_list, listener);

struct listeners {
	struct daemon *daemon;
	struct flows *flows;
	struct sources *sources;
	struct certs certs;
	struct config *config; /* in force; NULL before the first */
	struct listener_list list;
	struct loop_timer *retry_timer; /* failed ones, and after EMFILE */
	struct loop_timer *check_timer; /* files */
	uint64_t check_us;
	bool draining; /* nothing is accepted any more */
	bool retired;  /* the sockets are another flowd's */
};

GH_MUST_CHECK int listeners_new(struct daemon *daemon, struct flows *flows,
	struct sources *sources, const struct certs *folders, uint64_t check_us,
	struct listeners **listeners_out);
void listeners_free(struct listeners **listeners);

/** Takes config over. */
void listeners_apply(struct listeners *ls, struct config *config);
/** Reads certificates anew. What can not be read leaves the old in force. */
void listeners_reload(struct listeners *ls);
/** Shows keeper the sockets (it may be a new one). */
void listeners_show_keeper(struct listeners *ls);
/** Accepts nothing more; the sockets stay keeper's. */
void listeners_drain(struct listeners *ls);
/** Lets go of the sockets for good: the next flowd has keeper's copies. What
 * a config says of listeners does not count from now on. */
void listeners_retire(struct listeners *ls);
/** The listener that an outgoing connection speaks for: this very address, or
 * the first of this realm, transport and family. NULL: none. */
struct listener *listeners_find(struct listeners *ls, uint32_t realm,
	const struct addr *local, Gh__Transport transport);

const char *listener_state_name(enum listener_state s);

#endif
