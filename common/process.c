/* SPDX-License-Identifier: Apache-2.0 */
/* Names and system users of the processes; see process.h. The user data base
 * is read at start only, before the sandbox. */
#include "common/process.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct process_row {
	const char *name;
	const char *user;
};

static const struct process_row rows[] = {
	[PROCESS_KEEPER] = {"keeper", "root"},
	[PROCESS_AUTHD] = {"authd", "gatehouse-authd"},
	[PROCESS_MEDIAD] = {"mediad", "gatehouse-mediad"},
	[PROCESS_SBC] = {"sbc", "gatehouse-sbc"},
	[PROCESS_FLOWD] = {"flowd", "gatehouse-flowd"},
	[PROCESS_CTL] = {"sbcctl", "root"},
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == PROCESS_COUNT,
	"every process has its row");

const char *process_name(enum process p)
{
	return (unsigned)p < PROCESS_COUNT ? rows[p].name : "unknown";
}

int process_from_name(const char *name, enum process *process_out)
{
	unsigned i;

	for (i = 0; i < PROCESS_COUNT; i++) {
		if (!strcmp(rows[i].name, name)) {
			*process_out = (enum process)i;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

const char *process_user(enum process p)
{
	return (unsigned)p < PROCESS_COUNT ? rows[p].user : "nobody";
}

const char *process_old_suffix(unsigned n)
{
	static const char *const suffixes[PROCESS_OLD_MAX] = {
		"-old", "-old2", "-old3", "-old4"};

	return n >= 1 && n <= PROCESS_OLD_MAX ? suffixes[n - 1] : NULL;
}

int process_old_path(const char *path, unsigned n, char *text, size_t size)
{
	static const char tail[] = ".sock";
	const char *suffix = process_old_suffix(n);
	size_t len = strlen(path);
	int written;

	if (!suffix || len < sizeof(tail) ||
		strcmp(path + len - (sizeof(tail) - 1), tail) != 0)
		return ERR_INVALID;
	written = snprintf(text, size, "%.*s%s%s",
		(int)(len - (sizeof(tail) - 1)), path, suffix, tail);
	return written < 0 || (size_t)written >= size ? ERR_TOO_BIG : 0;
}

static int user_id(const char *name, uid_t *uid_out)
{
	struct passwd pw, *found = NULL;
	size_t size = 16384;
	char *buf = malloc(size);

	if (!buf)
		return ERR_NOMEM;
	if (getpwnam_r(name, &pw, buf, size, &found) == 0 && found)
		*uid_out = pw.pw_uid;
	free(buf);
	return found ? 0 : ERR_NOT_FOUND;
}

int process_users_load(struct process_users *users, const char **missing_out)
{
	struct process_users loaded;
	unsigned i;

	for (i = 0; i < PROCESS_COUNT; i++) {
		if (user_id(rows[i].user, &loaded.uid[i])) {
			*missing_out = rows[i].user;
			return ERR_NOT_FOUND;
		}
	}
	*users = loaded;
	return 0;
}

void process_users_all(struct process_users *users, uid_t uid)
{
	unsigned i;

	for (i = 0; i < PROCESS_COUNT; i++)
		users->uid[i] = uid;
}
