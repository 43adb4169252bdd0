/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTA with a message callback and no default leg: NTA matches retransmissions,
 * ACK, CANCEL and requests inside dialogs by itself; every other request comes
 * to on_message(), and from there through admit to its entry (entry.c). What
 * is refused there is answered without state. Listeners are in listener.c.
 *
 * RFC 3261 8.2, 18.2 (server transport), RFC 3581 (rport).
 */
#include "sbc/stack.h"

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/sip_extra.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport.h>
#include <sofia-sip/tport_tag.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/table.h"
#include "sbc/entry.h"
#include "sbc/loop_sofia.h"
#include "sbc/plain.h"
#include "sbc/sofia_cures.h"
#include "sbc/sofia_cures_private.h"
#include "sbc/stack_inner.h"
#include "sbc/text.h"

#define WARN_PROCEEDING 100000

struct sbc *stack_sbc(nta_agent_t *agent)
{
	return ((struct stack *)nta_agent_magic(agent))->sbc;
}

void stack_on_asleep(struct stack *stack, stack_asleep_fn fn)
{
	stack->asleep_fn = fn;
}

void stack_on_orphan(struct stack *stack, stack_orphan_fn fn)
{
	stack->orphan_fn = fn;
}

nta_agent_t *stack_agent(struct stack *stack)
{
	return stack->agent;
}

/* -------------------------------------------------------------- addresses */

void stack_source(msg_t *msg, struct addr *addr_out)
{
	su_sockaddr_t *su = msg_addr(msg);
	socklen_t len = su->su_family == AF_INET6 ? sizeof(su->su_sin6)
						  : sizeof(su->su_sin);

	if (addr_from_sockaddr(&su->su_sa, len, addr_out) != 0)
		memset(addr_out, 0, sizeof(*addr_out));
}

int stack_contact(
	const struct listener *l, const char *user, char *text, size_t size)
{
	int n = snprintf(text, size, "sip:%s%s%s%s", user ? user : "",
		user ? "@" : "", l->advertised_host,
		l->transport == GH__TRANSPORT__TRANSPORT_TCP ? ";transport=tcp"
		: l->transport == GH__TRANSPORT__TRANSPORT_TLS
			? ";transport=tls"
			: "");

	return n < 0 || (size_t)n >= size ? ERR_TOO_BIG : 0;
}

/* Nobody listens there. */
#define PORT_OF_NOBODY 1

const char *stack_next_hop(const struct stack *stack, const struct target *t,
	char *text, size_t size)
{
	char ip[ADDR_TEXT_SIZE];
	const struct flow *f;
	struct writer w;

	if (transport_is_stream(t->listener->transport)) {
		f = flow_find(stack->sbc->flows, t->flow);
		snprintf(text, size, "sip:%s:%u;transport=tcp",
			addr_format_ip(flows_bridge(stack->sbc->flows), ip),
			f && f->port ? f->port : PORT_OF_NOBODY);
		return text;
	}
	/* For each request: not printf, which was 1,400 instructions. */
	writer_init(&w, text, size);
	writer_add_text(&w, "sip:");
	writer_add_text(&w, addr_format(&t->addr, ip));
	writer_add_text(&w, t->addr.port ? ";transport=udp" : ":0");
	return text;
}

tport_t *stack_flow_tport(const struct stack *stack, uint64_t flow)
{
	const struct flow *f = flow_find(stack->sbc->flows, flow);
	char ip[ADDR_TEXT_SIZE], port[8];
	tp_name_t name = {.tpn_proto = "tcp"};
	tport_t *tport;

	if (!f || !f->port || !stack->bridge || !stack->bridge->pub.tport)
		return NULL;
	snprintf(port, sizeof(port), "%u", f->port);
	name.tpn_host = name.tpn_canon =
		addr_format_ip(flows_bridge(stack->sbc->flows), ip);
	name.tpn_port = port;
	tport = tport_by_name(stack->bridge->pub.tport, &name);
	return tport && tport_is_secondary(tport) ? tport : NULL;
}

/* ---------------------------------------------------------------- inbound */

/* A listener's place in the snapshot in force. */
int stack_place(struct stack *stack, struct inbound *in)
{
	if (!in->listener || !stack->sbc->settings)
		return ERR_NOT_FOUND;
	in->address = settings_listener(stack->sbc->settings,
		&in->listener->local, in->listener->transport);
	if (!in->address)
		return ERR_NOT_FOUND;
	in->realm = in->address->realm;
	in->secured = transport_is_secured(in->listener->transport);
	return 0;
}

/* A message that came over flowd's bridge: who really sent it. */
static struct node *find_flow(struct stack *stack, struct inbound *in)
{
	const struct flow *f = flow_at(stack->sbc->flows, in->source.port);

