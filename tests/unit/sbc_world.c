/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/sbc_world.h"

#include "sbc/message.h"

#include "sbc/drain.h"
#include "sbc/leg_save.h"
#include "sbc/save.h"

#include <sofia-sip/sip_status.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "sbc/call_list.h"
#include "sbc/ctl.h"
#include "sbc/loop_sofia.h"
#include "sbc/sofia_cures.h"
#include "sbc/surrogate.h"
#include "sbc/trunk.h"

#define STEP_US 20000

/* protobuf-c's fields are not const; nobody writes to them. */
static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* ------------------------------------------------- the call side's stand-in */

static struct world *the_world; /* calls_new() and the like get only sbc */

struct calls {
	struct sbc *sbc;
};

int calls_new(struct sbc *sbc, struct calls **out)
{
	*out = calloc(1, sizeof(**out));
	ck_assert_ptr_nonnull(*out);
	(*out)->sbc = sbc;
	return 0;
}

void calls_free(struct calls **calls)
{
	free(*calls);
	*calls = NULL;
}

void call_on_invite(
	struct calls *calls, struct inbound *in, struct account *account)
{
	nta_incoming_t *irq;

	the_world->n_invites++;
	the_world->invite_had_account = account != NULL;
	the_world->invite_had_trunk = in->trunk != NULL;
	account_unref(&account);
	irq = stack_accept(calls->sbc->stack, in);
	ck_assert_ptr_nonnull(irq);
	nta_incoming_treply(irq, SIP_486_BUSY_HERE, TAG_END());
	nta_incoming_destroy(irq);
}

void calls_moved(struct calls *calls, uint64_t account, const struct addr *from,
	uint64_t from_flow, const struct inbound *now)
{
	(void)calls;
	ck_assert_uint_eq(account, 1);
	the_world->n_moved++;
	the_world->moved_from_flow = from_flow;
	the_world->moved_from = *from;
	the_world->moved_to = now->source;
}

size_t calls_count(const struct calls *calls)
{
	(void)calls;
	return 0;
}

void calls_drain(struct calls *calls, bool drain)
{
	(void)calls;
	(void)drain;
}

void calls_end_all(struct calls *calls, enum reason why,
	void (*on_empty)(void *ctx), void *ctx)
{
	(void)calls;
	(void)why;
	on_empty(ctx);
}

void trunks_on_auth_answer(
	struct trunks *trunks, const Gh__TrunkAuthAnswer *answer)
{
	(void)trunks;
	(void)answer;
}

bool trunk_in_service(struct trunks *trunks, uint32_t id)
{
	(void)trunks;
	return id != 2;
}

void trunks_wake(struct trunks *trunks)
{
	(void)trunks;
}

struct surrogates *trunks_surrogates(struct trunks *trunks)
{
	(void)trunks;
	return NULL;
}

const char *surrogate_state(const struct surrogates *surrogates, uint64_t id)
{
	(void)surrogates;
	(void)id;
	return NULL;
}

uint32_t trunk_calls(struct trunks *trunks, uint32_t id)
{
	(void)trunks;
	return id;
}

void calls_walk(const struct calls *calls,
	void (*fn)(void *ctx, const struct call_list_entry *entry), void *ctx)
{
	const struct call_list_entry entry = {.id = "0123456789ABCDEF",
		.state = "up",
		.caller_number = "100",
		.called_number = "200",
		.wall_start_us = 1,
		.caller = {.kind = "phone", .extension = "100"}};

	(void)calls;
	fn(ctx, &entry);
}

/* Subscriptions and texts are the call side's too. */
void event_on_subscribe(struct sbc *sbc, struct inbound *in)
{
	stack_refuse(sbc->stack, in, REASON_EVENT_PACKAGE);
}

void event_on_notify(struct sbc *sbc, struct inbound *in)
{
	stack_refuse(sbc->stack, in, REASON_EVENT_PACKAGE);
}

void message_on_request(struct sbc *sbc, struct inbound *in)
{
	stack_refuse(sbc->stack, in, REASON_MESSAGE_OFF);
}

