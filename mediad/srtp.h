/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP and SRTCP of one direction of a leg, on libsrtp2. Keys go in once and
 * never come out. RFC 3711, 6188, 7714; suites by RFC 4568.
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

struct srtp_leg;

/** A context that protects what our SSRC sends. @return 0, ERR_INVALID or
 * ERR_NOMEM. */
GH_MUST_CHECK int srtp_leg_new_sender(const struct srtp_master *master,
	uint32_t ssrc, struct srtp_leg **leg_out);
/** A context that opens what the peer sends, whatever its SSRC. */
GH_MUST_CHECK int srtp_leg_new_receiver(
	const struct srtp_master *master, struct srtp_leg **leg_out);
/** Wipes and frees. Safe on NULL. */
void srtp_leg_free(struct srtp_leg **leg);

/**
 * Opens a packet in place. A packet that fails changes no state.
 * @param len	in: of the packet; out: without tag.
 * @return RTP_OK, RTP_AUTH or RTP_REPLAY.
 */
enum reason srtp_leg_open(struct srtp_leg *leg, uint8_t *bytes, size_t *len);
/** The same for RTCP. @return RTCP_OK, RTP_AUTH or RTP_REPLAY. */
enum reason srtp_leg_open_rtcp(
	struct srtp_leg *leg, uint8_t *bytes, size_t *len);

/** Protects in place; SRTP_TRAILER_MAX octets must be free behind it.
 * @return whether it may be sent. */
bool srtp_leg_protect(struct srtp_leg *leg, uint8_t *bytes, size_t *len);
bool srtp_leg_protect_rtcp(struct srtp_leg *leg, uint8_t *bytes, size_t *len);

/** The peer came with another SSRC: each one costs memory until the key is
 * replaced, so there is an end. @return whether it may. */
bool srtp_leg_may_change(const struct srtp_leg *leg);
void srtp_leg_changed(struct srtp_leg *leg);

#endif
