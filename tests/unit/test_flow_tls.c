/* SPDX-License-Identifier: Apache-2.0 */
/* flowd's TLS with an OpenSSL client and server on the other side: versions,
 * certificates by name, verification both ways, reload, broken peers. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "ctl/pki.h"
#include "flow_rig.h"
#include "suite.h"

#define TLS GH__TRANSPORT__TRANSPORT_TLS

static const char hello[] =
	"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKt\r\n"
	"l: 0\r\n\r\n";

struct world {
	struct rig r;
	struct rig_peer p;
	char *certificates[4];
	char *pins[2];
};

/* An authority "ca", and a listener with the certificates named. */
static struct world *world_new(const char *const *names, size_t n)
{
	struct world *w = calloc(1, sizeof(*w));

	rig_begin(&w->r);
	rig_make_ca(&w->r, "ca");
	rig_make_cert(&w->r, "main", "ca", "sip.example.com", false, 100);
	(void)rig_listener(&w->r, "127.0.0.1", TLS);
	for (size_t i = 0; i < n; i++)
		w->certificates[i] = (char *)(uintptr_t)names[i];
	w->r.listener[0].certificates = w->certificates;
	w->r.listener[0].n_certificates = n;
	return w;
}

static struct world *world_main(void)
{
	static const char *const names[] = {"main"};

	return world_new(names, 1);
}

static void world_free(struct world *w)
{
	rig_peer_end(&w->p);
	rig_end(&w->r);
	free(w);
}

static bool handshake(struct world *w, const struct rig_tls *tls)
{
	rig_peer_end(&w->p);
	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	return rig_secure(&w->p, tls);
}

/* The common name of the certificate that we were shown. */
static const char *shown(struct world *w)
{
	static char name[64];
	X509 *x = SSL_get0_peer_certificate(w->p.ssl);

	ck_assert_ptr_nonnull(x);
	X509_NAME_get_text_by_NID(
		X509_get_subject_name(x), NID_commonName, name, sizeof(name));
	return name;
}

/* One request and its answer over what stands. */
static void talk(struct world *w)
{
	size_t n = w->r.n_opened + 1;
	struct rig_bridge *b;
	const struct rig_opened *o;

	rig_say(&w->p, hello);
	o = rig_wait_opened(&w->r, n);
	ck_assert_int_eq(o->transport, TLS);
	b = rig_bridge(&w->r, o->local_port);
	rig_bridge_expect(&w->r, b, "l: 0\r\n\r\n");
	rig_bridge_say(&w->r, b,
		"OPTIONS sip:y SIP/2.0\r\nVia: SIP/2.0/TCP "
		"127.0.0.1:1;branch=z9hG4bKu\r\nl: 0\r\n\r\n");
	rig_expect(&w->p, "l: 0\r\n\r\n");
	ck_assert_str_eq((char *)w->p.bytes,
		"OPTIONS sip:y SIP/2.0\r\nVia: SIP/2.0/TLS "
		"sbc.example.com:5061;branch=z9hG4bKu\r\nl: 0\r\n\r\n");
	w->p.len = 0;
}

START_TEST(test_versions)
{
	struct world *w = world_main();
	const char *ca = rig_path(&w->r, "ca/ca.crt");
	struct rig_tls tls = {.ca = ca, .sni = "sip.example.com"};

	rig_sbc_up(&w->r);
	tls.version = TLS1_3_VERSION;
	ck_assert(handshake(w, &tls));
	talk(w);
	tls.version = TLS1_2_VERSION;
	ck_assert(handshake(w, &tls));
	talk(w);
	/* What RFC 9325 does not want. */
	tls.version = TLS1_1_VERSION;
	ck_assert(!handshake(w, &tls));
	tls.version = TLS1_2_VERSION;
	tls.ciphers = "AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
		      "AES128-GCM-SHA256";
	ck_assert(!handshake(w, &tls));
	/* Only 1.3, as the administrator may want. */
	w->r.flow_config.tls_min = (char[]){"1.3"};
	rig_configure(&w->r);
	rig_for(&w->r, 20000);
	tls.ciphers = NULL;
	ck_assert(!handshake(w, &tls));
	tls.version = TLS1_3_VERSION;
	ck_assert(handshake(w, &tls));
	world_free(w);
}
END_TEST

