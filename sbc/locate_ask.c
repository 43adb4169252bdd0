/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares on our loop, with the cache in front. The library's sockets are
 * watched by the loop, and its next time-out is a timer of the loop: nothing
 * here waits.
 *
 * Decides: when the servers are asked. An answer in force is given as it is;
 * one that has run out waits a moment for a new one and serves if none comes;
 * a question that just failed is not sent again for DNS_FAIL_US, so that a dead
 * resolver costs a question now and then and not one per call.
 *
 * Only UDP is spoken (sbc may connect to nobody by TCP): EDNS asks for room
 * (RFC 6891), and of a truncated answer what is whole is taken. With no
 * question open the library closes its sockets, so that the next question has
 * another source port. /etc/hosts is not looked at: RFC 3263 speaks of DNS.
 *
 * Called by locate.c.
 */
#include "config.h"

#include "sbc/locate_ask.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/locate_cache.h"

#define CACHE_MAX     4096u
#define SENT_MAX      512u /* questions at the servers at once */
#define TRY_MS        500  /* doubles with each round over the servers */
#define TRIES         2
#define EDNS_SIZE     1232
#define STALE_WAIT_US (400 * 1000ULL)
#define SERVERS_SIZE  1024u
#define CLASS_IN      1

struct watch {
	LIST_ENTRY(watch) link;
	struct resolver *resolver;
	int fd;
	struct loop_fd *handle;
};

struct dns_wait {
	TAILQ_ENTRY(dns_wait) link;  /* of the entry, or of those ready */
	TAILQ_ENTRY(dns_wait) stale; /* in order of their ends */
	struct resolver *resolver;
	struct dns_entry *entry;
	bool is_ready, is_stale;
	uint64_t until_us; /* is_stale */
	resolver_fn fn;
	void *ctx;
};
TAILQ_HEAD(wait_list, dns_wait);

struct resolver {
	struct loop *loop;
	ares_channel channel;
	bool initialised, has_channel;
	struct dns_cache *cache;
	LIST_HEAD(, watch) watches;
	struct loop_timer *library; /* its next time-out */
	struct loop_timer *deliver;
	struct loop_timer *stale_timer;
	struct wait_list ready, stale;
	unsigned n_asked;
	uint64_t n_sent;
};

/* --- the library's sockets and time --- */

static void arm(struct resolver *r)
{
	struct timeval most = {.tv_sec = 1}, tv;

	if (r->n_asked == 0) {
		loop_timer_stop(r->loop, r->library);
		return;
	}
	ares_timeout(r->channel, &most, &tv);
	/* A millisecond more, so that it is over when we look. */
	loop_timer_set(r->loop, r->library,
		(uint64_t)tv.tv_sec * CLOCK_US_PER_S + (uint64_t)tv.tv_usec +
			1000);
}

