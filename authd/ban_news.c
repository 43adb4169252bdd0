/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bans as news: sbc is told at once (it drops the source unread), the database
 * gets a row and an event, an administrator's lifting comes back from it. Who
 * is banned is ban.c's. Called by server and judge.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "authd/server_i.h"
#include "common/clock.h"
#include "common/log.h"

enum {
	EXEMPT_MAX = 4096,
	READ_US = 5 * 1000 * 1000,
	AGAIN_US = 1000 * 1000,
};

/* "192.0.2.1", or "2001:db8::/64" for IPv6. */
static void host_text(const struct addr *host, char text[ADDR_TEXT_SIZE + 4])
{
	addr_format_ip(host, text);
	if (host->family == AF_INET6)
		memcpy(text + strlen(text), "/64", 4);
}

static void tell(struct server *s, struct ipc_link *link,
	const struct addr *host, uint64_t until_us, enum reason why,
	bool lifted)
{
	char text[ADDR_TEXT_SIZE];
	Gh__Ban ban = GH__BAN__INIT;
	IPC_MSG(msg, BAN, ban, &ban);

	addr_format_ip(host, text);
	ban.host = text;
	ban.until_us = until_us;
	ban.reason = reason_number(why);
	ban.lifted = lifted;
	if (!link)
		ipc_broadcast(s->ipc, PROCESS_BIT(PROCESS_SBC), &msg);
	else if (ipc_send(link, &msg) < 0)
		log_warning("ban_not_sent");
}

void ban_news_on_ban(void *ctx, const struct addr *source, const char *user,
	uint32_t failures)
{
	struct server *s = ctx;
	struct addr host = addr_host_key(source);
	uint64_t now = clock_now_us();
	uint64_t until = ban_until(s->bans, source, now);
	char text[ADDR_TEXT_SIZE + 4];
	Gh__BanRecord record = GH__BAN_RECORD__INIT;
	Gh__Event event = GH__EVENT__INIT;

	s->ban_made_us = now;
	reason_count(REASON_BAN_FAILURES);
	host_text(&host, text);
	log_notice("ban", LOG_STR("src", text), LOG_STR("last_user", user),
		LOG_UINT("failures", failures),
		LOG_UINT("seconds", (until - now) / CLOCK_US_PER_S));
	tell(s, NULL, &host, until, REASON_BAN_FAILURES, false);
	record.host = text;
	record.wall_us = clock_wall_us();
	record.wall_until_us = record.wall_us + (until - now);
	record.reason = reason_number(REASON_BAN_FAILURES);
	record.failures = failures;
	record.last_user = (char *)(uintptr_t)user;
	records_ban(s->records, &record);
	event.wall_us = record.wall_us;
	event.reason = record.reason;
	event.source = text;
	event.data = record.last_user;
	records_event(s->records, &event);
}

struct send_all {
	struct server *server;
	struct ipc_link *link;
};

static void send_one(void *ctx, const struct addr *host, uint64_t until_us)
{
	struct send_all *all = ctx;

	tell(all->server, all->link, host, until_us, REASON_BAN_FAILURES,
		false);
}

void ban_news_send_all(struct server *s, struct ipc_link *link)
{
	struct send_all all = {s, link};

	ban_each(s->bans, clock_now_us(), send_one, &all);
}

void ban_news_lift(struct server *s, const struct addr *host)
{
	Gh__Event event = GH__EVENT__INIT;
	char text[ADDR_TEXT_SIZE + 4];
	struct addr key = addr_host_key(host);

	if (!ban_lift(s->bans, host, clock_now_us()))
		return;
	reason_count(REASON_BAN_LIFTED);
	host_text(&key, text);
	log_notice("ban_lifted", LOG_STR("src", text));
	tell(s, NULL, &key, 0, REASON_BAN_LIFTED, true);
	event.wall_us = clock_wall_us();
	event.reason = reason_number(REASON_BAN_LIFTED);
	event.source = text;
	records_event(s->records, &event);
}

/* ------------------------------------------------------- what is exempt */

struct exempt {
	struct addr_net nets[EXEMPT_MAX];
	size_t n;
};

