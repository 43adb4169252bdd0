/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread's half of a session:
 *
 *	(none) --want--> LIVE --end, lease--> CLOSING --worker said--> (none)
 *
 * Wanting is idempotent: each call compares the whole wanted state with what
 * is and orders the difference. Everything that can fail (ports, memory) is
 * got before anything changes. So the answer to sbc waits for nobody: an order
 * that the worker has not read yet precedes the next packet that it reads. The
 * slab of struct media is made at start; a page of it costs memory once a call
 * has used it.
 *
 * Called by ctl.c. Does not know messages; decides nothing about packets.
 */
#include "mediad/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/stat.h"
#include "common/table.h"
#include "mediad/session_inside.h"

#define LEASE_DEFAULT_US   30000000ull
#define LEASE_CHECK_MAX_US 1000000ull
#define MERGE_US           1000000ull

/* ----------------------------------------------------------- the slab */

static void slab_clear(struct media *m)
{
	memset(m, 0, sizeof(*m));
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct leg *l = &m->leg[i];

		l->rtp_fd = l->rtcp_fd = -1;
		l->side = i;
		l->media = m;
		l->other = &m->leg[SIDE_COUNT - 1 - i];
	}
}

static struct media *slab_take(struct sessions *s, const char *call)
{
	struct media *m;

	if (s->n_unused == 0)
		return NULL;
	m = s->unused[--s->n_unused];
	slab_clear(m);
	memcpy(m->call, call, IDENT_CALL_SIZE);
	return m;
}

static void slab_give(struct sessions *s, struct media *m)
{
	s->unused[s->n_unused++] = m;
}

static int slab_new(struct sessions *s)
{
	size_t size = s->capacity * sizeof(struct media);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return ERR_NOMEM;
	s->slab = p;
	s->unused = calloc(s->capacity, sizeof(s->unused[0]));
	if (s->unused == NULL)
		return ERR_NOMEM;
	/* The first ones are taken first, so that few calls touch few pages. */
	for (size_t i = 0; i < s->capacity; i++)
		s->unused[i] = &s->slab[s->capacity - 1 - i];
	s->n_unused = s->capacity;
	return 0;
}

/* --------------------------------------------------------------- views */

static struct session *find(const struct sessions *s, const char *call)
{
	struct table_node *n = table_find(&s->table, call, IDENT_CALL_LEN);

	return n ? TABLE_ENTRY(n, struct session, node) : NULL;
}

static void view(const struct session *x, struct session_view *out)
{
	*out = (struct session_view){.version = x->version,
		.opened_wall_us = x->opened_wall_us,
		.worker = x->worker};
	memcpy(out->call, x->call, sizeof(out->call));
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct session_side *side = &x->side[i];
		struct session_side_view *v = &out->side[i];

		v->rtp = v->rtcp = side->lease.rtp;
		if (!side->rtcp_mux && addr_is_set(&v->rtp))
			v->rtcp.port++;
		v->ssrc = side->ssrc;
		memcpy(v->cname, side->cname, sizeof(v->cname));
	}
}

/* ------------------------------------------------------------- wanting */

/* Written before the worker goes by it, and after the plan is complete. */
static void keep_wanted(struct sessions *s, struct session *x,
	const struct want *want, const struct worker_job *job)
{
	struct record_plan p = {
		.version = x->version, .opened_wall_us = x->opened_wall_us};

	memcpy(p.call, x->call, sizeof(p.call));
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		p.side[i].side = x->side[i];
		p.side[i].config = job->side[i].config;
		p.side[i].receive = want->side[i].receive;
		p.side[i].send = want->side[i].send;
	}
	keep_plan(s->keep, &x->kept, &p);
	secret_wipe(&p, sizeof(p));
}

static enum reason make_so(struct sessions *s, struct session *x,
	struct want *want, struct worker_job *job, bool *sockets_new)
{
	struct side_plan plan[SIDE_COUNT];
	enum reason why;

