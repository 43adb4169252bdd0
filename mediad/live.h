/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a media session outlives the process: the layout of mediad's records
 * in the live-state store (common/store.h), written out so that the next
 * version can read it. A session has two records:
 *
 *	LIVE_PLAN	what sbc wants and which ports and keys there are;
 *			replaced whole with each wanted state, before any packet
 *			goes by it
 *	LIVE_WORDS	what packets change: live words, never replaced. Its
 *			worker writes them, nobody else
 *
 * A third kind, LIVE_FAREWELL, is the last word about a session that has ended.
 *
 * Plan and words are tied by numbers: `birth` counts the legs of a side,
 *`rx_key` and `tx_key` its keys. Words of a lower number are of the past: the
 *kill came before the worker had begun, and nothing was sent yet.
 *
 * The first two words of each record are magic and layout. A number below
 * stands for one layout for ever; see live.c for reading.
 */
#ifndef MEDIAD_LIVE_H
#define MEDIAD_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "mediad/srtp.h"

/** Version of all records below. */
#define LIVE_LAYOUT     1u
#define LIVE_MAGIC      0x4c4d4847u /* "GHML" */

#define LIVE_CALL_SIZE  24u
#define LIVE_CNAME_SIZE 24u
#define LIVE_CODEC_SIZE 24u
#define LIVE_DROP_WORDS 24u /* reasons 600 to 647, two in each word */

enum live_type {
	LIVE_WORDS = 1,
	LIVE_PLAN = 2,
	LIVE_FAREWELL = 3,
};

/** First in each record. */
struct live_head {
	uint32_t magic;
	uint32_t layout;
	uint32_t size; /* of the fixed part, this included */
	uint32_t zero;
	char call[LIVE_CALL_SIZE];
};

/** An address in four words; all zeros = none. */
struct live_words_addr {
	uint64_t word[4]; /* the last one is written last */
};

/** One side's live words (store_word_set); all zeros = no value. */
struct live_leg {
	/* Received: one cache line per packet. */
	uint64_t rx_ssrc;
	uint64_t rx_seq; /* extended */
	uint64_t rx_received;
	uint64_t rx_ts;
	uint64_t rx_at; /* monotonic us, as all times here */
	uint64_t rx_packets;
	uint64_t rx_octets;
	uint64_t rx_spare;
	/* Sent: one cache line per packet. */
	uint64_t tx_seq;   /* highest number that may have left */
	uint64_t tx_joint; /* seq_add << 32 | ts_add; none = to be joined */
	uint64_t tx_ts;
	uint64_t tx_ts_at;
	uint64_t tx_packets;
	uint64_t tx_octets;
	struct srtp_tx_words tx_srtp;
	/* To what the words belong. */
	uint64_t birth;
	uint64_t rx_key;
	uint64_t tx_key;
	/* Now and then. */
	uint64_t tx_clock;
	uint64_t rx_base;
	uint64_t rx_clock;
	uint64_t rx_old_expected;
	uint64_t rx_old_received;
	uint64_t rx_transit;
	uint64_t rx_jitter_q4;
	uint64_t rx_jitter_us;
	uint64_t flags;
	uint64_t must_send_since;
	uint64_t last_alive;
	uint64_t ssrc_free_until;
	uint64_t relearn_packets;
	uint64_t gap_max;
	uint64_t first_wall; /* in units of 16 us since 1970 */
	uint64_t icmp;
	uint64_t rtcp_rx;
	uint64_t rtcp_tx;
	uint64_t rtt;
	uint64_t peer_jitter;
	uint64_t peer_lost; /* 2^24 more than it is */
	uint64_t codec_pt;
	uint64_t opinion; /* 1 << 32 | buffer_ms << 16 | discarded << 8 | mos */
	uint64_t digits;
	uint64_t spare[3];
	struct live_words_addr peer;
	struct live_words_addr rtcp_peer;
	struct live_words_addr refused;
	uint64_t drops[LIVE_DROP_WORDS];
	struct srtp_rx_words rx_srtp;
};

struct live_words {
	struct live_head head;
	struct live_leg leg[2]; /* the live bytes of the record */
};

struct live_addr {
	uint8_t ip[16];
	uint32_t scope_id;
	uint16_t port;
	uint8_t family; /* 4, 6, or 0 = none */
	uint8_t zero;
};

struct live_net {
	struct live_addr base;
	uint8_t prefix_len;
	uint8_t zero[7];
};

struct live_key {
	uint8_t suite; /* enum srtp_suite */
	uint8_t len;
	uint8_t bytes[46];
};

