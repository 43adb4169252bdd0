/* SPDX-License-Identifier: Apache-2.0 */
#include "flowd/cert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/clock.h"

#define CERT_PATH_SIZE 1200
#define CERT_OCSP_MAX  (64 * 1024)
#define CERT_CHAIN_MAX 10
#define CERT_CA_MAX    1000

bool cert_name_is_good(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > CERT_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '.' || c == '_' ||
			    c == '-'))
			return false;
	}
	return true;
}

/* The library's own words for its last error; clears the queue. */
static const char *library_problem(void)
{
	unsigned long e = ERR_peek_error();
	const char *text = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return text ? text : "cannot be read";
}

static void make_path(char path[CERT_PATH_SIZE], const char *dir,
	const char *name, const char *ending)
{
	snprintf(path, CERT_PATH_SIZE, "%.1000s/%s.%s", dir, name, ending);
}

static struct cert_stamp look(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return (struct cert_stamp){0};
	return (struct cert_stamp){
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
			    st.st_mtim.tv_nsec,
		.size = st.st_size,
		.inode = st.st_ino,
	};
}

static bool stamp_equal(const struct cert_stamp *a, const struct cert_stamp *b)
{
	return a->mtime_ns == b->mtime_ns && a->size == b->size &&
	       a->inode == b->inode;
}

/* Opens and stamps a file. @return NULL with problem written. */
static FILE *open_file(
	const char *path, struct cert_stamp *stamp_out, char *problem)
{
	FILE *f = fopen(path, "re");

	*stamp_out = look(path);
	if (!f)
		snprintf(problem, CERT_PROBLEM_SIZE, "%.180s: %s", path,
			strerror(errno));
	return f;
}

