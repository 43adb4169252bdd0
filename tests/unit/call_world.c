/* SPDX-License-Identifier: Apache-2.0 */
/* See call_world.h. */
#include "config.h"

#include "tests/unit/call_world.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "sbc/ctl.h"
#include "sbc/loop_sofia.h"
#include "sbc/page.h"
#include "sbc/meter.h"
#include "sbc/sofia_cures.h"
#include "sbc/talker.h"
#include "sbc/trunk.h"

#define STEP_US 10000
#define TURNS   12

/* protobuf-c takes char *. */
static char *str(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* ------------------------------------------------------- authd's stand-in */

static void fill_account(const struct cw *w, Gh__Account *row, uint64_t id)
{
	static char first[] = "+4930100", second[] = "+4930200";
	static char *numbers[2] = {first, second};

	row->id = id;
	row->user = str(id == 1 ? "u1" : "u2");
	row->extension = str(id == 1 ? "100" : "200");
	row->display_name = str(id == 1 ? "Alice" : "Bob");
	row->numbers = &numbers[id - 1];
	row->n_numbers = 1;
	row->caller_number = numbers[id - 1];
	row->realm = 1;
	row->enabled = true;
	row->max_calls = w->max_calls;
	row->max_calls_per_hour = w->max_calls_per_hour;
	row->max_minutes_per_day = w->max_minutes_per_day;
	row->usage_at_us = w->usage_at_us;
	row->usage_hour_calls = w->usage_hour_calls;
	row->usage_day_us = w->usage_day_us;
	row->srtp = w->account_srtp;
	row->surrogate = w->surrogate != 0;
	row->surrogate_trunk = w->surrogate;
	row->max_contacts = 8;
}

static void on_account(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	const Gh__AccountQuery *q = msg->account_query;
	Gh__AccountAnswer answer = GH__ACCOUNT_ANSWER__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	uint64_t id = 0;

	if (w->accounts_silent)
		return;
	if (q->by == GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION)
		id = strcmp(q->key, "100") == 0   ? 1
		     : strcmp(q->key, "200") == 0 ? 2
						  : 0;
	else if (q->by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER)
		id = strcmp(q->key, "+4930100") == 0   ? 1
		     : strcmp(q->key, "+4930200") == 0 ? 2
						       : 0;
	answer.id = q->id;
	answer.found = id != 0;
	if (id != 0) {
		fill_account(w, &account, id);
		answer.account = &account;
	}
	IPC_MSG(out, ACCOUNT_ANSWER, account_answer, &answer);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	const Gh__AuthRequest *r = msg->auth_request;
	Gh__AuthAnswer answer = GH__AUTH_ANSWER__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	bool good = strcmp(r->digest->response, "good") == 0;

	answer.id = r->id;
	answer.verdict = good ? GH__AUTH_VERDICT__AUTH_VERDICT_OK
			      : GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED;
	answer.reason =
		reason_number(good ? REASON_AUTH_OK : REASON_AUTH_WRONG);
	if (good) {
		fill_account(w, &account,
			strcmp(r->digest->username, "u1") == 0 ? 1 : 2);
		answer.account = &account;
	}
	IPC_MSG(out, AUTH_ANSWER, auth_answer, &answer);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_cdr(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	size_t len = gh__cdr__get_packed_size(msg->cdr_write->cdr);
	uint8_t *bytes = malloc(len);

	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_lt(w->n_cdrs, CW_CDRS_MAX);
	gh__cdr__pack(msg->cdr_write->cdr, bytes);
	w->cdrs[w->n_cdrs++] = gh__cdr__unpack(NULL, len, bytes);
	free(bytes);
	ack.id = msg->cdr_write->id;
	IPC_MSG(out, CDR_ACK, cdr_ack, &ack);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_trunk_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	size_t len = gh__trunk_auth_request__get_packed_size(
		msg->trunk_auth_request);
	uint8_t *bytes = malloc(len);

	(void)link;
	ck_assert_ptr_nonnull(bytes);
	gh__trunk_auth_request__pack(msg->trunk_auth_request, bytes);
	cw_trunk_auth_forget(w);
	w->trunk_auth = gh__trunk_auth_request__unpack(NULL, len, bytes);
	free(bytes);
}

void cw_trunk_auth_answer(struct cw *w, const char *header)
{
	Gh__TrunkAuthAnswer answer = GH__TRUNK_AUTH_ANSWER__INIT;

	ck_assert_ptr_nonnull(w->trunk_auth);
	answer.id = w->trunk_auth->id;
	answer.ok = header != NULL;
	answer.reason = reason_number(REASON_AUTH_OK);
	answer.header = str(header != NULL ? header : "");
	IPC_MSG(out, TRUNK_AUTH_ANSWER, trunk_auth_answer, &answer);
	ck_assert_int_eq(ipc_send(w->authd_link, &out), 0);
}

static bool is_asked(void *ctx)
{
	return ((struct cw *)ctx)->trunk_auth != NULL;
}

void cw_trunk_auth_wait(struct cw *w)
{
	cw_until(w, is_asked, w, "authd to be asked for a trunk's answer");
}

void cw_trunk_auth_forget(struct cw *w)
{
	if (w->trunk_auth != NULL)
		gh__trunk_auth_request__free_unpacked(w->trunk_auth, NULL);
	w->trunk_auth = NULL;
}

void cw_challenged(
	struct cw *w, struct dialog *d, const char *method, const char *lines)
{
	char first[32], line[96];
	int cseq = atoi(msg_header_value(d->p->rx, "CSeq", 0));
	static unsigned n;

	cw_trunk_auth_forget(w);
	dl_answer(d, d->p->rx, 407, lines, NULL);
	if (strcmp(method, "INVITE") == 0)
		sp_expect(d->p, "ACK ");
	cw_trunk_auth_wait(w);
	ck_assert_str_eq(w->trunk_auth->method, method);
	snprintf(line, sizeof line, "Digest username=\"t\", response=\"r%u\"",
		++n);
	cw_trunk_auth_answer(w, line);
	snprintf(first, sizeof first, "%s ", method);
	sp_expect(d->p, first);
	ck_assert_str_eq(
		msg_header_value(d->p->rx, "Proxy-Authorization", 0), line);
	ck_assert_str_eq(
		msg_header_value(d->p->rx, "Proxy-Authorization", 1), "");
	ck_assert_int_eq(atoi(msg_header_value(d->p->rx, "CSeq", 0)), cseq + 1);
}

static void ignore(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	(void)msg;
}

static void authd_up(void *ctx, struct ipc_link *link)
{
	struct cw *w = ctx;
	static uint8_t bytes[48] =
		"a key that proves freshness and nothing else";
	Gh__NonceKey key = GH__NONCE_KEY__INIT;
	Gh__NonceKeys keys = GH__NONCE_KEYS__INIT;

	w->authd_link = link;
	key.id = 1;
	key.key.data = bytes;
	key.key.len = sizeof bytes;
	keys.current = &key;
	keys.lifetime_s = 60;
	IPC_MSG(msg, NONCE_KEYS, nonce_keys, &keys);
	ck_assert_int_eq(ipc_send(link, &msg), 0);
}

static void authd_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct cw *w = ctx;

	(void)link;
	(void)why;
	w->authd_link = NULL;
}

static const struct ipc_permit authd_permits[] = {
	{GH__MSG__BODY_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC), on_auth},
	{GH__MSG__BODY_ACCOUNT_QUERY, PROCESS_BIT(PROCESS_SBC), on_account},
	{GH__MSG__BODY_CDR_WRITE, PROCESS_BIT(PROCESS_SBC), on_cdr},
	{GH__MSG__BODY_TRUNK_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC),
		on_trunk_auth},
	{GH__MSG__BODY_BINDINGS_UPDATE, PROCESS_BIT(PROCESS_SBC), ignore},
	{GH__MSG__BODY_SETTINGS_RESULT, PROCESS_BIT(PROCESS_SBC), ignore},
	{GH__MSG__BODY_EVENT, PROCESS_BIT(PROCESS_SBC), ignore},
};

