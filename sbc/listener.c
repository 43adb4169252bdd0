/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners: keeper opens the socket, the bind() cure puts it into a tport of
 * ours, and the tport's Via template is given the advertised host. A listener
 * that the snapshot no longer names stays open for answers to what is under
 * way, but takes no request: sofia-sip cannot close one tport of several. What
 * cannot be opened is tried again. A listener's device may change while it is
 * open: keeper moves the very socket that stands in the tport.
 */
#include <sofia-sip/tport.h>
#include <sofia-sip/tport_tag.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/entry.h"
#include "sbc/sofia_cures.h"
#include "sbc/stack_inner.h"

#define UDP_RMEM (8u * 1024 * 1024)
#define UDP_WMEM (4u * 1024 * 1024)
#define RETRY_US (2 * CLOCK_US_PER_S)

static struct node *node_find(
	struct stack *stack, const struct addr *local, Gh__Transport transport)
{
	for (struct node *n = stack->nodes; n; n = n->next)
		if (n->pub.transport == transport &&
			addr_equal(&n->pub.local, local))
			return n;
	return NULL;
}

struct node *stack_node_at(
	struct stack *stack, const struct addr *local, Gh__Transport transport)
{
	struct node *n = node_find(stack, local, transport);

	return n && n->state == NODE_OPEN ? n : NULL;
}

struct node *stack_node_of(struct stack *stack, const tport_t *tport)
{
	for (struct node *n = stack->nodes; n; n = n->next)
		if (n->pub.tport == tport &&
			n->pub.transport == GH__TRANSPORT__TRANSPORT_UDP)
			return n;
	return NULL;
}

struct listener *stack_listener(
	struct stack *stack, const struct realm_address *address)
{
	struct node *n = node_find(stack, &address->listen,
		(Gh__Transport)address->row->transport);

	return n && n->state == NODE_OPEN ? &n->pub : NULL;
}

/* Splits "host", "host:port", "[v6]" or "[v6]:port". */
static void split_host(struct node *n)
{
	const char *text = n->pub.advertised_host;
	const char *colon = strrchr(text, ':');
	const char *bracket = strrchr(text, ']');
	size_t len;

	if (colon && bracket && colon < bracket)
		colon = NULL;
	len = colon ? (size_t)(colon - text) : strlen(text);
	memcpy(n->host, text, len);
	n->host[len] = '\0';
	snprintf(n->port, sizeof(n->port), "%.5s", colon ? colon + 1 : "");
}

/* NTA writes the Via of every tport anew whenever a tport is added, with the
 * bound address and port; ours is what peers outside a NAT must see. The
 * header's strings point into the node, which lives as long as the agent. */
static void advertise(struct stack *stack)
{
	for (struct node *n = stack->nodes; n; n = n->next) {
		sip_via_t *via;

		/* What goes over the bridge gets its Via from flowd. */
		if (n->state != NODE_OPEN ||
			transport_is_stream(n->pub.transport))
			continue;
		via = (sip_via_t *)tport_magic(n->pub.tport);
		for (; via; via = via->v_next) {
			via->v_host = n->host;
			via->v_port = n->port[0] ? n->port : NULL;
		}
	}
}

static tport_t *tport_of(struct stack *stack, const char *ident)
{
	tport_t *tp = tport_primaries(nta_agent_tports(stack->agent));

	for (; tp; tp = tport_next(tp)) {
		const char *has = tport_name(tp)->tpn_ident;

		if (has && strcmp(has, ident) == 0)
			return tp;
	}
	return NULL;
}

static int open_node(struct stack *stack, struct node *n, int fd)
{
	struct target self = {.addr = n->pub.local, .listener = &n->pub};
	bool is_bridge = n == stack->bridge;
	char url[STACK_URL_SIZE], ip[ADDR_TEXT_SIZE];
	int err = cures_adopt_begin(fd, &n->pub.local);

	if (err != 0)
		return err;
	if (is_bridge)
		snprintf(url, sizeof(url), "sip:%s:%u;transport=tcp",
			addr_format_ip(&n->pub.local, ip), n->pub.local.port);
	else
		(void)stack_next_hop(stack, &self, url, sizeof(url));
	/* A bridge lives as long as flowd wants: no time-out of ours. */
	if (nta_agent_add_tport(stack->agent, (url_string_t *)url,
		    TPTAG_IDENT(n->pub.ident), TPTAG_STUN_SERVER(0),
		    TPTAG_PONG2PING(1), TPTAG_QUEUESIZE(1000), TPTAG_LOG(0),
		    TAG_IF(is_bridge, TPTAG_IDLE(UINT_MAX)),
		    TAG_IF(is_bridge, TPTAG_TIMEOUT(UINT_MAX)),
		    TAG_IF(!is_bridge, TPTAG_UDP_RMEM(UDP_RMEM)),
		    TAG_IF(!is_bridge, TPTAG_UDP_WMEM(UDP_WMEM)),
		    TAG_END()) != 0) {
		(void)!cures_adopt_end();
		return ERR_SYSTEM;
	}
	err = cures_adopt_end();
	if (err != 0)
		return err;
	n->pub.tport = tport_of(stack, n->pub.ident);
	return n->pub.tport ? 0 : ERR_NOT_FOUND;
}

