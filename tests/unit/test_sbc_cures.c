/* SPDX-License-Identifier: Apache-2.0 */
/* The cures of sofia-sip: the start-up self test, the textual checks as a
 * table, and the cost of the worst datagrams that pass them. */
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_stateless.h>

#include <check.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbc/loop_sofia.h"
#include "sbc/sofia_cures.h"
#include "sbc/sofia_cures_private.h"

#define REQUEST "OPTIONS sip:example.com SIP/2.0\r\n"
#define VIA     "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
#define REST                                                                   \
	"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n"       \
	"Call-ID: x\r\nCSeq: 1 OPTIONS\r\n"
#define BLANK "\r\n"

struct row {
	const char *text;
	enum reason why;
};

static const struct row rows[] = {
	{REQUEST VIA REST BLANK, REASON_ADMIT_OK},
	{REQUEST VIA REST BLANK "any;maddr=body", REASON_ADMIT_OK},
	{"\r\n\r\n" REQUEST VIA REST BLANK, REASON_ADMIT_OK},
	{"SIP/2.0 200 OK\r\n" VIA REST BLANK, REASON_ADMIT_OK},
	{"sip/2.0 200 OK\r\n" VIA REST BLANK, REASON_ADMIT_OK},
	{"OPTIONS sip:example.com SIP/2.0\n" VIA REST "\n", REASON_ADMIT_OK},
	/* keep-alives */
	{"", REASON_NONE},
	{"\r\n\r\n", REASON_NONE},
	{"\n", REASON_NONE},
	/* no SIP */
	{"\001\001abc", REASON_ADMIT_GARBAGE},
	{"hello", REASON_ADMIT_GARBAGE},
	{"hello\r\n\r\n", REASON_ADMIT_GARBAGE},
	{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", REASON_ADMIT_GARBAGE},
	{" OPTIONS sip:x SIP/2.0\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"OPTIONS  sip:x SIP/2.0\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"OPTIONS sip:x  SIP/2.0\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"OPTIONS sip:x SIP/2.0 \r\n" VIA REST BLANK, REASON_ADMIT_VERSION},
	{"OPTIONS sip:x\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"SIP/2.0 20 OK\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"SIP/2.0 999 OK\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"OPTIONS/ sip:x SIP/2.0\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	{"OPTIONS sip:\tx SIP/2.0\r\n" VIA REST BLANK, REASON_ADMIT_GARBAGE},
	/* versions */
	{"OPTIONS sip:x SIP/7.0\r\n" VIA REST BLANK, REASON_ADMIT_VERSION},
	{"OPTIONS sip:x SIP/2.00\r\n" VIA REST BLANK, REASON_ADMIT_VERSION},
	{"SIP/3.0 200 OK\r\n" VIA REST BLANK, REASON_ADMIT_VERSION},
	{REQUEST "Via: SIP/7.0/UDP h;branch=1\r\n" REST BLANK,
		REASON_ADMIT_VERSION},
	/* maddr in every dress */
	{REQUEST "Via: SIP/2.0/UDP h;maddr=192.0.2.9\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "v: SIP/2.0/UDP h;maddr=x\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "VIA : SIP/2.0/UDP h;branch=1;MAddr = x\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "Via: SIP/2.0/UDP h\r\n ;\r\n\tmaddr\r\n = x\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "Via: SIP/2.0/UDP h;branch=1\n ;maddr=x\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "Via: SIP/2.0/UDP h;branch=1\r ;maddr=x\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "Via: SIP/2.0/UDP h;x=\"a;b\";maddr=x\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST "Via: SIP/2.0/UDP h, SIP/2.0/TCP i;maddr=x\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST VIA "Via: SIP/2.0/UDP h;maddr\r\n" REST BLANK,
		REASON_ADMIT_VIA_MADDR},
	{REQUEST VIA REST "Via: SIP/2.0/UDP h;maddr=x\r\n" BLANK,
		REASON_ADMIT_VIA_MADDR},
	/* not maddr */
	{REQUEST "Via: SIP/2.0/UDP maddr;branch=maddr;x=\";maddr=y\"\r\n" REST
			BLANK,
		REASON_ADMIT_OK},
	{REQUEST VIA "Subject: a;maddr=b\r\n" REST BLANK, REASON_ADMIT_OK},
	{REQUEST VIA "X-Via: SIP/2.0/UDP h;maddr=b\r\n" REST BLANK,
		REASON_ADMIT_OK},
	/* legal forms of Via */
	{REQUEST "Via:SIP / 2.0\r\n /UDP\r\n  192.0.2.2 : 5061 ; branch\r\n = "
		 "z9hG4bK ,\r\n SIP/2.0/TLS [2001:db8::1]:5061\r\n" REST BLANK,
		REASON_ADMIT_OK},
	{REQUEST "v: SIP/2.0/udp [::1];received=[::2];rport=5\r\n" REST BLANK,
		REASON_ADMIT_OK},
	/* broken ones: the library would skip them and answer to the next */
	{REQUEST "Via: SIP/2.0/UDP\r\n" VIA REST BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST "Via: \r\n" VIA REST BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h:0\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h:65536\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h:99999999999999999999\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h:65535\r\n" VIA REST BLANK,
		REASON_ADMIT_OK},
	{REQUEST "Via: SIP/2.0/UDP h:x\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h;=x\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h;a=\"x\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h (comment)\r\n" REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h;a=b c\r\n" REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/TCP h;branch=1\r\n" REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDPh;branch=1\r\n" REST BLANK,
		REASON_ADMIT_SYNTAX},
	/* folded once is read, a line of blanks ends it for the library */
	{REQUEST "Via: SIP/2.0/UDP\r\n h;branch\r\n\t=1\r\n" REST BLANK,
		REASON_ADMIT_OK},
	{REQUEST "Via: SIP/2.0/UDP\r\n \r\n h;branch=1\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	{REQUEST "Via: SIP/2.0/UDP h;a=\n \r b\r\n" VIA REST BLANK,
		REASON_ADMIT_SYNTAX},
	/* a Via that looks folded into the first line */
	{REQUEST " Via: SIP/2.0/UDP h;maddr=x\r\n" REST BLANK,
		REASON_ADMIT_SYNTAX},
	/* structure */
	{REQUEST REST BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST VIA BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST VIA REST, REASON_ADMIT_SYNTAX},
	{REQUEST, REASON_ADMIT_SYNTAX},
	{REQUEST VIA REST "no colon\r\n" BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST VIA REST ": empty name\r\n" BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST VIA REST "X: \001\r\n" BLANK, REASON_ADMIT_SYNTAX},
	{REQUEST "v:SIP/2.0/UDP h\r\nf: <sip:a@x>\r\nt: <sip:b@x>\r\ni: "
		 "x\r\ncseq: 1 X\r\n" BLANK,
		REASON_ADMIT_OK},
};

START_TEST(checks)
{
	const struct row *r = &rows[_i];
	enum reason why =
		cures_check_datagram((const uint8_t *)r->text, strlen(r->text));

	ck_assert_msg(why == r->why, "row %d: %s instead of %s for\n%s", _i,
		reason_text(why), reason_text(r->why), r->text);
}
END_TEST

START_TEST(no_byte_is_read_past_the_end)
{
	/* Every prefix, in memory of exactly its size: ASan watches. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].text);

		for (size_t n = 0; n <= len; n++) {
			uint8_t *copy = malloc(n ? n : 1);

			ck_assert_ptr_nonnull(copy);
			memcpy(copy, rows[i].text, n);
			if (n < len)
				ck_assert_int_lt(cures_check_datagram(copy, n),
					REASON_COUNT);
			free(copy);
		}
	}
}
END_TEST

static size_t add(char *text, size_t at, const char *part)
{
	size_t len = strlen(part);

	memcpy(text + at, part, len);
	return at + len;
}

START_TEST(lines_and_separators_are_bounded)
{
	char *text = malloc(CURES_DATAGRAM_MAX + 1);
	size_t at = add(text, 0, REQUEST VIA REST);

	ck_assert_ptr_nonnull(text);
	for (unsigned i = 0; i <= CURES_LINES_MAX; i++)
		at = add(text, at, "X: y\r\n");
	at = add(text, at, BLANK);
	ck_assert_int_eq(cures_check_datagram((uint8_t *)text, at),
		REASON_ADMIT_TOO_BIG);

	at = add(text, 0, REQUEST VIA REST "X: y");
	for (unsigned i = 0; i <= CURES_LINES_MAX; i++)
		at = add(text, at, "\r\n y");
	at = add(text, at, "\r\n" BLANK);
	ck_assert_int_eq(cures_check_datagram((uint8_t *)text, at),
		REASON_ADMIT_TOO_BIG);

	at = add(text, 0, REQUEST VIA REST "X: y");
	for (unsigned i = 0; i <= CURES_SEPARATORS_MAX; i++)
		at = add(text, at, i % 2 ? "," : ";");
	at = add(text, at, "\r\n" BLANK);
	ck_assert_int_eq(cures_check_datagram((uint8_t *)text, at),
		REASON_ADMIT_TOO_BIG);

	memset(text, 'a', CURES_DATAGRAM_MAX + 1);
	ck_assert_int_eq(
		cures_check_datagram((uint8_t *)text, CURES_DATAGRAM_MAX + 1),
		REASON_ADMIT_TOO_BIG);
	free(text);
}
END_TEST

START_TEST(nul_is_no_header_byte)
{
	static const char text[] = REQUEST VIA "X: a\0b\r\n" REST BLANK;

	ck_assert_int_eq(
		cures_check_datagram((const uint8_t *)text, sizeof(text) - 1),
		REASON_ADMIT_SYNTAX);
}
END_TEST

START_TEST(library_calls_every_cure)
{
	const char *problem = "not run";

	ck_assert_int_eq(cures_begin(), 0);
	ck_assert_msg(
		cures_self_test(&problem) == 0, "%s is not reached", problem);
	ck_assert_str_eq(problem, "");
	for (unsigned c = 0; c < CURE_COUNT; c++)
		ck_assert_msg(cure_calls((enum cure)c) > 0, "%s was not called",
			cure_name((enum cure)c));
}
END_TEST

/* A socket that outlived its process: what queued meanwhile is all answered,
 * and no datagram of the library's own comes up as garbage. */
#define QUEUED 10

static int on_message(
	nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *msg, sip_t *sip)
{
	unsigned *n = (unsigned *)magic;

	ck_assert(sip && sip->sip_request);
	(*n)++;
	return nta_msg_treply(agent, msg, 200, "OK", TAG_END());
}

static int open_socket(struct addr *local)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(addr_parse("127.0.0.1", local), 0);
	len = addr_to_sockaddr(local, &sa);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, local), 0);
	return fd;
}

static unsigned answers(int fd)
{
	char text[2048];
	unsigned n = 0;
	ssize_t len;

	while ((len = recv(fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[len] = '\0';
		ck_assert_msg(
			strncmp(text, "SIP/2.0 200", 11) == 0, "%s", text);
		n++;
	}
	return n;
}

START_TEST(queued_requests_survive)
{
	struct addr server, peer;
	int server_fd, peer_fd;
	char text[512], url[64];
	struct sockaddr_storage sa;
	socklen_t len;
	struct loop *loop;
	nta_agent_t *agent;
	unsigned n = 0, got = 0;
	uint64_t garbage = reason_counted(REASON_ADMIT_GARBAGE);

	ck_assert_int_eq(cures_begin(), 0);
	ck_assert_int_eq(loop_sofia_new(&loop), 0);
	server_fd = open_socket(&server);
	peer_fd = open_socket(&peer);
	len = addr_to_sockaddr(&server, &sa);
	for (unsigned i = 0; i < QUEUED; i++) {
		snprintf(text, sizeof(text),
			REQUEST "Via: SIP/2.0/UDP "
				"127.0.0.1:%u;branch=z9hG4bK%u\r\n" REST BLANK,
			peer.port, i);
		ck_assert_int_eq(sendto(peer_fd, text, strlen(text), 0,
					 (struct sockaddr *)&sa, len),
			(ssize_t)strlen(text));
	}
	agent = nta_agent_create(loop_sofia_root(loop), (url_string_t *)-1,
		on_message, (nta_agent_magic_t *)&n, NTATAG_UA(1), TAG_END());
	ck_assert_ptr_nonnull(agent);
	snprintf(url, sizeof(url), "sip:127.0.0.1:%u;transport=udp",
		server.port);
	ck_assert_int_eq(cures_adopt_begin(server_fd, &server), 0);
	ck_assert_int_eq(
		nta_agent_add_tport(agent, (url_string_t *)url, TAG_END()), 0);
	ck_assert_int_eq(cures_adopt_end(), 0);
	for (unsigned i = 0; i < 1000 && got < QUEUED; i++) {
		ck_assert_int_eq(loop_sofia_step(loop, 10000), 0);
		got += answers(peer_fd);
	}
	ck_assert_uint_eq(got, QUEUED);
	ck_assert_uint_eq(n, QUEUED);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(loop_sofia_step(loop, 1000), 0);
	ck_assert_uint_eq(n, QUEUED);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_GARBAGE), garbage);
	/* The process goes; the socket lives on and takes what comes. */
	nta_agent_destroy(agent);
	cures_forget_all();
	ck_assert_int_eq(
		sendto(peer_fd, "x", 1, 0, (struct sockaddr *)&sa, len), 1);
	ck_assert_int_eq(recv(server_fd, text, sizeof(text), 0), 1);
	loop_free(&loop);
	close(server_fd);
	close(peer_fd);
}
END_TEST

START_TEST(adoption_needs_its_address)
{
	struct addr server, other;
	int fd = open_socket(&server);

	ck_assert_int_eq(addr_parse("127.0.0.1:9", &other), 0);
	ck_assert_int_eq(cures_adopt_begin(fd, &other), 0);
	ck_assert_int_eq(cures_adopt_end(), ERR_NOT_FOUND);
	ck_assert_int_eq(cures_send(&server, &server, "x", 1), ERR_NOT_FOUND);
	close(fd);
}
END_TEST

/* A name is refused at once; an address goes through. */
START_TEST(names_are_never_resolved)
{
	struct addrinfo *res = NULL;

	ck_assert_int_eq(
		getaddrinfo("localhost", "5060", NULL, &res), EAI_NONAME);
	ck_assert_int_eq(getaddrinfo("127.0.0.1", "5060", NULL, &res), 0);
	freeaddrinfo(res);
	ck_assert_int_eq(getaddrinfo("::1", "5060", NULL, &res), 0);
	freeaddrinfo(res);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc cures");
	TCase *t = tcase_create("text");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, checks, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, no_byte_is_read_past_the_end);
	tcase_add_test(t, lines_and_separators_are_bounded);
	tcase_add_test(t, nul_is_no_header_byte);
	suite_add_tcase(s, t);
	t = tcase_create("library");
	tcase_add_test(t, library_calls_every_cure);
	tcase_add_test(t, queued_requests_survive);
	tcase_add_test(t, adoption_needs_its_address);
	tcase_add_test(t, names_are_never_resolved);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
