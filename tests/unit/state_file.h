/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded live state: the used beginning of a memory file (common/store.h) as
 * some version wrote it, in tests/vectors/live. Each version must be able to
 * read what the one before it left. With GATEHOUSE_RECORD set to a folder a
 * test writes what it would have to read, for the vectors of a new layout.
 */
#ifndef TESTS_UNIT_STATE_FILE_H
#define TESTS_UNIT_STATE_FILE_H

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/** A memory file of this size with a vector's bytes in it. */
static inline int state_file(const char *vector, off_t size)
{
	const char *top = getenv("srcdir");
	int fd = memfd_create(vector, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[512], bytes[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/vectors/live/%s",
		top ? top : "..", vector);
	f = fopen(path, "rbe");
	ck_assert_msg(f && fd >= 0 && ftruncate(fd, size) == 0, "%s", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	fclose(f);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS,
				 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
		0);
	return fd;
}

/** Writes the first bytes of a file as a vector, where that is wanted. */
static inline void state_record(const char *vector, int fd, size_t len)
{
	const char *folder = getenv("GATEHOUSE_RECORD");
	char path[512], byte[4096];
	ssize_t n;
	FILE *f;

	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, vector);
	f = fopen(path, "wbe");
	ck_assert_msg(f != NULL, "%s", path);
	for (size_t at = 0; at < len; at += (size_t)n) {
		size_t want = len - at < sizeof(byte) ? len - at : sizeof(byte);

		n = pread(fd, byte, want, (off_t)at);
		ck_assert_int_gt(n, 0);
		ck_assert_uint_eq(fwrite(byte, 1, (size_t)n, f), (size_t)n);
	}
	ck_assert_int_eq(fclose(f), 0);
}

#endif
