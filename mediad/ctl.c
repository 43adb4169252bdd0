/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in, messages out. The permit table says who may send what; what a
 * permitted message says is checked here and in want.c before session.c sees
 * it. One sbc is served: a newer link takes an older one's place. While sbc is
 * away, sessions live on until their lease ends; what happened meanwhile is in
 * the log, SessionList tells the next sbc what is left, and the last figures of
 * what has ended are said again (farewell.h).
 */
#include "mediad/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "common/secret.h"
#include "mediad/farewell.h"
#include "mediad/figures.h"
#include "mediad/keep.h"
#include "mediad/want.h"

/* Calls named in one SessionList. */
#define LIST_PIECE           1000u
/* Sessions that sbcctl's list asks for at once. */
#define LISTING_WINDOW       64u

#define LEASE_MIN_MS         100u
#define LEASE_MAX_MS         3600000u
#define LEASE_DEFAULT_MS     30000u
#define QUARANTINE_MAX_MS    600000u
#define COALESCE_MAX_US      1000u
#define RTCP_DEFAULT_MS      5000u
#define RTCP_MIN_MS          100u
#define RTCP_MAX_MS          60000u
#define SILENCE_DEFAULT_MS   5000u
#define KEEPALIVE_DEFAULT_MS 15000u
#define WATCH_MIN_MS         100u
#define WATCH_MAX_MS         600000u
#define MOS_MAX_CENTI        450u

/* "sbcctl ... sessions" under way: one answer per session, as its worker
 * gives the figures. */
struct listing {
	LIST_ENTRY(listing) entry;
	struct control_request request;
	char *names;
	size_t n_names;
	size_t n_asked;
	size_t n_waiting;
	bool gone; /* who asked has closed the link */
	bool single;
};

struct ctl {
	struct daemon *daemon;
	struct ipc_config ipc;
	struct ipc_server *server;
	struct ipc_link *adopted;
	struct ipc_link *sbc;
	struct sessions *sessions;
	struct farewells *farewells;
	struct control control;
	LIST_HEAD(, listing) listings;
};

/* @return whether it is under way. */
static bool send_to_sbc(struct ctl *c, const Gh__Msg *msg, const char *call)
{
	int err;

	if (c->sbc == NULL)
		return false;
	err = ipc_send(c->sbc, msg);
	if (err)
		log_warning("ipc_send_failed", LOG_CALL(call), LOG_ERR(err));
	return err == 0;
}

/* ----------------------------------------------------------- settings */

static uint32_t within(uint32_t v, uint32_t def, uint32_t min, uint32_t max)
{
	if (v == 0)
		return def;
	return v < min ? min : v > max ? max : v;
}

static bool read_realm(const Gh__MediaRealm *m, struct session_realm *r)
{
	if (m->id == 0 || m->port_min == 0 || m->port_max > UINT16_MAX ||
		m->port_min >= m->port_max ||
		m->n_media > SESSION_REALM_ADDRS_MAX)
		return false;
	r->id = m->id;
	r->port_min = (uint16_t)m->port_min;
	r->port_max = (uint16_t)m->port_max;
	for (size_t i = 0; i < m->n_media; i++)
		if (addr_parse(m->media[i], &r->media[i]) < 0 ||
			(i < m->n_devices && device_name_copy(m->devices[i],
						     r->devices[i]) < 0))
			return false;
	r->n_media = (uint8_t)m->n_media;
	return true;
}