	why = plan_side(&s->planner, &x->side[0], &want->side[0], &plan[0]);
	if (why != REASON_SESSION_OPEN)
		return why;
	why = plan_side(&s->planner, &x->side[1], &want->side[1], &plan[1]);
	if (why != REASON_SESSION_OPEN) {
		plan_drop(&s->planner, &plan[0]);
		return why;
	}
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		plan_commit(&s->planner, &x->side[i], &want->side[i], &plan[i],
			&job->side[i]);
		*sockets_new |= plan[i].begin || plan[i].end ||
				plan[i].open_rtcp || plan[i].close_rtcp;
	}
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		job->side[i].birth.words =
			x->kept.live ? &x->kept.live[i] : NULL;
	x->version = want->version;
	keep_wanted(s, x, want, job);
	return REASON_SESSION_OPEN;
}

/* Both legs of a call are one worker's; the emptiest gets the next call. */
static unsigned pick_worker(const struct sessions *s)
{
	unsigned best = 0;

	for (unsigned i = 1; i < s->n_workers; i++)
		if (s->workers[i].n_sessions < s->workers[best].n_sessions)
			best = i;
	return best;
}

struct session *session_make(struct sessions *s, const char *call)
{
	struct session *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	memcpy(x->call, call, sizeof(x->call));
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		plan_side_init(&x->side[i]);
	x->claimed_us = clock_now_us();
	x->worker = pick_worker(s);
	x->opened_wall_us = clock_wall_us();
	x->media = slab_take(s, call);
	if (x->media == NULL)
		goto fail;
	if (table_add(&s->table, &x->node, x->call, IDENT_CALL_LEN) < 0) {
		slab_give(s, x->media);
		goto fail;
	}
	s->workers[x->worker].n_sessions++;
	return x;
fail:
	free(x);
	return NULL;
}

/* Its worker has closed it, or ended. */
static void session_free(struct sessions *s, struct session *x)
{
	uint64_t now_us = clock_now_us();

	table_remove(&s->table, &x->node);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		port_release(s->planner.ports, &x->side[i].lease, now_us);
	slab_give(s, x->media);
	s->workers[x->worker].n_sessions--;
	free(x);
}

void session_unmake(struct sessions *s, struct session *x)
{
	keep_end(s->keep, &x->kept);
	session_free(s, x);
}

void sessions_set_gauges(struct sessions *s)
{
	stat_set(STAT_SESSIONS, s->table.n_entries);
	stat_set(STAT_PORTS_USED, ports_used(s->planner.ports));
}

/* Then an order may let a socket go that the kernel holds to one source, and
 * nothing that comes from another would wake the worker. */
static bool was_heard(const struct session *x)
{
	const struct live_leg *words = x->kept.live;

	if (words == NULL)
		return true;
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		if (__atomic_load_n(&words[i].rx_ssrc, __ATOMIC_ACQUIRE) != 0)
			return true;
	return false;
}

static enum reason order_difference(
	struct sessions *s, struct session *x, struct want *want, bool is_new)
{
	struct worker_job *job = worker_job_new(WORKER_APPLY, x->media);
	bool sockets_new = false;
	enum reason why;

	if (job == NULL)
		return REASON_SESSION_FULL;
	job->owner = x;
	why = make_so(s, x, want, job, &sockets_new);
	if (why != REASON_SESSION_OPEN) {
		worker_job_free(job);
		return why;
	}
	job->wait = is_new || (!sockets_new && !was_heard(x));
	worker_order(s->workers[x->worker].worker, job);
	if (sockets_new)
		keep_mark(s->keep, &x->kept);
	sessions_set_gauges(s);
	return REASON_SESSION_OPEN;
}

static enum reason want_from(struct sessions *s, struct session *x,
	struct want *want, uint64_t request, bool is_new)
{
	enum reason why = REASON_SESSION_OPEN;
	struct session_view v;

	if (x->state != SESSION_STATE_LIVE)
		return REASON_SESSION_REFUSED;
	x->claimed_us = clock_now_us();
	if (is_new || want->version > x->version)
		why = order_difference(s, x, want, is_new);
	if (why != REASON_SESSION_OPEN)
		return why;
	view(x, &v);
	s->events->on_state(s->ctx, request, &v);
	return REASON_SESSION_OPEN;
}

enum reason session_want(
	struct sessions *s, struct want *want, uint64_t request)
{
	struct session *x = find(s, want->call);
	bool is_new = x == NULL;
	enum reason why;

