/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int folder_make(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	/* By name: only root can change the folders above it. And without
	 * opening it: as a service keeper may not look into authd's. */
	if ((mkdir(path, 0700) && errno != EEXIST) || lstat(path, &st))
		return ERR_SYSTEM;
	if (!S_ISDIR(st.st_mode) ||
		(st.st_uid != geteuid() && st.st_uid != uid)) {
		errno = EPERM;
		return ERR_SYSTEM;
	}
	if (st.st_uid == uid && st.st_gid == gid &&
		(st.st_mode & 07777) == mode)
		return 0;
	/* chown first: it clears bits of the mode. */
	return lchown(path, uid, gid) || chmod(path, mode) ? ERR_SYSTEM : 0;
}

int folder_lock(const char *path)
{
	char file[PATH_MAX];
	int fd;

	snprintf(file, sizeof(file), "%s/lock", path);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return ERR_SYSTEM;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return errno == EWOULDBLOCK ? ERR_EXISTS : ERR_SYSTEM;
	}
	return 0; /* open until the process ends: that is the lock */
}
