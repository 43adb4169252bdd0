/* SPDX-License-Identifier: Apache-2.0 */
/* keeper's rules without a process: when to start again, what may be opened,
 * who holds which descriptor, which daemons were recorded. */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/backoff.h"
#include "keeper/fdstore.h"
#include "keeper/handover.h"
#include "keeper/listen.h"
#include "keeper/record.h"

#define S 1000000ull

START_TEST(backoff_schedule)
{
	/* started, died, expected wait; one life after the other */
	static const struct {
		uint64_t started_us, died_us, delay_us;
	} rows[] = {
		{100 * S, 200 * S, 0},
		{200 * S, 201 * S, 0},
		{201 * S, 202 * S, 1 * S}, /* the third within ten seconds */
		{203 * S, 204 * S, 2 * S},
		{206 * S, 207 * S, 4 * S},
		{211 * S, 212 * S, 8 * S},
		{220 * S, 221 * S, 16 * S},
		{237 * S, 238 * S, 30 * S},
		{268 * S, 269 * S, 30 * S},
		{299 * S, 309 * S, 0}, /* it lived for ten seconds */
		{309 * S, 310 * S, 0},
		{310 * S, 311 * S, 1 * S},
	};
	struct backoff b = {0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_uint_eq(backoff_on_death(&b, rows[i].started_us,
					  rows[i].died_us),
			rows[i].delay_us);
}
END_TEST

START_TEST(backoff_slow_deaths)
{
	struct backoff b = {0};

	/* Three deaths in exactly ten seconds are not within ten seconds. */
	for (uint64_t t = 100; t < 200; t += 5)
		ck_assert_uint_eq(backoff_on_death(&b, (t - 5) * S, t * S), 0);
	/* A clock that begins at zero. */
	memset(&b, 0, sizeof(b));
	ck_assert_uint_eq(backoff_on_death(&b, 0, 0), 0);
	ck_assert_uint_eq(backoff_on_death(&b, 0, 1), 0);
	ck_assert_uint_eq(backoff_on_death(&b, 1, 2), 1 * S);
}
END_TEST

static const struct {
	const char *text;
	int rc;
} rules[] = {
	{"udp 0.0.0.0/0 5060", 0},
	{"udp 0.0.0.0/0 5060-5061", 0},
	{"tcp 192.0.2.1 1-65535", 0},
	{"tcp 2001:db8::/32 5061", 0},
	{"udp  192.0.2.0/24\t5060-5060 ", ERR_INVALID},
	{"", ERR_INVALID},
	{"udp", ERR_INVALID},
	{"udp 0.0.0.0/0", ERR_INVALID},
	{"sctp 0.0.0.0/0 5060", ERR_INVALID},
	{"UDP 0.0.0.0/0 5060", ERR_INVALID},
	{"udp 0.0.0.0/33 5060", ERR_INVALID},
	{"udp example.com 5060", ERR_INVALID},
	{"udp 192.0.2.1/24 5060", ERR_INVALID},
	{"udp 0.0.0.0/0 0", ERR_INVALID},
	{"udp 0.0.0.0/0 65536", ERR_INVALID},
	{"udp 0.0.0.0/0 5060-", ERR_INVALID},
	{"udp 0.0.0.0/0 5061-5060", ERR_INVALID},
	{"udp 0.0.0.0/0 -5060", ERR_INVALID},
	{"udp 0.0.0.0/0 5060-5061-5062", ERR_INVALID},
	{"udp 0.0.0.0/0 5060x", ERR_INVALID},
	{"udp 0.0.0.0/0 5060 5061", ERR_INVALID},
	{"udp 0.0.0.0/0 5060 eth1.20", 0},
	{"udp 0.0.0.0/0 5060 eth1 eth2", ERR_INVALID},
	{"udp 0.0.0.0/0 5060 -", ERR_INVALID},
	{"udp 0.0.0.0/0 5060 eth/1", ERR_INVALID},
	{"udp 0.0.0.0/0 5060 abcdefghijklmnop", ERR_INVALID},
	{"udp 0.0.0.0/0 99999999999999999999", ERR_INVALID},
};

START_TEST(rule_parse)
{
	struct listen_rule r = {.first_port = 7};

	ck_assert_msg(listen_rule_parse(rules[_i].text, &r) == rules[_i].rc,
		"\"%s\"", rules[_i].text);
	if (rules[_i].rc)
		ck_assert_uint_eq(r.first_port, 7);
}
END_TEST

static const struct {
	const char *text;
	bool allowed;
} asked[] = {
	{"udp 192.0.2.1:5060", true},
	{"udp 192.0.2.255:5061", true},
	{"udp 192.0.2.1:5062", false},
	{"udp 192.0.2.1:5059", false},
	{"udp 192.0.3.1:5060", false},
	{"udp 0.0.0.0:5060", false},
	{"tcp 192.0.2.1:5060", false},
	{"tcp 127.0.0.1:5070", true},
	{"udp 127.0.0.1:5070", false},
	{"udp [2001:db8::1]:5060", true},
	{"udp [2001:db9::1]:5060", false},
	{"udp [::ffff:192.0.2.1]:5060", true}, /* it is that IPv4 address */
	{"udp 192.0.2.1:5060 eth0", true},     /* the rule names none */
	{"udp 198.51.100.1:5060 eth1.20", true},
	{"udp 198.51.100.1:5060 eth1", false},
	{"udp 198.51.100.1:5060", false},
};

START_TEST(allow_match)
{
	static const char *const texts[] = {"udp 192.0.2.0/24 5060-5061",
		"tcp 127.0.0.1 5070", "udp 2001:db8::/32 5060",
		"udp 198.51.100.0/24 5060 eth1.20"};
	struct listeners l;
	struct listen_want want;

	listeners_init(&l);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_int_eq(
			listen_rule_parse(texts[i], &l.rules[l.n_rules++]), 0);
	ck_assert_int_eq(listen_parse(asked[_i].text, &want), 0);
	ck_assert_msg(listen_allowed(&l, &want) == asked[_i].allowed, "%s",
		asked[_i].text);
}
END_TEST

START_TEST(listen_parse_bad)
{
	static const char *const bad[] = {"", "udp", "udp ", "udp 192.0.2.1",
		"udp 192.0.2.1:0", "udp 192.0.2.1:65536", "udp host:5060",
		"sctp 192.0.2.1:5060", "udp192.0.2.1:5060",
		"averyverylongkind 192.0.2.1:5060", " udp 192.0.2.1:5060",
		"udp 192.0.2.1:5060 ", "udp 192.0.2.1:5060 eth0 x",
		"udp 192.0.2.1:5060  eth0", "udp 192.0.2.1:5060 eth/0",
		"udp 192.0.2.1:5060 5061", "udp 192.0.2.1:5060 .",
		"udp 192.0.2.1:5060 abcdefghijklmnop"};
	struct listen_want want;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(listen_parse(bad[i], &want) == ERR_INVALID,
			"\"%s\"", bad[i]);
}
END_TEST

/* A port that is free right now, on loopback, bound by the returned socket. */
static int bound(int type, struct addr *local_out)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, local_out), 0);
	return fd;
}

