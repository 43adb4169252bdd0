/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REGISTER that every phone sends first: without credentials, and written
 * as plainly as nearly all of them write it. It gets a challenge and leaves
 * nothing behind, so it is read here and answered from its own text; what is
 * not exactly of this form goes the way of all requests and is judged there.
 */
#ifndef SBC_PLAIN_H
#define SBC_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "sbc/text.h"

struct sbc;

#define PLAIN_HOST_SIZE  256
#define PLAIN_AGENT_SIZE 128

/** A plain REGISTER; the spans are of its bytes. */
struct plain {
	char host[PLAIN_HOST_SIZE];   /* of the Request-URI */
	char agent[PLAIN_AGENT_SIZE]; /* User-Agent, or "" */
	struct span via_before;       /* up to the word "rport" */
	struct span via_after;
	struct span branch; /* empty: none */
	struct span from;   /* the whole values */
	struct span from_tag;
	struct span to; /* without a tag */
	struct span call_id;
	struct span cseq;
	struct span cseq_number;
};

/**
 * Reads a datagram that cures_check_datagram() has passed. Pure; one pass.
 * @return whether it is plain: one Via with "rport" and without "received", no
 *	credentials, no header that asks for anything, no body, no folding, and
 *	nothing that hdr_check_request() would refuse.
 */
bool plain_read(const uint8_t *bytes, size_t len, struct plain *out);

/**
 * Answers it if it is plain and a challenge is what the way of all requests
 * would end in. Called after admit_datagram().
 * @return false: nothing was done, it takes that way.
 */
bool plain_answer(struct sbc *sbc, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len);

#endif
