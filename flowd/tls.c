/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener has one context per certificate; the first is the default and
 * knows the others. SNI picks by the names in the certificates. Each context
 * also gets the first certificate with another kind of key that has the same
 * first name, so that a peer that only knows RSA is served beside EC.
 *
 * What a context needs for its callbacks hangs on the context itself and goes
 * with it: connections outlive the settings that they began with.
 *
 * Tickets are stateless and belong to a context; a reload makes new ones. A
 * listener that asks for client certificates gives none: a resumed session
 * would not be verified against the authority and list of today.
 */
#include "flowd/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"
#include "common/clock.h"

/* RFC 9325 4.2, ChaCha20 for phones without AES instructions. */
#define TLS_CIPHERS                                                            \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"           \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"           \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_GROUPS        "X25519:P-256:P-384"
/* A chain of this length is longer than any in use; certificates of strangers
 * are read up to this size. */
#define TLS_DEPTH_MAX     6
#define TLS_CERT_LIST_MAX 32768

/* One certificate that a context may show. */
struct choice {
	SSL_CTX *ctx; /* NULL: the context that this hangs on */
	X509 *leaf;
	uint8_t *ocsp;
	size_t ocsp_len;
	int64_t ocsp_until_s;
};

/* What hangs on a context. */
struct tls_data {
	struct choice choices[TLS_CERTS_MAX];
	size_t n_choices;
	char pins[TLS_PINS_MAX][CERT_KEY_TEXT_SIZE];
	size_t n_pins;
};

static int data_index = -1;

static void data_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
	long argl, void *argp)
{
	struct tls_data *d = ptr;

	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	for (size_t i = 0; d && i < d->n_choices; i++) {
		SSL_CTX_free(d->choices[i].ctx);
		X509_free(d->choices[i].leaf);
		OPENSSL_free(d->choices[i].ocsp);
	}
	free(d);
}

int tls_begin(void)
{
	if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG |
				     OPENSSL_INIT_LOAD_SSL_STRINGS |
				     OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		    NULL) != 1)
		return ERR_SYSTEM;
	if (data_index < 0)
		data_index = SSL_CTX_get_ex_new_index(
			0, NULL, NULL, NULL, data_free);
	return data_index < 0 ? ERR_SYSTEM : 0;
}

static struct tls_data *data_of(const SSL_CTX *ctx)
{
	return SSL_CTX_get_ex_data(ctx, data_index);
}

bool tls_pin_is_good(const char *pin)
{
	return strlen(pin) == CERT_KEY_TEXT_SIZE - 1 &&
	       strspn(pin, "0123456789abcdefABCDEF") == CERT_KEY_TEXT_SIZE - 1;
}

/* ------------------------------------------------------------- callbacks */

/* A pinned key is enough by itself; anything else is verified as usual. */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls_data *d = data_of(SSL_get_SSL_CTX(ssl));
	char key[CERT_KEY_TEXT_SIZE];
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	(void)arg;
	if (d->n_pins && leaf && cert_key_text(leaf, key) == 0)
		for (size_t i = 0; i < d->n_pins; i++)
			if (strcasecmp(d->pins[i], key) == 0) {
				X509_STORE_CTX_set_error(store, X509_V_OK);
				return 1;
			}
	return X509_verify_cert(store);
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_data *d = data_of(SSL_get_SSL_CTX(ssl));
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)arg;
	if (!name)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < d->n_choices; i++) {
		const struct choice *c = &d->choices[i];

		if (X509_check_host(c->leaf, name, 0,
			    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1)
			continue;
		if (c->ctx)
			(void)SSL_set_SSL_CTX(ssl, c->ctx);
		return SSL_TLSEXT_ERR_OK;
	}
	/* A phone that asks for another name gets the default certificate and
	 * decides for itself. */
	return SSL_TLSEXT_ERR_NOACK;
}

