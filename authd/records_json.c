/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spooled records as JSON for sbc.records_store(): a CDR is one object, and one
 * for each side of its call, because the database reads flat rows fastest. The
 * members have the messages' names. What is empty is left out: most of a call
 * without sound, and much of any. Called by records.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/records.h"
#include "common/json.h"

enum { DECISIONS_MAX = 200, DROPS_MAX = 64 };

static void put_media(struct json *j, const Gh__MediaStats *m)
{
	if (!m)
		return;
	json_some_uint(j, "rx_packets", m->rx_packets);
	json_some_uint(j, "rx_octets", m->rx_octets);
	json_some_uint(j, "rx_expected", m->rx_expected);
	json_some_uint(j, "rx_lost", m->rx_lost);
	json_some_uint(j, "rx_jitter_us", m->rx_jitter_us);
	json_some_uint(j, "rx_gap_max_us", m->rx_gap_max_us);
	json_some_uint(j, "rx_digits", m->rx_digits);
	json_some_uint(j, "tx_packets", m->tx_packets);
	json_some_uint(j, "tx_octets", m->tx_octets);
	json_some_uint(j, "rtt_us", m->rtt_us);
	json_some_uint(j, "mos_centi", m->mos_centi);
	json_some_str(j, "media_codec", m->codec);
	json_some_uint(j, "wall_first_us", m->wall_first_us);
	json_some_uint(j, "wall_last_us", m->wall_last_us);
	json_some_str(j, "learned", m->learned);
	json_some_uint(j, "learn_reason", m->learn_reason);
	json_some_str(j, "refused_source", m->refused_source);
	json_some_uint(j, "rtcp_rx", m->rtcp_rx);
	json_some_uint(j, "rtcp_tx", m->rtcp_tx);
	json_some_uint(j, "peer_lost", m->peer_lost);
	json_some_uint(j, "peer_jitter_us", m->peer_jitter_us);
	if (m->peer_voip) {
		json_some_uint(j, "peer_mos_centi", m->peer_mos_centi);
		json_uint(j, "peer_discarded_permille",
			m->peer_discarded_permille);
		json_uint(j, "peer_buffer_ms", m->peer_buffer_ms);
	}
	if (m->n_drops == 0)
		return;
	json_open_array(j, "drops");
	for (size_t i = 0; i < m->n_drops && i < DROPS_MAX; i++) {
		json_open_object(j, NULL);
		json_uint(j, "reason", m->drops[i]->reason);
		json_uint(j, "n", m->drops[i]->n);
		json_close_object(j);
	}
	json_close_array(j);
}

/* One side of a call, a row of its own. */
static void put_leg(struct json *j, const char *call, const char *side,
	const Gh__CdrLeg *leg)
{
	json_str(j, "call", call);
	json_str(j, "side", side);
	json_some_str(j, "kind", leg->kind);
	json_some_uint(j, "trunk", leg->trunk);
	json_some_uint(j, "account", leg->account);
	json_some_uint(j, "realm", leg->realm);
	json_some_str(j, "peer", leg->peer);
	json_some_str(j, "local", leg->local);
	json_some_str(j, "call_id", leg->call_id);
	json_some_str(j, "user_agent", leg->user_agent);
	json_some_str(j, "codec", leg->codec);
	json_some_str(j, "srtp", leg->srtp);
	put_media(j, leg->media);
}

