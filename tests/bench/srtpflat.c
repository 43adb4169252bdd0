/* SPDX-License-Identifier: Apache-2.0 */
/*
 * srtpflat: what SRTP costs per packet with few and with many streams open, on
 * mediad's own objects. Some SRTP libraries get slower with every open stream;
 * the ratio says whether ours does.
 *
 *	srtpflat FEW MANY SECONDS
 *
 * For each number: that many sending and as many receiving contexts of
 * AES_CM_128_HMAC_SHA1_80, packets of 172 bytes taken in turn, each protected
 * and opened again and its content compared. Both numbers alternate in short
 * slices, so that a busy machine slows both.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "mediad/srtp.h"

#define PACKET_LEN  172
#define STREAMS_MAX 20000u
#define SLICES      10

struct pair {
	struct srtp_leg *tx, *rx;
	uint32_t ssrc;
	uint16_t seq;
};

struct set {
	struct pair *pairs;
	size_t n, next;
	uint64_t n_packets;
	uint64_t spent_ns;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_set(struct set *set, size_t n)
{
	struct srtp_master master = {
		SRTP_SUITE_AES_CM_128_HMAC_SHA1_80, 30, {0}};

	set->n = n;
	set->pairs = calloc(n, sizeof(*set->pairs));
	if (!set->pairs)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct pair *p = &set->pairs[i];

		p->ssrc = (uint32_t)i + 1;
		if (getrandom(master.bytes, 30, 0) != 30 ||
			srtp_leg_new_sender(&master, p->ssrc, &p->tx) ||
			srtp_leg_new_receiver(&master, &p->rx))
			return -1;
	}
	return 0;
}

static bool one_packet(struct pair *p)
{
	uint8_t packet[PACKET_LEN + SRTP_TRAILER_MAX] = {0x80, 8};
	size_t len = PACKET_LEN;

	packet[2] = (uint8_t)(p->seq >> 8);
	packet[3] = (uint8_t)p->seq;
	for (int i = 0; i < 4; i++)
		packet[8 + i] = (uint8_t)(p->ssrc >> (24 - 8 * i));
	memset(packet + 12, (int)(p->seq & 0xff), PACKET_LEN - 12);
	if (!srtp_leg_protect(p->tx, packet, &len) || len <= PACKET_LEN ||
		srtp_leg_open(p->rx, packet, &len) != REASON_RTP_OK ||
		len != PACKET_LEN || packet[PACKET_LEN - 1] != (p->seq & 0xff))
		return false;
	p->seq++;
	return true;
}

static int slice(struct set *set, uint64_t for_ns)
{
	uint64_t start = cpu_ns(), now;

	do {
		for (int i = 0; i < 256; i++) {
			if (!one_packet(&set->pairs[set->next]))
				return -1;
			set->next = (set->next + 1) % set->n;
		}
		set->n_packets += 256;
		now = cpu_ns();
	} while (now - start < for_ns);
	set->spent_ns += now - start;
	return 0;
}

static int run(struct set *few, struct set *many, unsigned seconds)
{
	uint64_t for_ns = (uint64_t)seconds * 1000000000u / SLICES / 2;
	double a, b;

	/* Once round before counting. */
	if (slice(few, 100000000u) || slice(many, 100000000u))
		return -1;
	few->spent_ns = few->n_packets = 0;
	many->spent_ns = many->n_packets = 0;
	for (int i = 0; i < SLICES; i++)
		if (slice(few, for_ns) || slice(many, for_ns))
			return -1;
	a = (double)few->spent_ns / (double)few->n_packets;
	b = (double)many->spent_ns / (double)many->n_packets;
	printf("few=%zu many=%zu few_ns=%.1f many_ns=%.1f ratio=%.3f\n", few->n,
		many->n, a, b, b / a);
	return 0;
}

int main(int argc, char **argv)
{
	struct set few = {0}, many = {0};
	unsigned long n_few, n_many, seconds;

	if (argc != 4) {
		fprintf(stderr, "usage: srtpflat FEW MANY SECONDS\n");
		return 2;
	}
	n_few = strtoul(argv[1], NULL, 10);
	n_many = strtoul(argv[2], NULL, 10);
	seconds = strtoul(argv[3], NULL, 10);
	if (n_few == 0 || n_many == 0 || n_few > STREAMS_MAX ||
		n_many > STREAMS_MAX || seconds == 0 || seconds > 60) {
		fprintf(stderr, "srtpflat: 1 to %u streams, 1 to 60 seconds\n",
			STREAMS_MAX);
		return 2;
	}
	if (srtp_begin() || open_set(&few, n_few) || open_set(&many, n_many) ||
		run(&few, &many, (unsigned)seconds)) {
		fprintf(stderr, "srtpflat: SRTP failed\n");
		return 1;
	}
	return 0;
}
