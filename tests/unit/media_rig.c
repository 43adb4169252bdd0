/* SPDX-License-Identifier: Apache-2.0 */
/* See media_rig.h. The control thread is the test's own; packets pass on the
 * real worker thread. */
#include "media_rig.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define STEP_US 1000

const char *rig_ip4(void)
{
	static char text[ADDR_TEXT_SIZE];
	unsigned pid = (unsigned)getpid();

	/* Once: a mediad that the test forks is reached at the same one. The
	 * kernel's process numbers have 22 bits. */
	if (text[0] == '\0')
		(void)snprintf(text, sizeof(text), "127.%u.%u.%u",
			64 + (pid >> 16), pid >> 8 & 255, pid & 255);
	return text;
}

static void on_list(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct rig *r = ctx;

	(void)link;
	r->news.n_listed += (unsigned)msg->session_list->n_calls;
	r->news.list_done = msg->session_list->done;
}

static void copy_side(
	struct rig_news *n, enum side side, const Gh__MediaSideState *s)
{
	n->rtp[side][0] = n->rtcp[side][0] = '\0';
	if (s == NULL)
		return;
	(void)snprintf(n->rtp[side], ADDR_TEXT_SIZE, "%s", s->rtp);
	(void)snprintf(n->rtcp[side], ADDR_TEXT_SIZE, "%s", s->rtcp);
	(void)snprintf(n->cname[side], LEG_CNAME_SIZE, "%s", s->cname);
	n->ssrc[side] = s->ssrc;
}

static void on_state(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct rig *r = ctx;
	const Gh__SessionState *s = msg->session_state;

	(void)link;
	r->news.n_states++;
	r->news.reason = s->reason;
	r->news.version = s->version;
	copy_side(&r->news, SIDE_CALLER, s->caller);
	copy_side(&r->news, SIDE_CALLED, s->called);
}

static void on_ended(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct rig *r = ctx;
	uint8_t bytes[16384];
	size_t len = gh__msg__get_packed_size(msg);

	(void)link;
	ck_assert_uint_le(len, sizeof(bytes));
	(void)gh__msg__pack(msg, bytes);
	if (r->news.ended != NULL)
		gh__msg__free_unpacked(r->news.ended, NULL);
	r->news.ended = ipc_decode(bytes, len);
	r->news.n_ended++;
}

static void on_event(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct rig *r = ctx;
	const Gh__MediaEvent *e = msg->media_event;

	(void)link;
	ck_assert_uint_lt(e->kind, 16);
	r->news.n_events[e->kind]++;
	r->news.event_reason[e->kind] = e->reason;
	if (e->kind == GH__MEDIA_EVENT_KIND__MEDIA_QUALITY)
		r->news.mos_centi = e->stats->mos_centi;
	if (e->kind == GH__MEDIA_EVENT_KIND__MEDIA_LEARNED) {
		r->news.n_learned[e->called_side]++;
		r->news.learned[e->called_side] = e->reason;
	}
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_SESSION_LIST, PROCESS_BIT(PROCESS_MEDIAD), on_list},
	{GH__MSG__BODY_SESSION_STATE, PROCESS_BIT(PROCESS_MEDIAD), on_state},
	{GH__MSG__BODY_SESSION_ENDED, PROCESS_BIT(PROCESS_MEDIAD), on_ended},
	{GH__MSG__BODY_MEDIA_EVENT, PROCESS_BIT(PROCESS_MEDIAD), on_event},
};

static void on_timer(void *arg)
{
	struct rig *r = arg;

	loop_stop(r->daemon.loop);
}

void rig_until(struct rig *r, bool (*done)(struct rig *, void *), void *arg)
{
	uint64_t end_us = clock_now_us() + RIG_PATIENCE_US;

	while (!done(r, arg)) {
		ck_assert_msg(clock_now_us() < end_us, "waited in vain");
		loop_timer_set(r->daemon.loop, r->timer, STEP_US);
		ck_assert_int_eq(loop_run(r->daemon.loop), 0);
	}
}

static bool is_later(struct rig *r, void *arg)
{
	(void)r;
	return clock_now_us() >= *(uint64_t *)arg;
}