static void put_cdr(struct json *j, const Gh__Cdr *c)
{
	json_str(j, "call", c->call);
	json_some_uint(j, "wall_start_us", c->wall_start_us);
	json_some_uint(j, "wall_ring_us", c->wall_ring_us);
	json_some_uint(j, "wall_answer_us", c->wall_answer_us);
	json_some_uint(j, "wall_end_us", c->wall_end_us);
	json_some_uint(j, "duration_us", c->duration_us);
	json_some_str(j, "caller", c->caller);
	json_some_str(j, "caller_name", c->caller_name);
	json_some_str(j, "called", c->called);
	json_some_uint(j, "sip_status", c->sip_status);
	json_some_uint(j, "far_status", c->far_status);
	json_some_uint(j, "reason", c->reason);
	json_some_str(j, "hangup_side", c->hangup_side);
	json_some_uint(j, "route", c->route);
	json_some_uint(j, "attempts", c->attempts);
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

static int add_row(
	struct record_rows *rows, enum record_list list, struct json *j)
{
	int err = json_end(j, &rows->row[rows->n].json);

	if (err < 0)
		return err;
	rows->row[rows->n++].list = list;
	return 0;
}

static int add_leg(struct record_rows *rows, const char *call, const char *side,
	const Gh__CdrLeg *leg)
{
	struct json j;

	if (!leg)
		return 0;
	json_begin(&j);
	put_leg(&j, call, side, leg);
	return add_row(rows, RECORD_LEGS, &j);
}

static int cdr_json(struct record_rows *rows, const uint8_t *bytes, size_t len)
{
	Gh__Cdr *c = gh__cdr__unpack(NULL, len, bytes);
	struct json j;
	int err;

	if (!c)
		return ERR_INVALID;
	json_begin(&j);
	put_cdr(&j, c);
	err = add_row(rows, RECORD_CDRS, &j);
	snprintf(rows->call, sizeof(rows->call), "%s", c->call);
	if (err == 0)
		err = add_leg(rows, c->call, "caller", c->caller_leg);
	if (err == 0)
		err = add_leg(rows, c->call, "called", c->called_leg);
	gh__cdr__free_unpacked(c, NULL);
	return err;
}

static int event_json(struct record_rows *rows, const uint8_t *bytes,
	size_t len, const char *key)
{
	Gh__Event *e = gh__event__unpack(NULL, len, bytes);
	struct json j;

	if (!e)
		return ERR_INVALID;
	json_begin(&j);
	json_str(&j, "key", key);
	json_some_uint(&j, "wall_us", e->wall_us);
	json_some_uint(&j, "reason", e->reason);
	json_some_str(&j, "source", e->source);
	json_some_uint(&j, "account", e->account);
	json_some_uint(&j, "trunk", e->trunk);
	json_some_str(&j, "call", e->call);
	json_some_str(&j, "data", e->data);
	gh__event__free_unpacked(e, NULL);
	return add_row(rows, RECORD_EVENTS, &j);
}

static int ban_json(struct record_rows *rows, const uint8_t *bytes, size_t len,
	const char *key)
{
	Gh__BanRecord *b = gh__ban_record__unpack(NULL, len, bytes);
	struct json j;

	if (!b)
		return ERR_INVALID;
	json_begin(&j);
	json_str(&j, "key", key);
	json_str(&j, "host", b->host);
	json_uint(&j, "wall_us", b->wall_us);
	json_uint(&j, "wall_until_us", b->wall_until_us);
	json_uint(&j, "reason", b->reason);
	json_some_uint(&j, "failures", b->failures);
	json_some_str(&j, "last_user", b->last_user);
	gh__ban_record__free_unpacked(b, NULL);
	return add_row(rows, RECORD_BANS, &j);
}

int records_json(enum spool_kind kind, const uint8_t *bytes, size_t len,
	const char *key, struct record_rows *rows_out)
{
	int err;

	rows_out->n = 0;
	rows_out->call[0] = '\0';
	switch (kind) {
	case SPOOL_CDR:
		err = cdr_json(rows_out, bytes, len);
		break;
	case SPOOL_EVENT:
		err = event_json(rows_out, bytes, len, key);
		break;
	case SPOOL_BAN:
		err = ban_json(rows_out, bytes, len, key);
		break;
	default:
		err = ERR_INVALID;
		break;
	}
	if (err < 0)
		records_json_free(rows_out);
	return err;
}

void records_json_free(struct record_rows *rows)
{
	while (rows->n > 0)
		free(rows->row[--rows->n].json);
}
