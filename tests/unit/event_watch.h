/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A phone of extension 100, a PBX, and a subscription between them, for the
 * suites of events.
 */
#ifndef TESTS_UNIT_EVENT_WATCH_H
#define TESTS_UNIT_EVENT_WATCH_H

#include "sbc/event_inner.h"
#include "tests/unit/call_world.h"

#define MWI  "application/simple-message-summary"
#define INFO "application/dialog-info+xml"

/** A body of each. */
extern const char watch_waiting[], watch_lamp[];

/** A phone and a PBX, and a subscription between them. */
struct watch {
	struct cw *w;
	const char *login; /* NULL = account 1's */
	struct sip_peer phone, pbx;
	struct dialog near; /* the phone's end */
	struct dialog far;  /* the PBX's */
	const char *event;
};

void watch_begin_with(struct watch *t, const struct cw_config *config);
void watch_begin(struct watch *t);

/** For cw_until(): no subscription is left. */
bool watch_is_over(void *ctx);
/** Waits for that; nobody may have heard of a CDR. */
void watch_end(struct watch *t);

/** A request of the phone outside of dialogs. */
void watch_send(struct watch *t, const char *method, const char *user,
	const char *extra, const char *type, const char *body);

/** With the digest of account 1, after the challenge. */
void watch_prove(struct watch *t, const char *method, const char *user,
	const char *extra, const char *type, const char *body);

/** Event and Expires; static. */
const char *watch_lines(struct watch *t, const char *event, int expires);

/** The phone subscribes; it is at the PBX afterwards. */
void watch_ask(
	struct watch *t, const char *user, const char *event, int expires);

/** The PBX takes it. */
void watch_accept(struct watch *t, int expires);

/** The PBX sends a NOTIFY. */
void watch_notify(struct watch *t, const char *event, const char *state,
	const char *type, const char *body);

/** A NOTIFY that reaches the phone, and its answer the PBX. */
void watch_tell(struct watch *t, const char *event, const char *state,
	const char *type, const char *body);

/** In force, with its first state. */
void watch_up(struct watch *t, const char *user, const char *event);

/** Ends it from the PBX, and the world. */
void watch_over(struct watch *t);

#endif
