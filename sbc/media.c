/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wanted media sessions and the link to mediad.
 *
 *	media_want():  idle -> waiting -> (SessionState) idle
 *	media_end():   ... -> ending -> (SessionEnded, or time-out) freed
 *
 * Decides: version numbers, deadlines, and what is said again after a
 * reconnect: the realms first, then every session that lives, then that all of
 * them are claimed. A session that mediad has and nobody here wants is ended.
 * Does not decide what a session should be; that is call_media.c's.
 *
 * on_state and on_ended run from the loop only: an answer that is known at
 * once (mediad is away) is given through a timer of zero length.
 */
#include "config.h"

#include "sbc/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/heap.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/secret.h"
#include "common/table.h"
#include "sbc/sbc.h"

#define SESSIONS_MAX  100000u
#define DEADLINE_US   (2 * CLOCK_US_PER_S)
/* For what sbc.setting does not say. */
#define LEASE_MS      10000u
#define QUARANTINE_MS 5000u
#define COALESCE_US   500u
#define RTCP_MS       5000u
#define SILENCE_MS    5000u
#define KEEPALIVE_S   15u
#define MOS_MIN_CENTI 300u

enum session_phase { SESSION_IDLE, SESSION_WAITING, SESSION_ENDING };

struct media_session {
	struct table_node node;
	TAILQ_ENTRY(media_session) due; /* WAITING and ENDING, by deadline */
	struct media *media;
	char call[IDENT_CALL_SIZE];
	const struct media_events *events;
	void *ctx;
	enum session_phase phase;
	uint64_t deadline_us;
	uint32_t version;
	uint64_t request; /* of the last want or end that was sent */
	uint8_t *want;    /* packed SessionWant: has keys, wiped when freed */
	size_t want_len;
};
TAILQ_HEAD(due_head, media_session);

struct media {
	struct sbc *sbc;
	struct ipc_link *link;
	bool up;
	uint64_t next_request;
	struct table sessions;
	struct due_head due;
	struct loop_timer *deadline;
	struct loop_timer *claim;
	Gh__MediaConfig *config; /* as last told; NULL before the first */
	bool held; /* calls of an earlier process are not known yet */
	char (*listed)[IDENT_CALL_SIZE]; /* meanwhile: what mediad has */
	size_t n_listed;
};