	if (is_new)
		x = session_make(s, want->call);
	if (x == NULL)
		return REASON_SESSION_FULL;
	if (is_new)
		keep_begin(s->keep, &x->kept, x->call);
	why = want_from(s, x, want, request, is_new);
	if (why != REASON_SESSION_OPEN && is_new)
		session_unmake(s, x);
	return why;
}

/* -------------------------------------------------------------- ending */

static void begin_to_end(struct sessions *s, struct session *x, enum reason why)
{
	struct worker_job *job = worker_job_new(WORKER_CLOSE, x->media);

	if (job == NULL)
		return; /* the lease brings us here again */
	job->owner = x;
	/* It answers with the last figures, and for several calls at once. */
	job->wait = true;
	x->state = SESSION_STATE_CLOSING;
	x->why = why;
	worker_order(s->workers[x->worker].worker, job);
}

int session_end(
	struct sessions *s, const char *call, uint64_t request, enum reason why)
{
	struct session *x = find(s, call);

	if (x == NULL)
		return ERR_NOT_FOUND;
	x->end_request = request;
	if (x->state == SESSION_STATE_LIVE) {
		x->claimed_us = 0;
		begin_to_end(s, x, why);
	}
	return 0;
}

int session_claim(struct sessions *s, const char *call)
{
	struct session *x = find(s, call);

	if (x == NULL)
		return ERR_NOT_FOUND;
	x->claimed_us = clock_now_us();
	return 0;
}

/* Next entry of a walk; *bucket and after as in table_next(). */
static struct session *next_session(
	const struct sessions *s, size_t *bucket, struct session *after)
{
	struct table_node *n =
		table_next(&s->table, bucket, after ? &after->node : NULL);

	return n ? TABLE_ENTRY(n, struct session, node) : NULL;
}

void sessions_claim_all(struct sessions *s)
{
	uint64_t now_us = clock_now_us();
	struct session *x = NULL;
	size_t bucket = 0;

	while ((x = next_session(s, &bucket, x)) != NULL)
		x->claimed_us = now_us;
}

static void on_lease_timer(void *arg)
{
	struct sessions *s = arg;
	uint64_t now_us = clock_now_us();
	uint64_t lease_us = s->settings.lease_us;
	struct session *x = NULL;
	size_t bucket = 0;

	while ((x = next_session(s, &bucket, x)) != NULL)
		if (x->state == SESSION_STATE_LIVE &&
			now_us - x->claimed_us > lease_us)
			begin_to_end(s, x, REASON_SESSION_LEASE);
	loop_timer_set(s->loop, s->lease_timer,
		lease_us / 4 < LEASE_CHECK_MAX_US ? lease_us / 4 + 1
						  : LEASE_CHECK_MAX_US);
}

/* ------------------------------------------------------ workers' answers */

static void on_closed(struct sessions *s, struct worker_job *job)
{
	struct session *x = job->owner;
	char call[IDENT_CALL_SIZE];
	enum reason why = x->why;
	uint64_t request = x->end_request;

	memcpy(call, x->call, sizeof(call));
	session_unmake(s, x);
	sessions_set_gauges(s);
	s->events->on_ended(s->ctx, call, request, why, job->stats);
}

static void on_figures(struct sessions *s, struct worker_job *job)
{
	struct session_view v;

	view(job->owner, &v);
	s->events->on_stats(s->ctx, job->ticket, &v, job->stats);
}

static void take_answers(struct worker_slot *slot)
{
	struct sessions *s = slot->owner;
	struct mail *next = worker_answers(slot->worker);

	while (next != NULL) {
		struct worker_job *job = (struct worker_job *)next;

		next = next->next;
		if (job->verb == WORKER_CLOSE)
			on_closed(s, job);
		else if (job->verb == WORKER_STATS)
			on_figures(s, job);
		else if (job->verb == WORKER_EVENT)
			s->events->on_event(s->ctx, &job->event);
		worker_job_free(job);
	}
}

static void on_answers(void *arg, int fd, unsigned events)
{
	struct worker_slot *slot = arg;

	(void)fd;
	(void)events;
	worker_answers_heard(slot->worker);
	take_answers(slot);
}

