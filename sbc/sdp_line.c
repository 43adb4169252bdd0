// SPDX-License-Identifier: Apache-2.0
/*
 * The words of an m= line: which RTP profiles are spoken, and with which words
 * a line that we do not speak is refused (RFC 3264 6: the answer repeats every
 * line of the offer). A word of a peer that no list here holds is replaced, so
 * nothing of its text comes out again.
 */
#include "sbc/sdp_part.h"

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
	const char *name;
	bool secure, dtls;
} profiles[] = {
	[SDP_AVP] = {"RTP/AVP", false, false},
	[SDP_SAVP] = {"RTP/SAVP", true, false},
	[SDP_AVPF] = {"RTP/AVPF", false, false},
	[SDP_SAVPF] = {"RTP/SAVPF", true, false},
	[SDP_UDP_TLS_SAVPF] = {"UDP/TLS/RTP/SAVPF", true, true},
};
_Static_assert(N_ROWS(profiles) == SDP_PROFILE_COUNT, "a row per profile");

static const char *const kinds[] = {
	"audio", "video", "image", "text", "application", "message"};

static const char *const protos[] = {"RTP/AVP", "RTP/SAVP", "RTP/AVPF",
	"RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "udptl",
	"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP", "TCP/MSRP",
	"TCP/TLS/MSRP", "UDP/BFCP", "TCP/BFCP", "TCP/TLS/BFCP", "TCP/RTP/AVP",
	"UDP/TLS/UDPTL", "TCP", "udp"};

static const char *const formats[] = {"t38", "webrtc-datachannel", "*"};

const char *sdp_profile_name(enum sdp_profile profile)
{
	return profiles[profile].name;
}

bool sdp_profile_is_secure(enum sdp_profile profile)
{
	return profiles[profile].secure;
}

bool sdp_profile_is_dtls(enum sdp_profile profile)
{
	return profiles[profile].dtls;
}

bool sdp_profile_find(struct span proto, enum sdp_profile *profile_out)
{
	for (size_t i = 0; i < N_ROWS(profiles); i++)
		if (span_is_word(proto, profiles[i].name)) {
			*profile_out = (enum sdp_profile)i;
			return true;
		}
	return false;
}

static const char *listed(struct span word, const char *const *list, size_t n,
	const char *otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (span_is_word(word, list[i]))
			return list[i];
	return otherwise;
}

/* A word of the lists above, which all fit. */
static void put(const char *word, char *out, size_t size)
{
	if (span_copy(span_of(word), out, size))
		out[0] = '\0';
}

void sdp_line_fill(struct span kind, struct span proto, struct span format,
	struct sdp_line *line_out)
{
	struct writer w;
	uint64_t pt = 0;

	put(listed(kind, kinds, N_ROWS(kinds), "application"), line_out->kind,
		sizeof(line_out->kind));
	put(listed(proto, protos, N_ROWS(protos), "udp"), line_out->proto,
		sizeof(line_out->proto));
	if (!span_number(format, 127, &pt)) {
		writer_init(&w, line_out->format, sizeof(line_out->format));
		writer_add_number(&w, (unsigned)pt);
		return;
	}
	put(listed(format, formats, N_ROWS(formats), "0"), line_out->format,
		sizeof(line_out->format));
}
