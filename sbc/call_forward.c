/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A phone that forwards its calls by itself: it answers an INVITE with 3xx and
 * a Contact (RFC 3261 8.1.3.4, RFC 5359 2.7).
 *
 * Decides, by the account's policy (sbc.account.forwards): a PBX that called
 * hears 302 with a Contact at itself, since it knows what to do with it; any
 * other call goes on where the phone wants it, as a call of that phone: its
 * account's routes, classes of destinations and limits hold, and the number
 * that is called hears who forwarded (Diversion, RFC 5806). Of the Contact
 * only the user part counts, as if it had been dialled; its host is nobody's.
 * An account's other phones ring first; nobody is forwarded to an emergency
 * number, to himself, or more than CALL_REDIRECTS_MAX times.
 *
 * Does not decide where the number leads (route.c). Called by call_setup.c.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <stdio.h>
#include <string.h>

#include "sbc/hdr_part.h"

static bool read_number(const sip_t *sip, char number[ROUTE_NUMBER_SIZE])
{
	const sip_contact_t *m = sip != NULL ? sip->sip_contact : NULL;

	for (; m != NULL; m = m->m_next) {
		if (m->m_url->url_user != NULL && *m->m_url->url_user != '\0' &&
			number_clean(m->m_url->url_user, number) == 0)
			return true;
	}
	return false;
}

/* Is it the PBX's to decide? */
static bool is_told(const struct call *c, Gh__ForwardPolicy policy)
{
	return c->caller.kind == SIDE_PBX &&
	       (policy == GH__FORWARD_POLICY__FORWARD_AUTO ||
		       policy == GH__FORWARD_POLICY__FORWARD_PBX);
}

static bool is_followed(const struct call *c, Gh__ForwardPolicy policy)
{
	return policy == GH__FORWARD_POLICY__FORWARD_FOLLOW ||
	       (policy == GH__FORWARD_POLICY__FORWARD_AUTO &&
		       c->caller.kind != SIDE_PBX);
}

void call_forward_note(struct call *c, const struct party *p, const sip_t *sip)
{
	char number[ROUTE_NUMBER_SIZE];
	Gh__ForwardPolicy policy;

	if (p->account == NULL || c->forward_to != NULL ||
		!read_number(sip, number))
		return;
	policy = p->account->row->forwards;
	if (strcmp(number, c->called_number) == 0 ||
		(!is_told(c, policy) && !is_followed(c, policy)))
		return;
	c->forward_to = su_strdup(c->home, number);
}

/* What the PBX is told: the number as it knows it, at itself. */
static char *contact_line(struct call *c)
{
	const struct trunk *t = c->caller.trunk;
	char number[ROUTE_NUMBER_SIZE], text[ADDR_TEXT_SIZE];
	const char *host = t->row->domain, *user;

	if (number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED,
		    c->forward_to, number) != 0)
		return NULL;
	user = hdr_user(number, c->home);
	if (*host == '\0')
		host = c->caller.peer.port == 5060
			       ? addr_format_ip(&c->caller.peer, text)
			       : addr_format(&c->caller.peer, text);
	if (user == NULL)
		return NULL;
	if (strchr(host, ':') != NULL && c->caller.peer.family == AF_INET6 &&
		*host != '[')
		return su_sprintf(
			c->home, "Contact: <sip:%s@[%s]>", user, host);
	return su_sprintf(c->home, "Contact: <sip:%s@%s>", user, host);
}

void call_forward_release(struct call *c)
{
	struct account *a = c->forwarder;

	if (a == NULL)
		return;
	call_limit_end_forward(c);
	c->forwarder = NULL;
	account_unref(&a);
}

/* The account pays for where its phone sends the call. */
static enum reason take(struct call *c)
{
	struct account *a = account_ref(c->called_account);
	enum reason why;

	call_forward_release(c);
	c->forwarder = a;
	why = call_facts_lead_to_emergency(c) ? REASON_CALL_FORWARD_REFUSED
					       : call_limit_forward(c);
	if (why == REASON_ROUTE_OK)
		return why;
	call_forward_release(c);
	return why;
}

static enum call_state follow(struct call *c)
{
	char number[ROUTE_NUMBER_SIZE];
	enum reason why = REASON_CALL_FORWARD_REFUSED;

	snprintf(number, sizeof number, "%s", c->forward_to);
	su_free(c->home, (void *)(uintptr_t)c->forward_to);
	c->forward_to = NULL;
	if (c->n_redirects >= CALL_REDIRECTS_MAX || c->max_forwards == 0 ||
		c->called_account == NULL)
		return call_end(c, why, 0, CALL_CALLED);
	c->n_redirects++;
	c->max_forwards--;
	c->forward_rang = c->record.wall_ring_us != 0;
	snprintf(c->called_number, sizeof c->called_number, "%s", number);
	why = take(c);
	if (why != REASON_ROUTE_OK)
		return call_end(c, why, 0, CALL_SBC);
	call_decide(c, REASON_CALL_FORWARDED, number);
	return call_setup_reroute(c);
}

enum call_state call_forward(struct call *c)
{
	const char *line;

	if (!is_told(c, c->called_account != NULL
				? c->called_account->row->forwards
				: GH__FORWARD_POLICY__FORWARD_AUTO))
		return follow(c);
	line = contact_line(c);
	if (line == NULL)
		return call_end(c, REASON_ROUTE_BAD_NUMBER, 480, CALL_CALLED);
	c->end_lines[CALL_CALLER] = line;
	call_note(c, REASON_CALL_REDIRECTED, c->forward_to);
	return call_end(c, REASON_CALL_FORWARD_TOLD, 0, CALL_CALLED);
}

const char *call_forward_lines(struct call *c, const struct party *p,
	const char *host, su_home_t *home)
{
	const Gh__Account *row =
		c->forwarder != NULL ? c->forwarder->row : NULL;
	char number[ROUTE_NUMBER_SIZE];
	const char *from, *user;

	if (row == NULL || p->trunk == NULL)
		return "";
	from = p->kind == SIDE_TRUNK ? row->caller_number : row->extension;
	if (*from == '\0' ||
		number_apply(p->trunk, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER,
			from, number) != 0)
		return "";
	user = hdr_user(number, home);
	if (user == NULL)
		return "";
	return su_sprintf(home, "Diversion: <sip:%s@%s>;reason=%s\r\n", user,
		host, c->forward_rang ? "deflection" : "unconditional");
}
