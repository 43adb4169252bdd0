/* SPDX-License-Identifier: Apache-2.0 */
/* mediad's stand-in: sessions have ports that nobody opens. */
#include "config.h"

#include "tests/unit/call_world_inner.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_side(const Gh__MediaSide *want, Gh__MediaSideState *state,
	char (*texts)[32], uint32_t port)
{
	if (want == NULL || want->realm == 0)
		return;
	snprintf(texts[0], 32, "%s:%u", want->media, port);
	snprintf(texts[1], 32, "%s:%u", want->media, port + 1);
	state->rtp = texts[0];
	state->rtcp = texts[1];
}

void cw_media_answer(struct cw *w, enum reason why)
{
	Gh__SessionState state = GH__SESSION_STATE__INIT;
	Gh__MediaSideState sides[2] = {
		GH__MEDIA_SIDE_STATE__INIT, GH__MEDIA_SIDE_STATE__INIT};
	char texts[4][32];

	ck_assert_ptr_nonnull(w->want);
	state.request = w->want->request;
	state.call = w->want->call;
	state.version = w->want->version;
	state.reason = reason_number(why);
	if (why == REASON_SESSION_OPEN) {
		fill_side(w->want->caller, &sides[0], &texts[0], CW_PORT);
		fill_side(w->want->called, &sides[1], &texts[2], CW_PORT + 2);
		state.caller = &sides[0];
		state.called = &sides[1];
	}
	IPC_MSG(out, SESSION_STATE, session_state, &state);
	ck_assert_int_eq(ipc_send(w->mediad_link, &out), 0);
}

static void on_want(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	size_t len = gh__session_want__get_packed_size(msg->session_want);
	uint8_t *bytes = malloc(len);

	(void)link;
	ck_assert_ptr_nonnull(bytes);
	gh__session_want__pack(msg->session_want, bytes);
	if (w->want != NULL)
		gh__session_want__free_unpacked(w->want, NULL);
	w->want = gh__session_want__unpack(NULL, len, bytes);
	free(bytes);
	w->n_wants++;
	snprintf(w->last_call, sizeof w->last_call, "%s", w->want->call);
	if (w->want->version == 1)
		w->n_opened++;
	if (!w->media_silent)
		cw_media_answer(w, w->media_refuses);
	if (w->refuses_once)
		w->media_refuses = REASON_SESSION_OPEN;
}

static void on_end(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	Gh__SessionEnded ended = GH__SESSION_ENDED__INIT;
	Gh__MediaStats stats[2] = {
		GH__MEDIA_STATS__INIT, GH__MEDIA_STATS__INIT};

	w->n_ended++;
	stats[0].rx_packets = 11;
	stats[0].codec = cw_str("PCMA");
	stats[1].rx_packets = 22;
	stats[1].codec = cw_str("PCMA");
	ended.request = msg->session_end->request;
	ended.call = msg->session_end->call;
	ended.reason = reason_number(REASON_SESSION_CLOSED);
	ended.caller = &stats[0];
	ended.called = &stats[1];
	IPC_MSG(out, SESSION_ENDED, session_ended, &ended);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

void cw_media_event(struct cw *w, Gh__MediaEventKind kind, bool called_side)
{
	Gh__MediaEvent event = GH__MEDIA_EVENT__INIT;

	event.call = w->last_call;
	event.kind = kind;
	event.called_side = called_side;
	event.reason = reason_number(REASON_CALL_MEDIA_TIMEOUT);
	IPC_MSG(out, MEDIA_EVENT, media_event, &event);
	ck_assert_int_eq(ipc_send(w->mediad_link, &out), 0);
}

static void on_up(void *ctx, struct ipc_link *link)
{
	struct cw *w = ctx;
	Gh__SessionList list = GH__SESSION_LIST__INIT;

	w->mediad_link = link;
	list.done = 1;
	IPC_MSG(out, SESSION_LIST, session_list, &list);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct cw *w = ctx;

	(void)link;
	(void)why;
	w->mediad_link = NULL;
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_SESSION_WANT, PROCESS_BIT(PROCESS_SBC), on_want},
	{GH__MSG__BODY_SESSION_END, PROCESS_BIT(PROCESS_SBC), on_end},
	{GH__MSG__BODY_SESSION_CLAIM, PROCESS_BIT(PROCESS_SBC), cw_ignore},
	{GH__MSG__BODY_MEDIA_CONFIG, PROCESS_BIT(PROCESS_SBC), cw_ignore},
};

static bool is_media_up(void *ctx)
{
	struct cw *w = ctx;

	return media_is_up(w->sbc.media) && w->mediad_link != NULL;
}

static bool is_media_down(void *ctx)
{
	return !media_is_up(((struct cw *)ctx)->sbc.media);
}

void cw_mediad_start(struct cw *w)
{
	w->mediad = cw_serve(w, PROCESS_MEDIAD, permits,
		sizeof permits / sizeof *permits, on_up, on_down, "mediad");
	if (w->sbc.media != NULL)
		cw_until(w, is_media_up, w, "the link to mediad");
}

void cw_mediad_stop(struct cw *w)
{
	ipc_server_free(&w->mediad);
	w->mediad_link = NULL;
	cw_until(w, is_media_down, w, "the end of the link to mediad");
}