struct live_rule {
	char codec[LIVE_CODEC_SIZE];
	uint32_t clock;
	uint32_t ptime_us;
	uint16_t min_octets;
	uint16_t max_octets;
	uint16_t step;
	uint16_t rest;
	uint16_t nominal_octets;
	uint8_t pt;
	uint8_t peer_pt;
	uint8_t event;
	uint8_t zero[3];
};

struct live_side {
	uint8_t wanted;
	uint8_t may_send;
	uint8_t must_send;
	uint8_t may_receive;
	uint8_t rtcp_mux;
	uint8_t srtp_required;
	uint8_t dscp;
	uint8_t nat;
	uint8_t behind_nat;
	uint8_t rtcp_open;
	uint8_t n_rules;
	uint8_t n_networks;
	uint32_t realm;
	uint32_t learn_generation;
	uint32_t birth;
	uint32_t rx_key_number;
	uint32_t tx_key_number;
	uint32_t packets_per_s;
	uint32_t octets_per_s;
	uint64_t timeout_us;
	uint32_t ssrc;
	uint32_t first_ts; /* what the stream began with */
	uint16_t first_seq;
	uint8_t rtcp_xr;
	uint8_t zero;
	uint32_t tx_ptime_us;
	char cname[LIVE_CNAME_SIZE];
	struct live_addr rtp;
	struct live_addr signaled;
	struct live_addr signaling;
	struct live_addr remote_rtcp;
	struct live_key receive;
	struct live_key send;
};

/** Behind it: rules of both sides, then networks of both. */
struct live_plan {
	struct live_head head;
	uint32_t version;
	uint32_t zero;
	uint64_t opened_wall_us;
	struct live_side side[2];
};

struct live_drop {
	uint32_t reason;
	uint32_t n;
};

/** Last figures of a side. */
struct live_figures {
	uint64_t rx_packets, rx_octets, tx_packets, tx_octets;
	uint64_t rtcp_rx, rtcp_tx, icmp;
	uint64_t wall_first_us, wall_last_us, gap_max_us;
	uint64_t expected, lost, peer_lost;
	uint32_t jitter_us, rtt_us, peer_jitter_us, ptime_us;
	uint32_t codec_clock, learned;
	char codec[LIVE_CODEC_SIZE];
	struct live_addr peer;
	struct live_addr refused;
	struct live_drop drops[48]; /* n = 0: not used */
};

struct live_farewell {
	struct live_head head;
	uint64_t request;
	uint64_t ended_wall_us;
	uint32_t reason;
	uint32_t zero;
	struct live_figures side[2];
};

/* Layout 1. */
_Static_assert(sizeof(struct live_head) == 40, "layout 1");
_Static_assert(offsetof(struct live_leg, tx_seq) == 64, "layout 1");
_Static_assert(offsetof(struct live_leg, birth) == 128, "layout 1");
_Static_assert(offsetof(struct live_leg, peer) == 368, "layout 1");
_Static_assert(offsetof(struct live_leg, drops) == 464, "layout 1");
_Static_assert(offsetof(struct live_leg, rx_srtp) == 656, "layout 1");
_Static_assert(sizeof(struct live_leg) == 1040, "layout 1");
_Static_assert(sizeof(struct live_addr) == 24, "layout 1");
_Static_assert(sizeof(struct live_net) == 32, "layout 1");
_Static_assert(sizeof(struct live_key) == 48, "layout 1");
_Static_assert(sizeof(struct live_rule) == 48, "layout 1");
_Static_assert(offsetof(struct live_side, timeout_us) == 40, "layout 1");
_Static_assert(offsetof(struct live_side, cname) == 64, "layout 1");
_Static_assert(offsetof(struct live_side, rtp) == 88, "layout 1");
_Static_assert(offsetof(struct live_side, receive) == 184, "layout 1");
_Static_assert(sizeof(struct live_side) == 280, "layout 1");
_Static_assert(offsetof(struct live_plan, side) == 56, "layout 1");
_Static_assert(sizeof(struct live_plan) == 616, "layout 1");
_Static_assert(offsetof(struct live_figures, codec) == 128, "layout 1");
_Static_assert(sizeof(struct live_figures) == 584, "layout 1");
_Static_assert(sizeof(struct live_farewell) == 1232, "layout 1");

/** A slot of the store holds a record of words: 64 of its own, head, words. */
#define LIVE_SLOT_SIZE 2240u
_Static_assert(64 + sizeof(struct live_words) <= LIVE_SLOT_SIZE, "one slot");
_Static_assert(64 + sizeof(struct live_farewell) <= LIVE_SLOT_SIZE, "one slot");

#endif
