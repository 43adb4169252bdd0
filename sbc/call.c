/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * THE state table of a call, and the driver that walks it.
 *
 *  INVITE
 *    |
 *  FACTS ---- who is called? (authd) <- redirected, -------+
 *    |                                                     |     refused,
 *  LOCATING - a target that is a name (DNS) <- next target-+     cancelled,
 *    |                                                     |
 *  PORTS ---- open media ports (mediad) <-- next target ---+
 *    |                                                     |     timed out
 *  TRYING --- INVITEs are out ------------ all refused ----+--------+
 *    |  \                                                  |        |
 *    |  RINGING --- 18x passed on -------- all refused ----+------->|
 *    |  /                                                           |
 *  ANSWERING -- 2xx came; mediad gets both sides ------------------>|
 *    |                                                              |
 *  CONFIRMING - our 200 is out; ACK awaited ----------------------->|
 *    |                                                              |
 *   UP <-----> CHANGING (re-INVITE, UPDATE) ------ BYE, silence --->|
 *                                                                   |
 *  ENDING --- legs end, media's last figures are awaited <----------+
 *    |
 *  DONE ----- the CDR is written; transactions run out --> freed
 *
 * Decides: which event may do what in which state; nothing else changes
 * c->state. ENDING can be reached from anywhere, and its entry (tear_down) is
 * the one owner of ending legs, releasing media and places, and of the CDR,
 * which DONE's entry writes once. An event without a row is counted and
 * logged, and changes nothing. What happens in a step is in call_facts.c,
 * call_setup.c, call_media.c, call_change.c; how long it may take, in
 * call_life.c; what is remembered, in call_record.c.
 *
 * Called by the stack with new INVITEs; by legs, mediad's client, authd's
 * account cache and timers with events, all from sbc's one loop.
 */
/* clang-format on */
#include "config.h"

#include "sbc/call_inner.h"

#include <string.h>

#include "common/stat.h"

static const char *const state_names[] = {
	[CALL_FACTS] = "facts",
	[CALL_LOCATING] = "locating",
	[CALL_PORTS] = "ports",
	[CALL_TRYING] = "trying",
	[CALL_RINGING] = "ringing",
	[CALL_ANSWERING] = "answering",
	[CALL_CONFIRMING] = "confirming",
	[CALL_UP] = "up",
	[CALL_CHANGING] = "changing",
	[CALL_ENDING] = "ending",
	[CALL_DONE] = "done",
};
_Static_assert(sizeof state_names / sizeof *state_names == CALL_STATE_COUNT,
	"each state has a name");

static const char *const event_names[] = {
	[EV_INVITE] = "invite",
	[EV_ACCOUNT] = "account",
	[EV_LOCATED] = "located",
	[EV_MEDIA_OK] = "media_ok",
	[EV_MEDIA_FAILED] = "media_failed",
	[EV_PRACK] = "prack",
	[EV_PROGRESS] = "progress",
	[EV_ANSWER] = "answer",
	[EV_FAILURE] = "failure",
	[EV_CANCEL] = "cancel",
	[EV_ACK] = "ack",
	[EV_NO_ACK] = "no_ack",
	[EV_BYE] = "bye",
	[EV_LOST] = "lost",
	[EV_EXPIRED] = "expired",
	[EV_CHANGE] = "change",
	[EV_CHANGE_ACK] = "change_ack",
	[EV_CHANGE_DONE] = "change_done",
	[EV_CHANGE_FAILED] = "change_failed",
	[EV_REFRESH] = "refresh",
	[EV_RETRY] = "retry",
	[EV_INFO] = "info",
	[EV_MOVED] = "moved",
	[EV_SILENCE] = "silence",
	[EV_FIGURES] = "figures",
	[EV_LEG_ENDED] = "leg_ended",
	[EV_TIMER] = "timer",
	[EV_LIFE] = "life",
	[EV_END] = "end",
};
_Static_assert(sizeof event_names / sizeof *event_names == CALL_EVENT_COUNT,
	"each event has a name");

const char *call_state_name(enum call_state s)
{
	return (unsigned)s < CALL_STATE_COUNT ? state_names[s] : "?";
}

const char *call_event_name(enum call_event e)
{
	return (unsigned)e < CALL_EVENT_COUNT ? event_names[e] : "?";
}

static enum call_state on_answer(struct call *, const struct call_input *);
static enum call_state on_connect(struct call *, const struct call_input *);
static enum call_state on_no_media(struct call *, const struct call_input *);
static enum call_state on_media_gone(struct call *, const struct call_input *);
static enum call_state on_cancel(struct call *, const struct call_input *);
static enum call_state on_ack(struct call *, const struct call_input *);
static enum call_state on_no_ack(struct call *, const struct call_input *);
static enum call_state on_bye(struct call *, const struct call_input *);
static enum call_state on_lost(struct call *, const struct call_input *);
static enum call_state on_expired(struct call *, const struct call_input *);
static enum call_state on_not_now(struct call *, const struct call_input *);
static enum call_state on_moved(struct call *, const struct call_input *);
static enum call_state on_silence(struct call *, const struct call_input *);
static enum call_state on_slow(struct call *, const struct call_input *);
static enum call_state on_life(struct call *, const struct call_input *);
static enum call_state on_end(struct call *, const struct call_input *);
static enum call_state on_figures(struct call *, const struct call_input *);
static enum call_state on_leg_ended(struct call *, const struct call_input *);
static enum call_state stay(struct call *, const struct call_input *);