int session_ask(struct sessions *s, const char *call, void *ticket)
{
	struct session *x = find(s, call);
	struct worker_job *job;

	if (x == NULL || x->state != SESSION_STATE_LIVE)
		return ERR_NOT_FOUND;
	job = worker_job_new(WORKER_STATS, x->media);
	if (job == NULL)
		return ERR_NOMEM;
	job->owner = x;
	job->ticket = ticket;
	worker_order(s->workers[x->worker].worker, job);
	return 0;
}

/* Only of a session that lives: its worker may close the others' at any time.
 */
static size_t copy_fds(const struct keep_entry *entry, int fds[KEEP_FDS_MAX])
{
	const struct session *x = TABLE_ENTRY(entry, struct session, kept);
	size_t n = 0;

	if (x->state != SESSION_STATE_LIVE)
		return 0;
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		if (x->side[i].rtp_fd >= 0)
			fds[n++] = x->side[i].rtp_fd;
		if (x->side[i].rtcp_fd >= 0)
			fds[n++] = x->side[i].rtcp_fd;
	}
	return n;
}

struct keep *sessions_keep(struct sessions *s)
{
	return s->keep;
}

/* ------------------------------------------------------------- figures */

char *sessions_names(const struct sessions *s, size_t *n_out)
{
	size_t n = s->table.n_entries, i = 0, bucket = 0;
	struct session *x = NULL;
	char *names;

	*n_out = 0;
	if (n == 0)
		return NULL;
	names = calloc(n, IDENT_CALL_SIZE);
	if (names == NULL)
		return NULL;
	while ((x = next_session(s, &bucket, x)) != NULL && i < n)
		if (x->state == SESSION_STATE_LIVE)
			memcpy(names + i++ * IDENT_CALL_SIZE, x->call,
				IDENT_CALL_SIZE);
	*n_out = i;
	return names;
}

size_t sessions_count(const struct sessions *s)
{
	return s->table.n_entries;
}

size_t sessions_capacity(const struct sessions *s)
{
	return s->capacity;
}

unsigned sessions_workers(const struct sessions *s)
{
	return s->n_workers;
}

void sessions_merge_counts(struct sessions *s)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct worker_slot *slot = &s->workers[i];
		struct worker_counts now;

		worker_counts(slot->worker, &now);
		for (size_t r = 0; r < LEG_DROPS; r++)
			reason_count_add((enum reason)(REASON_RTP_OK + r),
				now.drops[r] - slot->merged.drops[r]);
		stat_add(STAT_RTP_RX, now.rtp_rx - slot->merged.rtp_rx);
		stat_add(STAT_RTP_TX, now.rtp_tx - slot->merged.rtp_tx);
		stat_add(STAT_MEDIA_ICMP, now.icmp - slot->merged.icmp);
		slot->merged = now;
	}
}

static void on_merge_timer(void *arg)
{
	struct sessions *s = arg;

	sessions_merge_counts(s);
	/* Those that nobody rang for. */
	for (unsigned i = 0; i < s->n_workers; i++)
		take_answers(&s->workers[i]);
	loop_timer_set(s->loop, s->merge_timer, MERGE_US);
}

/* --------------------------------------------------------- beginning, end */

static void tune_workers(struct sessions *s)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct worker_job *job = worker_job_new(WORKER_TUNE, NULL);

		if (job == NULL)
			return; /* the old values stay */
		job->coalesce_us = s->settings.coalesce_us;
		job->rules = s->settings.rules;
		worker_order(s->workers[i].worker, job);
	}
}

static void place_side(const struct sessions *s, const struct session_side *x)
{
	const struct addr *at = &x->lease.rtp;

	if (addr_is_set(at) &&
		((x->rtp_fd >= 0 &&
			 ports_place(s->planner.ports, at, x->rtp_fd)) ||
			(x->rtcp_fd >= 0 &&
				ports_place(s->planner.ports, at, x->rtcp_fd))))
		log_peer_warning(
			"media_device", LOG_ADDR("addr", at), LOG_ERRNO(errno));
}

/* Sockets that a killed process had and keeper had not were opened before
 * anybody said what device their address is on. */
static void place_resumed(const struct sessions *s)
{
	struct session *x = NULL;
	size_t bucket = 0;

	while ((x = next_session(s, &bucket, x)) != NULL) {
		for (unsigned i = 0; i < SIDE_COUNT; i++)
			place_side(s, &x->side[i]);
	}
}

