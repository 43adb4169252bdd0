/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/addr.h"
#include "ctl/openssl.h"

#define SERIAL_BITS    127
#define NAMES_TEXT_MAX 4096

static int fail(char *problem, const char *what)
{
	unsigned long e = ERR_peek_error();
	const char *text = e ? ERR_reason_error_string(e) : NULL;

	snprintf(problem, PKI_PROBLEM_SIZE, "%.150s%s%.80s", what,
		text ? ": " : "", text ? text : "");
	ERR_clear_error();
	return ERR_INVALID;
}

static int fail_file(char *problem, const char *path)
{
	int error = errno;

	snprintf(
		problem, PKI_PROBLEM_SIZE, "%.180s: %s", path, strerror(error));
	return error == EEXIST ? ERR_EXISTS : ERR_SYSTEM;
}

/* -------------------------------------------------------------------- files */

/* Never over what is there: a key that is lost is lost. */
static FILE *create(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (fd >= 0 && !f)
		(void)close(fd);
	return f;
}

static int finish(FILE *f, bool good, const char *path, char *problem)
{
	bool written = good && fflush(f) == 0 && fsync(fileno(f)) == 0;

	if (fclose(f) != 0)
		written = false;
	if (written)
		return 0;
	(void)fail_file(problem, path);
	(void)unlink(path);
	return ERR_SYSTEM;
}

static X509 *read_cert(const char *path, char *problem)
{
	FILE *f = fopen(path, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	if (!f)
		(void)fail_file(problem, path);
	else if (!x)
		(void)fail(problem, path);
	if (f)
		(void)fclose(f);
	return x;
}

static EVP_PKEY *read_key(const char *path, char *problem)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	if (!f)
		(void)fail_file(problem, path);
	else if (!key)
		(void)fail(problem, path);
	if (f)
		(void)fclose(f);
	return key;
}

static int write_key(EVP_PKEY *key, const char *path, char *problem)
{
	FILE *f = create(path, 0600);

	if (!f)
		return fail_file(problem, path);
	return finish(f,
		PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) ==
			1,
		path, problem);
}

static int write_certs(
	X509 *leaf, X509 *issuer, const char *path, char *problem)
{
	FILE *f = create(path, 0644);

	if (!f)
		return fail_file(problem, path);
	return finish(f,
		PEM_write_X509(f, leaf) == 1 &&
			(!issuer || PEM_write_X509(f, issuer) == 1),
		path, problem);
}

/* -------------------------------------------------------------- certificate */

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = ext && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return good;
}

/* "DNS:a,URI:sip:b,IP:1.2.3.4". A comma in a name would begin another one. */
static int names_text(
	const struct pki_order *o, char text[NAMES_TEXT_MAX], char *problem)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < o->n_names; i++) {
		const char *name = o->names[i];
		struct addr ip;
		const char *kind = "DNS";
		int n;

		if (!name[0] || strpbrk(name, ", \t\r\n"))
			return fail(problem, "a name has a blank or a comma");
		if (strncmp(name, "sip:", 4) == 0)
			kind = "URI";
		else if (addr_parse(name, &ip) == 0)
			kind = "IP";
		n = snprintf(text + len, NAMES_TEXT_MAX - len, "%s%s:%s",
			len ? "," : "", kind, name);
		if (n < 0 || (size_t)n >= NAMES_TEXT_MAX - len)
			return fail(problem, "too many names");
		len += (size_t)n;
		if (o->kind != PKI_TRUNK || strcmp(kind, "DNS") != 0)
			continue;
		/* A trunk's domain is a SIP domain as well. */
		n = snprintf(
			text + len, NAMES_TEXT_MAX - len, ",URI:sip:%s", name);
		if (n < 0 || (size_t)n >= NAMES_TEXT_MAX - len)
			return fail(problem, "too many names");
		len += (size_t)n;
	}
	return 0;
}