START_TEST(test_server_names)
{
	static const char *const names[] = {"main", "second", "rsa"};
	struct world *w = world_new(names, 3);
	struct rig_tls tls = {.sni = "sip.example.com"};

	rig_make_cert(&w->r, "second", "ca", "other.example.org", false, 100);
	rig_make_cert(&w->r, "rsa", "ca", "sip.example.com", true, 100);
	rig_sbc_up(&w->r);
	ck_assert(handshake(w, &tls));
	ck_assert_str_eq(shown(w), "main");
	tls.sni = "other.example.org";
	ck_assert(handshake(w, &tls));
	ck_assert_str_eq(shown(w), "second");
	talk(w);
	/* Unknown and absent names get the first. */
	tls.sni = "unknown.example.net";
	ck_assert(handshake(w, &tls));
	ck_assert_str_eq(shown(w), "main");
	tls.sni = NULL;
	ck_assert(handshake(w, &tls));
	ck_assert_str_eq(shown(w), "main");
	/* Who knows only RSA gets RSA. */
	tls.sni = "sip.example.com";
	tls.version = TLS1_2_VERSION;
	tls.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
	ck_assert(handshake(w, &tls));
	ck_assert_str_eq(shown(w), "rsa");
	talk(w);
	world_free(w);
}
END_TEST

/* The file holds a chain: leaf, intermediate. The client knows the root. */
START_TEST(test_chain)
{
	static const char *const names[] = {"leaf"};
	struct world *w = world_new(names, 1);
	char problem[PKI_PROBLEM_SIZE];
	const struct pki_order middle = {.kind = PKI_CA,
		.subject = "middle",
		.ca_crt = rig_path(&w->r, "ca/ca.crt"),
		.ca_key = rig_path(&w->r, "ca/ca.key"),
		.crt = rig_path(&w->r, "ca/middle.crt"),
		.key = rig_path(&w->r, "ca/middle.key"),
		.not_before_s = time(NULL) - 10,
		.not_after_s = time(NULL) + 86400};
	struct rig_tls tls = {0};

	if (pki_make(&middle, problem))
		ck_abort_msg("%s", problem);
	rig_make_cert(&w->r, "leaf", "middle", "sip.example.com", false, 90);
	rig_sbc_up(&w->r);
	tls.ca = rig_path(&w->r, "ca/ca.crt");
	ck_assert(handshake(w, &tls));
	ck_assert_str_eq(shown(w), "leaf");
	world_free(w);
}
END_TEST

static bool sees(struct rig *r, void *arg)
{
	struct world *w = arg;
	struct rig_tls tls = {0};

	(void)r;
	rig_peer_end(&w->p);
	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	if (!rig_secure(&w->p, &tls))
		return false;
	return X509_get0_notAfter(SSL_get0_peer_certificate(w->p.ssl)) &&
	       cert_time(X509_get0_notAfter(SSL_get0_peer_certificate(
		       w->p.ssl))) > time(NULL) + 300 * 86400;
}

/* New files are used without being told, and nobody is disturbed. A file that
 * is no certificate leaves the old one in force. */
START_TEST(test_reload)
{
	struct world *w = world_main();
	struct rig_peer old;
	struct rig_tls tls = {0};
	FILE *f;

	rig_sbc_up(&w->r);
	ck_assert(handshake(w, &tls));
	talk(w);
	old = w->p;
	memset(&w->p, 0, sizeof(w->p));
	w->p.fd = -1;
	rig_make_cert(&w->r, "main", "ca", "sip.example.com", false, 365);
	rig_until(&w->r, sees, w);
	f = fopen(rig_path(&w->r, "tls/main.crt"), "w");
	ck_assert_ptr_nonnull(f);
	fputs("nonsense", f);
	fclose(f);
	ctl_reload(w->r.ctl);
	ck_assert(sees(&w->r, w));
	/* The first connection lives and talks. */
	rig_say(&old, "\r\n\r\n");
	old.len = 0;
	rig_expect(&old, "\r\n");
	rig_peer_end(&old);
	world_free(w);
}
END_TEST

