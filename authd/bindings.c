/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of registrations; see bindings.h. Called by server. A change is
 * written to the disk's file at once; the database gets what changed in
 * batches, the newest state of an account only.
 */
#include "authd/bindings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "authd/json_list.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/table.h"

enum {
	FLUSH_US = 200 * 1000,
	RETRY_US = 1000 * 1000,
	STORE_US = 8 * 1000 * 1000,
	SWEEP_US = 30 * 1000 * 1000,
	BATCH_MAX = 500, /* accounts */
	BATCH_BYTES = 256 * 1024,
	NUMBER_SIZE = 24,
};

struct registered {
	struct table_node node;
	TAILQ_ENTRY(registered) order; /* in dirty */
	uint64_t account;
	Gh__BindingsUpdate *update; /* without bindings: gone, to be written */
	bool dirty;                 /* the database does not know */
	bool writing;               /* in the batch under way */
};

/* How many bindings come from one host. */
struct host {
	struct table_node node;
	uint8_t key[17];
	size_t n;
};

struct bindings {
	struct loop *loop;
	struct db *db;
	struct vault *vault;
	struct loop_timer *flush;
	struct loop_timer *sweep;
	struct table accounts;
	struct table hosts;
	TAILQ_HEAD(, registered) dirty;
	bool busy;
	bool more; /* than the batch under way could take */
};

static void host_key(const struct addr *source, uint8_t key[17])
{
	struct addr host = addr_host_key(source);

	memset(key, 0, 17);
	key[0] = (uint8_t)host.family;
	memcpy(key + 1, host.ip, host.family == AF_INET ? 4 : 16);
}

static struct host *find_host(const struct bindings *b, const struct addr *a)
{
	struct table_node *node;
	uint8_t key[17];

	host_key(a, key);
	node = table_find(&b->hosts, key, sizeof(key));
	return node ? TABLE_ENTRY(node, struct host, node) : NULL;
}

static void count_host(struct bindings *b, const char *source, int step)
{
	struct addr a;
	struct host *h;

	if (addr_parse(source, &a) < 0)
		return;
	h = find_host(b, &a);
	if (!h && step > 0) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return;
		host_key(&a, h->key);
		if (table_add(&b->hosts, &h->node, h->key, sizeof(h->key)) <
			0) {
			free(h);
			return;
		}
	}
	if (!h)
		return;
	h->n += (size_t)step;
	if (h->n == 0) {
		table_remove(&b->hosts, &h->node);
		free(h);
	}
}

static void count_hosts(
	struct bindings *b, const Gh__BindingsUpdate *update, int step)
{
	for (size_t i = 0; i < update->n_bindings; i++)
		count_host(b, update->bindings[i]->source, step);
}

bool bindings_has_host(const struct bindings *b, const struct addr *source)
{
	return find_host(b, source) != NULL;
}

size_t bindings_count(const struct bindings *b)
{
	return b->accounts.n_entries;
}

static struct registered *find(const struct bindings *b, uint64_t account)
{
	struct table_node *node =
		table_find(&b->accounts, &account, sizeof(account));

	return node ? TABLE_ENTRY(node, struct registered, node) : NULL;
}

static void drop(struct bindings *b, struct registered *r)
{
	if (r->dirty)
		TAILQ_REMOVE(&b->dirty, r, order);
	table_remove(&b->accounts, &r->node);
	count_hosts(b, r->update, -1);
	gh__bindings_update__free_unpacked(r->update, NULL);
	free(r);
}

static void mark(struct bindings *b, struct registered *r)
{
	/* Counted from the first: the rest must not put it off. */
	if (!b->busy && TAILQ_EMPTY(&b->dirty))
		loop_timer_set(b->loop, b->flush, FLUSH_US);
	if (!r->dirty)
		TAILQ_INSERT_TAIL(&b->dirty, r, order);
	r->dirty = true;
	r->writing = false;
}

