/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offer and answer on both sides (RFC 3264), and what of it mediad is told.
 *
 *	caller's offer -> (codec lists) -> our offer to the called party
 *	our answer to the caller <- (codecs both took) <- called party's answer
 *
 * Each side's two descriptions in force stand as texts in its party: theirs as
 * the peer wrote it, ours as we wrote it. They are parsed again where they are
 * needed; a held call costs their few hundred bytes and no more.
 *
 * Decides: which addresses of a description are used, which payloads may flow,
 * who may and who must send, when a source may be learned anew. Does not
 * decide what text means (sdp.c), which media keys are used (call_srtp.c) or
 * which packet passes (mediad).
 */
#include "config.h"

#include "sbc/call_srtp.h"

#include <stdio.h>
#include <string.h>

#include "common/secret.h"

/* --- descriptions --- */

void call_media_drop_text(struct call *c, char **text)
{
	if (*text != NULL)
		secret_wipe(*text, strlen(*text));
	su_free(c->home, *text);
	*text = NULL;
}

int call_media_keep(struct call *c, const struct sdp *sdp, char **text)
{
	char buffer[SDP_SIZE_MAX];
	char *copy = NULL;
	int len = sdp_write(sdp, buffer, sizeof buffer);

	if (len > 0)
		copy = su_strndup(c->home, buffer, (isize_t)len);
	secret_wipe(buffer, len > 0 ? (size_t)len : sizeof buffer);
	if (copy == NULL)
		return len < 0 ? len : ERR_NOMEM;
	call_media_drop_text(c, text);
	*text = copy;
	return 0;
}

static bool in_networks(const struct trunk *t, const struct addr *addr)
{
	for (size_t i = 0; i < t->n_media_networks; i++) {
		if (addr_in_net(addr, &t->media_networks[i]))
			return true;
	}
	return false;
}

/* Media goes to an address of a description only where nobody else can be
 * harmed by it. A phone's private address behind a NAT is no harm: it is not
 * used (see side_address()). */
static bool address_is_allowed(const struct party *p, const struct addr *rtp)
{
	if (!addr_is_set(rtp) || addr_is_any(rtp))
		return true; /* the old way to hold */
	if (addr_is_multicast(rtp))
		return false;
	if (addr_equal_ip(rtp, &p->peer))
		return true;
	if (p->address->realm->row->zone == GH__ZONE__ZONE_INSIDE)
		return !addr_is_loopback(rtp);
	if (p->trunk != NULL && p->trunk->n_media_networks != 0)
		return in_networks(p->trunk, rtp);
	if (p->trunk != NULL)
		return !addr_is_private(rtp);
	return !addr_is_loopback(rtp);
}

static int read_audio(const struct party *p, const char *text, size_t len,
	struct sdp *sdp, enum reason *why)
{
	if (sdp_parse_preferring(text, len, call_srtp_prefers(p), sdp, why) !=
		0)
		return ERR_INVALID;
	*why = REASON_SDP_NO_AUDIO;
	if (!sdp->has_audio || sdp->rtp.port == 0)
		goto refuse;
	*why = REASON_SDP_ADDRESS;
	if (!address_is_allowed(p, &sdp->rtp))
		goto refuse;
	*why = REASON_SDP_OK;
	return 0;
refuse:
	sdp_wipe(sdp);
	return ERR_INVALID;
}

int call_media_read(struct call *c, const struct party *p, const char *text,
	size_t len, struct sdp *sdp, enum reason *why)
{
	(void)c;
	if (read_audio(p, text, len, sdp, why) != 0)
		return ERR_INVALID;
	return call_srtp_check(p, sdp, why);
}

char *call_media_copy(
	struct call *c, const char *text, size_t len, const struct sdp *read)
{
	char *copy = su_strndup(c->home, text, (isize_t)len);

	if (copy != NULL)
		sdp_settle(copy, len, read->audio_line);
	return copy;
}

int call_media_again(const struct party *p, const char *text, struct sdp *sdp)
{
	enum reason why;

	return read_audio(p, text, strlen(text), sdp, &why);
}

