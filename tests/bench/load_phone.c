/* SPDX-License-Identifier: Apache-2.0 */
/* See load_phone.h. */
#include "tests/bench/load_phone.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"

#define MD5_HEX   33
#define NONCE_MAX 200

void phone_letters(size_t number, char letters[9])
{
	for (int i = 7; i >= 0; i--) {
		letters[i] = (char)('a' + number % 10);
		number /= 10;
	}
	letters[8] = '\0';
}

void phone_call_id(const struct load_phone *f, char *text, size_t size)
{
	snprintf(text, size, "%s-r%zu", load_token(), f->index);
}

static void md5_hex(const char *text, char hex[MD5_HEX])
{
	static EVP_MD_CTX *md5; /* making one costs more than a sum */
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!md5)
		md5 = EVP_MD_CTX_new();
	if (!md5)
		abort();
	(void)EVP_DigestInit_ex(md5, EVP_md5(), NULL);
	(void)EVP_DigestUpdate(md5, text, strlen(text));
	(void)EVP_DigestFinal_ex(md5, hash, &len);
	for (unsigned i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

static void contact(const struct load_phone *f, char *text, size_t size)
{
	char host[INET_ADDRSTRLEN], letters[9];

	inet_ntop(AF_INET, &f->host, host, sizeof(host));
	phone_letters(f->number, letters);
	snprintf(text, size, "sip:phone.%s@%s:%u%s", letters, host, f->port,
		f->tls ? ";transport=tls" : "");
}

void phone_register(
	const struct load_phone *f, unsigned cseq, struct sip_out *out)
{
	char host[INET_ADDRSTRLEN], own[96], call_id[64], letters[9];

	inet_ntop(AF_INET, &f->host, host, sizeof(host));
	contact(f, own, sizeof(own));
	phone_call_id(f, call_id, sizeof(call_id));
	phone_letters(f->number, letters);
	sip_add(out,
		"REGISTER sip:%s SIP/2.0\r\n"
		"Via: SIP/2.0/%s %s:%u;branch=z9hG4bK-%s-%u;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: <sip:phone.%s@%s>;tag=%zu\r\n"
		"To: <sip:phone.%s@%s>\r\n"
		"Call-ID: %s\r\nCSeq: %u REGISTER\r\n"
		"Contact: <%s>\r\nExpires: 3600\r\n"
		"User-Agent: load\r\n",
		f->server, f->tls ? "TLS" : "UDP", host, f->port, call_id, cseq,
		letters, f->server, f->index, letters, f->server, call_id, cseq,
		own);
}

bool phone_claim(const struct load_phone *f, unsigned cseq,
	struct sip_text challenge, struct sip_out *out)
{
	struct sip_text nonce = sip_parameter(challenge, " nonce=");
	struct sip_text realm = sip_parameter(challenge, "realm=");
	struct sip_text opaque = sip_parameter(challenge, "opaque=");
	char letters[9], text[512], ha1[MD5_HEX], ha2[MD5_HEX], hex[MD5_HEX];

	if (nonce.len == 0)
		nonce = sip_parameter(challenge, ",nonce=");
	if (nonce.len == 0 || nonce.len > NONCE_MAX ||
		!sip_is(realm, f->domain))
		return false;
	phone_letters(f->number, letters);
	snprintf(text, sizeof(text), "phone.%s:%s:secret.%s", letters,
		f->domain, letters);
	md5_hex(text, ha1);
	snprintf(text, sizeof(text), "REGISTER:sip:%s", f->server);
	md5_hex(text, ha2);
	snprintf(text, sizeof(text), "%s:%.*s:00000001:%08zx:auth:%s", ha1,
		(int)nonce.len, nonce.at, f->index, ha2);
	md5_hex(text, hex);
	phone_register(f, cseq, out);
	sip_add(out,
		"Authorization: Digest username=\"phone.%s\", realm=\"%s\", "
		"nonce=\"%.*s\", uri=\"sip:%s\", response=\"%s\", "
		"algorithm=MD5, cnonce=\"%08zx\", qop=auth, nc=00000001",
		letters, f->domain, (int)nonce.len, nonce.at, f->server, hex,
		f->index);
	if (opaque.len)
		sip_add(out, ", opaque=\"%.*s\"", (int)opaque.len, opaque.at);
	sip_add(out, "\r\n");
	return true;
}

bool phone_is_registered(const struct load_phone *f, const struct sip_msg *m)
{
	char own[96];

	contact(f, own, sizeof(own));
	return m->status == 200 && m->contact.len &&
	       memmem(m->contact.at, m->contact.len, own, strlen(own));
}
