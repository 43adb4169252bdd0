/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step before a packet leaves in the clear or is encrypted: version
 * 2, no padding, no extension, no CSRC, our fields. The payload is not copied:
 * the header is written in place before it.
 */
#include "mediad/build.h"

#include "mediad/check.h"

uint8_t *build_header(uint8_t *payload, const struct rtp_fields *f)
{
	uint8_t *p = payload - RTP_HEADER_LEN;

	p[0] = 0x80;
	p[1] = (uint8_t)((f->marker ? 0x80 : 0) | (f->pt & 0x7f));
	p[2] = (uint8_t)(f->seq >> 8);
	p[3] = (uint8_t)f->seq;
	p[4] = (uint8_t)(f->ts >> 24);
	p[5] = (uint8_t)(f->ts >> 16);
	p[6] = (uint8_t)(f->ts >> 8);
	p[7] = (uint8_t)f->ts;
	p[8] = (uint8_t)(f->ssrc >> 24);
	p[9] = (uint8_t)(f->ssrc >> 16);
	p[10] = (uint8_t)(f->ssrc >> 8);
	p[11] = (uint8_t)f->ssrc;
	return p;
}
