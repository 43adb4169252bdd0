/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap2wav [-s ADDR] [-d ADDR] [-x SSRC] CAPTURE OUT.wav: writes the sound
 * that went from -s to -d (either may lack the port, or be absent) and prints
 * one line about the stream. Ends with 1 where there is no such stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/audio/rtpcap.h"

static int usage(void)
{
	fprintf(stderr, "usage: pcap2wav [-s ADDR[:PORT]] [-d ADDR[:PORT]] "
			"[-x SSRC] CAPTURE OUT.wav\n");
	return 2;
}

static int options(int argc, char **argv, struct rtpcap_filter *filter)
{
	int c;

	while ((c = getopt(argc, argv, "s:d:x:")) != -1) {
		char *stop = NULL;
		switch (c) {
		case 's':
			if (rtpcap_end_parse(optarg, &filter->src))
				return -1;
			break;
		case 'd':
			if (rtpcap_end_parse(optarg, &filter->dst))
				return -1;
			break;
		case 'x':
			filter->ssrc = (uint32_t)strtoul(optarg, &stop, 16);
			filter->has_ssrc = true;
			if (*optarg == '\0' || *stop != '\0')
				return -1;
			break;
		default:
			return -1;
		}
	}
	return argc - optind == 2 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct rtpcap_filter filter = {0};
	struct rtpcap_stream st = {0};
	struct sound s = {0};
	char problem[256];
	int status = 0;

	if (options(argc, argv, &filter))
		return usage();
	if (rtpcap_decode(
		    argv[optind], &filter, &s, &st, problem, sizeof(problem))) {
		fprintf(stderr, "pcap2wav: %s: %s\n", argv[optind], problem);
		return 1;
	}
	if (wav_write(argv[optind + 1], &s)) {
		perror(argv[optind + 1]);
		status = 2;
	}
	printf("ssrc=%08x payload_type=%u packets=%zu lost=%zu duplicates=%zu "
	       "seconds=%.2f gap_max_ms=%.1f streams=%u\n",
		st.ssrc, st.payload_type, st.n_packets, st.n_lost,
		st.n_duplicates, st.seconds, st.gap_max_ms, st.n_streams);
	sound_done(&s);
	return status;
}
