/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's heap under the free() that wipes (wiped_heap.c). */
#include "common/heap.h"

/* Its own free(), behind the name that we take; it keeps errno. */
void __libc_free(void *p);

void heap_release(void *p)
{
	__libc_free(p);
}
