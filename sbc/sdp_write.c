// SPDX-License-Identifier: Apache-2.0
/*
 * A session description out of values (RFC 8866), in the same form always: the
 * order of lines, the spelling and the session name tell nothing of who is
 * behind us. Every word written stands in a table of ours or is a number or an
 * address; even fmtp, which struct sdp carries as text, goes through its
 * codec's rows again. Does not decide anything about codecs or addresses.
 */
#include "sbc/sdp.h"

#include <string.h>

#include "common/secret.h"
#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"

static const char *const directions[] = {
	[GH__DIRECTION__DIRECTION_SENDRECV] = "sendrecv",
	[GH__DIRECTION__DIRECTION_SENDONLY] = "sendonly",
	[GH__DIRECTION__DIRECTION_RECVONLY] = "recvonly",
	[GH__DIRECTION__DIRECTION_INACTIVE] = "inactive",
};

void sdp_wipe(struct sdp *sdp)
{
	secret_wipe(sdp->crypto, sizeof(sdp->crypto));
	sdp->n_crypto = 0;
}

static void write_address(struct writer *w, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	writer_add(w, "IN %s %s", addr->family == AF_INET6 ? "IP6" : "IP4",
		addr_format_ip(addr, text));
}

static void write_ptime(struct writer *w, const char *name, uint32_t us)
{
	if (!us)
		return;
	if (us % 1000)
		writer_add(w, "a=%s:%u.%u\r\n", name, (unsigned)(us / 1000),
			(unsigned)(us % 1000 / 100));
	else
		writer_add(w, "a=%s:%u\r\n", name, (unsigned)(us / 1000));
}

/** rtpmap and fmtp of one payload type. */
static int write_payload(struct writer *w, const struct sdp_payload *payload)
{
	const struct sdp_codec *codec = sdp_codec_of(payload);
	char fmtp[SDP_FMTP_SIZE];

	if (!codec)
		return ERR_INVALID;
	writer_add(w, "a=rtpmap:%u %s/%u", (unsigned)payload->pt, codec->name,
		(unsigned)codec->clock);
	if (codec->channels > 1)
		writer_add(w, "/%u", (unsigned)codec->channels);
	writer_add(w, "\r\n");
	sdp_fmtp_read(codec, span_of(payload->fmtp), fmtp);
	if (*fmtp)
		writer_add(w, "a=fmtp:%u %s\r\n", (unsigned)payload->pt, fmtp);
	return 0;
}

static void write_rtcp(struct writer *w, const struct sdp *sdp)
{
	if (sdp->rtcp_mux)
		writer_add(w, "a=rtcp-mux\r\n");
	else if (addr_is_set(&sdp->rtcp) && sdp->rtcp.port != sdp->rtp.port + 1)
		writer_add(w, "a=rtcp:%u\r\n", (unsigned)sdp->rtcp.port);
}

static int write_audio(struct writer *w, const struct sdp *sdp)
{
	int err;

	writer_add(w, "m=audio %u %s", (unsigned)sdp->rtp.port,
		sdp_profile_name(sdp->profile));
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		writer_add_char(w, ' ');
		writer_add_number(w, sdp->payloads[i].pt);
	}
	/* A refused line may have lost all its formats, and has to name one. */
	if (!sdp->n_payloads)
		writer_add(w, " 0");
	writer_add(w, "\r\n");
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		err = write_payload(w, &sdp->payloads[i]);
		if (err)
			return err;
	}
	if (!sdp->rtp.port)
		return 0;
	write_ptime(w, "ptime", sdp->ptime_us);
	write_ptime(w, "maxptime", sdp->maxptime_us);
	for (size_t i = 0; i < sdp->n_crypto; i++)
		sdp_crypto_write(w, &sdp->crypto[i]);
	write_rtcp(w, sdp);
	if (sdp->voip_metrics)
		writer_add(w, "a=rtcp-xr:voip-metrics\r\n");
	writer_add(w, "a=%s\r\n", directions[sdp->direction]);
	return 0;
}

static void write_refused(struct writer *w, const struct sdp_line *line)
{
	struct sdp_line words;

	sdp_line_fill(span_of(line->kind), span_of(line->proto),
		span_of(line->format), &words);
	writer_add(
		w, "m=%s 0 %s %s\r\n", words.kind, words.proto, words.format);
}

static bool is_writable(const struct sdp *sdp)
{
	return sdp->n_payloads <= SDP_PAYLOADS_MAX &&
	       sdp->n_lines <= SDP_MEDIA_MAX &&
	       sdp->n_crypto <= SDP_CRYPTO_MAX &&
	       (!sdp->n_lines || sdp->audio_line < sdp->n_lines) &&
	       (unsigned)sdp->profile < SDP_PROFILE_COUNT &&
	       (unsigned)sdp->direction <
		       sizeof(directions) / sizeof(directions[0]) &&
	       addr_is_set(&sdp->rtp) && (!sdp->rtp.port || sdp->n_payloads);
}

int sdp_write(const struct sdp *sdp, char *text, size_t size)
{
	struct writer w;
	int err = 0;

	if (!size)
		return ERR_TOO_BIG;
	if (!is_writable(sdp))
		return ERR_INVALID;
	writer_init(&w, text, size);
	writer_add(&w, "v=0\r\no=- %llu %llu ",
		(unsigned long long)sdp->session_id,
		(unsigned long long)sdp->session_version);
	write_address(&w, addr_is_set(&sdp->origin) ? &sdp->origin : &sdp->rtp);
	writer_add(&w, "\r\ns=-\r\nc=");
	write_address(&w, &sdp->rtp);
	writer_add(&w, "\r\nt=0 0\r\n");
	if (!sdp->n_lines)
		err = write_audio(&w, sdp);
	for (size_t i = 0; i < sdp->n_lines && !err; i++) {
		if (i == sdp->audio_line)
			err = write_audio(&w, sdp);
		else
			write_refused(&w, &sdp->lines[i]);
	}
	if (!err && (w.over || w.len > SDP_SIZE_MAX))
		err = ERR_TOO_BIG;
	if (err) {
		secret_wipe(text, size);
		return err;
	}
	return (int)w.len;
}
