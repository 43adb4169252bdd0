/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See page.h. In order:
 *
 *	begin -> (account?) -> route -> phones, or (where is the trunk?) -> sent
 *	      -> answers -> freed
 *
 * Decides: the receivers, and which answer the sender gets. A trunk's next
 * address is tried where the one before is not there: cannot be sent to, says
 * 503, or says nothing at all for a while (RFC 3263 4.3). Whoever has given any
 * sign is waited for: one that arrives twice is worse than one that its sender
 * sends again. While nobody answers the sender is told before its own
 * transaction ends.
 */
#include "config.h"

#include "sbc/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"

#define PAGES_MAX  4096u
#define TOTAL_T1   24u /* the sender waits for 64 */
#define ATTEMPT_T1 8u  /* without a sign of a place, while there are others */

struct pages {
	struct sbc *sbc;
	TAILQ_HEAD(, page) all;
	TAILQ_HEAD(, page) dead;
	size_t n;
	struct loop_timer *reaper;
};

static void go_on(struct page *p);
static void on_reap(void *arg);

int pages_new(struct sbc *sbc, struct pages **pages_out)
{
	struct pages *pages = calloc(1, sizeof *pages);

	if (pages == NULL)
		return ERR_NOMEM;
	pages->sbc = sbc;
	TAILQ_INIT(&pages->all);
	TAILQ_INIT(&pages->dead);
	if (loop_timer_new(sbc->daemon.loop, on_reap, pages, &pages->reaper) !=
		0) {
		free(pages);
		return ERR_NOMEM;
	}
	*pages_out = pages;
	return 0;
}

static void page_free(struct page *p)
{
	account_query_cancel(&p->query);
	target_walk_end(&p->walk);
	for (size_t i = 0; i < p->n_branches; i++)
		leg_free(&p->branches[i].leg);
	if (p->irq != NULL)
		nta_incoming_destroy(p->irq);
	if (p->request != NULL)
		msg_destroy(p->request);
	account_unref(&p->from_account);
	account_unref(&p->called_account);
	loop_timer_free(p->sbc->daemon.loop, &p->timer);
	free(p->decision);
	settings_unref(&p->settings);
	su_home_unref(p->home);
}

static void on_reap(void *arg)
{
	struct pages *pages = arg;
	struct page *p;

	while ((p = TAILQ_FIRST(&pages->dead)) != NULL) {
		TAILQ_REMOVE(&pages->dead, p, link);
		page_free(p);
	}
}

static void bury(struct page *p)
{
	struct pages *pages = p->pages;

	TAILQ_REMOVE(&pages->all, p, link);
	TAILQ_INSERT_TAIL(&pages->dead, p, link);
	pages->n--;
	loop_timer_stop(p->sbc->daemon.loop, p->timer);
	loop_timer_set(p->sbc->daemon.loop, pages->reaper, 0);
}

void pages_free(struct pages **ref)
{
	struct pages *pages = *ref;
	struct page *p;

	if (pages == NULL)
		return;
	*ref = NULL;
	while ((p = TAILQ_FIRST(&pages->all)) != NULL)
		bury(p);
	on_reap(pages);
	loop_timer_free(pages->sbc->daemon.loop, &pages->reaper);
	free(pages);
}

size_t pages_count(const struct pages *pages)
{
	return pages->n;
}

/* --- the sender's answer --- */

static void answer(struct page *p, enum reason why, unsigned status)
{
	nta_incoming_t *irq = p->irq;
	char seconds[12];

	if (irq == NULL)
		return;
	p->irq = NULL;
	reason_count(why);
	log_info("page", LOG_CALL(p->id), LOG_STR("method", p->kind->name),
		LOG_STR("from", side_kind_name(p->from)),
		LOG_STR("caller", p->caller), LOG_STR("called", p->called),
		LOG_UINT("status", status),
		LOG_STR("reason", reason_text(why)));
	snprintf(seconds, sizeof seconds, "%u",
		stack_retry_after_s(p->sbc->stack));
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 503, SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_END());
	nta_incoming_destroy(irq);
}

