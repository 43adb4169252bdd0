/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the check before the parser lets pass, sofia-sip must read as the
 * check did: SIP/2.0, a topmost Via over UDP with a port that can be sent to,
 * no maddr in any Via, no more lines than were counted. A plain REGISTER means
 * to the library what plain.c reads in it. The credentials that
 * the message carries go through their reader: values are bounded and hold no
 * control character.
 */
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/su_alloc.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sbc/auth_header.h"
#include "sbc/hdr.h"
#include "sbc/plain.h"
#include "sbc/sofia_cures.h"
#include "tests/fuzz/fuzz.h"

static void check_value(const char *text, size_t size)
{
	FUZZ_CHECK(strnlen(text, size) < size);
	for (; *text; text++)
		FUZZ_CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_credentials(const sip_authorization_t *au)
{
	for (; au; au = au->au_next) {
		const char *const *params = (const char *const *)au->au_params;
		struct auth_fields f;
		char realm[AUTH_TEXT_SIZE];

		if (auth_fields_realm(params, realm) == 0)
			check_value(realm, sizeof(realm));
		if (auth_fields_read(params, &f) != 0)
			continue;
		check_value(f.username, sizeof(f.username));
		check_value(f.realm, sizeof(f.realm));
		check_value(f.nonce, sizeof(f.nonce));
		check_value(f.uri, sizeof(f.uri));
		check_value(f.response, sizeof(f.response));
		check_value(f.cnonce, sizeof(f.cnonce));
		check_value(f.opaque, sizeof(f.opaque));
		check_value(f.algorithm, sizeof(f.algorithm));
		check_value(f.qop, sizeof(f.qop));
		check_value(f.nc, sizeof(f.nc));
		FUZZ_CHECK(f.username[0] && f.realm[0] && f.nonce[0] &&
			   f.uri[0] && f.response[0]);
		FUZZ_CHECK(auth_fields_realm(params, realm) == 0 &&
			   strcmp(realm, f.realm) == 0);
	}
}

static void check_vias(const sip_t *sip)
{
	const sip_via_t *top = sip->sip_via;

	/* It is the first one: the library skips those that it cannot read. */
	for (const sip_header_t *h = (const sip_header_t *)sip->sip_error; h;
		h = h->sh_next) {
		const char *name = h->sh_class == sip_error_class
					   ? h->sh_error->er_name
					   : h->sh_class->hc_name;

		FUZZ_CHECK(!name || strcmp(name, "Via") != 0);
	}
	FUZZ_CHECK(strcasecmp(top->v_protocol, "SIP/2.0/UDP") == 0);
	if (top->v_port && *top->v_port)
		FUZZ_CHECK(strtoul(top->v_port, NULL, 10) >= 1 &&
			   strtoul(top->v_port, NULL, 10) <= 65535);
	for (const sip_via_t *v = top; v; v = v->v_next)
		FUZZ_CHECK(!v->v_maddr);
}

static bool is_same(struct span s, const char *text)
{
	return text ? span_is(s, text) : s.len == 0;
}

/* What is challenged from its text alone, the library reads with the same
 * values, and the way of all requests would challenge it too. */
static void check_plain(
	const uint8_t *bytes, size_t len, sip_t *sip, su_home_t *home)
{
	const char *unsupported;
	struct plain p;

	if (!plain_read(bytes, len, &p))
		return;
	FUZZ_CHECK(sip && sip->sip_request);
	FUZZ_CHECK(
		hdr_check_request(sip, home, &unsupported) == REASON_ADMIT_OK);
	FUZZ_CHECK(sip->sip_request->rq_method == sip_method_register);
	FUZZ_CHECK(!sip->sip_authorization && !sip->sip_proxy_authorization);
	FUZZ_CHECK(strcmp(sip->sip_request->rq_url->url_host, p.host) == 0);
	FUZZ_CHECK(is_same(p.call_id, sip->sip_call_id->i_id));
	FUZZ_CHECK(is_same(p.from_tag, sip->sip_from->a_tag));
	FUZZ_CHECK(!sip->sip_to->a_tag);
	FUZZ_CHECK(is_same(p.branch, sip->sip_via->v_branch));
	FUZZ_CHECK(!sip->sip_via->v_next && !sip->sip_via->v_received);
	FUZZ_CHECK(sip->sip_via->v_rport && !*sip->sip_via->v_rport);
	FUZZ_CHECK(
		strtoul(p.cseq_number.at, NULL, 10) == sip->sip_cseq->cs_seq);
	FUZZ_CHECK(
		strcmp(sip->sip_user_agent ? sip->sip_user_agent->g_string : "",
			p.agent) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	enum reason why;
	const sip_t *sip;
	msg_t *msg;

	if (len > 16384)
		return 0;
	why = cures_check_datagram(bytes, len);
	FUZZ_CHECK((unsigned)why < REASON_COUNT);
	if (why != REASON_ADMIT_OK)
		return 0;
	msg = msg_make(sip_default_mclass(), 0, bytes, (ssize_t)len);
	if (!msg)
		return 0;
	sip = sip_object(msg);
	check_plain(bytes, len, sip_object(msg), msg_home(msg));
	if (sip && (sip->sip_request || sip->sip_status)) {
		const char *version = sip->sip_request
					      ? sip->sip_request->rq_version
					      : sip->sip_status->st_version;

		FUZZ_CHECK(strcasecmp(version, "SIP/2.0") == 0);
		/* Without a Via the library has nobody to answer. */
		if (sip->sip_via)
			check_vias(sip);
		check_credentials(sip->sip_authorization);
	}
	msg_destroy(msg);
	return 0;
}
