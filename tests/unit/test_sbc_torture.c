/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message of tests/vectors/sip and thousands of changed copies, sent
 * through a socket into the live stack from a stranger, a trunk and a
 * registered phone. sbc must live, must not grow, and must still answer. The
 * changes are the same on every run (FUZZ_ROUNDS makes more of them).
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/loop_sofia.h"
#include "tests/unit/sbc_world.h"

#define SEEDS_MAX 256
#define SIZE      16384
#define ROUNDS    20

static struct {
	char *bytes;
	size_t len;
} seeds[SEEDS_MAX];
static size_t n_seeds;
static uint32_t state = 7;

static uint32_t below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return n ? state % n : 0;
}

static void load(const char *path)
{
	static char bytes[SIZE];
	FILE *f = fopen(path, "rb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_lt(n_seeds, SEEDS_MAX);
	seeds[n_seeds].len = fread(bytes, 1, sizeof(bytes), f);
	seeds[n_seeds].bytes = malloc(seeds[n_seeds].len + 1);
	ck_assert_ptr_nonnull(seeds[n_seeds].bytes);
	memcpy(seeds[n_seeds].bytes, bytes, seeds[n_seeds].len);
	n_seeds++;
	fclose(f);
}

static void load_all(void)
{
	const char *top = getenv("srcdir");
	char path[512];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tests/vectors/sip", top ? top : "..");
	dir = opendir(path);
	if (!dir) {
		snprintf(path, sizeof(path), "tests/vectors/sip");
		dir = opendir(path);
	}
	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		char file[800];

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		load(file);
	}
	closedir(dir);
	ck_assert_uint_gt(n_seeds, 20);
}

/* One change: a byte, a run, a piece cut out or put in from another. */
static size_t change(char *bytes, size_t len)
{
	static const char odd[] = "\r\n\t :;,<>@=\"%\\/?*\0\177\377z9SIP2.0";
	size_t at = below((uint32_t)len + 1);
	size_t n = 1 + below(40);
	size_t k;

	if (at + n > len)
		n = len - at;
	switch (below(4)) {
	case 0:
		if (at < len)
			bytes[at] = odd[below(sizeof(odd) - 1)];
		return len;
	case 1:
		memmove(bytes + at, bytes + at + n, len - at - n);
		return len - n;
	case 2:
		k = below((uint32_t)n_seeds);
		n = 1 + below(200);
		if (n > seeds[k].len || len + n > SIZE)
			return len;
		memmove(bytes + at + n, bytes + at, len - at);
		memcpy(bytes + at,
			seeds[k].bytes +
				below((uint32_t)(seeds[k].len - n + 1)),
			n);
		return len + n;
	default:
		if (len + n > SIZE)
			return len;
		memmove(bytes + at + n, bytes + at, len - at);
		memset(bytes + at, odd[below(sizeof(odd) - 1)], n);
		return len + n;
	}
}

static struct world *w;
static struct peer peers[3]; /* stranger, trunk, registered phone */
static char text[WORLD_TEXT_SIZE];

static void send_all(const char *bytes, size_t len)
{
	for (unsigned i = 0; i < 3; i++)
		peer_send_bytes(&peers[i], &w->local, bytes, len);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 0), 0);
}

static void is_alive(void)
{
	for (unsigned i = 0; i < 3; i++)
		while (recv(peers[i].fd, text, sizeof(text), 0) >= 0)
			;
	/* The probe inside is a trunk that is answered. */
	peer_hears_nothing(w, &peers[0], &w->trunks);
}

static void register_phone(void)
{
	char line[1024], extra[2048], own[ADDR_TEXT_SIZE];
	struct peer *p = &peers[2];

	peer_send(p, &w->local, request_text(p, &(struct request){0}, text));
	peer_recv(w, p, text);
	snprintf(extra, sizeof(extra), "%sContact: <sip:100@%s>\r\n",
		authorization(text, "u1", "good", line),
		addr_format(&p->local, own));
	peer_send(p, &w->local,
		request_text(
			p, &(struct request){.cseq = 2, .extra = extra}, text));
	peer_recv(w, p, text);
	ck_assert_ptr_nonnull(strstr(text, "SIP/2.0 200"));
}

START_TEST(torture)
{
	struct world_config config = {.with_trunk = true,
		.strangers_invite = true,
		.unknown_rate = "100000",
		.source_rate = "100000",
		.trusted_rate = "100000"};
	const char *rounds_text = getenv("FUZZ_ROUNDS");
	unsigned long rounds =
		rounds_text ? strtoul(rounds_text, NULL, 10) : ROUNDS;
	static char bytes[SIZE];

	load_all();
	w = world_new(&config);
	peer_open(&peers[0], "127.0.0.1");
	peer_open(&peers[1], "127.0.0.2");
	peer_open(&peers[2], "127.0.0.1");
	register_phone();
	for (size_t i = 0; i < n_seeds; i++)
		send_all(seeds[i].bytes, seeds[i].len);
	is_alive();
	for (size_t i = 0; i < n_seeds; i++) {
		for (unsigned long k = 0; k < rounds; k++) {
			size_t len = seeds[i].len;

			memcpy(bytes, seeds[i].bytes, len);
			for (uint32_t c = 1 + below(4); c > 0; c--)
				len = change(bytes, len);
			if (len > 0)
				send_all(bytes, len);
		}
		is_alive();
	}
	ck_assert_uint_le(bindings_count(w->sbc.bindings), 1);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 0);
	for (unsigned i = 0; i < 3; i++)
		peer_close(&peers[i]);
	world_free(&w);
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].bytes);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc torture");
	TCase *t = tcase_create("live");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 600);
	tcase_add_test(t, torture);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
