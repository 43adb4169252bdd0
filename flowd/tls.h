/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How we speak TLS, and whom we believe: contexts for listeners and for
 * outgoing connections, choice of certificate by SNI, verification of peers.
 *
 * By default what RFC 9325 recommends: TLS 1.2 and 1.3, forward secrecy and
 * AEAD only, no renegotiation, no compression. Names of SIP domains by RFC
 * 5922. A public key that is pinned is trusted without an authority.
 */
#ifndef FLOWD_TLS_H
#define FLOWD_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "flowd/cert.h"
#include "flowd/openssl.h"

#define TLS_CERTS_MAX 16
#define TLS_PINS_MAX  16
#define TLS_NAMES_MAX 16
#define TLS_NAME_SIZE 256

/** What a listener wants of TLS. Borrowed strings. */
struct tls_server_want {
	const char *const *certificates; /* first = default */
	size_t n_certificates;
	const char *client_ca; /* "" = none asked */
	const char *const *client_pins;
	size_t n_client_pins;
	bool client_required;
	const char *min_version; /* "1.2" or "1.3"; "" = 1.2 */
	const char *ciphers;     /* for TLS 1.2; "" = RFC 9325's */
};

/** What an outgoing connection wants. */
struct tls_client_want {
	const char *name; /* that the peer must prove; "" only with a pin */
	const char *ca;   /* "" = the system's */
	const char *pin;  /* "" = none */
	const char *certificate; /* "" = none */
	const char *min_version;
	const char *ciphers;
};

/** Names that a verified peer may speak for. */
struct tls_names {
	char text[TLS_NAMES_MAX]
		 [TLS_NAME_SIZE]; /* "example.com" or "sip:..." */
	size_t n;
	char key[CERT_KEY_TEXT_SIZE]; /* "" = it showed no certificate */
};

/** Prepares the library; before the sandbox. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int tls_begin(void);

/** Makes a listener's context; connections keep it alive.
 * @param problem	CERT_PROBLEM_SIZE bytes, a line on failure.
 * @return 0, ERR_INVALID, ERR_NOT_FOUND, or ERR_NOMEM. */
GH_MUST_CHECK int tls_server_new(struct certs *certs,
	const struct tls_server_want *want, SSL_CTX **ctx_out, char *problem);
/** Makes a context for one outgoing connection. */
GH_MUST_CHECK int tls_client_new(struct certs *certs,
	const struct tls_client_want *want, SSL_CTX **ctx_out, char *problem);
/** Before the handshake of an outgoing connection: SNI. */
GH_MUST_CHECK int tls_client_prepare(
	SSL *ssl, const struct tls_client_want *want);

/** After the handshake: what the peer proved. n = 0 and key "" where it showed
 * no certificate. */
void tls_peer(SSL *ssl, struct tls_names *names_out);
/** Is name among them (RFC 5922 7.2: exactly, without wildcards)? A name in
 * the form of an address is looked for among addresses. */
bool tls_peer_has(SSL *ssl, const char *name);
/** Was a handshake refused because of the peer's certificate? Then its
 * verification's words, else NULL. */
const char *tls_refusal(const SSL *ssl);

/** 64 hex digits. */
bool tls_pin_is_good(const char *pin);

#endif
