/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CDRs on their way to authd. Each is kept packed until authd has it on disk,
 * sent again after a reconnect, and forgotten with its acknowledgement; authd
 * drops doubles by the call ID, so that "at least once" here is "exactly once"
 * in SQL.
 *
 * Decides: how many are under way at once, and what happens when authd is away
 * for long (CDRS_MAX are kept; then a CDR is refused with a loud line, since
 * the alternative is to run out of memory). Does not decide what stands in one.
 * Called by call_record.c and trunk.c; acknowledgements come from authd.c.
 */
#include "config.h"

#include "sbc/cdr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/ident.h"
#include "common/log.h"
#include "common/pack.h"
#include "sbc/sbc.h"

#define CDRS_MAX   200000u
#define CDR_WINDOW 256u /* sent and not yet acknowledged */
#define EVENTS_MAX 1000u
#define PUMP_US    200000u /* authd's queue was full: try again */

struct waiting {
	TAILQ_ENTRY(waiting) link;
	uint64_t id;
	bool sent;
	struct save_slot saved;
	size_t len;
	uint8_t bytes[]; /* a packed Gh__Cdr, or a Gh__Event */
};
TAILQ_HEAD(waiting_head, waiting);

struct cdrs {
	struct sbc *sbc;
	struct waiting_head cdrs; /* oldest first; the sent ones lead */
	size_t n_cdrs;
	size_t n_sent;
	struct waiting *next; /* first that is not sent, or NULL */
	struct waiting_head events;
	size_t n_events;
	uint64_t next_id;
	struct loop_timer *retry;
};

static void pump(struct cdrs *cdrs);

static void on_retry(void *arg)
{
	pump(arg);
}

int cdrs_new(struct sbc *sbc, struct cdrs **cdrs_out)
{
	struct cdrs *cdrs = calloc(1, sizeof *cdrs);

	if (cdrs == NULL)
		return ERR_NOMEM;
	cdrs->sbc = sbc;
	cdrs->next_id = 1;
	TAILQ_INIT(&cdrs->cdrs);
	TAILQ_INIT(&cdrs->events);
	if (loop_timer_new(sbc->daemon.loop, on_retry, cdrs, &cdrs->retry) !=
		0) {
		free(cdrs);
		return ERR_NOMEM;
	}
	*cdrs_out = cdrs;
	return 0;
}

static void free_all(struct waiting_head *head)
{
	struct waiting *w;

	while ((w = TAILQ_FIRST(head)) != NULL) {
		TAILQ_REMOVE(head, w, link);
		free(w);
	}
}

void cdrs_free(struct cdrs **cdrsp)
{
	struct cdrs *cdrs = *cdrsp;

	if (cdrs == NULL)
		return;
	*cdrsp = NULL;
	if (cdrs->n_cdrs != 0)
		log_warning(
			"cdrs_not_acknowledged", LOG_UINT("n", cdrs->n_cdrs));
	loop_timer_free(cdrs->sbc->daemon.loop, &cdrs->retry);
	free_all(&cdrs->cdrs);
	free_all(&cdrs->events);
	free(cdrs);
}

static int send_one(struct cdrs *cdrs, uint64_t id, const Gh__Cdr *cdr)
{
	Gh__CdrWrite write = GH__CDR_WRITE__INIT;

	write.id = id;
	write.cdr = (Gh__Cdr *)(uintptr_t)cdr; /* it is only packed */
	IPC_MSG(msg, CDR_WRITE, cdr_write, &write);
	return authd_send(cdrs->sbc->authd, &msg);
}

static int send_cdr(struct cdrs *cdrs, const struct waiting *w)
{
	Gh__Cdr *cdr = gh__cdr__unpack(NULL, w->len, w->bytes);
	int err;

	if (cdr == NULL)
		return ERR_NOMEM;
	err = send_one(cdrs, w->id, cdr);
	gh__cdr__free_unpacked(cdr, NULL);
	return err;
}

static int send_event(struct cdrs *cdrs, const struct waiting *w)
{
	Gh__Event *event = gh__event__unpack(NULL, w->len, w->bytes);
	int err;

	if (event == NULL)
		return ERR_NOMEM;
	IPC_MSG(msg, EVENT, event, event);
	err = authd_send(cdrs->sbc->authd, &msg);
	gh__event__free_unpacked(event, NULL);
	return err;
}

static void is_sent(struct cdrs *cdrs, struct waiting *w)
{
	w->sent = true;
	cdrs->n_sent++;
	cdrs->next = TAILQ_NEXT(w, link);
}

