/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret bytes: random, copied, compared in constant time, wiped (secret.h).
 * Memory is locked as far as the limit allows and never unlocked: the page may
 * hold another secret, and the limit bounds what that costs. That no core is
 * written is the sandbox's part (sandbox.h).
 */
#include "common/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/* More than this is no secret of ours but a mistake. */
#define SECRET_MAX (64u * 1024u)

static int allocate(struct secret *s, size_t len)
{
	uint8_t *bytes;

	if (len > SECRET_MAX)
		return ERR_NOMEM;
	bytes = calloc(1, len ? len : 1);
	if (!bytes)
		return ERR_NOMEM;
	(void)mlock(bytes, len ? len : 1);
	s->bytes = bytes;
	s->len = len;
	return 0;
}

int secret_set(struct secret *s, const void *bytes, size_t len)
{
	struct secret fresh;

	if (allocate(&fresh, len))
		return ERR_NOMEM;
	if (len)
		memcpy(fresh.bytes, bytes, len);
	secret_done(s);
	*s = fresh;
	return 0;
}

int secret_random(struct secret *s, size_t len)
{
	struct secret fresh;

	if (allocate(&fresh, len))
		return ERR_NOMEM;
	secret_random_bytes(fresh.bytes, len);
	secret_done(s);
	*s = fresh;
	return 0;
}

void secret_done(struct secret *s)
{
	if (s->bytes)
		secret_wipe(s->bytes, s->len);
	free(s->bytes);
	s->bytes = NULL;
	s->len = 0;
}

void secret_wipe(void *bytes, size_t len)
{
	if (len)
		explicit_bzero(bytes, len);
}

#define STACK_WIPED 32768

__attribute__((noinline)) void secret_wipe_stack(void)
{
	uint8_t left[STACK_WIPED];

	explicit_bzero(left, sizeof(left));
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;
	size_t i;

	for (i = 0; i < len; i++)
		diff = (uint8_t)(diff | (x[i] ^ y[i]));
	return diff == 0;
}

static void from_kernel(void *bytes, size_t len)
{
	uint8_t *p = bytes;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		/* Going on with guessable keys would be worse than dying. */
		if (n <= 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}

/* Ports, SSRCs, tags and call ids come out of a block: a system call for each
 * of a call's twenty was more than the work with them. What has been given out
 * is wiped. Keys are larger than SMALL and never wait here. */
#define SMALL      15u
#define BLOCK_SIZE 256u

static _Thread_local struct {
	uint8_t bytes[BLOCK_SIZE];
	size_t left; /* the last ones are used first */
} block;

/* Parent and child must not give out the same bytes. */
static void after_fork(void)
{
	block.left = 0;
}

static void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, after_fork);
}

void secret_random_bytes(void *bytes, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint8_t *from;

	if (len > SMALL) {
		from_kernel(bytes, len);
		return;
	}
	if (block.left < len) {
		(void)pthread_once(&once, watch_forks);
		from_kernel(block.bytes, sizeof(block.bytes));
		block.left = sizeof(block.bytes);
	}
	block.left -= len;
	from = block.bytes + block.left;
	memcpy(bytes, from, len);
	secret_wipe(from, len);
}
