/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links between processes: hello, users, permits, queues, broken packets,
 * reconnects. Both ends live in one process on the fake loop; a raw socket
 * plays the peer that does not keep to the rules.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/stat.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/suite.h"

struct side {
	struct ipc_link *link; /* the one that is up */
	unsigned n_up, n_down, n_messages;
	uint64_t last_id;
	enum reason why;
	bool free_server_in_handler, free_link_in_handler;
	bool free_link_in_up, free_link_in_down;
};

static struct loop *loop;
static struct ipc_server *server;
static struct ipc_link *client;
static struct side a, b; /* client's and server's */
static struct process_users users;
static char dir[32], path[64];
static struct ipc_config server_config, client_config;

static void on_up(void *ctx, struct ipc_link *link)
{
	struct side *s = ctx;

	s->link = link;
	s->n_up++;
	if (s->free_link_in_up) {
		if (link == client)
			client = NULL;
		ipc_link_free(&link);
		s->link = NULL;
	}
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct side *s = ctx;

	s->link = NULL;
	s->n_down++;
	s->why = why;
	if (s->free_link_in_down) {
		if (link == client)
			client = NULL;
		ipc_link_free(&link);
	}
}

static void on_ack(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct side *s = ctx;

	s->n_messages++;
	s->last_id = msg->cdr_ack->id;
	if (s->free_server_in_handler)
		ipc_server_free(&server);
	if (s->free_link_in_handler)
		ipc_link_free(&link);
}

static void on_ctl(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct side *s = ctx;

	(void)link;
	s->n_messages++;
	s->last_id = strlen(msg->ctl_answer->json);
}

/* The server takes acks from sbc; the client takes acks and answers. */
static const struct ipc_permit server_permits[] = {
	{GH__MSG__BODY_CDR_ACK, PROCESS_BIT(PROCESS_SBC), on_ack},
	{GH__MSG__BODY_CTL_ANSWER,
		PROCESS_BIT(PROCESS_SBC) | PROCESS_BIT(PROCESS_CTL), on_ctl},
};
static const struct ipc_permit client_permits[] = {
	{GH__MSG__BODY_CDR_ACK, PROCESS_BIT(PROCESS_AUTHD), on_ack},
};

static void listen_again(void)
{
	ck_assert_int_eq(ipc_listen(&server_config, path, &server), 0);
}

static void begin(void)
{
	log_open("test", LOG_LEVEL_ERR);
	(void)snprintf(dir, sizeof(dir), "/tmp/gh-ipc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/authd.sock", dir);
	process_users_all(&users, getuid());
	ck_assert_int_eq(fake_loop_new(&loop), 0);
	server_config = (struct ipc_config){.loop = loop,
		.self = PROCESS_AUTHD,
		.users = &users,
		.permits = server_permits,
		.n_permits = 2,
		.events = {on_up, on_down},
		.ctx = &b};
	client_config = server_config;
	client_config.self = PROCESS_SBC;
	client_config.permits = client_permits;
	client_config.n_permits = 1;
	client_config.ctx = &a;
}

static void end(void)
{
	ipc_link_free(&client);
	ipc_server_free(&server);
	loop_free(&loop);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static bool both_up(void *arg)
{
	(void)arg;
	return a.link && b.link;
}

static void connect_both(void)
{
	begin();
	listen_again();
	ck_assert_int_eq(
		ipc_connect(&client_config, path, PROCESS_AUTHD, &client), 0);
	ck_assert(!ipc_is_up(client));
	ck_assert(fake_loop_until(loop, both_up, NULL, CLOCK_US_PER_S));
	ck_assert(ipc_is_up(client));
}

static int send_ack(struct ipc_link *link, uint64_t id)
{
	Gh__CdrAck ack = GH__CDR_ACK__INIT;

	ack.id = id;
	IPC_MSG(msg, CDR_ACK, cdr_ack, &ack);
	return ipc_send(link, &msg);
}

static bool is_down(void *arg)
{
	const struct side *s = arg;

	return s->n_down > 0;
}

/* ------------------------------------------------------------ raw peers */

static int raw_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	memcpy(sa.sun_path, path, strlen(path));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void raw_send(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL),
		(ssize_t)len);
}

static void raw_send_msg(int fd, const Gh__Msg *msg)
{
	uint8_t bytes[512];
	size_t len = gh__msg__get_packed_size(msg);

	ck_assert_uint_le(len, sizeof(bytes));
	(void)gh__msg__pack(msg, bytes);
	raw_send(fd, bytes, len);
}

