/* SPDX-License-Identifier: Apache-2.0 */
/* See sdp_text.h. */
#include "tests/unit/sdp_text.h"

#include <check.h>
#include <string.h>

#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"

static const char *const direction_names[] = {
	"sendrecv", "sendonly", "recvonly", "inactive"};

/** Everything that was read, in one line. */
const char *sdp_summary(const struct sdp *sdp)
{
	static char text[4096];
	char ip[ADDR_TEXT_SIZE];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	writer_add(&w, "%s %s %s", addr_format(&sdp->rtp, ip),
		sdp_profile_name(sdp->profile),
		direction_names[sdp->direction]);
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		const struct sdp_payload *p = &sdp->payloads[i];

		writer_add(&w, " %u:%s/%u/%u", p->pt, p->name, p->clock,
			p->channels);
		if (*p->fmtp)
			writer_add(&w, "(%s)", p->fmtp);
	}
	if (addr_is_set(&sdp->rtcp))
		writer_add(&w, " rtcp=%s", addr_format(&sdp->rtcp, ip));
	if (sdp->rtcp_mux)
		writer_add(&w, " mux");
	if (sdp->voip_metrics)
		writer_add(&w, " xr");
	if (sdp->ptime_us)
		writer_add(&w, " ptime=%u", sdp->ptime_us);
	if (sdp->maxptime_us)
		writer_add(&w, " maxptime=%u", sdp->maxptime_us);
	for (size_t i = 0; i < sdp->n_crypto; i++)
		writer_add(&w, " crypto=%u/%d", sdp->crypto[i].tag,
			(int)sdp->crypto[i].suite);
	if (sdp->old_hold)
		writer_add(&w, " oldhold");
	if (sdp->n_lines != 1 || sdp->audio_line) {
		writer_add(&w, " [%zu of", sdp->audio_line);
		for (size_t i = 0; i < sdp->n_lines; i++)
			writer_add(&w, " %s,%s,%s", sdp->lines[i].kind,
				sdp->lines[i].proto, sdp->lines[i].format);
		writer_add(&w, "]");
	}
	ck_assert(!w.over);
	return text;
}

void sdp_read_ok(const char *text, struct sdp *sdp)
{
	enum reason why;
	int err = sdp_parse(text, strlen(text), sdp, &why);

	ck_assert_msg(!err, "%s: %s", reason_text(why), text);
	ck_assert_int_eq(why, REASON_SDP_OK);
}

void sdp_must_write_clean(const struct sdp *sdp, const char *name)
{
	char text[SDP_SIZE_MAX + 1];
	struct sdp ours = *sdp;
	int len;

	ck_assert(!addr_parse("192.0.2.1:6000", &ours.rtp));
	ck_assert(!addr_parse("192.0.2.1", &ours.origin));
	memset(&ours.rtcp, 0, sizeof(ours.rtcp));
	if (!ours.n_payloads)
		ours.rtp.port = 0;
	len = sdp_write(&ours, text, sizeof(text));
	ck_assert_msg(len > 0, "%s: %d", name, len);
	ck_assert_int_eq((size_t)len, strlen(text));
	ck_assert_msg(!strstr(text, "EVIL"), "%s: %s", name, text);
	ck_assert_msg(!strstr(text, "203.0.113"), "%s: %s", name, text);
	ck_assert_msg(!strstr(text, "198.51.100"), "%s: %s", name, text);
}
