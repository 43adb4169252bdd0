// SPDX-License-Identifier: Apache-2.0
/*
 * Decides which codecs exist for us, how they are named in rtpmap, and what
 * their fmtp may say. A parameter is a row: its values are words of a list or
 * a number in a range, so what is written is always ours and never the peer's
 * text. Called by sdp_read.c, sdp_write.c and sdp_negotiate.c.
 *
 * RFC 3551 (static types; G722's clock is 8000 for historical reasons, 4.5.2),
 * RFC 7587 (opus), 3952 (iLBC), 4733 (telephone-event), 3389 (CN), 4867 (AMR),
 * 5574 (speex), 4856 (G723, G729 annexes).
 */
#include "sbc/sdp_codec.h"

#include <stdio.h>
#include <string.h>

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const struct sdp_codec codecs[] = {
	{"PCMU", 8000, 1, 0, CODEC_AUDIO, 20000},
	{"PCMA", 8000, 1, 8, CODEC_AUDIO, 20000},
	{"G722", 8000, 1, 9, CODEC_AUDIO, 20000},
	{"G729", 8000, 1, 18, CODEC_AUDIO, 20000},
	{"G723", 8000, 1, 4, CODEC_AUDIO, 30000},
	{"GSM", 8000, 1, 3, CODEC_AUDIO, 20000},
	{"iLBC", 8000, 1, -1, CODEC_AUDIO, 30000},
	{"AMR", 8000, 1, -1, CODEC_AUDIO, 20000},
	{"AMR-WB", 16000, 1, -1, CODEC_AUDIO, 20000},
	{"speex", 8000, 1, -1, CODEC_AUDIO, 20000},
	{"speex", 16000, 1, -1, CODEC_AUDIO, 20000},
	{"speex", 32000, 1, -1, CODEC_AUDIO, 20000},
	{"opus", 48000, 2, -1, CODEC_AUDIO, 20000},
	{"CN", 8000, 1, 13, CODEC_NOISE, 20000},
	{"CN", 16000, 1, -1, CODEC_NOISE, 20000},
	{"CN", 32000, 1, -1, CODEC_NOISE, 20000},
	{"CN", 48000, 1, -1, CODEC_NOISE, 20000},
	{"telephone-event", 8000, 1, -1, CODEC_EVENT, 20000},
	{"telephone-event", 16000, 1, -1, CODEC_EVENT, 20000},
	{"telephone-event", 32000, 1, -1, CODEC_EVENT, 20000},
	{"telephone-event", 48000, 1, -1, CODEC_EVENT, 20000},
};

/** How two sides' values of a parameter become the answer's. */
enum fmtp_combine {
	COMBINE_FAR, /* each side speaks of its own receiving: the far one's */
	COMBINE_WINNER, /* the row's winner if either side says or means it */
	COMBINE_EQUAL,  /* another value is another format */
};

struct fmtp_row {
	const char *codec;
	const char *name;
	const char *words[4]; /* allowed values; none: a number */
	uint32_t min, max;    /* of a number */
	const char *def;      /* what saying nothing means; NULL = nothing */
	enum fmtp_combine combine;
	const char *winner;
};

/* In the order in which they are written: what matters most comes first, since
 * a text that grows over SDP_FMTP_SIZE loses its tail. */