static Gh__BindingsUpdate *copy(
	const Gh__BindingsUpdate *update, uint8_t **bytes_out, size_t *len_out)
{
	size_t len = gh__bindings_update__get_packed_size(update);
	uint8_t *bytes = malloc(len ? len : 1);
	Gh__BindingsUpdate *c;

	if (!bytes)
		return NULL;
	gh__bindings_update__pack(update, bytes);
	c = gh__bindings_update__unpack(NULL, len, bytes);
	if (!c) {
		free(bytes);
		return NULL;
	}
	*bytes_out = bytes;
	*len_out = len;
	return c;
}

/* Puts an update in the account's place; update is taken. */
static int put(
	struct bindings *b, Gh__BindingsUpdate *update, struct registered **out)
{
	struct registered *r = find(b, update->account);
	int err;

	if (r) {
		count_hosts(b, r->update, -1);
		gh__bindings_update__free_unpacked(r->update, NULL);
		r->update = update;
	} else {
		r = calloc(1, sizeof(*r));
		if (!r) {
			gh__bindings_update__free_unpacked(update, NULL);
			return ERR_NOMEM;
		}
		r->account = update->account;
		r->update = update;
		err = table_add(&b->accounts, &r->node, &r->account,
			sizeof(r->account));
		if (err < 0) {
			gh__bindings_update__free_unpacked(update, NULL);
			free(r);
			return err;
		}
	}
	count_hosts(b, update, 1);
	*out = r;
	return 0;
}

int bindings_update(struct bindings *b, const Gh__BindingsUpdate *update)
{
	char name[24];
	struct registered *r;
	Gh__BindingsUpdate *c;
	uint8_t *bytes;
	size_t len;
	int err;

	if (update->n_bindings > BINDINGS_PER_ACCOUNT)
		return ERR_TOO_BIG;
	c = copy(update, &bytes, &len);
	if (!c)
		return ERR_NOMEM;
	snprintf(name, sizeof(name), "%" PRIu64, update->account);
	err = update->n_bindings ? vault_put(b->vault, name, bytes, len)
				 : vault_remove(b->vault, name);
	free(bytes);
	if (err < 0) /* memory and database still have it */
		log_peer_warning("bindings_not_on_disk", LOG_ERR(err));
	err = put(b, c, &r);
	if (err < 0)
		return err;
	mark(b, r);
	return 0;
}

void bindings_forget(struct bindings *b, uint64_t account)
{
	struct registered *r = find(b, account);
	char name[24];

	snprintf(name, sizeof(name), "%" PRIu64, account);
	if (vault_remove(b->vault, name) < 0)
		log_err("bindings_disk");
	if (r)
		drop(b, r);
}

/* ------------------------------------------------------- to the database */

static const char *const transport_names[] = {"udp", "tcp", "tls", "ws", "wss"};

/* What is empty is left out. */
static void put_binding(struct json *j, const Gh__Binding *m)
{
	size_t t = (size_t)m->transport;

	json_some_uint(j, "realm", m->realm);
	json_some_str(j, "contact", m->contact);
	json_some_str(j, "source", m->source);
	json_some_str(j, "local", m->local);
	json_some_str(j, "transport", t < 5 ? transport_names[t] : "");
	json_some_uint(j, "wall_expires_us", m->wall_expires_us);
	json_some_uint(j, "wall_registered_us", m->wall_registered_us);
	json_some_uint(j, "q_permille", m->q_permille);
	json_some_str(j, "call_id", m->call_id);
	json_some_uint(j, "cseq", m->cseq);
	json_some_str(j, "instance", m->instance);
	json_some_uint(j, "reg_id", m->reg_id);
	if (m->n_path > 0) {
		json_open_array(j, "path");
		for (size_t i = 0; i < m->n_path; i++)
			json_str(j, NULL, m->path[i]);
		json_close_array(j);
	}
	json_some_str(j, "user_agent", m->user_agent);
	json_some_uint(j, "flow", m->flow);
	if (m->behind_nat)
		json_bool(j, "behind_nat", true);
}

/* What one statement takes: two SQL arrays and the bindings. */
struct batch {
	char accounts[BATCH_MAX * NUMBER_SIZE + 2];
	char counts[BATCH_MAX * NUMBER_SIZE + 2];
	size_t accounts_len, counts_len, n;
	struct json_list bindings;
};

