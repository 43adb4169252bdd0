/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes files to the disk without blocking the loop: the kernel does it on
 * its own threads (IOCB_CMD_FDSYNC, Linux 4.18) and an eventfd says when. Where
 * the kernel offers none, the flush blocks; the callback comes from the loop
 * all the same.
 */
#ifndef AUTHD_SYNC_H
#define AUTHD_SYNC_H

#include "common/err.h"
#include "common/loop.h"

#define SYNC_MAX 16 /* under way at once */

struct sync;

/** @param err	0, or ERR_SYSTEM: the disk failed. */
typedef void (*sync_fn)(void *ctx, int err);

GH_MUST_CHECK int sync_new(struct loop *loop, struct sync **sync_out);
/** Callbacks that have not run never will. Safe on NULL. */
void sync_free(struct sync **sync);
/** Flushes fd, which must stay open until fn runs.
 * @return 0, or ERR_FULL; fn runs later, once. */
GH_MUST_CHECK int sync_file(struct sync *s, int fd, sync_fn fn, void *ctx);

#endif
