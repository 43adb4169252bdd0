/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a subscription share: its states and events, and itself.
 * Included by event*.c, page*.c and their tests only.
 */
#ifndef SBC_EVENT_INNER_H
#define SBC_EVENT_INNER_H

#include <sys/queue.h>

#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "common/table.h"
#include "sbc/target.h"
#include "sbc/event.h"
#include "sbc/event_body.h"
#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "sbc/leg.h"
#include "sbc/sbc.h"
#include "sbc/scratch.h"

enum sub_state {
	SUB_AIMING,
	SUB_ASKING,
	SUB_UP,
	SUB_REFRESHING,
	SUB_LAST,
	SUB_GONE,
	SUB_STATE_COUNT,
};
const char *sub_state_name(enum sub_state s);

enum sub_event {
	SUB_EV_AIMED,    /* the PBX's address is known, or is not */
	SUB_EV_ACCEPTED, /* 2xx to our SUBSCRIBE */
	SUB_EV_REFUSED,  /* another final answer, or none */
	SUB_EV_ASK,      /* the phone's SUBSCRIBE inside the dialog */
	SUB_EV_NOTIFY,   /* the PBX's */
	SUB_EV_PASSED,   /* the phone has answered a NOTIFY */
	SUB_EV_TIMER,
	SUB_EV_STOP, /* we stop, or it is replaced */
	SUB_EVENT_COUNT,
};
const char *sub_event_name(enum sub_event e);

/** A NOTIFY on its way: the PBX's transaction and ours to the phone. */
struct note {
	bool used;
	nta_incoming_t *irq;
	nta_outgoing_t *orq; /* NULL = it waits for the answer to SUBSCRIBE */
	bool last;           /* it ends the subscription */
	unsigned status;     /* the phone's answer; 0 = none yet */
	bool silent;         /* nobody gave it */
};
#define SUB_NOTES_MAX     8
#define SUB_IDENTICAL_MAX 3 /* of one phone */
#define SUB_EVENT_ID_MAX  64

/** Of one account. */
struct sub_owner {
	struct table_node node;
	uint64_t account;
	TAILQ_HEAD(, sub) subs; /* oldest first */
	size_t n;
};

struct sub {
	su_home_t home[1]; /* all of it lives in here */
	TAILQ_ENTRY(sub) link;
	TAILQ_ENTRY(sub) of_owner;
	struct events *events;
	struct sbc *sbc;
	char id[IDENT_CALL_SIZE];
	enum sub_state state;
	const struct event_package *package;
	char event_id[SUB_EVENT_ID_MAX + 1]; /* the phone's; "" = none */
	char resource[ROUTE_NUMBER_SIZE];
	struct account *account;
	struct sub_owner *owner;
	struct settings *settings; /* that trunk is of */
	const struct trunk *trunk;
	struct leg *phone, *pbx; /* pbx: NULL before it is known where */
	struct leg *spent;       /* the one before: a PBX that was not there */
	uint64_t deadline_us;    /* the phone has its first answer by then */
	struct target_walk walk;
	unsigned max_forwards;

	nta_incoming_t *asked; /* the phone's SUBSCRIBE that we owe an answer */
	uint32_t asked_s;      /* what ours asks for; 0 = the end, or a look */
	bool quiet;            /* the phone is not told any more */
	bool told;             /* it has taken the last NOTIFY */
	bool notified;         /* the PBX has said something */
	struct note notes[SUB_NOTES_MAX];

	uint64_t expires_us;
	uint64_t wall_began_us;
	uint64_t n_notified;
	struct loop_timer *timer;
	struct save_slot saved;
};

struct events {
	struct sbc *sbc;
	TAILQ_HEAD(, sub) all;
	TAILQ_HEAD(, sub) dead;
	size_t n;
	struct table owners;
	struct loop_timer *reaper;
	struct event_ids ids;
};

/** What an event carries; borrowed. */
struct sub_input {
	enum sub_event event;
	nta_incoming_t *irq; /* ASK, NOTIFY: the state's to answer */
	const sip_t *sip;    /* the request or answer; NULL = none came */
	unsigned status;
	struct note *note; /* PASSED */
	enum reason why;   /* STOP */
};

