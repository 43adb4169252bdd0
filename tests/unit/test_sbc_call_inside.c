/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens inside a call that is up: hold and other changes from both
 * sides, requests of every method, who may speak, how it ends by itself.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

static const char *offer_of(
	struct scene *s, const char *formats, const char *direction)
{
	return sdp_text(&s->itsp, 6000, formats, direction);
}

static void finish(struct scene *s)
{
	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	sc_bye_from_caller(s);
	sc_cdr(cw_cdr(s->w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(s);
}

/* The caller holds: the phone hears of it, and back. */
START_TEST(hold_and_resume)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8", "sendonly"));
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	ck_assert_str_eq(
		msg_tag(s.phone.rx, "To"), strstr(s.called.local, ";tag=") + 5);
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8", "recvonly"));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.itsp.rx), "a=recvonly"));
	ck_assert_uint_eq(sdp_port_of(msg_body(s.itsp.rx)), 40004);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	/* On hold nobody is missed who must not send. */
	ck_assert(!s.w->want->called->may_send);
	ck_assert(!s.w->want->called->must_send);
	ck_assert(s.w->want->caller->must_send);
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8", NULL));
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendrecv"));
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert(s.w->want->called->must_send);
	finish(&s);
}
END_TEST

/* The phone holds, with inactive and with 0.0.0.0. */
START_TEST(hold_from_called)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.called, "INVITE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8", "inactive"));
	sp_expect(&s.itsp, "INVITE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "a=inactive"));
	dl_answer(
		&s.caller, s.itsp.rx, 200, NULL, offer_of(&s, "8", "inactive"));
	sp_expect(&s.itsp, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=inactive"));
	dl_ack(&s.called, NULL);
	cw_turn(s.w);
	ck_assert(!s.w->want->called->may_send);
	ck_assert(!s.w->want->caller->may_send);
	dl_request(&s.called, "INVITE", NULL, "application/sdp",
		"v=0\r\no=- 1 9 IN IP4 192.0.2.5\r\ns=-\r\n"
		"c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 7000 RTP/AVP 8\r\n");
	sp_expect(&s.itsp, "INVITE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "a=sendonly"));
	ck_assert(!msg_has(msg_body(s.itsp.rx), "0.0.0.0"));
	dl_answer(
		&s.caller, s.itsp.rx, 200, NULL, offer_of(&s, "8", "recvonly"));
	sp_expect(&s.itsp, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 200");
	dl_ack(&s.called, NULL);
	cw_turn(s.w);
	ck_assert(!s.w->want->called->may_receive);
	finish(&s);
}
END_TEST

/* Only the address changes: the far side need not know. */
START_TEST(new_address)
{
	struct scene s;
	uint32_t generation;

	sc_begin(&s, NULL);
	sc_up(&s);
	generation = s.w->want->caller->learn_generation;
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		sdp_text(&s.itsp, 6666, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6666));
	ck_assert_uint_gt(s.w->want->caller->learn_generation, generation);
	dl_ack(&s.caller, NULL);
	sp_silent(&s.phone);
	finish(&s);
}
END_TEST

/* A change that the other side refuses leaves everything as it was. */
START_TEST(refused_change)
{
	struct scene s;
	unsigned wants;

	sc_begin(&s, NULL);
	sc_up(&s);
	wants = s.w->n_wants;
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8", "sendonly"));
	sp_expect(&s.phone, "INVITE ");
	dl_answer(&s.called, s.phone.rx, 488, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 488");
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->n_wants, wants);
	/* Nor does one that mediad cannot do. */
	s.w->media_refuses = REASON_SESSION_REFUSED;
	s.w->refuses_once = true;
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		sdp_text(&s.itsp, 6666, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 50");
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	/* T.38 and broken descriptions do not even reach it. */
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		"v=0\r\no=- 1 9 IN IP4 192.0.2.5\r\ns=-\r\n"
		"c=IN IP4 192.0.2.5\r\nt=0 0\r\nm=image 6000 udptl t38\r\n");
	sp_expect(&s.itsp, "SIP/2.0 488");
	dl_ack(&s.caller, NULL);
	dl_request(&s.caller, "INVITE", NULL, "application/sdp", "v=1\r\n");
	sp_expect(&s.itsp, "SIP/2.0 400");
	dl_ack(&s.caller, NULL);
	dl_request(&s.caller, "INVITE", NULL, "text/plain", "hello");
	sp_expect(&s.itsp, "SIP/2.0 415");
	dl_ack(&s.caller, NULL);
	sp_silent(&s.phone);
	finish(&s);
}
END_TEST

/* Both sides hold in the same moment. */
START_TEST(glare)
{
	struct scene s;
	char theirs[CW_TEXT];

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8", "sendonly"));
	sp_expect(&s.phone, "INVITE ");
	snprintf(theirs, sizeof theirs, "%s", s.phone.rx);
	dl_request(&s.called, "INVITE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8", "sendonly"));
	sp_expect(&s.phone, "SIP/2.0 491");
	dl_ack(&s.called, NULL);
	dl_answer(&s.called, theirs, 491, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 491");
	dl_ack(&s.caller, NULL);
	/* Who asks again alone gets it. */
	dl_request(&s.called, "INVITE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8", "sendonly"));
	sp_expect(&s.itsp, "INVITE ");
	dl_answer(
		&s.caller, s.itsp.rx, 200, NULL, offer_of(&s, "8", "recvonly"));
	sp_expect(&s.itsp, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 200");
	dl_ack(&s.called, NULL);
	finish(&s);
}
END_TEST

/* A re-INVITE without an offer: ours is in the 200, the answer in the ACK. */
START_TEST(offerless_change)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "INVITE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_uint_eq(sdp_port_of(msg_body(s.itsp.rx)), 40004);
	sp_silent(&s.phone);
	dl_ack(&s.caller, offer_of(&s, "8 101", "sendonly"));
	/* It is a hold after all: the phone hears of it now. */
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	ck_assert(!s.w->want->called->may_send);
	dl_request(&s.caller, "INVITE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_ack(&s.caller, NULL); /* owes an answer: nothing changes */
	finish(&s);
}
END_TEST

START_TEST(update)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "UPDATE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_silent(&s.phone);
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.itsp, "INVITE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL,
		offer_of(&s, "8 101", "recvonly"));
	sp_expect(&s.itsp, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=recvonly"));
	finish(&s);
}
END_TEST

/* The caller takes its change back while the phone is being asked. */
START_TEST(cancelled_change)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8 101", "sendonly"));
	sp_expect(&s.phone, "INVITE ");
	dl_cancel(&s.caller);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 487");
	dl_ack(&s.caller, NULL);
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	sp_expect(&s.phone, "ACK ");
	/* The phone is brought back to what the caller knows. */
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendrecv"));
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	ck_assert(s.w->want->called->may_send);
	finish(&s);
}
END_TEST

