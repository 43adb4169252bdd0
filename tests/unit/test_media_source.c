/* SPDX-License-Identifier: Apache-2.0 */
/* Where media may come from and go to, on the real objects: NAT, trunks,
 * hijackers, victims. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media_rig.h"

/* One more packet of a phone's stream from whichever socket. */
static void say_from(struct talk *t, int fd, uint32_t seq, uint8_t fill)
{
	uint8_t b[512];
	size_t n = rig_rtp(
		b, PT_PCMA, (uint16_t)seq, 160u * seq, 0xaaaa0000u, fill, 160);

	rig_send(fd, t->port[SIDE_CALLER], b, n);
}

static void hear_from(struct talk *t, int fd, uint8_t fill)
{
	uint8_t b[512];
	size_t n = rig_recv(&t->rig, fd, b, sizeof(b));

	ck_assert_uint_eq(n, 172);
	ck_assert_uint_eq(b[12], fill);
}

static bool has_learned(struct rig *r, void *arg)
{
	return r->news.n_learned[SIDE_CALLER] >= *(unsigned *)arg;
}

static void wait_learned(struct talk *t, unsigned n, enum reason how)
{
	rig_until(&t->rig, has_learned, &n);
	ck_assert_uint_eq(t->rig.news.learned[SIDE_CALLER], reason_number(how));
}

/* A phone whose NAT changes the port in mid-call. */
START_TEST(test_nat_port_change)
{
	struct talk t;
	struct addr ignored;
	uint32_t seq = 0;
	int phone, moved;

	talk_begin(&t, rig_ip4());
	phone = rig_socket(rig_ip4(), &ignored);
	moved = rig_socket(rig_ip4(), &ignored);
	/* The SDP names an address behind the NAT that nobody can reach. */
	ck_assert_int_eq(addr_parse("10.9.9.9:4000", &ignored), 0);
	rig_side(&t.side[0], &ignored);
	t.side[0].msg.behind_nat = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	/* Nothing goes to the phone before it was heard. */
	say(&t, SIDE_CALLED, 1, 1);
	/* Two in a row prove it; the first one is not forwarded. */
	say_from(&t, phone, seq++, 2);
	say_from(&t, phone, seq++, 3);
	hear_from(&t, t.fd[1], 3);
	wait_learned(&t, 1, REASON_LEARN_SAME_HOST);
	say(&t, SIDE_CALLED, 2, 4);
	hear_from(&t, phone, 4);
	/* Frozen: another port gets nothing and gives nothing, not even after
	 * the phone was silent for more than a second. */
	for (int i = 0; i < 5; i++)
		say_from(&t, moved, 1000 + (uint32_t)i, 9);
	rig_for(&t.rig, 1400000);
	for (int i = 0; i < 5; i++)
		say_from(&t, moved, 2000 + (uint32_t)i, 9);
	say(&t, SIDE_CALLED, 3, 5);
	hear_from(&t, phone, 5);
	/* It comes back at the old port at once. */
	say_from(&t, phone, seq++, 6);
	hear_from(&t, t.fd[1], 6);
	/* A new registration allows to learn; the old port is silent. */
	rig_for(&t.rig, 300000);
	t.side[0].msg.learn_generation++;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	say_from(&t, moved, seq++, 7);
	say_from(&t, moved, seq++, 8);
	hear_from(&t, t.fd[1], 8);
	wait_learned(&t, 2, REASON_LEARN_SAME_HOST);
	say(&t, SIDE_CALLED, 4, 9);
	hear_from(&t, moved, 9);
	rig_end_session(&t.rig);
	ck_assert(rig_is_quiet(phone));
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->caller;

	ck_assert_uint_eq(s->rx_packets, 3);
	ck_assert_uint_eq(drops(s, REASON_RTP_PROBATION), 2);
	ck_assert_uint_ge(drops(s, REASON_RTP_SOURCE), 5);
	ck_assert_uint_eq(drops(t.rig.news.ended->session_ended->called,
				  REASON_RTP_NO_TARGET),
		1);
	close(phone);
	close(moved);
	talk_end(&t);
}
END_TEST

/* Signaling allows to learn, but the phone is still talking: a hijacker on
 * the same host does not get in. */
START_TEST(test_hijack)
{
	struct talk t;
	struct addr ignored;
	int phone, hijacker;

	talk_begin(&t, rig_ip4());
	phone = rig_socket(rig_ip4(), &ignored);
	hijacker = rig_socket(rig_ip4(), &ignored);
	rig_side(&t.side[0], NULL);
	t.side[0].msg.behind_nat = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say_from(&t, phone, 0, 1);
	say_from(&t, phone, 1, 2);
	hear_from(&t, t.fd[1], 2);
	t.side[0].msg.learn_generation++;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	for (uint32_t i = 2; i < 80; i++) {
		say_from(&t, hijacker, 500 + i, 9);
		say_from(&t, phone, i, (uint8_t)i);
		hear_from(&t, t.fd[1], (uint8_t)i);
		/* No faster than the codec: 60 packets a second pass. */
		rig_for(&t.rig, 18000);
	}
	say(&t, SIDE_CALLED, 1, 5);
	hear_from(&t, phone, 5);
	ck_assert(rig_is_quiet(hijacker));
	rig_end_session(&t.rig);
	ck_assert_uint_eq(
		t.rig.news.ended->session_ended->caller->rx_packets, 79);
	close(phone);
	close(hijacker);
	talk_end(&t);
}
END_TEST