size_t events_count(const struct events *events)
{
	(void)events;
	return 1;
}

void events_walk(struct events *events,
	void (*fn)(void *ctx, const struct event_entry *entry), void *ctx)
{
	static char extension[] = "100", user[] = "alice";
	Gh__Account account = GH__ACCOUNT__INIT;
	const struct event_entry entry = {.id = "0123456789ABCDEF",
		.state = "up",
		.package = "dialog",
		.resource = "701",
		.account = &account,
		.trunk = "pbx",
		.peer = &the_world->local,
		.n_notified = 3};

	(void)events;
	account.extension = extension;
	account.user = user;
	fn(ctx, &entry);
}

int cdrs_new(struct sbc *sbc, struct cdrs **out)
{
	(void)sbc;
	*out = NULL;
	return 0;
}

void cdrs_free(struct cdrs **cdrs)
{
	*cdrs = NULL;
}

/* Nothing is saved, and no dialog of an earlier life comes back. */
void save_put(struct saves *saves, enum save_kind kind, struct save_slot *slot,
	const ProtobufCMessage *msg)
{
	(void)saves;
	(void)kind;
	(void)slot;
	(void)msg;
}

void save_drop(struct saves *saves, enum save_kind kind, struct save_slot *slot)
{
	(void)saves;
	(void)kind;
	(void)slot;
}

bool saves_are_in_force(const struct saves *saves)
{
	(void)saves;
	return true;
}

void saves_settle(struct saves *saves)
{
	(void)saves;
}

void leg_on_sending(void *ctx, const struct iovec *parts, size_t n_parts)
{
	(void)ctx;
	(void)parts;
	(void)n_parts;
}

bool leg_take_orphan(nta_agent_t *agent, const sip_t *sip)
{
	(void)agent;
	(void)sip;
	return false;
}

void cdr_event(struct cdrs *cdrs, const Gh__Event *event)
{
	(void)cdrs;
	the_world->n_events++;
	the_world->last_event = event->reason;
}

void cdrs_on_ack(struct cdrs *cdrs, const Gh__CdrAck *ack)
{
	(void)cdrs;
	(void)ack;
}

void cdrs_on_authd_up(struct cdrs *cdrs)
{
	(void)cdrs;
}

void media_apply(struct media *media, const struct settings *settings)
{
	(void)media;
	(void)settings;
}

/* ------------------------------------------------------- authd's stand-in */

static void fill_account(Gh__Account *row, const char *user)
{
	static char number[] = "+4930123456", first[] = "100", second[] = "200";
	static char *numbers[] = {number};

	row->id = strtoull(user + 1, NULL, 10); /* "u7" is account 7 */
	row->user = text_of(user);
	row->extension = row->id == 1 ? first : second;
	row->numbers = numbers;
	row->n_numbers = row->id == 1 ? 1 : 0;
	row->enabled = true;
	row->realm = 1;
}

static void send_answer(struct world *w, uint64_t id, const char *user,
	Gh__AuthVerdict verdict, enum reason why)
{
	Gh__AuthAnswer answer = GH__AUTH_ANSWER__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;

	answer.id = id;
	answer.verdict = verdict;
	answer.reason = reason_number(why);
	if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK) {
		fill_account(&account, user);
		answer.account = &account;
	}
	IPC_MSG(msg, AUTH_ANSWER, auth_answer, &answer);
	ck_assert_int_eq(ipc_send(w->link, &msg), 0);
}

void world_answer(
	struct world *w, size_t n, Gh__AuthVerdict verdict, enum reason why)
{
	ck_assert_uint_lt(n, w->n_pending);
	send_answer(w, w->pending[n], w->last_username, verdict, why);
}

void world_say(struct world *w, const Gh__Msg *msg)
{
	ck_assert_int_eq(ipc_send(w->link, msg), 0);
}