#define TO_FACTS      CALL_BIT(CALL_FACTS)
#define TO_LOCATING   CALL_BIT(CALL_LOCATING)
#define TO_PORTS      CALL_BIT(CALL_PORTS)
#define TO_TARGET     (TO_LOCATING | TO_PORTS) /* the next one to be tried */
#define TO_TRYING     CALL_BIT(CALL_TRYING)
#define TO_RINGING    CALL_BIT(CALL_RINGING)
#define TO_ANSWERING  CALL_BIT(CALL_ANSWERING)
#define TO_CONFIRMING CALL_BIT(CALL_CONFIRMING)
#define TO_UP         CALL_BIT(CALL_UP)
#define TO_CHANGING   CALL_BIT(CALL_CHANGING)
#define TO_ENDING     CALL_BIT(CALL_ENDING)
#define TO_DONE       CALL_BIT(CALL_DONE)

/* clang-format off */
static const struct call_row rows[] = {
	/* who is called? */
	{CALL_FACTS, EV_ACCOUNT,       call_setup_on_account, TO_FACTS | TO_TARGET | TO_ENDING},
	{CALL_FACTS, EV_PRACK,         call_rel_on_prack,     TO_FACTS | TO_ENDING},
	{CALL_FACTS, EV_CANCEL,        on_cancel,             TO_ENDING},
	{CALL_FACTS, EV_BYE,           on_bye,                TO_FACTS | TO_ENDING},
	{CALL_FACTS, EV_CHANGE,        on_not_now,            TO_FACTS},
	{CALL_FACTS, EV_CHANGE_DONE,   stay,                  TO_FACTS},
	{CALL_FACTS, EV_CHANGE_FAILED, stay,                  TO_FACTS},
	{CALL_FACTS, EV_RETRY,         stay,                  TO_FACTS},
	{CALL_FACTS, EV_LEG_ENDED,     stay,                  TO_FACTS}, /* after a redirect */
	{CALL_FACTS, EV_TIMER,         on_slow,               TO_ENDING},
	{CALL_FACTS, EV_LIFE,          on_slow,               TO_ENDING},
	{CALL_FACTS, EV_END,           on_end,                TO_ENDING},

	/* where is the next target's name? */
	{CALL_LOCATING, EV_LOCATED,       call_setup_on_located, TO_TARGET | TO_ENDING},
	{CALL_LOCATING, EV_PRACK,         call_rel_on_prack,     TO_LOCATING | TO_ENDING},
	{CALL_LOCATING, EV_CANCEL,        on_cancel,             TO_ENDING},
	{CALL_LOCATING, EV_BYE,           on_bye,                TO_LOCATING | TO_ENDING},
	{CALL_LOCATING, EV_CHANGE,        on_not_now,            TO_LOCATING},
	{CALL_LOCATING, EV_CHANGE_DONE,   stay,                  TO_LOCATING},
	{CALL_LOCATING, EV_CHANGE_FAILED, stay,                  TO_LOCATING},
	{CALL_LOCATING, EV_RETRY,         stay,                  TO_LOCATING},
	{CALL_LOCATING, EV_LEG_ENDED,     stay,                  TO_LOCATING},
	{CALL_LOCATING, EV_TIMER,         on_slow,               TO_ENDING},
	{CALL_LOCATING, EV_LIFE,          on_slow,               TO_ENDING},
	{CALL_LOCATING, EV_END,           on_end,                TO_ENDING},

	/* media ports for the next target */
	{CALL_PORTS, EV_MEDIA_OK,      call_setup_on_ports, TO_TARGET | TO_TRYING | TO_ENDING},
	{CALL_PORTS, EV_MEDIA_FAILED,  on_no_media,         TO_ENDING},
	{CALL_PORTS, EV_PRACK,         call_rel_on_prack,   TO_PORTS | TO_ENDING},
	{CALL_PORTS, EV_CANCEL,        on_cancel,           TO_ENDING},
	{CALL_PORTS, EV_BYE,           on_bye,              TO_PORTS | TO_ENDING},
	{CALL_PORTS, EV_CHANGE,        on_not_now,          TO_PORTS},
	{CALL_PORTS, EV_CHANGE_DONE,   stay,                TO_PORTS},
	{CALL_PORTS, EV_CHANGE_FAILED, stay,                TO_PORTS},
	{CALL_PORTS, EV_RETRY,         stay,                TO_PORTS},
	{CALL_PORTS, EV_LEG_ENDED,     stay,                TO_PORTS},
	{CALL_PORTS, EV_TIMER,         on_slow,             TO_ENDING},
	{CALL_PORTS, EV_LIFE,          on_slow,             TO_ENDING},
	{CALL_PORTS, EV_END,           on_end,              TO_ENDING},

	/* INVITEs are out, nobody has rung */
	{CALL_TRYING, EV_PROGRESS,      call_early_on_progress, TO_TRYING | TO_RINGING | TO_ENDING},
	{CALL_TRYING, EV_ANSWER,        on_answer,              TO_ANSWERING | TO_ENDING},
	{CALL_TRYING, EV_FAILURE,       call_setup_on_failure,  TO_FACTS | TO_TRYING | TO_TARGET | TO_ENDING},
	{CALL_TRYING, EV_MEDIA_OK,      stay,                   TO_TRYING},
	{CALL_TRYING, EV_MEDIA_FAILED,  on_no_media,            TO_ENDING},
	{CALL_TRYING, EV_PRACK,         call_rel_on_prack,      TO_TRYING | TO_ENDING},
	{CALL_TRYING, EV_CANCEL,        on_cancel,              TO_ENDING},
	{CALL_TRYING, EV_BYE,           on_bye,                 TO_TRYING | TO_ENDING},
	{CALL_TRYING, EV_CHANGE,        on_not_now,             TO_TRYING},
	{CALL_TRYING, EV_CHANGE_DONE,   stay,                   TO_TRYING},
	{CALL_TRYING, EV_CHANGE_FAILED, stay,                   TO_TRYING},
	{CALL_TRYING, EV_RETRY,         stay,                   TO_TRYING},
	{CALL_TRYING, EV_LEG_ENDED,     stay,                   TO_TRYING},
	{CALL_TRYING, EV_TIMER,         call_setup_on_timer,    TO_FACTS | TO_RINGING | TO_TARGET | TO_ENDING},
	{CALL_TRYING, EV_LIFE,          on_slow,                TO_ENDING},
	{CALL_TRYING, EV_END,           on_end,                 TO_ENDING},

	/* somebody rings */
	{CALL_RINGING, EV_PROGRESS,      call_early_on_progress,    TO_RINGING | TO_ENDING},
	{CALL_RINGING, EV_ANSWER,        on_answer,                 TO_ANSWERING | TO_ENDING},
	{CALL_RINGING, EV_FAILURE,       call_setup_on_failure,     TO_FACTS | TO_RINGING | TO_TARGET | TO_ENDING},
	{CALL_RINGING, EV_MEDIA_OK,      call_early_on_media,       TO_RINGING},
	{CALL_RINGING, EV_MEDIA_FAILED,  call_early_on_no_media,    TO_RINGING | TO_ENDING},
	{CALL_RINGING, EV_PRACK,         call_rel_on_prack,         TO_RINGING | TO_ENDING},
	{CALL_RINGING, EV_CANCEL,        on_cancel,                 TO_ENDING},
	{CALL_RINGING, EV_BYE,           on_bye,                    TO_RINGING | TO_ENDING},
	{CALL_RINGING, EV_CHANGE,        call_early_on_change,      TO_RINGING},
	{CALL_RINGING, EV_CHANGE_DONE,   call_early_on_change_over, TO_RINGING},
	{CALL_RINGING, EV_CHANGE_FAILED, call_early_on_change_over, TO_RINGING},
	{CALL_RINGING, EV_RETRY,         call_early_on_retry,       TO_RINGING},
	{CALL_RINGING, EV_LEG_ENDED,     stay,                      TO_RINGING},
	{CALL_RINGING, EV_TIMER,         call_setup_on_timer,       TO_FACTS | TO_TARGET | TO_ENDING},
	{CALL_RINGING, EV_LIFE,          on_slow,                   TO_ENDING},
	{CALL_RINGING, EV_END,           on_end,                    TO_ENDING},

	/* a 2xx came; mediad is told what was agreed */
	{CALL_ANSWERING, EV_MEDIA_OK,      on_connect,  TO_CONFIRMING | TO_ENDING},
	{CALL_ANSWERING, EV_MEDIA_FAILED,  on_no_media, TO_ENDING},
	{CALL_ANSWERING, EV_PRACK,         call_rel_on_prack, TO_ANSWERING | TO_ENDING},
	{CALL_ANSWERING, EV_CANCEL,        on_cancel,   TO_ENDING},
	{CALL_ANSWERING, EV_BYE,           on_bye,      TO_ANSWERING | TO_ENDING},
	{CALL_ANSWERING, EV_LOST,          on_lost,     TO_ANSWERING | TO_ENDING},
	{CALL_ANSWERING, EV_CHANGE,        on_not_now,  TO_ANSWERING},
	{CALL_ANSWERING, EV_FAILURE,       stay,        TO_ANSWERING},
	{CALL_ANSWERING, EV_CHANGE_DONE,   stay,        TO_ANSWERING},
	{CALL_ANSWERING, EV_CHANGE_FAILED, stay,        TO_ANSWERING},
	{CALL_ANSWERING, EV_RETRY,         stay,        TO_ANSWERING},
	{CALL_ANSWERING, EV_LEG_ENDED,     stay,        TO_ANSWERING},
	{CALL_ANSWERING, EV_TIMER,         on_slow,     TO_ENDING},
	{CALL_ANSWERING, EV_LIFE,          on_slow,     TO_ENDING},
	{CALL_ANSWERING, EV_END,           on_end,      TO_ENDING},

	/* our 200 is out */
	{CALL_CONFIRMING, EV_ACK,           on_ack,        TO_UP | TO_ENDING},
	{CALL_CONFIRMING, EV_PRACK,         call_rel_on_prack, TO_CONFIRMING | TO_ENDING},
	{CALL_CONFIRMING, EV_NO_ACK,        on_no_ack,     TO_ENDING},
	{CALL_CONFIRMING, EV_BYE,           on_bye,        TO_CONFIRMING | TO_ENDING},
	{CALL_CONFIRMING, EV_LOST,          on_lost,       TO_CONFIRMING | TO_ENDING},
	{CALL_CONFIRMING, EV_EXPIRED,       on_expired,    TO_ENDING},
	{CALL_CONFIRMING, EV_CHANGE,        on_not_now,    TO_CONFIRMING},
	{CALL_CONFIRMING, EV_REFRESH,       stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_INFO,          call_on_info, TO_CONFIRMING},
	{CALL_CONFIRMING, EV_MOVED,         on_moved,      TO_CONFIRMING},
	{CALL_CONFIRMING, EV_MEDIA_OK,      stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_MEDIA_FAILED,  on_media_gone, TO_CONFIRMING | TO_ENDING},
	{CALL_CONFIRMING, EV_SILENCE,       on_silence,    TO_ENDING},
	{CALL_CONFIRMING, EV_FAILURE,       stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_CHANGE_DONE,   stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_CHANGE_FAILED, stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_RETRY,         stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_LEG_ENDED,     stay,          TO_CONFIRMING},
	{CALL_CONFIRMING, EV_TIMER,         on_no_ack,     TO_ENDING},
	{CALL_CONFIRMING, EV_LIFE,          on_life,       TO_CONFIRMING | TO_ENDING},
	{CALL_CONFIRMING, EV_END,           on_end,        TO_ENDING},

	/* they talk */
	{CALL_UP, EV_BYE,           on_bye,                 TO_UP | TO_ENDING},
	{CALL_UP, EV_LOST,          on_lost,                TO_UP | TO_ENDING},
	{CALL_UP, EV_EXPIRED,       on_expired,             TO_ENDING},
	{CALL_UP, EV_CHANGE,        call_change_on_offer,   TO_UP | TO_CHANGING | TO_ENDING},
	{CALL_UP, EV_CHANGE_ACK,    call_change_on_ack,     TO_UP | TO_CHANGING | TO_ENDING},
	{CALL_UP, EV_REFRESH,       call_change_on_refresh, TO_UP | TO_CHANGING},
	{CALL_UP, EV_RETRY,         call_change_on_retry,   TO_UP | TO_CHANGING},
	{CALL_UP, EV_INFO,          call_on_info,    TO_UP},
	{CALL_UP, EV_MOVED,         on_moved,               TO_UP},
	{CALL_UP, EV_CHANGE_DONE,   stay,                   TO_UP},
	{CALL_UP, EV_CHANGE_FAILED, stay,                   TO_UP},
	{CALL_UP, EV_MEDIA_OK,      stay,                   TO_UP},
	{CALL_UP, EV_MEDIA_FAILED,  on_media_gone,          TO_UP | TO_ENDING},
	{CALL_UP, EV_SILENCE,       on_silence,             TO_ENDING},
	{CALL_UP, EV_FAILURE,       stay,                   TO_UP},
	{CALL_UP, EV_LEG_ENDED,     stay,                   TO_UP},
	{CALL_UP, EV_LIFE,          on_life,                TO_UP | TO_ENDING},
	{CALL_UP, EV_END,           on_end,                 TO_ENDING},

	/* a change is on its way to the other side, or at mediad */
	{CALL_CHANGING, EV_CHANGE_DONE,   call_change_on_done,   TO_UP | TO_CHANGING | TO_ENDING},
	{CALL_CHANGING, EV_CHANGE_FAILED, call_change_on_failed, TO_UP | TO_ENDING},
	{CALL_CHANGING, EV_MEDIA_OK,      call_change_on_media,  TO_UP | TO_CHANGING | TO_ENDING},
	{CALL_CHANGING, EV_MEDIA_FAILED,  call_change_on_failed, TO_UP | TO_ENDING},
	{CALL_CHANGING, EV_CHANGE_ACK,    call_change_on_ack,    TO_UP | TO_CHANGING | TO_ENDING},
	{CALL_CHANGING, EV_CHANGE,        on_not_now,            TO_CHANGING},
	{CALL_CHANGING, EV_REFRESH,       stay,                  TO_CHANGING},
	{CALL_CHANGING, EV_RETRY,         stay,                  TO_CHANGING},
	{CALL_CHANGING, EV_BYE,           on_bye,                TO_CHANGING | TO_ENDING},
	{CALL_CHANGING, EV_LOST,          on_lost,               TO_CHANGING | TO_ENDING},
	{CALL_CHANGING, EV_EXPIRED,       on_expired,            TO_ENDING},
	{CALL_CHANGING, EV_INFO,          call_on_info,   TO_CHANGING},
	{CALL_CHANGING, EV_MOVED,         on_moved,              TO_CHANGING},
	{CALL_CHANGING, EV_SILENCE,       on_silence,            TO_ENDING},
	{CALL_CHANGING, EV_FAILURE,       stay,                  TO_CHANGING},
	{CALL_CHANGING, EV_LEG_ENDED,     stay,                  TO_CHANGING},
	{CALL_CHANGING, EV_TIMER,         call_change_on_failed, TO_UP | TO_ENDING},
	{CALL_CHANGING, EV_LIFE,          on_life,               TO_CHANGING | TO_ENDING},
	{CALL_CHANGING, EV_END,           on_end,                TO_ENDING},

	/* tear-down: what crosses it changes nothing */
	{CALL_ENDING, EV_FIGURES,   on_figures, TO_DONE},
	{CALL_ENDING, EV_TIMER,     on_figures, TO_DONE},
	{CALL_ENDING, EV_ANSWER,    stay,       TO_ENDING},
	{CALL_ENDING, EV_FAILURE,   stay,       TO_ENDING},
	{CALL_ENDING, EV_PRACK,     stay,       TO_ENDING},
	{CALL_ENDING, EV_CANCEL,    stay,       TO_ENDING},
	{CALL_ENDING, EV_ACK,       stay,       TO_ENDING},
	{CALL_ENDING, EV_NO_ACK,    stay,       TO_ENDING},
	{CALL_ENDING, EV_BYE,       stay,       TO_ENDING},
	{CALL_ENDING, EV_LOST,      stay,       TO_ENDING},
	{CALL_ENDING, EV_CHANGE,    on_not_now, TO_ENDING},
	{CALL_ENDING, EV_LEG_ENDED, stay,       TO_ENDING},
	{CALL_ENDING, EV_END,       stay,       TO_ENDING},

	/* only the legs' last transactions are left */
	{CALL_DONE, EV_LEG_ENDED, on_leg_ended, TO_DONE},
	{CALL_DONE, EV_FAILURE,   on_leg_ended, TO_DONE},
	{CALL_DONE, EV_PRACK,     stay,         TO_DONE},
	{CALL_DONE, EV_CANCEL,    on_leg_ended, TO_DONE},
	{CALL_DONE, EV_NO_ACK,    on_leg_ended, TO_DONE},
	{CALL_DONE, EV_BYE,       on_leg_ended, TO_DONE},
	{CALL_DONE, EV_LOST,      stay,         TO_DONE},
	{CALL_DONE, EV_CHANGE,    on_not_now,   TO_DONE},
	{CALL_DONE, EV_TIMER,     on_leg_ended, TO_DONE},
	{CALL_DONE, EV_END,       stay,         TO_DONE},
};
/* clang-format on */