static void refuse(struct page *p, enum reason why)
{
	unsigned status = reason_sip(why);

	answer(p, why, status >= 300 ? status : 500);
	if (p->n_open == 0)
		bury(p);
}

/* The refusal that says most: what somebody answered, the lowest class first;
 * a person's 6xx above all. */
static void note_refusal(struct page *p, unsigned status)
{
	if (p->best == 0 || p->best >= 600 || status < p->best)
		p->best = p->best >= 600 ? p->best : status;
	if (status >= 600)
		p->best = status;
}

static void finish(struct page *p)
{
	if (p->best != 0)
		answer(p, REASON_MESSAGE_FAR_REFUSED, p->best);
	else
		answer(p, REASON_MESSAGE_FAR_SILENT, 480);
	bury(p);
}

static int on_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct page_branch *b = leg->c.ctx;
	struct page *p = b->page;
	bool silent = sip == NULL || nta_sip_is_internal(sip);
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;

	b->heard = b->heard || !silent;
	if (status < 200)
		return 0;
	if (leg_auth_take(leg, orq, silent ? NULL : sip, on_answer))
		return 0;
	leg->change.orq = NULL;
	b->status = status;
	p->n_open--;
	if (status < 300)
		answer(p, p->kind->ok, status == 202 ? 202 : 200);
	else if (!silent)
		note_refusal(p, hdr_map_status(status));
	if (p->n_open == 0) {
		/* RFC 3263 4.3: who is not there, or says so. */
		if (leg->c.trunk != NULL && p->irq != NULL &&
			(silent || status == 503))
			go_on(p);
		else
			finish(p);
	}
	nta_outgoing_destroy(orq);
	return 0;
}

static void wait_for_answer(struct page *p)
{
	uint64_t t1_us = CLOCK_US_PER_MS * settings_number(p->sbc->settings,
						   "sip_t1_ms", 500, 50, 5000);
	uint64_t now = clock_now_us(), left = 0;

	if (p->deadline_us > now)
		left = p->deadline_us - now;
	/* While there may be another place, less. */
	if (p->walk.trunk != NULL && left > ATTEMPT_T1 * t1_us)
		left = ATTEMPT_T1 * t1_us;
	loop_timer_set(p->sbc->daemon.loop, p->timer, left);
}

/* A place has said nothing, or the sender's transaction would end by itself. */
static void on_timer(void *arg)
{
	struct page *p = arg;
	const struct page_branch *b =
		p->n_branches != 0 ? &p->branches[p->n_branches - 1] : NULL;

	if (p->irq != NULL && clock_now_us() < p->deadline_us) {
		if (b == NULL || p->walk.query != NULL) {
			wait_for_answer(p);
			return;
		}
		if (b->status != 0 || b->heard || p->walk.trunk == NULL) {
			target_walk_end(&p->walk);
			wait_for_answer(p);
			return;
		}
		trunk_note_silence(p->sbc->trunks, b->leg->c.trunk);
		go_on(p);
		return;
	}
	answer(p, REASON_MESSAGE_FAR_SILENT, p->best != 0 ? p->best : 480);
	if (p->n_open == 0)
		bury(p);
}

/* --- sending --- */

static void on_leg(void *ctx, struct leg *leg, const struct leg_msg *msg)
{
	(void)ctx;
	(void)leg;
	(void)msg;
}

/* Nothing belongs inside: there is no dialog. */
static int on_request(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	(void)leg;
	(void)irq;
	(void)sip;
	return 481;
}