START_TEST(other_methods)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "OPTIONS", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_header_value(s.itsp.rx, "Allow", 0), "INVITE"));
	ck_assert(!msg_has(msg_header_value(s.itsp.rx, "Allow", 0), "REFER"));
	dl_request(&s.called, "REFER", "Refer-To: <sip:x@192.0.2.1>\r\n", NULL,
		NULL);
	sp_expect(&s.phone, "SIP/2.0 405");
	ck_assert_str_ne(msg_header_value(s.phone.rx, "Allow", 0), "");
	dl_request(&s.called, "MESSAGE", NULL, "text/plain", "hi");
	sp_expect(&s.phone, "SIP/2.0 405");
	dl_request(&s.caller, "INVITE", "Require: frobnicate\r\n",
		"application/sdp", offer_of(&s, "8", "sendonly"));
	sp_expect(&s.itsp, "SIP/2.0 420");
	ck_assert_str_eq(
		msg_header_value(s.itsp.rx, "Unsupported", 0), "frobnicate");
	dl_ack(&s.caller, NULL);
	sp_silent(&s.phone);
	dl_request(&s.caller, "INFO", NULL, "application/dtmf-relay",
		"Signal=7\r\nDuration=250\r\nSecret=x\r\n");
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.phone, "INFO ");
	ck_assert_str_eq(msg_body(s.phone.rx), "Signal=7\r\nDuration=250\r\n");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_request(&s.called, "INFO", NULL, "application/dtmf", "#");
	sp_expect(&s.phone, "SIP/2.0 200");
	sp_expect(&s.itsp, "INFO ");
	ck_assert_str_eq(msg_body(s.itsp.rx), "Signal=#\r\nDuration=160\r\n");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	dl_request(&s.called, "INFO", NULL, "text/plain", "Signal=1");
	sp_expect(&s.phone, "SIP/2.0 415");
	ck_assert(msg_has(msg_header_value(s.phone.rx, "Accept", 0), "dtmf"));
	sp_silent(&s.itsp);
	finish(&s);
}
END_TEST