int call_media_dress(struct call *c, struct party *p, struct sdp *sdp)
{
	/* The caller's port is the one that goes with whom it talks to. */
	const struct media_slot *slot = p->side != CALL_CALLER ? p->slot
					: c->called != NULL    ? c->called->slot
							       : c->offered;
	const struct addr *rtp, *rtcp;

	if (slot == NULL || !addr_is_set(&slot->rtp[p->side]))
		return ERR_STATE;
	rtp = &slot->rtp[p->side];
	rtcp = &slot->rtcp[p->side];
	if (p->sdp_id == 0) {
		secret_random_bytes(&p->sdp_id, sizeof p->sdp_id);
		p->sdp_id >>= 2; /* fits the peers' signed integers */
		p->sdp_version = 1;
	}
	sdp->session_id = p->sdp_id;
	sdp->session_version = p->sdp_version;
	sdp->origin = p->address->advertised_media;
	sdp->origin.port = 0;
	sdp->rtp = p->address->advertised_media;
	sdp->rtp.port = rtp->port;
	memset(&sdp->rtcp, 0, sizeof sdp->rtcp);
	if (!sdp->rtcp_mux && addr_is_set(rtcp)) {
		sdp->rtcp = sdp->rtp;
		sdp->rtcp.port = rtcp->port;
	}
	sdp->old_hold = false;
	return 0;
}

enum call_state call_media_offer(struct call *c, const struct leg_msg *offer)
{
	struct party *p = &c->caller;
	uint32_t list = p->trunk != NULL ? p->trunk->row->codec_list
					 : p->account->row->codec_list;
	enum reason why;
	struct sdp sdp;

	if (list == 0)
		list = p->address->realm->row->codec_list;
	p->codecs = list != 0 ? settings_codec_list(c->settings, list) : NULL;
	if (offer->sdp == NULL)
		return CALL_FACTS; /* we shall offer, in our 200 */
	if (call_media_read(c, p, offer->sdp, offer->sdp_len, &sdp, &why) != 0)
		return call_end(c, why, 0, CALL_SBC);
	sdp_wipe(&sdp);
	if (sdp_restrict(&sdp, p->codecs, NULL, NULL) != 0)
		return call_end(c, REASON_SDP_NO_CODEC, 0, CALL_SBC);
	p->theirs = call_media_copy(c, offer->sdp, offer->sdp_len, &sdp);
	if (p->theirs == NULL)
		return call_end(c, REASON_CALL_INTERNAL, 0, CALL_SBC);
	return CALL_FACTS;
}

const char *call_media_make_offer(
	struct call *c, struct party *p, enum reason *why)
{
	struct sdp sdp = {0};
	int err;

	if (c->caller.theirs != NULL) {
		if (call_media_read(c, &c->caller, c->caller.theirs,
			    strlen(c->caller.theirs), &sdp, why) != 0)
			return NULL;
		sdp_wipe(&sdp);
		if (sdp_restrict(&sdp, c->caller.codecs, p->codecs,
			    p->codecs) != 0) {
			*why = REASON_SDP_NO_CODEC;
			return NULL;
		}
	} else {
		const Gh__CodecList *list =
			p->codecs != NULL ? p->codecs : c->caller.codecs;

		*why = REASON_SDP_NO_CODEC;
		if (list == NULL)
			return NULL;
		sdp_payloads_from_list(list, &sdp);
		if (sdp_restrict(&sdp, c->caller.codecs, p->codecs, NULL) != 0)
			return NULL;
		sdp.direction = GH__DIRECTION__DIRECTION_SENDRECV;
	}
	/* One audio line of ours; what else the caller offers does not cross.
	 */
	sdp.n_lines = 0;
	sdp.audio_line = 0;
	sdp.has_audio = true;
	sdp.rtcp_mux = false;
	sdp.voip_metrics = true;
	if (sdp.old_hold)
		sdp.direction = sdp_direction_and(
			sdp.direction, GH__DIRECTION__DIRECTION_SENDONLY);
	if (call_srtp_offer(p, &sdp, why) != 0)
		return NULL;
	*why = REASON_CALL_INTERNAL;
	err = call_media_dress(c, p, &sdp);
	if (err == 0)
		err = call_media_keep(c, &sdp, &p->ours);
	sdp_wipe(&sdp);
	return err == 0 ? p->ours : NULL;
}