static void on_library_timer(void *arg)
{
	struct resolver *r = arg;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void on_socket(void *arg, int fd, unsigned events)
{
	struct watch *w = arg;
	struct resolver *r = w->resolver;

	/* w may be gone after this. */
	ares_process_fd(r->channel, events & LOOP_READ ? fd : ARES_SOCKET_BAD,
		events & LOOP_WRITE ? fd : ARES_SOCKET_BAD);
	arm(r);
}

static void watch_free(struct watch *w)
{
	loop_fd_free(w->resolver->loop, &w->handle);
	LIST_REMOVE(w, link);
	free(w);
}

/* From the library: what it wants to hear of a socket; nothing = it closes. */
static void on_socket_state(
	void *ctx, ares_socket_t fd, int readable, int writable)
{
	unsigned events =
		(readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u);
	struct resolver *r = ctx;
	struct watch *w;

	LIST_FOREACH (w, &r->watches, link) {
		if (w->fd == fd)
			break;
	}
	if (w != NULL && events == 0) {
		watch_free(w);
	} else if (w != NULL) {
		if (loop_fd_set(r->loop, w->handle, events) != 0)
			log_err("dns_socket", LOG_ERR(ERR_SYSTEM));
	} else if (events != 0) {
		w = calloc(1, sizeof *w);
		/* Unwatched, its question times out. */
		if (w == NULL)
			return;
		w->resolver = r;
		w->fd = fd;
		if (loop_fd_add(r->loop, fd, events, on_socket, w,
			    &w->handle) != 0) {
			free(w);
			return;
		}
		LIST_INSERT_HEAD(&r->watches, w, link);
	}
}

/* --- waits --- */

static void wait_unstale(struct dns_wait *w)
{
	if (w->is_stale)
		TAILQ_REMOVE(&w->resolver->stale, w, stale);
	w->is_stale = false;
}

static void wait_is_ready(struct dns_wait *w)
{
	struct resolver *r = w->resolver;

	wait_unstale(w);
	w->is_ready = true;
	TAILQ_INSERT_TAIL(&r->ready, w, link);
	loop_timer_set(r->loop, r->deliver, 0);
}

static void wait_free(struct dns_wait *w)
{
	wait_unstale(w);
	if (w->is_ready)
		TAILQ_REMOVE(&w->resolver->ready, w, link);
	else
		TAILQ_REMOVE(&w->entry->waits, w, link);
	dns_cache_release(w->resolver->cache, w->entry);
	free(w);
}

static void on_deliver(void *arg)
{
	struct resolver *r = arg;
	struct dns_wait *w;
	size_t n = 0;

	/* What is added from now on waits for the next turn; what is taken
	 * away is not in the way: one at a time from the front. */
	TAILQ_FOREACH (w, &r->ready, link)
		n++;
	while (n-- != 0 && (w = TAILQ_FIRST(&r->ready)) != NULL) {
		struct dns_entry *e = w->entry;
		resolver_fn fn = w->fn;
		void *ctx = w->ctx;

		/* The entry is held beyond its wait: fn reads the answer. */
		e->n_holds++;
		wait_free(w);
		fn(ctx, dns_entry_answer(e, clock_now_us()));
		dns_cache_release(r->cache, e);
	}
	if (!TAILQ_EMPTY(&r->ready))
		loop_timer_set(r->loop, r->deliver, 0);
}

static void arm_stale(struct resolver *r)
{
	const struct dns_wait *w = TAILQ_FIRST(&r->stale);
	uint64_t now = clock_now_us();

	if (w == NULL)
		loop_timer_stop(r->loop, r->stale_timer);
	else
		loop_timer_set(r->loop, r->stale_timer,
			w->until_us > now ? w->until_us - now : 0);
}

static void on_stale(void *arg)
{
	struct resolver *r = arg;
	uint64_t now = clock_now_us();
	struct dns_wait *w;

	while ((w = TAILQ_FIRST(&r->stale)) != NULL && w->until_us <= now) {
		TAILQ_REMOVE(&w->entry->waits, w, link);
		wait_is_ready(w);
	}
	arm_stale(r);
}

/* --- questions --- */

static void on_answer(
	void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct dns_entry *e = arg;
	struct resolver *r = e->owner;
	struct dns_answer *answer = NULL;
	uint64_t now = clock_now_us();
	struct dns_wait *w;
	int err = ERR_AWAY;

	(void)timeouts;
	if ((status == ARES_SUCCESS || status == ARES_ENODATA ||
		    status == ARES_ENOTFOUND) &&
		msg != NULL && len > 0)
		err = dns_read(msg, (size_t)len, e->key.name,
			(enum dns_type)e->key.type, &answer);
	if (err == 0) {
		dns_entry_set(e, answer, now);
	} else {
		dns_entry_fail(e, now);
		log_peer_warning("dns_failed", LOG_STR("name", e->key.name),
			LOG_UINT("type", e->key.type),
			LOG_STR("problem", status == ARES_SUCCESS
						   ? err_text(err)
						   : ares_strerror(status)));
	}
	e->asked = false;
	r->n_asked--;
	while ((w = TAILQ_FIRST(&e->waits)) != NULL) {
		TAILQ_REMOVE(&e->waits, w, link);
		wait_is_ready(w);
	}
	dns_cache_release(r->cache, e);
}

static void ask_servers(struct resolver *r, struct dns_entry *e)
{
	e->owner = r;
	e->asked = true;
	e->n_holds++;
	r->n_asked++;
	r->n_sent++;
	ares_query(
		r->channel, e->key.name, CLASS_IN, e->key.type, on_answer, e);
	arm(r);
}

int resolver_ask(struct resolver *r, const char *name, enum dns_type type,
	resolver_fn fn, void *ctx, struct dns_wait **wait_out)
{
	uint64_t now = clock_now_us();
	struct dns_wait *w = calloc(1, sizeof *w);
	enum dns_state state;
	int err;

	if (w == NULL)
		return ERR_NOMEM;
	err = dns_cache_hold(r->cache, name, type, &w->entry);
	if (err != 0) {
		free(w);
		return err;
	}
	w->resolver = r;
	w->fn = fn;
	w->ctx = ctx;
	*wait_out = w;
	state = dns_entry_state(w->entry, now);
	if ((state != DNS_UNKNOWN && state != DNS_STALE) ||
		(!w->entry->asked && r->n_asked >= SENT_MAX)) {
		wait_is_ready(w);
		return 0;
	}
	TAILQ_INSERT_TAIL(&w->entry->waits, w, link);
	if (state == DNS_STALE) {
		w->is_stale = true;
		w->until_us = now + STALE_WAIT_US;
		TAILQ_INSERT_TAIL(&r->stale, w, stale);
		arm_stale(r);
	}
	/* May answer at once, into the list of those that are ready. */
	if (!w->entry->asked)
		ask_servers(r, w->entry);
	return 0;
}

void resolver_cancel(struct dns_wait **wait)
{
	if (*wait != NULL)
		wait_free(*wait);
	*wait = NULL;
}

uint64_t resolver_n_sent(const struct resolver *resolver)
{
	return resolver->n_sent;
}

/* --- life --- */

static int use_servers(struct resolver *r, const struct conf_list *servers)
{
	char list[SERVERS_SIZE] = "", text[ADDR_TEXT_SIZE];
	size_t len = 0;

	for (size_t i = 0; i < servers->n_items; i++) {
		struct addr addr;
		int n;

		if (addr_parse(servers->items[i], &addr) != 0)
			return ERR_INVALID;
		if (addr.port == 0)
			addr.port = 53;
		n = snprintf(list + len, sizeof list - len, "%s%s",
			i != 0 ? "," : "", addr_format(&addr, text));
		if (n < 0 || (size_t)n >= sizeof list - len)
			return ERR_INVALID;
		len += (size_t)n;
	}
	return ares_set_servers_ports_csv(r->channel, list) == ARES_SUCCESS
		       ? 0
		       : ERR_INVALID;
}

static int make_channel(struct resolver *r, const struct conf_list *servers)
{
	struct ares_options options = {
		.flags = ARES_FLAG_IGNTC | ARES_FLAG_EDNS,
		.timeout = TRY_MS,
		.tries = TRIES,
		.ednspsz = EDNS_SIZE,
		.lookups = (char[]){"b"},
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = r,
	};

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return ERR_NOMEM;
	r->initialised = true;
	if (ares_init_options(&r->channel, &options,
		    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
			    ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
			    ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return ERR_SYSTEM;
	r->has_channel = true;
	return servers != NULL && servers->n_items != 0
		       ? use_servers(r, servers)
		       : 0;
}

int resolver_new(struct loop *loop, const struct conf_list *servers,
	struct resolver **resolver_out)
{
	struct resolver *r = calloc(1, sizeof *r);
	int err;

	if (r == NULL)
		return ERR_NOMEM;
	r->loop = loop;
	LIST_INIT(&r->watches);
	TAILQ_INIT(&r->ready);
	TAILQ_INIT(&r->stale);
	err = dns_cache_new(CACHE_MAX, &r->cache);
	if (err == 0)
		err = loop_timer_new(loop, on_library_timer, r, &r->library);
	if (err == 0)
		err = loop_timer_new(loop, on_deliver, r, &r->deliver);
	if (err == 0)
		err = loop_timer_new(loop, on_stale, r, &r->stale_timer);
	if (err == 0)
		err = make_channel(r, servers);
	if (err != 0) {
		resolver_free(&r);
		return err;
	}
	*resolver_out = r;
	return 0;
}

void resolver_free(struct resolver **resolver)
{
	struct resolver *r = *resolver;

	if (r == NULL)
		return;
	*resolver = NULL;
	/* Ends all questions, with their callbacks, and closes the sockets. */
	if (r->has_channel)
		ares_destroy(r->channel);
	while (!LIST_EMPTY(&r->watches))
		watch_free(LIST_FIRST(&r->watches));
	if (r->initialised)
		ares_library_cleanup();
	dns_cache_free(&r->cache);
	loop_timer_free(r->loop, &r->library);
	loop_timer_free(r->loop, &r->deliver);
	loop_timer_free(r->loop, &r->stale_timer);
	free(r);
}
