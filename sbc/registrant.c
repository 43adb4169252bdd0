/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See registrant.h: REGISTER, the answer to its challenge from authd, refresh
 * before the end, and retries that grow and are spread at random so that a
 * registrar that comes back is not met by all its customers in the same
 * second. Of several registrars the next is asked at once when one refuses or
 * is silent; the wait begins when all have been asked.
 *
 * Decides: when to register and what a registrar's answer means. Does not
 * decide where the registrar is (the owner), or whether a challenge gets an
 * answer (authd). RFC 3261 10.2, RFC 7616 3.3.
 */
#include "config.h"

#include "sbc/registrant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/clock.h"
#include "common/secret.h"
#include "sbc/sbc.h"
#include "sbc/trunk_inner.h"

#define EXPIRES_S     600u
#define EXPIRES_MAX_S 86400u
#define SHORTEST_S    4u /* between two of ours, whatever a registrar grants */
#define RETRY_S       5u
/* A registrar that is not the only one has so long for its answer. */
#define SILENCE_US    (5 * CLOCK_US_PER_S)
#define LOOK_US       (300 * CLOCK_US_PER_MS) /* until a place is known */
#define LOOKS         20u
/* Who is left has so long to say that it has heard. */
#define LEAVE_US      (4 * CLOCK_US_PER_S)

struct registrant_said {
	struct addr peer, local;
	Gh__Transport transport;
	uint64_t flow;
	const char *url, *contact, *aor; /* in text */
	char text[];
};

static void ask(struct registrant *r, const char *auth_line);

uint64_t registrant_spread(uint64_t us)
{
	uint32_t random;

	secret_random_bytes(&random, sizeof random);
	return us - us / 4 + random % (us / 4 + 1);
}

static void wake_in(struct registrant *r, uint64_t delay_us)
{
	r->next_us = clock_now_us() + delay_us;
	loop_timer_set(r->trunks->sbc->daemon.loop, r->timer, delay_us);
}

/* --- what was said --- */

static int say(struct registrant *r, const struct registrant_place *place)
{
	const char *domain = place->url + strlen("sip:");
	size_t url = strlen(place->url) + 1;
	size_t contact = strlen(place->contact) + sizeof "<>";
	size_t aor = strlen(place->user) + strlen(domain) + sizeof "<sip:@>";
	struct registrant_said *said =
		malloc(sizeof *said + url + contact + aor);

	if (said == NULL)
		return ERR_NOMEM;
	said->peer = place->target.addr;
	said->local = place->target.listener->local;
	said->transport = place->target.listener->transport;
	said->flow = place->target.flow;
	said->url = said->text;
	said->contact = said->text + url;
	said->aor = said->text + url + contact;
	snprintf(said->text, url, "%s", place->url);
	snprintf(said->text + url, contact, "<%s>", place->contact);
	snprintf(said->text + url + contact, aor, "<sip:%s@%s>", place->user,
		domain);
	free(r->said);
	r->said = said;
	return 0;
}

/* By which socket and connection it was said, if they are still there. */
static int said_target(const struct registrant *r, struct target *target_out)
{
	struct sbc *sbc = r->trunks->sbc;
	const struct realm_address *ra =
		r->said != NULL && sbc->settings != NULL
			? settings_listener(sbc->settings, &r->said->local,
				  r->said->transport)
			: NULL;

	*target_out = (struct target){
		.listener = ra != NULL ? stack_listener(sbc->stack, ra) : NULL};
	if (target_out->listener == NULL)
		return ERR_NOT_FOUND;
	target_out->addr = r->said->peer;
	if (transport_is_stream(r->said->transport) &&
		flow_find(sbc->flows, r->said->flow) != NULL)
		target_out->flow = r->said->flow;
	return 0;
}

/* --- what the registrar says --- */

static void abandon(struct registrant *r)
{
	trunk_auth_cancel(&r->query);
	/* Its leg stays: the next one has the next number. */
	if (r->request.orq != NULL)
		nta_outgoing_bind(r->request.orq, NULL, NULL);
	r->request.orq = NULL;
	r->challenged = false;
}

static void left(struct registrant *r)
{
	const uint32_t cseq = registrant_cseq(r);

	registrant_drop(r);
	r->names.cseq = cseq;
	r->kind->on_left(r);
}

static void failed(struct registrant *r, enum reason why, const char *data)
{
	uint64_t wait_s = RETRY_S;

	r->challenged = false;
	if (r->state == REGISTRATION_LEAVING) {
		left(r);
		return;
	}
	if (r->kind->next(r, why, data)) {
		wake_in(r, 0);
		return;
	}
	if (r->state != REGISTRATION_FAILED)
		r->kind->on_failed(r, why, data);
	r->state = REGISTRATION_FAILED;
	for (unsigned i = 0; i < r->failures && wait_s < r->kind->retry_max_s;
		i++)
		wait_s *= 2;
	if (wait_s > r->kind->retry_max_s)
		wait_s = r->kind->retry_max_s;
	r->failures++;
	wake_in(r, registrant_spread(wait_s * CLOCK_US_PER_S));
}

