/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leg <-> live words. Each word is whole, but a kill may come between two of
 * them; so their order is such that the earlier ones alone are harmless: the
 * number of a sent packet comes before its time, and while offsets are changed
 * there are none, which makes the next packet a joint.
 *
 * After a restart nothing that was received before is taken again: the window
 * of a source is full, and received numbers that would lie at or below what was
 * sent have no place in the map any more (stream.c, `floor`).
 *
 * Called by path.c, watch.c, worker.c on the worker's thread, save_parts() by
 * session.c.
 */
#include "mediad/save.h"

#include <string.h>

#include "common/clock.h"
#include "common/store.h"
#include "mediad/trouble.h"

#define FIRST_REASON   600u /* of drops[], by the reasons' numbers */
#define N_REASONS      (2 * LIVE_DROP_WORDS)
#define DROP_BITS      24u
#define DROP_MAX       ((1u << DROP_BITS) - 1)
#define WALL_UNIT_US   16u
#define PEER_LOST_ZERO (1 << 24)
#define NO_BAD_SEQ     0x10000u
#define OPINION_SAID   (UINT64_C(1) << 32)

enum flag {
	FLAG_RELEARN = 1 << 2, /* below: enum leg_lock */
	FLAG_MOVED = 1 << 3,
	FLAG_FLOWING = 1 << 4,
	FLAG_TIMED_OUT = 1 << 5,
	FLAG_ONE_WAY = 1 << 6,
};

static void put(uint64_t *word, uint64_t value)
{
	store_word_set(word, value);
}

/* A word's value, or what stands for none and for a damaged one. */
static uint64_t get(const uint64_t *word, uint64_t otherwise)
{
	uint64_t value;

	if (*word == 0 || store_word_get(word, &value))
		return otherwise;
	return value;
}

/* ------------------------------------------------------------ per packet */

void save_begin(struct live_leg *w, uint32_t birth)
{
	const struct live_leg none = {.birth = w->birth};

	*w = none;
	put(&w->birth, birth);
}

void save_received(struct leg *l)
{
	struct live_leg *w = l->words;
	const struct source *s = &l->rx;

	if (w == NULL)
		return;
	put(&w->rx_ssrc, s->ssrc);
	put(&w->rx_seq, source_extended(s));
	put(&w->rx_received, s->received);
	put(&w->rx_ts, s->ts);
	put(&w->rx_at, s->at_us);
	put(&w->rx_packets, l->n.rx_packets);
	put(&w->rx_octets, l->n.rx_octets);
}

/* Offsets change at joints and insertions only. */
static uint64_t joint_of(const struct stream *s)
{
	return s->joined
		       ? store_word_make((uint64_t)s->seq_add << 32 | s->ts_add)
		       : 0;
}

void save_sent(struct leg *l)
{
	struct live_leg *w = l->words;
	const struct stream *s = &l->tx;
	uint64_t joint;

	if (w == NULL)
		return;
	joint = joint_of(s);
	if (w->tx_joint != joint) {
		__atomic_store_n(&w->tx_joint, 0, __ATOMIC_RELEASE);
		put(&w->tx_clock, s->clock);
	}
	put(&w->tx_seq, s->seq);
	put(&w->tx_ts, s->ts);
	put(&w->tx_ts_at, s->ts_us);
	__atomic_store_n(&w->tx_joint, joint, __ATOMIC_RELEASE);
}

void save_sent_figures(struct leg *l)
{
	if (l->words == NULL)
		return;
	put(&l->words->tx_packets, l->n.tx_packets);
	put(&l->words->tx_octets, l->n.tx_octets);
}

/* ----------------------------------------------------------- now and then */

static void put_addr(struct live_words_addr *w, const struct addr *a)
{
	uint64_t v[4] = {0};
	uint64_t word[4];

	if (!addr_is_set(a) && w->word[3] == 0)
		return;
	if (addr_is_set(a)) {
		for (unsigned i = 0; i < 16; i++)
			v[i / 6] |= (uint64_t)a->ip[i] << i % 6 * 8;
		v[2] |= (uint64_t)a->port << 32;
		v[3] = (uint64_t)a->scope_id << 8 |
		       (a->family == AF_INET6 ? 6u : 4u);
		for (unsigned i = 0; i < 4; i++)
			word[i] = store_word_make(v[i]);
	} else {
		memset(word, 0, sizeof(word));
	}
	if (memcmp(w->word, word, sizeof(word)) == 0)
		return;
	/* None while it is between two. */
	__atomic_store_n(&w->word[3], 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 4; i++)
		__atomic_store_n(&w->word[i], word[i], __ATOMIC_RELEASE);
}