/* ------------------------------------------------------ mediad's stand-in */

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
	stats[0].codec = str("PCMA");
	stats[1].rx_packets = 22;
	stats[1].codec = str("PCMA");
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

static void mediad_up(void *ctx, struct ipc_link *link)
{
	struct cw *w = ctx;
	Gh__SessionList list = GH__SESSION_LIST__INIT;

	w->mediad_link = link;
	list.done = 1;
	IPC_MSG(out, SESSION_LIST, session_list, &list);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void mediad_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct cw *w = ctx;

	(void)link;
	(void)why;
	w->mediad_link = NULL;
}

static const struct ipc_permit mediad_permits[] = {
	{GH__MSG__BODY_SESSION_WANT, PROCESS_BIT(PROCESS_SBC), on_want},
	{GH__MSG__BODY_SESSION_END, PROCESS_BIT(PROCESS_SBC), on_end},
	{GH__MSG__BODY_SESSION_CLAIM, PROCESS_BIT(PROCESS_SBC), ignore},
	{GH__MSG__BODY_MEDIA_CONFIG, PROCESS_BIT(PROCESS_SBC), ignore},
};

static struct ipc_server *serve(struct cw *w, enum process self,
	const struct ipc_permit *permits, size_t n,
	void (*up)(void *, struct ipc_link *),
	void (*down)(void *, struct ipc_link *, enum reason), const char *name)
{
	struct ipc_config config = {
		.loop = w->sbc.daemon.loop,
		.self = self,
		.users = &w->sbc.daemon.users,
		.permits = permits,
		.n_permits = n,
		.events = {.on_up = up, .on_down = down},
		.ctx = w,
	};
	struct ipc_server *server;
	char path[96];

	snprintf(path, sizeof path, "%s/%s.sock", w->dir, name);
	ck_assert_int_eq(ipc_listen(&config, path, &server), 0);
	return server;
}

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
	w->mediad = serve(w, PROCESS_MEDIAD, mediad_permits,
		sizeof mediad_permits / sizeof *mediad_permits, mediad_up,
		mediad_down, "mediad");
	if (w->sbc.media != NULL)
		cw_until(w, is_media_up, w, "the link to mediad");
}

void cw_mediad_stop(struct cw *w)
{
	ipc_server_free(&w->mediad);
	w->mediad_link = NULL;
	cw_until(w, is_media_down, w, "the end of the link to mediad");
}

/* --------------------------------------------------------------- settings */

static void collect(struct settings_collector *c, Gh__SettingsPiece *piece,
	uint64_t version, uint32_t *n)
{
	piece->version = version;
	ck_assert_int_eq(settings_collect(c, piece), 0);
	(*n)++;
}

