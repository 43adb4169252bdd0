/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration at a trunk that wants it (RFC 3261 10.2): REGISTER, the answer
 * to its challenge from authd, refresh before the end, and retries that grow
 * and are spread at random so that a registrar that comes back is not met by
 * all its customers in the same second. Of several registrars the next is
 * asked at once when one refuses or is silent; the wait begins when all have
 * been asked. The Service-Route of the answer is the way of our calls
 * (RFC 3608).
 *
 * Decides: when to register and what a registrar's answer means. authd decides
 * whether the challenge gets an answer. Called by trunk.c's clock.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/sbc.h"
#include "sbc/text.h"
#include "sbc/trunk_inner.h"

#define EXPIRES_S     600u
#define EXPIRES_MAX_S 86400u
#define RETRY_S       5u
#define RETRY_MAX_S   600u
#define SHORTEST_S    4u /* between two of ours, whatever a registrar grants */
/* A registrar that is not the only one has so long for its answer. */
#define SILENCE_US    (5 * CLOCK_US_PER_S)
#define ROUTES_MAX    4u
#define ROUTE_SIZE    512u

static void send_register(
	struct trunk_state *s, const struct trunk *t, const char *auth_line);

void trunk_register_drop(struct trunk_state *s)
{
	trunk_auth_cancel(&s->reg_query);
	trunk_request_drop(&s->reg);
	free(s->reg_route);
	s->reg_route = NULL;
	s->registration = REGISTRATION_NONE;
}

static const char *trunk_name(const struct trunk_state *s)
{
	const struct trunk *t = settings_trunk(s->trunks->sbc->settings, s->id);

	return t != NULL ? t->row->name : "?";
}

uint64_t trunk_spread(uint64_t us)
{
	uint32_t random;

	secret_random_bytes(&random, sizeof random);
	return us - us / 4 + random % (us / 4 + 1);
}

static void tell(struct trunk_state *s, enum reason why, const char *data)
{
	Gh__Event event = GH__EVENT__INIT;

	reason_count(why);
	log_notice("trunk_registration", LOG_UINT("trunk", s->id),
		LOG_STR("name", trunk_name(s)),
		LOG_STR("reason", reason_text(why)), LOG_STR("data", data));
	event.wall_us = clock_wall_us();
	event.reason = reason_number(why);
	event.trunk = s->id;
	event.data = (char *)(uintptr_t)data;
	cdr_event(s->trunks->sbc->cdrs, &event);
}

static void failed(struct trunk_state *s, enum reason why, const char *data)
{
	uint64_t wait_s = RETRY_S;

	s->reg_challenged = false;
	trunk_where_next_registrar(s);
	if (++s->reg_tried < s->n_places) {
		log_info("trunk_registrar", LOG_UINT("trunk", s->id),
			LOG_STR("reason", reason_text(why)),
			LOG_STR("data", data), LOG_STR("next", "another"));
		s->next_register_us = 0;
		return;
	}
	s->reg_tried = 0;
	if (s->registration != REGISTRATION_FAILED)
		tell(s, why, data);
	s->registration = REGISTRATION_FAILED;
	for (unsigned i = 0; i < s->reg_failures && wait_s < RETRY_MAX_S; i++)
		wait_s *= 2;
	if (wait_s > RETRY_MAX_S)
		wait_s = RETRY_MAX_S;
	s->reg_failures++;
	s->next_register_us =
		clock_now_us() + trunk_spread(wait_s * CLOCK_US_PER_S);
}

uint32_t trunk_granted(const sip_t *sip, uint32_t asked_s)
{
	uint64_t expires_s = asked_s;
	const sip_contact_t *m;

	if (sip->sip_expires != NULL)
		expires_s = sip->sip_expires->ex_delta;
	/* A registrar may list other bindings too: the shortest of all is on
	 * the safe side. */
	for (m = sip->sip_contact; m != NULL; m = m->m_next) {
		unsigned long own = sip_contact_expires(m, sip->sip_expires,
			sip->sip_date, expires_s, sip_now());

		if (own != 0 && own < expires_s)
			expires_s = own;
	}
	return expires_s > EXPIRES_MAX_S ? EXPIRES_MAX_S : (uint32_t)expires_s;
}

/* Only what may stand between < and > again, and only loose routes. */
static bool is_route(const url_t *url, const char *text)
{
	return (url->url_type == url_sip || url->url_type == url_sips) &&
	       url->url_host != NULL && url->url_headers == NULL &&
	       url_has_param(url, "lr") && text_is_plain(text, ROUTE_SIZE) &&
	       strpbrk(text, "<>\" ,") == NULL;
}

/* RFC 3608 6.1: the way of our calls, newly with each answer. One that cannot
 * be read is none. */
