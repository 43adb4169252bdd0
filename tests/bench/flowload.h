/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of flowload share: TLS connections of many sources in one
 * loop, each with whole SIP messages in and out.
 */
#ifndef TESTS_BENCH_FLOWLOAD_H
#define TESTS_BENCH_FLOWLOAD_H

#include <openssl/ssl.h>

#include "tests/bench/load.h"
#include "tests/bench/sip.h"

#define CONN_BYTES 8192
#define LOAD_PORT  5061 /* of phones and trunk, so that a Contact is true */

struct pool;

enum conn_state { CONN_NONE, CONN_TCP, CONN_TLS, CONN_OPEN, CONN_ENDED };

struct conn {
	struct pool *pool;
	size_t index;
	struct in_addr host;
	enum conn_state state;
	int fd;
	SSL *ssl;
	size_t n_in;
	char *in;
};

struct pool {
	int epoll;
	SSL_CTX *tls;
	struct sockaddr_in to;
	void *ctx;
	void (*on_message)(
		struct conn *c, const struct sip_msg *m, const char *bytes);
	void (*on_change)(struct conn *c); /* it is open, or has ended */
	size_t n_open, n_ended;
};

/** @param ca	authority of the server's certificate; NULL = any will do. */
bool pool_open(struct pool *p, const char *ca, const struct sockaddr_in *to);
/** Begins to connect from host and port (0 = any). @return false: refused. */
bool conn_begin(struct conn *c, struct in_addr host, uint16_t port);
/** Says good-bye and closes. */
void conn_end(struct conn *c);
void conn_send(struct conn *c, const struct sip_out *out);
/** Handles what has come; never waits. */
void pool_turn(struct pool *p);

/* flowload_phones.c */
struct phones_options {
	struct sockaddr_in to;
	struct in_addr from;  /* the first phone's address */
	struct in_addr trunk; /* the caller's */
	const char *domain, *ca;
	size_t n;
	bool by_name; /* Request-URIs of calls have user names */
};
/** Serves commands of standard input until its end. */
int load_tls_phones(const struct phones_options *o);

/* flowload_calls.c */
struct tls_calls;
/** The called side's answer to a request that a phone got. */
void call_answer(struct conn *phone, const struct sip_msg *m);
/** n calls at rate from the trunk to phones in turn; runs turn() meanwhile.
 * Prints "calls=N good=N wrong=N ...". */
void calls_run(struct conn *trunk, const struct phones_options *o, size_t n,
	double rate, unsigned hold_ms, void (*turn)(void *ctx), void *ctx);
void calls_on_message(const struct sip_msg *m, const char *bytes);

#endif
