/* SPDX-License-Identifier: Apache-2.0 */
/* The REGISTER that is challenged from its own text: what is plain and what
 * is not, and that the answer says the same as the way of all requests. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/plain.h"
#include "sbc/sofia_cures.h"
#include "tests/unit/sbc_world.h"

#define FIRST "REGISTER sip:example.com SIP/2.0\r\n"
#define VIA   "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
#define FROM  "From: <sip:100@example.com>;tag=1\r\n"
#define TO    "To: <sip:100@example.com>\r\n"
#define REST  "Call-ID: x@y\r\nCSeq: 7 REGISTER\r\n"
#define ALL   VIA FROM TO REST
#define BLANK "\r\n"

static const char *const is_plain[] = {
	FIRST ALL BLANK,
	FIRST ALL
	"Max-Forwards: 70\r\nExpires: 0\r\nUser-Agent: A b/1.0 (c)\r\n"
	"Allow: INVITE, ACK\r\nSupported: path,outbound\r\n"
	"Allow: BYE\r\nContent-Length: 0\r\n" BLANK,
	FIRST ALL "Contact: <sip:100@192.0.2.1:5060;transport=udp>\r\n" BLANK,
	FIRST ALL "Contact: <sip:192.0.2.1>;expires=3600\r\n" BLANK,
	"REGISTER sip:192.0.2.9:5061 SIP/2.0\r\n" ALL BLANK,
	FIRST
	"Via: SIP/2.0/UDP h.example;rport;branch=z9hG4bK-a_b.c;x=1\r\n" FROM TO
		REST BLANK,
	FIRST VIA "from: \"A, b;c\" <sip:100@example.com>;tag=a.b\r\n"
		  "to: A b <sip:example.com>\r\n" REST BLANK,
};

static const char *const is_not[] = {
	"",
	"\r\n",
	FIRST,
	FIRST ALL,
	FIRST BLANK,
	"OPTIONS sip:example.com SIP/2.0\r\n" ALL BLANK,
	"REGISTER sip:example.com  SIP/2.0\r\n" ALL BLANK,
	"REGISTER sips:example.com SIP/2.0\r\n" ALL BLANK,
	"REGISTER sip:a@example.com SIP/2.0\r\n" ALL BLANK,
	"REGISTER sip:example.com;x SIP/2.0\r\n" ALL BLANK,
	"REGISTER sip:example.com:0 SIP/2.0\r\n" ALL BLANK,
	"REGISTER sip:example.com:99999 SIP/2.0\r\n" ALL BLANK,
	"REGISTER sip:[2001:db8::1] SIP/2.0\r\n" ALL BLANK,
	"\r\n" FIRST ALL BLANK,
	" " FIRST ALL BLANK,
	/* line ends, folding */
	"REGISTER sip:example.com SIP/2.0\n" ALL BLANK,
	FIRST ALL "Expires: 1\n" BLANK,
	FIRST ALL "Expires: 1\r" BLANK,
	FIRST ALL "Subject: a\r\n b\r\n" BLANK,
	FIRST ALL "Allow:\r\n INVITE\r\n" BLANK,
	/* a body, or bytes behind */
	FIRST ALL BLANK "x",
	FIRST ALL "Content-Length: 1\r\n" BLANK "x",
	FIRST ALL "Content-Length: 00\r\n" BLANK,
	/* headers that ask for something, unknown and compact ones */
	FIRST ALL "Authorization: Digest realm=\"x\"\r\n" BLANK,
	FIRST ALL "Proxy-Authorization: Digest realm=\"x\"\r\n" BLANK,
	FIRST ALL "Require: path\r\n" BLANK,
	FIRST ALL "Proxy-Require: x\r\n" BLANK,
	FIRST ALL "Route: <sip:h>\r\n" BLANK,
	FIRST ALL "Path: <sip:h>\r\n" BLANK,
	FIRST ALL "X-A: b\r\n" BLANK,
	FIRST ALL "m: <sip:h>\r\n" BLANK,
	FIRST ALL "Date: x\r\n" BLANK,
	FIRST ALL "Server: x\r\n" BLANK,
	FIRST ALL "Allow : INVITE\r\n" BLANK,
	FIRST ALL "Allow:INVITE\r\n" BLANK,
	FIRST ALL "Allow: \r\n" BLANK,
	FIRST ALL "Allow: INVITE,\r\n" BLANK,
	FIRST ALL "Allow: a b\r\n" BLANK,
	/* twice, or not at all */
	FIRST ALL FROM BLANK,
	FIRST ALL TO BLANK,
	FIRST ALL VIA BLANK,
	FIRST ALL REST BLANK,
	FIRST ALL "Expires: 1\r\nExpires: 1\r\n" BLANK,
	FIRST ALL "Contact: <sip:h>\r\nContact: <sip:h>\r\n" BLANK,
	FIRST ALL "User-Agent: a\r\nUser-Agent: b\r\n" BLANK,
	FIRST VIA FROM TO BLANK,
	FIRST VIA FROM REST BLANK,
	FIRST VIA TO REST BLANK,
	FIRST FROM TO REST BLANK,
	/* Via */
	FIRST "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n" FROM TO REST BLANK,
	FIRST
	"Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport=5\r\n" FROM TO REST BLANK,
	FIRST
	"Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport;rport\r\n" FROM TO REST BLANK,
	FIRST
	"Via: SIP/2.0/UDP h;branch=z9hG4bK1;received=192.0.2.9;rport\r\n" FROM
		TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP h;branch=z9hG4bK1;maddr=h;rport\r\n" FROM TO
		REST BLANK,
	FIRST
	"Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport;\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP h;branch=z9hG4bK;rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP h;branch=1;rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP h;branch=\"a\";rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP h;rport, SIP/2.0/UDP i\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP a@h;rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP h:0;rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/TCP h;rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP / 2.0/UDP h;rport\r\n" FROM TO REST BLANK,
	FIRST "Via: SIP/2.0/UDP  h;rport\r\n" FROM TO REST BLANK,
	/* From, To */
	FIRST VIA "From: <sip:100@example.com>\r\n" TO REST BLANK,
	FIRST VIA "From: sip:100@example.com;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:100@example.com>;tag=\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:100@example.com>;tag=1;x=2\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:a:b@example.com>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:a%41@example.com>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:@example.com>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: <sip:a@b@c>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: <tel:100>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: \"a <sip:h>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: \"a\\\" <sip:h>;tag=1\r\n" TO REST BLANK,
	FIRST VIA "From: \303\244 <sip:h>;tag=1\r\n" TO REST BLANK,
	FIRST VIA FROM "To: <sip:100@example.com>;tag=2\r\n" REST BLANK,
	/* Call-ID, CSeq, numbers, Contact */
	FIRST VIA FROM TO "Call-ID: \r\nCSeq: 7 REGISTER\r\n" BLANK,
	FIRST VIA FROM TO "Call-ID: a b\r\nCSeq: 7 REGISTER\r\n" BLANK,
	FIRST VIA FROM TO "Call-ID: a;\r\nCSeq: 7 REGISTER\r\n" BLANK,
	FIRST ALL "User-Agent:  friendly-scanner\r\n" BLANK,
	FIRST ALL "User-Agent: friendly-scanner \r\n" BLANK,
	FIRST ALL "Contact: <sip:a@h;x%y=z>\r\n" BLANK,
	FIRST VIA FROM TO "Call-ID: a\r\nCSeq: 7 INVITE\r\n" BLANK,
	FIRST VIA FROM TO "Call-ID: a\r\nCSeq: 7  REGISTER\r\n" BLANK,
	FIRST VIA FROM TO "Call-ID: a\r\nCSeq: REGISTER\r\n" BLANK,
	FIRST VIA FROM TO "Call-ID: a\r\nCSeq: 2147483648 REGISTER\r\n" BLANK,
	FIRST ALL "Max-Forwards: 256\r\n" BLANK,
	FIRST ALL "Expires: -1\r\n" BLANK,
	FIRST ALL "Expires: x\r\n" BLANK,
	FIRST ALL "Contact: *\r\n" BLANK,
	FIRST ALL "Contact: <sip:a@h>,<sip:b@h>\r\n" BLANK,
	FIRST ALL "Contact: <sip:a@h?x=y>\r\n" BLANK,
	FIRST ALL "Contact: <sip:a@h>;q=2\r\n" BLANK,
	FIRST ALL "User-Agent: \001\r\n" BLANK,
};

