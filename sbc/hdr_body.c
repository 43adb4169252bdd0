// SPDX-License-Identifier: Apache-2.0
/*
 * Takes the session description out of a body: the body itself, or the one
 * part of a multipart body that is one. The stack's own reader of multipart
 * bodies is not used: it has been seen to read past the end. Other parts
 * (location, ISUP, XML) are left where they are, unless their sender says that
 * they have to be understood. Parts inside parts are not looked at. RFC 2046
 * 5.1 (boundaries), 5621 3 and 4 (multipart in SIP), 3261 20.11 (handling).
 */
#include <string.h>

#include <sofia-sip/msg_header.h>

#include "sbc/hdr_part.h"

#define PARTS_MAX    8
#define BOUNDARY_MAX 70 /* RFC 2046 5.1.1 */

/** One line without its end, and what is behind it. */
static bool next_line(struct span *rest, struct span *line)
{
	if (!rest->len || !span_next(rest, '\n', line))
		return false;
	if (line->len && line->at[line->len - 1] == '\r')
		line->len--;
	return true;
}

/** "--boundary" or, at the end of all, "--boundary--". */
static bool is_delimiter(struct span line, struct span boundary, bool *last)
{
	if (!span_skip(&line, "--") || line.len < boundary.len ||
		memcmp(line.at, boundary.at, boundary.len))
		return false;
	line.at += boundary.len;
	line.len -= boundary.len;
	line = span_trim(line);
	*last = span_is(line, "--");
	return *last || !line.len;
}

/** Takes what stands before the next delimiter off rest, without the end of
 * line that belongs to the delimiter.
 * @return 0, or ERR_TRUNCATED if there is none. */
static int take_part(struct span *rest, struct span boundary,
	struct span *part_out, bool *last)
{
	struct span part = {rest->at, 0}, line;

	while (next_line(rest, &line)) {
		if (!is_delimiter(line, boundary, last))
			continue;
		part.len = (size_t)(line.at - part.at);
		if (part.len && part.at[part.len - 1] == '\n')
			part.len--;
		if (part.len && part.at[part.len - 1] == '\r')
			part.len--;
		*part_out = part;
		return 0;
	}
	return ERR_TRUNCATED;
}

enum part_kind { PART_SDP, PART_OTHER, PART_REQUIRED, PART_UNREADABLE };

/** Reads a part's own headers; leaves its content in part, and its type. */
static enum part_kind read_part(struct span *part, struct span *type)
{
	enum part_kind kind = PART_OTHER;
	bool required = false, coded = false;
	struct span line, name, text;

	while (next_line(part, &line) && line.len) {
		if (!memchr(line.at, ':', line.len) ||
			!span_next(&line, ':', &name))
			return PART_UNREADABLE;
		name = span_trim(name);
		line = span_trim(line);
		text = line;
		(void)span_next(&line, ';', &text);
		if (span_is_word(name, "Content-Type") ||
			span_is_word(name, "c")) {
			*type = span_trim(text);
			kind = span_is_word(*type, "application/sdp")
				       ? PART_SDP
				       : PART_OTHER;
		} else if (span_is_word(name, "Content-Transfer-Encoding") ||
			   span_is_word(name, "Content-Encoding"))
			coded = !span_is_word(text, "7bit") &&
				!span_is_word(text, "8bit") &&
				!span_is_word(text, "binary") &&
				!span_is_word(text, "identity");
		else if (span_is_word(name, "Content-Disposition"))
			required = line.at &&
				   hdr_param(line, "handling", &text) &&
				   span_is_word(text, "required");
	}
	if (kind == PART_SDP)
		return coded ? PART_UNREADABLE : PART_SDP;
	if (coded)
		type->len = 0;
	/* A location is understood, whether it may cross or not. */
	return required && !span_is_word(*type, "application/pidf+xml")
		       ? PART_REQUIRED
		       : PART_OTHER;
}

