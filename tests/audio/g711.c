/* SPDX-License-Identifier: Apache-2.0 */
/*
 * G.711 for the audio judge. It is written apart from everything that the
 * product uses, so that a fault there cannot hide here. Segment arithmetic
 * after ITU-T G.711 tables 1a and 2a; A-law toggles the even bits (0x55),
 * u-law sends the complement.
 */
#include "tests/audio/g711.h"

#define ULAW_BIAS 0x84
#define ULAW_CLIP 32635

int16_t g711_alaw_decode(uint8_t code)
{
	code ^= 0x55;
	int exponent = (code >> 4) & 7;
	int value = ((code & 0x0f) << 4) + 8;

	if (exponent > 0)
		value = (value + 0x100) << (exponent - 1);
	return (int16_t)((code & 0x80) ? value : -value);
}

uint8_t g711_alaw_encode(int16_t sample)
{
	uint8_t sign = sample >= 0 ? 0x80 : 0;
	int value = sample >= 0 ? sample : -(sample + 1);
	int exponent = 7;

	while (exponent > 0 && !(value & (0x4000 >> (7 - exponent))))
		exponent--;
	int mantissa = (value >> (exponent > 0 ? exponent + 3 : 4)) & 0x0f;
	return (uint8_t)((sign | (exponent << 4) | mantissa) ^ 0x55);
}

int16_t g711_ulaw_decode(uint8_t code)
{
	code = (uint8_t)~code;
	int exponent = (code >> 4) & 7;
	int value =
		((((code & 0x0f) << 3) + ULAW_BIAS) << exponent) - ULAW_BIAS;

	return (int16_t)((code & 0x80) ? -value : value);
}

uint8_t g711_ulaw_encode(int16_t sample)
{
	int value = sample;
	uint8_t sign = 0;

	if (value < 0) {
		value = -value;
		sign = 0x80;
	}
	if (value > ULAW_CLIP)
		value = ULAW_CLIP;
	value += ULAW_BIAS;
	int exponent = 7;
	while (exponent > 0 && !(value & (0x80 << exponent)))
		exponent--;
	int mantissa = (value >> (exponent + 3)) & 0x0f;
	return (uint8_t) ~(sign | (exponent << 4) | mantissa);
}