static void add_number(char *list, size_t *len, uint64_t number)
{
	*len += (size_t)snprintf(list + *len, NUMBER_SIZE, "%c%" PRIu64,
		*len ? ',' : '{', number);
}

static int add_registered(struct batch *b, const struct registered *r)
{
	for (size_t i = 0; i < r->update->n_bindings; i++) {
		struct json j;
		char *text;
		int err;

		json_begin(&j);
		json_uint(&j, "account", r->account);
		json_uint(&j, "position", i + 1);
		put_binding(&j, r->update->bindings[i]);
		err = json_end(&j, &text);
		if (err < 0)
			return err;
		err = json_list_add(&b->bindings, text);
		free(text);
		if (err < 0)
			return err;
	}
	add_number(b->accounts, &b->accounts_len, r->account);
	add_number(b->counts, &b->counts_len, r->update->n_bindings);
	b->n++;
	return 0;
}

static const char store_sql[] =
	"SELECT sbc.bindings_store($1::bigint[], $2::integer[], $3::json)";

static void on_stored(void *ctx, const struct db_result *result);

static int submit(struct bindings *b, struct batch *batch)
{
	const char *rows = json_list_text(&batch->bindings);
	struct db_step step = {
		.sql = store_sql,
		.often = true,
		.n_params = 3,
		.params = {batch->accounts, batch->counts, rows ? rows : "[]"},
	};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = STORE_US,
		.fn = on_stored,
		.ctx = b,
	};

	memcpy(batch->accounts + batch->accounts_len, "}", 2);
	memcpy(batch->counts + batch->counts_len, "}", 2);
	return db_submit(b->db, &job);
}

static void on_flush(void *arg)
{
	struct batch batch = {.n = 0};
	struct bindings *b = arg;
	struct registered *r;
	int err = 0;

	if (b->busy || !b->db || !db_is_up(b->db) || TAILQ_EMPTY(&b->dirty))
		return;
	b->more = false;
	TAILQ_FOREACH (r, &b->dirty, order) {
		b->more = batch.n == BATCH_MAX ||
			  batch.bindings.len > BATCH_BYTES;
		if (b->more)
			break;
		err = add_registered(&batch, r);
		if (err < 0)
			break;
		r->writing = true;
	}
	if (err == ERR_TOO_BIG) {
		/* One account with far too long texts: not for the database. */
		log_warning(
			"bindings_too_big", LOG_UINT("account", r->account));
		TAILQ_REMOVE(&b->dirty, r, order);
		r->dirty = false;
	}
	/* Its first bindings may be in the list: all begin again. */
	if (err == 0)
		err = submit(b, &batch);
	if (err == 0)
		b->busy = true;
	else
		loop_timer_set(b->loop, b->flush,
			err == ERR_TOO_BIG ? FLUSH_US : RETRY_US);
	json_list_done(&batch.bindings);
}

static void on_stored(void *ctx, const struct db_result *result)
{
	struct bindings *b = ctx;
	struct registered *r, *next;

	b->busy = false;
	if (result->err != 0 && result->err != ERR_INVALID) {
		loop_timer_set(b->loop, b->flush, RETRY_US);
		return;
	}
	if (result->err == ERR_INVALID)
		log_err("bindings_refused",
			LOG_STR("problem", result->problem));
	for (r = TAILQ_FIRST(&b->dirty); r; r = next) {
		next = TAILQ_NEXT(r, order);
		if (!r->writing)
			continue;
		TAILQ_REMOVE(&b->dirty, r, order);
		r->dirty = r->writing = false;
		if (r->update->n_bindings == 0)
			drop(b, r);
	}
	/* A registration storm is not written in portions with rests. */
	if (!TAILQ_EMPTY(&b->dirty))
		loop_timer_set(b->loop, b->flush, b->more ? 0 : FLUSH_US);
}

void bindings_on_db_up(struct bindings *b)
{
	struct table_node *node = NULL;
	size_t bucket = 0;

	while ((node = table_next(&b->accounts, &bucket, node)))
		mark(b, TABLE_ENTRY(node, struct registered, node));
	loop_timer_set(b->loop, b->flush, 0);
}

/* ---------------------------------------------------------------- to sbc */

