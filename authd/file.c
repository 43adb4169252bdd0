/* SPDX-License-Identifier: Apache-2.0 */
/* See file.h. */
#include "authd/file.h"

#include <errno.h>
#include <unistd.h>

int file_read_at(int fd, void *bytes, size_t len, uint64_t offset)
{
	uint8_t *at = bytes;

	while (len > 0) {
		ssize_t n = pread(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYSTEM;
		if (n == 0)
			return ERR_TRUNCATED;
		at += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

int file_write_at(int fd, const void *bytes, size_t len, uint64_t offset)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_SYSTEM;
		at += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}
