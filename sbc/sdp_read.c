// SPDX-License-Identifier: Apache-2.0
/*
 * A peer's session description into values (RFC 8866). Decides what is broken
 * (SDP_SYNTAX), what is too big, and which m= line is our audio: the first one
 * with a port and an RTP profile, of the kind that is preferred. Does not
 * decide whether its codecs are allowed (sdp_restrict) or whether its address
 * may be used (mediad, call). Called by sdp_parse.c for every text; pure.
 *
 * Lines end in CR LF or LF. A CR or NUL anywhere else, a line that is not
 * "x=...", or a second o=, or c= in one place, breaks the description: each of
 * those is how two readers are made to see two different descriptions. Unknown
 * attributes and attributes with impossible values are as if they were absent
 * (RFC 8866 5.13). RFC 3264 8.4 for the old hold, RFC 3605 for a=rtcp, RFC
 * 5761 for rtcp-mux, RFC 9143 for bundle-only (a port of 0, so refused).
 */
#include "sbc/sdp.h"

#include <string.h>

#include "common/secret.h"
#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"

#define FORMATS_MAX 64 /* of one m= line; the rest is not looked at */

/** A description cut into its sections: the session's and one per m= line. */
struct sections {
	struct span session;              /* lines before the first m= */
	struct span line[SDP_MEDIA_MAX];  /* value of m= */
	struct span lines[SDP_MEDIA_MAX]; /* lines after it */
	size_t n;
	bool may_have_keys;
};

struct m_line {
	struct span kind, proto, formats;
	uint16_t port;
	enum sdp_profile profile;
	bool is_rtp;
};

/** What an audio line maps its payload types to. */
struct formats {
	uint8_t pt[FORMATS_MAX];
	struct span rtpmap[FORMATS_MAX];
	struct span fmtp[FORMATS_MAX];
	size_t n;
	bool xr; /* the line has an a=rtcp-xr of its own */
};

/** Takes one line, without its end, off a text whose lines have been checked.
 * @return whether there was one. */
static bool next_line(struct span *text, struct span *line_out)
{
	if (!text->len || !span_next(text, '\n', line_out))
		return false;
	if (line_out->len && line_out->at[line_out->len - 1] == '\r')
		line_out->len--;
	return true;
}

/** Whether one of eight bytes is below 0x20. */
static bool has_control(const char *at)
{
	const uint64_t ones = 0x0101010101010101ull;
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return ((word - ones * 0x20) & ~word & ones * 0x80) != 0;
}

/** Nothing in it ends a line for another reader. */
static bool is_line(struct span line)
{
	size_t i = 0;

	while (i + 8 <= line.len && !has_control(line.at + i))
		i += 8;
	for (; i < line.len; i++)
		if ((unsigned char)line.at[i] < 0x20 && line.at[i] != '\t')
			return false;
	return true;
}

/** Nothing but ends of lines. */
static bool is_blank(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] != '\r' && text.at[i] != '\n')
			return false;
	return true;
}

/** k=, a=crypto, a=key-mgmt, and others that begin like these. */
static bool may_be_key(struct span line)
{
	return line.at[0] == 'k' ||
	       (line.at[0] == 'a' && line.len > 2 &&
		       ((line.at[2] | 0x20) == 'c' ||
			       (line.at[2] | 0x20) == 'k'));
}

static int begin_media(struct sections *s, struct span value)
{
	if (s->n == SDP_MEDIA_MAX)
		return ERR_TOO_BIG;
	s->line[s->n++] = value;
	return 0;
}

/** Checks every line's form once and finds where sections begin and end. */
static int cut_sections(struct span text, struct sections *s)
{
	struct span *body = &s->session, line;
	const char *start = text.at;
	int err;

	*body = (struct span){start, 0};
	for (;;) {
		if (is_blank(text))
			break;
		start = text.at;
		if (!next_line(&text, &line))
			return ERR_NOT_FOUND;
		if (!is_line(line) || line.len < 2 || line.at[1] != '=' ||
			line.at[0] < 'a' || line.at[0] > 'z')
			return ERR_INVALID;
		if (may_be_key(line))
			s->may_have_keys = true;
		if (line.at[0] != 'm') {
			body->len = (size_t)(line.at + line.len - body->at);
			continue;
		}
		span_skip(&line, "m=");
		err = begin_media(s, line);
		if (err)
			return err;
		body = &s->lines[s->n - 1];
		*body = (struct span){line.at + line.len, 0};
		if (text.at)
			body->at = text.at;
	}
	return start ? 0 : ERR_INVALID;
}

