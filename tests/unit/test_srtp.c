/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP of one direction (srtp.h), and our ciphers against libsrtp2's own. The
 * library cannot hold both at once, so the oracle runs in a process of its
 * own that never registers ours.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <srtp2/cipher.h>
#include <srtp2/crypto_types.h>
#include <srtp2/srtp.h>

#include "common/store.h"
#include "mediad/check.h"
#include "mediad/rtcp.h"
#include "mediad/srtp.h"
#include "mediad/srtp_crypto.h"

#define SSRC      0x0a0b0c0du
#define N_PACKETS 40
#define BUFFER    512u

static struct srtp_master master_of(enum srtp_suite suite)
{
	struct srtp_master m = {
		.suite = suite, .len = (uint8_t)srtp_master_len(suite)};

	for (unsigned i = 0; i < m.len; i++)
		m.bytes[i] = (uint8_t)(i * 37 + suite);
	return m;
}

/* The i-th packet: sizes and extensions differ, and numbers wrap. */
static size_t packet(unsigned i, uint8_t *b)
{
	uint16_t seq = (uint16_t)(65520 + i);
	size_t n = 12;

	memset(b, 0, BUFFER);
	b[0] = 0x80;
	b[1] = 8;
	b[2] = (uint8_t)(seq >> 8);
	b[3] = (uint8_t)seq;
	b[7] = (uint8_t)i;
	memcpy(b + 8, "\x0a\x0b\x0c\x0d", 4);
	if (i % 3 == 1) {
		b[0] |= 0x10;
		memcpy(b + n, "\xbe\xde\x00\x01wxyz", 8);
		n += 8;
	}
	memset(b + n, (int)i, 20u * (i % 9));
	return n + 20u * (i % 9);
}

static size_t report(unsigned i, uint8_t *b)
{
	struct rtcp_own own = {
		.ssrc = SSRC, .cname = "0123456789abcdef", .bye = i % 2};

	return rtcp_build(&own, b);
}

/* What a sender makes of all packets, one after the other. */
static void make_all(enum srtp_suite suite, int fd)
{
	struct srtp_master m = master_of(suite);
	_Alignas(4) uint8_t b[BUFFER];
	struct srtp_leg *leg;

	if (srtp_leg_new_sender(&m, SSRC, &leg) < 0)
		_exit(2);
	for (unsigned i = 0; i < N_PACKETS; i++) {
		size_t n = packet(i, b);

		if (!srtp_leg_protect(leg, b, &n) ||
			write(fd, b, n) != (ssize_t)n)
			_exit(3);
		n = report(i, b);
		if (!srtp_leg_protect_rtcp(leg, b, &n) ||
			write(fd, b, n) != (ssize_t)n)
			_exit(4);
	}
	srtp_leg_free(&leg);
}

