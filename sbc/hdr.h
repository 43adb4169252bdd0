/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which headers cross. THE table: for every header that we know and each
 * direction, it is built by us, carried after checking, or dropped; a header
 * that the table does not name is dropped. Values are written anew from parsed
 * fields, never copied as text. Pure apart from the su_home_t that results are
 * allocated from.
 */
#ifndef SBC_HDR_H
#define SBC_HDR_H

#include <sofia-sip/sip.h>

#include "common/err.h"
#include "common/reason.h"
#include "sbc/route.h"
#include "sbc/settings.h"

struct local_nets; /* locate_inside.h */

#define HDR_DISPLAY_MAX 64 /* characters of a display name */

/** Who a call is from and to, after number rules; borrowed texts. */
struct hdr_identity {
	const char *number;  /* or extension; "" = anonymous */
	const char *display; /* UTF-8, bounded by hdr_display(); "" = none */
	bool hide;           /* Privacy: id asked for (RFC 3323) */
};

/** One side that we send to. */
struct hdr_side {
	enum side_kind kind;
	const struct trunk *trunk; /* SIDE_TRUNK, SIDE_PBX */
	const struct realm *realm;
	const char *host; /* our host towards it, with port if any */
};

/**
 * Checks what sofia-sip accepts too easily (RFC 3261 section by section:
 * headers in the Request-URI, spaces inside <>, bare branch cookie, unknown
 * URI schemes, Max-Forwards, Require, Content-Type ...).
 * @param unsupported_out	for 420: the option tags, allocated from home.
 * @return REASON_ADMIT_OK or the refusal.
 */
enum reason hdr_check_request(
	const sip_t *sip, su_home_t *home, const char **unsupported_out);

/**
 * The session description of a message: its body, or the one part of a
 * multipart body that is one (RFC 5621). Other parts are passed over, unless
 * their sender requires that they are understood.
 * @param sdp_out	borrowed from sip; NULL if there is no body.
 * @return REASON_ADMIT_OK, ADMIT_CONTENT_TYPE, or SDP_SYNTAX for a broken
 *	multipart body or one with two descriptions.
 */
enum reason hdr_sdp_of(const sip_t *sip, const char **sdp_out, size_t *len_out);

/** The caller's number and display name as its trunk's policy says; for a
 * phone the account decides and this is not called.
 * @return 0, or ERR_INVALID. */
GH_MUST_CHECK int hdr_caller_of(const sip_t *sip, const struct trunk *trunk,
	su_home_t *home, struct hdr_identity *identity_out);
/** The called user part as the trunk's policy says. NULL if there is none. */
const char *hdr_called_of(
	const sip_t *sip, const struct trunk *trunk, su_home_t *home);

/** Display name from a peer's header: valid UTF-8, no control characters,
 * quotes escaped when written, HDR_DISPLAY_MAX at most; "" if unusable. */
const char *hdr_display(const char *peer_text, su_home_t *home);

/** From and To of our INVITE towards a side, as texts for SIPTAG_FROM_STR
 * (without tag) and SIPTAG_TO_STR; the P-Asserted-Identity, Privacy and
 * Diversion lines that belong to it come in hdr_lines(). */
const char *hdr_from(const struct hdr_side *to,
	const struct hdr_identity *caller, su_home_t *home);
const char *hdr_to(const struct hdr_side *to, const char *called,
	const char *far_host, su_home_t *home);

/** ";user=phone" where the trunk wants it and this is a telephone number (RFC
 * 3261 19.1.1); else "". trunk may be NULL. */
const char *hdr_user_phone(const struct trunk *trunk, const char *number);

/**
 * All lines that cross or are made for an INVITE towards `to`, as one text for
 * SIPTAG_HEADER_STR ("" if none): identity, Privacy, and what the table
 * carries of `in` (NULL: nothing).
 */
const char *hdr_lines(const sip_t *in, const struct hdr_side *from,
	const struct hdr_side *to, const struct hdr_identity *caller,
	su_home_t *home);

/** What no text that crosses may name; borrowed. */
struct hdr_hidden {
	const struct settings *settings;
	const struct local_nets *nets;
	const char *user; /* digest user name of the calling phone, or "" */
};

/** A body with more in it than a description, and lines. */
struct hdr_body {
	const char *type;  /* Content-Type; NULL: the description alone */
	const char *text;  /* in home */
	const char *lines; /* that go with it; in home */
};
/** For an emergency call: sdp and the caller's location as one body, and where
 * else it can be fetched, if the trunks' rules carry Geolocation and the INVITE
 * has a location that can be read or a URI that may be seen.
 * @return false: body_out is untouched, the call goes without. */
bool hdr_location(const sip_t *in, const struct hdr_side *from,
	const struct hdr_side *to, const struct hdr_identity *caller,
	const struct hdr_hidden *hidden, const char *sdp, su_home_t *home,
	struct hdr_body *body_out);

/** Of a far answer, what may cross to the other side as lines; "" if none: of
 * a failure Warning, Reason, Retry-After and the like; of a 1xx or 2xx what the
 * table leaves to policy and both trunks' rules carry. */
const char *hdr_answer_lines(const sip_t *answer, const struct hdr_side *from,
	const struct hdr_side *to, su_home_t *home);

/** The status that a failure received on one leg becomes on the other: one
 * table (503 -> 500, 401/407 -> 500, 6xx kept ...). */
unsigned hdr_map_status(unsigned far_status);

#endif
