/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ear of a peer that cannot record: the RTP that a capture in its network
 * namespace shows, put back in order and decoded (RFC 3550, RFC 3551).
 */
#ifndef TESTS_AUDIO_RTPCAP_H
#define TESTS_AUDIO_RTPCAP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/audio/wav.h"

/** An address to select by; family 0 = any, port 0 = any. */
struct rtpcap_end {
	int family;
	uint8_t host[16];
	uint16_t port;
};

struct rtpcap_filter {
	struct rtpcap_end src;
	struct rtpcap_end dst;
	bool has_ssrc;
	uint32_t ssrc;
};

/** What the chosen stream consisted of. */
struct rtpcap_stream {
	uint32_t ssrc;
	unsigned payload_type;
	size_t n_packets;
	size_t n_lost; /* expected minus different ones received */
	size_t n_duplicates;
	double seconds;     /* by timestamps */
	double gap_max_ms;  /* longest time between two arrivals */
	unsigned n_streams; /* streams that the filter let through */
};

/** "192.0.2.1:4000", "[2001:db8::1]:4000", either without port.
 * @return 0 or -1. */
int rtpcap_end_parse(const char *text, struct rtpcap_end *end_out);

/**
 * Reads a libpcap file and decodes the stream (SSRC) with the most G.711
 * packets among those that the filter lets through. Samples stand where their
 * timestamps put them, missing ones are silence.
 * @param problem	buffer for one line on failure.
 * @return 0, or -1 with problem written.
 */
int rtpcap_decode(const char *path, const struct rtpcap_filter *filter,
	struct sound *sound_out, struct rtpcap_stream *stream_out,
	char *problem, size_t problem_size);

#endif
