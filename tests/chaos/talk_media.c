/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sound: G.711 packets of 20 ms whose payload says which call, which side
 * and which packet it is, so that a word of one call in another one, a packet
 * that came twice or a changed octet shows (RFC 3550, 3711, 4568).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mediad/srtp.h"
#include "tests/chaos/talk.h"

#define HEADER_LEN  12u
#define PAYLOAD_LEN 160u
#define BAD_TOLD    20
#define SUITE_NAME  "AES_CM_128_HMAC_SHA1_80"

#define BASE64_LEN  (MASTER_LEN / 3 * 4)

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "abcdefghijklmnopqrstuvwxyz0123456789+/";

static void to_text(const uint8_t *bytes, char text[BASE64_LEN + 1])
{
	for (size_t i = 0; i < MASTER_LEN; i += 3) {
		uint32_t three = (uint32_t)bytes[i] << 16 |
				 (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		for (int k = 0; k < 4; k++)
			*text++ = base64[three >> (18 - 6 * k) & 63];
	}
	*text = '\0';
}

static bool from_text(const char *text, uint8_t bytes[MASTER_LEN])
{
	for (size_t i = 0; i < BASE64_LEN; i += 4) {
		uint32_t three = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *at = text[i + k]
						 ? strchr(base64, text[i + k])
						 : NULL;

			if (!at)
				return false;
			three = three << 6 | (uint32_t)(at - base64);
		}
		for (int k = 0; k < 3; k++)
			*bytes++ = (uint8_t)(three >> (16 - 8 * k));
	}
	return true;
}

struct mark {
	uint32_t call, side, number, check;
};

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ (x >> 16);
}

static uint32_t check_of(const struct mark *m)
{
	return mix(mix(m->call * 2 + m->side) ^ m->number);
}

bool media_open(struct talk *t, struct slot *s)
{
	for (int i = 0; i < SIDES; i++) {
		struct stream *m = &s->stream[i];
		struct sockaddr_in at = t->own[i];
		/* Which stream it is stands in the event's data. */
		size_t index = (size_t)(s - t->slots) * SIDES + (size_t)i;
		struct epoll_event event = {
			.events = EPOLLIN, .data.u64 = SIDES + index};

		at.sin_port = htons((uint16_t)(10000 + 4 * (index / SIDES)));
		m->port = ntohs(at.sin_port);
		m->fd = talk_socket(t, (enum side)i, &at);
		if (m->fd < 0 ||
			epoll_ctl(t->epoll, EPOLL_CTL_ADD, m->fd, &event) < 0)
			return false;
	}
	return true;
}

void media_new_key(struct slot *s)
{
	if (getrandom(s->stream[CALLER].key, MASTER_LEN, 0) !=
		(ssize_t)MASTER_LEN)
		abort();
}

const char *media_offer(const struct talk *t, const struct slot *s,
	enum side side, char sdp[512])
{
	const bool secure = side == CALLER && s->secure;
	char text[64], crypto[128] = "";

	if (secure) {
		to_text(s->stream[side].key, text);
		snprintf(crypto, sizeof(crypto),
			"a=crypto:1 " SUITE_NAME " inline:%s\r\n", text);
	}
	snprintf(sdp, 512,
		"v=0\r\no=talk %u 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\n"
		"t=0 0\r\nm=audio %u RTP/%s 8\r\na=rtpmap:8 PCMA/8000\r\n"
		"%sa=ptime:20\r\na=sendrecv\r\n",
		s->number, t->ip[side], t->ip[side], s->stream[side].port,
		secure ? "SAVP" : "AVP", crypto);
	return sdp;
}

static const char *after(struct sip_text body, const char *words)
{
	const char *at = memmem(body.at, body.len, words, strlen(words));

	return at ? at + strlen(words) : NULL;
}

/* The far side's key, for what we hear, and ours for what we say. */
static bool take_keys(struct stream *m, struct sip_text body)
{
	struct srtp_master tx = {
		SRTP_SUITE_AES_CM_128_HMAC_SHA1_80, MASTER_LEN, {0}};
	struct srtp_master rx = tx;
	const char *key = after(body, SUITE_NAME " inline:");
	uint8_t bytes[MASTER_LEN];

	if (!key || body.at + body.len - key < (ptrdiff_t)BASE64_LEN ||
		!from_text(key, bytes))
		return false;
	memcpy(tx.bytes, m->key, MASTER_LEN);
	memcpy(rx.bytes, bytes, MASTER_LEN);
	return srtp_leg_new_sender(&tx, m->ssrc, &m->tx) == 0 &&
	       srtp_leg_new_receiver(&rx, &m->rx) == 0;
}

