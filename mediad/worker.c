/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet thread. One round: wait, orders if there are any, read the clock
 * once, one packet per ready socket, and at each tick some of the legs for
 * watch.c. No lock, no allocation and no log on the way of a packet.
 *
 * Coalescing: waking up costs more than forwarding. When more than one packet
 * is to be expected within the ceiling, the thread sleeps to the end of that
 * slice and then takes what has come, so that N packets cost one wake-up. With
 * fewer it answers at once; under overload the slice is over before the work
 * is, and it never sleeps.
 */
#include "mediad/worker.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/secret.h"
#include "common/store.h"
#include "mediad/path.h"
#include "mediad/report.h"
#include "mediad/save.h"

#define EVENTS_MAX          512
/* Sessions that watch.c sees in one tick: packets wait for it, some 3 us per
 * session. */
#define TICK_SESSIONS       16u
/* Ticks in WATCH_PERIOD_US. The fewest bound how long an order may wait. */
#define TICKS_MIN           5u
#define TICKS_MAX           100u
/* Tag bit of an epoll pointer; legs are aligned far above it. */
#define TAG_RTCP            1u
/* Answers that may wait to be freed. */
#define ANSWERS_WAITING_MAX 64u
/* Events that may wait for the control thread. */
#define EVENTS_WAITING_MAX  4096u
#define RATE_WINDOW_US      100000u
/* So many events ahead memory is fetched, in the order in which one part leads
 * to the next. */
#define FETCH_LEG           6
#define FETCH_REST          4
#define FETCH_WORDS         2

struct worker {
	struct path path;
	struct mailbox orders;
	struct mailbox answers;
	struct media **live;
	size_t n_live;
	size_t capacity;
	size_t next_watched;
	uint64_t next_tick_us;
	uint64_t rate_since_us;
	uint32_t rate_packets;
	uint32_t packets_per_s;
	uint32_t coalesce_us;
	struct watch_rules rules;
	int epoll_fd;
	unsigned index;
	pthread_t thread;
	bool running;
	_Atomic bool stop;
	_Atomic bool away; /* asleep, and no tick will end it */
};

/* ------------------------------------------------------ sockets of a leg */