	if (!f)
		return NULL;
	in->flow = f->id;
	in->source = f->peer;
	return stack_node_at(stack, &f->listen, f->transport);
}

/* Where a message arrived. in->source is the socket's peer before, and who
 * sent it after. */
static int place(struct stack *stack, tport_t *tport, struct inbound *in)
{
	struct node *n = NULL;

	in->tport = tport;
	if (tport && stack->bridge &&
		tport_parent(tport) == stack->bridge->pub.tport)
		n = find_flow(stack, in);
	else if (tport)
		n = stack_node_of(stack, tport);
	in->listener = n ? &n->pub : NULL;
	return stack_place(stack, in);
}

int stack_inbound(struct stack *stack, nta_incoming_t *irq, const sip_t *sip,
	struct inbound *in_out)
{
	struct inbound in = {.sip = sip};
	msg_t *msg = nta_incoming_getrequest_ackcancel(irq);
	tport_t *tport;
	int err;

	if (msg && sip_object(msg) != sip)
		msg_destroy(msg), msg = NULL;
	if (!msg)
		msg = nta_incoming_getrequest(irq);
	if (!msg)
		return ERR_NOT_FOUND;
	in.msg = msg;
	stack_source(msg, &in.source);
	tport = nta_incoming_transport(stack->agent, irq, msg);
	err = place(stack, tport, &in);
	if (tport)
		tport_unref(tport); /* the transaction has its own */
	msg_destroy(msg); /* our reference; the transaction has its own */
	if (err != 0)
		return err;
	in.account_at =
		bindings_account_on(stack->sbc->bindings, &in.source, in.flow);
	*in_out = in;
	return 0;
}

static bool host_is(const char *host, const struct addr *a)
{
	struct addr named;
	char text[ADDR_TEXT_SIZE];
	size_t len = host ? strlen(host) : 0;

	if (len > 2 && len < sizeof(text) && host[0] == '[') {
		memcpy(text, host + 1, len - 2);
		text[len - 2] = '\0';
		host = text;
	}
	return len > 0 && addr_parse(host, &named) == 0 &&
	       addr_equal_ip(&named, a);
}

static uint16_t port_of(const char *text)
{
	unsigned long port = text && text[0] ? strtoul(text, NULL, 10) : 5060;

	return port <= 65535 ? (uint16_t)port : 0;
}

bool stack_behind_nat(const struct inbound *in)
{
	const sip_via_t *via = in->sip->sip_via;
	const sip_contact_t *m = in->sip->sip_contact;
	const url_t *u;

	if (in->flow)
		return true; /* only its connection reaches it */
	if (via && !host_is(via->v_host, &in->source))
		return true;
	if (!m)
		return false;
	u = m->m_url;
	if (u->url_type != url_sip && u->url_type != url_sips)
		return false;
	return !host_is(u->url_host, &in->source) ||
	       port_of(u->url_port) != in->source.port;
}

/* Answers go to the Via's port unless it has rport. Behind a NAT that port is
 * a stranger's or closed; a trunk is answered by the book. */
static void answer_to_source(struct inbound *in)
{
	sip_via_t *via = in->sip->sip_via;
	char text[24];

	if (in->trunk || in->flow || !via || via->v_rport ||
		host_is(via->v_host, &in->source))
		return;
	snprintf(text, sizeof(text), "rport=%u", in->source.port);
	msg_header_replace_param(msg_home(in->msg), via->v_common,
		su_strdup(msg_home(in->msg), text));
}

nta_incoming_t *stack_accept(struct stack *stack, struct inbound *in)
{
	nta_incoming_t *irq = in->irq;

	if (!irq) {
		answer_to_source(in);
		irq = nta_incoming_create(stack->agent, NULL, in->msg, NULL,
			NTATAG_TPORT(in->tport), TAG_END());
	}
	in->irq = NULL;
	in->msg = NULL;
	return irq;
}

/* The same for every retransmission: an answer without state has no memory. */
void stack_make_tag(
	struct stack *stack, const char *key, size_t len, char *text)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t hash = table_siphash(stack->tag_key, key, len);

	for (unsigned i = 0; i < STACK_TAG_SIZE - 1; i++, hash >>= 5)
		text[i] = digits[hash & 31];
	text[STACK_TAG_SIZE - 1] = '\0';
}

static void make_tag(
	struct stack *stack, const sip_t *sip, char text[STACK_TAG_SIZE])
{
	char key[768];
	int n;

	n = snprintf(key, sizeof(key), "%s|%s|%u|%s",
		sip->sip_call_id ? sip->sip_call_id->i_id : "",
		sip->sip_from && sip->sip_from->a_tag ? sip->sip_from->a_tag
						      : "",
		sip->sip_cseq ? sip->sip_cseq->cs_seq : 0,
		sip->sip_via && sip->sip_via->v_branch ? sip->sip_via->v_branch
						       : "");
	if (n < 0 || (size_t)n >= sizeof(key))
		n = sizeof(key) - 1;
	stack_make_tag(stack, key, (size_t)n, text);
}