static ino_t inode(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st.st_ino;
}

/* A socket on no device. */
static int get(struct listeners *l, enum process owner, enum notify_kind kind,
	const struct addr *local, char *problem, int *fd_out)
{
	const struct listen_want want = {.kind = kind, .local = *local};

	return listeners_get(l, owner, &want, problem, fd_out);
}

START_TEST(listen_get)
{
	char problem[NOTIFY_LINE_MAX], want[NOTIFY_LINE_MAX],
		text[ADDR_TEXT_SIZE];
	struct listeners l;
	struct addr local;
	int first = -1, again = -1, fd = bound(SOCK_DGRAM, &local);

	listeners_init(&l);
	ck_assert_int_eq(listen_rule_parse("udp 127.0.0.0/8 1-65535",
				 &l.rules[l.n_rules++]),
		0);
	/* Somebody else has it. */
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &local, problem, &first),
		ERR_SYSTEM);
	snprintf(want, sizeof(want), "udp %s: address already in use",
		addr_format(&local, text));
	ck_assert_str_eq(problem, want);
	ck_assert_int_eq(first, -1);
	close(fd);
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &local, problem, &first), 0);
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &local, problem, &again), 0);
	ck_assert_int_eq(first, again);
	ck_assert_int_eq(fcntl(first, F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(first, F_GETFL) & O_NONBLOCK);
	/* Held for sbc, so for nobody else. */
	ck_assert_int_eq(
		get(&l, PROCESS_FLOWD, NOTIFY_UDP, &local, problem, &again),
		ERR_REFUSED);
	/* Not allowed, even where it would work. */
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_TCP, &local, problem, &again),
		ERR_REFUSED);
	ck_assert_ptr_nonnull(strstr(problem, "listen_allow"));
	/* Only its owner closes it; who asks again gets a new one. */
	ck_assert_int_eq(listeners_close(&l, PROCESS_FLOWD, NOTIFY_UDP, &local),
		ERR_NOT_FOUND);
	ck_assert_int_eq(
		listeners_close(&l, PROCESS_SBC, NOTIFY_UDP, &local), 0);
	ck_assert_int_eq(fcntl(first, F_GETFD), -1);
	ck_assert_int_eq(listeners_close(&l, PROCESS_SBC, NOTIFY_UDP, &local),
		ERR_NOT_FOUND);
	fd = bound(SOCK_DGRAM, &local);
	close(fd);
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &local, problem, &first), 0);
	listeners_done(&l);
	ck_assert_int_eq(fcntl(first, F_GETFD), -1);
}
END_TEST

