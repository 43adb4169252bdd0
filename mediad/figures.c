/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct leg_stats -> MediaStats and JSON. Only here is decided what the
 * figures are called and which of them are derived (MOS). Called by ctl.c.
 */
#include "mediad/figures.h"

#include "mediad/ptime.h"
#include "mediad/quality.h"

static uint32_t mos(const struct leg_stats *s)
{
	const struct quality_input in = {
		.codec = s->codec,
		.expected = s->expected,
		.lost = s->lost,
		.jitter_us = s->jitter_us,
		.rtt_us = s->rtt_us,
		.ptime_us = s->ptime_us,
	};

	return quality_mos_centi(&in);
}

static uint32_t discarded_permille(const struct leg_opinion *o)
{
	return (o->discarded * 1000u + 128) / 256;
}

static uint32_t bounded32(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* Empty text for "no address". */
static char *address(const struct addr *a, char *text)
{
	if (addr_is_set(a))
		(void)addr_format(a, text);
	else
		text[0] = '\0';
	return text;
}

void figures_message(const struct leg_stats *s, struct figures *out)
{
	Gh__MediaStats *m = &out->msg;

	gh__media_stats__init(m);
	m->rx_packets = s->n.rx_packets;
	m->rx_octets = s->n.rx_octets;
	m->tx_packets = s->n.tx_packets;
	m->tx_octets = s->n.tx_octets;
	m->rx_expected = s->expected;
	m->rx_lost = s->lost;
	m->rx_jitter_us = s->jitter_us;
	m->rx_gap_max_us = bounded32(s->n.gap_max_us);
	m->rtt_us = s->rtt_us;
	m->mos_centi = mos(s);
	m->wall_first_us = s->n.wall_first_us;
	m->wall_last_us = s->wall_last_us;
	m->learned = address(&s->peer, out->learned);
	m->refused_source = address(&s->refused, out->refused);
	m->learn_reason = reason_number(s->learned);
	m->rtcp_rx = s->n.rtcp_rx;
	m->rtcp_tx = s->n.rtcp_tx;
	m->peer_lost = s->peer_lost;
	m->peer_jitter_us = s->peer_jitter_us;
	m->rx_digits = s->n.rx_digits;
	m->peer_voip = s->opinion.said;
	m->peer_mos_centi = s->opinion.mos * 10u;
	m->peer_discarded_permille = discarded_permille(&s->opinion);
	m->peer_buffer_ms = s->opinion.buffer_ms;
	if (s->codec != NULL)
		m->codec = (char *)(uintptr_t)s->codec->name;
	m->drops = out->drop_list;
	for (size_t i = 0; i < LEG_DROPS; i++) {
		Gh__DropCount *d = &out->drops[m->n_drops];

		if (s->n.drops[i] == 0)
			continue;
		gh__drop_count__init(d);
		d->reason = reason_number((enum reason)(REASON_RTP_OK + i));
		d->n = s->n.drops[i];
		out->drop_list[m->n_drops++] = d;
	}
}

void figures_json(const struct leg_stats *s, struct json *j)
{
	char text[ADDR_TEXT_SIZE];

	json_uint(j, "rx_packets", s->n.rx_packets);
	json_uint(j, "rx_octets", s->n.rx_octets);
	json_uint(j, "rx_expected", s->expected);
	json_uint(j, "rx_lost", s->lost);
	json_uint(j, "rx_jitter_us", s->jitter_us);
	json_uint(j, "rx_gap_max_us", s->n.gap_max_us);
	json_uint(j, "rx_digits", s->n.rx_digits);
	json_uint(j, "tx_packets", s->n.tx_packets);
	json_uint(j, "tx_octets", s->n.tx_octets);
	json_uint(j, "rtcp_rx", s->n.rtcp_rx);
	json_uint(j, "rtcp_tx", s->n.rtcp_tx);
	json_uint(j, "icmp_errors", s->n.icmp);
	json_uint(j, "rtt_us", s->rtt_us);
	json_uint(j, "peer_lost", s->peer_lost);
	json_uint(j, "peer_jitter_us", s->peer_jitter_us);
	if (s->opinion.said) {
		json_uint(j, "peer_mos_centi", s->opinion.mos * 10u);
		json_uint(j, "peer_discarded_permille",
			discarded_permille(&s->opinion));
		json_uint(j, "peer_buffer_ms", s->opinion.buffer_ms);
	}
	json_uint(j, "mos_centi", mos(s));
	json_str(j, "codec", s->codec ? s->codec->name : NULL);
	json_uint(j, "ptime_us", s->ptime_us);
	json_uint(j, "wanted_ptime_us", s->wanted_ptime_us);
	json_str(j, "ptime_step",
		ptime_step_text(
			ptime_step(s->codec, s->ptime_us, s->wanted_ptime_us)));
	json_time(j, "first_packet", s->n.wall_first_us);
	json_time(j, "last_packet", s->wall_last_us);
	json_str(j, "source",
		addr_is_set(&s->peer) ? addr_format(&s->peer, text) : NULL);
	json_str(j, "learn_reason", reason_text(s->learned));
	json_str(j, "refused_source",
		addr_is_set(&s->refused) ? addr_format(&s->refused, text)
					 : NULL);
	json_open_object(j, "drops");
	for (size_t i = 0; i < LEG_DROPS; i++)
		if (s->n.drops[i] != 0)
			json_uint(j,
				reason_text((enum reason)(REASON_RTP_OK + i)),
				s->n.drops[i]);
	json_close_object(j);
}