START_TEST(plain_ones)
{
	const char *text = is_plain[_i];
	struct plain p;

	ck_assert_int_eq(
		cures_check_datagram((const uint8_t *)text, strlen(text)),
		REASON_ADMIT_OK);
	ck_assert_msg(plain_read((const uint8_t *)text, strlen(text), &p),
		"not plain: %s", text);
	ck_assert(p.from_tag.len > 0 && span_is(p.call_id, "x@y"));
	ck_assert(span_is(p.cseq_number, "7") && span_is(p.cseq, "7 REGISTER"));
}
END_TEST

START_TEST(others)
{
	const char *text = is_not[_i];
	struct plain p;

	ck_assert_msg(!plain_read((const uint8_t *)text, strlen(text), &p),
		"plain: %s", text);
}
END_TEST

/* In memory of exactly its size: ASan watches. */
START_TEST(no_byte_is_read_past_the_end)
{
	const char *text = is_plain[_i];
	size_t len = strlen(text);
	struct plain p;

	for (size_t n = 0; n < len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, text, n);
		ck_assert(!plain_read(copy, n, &p));
		free(copy);
	}
}
END_TEST

START_TEST(long_values_are_not_plain)
{
	static const char *const begins[] = {FIRST VIA FROM TO
		"CSeq: 7 REGISTER\r\nCall-ID: ",
		FIRST ALL "User-Agent: ", FIRST VIA FROM REST "To: <sip:"};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		char text[2048];
		struct plain p;
		int n = snprintf(text, sizeof(text), "%s%0300d%s\r\n\r\n",
			begins[i], 0, i == 2 ? "@h>" : "");

		ck_assert(n > 0 && !plain_read((uint8_t *)text, (size_t)n, &p));
	}
}
END_TEST

