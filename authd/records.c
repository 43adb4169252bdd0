/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of records into the database; see records.h. The spool is spool.c's,
 * the JSON records_json.c's, what the rows look like is sbc.*_store()'s. Called
 * by server.
 *
 * One batch is under way at a time, so rows arrive in order. A batch that the
 * database refuses is sent again record by record to find the bad one.
 */
#include "authd/records.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "authd/json_list.h"
#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "common/reason.h"
#include "common/stat.h"

enum {
	BATCH_MAX = 100,
	BATCH_BYTES = 512 * 1024,
	STORE_US = 8 * 1000 * 1000,
	RETRY_US = 1000 * 1000,
	/* Between the beginnings of two batches that are not full: a
	 * transaction costs the database more than a record. */
	GATHER_US = 250 * 1000,
	KEY_SIZE_MAX = 40,
	MEMORY_MAX = 10000, /* records while the disk is full */
};

/* A record that found no room on the disk. */
struct held {
	STAILQ_ENTRY(held) order;
	enum spool_kind kind;
	uint64_t token;
	uint64_t number;
	size_t len;
	uint8_t bytes[];
};

struct records {
	struct loop *loop;
	struct db *db;
	struct spool *spool;
	struct loop_timer *timer;
	records_safe_fn on_safe;
	void *ctx;
	STAILQ_HEAD(, held) held;
	size_t n_held;
	uint64_t next_held;
	uint64_t next_batch_us; /* not before; a full one may go at once */
	bool busy;
	uint64_t one_by_one; /* of a refused batch, still to be sent */
	bool batch_is_held;  /* the batch under way is from memory */
	uint64_t batch_last; /* number of its last record */
	uint64_t n_batch;
	uint64_t stored_before_us; /* all that was noted earlier is stored */
	uint64_t batch_before_us;  /* the same once this batch is stored */
	bool disk_failed;          /* told once until it works again */
};

static const char store_sql[] =
	"SELECT sbc.records_store($1::json, $2::json, $3::json, $4::json)";

static void on_spool_safe(void *ctx, uint64_t token, int err)
{
	struct records *r = ctx;

	/* A failed flush: the record is in the page cache and on its way to
	 * the database, but safe is another word. The sender keeps it. */
	if (err == 0 && token != 0)
		r->on_safe(r->ctx, token);
	records_pump(r);
}

static void on_timer(void *arg)
{
	records_pump(arg);
}

int records_new(struct loop *loop, struct sync *sync, const char *dir,
	records_safe_fn on_safe, void *ctx, struct records **records_out)
{
	struct records *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return ERR_NOMEM;
	r->loop = loop;
	r->on_safe = on_safe;
	r->ctx = ctx;
	STAILQ_INIT(&r->held);
	err = loop_timer_new(loop, on_timer, r, &r->timer);
	if (err == 0)
		err = spool_open(loop, sync, dir, on_spool_safe, r, &r->spool);
	if (err < 0) {
		records_free(&r);
		return err;
	}
	*records_out = r;
	return 0;
}

void records_set_db(struct records *r, struct db *db)
{
	r->db = db;
	db_warm(db, &(const struct db_step){
			    .sql = store_sql,
			    .often = true,
			    .n_params = RECORD_LISTS,
			    .params = {"[]", "[]"},
		    });
}

void records_free(struct records **records)
{
	struct records *r = *records;
	struct held *h;

	*records = NULL;
	if (!r)
		return;
	while ((h = STAILQ_FIRST(&r->held))) {
		STAILQ_REMOVE_HEAD(&r->held, order);
		free(h);
	}
	spool_free(&r->spool);
	loop_timer_free(r->loop, &r->timer);
	free(r);
}

uint64_t records_waiting(const struct records *r)
{
	return spool_waiting(r->spool) + r->n_held;
}

uint64_t records_stored_before(const struct records *r)
{
	return records_waiting(r) == 0 ? clock_now_us() : r->stored_before_us;
}

/* --------------------------------------------------------- to the disk */

static int hold(struct records *r, enum spool_kind kind, const void *bytes,
	size_t len, uint64_t token)
{
	struct held *h;

	if (r->n_held >= MEMORY_MAX)
		return ERR_FULL;
	h = malloc(sizeof(*h) + len);
	if (!h)
		return ERR_NOMEM;
	h->kind = kind;
	h->token = token;
	h->number = ++r->next_held;
	h->len = len;
	memcpy(h->bytes, bytes, len);
	STAILQ_INSERT_TAIL(&r->held, h, order);
	r->n_held++;
	loop_timer_set(r->loop, r->timer, 0);
	return 0;
}

