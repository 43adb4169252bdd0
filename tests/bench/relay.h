/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relays that rtpload can drive: each opens one audio call between two
 * local UDP addresses and says which ports the relay opened for it.
 */
#ifndef TESTS_BENCH_RELAY_H
#define TESTS_BENCH_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_MASTER_LEN 30 /* AES_CM_128: key and salt */

/** One call. a is the plain side; b is SRTP where srtp is set. */
struct relay_call {
	struct sockaddr_in a_local, b_local; /* ours, bound before */
	struct sockaddr_in a_relay, b_relay; /* filled in: where to send */
	bool srtp;
	uint8_t b_send_key[RELAY_MASTER_LEN]; /* what b encrypts with; ours */
	uint8_t b_receive_key[RELAY_MASTER_LEN]; /* what b decrypts with; filled
						    in */
};

struct relay {
	const char *name;
	/* @return 0, or -1 after a line on standard error. */
	int (*open)(const char *where);
	int (*call)(size_t index, struct relay_call *call);
	void (*keep)(void); /* once a second */
	void (*close)(void);
};

/* mediad's setting of the same name; 500 unless changed before open(). */
extern unsigned relay_mediad_coalesce_us;

extern const struct relay relay_mediad;    /* where = path of its socket */
extern const struct relay relay_rtpengine; /* where = ip:port of its ng port */

#endif