static void on_up(void *ctx, struct ipc_link *link);
static void on_down(void *ctx, struct ipc_link *link, enum reason why);
static void on_state(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
static void on_ended(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
static void on_list(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
static void on_event(void *ctx, struct ipc_link *link, const Gh__Msg *msg);

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_SESSION_STATE, PROCESS_BIT(PROCESS_MEDIAD), on_state},
	{GH__MSG__BODY_SESSION_ENDED, PROCESS_BIT(PROCESS_MEDIAD), on_ended},
	{GH__MSG__BODY_SESSION_LIST, PROCESS_BIT(PROCESS_MEDIAD), on_list},
	{GH__MSG__BODY_MEDIA_EVENT, PROCESS_BIT(PROCESS_MEDIAD), on_event},
};

static struct media_session *find(struct media *media, const char *call)
{
	struct table_node *node =
		table_find(&media->sessions, call, strlen(call));

	return node != NULL ? TABLE_ENTRY(node, struct media_session, node)
			    : NULL;
}

static void session_free(struct media_session *s)
{
	table_remove(&s->media->sessions, &s->node);
	if (s->want != NULL)
		secret_wipe(s->want, s->want_len);
	free(s->want);
	free(s);
}

static void arm(struct media *media)
{
	struct media_session *s = TAILQ_FIRST(&media->due);
	uint64_t now = clock_now_us();

	if (s == NULL)
		loop_timer_stop(media->sbc->daemon.loop, media->deadline);
	else
		loop_timer_set(media->sbc->daemon.loop, media->deadline,
			s->deadline_us > now ? s->deadline_us - now : 0);
}

static void set_phase(
	struct media_session *s, enum session_phase phase, uint64_t wait_us)
{
	struct media *media = s->media;

	if (s->phase != SESSION_IDLE)
		TAILQ_REMOVE(&media->due, s, due);
	s->phase = phase;
	if (phase != SESSION_IDLE) {
		s->deadline_us = clock_now_us() + wait_us;
		/* All waits are equally long, except those that are over at
		 * once: these go first. */
		if (wait_us == 0)
			TAILQ_INSERT_HEAD(&media->due, s, due);
		else
			TAILQ_INSERT_TAIL(&media->due, s, due);
	}
	arm(media);
}

static int send_wanted(struct media_session *s, Gh__SessionWant *want)
{
	s->request = s->media->next_request++;
	want->request = s->request;
	IPC_MSG(msg, SESSION_WANT, session_want, want);
	return ipc_send(s->media->link, &msg);
}

/* Once more, out of what is kept. */
static int send_want(struct media_session *s)
{
	Gh__SessionWant *want =
		gh__session_want__unpack(NULL, s->want_len, s->want);
	int err;

	if (want == NULL)
		return ERR_NOMEM;
	err = send_wanted(s, want);
	IPC_MSG(msg, SESSION_WANT, session_want, want);
	ipc_msg_wipe(&msg);
	gh__session_want__free_unpacked(want, NULL);
	return err;
}

static int send_end(struct media *media, const char *call, uint64_t request)
{
	Gh__SessionEnd end = GH__SESSION_END__INIT;
	char name[IDENT_CALL_SIZE];

	snprintf(name, sizeof name, "%s", call);
	end.request = request;
	end.call = name;
	IPC_MSG(msg, SESSION_END, session_end, &end);
	return ipc_send(media->link, &msg);
}

static void on_deadline(void *arg)
{
	struct media *media = arg;
	struct media_session *s;

	while ((s = TAILQ_FIRST(&media->due)) != NULL &&
		s->deadline_us <= clock_now_us()) {
		enum session_phase phase = s->phase;

		set_phase(s, SESSION_IDLE, 0);
		if (phase == SESSION_ENDING) {
			s->events->on_ended(s->ctx, REASON_SESSION_AWAY, NULL);
			session_free(s);
		} else {
			s->events->on_state(s->ctx, REASON_SESSION_AWAY, NULL);
		}
	}
	arm(media);
}

/* Three claims per lease: two may be lost or late. */
static uint64_t claim_us(const struct media *media)
{
	uint32_t lease_ms =
		media->config != NULL ? media->config->lease_ms : LEASE_MS;

	return lease_ms / 3 * CLOCK_US_PER_MS;
}

static void forget_listed(struct media *media)
{
	free(media->listed);
	media->listed = NULL;
	media->n_listed = 0;
}

static void claim_all(struct media *media)
{
	Gh__SessionClaim claim = GH__SESSION_CLAIM__INIT;

	claim.all = 1;
	IPC_MSG(msg, SESSION_CLAIM, session_claim, &claim);
	if (media->up && ipc_send(media->link, &msg) != 0)
		log_warning("claim_not_sent");
}

static void on_claim(void *arg)
{
	struct media *media = arg;

	claim_all(media);
	loop_timer_set(media->sbc->daemon.loop, media->claim, claim_us(media));
}

int media_new(struct sbc *sbc, const char *path, struct media **media_out)
{
	struct media *media = calloc(1, sizeof *media);
	struct ipc_config config = {
		.loop = sbc->daemon.loop,
		.self = PROCESS_SBC,
		.users = &sbc->daemon.users,
		.permits = permits,
		.n_permits = sizeof permits / sizeof *permits,
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = media,
	};
	int err = ERR_NOMEM;

	if (media == NULL)
		return ERR_NOMEM;
	media->sbc = sbc;
	media->next_request = 1;
	TAILQ_INIT(&media->due);
	if (table_init(&media->sessions, SESSIONS_MAX) != 0)
		goto fail_table;
	if (loop_timer_new(sbc->daemon.loop, on_deadline, media,
		    &media->deadline) != 0 ||
		loop_timer_new(
			sbc->daemon.loop, on_claim, media, &media->claim) != 0)
		goto fail;
	err = ipc_connect(&config, path, PROCESS_MEDIAD, &media->link);
	if (err != 0)
		goto fail;
	loop_timer_set(sbc->daemon.loop, media->claim, claim_us(media));
	*media_out = media;
	return 0;
fail:
	loop_timer_free(sbc->daemon.loop, &media->deadline);
	loop_timer_free(sbc->daemon.loop, &media->claim);
	table_done(&media->sessions);
fail_table:
	free(media);
	return err;
}

void media_free(struct media **mediap)
{
	struct media *media = *mediap;
	struct table_node *node, *next;
	size_t bucket = 0;

	if (media == NULL)
		return;
	*mediap = NULL;
	ipc_link_free(&media->link);
	node = table_next(&media->sessions, &bucket, NULL);
	for (; node != NULL; node = next) {
		next = table_next(&media->sessions, &bucket, node);
		session_free(TABLE_ENTRY(node, struct media_session, node));
	}
	loop_timer_free(media->sbc->daemon.loop, &media->deadline);
	loop_timer_free(media->sbc->daemon.loop, &media->claim);
	table_done(&media->sessions);
	forget_listed(media);
	if (media->config != NULL)
		gh__media_config__free_unpacked(media->config, NULL);
	free(media);
}

bool media_is_up(const struct media *media)
{
	return media->up;
}

static void send_config(struct media *media)
{
	IPC_MSG(msg, MEDIA_CONFIG, media_config, media->config);

	if (media->up && ipc_send(media->link, &msg) != 0)
		log_warning("media_config_not_sent");
}

/* Bind addresses of a realm, each once. */
static Gh__MediaRealm *make_realm(const struct realm *realm)
{
	Gh__MediaRealm *r = calloc(1, sizeof *r);
	char text[ADDR_TEXT_SIZE];

	if (r == NULL)
		return NULL;
	gh__media_realm__init(r);
	r->id = realm->row->id;
	r->port_min = realm->row->media_port_min;
	r->port_max = realm->row->media_port_max;
	r->media = calloc(realm->n_addresses + 1, sizeof *r->media);
	r->devices = calloc(realm->n_addresses + 1, sizeof *r->devices);
	for (size_t i = 0; r->media != NULL && r->devices != NULL &&
			   i < realm->n_addresses;
		i++) {
		size_t known = 0;

		addr_format_ip(&realm->addresses[i].media, text);
		while (known < r->n_media && strcmp(r->media[known], text) != 0)
			known++;
		if (known < r->n_media)
			continue;
		r->media[known] = strdup(text);
		r->devices[known] =
			strdup(realm->addresses[i].row->media_device);
		/* What is half there is freed with the message. */
		r->n_media += r->media[known] != NULL;
		r->n_devices += r->devices[known] != NULL;
		if (r->n_media != known + 1 || r->n_devices != known + 1)
			break;
	}
	return r;
}

void media_apply(struct media *media, const struct settings *settings)
{
	Gh__MediaConfig *config = calloc(1, sizeof *config);

	if (config == NULL)
		goto nomem;
	gh__media_config__init(config);
	config->lease_ms = (uint32_t)settings_number(
		settings, "media_lease_ms", LEASE_MS, 1000, 600000);
	config->coalesce_us = (uint32_t)settings_number(
		settings, "media_coalesce_us", COALESCE_US, 0, 1000);
	config->quarantine_ms = (uint32_t)settings_number(
		settings, "media_quarantine_ms", QUARANTINE_MS, 0, 600000);
	config->rtcp_interval_ms = (uint32_t)settings_number(
		settings, "rtcp_interval_ms", RTCP_MS, 500, 60000);
	config->silence_ms = (uint32_t)settings_number(
		settings, "media_silence_ms", SILENCE_MS, 500, 600000);
	config->keepalive_ms =
		1000 * (uint32_t)settings_number(settings, "media_keepalive_s",
			       KEEPALIVE_S, 1, 300);
	config->mos_min_centi = (uint32_t)settings_number(
		settings, "media_mos_min_centi", MOS_MIN_CENTI, 0, 450);
	config->realms = calloc(settings->n_realms + 1, sizeof *config->realms);
	if (config->realms == NULL)
		goto nomem;
	for (size_t i = 0; i < settings->n_realms; i++) {
		config->realms[i] = make_realm(&settings->realms[i]);
		if (config->realms[i] == NULL)
			goto nomem;
		config->n_realms++;
	}
	if (media->config != NULL)
		gh__media_config__free_unpacked(media->config, NULL);
	media->config = config;
	send_config(media);
	loop_timer_set(media->sbc->daemon.loop, media->claim, claim_us(media));
	return;
nomem:
	log_err("media_config_not_made", LOG_ERR(ERR_NOMEM));
	if (config != NULL)
		gh__media_config__free_unpacked(config, NULL);
}

int media_session_new(struct media *media, const char call[IDENT_CALL_SIZE],
	const struct media_events *events, void *ctx,
	struct media_session **session_out)
{
	struct media_session *s = heap_lasting(sizeof *s);
	int err;

	if (s == NULL)
		return ERR_NOMEM;
	s->media = media;
	s->events = events;
	s->ctx = ctx;
	memcpy(s->call, call, IDENT_CALL_SIZE);
	err = table_add(&media->sessions, &s->node, s->call, strlen(s->call));
	if (err != 0) {
		free(s);
		return err == ERR_EXISTS ? ERR_EXISTS : ERR_NOMEM;
	}
	*session_out = s;
	return 0;
}

/* It stays as long as the session. @return NULL without memory; then the length
 * is 0. */
static uint8_t *pack_lasting(const Gh__SessionWant *want, size_t *len_out)
{
	uint8_t *packed = pack_new(&want->base, 0, len_out), *bytes;

	bytes = packed != NULL ? heap_lasting(*len_out) : NULL;
	if (bytes != NULL)
		memcpy(bytes, packed, *len_out);
	if (packed != NULL)
		secret_wipe(packed, *len_out);
	free(packed);
	if (bytes == NULL)
		*len_out = 0;
	return bytes;
}

int media_want(struct media_session *s, const Gh__SessionWant *want)
{
	Gh__SessionWant copy = *want;
	uint8_t *bytes;
	size_t len;
	int err;

	if (!s->media->up)
		return ERR_AWAY;
	copy.call = s->call;
	copy.version = ++s->version;
	bytes = pack_lasting(&copy, &len);
	if (bytes == NULL)
		return ERR_NOMEM;
	if (s->want != NULL)
		secret_wipe(s->want, s->want_len);
	free(s->want);
	s->want = bytes;
	s->want_len = len;
	err = send_wanted(s, &copy);
	if (err != 0)
		return err == ERR_NOMEM ? ERR_NOMEM : ERR_AWAY;
	set_phase(s, SESSION_WAITING, DEADLINE_US);
	return 0;
}

static bool send_ending(struct media_session *s)
{
	s->request = s->media->next_request++;
	return send_end(s->media, s->call, s->request) == 0;
}

void media_end(struct media_session *s)
{
	if (s->phase == SESSION_ENDING)
		return;
	if (s->media->up && s->version != 0 && !send_ending(s))
		log_warning("end_not_sent", LOG_CALL(s->call));
	/* Where mediad is away it is said when it is back, which is soon if
	 * it died; the figures of the call are worth the wait. */
	set_phase(s, SESSION_ENDING, s->version != 0 ? DEADLINE_US : 0);
}

void media_session_drop(struct media_session **session)
{
	struct media_session *s = *session;

	*session = NULL;
	if (s == NULL)
		return;
	if (s->phase != SESSION_ENDING && s->media->up && s->version != 0 &&
		send_end(s->media, s->call, s->media->next_request++) != 0)
		log_warning("end_not_sent", LOG_CALL(s->call));
	set_phase(s, SESSION_IDLE, 0);
	session_free(s);
}

/* --- over a restart --- */

/* A version that was sent just before a kill may not have been saved. */
#define VERSION_MARGIN 16u

void media_session_wanted(const struct media_session *s,
	ProtobufCBinaryData *want_out, uint32_t *version_out)
{
	want_out->data = s->want;
	want_out->len = s->want_len;
	*version_out = s->version;
}

const char *media_session_name(const struct media_session *s)
{
	return s->call;
}

bool media_session_exists(const struct media *media, const char *call)
{
	return table_find(&media->sessions, call, strlen(call)) != NULL;
}

static void free_want(Gh__SessionWant *want)
{
	IPC_MSG(msg, SESSION_WANT, session_want, want);

	ipc_msg_wipe(&msg);
	gh__session_want__free_unpacked(want, NULL);
}

static int restore_want(
	struct media_session *s, const ProtobufCBinaryData *want)
{
	Gh__SessionWant *w =
		gh__session_want__unpack(NULL, want->len, want->data);
	int err = ERR_CORRUPT;

	if (w == NULL)
		return ERR_CORRUPT;
	if (strcmp(w->call, s->call) != 0)
		goto out;
	w->version = s->version;
	s->want = pack_lasting(w, &s->want_len);
	err = s->want != NULL ? 0 : ERR_NOMEM;
out:
	free_want(w);
	return err;
}

int media_session_restore(struct media *media, const char call[IDENT_CALL_SIZE],
	const struct media_events *events, void *ctx,
	const ProtobufCBinaryData *want, uint32_t version,
	struct media_session **session_out)
{
	struct media_session *s;
	int err = media_session_new(media, call, events, ctx, &s);

	if (err != 0)
		return err;
	s->version = version + VERSION_MARGIN;
	if (want->len != 0)
		err = restore_want(s, want);
	if (err != 0) {
		session_free(s);
		return err;
	}
	*session_out = s;
	return 0;
}

void media_again(struct media_session *s)
{
	/* Without a link on_up() sends it. */
	if (s->want != NULL && s->media->up && send_want(s) != 0)
		log_warning("session_not_sent", LOG_CALL(s->call));
}

static void end_unknown(struct media *media, const char *call)
{
	/* One that ends is told so by on_up(). */
	if (find(media, call) != NULL)
		return;
	log_info("session_unknown", LOG_CALL(call));
	if (send_end(media, call, media->next_request++) != 0)
		log_warning("end_not_sent", LOG_CALL(call));
}

void media_hold(struct media *media)
{
	media->held = true;
}

void media_release(struct media *media)
{
	if (!media->held)
		return;
	media->held = false;
	for (size_t i = 0; media->up && i < media->n_listed; i++)
		end_unknown(media, media->listed[i]);
	forget_listed(media);
}

static void note_listed(struct media *media, const char *call)
{
	void *grown;

	if (media->n_listed >= SESSIONS_MAX)
		return;
	if (media->n_listed % 256 == 0) {
		grown = realloc(media->listed,
			(media->n_listed + 256) * sizeof *media->listed);
		if (grown == NULL)
			return; /* its lease will end it */
		media->listed = grown;
	}
	memcpy(media->listed[media->n_listed++], call, IDENT_CALL_SIZE);
}

/* --- from mediad --- */

static void on_up(void *ctx, struct ipc_link *link)
{
	struct media *media = ctx;
	struct table_node *node;
	size_t bucket = 0;

	(void)link;
	log_notice(
		"mediad_up", LOG_UINT("sessions", media->sessions.n_entries));
	media->up = true;
	forget_listed(media);
	/* Nobody may have claimed for a while. */
	claim_all(media);
	if (media->config != NULL)
		send_config(media);
	for (node = table_next(&media->sessions, &bucket, NULL); node != NULL;
		node = table_next(&media->sessions, &bucket, node)) {
		struct media_session *s =
			TABLE_ENTRY(node, struct media_session, node);

		if (s->phase == SESSION_ENDING) {
			if (s->version != 0 && !send_ending(s))
				log_warning("end_not_sent", LOG_CALL(s->call));
			continue;
		}
		if (s->want != NULL && send_want(s) != 0)
			log_warning("session_not_sent", LOG_CALL(s->call));
	}
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct media *media = ctx;

	(void)link;
	media->up = false;
	log_warning("mediad_down", LOG_STR("reason", reason_text(why)));
}

static enum reason reason_of(uint32_t number)
{
	enum reason r;

	return reason_from_number(number, &r) == 0 ? r : REASON_SESSION_REFUSED;
}

static void on_state(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct media *media = ctx;
	const Gh__SessionState *state = msg->session_state;
	struct media_session *s = find(media, state->call);

	(void)link;
	/* An answer to an older want was overtaken. */
	if (s == NULL || s->phase == SESSION_ENDING ||
		state->request != s->request || state->version != s->version)
		return;
	if (s->phase == SESSION_WAITING)
		set_phase(s, SESSION_IDLE, 0);
	s->events->on_state(s->ctx, reason_of(state->reason), state);
}

static void on_ended(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct media *media = ctx;
	const Gh__SessionEnded *ended = msg->session_ended;
	struct media_session *s = find(media, ended->call);

	(void)link;
	if (s == NULL || s->phase != SESSION_ENDING)
		return;
	set_phase(s, SESSION_IDLE, 0);
	s->events->on_ended(s->ctx, reason_of(ended->reason), ended);
	session_free(s);
}

static void on_list(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct media *media = ctx;
	const Gh__SessionList *list = msg->session_list;

	(void)link;
	for (size_t i = 0; i < list->n_calls; i++) {
		if (!ident_is_call(list->calls[i]))
			continue;
		if (media->held)
			note_listed(media, list->calls[i]);
		else
			end_unknown(media, list->calls[i]);
	}
}

static void on_event(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct media *media = ctx;
	const Gh__MediaEvent *event = msg->media_event;
	struct media_session *s = find(media, event->call);

	(void)link;
	if (s != NULL && s->phase != SESSION_ENDING)
		s->events->on_event(s->ctx, event);
}
