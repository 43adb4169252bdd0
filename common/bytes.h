/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers in bytes, the highest byte first, as our files and tokens have them.
 * The caller has made sure that there is room.
 */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <stdint.h>

static inline void bytes_put_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

static inline uint32_t bytes_get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static inline void bytes_put_u64(uint8_t *at, uint64_t v)
{
	bytes_put_u32(at, (uint32_t)(v >> 32));
	bytes_put_u32(at + 4, (uint32_t)v);
}

static inline uint64_t bytes_get_u64(const uint8_t *at)
{
	return (uint64_t)bytes_get_u32(at) << 32 | bytes_get_u32(at + 4);
}

#endif