static void learn_route(struct trunk_state *s, const sip_t *sip)
{
	const sip_service_route_t *r = sip_service_route(sip);
	su_home_t home[1] = {SU_HOME_INIT(home)};
	char text[ROUTE_SIZE];
	struct writer w;

	free(s->reg_route);
	s->reg_route = NULL;
	writer_init(&w, text, sizeof text);
	su_home_init(home);
	for (unsigned n = 0; r != NULL; r = r->r_next, n++) {
		const char *one = url_as_string(home, r->r_url);

		if (one == NULL || n == ROUTES_MAX ||
			!is_route(r->r_url, one)) {
			w.over = true;
			break;
		}
		writer_add(&w, "%s<%s>", n != 0 ? ", " : "", one);
	}
	su_home_deinit(home);
	if (w.over)
		log_peer_warning("service_route", LOG_UINT("trunk", s->id),
			LOG_STR("problem", "it cannot be used"));
	else if (w.len != 0)
		s->reg_route = strdup(text);
}

static void registered(struct trunk_state *s, const sip_t *sip)
{
	uint64_t expires_s = trunk_granted(sip, s->reg_expires_s);

	if (expires_s == 0) {
		failed(s, REASON_TRUNK_REGISTER_FAILED, "no time was granted");
		return;
	}
	/* Four fifths of it: never so late that it has run out. */
	expires_s = expires_s * 8 / 10;
	if (expires_s < SHORTEST_S)
		expires_s = SHORTEST_S;
	learn_route(s, sip);
	if (s->registration != REGISTRATION_UP)
		tell(s, REASON_TRUNK_REGISTERED, "");
	s->registration = REGISTRATION_UP;
	s->reg_failures = 0;
	s->reg_tried = 0;
	s->reg_challenged = false;
	s->next_register_us =
		clock_now_us() + trunk_spread(expires_s * CLOCK_US_PER_S);
	trunk_save(s);
}

static void on_answer_made(void *ctx, const char *header, enum reason why)
{
	struct trunk_state *s = ctx;
	const struct trunk *t = settings_trunk(s->trunks->sbc->settings, s->id);
	char line[1024];

	s->reg_query = NULL;
	if (t == NULL || header == NULL) {
		failed(s, why, "no answer to the challenge");
		return;
	}
	if (snprintf(line, sizeof line, "%s: %s",
		    s->reg_proxy ? "Proxy-Authorization" : "Authorization",
		    header) >= (int)sizeof line) {
		failed(s, REASON_AUTH_TRUNK_FAILED, "header too long");
		return;
	}
	send_register(s, t, line);
}

static void challenged(struct trunk_state *s, const sip_t *sip)
{
	const struct trunk *t = settings_trunk(s->trunks->sbc->settings, s->id);
	const msg_auth_t *au = sip->sip_www_authenticate;
	char text[1024], url[STACK_URL_SIZE];
	struct target target;

	s->reg_proxy = au == NULL;
	if (au == NULL)
		au = sip->sip_proxy_authenticate;
	if (s->reg_challenged && au != NULL && !s->reg_stale &&
		trunk_challenge_is_stale(au)) {
		s->reg_stale = true;
		s->reg_challenged = false;
	} else if (!s->reg_challenged) {
		s->reg_stale = false;
	}
	if (s->reg_challenged || au == NULL || t == NULL ||
		trunk_target_of(s->trunks->sbc, t, trunk_where_registrar(s),
			&target, url) != 0 ||
		trunk_challenge_text(au, text, sizeof text) != 0) {
		failed(s, REASON_TRUNK_REGISTER_FAILED, "challenged again");
		return;
	}
	s->reg_challenged = true;
	if (trunk_auth_ask(s->trunks, t, &target.addr, text, "REGISTER", url, 0,
		    on_answer_made, s, &s->reg_query) != 0)
		failed(s, REASON_AUTH_AWAY, "authd is away");
}

static int on_register_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct trunk_state *s = (struct trunk_state *)magic;
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	char text[16];

	s->reg_heard = true;
	if (status < 200)
		return 0;
	s->reg.orq = NULL;
	snprintf(text, sizeof text, "%u", status);
	if (status < 300) {
		registered(s, sip);
	} else if (status == 401 || status == 407) {
		challenged(s, sip);
	} else if (status == 423 && sip->sip_min_expires != NULL &&
		   sip->sip_min_expires->me_delta <= EXPIRES_MAX_S &&
		   sip->sip_min_expires->me_delta > s->reg_expires_s) {
		const struct trunk *t =
			settings_trunk(s->trunks->sbc->settings, s->id);

		s->reg_expires_s = (uint32_t)sip->sip_min_expires->me_delta;
		s->reg_challenged = false;
		if (t != NULL)
			send_register(s, t, NULL);
	} else {
		failed(s, REASON_TRUNK_REGISTER_FAILED, text);
	}
	nta_outgoing_destroy(orq);
	return 0;
}

