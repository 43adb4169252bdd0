/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key file: 8 bytes of magic, the master key, the RSA key as DER, and a
 * SHA-256 over all before it, so that a damaged file is told from a foreign
 * one. Does not know what the keys are used for. Called once by main.
 */
#include "authd/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAGIC_LEN = 8,
	DIGEST_LEN = 32,
	FILE_MAX = 8192,
	RSA_BITS = 3072,
};

static const char magic[MAGIC_LEN + 1] = "GHAUTHK1";

static int parse(const uint8_t *file, size_t len, struct key *key_out)
{
	const uint8_t *der = file + MAGIC_LEN + KEY_SIZE;
	uint8_t sum[DIGEST_LEN];
	struct key key = {0};
	size_t der_len;

	if (len < MAGIC_LEN + KEY_SIZE + DIGEST_LEN ||
		memcmp(file, magic, MAGIC_LEN) != 0)
		return ERR_CORRUPT;
	der_len = len - MAGIC_LEN - KEY_SIZE - DIGEST_LEN;
	if (EVP_Digest(file, len - DIGEST_LEN, sum, NULL, EVP_sha256(), NULL) !=
		1)
		return ERR_SYSTEM;
	if (memcmp(sum, file + len - DIGEST_LEN, DIGEST_LEN) != 0)
		return ERR_CORRUPT;
	key.rsa = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &der, (long)der_len);
	if (!key.rsa)
		return ERR_CORRUPT;
	if (secret_set(&key.master, file + MAGIC_LEN, KEY_SIZE) < 0) {
		key_done(&key);
		return ERR_NOMEM;
	}
	*key_out = key;
	return 0;
}

/* Makes the file's bytes. @return their number, or ERR_SYSTEM. */
static int generate(uint8_t file[FILE_MAX])
{
	uint8_t *at = file + MAGIC_LEN + KEY_SIZE;
	EVP_PKEY *rsa = EVP_RSA_gen(RSA_BITS);
	int der_len;

	if (!rsa)
		return ERR_SYSTEM;
	memcpy(file, magic, MAGIC_LEN);
	secret_random_bytes(file + MAGIC_LEN, KEY_SIZE);
	der_len = i2d_PrivateKey(rsa, NULL);
	if (der_len <= 0 ||
		MAGIC_LEN + KEY_SIZE + der_len + DIGEST_LEN > FILE_MAX ||
		i2d_PrivateKey(rsa, &at) != der_len) {
		EVP_PKEY_free(rsa);
		return ERR_SYSTEM;
	}
	EVP_PKEY_free(rsa);
	if (EVP_Digest(file, (size_t)(at - file), at, NULL, EVP_sha256(),
		    NULL) != 1)
		return ERR_SYSTEM;
	return (int)(at - file) + DIGEST_LEN;
}

/* Written aside and linked into place, so that a kill leaves no half file. */
static int make_file(const char *path, char *problem)
{
	uint8_t file[FILE_MAX];
	char aside[4096];
	int fd = -1, len, err = ERR_SYSTEM;

	len = generate(file);
	if (len < 0) {
		snprintf(problem, KEY_PROBLEM_SIZE,
			"%s: a key could not be made", path);
		return len;
	}
	if (snprintf(aside, sizeof(aside), "%s.new", path) >=
		(int)sizeof(aside)) {
		snprintf(problem, KEY_PROBLEM_SIZE, "key_file: path too long");
		err = ERR_TOO_BIG;
		goto out;
	}
	unlink(aside);
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		0600);
	if (fd < 0 || write(fd, file, (size_t)len) != len || fsync(fd) < 0 ||
		rename(aside, path) < 0) {
		snprintf(problem, KEY_PROBLEM_SIZE,
			"%s: the key file can not be written: %s", path,
			strerror(errno));
		goto out;
	}
	err = 0;
out:
	if (fd >= 0)
		close(fd);
	secret_wipe(file, sizeof(file));
	return err;
}

static int read_file(const char *path, struct key *key_out, char *problem)
{
	uint8_t file[FILE_MAX];
	struct stat st;
	ssize_t len;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		if (errno == ENOENT)
			return ERR_NOT_FOUND;
		snprintf(problem, KEY_PROBLEM_SIZE,
			"%s: the key file can not be read: %s", path,
			strerror(errno));
		return ERR_SYSTEM;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		(st.st_mode & 077) != 0) {
		snprintf(problem, KEY_PROBLEM_SIZE,
			"%s: others may read the key file; chmod 600 it", path);
		close(fd);
		return ERR_REFUSED;
	}
	len = read(fd, file, sizeof(file));
	close(fd);
	if (len < 0) {
		snprintf(problem, KEY_PROBLEM_SIZE,
			"%s: the key file can not be read: %s", path,
			strerror(errno));
		return ERR_SYSTEM;
	}
	err = parse(file, (size_t)len, key_out);
	secret_wipe(file, sizeof(file));
	if (err < 0)
		snprintf(problem, KEY_PROBLEM_SIZE,
			"%s: this is no intact key file of authd; restore it, "
			"or move it away (trunk passwords must then be set "
			"again)",
			path);
	return err;
}

int key_load(const char *path, struct key *key_out, char *problem)
{
	int err = read_file(path, key_out, problem);

	if (err != ERR_NOT_FOUND)
		return err;
	err = make_file(path, problem);
	if (err < 0)
		return err;
	return read_file(path, key_out, problem);
}

void key_done(struct key *key)
{
	secret_done(&key->master);
	EVP_PKEY_free(key->rsa);
	key->rsa = NULL;
}

int key_derive(const struct key *key, const char *purpose, const void *salt,
	size_t salt_len, uint8_t out[KEY_SIZE])
{
	uint8_t input[256];
	size_t len = strlen(purpose) + 1;
	unsigned out_len = KEY_SIZE;

	if (len + salt_len > sizeof(input))
		return ERR_SYSTEM;
	memcpy(input, purpose, len);
	memcpy(input + len, salt, salt_len);
	if (!HMAC(EVP_sha256(), key->master.bytes, (int)key->master.len, input,
		    len + salt_len, out, &out_len))
		return ERR_SYSTEM;
	return 0;
}
