/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only SIP messages that flowd makes itself: the answer to a request that
 * is too large or whose length cannot be trusted, so that no other process has
 * to read it. The connection ends after it. RFC 3261 8.2.6, 18.3, 20.14.
 */
#ifndef FLOWD_ANSWER_H
#define FLOWD_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"

/**
 * Builds a final answer from what is there of a request.
 * @param bytes, len	whole header lines of the request, start line first;
 *			what stands behind an empty line is not looked at.
 * @return length; ERR_STATE for a response or an ACK, which have no answer;
 *	ERR_INVALID where Via, From, To, Call-ID or CSeq is missing or broken;
 *	ERR_TOO_BIG.
 */
GH_MUST_CHECK int answer_build(const uint8_t *bytes, size_t len,
	unsigned status, const struct addr *peer, uint8_t *out, size_t size);

#endif