static void add_codecs(
	struct settings_collector *c, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__CodecList list = GH__CODEC_LIST__INIT;
	Gh__Codec codecs[3] = {
		GH__CODEC__INIT, GH__CODEC__INIT, GH__CODEC__INIT};
	Gh__Codec *rows[3] = {&codecs[0], &codecs[1], &codecs[2]};

	codecs[0].name = str("PCMA");
	codecs[1].name = str("PCMU");
	codecs[2].name = str("telephone-event");
	for (size_t i = 0; i < 3; i++) {
		codecs[i].clock = 8000;
		codecs[i].channels = 1;
	}
	list.id = 1;
	list.name = str("plain");
	list.codecs = rows;
	list.n_codecs = 3;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_CODEC_LIST;
	piece.codec_list = &list;
	collect(c, &piece, version, n);
}

static void add_realm(struct settings_collector *c, uint32_t id,
	const struct addr *at, const struct addr *at2,
	const struct cw_config *config, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Realm realm = GH__REALM__INIT;
	Gh__RealmAddress address = GH__REALM_ADDRESS__INIT;
	Gh__RealmAddress second = GH__REALM_ADDRESS__INIT;
	Gh__RealmAddress *addresses[2] = {&address, &second};
	Gh__DigestOffer offer = GH__DIGEST_OFFER__INIT, *offers = &offer;
	char listen[ADDR_TEXT_SIZE], also[ADDR_TEXT_SIZE];
	char *domain = str("example.com");
	char *packages[] = {str("message-summary"), str("dialog"),
		str("presence"), str("check-sync")};

	address.listen = str(addr_format(at, listen));
	second.listen = str(addr_format(at2, also));
	address.media = str("127.0.0.1");
	/* Where we stand behind a 1:1 NAT the world knows another address. */
	address.advertised_media = str(id == 2 ? "198.51.100.7" : "");
	realm.id = id;
	realm.name = str(id == 1 ? "phones" : id == 2 ? "itsp" : "pbx");
	realm.zone = id == 3 ? GH__ZONE__ZONE_INSIDE : GH__ZONE__ZONE_OUTSIDE;
	realm.phones = id == 1;
	realm.strangers_invite = id == 1;
	second.media = str("127.0.0.9");
	realm.addresses = addresses;
	realm.n_addresses = id == 1 ? 2 : 1;
	realm.domains = &domain;
	realm.n_domains = 1;
	realm.digest_realm = str("example.com");
	realm.digest = &offers;
	realm.n_digest = 1;
	realm.codec_list = 1;
	realm.media_port_min = 30000;
	realm.media_port_max = 30999;
	realm.expires_min_s = 60;
	realm.expires_max_s = 3600;
	realm.expires_default_s = 600;
	realm.max_contacts = 8;
	realm.srtp = id == 1 ? config->phones_srtp : GH__SRTP_POLICY__SRTP_NONE;
	realm.srtp_insecure_signaling = config->keys_in_clear;
	realm.event_packages = id == 1 ? packages : NULL;
	realm.n_event_packages =
		id == 1 ? sizeof packages / sizeof *packages : 0;
	realm.allow_message = (config->texts & 1u << id) != 0;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_REALM;
	piece.realm = &realm;
	collect(c, &piece, version, n);
}

static void add_trunk(struct settings_collector *c, uint32_t id,
	const struct cw_config *config, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Trunk trunk = GH__TRUNK__INIT;
	Gh__TrunkSource source = GH__TRUNK_SOURCE__INIT, second_source;
	Gh__TrunkSource *sources[2] = {&source, &second_source};
	Gh__TrunkTarget target = GH__TRUNK_TARGET__INIT, second_target;
	Gh__TrunkTarget *targets[2] = {&target, &second_target};
	char network[32], second_network[32];

	snprintf(network, sizeof network, "%s/32", cw_at(id + 1, 0));
	source.network = network;
	target.host = str(cw_at(id + 1, 0));
	target.port = CW_TRUNK_PORT;
	second_source = source;
	second_target = target;
	snprintf(second_network, sizeof second_network, "%s/32", cw_at(7, 0));
	second_source.network = second_network;
	second_target.host = str(cw_at(7, 0));
	second_target.priority = 1;
	trunk.id = id;
	trunk.name = str(id == 1 ? "itsp" : id == 2 ? "backup" : "pbx");
	trunk.realm = id == 3 ? 3 : 2;
	trunk.enabled = true;
	trunk.sources = sources;
	trunk.targets = targets;
	trunk.n_sources = trunk.n_targets =
		id == 3 && config->pbx_twice ? 2 : 1;
	trunk.codec_list = 1;
	if (id == 1) {
		trunk.max_calls = config->itsp_max_calls;
		trunk.srtp = config->itsp_srtp;
		if (config->itsp_host != NULL)
			trunk.host = str(config->itsp_host);
		trunk.ring_timeout_s = config->itsp_ring_s;
		trunk.options_interval_s = config->probe ? 1 : 0;
		trunk.session_expires_s = config->session_expires_s;
		trunk.follow_redirects = config->redirects;
		trunk.registers = config->registers;
		trunk.register_user = str(config->registers ? "reg7" : "");
		trunk.register_expires_s = 60;
	}
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_TRUNK;
	piece.trunk = &trunk;
	collect(c, &piece, version, n);
}

