/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authload: how many digest verifications authd makes.
 *
 *	authload judge PHONES SECONDS FOLDER
 *	authload ipc PHONES SECONDS SOCKET PID
 *
 * judge links authd's judge with its accounts, replay and ban tables and times
 * only the judging (authload_judge.c); FOLDER is for the sealed files it loads
 * settings and accounts from. ipc plays sbc on a running authd's socket
 * (authload_ipc.c). Every verdict is checked. Rates are per second of CPU.
 */
/* OpenSSL has a type of this name, err.h a number. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

#include "tests/bench/authload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define URI       "sip:" AUTHLOAD_DOMAIN
#define COUNT_MAX 1000 /* of one nonce */

static void hex_of(const char *text, char hex[33])
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	(void)EVP_Digest(text, strlen(text), hash, &len, EVP_md5(), NULL);
	for (unsigned i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

void authload_phone_init(struct authload_phone *p, size_t number)
{
	static char method[] = "REGISTER", uri[] = URI, md5[] = "MD5",
		    auth[] = "auth", cnonce[] = "0a4f113b",
		    domain[] = AUTHLOAD_DOMAIN;
	char letters[9], text[128];
	size_t rest = number;

	for (int i = 7; i >= 0; i--) {
		letters[i] = (char)('a' + rest % 10);
		rest /= 10;
	}
	letters[8] = '\0';
	memset(p, 0, sizeof(*p));
	snprintf(p->user, sizeof(p->user), "phone.%s", letters);
	snprintf(p->source, sizeof(p->source), "127.%zu.%zu.%zu:5061",
		64 + (number >> 16), number >> 8 & 255, number & 255);
	snprintf(text, sizeof(text), "%s:" AUTHLOAD_DOMAIN ":secret.%s",
		p->user, letters);
	hex_of(text, p->ha1);
	gh__digest_fields__init(&p->digest);
	gh__auth_request__init(&p->request);
	p->digest.username = p->user;
	p->digest.realm = domain;
	p->digest.nonce = p->nonce;
	p->digest.uri = uri;
	p->digest.response = p->response;
	p->digest.algorithm = md5;
	p->digest.cnonce = cnonce;
	p->digest.nc = p->nc;
	p->digest.qop = auth;
	p->request.digest = &p->digest;
	p->request.method = method;
	p->request.request_uri = uri;
	p->request.source = p->source;
	p->request.purpose = GH__AUTH_PURPOSE__AUTH_REGISTER;
}

bool authload_phone_next(
	struct authload_phone *p, const struct nonce_keys *keys, uint32_t realm)
{
	char text[256], ha2[33];
	struct addr source;

	p->request.realm = realm;
	if (p->count == 0 || p->count >= COUNT_MAX) {
		if (addr_parse(p->source, &source) ||
			nonce_make(
				keys, realm, &source, clock_now_us(), p->nonce))
			return false;
		p->count = 0;
	}
	snprintf(p->nc, sizeof(p->nc), "%08x", ++p->count);
	hex_of("REGISTER:" URI, ha2);
	snprintf(text, sizeof(text), "%s:%s:%s:0a4f113b:auth:%s", p->ha1,
		p->nonce, p->nc, ha2);
	hex_of(text, p->response);
	return true;
}

static int usage(void)
{
	fprintf(stderr, "usage: authload judge PHONES SECONDS FOLDER\n"
			"       authload ipc PHONES SECONDS SOCKET PID\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long n, seconds;

	if (argc < 5)
		return usage();
	n = strtoul(argv[2], NULL, 10);
	seconds = strtoul(argv[3], NULL, 10);
	if (n == 0 || n > 50000 || seconds == 0 || seconds > 60)
		return usage();
	if (strcmp(argv[1], "judge") == 0 && argc == 5)
		return authload_judge(n, (unsigned)seconds, argv[4]);
	if (strcmp(argv[1], "ipc") == 0 && argc == 6)
		return authload_ipc(n, (unsigned)seconds, argv[4],
			(pid_t)strtol(argv[5], NULL, 10));
	return usage();
}
