/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions as the control thread sees them: a wanted state comes in, ports and
 * workers make it so. Each is idempotent and has a lease: one that nobody
 * claims in time ends.
 */
#ifndef MEDIAD_SESSION_H
#define MEDIAD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/device.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/reason.h"
#include "mediad/leg.h"
#include "mediad/worker.h"

struct keep;
struct want;
struct sessions;

/** Ports, SSRC and name of one side; rtp unset = not open. */
struct session_side_view {
	struct addr rtp;
	struct addr rtcp; /* equals rtp with rtcp-mux */
	uint32_t ssrc;
	char cname[LEG_CNAME_SIZE];
};

struct session_view {
	char call[IDENT_CALL_SIZE];
	uint32_t version;
	uint64_t opened_wall_us;
	unsigned worker;
	struct session_side_view side[SIDE_COUNT];
};

struct session_events {
	/* A wanted state is in force: no packet is read before it. */
	void (*on_state)(
		void *ctx, uint64_t request, const struct session_view *view);
	/* A session has ended, for whatever reason; ports are resting.
	 * request is session_end()'s, or 0. */
	void (*on_ended)(void *ctx, const char *call, uint64_t request,
		enum reason why, const struct leg_stats stats[SIDE_COUNT]);
	void (*on_event)(void *ctx, const struct leg_event *event);
	/* Answer to session_ask(). */
	void (*on_stats)(void *ctx, void *ticket,
		const struct session_view *view,
		const struct leg_stats stats[SIDE_COUNT]);
};

struct sessions_config {
	struct loop *loop;
	unsigned n_workers;
	size_t capacity; /* calls at most */
	const struct session_events *events;
	void *ctx;
};

/** Makes workers and slabs; threads start with sessions_start(), after the
 * sandbox is in force. @return 0, ERR_NOMEM or ERR_SYSTEM. */
GH_MUST_CHECK int sessions_new(
	const struct sessions_config *config, struct sessions **sessions_out);
/**
 * Goes on with what an earlier process left: all that it had deposited has come
 * (keep.h). Before sessions_start(). @return 0, or why no live-state store can
 * be had; what is damaged is dropped with a log line.
 */
GH_MUST_CHECK int sessions_resume(struct sessions *s);
GH_MUST_CHECK int sessions_start(struct sessions *s);
/** Ends all threads and closes everything. Sessions that are open are left to
 * the next process; without any, nothing is left. */
void sessions_free(struct sessions **sessions);

/** What outlives this process; borrowed. */
struct keep *sessions_keep(struct sessions *s);

#define SESSION_REALMS_MAX      64u
#define SESSION_REALM_ADDRS_MAX 8u

/** Where media may live. */
struct session_realm {
	uint32_t id;
	uint16_t port_min;
	uint16_t port_max;
	uint8_t n_media;
	struct addr media[SESSION_REALM_ADDRS_MAX];
	char devices[SESSION_REALM_ADDRS_MAX][DEVICE_NAME_SIZE]; /* "" = any */
};

struct session_settings {
	struct session_realm realms[SESSION_REALMS_MAX];
	size_t n_realms;
	uint64_t lease_us;
	uint64_t quarantine_us;
	struct watch_rules rules;
	uint32_t coalesce_us;
};

/** Takes new settings over; open sessions keep their ports. */
void sessions_configure(
	struct sessions *s, const struct session_settings *settings);

/**
 * Makes the wanted state so. The same or an older version changes nothing and
 * answers what is. On failure nothing has changed. What want owns may be taken
 * out of it; it stays the caller's to want_done().
 * @return SESSION_OPEN: on_state was called, once; or SESSION_NO_PORT,
 *	SESSION_FULL, SESSION_NO_REALM, SESSION_REFUSED.
 */
enum reason session_want(
	struct sessions *s, struct want *want, uint64_t request);

/** Begins to end one; on_ended follows, once, with the newest request number.
 * @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int session_end(struct sessions *s, const char *call,
	uint64_t request, enum reason why);

/** Renews leases. @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int session_claim(struct sessions *s, const char *call);
void sessions_claim_all(struct sessions *s);

/** Asks for figures; on_stats follows, once.
 * @return 0, ERR_NOT_FOUND or ERR_NOMEM. */
GH_MUST_CHECK int session_ask(
	struct sessions *s, const char *call, void *ticket);

/** Names of all open sessions, one after the other, each IDENT_CALL_SIZE
 * bytes; free() it. @return NULL if there are none or memory is short. */
char *sessions_names(const struct sessions *s, size_t *n_out);

size_t sessions_count(const struct sessions *s);
size_t sessions_capacity(const struct sessions *s);
unsigned sessions_workers(const struct sessions *s);

/** Adds what the workers counted since the last time to this process's
 * counters (reason.h, stat.h). */
void sessions_merge_counts(struct sessions *s);

#endif
