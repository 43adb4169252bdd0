/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a PBX tells a phone without a subscription: how many messages wait
 * (message-summary) and that it shall fetch its settings (check-sync). Daily
 * work of Asterisk, FreeSWITCH and of every phone on a desk.
 *
 * Decides: who may send such a notice (a PBX; an ITSP only what its own realm
 * lists; never a phone), and what is left of it. It goes as a new request to
 * every phone of the account whose extension or number it names, where that
 * phone's realm has the package.
 *
 * RFC 3842 4.1 ("unsolicited"), RFC 6665 8.2.1; check-sync has no RFC: Event:
 * check-sync, often ;reboot=true or false, without a body.
 */
#include "config.h"

#include <string.h>

#include "sbc/event_inner.h"
#include "sbc/page.h"

static const struct event_package *package_of(const sip_t *sip)
{
	const sip_event_t *o = sip->sip_event;
	const struct event_package *p =
		o != NULL ? event_package_find(o->o_type) : NULL;

	return p != NULL && p->unasked ? p : NULL;
}

static enum reason may(const struct page *p, const struct realm *to)
{
	return event_realm_has(to, package_of(page_sip(p)))
		       ? REASON_ROUTE_OK
		       : REASON_EVENT_PACKAGE;
}

static const char *event_text(
	const struct event_package *p, const sip_event_t *o, su_home_t *home)
{
	const char *reboot = msg_params_find(o->o_params, "reboot=");

	if (p->type != NULL || reboot == NULL)
		return p->name;
	return su_sprintf(home, "%s;reboot=%s", p->name,
		text_equal(reboot, "true") ? "true" : "false");
}

static enum reason make(const struct page *p, const struct page_to *to,
	su_home_t *home, struct page_text *out)
{
	const sip_t *sip = page_sip(p);
	const struct event_package *package = package_of(sip);
	const char *domain =
		event_domain(to->side.realm, to->target.listener, home);
	const struct event_body b = {
		.home = home,
		.domain = domain,
		.entity = "",
		.trunk = p->from_trunk,
		.ids = &p->sbc->events->ids,
	};
	const char *user = hdr_user(to->account->row->extension, home);
	struct span in = {NULL, 0};
	char *state = su_alloc(home, 96);
	bool last;
	enum reason why;

	if (user == NULL || state == NULL)
		return REASON_CALL_INTERNAL;
	if (sip->sip_payload != NULL)
		in = (struct span){
			sip->sip_payload->pl_data, sip->sip_payload->pl_len};
	why = event_body_rebuild(package, &b,
		sip->sip_content_type != NULL ? sip->sip_content_type->c_type
					      : NULL,
		in, &out->body);
	if (why != REASON_EVENT_OK)
		return why;
	if (package->type != NULL && out->body == NULL)
		return REASON_EVENT_BODY; /* it would say nothing */
	out->type = out->body != NULL ? package->type : NULL;
	/* Old phones have none in such a notice, new ones insist on it. */
	if (event_state_text(sip->sip_subscription_state, 0, state, 96, &last))
		out->state = state;
	else
		out->state = "terminated;reason=noresource";
	out->event = event_text(package, sip->sip_event, home);
	out->from = out->to = su_sprintf(home, "<sip:%s@%s>", user, domain);
	return out->from != NULL && out->event != NULL ? REASON_ROUTE_OK
						       : REASON_CALL_INTERNAL;
}

static const struct page_kind notice_kind = {
	.method = sip_method_notify,
	.name = "NOTIFY",
	.ok = REASON_EVENT_NOTIFIED,
	.phones_only = true,
	.contact = true,
	.may = may,
	.make = make,
};

void event_on_notify(struct sbc *sbc, struct inbound *in)
{
	const struct event_package *package = package_of(in->sip);

	if (in->trunk == NULL || package == NULL ||
		(in->realm->row->zone != GH__ZONE__ZONE_INSIDE &&
			!event_realm_has(in->realm, package))) {
		stack_refuse(sbc->stack, in, REASON_EVENT_PACKAGE);
		return;
	}
	page_begin(sbc, &notice_kind, in, NULL);
}
