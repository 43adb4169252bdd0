/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest without state: what an unproven request is answered, and which answers
 * are worth a question to authd. A challenge costs a hash and leaves nothing
 * behind; an answer with a nonce that is not fresh, not ours or not this
 * source's goes no further.
 *
 * Does not judge passwords (auth.c asks authd). Called by auth.c's users.
 *
 * RFC 7616 (digest), RFC 3261 22, RFC 8760 (several challenges).
 */
#include "sbc/auth_inner.h"

#include <sofia-sip/sip_header.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "sbc/sbc.h"

#define REALM_TEXT_SIZE (2 * AUTH_TEXT_SIZE)
#define CHALLENGE_SIZE  (REALM_TEXT_SIZE + 256)

/* -------------------------------------------------------------- challenge */

static const char *algorithm_text(Gh__Algorithm a)
{
	switch (a) {
	case GH__ALGORITHM__ALGORITHM_MD5:
		return "MD5";
	case GH__ALGORITHM__ALGORITHM_SHA256:
		return "SHA-256";
	case GH__ALGORITHM__ALGORITHM_SHA512_256:
		return "SHA-512-256";
	default:
		return NULL;
	}
}

static const char *qop_text(Gh__Qop q)
{
	switch (q) {
	case GH__QOP__QOP_AUTH:
		return "auth";
	case GH__QOP__QOP_AUTH_INT:
		return "auth-int";
	default:
		return NULL;
	}
}

/* Into a quoted-string. @return 0, or ERR_TOO_BIG. */
static int quote(const char *text, char *out, size_t size)
{
	size_t at = 0;

	for (; *text; text++) {
		if (at + 3 > size)
			return ERR_TOO_BIG;
		if (*text == '"' || *text == '\\')
			out[at++] = '\\';
		out[at++] = *text;
	}
	out[at] = '\0';
	return 0;
}

/* What goes into all challenges of one answer. */
struct challenge {
	char realm[REALM_TEXT_SIZE];
	char nonce[NONCE_TEXT_SIZE];
	Gh__DigestOffer **offers;
	size_t n_offers;
	Gh__DigestOffer *only; /* MD5, auth: where none is named */
	Gh__DigestOffer plain;
};

static int challenge_begin(const struct auth *auth, const struct realm *realm,
	const struct addr *source, struct challenge *c)
{
	gh__digest_offer__init(&c->plain);
	c->only = &c->plain;
	c->offers = realm->row->digest;
	c->n_offers = realm->row->n_digest;
	if (auth->n_offers > 0) {
		c->offers = auth->offers;
		c->n_offers = auth->n_offers;
	} else if (c->n_offers == 0) {
		c->offers = &c->only;
		c->n_offers = 1;
	}
	if (!auth->has_keys)
		return ERR_STATE;
	if (quote(realm->row->digest_realm, c->realm, sizeof(c->realm)) != 0)
		return ERR_TOO_BIG;
	return nonce_make(
		&auth->keys, realm->row->id, source, clock_now_us(), c->nonce);
}

/* @return whether it is one that we can name. */
static bool challenge_add(const struct challenge *c,
	const Gh__DigestOffer *offer, bool stale, struct writer *w)
{
	const char *algorithm = algorithm_text(offer->algorithm);
	const char *qop = qop_text(offer->qop);

	if (!algorithm || !qop)
		return false;
	writer_add(w,
		"Digest realm=\"%s\", nonce=\"%s\", algorithm=%s, qop=\"%s\"%s",
		c->realm, c->nonce, algorithm, qop,
		stale ? ", stale=true" : "");
	return true;
}

unsigned auth_challenge(struct auth *auth, const struct inbound *in, bool stale,
	su_home_t *home, const char *values[AUTH_OFFERS_MAX])
{
	struct challenge c;
	char text[CHALLENGE_SIZE];
	unsigned n = 0;

	if (challenge_begin(auth, in->realm, &in->source, &c) != 0)
		return 0;
	for (size_t i = 0; i < c.n_offers && n < AUTH_OFFERS_MAX; i++) {
		struct writer w;

		writer_init(&w, text, sizeof(text));
		if (!challenge_add(&c, c.offers[i], stale, &w) || w.over)
			continue;
		values[n] = su_strdup(home, text);
		if (values[n])
			n++;
	}
	return n;
}

unsigned auth_add_challenges(const struct auth *auth, const struct realm *realm,
	const struct addr *source, struct writer *w)
{
	static const char name[] = "WWW-Authenticate: ";
	struct challenge c;
	unsigned n = 0;

	if (challenge_begin(auth, realm, source, &c) != 0)
		return 0;
	for (size_t i = 0; i < c.n_offers && n < AUTH_OFFERS_MAX; i++) {
		size_t before = w->len;

		writer_add(w, "%s", name);
		if (!challenge_add(&c, c.offers[i], false, w)) {
			w->len = before;
			continue;
		}
		writer_add(w, "\r\n");
		n++;
	}
	return n;
}