static void on_media_config(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *c = ctx;
	const Gh__MediaConfig *m = msg->media_config;
	struct session_settings *s;

	(void)link;
	s = calloc(1, sizeof(*s));
	if (s == NULL || m->n_realms > SESSION_REALMS_MAX)
		goto refuse;
	for (size_t i = 0; i < m->n_realms; i++)
		if (!read_realm(m->realms[i], &s->realms[i]))
			goto refuse;
	s->n_realms = m->n_realms;
	s->lease_us = 1000ull * within(m->lease_ms, LEASE_DEFAULT_MS,
					LEASE_MIN_MS, LEASE_MAX_MS);
	/* 0 is a wish, too: ports of a small range may be needed at once. */
	s->quarantine_us = 1000ull * (m->quarantine_ms > QUARANTINE_MAX_MS
						     ? QUARANTINE_MAX_MS
						     : m->quarantine_ms);
	s->rules = (struct watch_rules){
		.report_interval_us =
			1000ull * within(m->rtcp_interval_ms, RTCP_DEFAULT_MS,
					  RTCP_MIN_MS, RTCP_MAX_MS),
		.silence_us =
			1000ull * within(m->silence_ms, SILENCE_DEFAULT_MS,
					  WATCH_MIN_MS, WATCH_MAX_MS),
		.keepalive_us =
			1000ull * within(m->keepalive_ms, KEEPALIVE_DEFAULT_MS,
					  WATCH_MIN_MS, WATCH_MAX_MS),
		.mos_min_centi = within(m->mos_min_centi, 0, 0, MOS_MAX_CENTI),
	};
	s->coalesce_us = m->coalesce_us > COALESCE_MAX_US ? COALESCE_MAX_US
							  : m->coalesce_us;
	sessions_configure(c->sessions, s);
	log_notice("media_config", LOG_UINT("realms", s->n_realms),
		LOG_UINT("lease_ms", s->lease_us / 1000),
		LOG_UINT("quarantine_ms", s->quarantine_us / 1000),
		LOG_UINT("coalesce_us", s->coalesce_us));
	free(s);
	return;
refuse:
	reason_count(REASON_SETTINGS_INVALID);
	log_err("media_config_refused",
		LOG_STR("reason", reason_text(REASON_SETTINGS_INVALID)),
		LOG_UINT("realms", m->n_realms));
	free(s);
}

/* ------------------------------------------------------------ sessions */

/* A SessionState side with the texts it points to. */
struct side_text {
	Gh__MediaSideState msg;
	char rtp[ADDR_TEXT_SIZE];
	char rtcp[ADDR_TEXT_SIZE];
	char cname[LEG_CNAME_SIZE];
};

static Gh__MediaSideState *side_state(
	const struct session_side_view *v, struct side_text *t)
{
	if (!addr_is_set(&v->rtp))
		return NULL;
	gh__media_side_state__init(&t->msg);
	memcpy(t->cname, v->cname, sizeof(t->cname));
	(void)addr_format(&v->rtp, t->rtp);
	(void)addr_format(&v->rtcp, t->rtcp);
	t->msg.rtp = t->rtp;
	t->msg.rtcp = t->rtcp;
	t->msg.ssrc = v->ssrc;
	t->msg.cname = t->cname;
	return &t->msg;
}

static void refuse_want(
	struct ctl *c, const Gh__SessionWant *m, enum reason why)
{
	Gh__SessionState state = GH__SESSION_STATE__INIT;

	state.request = m->request;
	state.call = m->call;
	state.version = m->version;
	state.reason = reason_number(why);
	IPC_MSG(msg, SESSION_STATE, session_state, &state);
	send_to_sbc(c, &msg, m->call);
}

static void on_state(void *ctx, uint64_t request, const struct session_view *v)
{
	struct ctl *c = ctx;
	Gh__SessionState state = GH__SESSION_STATE__INIT;
	struct side_text caller, called;

	state.request = request;
	state.call = (char *)(uintptr_t)v->call;
	state.version = v->version;
	state.reason = reason_number(REASON_SESSION_OPEN);
	state.caller = side_state(&v->side[SIDE_CALLER], &caller);
	state.called = side_state(&v->side[SIDE_CALLED], &called);
	log_info("session_open", LOG_CALL(v->call),
		LOG_UINT("version", v->version),
		LOG_ADDR("caller", &v->side[SIDE_CALLER].rtp),
		LOG_ADDR("called", &v->side[SIDE_CALLED].rtp));
	IPC_MSG(msg, SESSION_STATE, session_state, &state);
	send_to_sbc(c, &msg, v->call);
}

