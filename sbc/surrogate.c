/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One registration per account at its PBX (RFC 3261 10.2):
 *
 *	waits -> asks -> (challenge, authd) -> registered -> asks again in time
 *	  ^                  |                     |
 *	  +----- failed -----+      the last contact goes: Expires: 0, forgotten
 *
 * The Call-ID is made from the account and the trunk and the number from the
 * clock, so a new process goes on with the registration of the one before it
 * and needs no record: the contacts that it got back say what has to be there.
 * Many that begin at once are paced.
 *
 * Decides: when an extension is registered. Does not decide where its calls
 * go: the PBX's INVITE is for an extension like any other (route.c). Called by
 * bindings; the trunk's addresses come from trunk_where.c.
 */
#include "config.h"

#include "sbc/surrogate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/trunk_inner.h"

#define SURROGATES_MAX 100000u
#define EXPIRES_S      600u
#define EXPIRES_MAX_S  86400u
#define PLACE_US       (300 * CLOCK_US_PER_MS) /* until addresses are known */
#define PLACE_LOOKS    20u
#define PACE_US        (2 * CLOCK_US_PER_MS) /* between two that begin */
#define RETRY_S        5u
#define RETRY_MAX_S    300u

enum surrogate_phase {
	PHASE_WAITS,
	PHASE_UP,
	PHASE_FAILED,
	PHASE_ENDING,
	PHASE_COUNT,
};

struct surrogate {
	struct table_node node;
	struct surrogates *all;
	uint64_t account;
	uint32_t trunk;
	enum surrogate_phase phase;
	char extension[24];
	struct trunk_names names;
	struct trunk_request reg;
	struct trunk_auth_query *query;
	bool proxy;      /* 407 */
	bool challenged; /* the present try answered a challenge */
	bool stale;      /* ... and another, to a newer nonce */
	size_t place;    /* of the trunk's, modulo their number */
	uint32_t expires_s;
	unsigned failures; /* in a row */
	unsigned looks;    /* for an address of the PBX, in vain */
	struct loop_timer *timer;
};

struct surrogates {
	struct trunks *trunks;
	struct sbc *sbc;
	struct table table;
	uint64_t next_us; /* when the next one may begin */
};

static void ask(struct surrogate *s, const char *auth_line);

static struct surrogate *find(const struct surrogates *all, uint64_t account)
{
	struct table_node *node =
		table_find(&all->table, &account, sizeof account);

	return node != NULL ? TABLE_ENTRY(node, struct surrogate, node) : NULL;
}

const char *surrogate_state(const struct surrogates *all, uint64_t id)
{
	static const char *const names[] = {
		[PHASE_WAITS] = "trying",
		[PHASE_UP] = "registered",
		[PHASE_FAILED] = "failed",
		[PHASE_ENDING] = "ending",
	};
	_Static_assert(sizeof names / sizeof *names == PHASE_COUNT,
		"a name per phase");
	const struct surrogate *s = all != NULL ? find(all, id) : NULL;

	return s != NULL ? names[s->phase] : NULL;
}

static void surrogate_free(struct surrogate *s)
{
	struct trunk_state *at = trunk_state_find(s->all->trunks, s->trunk);

	if (at != NULL && at->n_surrogates != 0)
		at->n_surrogates--;
	trunk_auth_cancel(&s->query);
	trunk_request_drop(&s->reg);
	loop_timer_free(s->all->sbc->daemon.loop, &s->timer);
	table_remove(&s->all->table, &s->node);
	free(s);
}

static void wake_in(struct surrogate *s, uint64_t delay_us)
{
	loop_timer_set(s->all->sbc->daemon.loop, s->timer, delay_us);
}

static void tell(struct surrogate *s, enum reason why, const char *data)
{
	Gh__Event event = GH__EVENT__INIT;

	reason_count(why);
	log_info("surrogate", LOG_STR("extension", s->extension),
		LOG_UINT("trunk", s->trunk),
		LOG_STR("reason", reason_text(why)), LOG_STR("data", data));
	event.wall_us = clock_wall_us();
	event.reason = reason_number(why);
	event.trunk = s->trunk;
	event.account = s->account;
	event.data = (char *)(uintptr_t)data;
	cdr_event(s->all->sbc->cdrs, &event);
}

