/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc's end of the link to mediad. A call describes its whole wanted session;
 * this module numbers versions, sends, waits with a deadline, and after a
 * reconnect sends every session again. Nothing here knows SDP or SIP.
 */
#ifndef SBC_MEDIA_H
#define SBC_MEDIA_H

#include <stdbool.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

struct sbc;
struct media;
struct media_session;

struct media_events {
	/* The wanted state is in force (why SESSION_OPEN), or why not. state is
	 * borrowed until return. Runs once per media_want() unless a newer
	 * want overtook it. */
	void (*on_state)(
		void *ctx, enum reason why, const Gh__SessionState *state);
	/* Final figures after media_end(); NULL stats if mediad was away. Last
	 * call for this session, which is freed after it. */
	void (*on_ended)(
		void *ctx, enum reason why, const Gh__SessionEnded *ended);
	void (*on_event)(void *ctx, const Gh__MediaEvent *event);
};

/** After a restart: what mediad has is claimed and left alone until the calls
 * of the earlier process are known again. */
void media_hold(struct media *media);
/** They are: what nobody here has is ended. */
void media_release(struct media *media);

GH_MUST_CHECK int media_new(
	struct sbc *sbc, const char *path, struct media **media_out);
void media_free(struct media **media);
bool media_is_up(const struct media *media);

/** Tells mediad the realms of a snapshot. */
struct settings;
void media_apply(struct media *media, const struct settings *settings);

/** A session for a call; nothing is sent yet. events and ctx are borrowed
 * until on_ended. @return 0, ERR_NOMEM or ERR_EXISTS. */
GH_MUST_CHECK int media_session_new(struct media *media,
	const char call[IDENT_CALL_SIZE], const struct media_events *events,
	void *ctx, struct media_session **session_out);

/** Wants this state of both sides (request, call and version are filled in
 * here; the message is copied and the copy wiped at the end). on_state follows
 * within 2 s. @return 0, ERR_AWAY or ERR_NOMEM. */
GH_MUST_CHECK int media_want(
	struct media_session *session, const Gh__SessionWant *want);
/** The state that was wanted last, packed, for the record of the call; borrowed
 * until the next want. */
void media_session_wanted(const struct media_session *session,
	ProtobufCBinaryData *want_out, uint32_t *version_out);
/** Its name for mediad; the session's. */
const char *media_session_name(const struct media_session *session);
bool media_session_exists(const struct media *media, const char *call);
/** A session of an earlier process, with what that wanted last (empty = it had
 * wanted nothing). Nothing is sent yet.
 * @return 0, ERR_NOMEM, ERR_EXISTS, or ERR_CORRUPT. */
GH_MUST_CHECK int media_session_restore(struct media *media,
	const char call[IDENT_CALL_SIZE], const struct media_events *events,
	void *ctx, const ProtobufCBinaryData *want, uint32_t version,
	struct media_session **session_out);
/** Wants the same again; on_state follows when mediad is there. */
void media_again(struct media_session *session);
/** Ends it; on_ended follows within 2 s. Safe in any state. */
void media_end(struct media_session *session);
/** Ends it without a callback: for an owner that goes away at once. */
void media_session_drop(struct media_session **session);

#endif