const struct call_row *call_table_row(enum call_state s, enum call_event e)
{
	/* Filled once: 0 = no row, else its place + 1. */
	static uint8_t place[CALL_STATE_COUNT][CALL_EVENT_COUNT];
	static bool filled;

	_Static_assert(sizeof rows / sizeof *rows < 255, "places fit a byte");
	if (!filled) {
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
			place[rows[i].state][rows[i].event] = (uint8_t)(i + 1);
		filled = true;
	}
	if ((unsigned)s >= CALL_STATE_COUNT ||
		(unsigned)e >= CALL_EVENT_COUNT || place[s][e] == 0)
		return NULL;
	return &rows[place[s][e] - 1];
}

/* --- the driver --- */

static bool legs_are_gone(const struct call *c)
{
	const struct party *p;

	if (!leg_is_gone(c->caller.leg))
		return false;
	TAILQ_FOREACH (p, &c->parties, link) {
		if (!leg_is_gone(p->leg))
			return false;
	}
	return true;
}

static void bury(struct call *c)
{
	struct calls *calls = c->calls;

	if (c->buried)
		return;
	c->buried = true;
	call_forget(c);
	TAILQ_REMOVE(&calls->all, c, link);
	TAILQ_INSERT_TAIL(&calls->dead, c, link);
	calls->n_all--;
	stat_set(STAT_CALLS, calls->n_active);
	loop_timer_set(c->sbc->daemon.loop, calls->reaper, 0);
}

