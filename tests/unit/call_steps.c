/* SPDX-License-Identifier: Apache-2.0 */
/* See call_steps.h. */
#include "config.h"

#include "tests/unit/call_steps.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------ one end: until the answer */

const char *dl_take_invite(
	struct dialog *d, struct sip_peer *p, const struct addr *from)
{
	sp_expect(p, "INVITE ");
	dl_from_invite(d, p, from);
	return d->invite;
}

void dl_ring(struct dialog *d)
{
	dl_answer(d, d->invite, 180, NULL, NULL);
}

void dl_early(struct dialog *d, const char *sdp)
{
	dl_answer(d, d->invite, 183, "Require: 100rel\r\nRSeq: 41\r\n", sdp);
	sp_expect(d->p, "PRACK ");
	dl_answer(d, d->p->rx, 200, NULL, NULL);
}

void dl_pick_up(struct dialog *d, const char *sdp)
{
	dl_answer(d, d->invite, 200, NULL, sdp);
	sp_expect(d->p, "ACK ");
}

void dl_refuse(struct dialog *d, unsigned status)
{
	dl_answer(d, d->invite, status, NULL, NULL);
	sp_expect(d->p, "ACK ");
}

const char *dl_take_cancel(struct dialog *d)
{
	static char text[CW_TEXT];

	snprintf(text, sizeof text, "%s", sp_expect(d->p, "CANCEL "));
	dl_answer(d, text, 200, NULL, NULL);
	dl_refuse(d, 487);
	return text;
}

const char *dl_take_answer(struct dialog *d)
{
	const char *text = sp_expect(d->p, "SIP/2.0 200");

	ck_assert(msg_has(msg_header_value(text, "CSeq", 0), "INVITE"));
	dl_answered(d);
	dl_ack(d, NULL);
	return msg_body(text);
}

void dl_take_refusal(struct dialog *d, unsigned status)
{
	char line[16];

	snprintf(line, sizeof line, "SIP/2.0 %u", status);
	sp_expect(d->p, line);
	dl_ack(d, NULL);
}

void dl_give_up(struct dialog *d)
{
	dl_cancel(d);
	sp_expect(d->p, "SIP/2.0 200");
	dl_take_refusal(d, 487);
}

void dl_send_prack_with(struct dialog *d, const char *sdp)
{
	char line[128];

	snprintf(line, sizeof line, "RAck: %s %u INVITE\r\n",
		msg_header_value(d->p->rx, "RSeq", 0), d->invite_cseq);
	dl_answered(d);
	dl_request(
		d, "PRACK", line, sdp != NULL ? "application/sdp" : NULL, sdp);
}

void dl_send_prack(struct dialog *d)
{
	dl_send_prack_with(d, NULL);
}

void dl_prack(struct dialog *d)
{
	dl_send_prack(d);
	sp_expect_but(d->p, "SIP/2.0 200", "SIP/2.0 18");
	ck_assert(msg_has(msg_header_value(d->p->rx, "CSeq", 0), "PRACK"));
}

/* ------------------------------------------------------ one end: afterwards */

void dl_offer(struct dialog *d, const char *method, const char *sdp)
{
	dl_request(d, method, NULL, "application/sdp", sdp);
}

const char *dl_take_offer(struct dialog *d)
{
	return msg_body(sp_expect(d->p, "INVITE "));
}

void dl_agree(struct dialog *d, const char *sdp)
{
	dl_answer(d, d->p->rx, 200, NULL, sdp);
	sp_expect(d->p, "ACK ");
}

void dl_hang_up(struct dialog *d)
{
	dl_request(d, "BYE", NULL, NULL, NULL);
	sp_expect(d->p, "SIP/2.0 200");
}

void dl_take_bye(struct dialog *d)
{
	sp_expect(d->p, "BYE ");
	dl_answer(d, d->p->rx, 200, NULL, NULL);
}

const char *dl_credentials(
	const struct dialog *d, const char *user, const char *response)
{
	static char line[1024];
	const char *challenge =
		msg_header_value(d->p->rx, "WWW-Authenticate", 0);
	const char *nonce = strstr(challenge, "nonce=\"");

	ck_assert_ptr_nonnull(nonce);
	nonce += strlen("nonce=\"");
	snprintf(line, sizeof line,
		"Authorization: Digest username=\"%s\", realm=\"example.com\","
		" nonce=\"%.*s\", uri=\"%s\", response=\"%s\","
		" algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n",
		user, (int)strcspn(nonce, "\""), nonce, d->target, response);
	return line;
}

struct dialog dl_fork(const struct dialog *d)
{
	struct dialog other = *d;

	snprintf(other.local, sizeof other.local, "%s;tag=another",
		msg_header_value(d->invite, "To", 0));
	return other;
}

/* ---------------------------------------------------------------- the scene */

const char *sc_caller_sdp(
	struct scene *s, const char *formats, const char *direction)
{
	return sdp_text(&s->itsp, 6000, formats, direction);
}

