/* SPDX-License-Identifier: Apache-2.0 */
/* See load.h. */
#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#define REST_NS 100000

uint64_t load_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void load_rest(void)
{
	struct timespec tick = {.tv_nsec = REST_NS};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
}

const char *load_token(void)
{
	static char text[17];
	uint8_t bytes[8];

	if (!text[0] && getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes))
		for (size_t i = 0; i < sizeof(bytes); i++)
			snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text;
}

bool load_address(const char *text, struct sockaddr_in *out)
{
	char host[64];
	unsigned port;

	out->sin_family = AF_INET;
	if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
		inet_pton(AF_INET, host, &out->sin_addr) != 1)
		return false;
	out->sin_port = htons((uint16_t)port);
	return true;
}