static void client_listener(struct world *w, const char *ca, bool required)
{
	w->r.listener[0].client_ca = (char *)(uintptr_t)ca;
	w->r.listener[0].client_required = required;
}

/* TLS 1.3 tells the client of a refusal only after its own handshake is done:
 * the verdict is what sbc hears. */
static void expect_refusal(
	struct world *w, const struct rig_tls *tls, enum reason why)
{
	size_t n = w->r.n_closed + 1, n_opened = w->r.n_opened;

	if (handshake(w, tls))
		rig_expect_end(&w->p);
	ck_assert_int_eq(rig_wait_closed(&w->r, n)->why, why);
	ck_assert_uint_eq(w->r.n_opened, n_opened);
}

START_TEST(test_client_certificates)
{
	struct world *w = world_main();
	char problem[PKI_PROBLEM_SIZE];
	struct rig_tls tls = {0};

	rig_make_ca(&w->r, "foreign");
	rig_make_cert(&w->r, "good", "ca", "itsp.example.net", false, 10);
	rig_make_cert(&w->r, "revoked", "ca", "itsp.example.net", false, 10);
	rig_make_cert(&w->r, "expired", "ca", "itsp.example.net", false, -1);
	rig_make_cert(
		&w->r, "foreign", "foreign", "itsp.example.net", false, 10);
	if (pki_revoke(rig_path(&w->r, "ca/ca.crt"),
		    rig_path(&w->r, "ca/ca.key"), rig_path(&w->r, "ca/ca.crl"),
		    rig_path(&w->r, "tls/revoked.crt"), time(NULL) + 86400,
		    problem))
		ck_abort_msg("%s", problem);
	client_listener(w, "ca", true);
	rig_sbc_up(&w->r);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION;
		version++) {
		const struct rig_opened *o;

		tls.version = version;
		tls.crt = rig_path(&w->r, "tls/good.crt");
		ck_assert(handshake(w, &tls));
		talk(w);
		o = &w->r.opened[w->r.n_opened - 1];
		ck_assert_uint_eq(o->n_names, 2);
		ck_assert_str_eq(o->names[0], "itsp.example.net");
		ck_assert_str_eq(o->names[1], "sip:itsp.example.net");
		ck_assert_uint_eq(strlen(o->key), 64);
		rig_peer_end(&w->p);
		(void)rig_wait_closed(&w->r, w->r.n_closed + 1);
		tls.crt = rig_path(&w->r, "tls/foreign.crt");
		expect_refusal(w, &tls, REASON_FLOW_TLS_UNTRUSTED);
		tls.crt = rig_path(&w->r, "tls/expired.crt");
		expect_refusal(w, &tls, REASON_FLOW_TLS_UNTRUSTED);
		ck_assert_ptr_nonnull(strstr(
			w->r.closed[w->r.n_closed - 1].detail, "expired"));
		tls.crt = rig_path(&w->r, "tls/revoked.crt");
		expect_refusal(w, &tls, REASON_FLOW_TLS_UNTRUSTED);
		ck_assert_ptr_nonnull(strstr(
			w->r.closed[w->r.n_closed - 1].detail, "revoked"));
		tls.crt = NULL;
		expect_refusal(w, &tls, REASON_FLOW_TLS_HANDSHAKE);
	}
	/* Asked for, not required: a phone without one is welcome, and proves
	 * nothing. */
	client_listener(w, "ca", false);
	rig_configure(&w->r);
	rig_for(&w->r, 20000);
	ck_assert(handshake(w, &tls));
	talk(w);
	ck_assert_uint_eq(w->r.opened[w->r.n_opened - 1].n_names, 0);
	ck_assert_str_eq(w->r.opened[w->r.n_opened - 1].key, "");
	world_free(w);
}
END_TEST

