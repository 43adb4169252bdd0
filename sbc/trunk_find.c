/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which trunk a request is from. Its source decides who may speak at all: the
 * trunk's networks, or, where the trunk says so, the addresses that its
 * targets' names lead to. Of several trunks behind one source the request
 * itself tells: the Contact that we registered there, then the called number,
 * then the domain; what nothing tells apart is the first one's.
 *
 * Nothing in a message makes a trunk of a source that is none. Called by
 * admit.c for each request outside a dialog, and by leg_source.c inside.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <sofia-sip/url.h>

#include "common/table.h"
#include "sbc/hdr.h"
#include "sbc/sbc.h"
#include "sbc/text.h"
#include "sbc/trunk_inner.h"

/* --- our Contact there --- */

const char *trunk_contact_user(const struct trunk *t)
{
	if (*t->row->contact_user != '\0')
		return t->row->contact_user;
	return t->row->registers ? t->row->register_user : NULL;
}

void trunk_token(const struct trunk *t, char text[TRUNK_TOKEN_SIZE])
{
	/* It tells trunks apart and keeps no secret: the source has to be an
	 * allowed one too. So it may be the same in every process. */
	static const uint8_t key[16] = "gatehouse trunk";
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	char what[160];
	int n = snprintf(what, sizeof what, "%u %s", (unsigned)t->row->id,
		t->row->register_user);
	uint64_t hash = table_siphash(key, what,
		n > 0 && (size_t)n < sizeof what ? (size_t)n : sizeof what - 1);

	for (size_t i = 0; i < TRUNK_TOKEN_SIZE - 1; i++, hash >>= 5)
		text[i] = digits[hash & 31];
	text[TRUNK_TOKEN_SIZE - 1] = '\0';
}

/* --- sources --- */

bool trunk_is_named_source(const struct trunks *trunks, const struct trunk *t,
	const struct addr *source, Gh__Transport transport)
{
	const struct trunk_state *s;

	if (trunks == NULL || !t->row->sources_by_name || !t->row->enabled)
		return false;
	TAILQ_FOREACH (s, &trunks->named, named_link) {
		if (s->id != t->row->id)
			continue;
		for (size_t i = 0; i < s->n_places; i++) {
			if (s->places[i]->is_name &&
				s->places[i]->transport == transport &&
				addr_equal_ip(&s->places[i]->addr, source))
				return true;
		}
	}
	return false;
}

size_t trunks_at(const struct sbc *sbc, const struct settings *set,
	const struct addr *source, const struct realm_address *listener,
	const struct trunk **found, size_t max)
{
	size_t n = settings_trunks_by_source(set, source, listener, found, max);
	const struct trunk_state *s;

	if (sbc->trunks == NULL)
		return n;
	TAILQ_FOREACH (s, &sbc->trunks->named, named_link) {
		const struct trunk *t = settings_trunk(set, s->id);
		bool known = t == NULL ||
			     t->row->realm != listener->realm->row->id ||
			     !trunk_is_named_source(sbc->trunks, t, source,
				     listener->row->transport);

		for (size_t i = 0; i < n && !known; i++)
			known = found[i] == t;
		if (!known && n < max)
			found[n++] = t;
	}
	return n;
}

bool trunk_may_send(const struct sbc *sbc, const struct trunk *t,
	const struct addr *source, const struct realm_address *listener)
{
	return trunk_accepts(t, source, listener) ||
	       (t->row->realm == listener->realm->row->id &&
		       trunk_is_named_source(sbc->trunks, t, source,
			       listener->row->transport));
}

/* --- which of them --- */

static const struct trunk *by_token(
	const url_t *uri, const struct trunk **found, size_t n)
{
	char have[64] = "", want[TRUNK_TOKEN_SIZE];
	const struct trunk *match = NULL;

	if (uri->url_params != NULL)
		(void)url_param(uri->url_params, "line", have, sizeof have);
	for (size_t i = 0; i < n && *have != '\0'; i++) {
		trunk_token(found[i], want);
		if (found[i]->row->registers && text_equal(have, want))
			return found[i];
	}
	/* Some keep the user part of a Contact only. */
	for (size_t i = 0; i < n && uri->url_user != NULL; i++) {
		const char *user = trunk_contact_user(found[i]);

		if (user == NULL || !found[i]->row->registers ||
			strcmp(user, uri->url_user) != 0)
			continue;
		if (match != NULL)
			return NULL;
		match = found[i];
	}
	return match;
}

/* The longest of its prefixes that the called number begins with, plus 1. */
static size_t prefix_of(const struct trunk *t, const sip_t *sip)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	char clean[ROUTE_NUMBER_SIZE], called[ROUTE_NUMBER_SIZE];
	const char *user;
	size_t best = 0;

	if (t->row->n_called_prefixes == 0)
		return 0;
	su_home_init(home);
	user = hdr_called_of(sip, t, home);
	if (user != NULL && number_clean(user, clean) == 0 &&
		number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED, clean,
			called) == 0) {
		for (size_t i = 0; i < t->row->n_called_prefixes; i++) {
			size_t len = strlen(t->row->called_prefixes[i]);

			if (len + 1 > best &&
				strncmp(called, t->row->called_prefixes[i],
					len) == 0)
				best = len + 1;
		}
	}
	su_home_deinit(home);
	return best;
}

static const struct trunk *by_number(
	const sip_t *sip, const struct trunk **found, size_t n)
{
	const struct trunk *match = NULL;
	size_t best = 0;

	for (size_t i = 0; i < n; i++) {
		size_t len = prefix_of(found[i], sip);

		if (len > best) {
			best = len;
			match = found[i];
		}
	}
	return match;
}

static bool is_host(const url_t *url, const char *host)
{
	const char *bracket = strrchr(host, ']');
	const char *colon = strchr(bracket != NULL ? bracket : host, ':');
	size_t len = colon != NULL ? (size_t)(colon - host) : strlen(host);

	return len != 0 && url->url_host != NULL &&
	       strlen(url->url_host) == len &&
	       strncasecmp(url->url_host, host, len) == 0;
}

static const struct trunk *by_domain(
	const sip_t *sip, const struct trunk **found, size_t n)
{
	const url_t *uri = sip->sip_request->rq_url;

	for (size_t i = 0; i < n; i++) {
		const Gh__Trunk *row = found[i]->row;

		if (is_host(uri, row->host) || is_host(uri, row->domain) ||
			is_host(sip->sip_to->a_url, row->domain) ||
			is_host(sip->sip_from->a_url, row->domain))
			return found[i];
	}
	return NULL;
}

const struct trunk *trunk_choose(
	const sip_t *sip, const struct trunk **found, size_t n)
{
	const struct trunk *t;

	if (n <= 1)
		return n != 0 ? found[0] : NULL;
	t = by_token(sip->sip_request->rq_url, found, n);
	if (t == NULL)
		t = by_number(sip, found, n);
	if (t == NULL)
		t = by_domain(sip, found, n);
	return t != NULL ? t : found[0];
}
