/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes our own RTP header. Nothing of the received header survives: the
 * caller gives each field. RFC 3550 section 5.1.
 */
#ifndef MEDIAD_BUILD_H
#define MEDIAD_BUILD_H

#include <stdbool.h>
#include <stdint.h>

/** The fields of an outgoing packet. */
struct rtp_fields {
	uint32_t ssrc;
	uint32_t ts;
	uint16_t seq;
	uint8_t pt;
	bool marker;
};

/**
 * Writes the 12 octets directly before the payload, over whatever stood there.
 * @param payload	at least RTP_HEADER_LEN octets of the caller's buffer
 *			lie before it.
 * @return the packet's first octet.
 */
uint8_t *build_header(uint8_t *payload, const struct rtp_fields *fields);

#endif