/* Entry of ENDING: reachable from anywhere, idempotent. */
static void tear_down(struct call *c)
{
	struct call_record *r = &c->record;
	struct party *p;
	bool unanswered = c->caller.leg == NULL ||
			  c->caller.leg->state == LEG_CALLING ||
			  c->caller.leg->state == LEG_EARLY;

	if (c->torn_down)
		return;
	c->torn_down = true;
	if (r->end_us == 0) {
		r->end_us = clock_now_us();
		r->wall_end_us = clock_wall_us();
	}
	if (unanswered && r->answer_us == 0 && r->sip_status < 300)
		r->sip_status = 500;
	/* Before the caller hears it: a kill must not end it a second time, in
	 * another way. */
	if (unanswered)
		call_save(c);
	loop_timer_stop(c->sbc->daemon.loop, c->life);
	if (c->retry != NULL)
		loop_timer_stop(c->sbc->daemon.loop, c->retry);
	call_setup_release(c);
	call_change_drop(c);
	if (c->caller.leg != NULL)
		leg_end(c->caller.leg, r->sip_status,
			c->end_lines[CALL_CALLER]);
	call_limit_release(c, &c->caller);
	call_forward_release(c);
	TAILQ_FOREACH (p, &c->parties, link) {
		if (p->leg != NULL)
			leg_end(p->leg, 500, c->end_lines[CALL_CALLED]);
		call_limit_release(c, p);
	}
	call_slot_end(c);
}

