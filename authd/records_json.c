/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spooled records as JSON for the functions sbc.*_store(). The members have
 * the message's names; missing and unknown ones are allowed on both sides, so
 * that schema and program need not be of one version. Called by records.c.
 */
#include <stdlib.h>
#include <string.h>

#include "authd/records.h"
#include "common/json.h"

enum { DECISIONS_MAX = 200, DROPS_MAX = 64 };

static void put_media(struct json *j, const Gh__MediaStats *m)
{
	if (!m)
		return;
	json_open_object(j, "media");
	json_uint(j, "rx_packets", m->rx_packets);
	json_uint(j, "rx_octets", m->rx_octets);
	json_uint(j, "rx_expected", m->rx_expected);
	json_uint(j, "rx_lost", m->rx_lost);
	json_uint(j, "rx_jitter_us", m->rx_jitter_us);
	json_uint(j, "rx_gap_max_us", m->rx_gap_max_us);
	json_uint(j, "rx_digits", m->rx_digits);
	json_uint(j, "tx_packets", m->tx_packets);
	json_uint(j, "tx_octets", m->tx_octets);
	json_uint(j, "rtt_us", m->rtt_us);
	json_uint(j, "mos_centi", m->mos_centi);
	json_str(j, "codec", m->codec);
	json_uint(j, "wall_first_us", m->wall_first_us);
	json_uint(j, "wall_last_us", m->wall_last_us);
	json_str(j, "learned", m->learned);
	json_uint(j, "learn_reason", m->learn_reason);
	json_str(j, "refused_source", m->refused_source);
	json_uint(j, "rtcp_rx", m->rtcp_rx);
	json_uint(j, "rtcp_tx", m->rtcp_tx);
	json_uint(j, "peer_lost", m->peer_lost);
	json_uint(j, "peer_jitter_us", m->peer_jitter_us);
	if (m->peer_voip) {
		json_uint(j, "peer_mos_centi", m->peer_mos_centi);
		json_uint(j, "peer_discarded_permille",
			m->peer_discarded_permille);
		json_uint(j, "peer_buffer_ms", m->peer_buffer_ms);
	}
	json_open_array(j, "drops");
	for (size_t i = 0; i < m->n_drops && i < DROPS_MAX; i++) {
		json_open_object(j, NULL);
		json_uint(j, "reason", m->drops[i]->reason);
		json_uint(j, "n", m->drops[i]->n);
		json_close_object(j);
	}
	json_close_array(j);
	json_close_object(j);
}

static void put_leg(struct json *j, const char *name, const Gh__CdrLeg *leg)
{
	if (!leg)
		return;
	json_open_object(j, name);
	json_str(j, "kind", leg->kind);
	json_uint(j, "trunk", leg->trunk);
	json_uint(j, "account", leg->account);
	json_uint(j, "realm", leg->realm);
	json_str(j, "peer", leg->peer);
	json_str(j, "local", leg->local);
	json_str(j, "call_id", leg->call_id);
	json_str(j, "user_agent", leg->user_agent);
	json_str(j, "codec", leg->codec);
	json_str(j, "srtp", leg->srtp);
	put_media(j, leg->media);
	json_close_object(j);
}

static void put_cdr(struct json *j, const Gh__Cdr *c)
{
	json_str(j, "kind", "cdr");
	json_str(j, "call", c->call);
	json_uint(j, "wall_start_us", c->wall_start_us);
	json_uint(j, "wall_ring_us", c->wall_ring_us);
	json_uint(j, "wall_answer_us", c->wall_answer_us);
	json_uint(j, "wall_end_us", c->wall_end_us);
	json_uint(j, "duration_us", c->duration_us);
	json_str(j, "caller", c->caller);
	json_str(j, "caller_name", c->caller_name);
	json_str(j, "called", c->called);
	json_uint(j, "sip_status", c->sip_status);
	json_uint(j, "far_status", c->far_status);
	json_uint(j, "reason", c->reason);
	json_str(j, "hangup_side", c->hangup_side);
	json_uint(j, "route", c->route);
	json_uint(j, "attempts", c->attempts);
	put_leg(j, "caller_leg", c->caller_leg);
	put_leg(j, "called_leg", c->called_leg);
	json_open_array(j, "decisions");
	for (size_t i = 0; i < c->n_decisions && i < DECISIONS_MAX; i++) {
		json_open_object(j, NULL);
		json_uint(j, "wall_us", c->decisions[i]->wall_us);
		json_uint(j, "reason", c->decisions[i]->reason);
		json_str(j, "data", c->decisions[i]->data);
		json_close_object(j);
	}
	json_close_array(j);
}

static int cdr_json(struct json *j, const uint8_t *bytes, size_t len)
{
	Gh__Cdr *c = gh__cdr__unpack(NULL, len, bytes);

	if (!c)
		return ERR_INVALID;
	put_cdr(j, c);
	gh__cdr__free_unpacked(c, NULL);
	return 0;
}

static int event_json(
	struct json *j, const uint8_t *bytes, size_t len, const char *key)
{
	Gh__Event *e = gh__event__unpack(NULL, len, bytes);

	if (!e)
		return ERR_INVALID;
	json_str(j, "kind", "event");
	json_str(j, "key", key);
	json_uint(j, "wall_us", e->wall_us);
	json_uint(j, "reason", e->reason);
	json_str(j, "source", e->source);
	json_uint(j, "account", e->account);
	json_uint(j, "trunk", e->trunk);
	json_str(j, "call", e->call);
	json_str(j, "data", e->data);
	gh__event__free_unpacked(e, NULL);
	return 0;
}

static int ban_json(
	struct json *j, const uint8_t *bytes, size_t len, const char *key)
{
	Gh__BanRecord *b = gh__ban_record__unpack(NULL, len, bytes);

	if (!b)
		return ERR_INVALID;
	json_str(j, "kind", "ban");
	json_str(j, "key", key);
	json_str(j, "host", b->host);
	json_uint(j, "wall_us", b->wall_us);
	json_uint(j, "wall_until_us", b->wall_until_us);
	json_uint(j, "reason", b->reason);
	json_uint(j, "failures", b->failures);
	json_str(j, "last_user", b->last_user);
	gh__ban_record__free_unpacked(b, NULL);
	return 0;
}

int records_json(enum spool_kind kind, const uint8_t *bytes, size_t len,
	const char *key, char **json_out)
{
	struct json j;
	char *text;
	int err, end_err;

	json_begin(&j);
	switch (kind) {
	case SPOOL_CDR:
		err = cdr_json(&j, bytes, len);
		break;
	case SPOOL_EVENT:
		err = event_json(&j, bytes, len, key);
		break;
	case SPOOL_BAN:
		err = ban_json(&j, bytes, len, key);
		break;
	default:
		err = ERR_INVALID;
		break;
	}
	end_err = json_end(&j, &text);
	if (end_err < 0)
		return end_err;
	if (err < 0) {
		free(text);
		return err;
	}
	*json_out = text;
	return 0;
}