static int add(struct records *r, enum spool_kind kind, const void *bytes,
	size_t len, uint64_t token)
{
	int err = spool_append(r->spool, kind, bytes, len, token);

	if (err == 0) {
		if (r->disk_failed)
			log_notice("spool_works_again");
		r->disk_failed = false;
		return 0;
	}
	if (err != ERR_SYSTEM)
		return err;
	reason_count(REASON_SPOOL_FULL);
	if (!r->disk_failed)
		log_err("spool_full", LOG_ERRNO(errno),
			LOG_STR("reason", reason_text(REASON_SPOOL_FULL)));
	r->disk_failed = true;
	return hold(r, kind, bytes, len, token);
}

int records_cdr(struct records *r, const Gh__Cdr *cdr, uint64_t token)
{
	size_t len = gh__cdr__get_packed_size(cdr);
	uint8_t *bytes;
	int err;

	if (!ident_is_call(cdr->call))
		return ERR_INVALID;
	bytes = malloc(len);
	if (!bytes)
		return ERR_NOMEM;
	gh__cdr__pack(cdr, bytes);
	err = add(r, SPOOL_CDR, bytes, len, token);
	free(bytes);
	return err;
}

void records_event(struct records *r, const Gh__Event *event)
{
	size_t len = gh__event__get_packed_size(event);
	uint8_t *bytes = malloc(len ? len : 1);
	int err = ERR_NOMEM;

	if (bytes) {
		gh__event__pack(event, bytes);
		err = add(r, SPOOL_EVENT, bytes, len, 0);
	}
	free(bytes);
	if (err < 0)
		log_peer_warning("event_lost", LOG_ERR(err));
}

void records_ban(struct records *r, const Gh__BanRecord *ban)
{
	size_t len = gh__ban_record__get_packed_size(ban);
	uint8_t *bytes = malloc(len ? len : 1);
	int err = ERR_NOMEM;

	if (bytes) {
		gh__ban_record__pack(ban, bytes);
		err = add(r, SPOOL_BAN, bytes, len, 0);
	}
	free(bytes);
	if (err < 0)
		log_peer_warning("ban_not_recorded", LOG_ERR(err));
}

/* ------------------------------------------------------ to the database */

/* A batch as it grows. */
struct batch {
	struct json_list lists[RECORD_LISTS];
	size_t len; /* of all lists */
	uint64_t n;
	uint64_t last;
	char calls[BATCH_MAX][IDENT_CALL_SIZE]; /* of its CDRs */
	size_t n_calls;
};

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < RECORD_LISTS; i++)
		json_list_done(&b->lists[i]);
}

/* sbc sends a CDR again whose acknowledgement it did not get: both are in the
 * spool then. The first one counts, as it does in the database. */
static bool is_double(const struct batch *b, const char *call)
{
	for (size_t i = 0; *call && i < b->n_calls; i++) {
		if (strcmp(b->calls[i], call) == 0)
			return true;
	}
	return false;
}

static int batch_add(struct batch *b, const struct record_rows *rows)
{
	if (is_double(b, rows->call))
		return 0;
	if (rows->call[0])
		memcpy(b->calls[b->n_calls++], rows->call, sizeof(rows->call));
	for (size_t i = 0; i < rows->n; i++) {
		const char *json = rows->row[i].json;
		int err = json_list_add(&b->lists[rows->row[i].list], json);

		if (err < 0)
			return err;
		b->len += strlen(json);
	}
	return 0;
}

/* Events of one spool or memory have keys of their own. */
static void make_key(const struct records *r, char letter, uint64_t number,
	char key[KEY_SIZE_MAX])
{
	snprintf(key, KEY_SIZE_MAX, "%016" PRIx64 "-%c%" PRIu64,
		spool_id(r->spool), letter, number);
}

/* Adds one record. One that can not even be read is stepped over. */
static int add_record(struct records *r, struct batch *b, enum spool_kind kind,
	const uint8_t *bytes, size_t len, char letter, uint64_t number)
{
	struct record_rows rows;
	char key[KEY_SIZE_MAX];
	int err;

	make_key(r, letter, number, key);
	err = records_json(kind, bytes, len, key, &rows);
	if (err == ERR_NOMEM)
		return err;
	if (err < 0) {
		b->last = number;
		log_err("record_unreadable", LOG_STR("key", key), LOG_ERR(err));
		return 0;
	}
	err = batch_add(b, &rows);
	records_json_free(&rows);
	if (err == 0) {
		b->last = number;
		b->n++;
	}
	return err;
}

