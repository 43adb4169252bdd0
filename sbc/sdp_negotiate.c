// SPDX-License-Identifier: Apache-2.0
/*
 * Offer and answer (RFC 3264) over values: what two codec lists leave of a
 * description, whether an answer fits its offer, and the answer that one side
 * gets out of the other side's. Does not know addresses or keys, which the
 * call fills in. Pure; called by call and leg.
 */
#include "sbc/sdp.h"

#include <string.h>

#include "common/secret.h"
#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"

#define DYNAMIC_FIRST 96u
#define DYNAMIC_LAST  127u
/* What nearly every phone uses for digits, and some expect. */
#define EVENT_USUAL   101u

enum { MAY_SEND = 1, MAY_RECEIVE = 2 };

static unsigned direction_bits(Gh__Direction d)
{
	switch (d) {
	case GH__DIRECTION__DIRECTION_SENDRECV:
		return MAY_SEND | MAY_RECEIVE;
	case GH__DIRECTION__DIRECTION_SENDONLY:
		return MAY_SEND;
	case GH__DIRECTION__DIRECTION_RECVONLY:
		return MAY_RECEIVE;
	default:
		return 0;
	}
}

static Gh__Direction direction_of(unsigned bits)
{
	static const Gh__Direction directions[] = {
		GH__DIRECTION__DIRECTION_INACTIVE,
		GH__DIRECTION__DIRECTION_SENDONLY,
		GH__DIRECTION__DIRECTION_RECVONLY,
		GH__DIRECTION__DIRECTION_SENDRECV,
	};

	return directions[bits & 3];
}

Gh__Direction sdp_reverse(Gh__Direction d)
{
	unsigned bits = direction_bits(d);

	return direction_of((bits & MAY_SEND ? MAY_RECEIVE : 0u) |
			    (bits & MAY_RECEIVE ? MAY_SEND : 0u));
}

Gh__Direction sdp_direction_and(Gh__Direction a, Gh__Direction b)
{
	return direction_of(direction_bits(a) & direction_bits(b));
}

/** Does a row of a codec list name this codec? Digits and comfort noise are
 * listed once and go with every clock rate that is in use. */
static bool row_names(const Gh__Codec *row, const struct sdp_codec *codec)
{
	if (!text_equal(row->name, codec->name))
		return false;
	if (codec->kind != CODEC_AUDIO)
		return true;
	return (!row->clock || row->clock == codec->clock) &&
	       (!row->channels || row->channels == codec->channels);
}

static bool list_names(const Gh__CodecList *list, const struct sdp_codec *codec)
{
	if (!list)
		return true;
	for (size_t i = 0; i < list->n_codecs; i++)
		if (row_names(list->codecs[i], codec))
			return true;
	return false;
}

static bool has_clock(
	const struct sdp_payload *payloads, size_t n, uint32_t clock)
{
	for (size_t i = 0; i < n; i++) {
		const struct sdp_codec *codec = sdp_codec_of(&payloads[i]);

		if (codec && codec->kind == CODEC_AUDIO &&
			codec->clock == clock)
			return true;
	}
	return false;
}

/** Takes out digits and comfort noise whose clock no audio codec has.
 * @return whether an audio codec is left. */
static bool drop_lonely_clocks(struct sdp *sdp)
{
	struct sdp_payload kept[SDP_PAYLOADS_MAX];
	size_t n = 0;
	bool audio = false;

	for (size_t i = 0; i < sdp->n_payloads; i++) {
		const struct sdp_payload *payload = &sdp->payloads[i];
		const struct sdp_codec *codec = sdp_codec_of(payload);

		if (!codec || !has_clock(sdp->payloads, sdp->n_payloads,
				      codec->clock))
			continue;
		audio |= codec->kind == CODEC_AUDIO;
		kept[n++] = *payload;
	}
	memcpy(sdp->payloads, kept, n * sizeof(kept[0]));
	sdp->n_payloads = n;
	return audio;
}