START_TEST(test_pin)
{
	struct world *w = world_main();
	char problem[PKI_PROBLEM_SIZE];
	struct rig_tls tls = {0};
	struct pki_view view;

	/* Nobody vouches for it; its key is known. */
	rig_make_ca(&w->r, "foreign");
	rig_make_cert(&w->r, "pinned", "foreign", "a.example.net", true, 10);
	rig_make_cert(&w->r, "another", "foreign", "a.example.net", true, 10);
	ck_assert_int_eq(
		pki_view(rig_path(&w->r, "tls/pinned.crt"), &view, problem), 0);
	w->pins[0] = view.pin;
	w->r.listener[0].client_pins = w->pins;
	w->r.listener[0].n_client_pins = 1;
	w->r.listener[0].client_required = true;
	rig_sbc_up(&w->r);
	tls.crt = rig_path(&w->r, "tls/pinned.crt");
	ck_assert(handshake(w, &tls));
	talk(w);
	ck_assert_str_eq(w->r.opened[0].key, view.pin);
	tls.crt = rig_path(&w->r, "tls/another.crt");
	rig_peer_end(&w->p);
	(void)rig_wait_closed(&w->r, 1);
	expect_refusal(w, &tls, REASON_FLOW_TLS_UNTRUSTED);
	world_free(w);
}
END_TEST

START_TEST(test_broken_handshakes)
{
	struct world *w = world_main();
	static const char *const junk[] = {"GET / HTTP/1.1\r\n\r\n",
		"OPTIONS sip:x SIP/2.0\r\n\r\n", "\x16\x03\x01\x40",
		"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff"};
	size_t n = 0;

	w->r.flow_config.handshake_timeout_ms = 150;
	rig_sbc_up(&w->r);
	for (size_t i = 0; i < 2; i++) {
		rig_connect(&w->p, &w->r, 0, "127.0.0.2");
		rig_say(&w->p, junk[i]);
		rig_expect_end(&w->p);
		rig_peer_end(&w->p);
		ck_assert_int_eq(rig_wait_closed(&w->r, ++n)->why,
			REASON_FLOW_TLS_HANDSHAKE);
	}
	/* Half a hello, and nothing at all. */
	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	rig_say(&w->p, junk[2]);
	rig_expect_end(&w->p);
	rig_peer_end(&w->p);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, ++n)->why, REASON_FLOW_TLS_TIMEOUT);
	rig_connect(&w->p, &w->r, 0, "127.0.0.3");
	rig_expect_end(&w->p);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, ++n)->why, REASON_FLOW_TLS_TIMEOUT);
	ck_assert_uint_eq(w->r.n_opened, 0);
	world_free(w);
}
END_TEST

/* Handshakes under way are bounded, and known phones keep a share. */
START_TEST(test_handshake_limit)
{
	struct world *w = world_main();
	struct rig_peer p[12];
	struct rig_tls tls = {0};
	Gh__FlowKnown known = GH__FLOW_KNOWN__INIT;

	rig_sbc_up(&w->r); /* 16 in all, 12 for strangers */
	for (unsigned i = 0; i < 12; i++)
		rig_connect(&p[i], &w->r, 0, "127.0.0.2");
	rig_for(&w->r, 20000);
	rig_connect(&w->p, &w->r, 0, "127.0.0.3");
	rig_expect_end(&w->p);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 1)->why, REASON_FLOW_HANDSHAKES);
	known.host = (char[]){"127.0.0.3"};
	known.known = true;
	IPC_MSG(msg, FLOW_KNOWN, flow_known, &known);
	rig_send(&w->r, &msg);
	rig_for(&w->r, 5000);
	rig_peer_end(&w->p);
	rig_connect(&w->p, &w->r, 0, "127.0.0.3");
	ck_assert(rig_secure(&w->p, &tls));
	for (unsigned i = 0; i < 12; i++)
		rig_peer_end(&p[i]);
	world_free(w);
}
END_TEST

