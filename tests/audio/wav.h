/* SPDX-License-Identifier: Apache-2.0 */
/* Sound files for the judge: one channel, 8000 samples per second. */
#ifndef TESTS_AUDIO_WAV_H
#define TESTS_AUDIO_WAV_H

#include <stddef.h>
#include <stdint.h>

#define WAV_RATE        8000
/** Longest sound that is read: ten minutes. */
#define WAV_SAMPLES_MAX (600u * WAV_RATE)

/** Samples of one sound; sample belongs to the struct. */
struct sound {
	int16_t *sample;
	size_t n;
};

/** Frees the samples. */
void sound_done(struct sound *s);

/**
 * Reads a RIFF/WAVE file: 16 bit linear, A-law or u-law, one channel, 8 kHz.
 * A data chunk whose length is wrong (0, or past the end of the file, as
 * recorders leave it that were killed) is read to the end of the file.
 * @param problem	static text on failure.
 * @return 0, or -1 with *problem set and the sound untouched.
 */
int wav_read(const char *path, struct sound *sound_out, const char **problem);

/** Writes 16 bit linear. @return 0, or -1 with errno set. */
int wav_write(const char *path, const struct sound *s);

#endif