/* The control thread's. A packet on it wakes the worker, which obeys first. */
static void watch_fd(struct worker *w, int fd, struct leg *l, uintptr_t tag)
{
	struct epoll_event e = {.events = EPOLLIN};

	if (fd < 0)
		return;
	e.data.ptr = (void *)((uintptr_t)l | tag);
	/* The descriptor is new and ours: only memory can be short, and then
	 * the leg stays silent, which the media time-out finds. */
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

/* Taken out of the epoll by name: a copy of the descriptor elsewhere would
 * keep it there after close(). */
static void forget_fd(struct worker *w, int fd)
{
	if (fd >= 0)
		(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void end_leg(struct worker *w, struct leg *l)
{
	forget_fd(w, l->rtp_fd);
	forget_fd(w, l->rtcp_fd);
	leg_end(l);
}

static void begin_leg(struct worker *w, struct leg *l, struct worker_side *side)
{
	end_leg(w, l);
	leg_begin(l, &side->birth, w->path.now_us);
	if (l->words != NULL && !side->birth.resumed)
		save_begin(l->words, side->birth.number);
	/* What the other side hears goes on, from another source. */
	stream_unjoin(&l->other->tx);
}

static void change_rtcp(
	struct worker *w, struct leg *l, struct worker_side *side)
{
	if (side->close_rtcp && l->rtcp_fd >= 0) {
		forget_fd(w, l->rtcp_fd);
		close(l->rtcp_fd);
		l->rtcp_fd = -1;
	}
	if (side->rtcp_fd >= 0) {
		l->rtcp_fd = side->rtcp_fd;
		side->rtcp_fd = -1;
	}
}

/* ------------------------------------------------------------- orders */

static bool is_live(const struct worker *w, const struct media *m)
{
	return m->live_at < w->n_live && w->live[m->live_at] == m;
}

static void add_live(struct worker *w, struct media *m)
{
	if (is_live(w, m) || w->n_live == w->capacity)
		return;
	m->live_at = (uint32_t)w->n_live;
	w->live[w->n_live++] = m;
	if (w->n_live == 1)
		w->next_tick_us = w->path.now_us + WATCH_PERIOD_US / TICKS_MIN;
}

static void remove_live(struct worker *w, struct media *m)
{
	struct media *last;

	if (!is_live(w, m))
		return;
	last = w->live[--w->n_live];
	w->live[m->live_at] = last;
	last->live_at = m->live_at;
}

/* New keys are in force from here on; the old ones are wiped. The words are
 * cleared before they get the new key's number: until then they are of the old
 * key, with which nothing is sent any more. */
static void change_rx_key(struct leg *l, struct worker_side *side)
{
	srtp_leg_free(&l->srtp_rx);
	l->srtp_rx = side->srtp_rx;
	side->srtp_rx = NULL;
	if (l->words == NULL)
		return;
	if (l->srtp_rx != NULL)
		srtp_leg_keep_receiver(l->srtp_rx, &l->words->rx_srtp);
	else
		l->words->rx_srtp = (struct srtp_rx_words){0};
	store_word_set(&l->words->rx_key, side->rx_key);
}

static void change_tx_key(struct leg *l, struct worker_side *side)
{
	srtp_leg_free(&l->srtp_tx);
	l->srtp_tx = side->srtp_tx;
	side->srtp_tx = NULL;
	if (l->words == NULL)
		return;
	if (l->srtp_tx != NULL)
		srtp_leg_keep_sender(l->srtp_tx, &l->words->tx_srtp);
	else
		l->words->tx_srtp = (struct srtp_tx_words){0};
	store_word_set(&l->words->tx_key, side->tx_key);
}

static void change_keys(struct leg *l, struct worker_side *side)
{
	if (side->set_rx)
		change_rx_key(l, side);
	if (side->set_tx)
		change_tx_key(l, side);
}

static void do_apply(struct worker *w, struct worker_job *job)
{
	struct media *m = job->media;

	add_live(w, m);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct leg *l = &m->leg[i];
		struct worker_side *side = &job->side[i];

		if (side->end)
			end_leg(w, l);
		if (side->begin)
			begin_leg(w, l, side);
		if (!leg_is_open(l))
			continue;
		change_rtcp(w, l, side);
		change_keys(l, side);
		leg_apply(l, &side->config, w->path.now_us);
	}
	/* After both: a leg that begins breaks the other one's stream. */
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct leg *l = &m->leg[i];
		struct worker_side *side = &job->side[i];

		if (!leg_is_open(l))
			continue;
		if (side->begin && side->birth.resumed)
			save_resume(l, w->path.now_us);
		save_slow(l);
	}
}

static void do_stats(struct worker *w, struct worker_job *job)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		leg_stats(&job->media->leg[i], w->path.now_us, &job->stats[i]);
}

static void do_close(struct worker *w, struct worker_job *job)
{
	struct media *m = job->media;

	for (unsigned i = 0; i < SIDE_COUNT; i++)
		if (leg_is_open(&m->leg[i]))
			report_send(&m->leg[i], true, w->path.now_us);
	do_stats(w, job);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		end_leg(w, &m->leg[i]);
	remove_live(w, m);
}

static void obey(struct worker *w, struct worker_job *job)
{
	switch (job->verb) {
	case WORKER_APPLY:
	case WORKER_RESUME:
		do_apply(w, job);
		break;
	case WORKER_STATS:
		do_stats(w, job);
		break;
	case WORKER_CLOSE:
		do_close(w, job);
		break;
	case WORKER_TUNE:
		w->coalesce_us = job->coalesce_us;
		w->rules = job->rules;
		break;
	case WORKER_EVENT:
		break;
	}
}

static void obey_all(struct worker *w)
{
	struct mail *next = mailbox_take(&w->orders);
	bool say = false; /* the others only come back to be freed */

	while (next != NULL) {
		struct worker_job *job = (struct worker_job *)next;

		next = next->next;
		obey(w, job);
		say |= job->verb == WORKER_CLOSE || job->verb == WORKER_STATS ||
		       mailbox_waiting(&w->answers) > ANSWERS_WAITING_MAX;
		mailbox_put(&w->answers, &job->mail);
	}
	if (say)
		mailbox_ring(&w->answers);
}