static const struct fmtp_row rows[] = {
	{"G729", "annexb", {"yes", "no"}, 0, 0, "yes", COMBINE_WINNER, "no"},
	{"G723", "annexa", {"yes", "no"}, 0, 0, "yes", COMBINE_WINNER, "no"},
	{"G723", "bitrate", {"5.3", "6.3"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"iLBC", "mode", {"20", "30"}, 0, 0, "30", COMBINE_WINNER, "30"},
	{"AMR", "octet-align", {"0", "1"}, 0, 0, "0", COMBINE_EQUAL, NULL},
	{"AMR", "mode-change-period", {"1", "2"}, 0, 0, NULL, COMBINE_FAR,
		NULL},
	{"AMR", "mode-change-capability", {"1", "2"}, 0, 0, NULL, COMBINE_FAR,
		NULL},
	{"AMR", "mode-change-neighbor", {"0", "1"}, 0, 0, NULL, COMBINE_FAR,
		NULL},
	{"AMR", "max-red", {NULL}, 0, 65535, NULL, COMBINE_FAR, NULL},
	{"AMR-WB", "octet-align", {"0", "1"}, 0, 0, "0", COMBINE_EQUAL, NULL},
	{"AMR-WB", "mode-change-period", {"1", "2"}, 0, 0, NULL, COMBINE_FAR,
		NULL},
	{"AMR-WB", "mode-change-capability", {"1", "2"}, 0, 0, NULL,
		COMBINE_FAR, NULL},
	{"AMR-WB", "mode-change-neighbor", {"0", "1"}, 0, 0, NULL, COMBINE_FAR,
		NULL},
	{"AMR-WB", "max-red", {NULL}, 0, 65535, NULL, COMBINE_FAR, NULL},
	{"speex", "vbr", {"on", "off", "vad"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"speex", "cng", {"on", "off"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"opus", "minptime", {NULL}, 3, 120, NULL, COMBINE_FAR, NULL},
	{"opus", "useinbandfec", {"0", "1"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"opus", "stereo", {"0", "1"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"opus", "cbr", {"0", "1"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"opus", "usedtx", {"0", "1"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"opus", "maxaveragebitrate", {NULL}, 6000, 510000, NULL, COMBINE_FAR,
		NULL},
	{"opus", "maxplaybackrate", {NULL}, 8000, 48000, NULL, COMBINE_FAR,
		NULL},
	{"opus", "sprop-stereo", {"0", "1"}, 0, 0, NULL, COMBINE_FAR, NULL},
	{"opus", "sprop-maxcapturerate", {NULL}, 8000, 48000, NULL, COMBINE_FAR,
		NULL},
};

/* The digits, * and #, A to D, and the hook flash. Other events are never
 * relayed, and offering less is always allowed (RFC 4733 2.4.1). */
#define EVENTS_ALL ((1u << 17) - 1)

const struct sdp_codec *sdp_codec_find(
	struct span name, uint32_t clock, uint32_t channels)
{
	for (size_t i = 0; i < N_ROWS(codecs); i++)
		if (span_is_word(name, codecs[i].name) &&
			(!clock || clock == codecs[i].clock) &&
			(!channels || channels == codecs[i].channels))
			return &codecs[i];
	return NULL;
}

const struct sdp_codec *sdp_codec_static(unsigned pt)
{
	for (size_t i = 0; i < N_ROWS(codecs); i++)
		if (codecs[i].static_pt >= 0 &&
			(unsigned)codecs[i].static_pt == pt)
			return &codecs[i];
	return NULL;
}

const struct sdp_codec *sdp_codec_of(const struct sdp_payload *payload)
{
	return sdp_codec_find(
		span_of(payload->name), payload->clock, payload->channels);
}

void sdp_codec_fill(const struct sdp_codec *codec, unsigned pt,
	struct sdp_payload *payload_out)
{
	memset(payload_out, 0, sizeof(*payload_out));
	payload_out->pt = (uint8_t)pt;
	/* The rest is zeros, and every name of the table is shorter. */
	strncpy(payload_out->name, codec->name, sizeof(payload_out->name) - 1);
	payload_out->clock = codec->clock;
	payload_out->channels = codec->channels;
}

/** The value of a parameter as it stands in an fmtp text. */
static bool find_param(struct span fmtp, const char *name, struct span *value)
{
	struct span rest = fmtp, item, key;

	while (span_next(&rest, ';', &item)) {
		item = span_trim(item);
		if (!memchr(item.at, '=', item.len) ||
			!span_next(&item, '=', &key))
			continue;
		if (!span_is_word(span_trim(key), name))
			continue;
		*value = span_trim(item);
		return true;
	}
	return false;
}

/** The value that a row allows, as our own text. */
static bool read_value(
	const struct fmtp_row *row, struct span value, char *out, size_t size)
{
	uint64_t n = 0;

	if (!row->words[0]) {
		if (span_number(value, row->max, &n) || n < row->min)
			return false;
		snprintf(out, size, "%u", (unsigned)n);
		return true;
	}
	for (size_t i = 0; i < N_ROWS(row->words) && row->words[i]; i++)
		if (span_is_word(value, row->words[i])) {
			snprintf(out, size, "%s", row->words[i]);
			return true;
		}
	return false;
}

static bool row_value(
	const struct fmtp_row *row, struct span fmtp, char *out, size_t size)
{
	struct span value;

	return find_param(fmtp, row->name, &value) &&
	       read_value(row, value, out, size);
}

static void write_param(
	struct writer *w, const struct fmtp_row *row, const char *value)
{
	writer_add(w, "%s%s=%s", w->len ? ";" : "", row->name, value);
}

/** "0-11,16" as bits; what is above the hook flash is left out. */
static uint32_t read_events(struct span value)
{
	struct span rest = span_trim(value), item, first;
	uint32_t events = 0;

	while (span_next(&rest, ',', &item)) {
		uint64_t from = 0, to = 0;

		item = span_trim(item);
		if (!span_next(&item, '-', &first) ||
			span_number(first, 255, &from))
			continue;
		if (!item.at)
			to = from;
		else if (span_number(item, 255, &to))
			continue;
		for (uint64_t e = from; e <= to && e < 17; e++)
			events |= 1u << e;
	}
	return events;
}

static void write_events(uint32_t events, char out[SDP_FMTP_SIZE])
{
	struct writer w;

	writer_init(&w, out, SDP_FMTP_SIZE);
	for (unsigned e = 0; e < 17; e++) {
		unsigned last = e;

		if (!(events >> e & 1))
			continue;
		while (last < 16 && events >> (last + 1) & 1)
			last++;
		if (w.len)
			writer_add_char(&w, ',');
		writer_add_number(&w, e);
		if (last > e) {
			writer_add_char(&w, '-');
			writer_add_number(&w, last);
		}
		e = last;
	}
}

void sdp_fmtp_read(const struct sdp_codec *codec, struct span value,
	char fmtp_out[SDP_FMTP_SIZE])
{
	struct writer w;
	char text[16];

	writer_init(&w, fmtp_out, SDP_FMTP_SIZE);
	if (codec->kind == CODEC_EVENT) {
		write_events(read_events(value), fmtp_out);
		return;
	}
	for (size_t i = 0; i < N_ROWS(rows); i++)
		if (!strcmp(rows[i].codec, codec->name) &&
			row_value(&rows[i], value, text, sizeof(text)))
			write_param(&w, &rows[i], text);
}

/** What a side says, or means by saying nothing; "" if neither. */
static void effective(
	const struct fmtp_row *row, const char *fmtp, char *out, size_t size)
{
	if (!row_value(row, span_of(fmtp), out, size))
		snprintf(out, size, "%s", row->def ? row->def : "");
}

bool sdp_payload_same(const struct sdp_payload *a, const struct sdp_payload *b)
{
	const struct sdp_codec *codec = sdp_codec_of(a);
	char value_a[16], value_b[16];

	if (!codec || codec != sdp_codec_of(b))
		return false;
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		if (rows[i].combine != COMBINE_EQUAL ||
			strcmp(rows[i].codec, codec->name))
			continue;
		effective(&rows[i], a->fmtp, value_a, sizeof(value_a));
		effective(&rows[i], b->fmtp, value_b, sizeof(value_b));
		if (strcmp(value_a, value_b))
			return false;
	}
	return true;
}

static void combine_events(
	const char *offer, const char *far, char out[SDP_FMTP_SIZE])
{
	/* Nothing said means 0 to 15 (RFC 4733 2.4.1). */
	uint32_t a = *offer ? read_events(span_of(offer)) : 0xffff;
	uint32_t b = *far ? read_events(span_of(far)) : 0xffff;

	if (!*offer && !*far)
		out[0] = '\0';
	else
		write_events(a & b, out);
}

void sdp_fmtp_combine(const struct sdp_codec *codec, const char *offer,
	const char *far_answer, char fmtp_out[SDP_FMTP_SIZE])
{
	struct writer w;
	char ours[16], far[16];

	if (codec->kind == CODEC_EVENT) {
		combine_events(offer, far_answer, fmtp_out);
		return;
	}
	writer_init(&w, fmtp_out, SDP_FMTP_SIZE);
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		const struct fmtp_row *row = &rows[i];
		bool said;

		if (strcmp(row->codec, codec->name))
			continue;
		said = row_value(row, span_of(far_answer), far, sizeof(far));
		if (row->combine == COMBINE_WINNER) {
			said |= row_value(
				row, span_of(offer), ours, sizeof(ours));
			effective(row, offer, ours, sizeof(ours));
			effective(row, far_answer, far, sizeof(far));
			if (!strcmp(ours, row->winner))
				snprintf(far, sizeof(far), "%s", row->winner);
		}
		if (said)
			write_param(&w, row, far);
	}
}
