// SPDX-License-Identifier: Apache-2.0
/*
 * The location of an emergency call (RFC 6442): the part of the INVITE's body
 * that says where the caller is, written anew (pidf.c), with the Geolocation
 * header that points to it; and URIs to fetch it from that may be seen outside
 * (location_uri.c), a few at most. What cannot be read or must not be seen is
 * left out; it never makes an emergency call fail.
 *
 * Decides: whether the sides' rules let it cross (carry Geolocation). Called by
 * call_setup.c. RFC 2046, 5621 (the body's parts), 2392 (cid).
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "common/secret.h"
#include "sbc/hdr_part.h"
#include "sbc/location_uri.h"
#include "sbc/pidf.h"

#define BOUNDARY      "gatehouse-parts"
#define URIS_MAX      2u /* that cross */
#define URIS_SEEN_MAX 8u /* that are looked at */

/** The trunks on both ends have to allow it; a phone has no rules. */
static bool may_cross(const struct hdr_side *from, const struct hdr_side *to)
{
	return to->trunk &&
	       hdr_rule_carries(to->trunk->row, false, "Geolocation") &&
	       (!from->trunk ||
		       hdr_rule_carries(from->trunk->row, true, "Geolocation"));
}

/** Does the call say that it routes by its location (RFC 6442 4.2)? */
static bool routes_by_it(const sip_t *in)
{
	const sip_unknown_t *at = NULL;
	const char *value = hdr_unknown(in, "Geolocation-Routing", &at);

	return value && span_is_word(span_trim(span_of(value)), "yes");
}

/** By value: sdp and the location as the parts of one body. */
static bool write_body(const sip_t *in, const struct hdr_identity *caller,
	const char *domain, const char *sdp, su_home_t *home,
	struct hdr_body *body)
{
	char text[PIDF_TEXT_SIZE];
	const char *entity;
	struct pidf pidf;
	uint64_t salt;
	struct span part;
	struct writer w;

	secret_random_bytes(&salt, sizeof(salt));
	if (!hdr_part_of(in, "application/pidf+xml", &part) ||
		pidf_read(part, salt, &pidf))
		return false;
	entity = caller->hide || !*caller->number
			 ? "pres:anonymous@anonymous.invalid"
			 : su_sprintf(home, "pres:%s@%s",
				   hdr_user(caller->number, home), domain);
	writer_init(&w, text, sizeof(text));
	if (!entity || pidf_write(&pidf, entity, &w))
		return false;
	body->type = "multipart/mixed;boundary=" BOUNDARY;
	body->text = su_sprintf(home,
		"--" BOUNDARY "\r\nContent-Type: application/sdp\r\n\r\n%s\r\n"
		"--" BOUNDARY "\r\nContent-Type: application/pidf+xml\r\n"
		"Content-ID: <location@%s>\r\n\r\n%s\r\n--" BOUNDARY "--\r\n",
		sdp, domain, text);
	return body->text != NULL;
}

/** Does it name where the INVITE came from, by the sender's own words? */
static bool names_sender(const sip_t *in, const char *uri)
{
	const sip_contact_t *m = in->sip_contact;

	if (m && m->m_url->url_host && text_has_name(uri, m->m_url->url_host))
		return true;
	for (const sip_via_t *v = in->sip_via; v; v = v->v_next)
		if (v->v_host && text_has_name(uri, v->v_host))
			return true;
	return false;
}

/** By reference: ", <uri>" for each, no comma before the first of all. */
static void write_uris(const sip_t *in, const struct hdr_hidden *hidden,
	bool hide, bool is_first, struct writer *w)
{
	const sip_unknown_t *at = NULL;
	const char *value;
	unsigned n_seen = 0, n = 0;

	while ((value = hdr_unknown(in, "Geolocation", &at))) {
		struct span rest = span_of(value);
		struct hdr_addr addr;

		while (n < URIS_MAX && n_seen++ < URIS_SEEN_MAX &&
			hdr_addr_next(&rest, &addr)) {
			char uri[LOCATION_URI_SIZE];

			if (location_uri_read(addr.uri, hidden, hide, uri) ||
				names_sender(in, uri))
				continue;
			writer_add(w, "%s<%s>", is_first ? "" : ", ", uri);
			is_first = false;
			n++;
		}
	}
}

bool hdr_location(const sip_t *in, const struct hdr_side *from,
	const struct hdr_side *to, const struct hdr_identity *caller,
	const struct hdr_hidden *hidden, const char *sdp, su_home_t *home,
	struct hdr_body *body_out)
{
	char places[URIS_MAX * (LOCATION_URI_SIZE + 4) + 300];
	struct hdr_body body = {NULL, NULL, NULL};
	const char *domain;
	struct writer w;

	if (!may_cross(from, to))
		return false;
	domain = hdr_domain(to, home);
	writer_init(&w, places, sizeof(places));
	if (write_body(in, caller, domain, sdp, home, &body))
		writer_add(&w, "<cid:location@%s>", domain);
	write_uris(
		in, hidden, caller->hide || !*caller->number, w.len == 0, &w);
	if (w.len == 0 || w.over)
		return false;
	body.lines = su_sprintf(home,
		"Geolocation: %s\r\nGeolocation-Routing: %s\r\n", places,
		routes_by_it(in) ? "yes" : "no");
	if (!body.lines)
		return false;
	*body_out = body;
	return true;
}