/** "IN IP4 192.0.2.1", also with a TTL, which only multicast has.
 * @return 0, ERR_INVALID, or ERR_REFUSED for what is no unicast address. */
static int read_connection(struct span value, struct addr *addr_out)
{
	struct span net, type, host, more;
	struct addr addr;
	char text[ADDR_TEXT_SIZE];

	if (!span_take_word(&value, &net) || !span_take_word(&value, &type) ||
		!span_take_word(&value, &host) ||
		span_take_word(&value, &more) || !span_is_word(net, "IN"))
		return ERR_INVALID;
	if (!span_is_word(type, "IP4") && !span_is_word(type, "IP6"))
		return ERR_INVALID;
	if (span_copy(host, text, sizeof(text)))
		return ERR_REFUSED;
	if (strchr(text, '[') || addr_parse(text, &addr) || addr.port)
		return ERR_REFUSED;
	if (span_is_word(type, "IP4") && addr.family != AF_INET)
		return ERR_INVALID;
	if (addr_is_multicast(&addr))
		return ERR_REFUSED;
	*addr_out = addr;
	return 0;
}

/** "- 3724394400 3724394405 IN IP4 198.51.100.1" (RFC 8866 5.2). */
static int read_origin(struct span value, struct sdp *sdp)
{
	struct span user, id, version, connection;

	if (!span_take_word(&value, &user) || !span_take_word(&value, &id) ||
		!span_take_word(&value, &version))
		return ERR_INVALID;
	connection = span_trim(value);
	/* Numbers that peers make may be longer than 64 bits; only their
	 * being equal or not matters. */
	for (size_t i = 0; i < id.len; i++) {
		if (!text_is_digit(id.at[i]))
			return ERR_INVALID;
		sdp->session_id =
			sdp->session_id * 10 + (uint64_t)(id.at[i] - '0');
	}
	for (size_t i = 0; i < version.len; i++) {
		if (!text_is_digit(version.at[i]))
			return ERR_INVALID;
		sdp->session_version = sdp->session_version * 10 +
				       (uint64_t)(version.at[i] - '0');
	}
	/* A name or a private address here is legal and of no use to us. */
	return read_connection(connection, &sdp->origin) == ERR_INVALID
		       ? ERR_INVALID
		       : 0;
}

/** The only c= of a section; leaves addr alone if there is none. */
static int find_connection(struct span section, struct addr *addr)
{
	struct span line;
	bool found = false;
	int err;

	while (next_line(&section, &line)) {
		if (!span_skip(&line, "c="))
			continue;
		if (found)
			return ERR_INVALID;
		found = true;
		err = read_connection(line, addr);
		if (err)
			return err;
	}
	return 0;
}

static bool read_direction(struct span attribute, Gh__Direction *direction)
{
	static const struct {
		const char *word;
		Gh__Direction direction;
	} words[] = {
		{"sendrecv", GH__DIRECTION__DIRECTION_SENDRECV},
		{"sendonly", GH__DIRECTION__DIRECTION_SENDONLY},
		{"recvonly", GH__DIRECTION__DIRECTION_RECVONLY},
		{"inactive", GH__DIRECTION__DIRECTION_INACTIVE},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is_word(attribute, words[i].word)) {
			*direction = words[i].direction;
			return true;
		}
	return false;
}

/* "pkt-loss-rle=80 voip-metrics": one of the formats is ours. */
static void read_xr(struct span value, struct sdp *sdp)
{
	struct span word;

	while (span_take_word(&value, &word))
		if (span_is_word(word, "voip-metrics"))
			sdp->voip_metrics = true;
}

/* Of a whole description; rtcp-xr counts for its media unless a media line has
 * its own (RFC 3611 section 5.1). */