/* events.c */
struct sub *sub_make(struct events *events, struct account *account,
	const struct event_package *package);
/** Takes it out of everything; freed at a later turn. */
void sub_bury(struct sub *s);
/** May this account have one more? @return EVENT_OK, EVENT_TOO_MANY, FULL. */
enum reason events_room(const struct events *events, uint64_t account);
/** The oldest of too many that are alike and come from the same place. */
struct sub *events_alike(const struct sub *s);
/** The PBX that serves this account's subscriptions, or NULL. */
const struct trunk *events_pbx(struct sbc *sbc, const struct settings *settings,
	const Gh__Account *account, const struct realm *realm,
	const char *resource);
/** The host part of every URI that this listener's phones are shown. */
const char *event_domain(
	const struct realm *realm, const struct listener *l, su_home_t *home);

/* event.c */
void sub_event(struct sub *s, const struct sub_input *in);
int sub_on_phone_request(
	struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
int sub_on_pbx_request(struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
void sub_on_leg(void *ctx, struct leg *leg, const struct leg_msg *msg);
void sub_on_timer(void *arg);
void sub_arm(struct sub *s);
/** The phone's first SUBSCRIBE waits from now on. */
void sub_begin_waiting(struct sub *s);
/** Answers the phone's SUBSCRIBE that waits, if one does, with a refusal;
 * lines may be NULL. */
void sub_answer(
	struct sub *s, enum reason why, unsigned status, const char *lines);
/** Answers a request of the subscription. */
void sub_reply(
	struct sub *s, nta_incoming_t *irq, enum reason why, unsigned status);

/* event_pbx.c */
/** What a leg of the subscription is made with, new or restored. */
struct leg_config sub_phone_config(struct sub *s, const struct target *peer);
struct leg_config sub_pbx_config(struct sub *s, const struct target *peer);
/** It is known where the PBX is: SUB_EV_AIMED. */
enum sub_state sub_aimed(struct sub *s, const struct sub_input *in);
/** The PBX is not there (RFC 3263 4.3): asks at its next place.
 * @return SUB_STATE_COUNT if there is none; the one that was asked stays. */
enum sub_state sub_try_elsewhere(struct sub *s);
/** The walk over the PBX's places goes on. */
void sub_on_aimed(void *ctx);
/** Sends our SUBSCRIBE for s->asked_s; uri, and what belongs to it, stand in
 * the first one only. @return whether it left. */
bool sub_ask_pbx(struct sub *s, const char *uri, const char *lines);
/** Tells the PBX that nobody listens any more; its answer does not matter. */
void sub_leave_pbx(struct sub *s);

/* event_ask.c */
enum sub_state sub_ask(struct sub *s, const struct sub_input *in);
enum sub_state sub_ask_again(struct sub *s, const struct sub_input *in);
enum sub_state sub_ask_late(struct sub *s, const struct sub_input *in);
/** Seconds that a SUBSCRIBE asks for, within the limits.
 * @return EVENT_OK, or EVENT_TOO_BRIEF with *min. */
enum reason event_read_expires(
	const struct sbc *sbc, const sip_t *sip, uint32_t *out, uint32_t *min);

/* event_notify.c */
enum sub_state sub_notify(struct sub *s, const struct sub_input *in);
enum sub_state sub_hold(struct sub *s, const struct sub_input *in);
enum sub_state sub_swallow(struct sub *s, const struct sub_input *in);
enum sub_state sub_passed(struct sub *s, const struct sub_input *in);
/** Passes what was held back. @return the state that follows. */
enum sub_state sub_pass_held(struct sub *s, enum sub_state state);
/** Answers what is still held. */
void sub_drop_notes(struct sub *s, unsigned status);
/** Tells the phone that it is over, without a word of the PBX. */
void sub_tell_end(struct sub *s, const char *reason, uint32_t retry_after_s);
/** Subscription-State as we say it, out of a peer's.
 * @return false for one that is none. */
bool event_state_text(const sip_subscription_state_t *ss, uint64_t left_s,
	char *text, size_t size, bool *last_out);

/* event_save.c */
/** Texts live in the subscription or in the scratch. */
void sub_to_record(const struct sub *s, struct scratch *scratch,
	Gh__SavedSubscription *out);
void sub_save(struct sub *s);

#endif
