/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dialogs. A call is told by its number: the caller's Call-ID and the
 * called side's tag hold it. What the server under test does on its own inside
 * a dialog (OPTIONS, a refresh) is answered; a BYE that nobody asked for is a
 * lost call. RFC 3261 sections 12, 13, 15, 17.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/chaos/talk.h"

#define T1_NS     (500 * NS_PER_MS)
#define T2_NS     (4 * NS_PER_S)
#define PATIENCE  (32 * NS_PER_S) /* 64 * T1 */
#define SETUP_NS  (60 * NS_PER_S)
#define ANSWER_NS (30 * NS_PER_MS)

static void send_out(
	const struct talk *t, enum side side, const char *bytes, size_t len)
{
	(void)sendto(t->sip[side], bytes, len, 0,
		(const struct sockaddr *)&t->server[side],
		sizeof(t->server[side]));
}

static void send_once(
	const struct talk *t, enum side side, const struct sip_out *out)
{
	if (!out->overflow)
		send_out(t, side, out->bytes, out->len);
}

static void send_until(const struct talk *t, struct repeat *r, enum side side,
	const struct sip_out *out, uint64_t patience_ns)
{
	uint64_t now = talk_now_ns();

	memcpy(r->bytes, out->bytes, out->len);
	r->len = out->overflow ? 0 : out->len;
	r->side = side;
	r->interval_ns = T1_NS;
	r->again_ns = now + T1_NS;
	r->give_up_ns = now + patience_ns;
	send_out(t, side, r->bytes, r->len);
}

static void copy(char to[TEXT_SIZE], struct sip_text from)
{
	size_t n = from.len < TEXT_SIZE - 1 ? from.len : TEXT_SIZE - 1;

	memcpy(to, from.at, n);
	to[n] = '\0';
}

/* ------------------------------------------------------------- requests */

static void request(const struct talk *t, const struct slot *s, enum side side,
	const char *method, unsigned cseq, struct sip_out *out)
{
	sip_add(out,
		"%s %s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=z9hG4bK-%d-%u-%s%u;rport\r\n"
		"Max-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\n"
		"Call-ID: %s\r\nCSeq: %u %s\r\nContact: <sip:talk@%s>\r\n",
		method, s->target[side], t->host[side], side, s->number, method,
		cseq, s->local[side], s->remote[side],
		side == CALLER ? s->call_id : s->called_id, cseq, method,
		t->host[side]);
}

