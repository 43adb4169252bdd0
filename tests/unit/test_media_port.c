/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of media ports: order, pairs, rest, exhaustion; port.h. */
#include <check.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/device.h"
#include "mediad/port.h"

static uint64_t fake_now_us = 1000000;

static uint64_t fake_clock(void)
{
	return fake_now_us;
}

static struct port_want want_of(uint16_t min, uint16_t max, bool rtcp)
{
	struct port_want w = {.min = min, .max = max, .rtcp = rtcp};

	ck_assert_int_eq(addr_parse("127.0.0.1", &w.bind), 0);
	return w;
}

static void give_back(struct ports *p, struct port_lease *l)
{
	close(l->rtp_fd);
	if (l->rtcp_fd >= 0)
		close(l->rtcp_fd);
	port_release(p, l, fake_now_us);
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr a;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, &a), 0);
	return a.port;
}

START_TEST(test_pairs)
{
	struct port_want w = want_of(31001, 31099, true);
	struct port_lease l;
	struct ports *p;

	clock_set_source(fake_clock, NULL);
	ck_assert_int_eq(ports_new(&p), 0);
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(port_lease(p, &w, &l), 0);
		ck_assert_uint_eq(l.rtp.port % 2, 0);
		ck_assert_uint_ge(l.rtp.port, 31002);
		ck_assert_uint_le(l.rtp.port + 1u, 31099);
		ck_assert_uint_eq(bound_port(l.rtp_fd), l.rtp.port);
		ck_assert_uint_eq(bound_port(l.rtcp_fd), l.rtp.port + 1u);
		ck_assert_uint_eq(ports_used(p), 2);
		give_back(p, &l);
		ck_assert(!addr_is_set(&l.rtp));
		ck_assert_uint_eq(ports_used(p), 0);
	}
	ports_free(&p);
}
END_TEST

START_TEST(test_mux)
{
	struct port_want w = want_of(31100, 31199, false);
	struct port_lease l;
	struct ports *p;

	clock_set_source(fake_clock, NULL);
	ck_assert_int_eq(ports_new(&p), 0);
	ck_assert_int_eq(port_lease(p, &w, &l), 0);
	ck_assert_int_lt(l.rtcp_fd, 0);
	/* The second socket may follow: its port was kept free. */
	ck_assert_int_eq(port_open_rtcp(p, &l, 46), 0);
	ck_assert_uint_eq(bound_port(l.rtcp_fd), l.rtp.port + 1u);
	give_back(p, &l);
	ports_free(&p);
}
END_TEST

/* Four pairs: all are given once, none comes back before its rest is over. */
START_TEST(test_quarantine)
{
	struct port_want w = want_of(31200, 31207, true);
	struct port_lease l[4], more;
	struct ports *p;

	clock_set_source(fake_clock, NULL);
	ck_assert_int_eq(ports_new(&p), 0);
	ports_set_quarantine(p, 5000000);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(port_lease(p, &w, &l[i]), 0);
		for (int j = 0; j < i; j++)
			ck_assert_uint_ne(l[i].rtp.port, l[j].rtp.port);
	}
	ck_assert_int_eq(port_lease(p, &w, &more), ERR_FULL);
	uint16_t first = l[0].rtp.port, second = l[1].rtp.port;

	give_back(p, &l[0]);
	fake_now_us += 1000000;
	give_back(p, &l[1]);
	fake_now_us += 3999999;
	ck_assert_int_eq(port_lease(p, &w, &more), ERR_FULL);
	fake_now_us += 1;
	ck_assert_int_eq(port_lease(p, &w, &l[0]), 0);
	ck_assert_uint_eq(l[0].rtp.port, first);
	ck_assert_int_eq(port_lease(p, &w, &more), ERR_FULL);
	fake_now_us += 1000000;
	ck_assert_int_eq(port_lease(p, &w, &l[1]), 0);
	ck_assert_uint_eq(l[1].rtp.port, second);
	for (int i = 0; i < 4; i++)
		give_back(p, &l[i]);
	ports_free(&p);
}
END_TEST

/* A port that somebody else holds is passed over. */
START_TEST(test_in_use)
{
	struct port_want w = want_of(31300, 31303, true);
	struct port_lease l, more;
	struct sockaddr_storage sa;
	struct addr a;
	struct ports *p;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	clock_set_source(fake_clock, NULL);
	ck_assert_int_eq(addr_parse("127.0.0.1:31301", &a), 0);
	len = addr_to_sockaddr(&a, &sa);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(ports_new(&p), 0);
	ck_assert_int_eq(port_lease(p, &w, &l), 0);
	ck_assert_uint_eq(l.rtp.port, 31302);
	ck_assert_int_eq(port_lease(p, &w, &more), ERR_FULL);
	give_back(p, &l);
	ports_free(&p);
	close(fd);
}
END_TEST