static struct addr get_addr(const struct live_words_addr *w)
{
	struct addr a = {0};
	uint64_t v[4];

	for (unsigned i = 0; i < 4; i++)
		if (w->word[i] == 0 || store_word_get(&w->word[i], &v[i]))
			return (struct addr){0};
	if ((v[3] & 0xff) != 4 && (v[3] & 0xff) != 6)
		return a;
	a.family = (v[3] & 0xff) == 6 ? AF_INET6 : AF_INET;
	a.scope_id = (uint32_t)(v[3] >> 8);
	a.port = (uint16_t)(v[2] >> 32);
	for (unsigned i = 0; i < 16; i++)
		a.ip[i] = (uint8_t)(v[i / 6] >> i % 6 * 8);
	return a;
}

static uint64_t flags_of(const struct leg *l)
{
	return (uint64_t)l->lock | (l->relearn ? FLAG_RELEARN : 0) |
	       (l->signaled_moved ? FLAG_MOVED : 0) |
	       (l->flowing ? FLAG_FLOWING : 0) |
	       (l->timed_out ? FLAG_TIMED_OUT : 0) |
	       (l->one_way ? FLAG_ONE_WAY : 0);
}

/* Where a reason of LEG_DROPS is counted, by its number, which never changes.
 * @return -1 for one that has no place. */
static int drop_place(size_t drop)
{
	uint32_t number = reason_number((enum reason)(REASON_RTP_OK + drop));

	if (number < FIRST_REASON || number >= FIRST_REASON + N_REASONS)
		return -1;
	return (int)(number - FIRST_REASON);
}

static void save_drops(struct leg *l)
{
	uint64_t v[LIVE_DROP_WORDS] = {0};

	if (!l->dropped)
		return;
	l->dropped = false;
	for (size_t i = 0; i < LEG_DROPS; i++) {
		uint64_t n = l->n.drops[i];
		int at = n ? drop_place(i) : -1;

		if (at >= 0)
			v[at / 2] |= (n < DROP_MAX ? n : DROP_MAX)
				     << (at % 2 ? DROP_BITS : 0);
	}
	for (unsigned i = 0; i < LIVE_DROP_WORDS; i++)
		put(&l->words->drops[i], v[i]);
}

static void save_source(struct leg *l)
{
	struct live_leg *w = l->words;
	const struct source *s = &l->rx;

	if (!s->heard)
		return;
	put(&w->rx_base, s->base);
	put(&w->rx_clock, s->clock);
	put(&w->rx_old_expected, s->old_expected);
	put(&w->rx_old_received, s->old_received);
	put(&w->rx_transit, s->transit);
	put(&w->rx_jitter_q4, s->jitter_q4);
	put(&w->rx_jitter_us, s->jitter_us);
}

static uint64_t opinion_word(const struct leg_opinion *o)
{
	return OPINION_SAID | (uint64_t)o->buffer_ms << 16 |
	       (uint64_t)o->discarded << 8 | o->mos;
}

static struct leg_opinion opinion_of(uint64_t word)
{
	return (struct leg_opinion){
		.said = (word & OPINION_SAID) != 0,
		.buffer_ms = (uint16_t)(word >> 16),
		.discarded = (uint8_t)(word >> 8),
		.mos = (uint8_t)word,
	};
}