static int on_status(SSL *ssl, void *arg)
{
	const struct tls_data *d = data_of(SSL_get_SSL_CTX(ssl));
	const X509 *leaf = SSL_get_certificate(ssl);
	int64_t now_s = (int64_t)(clock_wall_us() / CLOCK_US_PER_S);

	(void)arg;
	for (size_t i = 0; i < d->n_choices; i++) {
		const struct choice *c = &d->choices[i];
		uint8_t *copy;

		if (!c->ocsp || X509_cmp(c->leaf, leaf) != 0 ||
			(c->ocsp_until_s && c->ocsp_until_s <= now_s))
			continue;
		copy = OPENSSL_memdup(c->ocsp, c->ocsp_len);
		if (!copy)
			break;
		(void)SSL_set_tlsext_status_ocsp_resp(
			ssl, copy, (long)c->ocsp_len);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* --------------------------------------------------------------- contexts */

static int fail(char *problem, const char *what)
{
	unsigned long e = ERR_peek_error();
	const char *text = e ? ERR_reason_error_string(e) : NULL;

	snprintf(problem, CERT_PROBLEM_SIZE, "%.120s%s%.100s", what,
		text ? ": " : "", text ? text : "");
	ERR_clear_error();
	return ERR_INVALID;
}

static int set_policy(SSL_CTX *ctx, const char *min_version,
	const char *ciphers, char *problem)
{
	int min = TLS1_2_VERSION;

	if (strcmp(min_version, "1.3") == 0)
		min = TLS1_3_VERSION;
	else if (min_version[0] && strcmp(min_version, "1.2") != 0)
		return fail(problem, "tls_min is neither 1.2 nor 1.3");
	if (SSL_CTX_set_min_proto_version(ctx, min) != 1 ||
		SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) != 1)
		return fail(problem, "TLS version");
	if (SSL_CTX_set_cipher_list(ctx, ciphers[0] ? ciphers : TLS_CIPHERS) !=
		1)
		return fail(problem, "tls_ciphers");
	(void)SSL_CTX_set_options(ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			SSL_OP_CIPHER_SERVER_PREFERENCE |
			SSL_OP_PRIORITIZE_CHACHA | SSL_OP_CLEANSE_PLAINTEXT);
	/* An idle connection keeps no record buffers. */
	(void)SSL_CTX_set_mode(
		ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A record by one system call, where it would be two. */
	SSL_CTX_set_read_ahead(ctx, 1);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, TLS_CERT_LIST_MAX);
	SSL_CTX_set_verify_depth(ctx, TLS_DEPTH_MAX);
	SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
	return 0;
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	struct tls_data *d = calloc(1, sizeof(*d));

	if (!ctx || !d || SSL_CTX_set_ex_data(ctx, data_index, d) != 1) {
		free(d);
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static int take_pins(
	struct tls_data *d, const char *const *pins, size_t n, char *problem)
{
	if (n > TLS_PINS_MAX)
		return fail(problem, "too many pinned keys");
	for (size_t i = 0; i < n; i++) {
		if (!tls_pin_is_good(pins[i]))
			return fail(problem, "a pin is not 64 hex digits");
		memcpy(d->pins[i], pins[i], CERT_KEY_TEXT_SIZE);
	}
	d->n_pins = n;
	return 0;
}

static int use_cert(SSL_CTX *ctx, const struct cert *c, char *problem)
{
	struct tls_data *d = data_of(ctx);
	struct choice *choice = &d->choices[d->n_choices];

	if (SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) != 1)
		return fail(problem, c->name);
	if (d->n_choices == TLS_CERTS_MAX)
		return fail(problem, "too many certificates");
	(void)X509_up_ref(c->leaf);
	choice->leaf = c->leaf;
	if (c->ocsp) {
		choice->ocsp = OPENSSL_memdup(c->ocsp, c->ocsp_len);
		choice->ocsp_len = choice->ocsp ? c->ocsp_len : 0;
		choice->ocsp_until_s = c->ocsp_until_s;
	}
	d->n_choices++;
	return 0;
}

/* The first DNS name of a certificate, or "". */
static void first_name(const struct cert *c, char name[TLS_NAME_SIZE])
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);

	name[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !name[0]; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == GEN_DNS)
			snprintf(name, TLS_NAME_SIZE, "%.*s",
				ASN1_STRING_length(g->d.dNSName),
				(const char *)ASN1_STRING_get0_data(
					g->d.dNSName));
	}
	GENERAL_NAMES_free(names);
}

/* Adds the first certificate with another kind of key and the same name. */
static int use_companion(SSL_CTX *ctx, const struct cert *const *certs,
	size_t n, size_t self, char *problem)
{
	char name[TLS_NAME_SIZE], other[TLS_NAME_SIZE];

	first_name(certs[self], name);
	for (size_t i = 0; i < n && name[0]; i++) {
		first_name(certs[i], other);
		if (strcasecmp(name, other) == 0 &&
			EVP_PKEY_get_base_id(certs[i]->key) !=
				EVP_PKEY_get_base_id(certs[self]->key))
			return use_cert(ctx, certs[i], problem);
	}
	return 0;
}

