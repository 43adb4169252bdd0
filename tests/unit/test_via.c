/* SPDX-License-Identifier: Apache-2.0 */
/* flowd/via.h and flowd/answer.h: many spellings of a Via, hostile ones, and
 * the answers that flowd makes itself. */
#include <stdio.h>
#include <string.h>

#include "flowd/answer.h"
#include "flowd/via.h"
#include "suite.h"

#define START "INVITE sip:a@b SIP/2.0\r\nTo: <sip:x>\r\n"
#define END   "Via: SIP/2.0/UDP last;branch=z\r\nl: 3\r\n\r\nabc"

static struct addr peer;

static void begin(void)
{
	ck_assert_int_eq(addr_parse("192.0.2.7:33210", &peer), 0);
}

static size_t header_len(const char *m)
{
	return (size_t)(strstr(m, "\r\n\r\n") + 4 - m);
}

/* One spelling of a Via line: what becomes of it when ours is pushed on top,
 * and when the first value is taken off. */
static const struct spelling {
	const char *line;
	const char *pushed;
	const char *popped;
	const char *replaced;
} spellings[] = {
	{"Via: SIP/2.0/TLS h;branch=z9hG4bKa;rport\r\n",
		"Via: SIP/2.0/TLS "
		"h;branch=z9hG4bKa;rport=33210;received=192.0.2.7\r\n",
		"", "Via: SIP/2.0/TCP new:1;branch=z9hG4bKa;rport\r\n"},
	{"v:SIP/2.0/WSS df7.invalid;branch=z9hG4bKb\r\n",
		"v:SIP/2.0/WSS "
		"df7.invalid;branch=z9hG4bKb;received=192.0.2.7\r\n",
		"", "v:SIP/2.0/TCP new:1;branch=z9hG4bKb\r\n"},
	{"VIA \t:  sip / 2.0 / tcp  [2001:db8::1]:5061 ; branch=q ; "
	 "x=\"a;,b\"\r\n",
		"VIA \t:  sip / 2.0 / tcp  [2001:db8::1]:5061 ; branch=q ; "
		"x=\"a;,b\";received=192.0.2.7\r\n",
		"",
		"VIA \t:  sip / 2.0 / TCP new:1 ; branch=q ; x=\"a;,b\"\r\n"},
	{"Via: SIP/2.0/TCP h : 5060;received=1.2.3.4;rport=9;branch=r\r\n",
		"Via: SIP/2.0/TCP h : "
		"5060;rport=33210;branch=r;received=192.0.2.7\r\n",
		"",
		"Via: SIP/2.0/TCP "
		"new:1;received=1.2.3.4;rport=9;branch=r\r\n"},
	{"Via: SIP/2.0/TCP h;branch=s, SIP/2.0/UDP second\r\n",
		"Via: SIP/2.0/TCP h;branch=s;received=192.0.2.7, SIP/2.0/UDP "
		"second\r\n",
		"Via:  SIP/2.0/UDP second\r\n",
		"Via: SIP/2.0/TCP new:1;branch=s, SIP/2.0/UDP second\r\n"},
	{"Via: SIP/2.0/TCP\r\n h\r\n\t;branch=t\r\n",
		"Via: SIP/2.0/TCP\r\n "
		"h\r\n\t;branch=t;received=192.0.2.7\r\n",
		"", "Via: SIP/2.0/TCP new:1\r\n\t;branch=t\r\n"},
	{"Via: SIP/2.0/TCP h\r\n", "Via: SIP/2.0/TCP h;received=192.0.2.7\r\n",
		"", "Via: SIP/2.0/TCP new:1\r\n"},
	{"Vianna: x\r\nVx: y\r\nV: SIP/2.0/TCP h;RPORT;Received=x\r\n",
		"Vianna: x\r\nVx: y\r\n@V: SIP/2.0/TCP "
		"h;rport=33210;received=192.0.2.7\r\n",
		"Vianna: x\r\nVx: y\r\n",
		"Vianna: x\r\nVx: y\r\nV: SIP/2.0/TCP "
		"new:1;RPORT;Received=x\r\n"},
};

#define OURS "Via: SIP/2.0/TCP 127.0.0.1:4000;branch=z9hG4bKours;rport\r\n"

