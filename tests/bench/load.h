/* SPDX-License-Identifier: Apache-2.0 */
/* What sipload and flowload share besides SIP (sip.h) and phones
 * (load_phone.h): the clock, the run's name, addresses. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/** Monotonic. */
uint64_t load_now_ns(void);
/** A short sleep by the clock and not on a socket: waking another core costs
 * whoever sends, and a network card does not sleep. */
void load_rest(void);
/** Random text of this run, so that no two runs share a Call-ID. */
const char *load_token(void);
/** Reads "IP:PORT". */
bool load_address(const char *text, struct sockaddr_in *out);

#endif
