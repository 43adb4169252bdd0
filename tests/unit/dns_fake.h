/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small name server on loopback for tests, on the test's own loop. It
 * answers from a table of records and can be silent, late, brief or insane.
 */
#ifndef TESTS_UNIT_DNS_FAKE_H
#define TESTS_UNIT_DNS_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/loop.h"

#define FAKE_RR_MAX    32
#define FAKE_HELD_MAX  16
#define FAKE_MSG_MAX   1500
#define FAKE_TYPE_CNAME 5

enum fake_mode {
	FAKE_ANSWER,
	FAKE_SILENT,
	FAKE_HOLD,      /* until fake_release() */
	FAKE_FAIL,      /* SERVFAIL */
	FAKE_TRUNCATED, /* the last record cut in half, with TC */
	FAKE_CUT,       /* the same without TC */
	FAKE_GARBAGE,   /* right header and question, then noise */
	FAKE_MODE_COUNT,
};

/** text: "192.0.2.1", "2001:db8::1", "prio weight port target" or "order pref
 * flags service replacement". */
struct fake_rr {
	const char *name;
	unsigned type;
	uint32_t ttl;
	const char *text;
};

struct fake_held {
	uint8_t msg[FAKE_MSG_MAX];
	size_t len;
	struct addr to;
};

struct dns_fake {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct addr at;
	enum fake_mode mode;
	unsigned silent_type; /* this type is never answered; 0 = none */
	unsigned n_asked;
	uint32_t soa_ttl; /* of negative answers; 0 = no SOA */
	struct fake_rr rr[FAKE_RR_MAX];
	size_t n_rr;
	struct fake_held held[FAKE_HELD_MAX];
	size_t n_held;
};

void fake_open(struct dns_fake *f, struct loop *loop);
void fake_close(struct dns_fake *f);
void fake_add(struct dns_fake *f, const char *name, unsigned type, uint32_t ttl,
	const char *text);
void fake_clear(struct dns_fake *f);
/** Answers what was held back. */
void fake_release(struct dns_fake *f);
/** An answer to a question, as bytes. @return its length. */
size_t fake_reply(const struct dns_fake *f, const uint8_t *query, size_t len,
	uint8_t reply[FAKE_MSG_MAX]);
/** A question. @return its length. */
size_t fake_query(
	uint8_t query[FAKE_MSG_MAX], const char *name, unsigned type);

#endif
