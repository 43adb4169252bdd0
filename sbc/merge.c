/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of the INVITEs of the last half minute, theirs and ours, oldest first
 * in a list. NTA matches retransmissions before we see a request, so whatever
 * comes here with a known key is another transaction. Over the cap nothing new
 * is noted: the check then misses, and a call is only made twice.
 */
#include "sbc/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/table.h"
#include "sbc/sbc.h"

#define NOTES_MAX 131072
/* As long as a transaction can live (RFC 3261 timers H and B). */
#define KEEP_US   (32 * CLOCK_US_PER_S)
#define KEY_SIZE  384

struct note {
	struct table_node node;
	STAILQ_ENTRY(note) next;
	uint64_t until_us;
	char key[]; /* in the size that it has */
};

struct merges {
	struct sbc *sbc;
	struct table table;
	STAILQ_HEAD(, note) oldest;
	struct loop_timer *timer;
};

static void forget_oldest(struct merges *m)
{
	struct note *n = STAILQ_FIRST(&m->oldest);

	STAILQ_REMOVE_HEAD(&m->oldest, next);
	table_remove(&m->table, &n->node);
	free(n);
}

static void on_timer(void *arg)
{
	struct merges *m = arg;
	uint64_t now = clock_now_us();
	struct note *n;

	while ((n = STAILQ_FIRST(&m->oldest)) && n->until_us <= now)
		forget_oldest(m);
	if (n)
		loop_timer_set(
			m->sbc->daemon.loop, m->timer, n->until_us - now);
}

static void note(struct merges *m, const char *key, size_t len)
{
	bool was_empty = STAILQ_EMPTY(&m->oldest);
	struct note *n = calloc(1, sizeof(*n) + len + 1);

	if (!n)
		return;
	memcpy(n->key, key, len);
	if (table_add(&m->table, &n->node, n->key, len) != 0) {
		free(n);
		return;
	}
	n->until_us = clock_now_us() + KEEP_US;
	STAILQ_INSERT_TAIL(&m->oldest, n, next);
	if (was_empty)
		loop_timer_set(m->sbc->daemon.loop, m->timer, KEEP_US);
}

bool merge_is_second(struct merges *m, const sip_t *sip)
{
	char key[KEY_SIZE];
	int len = snprintf(key, sizeof(key), "%u|%s|%s", sip->sip_cseq->cs_seq,
		sip->sip_from->a_tag ? sip->sip_from->a_tag : "",
		sip->sip_call_id->i_id);

	if (len < 0 || (size_t)len >= sizeof(key))
		return false; /* longer than anybody's */
	if (table_find(&m->table, key, (size_t)len))
		return true;
	note(m, key, (size_t)len);
	return false;
}

/* No INVITE's key of the other kind begins so. */
static int sent_key(char key[KEY_SIZE], const char *call_id,
	const char *from_tag, const char *user)
{
	return snprintf(key, KEY_SIZE, "sent|%s|%s|%s",
		user != NULL ? user : "", from_tag != NULL ? from_tag : "",
		call_id);
}

void merge_note_sent(struct merges *m, const char *call_id,
	const char *from_tag, const char *user)
{
	char key[KEY_SIZE];
	int len = sent_key(key, call_id, from_tag, user);

	if (len >= 0 && len < KEY_SIZE &&
		!table_find(&m->table, key, (size_t)len))
		note(m, key, (size_t)len);
}

bool merge_is_loop(struct merges *m, const sip_t *sip)
{
	char key[KEY_SIZE];
	int len = sent_key(key, sip->sip_call_id->i_id, sip->sip_from->a_tag,
		sip->sip_request->rq_url->url_user);

	return len >= 0 && len < KEY_SIZE &&
	       table_find(&m->table, key, (size_t)len) != NULL;
}

int merges_new(struct sbc *sbc, struct merges **out)
{
	struct merges *m = calloc(1, sizeof(*m));

	if (!m)
		return ERR_NOMEM;
	m->sbc = sbc;
	STAILQ_INIT(&m->oldest);
	if (table_init(&m->table, NOTES_MAX) != 0 ||
		loop_timer_new(sbc->daemon.loop, on_timer, m, &m->timer) != 0) {
		merges_free(&m);
		return ERR_NOMEM;
	}
	*out = m;
	return 0;
}

void merges_free(struct merges **ref)
{
	struct merges *m = *ref;

	if (!m)
		return;
	*ref = NULL;
	while (!STAILQ_EMPTY(&m->oldest))
		forget_oldest(m);
	if (m->table.buckets)
		table_done(&m->table);
	loop_timer_free(m->sbc->daemon.loop, &m->timer);
	free(m);
}