START_TEST(listen_adopt)
{
	struct listeners l;
	struct addr udp, tcp;
	char problem[NOTIFY_LINE_MAX];
	int fd, got;
	ino_t was;

	listeners_init(&l);
	ck_assert_int_eq(listen_rule_parse("udp 127.0.0.0/8 1-65535",
				 &l.rules[l.n_rules++]),
		0);
	fd = bound(SOCK_DGRAM, &udp);
	was = inode(fd);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_COUNT, dup(fd)), 0);
	ck_assert_int_eq(listeners_close(&l, PROCESS_SBC, NOTIFY_UDP, &udp),
		ERR_NOT_FOUND);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_SBC, dup(fd)), ERR_EXISTS);
	/* It was systemd's and is sbc's now: sbc, alone, can give it up. */
	ck_assert_int_eq(
		get(&l, PROCESS_FLOWD, NOTIFY_UDP, &udp, problem, &got),
		ERR_REFUSED);
	ck_assert_int_eq(listeners_close(&l, PROCESS_SBC, NOTIFY_UDP, &udp), 0);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_COUNT, fd), 0);
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &udp, problem, &got), 0);
	ck_assert(inode(got) == was);
	/* Not allowed; not listening; not bound; no socket at all. */
	fd = bound(SOCK_STREAM, &tcp);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_SBC, fd), ERR_REFUSED);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(listen_rule_parse("tcp 127.0.0.0/8 1-65535",
				 &l.rules[l.n_rules++]),
		0);
	fd = bound(SOCK_STREAM, &tcp);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_SBC, fd), ERR_REFUSED);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_SBC, fd), ERR_REFUSED);
	fd = memfd_create("x", MFD_CLOEXEC);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_SBC, fd), ERR_REFUSED);
	listeners_done(&l);
}
END_TEST

/* Devices: "lo" is everywhere, and the first binding of a socket needs no
 * rights; a second one does. */
START_TEST(listen_device)
{
	struct listen_want want = {.kind = NOTIFY_UDP, .device = "lo"};
	const unsigned lo = device_find("lo");
	char problem[NOTIFY_LINE_MAX];
	struct listeners l;
	int fd, rc;

	listeners_init(&l);
	ck_assert_int_eq(listen_rule_parse("udp 127.0.0.0/8 1-65535",
				 &l.rules[l.n_rules++]),
		0);
	close(bound(SOCK_DGRAM, &want.local));
	ck_assert_int_eq(
		listeners_get(&l, PROCESS_SBC, &want, problem, &fd), 0);
	ck_assert_uint_eq(device_index(fd), lo);
	/* Again, and as it is: nothing to do. */
	ck_assert_int_eq(
		listeners_get(&l, PROCESS_SBC, &want, problem, &fd), 0);
	/* To a device that is not there: to nobody but this machine, or, where
	 * there is no right to it, a refusal; never to everybody. */
	memcpy(want.device, "nosuch0", 8);
	rc = listeners_get(&l, PROCESS_SBC, &want, problem, &fd);
	ck_assert(rc == 0 || rc == ERR_SYSTEM);
	ck_assert_uint_eq(device_index(fd), lo);
	/* What is taken over is known by its device. */
	fd = dup(fd);
	listeners_done(&l);
	listeners_init(&l);
	ck_assert_int_eq(listen_rule_parse("udp 127.0.0.0/8 1-65535 lo",
				 &l.rules[l.n_rules++]),
		0);
	ck_assert_int_eq(listeners_adopt(&l, PROCESS_SBC, fd), 0);
	ck_assert_str_eq(TAILQ_FIRST(&l.held)->device, "lo");
	listeners_done(&l);
	/* A new one is not opened on a device that is not there, and none
	 * beside the rule's device. */
	listeners_init(&l);
	ck_assert_int_eq(listen_rule_parse("udp 127.0.0.0/8 1-65535 nosuch0",
				 &l.rules[l.n_rules++]),
		0);
	ck_assert_int_eq(listeners_get(&l, PROCESS_SBC, &want, problem, &fd),
		ERR_SYSTEM);
	ck_assert_ptr_nonnull(strstr(problem, "on device nosuch0: no such"));
	memcpy(want.device, "lo", 3);
	ck_assert_int_eq(listeners_get(&l, PROCESS_SBC, &want, problem, &fd),
		ERR_REFUSED);
	listeners_done(&l);
}
END_TEST