/* Seconds that a 2xx gives us; what we asked for if it does not say. */
static uint64_t granted(const sip_t *sip, uint32_t asked_s)
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
	return expires_s > EXPIRES_MAX_S ? EXPIRES_MAX_S : expires_s;
}

static void registered(struct registrant *r, const sip_t *sip)
{
	bool first = r->state != REGISTRATION_UP;
	uint64_t expires_s;

	if (r->state == REGISTRATION_LEAVING) {
		left(r);
		return;
	}
	expires_s = granted(sip, r->expires_s);
	if (expires_s == 0) {
		failed(r, r->kind->refused, "no time was granted");
		return;
	}
	r->until_us = clock_now_us() + expires_s * CLOCK_US_PER_S;
	/* Four fifths of it: never so late that it has run out. */
	expires_s = expires_s * 8 / 10;
	if (expires_s < SHORTEST_S)
		expires_s = SHORTEST_S;
	r->state = REGISTRATION_UP;
	r->failures = 0;
	r->challenged = false;
	wake_in(r, registrant_spread(expires_s * CLOCK_US_PER_S));
	r->kind->on_up(r, sip, first);
}

static void on_answer_made(void *ctx, const char *header, enum reason why)
{
	struct registrant *r = ctx;
	char line[1024];

	r->query = NULL;
	if (header == NULL)
		failed(r, why, "no answer to the challenge");
	else if (snprintf(line, sizeof line, "%s: %s",
			 r->proxy ? "Proxy-Authorization" : "Authorization",
			 header) >= (int)sizeof line)
		failed(r, REASON_AUTH_TRUNK_FAILED, "header too long");
	else
		ask(r, line);
}

static void challenged(struct registrant *r, const sip_t *sip)
{
	const msg_auth_t *au = sip->sip_www_authenticate;
	char text[1024];
	bool may;

	r->proxy = au == NULL;
	if (au == NULL)
		au = sip->sip_proxy_authenticate;
	/* Once, and once more if only the nonce was too old. */
	may = au != NULL &&
	      (!r->challenged || (!r->stale && trunk_challenge_is_stale(au)));
	r->stale = r->challenged;
	r->challenged = true;
	if (!may || trunk_challenge_text(au, text, sizeof text) != 0)
		failed(r, r->kind->refused, "challenged again");
	else if (trunk_auth_ask(r->trunks, r->trunk, &r->said->peer, text,
			 "REGISTER", r->said->url, r->account, on_answer_made,
			 r, &r->query) != 0)
		failed(r, REASON_AUTH_AWAY, "authd is away");
}

/* May free r. */
static void take_answer(struct registrant *r, unsigned status, const sip_t *sip)
{
	const sip_min_expires_t *min =
		sip != NULL ? sip->sip_min_expires : NULL;
	char text[16];

	if (status < 300) {
		registered(r, sip);
		return;
	}
	if (status == 401 || status == 407) {
		challenged(r, sip);
		return;
	}
	if (status == 423 && r->state != REGISTRATION_LEAVING && min != NULL &&
		min->me_delta <= EXPIRES_MAX_S &&
		min->me_delta > r->expires_s) {
		r->expires_s = (uint32_t)min->me_delta;
		r->challenged = false;
		ask(r, NULL);
		return;
	}
	/* A number that it thinks too low (RFC 3261 10.3): as somebody new. */
	if (status == 500) {
		trunk_request_drop(&r->request);
		memset(&r->names, 0, sizeof r->names);
	}
	snprintf(text, sizeof text, "%u", status);
	failed(r, r->kind->refused, text);
}

static int on_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct registrant *r = (struct registrant *)magic;
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;

	r->heard = true;
	if (status < 200)
		return 0;
	r->request.orq = NULL;
	nta_outgoing_bind(orq, NULL, NULL);
	take_answer(r, status, sip);
	nta_outgoing_destroy(orq);
	return 0;
}

/* --- what we say --- */

static bool send_register(struct registrant *r, const struct target *target,
	uint32_t expires_s, const char *auth_line)
{
	char hop[STACK_URL_SIZE], expires[12];

	snprintf(expires, sizeof expires, "%u", (unsigned)expires_s);
	if (r->request.leg == NULL)
		r->request.leg = trunk_make_leg(
			r->trunks, r->said->aor, r->said->aor, &r->names);
	if (r->request.leg == NULL)
		return false;
	r->request.orq = nta_outgoing_tcreate(r->request.leg, on_answer,
		(nta_outgoing_magic_t *)r,
		URL_STRING_MAKE(stack_next_hop(
			r->trunks->sbc->stack, target, hop, sizeof hop)),
		SIP_METHOD_REGISTER, URL_STRING_MAKE(r->said->url),
		TPTAG_IDENT(target->listener->ident),
		SIPTAG_CONTACT_STR(r->said->contact),
		SIPTAG_EXPIRES_STR(expires), SIPTAG_ALLOW_STR(STACK_ALLOW),
		TAG_IF(r->kind->path, SIPTAG_SUPPORTED_STR("path")),
		NTATAG_PASS_100(1),
		TAG_IF(auth_line != NULL, SIPTAG_HEADER_STR(auth_line)),
		TAG_END());
	r->sent_us = clock_now_us();
	r->heard = false;
	if (r->request.orq != NULL && r->kind->on_asked != NULL)
		r->kind->on_asked(r);
	return r->request.orq != NULL;
}