static void raw_hello(int fd, uint32_t process, uint32_t version)
{
	Gh__Hello hello = GH__HELLO__INIT;

	hello.process = process;
	hello.version = version;
	hello.start_id = 99;
	IPC_MSG(msg, HELLO, hello, &hello);
	raw_send_msg(fd, &msg);
}

static bool raw_is_closed(int fd)
{
	uint8_t bytes[512];
	ssize_t n;

	do
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n > 0); /* its hello */
	return n == 0 || errno == ECONNRESET;
}

/* ---------------------------------------------------------------- tests */

START_TEST(test_messages)
{
	static char json[100 * 1024];
	Gh__CtlAnswer answer = GH__CTL_ANSWER__INIT;
	unsigned i;

	connect_both();
	ck_assert_int_eq(ipc_peer(client), PROCESS_AUTHD);
	ck_assert_int_eq(ipc_peer(b.link), PROCESS_SBC);
	ck_assert_uint_ne(ipc_peer_start_id(client), 0);
	ck_assert_uint_eq(ipc_peer_start_id(client), ipc_peer_start_id(b.link));
	ipc_set_data(client, &a);
	ck_assert_ptr_eq(ipc_data(client), &a);
	for (i = 0; i < 300; i++) {
		ck_assert_int_eq(send_ack(client, i), 0);
		ck_assert_int_eq(send_ack(b.link, i), 0);
	}
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(a.n_messages, 300);
	ck_assert_uint_eq(b.n_messages, 300);
	ck_assert_uint_eq(b.last_id, 299);
	/* A large one passes whole; one over the bound is the caller's. */
	memset(json, 'j', sizeof(json) - 1);
	answer.json = json;
	IPC_MSG(msg, CTL_ANSWER, ctl_answer, &answer);
	ck_assert_int_eq(ipc_send(client, &msg), 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(b.last_id, sizeof(json) - 1);
	answer.json = calloc(1, IPC_MESSAGE_MAX + 1);
	memset(answer.json, 'j', IPC_MESSAGE_MAX);
	ck_assert_int_eq(ipc_send(client, &msg), ERR_TOO_BIG);
	free(answer.json);
	ck_assert(ipc_is_up(client));
	end();
}
END_TEST

/* The largest message that ipc_send() takes goes through the socket. */
START_TEST(test_largest)
{
	Gh__CtlAnswer answer = GH__CTL_ANSWER__INIT;
	size_t len = IPC_MESSAGE_MAX, i;

	connect_both();
	IPC_MSG(msg, CTL_ANSWER, ctl_answer, &answer);
	answer.json = malloc(len);
	memset(answer.json, 'j', len);
	answer.json[--len] = '\0';
	while (gh__msg__get_packed_size(&msg) > IPC_MESSAGE_MAX)
		answer.json[--len] = '\0';
	ck_assert_uint_eq(gh__msg__get_packed_size(&msg), IPC_MESSAGE_MAX);
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(ipc_send(client, &msg), 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(b.n_messages, 20);
	ck_assert_uint_eq(b.last_id, len);
	free(answer.json);
	end();
}
END_TEST

START_TEST(test_permit)
{
	uint64_t before;
	int other;
	Gh__Event event = GH__EVENT__INIT;

	connect_both();
	/* A second peer is not touched by the first one's mistake. */
	other = raw_connect();
	raw_hello(other, PROCESS_MEDIAD, IPC_VERSION);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(b.n_up, 2);
	before = reason_counted(REASON_IPC_NOT_PERMITTED);
	IPC_MSG(msg, EVENT, event, &event);
	ck_assert_int_eq(ipc_send(client, &msg), 0);
	ck_assert_int_eq(send_ack(client, 1), 0); /* must not be read */
	ck_assert(fake_loop_until(loop, is_down, &b, 1000));
	ck_assert_int_eq(b.why, REASON_IPC_NOT_PERMITTED);
	ck_assert_uint_eq(reason_counted(REASON_IPC_NOT_PERMITTED), before + 1);
	ck_assert_uint_eq(b.n_messages, 0);
	ck_assert(!raw_is_closed(other));
	/* The client connects again by itself. */
	ck_assert(fake_loop_until(loop, both_up, NULL, CLOCK_US_PER_S));
	ck_assert_uint_eq(a.n_down, 1);
	/* mediad may not send what sbc may. */
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	IPC_MSG(msg2, CDR_ACK, cdr_ack, &ack);
	raw_send_msg(other, &msg2);
	fake_loop_pass(loop, 0);
	ck_assert(raw_is_closed(other));
	ck_assert(ipc_is_up(client));
	(void)close(other);
	end();
}
END_TEST

/* What stands in for a hello, and why it is refused. */
START_TEST(test_hello_refused)
{
	static const struct {
		uint32_t process, version;
		enum reason why;
	} rows[] = {
		{PROCESS_SBC, IPC_VERSION + 1, REASON_IPC_VERSION},
		{PROCESS_SBC, 0, REASON_IPC_VERSION},
		{PROCESS_COUNT, IPC_VERSION, REASON_IPC_MALFORMED},
		{UINT32_MAX, IPC_VERSION, REASON_IPC_MALFORMED},
		{PROCESS_FLOWD, IPC_VERSION, REASON_IPC_PEER},
	};
	size_t i;

	begin();
	users.uid[PROCESS_FLOWD] = getuid() + 1;
	listen_again();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = reason_counted(rows[i].why);
		int fd = raw_connect();

		raw_hello(fd, rows[i].process, rows[i].version);
		fake_loop_pass(loop, 0);
		ck_assert_msg(raw_is_closed(fd), "row %zu", i);
		ck_assert_uint_eq(reason_counted(rows[i].why), before + 1);
		(void)close(fd);
	}
	ck_assert_uint_eq(b.n_up, 0);
	ck_assert_uint_eq(b.n_down, 0);
	end();
}
END_TEST

/* A message before hello, also one that would be permitted after it, and a
 * second hello. */
START_TEST(test_hello_first)
{
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	int fd;

	begin();
	listen_again();
	IPC_MSG(msg, CDR_ACK, cdr_ack, &ack);
	fd = raw_connect();
	raw_send_msg(fd, &msg);
	raw_hello(fd, PROCESS_SBC, IPC_VERSION);
	fake_loop_pass(loop, 0);
	ck_assert(raw_is_closed(fd));
	ck_assert_uint_eq(b.n_up, 0);
	ck_assert_uint_eq(b.n_messages, 0);
	(void)close(fd);
	fd = raw_connect();
	raw_hello(fd, PROCESS_SBC, IPC_VERSION);
	raw_hello(fd, PROCESS_MEDIAD, IPC_VERSION);
	fake_loop_pass(loop, 0);
	ck_assert(raw_is_closed(fd));
	ck_assert_uint_eq(b.n_up, 1);
	ck_assert_uint_eq(b.n_down, 1);
	(void)close(fd);
	end();
}
END_TEST

/* A user that no process has is refused before it says a word. */
START_TEST(test_wrong_user)
{
	uint64_t before = reason_counted(REASON_IPC_PEER);
	int fd;

	begin();
	process_users_all(&users, getuid() + 1);
	listen_again();
	fd = raw_connect();
	fake_loop_pass(loop, 0);
	ck_assert(raw_is_closed(fd));
	(void)close(fd);
	ck_assert_uint_eq(reason_counted(REASON_IPC_PEER), before + 1);
	/* The client looks as well: authd's socket must be authd's. */
	ck_assert_int_eq(
		ipc_connect(&client_config, path, PROCESS_AUTHD, &client), 0);
	fake_loop_pass(loop, CLOCK_US_PER_S / 2);
	ck_assert(!ipc_is_up(client));
	ck_assert_uint_gt(reason_counted(REASON_IPC_PEER), before + 1);
	ck_assert_uint_eq(a.n_up + a.n_down + b.n_up + b.n_down, 0);
	/* Nobody's user id is nobody's, not even if it were sent. */
	process_users_all(&users, (uid_t)-1);
	fd = raw_connect();
	fake_loop_pass(loop, 0);
	ck_assert(raw_is_closed(fd));
	(void)close(fd);
	end();
}
END_TEST

/* The one that answers is another process than the one that was meant. */
START_TEST(test_wrong_process)
{
	begin();
	listen_again();
	ck_assert_int_eq(
		ipc_connect(&client_config, path, PROCESS_MEDIAD, &client), 0);
	fake_loop_pass(loop, CLOCK_US_PER_S / 2);
	ck_assert_uint_eq(a.n_up, 0);
	ck_assert(!ipc_is_up(client));
	ck_assert_uint_gt(reason_counted(REASON_IPC_PEER), 0);
	end();
}
END_TEST

START_TEST(test_garbage)
{
	static uint8_t big[IPC_MESSAGE_MAX + 1000];
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10},
		{"\x0a\x05\x08", 3},         /* hello that ends early */
		{"\x0a\xff\xff\xff\x7f", 5}, /* length far beyond */
		{"\x00", 1},                 /* field 0 */
		{"\xf8\x07\x01", 3},         /* unknown field: no body */
		{"GET / HTTP/1.0\r\n\r\n", 18}, {"\x0b\x0c", 2}, /* groups */
	};
	uint64_t before = reason_counted(REASON_IPC_MALFORMED);
	size_t i;
	int fd, size = (int)sizeof(big) * 2;

	begin();
	listen_again();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_ptr_null(ipc_decode(
			(const uint8_t *)rows[i].bytes, rows[i].len));
		fd = raw_connect();
		raw_send(fd, rows[i].bytes, rows[i].len);
		fake_loop_pass(loop, 0);
		ck_assert_msg(raw_is_closed(fd), "row %zu", i);
		(void)close(fd);
	}
	ck_assert_uint_eq(reason_counted(REASON_IPC_MALFORMED),
		before + sizeof(rows) / sizeof(rows[0]));
	ck_assert_ptr_null(ipc_decode(big, 0));
	ck_assert_ptr_null(ipc_decode(big, sizeof(big)));
	/* Over the bound, although its start is a whole message. */
	fd = raw_connect();
	raw_hello(fd, PROCESS_SBC, IPC_VERSION);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	raw_send(fd, big, sizeof(big));
	fake_loop_pass(loop, 0);
	ck_assert(raw_is_closed(fd));
	ck_assert_uint_eq(b.n_down, 1);
	ck_assert_int_eq(b.why, REASON_IPC_MALFORMED);
	(void)close(fd);
	/* Every cut of a good message is refused or read, never a crash. */
	for (i = 0; i < 64; i++) {
		Gh__Msg *msg = ipc_decode((const uint8_t *)"\x0a\x10\x08\x03"
							   "\x10\x01\x19"
							   "12345678\x22\x01x",
			i < 18 ? i : 18);

		ck_assert_int_eq(msg != NULL, i >= 18);
		ipc_msg_free(msg);
	}
	end();
}
END_TEST