/* ---------------------------------------------------------------- the answer
 */

/* What an answer says but for the nonce and our tag. */
static void same_words(char *message)
{
	static const char *const secret[] = {"nonce=\"", ">;tag="};

	for (size_t i = 0; i < 2; i++) {
		char *p = strstr(message, secret[i]);

		/* The second ";tag=" is ours. */
		if (i == 1 && p)
			p = strstr(p + 1, secret[i]);
		ck_assert_ptr_nonnull(p);
		for (p += strlen(secret[i]); *p != '"' && *p != '\r'; p++)
			*p = '.';
	}
}

START_TEST(answer_is_the_same_as_of_all_requests)
{
	static char mine[WORLD_TEXT_SIZE], theirs[WORLD_TEXT_SIZE];
	static const char *const names[] = {"Via", "From", "To", "Call-ID",
		"CSeq", "WWW-Authenticate", "Content-Length"};
	static const struct world_config config = {.n_digest = 2};
	char a[1024], b[1024];
	struct world *w = world_new(&config);
	struct request r = {.branch = "z9hG4bKsame"};
	struct peer phone;

	peer_open(&phone, "127.0.0.1");
	peer_send(&phone, &w->local, request_text(&phone, &r, mine));
	peer_recv(w, &phone, mine);
	r.extra = "X-Not: plain\r\n";
	peer_send(&phone, &w->local, request_text(&phone, &r, theirs));
	peer_recv(w, &phone, theirs);
	ck_assert_uint_eq(reason_counted(REASON_AUTH_MISSING), 2);
	/* A retransmission gets the same tag, whichever way it takes. */
	ck_assert_str_eq(header(mine, "To", a), header(theirs, "To", b));
	same_words(mine);
	same_words(theirs);
	ck_assert_mem_eq(mine, theirs, strlen("SIP/2.0 401 "));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		header(mine, names[i], a);
		header(theirs, names[i], b);
		if (i == 0) {
			char port[24];

			snprintf(port, sizeof(port), "rport=%u",
				phone.local.port);
			ck_assert_ptr_nonnull(strstr(a, "received=127.0.0.1"));
			ck_assert_ptr_nonnull(strstr(a, port));
			ck_assert_ptr_nonnull(strstr(b, port));
			ck_assert_ptr_nonnull(strstr(a, "branch=z9hG4bKsame"));
			continue;
		}
		ck_assert_str_eq(a, b);
	}
	peer_close(&phone);
	world_free(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc plain");
	TCase *t = tcase_create("text");
	SRunner *r;
	int failed;

	tcase_add_loop_test(
		t, plain_ones, 0, sizeof(is_plain) / sizeof(is_plain[0]));
	tcase_add_loop_test(t, others, 0, sizeof(is_not) / sizeof(is_not[0]));
	tcase_add_loop_test(t, no_byte_is_read_past_the_end, 0,
		sizeof(is_plain) / sizeof(is_plain[0]));
	tcase_add_test(t, long_values_are_not_plain);
	suite_add_tcase(s, t);
	t = tcase_create("answer");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, answer_is_the_same_as_of_all_requests);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
