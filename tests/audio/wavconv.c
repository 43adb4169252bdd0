/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wavconv PCMA|PCMU|WAV IN.wav OUT: the same sound as 16 bit WAV (what baresip
 * and linphone play) or as the bare G.711 octets that sipp's rtp_stream action
 * cuts into packets; it reads no header.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/audio/g711.h"
#include "tests/audio/wav.h"

static int raw_write(const char *path, const struct sound *s,
	uint8_t (*encode)(int16_t sample))
{
	FILE *f = fopen(path, "wb");
	int err = 0;

	if (!f)
		return -1;
	for (size_t i = 0; err == 0 && i < s->n; i++)
		if (fputc(encode(s->sample[i]), f) == EOF)
			err = -1;
	if (fclose(f) != 0)
		err = -1;
	return err;
}

int main(int argc, char **argv)
{
	struct sound s = {0};
	const char *problem = NULL;
	int err;

	if (argc != 4) {
		fprintf(stderr, "usage: wavconv PCMA|PCMU|WAV IN.wav OUT\n");
		return 2;
	}
	if (wav_read(argv[2], &s, &problem)) {
		fprintf(stderr, "wavconv: %s: %s\n", argv[2], problem);
		return 1;
	}
	errno = 0;
	if (strcmp(argv[1], "PCMA") == 0)
		err = raw_write(argv[3], &s, g711_alaw_encode);
	else if (strcmp(argv[1], "PCMU") == 0)
		err = raw_write(argv[3], &s, g711_ulaw_encode);
	else if (strcmp(argv[1], "WAV") == 0)
		err = wav_write(argv[3], &s);
	else
		err = -2;
	if (err == -2)
		fprintf(stderr, "wavconv: unknown format %s\n", argv[1]);
	else if (err)
		fprintf(stderr, "wavconv: %s: %s\n", argv[3], strerror(errno));
	sound_done(&s);
	return err ? 2 : 0;
}
