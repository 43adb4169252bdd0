/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration at a trunk that wants it (RFC 3261 10.2): REGISTER, the answer
 * to its challenge from authd, refresh before the end, and retries that grow
 * and are spread at random so that a registrar that comes back is not met by
 * all its customers in the same second.
 *
 * Decides: when to register and what a registrar's answer means. authd decides
 * whether the challenge gets an answer. Called by trunk.c's clock.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/sbc.h"
#include "sbc/trunk_inner.h"

#define EXPIRES_S     600u
#define EXPIRES_MAX_S 86400u
#define RETRY_S       5u
#define RETRY_MAX_S   600u

static void send_register(
	struct trunk_state *s, const struct trunk *t, const char *auth_line);

void trunk_register_drop(struct trunk_state *s)
{
	trunk_auth_cancel(&s->reg_query);
	trunk_request_drop(&s->reg);
	s->registration = REGISTRATION_NONE;
}

static const char *trunk_name(const struct trunk_state *s)
{
	const struct trunk *t = settings_trunk(s->trunks->sbc->settings, s->id);

	return t != NULL ? t->row->name : "?";
}

static uint64_t spread(uint64_t us)
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

	if (s->registration != REGISTRATION_FAILED)
		tell(s, why, data);
	s->registration = REGISTRATION_FAILED;
	for (unsigned i = 0; i < s->reg_failures && wait_s < RETRY_MAX_S; i++)
		wait_s *= 2;
	if (wait_s > RETRY_MAX_S)
		wait_s = RETRY_MAX_S;
	s->reg_failures++;
	trunk_where_next_registrar(s);
	s->next_register_us = clock_now_us() + spread(wait_s * CLOCK_US_PER_S);
}

static void registered(struct trunk_state *s, const sip_t *sip)
{
	uint64_t expires_s = s->reg_expires_s;
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
	if (expires_s < 30)
		expires_s = 30;
	if (expires_s > EXPIRES_MAX_S)
		expires_s = EXPIRES_MAX_S;
	if (s->registration != REGISTRATION_UP)
		tell(s, REASON_TRUNK_REGISTERED, "");
	s->registration = REGISTRATION_UP;
	s->reg_failures = 0;
	s->next_register_us =
		clock_now_us() + spread(expires_s * 8 / 10 * CLOCK_US_PER_S);
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
	if (s->reg_challenged || au == NULL || t == NULL ||
		trunk_target_of(s->trunks->sbc, t, trunk_where_registrar(s),
			&target, url) != 0 ||
		trunk_challenge_text(au, text, sizeof text) != 0) {
		failed(s, REASON_TRUNK_REGISTER_FAILED, "challenged again");
		return;
	}
	s->reg_challenged = true;
	if (trunk_auth_ask(s->trunks, t, &target.addr, text, "REGISTER", url,
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
		s->reg_expires_s = (uint32_t)sip->sip_min_expires->me_delta;
		s->next_register_us = 0;
		s->registration = REGISTRATION_FAILED;
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
			URL_STRING_MAKE(
				stack_next_hop(s->trunks->sbc->stack,
					&target, hop, sizeof hop)),
			SIP_METHOD_REGISTER, URL_STRING_MAKE(url),
			TPTAG_IDENT(target.listener->ident),
			SIPTAG_CONTACT_STR(contact),
			SIPTAG_EXPIRES_STR(expires),
			SIPTAG_ALLOW_STR(STACK_ALLOW),
			TAG_IF(auth_line != NULL, SIPTAG_HEADER_STR(auth_line)),
			TAG_END());
	if (s->reg.orq == NULL) {
		failed(s, REASON_TRUNK_REGISTER_FAILED, "not sent");
		return;
	}
	if (s->registration != REGISTRATION_UP)
		s->registration = REGISTRATION_TRYING;
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