static void wait_in(struct call *c, enum call_state s)
{
	uint64_t wait_us = call_life_state_us(c, s);

	if (wait_us != 0)
		loop_timer_set(c->sbc->daemon.loop, c->timer, wait_us);
	else
		loop_timer_stop(c->sbc->daemon.loop, c->timer);
}

static void set_state(
	struct call *c, enum call_event event, enum call_state next)
{
	enum call_state old = c->state;

	if (old == next)
		return;
	log_info("call_state", LOG_CALL(c->id),
		LOG_STR("old", call_state_name(old)),
		LOG_STR("event", call_event_name(event)),
		LOG_STR("new", call_state_name(next)));
	c->state = next;
	wait_in(c, next);
	if (next == CALL_ENDING) {
		tear_down(c);
		if (c->figures_done)
			set_state(c, EV_FIGURES, CALL_DONE);
		return;
	}
	if (next != CALL_DONE)
		return;
	call_record_write(c);
	c->calls->n_active--;
	stat_set(STAT_CALLS, c->calls->n_active);
	if (legs_are_gone(c))
		bury(c);
	if (c->calls->n_active == 0 && c->calls->on_empty != NULL)
		loop_timer_set(c->sbc->daemon.loop, c->calls->reaper, 0);
}

void call_enter(struct call *c, enum call_state first)
{
	wait_in(c, CALL_FACTS);
	set_state(c, EV_INVITE, first);
	call_save(c);
}

