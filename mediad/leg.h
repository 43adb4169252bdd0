/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a call as its worker sees it: sockets, who sends there, what was
 * received and sent. A struct media is the two legs of a call; it lives in a
 * slab, always on one worker's thread, so nothing here needs a lock.
 *
 * leg.c keeps the state of the media source (rule 2 of doc/architecture.md):
 *
 *	           first proof                 1 s of silence
 *	LEG_OPEN ---------------> LEG_LOCKED <---------------> LEG_LOOSE
 *	    ^       lock            socket is     its packet     peer is known,
 *	    |                       connected                    socket is not
 *	    +--- signaling moved media elsewhere ---------------------+
 *
 * In LEG_LOCKED the kernel refuses other sources. In LEG_LOOSE their packets
 * are seen, counted and refused; only after signaling allowed it (`relearn`)
 * may a better one take the peer's place.
 */
#ifndef MEDIAD_LEG_H
#define MEDIAD_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/ident.h"
#include "common/reason.h"
#include "common/token.h"
#include "mediad/burst.h"
#include "mediad/codec.h"
#include "mediad/learn.h"
#include "mediad/live.h"
#include "mediad/rtcp.h"
#include "mediad/source.h"
#include "mediad/srtp.h"
#include "mediad/stream.h"

#define LEG_RULES_MAX  16u
/** Drop reasons are counted by their place in the table. */
#define LEG_DROPS      ((size_t)(REASON_RTCP_AUTH - REASON_RTP_OK + 1))
#define LEG_CNAME_SIZE (RTCP_CNAME_LEN + 1)

enum side {
	SIDE_CALLER,
	SIDE_CALLED,
	SIDE_COUNT,
};

enum leg_lock {
	LEG_OPEN,
	LEG_LOCKED,
	LEG_LOOSE,
};

/** A payload type that this side's peer may send. */
struct leg_rule {
	const struct codec *codec;
	uint32_t clock;
	uint32_t ptime_us;
	struct codec_limits limits;
	uint8_t pt;
	uint8_t peer_pt; /* number of the same thing on the other side */
	bool event;
};

/** Wanted state of one side, checked and ready for use. */
struct leg_config {
	bool wanted;
	bool may_send;
	bool must_send;
	bool may_receive;
	bool rtcp_mux;
	bool srtp_required;
	bool pauses; /* comfort noise: no packet for as long as nobody talks */
	bool rtcp_xr;
	uint8_t dscp;
	uint8_t n_rules;
	uint32_t learn_generation;
	uint64_t timeout_us;    /* 0 = none */
	uint32_t packets_per_s; /* what the codecs can need */
	uint32_t octets_per_s;
	uint32_t tx_ptime_us;    /* what the peer wants from us; 0 = not said */
	struct addr remote_rtcp; /* signaled; may be unset */
	struct learn_rules learn;
	struct leg_rule *rules; /* n_rules; owned, few sides have three */
};

/** Frees what a wanted state owns. */
void leg_config_done(struct leg_config *config);
/** Moves one; what stood in `to` is not freed. */
void leg_config_move(struct leg_config *to, struct leg_config *from);

/** What the control thread gives to a new leg. The descriptors are taken. */
struct leg_birth {
	int rtp_fd;
	int rtcp_fd;  /* -1 with rtcp-mux */
	uint8_t dscp; /* that they are marked with */
	struct addr bound;
	struct stream tx;
	char cname[LEG_CNAME_SIZE];
	uint32_t number;        /* of this side's legs, from 1 */
	struct live_leg *words; /* borrowed until the leg ends; or NULL */
	bool resumed;           /* the words tell how far it is */
};

/** Figures of a leg; "rx" is from the peer to us. */
struct leg_counts {
	uint64_t rx_packets;
	uint64_t rx_octets;
	uint64_t tx_packets;
	uint64_t tx_octets;
	uint64_t rtcp_rx;
	uint64_t rtcp_tx;
	uint64_t icmp;
	uint64_t wall_first_us;
	uint64_t gap_max_us;
	uint32_t rx_digits; /* keys, each once */
	uint32_t drops[LEG_DROPS];
};