static bool stands(const struct party *p)
{
	return p->leg->rel_agreed && p->ours != NULL;
}

/*
 * Our answer to the caller, in place of an earlier one. The caller takes the
 * first that it hears (RFC 3261 13.2.1), and one that it has acknowledged
 * stands: what a later target or fork makes of it is offered by UPDATE or
 * re-INVITE. An earlier one in an unreliable provisional it may never have
 * got: it is replaced.
 */
static int keep_answer(struct call *c, struct sdp *answer)
{
	struct party *p = &c->caller;
	char *text = NULL;
	int err = call_media_dress(c, p, answer);

	if (err == 0)
		err = call_media_keep(c, answer, &text);
	if (err != 0)
		return err;
	if (p->ours == NULL) {
		p->ours = text;
		return 0;
	}
	if (strcmp(text, p->ours) == 0) {
		call_media_drop_text(c, &text);
		return 0;
	}
	call_media_drop_text(c, &text);
	p->sdp_version++;
	err = call_media_dress(c, p, answer);
	return err != 0 ? err : call_media_keep(c, answer, &p->ours);
}

/* To a caller that made no offer: what the far side took. */
static int offer_caller(struct call *c, const struct sdp *far, enum reason *why)
{
	struct sdp offer = *far;
	int err;

	offer.n_lines = 0;
	offer.audio_line = 0;
	offer.rtcp_mux = false;
	offer.voip_metrics = true;
	if (call_srtp_offer(&c->caller, &offer, why) != 0)
		return ERR_INVALID;
	*why = REASON_CALL_INTERNAL;
	err = keep_answer(c, &offer);
	sdp_wipe(&offer);
	return err == 0 ? 0 : ERR_INVALID;
}

/* Ours to the caller, out of what the called party took. */
static int answer_caller(
	struct call *c, const struct sdp *far, enum reason *why)
{
	struct sdp offer, answer;
	int err;

	if (c->caller.theirs == NULL)
		return c->caller.leg->rel_offered
			       ? 0 /* the answer to it comes in PRACK */
			       : offer_caller(c, far, why);
	if (stands(&c->caller)) {
		if (!call_rel_holds(c, far))
			c->change.again = &c->caller;
		return 0;
	}
	if (call_media_read(c, &c->caller, c->caller.theirs,
		    strlen(c->caller.theirs), &offer, why) != 0)
		return ERR_INVALID;
	*why = REASON_SDP_NO_CODEC;
	err = sdp_make_answer(&offer, far, &answer);
	if (err == 0)
		err = call_srtp_answer(&c->caller, &offer, &answer, why);
	sdp_wipe(&offer);
	if (err != 0)
		return ERR_INVALID;
	*why = REASON_CALL_INTERNAL;
	err = keep_answer(c, &answer);
	sdp_wipe(&answer);
	return err == 0 ? 0 : ERR_INVALID;
}

/* A called party's answer, checked against our offer; no keys in it. */
static int read_far(struct call *c, const struct party *p, const char *text,
	size_t len, struct sdp *far, enum reason *why)
{
	struct sdp offer;
	bool fits;

	if (call_media_read(c, p, text, len, far, why) != 0) {
		if (*why == REASON_SDP_NO_AUDIO)
			*why = REASON_SDP_NO_CODEC;
		return ERR_INVALID;
	}
	*why = REASON_CALL_INTERNAL;
	fits = sdp_parse(p->ours, strlen(p->ours), &offer, why) == 0 &&
	       sdp_check_answer(&offer, far, why) == 0;
	sdp_wipe(&offer);
	sdp_wipe(far);
	return fits ? 0 : ERR_INVALID;
}

/* Takes it over; *far is what read_far() made of it. */
static int take_far(struct call *c, struct party *p, const struct leg_msg *msg,
	struct sdp *far, enum reason *why)
{
	char *copy;