/* --- what the PBX says --- */

static void failed(struct surrogate *s, enum reason why, const char *data)
{
	uint64_t wait_s = RETRY_S;

	s->challenged = false;
	if (s->phase == PHASE_ENDING) {
		surrogate_free(s);
		return;
	}
	if (s->phase != PHASE_FAILED)
		tell(s, why, data);
	s->phase = PHASE_FAILED;
	for (unsigned i = 0; i < s->failures && wait_s < RETRY_MAX_S; i++)
		wait_s *= 2;
	if (wait_s > RETRY_MAX_S)
		wait_s = RETRY_MAX_S;
	s->failures++;
	s->place++;
	wake_in(s, trunk_spread(wait_s * CLOCK_US_PER_S));
}

static void registered(struct surrogate *s, const sip_t *sip)
{
	uint64_t granted_s;

	if (s->phase == PHASE_ENDING) {
		tell(s, REASON_SURROGATE_ENDED, "");
		surrogate_free(s);
		return;
	}
	granted_s = trunk_granted(sip, s->expires_s);
	if (granted_s == 0) {
		failed(s, REASON_SURROGATE_FAILED, "no time was granted");
		return;
	}
	if (s->phase != PHASE_UP)
		tell(s, REASON_SURROGATE_REGISTERED, "");
	s->phase = PHASE_UP;
	s->failures = 0;
	s->challenged = false;
	wake_in(s, trunk_spread(granted_s * CLOCK_US_PER_S * 8 / 10));
}

static void on_answer_made(void *ctx, const char *header, enum reason why)
{
	struct surrogate *s = ctx;
	char line[1024];

	s->query = NULL;
	if (header == NULL)
		failed(s, why, "no answer to the challenge");
	else if (snprintf(line, sizeof line, "%s: %s",
			 s->proxy ? "Proxy-Authorization" : "Authorization",
			 header) >= (int)sizeof line)
		failed(s, REASON_AUTH_TRUNK_FAILED, "header too long");
	else
		ask(s, line);
}

/* @return the PBX's address in use, or NULL. */
static const struct trunk_place *place_of(const struct surrogate *s)
{
	const struct trunk_state *at =
		trunk_state_find(s->all->trunks, s->trunk);

	return at != NULL && at->n_places != 0
		       ? at->places[s->place % at->n_places]
		       : NULL;
}

static void challenged(struct surrogate *s, const sip_t *sip)
{
	const struct trunk *t = settings_trunk(s->all->sbc->settings, s->trunk);
	const msg_auth_t *au = sip->sip_www_authenticate;
	char text[1024], url[STACK_URL_SIZE];
	struct target target;
	bool may;

	s->proxy = au == NULL;
	if (au == NULL)
		au = sip->sip_proxy_authenticate;
	may = au != NULL &&
	      (!s->challenged || (!s->stale && trunk_challenge_is_stale(au)));
	s->stale = s->challenged;
	s->challenged = true;
	if (!may || t == NULL ||
		trunk_target_of(s->all->sbc, t, place_of(s), &target, url) !=
			0 ||
		trunk_challenge_text(au, text, sizeof text) != 0)
		failed(s, REASON_SURROGATE_FAILED, "challenged again");
	else if (trunk_auth_ask(s->all->trunks, t, &target.addr, text,
			 "REGISTER", url, s->account, on_answer_made, s,
			 &s->query) != 0)
		failed(s, REASON_AUTH_AWAY, "authd is away");
}

static int on_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct surrogate *s = (struct surrogate *)magic;
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	char text[16];

	if (status < 200)
		return 0;
	s->reg.orq = NULL;
	nta_outgoing_bind(orq, NULL, NULL);
	snprintf(text, sizeof text, "%u", status);
	if (status < 300) {
		registered(s, sip);
	} else if (status == 401 || status == 407) {
		challenged(s, sip);
	} else if (status == 423 && sip->sip_min_expires != NULL &&
		   sip->sip_min_expires->me_delta <= EXPIRES_MAX_S &&
		   sip->sip_min_expires->me_delta > s->expires_s) {
		s->expires_s = (uint32_t)sip->sip_min_expires->me_delta;
		s->challenged = false;
		ask(s, NULL);
	} else {
		/* A number that the PBX thinks too low (RFC 3261 10.3): as
		 * somebody new. */
		if (status == 500) {
			trunk_request_drop(&s->reg);
			memset(&s->names, 0, sizeof s->names);
		}
		failed(s, REASON_SURROGATE_FAILED, text);
	}
	nta_outgoing_destroy(orq);
	return 0;
}