/* The same in a process with libsrtp2's ciphers (oracle) or with ours. */
static size_t run(enum srtp_suite suite, bool oracle, uint8_t *out, size_t size)
{
	int fds[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (oracle ? srtp_init() != srtp_err_status_ok
			   : srtp_begin() < 0)
			_exit(1);
		make_all(suite, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	while ((got = read(fds[0], out + n, size - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return n;
}

START_TEST(test_oracle)
{
	static uint8_t ours[65536], theirs[65536];
	size_t n = run((enum srtp_suite)_i, false, ours, sizeof(ours));

	ck_assert_uint_gt(n, N_PACKETS * 100);
	ck_assert_uint_eq(
		run((enum srtp_suite)_i, true, theirs, sizeof(theirs)), n);
	ck_assert_int_eq(memcmp(ours, theirs, n), 0);
}
END_TEST

struct pair {
	struct srtp_leg *out, *in;
};

static void pair_begin(struct pair *p, enum srtp_suite suite)
{
	struct srtp_master m = master_of(suite);

	ck_assert_int_eq(srtp_begin(), 0);
	ck_assert_int_eq(srtp_leg_new_sender(&m, SSRC, &p->out), 0);
	ck_assert_int_eq(srtp_leg_new_receiver(&m, &p->in), 0);
}

static void pair_end(struct pair *p)
{
	srtp_leg_free(&p->out);
	srtp_leg_free(&p->in);
	srtp_finish();
}

/* Every octet counts: each single changed one is noticed. */
static size_t bytes_of(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; *hex != '\0'; hex += 2, n++) {
		unsigned byte;

		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		out[n] = (uint8_t)byte;
	}
	return n;
}

/* A whole packet under the master key and salt of RFC 3711 B.3: derivation of
 * all three session keys, counter mode and tag. (B.2, and the AES-256 vectors
 * of RFC 6188, are tested by libsrtp2 at each start: srtp_crypto.c.) */
START_TEST(test_rfc3711_packet)
{
	struct srtp_master m = {
		.suite = SRTP_SUITE_AES_CM_128_HMAC_SHA1_80, .len = 30};
	_Alignas(4) uint8_t b[BUFFER], wanted[BUFFER];
	struct srtp_leg *leg;
	size_t n, n_wanted;

	ck_assert_int_eq(srtp_begin(), 0);
	ck_assert_uint_eq(
		bytes_of("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960"
			 "b3aabe6",
			m.bytes),
		30);
	n = bytes_of(
		"800f1234decafbadcafebabeabababababababababababababababab", b);
	n_wanted = bytes_of("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d21594"
			    "9d2402b78d6acc99ea179b8dbb",
		wanted);
	ck_assert_int_eq(srtp_leg_new_sender(&m, 0xcafebabe, &leg), 0);
	ck_assert(srtp_leg_protect(leg, b, &n));
	ck_assert_uint_eq(n, n_wanted);
	ck_assert_mem_eq(b, wanted, n);
	srtp_leg_free(&leg);
	srtp_finish();
}
END_TEST

/* RFC 7714 sections 16.1, 16.2 and 17.1. They are about session keys, which
 * nothing outside of libsrtp2 sees; so our cipher is asked directly, with the
 * nonces and associated data of sections 8.1, 8.2, 9.1 and 9.2. */
static const struct {
	uint32_t type;
	unsigned n_head;  /* associated data in front of what is encrypted */
	const char *tail; /* SRTCP: E and index, at the end; associated, too */
	const char *plain, *secret;
} gcm[] = {
	{SRTP_AES_GCM_128, 12, "",
		"8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469"
		"7669736120696e207061727465732074726573",
		"8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633b"
		"d50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765e"
		"e4390cce"},
	{SRTP_AES_GCM_256, 12, "",
		"8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469"
		"7669736120696e207061727465732074726573",
		"8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012"
		"389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878"
		"d7a76c13"},
	{SRTP_AES_GCM_128, 8, "800005d4",
		"81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e"
		"61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
		"81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f3"
		"2dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5ab"
		"f87245d9eade"},
};

START_TEST(test_rfc7714)
{
	const srtp_cipher_type_t *type = srtp_crypto_type(gcm[_i].type);
	uint8_t key[SRTP_AES_GCM_256_KEY_LEN_WSALT], iv[12], aad[16], tail[4];
	uint8_t b[BUFFER], wanted[BUFFER];
	size_t key_len = gcm[_i].type == SRTP_AES_GCM_128 ? 16 : 32;
	size_t n = bytes_of(gcm[_i].plain, b), head = gcm[_i].n_head;
	size_t n_wanted = bytes_of(gcm[_i].secret, wanted);
	size_t n_tail = bytes_of(gcm[_i].tail, tail);
	unsigned len = (unsigned)(n - head);
	uint32_t tag_len = 16;
	srtp_cipher_t *c;

	for (size_t i = 0; i < key_len; i++)
		key[i] = (uint8_t)i;
	bytes_of("517569642070726f2071756f", key + key_len);
	memcpy(iv, key + key_len, sizeof(iv));
	for (size_t i = 0; i < 4; i++) {
		iv[2 + i] ^= b[n_tail ? 4 + i : 8 + i];
		iv[8 + i] ^= n_tail  ? tail[i] & (i ? 0xff : 0x7f)
			     : i < 2 ? 0
				     : b[i];
	}
	memcpy(aad, b, head);
	memcpy(aad + head, tail, n_tail);
	ck_assert_ptr_nonnull(type);
	ck_assert_int_eq(
		type->alloc(&c, (int)key_len + 12, 16), srtp_err_status_ok);
	ck_assert_int_eq(type->init(c->state, key), srtp_err_status_ok);
	ck_assert_int_eq(type->set_iv(c->state, iv, srtp_direction_encrypt),
		srtp_err_status_ok);
	ck_assert_int_eq(
		type->set_aad(c->state, aad, (uint32_t)(head + n_tail)),
		srtp_err_status_ok);
	ck_assert_int_eq(
		type->encrypt(c->state, b + head, &len), srtp_err_status_ok);
	ck_assert_int_eq(type->get_tag(c->state, b + head + len, &tag_len),
		srtp_err_status_ok);
	ck_assert_uint_eq(head + len + tag_len, n_wanted);
	ck_assert_mem_eq(b, wanted, n_wanted);
	/* And back. */
	len += tag_len;
	ck_assert_int_eq(type->set_iv(c->state, iv, srtp_direction_decrypt),
		srtp_err_status_ok);
	ck_assert_int_eq(
		type->set_aad(c->state, aad, (uint32_t)(head + n_tail)),
		srtp_err_status_ok);
	ck_assert_int_eq(
		type->decrypt(c->state, b + head, &len), srtp_err_status_ok);
	bytes_of(gcm[_i].plain, wanted);
	ck_assert_mem_eq(b, wanted, n);
	ck_assert_int_eq(type->dealloc(c), srtp_err_status_ok);
}
END_TEST

START_TEST(test_forged)
{
	_Alignas(4) uint8_t sealed[BUFFER], b[BUFFER];
	struct pair p;
	size_t n = packet(1, sealed), len;

	pair_begin(&p, (enum srtp_suite)_i);
	ck_assert(srtp_leg_protect(p.out, sealed, &n));
	for (size_t at = 0; at < n; at++) {
		memcpy(b, sealed, sizeof(b));
		b[at] ^= 0x40;
		len = n;
		ck_assert_int_ne(srtp_leg_open(p.in, b, &len), REASON_RTP_OK);
	}
	for (size_t cut = 0; cut < n; cut++) {
		memcpy(b, sealed, sizeof(b));
		len = cut;
		ck_assert_int_ne(srtp_leg_open(p.in, b, &len), REASON_RTP_OK);
	}
	/* None of that changed the state: the true one still passes, once. */
	memcpy(b, sealed, sizeof(b));
	len = n;
	ck_assert_int_eq(srtp_leg_open(p.in, b, &len), REASON_RTP_OK);
	ck_assert_uint_eq(len, 40);
	ck_assert_uint_eq(b[21], 1);
	memcpy(b, sealed, sizeof(b));
	len = n;
	ck_assert_int_eq(srtp_leg_open(p.in, b, &len), REASON_RTP_REPLAY);
	pair_end(&p);
}
END_TEST

START_TEST(test_forged_rtcp)
{
	_Alignas(4) uint8_t sealed[BUFFER], b[BUFFER];
	struct pair p;
	size_t n = report(1, sealed), whole = n, len;

	pair_begin(&p, (enum srtp_suite)_i);
	ck_assert(srtp_leg_protect_rtcp(p.out, sealed, &n));
	ck_assert_uint_gt(n, whole + 4);
	for (size_t at = 0; at < n; at++) {
		memcpy(b, sealed, sizeof(b));
		b[at] ^= 0x40;
		len = n;
		ck_assert_int_ne(
			srtp_leg_open_rtcp(p.in, b, &len), REASON_RTCP_OK);
	}
	for (size_t cut = 0; cut < n; cut++) {
		memcpy(b, sealed, sizeof(b));
		len = cut;
		ck_assert_int_ne(
			srtp_leg_open_rtcp(p.in, b, &len), REASON_RTCP_OK);
	}
	memcpy(b, sealed, sizeof(b));
	len = n;
	ck_assert_int_eq(srtp_leg_open_rtcp(p.in, b, &len), REASON_RTCP_OK);
	ck_assert_uint_eq(len, whole);
	memcpy(b, sealed, sizeof(b));
	len = n;
	ck_assert_int_eq(srtp_leg_open_rtcp(p.in, b, &len), REASON_RTP_REPLAY);
	pair_end(&p);
}
END_TEST

START_TEST(test_keys)
{
	struct srtp_master m = master_of(SRTP_SUITE_AES_CM_128_HMAC_SHA1_80);
	struct srtp_leg *leg = NULL;

	ck_assert_int_eq(srtp_begin(), 0);
	m.len--;
	ck_assert_int_eq(srtp_leg_new_receiver(&m, &leg), ERR_INVALID);
	m.len++;
	m.suite = SRTP_SUITE_NONE;
	ck_assert_int_eq(srtp_leg_new_receiver(&m, &leg), ERR_INVALID);
	m.suite = SRTP_SUITE_COUNT;
	ck_assert_int_eq(srtp_leg_new_receiver(&m, &leg), ERR_INVALID);
	ck_assert_ptr_null(leg);
	srtp_leg_free(&leg);
	srtp_finish();
}
END_TEST

/* A sender does not use a number twice. */
START_TEST(test_no_reuse)
{
	_Alignas(4) uint8_t b[BUFFER];
	struct pair p;
	size_t n = packet(3, b);

	pair_begin(&p, SRTP_SUITE_AEAD_AES_128_GCM);
	ck_assert(srtp_leg_protect(p.out, b, &n));
	n = packet(3, b);
	ck_assert(!srtp_leg_protect(p.out, b, &n));
	pair_end(&p);
}
END_TEST

/* Both ends are made anew from their words after each packet, over the wrap of
 * the sequence number; a third one listens all the time. */
START_TEST(test_resume)
{
	_Alignas(4) uint8_t b[BUFFER], copy[BUFFER], old[BUFFER];
	struct srtp_master m = master_of((enum srtp_suite)_i);
	struct srtp_tx_words tx = {0};
	struct srtp_rx_words rx = {0};
	struct srtp_leg *out, *in, *other;
	size_t n, old_n = 0;

	ck_assert_int_eq(srtp_begin(), 0);
	ck_assert_int_eq(srtp_leg_new_receiver(&m, &other), 0);
	for (unsigned i = 0; i < N_PACKETS; i++) {
		bool rtp = i % 4 != 3;

		ck_assert_int_eq(
			srtp_leg_resume_sender(&m, SSRC, &tx, &out), 0);
		ck_assert_int_eq(srtp_leg_resume_receiver(&m, &rx, &in), 0);
		srtp_leg_keep_sender(out, &tx);
		srtp_leg_keep_receiver(in, &rx);
		ck_assert(srtp_leg_catch_up(out));
		if (i > 0 && rtp) {
			/* A number that was used is not used again. */
			n = packet(i - 1 - (i % 4 == 0), b);
			ck_assert(!srtp_leg_protect(out, b, &n));
		}
		n = rtp ? packet(i, b) : report(i, b);
		ck_assert(rtp ? srtp_leg_protect(out, b, &n)
			      : srtp_leg_protect_rtcp(out, b, &n));
		memcpy(copy, b, n);
		size_t copy_n = n;

		ck_assert_int_eq(rtp ? srtp_leg_open(other, copy, &copy_n)
				     : srtp_leg_open_rtcp(other, copy, &copy_n),
			rtp ? REASON_RTP_OK : REASON_RTCP_OK);
		memcpy(copy, b, n);
		copy_n = n;
		ck_assert_int_eq(rtp ? srtp_leg_open(in, b, &n)
				     : srtp_leg_open_rtcp(in, b, &n),
			rtp ? REASON_RTP_OK : REASON_RTCP_OK);
		/* Nor is one of before accepted by who is new. */
		srtp_leg_free(&in);
		ck_assert_int_eq(srtp_leg_resume_receiver(&m, &rx, &in), 0);
		n = copy_n;
		memcpy(b, copy, n);
		ck_assert_int_eq(rtp ? srtp_leg_open(in, b, &n)
				     : srtp_leg_open_rtcp(in, b, &n),
			REASON_RTP_REPLAY);
		if (old_n) {
			n = old_n;
			memcpy(b, old, n);
			ck_assert_int_eq(
				srtp_leg_open(in, b, &n), REASON_RTP_REPLAY);
		}
		if (rtp) {
			memcpy(old, copy, copy_n);
			old_n = copy_n;
		}
		srtp_leg_free(&out);
		srtp_leg_free(&in);
	}
	srtp_leg_free(&other);
	srtp_finish();
}
END_TEST

/* Words that cannot be read give no context. */
START_TEST(test_resume_damaged)
{
	struct srtp_master m = master_of(SRTP_SUITE_AEAD_AES_128_GCM);
	struct srtp_tx_words tx = {0};
	struct srtp_rx_words rx = {0};
	struct srtp_leg *leg;

	ck_assert_int_eq(srtp_begin(), 0);
	tx.rtp = 7;
	ck_assert_int_eq(
		srtp_leg_resume_sender(&m, SSRC, &tx, &leg), ERR_CORRUPT);
	tx.rtp = store_word_make(7);
	tx.rtcp = store_word_make(1ull << 31);
	ck_assert_int_eq(
		srtp_leg_resume_sender(&m, SSRC, &tx, &leg), ERR_CORRUPT);
	rx.source[0].ssrc = store_word_make(1ull << 32);
	ck_assert_int_eq(srtp_leg_resume_receiver(&m, &rx, &leg), ERR_CORRUPT);
	rx.source[0].ssrc = store_word_make(1);
	rx.source[0].rtcp = store_word_make(1) ^ 4;
	ck_assert_int_eq(srtp_leg_resume_receiver(&m, &rx, &leg), ERR_CORRUPT);
	srtp_finish();
}
END_TEST

/* A peer may change its SSRC a bounded number of times under one key. */
START_TEST(test_ssrc_bound)
{
	_Alignas(4) uint8_t b[BUFFER];
	struct srtp_master m = master_of(SRTP_SUITE_AEAD_AES_128_GCM);
	struct srtp_leg *in, *out;
	uint32_t n;

	ck_assert_int_eq(srtp_begin(), 0);
	ck_assert_int_eq(srtp_leg_new_receiver(&m, &in), 0);
	for (n = 0; n < 100; n++) {
		size_t len = packet(3, b);
		enum reason why;

		b[11] = (uint8_t)n;
		ck_assert_int_eq(
			srtp_leg_new_sender(&m, (SSRC & 0xffffff00) | n, &out),
			0);
		ck_assert(srtp_leg_protect(out, b, &len));
		srtp_leg_free(&out);
		ck_assert_int_eq(
			srtp_leg_may_change(in, (SSRC & 0xffffff00) | n),
			n < SRTP_SOURCES_MAX);
		why = srtp_leg_open(in, b, &len);
		ck_assert_int_eq(why,
			n < SRTP_SOURCES_MAX ? REASON_RTP_OK : REASON_RTP_SSRC);
	}
	/* A known one may come back. */
	ck_assert(srtp_leg_may_change(in, SSRC & 0xffffff00));
	srtp_leg_free(&in);
	srtp_finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("srtp");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_rfc3711_packet);
	tcase_add_loop_test(t, test_rfc7714, 0, sizeof(gcm) / sizeof(gcm[0]));
	tcase_add_loop_test(t, test_oracle, 1, SRTP_SUITE_COUNT);
	tcase_add_loop_test(t, test_resume, 1, SRTP_SUITE_COUNT);
	tcase_add_test(t, test_resume_damaged);
	tcase_add_loop_test(t, test_forged, 1, SRTP_SUITE_COUNT);
	tcase_add_loop_test(t, test_forged_rtcp, 1, SRTP_SUITE_COUNT);
	tcase_add_test(t, test_keys);
	tcase_add_test(t, test_no_reuse);
	tcase_add_test(t, test_ssrc_bound);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