static int memory(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* systemd's end of the notify socket: the next packet's first and last line,
 * without a value that differs. */
static const char *heard(int fd)
{
	static char text[NOTIFY_TEXT_MAX + 1];
	int fds[NOTIFY_FDS_MAX], n;
	size_t n_fds = 0;
	char *p;

	n = notify_recv_fds(fd, text, fds, &n_fds);
	if (n < 0)
		return NULL;
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	while ((p = strchr(text, '\n')))
		*p = n_fds ? '+' : '-';
	return text;
}

/* The queue of the notify socket is full, as often as not: nothing is lost, and
 * what is forgotten and new under the same name is forgotten first. */
START_TEST(hands_over)
{
	static const char store[] = "FDSTORE=1+FDPOLL=0+FDNAME=%s+";
	static const char remove[] = "FDSTOREREMOVE=1-FDNAME=%s-";
	struct systemd systemd = {.fd = -1};
	struct listeners l;
	struct fdstore s;
	struct handover h = {&systemd, &l, &s, .behind = false};
	char problem[NOTIFY_LINE_MAX], want[256], name[128];
	char local_text[ADDR_TEXT_SIZE];
	struct addr local;
	int pair[2], got, n = 0, fd = memory();

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0, pair),
		0);
	systemd.fd = pair[0];
	listeners_init(&l);
	ck_assert_int_eq(listen_rule_parse("udp 127.0.0.0/8 1-65535",
				 &l.rules[l.n_rules++]),
		0);
	ck_assert_int_eq(fdstore_init(&s, 20, 20), 0);
	handover_begin(&h);
	/* At once, without waiting for anything. */
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "a", &fd, 1), 0);
	snprintf(want, sizeof(want), store, "sbc/a");
	ck_assert_str_eq(heard(pair[1]), want);
	close(bound(SOCK_DGRAM, &local));
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &local, problem, &got), 0);
	snprintf(name, sizeof(name), "listen/udp/%s",
		addr_format(&local, local_text));
	*strrchr(name, ':') = ' ';
	snprintf(want, sizeof(want), store, name);
	ck_assert_str_eq(heard(pair[1]), want);

	while (systemd_say(&systemd, "X=1\n") == 0)
		n++;
	ck_assert_int_eq(fdstore_remove(&s, PROCESS_SBC, "a"), 0);
	ck_assert_int_eq(
		listeners_close(&l, PROCESS_SBC, NOTIFY_UDP, &local), 0);
	fd = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "a", &fd, 1), 0);
	ck_assert_int_eq(
		get(&l, PROCESS_SBC, NOTIFY_UDP, &local, problem, &got), 0);
	handover_retry(&h);
	while (n-- > 0)
		ck_assert_str_eq(heard(pair[1]), "X=1-");
	ck_assert_ptr_null(heard(pair[1]));
	handover_retry(&h);
	snprintf(want, sizeof(want), remove, "sbc/a");
	ck_assert_str_eq(heard(pair[1]), want);
	snprintf(want, sizeof(want), remove, name);
	ck_assert_str_eq(heard(pair[1]), want);
	snprintf(want, sizeof(want), store, name);
	ck_assert_str_eq(heard(pair[1]), want);
	snprintf(want, sizeof(want), store, "sbc/a");
	ck_assert_str_eq(heard(pair[1]), want);
	handover_retry(&h);
	ck_assert_ptr_null(heard(pair[1]));
	handover_end(&h);
	fdstore_done(&s);
	listeners_done(&l);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

static void forget(void *ctx, const struct fdstore_entry *e)
{
	snprintf(ctx, FDSTORE_KEY_SIZE, "%s", e->key);
}

