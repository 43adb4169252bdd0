// SPDX-License-Identifier: Apache-2.0
/*
 * The location of an emergency call (RFC 6442): the part of the INVITE's body
 * that says where the caller is, written anew (pidf.c), with the Geolocation
 * header that points to it. Only from a body: a URI to fetch it from would be
 * one of the inside. A location that cannot be read is left out; it never
 * makes an emergency call fail.
 *
 * Decides: whether the sides' rules let it cross (carry Geolocation). Called by
 * call_setup.c. RFC 2046, 5621 (the body's parts), 2392 (cid).
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "common/secret.h"
#include "sbc/hdr_part.h"
#include "sbc/pidf.h"

#define BOUNDARY "gatehouse-parts"

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

bool hdr_location(const sip_t *in, const struct hdr_side *from,
	const struct hdr_side *to, const struct hdr_identity *caller,
	const char *sdp, su_home_t *home, struct hdr_body *body_out)
{
	char text[PIDF_TEXT_SIZE];
	const char *domain, *entity;
	struct pidf pidf;
	uint64_t salt;
	struct span part;
	struct writer w;

	secret_random_bytes(&salt, sizeof(salt));
	if (!may_cross(from, to) ||
		!hdr_part_of(in, "application/pidf+xml", &part) ||
		pidf_read(part, salt, &pidf))
		return false;
	domain = hdr_domain(to, home);
	entity = caller->hide || !*caller->number
			 ? "pres:anonymous@anonymous.invalid"
			 : su_sprintf(home, "pres:%s@%s",
				   hdr_user(caller->number, home), domain);
	writer_init(&w, text, sizeof(text));
	if (!entity || pidf_write(&pidf, entity, &w))
		return false;
	body_out->type = "multipart/mixed;boundary=" BOUNDARY;
	body_out->text = su_sprintf(home,
		"--" BOUNDARY "\r\nContent-Type: application/sdp\r\n\r\n%s\r\n"
		"--" BOUNDARY "\r\nContent-Type: application/pidf+xml\r\n"
		"Content-ID: <location@%s>\r\n\r\n%s\r\n--" BOUNDARY "--\r\n",
		sdp, domain, text);
	body_out->lines = su_sprintf(home,
		"Geolocation: <cid:location@%s>\r\n"
		"Geolocation-Routing: %s\r\n",
		domain, routes_by_it(in) ? "yes" : "no");
	return body_out->text && body_out->lines;
}
