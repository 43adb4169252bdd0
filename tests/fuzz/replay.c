// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a harness on every file of the directories named (default: the seeds
 * that the program was built for) and on a fixed number of changed copies of
 * each: bits, bytes, pieces cut out, doubled or moved, other seeds' pieces put
 * in. The changes are the same on every run.
 */
#include <dirent.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define SIZE_MAX_ONE 65536
#define SEEDS_MAX    512

struct seed {
	uint8_t *bytes;
	size_t len;
};

static struct seed seeds[SEEDS_MAX];
static size_t n_seeds;
static uint32_t random_state = 1;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return n ? random_state % n : 0;
}

static void load_file(const char *path)
{
	static uint8_t bytes[SIZE_MAX_ONE];
	FILE *file = fopen(path, "rb");
	struct seed *seed = &seeds[n_seeds];

	if (!file || n_seeds == SEEDS_MAX) {
		fprintf(stderr, "cannot use %s\n", path);
		exit(EXIT_FAILURE);
	}
	seed->len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	seed->bytes = malloc(seed->len + 1);
	if (!seed->bytes)
		exit(EXIT_FAILURE);
	memcpy(seed->bytes, bytes, seed->len);
	n_seeds++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_dir(const char *path)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, NULL, by_name);
	char name[1024];

	if (n < 0) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(EXIT_FAILURE);
	}
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path,
				entries[i]->d_name);
			load_file(name);
		}
		free(entries[i]);
	}
	free(entries);
}

/** The input in memory of just its size, so that the sanitizer sees one byte
 * too far. */
static void run(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		exit(EXIT_FAILURE);
	memcpy(copy, bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static size_t insert(uint8_t *bytes, size_t len, size_t at,
	const uint8_t *piece, size_t piece_len)
{
	if (len + piece_len > SIZE_MAX_ONE)
		return len;
	memmove(bytes + at + piece_len, bytes + at, len - at);
	memcpy(bytes + at, piece, piece_len);
	return len + piece_len;
}

static size_t change(uint8_t *bytes, size_t len)
{
	static const char odd[] = "\r\n\0 \t:;,=<>\"\\%@/-{}0a\xff";
	const struct seed *other = &seeds[below((uint32_t)n_seeds)];
	size_t at = below((uint32_t)len + 1), n = below(40);
	uint8_t piece[64];

	if (n > len - at)
		n = len - at;
	switch (below(6)) {
	case 0: /* a bit */
		if (at < len)
			bytes[at] ^= (uint8_t)(1u << below(8));
		return len;
	case 1: /* a byte that readers stumble over */
		if (at < len)
			bytes[at] = (uint8_t)odd[below(sizeof(odd) - 1)];
		return len;
	case 2: /* cut out */
		memmove(bytes + at, bytes + at + n, len - at - n);
		return len - n;
	case 3: /* double */
		memcpy(piece, bytes + at, n);
		return insert(bytes, len, at, piece, n);
	case 4: /* a piece of another seed */
		n = below(60);
		if (!other->len)
			return len;
		{
			size_t from = below((uint32_t)other->len);

			if (n > other->len - from)
				n = other->len - from;
			memcpy(piece, other->bytes + from, n);
		}
		return insert(bytes, len, at, piece, n);
	default: /* a long run */
		memset(piece, odd[below(sizeof(odd) - 1)], sizeof(piece));
		return insert(bytes, len, at, piece, sizeof(piece));
	}
}

int main(int argc, char **argv)
{
	static uint8_t bytes[SIZE_MAX_ONE];
	const char *top = getenv("srcdir");
	const char *rounds_text = getenv("FUZZ_ROUNDS");
	unsigned rounds = 1000;
	char path[512];

	if (rounds_text)
		rounds = (unsigned)strtoul(rounds_text, NULL, 10);
	for (int i = 1; i < argc; i++)
		load_dir(argv[i]);
	if (argc == 1) {
		snprintf(path, sizeof(path), "%s/" FUZZ_SEEDS, top ? top : ".");
		load_dir(path);
	}
	if (!n_seeds) {
		fprintf(stderr, "no seeds\n");
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < n_seeds; i++)
		run(seeds[i].bytes, seeds[i].len);
	for (size_t i = 0; i < n_seeds; i++)
		for (unsigned k = 0; k < rounds; k++) {
			size_t len = seeds[i].len;
			unsigned n = 1 + below(5);

			memcpy(bytes, seeds[i].bytes, len);
			while (n--)
				len = change(bytes, len);
			run(bytes, len);
		}
	printf("%zu seeds, %zu runs\n", n_seeds, n_seeds * (rounds + 1));
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].bytes);
	return EXIT_SUCCESS;
}
