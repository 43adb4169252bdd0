// SPDX-License-Identifier: Apache-2.0
/*
 * THE table of headers: what happens to each that we know. A header that has
 * no row is dropped, so a row with HDR_DROP changes nothing; it is there to
 * say that somebody thought of it, and why. Read by hdr_lines.c (what crosses)
 * and hdr_rule.c (what an administrator's rule may name).
 *
 * HDR_BUILD rows are made by the stack, a leg, or hdr_identity.c for each side
 * on its own and never look at the other side's. HDR_CARRY and HDR_POLICY rows
 * are written anew by hdr_carry.c from words of a list, numbers and our own
 * host; none copies text.
 */
#include "sbc/hdr_part.h"

#define BUILD  HDR_BUILD, 0, 0, NULL, false
#define MAY_GO HDR_BUILD, 0, 0, NULL, true
#define DROP   HDR_DROP, 0, 0, NULL, false

static const struct hdr_row rows[] = {
	/* The dialog and the way: each leg has its own. */
	{"Via", "v", BUILD},
	{"From", "f", BUILD},
	{"To", "t", BUILD},
	{"Call-ID", "i", BUILD},
	{"CSeq", NULL, BUILD},
	{"Contact", "m", BUILD},
	{"Max-Forwards", NULL, BUILD},
	{"Route", NULL, BUILD},
	{"Record-Route", NULL, BUILD},
	{"Path", NULL, BUILD},
	{"Service-Route", NULL, BUILD},
	{"RSeq", NULL, BUILD},
	{"RAck", NULL, BUILD},
	{"Session-Expires", "x", BUILD},
	{"Min-SE", NULL, BUILD},
	{"Expires", NULL, BUILD},
	{"Min-Expires", NULL, BUILD},
	{"Replaces", NULL, BUILD},
	{"Target-Dialog", NULL, BUILD},
	{"Join", NULL, BUILD},
	{"Refer-To", "r", BUILD},
	{"Referred-By", "b", BUILD},

	/* What we can do, and not what the other side can. */
	{"Allow", NULL, BUILD},
	{"Supported", "k", BUILD},
	{"Require", NULL, BUILD},
	{"Proxy-Require", NULL, BUILD},
	{"Unsupported", NULL, BUILD},
	{"Accept", NULL, BUILD},
	{"Accept-Encoding", NULL, BUILD},
	{"Accept-Language", NULL, BUILD},
	{"Event", "o", BUILD},
	{"Allow-Events", "u", BUILD},
	{"Subscription-State", NULL, BUILD},
	{"SIP-ETag", NULL, BUILD},
	{"SIP-If-Match", NULL, BUILD},

	/* The body is built, so is what describes it. */
	{"Content-Type", "c", BUILD},
	{"Content-Length", "l", BUILD},
	{"Content-Encoding", "e", BUILD},
	{"Content-Disposition", NULL, BUILD},
	{"Content-Language", NULL, BUILD},
	{"Content-ID", NULL, BUILD},
	{"MIME-Version", NULL, BUILD},

	/* Credentials belong to one leg. */
	{"Authorization", NULL, BUILD},
	{"Proxy-Authorization", NULL, BUILD},
	{"WWW-Authenticate", NULL, BUILD},
	{"Proxy-Authenticate", NULL, BUILD},
	{"Authentication-Info", NULL, BUILD},
	{"Proxy-Authentication-Info", NULL, BUILD},
	{"Security-Client", NULL, BUILD},
	{"Security-Server", NULL, BUILD},
	{"Security-Verify", NULL, BUILD},

	/* Identity: by the account, or by the trunk's policy (RFC 3325). */
	{"P-Asserted-Identity", NULL, MAY_GO},
	{"P-Preferred-Identity", NULL, MAY_GO},
	{"Privacy", NULL, BUILD},
	{"Remote-Party-ID", NULL, DROP},
	{"P-Called-Party-ID", NULL, DROP},
	{"P-Associated-URI", NULL, DROP},
	{"Reply-To", NULL, DROP},
	/* A phone may not say that somebody diverted to it (RFC 5806). */
	{"Diversion", NULL, HDR_CARRY, ON_TRUNK | ON_PBX, ON_TRUNK | ON_PBX,
		hdr_carry_diversion, true},
	/* Holds every URI on the way (RFC 7044). */
	{"History-Info", NULL, HDR_POLICY, ON_TRUNK | ON_PBX, ON_TRUNK | ON_PBX,
		hdr_carry_history, false},
	/* A signature over numbers that we may have rewritten (RFC 8224). */
	{"Identity", "y", HDR_POLICY, ON_TRUNK | ON_PBX, ON_TRUNK | ON_PBX,
		hdr_carry_identity, false},
	{"Identity-Info", "n", DROP},

	/* What is worth knowing on the other side. */
	{"Reason", NULL, HDR_CARRY, ON_ANY, ON_ANY, hdr_carry_reason, true},
	{"Priority", NULL, HDR_CARRY, ON_ANY, ON_ANY, hdr_carry_priority, true},
	{"Alert-Info", NULL, HDR_CARRY, ON_PBX, ON_PHONE, hdr_carry_alert_info,
		true},
	{"Call-Info", NULL, HDR_CARRY, ON_PBX, ON_PHONE, hdr_carry_call_info,
		true},
	{"Answer-Mode", NULL, HDR_CARRY, ON_PBX, ON_PHONE,
		hdr_carry_answer_mode, true},
	{"Priv-Answer-Mode", NULL, DROP},
	{"User-to-User", NULL, HDR_POLICY, ON_TRUNK | ON_PBX, ON_TRUNK | ON_PBX,
		hdr_carry_user_to_user, false},
	{"P-Early-Media", NULL, HDR_POLICY, ON_TRUNK | ON_PBX,
		ON_TRUNK | ON_PBX, hdr_carry_early_media, false},

	/* Of an emergency call, with its body or by URIs: hdr_location(). */
	{"Geolocation", NULL, HDR_POLICY, 0, 0, NULL, false},
	{"Geolocation-Routing", NULL, DROP},

	/* Tells who or what is behind us. */
	{"User-Agent", NULL, DROP},
	{"Server", NULL, DROP},
	{"Organization", NULL, DROP},
	{"Subject", "s", DROP},
	{"Date", NULL, DROP},
	{"Timestamp", NULL, DROP},
	{"In-Reply-To", NULL, DROP},
	{"Error-Info", NULL, DROP},
	{"Warning", NULL, DROP},     /* hdr_answer_lines() writes ours */
	{"Retry-After", NULL, DROP}, /* the same */
	{"Session-ID", NULL, DROP},
	{"P-Access-Network-Info", NULL, DROP},
	{"P-Charging-Vector", NULL, DROP},
	{"P-Charging-Function-Addresses", NULL, DROP},
	{"P-Visited-Network-ID", NULL, DROP},
	{"Resource-Priority", NULL, DROP},
	{"Request-Disposition", "d", DROP},
	{"Accept-Contact", "a", DROP},
	{"Reject-Contact", "j", DROP},
	{"Flow-Timer", NULL, DROP},
};

const struct hdr_row *hdr_table(size_t *n_out)
{
	*n_out = sizeof(rows) / sizeof(rows[0]);
	return rows;
}

const struct hdr_row *hdr_find(const char *name)
{
	struct span word = span_of(name);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_is_word(word, rows[i].name) ||
			(rows[i].compact &&
				span_is_word(word, rows[i].compact)))
			return &rows[i];
	return NULL;
}