/* "good" is right, "replay" was used before, all else is wrong. */
static void on_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct world *w = ctx;
	const Gh__AuthRequest *r = msg->auth_request;

	(void)link;
	w->n_auth++;
	snprintf(w->last_method, sizeof(w->last_method), "%s", r->method);
	snprintf(w->last_uri, sizeof(w->last_uri), "%s", r->request_uri);
	snprintf(w->last_username, sizeof(w->last_username), "%s",
		r->digest->username);
	if (w->authd_silent) {
		if (w->n_pending < WORLD_AUTH_MAX)
			w->pending[w->n_pending++] = r->id;
		return;
	}
	if (strcmp(r->digest->response, "good") == 0)
		send_answer(w, r->id, r->digest->username,
			GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	else if (strcmp(r->digest->response, "replay") == 0)
		send_answer(w, r->id, r->digest->username,
			GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
			REASON_AUTH_REPLAY);
	else if (strcmp(r->digest->response, "forbidden") == 0)
		send_answer(w, r->id, r->digest->username,
			GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED,
			REASON_AUTH_NETWORK);
	else
		send_answer(w, r->id, r->digest->username,
			GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
			REASON_AUTH_WRONG);
}

static void on_account(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct world *w = ctx;
	Gh__AccountAnswer answer = GH__ACCOUNT_ANSWER__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;

	w->n_account++;
	if (w->authd_silent)
		return;
	answer.id = msg->account_query->id;
	if (strcmp(msg->account_query->key, "100") == 0 ||
		strcmp(msg->account_query->key, "+4930123456") == 0) {
		fill_account(&account, "u1");
		answer.account = &account;
		answer.found = true;
	}
	/* Beside the one number that is somebody's nobody has any. */
	if (msg->account_query->by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER &&
		!answer.found) {
		answer.nobodys = true;
		answer.nobodys_below = (char *)(uintptr_t) "+4930123456";
	}
	IPC_MSG(out, ACCOUNT_ANSWER, account_answer, &answer);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_update(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct world *w = ctx;
	size_t len = gh__bindings_update__get_packed_size(msg->bindings_update);
	uint8_t *bytes = malloc(len + 1);

	(void)link;
	ck_assert_ptr_nonnull(bytes);
	gh__bindings_update__pack(msg->bindings_update, bytes);
	if (w->last_update)
		gh__bindings_update__free_unpacked(w->last_update, NULL);
	w->last_update = gh__bindings_update__unpack(NULL, len, bytes);
	free(bytes);
	w->n_updates++;
}

static void on_result(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct world *w = ctx;
	size_t len = gh__settings_result__get_packed_size(msg->settings_result);
	uint8_t *bytes = malloc(len + 1);

	(void)link;
	ck_assert_ptr_nonnull(bytes);
	gh__settings_result__pack(msg->settings_result, bytes);
	if (w->last_result)
		gh__settings_result__free_unpacked(w->last_result, NULL);
	w->last_result = gh__settings_result__unpack(NULL, len, bytes);
	free(bytes);
}

static void on_up(void *ctx, struct ipc_link *link)
{
	struct world *w = ctx;
	static uint8_t key[48] =
		"a key that proves freshness and nothing else...";
	Gh__NonceKey current = GH__NONCE_KEY__INIT;
	Gh__NonceKeys keys = GH__NONCE_KEYS__INIT;

	w->link = link;
	current.id = 1;
	current.key.data = key;
	current.key.len = sizeof(key);
	keys.current = &current;
	keys.lifetime_s = 60;
	IPC_MSG(msg, NONCE_KEYS, nonce_keys, &keys);
	ck_assert_int_eq(ipc_send(link, &msg), 0);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct world *w = ctx;

	(void)link;
	(void)why;
	w->link = NULL;
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC), on_auth},
	{GH__MSG__BODY_ACCOUNT_QUERY, PROCESS_BIT(PROCESS_SBC), on_account},
	{GH__MSG__BODY_BINDINGS_UPDATE, PROCESS_BIT(PROCESS_SBC), on_update},
	{GH__MSG__BODY_SETTINGS_RESULT, PROCESS_BIT(PROCESS_SBC), on_result},
};