bool media_take(struct slot *s, enum side side, struct sip_text body)
{
	struct stream *m = &s->stream[side];
	const char *c = after(body, "c=IN IP4 "), *a = after(body, "m=audio ");
	struct sockaddr_in to = {.sin_family = AF_INET};
	char host[INET_ADDRSTRLEN] = "";
	uint32_t random[3];
	unsigned port;

	if (!c || !a ||
		getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return false;
	for (size_t i = 0; i + 1 < sizeof(host) && c[i] > ' '; i++)
		host[i] = c[i];
	port = (unsigned)strtoul(a, NULL, 10);
	to.sin_port = htons((uint16_t)port);
	if (port == 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
		connect(m->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	/* What the slot's last call left in the socket. */
	while (recv(m->fd, host, sizeof(host), MSG_DONTWAIT) >= 0)
		continue;
	m->ssrc = random[0];
	m->seq = (uint16_t)random[1];
	m->timestamp = random[2];
	m->number = 0;
	m->n_sent = m->n_heard = 0;
	srtp_leg_free(&m->tx);
	srtp_leg_free(&m->rx);
	return !(side == CALLER && s->secure) || take_keys(m, body);
}

void media_start(struct slot *s, uint64_t now)
{
	for (int i = 0; i < SIDES; i++) {
		s->stream[i].on = true;
		s->stream[i].heard_ns = now;
	}
}

void media_stop(struct slot *s)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	for (int i = 0; i < SIDES; i++) {
		s->stream[i].on = false;
		(void)connect(s->stream[i].fd, &nobody, sizeof(nobody));
		srtp_leg_free(&s->stream[i].tx);
		srtp_leg_free(&s->stream[i].rx);
	}
}

void media_send(struct talk *t, struct slot *s, enum side side)
{
	uint8_t packet[HEADER_LEN + PAYLOAD_LEN + SRTP_TRAILER_MAX] = {0x80, 8};
	struct stream *m = &s->stream[side];
	struct mark mark = {s->number, side, m->number++, 0};
	size_t len = HEADER_LEN + PAYLOAD_LEN;

	if (!m->on)
		return;
	mark.check = check_of(&mark);
	packet[2] = (uint8_t)(m->seq >> 8);
	packet[3] = (uint8_t)m->seq++;
	for (int i = 0; i < 4; i++) {
		packet[4 + i] = (uint8_t)(m->timestamp >> (24 - 8 * i));
		packet[8 + i] = (uint8_t)(m->ssrc >> (24 - 8 * i));
	}
	m->timestamp += PAYLOAD_LEN;
	memcpy(packet + HEADER_LEN, &mark, sizeof(mark));
	memset(packet + HEADER_LEN + sizeof(mark), (int)(mark.check & 0xff),
		PAYLOAD_LEN - sizeof(mark));
	if (m->tx && !srtp_leg_protect(m->tx, packet, &len))
		return;
	m->n_sent++;
	t->n_sent++;
	/* A port that is closed for a moment says so; the next one counts. */
	(void)send(m->fd, packet, len, MSG_DONTWAIT);
}

static bool right(const struct slot *s, enum side side, const uint8_t *payload,
	struct mark *mark)
{
	memcpy(mark, payload, sizeof(*mark));
	if (mark->call != s->number || mark->side != (uint32_t)!side ||
		mark->check != check_of(mark))
		return false;
	for (size_t i = sizeof(*mark); i < PAYLOAD_LEN; i++)
		if (payload[i] != (uint8_t)mark->check)
			return false;
	return true;
}

static void heard(struct talk *t, const struct slot *s, struct stream *m)
{
	uint64_t now = talk_now_ns(), gap;

	/* It may lie ahead after we stood still. */
	gap = now > m->heard_ns ? now - m->heard_ns : 0;

	m->heard_ns = now;
	m->n_heard++;
	t->n_heard++;
	if (gap <= t->gap_ns)
		return;
	t->gap_ns = gap;
	t->gap_call = s->number;
}

static void bad(struct talk *t, const struct slot *s, enum side side)
{
	if (t->n_bad++ < BAD_TOLD)
		printf("bad %llu 7%u %s %s\n",
			(unsigned long long)talk_now_ns(), s->number,
			side == CALLER ? "caller" : "called",
			s->secure ? "secure" : "plain");
}

void media_receive(struct talk *t, struct slot *s, enum side side)
{
	struct stream *m = &s->stream[side];
	uint8_t packet[2048];
	struct mark mark;

	for (int i = 0; i < 8; i++) {
		ssize_t n = recv(m->fd, packet, sizeof(packet), MSG_DONTWAIT);
		size_t len = (size_t)n;

		if (n < 0)
			return;
		if (!m->on)
			continue;
		if ((m->rx && srtp_leg_open(m->rx, packet, &len) !=
				      REASON_RTP_OK) ||
			len != HEADER_LEN + PAYLOAD_LEN ||
			!right(s, side, packet + HEADER_LEN, &mark))
			bad(t, s, side);
		else
			heard(t, s, m);
	}
}

uint64_t media_silence_ns(const struct slot *s, uint64_t now)
{
	uint64_t most = 0;

	for (int i = 0; i < SIDES; i++)
		if (s->stream[i].on && now > s->stream[i].heard_ns &&
			now - s->stream[i].heard_ns > most)
			most = now - s->stream[i].heard_ns;
	return most;
}