void call_resume(struct call *c, enum call_state state)
{
	log_info("call_state", LOG_CALL(c->id),
		LOG_STR("old", call_state_name(c->state)),
		LOG_STR("event", "restart"),
		LOG_STR("new", call_state_name(state)));
	c->state = state;
	wait_in(c, state);
	if (c->record.answer_us != 0)
		call_life_set(c);
}

/* Events whose loss in a kill costs a detail (when it rang) or a message that
 * may be said twice: the 200 that the caller has acknowledged, a BYE, a CDR
 * that authd knows already. What must not be said twice was saved before it
 * left: the INVITE, our ACK to a 200, our own 200. */
static bool may_save_soon(enum call_event event, enum call_state next)
{
	switch (event) {
	case EV_PRACK:
	case EV_PROGRESS:
	case EV_ANSWER:
	case EV_ACK:
		return next != CALL_ENDING;
	case EV_MEDIA_OK:
		return next == CALL_TRYING || next == CALL_CONFIRMING;
	case EV_FIGURES:
	case EV_LEG_ENDED:
		return true;
	default:
		return false;
	}
}

void call_event(struct call *c, struct call_input *in)
{
	const struct call_row *row = call_table_row(c->state, in->event);
	enum call_state next;

	if (row == NULL) {
		stat_add(STAT_CALL_EVENTS_UNEXPECTED, 1);
		log_peer_info("call_event_unexpected", LOG_CALL(c->id),
			LOG_STR("state", call_state_name(c->state)),
			LOG_STR("event", call_event_name(in->event)));
		if (in->account != NULL)
			account_unref(&in->account);
		return;
	}
	if (call_wake(c) == 0) {
		next = row->handler(c, in);
	} else {
		c->asleep = false; /* what ends it needs no texts */
		next = call_end(c, REASON_CALL_INTERNAL, 0, CALL_SBC);
	}
	if ((row->next & CALL_BIT(next)) == 0) {
		log_err("call_table_broken", LOG_CALL(c->id),
			LOG_STR("state", call_state_name(c->state)),
			LOG_STR("event", call_event_name(in->event)),
			LOG_STR("next", call_state_name(next)));
		next = call_end(c, REASON_CALL_INTERNAL, 0, CALL_SBC);
	}
	set_state(c, in->event, next);
	if (may_save_soon(in->event, next))
		call_save_soon(c);
	else
		call_save(c);
}

enum call_state call_end(
	struct call *c, enum reason why, unsigned status, enum call_side side)
{
	struct call_record *r = &c->record;