static void on_listen_failed(
	struct stack *stack, struct node *n, const char *problem)
{
	n->state = NODE_FAILED;
	reason_count(REASON_SETTINGS_LISTEN);
	/* Once per snapshot is enough to tell an operator. */
	LOG_AT(n->told ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERR, NULL, "listen_failed",
		LOG_ADDR("local", &n->pub.local), LOG_STR("problem", problem),
		LOG_STR("reason", reason_text(REASON_SETTINGS_LISTEN)));
	n->told = true;
	loop_timer_set(stack->sbc->daemon.loop, stack->retry_timer, RETRY_US);
}

/* With the bridge every listener for connections is there: flowd opens their
 * sockets. */
static void open_streams(struct stack *stack)
{
	for (struct node *n = stack->nodes; n; n = n->next) {
		if (!transport_is_stream(n->pub.transport))
			continue;
		n->pub.tport = stack->bridge->pub.tport;
		snprintf(n->pub.ident, sizeof(n->pub.ident), "%s",
			stack->bridge->pub.ident);
		n->state = NODE_OPEN;
	}
}

/* Puts keeper's socket into use. @return whether it has come to that. */
static bool open_one(struct stack *stack, struct node *n)
{
	int err;

	if (n->state != NODE_HELD)
		return false;
	err = open_node(stack, n, n->fd);
	if (err != 0) {
		close(n->fd);
		on_listen_failed(stack, n, err_text(err));
		return false;
	}
	n->state = NODE_OPEN;
	log_notice("listening", LOG_ADDR("local", &n->pub.local),
		LOG_STR("advertised", n->pub.advertised_host));
	return true;
}

/* A call may have its sides at two sockets: none is read before all are there
 * and the calls of an earlier process are known again. */
static void open_held(struct stack *stack)
{
	struct node *bridge = stack->bridge;
	bool opened = false;

	if (bridge && bridge->state == NODE_ASKED)
		return;
	for (struct node *n = stack->nodes; n; n = n->next)
		if (n->wanted && n->state == NODE_ASKED &&
			!transport_is_stream(n->pub.transport))
			return;
	for (struct node *n = stack->nodes; n; n = n->next)
		opened = open_one(stack, n) || opened;
	if (bridge && open_one(stack, bridge)) {
		open_streams(stack);
		flows_on_bridge(stack->sbc->flows);
		opened = true;
	}
	if (!opened)
		return;
	advertise(stack);
	saves_settle(stack->sbc->saves);
	entry_on_listener(stack->sbc);
}

static void on_listen(void *ctx, enum notify_kind kind,
	const struct addr *local, int fd, const char *problem)
{
	struct stack *stack = ctx;
	struct node *n =
		kind == NOTIFY_TCP
			? stack->bridge
			: node_find(stack, local, GH__TRANSPORT__TRANSPORT_UDP);

	if (!n || n->state != NODE_ASKED) {
		if (fd >= 0)
			close(fd);
		else if (n)
			log_err("listen_device", LOG_ADDR("local", local),
				LOG_STR("problem", problem ? problem : ""));
		return;
	}
	if (fd < 0) {
		on_listen_failed(stack, n, problem ? problem : "no socket");
	} else {
		n->fd = fd;
		n->state = NODE_HELD;
	}
	open_held(stack);
}

static void ask_keeper(struct stack *stack, struct node *n)
{
	int err;

	n->state = NODE_ASKED;
	err = notify_listen(stack->sbc->daemon.keeper,
		n == stack->bridge ? NOTIFY_TCP : NOTIFY_UDP, &n->pub.local,
		n->device, on_listen, stack);
	if (err != 0)
		on_listen_failed(stack, n, err_text(err));
}

/* keeper moves the socket that it holds: it is ours, too, so that its answer
 * is only closed. */
static void ask_device(struct stack *stack, struct node *n)
{
	if (notify_listen(stack->sbc->daemon.keeper, NOTIFY_UDP, &n->pub.local,
		    n->device, on_listen, stack) != 0)
		log_err("listen_device", LOG_ADDR("local", &n->pub.local),
			LOG_STR("device", n->device));
}

static void show(struct stack *stack, const struct node *n)
{
	/* The name by which keeper knows that it is one of its own kind. */
	if (n && n->state == NODE_OPEN &&
		(n == stack->bridge ||
			!transport_is_stream(n->pub.transport)) &&
		notify_store(stack->sbc->daemon.keeper, "listen", &n->fd, 1) !=
			0)
		log_warning("keeper_store", LOG_ADDR("local", &n->pub.local));
}

void stack_show_keeper(struct stack *stack)
{
	for (struct node *n = stack->nodes; n; n = n->next) {
		show(stack, n);
		/* A socket whose device has gone does not tell its name. */
		if (n->device[0] && n->state == NODE_OPEN &&
			!transport_is_stream(n->pub.transport))
			ask_device(stack, n);
	}
	show(stack, stack->bridge);
}

