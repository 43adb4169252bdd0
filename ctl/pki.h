/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An internal certificate authority in a few functions: keys, certificates and
 * revocation lists as PEM files. Knows nothing of where they belong (cert.c).
 * RFC 5280, RFC 5922 7.1 (names of SIP domains).
 */
#ifndef CTL_PKI_H
#define CTL_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define PKI_PROBLEM_SIZE 256
#define PKI_NAMES_MAX    32

enum pki_kind {
	PKI_CA,
	PKI_SERVER, /* what we show to phones: host names */
	PKI_TRUNK,  /* either side of a trunk: a SIP domain, both roles */
	PKI_DEVICE, /* a phone's client certificate */
	PKI_KIND_COUNT,
};

/** What to make. */
struct pki_order {
	enum pki_kind kind;
	const char *subject;      /* common name */
	const char *const *names; /* hosts, addresses, domains, sip: URIs */
	size_t n_names;
	const char *ca_crt, *ca_key; /* files; NULL = signs itself */
	const char *crt, *key;       /* files to write; both must be new */
	int64_t not_before_s;        /* since 1970 */
	int64_t not_after_s;
	bool rsa;   /* RSA 2048 in place of EC P-256 */
	bool chain; /* the authority's certificate follows in the file */
};

/** Makes a key (file mode 0600) and its certificate.
 * @param problem PKI_PROBLEM_SIZE bytes, a line on failure.
 * @return 0, ERR_INVALID, ERR_EXISTS, ERR_SYSTEM, or ERR_NOMEM. */
GH_MUST_CHECK int pki_make(const struct pki_order *order, char *problem);

/** Adds a certificate to an authority's revocation list, which is made if
 * there is none and is good until until_s. */
GH_MUST_CHECK int pki_revoke(const char *ca_crt, const char *ca_key,
	const char *crl, const char *crt, int64_t until_s, char *problem);

/** What a certificate file says. */
struct pki_view {
	char subject[256];
	char issuer[256];
	char names[2048]; /* separated by blanks */
	char key_type[16];
	char pin[65]; /* SHA-256 of the public key */
	int64_t not_after_s;
};
GH_MUST_CHECK int pki_view(
	const char *crt, struct pki_view *view_out, char *problem);

#endif