START_TEST(test_renegotiation)
{
	struct world *w = world_main();
	struct rig_tls tls = {.version = TLS1_2_VERSION};

	rig_sbc_up(&w->r);
	ck_assert(handshake(w, &tls));
	talk(w);
	ck_assert_int_eq(SSL_renegotiate(w->p.ssl), 1);
	/* It is refused by an alert, and the connection ends. */
	(void)SSL_do_handshake(w->p.ssl);
	rig_for(&w->r, 50000);
	w->p.broken = false;
	rig_expect_end(&w->p);
	rig_peer_end(&w->p);
	ck_assert(handshake(w, &tls));
	talk(w);
	world_free(w);
}
END_TEST

/* An answer about `crt` by the authority, as its responder would give it. */
static void make_ocsp(struct rig *r, const char *crt, const char *out, int days)
{
	FILE *f = fopen(rig_path(r, "ca/ca.crt"), "r");
	X509 *ca = PEM_read_X509(f, NULL, NULL, NULL), *x;
	EVP_PKEY *key;
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_RESPONSE *response;
	OCSP_CERTID *id;
	ASN1_TIME *now = X509_time_adj_ex(NULL, -2, 0, NULL);
	ASN1_TIME *next = X509_time_adj_ex(NULL, days, 0, NULL);
	unsigned char *der = NULL;
	int len;

	fclose(f);
	f = fopen(rig_path(r, "ca/ca.key"), "r");
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	f = fopen(rig_path(r, crt), "r");
	x = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	ck_assert(ca && key && x);
	id = OCSP_cert_to_id(EVP_sha1(), x, ca);
	ck_assert_ptr_nonnull(OCSP_basic_add1_status(
		basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, now, next));
	OCSP_CERTID_free(id);
	ck_assert_int_eq(
		OCSP_basic_sign(basic, ca, key, EVP_sha256(), NULL, 0), 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	len = i2d_OCSP_RESPONSE(response, &der);
	ck_assert_int_gt(len, 0);
	f = fopen(rig_path(r, out), "w");
	ck_assert_uint_eq(fwrite(der, 1, (size_t)len, f), len);
	fclose(f);
	OPENSSL_free(der);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	X509_free(ca);
	X509_free(x);
	EVP_PKEY_free(key);
}

START_TEST(test_stapling)
{
	struct world *w = world_main();
	struct rig_tls tls = {.ask_status = true};
	const unsigned char *response;

	make_ocsp(&w->r, "tls/main.crt", "tls/main.ocsp", 1);
	rig_sbc_up(&w->r);
	ck_assert(handshake(w, &tls));
	ck_assert_int_gt(
		SSL_get_tlsext_status_ocsp_resp(w->p.ssl, &response), 0);
	/* One that ran out is worse than none; so is another's. */
	make_ocsp(&w->r, "tls/main.crt", "tls/main.ocsp", -1);
	ctl_reload(w->r.ctl);
	ck_assert(handshake(w, &tls));
	ck_assert_int_le(
		SSL_get_tlsext_status_ocsp_resp(w->p.ssl, &response), 0);
	rig_make_cert(&w->r, "other", "ca", "x.example.com", false, 9);
	make_ocsp(&w->r, "tls/other.crt", "tls/main.ocsp", 1);
	ctl_reload(w->r.ctl);
	ck_assert(handshake(w, &tls));
	ck_assert_int_le(
		SSL_get_tlsext_status_ocsp_resp(w->p.ssl, &response), 0);
	world_free(w);
}
END_TEST

/* ------------------------------------------------------------------- outgoing
 */

/* A peer that takes TLS connections with a certificate of ours. */
struct server {
	int fd;
	struct addr addr;
	char text[ADDR_TEXT_SIZE];
	SSL_CTX *ctx;
};

static int any_certificate(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static void server_begin(struct server *s, struct rig *r, const char *crt,
	const char *key, bool ask)
{
	struct sockaddr_storage sa;
	socklen_t len;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(addr_parse("127.0.0.9", &s->addr), 0);
	len = addr_to_sockaddr(&s->addr, &sa);
	ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(s->fd, 8), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, &s->addr), 0);
	addr_format(&s->addr, s->text);
	s->ctx = SSL_CTX_new(TLS_server_method());
	ck_assert_int_eq(
		SSL_CTX_use_certificate_chain_file(s->ctx, rig_path(r, crt)),
		1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(
				 s->ctx, rig_path(r, key), SSL_FILETYPE_PEM),
		1);
	if (ask)
		SSL_CTX_set_verify(s->ctx,
			SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			any_certificate);
}