static int ask_client(SSL_CTX *ctx, const struct tls_server_want *want,
	const struct cert_ca *ca, char *problem)
{
	int mode = SSL_VERIFY_PEER;
	int err = take_pins(
		data_of(ctx), want->client_pins, want->n_client_pins, problem);

	if (err || (!ca && want->n_client_pins == 0)) {
		if (!err && want->client_required)
			return fail(problem,
				"client certificates are required, and neither "
				"authority nor pin is named");
		return err;
	}
	if (want->client_required)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	if (!ca)
		return 0;
	SSL_CTX_set1_cert_store(ctx, ca->store);
	/* Peers whose certificate is pinned must be free to send it. */
	if (want->n_client_pins == 0) {
		STACK_OF(X509_NAME) *names = SSL_dup_CA_list(ca->names);

		if (!names)
			return ERR_NOMEM;
		SSL_CTX_set_client_CA_list(ctx, names);
	}
	return 0;
}

static int server_context(const struct tls_server_want *want,
	const struct cert *const *certs, size_t self, const struct cert_ca *ca,
	SSL_CTX **ctx_out, char *problem)
{
	static const uint8_t session_id[] = "gatehouse";
	SSL_CTX *ctx = context_new(TLS_server_method());
	int err;

	if (!ctx)
		return ERR_NOMEM;
	err = set_policy(ctx, want->min_version, want->ciphers, problem);
	if (!err)
		err = use_cert(ctx, certs[self], problem);
	if (!err)
		err = use_companion(
			ctx, certs, want->n_certificates, self, problem);
	(void)SSL_CTX_set_session_id_context(
		ctx, session_id, sizeof(session_id) - 1);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	if (!err)
		err = ask_client(ctx, want, ca, problem);
	if (err) {
		SSL_CTX_free(ctx);
		return err;
	}
	(void)SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	*ctx_out = ctx;
	return 0;
}

/* The default context learns the others. */
static void add_choice(SSL_CTX *ctx, SSL_CTX *other, const struct cert *c)
{
	struct tls_data *d = data_of(ctx);

	if (d->n_choices == TLS_CERTS_MAX) {
		SSL_CTX_free(other);
		return;
	}
	(void)X509_up_ref(c->leaf);
	d->choices[d->n_choices].ctx = other;
	d->choices[d->n_choices].leaf = c->leaf;
	d->n_choices++;
}

int tls_server_new(struct certs *certs, const struct tls_server_want *want,
	SSL_CTX **ctx_out, char *problem)
{
	const struct cert *found[TLS_CERTS_MAX];
	const struct cert_ca *ca = NULL;
	SSL_CTX *ctx = NULL, *other;
	int err = 0;

	snprintf(problem, CERT_PROBLEM_SIZE, "out of memory");
	if (want->n_certificates == 0 || want->n_certificates >= TLS_CERTS_MAX)
		return fail(
			problem, "a TLS listener needs 1 to 15 certificates");
	for (size_t i = 0; i < want->n_certificates && !err; i++)
		err = certs_get(
			certs, want->certificates[i], &found[i], problem);
	if (!err && want->client_ca[0])
		err = certs_get_ca(certs, want->client_ca, &ca, problem);
	if (!err)
		err = server_context(want, found, 0, ca, &ctx, problem);
	if (err)
		return err;
	for (size_t i = 1; i < want->n_certificates; i++) {
		err = server_context(want, found, i, ca, &other, problem);
		if (err) {
			SSL_CTX_free(ctx);
			return err;
		}
		add_choice(ctx, other, found[i]);
	}
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	*ctx_out = ctx;
	return 0;
}

