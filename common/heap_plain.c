/* SPDX-License-Identifier: Apache-2.0 */
/* One heap for everything (heap.h): sanitizers and the C library's allocator
 * know no other. */
#include "common/heap.h"

#include <stdlib.h>

void *heap_lasting(size_t size)
{
	return calloc(1, size);
}

void heap_decay(void)
{
}