static void send_register(
	struct trunk_state *s, const struct trunk *t, const char *auth_line)
{
	struct sbc *sbc = s->trunks->sbc;
	char url[STACK_URL_SIZE], hop[STACK_URL_SIZE], ours[STACK_URL_SIZE];
	char contact[STACK_URL_SIZE + 2], aor[STACK_URL_SIZE + 80];
	char expires[12];
	struct target target;

	if (trunk_target_of(sbc, t, trunk_where_registrar(s), &target, url) !=
			0 ||
		trunk_contact(t, target.listener, t->row->register_user, ours,
			sizeof ours) != 0) {
		failed(s, REASON_TRUNK_REGISTER_FAILED, "no usable address");
		return;
	}
	snprintf(contact, sizeof contact, "<%s>", ours);
	/* url is "sip:domain"; the AOR puts the user in front of the domain. */
	snprintf(aor, sizeof aor, "<sip:%s@%s>", t->row->register_user,
		url + strlen("sip:"));
	snprintf(expires, sizeof expires, "%u", (unsigned)s->reg_expires_s);
	if (s->reg.leg == NULL)
		s->reg.leg = trunk_make_leg(s, aor, aor, &s->names);
	if (s->reg.leg != NULL)
		s->reg.orq = nta_outgoing_tcreate(s->reg.leg,
			on_register_answer, (nta_outgoing_magic_t *)s,
			URL_STRING_MAKE(stack_next_hop(s->trunks->sbc->stack,
				&target, hop, sizeof hop)),
			SIP_METHOD_REGISTER, URL_STRING_MAKE(url),
			TPTAG_IDENT(target.listener->ident),
			SIPTAG_CONTACT_STR(contact),
			SIPTAG_EXPIRES_STR(expires),
			SIPTAG_ALLOW_STR(STACK_ALLOW),
			SIPTAG_SUPPORTED_STR("path"), NTATAG_PASS_100(1),
			TAG_IF(auth_line != NULL, SIPTAG_HEADER_STR(auth_line)),
			TAG_END());
	if (s->reg.orq == NULL) {
		failed(s, REASON_TRUNK_REGISTER_FAILED, "not sent");
		return;
	}
	s->reg_sent_us = clock_now_us();
	s->reg_heard = false;
	if (s->registration != REGISTRATION_UP &&
		s->registration != REGISTRATION_FAILED)
		s->registration = REGISTRATION_TRYING;
}

/* Another registrar may be there where this one is silent. */
static void give_up_silent(struct trunk_state *s, uint64_t now)
{
	if (s->reg.orq == NULL || s->reg_heard || s->n_places < 2 ||
		now < s->reg_sent_us + SILENCE_US)
		return;
	/* Its leg stays: the next one has the next number. */
	nta_outgoing_bind(s->reg.orq, NULL, NULL);
	s->reg.orq = NULL;
	failed(s, REASON_TRUNK_REGISTER_FAILED, "silent");
}

void trunk_register_tick(
	struct trunk_state *s, const struct trunk *t, uint64_t now)
{
	if (!t->row->enabled || !t->row->registers ||
		*t->row->register_user == '\0') {
		if (s->registration != REGISTRATION_NONE)
			trunk_register_drop(s);
		return;
	}
	give_up_silent(s, now);
	if (s->reg.orq != NULL || s->reg_query != NULL ||
		now < s->next_register_us || !s->where_known)
		return;
	s->reg_challenged = false;
	if (s->reg_expires_s < t->row->register_expires_s ||
		s->reg_expires_s == 0)
		s->reg_expires_s = t->row->register_expires_s != 0
					   ? t->row->register_expires_s
					   : EXPIRES_S;
	send_register(s, t, NULL);
}

/* --- for calls --- */

const char *trunk_route(
	struct trunks *trunks, uint32_t id, const struct addr *addr)
{
	const struct trunk_state *s = trunk_state_find(trunks, id);

	return s != NULL && s->registration == REGISTRATION_UP &&
			       s->reg_route != NULL &&
			       addr_equal(&s->registrar, addr)
		       ? s->reg_route
		       : "";
}

bool trunk_registrar(struct trunks *trunks, const struct trunk *t,
	struct addr *addr_out, const Gh__TrunkTarget **row_out)
{
	struct trunk_state *s = trunk_state_find(trunks, t->row->id);
	const struct trunk_place *p;

	if (s == NULL || s->registration != REGISTRATION_UP)
		return false;
	/* After a restart it is known before the names have been asked for. */
	if (!s->where_known && addr_is_set(&s->registrar) &&
		t->row->n_targets != 0) {
		*addr_out = s->registrar;
		*row_out = t->row->targets[0];
		return true;
	}
	p = trunk_where_registrar(s);
	if (p == NULL || p->down)
		return false;
	for (size_t i = 0; i < t->row->n_targets; i++) {
		if (strcmp(t->row->targets[i]->host, p->host) != 0 ||
			(Gh__Transport)t->row->targets[i]->transport !=
				p->transport)
			continue;
		*addr_out = p->addr;
		*row_out = t->row->targets[i];
		return true;
	}
	return false;
}