void world_authd_start(struct world *w)
{
	struct ipc_config config = {
		.loop = w->sbc.daemon.loop,
		.self = PROCESS_AUTHD,
		.users = &w->sbc.daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = w,
	};
	char path[96];

	snprintf(path, sizeof(path), "%s/authd.sock", w->dir);
	ck_assert_int_eq(ipc_listen(&config, path, &w->authd), 0);
}

void world_authd_stop(struct world *w)
{
	ipc_server_free(&w->authd);
	w->link = NULL;
}

/* ---------------------------------------------------------------- settings */

static void say_piece(struct world *w, Gh__SettingsPiece *piece,
	uint64_t version, uint32_t *n)
{
	piece->version = version;
	IPC_MSG(msg, SETTINGS_PIECE, settings_piece, piece);
	world_say(w, &msg);
	(*n)++;
}

static void say_setting(struct world *w, const char *name, const char *value,
	uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Setting setting = GH__SETTING__INIT;

	if (!value)
		return;
	setting.name = text_of(name);
	setting.value = text_of(value);
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_SETTING;
	piece.setting = &setting;
	say_piece(w, &piece, version, n);
}

static void say_codecs(struct world *w, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__CodecList list = GH__CODEC_LIST__INIT;
	Gh__Codec codec = GH__CODEC__INIT;
	Gh__Codec *codecs[] = {&codec};

	codec.name = text_of("PCMA");
	codec.clock = 8000;
	codec.channels = 1;
	list.id = 1;
	list.name = text_of("plain");
	list.codecs = codecs;
	list.n_codecs = 1;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_CODEC_LIST;
	piece.codec_list = &list;
	say_piece(w, &piece, version, n);
}

static void say_realm(struct world *w, const struct world_config *config,
	bool phones, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Realm realm = GH__REALM__INIT;
	Gh__RealmAddress a[4] = {GH__REALM_ADDRESS__INIT,
		GH__REALM_ADDRESS__INIT, GH__REALM_ADDRESS__INIT,
		GH__REALM_ADDRESS__INIT};
	Gh__RealmAddress *addresses[] = {&a[0], &a[1], &a[2], &a[3]};
	Gh__DigestOffer offer[2] = {
		GH__DIGEST_OFFER__INIT, GH__DIGEST_OFFER__INIT};
	Gh__DigestOffer *offers[] = {&offer[0], &offer[1]};
	char listen[4][ADDR_TEXT_SIZE];
	char *domains[] = {text_of("example.com")};

	addr_format(phones ? &w->local : &w->trunks, listen[0]);
	a[0].listen = listen[0];
	a[0].media = text_of("127.0.0.1");
	if (phones && config->advertised)
		a[0].advertised_sip = text_of(config->advertised);
	realm.n_addresses = 1;
	if (phones && addr_is_set(&w->local6)) {
		addr_format(&w->local6, listen[1]);
		a[1].listen = listen[1];
		a[1].media = text_of("::1");
		realm.n_addresses = 2;
	}
	for (unsigned i = 0; phones && config->streams && i < 2; i++) {
		Gh__RealmAddress *s = &a[realm.n_addresses];

		addr_format(i ? &w->tls : &w->tcp, listen[realm.n_addresses]);
		s->listen = listen[realm.n_addresses++];
		s->media = text_of("127.0.0.1");
		s->transport = i ? GH__TRANSPORT__TRANSPORT_TLS
				 : GH__TRANSPORT__TRANSPORT_TCP;
		s->advertised_sip = text_of("sbc.example.com");
	}
	offer[1].algorithm = GH__ALGORITHM__ALGORITHM_SHA256;
	realm.id = phones ? 1 : 2;
	realm.name = phones ? text_of("outside") : text_of("itsp");
	realm.phones = phones;
	realm.strangers_invite = config->strangers_invite;
	realm.addresses = addresses;
	realm.domains = domains;
	realm.n_domains = 1;
	realm.digest_realm = text_of("example.com");
	realm.digest = offers;
	realm.n_digest = config->n_digest;
	realm.codec_list = 1;
	realm.media_port_min = 30000;
	realm.media_port_max = 30999;
	realm.expires_min_s = 60;
	realm.expires_max_s = 3600;
	realm.expires_default_s = 600;
	realm.max_contacts = 3;
	if (phones) {
		realm.acl = (char **)(uintptr_t)config->acl;
		realm.n_acl = config->n_acl;
	}
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_REALM;
	piece.realm = &realm;
	say_piece(w, &piece, version, n);
}