/** A source that has not proved itself yet. */
struct leg_candidate {
	struct addr from;
	uint64_t at_us;
	uint16_t next_seq;
	uint8_t run;
	uint32_t ssrc;
};

/** Events that wait for the next watch_leg(). */
enum leg_news {
	LEG_NEWS_FIRST = 1,
	LEG_NEWS_LEARNED = 2,
};

/** The newest key that a peer pressed (RFC 4733). Which one it was goes
 * nowhere: it may be of a secret. */
struct leg_digit {
	bool known;
	uint8_t event;
	uint32_t ts;
};

/** What the peer says of our stream in its VoIP metrics (RFC 3611 section 4.7);
 * its word only. */
struct leg_opinion {
	bool said;
	uint8_t mos;        /* tenths, 10 to 50; 0 = not said */
	uint8_t discarded;  /* came too late for it, of 256 */
	uint16_t buffer_ms; /* its jitter buffer, nominal */
};

/** Where the figures stood when the present window of quality began. */
struct leg_window {
	uint64_t since_us; /* 0 = none */
	uint64_t expected;
	uint64_t lost;
};

struct media;

/* What a packet touches is fetched from memory for each, 50 times a second and
 * leg: it stands together, in the order of worker.c's fetching. */
struct leg {
	_Alignas(64) int rtp_fd;
	int rtcp_fd;
	enum leg_lock lock;
	bool draining; /* packets of before connect() may still come */
	bool relearn;  /* signaling allowed another source */
	bool has_target;
	bool target_is_peer;
	bool started; /* something valid was received */
	bool flowing; /* the time since last_rx_us is a gap */
	bool dropped; /* n.drops has news for save_slow() */
	enum side side;
	struct leg *other;
	struct srtp_leg *srtp_rx; /* NULL = plain */
	struct srtp_leg *srtp_tx;
	uint64_t last_rx_us;    /* newest valid RTP */
	uint64_t last_alive_us; /* newest valid RTP or RTCP */
	uint64_t last_tx_us;
	const struct leg_rule *last_rule;
	struct live_leg *words; /* what outlives the process; or NULL */
	struct token packets;
	struct token octets;
	struct stream tx;
	struct source rx;
	const struct codec *codec; /* of the newest voice packet */
	uint32_t ptime_us;
	uint64_t ssrc_free_until_us;
	struct leg_config config; /* of it, the flags */
	struct leg_counts n;      /* of it, the first four */

	/* Read now and then. */
	struct addr peer;
	struct addr target;
	struct addr bound;
	struct media *media;
	enum reason learned; /* how the peer was found */
	struct leg_candidate candidate[2];
	struct addr refused;      /* last source that was not learned */
	unsigned relearn_packets; /* from the old source since then */
	bool signaled_moved;
	uint8_t news;
	bool timed_out;
	bool one_way; /* told of, as the next two */
	bool no_sound;
	bool poor;
	struct leg_window window;
	struct leg_digit digit;
	uint64_t must_send_since_us;
	uint64_t violation_at_us;
	uint32_t violations;
	/* RTCP. */
	char cname[LEG_CNAME_SIZE];
	struct addr rtcp_peer; /* heard; unset = not yet */
	struct token reports;
	uint64_t report_due_us;
	uint64_t reported_tx; /* tx_packets at the last report */
	uint32_t sent_sr[2];  /* NTP middle of the last two */
	uint32_t peer_sr;     /* NTP middle of the peer's last */
	uint64_t peer_sr_us;
	uint32_t rtt_us;
	int64_t peer_lost;
	uint32_t peer_jitter_us;
	struct leg_opinion opinion;
	struct burst burst; /* only for a peer that wants XR */
};

/** A call's media. */
struct media {
	_Alignas(64) struct leg leg[SIDE_COUNT];
	char call[IDENT_CALL_SIZE];
	uint32_t live_at; /* place in the worker's list */
};