void rig_for(struct rig *r, uint64_t us)
{
	uint64_t end_us = clock_now_us() + us;

	rig_until(r, is_later, &end_us);
}

static bool is_listed(struct rig *r, void *arg)
{
	(void)arg;
	return r->news.list_done && ipc_is_up(r->sbc);
}

static void begin_loop(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	log_open("test", LOG_LEVEL_ERR);
	ck_assert_int_eq(srtp_begin(), 0);
	r->call = RIG_CALL;
	r->port_min = 20000;
	r->port_max = 29999;
	r->lease_ms = 60000;
	r->rtcp_ms = 5000;
	r->daemon.self = PROCESS_MEDIAD;
	process_users_all(&r->daemon.users, getuid());
	ck_assert_int_eq(loop_event_new(&r->daemon.loop), 0);
	ck_assert_int_eq(
		loop_timer_new(r->daemon.loop, on_timer, r, &r->timer), 0);
	r->sbc_config = (struct ipc_config){
		.loop = r->daemon.loop,
		.self = PROCESS_SBC,
		.users = &r->daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.ctx = r,
	};
}

void rig_begin(struct rig *r)
{
	struct ctl_config config = {
		.daemon = &r->daemon, .n_workers = 1, .capacity = 16};
	int fds[2];

	begin_loop(r);
	ck_assert_int_eq(ctl_new(&config, &r->ctl), 0);
	ck_assert_int_eq(ctl_start(r->ctl), 0);
	ck_assert_int_eq(
		socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
		0);
	ck_assert_int_eq(ctl_adopt(r->ctl, fds[0]), 0);
	ck_assert_int_eq(ipc_adopt(&r->sbc_config, fds[1], &r->sbc), 0);
	rig_until(r, is_listed, NULL);
	rig_configure(r, r->lease_ms, 60000, 0, r->rtcp_ms);
}

static void on_attached(void *ctx, struct ipc_link *link)
{
	struct rig *r = ctx;

	(void)link;
	r->n_ups++;
	r->news.n_listed = 0;
	r->news.list_done = false;
	rig_configure(r, r->lease_ms, 0, 0, r->rtcp_ms);
}

void rig_attach(struct rig *r, const char *path)
{
	begin_loop(r);
	r->sbc_config.events.on_up = on_attached;
	ck_assert_int_eq(
		ipc_connect(&r->sbc_config, path, PROCESS_MEDIAD, &r->sbc), 0);
}

void rig_end(struct rig *r)
{
	ipc_link_free(&r->sbc);
	ctl_free(&r->ctl);
	loop_timer_free(r->daemon.loop, &r->timer);
	loop_free(&r->daemon.loop);
	srtp_finish();
	if (r->news.ended != NULL)
		gh__msg__free_unpacked(r->news.ended, NULL);
}

void rig_configure(struct rig *r, uint32_t lease_ms, uint32_t quarantine_ms,
	uint32_t coalesce_us, uint32_t rtcp_ms)
{
	Gh__MediaConfig config = GH__MEDIA_CONFIG__INIT;
	Gh__MediaRealm realm = GH__MEDIA_REALM__INIT;
	Gh__MediaRealm *realms[] = {&realm};
	char *media[] = {(char *)(uintptr_t)rig_ip4(), (char[]){"::1"}};

	realm.id = 1;
	realm.n_media = 2;
	realm.media = media;
	realm.port_min = r->port_min;
	realm.port_max = r->port_max;
	config.n_realms = 1;
	config.realms = realms;
	config.lease_ms = lease_ms;
	config.quarantine_ms = quarantine_ms;
	config.coalesce_us = coalesce_us;
	config.rtcp_interval_ms = rtcp_ms;
	config.silence_ms = r->silence_ms;
	config.keepalive_ms = r->keepalive_ms;
	config.mos_min_centi = r->mos_min_centi;
	IPC_MSG(msg, MEDIA_CONFIG, media_config, &config);
	ck_assert_int_eq(ipc_send(r->sbc, &msg), 0);
}