/* +49... from phones and the PBX goes to the world, by trunk 1, then 2; a call
 * for 1xx from the PBX or the world rings the extension. */
static void add_routes(
	struct settings_collector *c, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Route route = GH__ROUTE__INIT;
	Gh__RouteTarget targets[2] = {
		GH__ROUTE_TARGET__INIT, GH__ROUTE_TARGET__INIT};
	Gh__RouteTarget *rows[2] = {&targets[0], &targets[1]};

	targets[0].trunk = 1;
	targets[1].trunk = 2;
	targets[1].priority = 1;
	route.id = 5;
	route.name = str("world");
	route.priority = 10;
	route.called_match = str("+4989");
	route.action = GH__ROUTE_ACTION__ROUTE_TO_TRUNK;
	route.targets = rows;
	route.n_targets = 2;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_ROUTE;
	piece.route = &route;
	collect(c, &piece, version, n);

	targets[0].trunk = 3;
	route.id = 6;
	route.name = str("pbx");
	route.priority = 20;
	route.called_match = str("7");
	route.n_targets = 1;
	collect(c, &piece, version, n);

	targets[0].trunk = 1;
	route.id = 7;
	route.name = str("emergency");
	route.called_match = str("112");
	route.emergency = true;
	collect(c, &piece, version, n);
}

static void add_setting(struct settings_collector *c, const char *name,
	const char *value, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Setting setting = GH__SETTING__INIT;

	setting.name = str(name);
	setting.value = str(value);
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_SETTING;
	piece.setting = &setting;
	collect(c, &piece, version, n);
}

static void apply_settings(struct cw *w, const struct cw_config *config)
{
	struct settings_collector *c;
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	struct settings *settings;
	enum reason why = REASON_NONE;
	char problem[SETTINGS_PROBLEM_SIZE] = "";
	uint32_t n = 0;
	int err;

	w->version++;
	ck_assert_int_eq(settings_collector_new(&c), 0);
	add_codecs(c, w->version, &n);
	add_realm(c, 1, &w->phones, &w->phones2, config, w->version, &n);
	add_realm(c, 2, &w->itsp, &w->phones2, config, w->version, &n);
	add_realm(c, 3, &w->pbx, &w->phones2, config, w->version, &n);
	for (uint32_t id = 1; id <= 3; id++)
		add_trunk(c, id, config, w->version, &n);
	add_routes(c, w->version, &n);
	/* 64*T1 = 3.2 s: time-outs of transactions within a test's patience. */
	add_setting(c, "sip_t1_ms", "50", w->version, &n);
	add_setting(c, "max_subscriptions", "6", w->version, &n);
	add_setting(c, "max_subscriptions_per_account", "5", w->version, &n);
	add_setting(c, "event_expires_min_s", "10", w->version, &n);
	add_setting(c, "sip_t2_ms", "400", w->version, &n);
	add_setting(c, "sip_t4_ms", "500", w->version, &n);
	done.version = w->version;
	done.n_pieces = n;
	err = settings_finish(c, &done, &settings, &why, problem);
	ck_assert_msg(err == 0, "%s: %s", reason_text(why), problem);
	settings_collector_free(&c);
	sbc_apply(&w->sbc, settings);
}

/* ------------------------------------------------------------------ world */

void cw_until(
	struct cw *w, bool (*done)(void *ctx), void *ctx, const char *what)
{
	uint64_t end = clock_now_us() + CW_PATIENCE_US;

	while (!done(ctx)) {
		ck_assert_msg(clock_now_us() < end, "never came: %s", what);
		ck_assert_int_eq(
			loop_sofia_step(w->sbc.daemon.loop, STEP_US), 0);
	}
}

void cw_step(struct cw *w)
{
	ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 2000), 0);
}

void cw_turn(struct cw *w)
{
	for (int i = 0; i < TURNS; i++)
		ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 2000), 0);
}

static int open_at(const char *ip, uint16_t port, struct addr *local)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(addr_parse(ip, local), 0);
	local->port = port;
	len = addr_to_sockaddr(local, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) != 0) {
		close(fd);
		return -1;
	}
	len = sizeof sa;
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, local), 0);
	return fd;
}

/* Ports that are free now, for listeners that keeper's stand-in opens. Held
 * until all are picked: the system may give one that was let go once more. */