/* The far side has forgotten the dialog. */
START_TEST(dialog_gone)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "INFO", NULL, "application/dtmf", "1");
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.phone, "INFO ");
	dl_answer(&s.called, s.phone.rx, 481, NULL, NULL);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 481, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_DIALOG_GONE, 200, "called");
	sc_end(&s);
}
END_TEST

/* A trunk speaks from its own addresses only. */
START_TEST(foreign_source)
{
	struct scene s;
	struct sip_peer other;
	struct dialog d;

	sc_begin(&s, NULL);
	sc_up(&s);
	sp_open(s.w, &other, 3); /* a trunk, but another one */
	d = s.caller;
	dl_request_from(&d, &other, "BYE", NULL, NULL, NULL);
	sp_expect(&other, "SIP/2.0 481");
	dl_request_from(&d, &other, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8", "inactive"));
	sp_expect(&other, "SIP/2.0 481");
	s.caller.cseq = d.cseq;
	sp_silent(&s.phone);
	sp_close(&other);
	finish(&s);
}
END_TEST

/* Another port of the same trunk's host is one of its sources. */
START_TEST(trunk_from_another_port)
{
	struct scene s;
	struct sip_peer other;

	sc_begin(&s, NULL);
	sc_up(&s);
	sp_open(s.w, &other, 2);
	dl_request_from(&s.caller, &other, "BYE", NULL, NULL, NULL);
	sp_expect(&other, "SIP/2.0 200");
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sp_close(&other);
	sc_end(&s);
}
END_TEST

static void authorize(const char *challenge, const char *user,
	const char *response, const char *method_uri, char line[1024])
{
	const char *value = msg_header_value(challenge, "WWW-Authenticate", 0);
	const char *nonce = strstr(value, "nonce=\"");

	ck_assert_ptr_nonnull(nonce);
	nonce += 7;
	snprintf(line, 1024,
		"Authorization: Digest username=\"%s\", realm=\"example.com\","
		" nonce=\"%.*s\", uri=\"%s\", response=\"%s\","
		" algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n",
		user, (int)strcspn(nonce, "\""), nonce, method_uri, response);
}

/* A phone that comes from elsewhere proves who it is, and the dialog moves. */
START_TEST(phone_moves)
{
	struct scene s;
	struct sip_peer other;
	char line[1024];
	uint32_t generation;

	sc_begin(&s, NULL);
	sc_up(&s);
	generation = s.w->want->called->learn_generation;
	sp_open(s.w, &other, 7);
	s.called.p = &other;
	dl_request(&s.called, "INVITE", NULL, "application/sdp",
		sdp_text(&other, 7300, "8 101", NULL));
	sp_expect(&other, "SIP/2.0 401");
	dl_ack(&s.called, NULL);
	authorize(other.rx, "u2", "good", s.called.target, line);
	dl_request(&s.called, "INVITE", line, "application/sdp",
		sdp_text(&other, 7300, "8 101", NULL));
	/* Right, but somebody else's. */
	sp_expect(&other, "SIP/2.0 403");
	dl_ack(&s.called, NULL);
	dl_request(&s.called, "OPTIONS", NULL, NULL, NULL);
	sp_expect(&other, "SIP/2.0 401");
	authorize(other.rx, "u1", "wrong", s.called.target, line);
	dl_request(&s.called, "OPTIONS", line, NULL, NULL);
	sp_expect(&other, "SIP/2.0 4");
	ck_assert_uint_eq(s.w->want->called->learn_generation, generation);
	dl_request(&s.called, "INVITE", NULL, "application/sdp",
		sdp_text(&other, 7300, "8 101", NULL));
	sp_expect(&other, "SIP/2.0 401");
	dl_ack(&s.called, NULL);
	authorize(other.rx, "u1", "good", s.called.target, line);
	dl_request(&s.called, "INVITE", line, "application/sdp",
		sdp_text(&other, 7300, "8 101", NULL));
	sp_expect(&other, "SIP/2.0 200");
	dl_ack(&s.called, NULL);
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(7, 7300));
	ck_assert_uint_gt(s.w->want->called->learn_generation, generation);
	/* From now on it is found there. */
	dl_request(&s.caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&other, "BYE ");
	dl_answer(&s.called, other.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sp_close(&other);
	sc_end(&s);
}
END_TEST

START_TEST(media_times_out)
{
	struct scene s;
	const Gh__Cdr *cdr;

	sc_begin(&s, NULL);
	sc_up(&s);
	cw_media_event(s.w, GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT, true);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_MEDIA_TIMEOUT, 200, "sbc");
	ck_assert_uint_ge(cdr->n_decisions, 3);
	sc_end(&s);
}
END_TEST