static void read_session_attribute(struct span line, struct sdp *sdp)
{
	struct span name, value = line;

	if (span_next(&value, ':', &name) && value.at &&
		span_is_word(name, "rtcp-xr"))
		read_xr(value, sdp);
	else
		read_direction(span_trim(line), &sdp->direction);
}

/** The session's own lines: v=0 first, one o=, direction for all media. */
static int read_session(struct span section, struct sdp *sdp, struct addr *c)
{
	struct span line, rest = section;
	unsigned n_lines = 0, n_origins = 0;
	int err;

	while (next_line(&rest, &line)) {
		if (n_lines++ == 0) {
			if (!span_is(span_trim(line), "v=0"))
				return ERR_INVALID;
		} else if (span_skip(&line, "v=")) {
			return ERR_INVALID;
		} else if (span_skip(&line, "o=")) {
			if (n_origins++)
				return ERR_INVALID;
			err = read_origin(line, sdp);
			if (err)
				return err;
		} else if (span_skip(&line, "a=")) {
			read_session_attribute(line, sdp);
		}
	}
	if (n_origins != 1)
		return ERR_INVALID;
	return find_connection(section, c);
}

/** "audio 49170/1 RTP/AVP 0 8 101" (RFC 8866 5.14). */
static int read_m_line(struct span value, struct m_line *m)
{
	struct span port, number;
	uint64_t n = 0;

	if (!span_take_word(&value, &m->kind) ||
		!span_take_word(&value, &port) ||
		!span_take_word(&value, &m->proto) ||
		!span_next(&port, '/', &number))
		return ERR_INVALID;
	if (span_number(number, UINT16_MAX, &n))
		return ERR_INVALID;
	m->port = (uint16_t)n;
	if (port.at && (span_number(port, 255, &n) || !n))
		return ERR_INVALID;
	m->formats = span_trim(value);
	if (!m->formats.len)
		return ERR_INVALID;
	m->is_rtp = sdp_profile_find(m->proto, &m->profile);
	return 0;
}

static void read_formats(struct span text, struct formats *formats)
{
	struct span word;
	uint64_t pt = 0;

	formats->n = 0;
	formats->xr = false;
	while (formats->n < FORMATS_MAX && span_take_word(&text, &word)) {
		if (span_number(word, 127, &pt))
			continue;
		if (memchr(formats->pt, (int)pt, formats->n))
			continue;
		formats->pt[formats->n] = (uint8_t)pt;
		formats->rtpmap[formats->n] = (struct span){NULL, 0};
		formats->fmtp[formats->n] = (struct span){NULL, 0};
		formats->n++;
	}
}

/** "pt value" of a=rtpmap and a=fmtp into the slot of its payload type; the
 * first one counts. */
static void read_mapping(
	struct span text, const struct formats *formats, struct span *slots)
{
	struct span word;
	const uint8_t *at;
	uint64_t pt = 0;

	if (!span_take_word(&text, &word) || span_number(word, 127, &pt))
		return;
	at = memchr(formats->pt, (int)pt, formats->n);
	if (at && !slots[at - formats->pt].at)
		slots[at - formats->pt] = span_trim(text);
}

/** "20" or "2.5" milliseconds; 0 for what no codec does. */
static uint32_t read_ptime(struct span value)
{
	struct span whole, rest = span_trim(value);
	uint64_t ms = 0, tenths = 0;

	if (!span_next(&rest, '.', &whole) || span_number(whole, 240, &ms))
		return 0;
	if (rest.at && (rest.len != 1 || span_number(rest, 9, &tenths)))
		return 0;
	ms = ms * 1000 + tenths * 100;
	return ms >= 2500 && ms <= 240000 ? (uint32_t)ms : 0;
}

/** "53020" or "53020 IN IP4 126.16.64.4" (RFC 3605). Another host than the
 * audio's is not believed: reports would go to somebody who never asked. */
static void read_rtcp(struct span value, struct sdp *sdp)
{
	struct addr addr = sdp->rtp;
	struct span word;
	uint64_t port = 0;

	if (!span_take_word(&value, &word) ||
		span_number(word, UINT16_MAX, &port) || !port)
		return;
	if (span_trim(value).len && (read_connection(value, &addr) ||
					    !addr_equal_ip(&addr, &sdp->rtp)))
		return;
	addr.port = (uint16_t)port;
	sdp->rtcp = addr;
}