static const struct extensions {
	const char *constraints, *usage, *extended;
} extensions[] = {
	[PKI_CA] = {"critical,CA:TRUE", "critical,keyCertSign,cRLSign", NULL},
	[PKI_SERVER] = {"critical,CA:FALSE", "critical,digitalSignature",
		"serverAuth"},
	[PKI_TRUNK] = {"critical,CA:FALSE", "critical,digitalSignature",
		"serverAuth,clientAuth"},
	[PKI_DEVICE] = {"critical,CA:FALSE", "critical,digitalSignature",
		"clientAuth"},
};
_Static_assert(sizeof(extensions) / sizeof(extensions[0]) == PKI_KIND_COUNT,
	"every kind has its extensions");

static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool good = n &&
		    BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY,
			    BN_RAND_BOTTOM_ANY) == 1 &&
		    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;

	BN_free(n);
	return good;
}

static int fill(X509 *x, const struct pki_order *o, EVP_PKEY *key, X509 *issuer,
	char *problem)
{
	const struct extensions *e = &extensions[o->kind];
	char names[NAMES_TEXT_MAX];
	X509_NAME *subject = X509_get_subject_name(x);

	if (names_text(o, names, problem))
		return ERR_INVALID;
	if (X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) ||
		!ASN1_TIME_set(X509_getm_notBefore(x), o->not_before_s) ||
		!ASN1_TIME_set(X509_getm_notAfter(x), o->not_after_s) ||
		X509_set_pubkey(x, key) != 1)
		return fail(problem, "certificate");
	if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
		    (const unsigned char *)o->subject, -1, -1, 0) != 1 ||
		X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1)
		return fail(problem, o->subject);
	if (!add_extension(x, issuer, NID_basic_constraints, e->constraints) ||
		!add_extension(x, issuer, NID_key_usage, e->usage) ||
		!add_extension(x, issuer, NID_subject_key_identifier, "hash") ||
		(e->extended && !add_extension(x, issuer, NID_ext_key_usage,
					e->extended)) ||
		(issuer != x && !add_extension(x, issuer,
					NID_authority_key_identifier, "keyid")))
		return fail(problem, "extensions");
	if (names[0] && !add_extension(x, issuer, NID_subject_alt_name, names))
		return fail(problem, "names");
	return 0;
}

int pki_make(const struct pki_order *o, char *problem)
{
	X509 *x = X509_new(), *ca = NULL;
	EVP_PKEY *key = NULL, *ca_key = NULL;
	int err = ERR_INVALID;

	key = o->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	if (!x || !key) {
		err = ERR_NOMEM;
		(void)fail(problem, "key");
		goto out;
	}
	if (o->ca_crt) {
		ca = read_cert(o->ca_crt, problem);
		ca_key = ca ? read_key(o->ca_key, problem) : NULL;
		if (!ca_key)
			goto out;
		if (X509_check_private_key(ca, ca_key) != 1) {
			err = fail(problem, "the authority's key is another's");
			goto out;
		}
	}
	err = fill(x, o, key, ca ? ca : x, problem);
	if (err)
		goto out;
	if (X509_sign(x, ca_key ? ca_key : key, EVP_sha256()) == 0) {
		err = fail(problem, "signature");
		goto out;
	}
	err = write_key(key, o->key, problem);
	if (err)
		goto out;
	err = write_certs(x, o->chain ? ca : NULL, o->crt, problem);
	if (err)
		(void)unlink(o->key);
out:
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return err;
}

/* -------------------------------------------------------------- revocation */

static X509_CRL *read_list(const char *path)
{
	FILE *f = fopen(path, "re");
	X509_CRL *crl = f ? PEM_read_X509_CRL(f, NULL, NULL, NULL) : NULL;

	ERR_clear_error();
	if (f)
		(void)fclose(f);
	return crl;
}

static bool fill_list(X509_CRL *crl, X509 *ca, X509 *x, int64_t until_s)
{
	ASN1_TIME *now = ASN1_TIME_set(NULL, time(NULL));
	ASN1_TIME *until = ASN1_TIME_set(NULL, until_s);
	X509_REVOKED *r = X509_REVOKED_new();
	bool good =
		now && until && r &&
		X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
		X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) == 1 &&
		X509_CRL_set1_lastUpdate(crl, now) == 1 &&
		X509_CRL_set1_nextUpdate(crl, until) == 1 &&
		X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(x)) ==
			1 &&
		X509_REVOKED_set_revocationDate(r, now) == 1;

	if (good && X509_CRL_add0_revoked(crl, r) == 1)
		r = NULL;
	else
		good = false;
	X509_REVOKED_free(r);
	ASN1_TIME_free(now);
	ASN1_TIME_free(until);
	return good && X509_CRL_sort(crl) == 1;
}