/** Everything of a leg that leaves its worker. */
struct leg_stats {
	struct leg_counts n;
	uint64_t expected;
	uint64_t lost;
	uint32_t jitter_us;
	uint32_t rtt_us;
	uint32_t peer_jitter_us;
	uint64_t peer_lost;
	struct leg_opinion opinion;
	uint64_t wall_last_us;
	const struct codec *codec; /* of the newest packet; NULL = none */
	uint32_t ptime_us;
	uint32_t wanted_ptime_us; /* by the other side's peer; 0 = not said */
	enum reason learned;
	struct addr peer;
	struct addr refused;
};

/** Makes a fresh leg; keeps `other` and `media`. */
void leg_begin(struct leg *l, struct leg_birth *birth, uint64_t now_us);
/** Closes its sockets and wipes its keys. Safe on one that was never begun (fds
 * -1). */
void leg_end(struct leg *l);

static inline bool leg_is_open(const struct leg *l)
{
	return l->rtp_fd >= 0;
}

/** Takes a new wanted state over, and what it owns out of config. */
void leg_apply(struct leg *l, struct leg_config *config, uint64_t now_us);

/** How a packet's source stands to this leg. */
enum leg_trust {
	LEG_TRUST_NO,        /* refuse it */
	LEG_TRUST_PEER,      /* the one that was learned */
	LEG_TRUST_CANDIDATE, /* may become it, by leg_prove() */
};

/** Judges a source; changes only what explain shows of refused ones. */
enum leg_trust leg_judge(struct leg *l, const struct addr *from,
	enum reason *decision_out, uint64_t now_us);

/**
 * A candidate's packet passed every check of its own. Learns the source if
 * that completes its probation.
 * @param proven	it was authenticated (SRTP): no probation.
 * @return RTP_OK if it is the peer now, or RTP_PROBATION.
 */
enum reason leg_prove(struct leg *l, const struct addr *from,
	enum reason decision, const struct rtp_view *v, bool proven,
	uint64_t now_us);

/** The peer spoke: a loose leg is locked again. */
void leg_heard(struct leg *l, uint64_t now_us);
/**
 * Takes the peer of an earlier process back: the one that the socket is
 * connected to, else the saved one (may be unset), if the rules still allow it.
 * @param connect	the socket may be connected to it.
 */
void leg_resume_peer(struct leg *l, const struct addr *saved, bool connect);
/** Lets packets from elsewhere be seen (and refused) again. */
void leg_loosen(struct leg *l);

/** The rule for a payload type; NULL = not negotiated. */
const struct leg_rule *leg_rule(struct leg *l, uint8_t pt);

/** Where RTCP goes; unset if nowhere. */
struct addr leg_rtcp_target(const struct leg *l);
/** Whether RTCP may come from there. */
bool leg_rtcp_source(const struct leg *l, const struct addr *from);

/** Encrypts what is about to be sent, if the leg has a key.
 * @return RTP_OK; RTP_PLAIN if it must and has none; RTP_SEND if the key may
 *	not be used any more. */
enum reason leg_protect(struct leg *l, uint8_t *bytes, size_t *len);
/** Sends to the leg's target. @return RTP_OK, RTP_NO_TARGET or RTP_SEND. */
enum reason leg_send(struct leg *l, const uint8_t *bytes, size_t len);
/** Sends RTCP, on the socket that carries it. */
enum reason leg_send_rtcp(struct leg *l, const uint8_t *bytes, size_t len);

/** A telephone-event that was accepted; notes the key it begins. */
void leg_note_event(
	struct leg *l, const uint8_t *payload, size_t len, uint32_t ts);

void leg_stats(const struct leg *l, uint64_t now_us, struct leg_stats *out);

static inline void leg_drop(struct leg *l, enum reason why)
{
	l->n.drops[why - REASON_RTP_OK]++;
	l->dropped = true;
}

#endif
