/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mediad as rtpload's relay: plays sbc on its IPC socket. mediad must run as
 * the same user (mediad -f), because a link is open only to sbc's user.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/ident.h"
#include "common/ipc.h"
#include "tests/bench/relay.h"

#define REALM       1
#define DEADLINE_US (5u * 1000u * 1000u)

unsigned relay_mediad_coalesce_us = 500;

static struct loop *loop;
static struct loop_timer *deadline;
static struct ipc_link *link_to;
static struct process_users users;
static bool up, failed;
static Gh__SessionState *answer;

static void on_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	(void)link;
	up = true;
	loop_stop(loop);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	(void)ctx;
	(void)link;
	fprintf(stderr, "mediad: link lost: %s\n", reason_sentence(why));
	failed = true;
	loop_stop(loop);
}

static void on_deadline(void *ctx)
{
	(void)ctx;
	failed = true;
	loop_stop(loop);
}

static void on_ignored(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	(void)msg;
}

static void on_state(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	Gh__SessionState *s = msg->session_state;

	(void)ctx;
	(void)link;
	if (s->reason != reason_number(REASON_SESSION_OPEN) || !s->caller ||
		!s->called) {
		fprintf(stderr, "mediad: session refused, reason %u\n",
			s->reason);
		failed = true;
	} else {
		uint8_t copy[4096];
		size_t n = gh__session_state__get_packed_size(s);

		if (n <= sizeof(copy)) {
			gh__session_state__pack(s, copy);
			answer = gh__session_state__unpack(NULL, n, copy);
		}
	}
	loop_stop(loop);
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_SESSION_STATE, PROCESS_BIT(PROCESS_MEDIAD), on_state},
	{GH__MSG__BODY_SESSION_LIST, PROCESS_BIT(PROCESS_MEDIAD), on_ignored},
	{GH__MSG__BODY_SESSION_ENDED, PROCESS_BIT(PROCESS_MEDIAD), on_ignored},
	{GH__MSG__BODY_MEDIA_EVENT, PROCESS_BIT(PROCESS_MEDIAD), on_ignored},
};

/* Runs the loop until a callback stops it. */
static int wait_for(void)
{
	loop_timer_set(loop, deadline, DEADLINE_US);
	if (loop_run(loop) || failed)
		return -1;
	loop_timer_stop(loop, deadline);
	return 0;
}

static int mediad_open(const char *where)
{
	static const struct ipc_events events = {on_up, on_down};
	struct ipc_config config = {.self = PROCESS_SBC,
		.users = &users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = events};
	Gh__MediaConfig media = GH__MEDIA_CONFIG__INIT;
	Gh__MediaRealm realm = GH__MEDIA_REALM__INIT, *realms[] = {&realm};
	char local[] = "127.0.0.1", *locals[] = {local};

	process_users_all(&users, getuid());
	if (loop_event_new(&loop) ||
		loop_timer_new(loop, on_deadline, NULL, &deadline))
		return -1;
	config.loop = loop;
	if (ipc_connect(&config, where, PROCESS_MEDIAD, &link_to) ||
		wait_for() || !up) {
		fprintf(stderr, "mediad: nobody answers at %s\n", where);
		return -1;
	}
	realm.id = REALM;
	realm.media = locals;
	realm.n_media = 1;
	realm.port_min = 20000;
	realm.port_max = 59998;
	media.realms = realms;
	media.n_realms = 1;
	media.lease_ms = 60000;
	media.coalesce_us = relay_mediad_coalesce_us;
	media.quarantine_ms = 1000;
	media.rtcp_interval_ms = 5000;
	IPC_MSG(msg, MEDIA_CONFIG, media_config, &media);
	return ipc_send(link_to, &msg) ? -1 : 0;
}

/* Claims all sessions; also lets the link send and receive. */
static void mediad_keep(void)
{
	Gh__SessionClaim claim = GH__SESSION_CLAIM__INIT;

	claim.all = true;
	IPC_MSG(msg, SESSION_CLAIM, session_claim, &claim);
	if (ipc_send(link_to, &msg))
		fprintf(stderr, "mediad: claim not sent\n");
	loop_timer_set(loop, deadline, 1);
	if (!loop_run(loop))
		failed = false;
}

static void fill_side(Gh__MediaSide *side, Gh__Payload *payload,
	Gh__Payload **payloads, char *remote, size_t size,
	const struct sockaddr_in *local)
{
	static char media[] = "127.0.0.1", codec[] = "PCMA";

	gh__media_side__init(side);
	gh__payload__init(payload);
	snprintf(remote, size, "127.0.0.1:%u", ntohs(local->sin_port));
	payload->pt = 8;
	payload->peer_pt = 8;
	payload->codec = codec;
	payload->clock = 8000;
	payload->channels = 1;
	payload->ptime_us = 20000;
	*payloads = payload;
	side->realm = REALM;
	side->media = media;
	side->may_send = true;
	side->may_receive = true;
	side->remote_rtp = remote;
	side->signaling_source = media;
	side->payloads = payloads;
	side->n_payloads = 1;
	side->tx_ptime_us = 20000;
}

static int read_address(const char *text, struct sockaddr_in *to)
{
	struct sockaddr_storage sa;
	struct addr a;

	if (addr_parse(text, &a) || a.family != AF_INET)
		return -1;
	addr_to_sockaddr(&a, &sa);
	memcpy(to, &sa, sizeof(*to));
	return 0;
}

static int mediad_call(size_t index, struct relay_call *call)
{
	Gh__SessionWant want = GH__SESSION_WANT__INIT;
	Gh__MediaSide a, b;
	Gh__Payload a_payload, b_payload, *a_payloads, *b_payloads;
	Gh__SrtpKey receive = GH__SRTP_KEY__INIT, send = GH__SRTP_KEY__INIT;
	char a_remote[32], b_remote[32], id[IDENT_CALL_SIZE];
	int err;

	ident_make_call(id);
	fill_side(&a, &a_payload, &a_payloads, a_remote, sizeof(a_remote),
		&call->a_local);
	fill_side(&b, &b_payload, &b_payloads, b_remote, sizeof(b_remote),
		&call->b_local);
	if (call->srtp) {
		if (getrandom(call->b_receive_key, RELAY_MASTER_LEN, 0) !=
			RELAY_MASTER_LEN)
			return -1;
		receive.suite = send.suite =
			GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_80;
		receive.generation = send.generation = 1;
		receive.master = (ProtobufCBinaryData){
			RELAY_MASTER_LEN, call->b_send_key};
		send.master = (ProtobufCBinaryData){
			RELAY_MASTER_LEN, call->b_receive_key};
		b.receive = &receive;
		b.send = &send;
		b.srtp_required = true;
	}
	want.request = index + 1;
	want.call = id;
	want.version = 1;
	want.caller = &a;
	want.called = &b;
	IPC_MSG(msg, SESSION_WANT, session_want, &want);
	if (ipc_send(link_to, &msg) || wait_for() || !answer)
		return -1;
	err = read_address(answer->caller->rtp, &call->a_relay) ||
	      read_address(answer->called->rtp, &call->b_relay);
	gh__session_state__free_unpacked(answer, NULL);
	answer = NULL;
	return err ? -1 : 0;
}

static void mediad_close(void)
{
	ipc_link_free(&link_to);
	if (loop)
		loop_timer_free(loop, &deadline);
	loop_free(&loop);
}

const struct relay relay_mediad = {
	"mediad", mediad_open, mediad_call, mediad_keep, mediad_close};