void sip_call(struct talk *t, struct slot *s)
{
	struct sip_out out = {.len = 0};
	char sdp[512];

	s->state = CALLING;
	s->number = NUMBER_BASE + (uint32_t)(s - t->slots) +
		    (uint32_t)t->n *
			    (s->number ? (s->number - NUMBER_BASE) /
							    (uint32_t)t->n +
						    1
				       : 0);
	s->began_ns = talk_now_ns();
	s->answered_ns = s->answer_ns = 0;
	s->ok_sent_ns = s->bye_sent_ns = s->bye_known_ns = 0;
	s->provisional = s->got_ack = s->bye_answered = s->bye_seen = false;
	s->answer.len = 0;
	s->called_id[0] = '\0';
	media_new_key(s);
	snprintf(s->call_id, sizeof(s->call_id), "talk-%u@%s", s->number,
		t->ip[CALLER]);
	snprintf(s->target[CALLER], TEXT_SIZE, "sip:7%u@%s", s->number,
		t->ip[CALLER]);
	snprintf(s->local[CALLER], TEXT_SIZE, "<sip:+4989555000@%s>;tag=c%u",
		t->host[CALLER], s->number);
	snprintf(s->remote[CALLER], TEXT_SIZE, "<sip:7%u@%s>", s->number,
		t->ip[CALLER]);
	request(t, s, CALLER, "INVITE", 1, &out);
	sip_add(&out, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n");
	sip_end(&out, media_offer(t, s, CALLER, sdp));
	send_until(t, &s->request, CALLER, &out, SETUP_NS);
}

void sip_leave(struct talk *t, struct slot *s)
{
	struct sip_out out = {.len = 0};

	s->leaver = talk_random(t, 2) ? CALLED : CALLER;
	s->state = LEAVING;
	s->bye_sent_ns = talk_now_ns();
	s->due_ns = s->bye_sent_ns + PATIENCE;
	request(t, s, s->leaver, "BYE", 2, &out);
	sip_end(&out, NULL);
	send_until(t, &s->request, s->leaver, &out, PATIENCE);
}

static void ack(
	const struct talk *t, const struct slot *s, const struct sip_msg *m)
{
	struct sip_out out = {.len = 0};

	/* Of a failure it belongs to the INVITE's transaction. */
	if (m->status >= 300)
		sip_add(&out,
			"ACK %s SIP/2.0\r\nVia: SIP/2.0/UDP "
			"%s;branch=z9hG4bK-%d-%u-INVITE1;rport\r\n"
			"Max-Forwards: 70\r\nFrom: %.*s\r\nTo: %.*s\r\n"
			"Call-ID: %.*s\r\nCSeq: 1 ACK\r\n",
			s->target[CALLER], t->host[CALLER], CALLER, s->number,
			(int)m->from.len, m->from.at, (int)m->to.len, m->to.at,
			(int)m->call_id.len, m->call_id.at);
	else
		request(t, s, CALLER, "ACK", 1, &out);
	sip_end(&out, NULL);
	send_once(t, CALLER, &out);
}

/* -------------------------------------------------------------- answers */

static void on_setup_answer(
	struct talk *t, struct slot *s, const struct sip_msg *m)
{
	uint64_t now = talk_now_ns();

	if (m->status < 200) {
		s->provisional = true;
		return;
	}
	if (m->status >= 300) {
		ack(t, s, m);
		if (s->state == CALLING)
			talk_over(t, s, "refused", m->status, "answer");
		return;
	}
	if (s->state == CALLING) {
		copy(s->target[CALLER], sip_address(m->contact));
		copy(s->remote[CALLER], m->to);
		if (!media_take(s, CALLER, m->body)) {
			talk_over(t, s, "lost", m->status, "description");
			return;
		}
		s->state = TALKING;
		s->request.len = 0;
		s->answered_ns = now;
		s->due_ns = now + t->hold_min_ns +
			    talk_random(t, t->hold_max_ns - t->hold_min_ns + 1);
		media_start(s, now);
	}
	ack(t, s, m);
}

/* The server shows that it has the BYE: by either of two messages. */
static void bye_is_known(struct slot *s)
{
	if (!s->bye_known_ns)
		s->bye_known_ns = talk_now_ns();
}

static void over_if_both(struct talk *t, struct slot *s)
{
	if (s->bye_answered && s->bye_seen)
		talk_over(t, s, "ok", 200,
			s->leaver == CALLER ? "caller" : "called");
}

static void on_answer(
	struct talk *t, struct slot *s, enum side side, const struct sip_msg *m)
{
	if (side == CALLER && sip_is(m->cseq, "1 INVITE")) {
		on_setup_answer(t, s, m);
		return;
	}
	if (!sip_is(m->cseq, "2 BYE") || m->status < 200 ||
		s->state != LEAVING || side != s->leaver)
		return;
	s->request.len = 0;
	if (m->status != 200) {
		talk_over(t, s, "lost", m->status, "answer_to_bye");
		return;
	}
	s->bye_answered = true;
	bye_is_known(s);
	over_if_both(t, s);
}

static void answer(const struct talk *t, enum side side,
	const struct sip_msg *m, const char *status, const char *tag,
	const char *sdp)
{
	struct sip_out out = {.len = 0};

	sip_answer(&out, m, status, tag);
	if (sdp)
		sip_add(&out, "Contact: <sip:talk@%s>\r\n", t->host[side]);
	sip_end(&out, sdp);
	send_once(t, side, &out);
}

static void ok_is_out(struct slot *s, uint64_t now)
{
	if (!s->ok_sent_ns)
		s->ok_sent_ns = now;
}

/* The first INVITE at the called side: 180 now, 200 a little later. */
static void on_invite(
	const struct talk *t, struct slot *s, const struct sip_msg *m)
{
	struct sip_out ringing = {.len = 0}, ok = {.len = 0};
	char tag[32], sdp[512];

	if (s->called_id[0]) { /* again */
		if (s->answer.len) {
			ok_is_out(s, talk_now_ns());
			send_out(t, CALLED, s->answer.bytes, s->answer.len);
		}
		return;
	}
	if (!media_take(s, CALLED, m->body)) {
		answer(t, CALLED, m, "488 No", "x", NULL);
		return;
	}
	snprintf(tag, sizeof(tag), "s%u", s->number);
	copy(s->called_id, m->call_id);
	copy(s->target[CALLED], sip_address(m->contact));
	copy(s->remote[CALLED], m->from);
	snprintf(s->local[CALLED], TEXT_SIZE, "%.*s;tag=%s", (int)m->to.len,
		m->to.at, tag);
	sip_answer(&ringing, m, "180 Ringing", tag);
	sip_add(&ringing, "Contact: <sip:talk@%s>\r\n", t->host[CALLED]);
	sip_end(&ringing, NULL);
	send_once(t, CALLED, &ringing);
	sip_answer(&ok, m, "200 OK", tag);
	sip_add(&ok, "Contact: <sip:talk@%s>\r\n", t->host[CALLED]);
	sip_end(&ok, media_offer(t, s, CALLED, sdp));
	memcpy(s->answer.bytes, ok.bytes, ok.len);
	s->answer.len = ok.overflow ? 0 : ok.len;
	s->answer.side = CALLED;
	s->answer.interval_ns = T1_NS;
	s->answer_ns = talk_now_ns() + ANSWER_NS;
	s->answer.again_ns = s->answer_ns;
	s->answer.give_up_ns = s->answer_ns + PATIENCE;
}

static void on_bye(
	struct talk *t, struct slot *s, enum side side, const struct sip_msg *m)
{
	answer(t, side, m, "200 OK", NULL, NULL);
	if (s->state == LEAVING && side != s->leaver) {
		s->bye_seen = true;
		bye_is_known(s);
		over_if_both(t, s);
	} else if (s->state == TALKING) {
		talk_over(t, s, "lost", 0, "bye_of_the_server");
	}
}

static void on_request(
	struct talk *t, struct slot *s, enum side side, const struct sip_msg *m)
{
	const bool inside = sip_parameter(m->to, ";tag=").len > 0;
	char sdp[512];

	if (sip_is(m->method, "ACK")) {
		s->got_ack = true;
		if (side == CALLED)
			s->answer.len = 0;
	} else if (sip_is(m->method, "BYE")) {
		on_bye(t, s, side, m);
	} else if (sip_is(m->method, "INVITE") && !inside && side == CALLED) {
		on_invite(t, s, m);
	} else if (sip_is(m->method, "INVITE")) {
		answer(t, side, m, "200 OK", NULL,
			media_offer(t, s, side, sdp));
	} else {
		answer(t, side, m, "200 OK", inside ? NULL : "x", NULL);
	}
}

/* -------------------------------------------------------------- receive */

static struct slot *slot_of(
	struct talk *t, struct sip_text text, const char *mark)
{
	const char *at = memmem(text.at, text.len, mark, strlen(mark));
	unsigned long n;
	struct slot *s;

	if (!at)
		return NULL;
	n = strtoul(at + strlen(mark), NULL, 10);
	if (n < NUMBER_BASE)
		return NULL;
	s = &t->slots[(n - NUMBER_BASE) % t->n];
	return s->number == n && s->state != IDLE ? s : NULL;
}

static struct slot *find(
	struct talk *t, enum side side, const struct sip_msg *m)
{
	struct sip_text own = m->status ? m->from : m->to;

	if (side == CALLER)
		return slot_of(t, m->call_id, "talk-");
	if (sip_parameter(own, ";tag=").len)
		return slot_of(t, own, ";tag=s");
	return slot_of(t, m->uri, "sip:7");
}

/* Of a call that is over here: the other half may just learn of it. */
static void nobody(struct talk *t, enum side side, const struct sip_msg *m)
{
	if (m->status || sip_is(m->method, "ACK"))
		return;
	if (sip_is(m->method, "INVITE"))
		answer(t, side, m, "486 Busy Here", "x", NULL);
	else
		answer(t, side, m, "200 OK", "x", NULL);
}

void sip_receive(struct talk *t, enum side side)
{
	char bytes[SIP_BYTES + 1];
	struct sip_msg m;
	struct slot *s;

	for (int i = 0; i < 64; i++) {
		ssize_t n = recv(t->sip[side], bytes, SIP_BYTES, MSG_DONTWAIT);

		if (n < 0)
			return;
		bytes[n] = '\0';
		if (!sip_read(bytes, (size_t)n, &m))
			continue;
		s = find(t, side, &m);
		if (!s)
			nobody(t, side, &m);
		else if (m.status)
			on_answer(t, s, side, &m);
		else
			on_request(t, s, side, &m);
	}
}

/* ----------------------------------------------------------------- time */

static bool repeat_turn(
	const struct talk *t, struct repeat *r, uint64_t now, bool silent)
{
	if (r->len == 0)
		return true;
	if (now > r->give_up_ns)
		return false;
	if (silent || now < r->again_ns)
		return true;
	send_out(t, r->side, r->bytes, r->len);
	r->again_ns = now + r->interval_ns;
	r->interval_ns =
		r->interval_ns * 2 < T2_NS ? r->interval_ns * 2 : T2_NS;
	return true;
}

void sip_turn(struct talk *t, struct slot *s, uint64_t now)
{
	if (s->answer.len && now >= s->answer_ns)
		ok_is_out(s, now);
	(void)repeat_turn(t, &s->answer, now, now < s->answer_ns);
	if (!repeat_turn(t, &s->request, now,
		    s->state == CALLING && s->provisional)) {
		talk_over(t, s, "lost", 0,
			s->state == CALLING ? "no_answer" : "no_answer_to_bye");
		return;
	}
	if (s->state == LEAVING && now > s->due_ns)
		talk_over(t, s, "lost", 0, "no_bye_at_the_other_side");
}