/** Puts payloads in a list's order; what it does not name comes last. */
static void order_by(struct sdp *sdp, const Gh__CodecList *prefer)
{
	struct sdp_payload ordered[SDP_PAYLOADS_MAX];
	bool taken[SDP_PAYLOADS_MAX] = {false};
	size_t n = 0;

	for (size_t row = 0; row <= prefer->n_codecs; row++)
		for (size_t i = 0; i < sdp->n_payloads; i++) {
			const struct sdp_codec *codec =
				sdp_codec_of(&sdp->payloads[i]);

			if (taken[i])
				continue;
			if (row < prefer->n_codecs &&
				!row_names(prefer->codecs[row], codec))
				continue;
			taken[i] = true;
			ordered[n++] = sdp->payloads[i];
		}
	memcpy(sdp->payloads, ordered, n * sizeof(ordered[0]));
	sdp->n_payloads = n;
}

int sdp_restrict(struct sdp *sdp, const Gh__CodecList *a,
	const Gh__CodecList *b, const Gh__CodecList *prefer)
{
	size_t n = 0;
	bool audio;

	for (size_t i = 0; i < sdp->n_payloads; i++) {
		const struct sdp_codec *codec = sdp_codec_of(&sdp->payloads[i]);

		if (codec && list_names(a, codec) && list_names(b, codec))
			sdp->payloads[n++] = sdp->payloads[i];
	}
	sdp->n_payloads = n;
	audio = drop_lonely_clocks(sdp);
	if (prefer)
		order_by(sdp, prefer);
	return audio ? 0 : ERR_NOT_FOUND;
}

static bool pt_is_free(const struct sdp *sdp, unsigned pt)
{
	for (size_t i = 0; i < sdp->n_payloads; i++)
		if (sdp->payloads[i].pt == pt)
			return false;
	return true;
}

static unsigned choose_pt(const struct sdp *sdp, const struct sdp_codec *codec)
{
	if (codec->static_pt >= 0)
		return (unsigned)codec->static_pt;
	if (codec->kind == CODEC_EVENT && pt_is_free(sdp, EVENT_USUAL))
		return EVENT_USUAL;
	for (unsigned pt = DYNAMIC_FIRST; pt < DYNAMIC_LAST; pt++)
		if (pt != EVENT_USUAL && pt_is_free(sdp, pt))
			return pt;
	return DYNAMIC_LAST;
}

static void add_codec(struct sdp *sdp, const struct sdp_codec *codec)
{
	struct sdp_payload *payload;
	unsigned pt;

	for (size_t i = 0; i < sdp->n_payloads; i++)
		if (sdp_codec_of(&sdp->payloads[i]) == codec)
			return;
	if (sdp->n_payloads == SDP_PAYLOADS_MAX)
		return;
	pt = choose_pt(sdp, codec);
	payload = &sdp->payloads[sdp->n_payloads];
	sdp_codec_fill(codec, pt, payload);
	if (codec->kind == CODEC_EVENT)
		sdp_fmtp_read(codec, span_of("0-16"), payload->fmtp);
	sdp->n_payloads++;
}

/** Digits or comfort noise once for every clock rate in use. */
static void add_for_clocks(struct sdp *sdp, const char *name)
{
	size_t n_audio = sdp->n_payloads;

	for (size_t i = 0; i < n_audio; i++) {
		const struct sdp_codec *codec = sdp_codec_find(
			span_of(name), sdp->payloads[i].clock, 0);

		if (codec &&
			sdp_codec_of(&sdp->payloads[i])->kind == CODEC_AUDIO)
			add_codec(sdp, codec);
	}
}

void sdp_payloads_from_list(const Gh__CodecList *list, struct sdp *sdp)
{
	const struct sdp_codec *codec;

	memset(sdp->payloads, 0, sizeof(sdp->payloads));
	sdp->n_payloads = 0;
	for (size_t i = 0; i < list->n_codecs; i++) {
		const Gh__Codec *row = list->codecs[i];

		codec = sdp_codec_find(
			span_of(row->name), row->clock, row->channels);
		if (codec && codec->kind == CODEC_AUDIO)
			add_codec(sdp, codec);
	}
	for (size_t i = 0; i < list->n_codecs; i++) {
		codec = sdp_codec_find(span_of(list->codecs[i]->name), 0, 0);
		if (codec && codec->kind != CODEC_AUDIO)
			add_for_clocks(sdp, codec->name);
	}
}