struct accepting {
	struct server *s;
	struct rig_peer *p;
	size_t n_opened, n_closed;
};

/* Accepts and shakes hands until flowd has told sbc how it went. */
static bool served(struct rig *r, void *arg)
{
	struct accepting *a = arg;
	struct rig_peer *p = a->p;

	if (p->fd < 0) {
		p->fd = accept4(
			a->s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (p->fd >= 0) {
			p->ssl = SSL_new(a->s->ctx);
			SSL_set_fd(p->ssl, p->fd);
			SSL_set_accept_state(p->ssl);
		}
	} else {
		ERR_clear_error();
		p->handshake = SSL_do_handshake(p->ssl) == 1 || p->handshake;
	}
	return r->n_opened > a->n_opened || r->n_closed > a->n_closed;
}

/* @return REASON_FLOW_OPENED, or why flowd gave up. */
static enum reason dial(struct world *w, struct server *s, Gh__FlowConnect *c)
{
	struct accepting a = {s, &w->p, w->r.n_opened, w->r.n_closed};

	rig_peer_end(&w->p);
	memset(&w->p, 0, sizeof(w->p));
	w->p.rig = &w->r;
	w->p.fd = -1;
	c->request++;
	c->realm = 1;
	c->local = w->r.listen_text[0];
	c->transport = TLS;
	c->remote = s->text;
	IPC_MSG(msg, FLOW_CONNECT, flow_connect, c);
	rig_send(&w->r, &msg);
	rig_until(&w->r, served, &a);
	if (w->r.n_closed > a.n_closed) {
		ck_assert_uint_eq(w->r.closed[a.n_closed].request, c->request);
		return w->r.closed[a.n_closed].why;
	}
	ck_assert_uint_eq(w->r.opened[a.n_opened].request, c->request);
	return REASON_FLOW_OPENED;
}

START_TEST(test_outgoing)
{
	struct world *w = world_main();
	Gh__FlowConnect c = GH__FLOW_CONNECT__INIT;
	char problem[PKI_PROBLEM_SIZE];
	struct rig_bridge *b;
	struct pki_view view;
	struct server s;

	w->p.fd = -1;
	rig_make_ca(&w->r, "foreign");
	rig_make_cert(&w->r, "itsp", "ca", "itsp.example.net", false, 10);
	rig_sbc_up(&w->r);
	server_begin(&s, &w->r, "tls/itsp.crt", "tls/itsp.key", false);
	/* Name and authority fit. */
	c.tls_name = (char[]){"ITSP.example.net"};
	c.ca = (char[]){"ca"};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_OPENED);
	ck_assert_str_eq(w->r.opened[0].names[1], "sip:itsp.example.net");
	b = rig_bridge(&w->r, w->r.opened[0].local_port);
	rig_bridge_say(&w->r, b,
		"OPTIONS sip:y SIP/2.0\r\nVia: SIP/2.0/TCP "
		"127.0.0.1:1;branch=z9hG4bKu\r\nl: 0\r\n\r\n");
	rig_expect(&w->p, "SIP/2.0/TLS sbc.example.com:5061;branch=z9hG4bKu");
	/* Another name, a part of the name, no name. */
	rig_peer_end(&w->p);
	(void)rig_wait_closed(&w->r, 1);
	c.tls_name = (char[]){"other.example.net"};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_TLS_NAME);
	c.tls_name = (char[]){"example.net"};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_TLS_NAME);
	c.tls_name = (char[]){""};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_CERTIFICATE);
	/* An authority that does not know it, and one that does not exist. */
	c.tls_name = (char[]){"itsp.example.net"};
	c.ca = (char[]){"foreign"};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_TLS_UNTRUSTED);
	c.ca = (char[]){"../ca/ca"};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_CERTIFICATE);
	/* A pinned key needs neither. */
	ck_assert_int_eq(
		pki_view(rig_path(&w->r, "tls/itsp.crt"), &view, problem), 0);
	c.ca = c.tls_name = (char[]){""};
	c.pin = view.pin;
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_OPENED);
	ck_assert_str_eq(w->r.opened[1].key, view.pin);
	rig_peer_end(&w->p);
	(void)rig_wait_closed(&w->r, w->r.n_closed + 1);
	view.pin[5] = view.pin[5] == '0' ? '1' : '0';
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_TLS_UNTRUSTED);
	SSL_CTX_free(s.ctx);
	close(s.fd);
	world_free(w);
}
END_TEST