static void on_session_want(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *c = ctx;
	const Gh__SessionWant *m = msg->session_want;
	const char *problem = "";
	struct want want = {0};
	enum reason why = REASON_SESSION_REFUSED;

	(void)link;
	if (want_read(m, &want, &problem) == 0)
		why = session_want(c->sessions, &want, m->request);
	want_done(&want);
	secret_wipe_stack();
	reason_count(why);
	if (why == REASON_SESSION_OPEN)
		return;
	log_warning("session_refused", LOG_CALL(m->call),
		LOG_STR("reason", reason_text(why)), LOG_STR("field", problem));
	refuse_want(c, m, why);
}

static void send_ended(struct ctl *c, uint64_t request, const char *call,
	enum reason why, const struct leg_stats *stats)
{
	Gh__SessionEnded ended = GH__SESSION_ENDED__INIT;
	struct figures caller, called;

	ended.request = request;
	ended.call = (char *)(uintptr_t)call;
	ended.reason = reason_number(why);
	if (stats != NULL) {
		figures_message(&stats[SIDE_CALLER], &caller);
		figures_message(&stats[SIDE_CALLED], &called);
		ended.caller = &caller.msg;
		ended.called = &called.msg;
	}
	IPC_MSG(msg, SESSION_ENDED, session_ended, &ended);
	if (send_to_sbc(c, &msg, call))
		farewell_sent(c->farewells, call);
}

static void on_session_end(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *c = ctx;
	const Gh__SessionEnd *m = msg->session_end;

	const struct record_farewell *f = NULL;

	(void)link;
	if (ident_is_call(m->call)) {
		if (session_end(c->sessions, m->call, m->request,
			    REASON_SESSION_CLOSED) == 0)
			return;
		f = farewell_find(c->farewells, m->call);
	}
	/* The end of what does not exist has succeeded. */
	send_ended(c, m->request, m->call, f ? f->why : REASON_SESSION_CLOSED,
		f ? f->stats : NULL);
}

static void on_session_claim(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *c = ctx;
	const Gh__SessionClaim *m = msg->session_claim;

	(void)link;
	if (m->all)
		sessions_claim_all(c->sessions);
	for (size_t i = 0; i < m->n_calls; i++)
		if (!ident_is_call(m->calls[i]) ||
			session_claim(c->sessions, m->calls[i]) < 0)
			log_peer_debug("claim_unknown");
	farewells_on_claim(c->farewells);
}

static void on_ended(void *ctx, const char *call, uint64_t request,
	enum reason why, const struct leg_stats stats[SIDE_COUNT])
{
	struct ctl *c = ctx;
	const struct leg_stats *a = &stats[SIDE_CALLER];
	const struct leg_stats *b = &stats[SIDE_CALLED];
	struct record_farewell f = {.request = request,
		.ended_wall_us = clock_wall_us(),
		.why = why,
		.stats = {*a, *b}};

	reason_count(why);
	memcpy(f.call, call, sizeof(f.call));
	farewell_put(c->farewells, &f, NULL);
	log_info("session_ended", LOG_CALL(call),
		LOG_STR("reason", reason_text(why)),
		LOG_UINT("caller_rx", a->n.rx_packets),
		LOG_UINT("caller_lost", a->lost),
		LOG_UINT("called_rx", b->n.rx_packets),
		LOG_UINT("called_lost", b->lost));
	send_ended(c, request, call, why, stats);
}

