/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In authd memory is wiped before it is given back: libpq, protobuf-c and libc
 * free buffers that held secrets, and none of them wipes. Defining free() and
 * realloc() in the executable puts them before libc's for every library; the
 * allocator itself stays libc's. Not in sanitizer builds, whose free() is
 * theirs (wipe_none.c).
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void __libc_free(void *p);

/* explicit_bzero() is an own function of libc, which the compiler can not
 * leave out. */
void free(void *p)
{
	int saved = errno;

	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	__libc_free(p);
	errno = saved;
}

/* libc's realloc() would copy and free without us. */
void *realloc(void *p, size_t size)
{
	size_t old;
	void *new;

	if (!p)
		return malloc(size);
	old = malloc_usable_size(p);
	if (size <= old && size >= old / 2 && size > 0)
		return p;
	new = malloc(size > 0 ? size : 1);
	if (!new)
		return NULL;
	memcpy(new, p, old < size ? old : size);
	free(p);
	return new;
}
