// SPDX-License-Identifier: Apache-2.0
/*
 * RTCP from a peer: read by the parser, and taken in by a leg. What was read
 * can be written and read again; what the leg then reports is its own.
 */
#include <string.h>

#include "mediad/report.h"
#include "mediad/rtcp.h"
#include "tests/fuzz/fuzz.h"

#define OWN 0x01020304u

static void check_again(const struct rtcp_report *r)
{
	struct rtcp_own own = {.ssrc = r->ssrc,
		.cname = "0123456789abcdef",
		.sender = r->is_sender ? &r->sender : NULL,
		.block = r->about_us ? &r->block : NULL,
		.voip = r->has_voip ? &r->voip : NULL,
		.bye = r->bye};
	uint8_t bytes[RTCP_BUILD_MAX];
	struct rtcp_report back;
	size_t n = rtcp_build(&own, bytes);

	FUZZ_CHECK(n <= sizeof(bytes));
	FUZZ_CHECK(rtcp_parse(bytes, n, OWN, &back) == REASON_RTCP_OK);
	FUZZ_CHECK(back.ssrc == r->ssrc && back.bye == r->bye);
	FUZZ_CHECK(back.is_sender == r->is_sender);
	FUZZ_CHECK(back.about_us == r->about_us);
	FUZZ_CHECK(back.has_voip == r->has_voip);
	if (r->has_voip)
		FUZZ_CHECK(back.voip.burst_ms == r->voip.burst_ms &&
			   back.voip.mos_cq == r->voip.mos_cq);
	if (r->about_us) {
		FUZZ_CHECK(back.block.lost == r->block.lost);
		FUZZ_CHECK(back.block.lsr == r->block.lsr);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct leg leg;
	struct rtcp_report r;
	uint8_t *copy = malloc(len ? len : 1);

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, bytes, len);
	if (rtcp_parse(copy, len, OWN, &r) == REASON_RTCP_OK)
		check_again(&r);
	memset(&leg, 0, sizeof(leg));
	leg.tx.ssrc = OWN;
	leg.tx.clock = 8000;
	token_init(&leg.reports, 10, 10, 1000000);
	enum reason why = report_receive(&leg, copy, len, true, 1000000);

	FUZZ_CHECK((leg.n.rtcp_rx == 1) == (why == REASON_RTCP_OK));
	FUZZ_CHECK((leg.last_alive_us != 0) == (why == REASON_RTCP_OK));
	/* No report answers one that we never sent. */
	FUZZ_CHECK(leg.rtt_us == 0);
	free(copy);
	return 0;
}
