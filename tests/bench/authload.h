/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phones that answer challenges, as sbc would pass them on: the requests that
 * authload puts to authd's judge and to authd's socket.
 */
#ifndef TESTS_BENCH_AUTHLOAD_H
#define TESTS_BENCH_AUTHLOAD_H

#include <sys/types.h>

#include "common/addr.h"
#include "common/ipc.pb-c.h"
#include "common/nonce.h"

#define AUTHLOAD_DOMAIN "load.example.net"

/** One phone and its last request. */
struct authload_phone {
	char user[32], source[96], nonce[NONCE_TEXT_SIZE], response[33], nc[9];
	char ha1[33];
	uint32_t count; /* of this nonce */
	Gh__AuthRequest request;
	Gh__DigestFields digest;
};

/** Phone of a number: name, address, hash of its password. */
void authload_phone_init(struct authload_phone *p, size_t number);
/** Its next request, with a response that is right. @return whether it could.
 */
bool authload_phone_next(struct authload_phone *p,
	const struct nonce_keys *keys, uint32_t realm);

/** Judges with authd's own objects, without a socket. @return exit status. */
int authload_judge(size_t n_phones, unsigned seconds, const char *folder);
/** The same questions over authd's socket. */
int authload_ipc(
	size_t n_phones, unsigned seconds, const char *path, pid_t authd);

#endif