void save_slow(struct leg *l)
{
	struct live_leg *w = l->words;

	if (w == NULL)
		return;
	save_source(l);
	save_drops(l);
	put_addr(&w->peer, &l->peer);
	put_addr(&w->rtcp_peer, &l->rtcp_peer);
	put_addr(&w->refused, &l->refused);
	put(&w->flags, flags_of(l));
	put(&w->must_send_since, l->must_send_since_us);
	put(&w->last_alive, l->last_alive_us);
	put(&w->ssrc_free_until, l->ssrc_free_until_us);
	put(&w->relearn_packets, l->relearn_packets);
	put(&w->gap_max, l->n.gap_max_us);
	if (l->started)
		put(&w->first_wall, l->n.wall_first_us / WALL_UNIT_US);
	put(&w->icmp, l->n.icmp);
	put(&w->rtcp_rx, l->n.rtcp_rx);
	put(&w->rtcp_tx, l->n.rtcp_tx);
	put(&w->rtt, l->rtt_us);
	put(&w->peer_jitter, l->peer_jitter_us);
	put(&w->peer_lost, (uint64_t)(l->peer_lost + PEER_LOST_ZERO));
	put(&w->digits, l->n.rx_digits);
	if (l->opinion.said)
		put(&w->opinion, opinion_word(&l->opinion));
	if (l->last_rule != NULL && l->last_rule->codec->kind < CODEC_EVENT)
		put(&w->codec_pt, l->last_rule->pt);
}

/* ---------------------------------------------------------- after a restart */

/* @return 0 and whether the word has that number; ERR_CORRUPT if it cannot be
 * read, is ahead, or is missing where there is something that it numbers. */
static int is_number(
	const uint64_t *word, uint32_t number, bool in_use, bool *same_out)
{
	uint64_t value = 0;

	if (*word == 0 && in_use)
		return ERR_CORRUPT;
	if (*word != 0 && (store_word_get(word, &value) || value > number))
		return ERR_CORRUPT;
	*same_out = *word != 0 && value == number;
	return 0;
}

int save_parts(const struct live_leg *w, uint32_t birth, uint32_t rx_key,
	uint32_t tx_key, struct save_parts *parts_out)
{
	struct save_parts p = {0};
	uint64_t value;
	int err;

	err = is_number(&w->birth, birth, w->tx_seq || w->rx_ssrc, &p.leg);
	if (err || !p.leg) {
		*parts_out = p;
		return err;
	}
	err = is_number(
		&w->rx_key, rx_key, w->rx_srtp.source[0].ssrc != 0, &p.rx_key);
	if (!err)
		err = is_number(&w->tx_key, tx_key,
			w->tx_srtp.rtp || w->tx_srtp.rtcp, &p.tx_key);
	if (!err && w->tx_seq)
		err = store_word_get(&w->tx_seq, &value);
	if (err)
		return err;
	*parts_out = p;
	return 0;
}

static uint64_t get_time(const uint64_t *word, uint64_t now_us)
{
	uint64_t v = get(word, 0);

	return v > now_us ? now_us : v;
}

static void resume_source(struct leg *l, uint64_t now_us)
{
	const struct live_leg *w = l->words;
	struct source *s = &l->rx;
	uint32_t seq = (uint32_t)get(&w->rx_seq, 0);

	if (w->rx_ssrc == 0 || w->rx_seq == 0)
		return;
	*s = (struct source){
		.heard = true,
		.ssrc = (uint32_t)get(&w->rx_ssrc, 0),
		.cycles = seq & 0xffff0000u,
		.max_seq = (uint16_t)seq,
		.base = (uint32_t)get(&w->rx_base, seq),
		.bad_seq = NO_BAD_SEQ,
		.seen = {~0ull, ~0ull},
		.ts = (uint32_t)get(&w->rx_ts, 0),
		.at_us = get_time(&w->rx_at, now_us),
		.received = (uint32_t)get(&w->rx_received, 1),
		.clock = (uint32_t)get(&w->rx_clock, 0),
		.transit = (uint32_t)get(&w->rx_transit, 0),
		.jitter_q4 = (uint32_t)get(&w->rx_jitter_q4, 0),
		.old_expected = get(&w->rx_old_expected, 0),
		.old_received = get(&w->rx_old_received, 0),
		.jitter_us = (uint32_t)get(&w->rx_jitter_us, 0),
	};
	if (s->base > seq)
		s->base = seq;
	if (s->received > seq - s->base + 1)
		s->received = seq - s->base + 1;
	s->expected_prior = seq - s->base + 1;
	s->received_prior = s->received;
}