int tls_client_new(struct certs *certs, const struct tls_client_want *want,
	SSL_CTX **ctx_out, char *problem)
{
	const struct cert_ca *ca = NULL;
	const struct cert *own = NULL;
	SSL_CTX *ctx;
	int err = 0;

	snprintf(problem, CERT_PROBLEM_SIZE, "out of memory");
	if (!want->name[0] && !want->pin[0])
		return fail(problem, "neither a name nor a pin to verify");
	if (!want->pin[0])
		err = certs_get_ca(certs, want->ca, &ca, problem);
	if (!err && want->certificate[0])
		err = certs_get(certs, want->certificate, &own, problem);
	if (err)
		return err;
	ctx = context_new(TLS_client_method());
	if (!ctx)
		return ERR_NOMEM;
	err = set_policy(ctx, want->min_version, want->ciphers, problem);
	if (!err && want->pin[0])
		err = take_pins(data_of(ctx), &want->pin, 1, problem);
	if (!err && own)
		err = use_cert(ctx, own, problem);
	if (err) {
		SSL_CTX_free(ctx);
		return err;
	}
	if (ca)
		SSL_CTX_set1_cert_store(ctx, ca->store);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	*ctx_out = ctx;
	return 0;
}

int tls_client_prepare(SSL *ssl, const struct tls_client_want *want)
{
	struct addr ip;

	/* RFC 6066 3: an address is no server name. */
	if (!want->name[0] || addr_parse(want->name, &ip) == 0)
		return 0;
	return SSL_set_tlsext_host_name(ssl, want->name) == 1 ? 0 : ERR_INVALID;
}

/* ------------------------------------------------------------------ peers */

/* A name as text if it is a DNS name or a SIP URI without user (RFC 5922 7.1),
 * without bytes that text does not have. */
static bool name_text(const GENERAL_NAME *g, char text[TLS_NAME_SIZE])
{
	const ASN1_IA5STRING *s;
	const char *p;
	int len;

	if (g->type == GEN_DNS)
		s = g->d.dNSName;
	else if (g->type == GEN_URI)
		s = g->d.uniformResourceIdentifier;
	else
		return false;
	p = (const char *)ASN1_STRING_get0_data(s);
	len = ASN1_STRING_length(s);
	if (len <= 0 || len >= TLS_NAME_SIZE)
		return false;
	for (int i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] == 0x7f)
			return false;
	if (g->type == GEN_URI && (len <= 4 || strncasecmp(p, "sip:", 4) != 0 ||
					  memchr(p, '@', (size_t)len)))
		return false;
	memcpy(text, p, (size_t)len);
	text[len] = '\0';
	return true;
}

static bool has_any_name(GENERAL_NAMES *names)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type = sk_GENERAL_NAME_value(names, i)->type;

		if (type == GEN_DNS || type == GEN_URI)
			return true;
	}
	return false;
}

/* The subject's common name counts only where there is no other name. */
static void add_common_name(X509 *x, struct tls_names *out)
{
	char text[TLS_NAME_SIZE];
	int len = X509_NAME_get_text_by_NID(
		X509_get_subject_name(x), NID_commonName, text, sizeof(text));

	if (len <= 0 || (size_t)len != strlen(text) || strpbrk(text, " \t@"))
		return;
	memcpy(out->text[out->n++], text, (size_t)len + 1);
}

void tls_peer(SSL *ssl, struct tls_names *out)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	GENERAL_NAMES *names;

	out->n = 0;
	out->key[0] = '\0';
	if (!x || SSL_get_verify_result(ssl) != X509_V_OK)
		return;
	if (cert_key_text(x, out->key))
		out->key[0] = '\0';
	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (int i = 0;
		i < sk_GENERAL_NAME_num(names) && out->n < TLS_NAMES_MAX; i++)
		if (name_text(
			    sk_GENERAL_NAME_value(names, i), out->text[out->n]))
			out->n++;
	if (!has_any_name(names))
		add_common_name(x, out);
	GENERAL_NAMES_free(names);
}

bool tls_peer_has(SSL *ssl, const char *name)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	struct tls_names names;
	struct addr ip;

	if (!x || SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	if (addr_parse(name, &ip) == 0)
		return X509_check_ip_asc(x, name, 0) == 1;
	tls_peer(ssl, &names);
	for (size_t i = 0; i < names.n; i++) {
		const char *has = names.text[i];

		if (strncasecmp(has, "sip:", 4) == 0)
			has += 4;
		if (strcasecmp(has, name) == 0)
			return true;
	}
	return false;
}

const char *tls_refusal(const SSL *ssl)
{
	long why = SSL_get_verify_result(ssl);

	return why == X509_V_OK ? NULL : X509_verify_cert_error_string(why);
}