int bindings_list(const struct bindings *b, uint64_t **ids_out, size_t *n_out)
{
	size_t n = 0, max = b->accounts.n_entries, bucket = 0;
	uint64_t *ids = calloc(max ? max : 1, sizeof(*ids));
	struct table_node *node = NULL;

	if (!ids)
		return ERR_NOMEM;
	while ((node = table_next(&b->accounts, &bucket, node)) && n < max)
		ids[n++] = TABLE_ENTRY(node, struct registered, node)->account;
	*ids_out = ids;
	*n_out = n;
	return 0;
}

const Gh__BindingsUpdate *bindings_find(
	const struct bindings *b, uint64_t account)
{
	const struct registered *r = find(b, account);

	return r ? r->update : NULL;
}

/* ------------------------------------------------------------------ life */

static void load(void *ctx, const char *name)
{
	struct bindings *b = ctx;
	Gh__BindingsUpdate *u;
	struct registered *r;
	uint8_t *bytes;
	size_t len;

	if (vault_get(b->vault, name, &bytes, &len) < 0)
		return;
	u = gh__bindings_update__unpack(NULL, len, bytes);
	vault_bytes_free(&bytes, len);
	if (!u || u->n_bindings > BINDINGS_PER_ACCOUNT ||
		strtoull(name, NULL, 10) != u->account) {
		if (u)
			gh__bindings_update__free_unpacked(u, NULL);
		return;
	}
	if (put(b, u, &r) < 0)
		log_warning("bindings_not_loaded", LOG_STR("account", name));
}

/* Bindings that ran out while sbc was not there to say so. */
static void on_sweep(void *arg)
{
	struct bindings *b = arg;
	uint64_t now = clock_wall_us();
	struct table_node *node, *next;
	size_t bucket = 0;

	for (node = table_next(&b->accounts, &bucket, NULL); node;
		node = next) {
		struct registered *r =
			TABLE_ENTRY(node, struct registered, node);
		bool alive = r->dirty;

		next = table_next(&b->accounts, &bucket, node);
		for (size_t i = 0; i < r->update->n_bindings; i++)
			alive |= r->update->bindings[i]->wall_expires_us +
					 SWEEP_US >
				 now;
		if (!alive)
			bindings_forget(b, r->account);
	}
	loop_timer_set(b->loop, b->sweep, SWEEP_US);
}

int bindings_new(
	struct loop *loop, struct vault *vault, struct bindings **bindings_out)
{
	struct bindings *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return ERR_NOMEM;
	b->loop = loop;
	b->vault = vault;
	TAILQ_INIT(&b->dirty);
	err = table_init(&b->accounts, BINDINGS_ACCOUNTS_MAX);
	if (err == 0)
		err = table_init(&b->hosts, BINDINGS_ACCOUNTS_MAX);
	if (err == 0)
		err = loop_timer_new(loop, on_flush, b, &b->flush);
	if (err == 0)
		err = loop_timer_new(loop, on_sweep, b, &b->sweep);
	if (err < 0) {
		bindings_free(&b);
		return err;
	}
	vault_each(vault, load, b);
	loop_timer_set(loop, b->sweep, SWEEP_US);
	*bindings_out = b;
	return 0;
}

void bindings_set_db(struct bindings *b, struct db *db)
{
	b->db = db;
	db_warm(db, &(const struct db_step){
			    .sql = store_sql,
			    .often = true,
			    .n_params = 3,
			    .params = {"{}", "{}", "[]"},
		    });
}

void bindings_free(struct bindings **bindings)
{
	struct bindings *b = *bindings;
	struct table_node *node, *next;
	size_t bucket = 0;

	*bindings = NULL;
	if (!b)
		return;
	for (node = b->accounts.buckets
			    ? table_next(&b->accounts, &bucket, NULL)
			    : NULL;
		node; node = next) {
		next = table_next(&b->accounts, &bucket, node);
		drop(b, TABLE_ENTRY(node, struct registered, node));
	}
	table_done(&b->accounts);
	table_done(&b->hosts);
	loop_timer_free(b->loop, &b->flush);
	loop_timer_free(b->loop, &b->sweep);
	free(b);
}