static void pick(struct addr *const *out, size_t n)
{
	int fds[8];

	ck_assert_uint_le(n, sizeof fds / sizeof *fds);
	for (size_t i = 0; i < n; i++) {
		fds[i] = open_at("127.0.0.1", 0, out[i]);
		ck_assert_int_ge(fds[i], 0);
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static bool is_open(void *ctx)
{
	struct cw *w = ctx;

	return w->authd_link != NULL && authd_is_up(w->sbc.authd) &&
	       stack_is_open(w->sbc.stack);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static const struct notify_events no_events = {
	.on_up = nothing, .on_down = nothing, .on_orphan = nothing};

struct cw *cw_new(const struct cw_config *config)
{
	struct cw *w = calloc(1, sizeof *w);
	struct sbc *sbc;
	char path[96];

	ck_assert_ptr_nonnull(w);
	sbc = &w->sbc;
	w->media_refuses = REASON_SESSION_OPEN;
	w->account_srtp = config->account_srtp;
	if (getenv("CW_LOG") == NULL)
		log_open("test", LOG_LEVEL_ERR);
	else
		log_open("test", LOG_LEVEL_DEBUG);
	snprintf(w->dir, sizeof w->dir, "/tmp/call-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	pick((struct addr *[]){&w->phones, &w->phones2, &w->itsp, &w->pbx,
		     &w->bridge},
		5);
	ck_assert_int_eq(cures_begin(), 0);
	ck_assert_int_eq(loop_sofia_new(&sbc->daemon.loop), 0);
	process_users_all(&sbc->daemon.users, getuid());
	ck_assert_int_eq(notify_new(sbc->daemon.loop, NULL, PROCESS_SBC,
				 &no_events, w, &sbc->daemon.keeper),
		0);
	w->authd = serve(w, PROCESS_AUTHD, authd_permits,
		sizeof authd_permits / sizeof *authd_permits, authd_up,
		authd_down, "authd");
	snprintf(path, sizeof path, "%s/flowd.sock", w->dir);
	ck_assert_int_eq(flows_new(sbc, path, &w->bridge, &sbc->flows), 0);
	ck_assert_int_eq(stack_new(sbc, &sbc->stack), 0);
	ck_assert_int_eq(admit_new(sbc, &sbc->admit), 0);
	ck_assert_int_eq(auth_new(sbc, &sbc->auth), 0);
	ck_assert_int_eq(waits_new(sbc, &sbc->waits), 0);
	ck_assert_int_eq(bindings_new(sbc, &sbc->bindings), 0);
	ck_assert_int_eq(meters_new(sbc, &sbc->meters), 0);
	ck_assert_int_eq(talkers_new(&sbc->talkers), 0);
	ck_assert_int_eq(calls_new(sbc, &sbc->calls), 0);
	ck_assert_int_eq(events_new(sbc, &sbc->events), 0);
	ck_assert_int_eq(pages_new(sbc, &sbc->pages), 0);
	ck_assert_int_eq(cdrs_new(sbc, &sbc->cdrs), 0);
	snprintf(path, sizeof path, "%s/mediad.sock", w->dir);
	ck_assert_int_eq(media_new(sbc, path, &sbc->media), 0);
	snprintf(path, sizeof path, "%s/authd.sock", w->dir);
	ck_assert_int_eq(authd_new(sbc, path, &sbc->authd), 0);
	ck_assert_int_eq(accounts_new(sbc->authd, &sbc->accounts), 0);
	apply_settings(w, config);
	cw_until(w, is_open, w, "listeners");
	if (!config->no_mediad)
		cw_mediad_start(w);
	return w;
}

void cw_free(struct cw **ref)
{
	struct cw *w = *ref;
	struct sbc *sbc = &w->sbc;
	char path[96];

	*ref = NULL;
	waits_free(&sbc->waits);
	pages_free(&sbc->pages);
	events_free(&sbc->events);
	calls_free(&sbc->calls);
	meters_free(&sbc->meters);
	talkers_free(&sbc->talkers);
	accounts_free(&sbc->accounts);
	auth_free(&sbc->auth);
	cdrs_free(&sbc->cdrs);
	media_free(&sbc->media);
	bindings_free(&sbc->bindings);
	authd_free(&sbc->authd);
	stack_free(&sbc->stack);
	flows_free(&sbc->flows);
	admit_free(&sbc->admit);
	settings_unref(&sbc->settings);
	ipc_server_free(&w->authd);
	ipc_server_free(&w->mediad);
	notify_free(&sbc->daemon.keeper);
	loop_free(&sbc->daemon.loop);
	for (size_t i = 0; i < w->n_cdrs; i++)
		gh__cdr__free_unpacked(w->cdrs[i], NULL);
	if (w->want != NULL)
		gh__session_want__free_unpacked(w->want, NULL);
	cw_trunk_auth_forget(w);
	snprintf(path, sizeof path, "%s/authd.sock", w->dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/mediad.sock", w->dir);
	unlink(path);
	rmdir(w->dir);
	free(w);
}

void cw_bind(struct cw *w, uint64_t account, const struct sip_peer *p)
{
	cw_bind_at(w, account, p, &w->phones);
}

void cw_bind_at(struct cw *w, uint64_t account, const struct sip_peer *p,
	const struct addr *at)
{
	Gh__Account row = GH__ACCOUNT__INIT;
	Gh__Binding b = GH__BINDING__INIT;
	struct account *a;
	char contact[128], local[ADDR_TEXT_SIZE];

	fill_account(w, &row, account);
	ck_assert_int_eq(account_new(&row, &a), 0);
	snprintf(contact, sizeof contact, "sip:line@%s", p->text);
	b.account = account;
	b.realm = 1;
	b.contact = contact;
	b.source = str(p->text);
	b.local = str(addr_format(at, local));
	b.transport = GH__TRANSPORT__TRANSPORT_UDP;
	b.wall_expires_us = clock_wall_us() + 3600 * CLOCK_US_PER_S;
	b.call_id = str(p->text);
	b.cseq = 1;
	ck_assert_int_eq(bindings_put(w->sbc.bindings, a, &b, 8), 0);
	account_unref(&a);
}

struct call *cw_call(struct cw *w)
{
	return TAILQ_FIRST(&w->sbc.calls->all);
}

void cw_fire(struct cw *w, enum call_event event)
{
	struct call_input in = {.event = event};

	ck_assert_ptr_nonnull(cw_call(w));
	call_event(cw_call(w), &in);
}

struct cdr_wait {
	struct cw *w;
	size_t n;
};

static bool has_cdr(void *ctx)
{
	struct cdr_wait *c = ctx;

	return c->w->n_cdrs > c->n;
}

const Gh__Cdr *cw_cdr(struct cw *w)
{
	size_t taken = w->n_taken;
	struct cdr_wait c = {w, taken};

	cw_until(w, has_cdr, &c, "a CDR");
	return w->cdrs[w->n_taken++];
}

static bool is_empty(void *ctx)
{
	struct cw *w = ctx;

	return TAILQ_EMPTY(&w->sbc.calls->all) &&
	       TAILQ_EMPTY(&w->sbc.calls->dead) &&
	       cdrs_waiting(w->sbc.cdrs) == 0;
}

void cw_wait_empty(struct cw *w)
{
	cw_until(w, is_empty, w, "the end of all calls");
	ck_assert_uint_eq(calls_count(w->sbc.calls), 0);
	ck_assert_uint_eq(w->n_opened, w->n_ended);
	for (uint32_t id = 1; id <= 3; id++)
		ck_assert_uint_eq(trunk_calls(w->sbc.calls->trunks, id), 0);
	ck_assert_uint_eq(w->sbc.calls->accounts.n_entries, 0);
}

/* ------------------------------------------------------------------ peers */

const char *cw_at(unsigned host, unsigned port)
{
	static char texts[8][32];
	static unsigned turn;
	char *text = texts[turn++ % 8];
	unsigned pid = (unsigned)getpid();

	/* Loopback addresses of this process: suites run side by side. */
	snprintf(text, 32, port != 0 ? "127.%u.%u.%u:%u" : "127.%u.%u.%u",
		1 + (pid >> 8) % 250, pid % 256, host, port);
	return text;
}

void sp_open(struct cw *w, struct sip_peer *p, unsigned host)
{
	memset(p, 0, sizeof *p);
	p->w = w;
	/* A trunk's address is in its settings, with its port. */
	p->fd = open_at(cw_at(host, 0), CW_TRUNK_PORT, &p->local);
	if (p->fd < 0)
		p->fd = open_at(cw_at(host, 0), 0, &p->local);
	ck_assert_int_ge(p->fd, 0);
	addr_format(&p->local, p->text);
}

void sp_close(struct sip_peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void sp_send(struct sip_peer *p, const struct addr *to, const char *text)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(to, &sa);

	ck_assert_int_eq(sendto(p->fd, text, strlen(text), 0,
				 (struct sockaddr *)&sa, len),
		(ssize_t)strlen(text));
}

static bool seen_before(struct sip_peer *p, size_t len)
{
	static const uint8_t key[16];
	uint64_t hash = table_siphash(key, p->rx, len);

	for (unsigned i = 0; i < CW_SEEN; i++) {
		if (p->seen[i] == hash)
			return true;
	}
	p->seen[p->n_seen++ % CW_SEEN] = hash;
	return false;
}

/* On a busy machine timers fire before the other end was given its turn. */
static bool received(void *ctx)
{
	struct sip_peer *p = ctx;
	ssize_t n;

	do {
		n = recv(p->fd, p->rx, sizeof p->rx - 1, 0);
		if (n < 0)
			return false;
		p->rx[n] = '\0';
	} while (seen_before(p, (size_t)n) && !p->repeats);
	return true;
}

const char *sp_expect_but(
	struct sip_peer *p, const char *first, const char *but)
{
	for (;;) {
		cw_until(p->w, received, p, first);
		if (strncmp(p->rx, first, strlen(first)) == 0)
			return p->rx;
		if (strncmp(p->rx, "SIP/2.0 100", 11) == 0)
			continue;
		if (but != NULL && strncmp(p->rx, but, strlen(but)) == 0)
			continue;
		ck_abort_msg(
			"at %s: wanted %s, got:\n%s", p->text, first, p->rx);
	}
}

const char *sp_expect(struct sip_peer *p, const char *first)
{
	return sp_expect_but(p, first, NULL);
}

void sp_silent(struct sip_peer *p)
{
	cw_turn(p->w);
	while (received(p)) {
		if (strncmp(p->rx, "SIP/2.0 100", 11) != 0)
			ck_abort_msg("at %s, unexpected:\n%s", p->text, p->rx);
	}
}

const char *msg_header_value(
	const char *message, const char *name, unsigned nth)
{
	static char values[8][1024];
	static unsigned turn;
	char *value = values[turn++ % 8];
	const char *line = message;
	size_t len = strlen(name);

	value[0] = '\0';
	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (*line == '\r')
			break;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		if (nth-- != 0)
			continue;
		line += len + 1;
		line += strspn(line, " ");
		snprintf(value, 1024, "%.*s", (int)strcspn(line, "\r"), line);
		break;
	}
	return value;
}

const char *msg_body(const char *message)
{
	const char *end = strstr(message, "\r\n\r\n");

	return end != NULL ? end + 4 : "";
}

const char *msg_tag(const char *message, const char *name)
{
	static char tags[4][128];
	static unsigned turn;
	char *tag = tags[turn++ % 4];
	const char *at = strstr(msg_header_value(message, name, 0), ";tag=");

	tag[0] = '\0';
	if (at != NULL)
		snprintf(tag, 128, "%.*s", (int)strcspn(at + 5, ";"), at + 5);
	return tag;
}

bool msg_has(const char *message, const char *text)
{
	return strstr(message, text) != NULL;
}

/* ---------------------------------------------------------------- dialogs */

static void uri_of(const char *value, char out[256])
{
	const char *open = strchr(value, '<');

	if (open != NULL)
		snprintf(out, 256, "%.*s", (int)strcspn(open + 1, ">"),
			open + 1);
	else
		snprintf(out, 256, "%.*s", (int)strcspn(value, ";"), value);
}

static void new_branch(char branch[64])
{
	static unsigned n;

	snprintf(branch, 64, "z9hG4bKcw%d-%u", (int)getpid(), ++n);
}

static void add_body(
	char *text, size_t size, const char *type, const char *body)
{
	size_t n = strlen(text);

	if (body == NULL)
		snprintf(text + n, size - n, "Content-Length: 0\r\n\r\n");
	else
		snprintf(text + n, size - n,
			"Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
			type, strlen(body), body);
}

void dl_invite(struct dialog *d, struct sip_peer *p, const struct addr *to,
	const char *from_user, const char *to_user, const char *extra,
	const char *sdp)
{
	static unsigned n;
	char sbc[ADDR_TEXT_SIZE];

	memset(d, 0, sizeof *d);
	d->p = p;
	d->to = *to;
	d->cseq = d->invite_cseq = 101;
	addr_format(to, sbc);
	snprintf(d->call_id, sizeof d->call_id, "call-%d-%u", (int)getpid(),
		++n);
	snprintf(d->local, sizeof d->local, "<sip:%s@%s>;tag=c%u", from_user,
		p->text, n);
	snprintf(d->remote, sizeof d->remote, "<sip:%s@%s>", to_user, sbc);
	snprintf(d->target, sizeof d->target, "sip:%s@%s", to_user, sbc);
	new_branch(d->branch);
	snprintf(d->invite, sizeof d->invite,
		"INVITE %s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=%s;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u INVITE\r\n"
		"Contact: <sip:me@%s>\r\n"
		"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, "
		"INFO\r\n"
		"User-Agent: peer/1\r\n"
		"%s",
		d->target, p->text, d->branch, d->local, d->remote, d->call_id,
		d->cseq, p->text, extra != NULL ? extra : "");
	add_body(d->invite, sizeof d->invite, "application/sdp", sdp);
	sp_send(p, to, d->invite);
}

void dl_request_from(struct dialog *d, struct sip_peer *p, const char *method,
	const char *extra, const char *type, const char *body)
{
	static char text[CW_TEXT];
	bool same = strcmp(method, "ACK") == 0 || strcmp(method, "CANCEL") == 0;

	if (!same)
		d->cseq++;
	if (strcmp(method, "CANCEL") != 0)
		new_branch(d->branch);
	if (strcmp(method, "INVITE") == 0)
		d->invite_cseq = d->cseq;
	snprintf(text, sizeof text,
		"%s %s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=%s;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u %s\r\n"
		"Contact: <sip:me@%s>\r\n"
		"%s",
		method, d->target, p->text, d->branch, d->local, d->remote,
		d->call_id, same ? d->invite_cseq : d->cseq, method, p->text,
		extra != NULL ? extra : "");
	add_body(text, sizeof text, type, body);
	if (strcmp(method, "INVITE") == 0)
		snprintf(d->invite, sizeof d->invite, "%s", text);
	sp_send(p, &d->to, text);
}

void dl_request(struct dialog *d, const char *method, const char *extra,
	const char *type, const char *body)
{
	dl_request_from(d, d->p, method, extra, type, body);
}

void dl_answered(struct dialog *d)
{
	const char *contact = msg_header_value(d->p->rx, "Contact", 0);

	snprintf(d->remote, sizeof d->remote, "%s",
		msg_header_value(d->p->rx, "To", 0));
	if (*contact != '\0')
		uri_of(contact, d->target);
}

void dl_ack(struct dialog *d, const char *sdp)
{
	static char text[CW_TEXT];

	if (strncmp(d->p->rx, "SIP/2.0 ", 8) != 0 || d->p->rx[8] == '2') {
		dl_request(d, "ACK", NULL, "application/sdp", sdp);
		return;
	}
	/* A failure's ACK belongs to the INVITE's transaction. */
	snprintf(text, sizeof text,
		"ACK %.*s\r\n"
		"Via: %s\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u ACK\r\n"
		"Content-Length: 0\r\n\r\n",
		(int)strcspn(d->invite + 7, "\r"), d->invite + 7,
		msg_header_value(d->invite, "Via", 0),
		msg_header_value(d->invite, "From", 0),
		msg_header_value(d->p->rx, "To", 0), d->call_id,
		d->invite_cseq);
	sp_send(d->p, &d->to, text);
}

/* The INVITE's own branch and To. */
void dl_cancel(struct dialog *d)
{
	dl_cancel_with(d, "");
}

void dl_cancel_with(struct dialog *d, const char *extra)
{
	static char text[CW_TEXT];

	snprintf(text, sizeof text,
		"CANCEL %.*s\r\n"
		"Via: %s\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u CANCEL\r\n"
		"%sContent-Length: 0\r\n\r\n",
		(int)strcspn(d->invite + 7, "\r"), d->invite + 7,
		msg_header_value(d->invite, "Via", 0),
		msg_header_value(d->invite, "From", 0),
		msg_header_value(d->invite, "To", 0), d->call_id,
		d->invite_cseq, extra);
	sp_send(d->p, &d->to, text);
}

void dl_from_invite(
	struct dialog *d, struct sip_peer *p, const struct addr *from)
{
	static unsigned n;

	memset(d, 0, sizeof *d);
	d->p = p;
	d->to = *from;
	d->cseq = 500;
	snprintf(d->invite, sizeof d->invite, "%s", p->rx);
	snprintf(d->first, sizeof d->first, "%s", p->rx);
	snprintf(d->call_id, sizeof d->call_id, "%s",
		msg_header_value(p->rx, "Call-ID", 0));
	snprintf(d->remote, sizeof d->remote, "%s",
		msg_header_value(p->rx, "From", 0));
	snprintf(d->local, sizeof d->local, "%s;tag=u%u",
		msg_header_value(p->rx, "To", 0), ++n);
	uri_of(msg_header_value(p->rx, "Contact", 0), d->target);
}

void dl_answer(struct dialog *d, const char *request, unsigned status,
	const char *extra, const char *sdp)
{
	static char text[CW_TEXT];
	bool own = extra == NULL || strstr(extra, "Contact:") == NULL;
	bool allow = extra == NULL || strstr(extra, "Allow:") == NULL;

	snprintf(text, sizeof text,
		"SIP/2.0 %u Peer says so\r\n"
		"Via: %s\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %s\r\n"
		"%s%s%s%s%s",
		status, msg_header_value(request, "Via", 0),
		msg_header_value(request, "From", 0),
		status == 100 ? msg_header_value(request, "To", 0) : d->local,
		msg_header_value(request, "Call-ID", 0),
		msg_header_value(request, "CSeq", 0),
		own ? "Contact: <sip:me@" : "", own ? d->p->text : "",
		own ? ">\r\n" : "",
		allow ? "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, "
			"PRACK, INFO\r\n"
		      : "",
		extra != NULL ? extra : "");
	add_body(text, sizeof text, "application/sdp", sdp);
	sp_send(d->p, &d->to, text);
}

const char *sdp_text(const struct sip_peer *p, unsigned port,
	const char *formats, const char *direction)
{
	static char texts[4][1024];
	static unsigned turn, version;
	char *text = texts[turn++ % 4];
	char ip[ADDR_TEXT_SIZE];

	addr_format_ip(&p->local, ip);
	snprintf(text, 1024,
		"v=0\r\n"
		"o=secretname 1 %u IN IP4 %s\r\n"
		"s=secretsession\r\n"
		"c=IN IP4 %s\r\n"
		"t=0 0\r\n"
		"m=audio %u RTP/AVP %s\r\n"
		"a=rtpmap:0 PCMU/8000\r\n"
		"a=rtpmap:8 PCMA/8000\r\n"
		"a=rtpmap:101 telephone-event/8000\r\n"
		"a=fmtp:101 0-15\r\n"
		"a=ptime:20\r\n"
		"a=%s\r\n",
		++version, ip, ip, port, formats,
		direction != NULL ? direction : "sendrecv");
	return text;
}

unsigned sdp_port_of(const char *body)
{
	const char *m = strstr(body, "m=audio ");

	return m != NULL ? (unsigned)strtoul(m + 8, NULL, 10) : 0;
}

/* ------------------------------------------------------------------ scene */

void sc_begin(struct scene *s, const struct cw_config *config)
{
	static const struct cw_config plain;

	memset(s, 0, sizeof *s);
	s->w = cw_new(config != NULL ? config : &plain);
	sp_open(s->w, &s->itsp, 2);
	sp_open(s->w, &s->phone, 5);
	cw_bind(s->w, 1, &s->phone);
}

void sc_end(struct scene *s)
{
	cw_wait_empty(s->w);
	sp_silent(&s->itsp);
	sp_silent(&s->phone);
	sp_close(&s->itsp);
	sp_close(&s->phone);
	cw_free(&s->w);
}

void sc_ring(struct scene *s, const char *sdp)
{
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491761234567",
		"+4930100", NULL, sdp);
	sp_expect(&s->phone, "INVITE sip:line@");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	dl_answer(&s->called, s->called.invite, 180, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 180");
}

void sc_answer(struct scene *s)
{
	dl_answer(&s->called, s->called.invite, 200, NULL,
		sdp_text(&s->phone, 7000, "8 101", NULL));
	sp_expect(&s->phone, "ACK ");
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
	dl_ack(&s->caller, NULL);
	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
}

void sc_up(struct scene *s)
{
	sc_ring(s, sdp_text(&s->itsp, 6000, "8 0 101", NULL));
	sc_answer(s);
}

void sc_bye_from_caller(struct scene *s)
{
	dl_request(&s->caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 200");
	sp_expect(&s->phone, "BYE ");
	dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
}

void sc_cdr(
	const Gh__Cdr *cdr, enum reason why, unsigned status, const char *side)
{
	enum reason got = REASON_NONE;

	ck_assert_int_eq(reason_from_number(cdr->reason, &got), 0);
	ck_assert_str_eq(reason_text(got), reason_text(why));
	ck_assert_uint_eq(cdr->sip_status, status);
	ck_assert_str_eq(cdr->hangup_side, side);
	ck_assert(ident_is_call(cdr->call));
	ck_assert_uint_ne(cdr->wall_start_us, 0);
	ck_assert_uint_ge(cdr->wall_end_us, cdr->wall_start_us);
	ck_assert_ptr_nonnull(cdr->caller_leg);
}