/* --------------------------------------------------------------- time */

static bool tell(void *arg, const struct leg_event *event)
{
	struct worker *w = arg;
	struct worker_job *job;

	if (mailbox_waiting(&w->answers) >= EVENTS_WAITING_MAX)
		return false;
	job = worker_job_new(WORKER_EVENT, NULL);
	if (job == NULL)
		return false;
	job->event = *event;
	mailbox_put(&w->answers, &job->mail);
	mailbox_ring(&w->answers);
	return true;
}

/* Some of the calls per tick, going round: all in one go would delay the
 * packets of a hundredth of the time by as much as all of them take. */
static void tick(struct worker *w)
{
	size_t ticks = (w->n_live + TICK_SESSIONS - 1) / TICK_SESSIONS;
	size_t n;

	ticks = ticks < TICKS_MIN   ? TICKS_MIN
		: ticks > TICKS_MAX ? TICKS_MAX
				    : ticks;
	n = (w->n_live + ticks - 1) / ticks;
	for (size_t i = 0; i < n && w->n_live > 0; i++) {
		if (w->next_watched >= w->n_live)
			w->next_watched = 0;
		struct media *m = w->live[w->next_watched++];

		for (unsigned s = 0; s < SIDE_COUNT; s++)
			watch_leg(
				&m->leg[s], &w->rules, w->path.now_us, tell, w);
	}
	w->next_tick_us += WATCH_PERIOD_US / ticks;
	if (w->next_tick_us < w->path.now_us)
		w->next_tick_us = w->path.now_us + WATCH_PERIOD_US / ticks;
}

static int wait_ms(const struct worker *w)
{
	uint64_t now_us;

	if (w->n_live == 0)
		return -1;
	now_us = clock_now_us();
	if (now_us >= w->next_tick_us)
		return 0;
	return (int)((w->next_tick_us - now_us + 999) / 1000);
}

static void measure_rate(struct worker *w, int n_events)
{
	uint64_t passed = w->path.now_us - w->rate_since_us;

	w->rate_packets += (uint32_t)n_events;
	if (passed < RATE_WINDOW_US)
		return;
	w->packets_per_s =
		(uint32_t)((uint64_t)w->rate_packets * CLOCK_US_PER_S / passed);
	w->rate_packets = 0;
	w->rate_since_us = w->path.now_us;
}