static const struct sdp_payload *find_same(
	const struct sdp *sdp, const struct sdp_payload *payload)
{
	for (size_t i = 0; i < sdp->n_payloads; i++)
		if (sdp_payload_same(&sdp->payloads[i], payload))
			return &sdp->payloads[i];
	return NULL;
}

/** The same m= lines in the same order (RFC 3264 6). */
static bool same_lines(const struct sdp *offer, const struct sdp *answer)
{
	size_t n = offer->n_lines ? offer->n_lines : 1;
	size_t audio = offer->n_lines ? offer->audio_line : 0;

	if (answer->n_lines != n || answer->audio_line != audio)
		return false;
	for (size_t i = 0; i < offer->n_lines; i++)
		if (strcmp(offer->lines[i].kind, answer->lines[i].kind))
			return false;
	return true;
}

/** Leaves the one key line that takes up an offered one (RFC 4568 5.1.2). */
static bool keep_offered_crypto(const struct sdp *offer, struct sdp *answer)
{
	struct sdp_crypto kept = {0};
	bool found = false;

	for (size_t i = 0; i < answer->n_crypto && !found; i++)
		for (size_t k = 0; k < offer->n_crypto && !found; k++)
			if (answer->crypto[i].tag == offer->crypto[k].tag &&
				answer->crypto[i].suite ==
					offer->crypto[k].suite) {
				kept = answer->crypto[i];
				found = true;
			}
	sdp_wipe(answer);
	if (found) {
		answer->crypto[0] = kept;
		answer->n_crypto = 1;
	}
	secret_wipe(&kept, sizeof(kept));
	return found;
}

int sdp_check_answer(
	const struct sdp *offer, struct sdp *answer, enum reason *why_out)
{
	size_t n = 0;

	*why_out = REASON_SDP_BAD_ANSWER;
	if (!same_lines(offer, answer))
		return ERR_INVALID;
	*why_out = REASON_SDP_NO_CODEC;
	if (!answer->rtp.port)
		return ERR_INVALID;
	for (size_t i = 0; i < answer->n_payloads; i++)
		if (find_same(offer, &answer->payloads[i]))
			answer->payloads[n++] = answer->payloads[i];
	answer->n_payloads = n;
	if (!drop_lonely_clocks(answer))
		return ERR_INVALID;
	*why_out = REASON_SDP_BAD_ANSWER;
	if (sdp_profile_is_secure(offer->profile) !=
			sdp_profile_is_secure(answer->profile) ||
		sdp_profile_is_dtls(offer->profile) !=
			sdp_profile_is_dtls(answer->profile))
		return ERR_INVALID;
	if (!keep_offered_crypto(offer, answer) &&
		sdp_profile_is_secure(answer->profile) &&
		!sdp_profile_is_dtls(answer->profile))
		return ERR_INVALID;
	/* Who answers more than was offered gets what was offered. */
	answer->direction = sdp_direction_and(
		answer->direction, sdp_reverse(offer->direction));
	answer->rtcp_mux = answer->rtcp_mux && offer->rtcp_mux;
	*why_out = REASON_SDP_OK;
	return 0;
}

int sdp_make_answer(const struct sdp *offer, const struct sdp *far_answer,
	struct sdp *answer_out)
{
	struct sdp answer = {0};