static int fill_from_memory(struct records *r, struct batch *b, uint64_t max)
{
	struct held *h;
	int err = 0;

	STAILQ_FOREACH (h, &r->held, order) {
		if (b->n == max || b->len > BATCH_BYTES)
			break;
		err = add_record(
			r, b, h->kind, h->bytes, h->len, 'm', h->number);
		if (err < 0)
			break;
	}
	return err;
}

static int fill_from_spool(struct records *r, struct batch *b, uint64_t max)
{
	struct spool_record record;
	int err;

	while (b->n < max && b->len < BATCH_BYTES) {
		err = spool_read(r->spool, b->last, &record);
		if (err == ERR_AGAIN)
			return 0;
		if (err < 0)
			return err;
		err = add_record(r, b, record.kind, record.bytes, record.len,
			's', record.number);
		if (err < 0)
			return err;
	}
	return 0;
}

/* The batch is in the database (or given up): forget it. */
static void batch_done(struct records *r)
{
	struct held *h;

	if (r->batch_before_us)
		r->stored_before_us = r->batch_before_us;
	if (!r->batch_is_held) {
		spool_done(r->spool, r->batch_last);
		return;
	}
	while ((h = STAILQ_FIRST(&r->held)) && h->number <= r->batch_last) {
		STAILQ_REMOVE_HEAD(&r->held, order);
		r->n_held--;
		if (h->token)
			r->on_safe(r->ctx, h->token);
		free(h);
	}
}

static void one_less(struct records *r)
{
	if (r->one_by_one > 0)
		r->one_by_one--;
}

static void on_stored(void *ctx, const struct db_result *result)
{
	struct records *r = ctx;

	r->busy = false;
	if (result->err == 0) {
		stat_add(STAT_CDR_STORED, r->n_batch);
		one_less(r);
		batch_done(r);
		records_pump(r);
		return;
	}
	if (result->err == ERR_INVALID && r->n_batch > 1) {
		r->one_by_one = r->n_batch;
		records_pump(r);
		return;
	}
	if (result->err == ERR_INVALID) {
		one_less(r);
		log_err("record_refused", LOG_UINT("number", r->batch_last),
			LOG_STR("problem", result->problem));
		batch_done(r);
		records_pump(r);
		return;
	}
	loop_timer_set(r->loop, r->timer, RETRY_US);
}

/* Hands the batch to the database. */
static int submit(struct records *r, struct batch *b)
{
	struct db_step step = {
		.sql = store_sql, .often = true, .n_params = RECORD_LISTS};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = STORE_US,
		.fn = on_stored,
		.ctx = r,
	};

	for (size_t i = 0; i < RECORD_LISTS; i++)
		step.params[i] = json_list_text(&b->lists[i]);
	return db_submit(r->db, &job);
}

void records_pump(struct records *r)
{
	uint64_t max = r->one_by_one ? 1 : BATCH_MAX;
	struct batch b = {0};
	uint64_t now;
	int err;

	if (r->busy || !r->db || !db_is_up(r->db) || records_waiting(r) == 0)
		return;
	now = clock_now_us();
	if (now < r->next_batch_us && !r->one_by_one &&
		records_waiting(r) < BATCH_MAX) {
		loop_timer_set(r->loop, r->timer, r->next_batch_us - now);
		return;
	}
	r->next_batch_us = now + GATHER_US;
	r->batch_is_held = r->n_held > 0;
	err = r->batch_is_held ? fill_from_memory(r, &b, max)
			       : fill_from_spool(r, &b, max);
	r->batch_last = b.last;
	r->n_batch = b.n;
	r->batch_before_us = b.n == records_waiting(r) ? now : 0;
	/* Without memory half a record may be in the lists. */
	if (b.n > 0 && err != ERR_NOMEM) {
		err = submit(r, &b);
		r->busy = err == 0;
	} else if (b.last && err != ERR_NOMEM) {
		batch_done(r); /* nothing but unreadable ones */
	}
	batch_free(&b);
	if (err < 0)
		loop_timer_set(r->loop, r->timer, RETRY_US);
}