static void add_trunk(void *ctx, const Gh__Trunk *trunk)
{
	struct exempt *e = ctx;
	struct addr target;

	for (size_t i = 0; i < trunk->n_sources && e->n < EXEMPT_MAX; i++) {
		if (addr_net_parse(
			    trunk->sources[i]->network, &e->nets[e->n]) == 0)
			e->n++;
	}
	for (size_t i = 0; i < trunk->n_targets && e->n < EXEMPT_MAX; i++) {
		if (addr_parse(trunk->targets[i]->host, &target) < 0)
			continue;
		target.port = 0;
		e->nets[e->n].base = target;
		e->nets[e->n].prefix_len = target.family == AF_INET ? 32 : 128;
		e->n++;
	}
}

void ban_news_on_settings(struct server *s)
{
	struct exempt *e = calloc(1, sizeof(*e));
	const struct ban_limits limits = {
		.failures = (uint32_t)snapshots_number(
			s->snapshots, "ban_failures", 3, 1, 1000),
		.window_s = (uint32_t)snapshots_number(
			s->snapshots, "ban_window_s", 600, 1, 604800),
		.ban_s = (uint32_t)snapshots_number(
			s->snapshots, "ban_s", 600, 1, 604800),
	};

	ban_set_limits(s->bans, &limits);
	if (!e)
		return;
	snapshots_each_trunk(s->snapshots, add_trunk, e);
	if (ban_set_exempt(s->bans, e->nets, e->n) < 0)
		log_warning("ban_exempt_not_set");
	free(e);
}

/* ------------------------------------------------- what the database says */

/* A ban that SQL no longer lists was lifted there. */
static void lift_if_gone(
	struct server *s, const PGresult *rows, const struct addr *host)
{
	struct addr_net net;

	for (int i = 0; i < PQntuples(rows); i++) {
		if (addr_net_parse(db_text(rows, i, "host"), &net) == 0 &&
			addr_in_net(host, &net))
			return;
	}
	ban_news_lift(s, host);
}

struct host_list {
	struct addr *hosts;
	size_t n, size;
};

static void collect(void *ctx, const struct addr *host, uint64_t until_us)
{
	struct host_list *list = ctx;

	(void)until_us;
	if (list->n < list->size)
		list->hosts[list->n++] = *host;
}

static void on_read(void *ctx, const struct db_result *result)
{
	struct server *s = ctx;
	uint64_t wall = clock_wall_us(), now = clock_now_us();
	struct host_list list = {.size = 10000};
	const PGresult *r;

	if (result->err != 0)
		return;
	r = result->results[0];
	for (int i = 0; i < PQntuples(r); i++) {
		uint64_t until = db_u64(r, i, "until_us");
		struct addr_net net;

		if (addr_net_parse(db_text(r, i, "host"), &net) < 0 ||
			until <= wall || ban_until(s->bans, &net.base, now))
			continue;
		ban_set(s->bans, &net.base, now + (until - wall));
		tell(s, NULL, &net.base, now + (until - wall),
			REASON_BAN_FAILURES, false);
	}
	/* One that is younger than this reading, or was still in the spool,
	 * might be missing for that: what is lifted is seen next time. */
	if (!s->ban_all_stored || s->ban_made_us >= s->ban_read_us) {
		loop_timer_set(s->loop, s->ban_timer, AGAIN_US);
		return;
	}
	list.hosts = calloc(list.size, sizeof(*list.hosts));
	if (!list.hosts)
		return;
	ban_each(s->bans, now, collect, &list);
	for (size_t i = 0; i < list.n; i++)
		lift_if_gone(s, r, &list.hosts[i]);
	free(list.hosts);
}

void ban_news_on_timer(void *arg)
{
	ban_news_read(arg);
}

void ban_news_read(struct server *s)
{
	const struct db_step step = {.sql = "SELECT * FROM sbc.authd_ban"};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = READ_US,
		.fn = on_read,
		.ctx = s,
	};

	s->ban_read_us = clock_now_us();
	s->ban_all_stored = s->ban_made_us < records_stored_before(s->records);
	if (s->db && db_submit(s->db, &job) < 0)
		log_warning("bans_not_read");
}
