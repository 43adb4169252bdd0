// SPDX-License-Identifier: Apache-2.0
/*
 * What a failure of one leg is on the other: one table. Kept are answers about
 * the called one or the call. Changed are answers about our own request, which
 * the far side never saw (400, 420, 513), about our credentials (401, 407),
 * about a server behind us (503: it would make the other side take all of us
 * out of service, RFC 3261 21.5.4), and those that would end a dialog on a leg
 * whose own dialog is well (408, 481, RFC 5057).
 */
#include <stddef.h>

#include "sbc/hdr.h"

static const struct {
	unsigned far, ours;
} statuses[] = {
	{400, 500},
	{401, 500},
	{402, 402},
	{403, 403},
	{404, 404},
	{405, 500},
	{406, 488},
	{407, 500},
	{408, 480},
	{410, 410},
	{413, 500},
	{414, 500},
	{415, 488},
	{416, 404},
	{417, 500},
	{420, 500},
	{421, 500},
	{422, 500},
	{423, 500},
	{424, 500},
	{428, 403},
	{429, 500},
	{433, 433},
	{436, 500},
	{437, 500},
	{438, 500},
	{439, 500},
	{440, 500},
	{469, 500},
	{470, 500},
	{480, 480},
	{481, 500},
	{482, 482},
	{483, 483},
	{484, 484},
	{485, 485},
	{486, 486},
	{487, 487},
	{488, 488},
	{489, 500},
	{491, 491},
	{493, 488},
	{494, 500},
	{500, 500},
	{501, 501},
	{502, 502},
	{503, 500},
	{504, 504},
	{505, 500},
	{513, 500},
	{555, 500},
	{580, 488},
	{600, 600},
	{603, 603},
	{604, 604},
	{606, 606},
	{607, 607},
	{608, 608},
};

unsigned hdr_map_status(unsigned far_status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].far == far_status)
			return statuses[i].ours;
	if (far_status >= 300 && far_status < 500)
		return 480; /* a redirection that nobody followed, too */
	if (far_status >= 600 && far_status < 700)
		return 603;
	return 500;
}