/* The new list takes the old one's place in one step. */
static int write_list(X509_CRL *crl, const char *path, char *problem)
{
	char temporary[4096];
	FILE *f;
	int err;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >=
		sizeof(temporary))
		return fail(problem, "path");
	(void)unlink(temporary);
	f = create(temporary, 0644);
	if (!f)
		return fail_file(problem, temporary);
	err = finish(f, PEM_write_X509_CRL(f, crl) == 1, temporary, problem);
	if (err)
		return err;
	return rename(temporary, path) ? fail_file(problem, path) : 0;
}

int pki_revoke(const char *ca_crt, const char *ca_key, const char *crl_path,
	const char *crt, int64_t until_s, char *problem)
{
	X509 *ca = read_cert(ca_crt, problem);
	EVP_PKEY *key = ca ? read_key(ca_key, problem) : NULL;
	X509 *x = key ? read_cert(crt, problem) : NULL;
	X509_REVOKED *already = NULL;
	X509_CRL *crl = NULL;
	int err = ERR_INVALID;

	if (!x)
		goto out;
	if (X509_check_issued(ca, x) != X509_V_OK) {
		err = fail(problem, "the certificate is another authority's");
		goto out;
	}
	crl = read_list(crl_path);
	if (!crl)
		crl = X509_CRL_new();
	if (crl && X509_CRL_get0_by_cert(crl, &already, x) == 1) {
		snprintf(problem, PKI_PROBLEM_SIZE, "it is revoked already");
		err = ERR_EXISTS;
		goto out;
	}
	if (!crl || !fill_list(crl, ca, x, until_s) ||
		X509_CRL_sign(crl, key, EVP_sha256()) == 0) {
		err = fail(problem, "revocation list");
		goto out;
	}
	err = write_list(crl, crl_path, problem);
out:
	X509_CRL_free(crl);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	return err;
}

/* --------------------------------------------------------------------- view */

static void name_of(X509_NAME *name, char text[256])
{
	if (X509_NAME_get_text_by_NID(name, NID_commonName, text, 256) < 0)
		text[0] = '\0';
}

static void list_names(X509 *x, char *text, size_t size)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	for (int i = 0; bio && i < sk_GENERAL_NAME_num(names); i++) {
		if (i > 0)
			(void)BIO_puts(bio, " ");
		(void)GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(names, i));
	}
	n = bio ? BIO_read(bio, text, (int)size - 1) : 0;
	text[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	GENERAL_NAMES_free(names);
}

static int make_pin(X509 *x, char pin[65])
{
	unsigned char *der = NULL, hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	int rc = len > 0 ? EVP_Digest(der, (size_t)len, hash, &n, EVP_sha256(),
				   NULL)
			 : 0;

	OPENSSL_free(der);
	if (rc != 1 || n != 32)
		return ERR_NOMEM;
	for (unsigned i = 0; i < n; i++)
		snprintf(pin + 2 * (size_t)i, 3, "%02x", hash[i]);
	return 0;
}

int pki_view(const char *crt, struct pki_view *v, char *problem)
{
	X509 *x = read_cert(crt, problem);
	EVP_PKEY *key = x ? X509_get0_pubkey(x) : NULL;
	struct tm tm;
	int err;

	if (!x)
		return ERR_INVALID;
	memset(v, 0, sizeof(*v));
	name_of(X509_get_subject_name(x), v->subject);
	name_of(X509_get_issuer_name(x), v->issuer);
	list_names(x, v->names, sizeof(v->names));
	if (key)
		snprintf(v->key_type, sizeof(v->key_type), "%s",
			EVP_PKEY_get0_type_name(key));
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1)
		v->not_after_s = timegm(&tm);
	err = make_pin(x, v->pin);
	X509_free(x);
	return err;
}