/* Sends as much as may be under way. */
static void pump(struct cdrs *cdrs)
{
	struct waiting *w;
	int err = 0;

	while ((w = cdrs->next) != NULL && cdrs->n_sent < CDR_WINDOW) {
		err = send_cdr(cdrs, w);
		if (err != 0)
			break;
		is_sent(cdrs, w);
	}
	while (err == 0 && (w = TAILQ_FIRST(&cdrs->events)) != NULL) {
		err = send_event(cdrs, w);
		if (err != 0)
			break;
		TAILQ_REMOVE(&cdrs->events, w, link);
		cdrs->n_events--;
		free(w);
	}
	/* Away: cdrs_on_authd_up() goes on. */
	if (err != 0 && err != ERR_AWAY)
		loop_timer_set(cdrs->sbc->daemon.loop, cdrs->retry, PUMP_US);
}

static struct waiting *append(struct cdrs *cdrs, const Gh__Cdr *cdr)
{
	struct waiting *w = NULL;
	size_t len = 0;

	if (cdrs->n_cdrs < CDRS_MAX)
		w = pack_new(&cdr->base, sizeof *w, &len);
	if (w == NULL) {
		log_err("cdr_lost", LOG_CALL(cdr->call),
			LOG_UINT("waiting", cdrs->n_cdrs));
		reason_count(REASON_SPOOL_FULL);
		return NULL;
	}
	memset(w, 0, sizeof *w);
	w->id = cdrs->next_id++;
	w->len = len;
	TAILQ_INSERT_TAIL(&cdrs->cdrs, w, link);
	cdrs->n_cdrs++;
	if (cdrs->next == NULL)
		cdrs->next = w;
	return w;
}

int cdr_write(struct cdrs *cdrs, const Gh__Cdr *cdr)
{
	struct waiting *w = append(cdrs, cdr);

	if (w == NULL)
		return ERR_NOMEM;
	save_put_bytes(cdrs->sbc->saves, SAVE_CDR, &w->saved, w->bytes, w->len);
	/* The rule: nothing waits before it, so it need not be read again. */
	if (cdrs->next == w && cdrs->n_sent < CDR_WINDOW &&
		send_one(cdrs, w->id, cdr) == 0)
		is_sent(cdrs, w);
	pump(cdrs);
	return 0;
}

int cdrs_on_found(
	struct cdrs *cdrs, const Gh__Cdr *cdr, const struct save_slot *slot)
{
	struct waiting *w;

	if (!ident_is_call(cdr->call))
		return ERR_INVALID;
	w = append(cdrs, cdr);
	if (w == NULL)
		return ERR_NOMEM;
	w->saved = *slot;
	pump(cdrs);
	return 0;
}

size_t cdrs_waiting(const struct cdrs *cdrs)
{
	return cdrs->n_cdrs;
}

void cdr_event(struct cdrs *cdrs, const Gh__Event *event)
{
	struct waiting *w;
	size_t len;

	if (cdrs->n_events >= EVENTS_MAX) {
		w = TAILQ_FIRST(&cdrs->events);
		TAILQ_REMOVE(&cdrs->events, w, link);
		cdrs->n_events--;
		free(w);
	}
	w = pack_new(&event->base, sizeof *w, &len);
	if (w == NULL)
		return;
	memset(w, 0, sizeof *w);
	w->len = len;
	TAILQ_INSERT_TAIL(&cdrs->events, w, link);
	cdrs->n_events++;
	pump(cdrs);
}

void cdrs_on_ack(struct cdrs *cdrs, const Gh__CdrAck *ack)
{
	struct waiting *w;

	/* Only what was sent can be acknowledged: at most CDR_WINDOW steps. */
	TAILQ_FOREACH (w, &cdrs->cdrs, link) {
		if (!w->sent)
			return;
		if (w->id != ack->id)
			continue;
		TAILQ_REMOVE(&cdrs->cdrs, w, link);
		cdrs->n_cdrs--;
		cdrs->n_sent--;
		save_drop(cdrs->sbc->saves, SAVE_CDR, &w->saved);
		free(w);
		pump(cdrs);
		return;
	}
}

void cdrs_on_authd_up(struct cdrs *cdrs)
{
	struct waiting *w;

	TAILQ_FOREACH (w, &cdrs->cdrs, link)
		w->sent = false;
	cdrs->n_sent = 0;
	cdrs->next = TAILQ_FIRST(&cdrs->cdrs);
	pump(cdrs);
}
