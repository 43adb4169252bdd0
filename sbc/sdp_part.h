/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of sdp share among themselves; sdp.h is for everybody else. */
#ifndef SBC_SDP_PART_H
#define SBC_SDP_PART_H

#include "sbc/sdp.h"
#include "sbc/text.h"

/** What sdp_parse_preferring() does, without a memory.
 * @param keys_out whether the text may have keys, of whatever kind. */
GH_MUST_CHECK int sdp_read(struct span text, enum sdp_prefer prefer,
	struct sdp *sdp_out, bool *keys_out, enum reason *why_out);

/** The word of a profile in m=. */
const char *sdp_profile_name(enum sdp_profile profile);
/** SAVP and its kin: plain RTP is not what they say. */
bool sdp_profile_is_secure(enum sdp_profile profile);
/** Keys come by DTLS, not by a=crypto. */
bool sdp_profile_is_dtls(enum sdp_profile profile);
/** @return whether an m= line's proto is a profile of RTP that we speak. */
bool sdp_profile_find(struct span proto, enum sdp_profile *profile_out);

/** The words that a refused m= line may be written with, from fixed lists. */
void sdp_line_fill(struct span kind, struct span proto, struct span format,
	struct sdp_line *line_out);

/** Reads the value of one a=crypto line (RFC 4568 9.1, 7714 14).
 * @return 0; ERR_INVALID if the line is broken, or of a kind that we do not
 *	do (unknown suite, MKI, several keys, session parameters). */
GH_MUST_CHECK int sdp_crypto_read(
	struct span value, struct sdp_crypto *crypto_out);
/** Writes "tag suite inline:key". */
void sdp_crypto_write(struct writer *w, const struct sdp_crypto *crypto);
/** Octets of master key and salt of a suite; 0 for none that we know. */
size_t sdp_suite_len(Gh__Suite suite);

#endif
