/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sealed file that somebody changed: the input says where and how (two bytes
 * of place, one of change), with a cut at the end by its first byte. What can
 * still be read is one of the texts that were sealed under that name, or
 * nothing. Where the first byte is 255, the rest is the file itself.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authd/vault.h"
#include "common/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch.h"

static void no_line(const char *line, size_t len, void *arg)
{
	(void)line;
	(void)len;
	(void)arg;
}

enum { N_NAMES = 3, N_ROUNDS = 3, FILE_MAX = 65536 };

static struct key key;
static uint8_t sealed[4096];
static size_t sealed_len;

/* Text of a name in a round: its length differs. */
static size_t text_of(int name, int round, char text[64])
{
	return (size_t)snprintf(text, 64, "%.*s name %d round %d", 7 * round,
		"####################", name, round);
}

static struct vault *open_vault(void)
{
	struct vault *v = NULL;

	FUZZ_CHECK(vault_open(&key, scratch_dir(), "v", 16, &v) == 0);
	return v;
}

static void seal(void)
{
	uint8_t master[KEY_SIZE] = {1, 2, 3};
	char path[256], name[16], text[64];
	struct vault *v;
	int fd;

	log_open("fuzz", LOG_LEVEL_ERR);
	log_set_sink(no_line, NULL);
	FUZZ_CHECK(secret_set(&key.master, master, sizeof(master)) == 0);
	v = open_vault();
	for (int round = 0; round < N_ROUNDS; round++) {
		for (int i = 0; i < N_NAMES; i++) {
			size_t n = text_of(i, round, text);

			(void)snprintf(name, sizeof(name), "n%d", i);
			FUZZ_CHECK(vault_put(v, name, text, n) == 0);
		}
	}
	FUZZ_CHECK(vault_remove(v, "n2") == 0);
	vault_free(&v);
	(void)snprintf(path, sizeof(path), "%s/v.sealed", scratch_dir());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0);
	sealed_len = (size_t)read(fd, sealed, sizeof(sealed));
	FUZZ_CHECK(sealed_len > 100 && sealed_len < sizeof(sealed));
	close(fd);
}

static void write_changed(const uint8_t *bytes, size_t len)
{
	uint8_t file[sizeof(sealed)];
	size_t n = sealed_len;

	memcpy(file, sealed, sealed_len);
	if (bytes[0])
		n = sealed_len * bytes[0] / 255;
	for (size_t i = 1; i + 2 < len; i += 3)
		file[(bytes[i] << 8 | bytes[i + 1]) % sealed_len] ^=
			bytes[i + 2];
	scratch_write("v.sealed", file, n);
}

static void check_read(struct vault *v, int i)
{
	char name[16], text[64];
	uint8_t *bytes = NULL;
	bool known = false;
	size_t len = 0;

	(void)snprintf(name, sizeof(name), "n%d", i);
	if (vault_get(v, name, &bytes, &len) != 0)
		return;
	for (int round = 0; round < N_ROUNDS; round++)
		if (text_of(i, round, text) == len &&
			memcmp(text, bytes, len) == 0)
			known = true;
	FUZZ_CHECK(known);
	vault_bytes_free(&bytes, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct vault *v;

	if (!sealed_len)
		seal();
	if (len < 1 || len > FILE_MAX)
		return 0;
	scratch_clear();
	if (bytes[0] == 255)
		scratch_write("v.sealed", bytes + 1, len - 1);
	else
		write_changed(bytes, len);
	v = open_vault();
	for (int i = 0; i < N_NAMES; i++)
		check_read(v, i);
	/* It works from here on, whatever was there. */
	FUZZ_CHECK(vault_put(v, "new", "text", 4) == 0);
	vault_free(&v);
	v = open_vault();
	FUZZ_CHECK(vault_count(v) >= 1);
	vault_free(&v);
	return 0;
}
