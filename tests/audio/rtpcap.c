/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a capture file to sound. One pass collects every RTP packet that fits
 * the filter, then the stream with the most packets is laid out by its
 * timestamps: order, loss and duplicates do not shift the sound, as they would
 * not for a good phone. The libpcap format is simple enough to be read here,
which spares a newcomer's machine a library. Only G.711 is decoded (payload
types 0 and 8); other
 * payload types of the same stream (telephone-event) are counted as packets
 * but have no sound. Every length is checked against the captured length.
 */
#include "tests/audio/rtpcap.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/audio/g711.h"

/* The link types (pcap-linktype(7)) that tcpdump writes for veth, lo, "any". */
#define LINK_ETHERNET 1
#define LINK_RAW      101
#define LINK_SLL      113
#define LINK_SLL2     276
#define FRAME_MAX     262144

#define PT_ULAW       0
#define PT_ALAW       8
#define STREAMS_MAX   256
#define PACKETS_MAX   200000
#define UDP_HEADER    8
#define RTP_HEADER    12

struct packet {
	double at_ms;
	uint32_t ssrc;
	uint32_t timestamp;
	uint16_t sequence;
	uint8_t payload_type;
	uint16_t len;
	uint8_t *payload;
};

struct packets {
	struct packet *list;
	size_t n;
	size_t space;
};

/* One UDP datagram inside a captured frame. */
struct datagram {
	struct rtpcap_end src;
	struct rtpcap_end dst;
	const uint8_t *data;
	size_t len;
};

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

int rtpcap_end_parse(const char *text, struct rtpcap_end *end_out)
{
	struct rtpcap_end end = {0};
	char host[64];
	const char *from = text, *port = NULL;
	size_t len = strlen(text);

	if (text[0] == '[') {
		const char *close = strchr(text, ']');
		if (!close || (close[1] != '\0' && close[1] != ':'))
			return -1;
		from = text + 1;
		len = (size_t)(close - from);
		port = close[1] == ':' ? close + 2 : NULL;
	} else {
		const char *colon = strchr(text, ':');
		if (colon && colon == strrchr(text, ':')) {
			len = (size_t)(colon - text);
			port = colon + 1;
		}
	}
	if (len >= sizeof(host))
		return -1;
	memcpy(host, from, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, end.host) == 1)
		end.family = AF_INET;
	else if (inet_pton(AF_INET6, host, end.host) == 1)
		end.family = AF_INET6;
	else
		return -1;
	if (port) {
		char *stop;
		unsigned long value = strtoul(port, &stop, 10);
		if (*port == '\0' || *stop != '\0' || value > 65535)
			return -1;
		end.port = (uint16_t)value;
	}
	*end_out = end;
	return 0;
}

static bool end_fits(const struct rtpcap_end *want, const struct rtpcap_end *is)
{
	if (want->family != 0 &&
		(want->family != is->family ||
			memcmp(want->host, is->host, sizeof(is->host)) != 0))
		return false;
	return want->port == 0 || want->port == is->port;
}

/* The IP packet inside a frame. */
static const uint8_t *frame_ip(uint32_t link, const uint8_t *p, size_t *len)
{
	size_t skip;

	switch (link) {
	case LINK_ETHERNET:
		skip = 14;
		break;
	case LINK_SLL:
		skip = 16;
		break;
	case LINK_SLL2:
		skip = 20;
		break;
	case LINK_RAW:
		skip = 0;
		break;
	default:
		return NULL;
	}
	if (*len <= skip)
		return NULL;
	*len -= skip;
	return p + skip;
}

static bool ip4_udp(const uint8_t *p, size_t len, struct datagram *d)
{
	size_t head = (size_t)(p[0] & 0x0f) * 4;

	if (len < 20 || head < 20 || len < head + UDP_HEADER || p[9] != 17)
		return false;
	if (be16(p + 6) & 0x3fff)
		return false; /* fragments are no voice packets */
	d->src.family = d->dst.family = AF_INET;
	memcpy(d->src.host, p + 12, 4);
	memcpy(d->dst.host, p + 16, 4);
	d->data = p + head;
	d->len = len - head;
	return true;
}

static bool ip6_udp(const uint8_t *p, size_t len, struct datagram *d)
{
	if (len < 40 + UDP_HEADER || p[6] != 17)
		return false;
	d->src.family = d->dst.family = AF_INET6;
	memcpy(d->src.host, p + 8, 16);
	memcpy(d->dst.host, p + 24, 16);
	d->data = p + 40;
	d->len = len - 40;
	return true;
}

static bool frame_udp(
	uint32_t link, const uint8_t *frame, size_t len, struct datagram *d)
{
	const uint8_t *p = frame_ip(link, frame, &len);
	bool ok = false;

	*d = (struct datagram){0};
	if (!p)
		return false;
	if (p[0] >> 4 == 4)
		ok = ip4_udp(p, len, d);
	else if (p[0] >> 4 == 6)
		ok = ip6_udp(p, len, d);
	if (!ok)
		return false;
	size_t udp_len = be16(d->data + 4);
	if (udp_len < UDP_HEADER || udp_len > d->len)
		return false;
	d->src.port = (uint16_t)be16(d->data);
	d->dst.port = (uint16_t)be16(d->data + 2);
	d->data += UDP_HEADER;
	d->len = udp_len - UDP_HEADER;
	return true;
}

