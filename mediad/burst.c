/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counting of RFC 3611 section 4.7.2: cXY is how often the stream went from
 * state X to Y, where 1 = received in a gap, 2 = received in a burst, 3 = lost
 * in a burst, 4 = lost alone in a gap. What a loss was, alone or the begin of a
 * burst, is known only Gmin packets later; so figures close a copy first. A
 * packet that comes late is counted as lost, as a player would find it. Called
 * by path.c for each packet of a leg whose peer wants these figures, and by
 * report.c.
 */
#include "mediad/burst.h"

/* A gap has begun: what was before it is decided. */
static void close_run(struct burst *b)
{
	if (b->lost == 1)
		b->c14++;
	else if (b->lost > 1)
		b->c13++;
	b->lost = 0;
	b->c11 += b->run;
	b->run = 0;
}

static void on_loss(struct burst *b)
{
	b->n_lost++;
	if (b->lost == 0 || b->run >= BURST_GMIN) {
		close_run(b);
		b->lost = 1;
		return;
	}
	b->lost++;
	if (b->run == 0) {
		b->c33++;
	} else {
		b->c23++;
		b->c22 += b->run - 1;
	}
	b->run = 0;
}

void burst_on_packet(struct burst *b, uint32_t n_missed)
{
	for (uint32_t i = 0; i < n_missed; i++)
		on_loss(b);
	b->run++;
	b->n_received++;
}

static uint16_t ms_of(uint64_t packets, uint32_t ptime_us)
{
	uint64_t ms = packets * ptime_us / 1000;

	return ms > UINT16_MAX ? UINT16_MAX : (uint16_t)ms;
}

static uint8_t of_256(uint64_t part, uint64_t whole)
{
	uint64_t n = whole ? part * 256 / whole : 0;

	return n > 255 ? 255 : (uint8_t)n;
}

void burst_figures(
	const struct burst *now, uint32_t ptime_us, struct burst_figures *out)
{
	struct burst b = *now;
	uint64_t lost, packets, gap;

	close_run(&b);
	/* A burst is entered once, and each loss in it after the first one
	 * follows a loss or a received packet. */
	lost = b.c13 + b.c33 + b.c23;
	packets = lost + b.c22 + b.c23;
	gap = b.c11 + b.c14;
	*out = (struct burst_figures){
		.loss_rate =
			of_256(b.n_lost, (uint64_t)b.n_lost + b.n_received),
		.burst_density = of_256(lost, packets),
		.gap_density = of_256(b.c14, gap),
		/* Of those that there were; a stream without burst is one
		 * gap. */
		.gap_ms = ms_of(gap / (b.c13 ? b.c13 : 1), ptime_us),
		.burst_ms = b.c13 ? ms_of(packets / b.c13, ptime_us) : 0,
	};
}