static void say_trunk(
	struct world *w, bool phones_realm, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Trunk trunk = GH__TRUNK__INIT;
	Gh__TrunkSource source = GH__TRUNK_SOURCE__INIT;
	Gh__TrunkSource *sources[] = {&source};
	Gh__TrunkTarget target = GH__TRUNK_TARGET__INIT;
	Gh__TrunkTarget *targets[] = {&target};

	source.network = text_of("127.0.0.2/32");
	target.host = text_of("127.0.0.2");
	target.port = 5999;
	trunk.id = phones_realm ? 1 : 2;
	trunk.name = phones_realm ? text_of("probe") : text_of("itsp");
	trunk.realm = phones_realm ? 1 : 2;
	trunk.enabled = true;
	trunk.sources = sources;
	trunk.n_sources = 1;
	trunk.targets = targets;
	trunk.n_targets = 1;
	trunk.codec_list = 1;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_TRUNK;
	piece.trunk = &trunk;
	say_piece(w, &piece, version, n);
}

void world_settings(
	struct world *w, const struct world_config *config, uint64_t version)
{
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	uint32_t n = 0;

	say_codecs(w, version, &n);
	say_realm(w, config, true, version, &n);
	say_realm(w, config, false, version, &n);
	say_trunk(w, true, version, &n);
	if (config->with_trunk)
		say_trunk(w, false, version, &n);
	say_setting(w, "unknown_rate", config->unknown_rate, version, &n);
	say_setting(w, "trusted_rate", config->trusted_rate, version, &n);
	say_setting(w, "trunk_rate", config->trusted_rate, version, &n);
	say_setting(w, "source_rate", config->source_rate, version, &n);
	done.version = version;
	done.n_pieces = n;
	IPC_MSG(msg, SETTINGS_DONE, settings_done, &done);
	world_say(w, &msg);
}

/* ------------------------------------------------------------------- world */

void world_until(
	struct world *w, bool (*done)(void *ctx), void *ctx, const char *what)
{
	uint64_t end = clock_now_us() + WORLD_PATIENCE_US;

	while (!done(ctx)) {
		ck_assert_msg(clock_now_us() < end, "never came: %s", what);
		ck_assert_int_eq(
			loop_sofia_step(w->sbc.daemon.loop, STEP_US), 0);
	}
}

/* Ports that are free now, for listeners that keeper's stand-in opens. Held
 * until all are picked: the system may give one that was let go once more. */
static void pick(const char *ip, struct addr *const *out, size_t n)
{
	struct peer peers[8];

	ck_assert_uint_le(n, sizeof(peers) / sizeof(peers[0]));
	for (size_t i = 0; i < n; i++) {
		peer_open(&peers[i], ip);
		*out[i] = peers[i].local;
	}
	for (size_t i = 0; i < n; i++)
		peer_close(&peers[i]);
}

static bool has_ipv6(void)
{
	struct sockaddr_storage sa;
	struct addr a;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has;

	ck_assert_int_eq(addr_parse("::1", &a), 0);
	has = fd >= 0 &&
	      bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&a, &sa)) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

static bool is_open(void *ctx)
{
	struct world *w = ctx;

	return w->sbc.settings && stack_is_open(w->sbc.stack) && w->last_result;
}

static bool has_link(void *ctx)
{
	return ((struct world *)ctx)->link != NULL;
}

static void on_keeper(void *ctx)
{
	(void)ctx;
}

static const struct notify_events no_events = {
	.on_up = on_keeper, .on_down = on_keeper, .on_orphan = on_keeper};