int64_t cert_time(const ASN1_TIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* ----------------------------------------------------------------- ours */

static int read_chain(struct cert *c, const char *path, char *problem)
{
	FILE *f = open_file(path, &c->crt, problem);
	X509 *x;

	if (!f)
		return ERR_NOT_FOUND;
	c->leaf = PEM_read_X509(f, NULL, no_passphrase, NULL);
	if (!c->leaf) {
		snprintf(problem, CERT_PROBLEM_SIZE, "%.150s: %.80s", path,
			library_problem());
		(void)fclose(f);
		return ERR_INVALID;
	}
	while (sk_X509_num(c->chain) < CERT_CHAIN_MAX &&
		(x = PEM_read_X509(f, NULL, no_passphrase, NULL)))
		if (!sk_X509_push(c->chain, x))
			X509_free(x);
	ERR_clear_error();
	(void)fclose(f);
	c->not_after_s = cert_time(X509_get0_notAfter(c->leaf));
	return 0;
}

static int read_key(struct cert *c, const char *path, char *problem)
{
	FILE *f = open_file(path, &c->key_file, problem);

	if (!f)
		return ERR_NOT_FOUND;
	/* No buffer of the C library keeps a copy of the key. */
	(void)setvbuf(f, NULL, _IONBF, 0);
	c->key = PEM_read_PrivateKey(f, NULL, no_passphrase, NULL);
	(void)fclose(f);
	if (!c->key || X509_check_private_key(c->leaf, c->key) != 1) {
		snprintf(problem, CERT_PROBLEM_SIZE, "%.150s: %.80s", path,
			c->key ? "does not belong to the certificate"
			       : library_problem());
		ERR_clear_error();
		return ERR_INVALID;
	}
	return 0;
}

/* Is this a good answer about this certificate, and until when? */
static bool ocsp_is_about(OCSP_RESPONSE *r, X509 *leaf, int64_t *until_out)
{
	OCSP_BASICRESP *basic = OCSP_response_get1_basic(r);
	OCSP_SINGLERESP *one = basic ? OCSP_resp_get0(basic, 0) : NULL;
	ASN1_GENERALIZEDTIME *next = NULL;
	ASN1_INTEGER *serial = NULL;
	bool good = false;

	if (one &&
		OCSP_single_get0_status(one, NULL, NULL, NULL, &next) ==
			V_OCSP_CERTSTATUS_GOOD &&
		OCSP_id_get0_info(NULL, NULL, NULL, &serial,
			(OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(
				one)) == 1) {
		good = ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) ==
		       0;
		*until_out = cert_time(next);
	}
	OCSP_BASICRESP_free(basic);
	return good;
}

/* A response that is wrong is not stapled; the certificate works without. */
static void read_ocsp(struct cert *c, const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *bytes = NULL;
	const uint8_t *p;
	OCSP_RESPONSE *r = NULL;
	size_t n;

	c->ocsp_file = look(path);
	if (!f)
		return;
	bytes = OPENSSL_malloc(CERT_OCSP_MAX);
	n = bytes ? fread(bytes, 1, CERT_OCSP_MAX, f) : 0;
	(void)fclose(f);
	p = bytes;
	if (n > 0 && n < CERT_OCSP_MAX)
		r = d2i_OCSP_RESPONSE(NULL, &p, (long)n);
	if (r && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL &&
		ocsp_is_about(r, c->leaf, &c->ocsp_until_s)) {
		c->ocsp = bytes;
		c->ocsp_len = n;
		bytes = NULL;
	}
	OCSP_RESPONSE_free(r);
	OPENSSL_free(bytes);
	ERR_clear_error();
}

static void cert_free(struct cert *c)
{
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	OPENSSL_free(c->ocsp);
	free(c);
}

int certs_get(struct certs *cs, const char *name, const struct cert **cert_out,
	char *problem)
{
	char path[CERT_PATH_SIZE];
	struct cert *c;
	int err;

	SLIST_FOREACH (c, &cs->list, next)
		if (strcmp(c->name, name) == 0) {
			*cert_out = c;
			return 0;
		}
	if (!cert_name_is_good(name)) {
		snprintf(problem, CERT_PROBLEM_SIZE,
			"\"%.80s\" is no name of a certificate", name);
		return ERR_INVALID;
	}
	c = calloc(1, sizeof(*c));
	if (c)
		c->chain = sk_X509_new_null();
	if (!c || !c->chain) {
		free(c);
		return ERR_NOMEM;
	}
	snprintf(c->name, sizeof(c->name), "%s", name);
	make_path(path, cs->tls_dir, name, "crt");
	err = read_chain(c, path, problem);
	if (!err) {
		make_path(path, cs->tls_dir, name, "key");
		err = read_key(c, path, problem);
	}
	if (err) {
		cert_free(c);
		return err;
	}
	make_path(path, cs->tls_dir, name, "ocsp");
	read_ocsp(c, path);
	SLIST_INSERT_HEAD(&cs->list, c, next);
	*cert_out = c;
	return 0;
}

/* ---------------------------------------------------------- authorities */

static int read_authorities(struct cert_ca *ca, const char *path, char *problem)
{
	FILE *f = open_file(path, &ca->crt, problem);
	X509 *x;
	int n = 0;

	if (!f)
		return ERR_NOT_FOUND;
	while (n < CERT_CA_MAX &&
		(x = PEM_read_X509(f, NULL, no_passphrase, NULL))) {
		int64_t until = cert_time(X509_get0_notAfter(x));
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));

		if (n++ == 0 || until < ca->not_after_s)
			ca->not_after_s = until;
		if (!name || !sk_X509_NAME_push(ca->names, name))
			X509_NAME_free(name);
		(void)X509_STORE_add_cert(ca->store, x); /* takes a reference */
		X509_free(x);
	}
	ERR_clear_error();
	(void)fclose(f);
	if (n == 0) {
		snprintf(problem, CERT_PROBLEM_SIZE,
			"%.200s: holds no certificate", path);
		return ERR_INVALID;
	}
	return 0;
}

/* A list that is there has to be readable: otherwise a revoked certificate
 * would pass. */
static int read_revoked(struct cert_ca *ca, const char *path, char *problem)
{
	FILE *f = fopen(path, "re");
	X509_CRL *crl;
	int n = 0;

	ca->crl = look(path);
	if (!f)
		return 0;
	while ((crl = PEM_read_X509_CRL(f, NULL, no_passphrase, NULL))) {
		n += X509_STORE_add_crl(ca->store, crl) == 1;
		X509_CRL_free(crl);
	}
	ERR_clear_error();
	(void)fclose(f);
	if (n == 0) {
		snprintf(problem, CERT_PROBLEM_SIZE,
			"%.200s: holds no revocation list", path);
		return ERR_INVALID;
	}
	(void)X509_STORE_set_flags(ca->store, X509_V_FLAG_CRL_CHECK);
	return 0;
}