static void resume_stream(struct leg *l, uint64_t now_us)
{
	const struct live_leg *w = l->words;
	struct stream *s = &l->tx;
	uint64_t joint;

	if (w->tx_seq == 0)
		return;
	s->started = true;
	s->seq = (uint16_t)get(&w->tx_seq, s->seq);
	s->ts = (uint32_t)get(&w->tx_ts, s->ts);
	s->ts_us = get_time(&w->tx_ts_at, now_us);
	s->clock = (uint32_t)get(&w->tx_clock, 0);
	if (w->tx_joint == 0 || store_word_get(&w->tx_joint, &joint) ||
		s->clock == 0)
		return;
	s->joined = true;
	s->seq_add = (uint16_t)(joint >> 32);
	s->ts_add = (uint32_t)joint;
	s->floor = (uint16_t)(s->seq + 1 - s->seq_add);
}

static void resume_drops(struct leg *l)
{
	for (size_t i = 0; i < LEG_DROPS; i++) {
		int at = drop_place(i);
		uint64_t v;

		if (at < 0)
			continue;
		v = get(&l->words->drops[at / 2], 0);
		l->n.drops[i] =
			(uint32_t)(v >> (at % 2 ? DROP_BITS : 0)) & DROP_MAX;
	}
}

static void resume_figures(struct leg *l, uint64_t now_us)
{
	const struct live_leg *w = l->words;

	l->n.rx_packets = get(&w->rx_packets, 0);
	l->n.rx_octets = get(&w->rx_octets, 0);
	l->n.tx_packets = get(&w->tx_packets, 0);
	l->n.tx_octets = get(&w->tx_octets, 0);
	l->n.rtcp_rx = get(&w->rtcp_rx, 0);
	l->n.rtcp_tx = get(&w->rtcp_tx, 0);
	l->n.icmp = get(&w->icmp, 0);
	l->n.gap_max_us = get(&w->gap_max, 0);
	l->n.wall_first_us = get(&w->first_wall, 0) * WALL_UNIT_US;
	l->rtt_us = (uint32_t)get(&w->rtt, 0);
	l->peer_jitter_us = (uint32_t)get(&w->peer_jitter, 0);
	l->peer_lost =
		(int64_t)get(&w->peer_lost, PEER_LOST_ZERO) - PEER_LOST_ZERO;
	l->n.rx_digits = (uint32_t)get(&w->digits, 0);
	l->opinion = opinion_of(get(&w->opinion, 0));
	l->last_rx_us = get_time(&w->rx_at, now_us);
	l->last_alive_us = get_time(&w->last_alive, now_us);
	if (l->last_alive_us < l->last_rx_us)
		l->last_alive_us = l->last_rx_us;
	l->must_send_since_us = get_time(&w->must_send_since, now_us);
	resume_drops(l);
}

void save_resume(struct leg *l, uint64_t now_us)
{
	const struct live_leg *w = l->words;
	uint64_t flags;
	struct addr peer;

	if (w == NULL)
		return;
	flags = get(&w->flags, LEG_LOCKED);
	resume_source(l, now_us);
	resume_stream(l, now_us);
	resume_figures(l, now_us);
	trouble_resume(l);
	l->started = l->n.rx_packets > 0;
	if (l->started && l->n.wall_first_us == 0)
		l->n.wall_first_us = clock_wall_us();
	l->flowing = flags & FLAG_FLOWING;
	l->timed_out = flags & FLAG_TIMED_OUT;
	l->one_way = flags & FLAG_ONE_WAY;
	l->ssrc_free_until_us = get(&w->ssrc_free_until, 0);
	l->rtcp_peer = get_addr(&w->rtcp_peer);
	l->refused = get_addr(&w->refused);
	if (w->codec_pt != 0 && leg_rule(l, (uint8_t)get(&w->codec_pt, 0))) {
		l->codec = l->last_rule->codec;
		l->ptime_us = l->last_rule->ptime_us;
	}
	peer = get_addr(&w->peer);
	l->relearn = flags & FLAG_RELEARN;
	l->signaled_moved = flags & FLAG_MOVED;
	l->relearn_packets = (unsigned)get(&w->relearn_packets, 0);
	leg_resume_peer(l, &peer,
		(flags & 3) == LEG_LOCKED && l->started && !l->relearn);
}
