/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 3263 section 4 for a client whose transport is configured: without a
 * port the NAPTR and SRV records of that transport lead to hosts and ports,
 * with a port (or without such records) the name itself is the host.
 *
 *	start -> NAPTR and SRV at once -> (SRV that NAPTR names) -> A and AAAA of
 *	all hosts at once -> finish
 *
 * A transport that is only offered by NAPTR is not changed to: TLS is not left
 * for UDP because DNS says so. Within the deadline; once an address is known
 * the others have a moment only.
 *
 * Decides: which addresses, in which order, and that an outside name may not
 * lead inside (a stranger's DNS would aim our calls at our own network).
 * Called by call_setup.c and trunk_where.c.
 */
#include "config.h"

#include "sbc/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/flow.h"
#include "sbc/locate_ask.h"

#define HOSTS_MAX    8u /* SRV records that are followed */
#define LINGER_US    (300 * 1000ULL) /* for the rest, once there is one */
#define FAMILIES     2u

enum stage {
	STAGE_SERVICE, /* NAPTR and SRV are being asked */
	STAGE_NAMED,   /* the SRV records that NAPTR named */
	STAGE_HOSTS,   /* addresses */
	STAGE_OVER,    /* the timer finishes it */
	STAGE_COUNT,
};

/* The addresses of one family of a host. */
struct family {
	struct locate_query *query;
	struct dns_wait *wait;
	struct addr addrs[LOCATE_MAX];
	size_t n;
};

struct host {
	char name[DNS_NAME_SIZE];
	uint16_t port;
	struct family family[FAMILIES]; /* IPv6, IPv4: in order of trial */
};

struct locate_query {
	LIST_ENTRY(locate_query) link;
	struct locator *locator;
	enum stage stage;
	struct loop_timer *timer; /* deadline, or the end at once */
	uint64_t deadline_us;
	bool hurried;
	char name[DNS_NAME_SIZE];
	uint16_t port;
	Gh__Transport transport;
	bool use[FAMILIES];
	bool outside;
	locate_fn fn;
	void *ctx;
	struct dns_wait *naptr, *srv;
	struct dns_record services[DNS_RECORDS_MAX];
	size_t n_services;
	bool has_services; /* there are SRV records */
	char named[DNS_NAME_SIZE]; /* where NAPTR leads; "" = nowhere */
	struct host hosts[HOSTS_MAX];
	size_t n_hosts;
};

struct locator {
	struct loop *loop;
	struct resolver *resolver;
	struct locate_config config;
	LIST_HEAD(, locate_query) queries;
};

static void advance(struct locate_query *q);

static uint16_t default_port(Gh__Transport transport)
{
	return transport_is_secured(transport) ? 5061 : 5060;
}

static uint32_t random_to(void *ctx, uint32_t max)
{
	uint64_t number;

	(void)ctx;
	secret_random_bytes(&number, sizeof number);
	return (uint32_t)(number % ((uint64_t)max + 1));
}

/* --- the end --- */

static void query_free(struct locate_query *q)
{
	LIST_REMOVE(q, link);
	resolver_cancel(&q->naptr);
	resolver_cancel(&q->srv);
	for (size_t i = 0; i < q->n_hosts; i++) {
		for (size_t f = 0; f < FAMILIES; f++)
			resolver_cancel(&q->hosts[i].family[f].wait);
	}
	loop_timer_free(q->locator->loop, &q->timer);
	free(q);
}

static bool is_refused(const struct locate_query *q, const struct addr *addr)
{
	const struct locate_config *c = &q->locator->config;

	if (addr_is_any(addr) || addr_is_multicast(addr))
		return true;
	return q->outside &&
	       (addr_is_loopback(addr) ||
		       (c->inside != NULL && c->inside(c->ctx, addr)));
}

/* Takes what is allowed of one family of a host. @return how many were not. */
static size_t collect(const struct locate_query *q, const struct host *h,
	const struct family *f, struct addr out[LOCATE_MAX], size_t *n_out)
{
	size_t refused = 0;

	for (size_t i = 0; i < f->n && *n_out < LOCATE_MAX; i++) {
		struct addr addr = f->addrs[i];
		bool known = false;

		addr.port = h->port;
		for (size_t k = 0; k < *n_out; k++)
			known = known || addr_equal(&out[k], &addr);
		if (is_refused(q, &addr)) {
			log_peer_warning("dns_inside", LOG_STR("name", q->name),
				LOG_ADDR("address", &addr));
			refused++;
		} else if (!known) {
			out[(*n_out)++] = addr;
		}
	}
	return refused;
}

static void finish(struct locate_query *q)
{
	struct addr addrs[LOCATE_MAX];
	enum reason why = REASON_ROUTE_DNS;
	size_t n = 0, refused = 0;
	locate_fn fn = q->fn;
	void *ctx = q->ctx;

	for (size_t i = 0; i < q->n_hosts; i++) {
		const struct host *h = &q->hosts[i];

		for (size_t f = 0; f < FAMILIES; f++)
			refused += collect(q, h, &h->family[f], addrs, &n);
	}
	if (n != 0)
		why = REASON_ROUTE_OK;
	else if (refused != 0)
		why = REASON_ROUTE_DNS_INSIDE;
	query_free(q);
	fn(ctx, why, addrs, n);
}

static void on_timer(void *arg)
{
	finish(arg);
}

/* --- hosts --- */

static bool is_waiting(const struct locate_query *q)
{
	for (size_t i = 0; i < q->n_hosts; i++) {
		for (size_t f = 0; f < FAMILIES; f++) {
			if (q->hosts[i].family[f].wait != NULL)
				return true;
		}
	}
	return false;
}

static void hurry(struct locate_query *q)
{
	uint64_t now = clock_now_us(), left_us = 0;

	if (q->hurried)
		return;
	q->hurried = true;
	if (q->deadline_us > now)
		left_us = q->deadline_us - now;
	loop_timer_set(q->locator->loop, q->timer,
		left_us < LINGER_US ? left_us : LINGER_US);
}

static void on_addresses(void *ctx, const struct dns_answer *answer)
{
	struct family *f = ctx;
	struct locate_query *q = f->query;

	f->wait = NULL;
	for (size_t i = 0; answer != NULL && i < answer->n_records &&
			   f->n < LOCATE_MAX;
		i++)
		f->addrs[f->n++] = answer->records[i].addr;
	if (!is_waiting(q))
		finish(q);
	else if (f->n != 0)
		hurry(q);
}

static void add_host(struct locate_query *q, const char *name, uint16_t port)
{
	struct host *h;
	struct addr addr;

	if (q->n_hosts >= HOSTS_MAX)
		return;
	h = &q->hosts[q->n_hosts++];
	h->port = port;
	memcpy(h->name, name, strlen(name) + 1);
	if (addr_parse(name, &addr) == 0 && addr.port == 0) {
		struct family *f = &h->family[addr.family == AF_INET];

		if (q->use[addr.family == AF_INET])
			f->addrs[f->n++] = addr;
	}
}

static void ask_hosts(struct locate_query *q)
{
	static const enum dns_type types[FAMILIES] = {DNS_AAAA, DNS_A};

	q->stage = STAGE_HOSTS;
	for (size_t i = 0; i < q->n_hosts; i++) {
		struct host *h = &q->hosts[i];

		for (size_t f = 0; f < FAMILIES; f++) {
			h->family[f].query = q;
			/* What fails here has no address. */
			if (q->use[f] && resolver_ask(q->locator->resolver,
						 h->name, types[f],
						 on_addresses, &h->family[f],
						 &h->family[f].wait) != 0)
				h->family[f].wait = NULL;
		}
	}
	if (!is_waiting(q)) {
		q->stage = STAGE_OVER;
		loop_timer_set(q->locator->loop, q->timer, 0);
	}
}

/* --- NAPTR and SRV --- */

static void keep_services(
	struct locate_query *q, const struct dns_answer *answer)
{
	q->n_services = 0;
	q->has_services = answer != NULL && answer->n_records != 0;
	for (size_t i = 0; answer != NULL && i < answer->n_records; i++)
		q->services[q->n_services++] = answer->records[i];
}

static void on_services(void *ctx, const struct dns_answer *answer)
{
	struct locate_query *q = ctx;

	q->srv = NULL;
	keep_services(q, answer);
	advance(q);
}

static void on_naptr(void *ctx, const struct dns_answer *answer)
{
	struct locate_query *q = ctx;
	const struct dns_record *best =
		answer != NULL ? dns_pick_naptr(answer, q->transport) : NULL;

	q->naptr = NULL;
	if (best != NULL)
		memcpy(q->named, best->name, sizeof q->named);
	advance(q);
}

static bool own_service_name(
	const struct locate_query *q, char name[DNS_NAME_SIZE])
{
	int n = snprintf(name, DNS_NAME_SIZE, "%s%s",
		dns_srv_prefix(q->transport), q->name);

	return n > 0 && n < DNS_NAME_SIZE;
}

/* The SRV records of the service, or the name itself (RFC 3263 4.2). */
static void use_services(struct locate_query *q)
{
	if (!q->has_services) {
		add_host(q, q->name, default_port(q->transport));
	} else {
		dns_order_srv(q->services, q->n_services, random_to, NULL);
		for (size_t i = 0; i < q->n_services; i++) {
			/* "." says that there is no such service. */
			if (q->services[i].name[0] != '\0' &&
				q->services[i].port != 0)
				add_host(q, q->services[i].name,
					q->services[i].port);
		}
	}
	ask_hosts(q);
}

/* From the loop only: NAPTR or SRV has been answered. */
static void advance(struct locate_query *q)
{
	char own[DNS_NAME_SIZE];

	if (q->naptr != NULL || q->srv != NULL)
		return;
	if (q->stage == STAGE_SERVICE && q->named[0] != '\0' &&
		own_service_name(q, own) && strcasecmp(own, q->named) != 0) {
		q->stage = STAGE_NAMED;
		if (resolver_ask(q->locator->resolver, q->named, DNS_SRV,
			    on_services, q, &q->srv) == 0)
			return;
		q->srv = NULL;
	}
	use_services(q);
}

static void ask_services(struct locate_query *q)
{
	struct resolver *r = q->locator->resolver;
	char own[DNS_NAME_SIZE];

	q->stage = STAGE_SERVICE;
	if (!own_service_name(q, own) ||
		resolver_ask(r, own, DNS_SRV, on_services, q, &q->srv) != 0)
		q->srv = NULL;
	if (resolver_ask(r, q->name, DNS_NAPTR, on_naptr, q, &q->naptr) != 0)
		q->naptr = NULL;
	if (q->srv == NULL && q->naptr == NULL)
		use_services(q);
}

/* --- life --- */

int locate_start(struct locator *locator, const struct locate_wish *wish,
	locate_fn fn, void *ctx, struct locate_query **query_out)
{
	struct locate_query *q = calloc(1, sizeof *q);
	size_t len = strnlen(wish->host, DNS_NAME_SIZE);
	uint64_t deadline_us = locator->config.deadline_us;
	struct addr addr;
	bool is_address;

	if (q == NULL)
		return ERR_NOMEM;
	if (loop_timer_new(locator->loop, on_timer, q, &q->timer) != 0) {
		free(q);
		return ERR_NOMEM;
	}
	LIST_INSERT_HEAD(&locator->queries, q, link);
	q->locator = locator;
	q->port = wish->port;
	q->transport = wish->transport;
	q->use[0] = wish->ipv6;
	q->use[1] = wish->ipv4;
	q->outside = wish->outside;
	q->fn = fn;
	q->ctx = ctx;
	q->deadline_us = clock_now_us() + deadline_us;
	loop_timer_set(locator->loop, q->timer, deadline_us);
	*query_out = q;
	/* A name that ends with a dot is the same one. */
	if (len > 1 && len < DNS_NAME_SIZE && wish->host[len - 1] == '.')
		len--;
	if (len < DNS_NAME_SIZE)
		memcpy(q->name, wish->host, len);
	is_address = addr_parse(q->name, &addr) == 0 && addr.port == 0;
	if (is_address || !dns_is_name(q->name)) {
		/* What is neither leads nowhere. */
		if (is_address)
			add_host(q, q->name,
				q->port != 0 ? q->port
					     : default_port(q->transport));
		q->stage = STAGE_OVER;
		loop_timer_set(locator->loop, q->timer, 0);
	} else if (q->port != 0 || dns_srv_prefix(q->transport) == NULL) {
		add_host(q, q->name,
			q->port != 0 ? q->port : default_port(q->transport));
		ask_hosts(q);
	} else {
		ask_services(q);
	}
	return 0;
}

void locate_cancel(struct locate_query **query)
{
	if (*query != NULL)
		query_free(*query);
	*query = NULL;
}

uint64_t locator_n_sent(const struct locator *locator)
{
	return resolver_n_sent(locator->resolver);
}

int locator_new(
	const struct locate_config *config, struct locator **locator_out)
{
	struct locator *locator = calloc(1, sizeof *locator);
	int err;

	if (locator == NULL)
		return ERR_NOMEM;
	locator->loop = config->loop;
	locator->config = *config;
	locator->config.servers = NULL;
	if (locator->config.deadline_us == 0)
		locator->config.deadline_us = LOCATE_DEADLINE_US;
	LIST_INIT(&locator->queries);
	err = resolver_new(config->loop, config->servers, &locator->resolver);
	if (err != 0) {
		free(locator);
		return err;
	}
	*locator_out = locator;
	return 0;
}

void locator_free(struct locator **locatorp)
{
	struct locator *locator = *locatorp;

	if (locator == NULL)
		return;
	*locatorp = NULL;
	while (!LIST_EMPTY(&locator->queries))
		query_free(LIST_FIRST(&locator->queries));
	resolver_free(&locator->resolver);
	free(locator);
}