/* A trunk that wants to know who we are. */
START_TEST(test_outgoing_mutual)
{
	struct world *w = world_main();
	Gh__FlowConnect c = GH__FLOW_CONNECT__INIT;
	struct server s;
	char name[64];

	w->p.fd = -1;
	rig_make_cert(&w->r, "itsp", "ca", "itsp.example.net", false, 10);
	rig_make_cert(&w->r, "wild", "ca", "*.example.net", false, 10);
	rig_sbc_up(&w->r);
	server_begin(&s, &w->r, "tls/itsp.crt", "tls/itsp.key", true);
	c.tls_name = (char[]){"itsp.example.net"};
	c.ca = (char[]){"ca"};
	c.certificate = (char[]){"main"};
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_OPENED);
	while (!w->p.handshake) {
		ERR_clear_error();
		w->p.handshake = SSL_do_handshake(w->p.ssl) == 1;
		rig_for(&w->r, 500);
	}
	X509_NAME_get_text_by_NID(
		X509_get_subject_name(SSL_get0_peer_certificate(w->p.ssl)),
		NID_commonName, name, sizeof(name));
	ck_assert_str_eq(name, "main");
	SSL_CTX_free(s.ctx);
	close(s.fd);
	rig_peer_end(&w->p);
	(void)rig_wait_closed(&w->r, 1);
	/* RFC 5922 7.2: a wildcard proves no SIP domain. */
	server_begin(&s, &w->r, "tls/wild.crt", "tls/wild.key", false);
	ck_assert_int_eq(dial(w, &s, &c), REASON_FLOW_TLS_NAME);
	SSL_CTX_free(s.ctx);
	close(s.fd);
	world_free(w);
}
END_TEST

/* Certificates that are not there: the listener waits for them. */
START_TEST(test_late_certificate)
{
	static const char *const names[] = {"late"};
	struct world *w = world_new(names, 1);
	struct rig_tls tls = {0};

	log_set_level(LOG_LEVEL_ERR);
	rig_sbc_up(&w->r);
	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	rig_make_cert(&w->r, "late", "ca", "sip.example.com", false, 50);
	ck_assert(rig_secure(&w->p, &tls));
	ck_assert_str_eq(shown(w), "late");
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow_tls");

	suite_add(s, "versions", test_versions);
	suite_add(s, "server_names", test_server_names);
	suite_add(s, "chain", test_chain);
	suite_add(s, "reload", test_reload);
	suite_add(s, "client_certificates", test_client_certificates);
	suite_add(s, "pin", test_pin);
	suite_add(s, "broken_handshakes", test_broken_handshakes);
	suite_add(s, "handshake_limit", test_handshake_limit);
	suite_add(s, "renegotiation", test_renegotiation);
	suite_add(s, "stapling", test_stapling);
	suite_add(s, "outgoing", test_outgoing);
	suite_add(s, "outgoing_mutual", test_outgoing_mutual);
	suite_add(s, "late_certificate", test_late_certificate);
	return suite_run(s);
}
