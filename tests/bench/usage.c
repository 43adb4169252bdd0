/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads schedstat and smaps_rollup of other processes. A process that is gone
 * counts as nothing; whoever asks notices by other means.
 */
#include "tests/bench/usage.h"

#include <dirent.h>
#include <stdio.h>

static uint64_t run_ns(pid_t pid)
{
	char path[64];
	uint64_t sum = 0;
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return 0;
	while ((entry = readdir(tasks))) {
		char file[400];
		unsigned long long ns;
		FILE *f;

		snprintf(file, sizeof(file), "%s/%s/schedstat", path,
			entry->d_name);
		f = entry->d_name[0] == '.' ? NULL : fopen(file, "re");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	closedir(tasks);
	return sum;
}

static uint64_t pss(pid_t pid)
{
	char path[64], line[256];
	unsigned long long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %llu kB", &kb) == 1)
			break;
	fclose(f);
	return kb * 1024;
}

uint64_t usage_run_ns(const pid_t *pids, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += run_ns(pids[i]);
	return sum;
}

uint64_t usage_pss(const pid_t *pids, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pss(pids[i]);
	return sum;
}
