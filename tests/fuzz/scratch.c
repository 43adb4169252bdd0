/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static char dir[64];

static void remove_dir(void)
{
	scratch_clear();
	(void)rmdir(dir);
}

const char *scratch_dir(void)
{
	if (dir[0])
		return dir;
	(void)snprintf(dir, sizeof(dir), "/dev/shm/gh-fuzz-XXXXXX");
	if (!mkdtemp(dir)) {
		(void)snprintf(dir, sizeof(dir), "/tmp/gh-fuzz-XXXXXX");
		FUZZ_CHECK(mkdtemp(dir) != NULL);
	}
	FUZZ_CHECK(atexit(remove_dir) == 0);
	return dir;
}

void scratch_clear(void)
{
	DIR *d = opendir(scratch_dir());
	struct dirent *e;

	FUZZ_CHECK(d != NULL);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			FUZZ_CHECK(unlinkat(dirfd(d), e->d_name, 0) == 0);
	closedir(d);
}

void scratch_write(const char *name, const void *bytes, size_t len)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}