	for (size_t i = 0; i < far_answer->n_payloads; i++) {
		const struct sdp_payload *far = &far_answer->payloads[i];
		const struct sdp_payload *ours = find_same(offer, far);
		struct sdp_payload *payload =
			&answer.payloads[answer.n_payloads];

		if (!ours || find_same(&answer, ours))
			continue;
		*payload = *ours;
		sdp_fmtp_combine(sdp_codec_of(ours), ours->fmtp, far->fmtp,
			payload->fmtp);
		answer.n_payloads++;
	}
	if (!drop_lonely_clocks(&answer))
		return ERR_NOT_FOUND;
	memcpy(answer.lines, offer->lines, sizeof(answer.lines));
	answer.n_lines = offer->n_lines;
	answer.audio_line = offer->audio_line;
	answer.has_audio = true;
	answer.profile = offer->profile;
	answer.direction = sdp_direction_and(
		far_answer->direction, sdp_reverse(offer->direction));
	answer.rtcp_mux = offer->rtcp_mux;
	answer.voip_metrics = offer->voip_metrics;
	answer.ptime_us = far_answer->ptime_us;
	answer.maxptime_us = far_answer->maxptime_us;
	*answer_out = answer;
	return 0;
}

/** The packetization of a codec by its fmtp, where ptime says nothing. */
static uint32_t payload_ptime(
	const struct sdp *sdp, const struct sdp_payload *payload)
{
	if (sdp->ptime_us)
		return sdp->ptime_us;
	if (!strcmp(payload->name, "iLBC") && !strcmp(payload->fmtp, "mode=20"))
		return 20000;
	return sdp_codec_of(payload)->ptime_us;
}

size_t sdp_payload_map(const struct sdp *mine, const struct sdp *far,
	Gh__Payload rows[SDP_PAYLOADS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < mine->n_payloads; i++) {
		const struct sdp_payload *payload = &mine->payloads[i];
		const struct sdp_codec *codec = sdp_codec_of(payload);
		const struct sdp_payload *peer = find_same(far, payload);

		if (!codec || !peer || n == SDP_PAYLOADS_MAX)
			continue;
		gh__payload__init(&rows[n]);
		rows[n].pt = payload->pt;
		rows[n].peer_pt = peer->pt;
		/* The table's name lives for ever; protobuf-c only reads it. */
		rows[n].codec = (char *)(uintptr_t)codec->name;
		rows[n].clock = codec->clock;
		rows[n].channels = codec->channels;
		rows[n].ptime_us = payload_ptime(mine, payload);
		rows[n].event = codec->kind == CODEC_EVENT;
		rows[n].comfort_noise = codec->kind == CODEC_NOISE;
		n++;
	}
	return n;
}

static bool same_payloads(const struct sdp *a, const struct sdp *b)
{
	if (a->n_payloads != b->n_payloads)
		return false;
	for (size_t i = 0; i < a->n_payloads; i++) {
		const struct sdp_payload *x = &a->payloads[i];
		const struct sdp_payload *y = &b->payloads[i];

		if (x->pt != y->pt || x->clock != y->clock ||
			x->channels != y->channels ||
			strcmp(x->name, y->name) || strcmp(x->fmtp, y->fmtp))
			return false;
	}
	return true;
}

static bool same_crypto(const struct sdp *a, const struct sdp *b)
{
	if (a->n_crypto != b->n_crypto)
		return false;
	for (size_t i = 0; i < a->n_crypto; i++) {
		const struct sdp_crypto *x = &a->crypto[i], *y = &b->crypto[i];

		if (x->tag != y->tag || x->suite != y->suite ||
			x->master_len != y->master_len ||
			memcmp(x->master, y->master, x->master_len))
			return false;
	}
	return true;
}

bool sdp_same_media(const struct sdp *a, const struct sdp *b)
{
	return a->session_id == b->session_id &&
	       a->session_version == b->session_version &&
	       addr_equal(&a->rtp, &b->rtp) && addr_equal(&a->rtcp, &b->rtcp) &&
	       a->rtcp_mux == b->rtcp_mux &&
	       a->voip_metrics == b->voip_metrics &&
	       a->direction == b->direction && a->profile == b->profile &&
	       a->ptime_us == b->ptime_us && a->maxptime_us == b->maxptime_us &&
	       a->n_lines == b->n_lines && a->audio_line == b->audio_line &&
	       a->old_hold == b->old_hold && same_payloads(a, b) &&
	       same_crypto(a, b);
}