/* Finds the payload: header, CSRC list, extension, padding (RFC 3550 5.1). */
static bool rtp_parse(const uint8_t *p, size_t len, struct packet *out)
{
	if (len < RTP_HEADER || p[0] >> 6 != 2)
		return false;
	size_t head = RTP_HEADER + (size_t)(p[0] & 0x0f) * 4;
	if (p[0] & 0x10) {
		if (len < head + 4)
			return false;
		head += 4 + (size_t)be16(p + head + 2) * 4;
	}
	if (len < head)
		return false;
	size_t pad = (p[0] & 0x20) ? p[len - 1] : 0;
	if (pad > len - head)
		return false;
	out->payload_type = p[1] & 0x7f;
	if (out->payload_type >= 64 && out->payload_type < 96)
		return false; /* RTCP on the same port (RFC 5761) */
	out->sequence = (uint16_t)be16(p + 2);
	out->timestamp = be32(p + 4);
	out->ssrc = be32(p + 8);
	out->len = (uint16_t)(len - head - pad);
	out->payload = malloc(out->len ? out->len : 1u);
	if (!out->payload)
		return false;
	memcpy(out->payload, p + head, out->len);
	return true;
}

static int packets_add(struct packets *all, const struct packet *p)
{
	if (all->n == all->space) {
		size_t space = all->space ? all->space * 2 : 1024;
		if (space > PACKETS_MAX * 2)
			return -1;
		struct packet *list = realloc(all->list, space * sizeof(*list));
		if (!list)
			return -1;
		all->list = list;
		all->space = space;
	}
	all->list[all->n++] = *p;
	return 0;
}

static void packets_done(struct packets *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->list[i].payload);
	free(all->list);
}

/* An open capture; its numbers are in the byte order of who wrote it. */
struct capture {
	FILE *file;
	bool swapped;
	bool nanoseconds;
	uint32_t link;
};

static uint32_t capture_u32(const struct capture *c, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return c->swapped ? __builtin_bswap32(v) : v;
}

static int capture_open(struct capture *c, const char *path)
{
	uint8_t head[24];
	uint32_t magic;

	c->file = fopen(path, "rb");
	if (!c->file || fread(head, sizeof(head), 1, c->file) != 1)
		return -1;
	magic = capture_u32(c, head);
	c->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	magic = capture_u32(c, head);
	c->nanoseconds = magic == 0xa1b23c4d;
	c->link = capture_u32(c, head + 20) & 0xffff;
	return magic == 0xa1b2c3d4 || c->nanoseconds ? 0 : -1;
}

/* The next frame. A capture that was cut off in its last packet ends there;
 * what came before it counts. */
static bool capture_next(struct capture *c, uint8_t frame[FRAME_MAX],
	size_t *len_out, double *at_ms_out)
{
	uint8_t head[16];

	if (fread(head, sizeof(head), 1, c->file) != 1)
		return false;
	uint32_t len = capture_u32(c, head + 8);
	if (len > FRAME_MAX || fread(frame, 1, len, c->file) != len)
		return false;
	*at_ms_out = capture_u32(c, head) * 1e3 +
		     capture_u32(c, head + 4) / (c->nanoseconds ? 1e6 : 1e3);
	*len_out = len;
	return true;
}

/* Keeps the packet of one frame if it is RTP that the filter lets through. */
static int frame_take(const struct capture *c, const uint8_t *frame, size_t len,
	double at_ms, const struct rtpcap_filter *filter, struct packets *all)
{
	struct datagram d;
	struct packet p = {.at_ms = at_ms};

	if (!frame_udp(c->link, frame, len, &d))
		return 0;
	if (!end_fits(&filter->src, &d.src) || !end_fits(&filter->dst, &d.dst))
		return 0;
	if (!rtp_parse(d.data, d.len, &p))
		return 0;
	if (filter->has_ssrc && p.ssrc != filter->ssrc) {
		free(p.payload);
		return 0;
	}
	if (packets_add(all, &p)) {
		free(p.payload);
		return -1;
	}
	return 0;
}

static int packets_read(const char *path, const struct rtpcap_filter *filter,
	struct packets *all, char *problem, size_t problem_size)
{
	struct capture c = {0};
	uint8_t *frame = malloc(FRAME_MAX);
	size_t len;
	double at_ms;
	int err = -1;

	if (!frame || capture_open(&c, path)) {
		snprintf(problem, problem_size, "not a readable libpcap file");
		goto out;
	}
	err = 0;
	while (err == 0 && capture_next(&c, frame, &len, &at_ms))
		err = frame_take(&c, frame, len, at_ms, filter, all);
	if (err)
		snprintf(problem, problem_size, "too many packets");
out:
	if (c.file)
		fclose(c.file);
	free(frame);
	return err;
}