	if (read_far(c, p, msg->sdp, msg->sdp_len, far, why) != 0)
		return ERR_INVALID;
	*why = REASON_CALL_INTERNAL;
	copy = call_media_copy(c, msg->sdp, msg->sdp_len, far);
	if (copy == NULL)
		return ERR_NOMEM;
	call_media_drop_text(c, &p->theirs);
	p->theirs = copy;
	return 0;
}

int call_media_take(struct call *c, struct party *p, const struct leg_msg *msg,
	enum reason *why)
{
	struct sdp far;

	return take_far(c, p, msg, &far, why);
}

int call_media_answer(struct call *c, struct party *p,
	const struct leg_msg *msg, enum reason *why)
{
	struct sdp far;
	int err;

	/* RFC 3261 13.2.1: some repeat in the 2xx what a 18x said, some not. */
	*why = REASON_SDP_NO_ANSWER;
	if (msg->sdp != NULL)
		err = take_far(c, p, msg, &far, why);
	else
		err = p->theirs != NULL ? read_far(c, p, p->theirs,
						  strlen(p->theirs), &far, why)
					: ERR_INVALID;
	if (err != 0 || answer_caller(c, &far, why) != 0)
		return ERR_INVALID;
	*why = REASON_SDP_OK;
	return 0;
}

/* --- what mediad is told --- */

#define PAYLOADS_MAX 16u /* mediad's bound; nobody agrees on so many */

/* Texts and rows that a SessionWant points into, for one side. */
struct side_memory {
	char media[ADDR_TEXT_SIZE], rtp[ADDR_TEXT_SIZE], rtcp[ADDR_TEXT_SIZE];
	char source[ADDR_TEXT_SIZE];
	Gh__Payload rows[SDP_PAYLOADS_MAX];
	Gh__Payload *pointers[SDP_PAYLOADS_MAX];
	struct call_srtp_keys keys;
	char *networks[64];
	char network_texts[64][ADDR_TEXT_SIZE + 4];
};

static bool sends(Gh__Direction d)
{
	return d == GH__DIRECTION__DIRECTION_SENDRECV ||
	       d == GH__DIRECTION__DIRECTION_SENDONLY;
}

static bool receives(Gh__Direction d)
{
	return d == GH__DIRECTION__DIRECTION_SENDRECV ||
	       d == GH__DIRECTION__DIRECTION_RECVONLY;
}

static bool has_codec(const struct sdp *sdp, const Gh__Payload *row)
{
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		const struct sdp_payload *p = &sdp->payloads[i];

		if (su_casematch(p->name, row->codec) && p->clock == row->clock)
			return true;
	}
	return false;
}

static void fill_realm(
	const struct party *p, Gh__MediaSide *side, struct side_memory *m)
{
	side->realm = p->address->realm->row->id;
	side->media =
		(char *)(uintptr_t)addr_format_ip(&p->address->media, m->media);
	side->signaling_source =
		(char *)(uintptr_t)addr_format_ip(&p->peer, m->source);
	side->learn_generation = p->learn_generation;
	side->nat = p->account != NULL ? (Gh__NatMode)p->account->row->nat
				       : GH__NAT_MODE__NAT_NEVER;
	side->behind_nat = p->behind_nat;
	side->dscp = 46; /* expedited forwarding, RFC 3246 */
	if (p->trunk == NULL)
		return;
	for (size_t i = 0; i < p->trunk->n_media_networks && i < 64; i++) {
		char ip[ADDR_TEXT_SIZE];
		const struct addr_net *net = &p->trunk->media_networks[i];

		snprintf(m->network_texts[i], sizeof m->network_texts[i],
			"%s/%u", addr_format_ip(&net->base, ip),
			(unsigned)net->prefix_len);
		m->networks[i] = m->network_texts[i];
		side->n_networks = i + 1;
	}
	side->networks = m->networks;
}

/* Where we send to. Outside, an address that the public network cannot reach
 * is only believed if signaling itself comes from it; else mediad waits until
 * it has heard the peer. */