static enum reason send_to(struct page *p, const struct page_to *to)
{
	struct page_branch *b = &p->branches[p->n_branches];
	su_home_t home[1] = {SU_HOME_INIT(home)};
	struct page_text text = {0};
	struct leg_config config = {
		.sbc = p->sbc,
		.home = p->home,
		.call = p->id,
		.kind = to->side.kind,
		.trunk = to->side.trunk,
		.account = to->account,
		.trunks = p->sbc->trunks,
		.peer = to->target,
		.surrogate =
			p->from_account != NULL && to->side.trunk != NULL
				? account_surrogate_at(p->from_account->row,
					  to->side.trunk->row->id)
				: 0,
		.on_event = on_leg,
		.on_request = on_request,
		.ctx = b,
	};
	const char *route =
		to->side.trunk != NULL
			? trunk_route(p->sbc->trunks, to->side.trunk->row->id,
				  &to->target.addr)
			: "";
	char forwards[12];
	enum reason why;

	if (p->n_branches == PAGE_BRANCHES_MAX)
		return REASON_MESSAGE_FULL;
	su_home_init(home);
	b->page = p;
	why = p->kind->may(p, to->side.realm);
	if (why == REASON_ROUTE_OK)
		why = p->kind->make(p, to, home, &text);
	if (why == REASON_ROUTE_OK &&
		leg_new_client(&config, text.from, text.to, &b->leg) != 0)
		why = REASON_CALL_INTERNAL;
	if (why != REASON_ROUTE_OK)
		goto out;
	snprintf(forwards, sizeof forwards, "%u", p->max_forwards);
	b->leg->change.method = p->kind->method;
	b->leg->change.orq = leg_send(b->leg, on_answer, p->kind->method,
		p->kind->name, to->request_uri,
		SIPTAG_MAX_FORWARDS_STR(forwards),
		TAG_IF(*route != '\0', SIPTAG_ROUTE_STR(route)),
		TAG_IF(p->kind->contact, SIPTAG_CONTACT_STR(b->leg->contact)),
		TAG_IF(text.event != NULL, SIPTAG_EVENT_STR(text.event)),
		TAG_IF(text.state != NULL,
			SIPTAG_SUBSCRIPTION_STATE_STR(text.state)),
		TAG_IF(text.lines != NULL && *text.lines != '\0',
			SIPTAG_HEADER_STR(text.lines)),
		TAG_IF(text.type != NULL, SIPTAG_CONTENT_TYPE_STR(text.type)),
		TAG_IF(text.type != NULL, SIPTAG_PAYLOAD_STR(text.body)),
		NTATAG_PASS_100(1), TAG_END());
	if (b->leg->change.orq == NULL) {
		leg_free(&b->leg);
		why = REASON_CALL_INTERNAL;
		goto out;
	}
	p->n_branches++;
	p->n_open++;
out:
	su_home_deinit(home);
	return why;
}

/* Every phone that can be reached. @return ROUTE_OK if one was. */
static enum reason send_to_phones(struct page *p)
{
	enum reason why = REASON_ROUTE_NOT_REGISTERED;
	const struct binding *b;

	if (p->called_account == NULL)
		return REASON_ROUTE_UNKNOWN_NUMBER;
	b = bindings_of(p->sbc->bindings, p->called_account->row->id);
	for (; b != NULL; b = b->next) {
		const struct realm_address *ra = settings_listener(p->settings,
			&b->local, (Gh__Transport)b->row->transport);
		struct listener *l =
			ra != NULL ? stack_listener(p->sbc->stack, ra) : NULL;
		struct page_to to = {
			.account = p->called_account,
			.request_uri = b->row->contact,
		};
		enum reason one;

		if (l == NULL ||
			(transport_is_stream(l->transport) &&
				flow_find(p->sbc->flows, b->row->flow) == NULL))
			continue;
		to.side = (struct hdr_side){.kind = SIDE_PHONE,
			.realm = ra->realm,
			.host = l->advertised_host};
		to.target = (struct target){
			.addr = b->source, .listener = l, .flow = b->row->flow};
		to.host = ra->realm->row->n_domains != 0
				  ? ra->realm->row->domains[0]
				  : l->advertised_host;
		one = send_to(p, &to);
		if (one != REASON_ROUTE_OK && why != REASON_ROUTE_OK)
			why = one;
		else if (one == REASON_ROUTE_OK)
			why = one;
	}
	return why;
}