static enum reason read_multipart(
	struct span body, struct span boundary, struct span *sdp)
{
	struct span part, type;
	bool found = false, last = false;

	if (take_part(&body, boundary, &part, &last)) /* what nobody reads */
		return REASON_SDP_SYNTAX;
	for (unsigned n = 0; !last; n++) {
		if (n == PARTS_MAX || !body.at ||
			take_part(&body, boundary, &part, &last))
			return REASON_SDP_SYNTAX;
		type = (struct span){NULL, 0};
		switch (read_part(&part, &type)) {
		case PART_SDP:
			/* Two would be two calls for two readers. */
			if (found || !part.len)
				return REASON_SDP_SYNTAX;
			found = true;
			*sdp = part;
			break;
		case PART_OTHER:
			break;
		case PART_REQUIRED:
			return REASON_ADMIT_CONTENT_TYPE;
		case PART_UNREADABLE:
			return REASON_SDP_SYNTAX;
		}
	}
	return found ? REASON_ADMIT_OK : REASON_ADMIT_CONTENT_TYPE;
}

static struct span boundary_of(const sip_content_type_t *type)
{
	struct span boundary =
		span_of(msg_params_find(type->c_params, "boundary="));

	boundary = span_trim(boundary);
	if (boundary.len >= 2 && boundary.at[0] == '"' &&
		boundary.at[boundary.len - 1] == '"') {
		boundary.at++;
		boundary.len -= 2;
	}
	return boundary;
}

enum reason hdr_sdp_of(const sip_t *sip, const char **sdp_out, size_t *len_out)
{
	const sip_content_type_t *type = sip->sip_content_type;
	struct span body, boundary, sdp = {NULL, 0};
	enum reason why;

	*sdp_out = NULL;
	*len_out = 0;
	if (!sip->sip_payload || !sip->sip_payload->pl_len)
		return REASON_ADMIT_OK;
	body = (struct span){
		sip->sip_payload->pl_data, sip->sip_payload->pl_len};
	if (!type || !type->c_type)
		return REASON_ADMIT_CONTENT_TYPE;
	if (text_equal(type->c_type, "application/sdp")) {
		*sdp_out = body.at;
		*len_out = body.len;
		return REASON_ADMIT_OK;
	}
	if (!text_equal(type->c_type, "multipart/mixed") &&
		!text_equal(type->c_type, "multipart/alternative"))
		return REASON_ADMIT_CONTENT_TYPE;
	boundary = boundary_of(type);
	if (!boundary.len || boundary.len > BOUNDARY_MAX)
		return REASON_SDP_SYNTAX;
	why = read_multipart(body, boundary, &sdp);
	if (why == REASON_ADMIT_OK) {
		*sdp_out = sdp.at;
		*len_out = sdp.len;
	}
	return why;
}

bool hdr_part_of(const sip_t *sip, const char *wanted, struct span *part_out)
{
	const sip_content_type_t *type = sip->sip_content_type;
	struct span body, boundary, part, of;
	bool last = false;

	if (!sip->sip_payload || !sip->sip_payload->pl_len || !type ||
		!type->c_type)
		return false;
	body = (struct span){
		sip->sip_payload->pl_data, sip->sip_payload->pl_len};
	if (text_equal(type->c_type, wanted)) {
		*part_out = body;
		return true;
	}
	boundary = boundary_of(type);
	if (!text_equal(type->c_type, "multipart/mixed") || !boundary.len ||
		boundary.len > BOUNDARY_MAX ||
		take_part(&body, boundary, &part, &last))
		return false;
	for (unsigned n = 0; !last && n < PARTS_MAX && body.at; n++) {
		if (take_part(&body, boundary, &part, &last))
			return false;
		of = (struct span){NULL, 0};
		if (read_part(&part, &of) != PART_UNREADABLE &&
			span_is_word(of, wanted)) {
			*part_out = part;
			return true;
		}
	}
	return false;
}
