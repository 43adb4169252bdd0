/* SPDX-License-Identifier: Apache-2.0 */
/* See call_keys.h. */
#include "config.h"

#include "tests/unit/call_keys.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "common/secret.h"

const char *keyed(const struct sip_peer *p, unsigned port, const char *profile,
	const char *crypto, const char *direction)
{
	static char texts[4][4096];
	static unsigned turn;
	char *text = texts[turn++ % 4];
	char ip[ADDR_TEXT_SIZE];

	addr_format_ip(&p->local, ip);
	snprintf(text, sizeof texts[0],
		"v=0\r\no=- 77 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
		"m=audio %u %s 8 101\r\n"
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
		"a=fmtp:101 0-15\r\na=ptime:20\r\n%sa=%s\r\n",
		ip, ip, port, profile, crypto,
		direction != NULL ? direction : "sendrecv");
	return text;
}

const char *keyed_caller(struct scene *s, const char *profile,
	const char *crypto, const char *direction)
{
	return keyed(&s->itsp, 6000, profile, crypto, direction);
}

const char *keyed_phone(struct scene *s, const char *profile,
	const char *crypto, const char *direction)
{
	return keyed(&s->phone, 7000, profile, crypto, direction);
}

void keys_read(const char *body, struct sdp *sdp)
{
	enum reason why;

	ck_assert_int_eq(sdp_parse(body, strlen(body), sdp, &why), 0);
}

const struct sdp_crypto *keys_line(const struct sdp *sdp, uint32_t tag)
{
	for (size_t i = 0; i < sdp->n_crypto; i++)
		if (sdp->crypto[i].tag == tag)
			return &sdp->crypto[i];
	ck_abort_msg("no a=crypto with tag %u", tag);
}

void keys_expect(const Gh__SrtpKey *key, const struct sdp *sdp, uint32_t tag)
{
	const struct sdp_crypto *line = keys_line(sdp, tag);

	ck_assert_ptr_nonnull(key);
	ck_assert_int_eq(key->suite, line->suite);
	ck_assert_uint_eq(key->master.len, line->master_len);
	ck_assert_mem_eq(key->master.data, line->master, key->master.len);
}

void keys_expect_none(const Gh__MediaSide *side)
{
	ck_assert_ptr_null(side->receive);
	ck_assert_ptr_null(side->send);
	ck_assert(!side->srtp_required);
	ck_assert_uint_ge(side->n_payloads, 1);
}

bool keys_same(const struct sdp *a, const struct sdp *b)
{
	ck_assert_uint_ge(a->n_crypto, 1);
	ck_assert_uint_ge(b->n_crypto, 1);
	return a->crypto[0].master_len == b->crypto[0].master_len &&
	       secret_equal(a->crypto[0].master, b->crypto[0].master,
		       a->crypto[0].master_len);
}

void keys_call(struct scene *s, const char *sdp, const char *profile, size_t n)
{
	struct sdp offer;

	sc_call(s, NULL, sdp);
	ck_assert(msg_has(msg_body(s->called.invite), profile));
	keys_read(msg_body(s->called.invite), &offer);
	ck_assert_uint_eq(offer.n_crypto, n);
}

void keys_finish(struct scene *s, const char *caller, const char *called)
{
	const Gh__Cdr *cdr;

	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	sc_bye_from_caller(s);
	cdr = cw_cdr(s->w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->caller_leg->srtp, caller);
	ck_assert_str_eq(cdr->called_leg->srtp, called);
	sc_end(s);
}