void stack_on_retry(void *arg)
{
	struct stack *stack = arg;

	for (struct node *n = stack->nodes; n; n = n->next)
		if (n->state == NODE_FAILED && n->wanted)
			ask_keeper(stack, n);
	if (stack->bridge && stack->bridge->state == NODE_FAILED)
		ask_keeper(stack, stack->bridge);
}

/* Asks for the socket that flowd connects to, once. */
static int want_bridge(struct stack *stack)
{
	struct node *n;

	if (stack->bridge)
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n)
		return ERR_NOMEM;
	n->pub.local = *flows_bridge(stack->sbc->flows);
	n->pub.transport = GH__TRANSPORT__TRANSPORT_TCP;
	snprintf(n->pub.ident, sizeof(n->pub.ident), "bridge");
	addr_format(&n->pub.local, n->pub.advertised_host);
	split_host(n);
	stack->bridge = n;
	ask_keeper(stack, n);
	return 0;
}

static struct node *node_new(
	struct stack *stack, const struct realm_address *address)
{
	struct node *n;

	if (stack->n_nodes >= CURES_SOCKETS_MAX)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->pub.local = address->listen;
	n->pub.transport = (Gh__Transport)address->row->transport;
	addr_format(&n->pub.local, n->pub.ident);
	n->next = stack->nodes;
	stack->nodes = n;
	stack->n_nodes++;
	return n;
}

static void want(struct stack *stack, const struct realm_address *address)
{
	struct node *n = node_find(stack, &address->listen,
		(Gh__Transport)address->row->transport);
	bool is_new = !n, moved;

	if (is_new)
		n = node_new(stack, address);
	if (!n) {
		reason_count(REASON_SETTINGS_LISTEN);
		log_err("listen_failed", LOG_ADDR("local", &address->listen),
			LOG_STR("problem", "too many listeners"));
		return;
	}
	moved = strcmp(n->device, address->row->device) != 0;
	snprintf(n->device, sizeof(n->device), "%s", address->row->device);
	n->wanted = true;
	n->told = false;
	snprintf(n->pub.advertised_host, sizeof(n->pub.advertised_host), "%s",
		address->advertised_host);
	split_host(n);
	if (transport_is_stream(n->pub.transport)) {
		if (want_bridge(stack) != 0)
			on_listen_failed(stack, n, "out of memory");
		else if (stack->bridge->state == NODE_OPEN)
			open_streams(stack);
		return;
	}
	if (is_new || n->state == NODE_FAILED)
		ask_keeper(stack, n);
	else if (moved)
		ask_device(stack, n);
}

static void apply_timers(struct stack *stack, const struct settings *s)
{
	unsigned t1 = (unsigned)settings_number(s, "sip_t1_ms", 500, 50, 5000);
	unsigned t2 =
		(unsigned)settings_number(s, "sip_t2_ms", 4000, 100, 60000);
	unsigned t4 =
		(unsigned)settings_number(s, "sip_t4_ms", 5000, 100, 60000);

	stack->retry_after_s =
		(unsigned)settings_number(s, "retry_after_s", 5, 1, 600);
	nta_agent_set_params(stack->agent, NTATAG_SIP_T1(t1),
		NTATAG_SIP_T1X64(64 * t1), NTATAG_SIP_T2(t2), NTATAG_SIP_T4(t4),
		TAG_END());
}

void stack_apply(struct stack *stack, const struct settings *settings)
{
	for (struct node *n = stack->nodes; n; n = n->next)
		n->wanted = false;
	for (size_t i = 0; i < settings->n_realms; i++) {
		const struct realm *r = &settings->realms[i];

		for (size_t k = 0; k < r->n_addresses; k++)
			want(stack, &r->addresses[k]);
	}
	for (struct node *n = stack->nodes; n; n = n->next)
		if (!n->wanted && n->state == NODE_OPEN)
			log_notice("listener_unused",
				LOG_ADDR("local", &n->pub.local));
	advertise(stack);
	apply_timers(stack, settings);
}

bool stack_is_open(const struct stack *stack)
{
	bool any = false;

	for (const struct node *n = stack->nodes; n; n = n->next) {
		if (n->wanted && n->state == NODE_ASKED)
			return false;
		any = any || (n->wanted && n->state == NODE_OPEN);
	}
	return any;
}

static void close_kept(const struct stack *stack, const struct node *n)
{
	/* Listeners for connections have no socket of ours. */
	if (n != stack->bridge && transport_is_stream(n->pub.transport))
		return;
	if (n->state == NODE_HELD || n->state == NODE_OPEN)
		close(n->fd);
}

void stack_free_nodes(struct stack *stack)
{
	if (stack->bridge)
		close_kept(stack, stack->bridge);
	free(stack->bridge);
	stack->bridge = NULL;
	while (stack->nodes) {
		struct node *n = stack->nodes;

		stack->nodes = n->next;
		close_kept(stack, n);
		free(n);
	}
}