static enum reason send_to_trunk(
	struct page *p, const struct trunk *t, const struct target_place *place)
{
	char number[ROUTE_NUMBER_SIZE];
	const char *escaped;
	struct page_to to = {
		.side = {.kind = t->realm->row->zone == GH__ZONE__ZONE_INSIDE
					 ? SIDE_PBX
					 : SIDE_TRUNK,
			.trunk = t,
			.realm = t->realm,
			.host = *t->row->host != '\0'
					? t->row->host
					: place->target.listener
						  ->advertised_host},
		.target = place->target,
		.host = place->host,
	};

	if (number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED, p->called,
		    number) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	escaped = hdr_user(number, p->home);
	if (escaped == NULL)
		return REASON_CALL_INTERNAL;
	to.request_uri = su_sprintf(p->home, "sip:%s@%s", escaped, place->host);
	return send_to(p, &to);
}

static void on_located(void *ctx)
{
	go_on(ctx);
}

/* On to the next receiver, until one could be sent to. */
static void go_on(struct page *p)
{
	const struct route_decision *d = p->decision;
	enum reason why = REASON_ROUTE_NONE;
	struct target_place place;

	for (; p->target < d->n_targets; p->target++) {
		const struct route_target *t = &d->targets[p->target];

		if (t->is_account || p->kind->phones_only) {
			why = send_to_phones(p);
			if (why == REASON_ROUTE_OK)
				return;
			continue;
		}
		if (p->walk.trunk == NULL)
			target_walk_begin(
				&p->walk, p->sbc, t->trunk, on_located, p);
		switch (target_walk_usable(&p->walk, &place, &why)) {
		case TARGET_ASKED:
			return;
		case TARGET_USELESS:
		case TARGET_END:
			break;
		case TARGET_FOUND:
			why = send_to_trunk(p, t->trunk, &place);
			if (why == REASON_ROUTE_OK) {
				wait_for_answer(p);
				return;
			}
			break;
		}
		target_walk_end(&p->walk);
	}
	/* There is nobody else: who was asked has the rest of the time. */
	if (p->n_open != 0)
		wait_for_answer(p);
	else if (p->n_branches != 0)
		finish(p);
	else
		refuse(p, why);
}

/* --- facts --- */

static bool in_service(void *ctx, uint32_t trunk)
{
	return trunk_in_service(ctx, trunk);
}

static void route(struct page *p)
{
	struct route_facts facts = {
		.from = p->from,
		.from_trunk = p->from_trunk,
		.from_account =
			p->from_account != NULL ? p->from_account->row : NULL,
		.called = p->called,
		.caller = p->who.hide ? "" : p->caller,
		.called_account = p->called_account != NULL
					  ? p->called_account->row
					  : NULL,
		.trunk_in_service = in_service,
		.ctx = p->sbc->trunks,
	};

	p->decision = calloc(1, sizeof *p->decision);
	if (p->decision == NULL) {
		refuse(p, REASON_CALL_INTERNAL);
		return;
	}
	if (p->kind->phones_only) {
		/* What a PBX tells a phone takes no route. */
		p->decision->targets[0].is_account = true;
		p->decision->n_targets = 1;
		go_on(p);
		return;
	}
	secret_random_bytes(&facts.random, sizeof facts.random);
	route_decide(p->settings, &facts, p->decision);
	if (p->decision->why == REASON_ROUTE_OK) {
		go_on(p);
		return;
	}
	answer(p, p->decision->why,
		p->decision->sip >= 300 ? p->decision->sip : 404);
	bury(p);
}

static void on_account(void *ctx, struct account *account, enum reason why);

static int ask(struct page *p)
{
	p->n_queries++;
	return accounts_find(p->sbc->accounts,
		p->by_number ? GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER
			     : GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION,
		p->called, on_account, p, &p->query);
}

