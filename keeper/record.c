/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

int record_start_ticks(pid_t pid, uint64_t *ticks_out)
{
	char path[64], text[1024];
	const char *p;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ERR_NOT_FOUND;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return ERR_NOT_FOUND;
	text[len] = '\0';
	/* The name in field 2 may hold anything, also blanks and brackets. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, "%" SCNu64, ticks_out) != 1)
		return ERR_NOT_FOUND;
	return 0;
}

int record_write(
	const char *folder, const struct record *records, size_t n_records)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	FILE *f;
	bool bad;

	snprintf(path, sizeof(path), "%s/" RECORD_FILE, folder);
	snprintf(fresh, sizeof(fresh), "%s/" RECORD_FILE ".new", folder);
	f = fopen(fresh, "we");
	if (!f)
		return ERR_SYSTEM;
	for (size_t i = 0; i < n_records; i++)
		fprintf(f, "%s %d %" PRIu64 "\n",
			process_name(records[i].process), (int)records[i].pid,
			records[i].start_ticks);
	bad = ferror(f);
	if (fclose(f) || bad || rename(fresh, path))
		return ERR_SYSTEM;
	return 0;
}

static int records_parse(
	FILE *f, struct record records[PROCESS_COUNT], size_t *n_out)
{
	char line[80];
	size_t n = 0;

	while (fgets(line, sizeof(line), f)) {
		char name[16];
		struct record r;
		int end = 0;

		if (n >= PROCESS_COUNT ||
			sscanf(line, "%15s %d %" SCNu64 "%n", name, &r.pid,
				&r.start_ticks, &end) != 3 ||
			strcmp(line + end, "\n") || r.pid <= 1 ||
			process_from_name(name, &r.process))
			return ERR_INVALID;
		records[n++] = r;
	}
	*n_out = n;
	return 0;
}

int record_read(
	const char *folder, struct record records[PROCESS_COUNT], size_t *n_out)
{
	char path[PATH_MAX];
	FILE *f;
	int rc;

	snprintf(path, sizeof(path), "%s/" RECORD_FILE, folder);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID;
	rc = records_parse(f, records, n_out);
	fclose(f);
	return rc;
}

bool record_same_exe(pid_t pid, const char *exe)
{
	char link[64], real[PATH_MAX], now[PATH_MAX];
	static const char gone[] = " (deleted)";
	struct stat a, b;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	if (stat(link, &a) == 0 && stat(exe, &b) == 0 && a.st_dev == b.st_dev &&
		a.st_ino == b.st_ino)
		return true;
	len = readlink(link, now, sizeof(now) - 1);
	if (len < 0 || !realpath(exe, real))
		return false;
	now[len] = '\0';
	len -= (ssize_t)sizeof(gone) - 1;
	if (len > 0 && !strcmp(now + len, gone))
		now[len] = '\0';
	return !strcmp(now, real);
}

int record_open_exe(pid_t pid)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	return open(link, O_PATH | O_CLOEXEC);
}

int record_open(const struct record *r, int *pidfd_out)
{
	uint64_t ticks;
	int fd = pidfd_open(r->pid, 0);

	/* Order matters: the descriptor first, then the look. If the pid was
	 * given to another process before, the start time is another. */
	if (fd < 0)
		return ERR_NOT_FOUND;
	if (record_start_ticks(r->pid, &ticks) || ticks != r->start_ticks) {
		close(fd);
		return ERR_NOT_FOUND;
	}
	*pidfd_out = fd;
	return 0;
}
