/* SPDX-License-Identifier: Apache-2.0 */
/* Links between processes: hello, permits, queues, reconnects; ipc.h. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/log.h"

struct side {
	struct loop *loop;
	struct ipc_link *link; /* the one that is up */
	unsigned n_up, n_down, n_messages;
	unsigned stop_at_messages;
	enum reason why;
};

static void on_up(void *ctx, struct ipc_link *link)
{
	struct side *s = ctx;

	s->link = link;
	s->n_up++;
	if (!s->stop_at_messages)
		loop_stop(s->loop);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct side *s = ctx;

	(void)link;
	s->link = NULL;
	s->n_down++;
	s->why = why;
	loop_stop(s->loop);
}

static void on_ack(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct side *s = ctx;

	(void)link;
	ck_assert_uint_eq(msg->cdr_ack->id, 42);
	if (++s->n_messages == s->stop_at_messages)
		loop_stop(s->loop);
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_CDR_ACK, PROCESS_BIT(PROCESS_SBC), on_ack},
};

START_TEST(test_pair)
{
	char dir[] = "/tmp/gh-ipc-XXXXXX", path[64];
	struct process_users users;
	struct side a = {0}, b = {.stop_at_messages = 1};
	struct ipc_config config = {.self = PROCESS_AUTHD,
		.users = &users,
		.permits = permits,
		.n_permits = 1,
		.events = {on_up, on_down}};
	struct ipc_server *server;
	struct ipc_link *client;
	struct loop *loop;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/authd.sock", dir);
	process_users_all(&users, getuid());
	ck_assert_int_eq(loop_event_new(&loop), 0);
	a.loop = b.loop = config.loop = loop;
	config.ctx = &b;
	ck_assert_int_eq(ipc_listen(&config, path, &server), 0);
	config.self = PROCESS_SBC;
	config.ctx = &a;
	ck_assert_int_eq(ipc_connect(&config, path, PROCESS_AUTHD, &client), 0);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert(ipc_is_up(client));
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	ack.id = 42;
	IPC_MSG(msg, CDR_ACK, cdr_ack, &ack);
	ck_assert_int_eq(ipc_send(client, &msg), 0);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_uint_eq(b.n_messages, 1);
	/* authd may not send this: sbc closes the link and connects again. */
	ck_assert_int_eq(ipc_send(b.link, &msg), 0);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_uint_eq(a.n_down, 1);
	ck_assert_int_eq(a.why, REASON_IPC_NOT_PERMITTED);
	while (a.n_up < 2)
		ck_assert_int_eq(loop_run(loop), 0);
	ipc_link_free(&client);
	ipc_server_free(&server);
	loop_free(&loop);
	(void)unlink(path);
	(void)rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ipc");
	TCase *t = tcase_create("link");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, test_pair);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
