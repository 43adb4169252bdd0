/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and authorities as files, by name:
 *
 *	<tls_dir>/NAME.crt	the certificate, then its chain (PEM)
 *	<tls_dir>/NAME.key	its private key (PEM, without a passphrase)
 *	<tls_dir>/NAME.ocsp	an OCSP response to staple (DER), if wanted
 *	<ca_dir>/NAME.crt	authorities (PEM)
 *	<ca_dir>/NAME.crl	their revocation lists (PEM), if wanted
 *
 * Reads, checks that key and certificate belong together, remembers what the
 * files looked like so that a change is noticed. What TLS does with them is
 * tls.h's matter. EC and RSA.
 */
#ifndef FLOWD_CERT_H
#define FLOWD_CERT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/err.h"
#include "flowd/openssl.h"

#define CERT_NAME_MAX      64
#define CERT_PROBLEM_SIZE  256
/** Below this it is a warning. */
#define CERT_EXPIRY_WARN_S (30 * 86400)
/** SHA-256 of a public key as hex digits. */
#define CERT_KEY_TEXT_SIZE 65

/** What a file looked like. */
struct cert_stamp {
	int64_t mtime_ns;
	int64_t size;
	uint64_t inode; /* 0: there was none */
};

/** One of ours, with its key. */
struct cert {
	SLIST_ENTRY(cert) next;
	char name[CERT_NAME_MAX + 1];
	X509 *leaf;
	STACK_OF(X509) * chain; /* without the leaf */
	EVP_PKEY *key;
	uint8_t *ocsp; /* NULL: none, or it has expired */
	size_t ocsp_len;
	int64_t ocsp_until_s; /* wall time; 0: it does not say */
	int64_t not_after_s;
	struct cert_stamp crt, key_file, ocsp_file;
};

/** An authority (several certificates may stand in its file). */
struct cert_ca {
	SLIST_ENTRY(cert_ca) next;
	char name[CERT_NAME_MAX + 1];
	X509_STORE *store;
	STACK_OF(X509_NAME) * names; /* to ask a peer for */
	int64_t not_after_s;         /* the first that expires */
	struct cert_stamp crt, crl;
};

SLIST_HEAD(cert_list, cert);
SLIST_HEAD(cert_ca_list, cert_ca);

/** What has been read; zeroed with both folders set it is empty. */
struct certs {
	const char *tls_dir, *ca_dir; /* borrowed */
	const char *system_ca;        /* file of the system's authorities */
	struct cert_list list;
	struct cert_ca_list authorities;
};

/** A name is letters, digits, '.', '_' and '-', and does not begin with '.':
 * it can leave no folder. */
bool cert_name_is_good(const char *name);

/** Reads a certificate, or finds it read already. The result lives until
 * certs_clear(). @param problem CERT_PROBLEM_SIZE bytes, a line on failure.
 * @return 0, ERR_NOT_FOUND, ERR_INVALID, or ERR_NOMEM. */
GH_MUST_CHECK int certs_get(struct certs *c, const char *name,
	const struct cert **cert_out, char *problem);
/** The same for an authority; "" is the system's. */
GH_MUST_CHECK int certs_get_ca(struct certs *c, const char *name,
	const struct cert_ca **ca_out, char *problem);

/** Has any file that was read (or was missing) changed since? */
bool certs_changed(const struct certs *c);
/** Forgets all; TLS contexts in use keep their own references. */
void certs_clear(struct certs *c);

/** Does the certificate speak for this host (SNI)? Wildcards count. */
bool cert_has_host(const struct cert *c, const char *host);
/** "EC", "RSA", or what else. */
const char *cert_key_type(const struct cert *c);
/** SHA-256 of the public key (SubjectPublicKeyInfo) as lower-case hex. */
GH_MUST_CHECK int cert_key_text(X509 *x, char text[CERT_KEY_TEXT_SIZE]);
/** Seconds since 1970 of an ASN.1 time; 0 if it is none. */
int64_t cert_time(const ASN1_TIME *t);

#endif