/* --- what we say --- */

static void send_register(struct surrogate *s, const struct target *target,
	const char *url, const char *contact, const char *auth_line)
{
	struct sbc *sbc = s->all->sbc;
	struct trunk_state *at = trunk_state_find(s->all->trunks, s->trunk);
	char hop[STACK_URL_SIZE], aor[STACK_URL_SIZE + 80], expires[12];
	bool ends = s->phase == PHASE_ENDING;

	/* url is "sip:domain". */
	snprintf(aor, sizeof aor, "<sip:%s@%s>", s->extension,
		url + strlen("sip:"));
	snprintf(expires, sizeof expires, "%u",
		ends ? 0u : (unsigned)s->expires_s);
	if (s->reg.leg == NULL)
		s->reg.leg = trunk_make_leg(at, aor, aor, &s->names);
	if (s->reg.leg != NULL)
		s->reg.orq = nta_outgoing_tcreate(s->reg.leg, on_answer,
			(nta_outgoing_magic_t *)s,
			URL_STRING_MAKE(stack_next_hop(
				sbc->stack, target, hop, sizeof hop)),
			SIP_METHOD_REGISTER, URL_STRING_MAKE(url),
			TPTAG_IDENT(target->listener->ident),
			SIPTAG_CONTACT_STR(contact),
			SIPTAG_EXPIRES_STR(expires),
			SIPTAG_ALLOW_STR(STACK_ALLOW),
			TAG_IF(auth_line != NULL, SIPTAG_HEADER_STR(auth_line)),
			TAG_END());
	if (s->reg.orq == NULL)
		failed(s, REASON_SURROGATE_FAILED, "not sent");
}

/* May free s. */
static void ask(struct surrogate *s, const char *auth_line)
{
	struct sbc *sbc = s->all->sbc;
	const struct trunk *t = settings_trunk(sbc->settings, s->trunk);
	const struct trunk_place *place = place_of(s);
	char url[STACK_URL_SIZE], ours[STACK_URL_SIZE];
	char user[3 * sizeof s->extension], contact[STACK_URL_SIZE + 2];
	struct target target;
	size_t n = 0;

	if (t == NULL || !t->row->enabled ||
		t->realm->row->zone != GH__ZONE__ZONE_INSIDE) {
		surrogate_free(s);
		return;
	}
	if (place == NULL) {
		if (++s->looks < PLACE_LOOKS)
			wake_in(s, PLACE_US);
		else
			failed(s, REASON_SURROGATE_FAILED, "no address");
		return;
	}
	s->looks = 0;
	for (const char *c = s->extension; *c != '\0'; c++)
		n += (size_t)snprintf(user + n, sizeof user - n,
			*c == '#' ? "%%23" : "%c", *c);
	if (trunk_target_of(sbc, t, place, &target, url) != 0 ||
		trunk_contact_as(t, target.listener, user, ours, sizeof ours) !=
			0) {
		failed(s, REASON_SURROGATE_FAILED, "no usable address");
		return;
	}
	snprintf(contact, sizeof contact, "<%s>", ours);
	send_register(s, &target, url, contact, auth_line);
}

static void on_timer(void *arg)
{
	struct surrogate *s = arg;

	if (s->reg.orq == NULL && s->query == NULL)
		ask(s, NULL);
}

/* --- when --- */

static void end(struct surrogate *s)
{
	if (s->phase == PHASE_ENDING)
		return;
	if (s->phase != PHASE_UP) {
		surrogate_free(s);
		return;
	}
	/* An answer under way is to what is wanted no more. */
	trunk_auth_cancel(&s->query);
	if (s->reg.orq != NULL)
		nta_outgoing_bind(s->reg.orq, NULL, NULL);
	s->reg.orq = NULL;
	s->phase = PHASE_ENDING;
	s->challenged = false;
	wake_in(s, 0);
}