/* Sleeps to the end of the slice in which this round began. */
static void coalesce(const struct worker *w)
{
	uint64_t slice = w->coalesce_us;
	uint64_t end, now_us;
	struct timespec ts;

	if (slice == 0 || (uint64_t)w->packets_per_s * slice < CLOCK_US_PER_S)
		return;
	end = (w->path.now_us / slice + 1) * slice;
	now_us = clock_now_us();
	if (now_us >= end)
		return;
	ts.tv_sec = 0;
	ts.tv_nsec = (long)(end - now_us) * 1000;
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/* --------------------------------------------------------------- rounds */

static void serve(struct worker *w, void *ptr)
{
	struct leg *l = (struct leg *)((uintptr_t)ptr & ~(uintptr_t)TAG_RTCP);

	if ((uintptr_t)ptr & TAG_RTCP)
		path_on_rtcp(&w->path, l);
	else
		path_on_rtp(&w->path, l);
}

static struct leg *leg_of(const struct epoll_event *e)
{
	return (struct leg *)((uintptr_t)e->data.ptr & ~(uintptr_t)TAG_RTCP);
}

/* What a packet touches of its leg: lines that nobody has touched for 20 ms,
 * and fetching them one after the other would take longer than the work on
 * them. */
static void fetch_leg(const struct leg *l)
{
	if (l == NULL)
		return;
	for (size_t at = 0; at <= offsetof(struct leg, config); at += 64)
		__builtin_prefetch((const char *)l + at, 1);
	__builtin_prefetch(&l->n, 1);
}

/* What those lines point to. */
static void fetch_rest(const struct leg *l)
{
	const struct leg *out;

	if (l == NULL)
		return;
	out = l->other;
	__builtin_prefetch(out, 1);
	__builtin_prefetch(&out->words);
	__builtin_prefetch(&out->tx, 1);
	__builtin_prefetch(&out->config);
	__builtin_prefetch(&out->n, 1);
	__builtin_prefetch(l->last_rule);
	if (l->words == NULL)
		return;
	/* The second side's words begin within a line. */
	__builtin_prefetch(&l->words->rx_ssrc, 1);
	__builtin_prefetch(&l->words->rx_octets, 1);
}

static void fetch_words(const struct leg *l)
{
	const struct live_leg *words = l != NULL ? l->other->words : NULL;

	if (words == NULL)
		return;
	__builtin_prefetch(&words->tx_seq, 1);
	__builtin_prefetch(&words->tx_octets, 1);
}

/* Before the event at i is served (or, below 0, the first one): what later
 * ones need. */
static void fetch_ahead(const struct epoll_event *events, int i, int n)
{
	if (i + FETCH_LEG < n)
		fetch_leg(leg_of(&events[i + FETCH_LEG]));
	if (i + FETCH_REST >= 0 && i + FETCH_REST < n)
		fetch_rest(leg_of(&events[i + FETCH_REST]));
	if (i + FETCH_WORDS >= 0 && i + FETCH_WORDS < n)
		fetch_words(leg_of(&events[i + FETCH_WORDS]));
}

/* @return events. Who gives an order either sees that nothing else will end
 * this sleep, and rings, or has given it before we look a last time. */
static int wait_for_events(struct worker *w, struct epoll_event *events)
{
	int ms = wait_ms(w);
	int n;

	if (ms < 0)
		atomic_store(&w->away, true);
	if (mailbox_waiting(&w->orders) > 0)
		ms = 0;
	n = epoll_wait(w->epoll_fd, events, EVENTS_MAX, ms);
	if (atomic_load_explicit(&w->away, memory_order_relaxed))
		atomic_store(&w->away, false);
	return n;
}

static void one_round(struct worker *w, struct epoll_event *events)
{
	int n = wait_for_events(w, events);

	w->path.now_us = clock_now_us();
	/* A socket's order is there before the kernel can say anything of it.
	 * What it said before the order may be of sockets that are closed now:
	 * it says the rest again. */
	while (mailbox_waiting(&w->orders) > 0) {
		obey_all(w);
		n = epoll_wait(w->epoll_fd, events, EVENTS_MAX, 0);
	}
	for (int i = -FETCH_LEG; i < 0; i++)
		fetch_ahead(events, i, n);
	for (int i = 0; i < n; i++) {
		fetch_ahead(events, i, n);
		if (events[i].data.ptr == NULL)
			mailbox_hear(&w->orders);
		else
			serve(w, events[i].data.ptr);
	}
	if (w->n_live > 0 && w->path.now_us >= w->next_tick_us)
		tick(w);
	measure_rate(w, n > 0 ? n : 0);
	coalesce(w);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[EVENTS_MAX];
	char name[16];

	(void)snprintf(name, sizeof(name), "worker-%u", w->index);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	while (!atomic_load(&w->stop))
		one_round(w, events);
	return NULL;
}

/* ------------------------------------------------- the control thread's */

int worker_new(unsigned index, size_t capacity, struct worker **worker_out)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	int err = ERR_NOMEM;

	if (w == NULL)
		return ERR_NOMEM;
	memset(w, 0, sizeof(*w));
	w->index = index;
	w->capacity = capacity;
	w->epoll_fd = -1;
	w->rules = (struct watch_rules){.report_interval_us = 5000000,
		.silence_us = 5000000,
		.keepalive_us = 15000000};
	w->orders.event_fd = w->answers.event_fd = -1;
	w->live = calloc(capacity, sizeof(w->live[0]));
	if (w->live == NULL)
		goto fail;
	err = mailbox_init(&w->orders);
	if (err)
		goto fail;
	err = mailbox_init(&w->answers);
	if (err)
		goto fail;
	err = ERR_SYSTEM;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD,
				       w->orders.event_fd, &e) < 0)
		goto fail;
	*worker_out = w;
	return 0;