void stack_reply(struct stack *stack, struct inbound *in, enum reason why,
	unsigned status, tag_type_t tag, tag_value_t value, ...)
{
	char text[STACK_TAG_SIZE];
	sip_to_t *to = NULL;
	ta_list ta;

	reason_count(why);
	log_peer_debug("answered", LOG_UINT("status", status),
		LOG_STR("reason", reason_text(why)),
		LOG_STR("method", in->sip->sip_request->rq_method_name),
		LOG_ADDR("source", &in->source));
	ta_start(ta, tag, value);
	if (in->irq) {
		nta_incoming_treply(in->irq, (int)status,
			reason_sip_phrase(status), ta_tags(ta));
		nta_incoming_destroy(in->irq);
	} else {
		answer_to_source(in);
		make_tag(stack, in->sip, text);
		to = sip_to_dup(msg_home(in->msg), in->sip->sip_to);
		if (to && !to->a_tag &&
			sip_to_tag(msg_home(in->msg), to, text) != 0)
			to = NULL;
		nta_msg_treply(stack->agent, in->msg, (int)status,
			reason_sip_phrase(status), NTATAG_TPORT(in->tport),
			TAG_IF(to, SIPTAG_TO(to)), ta_tags(ta));
	}
	ta_end(ta);
	in->irq = NULL;
	in->msg = NULL;
}

struct merges *stack_merges(struct stack *stack)
{
	return stack->merges;
}

unsigned stack_retry_after_s(const struct stack *stack)
{
	return stack->retry_after_s;
}

const char *stack_allow(const struct inbound *in)
{
	bool events = in->trunk != NULL
			      ? in->realm->row->zone == GH__ZONE__ZONE_INSIDE
			      : in->realm->row->n_event_packages != 0;
	const char *text = su_sprintf(msg_home(in->msg), "%s%s%s%s",
		STACK_ALLOW, events && in->trunk == NULL ? ", SUBSCRIBE" : "",
		events ? ", NOTIFY" : "",
		in->realm->row->allow_message ? ", MESSAGE" : "");

	return text != NULL ? text : STACK_ALLOW;
}

/* RFC 3261 8.2.3: what would have been taken. */
static const char *accept_of(const struct inbound *in)
{
	switch (in->sip->sip_request->rq_method) {
	case sip_method_message:
		return "text/plain";
	case sip_method_notify:
		return "application/simple-message-summary";
	default:
		return "application/sdp";
	}
}