static void ask_to_leave(struct registrant *r, const char *auth_line)
{
	struct target target;

	if (said_target(r, &target) != 0 ||
		!send_register(r, &target, 0, auth_line))
		left(r);
}

/* May free r. */
static void ask(struct registrant *r, const char *auth_line)
{
	struct registrant_place place;
	int err;

	if (r->state == REGISTRATION_LEAVING) {
		ask_to_leave(r, auth_line);
		return;
	}
	err = r->trunks->sbc->settings != NULL ? r->kind->where(r, &place)
					       : ERR_AGAIN;
	/* Without settings there is nobody who waits. */
	if (err == ERR_AGAIN &&
		(r->trunks->sbc->settings == NULL || ++r->looks < LOOKS)) {
		wake_in(r, LOOK_US);
		return;
	}
	r->looks = 0;
	if (err != 0 || say(r, &place) != 0) {
		failed(r, r->kind->refused, "no usable address");
		return;
	}
	if (!send_register(r, &place.target, r->expires_s, auth_line)) {
		failed(r, r->kind->refused, "not sent");
		return;
	}
	if (place.has_others)
		wake_in(r, SILENCE_US);
}

static void on_timer(void *arg)
{
	struct registrant *r = arg;

	if (r->state == REGISTRATION_LEAVING) {
		if (r->sent_us != 0) {
			left(r);
			return;
		}
		wake_in(r, LEAVE_US);
		ask(r, NULL);
		return;
	}
	if (r->query != NULL)
		return;
	if (r->request.orq == NULL) {
		r->challenged = false;
		ask(r, NULL);
	} else if (!r->heard && clock_now_us() >= r->sent_us + SILENCE_US) {
		/* Another registrar may be there where this one is silent. */
		abandon(r);
		failed(r, r->kind->refused, "silent");
	}
}

/* --- from the owner --- */

int registrant_init(struct registrant *r, const struct registrant_kind *kind,
	struct trunks *trunks, uint32_t trunk, uint64_t account)
{
	r->kind = kind;
	r->trunks = trunks;
	r->trunk = trunk;
	r->account = account;
	return loop_timer_new(trunks->sbc->daemon.loop, on_timer, r, &r->timer);
}

void registrant_done(struct registrant *r)
{
	if (r->trunks == NULL)
		return;
	registrant_drop(r);
	loop_timer_free(r->trunks->sbc->daemon.loop, &r->timer);
}

void registrant_start(
	struct registrant *r, uint32_t expires_s, uint64_t delay_us)
{
	if (expires_s == 0)
		expires_s = EXPIRES_S;
	if (r->expires_s < expires_s)
		r->expires_s = expires_s;
	/* An answer under way is to what is wanted no more. */
	if (r->state == REGISTRATION_LEAVING)
		abandon(r);
	r->state = REGISTRATION_TRYING;
	r->looks = 0;
	wake_in(r, delay_us);
}

void registrant_resume(struct registrant *r)
{
	uint64_t now = clock_now_us();

	if (r->state == REGISTRATION_UP)
		r->until_us = UINT64_MAX;
	wake_in(r, r->next_us > now ? r->next_us - now : 0);
}

void registrant_note(struct registrant *r)
{
	struct registrant_place place;

	if (r->state == REGISTRATION_UP && r->said == NULL &&
		r->trunks->sbc->settings != NULL &&
		r->kind->where(r, &place) == 0)
		(void)say(r, &place);
}

void registrant_wake(struct registrant *r)
{
	if (r->state != REGISTRATION_NONE && r->state != REGISTRATION_LEAVING &&
		r->request.orq == NULL && r->query == NULL)
		wake_in(r, 0);
}

bool registrant_leave(struct registrant *r, uint64_t delay_us)
{
	bool is_there = r->state == REGISTRATION_LEAVING ||
			r->until_us > clock_now_us() || r->request.orq != NULL;

	if (r->said == NULL || !is_there) {
		registrant_drop(r);
		return false;
	}
	if (r->state == REGISTRATION_LEAVING)
		return true;
	abandon(r);
	r->state = REGISTRATION_LEAVING;
	r->sent_us = 0;
	wake_in(r, delay_us);
	return true;
}

void registrant_drop(struct registrant *r)
{
	trunk_auth_cancel(&r->query);
	trunk_request_drop(&r->request);
	loop_timer_stop(r->trunks->sbc->daemon.loop, r->timer);
	free(r->said);
	r->said = NULL;
	r->state = REGISTRATION_NONE;
	r->until_us = 0;
	r->failures = 0;
	r->expires_s = 0;
	r->challenged = false;
	memset(&r->names, 0, sizeof r->names);
}

uint32_t registrant_cseq(const struct registrant *r)
{
	return r->request.leg != NULL ? nta_leg_get_seq(r->request.leg)
				      : r->names.cseq;
}