static const Gh__MediaEventKind event_kinds[] = {
	[LEG_EVENT_FIRST_PACKET] = GH__MEDIA_EVENT_KIND__MEDIA_FIRST_PACKET,
	[LEG_EVENT_LEARNED] = GH__MEDIA_EVENT_KIND__MEDIA_LEARNED,
	[LEG_EVENT_TIMED_OUT] = GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT,
	[LEG_EVENT_VIOLATION] = GH__MEDIA_EVENT_KIND__MEDIA_VIOLATION,
	[LEG_EVENT_ONE_WAY] = GH__MEDIA_EVENT_KIND__MEDIA_ONE_WAY,
	[LEG_EVENT_NONE] = GH__MEDIA_EVENT_KIND__MEDIA_NONE,
	[LEG_EVENT_QUALITY] = GH__MEDIA_EVENT_KIND__MEDIA_QUALITY,
};
static const char *const event_names[] = {
	[LEG_EVENT_FIRST_PACKET] = "media_first_packet",
	[LEG_EVENT_LEARNED] = "media_learned",
	[LEG_EVENT_TIMED_OUT] = "media_timed_out",
	[LEG_EVENT_VIOLATION] = "media_violation",
	[LEG_EVENT_ONE_WAY] = "media_one_way",
	[LEG_EVENT_NONE] = "media_none",
	[LEG_EVENT_QUALITY] = "media_quality",
};
_Static_assert(sizeof(event_kinds) / sizeof(event_kinds[0]) == LEG_EVENT_COUNT,
	"every event has a message");
_Static_assert(sizeof(event_names) / sizeof(event_names[0]) == LEG_EVENT_COUNT,
	"every event has a name");

static bool has_figures(enum leg_event_kind kind)
{
	return kind == LEG_EVENT_TIMED_OUT || kind == LEG_EVENT_ONE_WAY ||
	       kind == LEG_EVENT_NONE || kind == LEG_EVENT_QUALITY;
}

static void on_event(void *ctx, const struct leg_event *event)
{
	struct ctl *c = ctx;
	Gh__MediaEvent e = GH__MEDIA_EVENT__INIT;
	char source[ADDR_TEXT_SIZE] = "";
	struct figures figures;

	e.call = (char *)(uintptr_t)event->call;
	e.called_side = event->side == SIDE_CALLED;
	e.kind = event_kinds[event->kind];
	e.reason = reason_number(event->reason);
	if (addr_is_set(&event->source))
		(void)addr_format(&event->source, source);
	e.source = source;
	if (has_figures(event->kind)) {
		figures_message(&event->stats, &figures);
		if (event->kind == LEG_EVENT_QUALITY)
			figures.msg.mos_centi = event->mos_centi;
		e.stats = &figures.msg;
	}
	if (event->kind == LEG_EVENT_LEARNED)
		reason_count(event->reason);
	log_peer_info(event_names[event->kind], LOG_CALL(event->call),
		LOG_STR("side", e.called_side ? "called" : "caller"),
		LOG_STR("reason", reason_text(event->reason)),
		LOG_ADDR("source", &event->source));
	IPC_MSG(msg, MEDIA_EVENT, media_event, &e);
	send_to_sbc(c, &msg, event->call);
}

/* -------------------------------------------------------------- sbcctl */

static void session_json(const struct session_view *v,
	const struct leg_stats stats[SIDE_COUNT], struct json *j)
{
	static const char *const names[] = {
		[SIDE_CALLER] = "caller", [SIDE_CALLED] = "called"};
	char text[ADDR_TEXT_SIZE];

	json_str(j, "call", v->call);
	json_uint(j, "session_version", v->version);
	json_uint(j, "worker", v->worker);
	json_time(j, "opened", v->opened_wall_us);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		if (!addr_is_set(&v->side[i].rtp))
			continue;
		json_open_object(j, names[i]);
		json_str(j, "rtp", addr_format(&v->side[i].rtp, text));
		json_str(j, "rtcp", addr_format(&v->side[i].rtcp, text));
		figures_json(&stats[i], j);
		json_close_object(j);
	}
}

static void listing_finish(struct listing *l)
{
	struct json j;

	if (!l->gone && !l->single) {
		json_begin(&j);
		json_uint(&j, "format", 1);
		json_uint(&j, "sessions", l->n_names);
		control_finish(&l->request, CONTROL_OK, &j);
	}
	LIST_REMOVE(l, entry);
	free(l->names);
	free(l);
}