static void check_push(const struct spelling *s, const char *m)
{
	char want[1024], out[1024], before[256] = "";
	const char *rest = s->pushed, *at = strchr(s->pushed, '@');
	int n;

	/* Ours goes directly above the peer's; '@' marks the place where that
	 * is not the first line. */
	if (at) {
		memcpy(before, s->pushed, (size_t)(at - s->pushed));
		rest = at + 1;
	}
	n = via_push((const uint8_t *)m, strlen(m), header_len(m),
		"127.0.0.1:4000", "ours", &peer, (uint8_t *)out, sizeof(out));
	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	snprintf(want, sizeof(want), START "%s" OURS "%s" END, before, rest);
	ck_assert_str_eq(out, want);
	/* And off again: what is left is the peer's message. */
	char back[1024];

	n = via_pop((const uint8_t *)out, (size_t)n, header_len(out),
		(uint8_t *)back, sizeof(back));
	ck_assert_int_gt(n, 0);
	back[n] = '\0';
	snprintf(want, sizeof(want), START "%s%s" END, before, rest);
	ck_assert_str_eq(back, want);
}

START_TEST(test_spellings)
{
	char m[1024], out[1024], want[1024], old[VIA_SENT_BY_SIZE];
	int n;

	begin();
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		const struct spelling *s = &spellings[i];

		snprintf(m, sizeof(m), START "%s" END, s->line);
		check_push(s, m);
		n = via_pop((uint8_t *)m, strlen(m), header_len(m),
			(uint8_t *)out, sizeof(out));
		ck_assert_int_gt(n, 0);
		out[n] = '\0';
		snprintf(want, sizeof(want), START "%s" END, s->popped);
		ck_assert_str_eq(out, want);
		n = via_replace((uint8_t *)m, strlen(m), header_len(m), "TCP",
			"new:1", old, (uint8_t *)out, sizeof(out));
		ck_assert_int_gt(n, 0);
		out[n] = '\0';
		snprintf(want, sizeof(want), START "%s" END, s->replaced);
		ck_assert_str_eq(out, want);
		ck_assert_uint_gt(strlen(old), 0);
		/* Too small a buffer is said, at every size. */
		for (size_t size = 0; size < (size_t)n; size += 7)
			ck_assert_int_eq(via_replace((uint8_t *)m, strlen(m),
						 header_len(m), "TCP", "new:1",
						 NULL, (uint8_t *)out, size),
				ERR_TOO_BIG);
	}
}
END_TEST

START_TEST(test_hostile)
{
	static const char *const bad[] = {"Via:\r\n", "Via: SIP\r\n",
		"Via: SIP/2.0\r\n", "Via: SIP/2.0/\r\n", "Via: SIP/2.0/TCP\r\n",
		"Via: SIP/2.0/TCPh\r\n", "Via: SIP/3.0/TCP h\r\n",
		"Via: SIP/2.0/TCP ;branch=x\r\n", "Via: SIP/2.0/TCP h x\r\n",
		"Via: SIP/2.0/TCP h;a=\"x\r\n", "Via: SIP/2.0/TCP h:;x\r\n",
		"Via: , SIP/2.0/TCP h\r\n", "Via: SIP/2.0/TCP \"h\"\r\n",
		"Via: SIP/2.0/TCP h;a=\"\\\r\n", "Via: SIP/2.0/TCP h:5060x\r\n",
		"Via: SIP/2.0/TCP [::1\r\n", "Via: SIP/2.0/TCP []:5\r\n",
		"v:\r\n \r\n"};
	char m[512];
	uint8_t out[1024];
	struct via v;

	begin();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(m, sizeof(m), START "%s" END, bad[i]);
		if (via_find((uint8_t *)m, header_len(m), &v) != ERR_INVALID)
			ck_abort_msg("taken: %s", bad[i]);
		ck_assert_int_eq(
			via_push((uint8_t *)m, strlen(m), header_len(m), "h",
				"b", &peer, out, sizeof(out)),
			ERR_INVALID);
	}
	/* None at all, and one in the body only. */
	snprintf(m, sizeof(m), START "l: 21\r\n\r\nVia: SIP/2.0/TCP h\r\n");
	ck_assert_int_eq(
		via_find((uint8_t *)m, header_len(m), &v), ERR_NOT_FOUND);
	/* Every beginning of a message is survived. */
	snprintf(m, sizeof(m), START "%s" END, spellings[2].line);
	for (size_t n = 0; n < strlen(m); n++) {
		uint8_t *part = malloc(n ? n : 1);

		memcpy(part, m, n);
		(void)!via_find(part, n, &v);
		free(part);
	}
}
END_TEST