static void on_account(void *ctx, struct account *account, enum reason why)
{
	struct page *p = ctx;

	p->query = NULL;
	p->called_account = account;
	if (account == NULL && why == REASON_AUTH_AWAY) {
		refuse(p, why);
		return;
	}
	if (account == NULL && p->n_queries < 2) {
		p->by_number = !p->by_number;
		if (ask(p) != 0)
			refuse(p, REASON_AUTH_AWAY);
		return;
	}
	route(p);
}

static enum reason read_numbers(struct page *p, const sip_t *sip)
{
	const struct trunk *t = p->from_trunk;
	char clean[ROUTE_NUMBER_SIZE];
	const char *user;

	user = t != NULL ? hdr_called_of(sip, t, p->home)
			 : sip->sip_request->rq_url->url_user;
	if (user == NULL || number_clean(user, clean) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	if (t == NULL) {
		const Gh__Account *row = p->from_account->row;

		snprintf(p->called, sizeof p->called, "%s", clean);
		snprintf(p->caller, sizeof p->caller, "%s", row->extension);
		p->who.display = row->display_name;
		return REASON_ROUTE_OK;
	}
	if (number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED, clean,
		    p->called) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	if (hdr_caller_of(sip, t, p->home, &p->who) != 0)
		return REASON_ADMIT_SYNTAX;
	if (p->who.number == NULL || *p->who.number == '\0' ||
		number_clean(p->who.number, clean) != 0 ||
		number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, clean,
			p->caller) != 0)
		p->caller[0] = '\0';
	if (p->who.display == NULL)
		p->who.display = "";
	return REASON_ROUTE_OK;
}

/* --- begin --- */

static struct page *make(struct sbc *sbc, const struct page_kind *kind,
	const struct inbound *in, struct account *account)
{
	struct page *p;

	if (sbc->pages->n >= PAGES_MAX)
		return NULL;
	p = su_home_new(sizeof *p);
	if (p == NULL)
		return NULL;
	if (loop_timer_new(sbc->daemon.loop, on_timer, p, &p->timer) != 0) {
		su_home_unref(p->home);
		return NULL;
	}
	p->pages = sbc->pages;
	p->sbc = sbc;
	p->kind = kind;
	p->settings = settings_ref(sbc->settings);
	p->from_trunk = in->trunk;
	p->from_account = account;
	p->from_realm = in->realm;
	p->from_listener = in->listener;
	p->from = in->trunk == NULL                               ? SIDE_PHONE
		  : in->realm->row->zone == GH__ZONE__ZONE_INSIDE ? SIDE_PBX
								  : SIDE_TRUNK;
	ident_make_call(p->id);
	TAILQ_INSERT_TAIL(&sbc->pages->all, p, link);
	sbc->pages->n++;
	return p;
}

void page_begin(struct sbc *sbc, const struct page_kind *kind,
	struct inbound *in, struct account *account)
{
	uint64_t t1_ms =
		settings_number(sbc->settings, "sip_t1_ms", 500, 50, 5000);
	const sip_max_forwards_t *mf = in->sip->sip_max_forwards;
	struct page *p = make(sbc, kind, in, account);
	enum reason why;

	if (p == NULL) {
		account_unref(&account);
		stack_refuse(sbc->stack, in, REASON_MESSAGE_FULL);
		return;
	}
	p->max_forwards = mf != NULL ? (unsigned)mf->mf_count : 70;
	p->max_forwards -= p->max_forwards != 0;
	p->irq = stack_accept(sbc->stack, in);
	if (p->irq == NULL) {
		bury(p);
		return;
	}
	p->request = nta_incoming_getrequest(p->irq);
	why = read_numbers(p, page_sip(p));
	if (why != REASON_ROUTE_OK) {
		refuse(p, why);
		return;
	}
	p->deadline_us = clock_now_us() + TOTAL_T1 * t1_ms * CLOCK_US_PER_MS;
	wait_for_answer(p);
	p->by_number = p->called[0] == '+';
	if (ask(p) != 0)
		refuse(p, REASON_AUTH_AWAY);
}