/* Keeps a window of questions open; ends the listing after the last one. */
static void listing_go_on(struct ctl *c, struct listing *l)
{
	while (!l->gone && l->n_waiting < LISTING_WINDOW &&
		l->n_asked < l->n_names) {
		const char *call = l->names + l->n_asked++ * IDENT_CALL_SIZE;

		if (session_ask(c->sessions, call, l) == 0)
			l->n_waiting++;
	}
	if (l->n_waiting == 0 && (l->gone || l->n_asked == l->n_names))
		listing_finish(l);
}

static void on_stats(void *ctx, void *ticket, const struct session_view *view,
	const struct leg_stats stats[SIDE_COUNT])
{
	struct listing *l = ticket;
	struct json j;

	l->n_waiting--;
	if (!l->gone) {
		json_begin(&j);
		json_uint(&j, "format", 1);
		session_json(view, stats, &j);
		if (l->single) {
			control_finish(&l->request, CONTROL_OK, &j);
		} else {
			control_send(&l->request, &j);
			free(j.text);
		}
	}
	listing_go_on(ctx, l);
}

static struct listing *listing_new(
	struct ctl *c, const struct control_request *request)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->request = *request;
	LIST_INSERT_HEAD(&c->listings, l, entry);
	return l;
}

static int cmd_sessions(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	struct listing *l;

	(void)args;
	(void)n_args;
	(void)answer;
	l = listing_new(c, request);
	if (l == NULL)
		return CONTROL_REFUSED;
	l->names = sessions_names(c->sessions, &l->n_names);
	listing_go_on(c, l);
	return CONTROL_LATER;
}

static int cmd_session(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	struct listing *l;

	(void)n_args;
	if (!ident_is_call(args[0])) {
		json_str(answer, "error", "not a call ID");
		return CONTROL_USAGE;
	}
	l = listing_new(c, request);
	if (l == NULL)
		return CONTROL_REFUSED;
	l->single = true;
	if (session_ask(c->sessions, args[0], l) == 0) {
		l->n_waiting++;
		return CONTROL_LATER;
	}
	l->gone = true;
	listing_finish(l);
	json_str(answer, "error", "no such session");
	return CONTROL_NO_SUCH;
}

static int cmd_capacity(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;

	(void)request;
	(void)args;
	(void)n_args;
	json_uint(answer, "sessions", sessions_count(c->sessions));
	json_uint(answer, "capacity", sessions_capacity(c->sessions));
	json_uint(answer, "workers", sessions_workers(c->sessions));
	return CONTROL_OK;
}

static const struct control_command commands[] = {
	{"sessions", "", "every media session with its figures", 0, 0,
		cmd_sessions},
	{"session", "CALL", "one media session", 1, 1, cmd_session},
	{"capacity", "", "sessions open and possible", 0, 0, cmd_capacity},
};

static void on_ctl_request(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *c = ctx;

	sessions_merge_counts(c->sessions);
	control_on_request(&c->control, link, msg->ctl_request);
}

/* --------------------------------------------------------------- links */

static void send_list(struct ctl *c)
{
	size_t n, at = 0;
	char *names = sessions_names(c->sessions, &n);
	char *calls[LIST_PIECE];

	do {
		Gh__SessionList list = GH__SESSION_LIST__INIT;

		while (list.n_calls < LIST_PIECE && at < n)
			calls[list.n_calls++] = names + at++ * IDENT_CALL_SIZE;
		list.calls = calls;
		list.done = at == n;
		IPC_MSG(msg, SESSION_LIST, session_list, &list);
		send_to_sbc(c, &msg, "-");
	} while (at < n);
	free(names);
}

/* What sbc may not have read: before it is on this link for a while, nobody
 * knows. */
static void send_farewells(struct ctl *c)
{
	const struct record_farewell *f = NULL;

	while ((f = farewells_next(c->farewells, f)) != NULL)
		send_ended(c, f->request, f->call, f->why, f->stats);
}

