/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes the sound files of the tests. Whole files are read at once;
 * chunks are walked with every length checked against what the file has, since
 * recordings come from programs that were killed in the middle.
 */
#include "tests/audio/wav.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/audio/g711.h"

#define FORMAT_LINEAR   1
#define FORMAT_ALAW     6
#define FORMAT_ULAW     7
#define FORMAT_EXTENDED 0xfffe
#define FILE_MAX        (2 * WAV_SAMPLES_MAX + 65536)

struct wav_format {
	unsigned tag;
	unsigned channels;
	unsigned rate;
	unsigned bits;
	bool seen;
};

void sound_done(struct sound *s)
{
	free(s->sample);
	s->sample = NULL;
	s->n = 0;
}

static unsigned le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v & 0xffff);
	put16(p + 2, v >> 16);
}

static uint8_t *file_read(const char *path, size_t *len_out)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t len;

	if (!f)
		return NULL;
	data = malloc(FILE_MAX);
	if (data) {
		len = fread(data, 1, FILE_MAX, f);
		if (ferror(f)) {
			free(data);
			data = NULL;
		} else {
			*len_out = len;
		}
	}
	fclose(f);
	return data;
}

static void format_read(const uint8_t *p, size_t len, struct wav_format *f)
{
	if (len < 16)
		return;
	f->tag = le16(p);
	f->channels = le16(p + 2);
	f->rate = le32(p + 4);
	f->bits = le16(p + 14);
	if (f->tag == FORMAT_EXTENDED && len >= 26)
		f->tag = le16(p + 24);
	f->seen = true;
}

static const char *format_problem(const struct wav_format *f)
{
	if (!f->seen)
		return "no format before the sound";
	if (f->channels != 1)
		return "more than one channel";
	if (f->rate != WAV_RATE)
		return "not 8000 samples per second";
	if (f->tag == FORMAT_LINEAR && f->bits == 16)
		return NULL;
	if ((f->tag == FORMAT_ALAW || f->tag == FORMAT_ULAW) && f->bits == 8)
		return NULL;
	return "neither 16 bit linear nor G.711";
}

static int samples_read(const uint8_t *p, size_t len,
	const struct wav_format *f, struct sound *out)
{
	size_t n = f->tag == FORMAT_LINEAR ? len / 2 : len;
	int16_t *sample = calloc(n ? n : 1, sizeof(*sample));

	if (!sample)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (f->tag == FORMAT_LINEAR)
			sample[i] = (int16_t)le16(p + 2 * i);
		else if (f->tag == FORMAT_ALAW)
			sample[i] = g711_alaw_decode(p[i]);
		else
			sample[i] = g711_ulaw_decode(p[i]);
	}
	out->sample = sample;
	out->n = n;
	return 0;
}

static int chunks_read(const uint8_t *data, size_t len, struct sound *out,
	const char **problem)
{
	struct wav_format format = {0};
	size_t at = 12;

	while (at + 8 <= len) {
		const uint8_t *chunk = data + at;
		size_t size = le32(chunk + 4);
		size_t left = len - at - 8;
		if (memcmp(chunk, "data", 4) == 0) {
			*problem = format_problem(&format);
			if (*problem)
				return -1;
			if (size == 0 || size > left)
				size = left;
			*problem = "out of memory";
			return samples_read(chunk + 8, size, &format, out);
		}
		if (size > left)
			break;
		if (memcmp(chunk, "fmt ", 4) == 0)
			format_read(chunk + 8, size, &format);
		at += 8 + size + (size & 1);
	}
	*problem = "no sound in the file";
	return -1;
}

int wav_read(const char *path, struct sound *sound_out, const char **problem)
{
	size_t len = 0;
	uint8_t *data = file_read(path, &len);
	int err = -1;

	if (!data) {
		*problem = "can not be read";
		return -1;
	}
	if (len < 12 || memcmp(data, "RIFF", 4) != 0 ||
		memcmp(data + 8, "WAVE", 4) != 0)
		*problem = "not a RIFF/WAVE file";
	else
		err = chunks_read(data, len, sound_out, problem);
	free(data);
	return err;
}

int wav_write(const char *path, const struct sound *s)
{
	uint8_t head[44] = "RIFF....WAVEfmt ";
	uint32_t bytes = (uint32_t)(s->n * 2);
	FILE *f = fopen(path, "wb");
	bool ok;

	if (!f)
		return -1;
	put32(head + 4, 36 + bytes);
	put32(head + 16, 16);
	put16(head + 20, FORMAT_LINEAR);
	put16(head + 22, 1);
	put32(head + 24, WAV_RATE);
	put32(head + 28, WAV_RATE * 2);
	put16(head + 32, 2);
	put16(head + 34, 16);
	for (size_t i = 0; i < 4; i++)
		head[36 + i] = (uint8_t) "data"[i];
	put32(head + 40, bytes);
	ok = fwrite(head, sizeof(head), 1, f) == 1;
	for (size_t i = 0; ok && i < s->n; i++) {
		uint8_t pair[2];
		put16(pair, (uint16_t)s->sample[i]);
		ok = fwrite(pair, 2, 1, f) == 1;
	}
	if (fclose(f) != 0)
		ok = false;
	return ok ? 0 : -1;
}