/* The same for the same extension in every process. */
static void make_names(struct surrogate *s)
{
	static const uint8_t key[16] = "gatehouse extn.";
	char what[64];
	int n = snprintf(what, sizeof what, "%llu %u",
		(unsigned long long)s->account, (unsigned)s->trunk);

	snprintf(s->names.call_id, sizeof s->names.call_id, "w0-r%016llx",
		(unsigned long long)table_siphash(key, what, (size_t)n));
	ident_make_random(s->names.tag, sizeof s->names.tag - 1);
	/* Faster than we ever ask, also between two starts; it is back at 0
	 * after a year. */
	s->names.cseq = (uint32_t)(clock_wall_us() / (CLOCK_US_PER_S / 64)) &
			0x7fffffff;
}

static void begin(struct surrogates *all, const Gh__Account *row)
{
	const struct trunk *t =
		settings_trunk(all->sbc->settings, row->surrogate_trunk);
	struct trunk_state *at;
	uint64_t now = clock_now_us();
	struct surrogate *s;

	if (t == NULL || strlen(row->extension) >= sizeof s->extension)
		return;
	at = trunk_state_make(all->trunks, t->row->id);
	s = at != NULL ? calloc(1, sizeof *s) : NULL;
	if (s == NULL)
		return;
	s->all = all;
	s->account = row->id;
	s->trunk = t->row->id;
	snprintf(s->extension, sizeof s->extension, "%s", row->extension);
	s->expires_s = t->row->register_expires_s != 0
			       ? t->row->register_expires_s
			       : EXPIRES_S;
	make_names(s);
	if (loop_timer_new(all->sbc->daemon.loop, on_timer, s, &s->timer) !=
		0) {
		free(s);
		return;
	}
	if (table_add(&all->table, &s->node, &s->account, sizeof s->account) !=
		0) {
		loop_timer_free(all->sbc->daemon.loop, &s->timer);
		free(s);
		return;
	}
	at->n_surrogates++;
	if (at->n_surrogates == 1)
		trunks_wake(all->trunks);
	if (all->next_us < now)
		all->next_us = now;
	wake_in(s, all->next_us - now);
	all->next_us += PACE_US;
}

void surrogates_on_bindings(
	void *ctx, uint64_t id, const struct account *account)
{
	struct surrogates *all = ctx;
	struct surrogate *s = find(all, id);
	const Gh__Account *row = account != NULL ? account->row : NULL;
	bool wanted = row != NULL && row->enabled && row->surrogate &&
		      row->surrogate_trunk != 0;

	if (all->sbc->settings == NULL)
		return;
	if (s != NULL && (!wanted || s->trunk != row->surrogate_trunk ||
				 strcmp(s->extension, row->extension) != 0)) {
		end(s);
		s = find(all, id);
	}
	if (!wanted)
		return;
	if (s == NULL) {
		begin(all, row);
	} else if (s->phase == PHASE_ENDING &&
		   s->trunk == row->surrogate_trunk &&
		   strcmp(s->extension, row->extension) == 0) {
		/* The phone came back before the PBX knew that it had gone. */
		trunk_auth_cancel(&s->query);
		if (s->reg.orq != NULL)
			nta_outgoing_bind(s->reg.orq, NULL, NULL);
		s->reg.orq = NULL;
		s->phase = PHASE_WAITS;
		s->challenged = false;
		wake_in(s, 0);
	}
}

/* --- life, death --- */

int surrogates_new(struct trunks *trunks, struct surrogates **surrogates_out)
{
	struct surrogates *all = calloc(1, sizeof *all);

	if (all == NULL)
		return ERR_NOMEM;
	all->trunks = trunks;
	all->sbc = trunks->sbc;
	if (table_init(&all->table, SURROGATES_MAX) != 0) {
		free(all);
		return ERR_NOMEM;
	}
	*surrogates_out = all;
	return 0;
}

void surrogates_free(struct surrogates **ref)
{
	struct surrogates *all = *ref;
	struct table_node *node;
	size_t bucket = 0;

	if (all == NULL)
		return;
	*ref = NULL;
	node = table_next(&all->table, &bucket, NULL);
	while (node != NULL) {
		struct surrogate *s = TABLE_ENTRY(node, struct surrogate, node);

		node = table_next(&all->table, &bucket, node);
		surrogate_free(s);
	}
	table_done(&all->table);
	free(all);
}