struct world *world_new(const struct world_config *config)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[96];

	ck_assert_ptr_nonnull(w);
	the_world = w;
	w->sbc.daemon.self = PROCESS_SBC;
	w->dir_stays = config->dir != NULL;
	snprintf(w->dir, sizeof(w->dir), "%s",
		config->dir ? config->dir : "/tmp/sbc-test-XXXXXX");
	if (!config->dir)
		ck_assert_ptr_nonnull(mkdtemp(w->dir));
	pick("127.0.0.1",
		(struct addr *[]){
			&w->local, &w->trunks, &w->tcp, &w->tls, &w->bridge},
		5);
	if (has_ipv6())
		pick("::1", (struct addr *[]){&w->local6}, 1);
	ck_assert_int_eq(cures_begin(), 0);
	ck_assert_int_eq(loop_sofia_new(&w->sbc.daemon.loop), 0);
	process_users_all(&w->sbc.daemon.users, getuid());
	ck_assert_int_eq(notify_new(w->sbc.daemon.loop, NULL, PROCESS_SBC,
				 &no_events, w, &w->sbc.daemon.keeper),
		0);
	world_authd_start(w);
	snprintf(path, sizeof(path), "%s/flowd.sock", w->dir);
	ck_assert_int_eq(
		flows_new(&w->sbc, path, &w->bridge, &w->sbc.flows), 0);
	ck_assert_int_eq(stack_new(&w->sbc, &w->sbc.stack), 0);
	ck_assert_int_eq(admit_new(&w->sbc, &w->sbc.admit), 0);
	ck_assert_int_eq(auth_new(&w->sbc, &w->sbc.auth), 0);
	ck_assert_int_eq(waits_new(&w->sbc, &w->sbc.waits), 0);
	ck_assert_int_eq(bindings_new(&w->sbc, &w->sbc.bindings), 0);
	ck_assert_int_eq(calls_new(&w->sbc, &w->sbc.calls), 0);
	snprintf(path, sizeof(path), "%s/authd.sock", w->dir);
	ck_assert_int_eq(authd_new(&w->sbc, path, &w->sbc.authd), 0);
	ck_assert_int_eq(accounts_new(w->sbc.authd, &w->sbc.accounts), 0);
	snprintf(path, sizeof(path), "%s/sbc.sock", w->dir);
	ck_assert_int_eq(drain_new(&w->sbc, &w->sbc.drain), 0);
	ck_assert_int_eq(ctl_new(&w->sbc, path, &w->sbc.ctl), 0);
	world_until(w, has_link, w, "the link to authd");
	if (config->sandbox)
		ck_assert_int_eq(sbc_sandbox(&w->sbc, w->dir), 0);
	world_settings(w, config, 1);
	world_until(w, is_open, w, "listeners");
	ck_assert(w->last_result->accepted);
	return w;
}

