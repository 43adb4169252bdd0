// SPDX-License-Identifier: Apache-2.0
/*
 * SDP: what is read is restricted, negotiated with itself and written. The
 * text written holds no address of the input, has one active audio line, and
 * reads and writes to itself.
 */
#include <string.h>

#include "sbc/sdp.h"
#include "tests/fuzz/fuzz.h"

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (text = strstr(text, word); text; text = strstr(text + 1, word))
		n++;
	return n;
}

/** Every m= line has port 0, or is the one audio line. */
static void check_media(const char *text)
{
	unsigned n_active = 0;
	const char *line = text;

	while ((line = strstr(line, "\nm=")) != NULL) {
		const char *port = strchr(line, ' ');

		FUZZ_CHECK(port != NULL);
		if (strncmp(port, " 0 ", 3) != 0) {
			FUZZ_CHECK(!strncmp(line, "\nm=audio 6000 RTP/", 18) ||
				   !strncmp(line, "\nm=audio 6000 UDP/", 18));
			n_active++;
		}
		line++;
	}
	FUZZ_CHECK(n_active <= 1);
}

static void check_written(const struct sdp *sdp)
{
	static char text[SDP_SIZE_MAX + 1], again[SDP_SIZE_MAX + 1];
	struct sdp ours = *sdp, back;
	enum reason why;
	int len;

	FUZZ_CHECK(!addr_parse("192.0.2.77:6000", &ours.rtp));
	ours.origin = ours.rtp;
	ours.origin.port = 0;
	memset(&ours.rtcp, 0, sizeof(ours.rtcp));
	if (!ours.n_payloads)
		ours.rtp.port = 0;
	len = sdp_write(&ours, text, sizeof(text));
	FUZZ_CHECK(len > 0 && (size_t)len == strlen(text));
	for (const char *c = text; *c; c++)
		FUZZ_CHECK(
			(*c >= ' ' && *c <= '~') || *c == '\r' || *c == '\n');
	FUZZ_CHECK(count(text, "c=IN IP4 192.0.2.77\r\n") == 1);
	FUZZ_CHECK(count(text, "IN IP") == 2);
	check_media(text);
	FUZZ_CHECK(!sdp_parse(text, (size_t)len, &back, &why));
	FUZZ_CHECK(back.n_payloads == ours.n_payloads || !ours.n_payloads);
	FUZZ_CHECK(back.n_crypto == (ours.rtp.port ? ours.n_crypto : 0));
	FUZZ_CHECK(back.direction == ours.direction || !ours.rtp.port);
	/* A refused line that lost all its formats is given one. */
	if (!ours.n_payloads)
		return;
	FUZZ_CHECK(sdp_write(&back, again, sizeof(again)) == len);
	FUZZ_CHECK(!strcmp(text, again));
}

static void check_read(const struct sdp *sdp)
{
	FUZZ_CHECK(sdp->has_audio);
	FUZZ_CHECK(sdp->n_payloads <= SDP_PAYLOADS_MAX);
	FUZZ_CHECK(sdp->n_crypto <= SDP_CRYPTO_MAX);
	FUZZ_CHECK(sdp->n_lines > 0 && sdp->n_lines <= SDP_MEDIA_MAX);
	FUZZ_CHECK(sdp->audio_line < sdp->n_lines);
	FUZZ_CHECK(!sdp->rtp.port || addr_is_set(&sdp->rtp));
	FUZZ_CHECK(!addr_is_multicast(&sdp->rtp));
	FUZZ_CHECK(!addr_is_set(&sdp->rtcp) ||
		   addr_equal_ip(&sdp->rtcp, &sdp->rtp));
	for (size_t i = 0; i < sdp->n_payloads; i++)
		for (size_t k = 0; k < i; k++)
			FUZZ_CHECK(sdp->payloads[i].pt != sdp->payloads[k].pt);
}

static void check_negotiated(const struct sdp *sdp)
{
	Gh__Payload rows[SDP_PAYLOADS_MAX];
	struct sdp offer = *sdp, answer = *sdp, made;
	enum reason why;

	if (sdp_restrict(&offer, NULL, NULL, NULL))
		return;
	FUZZ_CHECK(offer.n_payloads > 0);
	FUZZ_CHECK(!sdp_make_answer(&offer, &offer, &made));
	FUZZ_CHECK(made.n_payloads <= offer.n_payloads);
	FUZZ_CHECK(sdp_payload_map(&offer, &made, rows) <= SDP_PAYLOADS_MAX);
	for (size_t i = 0; i < made.n_payloads; i++) {
		bool offered = false;

		for (size_t k = 0; k < offer.n_payloads; k++)
			offered |= made.payloads[i].pt == offer.payloads[k].pt;
		FUZZ_CHECK(offered);
	}
	made.rtp = sdp->rtp;
	if (sdp->rtp.port)
		check_written(&made);
	if (!sdp_check_answer(&offer, &answer, &why))
		FUZZ_CHECK(answer.n_payloads > 0 && answer.n_crypto <= 1);
	FUZZ_CHECK(sdp_same_media(sdp, sdp));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	enum reason why = REASON_NONE;
	struct sdp sdp;
	int err = sdp_parse((const char *)bytes, len, &sdp, &why);

	FUZZ_CHECK((why == REASON_SDP_OK) == !err);
	if (err) {
		FUZZ_CHECK(reason_sip(why) >= 400);
		return 0;
	}
	check_read(&sdp);
	check_written(&sdp);
	check_negotiated(&sdp);
	sdp_wipe(&sdp);
	return 0;
}