START_TEST(store_caps)
{
	struct fdstore s;
	int fds[4];

	ck_assert_int_eq(fdstore_init(&s, 5, 4), 0);
	for (int i = 0; i < 4; i++)
		fds[i] = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "a", fds, 4), 0);
	/* Each daemon's cap, then the total; what is refused is closed. */
	fds[0] = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "b", fds, 1), ERR_FULL);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
	fds[0] = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_MEDIAD, "b", fds, 1), 0);
	fds[0] = memory();
	ck_assert_int_eq(
		fdstore_put(&s, PROCESS_MEDIAD, "c", fds, 1), ERR_FULL);
	/* The same name again needs no more room. */
	for (int i = 0; i < 4; i++)
		fds[i] = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "a", fds, 4), 0);
	ck_assert_uint_eq(s.n_fds, 5);
	/* A replacement that does not fit leaves the first deposit alone. */
	fds[0] = memory();
	fds[1] = memory();
	ck_assert_int_eq(
		fdstore_put(&s, PROCESS_MEDIAD, "b", fds, 2), ERR_FULL);
	ck_assert_uint_eq(s.n_fds, 5);
	ck_assert_int_eq(fdstore_remove(&s, PROCESS_SBC, "a"), 0);
	ck_assert_uint_eq(s.n_fds, 1);
	fdstore_done(&s);
}
END_TEST

START_TEST(store_names)
{
	char long_name[NOTIFY_FDNAME_MAX + 1];
	const char *const bad[] = {
		"", "a b", "a\nb", "a\x7f", "\xc3\xa9", long_name};
	struct fdstore s;
	int fd;

	memset(long_name, 'x', NOTIFY_FDNAME_MAX);
	long_name[NOTIFY_FDNAME_MAX] = '\0';
	ck_assert_int_eq(fdstore_init(&s, 10, 10), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = memory();
		ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, bad[i], &fd, 1),
			ERR_INVALID);
		ck_assert_int_eq(
			fdstore_remove(&s, PROCESS_SBC, bad[i]), ERR_NOT_FOUND);
	}
	ck_assert_int_eq(
		fdstore_put(&s, PROCESS_SBC, "a", &fd, 0), ERR_INVALID);
	long_name[NOTIFY_FDNAME_MAX - 1] = '\0';
	fd = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, long_name, &fd, 1), 0);
	/* One daemon's name is not another's. */
	ck_assert_int_eq(
		fdstore_remove(&s, PROCESS_MEDIAD, long_name), ERR_NOT_FOUND);
	ck_assert_int_eq(fdstore_remove(&s, PROCESS_SBC, long_name), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	fdstore_done(&s);
}
END_TEST

START_TEST(store_give_back)
{
	struct fdstore s;
	char gone[FDSTORE_KEY_SIZE] = "";
	const struct fdstore_entry *e;
	int a[2], b, c;

	ck_assert_int_eq(fdstore_init(&s, 10, 10), 0);
	s.on_forget = forget;
	s.handover = gone;
	a[0] = memory();
	a[1] = memory();
	b = memory();
	c = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "a", a, 2), 0);
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "b", &b, 1), 0);
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "c", &c, 1), 0);
	fdstore_rewind(&s, PROCESS_MEDIAD);
	ck_assert_ptr_null(fdstore_peek(&s, PROCESS_MEDIAD));
	fdstore_rewind(&s, PROCESS_SBC);
	e = fdstore_peek(&s, PROCESS_SBC);
	ck_assert_ptr_nonnull(e);
	ck_assert_str_eq(e->name, "a");
	ck_assert_uint_eq(e->n_fds, 2);
	ck_assert_int_eq(e->fds[0], a[0]);
	ck_assert_int_eq(e->fds[1], a[1]);
	fdstore_given(&s, PROCESS_SBC);
	/* Taken away while it is next: the one behind it follows. */
	e = fdstore_peek(&s, PROCESS_SBC);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(e->fds[0], b);
	ck_assert_int_eq(fdstore_remove(&s, PROCESS_SBC, "b"), 0);
	ck_assert_str_eq(gone, ""); /* systemd never had it */
	e = fdstore_peek(&s, PROCESS_SBC);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(e->fds[0], c);
	fdstore_given(&s, PROCESS_SBC);
	ck_assert_ptr_null(fdstore_peek(&s, PROCESS_SBC));
	TAILQ_FIRST(&s.owners[PROCESS_SBC].entries)->passed = true;
	ck_assert_int_eq(fdstore_remove(&s, PROCESS_SBC, "a"), 0);
	ck_assert_str_eq(gone, "sbc/a");
	/* The same file again stays with systemd, another one does not. */
	gone[0] = '\0';
	TAILQ_FIRST(&s.owners[PROCESS_SBC].entries)->passed = true;
	c = dup(c);
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "c", &c, 1), 0);
	ck_assert_str_eq(gone, "");
	ck_assert(TAILQ_FIRST(&s.owners[PROCESS_SBC].entries)->passed);
	c = memory();
	ck_assert_int_eq(fdstore_put(&s, PROCESS_SBC, "c", &c, 1), 0);
	ck_assert_str_eq(gone, "sbc/c");
	ck_assert(!TAILQ_FIRST(&s.owners[PROCESS_SBC].entries)->passed);
	ck_assert_uint_eq(s.n_fds, 1);
	fdstore_done(&s);
}
END_TEST