static void read_crypto(struct span value, struct sdp *sdp)
{
	struct sdp_crypto *crypto = &sdp->crypto[sdp->n_crypto];

	if (sdp->n_crypto == SDP_CRYPTO_MAX || sdp_crypto_read(value, crypto))
		return;
	for (size_t i = 0; i < sdp->n_crypto; i++)
		if (sdp->crypto[i].tag == crypto->tag) {
			secret_wipe(crypto, sizeof(*crypto));
			return;
		}
	sdp->n_crypto++;
}

/* The line's own first one replaces what the session says. */
static void read_own_xr(
	struct span value, struct formats *formats, struct sdp *sdp)
{
	if (!formats->xr)
		sdp->voip_metrics = false;
	formats->xr = true;
	read_xr(value, sdp);
}

static void read_attribute(
	struct span line, struct formats *formats, struct sdp *sdp)
{
	struct span name;
	struct span value = line;

	if (!span_next(&value, ':', &name))
		return;
	if (!value.at) {
		name = span_trim(name);
		if (span_is_word(name, "rtcp-mux"))
			sdp->rtcp_mux = true;
		else if (span_is_word(name, "rtcp-xr"))
			read_own_xr(value, formats, sdp);
		else
			read_direction(name, &sdp->direction);
	} else if (span_is_word(name, "rtpmap")) {
		read_mapping(value, formats, formats->rtpmap);
	} else if (span_is_word(name, "fmtp")) {
		read_mapping(value, formats, formats->fmtp);
	} else if (span_is_word(name, "ptime")) {
		sdp->ptime_us = read_ptime(value);
	} else if (span_is_word(name, "maxptime")) {
		sdp->maxptime_us = read_ptime(value);
	} else if (span_is_word(name, "rtcp")) {
		read_rtcp(value, sdp);
	} else if (span_is_word(name, "rtcp-xr")) {
		read_own_xr(value, formats, sdp);
	} else if (span_is_word(name, "crypto")) {
		read_crypto(value, sdp);
	}
}

/** "opus/48000/2". NULL for a codec that we do not know. */
static const struct sdp_codec *read_rtpmap(struct span value)
{
	struct span name, clock_text, channels_text;
	uint64_t clock = 0, channels = 1;

	if (!span_next(&value, '/', &name) ||
		!span_next(&value, '/', &clock_text) ||
		span_number(clock_text, 192000, &clock) || !clock)
		return NULL;
	if (span_next(&value, '/', &channels_text) &&
		span_number(channels_text, 16, &channels))
		return NULL;
	return sdp_codec_find(name, (uint32_t)clock, (uint32_t)channels);
}

static void resolve_payloads(const struct formats *formats, struct sdp *sdp)
{
	for (size_t i = 0; i < formats->n; i++) {
		unsigned pt = formats->pt[i];
		const struct sdp_codec *fixed = sdp_codec_static(pt), *codec;

		codec = formats->rtpmap[i].at ? read_rtpmap(formats->rtpmap[i])
					      : fixed;
		/* A static number that is said to be something else would be
		 * two codecs for two readers. */
		if (!codec || (fixed && codec != fixed))
			continue;
		/* With one port for both these could be RTCP (RFC 5761 4). */
		if (pt >= 72 && pt <= 76)
			continue;
		if (sdp->n_payloads == SDP_PAYLOADS_MAX)
			return;
		sdp_codec_fill(codec, pt, &sdp->payloads[sdp->n_payloads]);
		if (formats->fmtp[i].at)
			sdp_fmtp_read(codec, formats->fmtp[i],
				sdp->payloads[sdp->n_payloads].fmtp);
		sdp->n_payloads++;
	}
}