START_TEST(test_hello_timeout)
{
	uint64_t start;
	int fd;

	begin();
	listen_again();
	start = clock_now_us();
	fd = raw_connect();
	fake_loop_pass(loop, IPC_HELLO_TIMEOUT_US - 1000);
	ck_assert(!raw_is_closed(fd));
	fake_loop_pass(loop, 2000);
	ck_assert(raw_is_closed(fd));
	ck_assert_uint_ge(clock_now_us() - start, IPC_HELLO_TIMEOUT_US);
	ck_assert_uint_eq(reason_counted(REASON_IPC_HELLO), 1);
	ck_assert_uint_eq(b.n_up + b.n_down, 0);
	(void)close(fd);
	end();
}
END_TEST

/* The peer does not read: messages queue up to the cap, in order, and the link
 * survives. */
START_TEST(test_queue_cap)
{
	uint64_t n_sent = 0, n_read = 0;
	uint8_t bytes[512];
	int fd, rc;
	ssize_t n;

	begin();
	listen_again();
	fd = raw_connect();
	raw_hello(fd, PROCESS_SBC, IPC_VERSION);
	fake_loop_pass(loop, 0);
	ck_assert_ptr_nonnull(b.link);
	while ((rc = send_ack(b.link, n_sent)) == 0)
		ck_assert_uint_lt(++n_sent, 100000);
	ck_assert_int_eq(rc, ERR_FULL);
	ck_assert_uint_eq(ipc_queued(b.link), IPC_QUEUE_MAX);
	ck_assert_uint_eq(reason_counted(REASON_IPC_QUEUE_FULL), 1);
	ck_assert(ipc_is_up(b.link));
	while (n_read < n_sent + 1) { /* and its hello */
		while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
			Gh__Msg *msg = ipc_decode(bytes, (size_t)n);

			ck_assert_ptr_nonnull(msg);
			if (n_read)
				ck_assert_uint_eq(msg->cdr_ack->id, n_read - 1);
			n_read++;
			ipc_msg_free(msg);
		}
		fake_loop_pass(loop, 0);
	}
	ck_assert_uint_eq(ipc_queued(b.link), 0);
	ck_assert_int_eq(send_ack(b.link, 0), 0);
	(void)close(fd);
	end();
}
END_TEST