static void ca_free(struct cert_ca *ca)
{
	X509_STORE_free(ca->store);
	sk_X509_NAME_pop_free(ca->names, X509_NAME_free);
	free(ca);
}

int certs_get_ca(struct certs *cs, const char *name,
	const struct cert_ca **ca_out, char *problem)
{
	char path[CERT_PATH_SIZE];
	struct cert_ca *ca;
	int err;

	SLIST_FOREACH (ca, &cs->authorities, next)
		if (strcmp(ca->name, name) == 0) {
			*ca_out = ca;
			return 0;
		}
	if (name[0] && !cert_name_is_good(name)) {
		snprintf(problem, CERT_PROBLEM_SIZE,
			"\"%.80s\" is no name of an authority", name);
		return ERR_INVALID;
	}
	ca = calloc(1, sizeof(*ca));
	if (!ca)
		return ERR_NOMEM;
	ca->store = X509_STORE_new();
	ca->names = sk_X509_NAME_new_null();
	err = ca->store && ca->names ? 0 : ERR_NOMEM;
	snprintf(ca->name, sizeof(ca->name), "%s", name);
	if (name[0])
		make_path(path, cs->ca_dir, name, "crt");
	else
		snprintf(path, sizeof(path), "%s", cs->system_ca);
	if (!err)
		err = read_authorities(ca, path, problem);
	if (!err && name[0]) {
		make_path(path, cs->ca_dir, name, "crl");
		err = read_revoked(ca, path, problem);
	}
	if (err) {
		ca_free(ca);
		return err;
	}
	SLIST_INSERT_HEAD(&cs->authorities, ca, next);
	*ca_out = ca;
	return 0;
}

/* ------------------------------------------------------------------ all */

static bool file_changed(const char *dir, const char *name, const char *ending,
	const struct cert_stamp *was)
{
	char path[CERT_PATH_SIZE];
	struct cert_stamp is;

	make_path(path, dir, name, ending);
	is = look(path);
	return !stamp_equal(&is, was);
}

bool certs_changed(const struct certs *cs)
{
	const struct cert *c;
	const struct cert_ca *ca;

	SLIST_FOREACH (c, &cs->list, next)
		if (file_changed(cs->tls_dir, c->name, "crt", &c->crt) ||
			file_changed(
				cs->tls_dir, c->name, "key", &c->key_file) ||
			file_changed(
				cs->tls_dir, c->name, "ocsp", &c->ocsp_file))
			return true;
	SLIST_FOREACH (ca, &cs->authorities, next)
		if (ca->name[0] &&
			(file_changed(cs->ca_dir, ca->name, "crt", &ca->crt) ||
				file_changed(
					cs->ca_dir, ca->name, "crl", &ca->crl)))
			return true;
	return false;
}

void certs_clear(struct certs *cs)
{
	struct cert *c;
	struct cert_ca *ca;

	while ((c = SLIST_FIRST(&cs->list))) {
		SLIST_REMOVE_HEAD(&cs->list, next);
		cert_free(c);
	}
	while ((ca = SLIST_FIRST(&cs->authorities))) {
		SLIST_REMOVE_HEAD(&cs->authorities, next);
		ca_free(ca);
	}
}

bool cert_has_host(const struct cert *c, const char *host)
{
	return X509_check_host(c->leaf, host, strlen(host),
		       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

const char *cert_key_type(const struct cert *c)
{
	const char *name = EVP_PKEY_get0_type_name(c->key);

	return name ? name : "unknown";
}

int cert_key_text(X509 *x, char text[CERT_KEY_TEXT_SIZE])
{
	uint8_t *der = NULL, hash[EVP_MAX_MD_SIZE];
	unsigned hash_len = 0;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

	if (len <= 0)
		return ERR_INVALID;
	if (EVP_Digest(der, (size_t)len, hash, &hash_len, EVP_sha256(), NULL) !=
			1 ||
		hash_len != 32) {
		OPENSSL_free(der);
		return ERR_NOMEM;
	}
	OPENSSL_free(der);
	for (unsigned i = 0; i < hash_len; i++)
		snprintf(text + 2 * (size_t)i, 3, "%02x", hash[i]);
	return 0;
}