	if (r->why != REASON_NONE)
		return CALL_ENDING;
	r->why = why;
	r->hangup = side;
	if (status == 0)
		status = reason_sip(why);
	if (r->answer_us == 0)
		r->sip_status = status != 0 ? status : 500;
	call_decide(c, why, NULL);
	log_info("call_end", LOG_CALL(c->id),
		LOG_STR("reason", reason_text(why)),
		LOG_UINT("status", r->sip_status),
		LOG_STR("side", call_side_name(side)));
	return CALL_ENDING;
}

static const enum call_event from_leg[LEG_EVENT_COUNT] = {
	[LEG_PROGRESS] = EV_PROGRESS,
	[LEG_ANSWER] = EV_ANSWER,
	[LEG_FAILURE] = EV_FAILURE,
	[LEG_CANCEL] = EV_CANCEL,
	[LEG_ACK] = EV_ACK,
	[LEG_NO_ACK] = EV_NO_ACK,
	[LEG_PRACK] = EV_PRACK,
	[LEG_CHANGE] = EV_CHANGE,
	[LEG_CHANGE_ACK] = EV_CHANGE_ACK,
	[LEG_CHANGE_DONE] = EV_CHANGE_DONE,
	[LEG_CHANGE_FAILED] = EV_CHANGE_FAILED,
	[LEG_INFO] = EV_INFO,
	[LEG_BYE] = EV_BYE,
	[LEG_LOST] = EV_LOST,
	[LEG_REFRESH] = EV_REFRESH,
	[LEG_EXPIRED] = EV_EXPIRED,
	[LEG_MOVED] = EV_MOVED,
	[LEG_ENDED] = EV_LEG_ENDED,
	[LEG_SAVE] = CALL_EVENT_COUNT,
};

void call_leg_event(void *ctx, struct leg *leg, const struct leg_msg *msg)
{
	struct party *p = ctx;
	struct call_input in = {.party = p, .msg = msg, .why = msg->why};

	(void)leg;
	in.event = from_leg[msg->event];
	if (in.event == CALL_EVENT_COUNT) {
		call_save(p->call);
		return;
	}
	call_event(p->call, &in);
}

/* --- handlers that belong to no step of their own --- */

static enum call_state stay(struct call *c, const struct call_input *in)
{
	(void)in;
	return c->state;
}

struct party *call_other(struct call *c, const struct party *p)
{
	return p == &c->caller ? c->called : &c->caller;
}

static bool is_a_side(const struct call *c, const struct party *p)
{
	return p == &c->caller || (p != NULL && p == c->called);
}

static enum call_state on_answer(struct call *c, const struct call_input *in)
{
	enum reason why = REASON_CALL_INTERNAL;

	call_change_abort(c);
	c->called = in->party;
	in->party->status = in->msg->status;
	c->record.far_status = in->msg->status;
	c->answer_lines =
		call_setup_lines(in->party, &c->caller, in->msg->sip, c->home);
	call_setup_end_others(c, in->party,
		"Reason: SIP;cause=200;text=\"Call completed elsewhere\"");
	if (call_media_answer(c, in->party, in->msg, &why) != 0)
		return call_end(c, why, 0, CALL_SBC);
	call_slot_choose(c, in->party->slot);
	c->pending_status = 200;
	if (call_media_want(c) != 0)
		return call_end(c, REASON_SESSION_AWAY, 0, CALL_SBC);
	return CALL_ANSWERING;
}

static enum call_state on_connect(struct call *c, const struct call_input *in)
{
	(void)in;
	if (!leg_awaits_answer(c->caller.leg))
		return call_end(c, REASON_CALL_CANCELLED, 487, CALL_CALLER);
	c->pending_status = 0;
	c->record.answer_us = clock_now_us();
	c->record.wall_answer_us = clock_wall_us();
	c->record.sip_status = 200;
	call_note(c, REASON_CALL_ANSWERED, NULL);
	/* The ACK may come before this function is done. */
	call_save_as(c, CALL_CONFIRMING);
	if (leg_accept(c->caller.leg, c->caller.ours, c->answer_lines) != 0)
		return call_end(c, REASON_CALL_INTERNAL, 0, CALL_SBC);
	call_life_set(c);
	return CALL_CONFIRMING;
}

static enum call_state on_no_media(struct call *c, const struct call_input *in)
{
	return call_end(c, in->why, 0, CALL_SBC);
}

/* Talk goes on without mediad's answer: it comes back and is told again. */
static enum call_state on_media_gone(
	struct call *c, const struct call_input *in)
{
	if (in->why == REASON_SESSION_AWAY) {
		log_warning("media_away", LOG_CALL(c->id));
		return c->state;
	}
	return call_end(c, in->why, 0, CALL_SBC);
}

/* Why a side ends the call may be told to the other one (RFC 3326): a phone
 * shows no missed call that somebody else has taken. */
static void pass_reason(struct call *c, const struct call_input *in)
{
	struct party *to = in->party == &c->caller
				   ? TAILQ_LAST(&c->parties, party_head)
				   : &c->caller;

	if (in->msg != NULL && in->msg->sip != NULL && to != NULL)
		c->end_lines[to->side] =
			call_setup_lines(in->party, to, in->msg->sip, c->home);
}