static void no_challenge(
	struct auth *auth, struct inbound *in, nta_incoming_t *irq)
{
	struct stack *stack = auth->sbc->stack;
	char seconds[12];

	snprintf(seconds, sizeof(seconds), "%u", stack_retry_after_s(stack));
	if (irq)
		nta_incoming_treply(irq, 503, reason_sip_phrase(503),
			SIPTAG_RETRY_AFTER_STR(seconds), TAG_END());
	else if (!in->irq && !in->flow &&
		 in->sip->sip_request->rq_method == sip_method_register)
		stack_drop(stack, in, REASON_AUTH_AWAY);
	else
		stack_refuse(stack, in, REASON_AUTH_AWAY);
}

void auth_send_challenge(struct auth *auth, struct inbound *in,
	nta_incoming_t *irq, enum reason why)
{
	const char *v[AUTH_OFFERS_MAX] = {NULL};
	su_home_t *home = msg_home(in->msg);

	/* After a used count the password was right all the same: the phone
	 * tries again by itself and asks nobody (RFC 7616 3.3). */
	bool stale = why == REASON_AUTH_STALE || why == REASON_AUTH_REPLAY;

	if (auth_challenge(auth, in, stale, home, v) == 0) {
		no_challenge(auth, in, irq);
		return;
	}
	if (!irq) {
		stack_reply(auth->sbc->stack, in, why, 401,
			SIPTAG_WWW_AUTHENTICATE_STR(v[0]),
			TAG_IF(v[1], SIPTAG_WWW_AUTHENTICATE_STR(v[1])),
			TAG_IF(v[2], SIPTAG_WWW_AUTHENTICATE_STR(v[2])),
			TAG_END());
		return;
	}
	reason_count(why);
	nta_incoming_treply(irq, 401, reason_sip_phrase(401),
		SIPTAG_WWW_AUTHENTICATE_STR(v[0]),
		TAG_IF(v[1], SIPTAG_WWW_AUTHENTICATE_STR(v[1])),
		TAG_IF(v[2], SIPTAG_WWW_AUTHENTICATE_STR(v[2])), TAG_END());
}

/* --------------------------------------------------------------- precheck */

int auth_find_fields(const struct inbound *in, struct auth_fields *fields,
	enum reason *why_out)
{
	const sip_authorization_t *au = in->sip->sip_authorization;
	char realm[AUTH_TEXT_SIZE];

	*why_out = REASON_AUTH_MISSING;
	for (; au; au = au->au_next) {
		const char *const *params = (const char *const *)au->au_params;
		int err;

		if (!au->au_scheme || strcasecmp(au->au_scheme, "Digest") != 0)
			continue;
		err = auth_fields_realm(params, realm);
		if (err == ERR_INVALID)
			return ERR_INVALID;
		if (err == 0 &&
			strcmp(realm, in->realm->row->digest_realm) != 0) {
			*why_out = REASON_AUTH_REALM;
			continue;
		}
		return auth_fields_read(params, fields);
	}
	return ERR_NOT_FOUND;
}

Gh__AuthVerdict auth_precheck(
	struct auth *auth, const struct inbound *in, enum reason *why_out)
{
	struct auth_fields fields;
	int err = auth_find_fields(in, &fields, why_out);

	if (err == ERR_NOT_FOUND)
		return GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE;
	if (err != 0) {
		*why_out = REASON_AUTH_SYNTAX;
		return GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED;
	}
	*why_out = REASON_AUTH_AWAY;
	if (!auth->has_keys)
		return GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE;
	*why_out = nonce_check(&auth->keys, in->realm->row->id, &in->source,
		clock_now_us(), fields.nonce);
	if (*why_out == REASON_AUTH_STALE)
		return GH__AUTH_VERDICT__AUTH_VERDICT_STALE;
	if (*why_out != REASON_AUTH_OK)
		return GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE;
	return GH__AUTH_VERDICT__AUTH_VERDICT_OK;
}

bool auth_proves(struct auth *auth, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len)
{
	static const char key[] = "nonce=\"";
	const struct settings *s = auth->sbc->settings;
	const struct realm_address *at;
	char nonce[NONCE_TEXT_SIZE];
	const uint8_t *p = bytes;
	const uint8_t *end = bytes + len;

	at = s ? settings_listener(s, local, GH__TRANSPORT__TRANSPORT_UDP)
	       : NULL;
	if (!at || !auth->has_keys)
		return false;
	/* The first one that is not the tail of "cnonce". */
	for (;;) {
		p = memmem(p, (size_t)(end - p), key, sizeof(key) - 1);
		if (!p)
			return false;
		if (p > bytes && p[-1] != 'c' && p[-1] != 'C')
			break;
		p += sizeof(key) - 1;
	}
	p += sizeof(key) - 1;
	if ((size_t)(end - p) < NONCE_TEXT_LEN)
		return false;
	memcpy(nonce, p, NONCE_TEXT_LEN);
	nonce[NONCE_TEXT_LEN] = '\0';
	return nonce_check(&auth->keys, at->realm->row->id, source,
		       clock_now_us(), nonce) == REASON_AUTH_OK;
}