START_TEST(test_bad_address)
{
	struct port_want w = want_of(31400, 31499, true);
	struct port_lease l;
	struct ports *p;

	clock_set_source(fake_clock, NULL);
	ck_assert_int_eq(addr_parse("192.0.2.1", &w.bind), 0);
	ck_assert_int_eq(ports_new(&p), 0);
	ck_assert_int_eq(port_lease(p, &w, &l), ERR_SYSTEM);
	/* Ranges without an even port and its neighbour. */
	w = want_of(31401, 31402, true);
	ck_assert_int_eq(port_lease(p, &w, &l), ERR_FULL);
	w = want_of(31402, 31402, true);
	ck_assert_int_eq(port_lease(p, &w, &l), ERR_FULL);
	w = want_of(0, 65535, true);
	ck_assert_int_eq(port_lease(p, &w, &l), ERR_FULL);
	ports_free(&p);
}
END_TEST

/* Nobody can tell the next port from the last ones. */
START_TEST(test_no_order)
{
	struct port_want w = want_of(32000, 39999, false);
	struct port_lease l;
	struct ports *p;
	int n_up = 0, n_near = 0, last = 0;

	clock_set_source(fake_clock, NULL);
	ck_assert_int_eq(ports_new(&p), 0);
	for (int i = 0; i < 300; i++) {
		ck_assert_int_eq(port_lease(p, &w, &l), 0);
		n_up += l.rtp.port > last;
		n_near += l.rtp.port - last < 100 && last - l.rtp.port < 100;
		last = l.rtp.port;
		give_back(p, &l);
	}
	/* Fair draws: about 150 rise and about 8 are near. Ten standard
	 * deviations leave a failure by chance out. */
	ck_assert_int_gt(n_up, 64);
	ck_assert_int_lt(n_up, 236);
	ck_assert_int_lt(n_near, 36);
	ports_free(&p);
}
END_TEST

START_TEST(test_device)
{
	struct port_want w = want_of(31001, 31099, true);
	struct port_lease l, free_one;
	struct ports *p;

	ck_assert_int_eq(ports_new(&p), 0);
	ck_assert_int_eq(port_lease(p, &w, &free_one), 0);
	ck_assert_uint_eq(device_index(free_one.rtp_fd), 0);
	ck_assert_int_eq(ports_set_device(p, &w.bind, "l/o"), ERR_INVALID);
	ck_assert_int_eq(ports_set_device(p, &w.bind, "lo"), 0);
	ck_assert_int_eq(port_lease(p, &w, &l), 0);
	ck_assert_uint_eq(device_index(l.rtp_fd), device_find("lo"));
	ck_assert_uint_eq(device_index(l.rtcp_fd), device_find("lo"));
	/* A socket of an earlier process follows, one that is placed stays. */
	ck_assert_int_eq(ports_place(p, &w.bind, free_one.rtp_fd), 0);
	ck_assert_uint_eq(device_index(free_one.rtp_fd), device_find("lo"));
	ck_assert_int_eq(ports_set_device(p, &w.bind, "nosuch0"), 0);
	ck_assert_int_eq(ports_place(p, &w.bind, free_one.rtp_fd), 0);
	ck_assert_uint_eq(device_index(free_one.rtp_fd), device_find("lo"));
	ck_assert_int_eq(ports_place(p, &w.bind, free_one.rtcp_fd), ERR_SYSTEM);
	give_back(p, &l);
	/* No device, no port. */
	ck_assert_int_eq(port_lease(p, &w, &l), ERR_SYSTEM);
	ports_forget_devices(p);
	ck_assert_int_eq(port_lease(p, &w, &l), 0);
	ck_assert_uint_eq(device_index(l.rtp_fd), 0);
	give_back(p, &l);
	give_back(p, &free_one);
	ports_free(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_port");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, test_pairs);
	tcase_add_test(t, test_mux);
	tcase_add_test(t, test_quarantine);
	tcase_add_test(t, test_in_use);
	tcase_add_test(t, test_bad_address);
	tcase_add_test(t, test_no_order);
	tcase_add_test(t, test_device);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
