/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A range of a file, whole or not at all: the kernel may do it in pieces. For
 * the files of authd's own (spool.c, vault.c); both block as long as the disk
 * does.
 */
#ifndef AUTHD_FILE_H
#define AUTHD_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/**
 * Reads len bytes at an offset.
 * @return 0, ERR_TRUNCATED when the file ends before, or ERR_SYSTEM (errno).
 */
GH_MUST_CHECK int file_read_at(
	int fd, void *bytes, size_t len, uint64_t offset);

/**
 * Writes len bytes at an offset. After a failure a part may be written.
 * @return 0 or ERR_SYSTEM (errno).
 */
GH_MUST_CHECK int file_write_at(
	int fd, const void *bytes, size_t len, uint64_t offset);

#endif