const char *sc_phone_sdp(
	struct scene *s, const char *formats, const char *direction)
{
	return sdp_text(&s->phone, 7000, formats, direction);
}

void sc_invite(struct scene *s, const char *extra, const char *sdp)
{
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491761234567",
		"+4930100", extra, sdp);
}

void sc_call(struct scene *s, const char *extra, const char *sdp)
{
	sc_invite(s, extra, sdp);
	dl_take_invite(&s->called, &s->phone, &s->w->phones);
	/* What it has registered, not what was dialled. */
	ck_assert(msg_has(s->called.invite, "INVITE sip:line@"));
}

void sc_pick_up(struct scene *s, const char *sdp)
{
	dl_pick_up(&s->called, sdp);
	dl_take_answer(&s->caller);
	cw_turn(s->w);
}

void sc_take_byes(struct scene *s)
{
	dl_take_bye(&s->caller);
	dl_take_bye(&s->called);
}

void sc_over(
	struct scene *s, enum reason why, unsigned status, const char *side)
{
	sc_cdr(cw_cdr(s->w), why, status, side);
	sc_end(s);
}

void sc_finish(struct scene *s)
{
	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	sc_bye_from_caller(s);
	sc_over(s, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
}

/* --------------------------------------------------------------- two phones */

void fork_begin(struct fork *f, bool elsewhere, const char *formats)
{
	struct scene *s = &f->s;
	const struct addr *at;

	sc_begin(s, NULL);
	at = elsewhere ? &s->w->phones2 : &s->w->phones;
	sp_open(s->w, &f->second, 6);
	cw_bind_at(s->w, 1, &f->second, at);
	sc_call(s, NULL, sc_caller_sdp(s, formats, NULL));
	dl_take_invite(&f->other, &f->second, at);
}

void fork_ring(struct fork *f)
{
	fork_begin(f, false, "8");
	dl_ring(&f->s.called);
	sp_expect(&f->s.itsp, "SIP/2.0 180");
	dl_ring(&f->other);
	sp_silent(&f->s.itsp); /* it knows that it rings */
}

void fork_end(struct fork *f)
{
	cw_wait_empty(f->s.w);
	sp_silent(&f->second);
	sp_close(&f->second);
	sc_end(&f->s);
}

void fork_over(
	struct fork *f, enum reason why, unsigned status, const char *side)
{
	sc_cdr(cw_cdr(f->s.w), why, status, side);
	fork_end(f);
}

/* -------------------------------------------------------------- three peers */

void house_begin(struct house *h, const struct cw_config *config)
{
	static const struct cw_config plain;

	memset(h, 0, sizeof *h);
	h->w = cw_new(config != NULL ? config : &plain);
	sp_open(h->w, &h->pbx, 4);
	sp_open(h->w, &h->itsp, 2);
	sp_open(h->w, &h->phone, 5);
	cw_bind(h->w, 1, &h->phone);
}

void house_end(struct house *h)
{
	struct sip_peer *all[] = {&h->pbx, &h->itsp, &h->phone};

	cw_wait_empty(h->w);
	for (size_t i = 0; i < 3; i++) {
		sp_silent(all[i]);
		sp_close(all[i]);
	}
	cw_free(&h->w);
}

void house_pbx_calls(struct house *h, const char *number, const char *extra)
{
	dl_invite(&h->caller, &h->pbx, &h->w->pbx, "701", number, extra,
		sdp_text(&h->pbx, 5000, "8 101", NULL));
}

void house_phone_calls(struct house *h, const char *number, const char *extra)
{
	const char *sdp = sdp_text(&h->phone, 7000, "8 0 101", NULL);
	char lines[2048];

	dl_invite(&h->caller, &h->phone, &h->w->phones, "forged", number, extra,
		sdp);
	dl_take_refusal(&h->caller, 401);
	snprintf(lines, sizeof lines, "%s%s",
		dl_credentials(&h->caller, "u1", "good"),
		extra != NULL ? extra : "");
	dl_invite(&h->caller, &h->phone, &h->w->phones, "forged", number, lines,
		sdp);
}

const char *house_take(struct house *h, struct sip_peer *p)
{
	const struct addr *from = p == &h->pbx     ? &h->w->pbx
				  : p == &h->phone ? &h->w->phones
						   : &h->w->itsp;

	return dl_take_invite(&h->called, p, from);
}

void house_pick_up(struct house *h)
{
	dl_pick_up(&h->called, sdp_text(h->called.p, 8000, "8 101", NULL));
	dl_take_answer(&h->caller);
	cw_turn(h->w);
	ck_assert_int_eq(cw_call(h->w)->state, CALL_UP);
}

const Gh__Cdr *house_talk(struct house *h)
{
	const Gh__Cdr *cdr;

	house_pick_up(h);
	dl_hang_up(&h->caller);
	dl_take_bye(&h->called);
	cdr = cw_cdr(h->w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	return cdr;
}