static int read_audio(const struct m_line *m, struct span section,
	const struct addr *session_c, struct sdp *sdp)
{
	struct formats formats;
	struct span line, rest = section;
	int err;

	sdp->rtp = *session_c;
	err = find_connection(section, &sdp->rtp);
	if (err)
		return err;
	if (m->port && !addr_is_set(&sdp->rtp))
		return ERR_INVALID;
	sdp->rtp.port = m->port;
	sdp->profile = m->profile;
	sdp->has_audio = true;
	read_formats(m->formats, &formats);
	while (next_line(&rest, &line))
		if (span_skip(&line, "a="))
			read_attribute(line, &formats, sdp);
	resolve_payloads(&formats, sdp);
	if (m->port && addr_is_any(&sdp->rtp)) {
		sdp->old_hold = true;
		sdp->direction = sdp_direction_and(
			sdp->direction, GH__DIRECTION__DIRECTION_SENDONLY);
		memset(&sdp->rtcp, 0, sizeof(sdp->rtcp));
	}
	return 0;
}

static bool fits(enum sdp_profile profile, enum sdp_prefer prefer)
{
	bool secure = sdp_profile_is_secure(profile);

	return prefer == SDP_ANY ||
	       (prefer == SDP_PLAIN ? !secure
				    : secure && !sdp_profile_is_dtls(profile));
}

/** How much an audio line is wanted. */
static int rank(const struct m_line *m, enum sdp_prefer prefer)
{
	return !m->port ? 0 : fits(m->profile, prefer) ? 2 : 1;
}

/** Reads all m= lines, and picks the audio. */
static int read_media(const struct sections *s, const struct addr *session_c,
	enum sdp_prefer prefer, struct sdp *sdp, enum reason *why)
{
	struct m_line m[SDP_MEDIA_MAX];
	bool fax = false;
	size_t pick = s->n;

	for (size_t i = 0; i < s->n; i++) {
		struct span formats, first = {0};

		if (read_m_line(s->line[i], &m[i]))
			return ERR_INVALID;
		formats = m[i].formats;
		(void)span_take_word(&formats, &first);
		sdp_line_fill(m[i].kind, m[i].proto, first, &sdp->lines[i]);
		if (m[i].port && span_is_word(m[i].kind, "image"))
			fax = true;
		if (!m[i].is_rtp || !span_is_word(m[i].kind, "audio"))
			continue;
		if (pick == s->n ||
			rank(&m[pick], prefer) < rank(&m[i], prefer))
			pick = i;
	}
	sdp->n_lines = s->n;
	if (pick == s->n || (fax && !m[pick].port)) {
		*why = fax ? REASON_SDP_T38 : REASON_SDP_NO_AUDIO;
		return ERR_INVALID;
	}
	sdp->audio_line = pick;
	return read_audio(&m[pick], s->lines[pick], session_c, sdp);
}

void sdp_settle(char *text, size_t len, size_t audio_line)
{
	struct span rest = {text, len}, line;
	size_t n = 0;

	while (next_line(&rest, &line)) {
		struct span kind, port;

		if (!span_skip(&line, "m=") || n++ == audio_line ||
			!span_take_word(&line, &kind) ||
			!span_take_word(&line, &port) ||
			!span_is_word(kind, "audio"))
			continue;
		for (size_t i = 0; i < port.len && text_is_digit(port.at[i]);
			i++)
			text[port.at + i - text] = '0';
	}
}

int sdp_read(struct span text, enum sdp_prefer prefer, struct sdp *sdp_out,
	bool *keys_out, enum reason *why_out)
{
	struct sections sections = {0};
	struct addr session_c = {0};
	struct sdp sdp = {0};
	int err;

	*why_out = REASON_SDP_TOO_BIG;
	if (text.len > SDP_SIZE_MAX)
		return ERR_TOO_BIG;
	*why_out = REASON_SDP_SYNTAX;
	err = cut_sections(text, &sections);
	if (!err)
		err = read_session(sections.session, &sdp, &session_c);
	if (!err)
		err = read_media(&sections, &session_c, prefer, &sdp, why_out);
	if (!err) {
		*why_out = REASON_SDP_OK;
		*sdp_out = sdp;
		*keys_out = sections.may_have_keys;
	} else if (err == ERR_TOO_BIG) {
		*why_out = REASON_SDP_TOO_BIG;
	} else {
		if (err == ERR_REFUSED)
			*why_out = REASON_SDP_ADDRESS;
		err = ERR_INVALID;
	}
	sdp_wipe(&sdp);
	return err;
}