void rig_side(struct rig_side *s, const struct addr *remote)
{
	static char loopback6[] = "::1";
	static char pcma[] = "PCMA", event[] = "telephone-event";

	memset(s, 0, sizeof(*s));
	gh__media_side__init(&s->msg);
	s->msg.realm = 1;
	s->msg.media = remote && remote->family == AF_INET6
			       ? loopback6
			       : (char *)(uintptr_t)rig_ip4();
	s->msg.signaling_source = s->msg.media;
	s->msg.may_send = s->msg.may_receive = true;
	s->msg.nat = GH__NAT_MODE__NAT_AUTO;
	if (remote != NULL)
		s->msg.remote_rtp =
			(char *)(uintptr_t)addr_format(remote, s->remote);
	for (unsigned i = 0; i < 2; i++) {
		gh__payload__init(&s->payloads[i]);
		s->list[i] = &s->payloads[i];
		s->payloads[i].clock = 8000;
		s->payloads[i].ptime_us = 20000;
	}
	s->payloads[0].pt = s->payloads[0].peer_pt = 8;
	s->payloads[0].codec = pcma;
	s->payloads[1].pt = s->payloads[1].peer_pt = 101;
	s->payloads[1].codec = event;
	s->payloads[1].event = true;
	s->msg.n_payloads = 2;
	s->msg.payloads = s->list;
}

static void fill_key(Gh__SrtpKey *key, uint8_t *bytes, enum srtp_suite suite,
	uint8_t fill, struct srtp_master *out)
{
	gh__srtp_key__init(key);
	key->suite = (Gh__Suite)suite; /* both have RFC 4568's order */
	key->master.len = srtp_master_len(suite);
	key->master.data = bytes;
	memset(bytes, fill, SRTP_MASTER_MAX);
	*out = (struct srtp_master){
		.suite = suite, .len = (uint8_t)key->master.len};
	memcpy(out->bytes, bytes, key->master.len);
}

void rig_keys(struct rig_side *s, enum srtp_suite suite, uint8_t peer,
	uint8_t own, struct srtp_master *peer_out, struct srtp_master *own_out)
{
	fill_key(&s->receive, s->receive_key, suite, peer, peer_out);
	fill_key(&s->send, s->send_key, suite, own, own_out);
	s->msg.receive = &s->receive;
	s->msg.send = &s->send;
}

static bool is_answered(struct rig *r, void *arg)
{
	return r->news.n_states > *(unsigned *)arg;
}

void rig_want(struct rig *r, uint32_t version, struct rig_side *caller,
	struct rig_side *called)
{
	Gh__SessionWant want = GH__SESSION_WANT__INIT;
	unsigned before = r->news.n_states;
	char call[IDENT_CALL_SIZE];

	(void)snprintf(call, sizeof(call), "%s", r->call);
	want.request = version;
	want.call = call;
	want.version = version;
	want.caller = caller ? &caller->msg : NULL;
	want.called = called ? &called->msg : NULL;
	IPC_MSG(msg, SESSION_WANT, session_want, &want);
	ck_assert_int_eq(ipc_send(r->sbc, &msg), 0);
	rig_until(r, is_answered, &before);
}

static bool is_ended(struct rig *r, void *arg)
{
	return r->news.n_ended > *(unsigned *)arg;
}

void rig_end_session(struct rig *r)
{
	Gh__SessionEnd end = GH__SESSION_END__INIT;
	unsigned before = r->news.n_ended;
	char call[IDENT_CALL_SIZE];

	(void)snprintf(call, sizeof(call), "%s", r->call);
	end.request = 77;
	end.call = call;
	IPC_MSG(msg, SESSION_END, session_end, &end);
	ck_assert_int_eq(ipc_send(r->sbc, &msg), 0);
	rig_until(r, is_ended, &before);
}

int rig_socket(const char *ip, struct addr *addr_out)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct addr a;
	int fd;

	ck_assert_int_eq(addr_parse(ip, &a), 0);
	fd = socket(a.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	len = addr_to_sockaddr(&a, &sa);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, addr_out), 0);
	return fd;
}