START_TEST(longest_duration)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	cw_fire(s.w, EV_LIFE);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_MAX_DURATION, 200, "sbc");
	sc_end(&s);
}
END_TEST

/* A dead peer: neither answers the BYE, the call is over all the same. */
START_TEST(dead_peers)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	cw_fire(s.w, EV_LIFE);
	sc_cdr(cw_cdr(s.w), REASON_CALL_MAX_DURATION, 200, "sbc");
	cw_wait_empty(s.w);
	while (recv(s.itsp.fd, s.itsp.rx, sizeof s.itsp.rx, 0) > 0)
		ck_assert_int_eq(strncmp(s.itsp.rx, "BYE ", 4), 0);
	while (recv(s.phone.fd, s.phone.rx, sizeof s.phone.rx, 0) > 0)
		ck_assert_int_eq(strncmp(s.phone.rx, "BYE ", 4), 0);
	sc_end(&s);
}
END_TEST

/* Talk goes on while mediad is away; it is told everything when it is back. */
START_TEST(mediad_comes_back)
{
	struct scene s;
	unsigned wants;

	sc_begin(&s, NULL);
	sc_up(&s);
	cw_mediad_stop(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		offer_of(&s, "8 101", "sendonly"));
	sp_expect(&s.phone, "INVITE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 503");
	dl_ack(&s.caller, NULL);
	wants = s.w->n_wants;
	cw_mediad_start(s.w);
	cw_turn(s.w);
	ck_assert_uint_gt(s.w->n_wants, wants);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	finish(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_inside");

	suite_add(s, "hold_and_resume", hold_and_resume);
	suite_add(s, "hold_from_called", hold_from_called);
	suite_add(s, "new_address", new_address);
	suite_add(s, "refused_change", refused_change);
	suite_add(s, "glare", glare);
	suite_add(s, "offerless_change", offerless_change);
	suite_add(s, "update", update);
	suite_add(s, "cancelled_change", cancelled_change);
	suite_add(s, "other_methods", other_methods);
	suite_add(s, "dialog_gone", dialog_gone);
	suite_add(s, "foreign_source", foreign_source);
	suite_add(s, "trunk_from_another_port", trunk_from_another_port);
	suite_add(s, "phone_moves", phone_moves);
	suite_add(s, "media_times_out", media_times_out);
	suite_add(s, "longest_duration", longest_duration);
	suite_add(s, "dead_peers", dead_peers);
	suite_add(s, "mediad_comes_back", mediad_comes_back);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