static char folder[64];

static void folder_setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/keeper-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_teardown(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/" RECORD_FILE, folder);
	unlink(path);
	rmdir(folder);
}

static void put_record(const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/" RECORD_FILE, folder);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(record_round)
{
	struct record in[2] = {{PROCESS_AUTHD, 100, 12345},
		{PROCESS_SBC, 4000000, UINT64_MAX}},
		      out[PROCESS_COUNT];
	size_t n = 9;

	ck_assert_int_eq(record_read(folder, out, &n), ERR_NOT_FOUND);
	ck_assert_int_eq(record_write(folder, in, 2), 0);
	ck_assert_int_eq(record_read(folder, out, &n), 0);
	ck_assert_uint_eq(n, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(out[i].process, in[i].process);
		ck_assert_int_eq(out[i].pid, in[i].pid);
		ck_assert(out[i].start_ticks == in[i].start_ticks);
	}
	ck_assert_int_eq(record_write(folder, in, 0), 0);
	ck_assert_int_eq(record_read(folder, out, &n), 0);
	ck_assert_uint_eq(n, 0);
}
END_TEST

#define ONE   "sbc 12 34\n"
#define SEVEN ONE ONE ONE ONE ONE ONE ONE

START_TEST(record_bad)
{
	static const char *const bad[] = {"sbc\n", "sbc 12\n", "sbc 12 34",
		"sbc 12 34 56\n", "nobody 12 34\n", "sbc -1 34\n", "sbc 1 2\n",
		"sbc 12 34\n\n", SEVEN};
	struct record out[PROCESS_COUNT];
	size_t n = 9;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_record(bad[i]);
		ck_assert_msg(record_read(folder, out, &n) == ERR_INVALID,
			"\"%s\"", bad[i]);
	}
	ck_assert_uint_eq(n, 9);
	put_record("sbc 12 34\n");
	ck_assert_int_eq(record_read(folder, out, &n), 0);
}
END_TEST

START_TEST(record_process)
{
	struct record r = {.process = PROCESS_SBC, .pid = getpid()};
	char exe[512];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int fd = -1;

	ck_assert_int_gt(len, 0);
	exe[len] = '\0';
	ck_assert_int_eq(record_start_ticks(r.pid, &r.start_ticks), 0);
	ck_assert_int_eq(record_open(&r, &fd), 0);
	close(fd);
	ck_assert(record_same_exe(r.pid, exe));
	ck_assert(!record_same_exe(r.pid, "/bin/true"));
	ck_assert(!record_same_exe(r.pid, "/does/not/exist"));
	r.start_ticks++; /* another process with that pid */
	fd = -7;
	ck_assert_int_eq(record_open(&r, &fd), ERR_NOT_FOUND);
	ck_assert_int_eq(fd, -7);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keeper");
	TCase *c = tcase_create("rules");
	SRunner *runner;
	int n_failed;

	tcase_add_test(c, backoff_schedule);
	tcase_add_test(c, backoff_slow_deaths);
	tcase_add_loop_test(c, rule_parse, 0, sizeof(rules) / sizeof(rules[0]));
	tcase_add_loop_test(
		c, allow_match, 0, sizeof(asked) / sizeof(asked[0]));
	tcase_add_test(c, listen_parse_bad);
	tcase_add_test(c, listen_get);
	tcase_add_test(c, listen_adopt);
	tcase_add_test(c, hands_over);
	tcase_add_test(c, listen_device);
	tcase_add_test(c, store_caps);
	tcase_add_test(c, store_names);
	tcase_add_test(c, store_give_back);
	suite_add_tcase(suite, c);
	c = tcase_create("record");
	tcase_add_checked_fixture(c, folder_setup, folder_teardown);
	tcase_add_test(c, record_round);
	tcase_add_test(c, record_bad);
	tcase_add_test(c, record_process);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