static bool is_sound(const struct packet *p)
{
	return (p->payload_type == PT_ULAW || p->payload_type == PT_ALAW) &&
	       p->len > 0;
}

/* The SSRC with the most sound; counts the streams. */
static size_t stream_choose(
	const struct packets *all, uint32_t *ssrc_out, unsigned *n_streams_out)
{
	uint32_t ssrc[STREAMS_MAX];
	size_t count[STREAMS_MAX];
	unsigned n = 0, best = 0;

	for (size_t i = 0; i < all->n; i++) {
		unsigned k = 0;
		if (!is_sound(&all->list[i]))
			continue;
		while (k < n && ssrc[k] != all->list[i].ssrc)
			k++;
		if (k == n) {
			if (n == STREAMS_MAX)
				continue;
			ssrc[n] = all->list[i].ssrc;
			count[n++] = 0;
		}
		if (++count[k] > count[best])
			best = k;
	}
	*n_streams_out = n;
	if (n == 0)
		return 0;
	*ssrc_out = ssrc[best];
	return count[best];
}

static void sample_put(struct sound *s, const struct packet *p, size_t at)
{
	for (size_t i = 0; i < p->len && at + i < s->n; i++)
		s->sample[at + i] = p->payload_type == PT_ALAW
					    ? g711_alaw_decode(p->payload[i])
					    : g711_ulaw_decode(p->payload[i]);
}

/* Measures the stream and finds the timestamps it spans. Both counters are
 * extended from the first packet with signed differences, so that they may
 * wrap and packets may arrive out of order. */
static void stream_measure(const struct packets *all, struct rtpcap_stream *st,
	int32_t *first_out, int32_t *end_out)
{
	const struct packet *base = NULL;
	int16_t low = 0, high = 0;
	int32_t first = 0, end = 0;
	double last_ms = 0;
	uint8_t seen[65536 / 8] = {0};

	for (size_t i = 0; i < all->n; i++) {
		const struct packet *p = &all->list[i];
		if (p->ssrc != st->ssrc)
			continue;
		if (!base)
			base = p;
		else if (p->at_ms - last_ms > st->gap_max_ms)
			st->gap_max_ms = p->at_ms - last_ms;
		last_ms = p->at_ms;
		int16_t d = (int16_t)(p->sequence - base->sequence);
		low = d < low ? d : low;
		high = d > high ? d : high;
		st->n_packets++;
		if (seen[p->sequence / 8] & (1 << p->sequence % 8))
			st->n_duplicates++;
		seen[p->sequence / 8] |= (uint8_t)(1 << p->sequence % 8);
		if (!is_sound(p))
			continue;
		st->payload_type = p->payload_type;
		int32_t t = (int32_t)(p->timestamp - base->timestamp);
		first = t < first ? t : first;
		end = t + p->len > end ? t + p->len : end;
	}
	size_t expected = (size_t)(high - low) + 1;
	size_t different = st->n_packets - st->n_duplicates;
	st->n_lost = expected > different ? expected - different : 0;
	st->seconds = (double)(end - first) / WAV_RATE;
	*first_out = first;
	*end_out = end;
}

static int stream_decode(
	const struct packets *all, struct rtpcap_stream *st, struct sound *out)
{
	const struct packet *base = NULL;
	int32_t first, end;

	stream_measure(all, st, &first, &end);
	int64_t n = (int64_t)end - first;
	if (n <= 0 || n > (int64_t)WAV_SAMPLES_MAX)
		return -1;
	out->sample = calloc((size_t)n, sizeof(*out->sample));
	if (!out->sample)
		return -1;
	out->n = (size_t)n;
	for (size_t i = 0; i < all->n; i++) {
		const struct packet *p = &all->list[i];
		if (p->ssrc != st->ssrc)
			continue;
		if (!base)
			base = p;
		if (is_sound(p))
			sample_put(out, p,
				(size_t)((int64_t)(int32_t)(p->timestamp -
							    base->timestamp) -
					 first));
	}
	return 0;
}

int rtpcap_decode(const char *path, const struct rtpcap_filter *filter,
	struct sound *sound_out, struct rtpcap_stream *stream_out,
	char *problem, size_t problem_size)
{
	struct packets all = {0};
	struct rtpcap_stream st = {0};
	struct sound s = {0};
	int err = packets_read(path, filter, &all, problem, problem_size);

	if (err)
		goto out;
	err = -1;
	if (stream_choose(&all, &st.ssrc, &st.n_streams) == 0) {
		snprintf(problem, problem_size,
			"no G.711 packets that the selection fits");
		goto out;
	}
	if (stream_decode(&all, &st, &s)) {
		snprintf(problem, problem_size,
			"timestamps span nothing or more than ten minutes");
		goto out;
	}
	*sound_out = s;
	*stream_out = st;
	err = 0;
out:
	packets_done(&all);
	return err;
}
