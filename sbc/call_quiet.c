/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in which nobody says anything to us for minutes: what they hold only
 * for the next message is let go. Their legs sleep (leg_sleep.h), and the texts
 * of a call, its descriptions and its chain of decisions, stand in its record
 * alone (call_save.c), out of which the next event takes them again.
 *
 * Every PERIOD_US all calls are looked at, and a number of them is dealt with,
 * so that a thousand restored calls do not stop the others.
 *
 * Decides: when a call is quiet. A record that does not say what the call says
 * is left alone. Called by calls.c, and by call.c, call_save.c and
 * call_record.c before they touch the texts.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <string.h>

#include "common/heap.h"
#include "sbc/leg_sleep.h"

#define PERIOD_US     (2 * CLOCK_US_PER_S)
/* Most calls that are ever short have ended by then; what comes again of the
 * set-up has come (RFC 3261 13.3.1.4: 32 s, in which it is answered without
 * us). */
#define QUIET_US      (20 * CLOCK_US_PER_S)
#define CALLS_AT_ONCE 500u

static bool is_quiet(const struct call *c, uint64_t now)
{
	return c->state == CALL_UP && c->called != NULL && !c->unsaved &&
	       c->record.answer_us != 0 &&
	       now - c->record.answer_us >= QUIET_US;
}

/* ------------------------------------------------------------------ texts */

static const Gh__SavedParty *saved_called(const Gh__SavedCall *saved)
{
	for (size_t i = 0; i < saved->n_parties; i++) {
		if (saved->parties[i]->answered)
			return saved->parties[i];
	}
	return NULL;
}

static bool is_text(const char *have, const char *saved)
{
	return strcmp(have != NULL ? have : "", saved) == 0;
}

static bool are_texts(const struct party *p, const Gh__SavedParty *saved)
{
	return saved != NULL && is_text(p->theirs, saved->theirs) &&
	       is_text(p->ours, saved->ours);
}

/* Does the record have everything that would be let go? */
static bool is_saved(const struct call *c, const Gh__SavedCall *saved)
{
	const struct call_record *r = &c->record;

	if (saved->caller == NULL || !are_texts(&c->caller, saved->caller) ||
		!are_texts(c->called, saved_called(saved)) ||
		saved->n_decisions != r->n_steps)
		return false;
	for (size_t i = 0; i < r->n_steps; i++) {
		if (!is_text(r->steps[i].data, saved->decisions[i]->data))
			return false;
	}
	return true;
}

static void drop_texts(struct call *c)
{
	struct call_record *r = &c->record;

	c->pending_sdp = NULL; /* was the caller's `ours` */
	call_media_drop_text(c, &c->caller.theirs);
	call_media_drop_text(c, &c->caller.ours);
	call_media_drop_text(c, &c->called->theirs);
	call_media_drop_text(c, &c->called->ours);
	for (size_t i = 0; i < r->n_steps; i++) {
		if (*r->steps[i].data != '\0')
			su_free(c->home, (void *)(uintptr_t)r->steps[i].data);
	}
	su_free(c->home, r->steps);
	r->steps = NULL;
	r->n_steps = 0;
	c->asleep = true;
}

static bool sleep_texts(struct call *c)
{
	ProtobufCMessage *msg;
	bool may;

	if (c->asleep || c->change.active || c->change.again != NULL ||
		c->untold || c->pending_status != 0)
		return false;
	/* What was only noted (trouble with sound, say) is not in it yet. */
	call_save(c);
	msg = save_get(c->sbc->saves, SAVE_CALL, &c->saved);
	may = msg != NULL && is_saved(c, (const Gh__SavedCall *)msg);
	if (may)
		drop_texts(c);
	save_message_free(SAVE_CALL, msg);
	return may;
}

static bool take_text(struct call *c, const char *saved, char **text)
{
	if (*saved != '\0')
		*text = su_strdup(c->home, saved);
	return *saved == '\0' || *text != NULL;
}

static bool take_texts(
	struct call *c, struct party *p, const Gh__SavedParty *saved)
{
	return take_text(c, saved->theirs, &p->theirs) &&
	       take_text(c, saved->ours, &p->ours);
}

int call_wake(struct call *c)
{
	const Gh__SavedParty *called;
	const Gh__SavedCall *saved;
	ProtobufCMessage *msg;
	int err = ERR_CORRUPT;

	if (!c->asleep)
		return 0;
	msg = save_get(c->sbc->saves, SAVE_CALL, &c->saved);
	saved = (const Gh__SavedCall *)msg;
	called = saved != NULL ? saved_called(saved) : NULL;
	if (called == NULL || saved->caller == NULL)
		goto out;
	c->asleep = false;
	err = ERR_NOMEM;
	call_record_steps(c, saved->decisions, saved->n_decisions);
	if (take_texts(c, &c->caller, saved->caller) &&
		take_texts(c, c->called, called))
		err = 0;
out:
	save_message_free(SAVE_CALL, msg);
	if (err != 0) {
		drop_texts(c);
		log_err("call_not_woken", LOG_CALL(c->id), LOG_ERR(err));
	}
	return err;
}

/* ------------------------------------------------------------------- times */

void call_quiet_look(void *arg)
{
	struct calls *calls = arg;
	uint64_t now = clock_now_us();
	struct call *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &calls->all, link) {
		bool one;

		if (n >= CALLS_AT_ONCE)
			break;
		if (!is_quiet(c, now))
			continue;
		one = leg_sleep(c->caller.leg);
		one |= leg_sleep(c->called->leg);
		one |= sleep_texts(c);
		n += one;
	}
	/* Nothing else may ask for memory for a long time. */
	heap_decay();
	loop_timer_set(calls->sbc->daemon.loop, calls->quiet, PERIOD_US);
}
