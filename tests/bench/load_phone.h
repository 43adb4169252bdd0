/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A phone that registers, over UDP (sipload) or TLS (flowload): its name and
 * password, its REGISTER, and the answer to a challenge (RFC 7616 3.4.1, MD5,
 * qop=auth). How its messages travel is the generators' own.
 */
#ifndef TESTS_BENCH_LOAD_PHONE_H
#define TESTS_BENCH_LOAD_PHONE_H

#include "tests/bench/sip.h"

struct load_phone {
	size_t index;  /* in this run; names its registration */
	size_t number; /* gives user name and password */
	struct in_addr host;
	uint16_t port;
	bool tls;
	const char *server; /* its host; borrowed */
	const char *domain; /* digest realm; borrowed */
};

/** User name is "phone." and eight letters of the number, the password
 * "secret." and the same: user names have no digits. */
void phone_letters(size_t number, char letters[9]);
/** The registration's Call-ID: only this run has it. */
void phone_call_id(const struct load_phone *f, char *text, size_t size);

/** A REGISTER without credentials; the caller ends it. */
void phone_register(
	const struct load_phone *f, unsigned cseq, struct sip_out *out);
/** One that answers a challenge. @return whether it was for our realm. */
bool phone_claim(const struct load_phone *f, unsigned cseq,
	struct sip_text challenge, struct sip_out *out);
/** Does the answer to it show the phone's own Contact, and is it 200? */
bool phone_is_registered(const struct load_phone *f, const struct sip_msg *m);

#endif