static void fill_address(const struct party *p, const struct sdp *theirs,
	Gh__MediaSide *side, struct side_memory *m)
{
	bool usable = addr_is_set(&theirs->rtp) && !addr_is_any(&theirs->rtp);
	bool hidden = usable && p->trunk == NULL &&
		      addr_is_private(&theirs->rtp) &&
		      !addr_equal_ip(&theirs->rtp, &p->peer) &&
		      p->address->realm->row->zone == GH__ZONE__ZONE_OUTSIDE;

	if (hidden)
		side->behind_nat = true;
	if (!usable || hidden)
		return;
	side->remote_rtp = (char *)(uintptr_t)addr_format(&theirs->rtp, m->rtp);
	if (addr_is_set(&theirs->rtcp) && !addr_is_any(&theirs->rtcp))
		side->remote_rtcp =
			(char *)(uintptr_t)addr_format(&theirs->rtcp, m->rtcp);
}

struct agreed {
	struct sdp ours, theirs;
	bool known;
};

static bool read_agreed(const struct party *p, struct agreed *a)
{
	enum reason why;

	a->known = false;
	if (p == NULL || p->ours == NULL || p->theirs == NULL ||
		call_media_again(p, p->theirs, &a->theirs) != 0)
		return false;
	a->known = sdp_parse(p->ours, strlen(p->ours), &a->ours, &why) == 0;
	if (!a->known)
		sdp_wipe(&a->theirs);
	return a->known;
}

static void forget_agreed(struct agreed *a)
{
	if (!a->known)
		return;
	sdp_wipe(&a->theirs);
	sdp_wipe(&a->ours);
}

static void fill_media(struct call *c, const struct party *p,
	struct agreed *mine, const struct agreed *far, Gh__MediaSide *side,
	struct side_memory *m)
{
	size_t n, kept = 0;
	bool answered = c->pending_status == 200 || c->record.answer_us != 0;

	fill_address(p, &mine->theirs, side, m);
	call_srtp_fill(p, &mine->ours, &mine->theirs, side, &m->keys);
	n = sdp_payload_map(&mine->ours, &far->theirs, m->rows);
	for (size_t i = 0; i < n && kept < PAYLOADS_MAX; i++) {
		/* Only what all four descriptions name was agreed on. */
		if (!has_codec(&mine->theirs, &m->rows[i]) ||
			!has_codec(&far->ours, &m->rows[i]))
			continue;
		m->pointers[kept++] = &m->rows[i];
	}
	side->payloads = m->pointers;
	side->n_payloads = kept;
	side->may_send =
		sends(mine->theirs.direction) && receives(mine->ours.direction);
	side->may_receive = receives(mine->theirs.direction) &&
			    sends(mine->ours.direction) &&
			    !mine->theirs.old_hold;
	side->must_send = answered && side->may_send;
	side->rtcp_mux = mine->ours.rtcp_mux && mine->theirs.rtcp_mux;
	side->rtcp_xr = mine->theirs.voip_metrics;
	side->tx_ptime_us = mine->theirs.ptime_us;
	side->timeout_ms =
		(uint32_t)(1000 * settings_number(c->settings,
					  "media_timeout_s", 30, 2, 3600));
}

int call_media_tell(
	struct call *c, struct media_slot *slot, const struct party *called)
{
	Gh__SessionWant w = GH__SESSION_WANT__INIT;
	Gh__MediaSide sides[2] = {GH__MEDIA_SIDE__INIT, GH__MEDIA_SIDE__INIT};
	struct side_memory memory[2];
	struct agreed agreed[2]; /* large: filled where it is known */
	int err;

	w.caller = &sides[0];
	w.called = &sides[1];
	fill_realm(&c->caller, &sides[0], &memory[0]);
	fill_realm(called, &sides[1], &memory[1]);
	/* A caller whose answer is still owed has agreed to nothing yet. */
	agreed[0].known = false;
	if (read_agreed(called, &agreed[1]) &&
		read_agreed(&c->caller, &agreed[0])) {
		fill_media(c, &c->caller, &agreed[0], &agreed[1], &sides[0],
			&memory[0]);
		fill_media(c, called, &agreed[1], &agreed[0], &sides[1],
			&memory[1]);
	}
	err = media_want(slot->session, &w);
	forget_agreed(&agreed[0]);
	forget_agreed(&agreed[1]);
	return err;
}
