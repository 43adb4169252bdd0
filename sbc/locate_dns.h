/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a DNS answer says, as values, and the order in which SRV records are
 * tried. Pure: no socket, no clock.
 */
#ifndef SBC_LOCATE_DNS_H
#define SBC_LOCATE_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"

#define DNS_NAME_SIZE    256
#define DNS_RECORDS_MAX  16 /* of one answer; the rest is not looked at */
#define DNS_SERVICE_SIZE 16

enum dns_type {
	DNS_A = 1,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_NAPTR = 35,
};

/** One record, of the type that was asked for. */
struct dns_record {
	struct addr addr;               /* A and AAAA, port 0 */
	uint16_t priority;              /* SRV; NAPTR: order */
	uint16_t weight;                /* SRV; NAPTR: preference */
	uint16_t port;                  /* SRV */
	char service[DNS_SERVICE_SIZE]; /* NAPTR, upper case */
	char flags;                     /* NAPTR: 's', 'a', ... 0 = none */
	char name[DNS_NAME_SIZE]; /* SRV: target; NAPTR: replacement. "" is
				     the root: there is no such service */
};

/** n_records 0 = the name has no such record (NXDOMAIN or no data). */
struct dns_answer {
	uint32_t ttl_s; /* the least of what it rests on */
	size_t n_records;
	struct dns_record records[];
};

/**
 * Reads an answer. CNAMEs are followed inside of it (RFC 1034 3.6.2). Of an
 * answer that was cut off (TC, RFC 2181 9) what is whole is taken.
 * @param name	what was asked for.
 * @param answer_out	the caller's, to be freed with free().
 * @return 0; ERR_INVALID if it is no answer; ERR_AWAY if the server says that
 *	it could not find out; ERR_NOMEM.
 */
GH_MUST_CHECK int dns_read(const uint8_t *msg, size_t len, const char *name,
	enum dns_type type, struct dns_answer **answer_out);

/** Without an SOA that says how long (RFC 2308 5). */
#define DNS_NEGATIVE_TTL_S 30u

/** Letters, digits, '-', '_' and dots between labels of 63 at most. */
bool dns_is_name(const char *name);

/**
 * Puts SRV records into the order in which they are tried: by priority, and
 * among equals at random by weight (RFC 2782).
 * @param random	a number from 0 to max; called with ctx.
 */
void dns_order_srv(struct dns_record *records, size_t n,
	uint32_t (*random)(void *ctx, uint32_t max), void *ctx);

/** "_sip._udp." and so on; NULL for a transport without SRV records. */
const char *dns_srv_prefix(Gh__Transport transport);

/**
 * The NAPTR record that leads to SRV records of this transport, the lowest
 * order and preference first (RFC 3263 4.1).
 * @return NULL if there is none.
 */
const struct dns_record *dns_pick_naptr(
	const struct dns_answer *answer, Gh__Transport transport);

#endif
