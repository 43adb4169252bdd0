/* SPDX-License-Identifier: Apache-2.0 */
/* G.711 (ITU-T G.711) to and from linear samples, for the judge only. */
#ifndef TESTS_AUDIO_G711_H
#define TESTS_AUDIO_G711_H

#include <stdint.h>

/** One A-law octet as a 16 bit sample, and back. */
int16_t g711_alaw_decode(uint8_t code);
uint8_t g711_alaw_encode(int16_t sample);

/** One u-law octet as a 16 bit sample, and back. */
int16_t g711_ulaw_decode(uint8_t code);
uint8_t g711_ulaw_encode(int16_t sample);

#endif