static void set_devices(
	struct sessions *s, const struct session_settings *settings)
{
	struct ports *ports = s->planner.ports;

	ports_forget_devices(ports);
	for (size_t i = 0; i < settings->n_realms; i++) {
		const struct session_realm *r = &settings->realms[i];

		for (unsigned j = 0; j < r->n_media; j++)
			if (r->devices[j][0] &&
				ports_set_device(
					ports, &r->media[j], r->devices[j]) < 0)
				log_err("media_device",
					LOG_ADDR("addr", &r->media[j]),
					LOG_ERR(ERR_NOMEM));
	}
	if (!s->configured)
		place_resumed(s);
	s->configured = true;
}

void sessions_configure(
	struct sessions *s, const struct session_settings *settings)
{
	s->settings = *settings;
	ports_set_quarantine(s->planner.ports, settings->quarantine_us);
	set_devices(s, settings);
	tune_workers(s);
	on_lease_timer(s);
}

int sessions_new(
	const struct sessions_config *config, struct sessions **sessions_out)
{
	struct sessions *s = calloc(1, sizeof(*s));
	int err = ERR_NOMEM;

	if (s == NULL)
		return ERR_NOMEM;
	s->loop = config->loop;
	s->events = config->events;
	s->ctx = config->ctx;
	s->capacity = config->capacity;
	s->settings.lease_us = LEASE_DEFAULT_US;
	s->planner.settings = &s->settings;
	secret_random_bytes(s->planner.mark_key, sizeof(s->planner.mark_key));
	if (table_init(&s->table, s->capacity) < 0)
		goto fail;
	s->workers = calloc(config->n_workers, sizeof(s->workers[0]));
	if (s->workers == NULL || ports_new(&s->planner.ports) < 0 ||
		slab_new(s) < 0 ||
		keep_new(s->loop, s->capacity, copy_fds, &s->keep) < 0)
		goto fail;
	for (; s->n_workers < config->n_workers; s->n_workers++) {
		s->workers[s->n_workers].owner = s;
		err = worker_new(s->n_workers, s->capacity,
			&s->workers[s->n_workers].worker);
		if (err)
			goto fail;
	}
	*sessions_out = s;
	return 0;
fail:
	sessions_free(&s);
	return err;
}

int sessions_start(struct sessions *s)
{
	int err;

	for (unsigned i = 0; i < s->n_workers; i++) {
		struct worker_slot *slot = &s->workers[i];

		err = loop_fd_add(s->loop, worker_answer_fd(slot->worker),
			LOOP_READ, on_answers, slot, &slot->watch);
		if (err)
			return err;
		err = worker_start(slot->worker);
		if (err)
			return err;
	}
	err = loop_timer_new(s->loop, on_lease_timer, s, &s->lease_timer);
	if (err)
		return err;
	err = loop_timer_new(s->loop, on_merge_timer, s, &s->merge_timer);
	if (err)
		return err;
	on_lease_timer(s);
	on_merge_timer(s);
	return 0;
}

static void free_all(struct sessions *s)
{
	struct session *x;
	size_t bucket = 0;

	/* From the start each time: the entry is freed, not walked past. */
	while ((x = next_session(s, &bucket, NULL)) != NULL) {
		session_free(s, x);
		bucket = 0;
	}
}

void sessions_free(struct sessions **sessions)
{
	struct sessions *s = *sessions;

	if (s == NULL)
		return;
	if (s->keep != NULL)
		keep_flush(s->keep);
	for (unsigned i = 0; i < s->n_workers; i++) {
		loop_fd_free(s->loop, &s->workers[i].watch);
		worker_free(&s->workers[i].worker);
	}
	loop_timer_free(s->loop, &s->lease_timer);
	loop_timer_free(s->loop, &s->merge_timer);
	if (s->table.buckets != NULL) {
		free_all(s);
		table_done(&s->table);
	}
	if (s->keep != NULL)
		keep_free(&s->keep, keep_count(s->keep) == 0);
	if (s->planner.ports != NULL)
		ports_free(&s->planner.ports);
	if (s->slab != NULL)
		munmap(s->slab, s->capacity * sizeof(struct media));
	free(s->unused);
	free(s->workers);
	free(s);
	*sessions = NULL;
}