START_TEST(test_broadcast)
{
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	int fd;

	connect_both();
	fd = raw_connect();
	raw_hello(fd, PROCESS_MEDIAD, IPC_VERSION);
	fake_loop_pass(loop, 0);
	IPC_MSG(msg, CDR_ACK, cdr_ack, &ack);
	ipc_broadcast(server, PROCESS_BIT(PROCESS_MEDIAD), &msg);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(a.n_messages, 0);
	ipc_broadcast(server, PROCESS_BIT(PROCESS_SBC), &msg);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(a.n_messages, 1);
	/* The one that does not read would miss news: it is closed, later and
	 * not from inside the call; the other hears everything. */
	b.n_down = 0;
	while (reason_counted(REASON_IPC_QUEUE_FULL) == 0) {
		ipc_broadcast(server, UINT32_MAX, &msg);
		ck_assert_uint_eq(b.n_down, 0);
		if (ipc_queued(b.link) > 64)
			fake_loop_pass(loop, 0);
	}
	ck_assert(fake_loop_until(loop, is_down, &b, 1000));
	ck_assert_int_eq(b.why, REASON_IPC_QUEUE_FULL);
	ck_assert(ipc_is_up(client));
	(void)close(fd);
	end();
}
END_TEST

START_TEST(test_reconnect)
{
	uint64_t reconnects = stat_get(STAT_IPC_RECONNECTS);
	uint64_t start;

	connect_both();
	ipc_server_free(&server);
	ck_assert_uint_eq(b.n_down, 0); /* freeing is the owner's own act */
	b.link = NULL;
	ck_assert(fake_loop_until(loop, is_down, &a, CLOCK_US_PER_S));
	ck_assert_int_eq(send_ack(client, 1), ERR_AWAY);
	/* Away for an hour, it still tries once a second. */
	fake_loop_pass(loop, 3600 * CLOCK_US_PER_S);
	start = clock_now_us();
	listen_again(); /* in place of the dead socket */
	ck_assert(fake_loop_until(loop, both_up, NULL, 2 * CLOCK_US_PER_S));
	ck_assert_uint_le(clock_now_us() - start, 1000 * 1000);
	ck_assert_uint_eq(stat_get(STAT_IPC_RECONNECTS), reconnects + 1);
	ck_assert_int_eq(send_ack(client, 7), 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(b.last_id, 7);
	ck_assert_uint_eq(a.n_up, 2);
	/* A fresh break is healed within some milliseconds. */
	ipc_server_free(&server);
	b.link = NULL;
	listen_again();
	ck_assert(fake_loop_until(loop, both_up, NULL, 100 * 1000));
	end();
}
END_TEST

/* What was queued for a peer that went away is gone, not sent to its
 * successor. */
START_TEST(test_queue_dropped)
{
	connect_both();
	while (ipc_queued(client) < 10)
		ck_assert_int_eq(send_ack(client, 5), 0);
	ipc_server_free(&server);
	b.link = NULL;
	listen_again();
	ck_assert(fake_loop_until(loop, is_down, &a, CLOCK_US_PER_S));
	ck_assert(fake_loop_until(loop, both_up, NULL, CLOCK_US_PER_S));
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(ipc_queued(client), 0);
	ck_assert_uint_eq(b.n_messages, 0);
	end();
}
END_TEST

START_TEST(test_free_in_handler)
{
	unsigned what;

	for (what = 0; what < 6; what++) {
		memset(&a, 0, sizeof(a));
		memset(&b, 0, sizeof(b));
		a.free_link_in_up = what == 4;
		b.free_link_in_up = what == 5;
		if (what >= 4) {
			begin();
			listen_again();
			ck_assert_int_eq(ipc_connect(&client_config, path,
						 PROCESS_AUTHD, &client),
				0);
			fake_loop_pass(loop, 50 * 1000);
			ck_assert_uint_ge(a.n_up + b.n_up, 1);
			end();
			continue;
		}
		connect_both();
		b.free_server_in_handler = what == 0;
		b.free_link_in_handler = what == 1;
		a.free_link_in_down = what >= 2;
		b.free_link_in_down = what == 3;
		ck_assert_int_eq(send_ack(client, 1), 0);
		ck_assert_int_eq(send_ack(client, 2), 0);
		if (what >= 2) {
			Gh__Event event = GH__EVENT__INIT;
			IPC_MSG(msg, EVENT, event, &event);
			ck_assert_int_eq(ipc_send(client, &msg), 0);
		}
		fake_loop_pass(loop, 5000);
		ck_assert_uint_eq(b.n_messages, what < 2 ? 1 : 2);
		end();
	}
}
END_TEST

START_TEST(test_adopt)
{
	struct ipc_link *other = NULL;
	int fds[2];

	begin();
	ck_assert_int_eq(
		socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
		0);
	ck_assert_int_eq(ipc_adopt(&client_config, fds[0], &client), 0);
	ck_assert_int_eq(ipc_adopt(&server_config, fds[1], &other), 0);
	ck_assert(fake_loop_until(loop, both_up, NULL, 1000));
	ck_assert_int_eq(send_ack(client, 3), 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(b.last_id, 3);
	ipc_link_free(&other);
	ipc_link_free(&other);
	ck_assert(fake_loop_until(loop, is_down, &a, 1000));
	fake_loop_pass(loop, 10 * CLOCK_US_PER_S);
	ck_assert(!ipc_is_up(client));
	end();
}
END_TEST

START_TEST(test_listen_paths)
{
	struct ipc_server *second = NULL;
	struct stat st;
	char longer[200];
	FILE *f;

	begin();
	listen_again();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0660);
	/* Somebody lives there. */
	ck_assert_int_eq(ipc_listen(&server_config, path, &second), ERR_SYSTEM);
	ck_assert_int_eq(errno, EADDRINUSE);
	ipc_server_free(&server);
	/* What is no socket is not removed. */
	(void)unlink(path);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	(void)fclose(f);
	ck_assert_int_eq(ipc_listen(&server_config, path, &second), ERR_SYSTEM);
	ck_assert_int_eq(access(path, F_OK), 0);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_int_eq(
		ipc_listen(&server_config, longer, &second), ERR_TOO_BIG);
	ck_assert_int_eq(
		ipc_connect(&client_config, longer, PROCESS_AUTHD, &client),
		ERR_TOO_BIG);
	end();
}
END_TEST

/* Key fields are overwritten in the message; other fields are not. */
START_TEST(test_wipe)
{
	uint8_t key[16], master[30];
	Gh__NonceKey nonce = GH__NONCE_KEY__INIT;
	Gh__NonceKeys keys = GH__NONCE_KEYS__INIT;
	Gh__SrtpKey srtp = GH__SRTP_KEY__INIT;
	Gh__MediaSide side = GH__MEDIA_SIDE__INIT;
	Gh__SessionWant want = GH__SESSION_WANT__INIT;
	size_t i;

	memset(key, 'k', sizeof(key));
	memset(master, 'm', sizeof(master));
	nonce.key.data = key;
	nonce.key.len = sizeof(key);
	keys.previous = &nonce;
	IPC_MSG(msg, NONCE_KEYS, nonce_keys, &keys);
	ipc_msg_wipe(&msg);
	for (i = 0; i < sizeof(key); i++)
		ck_assert_uint_eq(key[i], 0);
	srtp.master.data = master;
	srtp.master.len = sizeof(master);
	side.send = &srtp;
	want.called = &side;
	IPC_MSG(msg2, SESSION_WANT, session_want, &want);
	ipc_msg_wipe(&msg2);
	for (i = 0; i < sizeof(master); i++)
		ck_assert_uint_eq(master[i], 0);
	ipc_msg_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ipc");

	suite_add(s, "messages", test_messages);
	suite_add(s, "largest", test_largest);
	suite_add(s, "permit", test_permit);
	suite_add(s, "hello_refused", test_hello_refused);
	suite_add(s, "hello_first", test_hello_first);
	suite_add(s, "wrong_user", test_wrong_user);
	suite_add(s, "wrong_process", test_wrong_process);
	suite_add(s, "garbage", test_garbage);
	suite_add(s, "hello_timeout", test_hello_timeout);
	suite_add(s, "queue_cap", test_queue_cap);
	suite_add(s, "broadcast", test_broadcast);
	suite_add(s, "reconnect", test_reconnect);
	suite_add(s, "queue_dropped", test_queue_dropped);
	suite_add(s, "free_in_handler", test_free_in_handler);
	suite_add(s, "adopt", test_adopt);
	suite_add(s, "listen_paths", test_listen_paths);
	suite_add(s, "wipe", test_wipe);
	return suite_run(s);
}
