/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A URI that an emergency call's location is to be fetched from (RFC 6442,
 * 6753): whether the far side may see it. It may lead anywhere outside, so
 * what is judged is its form and that it names nothing of the inside. Nobody
 * here fetches it. Pure.
 */
#ifndef SBC_LOCATION_URI_H
#define SBC_LOCATION_URI_H

#include <stdbool.h>

#include "common/err.h"
#include "sbc/hdr.h"
#include "sbc/text.h"

#define LOCATION_URI_MAX  256
#define LOCATION_URI_SIZE (LOCATION_URI_MAX + 1)

/**
 * Reads "https://host[:port]/...", "sips:user@host[:port]" or
 * "pres:user@host[:port]" and writes it anew.
 * @param hide	the caller wants to be nobody: no URI with a user.
 * @return 0; ERR_INVALID for another scheme or form; ERR_TOO_BIG; ERR_REFUSED
 *	for one that names an address or host of the inside or of ours, a
 *	private one, or the caller's account.
 */
GH_MUST_CHECK int location_uri_read(struct span uri,
	const struct hdr_hidden *hidden, bool hide,
	char out[LOCATION_URI_SIZE]);

#endif
