/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one connection, plain or through TLS: shake hands, read, write,
 * close, never blocking. Knows neither messages nor timers. A framing that
 * wraps messages (WebSocket) reads and writes through the same functions.
 */
#ifndef FLOWD_WIRE_H
#define FLOWD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "flowd/openssl.h"

struct wire {
	int fd;                /* owned; -1: closed */
	SSL *ssl;              /* owned; NULL: plain */
	bool read_wants_write; /* TLS has something of its own to say */
	bool write_wants_read; /* TLS waits for the peer before it can write */
	bool was_refused;      /* it asked for another handshake */
};

/** Gives TLS its side of the connection; w stays where it is. @return 0, or
 * ERR_NOMEM; ctx gets a reference. */
GH_MUST_CHECK int wire_secure(struct wire *w, SSL_CTX *ctx, bool is_server);

/** @return 0 when done, ERR_AGAIN, ERR_CLOSED if the peer went, or
 * ERR_REFUSED: wire_problem() tells. */
GH_MUST_CHECK int wire_handshake(struct wire *w);
/** @return bytes > 0, ERR_AGAIN, ERR_CLOSED for an orderly end, ERR_TIMEOUT
 * where the network failed, or ERR_INVALID for a broken TLS record or a peer
 * that wants to renegotiate. */
GH_MUST_CHECK int wire_read(struct wire *w, uint8_t *bytes, size_t size);
/** @return bytes > 0, or as wire_read(). */
GH_MUST_CHECK int wire_write(struct wire *w, const uint8_t *bytes, size_t len);
/** Bytes that TLS has taken from the socket already: no event will tell of
 * them. */
bool wire_has_pending(const struct wire *w);
/** Says good-bye in TLS and to TCP; wire_read() may go on until the end. */
void wire_say_end(struct wire *w);
void wire_close(struct wire *w);

/** The library's words for what went wrong last; static text. */
const char *wire_problem(void);

#endif
