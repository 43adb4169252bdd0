// SPDX-License-Identifier: Apache-2.0
/*
 * Who calls and who is called: read from a trunk's request as its policy says,
 * and written towards a side as that side's policy says. For a phone the
 * account is the identity, so nothing of its request is read here. Whether a
 * caller wants to be hidden is decided by Privacy (RFC 3323) and by an
 * anonymous From; a hidden caller's number reaches a trunk only in a header of
 * the trusted kind (RFC 3325), and a phone never.
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>
#include <sofia-sip/url.h>

#include "sbc/hdr_part.h"

#define ANONYMOUS "\"Anonymous\" <sip:anonymous@anonymous.invalid>"

/** User parts with which networks say that they may not say. */
static bool is_anonymous(const char *user, const char *host)
{
	static const char *const users[] = {"anonymous", "restricted",
		"unavailable", "unknown", "private", "withheld"};

	if (host && text_equal(host, "anonymous.invalid"))
		return true;
	for (size_t i = 0; user && i < sizeof(users) / sizeof(users[0]); i++)
		if (text_equal(user, users[i]))
			return true;
	return false;
}

/** Privacy: id, user, header, full; "none" takes nothing back. */
static bool wants_privacy(const sip_t *sip)
{
	static const char *const words[] = {"id", "user", "header", "full"};
	const msg_param_t *value;

	if (!sip->sip_privacy)
		return false;
	for (value = sip->sip_privacy->priv_values; value && *value; value++)
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (text_equal(*value, words[i]))
				return true;
	return false;
}

/** The first sip, sips or tel URI of a header that may hold several. */
static bool find_identity(
	const sip_t *sip, const char *name, struct hdr_addr *addr_out)
{
	const sip_unknown_t *at = NULL;
	const char *value;
	struct span user;

	while ((value = hdr_unknown(sip, name, &at)) != NULL) {
		struct span rest = span_of(value);

		while (hdr_addr_next(&rest, addr_out))
			if (hdr_uri_user(addr_out->uri, &user))
				return true;
	}
	return false;
}

static const char *clean_number(const char *user, su_home_t *home)
{
	char number[ROUTE_NUMBER_SIZE];

	return number_clean(user, number) ? NULL : su_strdup(home, number);
}

static int caller_of_from(
	const sip_t *sip, su_home_t *home, struct hdr_identity *out)
{
	const url_t *url = sip->sip_from->a_url;

	out->number = out->display = "";
	if (!url->url_user || is_anonymous(url->url_user, url->url_host)) {
		out->hide = out->hide || url->url_user;
		return 0;
	}
	out->number = clean_number(url->url_user, home);
	out->display = hdr_display(sip->sip_from->a_display, home);
	return out->number ? 0 : ERR_INVALID;
}

static int caller_of_addr(const struct hdr_addr *addr, const sip_t *sip,
	su_home_t *home, struct hdr_identity *out)
{
	const url_t *from = sip->sip_from->a_url;
	char user_text[256], display[1024];
	struct span user;

	out->number = out->display = "";
	if (!hdr_uri_user(addr->uri, &user) ||
		span_copy(user, user_text, sizeof(user_text)))
		return ERR_INVALID;
	if (is_anonymous(user_text, NULL)) {
		out->hide = true;
		return 0;
	}
	if (is_anonymous(from->url_user, from->url_host))
		out->hide = true;
	out->number = clean_number(user_text, home);
	if (!span_copy(addr->display, display, sizeof(display)))
		out->display = hdr_display(display, home);
	/* Most networks leave the name in From alone. */
	if (!*out->display && !out->hide)
		out->display = hdr_display(sip->sip_from->a_display, home);
	return out->number ? 0 : ERR_INVALID;
}

int hdr_caller_of(const sip_t *sip, const struct trunk *trunk, su_home_t *home,
	struct hdr_identity *identity_out)
{
	struct hdr_identity identity = {.hide = wants_privacy(sip)};
	struct hdr_addr addr;
	const char *name = NULL;
	int err;

	if (!sip->sip_from)
		return ERR_INVALID;
	if (trunk->row->caller_from == GH__CALLER_FROM__CALLER_P_ASSERTED)
		name = "P-Asserted-Identity";
	else if (trunk->row->caller_from == GH__CALLER_FROM__CALLER_P_PREFERRED)
		name = "P-Preferred-Identity";
	if (name && find_identity(sip, name, &addr))
		err = caller_of_addr(&addr, sip, home, &identity);
	else
		err = caller_of_from(sip, home, &identity);
	if (err)
		return err;
	*identity_out = identity;
	return 0;
}

static const char *request_user(const sip_t *sip)
{
	return sip->sip_request ? sip->sip_request->rq_url->url_user : NULL;
}

static const char *own_user(const struct trunk *trunk)
{
	return *trunk->row->contact_user ? trunk->row->contact_user
					 : trunk->row->register_user;
}

const char *hdr_called_of(
	const sip_t *sip, const struct trunk *trunk, su_home_t *home)
{
	Gh__CalledFrom from = trunk ? trunk->row->called_from
				    : GH__CALLED_FROM__CALLED_REQUEST_URI;
	const char *user = NULL;
	struct hdr_addr addr;
	struct span part;

	switch (from) {
	case GH__CALLED_FROM__CALLED_TO:
		user = sip->sip_to ? sip->sip_to->a_url->url_user : NULL;
		break;
	case GH__CALLED_FROM__CALLED_P_CALLED_PARTY_ID:
		if (find_identity(sip, "P-Called-Party-ID", &addr) &&
			hdr_uri_user(addr.uri, &part))
			user = su_strndup(home, part.at, (isize_t)part.len);
		break;
	case GH__CALLED_FROM__CALLED_DIVERSION:
		if (find_identity(sip, "Diversion", &addr) &&
			hdr_uri_user(addr.uri, &part))
			user = su_strndup(home, part.at, (isize_t)part.len);
		break;
	default:
		break;
	}
	if (!user)
		user = request_user(sip);
	/* The Contact that we registered was called, by its name: the number
	 * stands in To. */
	if (user && sip->sip_to && sip->sip_to->a_url->url_user && trunk &&
		trunk->row->registers && !strcmp(user, own_user(trunk)))
		user = sip->sip_to->a_url->url_user;
	return user && *user ? su_strdup(home, user) : NULL;
}

const char *hdr_user_phone(const struct trunk *trunk, const char *number)
{
	const char *s = number + (*number == '+');

	if (!trunk || !trunk->row->user_phone || !*s)
		return "";
	for (; *s; s++)
		if (!text_is_digit(*s))
			return "";
	return ";user=phone";
}

const char *hdr_from(const struct hdr_side *to,
	const struct hdr_identity *caller, su_home_t *home)
{
	const char *user = caller->number, *text = NULL;

	/* Some trunks want their own name for us here, and the number in a
	 * header of the trusted kind. */
	if (to->trunk && *to->trunk->row->from_user)
		user = to->trunk->row->from_user;
	if (!caller->hide && *user)
		text = hdr_name_addr(to->trunk, caller->display, user,
			hdr_domain(to, home), home);
	return text ? text : ANONYMOUS;
}

const char *hdr_to(const struct hdr_side *to, const char *called,
	const char *far_host, su_home_t *home)
{
	const Gh__Trunk *trunk = to->trunk ? to->trunk->row : NULL;
	const char *host;

	if (trunk && *trunk->domain)
		host = hdr_host(trunk->domain, home);
	else
		host = hdr_host(far_host, home);
	return hdr_name_addr(to->trunk, NULL, called, host, home);
}
