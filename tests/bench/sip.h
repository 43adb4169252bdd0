/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much SIP as a load generator needs: reading the headers of a message that
 * it checks, and answering one. Not a parser for hostile bytes in general, but
 * bounded: nothing is read beyond the datagram, nothing written beyond a field.
 */
#ifndef TESTS_BENCH_SIP_H
#define TESTS_BENCH_SIP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIP_BYTES 4096
#define SIP_LINES 16

/** A piece of the message; borrowed from its bytes. */
struct sip_text {
	const char *at;
	size_t len;
};

struct sip_msg {
	unsigned status;        /* 0 = a request */
	struct sip_text method; /* of a request; of CSeq for a response */
	struct sip_text uri;    /* of a request */
	struct sip_text from, to, call_id, cseq, contact, challenge;
	struct sip_text via[SIP_LINES], record_route[SIP_LINES];
	size_t n_via, n_record_route;
	struct sip_text body;
};

/** Reads a message. bytes must have a terminator at bytes[len].
 * @return whether it has all that each message must have. */
bool sip_read(const char *bytes, size_t len, struct sip_msg *msg_out);

bool sip_is(struct sip_text text, const char *word);
/** Value of a parameter (";tag=", "nonce=") up to its end, quotes taken off;
 * len 0 = none. */
struct sip_text sip_parameter(struct sip_text header, const char *name);
/** What stands in <>, or the whole before any parameter. */
struct sip_text sip_address(struct sip_text header);
/** Does the body name an RTP port on an IPv4 address, and not the other side's
 * own ("IN IP4 HOST"): is there a media relay in between? */
bool sip_has_audio(struct sip_text body, const char *other_host);

/** A text that grows within bounds; overflow makes it unsendable. */
struct sip_out {
	char bytes[SIP_BYTES];
	size_t len;
	bool overflow;
};

void sip_add(struct sip_out *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * Begins the answer to a request: status line, all Via, all Record-Route,
 * From, To, Call-ID and CSeq as they came. The caller adds the rest.
 * @param tag	our tag for To, where it has none; NULL = none.
 */
void sip_answer(struct sip_out *out, const struct sip_msg *request,
	const char *status, const char *tag);
/** Ends a message: Content-Length, body; sdp may be NULL. */
void sip_end(struct sip_out *out, const char *sdp);

#endif