fail:
	worker_free(&w);
	return err;
}

int worker_start(struct worker *w)
{
	sigset_t all, old;
	int err;

	/* Signals are the control thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return ERR_SYSTEM;
	w->running = true;
	return 0;
}

static void free_mail(struct mail *next)
{
	while (next != NULL) {
		struct worker_job *job = (struct worker_job *)next;

		next = next->next;
		worker_job_free(job);
	}
}

void worker_free(struct worker **worker)
{
	struct worker *w = *worker;

	if (w == NULL)
		return;
	if (w->running) {
		atomic_store(&w->stop, true);
		mailbox_ring(&w->orders);
		pthread_join(w->thread, NULL);
	}
	for (size_t i = 0; i < w->n_live; i++)
		for (unsigned s = 0; s < SIDE_COUNT; s++)
			leg_end(&w->live[i]->leg[s]);
	if (w->orders.event_fd >= 0)
		free_mail(mailbox_take(&w->orders));
	if (w->answers.event_fd >= 0)
		free_mail(mailbox_take(&w->answers));
	mailbox_done(&w->orders);
	mailbox_done(&w->answers);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w->live);
	free(w);
	*worker = NULL;
}

struct worker_job *worker_job_new(enum worker_verb verb, struct media *media)
{
	struct worker_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->verb = verb;
	job->media = media;
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct worker_side *s = &job->side[i];

		s->rtcp_fd = s->birth.rtp_fd = s->birth.rtcp_fd = -1;
	}
	return job;
}

void worker_order(struct worker *w, struct worker_job *job)
{
	struct media *m = job->media;
	bool wait = job->wait;
	int fds[SIDE_COUNT][2];

	/* From mailbox_put() on the job is the worker's; the sockets stay open
	 * until another order closes them. */
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct worker_side *s = &job->side[i];

		fds[i][0] = s->birth.rtp_fd;
		fds[i][1] = s->rtcp_fd >= 0 ? s->rtcp_fd : s->birth.rtcp_fd;
	}
	mailbox_put(&w->orders, &job->mail);
	/* After it, so that no packet is seen without its order. */
	for (unsigned i = 0; m != NULL && i < SIDE_COUNT; i++) {
		watch_fd(w, fds[i][0], &m->leg[i], 0);
		watch_fd(w, fds[i][1], &m->leg[i], TAG_RTCP);
	}
	if (!wait || atomic_load(&w->away))
		mailbox_ring(&w->orders);
}

int worker_answer_fd(const struct worker *w)
{
	return w->answers.event_fd;
}

void worker_answers_heard(struct worker *w)
{
	mailbox_hear(&w->answers);
}

struct mail *worker_answers(struct worker *w)
{
	return mailbox_take(&w->answers);
}

void worker_job_free(struct worker_job *job)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct worker_side *s = &job->side[i];

		if (s->birth.rtp_fd >= 0)
			close(s->birth.rtp_fd);
		if (s->birth.rtcp_fd >= 0)
			close(s->birth.rtcp_fd);
		if (s->rtcp_fd >= 0)
			close(s->rtcp_fd);
		srtp_leg_free(&s->srtp_rx);
		srtp_leg_free(&s->srtp_tx);
	}
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		leg_config_done(&job->side[i].config);
	secret_wipe(job, sizeof(*job));
	free(job);
}

void worker_counts(const struct worker *w, struct worker_counts *out)
{
	const struct path_counts *n = &w->path.n;

	for (size_t i = 0; i < LEG_DROPS; i++)
		out->drops[i] = atomic_load_explicit(
			&n->drops[i], memory_order_relaxed);
	out->rtp_rx = atomic_load_explicit(&n->rtp_rx, memory_order_relaxed);
	out->rtp_tx = atomic_load_explicit(&n->rtp_tx, memory_order_relaxed);
	out->icmp = atomic_load_explicit(&n->icmp, memory_order_relaxed);
}
