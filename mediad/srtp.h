/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP and SRTCP of one direction of a leg, on libsrtp2. Keys go in once and
 * never come out. Where a direction stands (packet indexes of each SSRC) can be
 * kept in live words (common/store.h), from which a restarted process goes on:
 * no index is used twice, none is accepted twice. RFC 3711, 6188, 7714; suites
 * by RFC 4568.
 */
#ifndef MEDIAD_SRTP_H
#define MEDIAD_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/reason.h"

enum srtp_suite {
	SRTP_SUITE_NONE,
	SRTP_SUITE_AES_CM_128_HMAC_SHA1_80,
	SRTP_SUITE_AES_CM_128_HMAC_SHA1_32,
	SRTP_SUITE_AES_256_CM_HMAC_SHA1_80,
	SRTP_SUITE_AEAD_AES_128_GCM,
	SRTP_SUITE_AEAD_AES_256_GCM,
	SRTP_SUITE_COUNT,
};

#define SRTP_MASTER_MAX  46u
/** Octets that protecting may add. */
#define SRTP_TRAILER_MAX 160u

/** Master key and salt. A secret. */
struct srtp_master {
	enum srtp_suite suite;
	uint8_t len;
	uint8_t bytes[SRTP_MASTER_MAX];
};

/** Octets of key and salt that a suite needs; 0 = no such suite. */
size_t srtp_master_len(enum srtp_suite suite);

/** Once per process, before the sandbox (a library is loaded).
 * @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int srtp_begin(void);
void srtp_finish(void);

/** Most SSRCs of a peer under one key: each costs memory. */
#define SRTP_SOURCES_MAX 16u

/** Where sending stands; all zeros = nothing was sent. */
struct srtp_tx_words {
	uint64_t rtp;  /* highest index that may have left (48 bits) */
	uint64_t rtcp; /* the same of SRTCP (31 bits) */
};

/** Where receiving stands. */
struct srtp_rx_words {
	struct srtp_rx_word {
		uint64_t ssrc; /* all zeros: no more sources */
		uint64_t rtp;  /* highest index accepted; all zeros = none */
		uint64_t rtcp;
	} source[SRTP_SOURCES_MAX];
};

struct srtp_leg;

/** A context that protects what our SSRC sends. @return 0, ERR_INVALID or
 * ERR_NOMEM. */
GH_MUST_CHECK int srtp_leg_new_sender(const struct srtp_master *master,
	uint32_t ssrc, struct srtp_leg **leg_out);
/** A context that opens what the peer sends, whatever its SSRC. */
GH_MUST_CHECK int srtp_leg_new_receiver(
	const struct srtp_master *master, struct srtp_leg **leg_out);
/**
 * The same for a direction that an earlier process began. Its packets go on
 * behind what the words say.
 * @return also ERR_CORRUPT for words that cannot be read: the key must not be
 *	used any more.
 */
GH_MUST_CHECK int srtp_leg_resume_sender(const struct srtp_master *master,
	uint32_t ssrc, const struct srtp_tx_words *words,
	struct srtp_leg **leg_out);
GH_MUST_CHECK int srtp_leg_resume_receiver(const struct srtp_master *master,
	const struct srtp_rx_words *words, struct srtp_leg **leg_out);

/** From now on the words say where this direction stands, always before the
 * packet leaves. A new context clears them, a resumed one keeps them.
 * @param words	borrowed until the context is freed. */
void srtp_leg_keep_sender(struct srtp_leg *leg, struct srtp_tx_words *words);
void srtp_leg_keep_receiver(struct srtp_leg *leg, struct srtp_rx_words *words);

/** Wipes and frees. Safe on NULL. */
void srtp_leg_free(struct srtp_leg **leg);

/**
 * Opens a packet in place. A packet that fails changes no state.
 * @param len	in: of the packet; out: without tag.
 * @return RTP_OK, RTP_AUTH, RTP_REPLAY, or RTP_SSRC for one SSRC too many.
 */
enum reason srtp_leg_open(struct srtp_leg *leg, uint8_t *bytes, size_t *len);
/** The same for RTCP. @return RTCP_OK, RTP_AUTH, RTP_REPLAY or RTP_SSRC. */
enum reason srtp_leg_open_rtcp(
	struct srtp_leg *leg, uint8_t *bytes, size_t *len);

/** Protects in place; SRTP_TRAILER_MAX octets must be free behind it.
 * @return whether it may be sent. */
bool srtp_leg_protect(struct srtp_leg *leg, uint8_t *bytes, size_t *len);
bool srtp_leg_protect_rtcp(struct srtp_leg *leg, uint8_t *bytes, size_t *len);

/**
 * SRTCP of a resumed sender begins behind what was sent before, and libsrtp2
 * counts by itself only: this makes it count on, a bounded piece per call.
 * @return whether it is there; before, srtp_leg_protect_rtcp() refuses.
 */
bool srtp_leg_catch_up(struct srtp_leg *leg);

/** Whether the peer may send with this SSRC: a known one, or room for it. */
bool srtp_leg_may_change(const struct srtp_leg *leg, uint32_t ssrc);

#endif