/* Another host only with 'always', and only after a longer probation. */
START_TEST(test_other_host)
{
	struct talk t;
	struct addr other_addr;
	int other = rig_socket("127.0.0.2", &other_addr);

	talk_begin(&t, rig_ip4());
	rig_side(&t.side[0], NULL);
	t.side[0].msg.behind_nat = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	for (uint32_t i = 0; i < 8; i++)
		say_from(&t, other, i, 1);
	rig_for(&t.rig, 50000);
	ck_assert(rig_is_quiet(t.fd[1]));
	t.side[0].msg.nat = GH__NAT_MODE__NAT_ALWAYS;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	for (uint32_t i = 20; i < 25; i++)
		say_from(&t, other, i, (uint8_t)i);
	hear_from(&t, t.fd[1], 24);
	wait_learned(&t, 1, REASON_LEARN_OTHER_HOST);
	rig_end_session(&t.rig);
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->caller;
	char text[ADDR_TEXT_SIZE];

	ck_assert_uint_eq(drops(s, REASON_RTP_SOURCE), 8);
	ck_assert_uint_eq(drops(s, REASON_RTP_PROBATION), 4);
	ck_assert_str_eq(s->learned, addr_format(&other_addr, text));
	close(other);
	talk_end(&t);
}
END_TEST

/* A trunk's gateway sends from elsewhere in its networks and listens where it
 * said. */
START_TEST(test_trunk_network)
{
	static char network[] = "127.0.0.0/8";
	static char *networks[] = {network};
	struct talk t;
	struct addr ignored;
	int gateway = rig_socket("127.0.0.3", &ignored);

	talk_begin(&t, rig_ip4());
	rig_side(&t.side[0], &t.addr[0]);
	t.side[0].msg.nat = GH__NAT_MODE__NAT_NEVER;
	t.side[0].msg.networks = networks;
	t.side[0].msg.n_networks = 1;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say_from(&t, gateway, 0, 1);
	say_from(&t, gateway, 1, 2);
	hear_from(&t, t.fd[1], 2);
	wait_learned(&t, 1, REASON_LEARN_NETWORK);
	say(&t, SIDE_CALLED, 1, 3);
	hear_from(&t, t.fd[0], 3);
	ck_assert(rig_is_quiet(gateway));
	close(gateway);
	talk_end(&t);
}
END_TEST

/* The answer names another address than the early media did. */
START_TEST(test_signaled_moves)
{
	struct talk t;
	struct addr later_addr;
	int later = rig_socket(rig_ip4(), &later_addr);

	talk_begin(&t, rig_ip4());
	say(&t, SIDE_CALLER, 0, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_side(&t.side[0], &later_addr);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	/* Ours goes there at once, and the old address is refused. */
	say(&t, SIDE_CALLED, 1, 2);
	hear_from(&t, later, 2);
	say(&t, SIDE_CALLER, 1, 3);
	say_from(&t, later, 2, 4);
	hear_from(&t, t.fd[1], 4);
	ck_assert(rig_is_quiet(t.fd[1]));
	close(later);
	talk_end(&t);
}
END_TEST

START_TEST(test_unheard_victim)
{
	struct talk t;
	struct addr victim;
	int fd;

	talk_begin(&t, rig_ip4());
	/* The called side's SDP names an address that is not the host that
	 * signals: nothing goes there before it was heard. */
	fd = rig_socket("127.0.0.2", &victim);
	rig_side(&t.side[1], &victim);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	t.side[1].msg.learn_generation = 1;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	for (uint16_t i = 0; i < 5; i++)
		say(&t, SIDE_CALLER, i, 1);
	rig_for(&t.rig, 100000);
	rig_end_session(&t.rig);
	ck_assert(rig_is_quiet(fd));
	ck_assert_uint_eq(drops(t.rig.news.ended->session_ended->caller,
				  REASON_RTP_NO_TARGET),
		5);
	close(fd);
	talk_end(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_source");
	TCase *t = tcase_create("live");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_nat_port_change);
	tcase_add_test(t, test_hijack);
	tcase_add_test(t, test_other_host);
	tcase_add_test(t, test_trunk_network);
	tcase_add_test(t, test_signaled_moves);
	tcase_add_test(t, test_unheard_victim);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