static void identity(const char *via, char *text, size_t size)
{
	char m[512];
	const uint8_t *id;
	size_t len;
	struct via v;

	snprintf(m, sizeof(m), START "%s\r\n" END, via);
	ck_assert_int_eq(via_find((uint8_t *)m, header_len(m), &v), 0);
	via_identity((uint8_t *)m, &v, &id, &len);
	ck_assert_uint_lt(len, size);
	memcpy(text, id, len);
	text[len] = '\0';
}

START_TEST(test_identity)
{
	char text[256];

	identity("Via: SIP/2.0/TCP h;x;Branch = z9hG4bK77ef;y", text,
		sizeof(text));
	ck_assert_str_eq(text, "z9hG4bK77ef");
	/* The bare cookie and an old branch name nothing. */
	identity("Via: SIP/2.0/TCP h;branch=z9hG4bK", text, sizeof(text));
	ck_assert_str_eq(text, "SIP/2.0/TCP h;branch=z9hG4bK");
	identity("Via: SIP/2.0/TCP h;branch=1", text, sizeof(text));
	ck_assert_str_eq(text, "SIP/2.0/TCP h;branch=1");
	identity(
		"Via: SIP/2.0/TCP h;a=\"branch=z9hG4bKx\"", text, sizeof(text));
	ck_assert_str_eq(text, "SIP/2.0/TCP h;a=\"branch=z9hG4bKx\"");
}
END_TEST

START_TEST(test_answer)
{
	static const char request[] =
		"INVITE sip:a@b SIP/2.0\r\n"
		"v: SIP/2.0/TLS h;branch=z9hG4bKa;rport, SIP/2.0/UDP two\r\n"
		"f: <sip:f@x>;tag=1\r\nSecret: y\r\nVia: SIP/2.0/UDP three\r\n"
		"T: \"A;tag=no\" <sip:t@x>\r\n"
		"i: c@d\r\nCSeq:\r\n 4 INVITE\r\n";
	char out[1024];
	const char *tag;
	int n;

	begin();
	n = answer_build((const uint8_t *)request, strlen(request), 513, &peer,
		(uint8_t *)out, sizeof(out));
	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	tag = strstr(out, "<sip:t@x>;tag=");
	ck_assert_ptr_nonnull(tag);
	ck_assert_uint_eq(strcspn(tag + 14, "\r"), 13);
	memset((char *)(uintptr_t)tag + 14, 't', 13);
	ck_assert_str_eq(out, "SIP/2.0 513 Message Too Large\r\n"
			      "Via: SIP/2.0/TLS h;branch=z9hG4bKa;rport=33210;"
			      "received=192.0.2.7, SIP/2.0/UDP two\r\n"
			      "Via: SIP/2.0/UDP three\r\n"
			      "f: <sip:f@x>;tag=1\r\n"
			      "T: \"A;tag=no\" <sip:t@x>;tag=ttttttttttttt\r\n"
			      "i: c@d\r\nCSeq:\r\n 4 INVITE\r\n"
			      "Content-Length: 0\r\n\r\n");
}
END_TEST

START_TEST(test_no_answer)
{
	static const char *const none[] = {
		"SIP/2.0 200 OK\r\nv: SIP/2.0/TCP h\r\nf: a\r\nt: b\r\ni: c\r\n"
		"CSeq: 1 X\r\n",
		"ACK sip:a SIP/2.0\r\nv: SIP/2.0/TCP h\r\nf: a\r\nt: b\r\n"
		"i: c\r\nCSeq: 1 ACK\r\n",
		"X sip:a SIP/2.0\r\nf: a\r\nt: b\r\ni: c\r\nCSeq: 1 X\r\n",
		"X sip:a SIP/2.0\r\nv: SIP/2.0/TCP h\r\nt: b\r\ni: c\r\n"
		"CSeq: 1 X\r\n",
		"", "X", "\r\n"};
	uint8_t out[512];

	begin();
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_int_lt(
			answer_build((const uint8_t *)none[i], strlen(none[i]),
				400, &peer, out, sizeof(out)),
			0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("via");

	suite_add(s, "spellings", test_spellings);
	suite_add(s, "hostile", test_hostile);
	suite_add(s, "identity", test_identity);
	suite_add(s, "answer", test_answer);
	suite_add(s, "no_answer", test_no_answer);
	return suite_run(s);
}
