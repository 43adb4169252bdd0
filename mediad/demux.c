/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first step of path.c: which protocol is a datagram of? RFC 7983 section
 * 7 gives the ranges of the first byte. RTP and RTCP share one range; with
 * rtcp-mux the second byte tells them apart (RFC 5761 section 4: packet types
 * 192 to 223, which is why payload types 64 to 95 are never negotiated). What
 * is allowed on a socket is not decided here.
 */
#include "mediad/check.h"

enum demux_class demux_classify(const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return DEMUX_NONE;
	if (bytes[0] >= 128 && bytes[0] <= 191) {
		if (len >= 2 && bytes[1] >= 192 && bytes[1] <= 223)
			return DEMUX_RTCP;
		return DEMUX_RTP;
	}
	if (bytes[0] <= 3)
		return DEMUX_STUN;
	if (bytes[0] >= 20 && bytes[0] <= 63)
		return DEMUX_DTLS;
	if ((bytes[0] >= 16 && bytes[0] <= 19) ||
		(bytes[0] >= 64 && bytes[0] <= 79))
		return DEMUX_OTHER;
	return DEMUX_NONE;
}