static enum call_state on_cancel(struct call *c, const struct call_input *in)
{
	if (in->party != NULL)
		pass_reason(c, in);
	return call_end(c, REASON_CALL_CANCELLED, 487, CALL_CALLER);
}

static enum call_state on_ack(struct call *c, const struct call_input *in)
{
	enum reason why = REASON_SDP_NO_ANSWER;
	struct party *p = &c->caller, *gone, *next;
	struct sdp ours = {0}, theirs;
	bool fits;

	/* What was tried and lost is not needed any more. */
	for (gone = TAILQ_FIRST(&c->parties); gone != NULL; gone = next) {
		next = TAILQ_NEXT(gone, link);
		if (gone == c->called || !leg_is_gone(gone->leg))
			continue;
		leg_free(&gone->leg);
	}
	call_setup_forget(c);
	call_rel_tell(c);
	if (c->change.again != NULL)
		call_retry_in(c, 0);
	if (p->theirs != NULL)
		return CALL_UP;
	/* The INVITE had no offer: the ACK has the answer to ours. */
	if (in->msg->sdp == NULL ||
		call_media_read(c, p, in->msg->sdp, in->msg->sdp_len, &theirs,
			&why) != 0)
		return call_end(c, why, 0, CALL_SBC);
	fits = sdp_parse(p->ours, strlen(p->ours), &ours, &why) == 0 &&
	       sdp_check_answer(&ours, &theirs, &why) == 0;
	sdp_wipe(&ours);
	sdp_wipe(&theirs);
	if (!fits)
		return call_end(c, why, 0, CALL_SBC);
	p->theirs = call_media_copy(c, in->msg->sdp, in->msg->sdp_len, &theirs);
	if (p->theirs == NULL || call_media_want(c) != 0)
		return call_end(c, REASON_SESSION_AWAY, 0, CALL_SBC);
	return CALL_UP;
}

static enum call_state on_no_ack(struct call *c, const struct call_input *in)
{
	(void)in;
	return call_end(c, REASON_CALL_NO_ACK, 0, CALL_SBC);
}

static enum call_state on_bye(struct call *c, const struct call_input *in)
{
	if (!is_a_side(c, in->party))
		return c->state;
	pass_reason(c, in);
	if (in->party == &c->caller && c->record.answer_us == 0)
		return call_end(c, REASON_CALL_CANCELLED, 487, CALL_CALLER);
	if (in->party == &c->caller)
		return call_end(c, REASON_CALL_CALLER_HUNG_UP, 0, CALL_CALLER);
	return call_end(c, REASON_CALL_CALLED_HUNG_UP, 480, CALL_CALLED);
}

static enum call_state on_lost(struct call *c, const struct call_input *in)
{
	if (!is_a_side(c, in->party))
		return c->state;
	return call_end(c, REASON_CALL_DIALOG_GONE, 480, in->party->side);
}

static enum call_state on_expired(struct call *c, const struct call_input *in)
{
	return call_end(c, REASON_CALL_SESSION_EXPIRED, 480, in->party->side);
}

static enum call_state on_not_now(struct call *c, const struct call_input *in)
{
	reason_count(REASON_CALL_PENDING);
	call_rel_refuse(c, in->party, 491);
	return c->state;
}

static enum call_state on_moved(struct call *c, const struct call_input *in)
{
	struct party *p = in->party;

	if (!is_a_side(c, p))
		return c->state;
	p->peer = p->leg->c.peer.addr;
	p->listener = p->leg->c.peer.listener;
	p->flow = p->leg->c.peer.flow;
	call_talks_from(p);
	p->learn_generation++;
	if (c->called != NULL && call_media_want(c) != 0)
		log_warning("media_not_told", LOG_CALL(c->id));
	return c->state;
}

static enum call_state on_silence(struct call *c, const struct call_input *in)
{
	(void)in;
	return call_end(c, REASON_CALL_MEDIA_TIMEOUT, 0, CALL_SBC);
}

static enum call_state on_slow(struct call *c, const struct call_input *in)
{
	(void)in;
	return call_end(c, REASON_CALL_SET_UP_TOO_SLOW, 0, CALL_SBC);
}

static enum call_state on_life(struct call *c, const struct call_input *in)
{
	enum reason why = call_life_over(c);

	(void)in;
	if (why != REASON_NONE)
		return call_end(c, why, 0, CALL_SBC);
	call_life_set(c);
	return c->state;
}

static enum call_state on_end(struct call *c, const struct call_input *in)
{
	return call_end(c, in->why, 0, CALL_SBC);
}

static enum call_state on_figures(struct call *c, const struct call_input *in)
{
	(void)c;
	(void)in;
	return CALL_DONE;
}

static enum call_state on_leg_ended(struct call *c, const struct call_input *in)
{
	/* At the time-out legs are let go of as they are. */
	if (in->event == EV_TIMER || legs_are_gone(c))
		bury(c);
	return CALL_DONE;
}