void world_free(struct world **ref)
{
	struct world *w = *ref;
	char path[96];

	*ref = NULL;
	ctl_free(&w->sbc.ctl);
	drain_free(&w->sbc.drain);
	waits_free(&w->sbc.waits);
	calls_free(&w->sbc.calls);
	accounts_free(&w->sbc.accounts);
	auth_free(&w->sbc.auth);
	bindings_free(&w->sbc.bindings);
	authd_free(&w->sbc.authd);
	stack_free(&w->sbc.stack);
	flows_free(&w->sbc.flows);
	admit_free(&w->sbc.admit);
	settings_unref(&w->sbc.settings);
	world_authd_stop(w);
	notify_free(&w->sbc.daemon.keeper);
	loop_free(&w->sbc.daemon.loop);
	if (w->last_update)
		gh__bindings_update__free_unpacked(w->last_update, NULL);
	if (w->last_result)
		gh__settings_result__free_unpacked(w->last_result, NULL);
	snprintf(path, sizeof(path), "%s/authd.sock", w->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/sbc.sock", w->dir);
	unlink(path);
	if (!w->dir_stays)
		rmdir(w->dir);
	free(w);
}

/* ------------------------------------------------------------------- peers */

void peer_open(struct peer *p, const char *ip)
{
	struct sockaddr_storage sa;
	socklen_t len;

	ck_assert_int_eq(addr_parse(ip, &p->local), 0);
	p->fd = socket(
		p->local.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(p->fd, 0);
	len = addr_to_sockaddr(&p->local, &sa);
	ck_assert_int_eq(bind(p->fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(p->fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, &p->local), 0);
}

void peer_close(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void peer_send_bytes(const struct peer *p, const struct addr *to,
	const void *bytes, size_t len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(to, &sa);

	ck_assert_int_eq(
		sendto(p->fd, bytes, len, 0, (struct sockaddr *)&sa, sa_len),
		(ssize_t)len);
}

void peer_send(const struct peer *p, const struct addr *to, const char *text)
{
	peer_send_bytes(p, to, text, strlen(text));
}

struct receiving {
	const struct peer *peer;
	char *text;
};

static bool received(void *ctx)
{
	struct receiving *r = ctx;
	ssize_t n = recv(r->peer->fd, r->text, WORLD_TEXT_SIZE - 1, 0);

	if (n < 0)
		return false;
	r->text[n] = '\0';
	return true;
}

void peer_recv(
	struct world *w, const struct peer *p, char text[WORLD_TEXT_SIZE])
{
	struct receiving r = {p, text};

	world_until(w, received, &r, "a datagram");
}

void peer_hears_nothing(
	struct world *w, const struct peer *p, const struct addr *at)
{
	static char text[WORLD_TEXT_SIZE];
	struct request r = {.method = "OPTIONS", .uri = "sip:example.com"};
	struct peer probe;

	peer_open(&probe, at->family == AF_INET6 ? "::1" : "127.0.0.2");
	peer_send(&probe, at, request_text(&probe, &r, text));
	peer_recv(w, &probe, text);
	ck_assert_ptr_nonnull(strstr(text, "SIP/2.0 200"));
	peer_close(&probe);
	ck_assert_msg(recv(p->fd, text, sizeof(text) - 1, 0) < 0,
		"heard: %.300s", text);
}

/* ---------------------------------------------------------------- messages */

const char *request_text(const struct peer *p, const struct request *r,
	char text[WORLD_TEXT_SIZE])
{
	static unsigned n_branches;
	char own[ADDR_TEXT_SIZE];
	char branch[32];
	const char *method = r->method ? r->method : "REGISTER";

	addr_format(&p->local, own);
	snprintf(branch, sizeof(branch), "z9hG4bKt%u", ++n_branches);
	snprintf(text, WORLD_TEXT_SIZE,
		"%s %s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=%s;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: <%s>;tag=f1\r\n"
		"To: <%s>\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u %s\r\n"
		"%s"
		"Content-Length: 0\r\n\r\n",
		method, r->uri ? r->uri : "sip:example.com",
		r->via_host ? r->via_host : own, r->branch ? r->branch : branch,
		r->from ? r->from : "sip:100@example.com",
		r->to ? r->to : "sip:100@example.com",
		r->call_id ? r->call_id : "call-1", r->cseq ? r->cseq : 1,
		method, r->extra ? r->extra : "");
	return text;
}

const char *header(const char *message, const char *name, char text[1024])
{
	char key[64];
	const char *p;
	size_t len;

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	p = strstr(message, key);
	text[0] = '\0';
	if (!p)
		return text;
	p += strlen(key);
	len = strcspn(p, "\r\n");
	ck_assert_uint_lt(len, 1024);
	memcpy(text, p, len);
	text[len] = '\0';
	return text;
}

const char *authorization(const char *challenge, const char *username,
	const char *response, char text[1024])
{
	const char *p = strstr(challenge, "nonce=\"");
	char nonce[128];
	size_t len;

	ck_assert_ptr_nonnull(p);
	p += 7;
	len = strcspn(p, "\"");
	ck_assert_uint_lt(len, sizeof(nonce));
	memcpy(nonce, p, len);
	nonce[len] = '\0';
	snprintf(text, 1024,
		"Authorization: Digest username=\"%s\", realm=\"example.com\","
		" nonce=\"%s\", uri=\"sip:example.com\", response=\"%s\","
		" algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n",
		username, nonce, response);
	return text;
}