static void on_up(void *ctx, struct ipc_link *link)
{
	struct ctl *c = ctx;

	if (ipc_peer(link) != PROCESS_SBC)
		return;
	c->sbc = link;
	log_notice("sbc_up", LOG_UINT("sessions", sessions_count(c->sessions)));
	send_list(c);
	send_farewells(c);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct ctl *c = ctx;
	struct listing *l;

	LIST_FOREACH (l, &c->listings, entry)
		if (l->request.link == link)
			l->gone = true;
	if (link != c->sbc)
		return;
	c->sbc = NULL;
	farewells_on_down(c->farewells);
	log_warning("sbc_away", LOG_STR("reason", reason_text(why)),
		LOG_UINT("sessions", sessions_count(c->sessions)));
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_MEDIA_CONFIG, PROCESS_BIT(PROCESS_SBC), on_media_config},
	{GH__MSG__BODY_SESSION_WANT, PROCESS_BIT(PROCESS_SBC), on_session_want},
	{GH__MSG__BODY_SESSION_END, PROCESS_BIT(PROCESS_SBC), on_session_end},
	{GH__MSG__BODY_SESSION_CLAIM, PROCESS_BIT(PROCESS_SBC),
		on_session_claim},
	{GH__MSG__BODY_CTL_REQUEST, PROCESS_BIT(PROCESS_CTL), on_ctl_request},
};

static const struct session_events session_events = {
	.on_state = on_state,
	.on_ended = on_ended,
	.on_event = on_event,
	.on_stats = on_stats,
};

int ctl_new(const struct ctl_config *config, struct ctl **ctl_out)
{
	struct ctl *c = calloc(1, sizeof(*c));
	struct sessions_config sc;
	int err;

	if (c == NULL)
		return ERR_NOMEM;
	LIST_INIT(&c->listings);
	c->daemon = config->daemon;
	c->ipc = (struct ipc_config){
		.loop = config->daemon->loop,
		.self = PROCESS_MEDIAD,
		.users = &config->daemon->users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = c,
	};
	control_init(&c->control, config->daemon, commands,
		sizeof(commands) / sizeof(commands[0]), c);
	sc = (struct sessions_config){
		.loop = config->daemon->loop,
		.n_workers = config->n_workers,
		.capacity = config->capacity,
		.events = &session_events,
		.ctx = c,
	};
	err = sessions_new(&sc, &c->sessions);
	if (!err)
		err = farewells_new(config->daemon->loop,
			sessions_keep(c->sessions), &c->farewells);
	if (err) {
		sessions_free(&c->sessions);
		free(c);
		return err;
	}
	*ctl_out = c;
	return 0;
}

void ctl_on_keeper_fd(struct ctl *ctl, const char *name, int fd)
{
	keep_on_fd(sessions_keep(ctl->sessions), name, fd);
}

void ctl_on_keeper_up(struct ctl *ctl, struct notify *keeper)
{
	keep_on_up(sessions_keep(ctl->sessions), keeper);
}

int ctl_resume(struct ctl *ctl)
{
	struct keep *keep = sessions_keep(ctl->sessions);
	struct store_record *record;
	struct record_farewell f;
	int err = sessions_resume(ctl->sessions);

	while (!err && keep_next_farewell(keep, &f, &record))
		farewell_put(ctl->farewells, &f, record);
	return err;
}

void ctl_free(struct ctl **ctl)
{
	struct ctl *c = *ctl;

	if (c == NULL)
		return;
	ipc_link_free(&c->adopted);
	ipc_server_free(&c->server);
	c->sbc = NULL;
	farewells_free(&c->farewells);
	sessions_free(&c->sessions);
	while (!LIST_EMPTY(&c->listings)) {
		LIST_FIRST(&c->listings)->gone = true;
		listing_finish(LIST_FIRST(&c->listings));
	}
	free(c);
	*ctl = NULL;
}

int ctl_listen(struct ctl *ctl, const char *path)
{
	return ipc_listen(&ctl->ipc, path, &ctl->server);
}

int ctl_adopt(struct ctl *ctl, int fd)
{
	return ipc_adopt(&ctl->ipc, fd, &ctl->adopted);
}

int ctl_start(struct ctl *ctl)
{
	return sessions_start(ctl->sessions);
}

struct sessions *ctl_sessions(struct ctl *ctl)
{
	return ctl->sessions;
}