int rig_pair(const char *ip, struct addr *addr_out, int *rtcp_fd_out)
{
	for (unsigned n = 0; n < 1000; n++) {
		int fd = rig_socket(ip, addr_out);
		struct sockaddr_storage sa;
		struct addr rtcp = *addr_out;
		socklen_t len;

		*rtcp_fd_out = socket(rtcp.family,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert_int_ge(*rtcp_fd_out, 0);
		rtcp.port++;
		len = addr_to_sockaddr(&rtcp, &sa);
		if (rtcp.port % 2 == 1 &&
			bind(*rtcp_fd_out, (struct sockaddr *)&sa, len) == 0)
			return fd;
		close(fd);
		close(*rtcp_fd_out);
	}
	ck_abort_msg("no pair of ports");
}

void rig_send(int fd, const char *to, const void *bytes, size_t len)
{
	struct sockaddr_storage sa;
	struct addr a;
	socklen_t sa_len;
	ssize_t n;

	ck_assert_int_eq(addr_parse(to, &a), 0);
	sa_len = addr_to_sockaddr(&a, &sa);
	n = sendto(fd, bytes, len, 0, (struct sockaddr *)&sa, sa_len);
	if (n < 0 && errno == ECONNREFUSED)
		n = sendto(fd, bytes, len, 0, (struct sockaddr *)&sa, sa_len);
	ck_assert_int_eq(n, (ssize_t)len);
}

struct receiving {
	int fd;
	uint8_t *bytes;
	size_t size;
	ssize_t n;
};

static bool has_come(struct rig *r, void *arg)
{
	struct receiving *x = arg;

	(void)r;
	x->n = recv(x->fd, x->bytes, x->size, 0);
	return x->n >= 0;
}

size_t rig_recv(struct rig *r, int fd, uint8_t *bytes, size_t size)
{
	struct receiving x = {.fd = fd, .bytes = bytes, .size = size};

	rig_until(r, has_come, &x);
	return (size_t)x.n;
}

bool rig_is_quiet(int fd)
{
	uint8_t b;

	return recv(fd, &b, 1, MSG_PEEK) < 0;
}

size_t rig_rtp(uint8_t *bytes, uint8_t pt, uint16_t seq, uint32_t ts,
	uint32_t ssrc, uint8_t fill, size_t n_octets)
{
	struct rtp_fields f = {.ssrc = ssrc,
		.ts = ts,
		.seq = seq,
		.pt = pt & 0x7f,
		.marker = pt & 0x80};

	(void)build_header(bytes + RTP_HEADER_LEN, &f);
	memset(bytes + RTP_HEADER_LEN, fill, n_octets);
	return RTP_HEADER_LEN + n_octets;
}

void talk_begin(struct talk *t, const char *ip)
{
	rig_begin(&t->rig);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		t->fd[i] = rig_socket(ip, &t->addr[i]);
		rig_side(&t->side[i], &t->addr[i]);
		t->port[i] = t->rig.news.rtp[i];
	}
	rig_want(&t->rig, 1, &t->side[0], &t->side[1]);
	ck_assert_uint_eq(
		t->rig.news.reason, reason_number(REASON_SESSION_OPEN));
}

void talk_end(struct talk *t)
{
	close(t->fd[0]);
	close(t->fd[1]);
	rig_end(&t->rig);
}

void say(struct talk *t, enum side from, uint32_t seq, uint8_t fill)
{
	uint8_t b[512];
	size_t n = rig_rtp(b, PT_PCMA, (uint16_t)seq, 160u * seq,
		0xaaaa0000u + from, fill, 160);

	rig_send(t->fd[from], t->port[from], b, n);
}

uint16_t hear(struct talk *t, enum side at, uint8_t fill)
{
	uint8_t b[2048];
	size_t n = rig_recv(&t->rig, t->fd[at], b, sizeof(b));
	struct rtp_view v;

	ck_assert_uint_eq(n, 172);
	ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
	ck_assert_uint_eq(b[0], 0x80);
	ck_assert_uint_eq(v.pt, PT_PCMA);
	ck_assert_uint_eq(v.ssrc, t->rig.news.ssrc[at]);
	ck_assert_uint_eq(b[12], fill);
	ck_assert_uint_eq(b[171], fill);
	return v.seq;
}

uint64_t drops(const Gh__MediaStats *s, enum reason why)
{
	for (size_t i = 0; i < s->n_drops; i++)
		if (s->drops[i]->reason == reason_number(why))
			return s->drops[i]->n;
	return 0;
}