void stack_refuse(struct stack *stack, struct inbound *in, enum reason why)
{
	unsigned status = reason_sip(why);
	char seconds[12];

	if (status == 0) {
		stack_drop(stack, in, why);
		return;
	}
	snprintf(seconds, sizeof(seconds), "%u", stack->retry_after_s);
	stack_reply(stack, in, why, status,
		TAG_IF(status == 405, SIPTAG_ALLOW_STR(stack_allow(in))),
		TAG_IF(status == 415, SIPTAG_ACCEPT_STR(accept_of(in))),
		TAG_IF(status == 420 && in->unsupported,
			SIPTAG_UNSUPPORTED_STR(in->unsupported)),
		TAG_IF(status == 503, SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_END());
}

void stack_drop(struct stack *stack, struct inbound *in, enum reason why)
{
	reason_count(why);
	log_peer_debug("dropped", LOG_STR("reason", reason_text(why)),
		LOG_STR("method", in->sip->sip_request->rq_method_name),
		LOG_ADDR("source", &in->source),
		LOG_ADDR("local", &in->listener->local));
	if (in->irq) {
		nta_incoming_treply(
			in->irq, SIP_500_INTERNAL_SERVER_ERROR, TAG_END());
		nta_incoming_destroy(in->irq);
	} else {
		nta_msg_discard(stack->agent, in->msg);
	}
	in->irq = NULL;
	in->msg = NULL;
}

void stack_keepalive(
	struct stack *stack, const struct addr *local, const struct addr *to)
{
	static const char empty_line[] = "\r\n\r\n";
	int err = cures_send(local, to, empty_line, sizeof(empty_line) - 1);

	(void)stack;
	if (err != 0)
		log_peer_debug(
			"keepalive_failed", LOG_ADDR("to", to), LOG_ERR(err));
}

/* -------------------------------------------------------------- callbacks */

static enum reason on_datagram(void *ctx, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len,
	bool *stranger_out)
{
	struct stack *stack = ctx;
	enum reason why =
		admit_datagram(stack->sbc->admit, source, local, bytes, len);

	*stranger_out = why == REASON_ADMIT_OK &&
			admit_last_class(stack->sbc->admit) == ADMIT_UNKNOWN;
	return why;
}

static bool on_checked(void *ctx, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len)
{
	struct stack *stack = ctx;

	return plain_answer(stack->sbc, source, local, bytes, len);
}

/* A connection's request is not lost: its sender would wait for an answer. */
static void refuse_rate(struct stack *stack, struct inbound *in)
{
	char seconds[12];

	if (in->sip->sip_request->rq_method == sip_method_ack) {
		stack_drop(stack, in, REASON_ADMIT_RATE);
		return;
	}
	snprintf(seconds, sizeof(seconds), "%u", stack->retry_after_s);
	stack_reply(stack, in, REASON_ADMIT_RATE, 503,
		SIPTAG_RETRY_AFTER_STR(seconds), TAG_END());
}

/* May bytes of a connection be read? Only flowd's, which it has announced. */
static int on_stream(void *ctx, const struct addr *source)
{
	struct stack *stack = ctx;

	return flow_may_read(stack->sbc->flows, source->port);
}

static int on_message(
	nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *msg, sip_t *sip)
{
	struct stack *stack = (struct stack *)magic;
	struct inbound in = {.msg = msg, .sip = sip};
	tport_t *tport;

	if (!sip || !sip->sip_request) { /* an answer to nothing of ours */
		if (sip && stack->orphan_fn)
			(void)stack->orphan_fn(agent, sip);
		nta_msg_discard(agent, msg);
		return 0;
	}
	cures_answer_is_ours();
	stack_source(msg, &in.source);
	tport = tport_delivered_by(nta_agent_tports(agent), msg);
	if (stack->asleep_fn && sip->sip_to && sip->sip_to->a_tag &&
		stack->asleep_fn(stack->sbc, msg, sip, tport))
		return 0;
	if (place(stack, tport, &in) != 0) {
		reason_count(REASON_ADMIT_WRONG_REALM);
		nta_msg_discard(agent, msg);
		return 0;
	}
	in.account_at =
		bindings_account_on(stack->sbc->bindings, &in.source, in.flow);
	if (in.flow && !admit_flow(stack->sbc->admit, &in)) {
		refuse_rate(stack, &in);
		return 0;
	}
	entry_on_request(stack->sbc, &in);
	return 0;
}

/* ------------------------------------------------------------- life, death */

int stack_new(struct sbc *sbc, struct stack **stack_out)
{
	struct stack *stack = calloc(1, sizeof(*stack));
	int err;

	if (!stack)
		return ERR_NOMEM;
	stack->sbc = sbc;
	stack->retry_after_s = 5;
	secret_random_bytes(stack->tag_key, sizeof(stack->tag_key));
	err = loop_timer_new(
		sbc->daemon.loop, stack_on_retry, stack, &stack->retry_timer);
	if (err != 0)
		goto failed;
	err = merges_new(sbc, &stack->merges);
	if (err != 0)
		goto failed;
	err = ERR_NOMEM;
	stack->agent = nta_agent_create(loop_sofia_root(sbc->daemon.loop),
		(url_string_t *)-1, on_message, (nta_agent_magic_t *)stack,
		NTATAG_UA(1), NTATAG_MAXSIZE(CURES_MESSAGE_MAX),
		NTATAG_UDP_MTU(65535), NTATAG_CLIENT_RPORT(1),
		NTATAG_SERVER_RPORT(1), NTATAG_CANCEL_487(0),
		/* A message's headers come out of one piece: 349 allocations
		 * per call are 233, and each is wiped when it is freed. */
		NTATAG_PRELOAD(1024), NTATAG_USE_NAPTR(0), NTATAG_USE_SRV(0),
		/* Broken headers are judged by hdr_check_request(), for those
		 * who get an answer at all. */
		NTATAG_BAD_REQ_MASK(0), NTATAG_MAX_PROCEEDING(WARN_PROCEEDING),
		TAG_END());
	if (!stack->agent)
		goto failed;
	cures_on_datagram(on_datagram, stack);
	cures_on_checked(on_checked, stack);
	cures_on_stream(on_stream, stack);
	*stack_out = stack;
	return 0;
failed:
	stack_free(&stack);
	return err;
}

void stack_free(struct stack **stack_ref)
{
	struct stack *stack = *stack_ref;

	if (!stack)
		return;
	*stack_ref = NULL;
	cures_on_datagram(NULL, NULL);
	cures_on_checked(NULL, NULL);
	cures_on_stream(NULL, NULL);
	if (stack->agent)
		nta_agent_destroy(stack->agent);
	cures_forget_all();
	stack_free_nodes(stack);
	merges_free(&stack->merges);
	loop_timer_free(stack->sbc->daemon.loop, &stack->retry_timer);
	free(stack);
}
