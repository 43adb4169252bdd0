/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a call share: its states and events, and the call itself.
 * Included by call*.c and their tests only.
 *
 * A call has two sides and several parties: one caller, and every phone or
 * trunk that was tried. The called party that answered first is the call's
 * other side (c->called); the rest are cancelled and run out.
 */
#ifndef SBC_CALL_INNER_H
#define SBC_CALL_INNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "common/table.h"
#include "sbc/call.h"
#include "sbc/call_save.h"
#include "sbc/hdr.h"
#include "sbc/leg.h"
#include "sbc/media.h"
#include "sbc/route.h"
#include "sbc/sbc.h"
#include "sbc/sdp.h"
#include "sbc/target.h"

#define CALL_FORKS_MAX     8  /* phones of an account that ring at once */
#define CALL_DECISIONS_MAX 32 /* steps that a CDR keeps */
#define CALL_PROGRESS_MAX  16 /* provisionals passed on per call */
#define CALL_HOPS_MAX      32 /* INVITEs of one call, all targets together */
#define CALL_REDIRECTS_MAX 5u /* 3xx that one call follows */

enum call_state {
	CALL_FACTS,
	CALL_LOCATING,
	CALL_PORTS,
	CALL_TRYING,
	CALL_RINGING,
	CALL_ANSWERING,
	CALL_CONFIRMING,
	CALL_UP,
	CALL_CHANGING,
	CALL_ENDING,
	CALL_DONE,
	CALL_STATE_COUNT,
};
const char *call_state_name(enum call_state s);
#define CALL_BIT(state) (1u << (state))

enum call_event {
	EV_INVITE,        /* the beginning; no state waits for it */
	EV_ACCOUNT,       /* the called account is known, or there is none */
	EV_LOCATED,       /* where a target's name leads, or why nowhere */
	EV_MEDIA_OK,      /* mediad has what was wanted last */
	EV_MEDIA_FAILED,  /* it has not, and says why */
	EV_PRACK,         /* the caller acknowledged a provisional */
	EV_PROGRESS,      /* a called party: 101 to 199 */
	EV_ANSWER,        /* a called party: 2xx */
	EV_FAILURE,       /* a called party: refused, or silent */
	EV_CANCEL,        /* the caller gave up */
	EV_ACK,           /* the caller confirmed our 200 */
	EV_NO_ACK,        /* it never did */
	EV_BYE,           /* a side hung up */
	EV_LOST,          /* a side no longer knows the dialog */
	EV_EXPIRED,       /* a side did not refresh its session */
	EV_CHANGE,        /* a side offers a change */
	EV_CHANGE_ACK,    /* a side acknowledged our answer to its change */
	EV_CHANGE_DONE,   /* a side accepted a change of ours */
	EV_CHANGE_FAILED, /* a side refused it */
	EV_REFRESH,       /* a re-INVITE is due to keep a session alive */
	EV_RETRY,         /* the wait after glare is over */
	EV_INFO,          /* a side sent an INFO */
	EV_MOVED,         /* a side proved a new source */
	EV_SILENCE,       /* mediad: a side that has to send is silent */
	EV_FIGURES,       /* mediad: the session has ended */
	EV_LEG_ENDED,     /* a leg has run out */
	EV_TIMER,         /* the state lasted too long */
	EV_LIFE,          /* the call lasted too long */
	EV_END,           /* an administrator or the shutdown ends it */
	CALL_EVENT_COUNT,
};
const char *call_event_name(enum call_event e);

enum call_side { CALL_CALLER, CALL_CALLED, CALL_SBC, CALL_SIDE_COUNT };

struct party {
	TAILQ_ENTRY(party) link; /* called parties only */
	struct call *call;
	enum call_side side;
	enum side_kind kind;
	const struct trunk *trunk; /* of the call's snapshot */
	const struct realm_address *address;
	const Gh__CodecList *codecs; /* NULL = all that we know */
	struct account *account;     /* a reference */
	struct listener *listener;
	struct addr peer;           /* where signaling goes and comes from */
	struct addr talks_from;     /* noted as a talker's; unset = not */
	uint64_t flow;              /* 0 = datagrams */
	char *request_uri;          /* called: what the INVITE asks for */
	const char *route;          /* called: the way of the INVITE; NULL =
				       direct */
	const Gh__TrunkTarget *row; /* called: of its trunk */
	const char *host;           /* called: its host in To */
	bool too_large;             /* called: its INVITE, for a datagram */
	bool as_datagram; /* called: whatever its size, the peer takes no TCP */
	struct leg *leg;
	struct media_slot *slot; /* called: where its media goes */
	unsigned round;          /* called: which target it belongs to */
	unsigned status;         /* called: its final answer; 0 = none yet */
	bool silent;             /* nobody answered: a time-out of ours */
	bool behind_nat;
	/* The descriptions in force, as texts: theirs is the peer's own, ours
	 * was written here. NULL before there is one. */
	char *theirs;
	char *ours;
	uint64_t sdp_id;
	uint32_t sdp_version;
	uint32_t learn_generation;
	bool counted; /* has a place at its trunk or account */
	bool shares;  /* the place of another of its phones */
};
TAILQ_HEAD(party_head, party);

/**
 * A change of the session that is under way, one at a time. The four texts are
 * the new descriptions; once applied they are the old ones, for the case that
 * mediad cannot do it. NULL = that one does not change.
 */
struct call_change {
	bool active;
	bool applied;    /* mediad was asked; its answer ends the change */
	bool awaits_ack; /* our offer in a 2xx waits for the answer in ACK */
	struct party *asker; /* who waits for our answer; NULL = nobody */
	struct party *asked; /* whom we sent a re-INVITE; NULL = nobody */
	char *asker_theirs, *asker_ours;
	char *asked_theirs, *asked_ours;
	struct party *again; /* to be asked again after glare */
	unsigned tries;
};

/** A media session of the call, for one address of ours on the called side. */
struct media_slot {
	struct media_slot *next;
	struct call *call;
	struct media_session *session; /* NULL once it has ended */
	const struct realm_address *address;
	unsigned round;
	bool asked;         /* in this round */
	bool waits;         /* for mediad's answer */
	enum reason failed; /* NONE = it has its ports */
	/* Our ports, by enum call_side; unset before they are open. */
	struct addr rtp[2];
	struct addr rtcp[2];
};

/** One step of the chain of decisions. */
struct call_step {
	uint64_t wall_us;
	const char *data; /* "" = none */
	enum reason why;
};

struct call_record {
	uint64_t wall_start_us, wall_ring_us, wall_answer_us, wall_end_us;
	uint64_t answer_us, end_us; /* monotonic */
	struct call_step *steps;
	size_t n_steps;
	uint32_t route;      /* that decided; 0 = none */
	enum reason why;     /* how it ended; NONE while it lives */
	unsigned sip_status; /* final answer to the caller */
	unsigned far_status;
	enum call_side hangup;
	unsigned attempts;
	bool written;
	unsigned troubles;         /* of sound, already told: two bits a kind */
	Gh__SessionEnded *figures; /* a copy; NULL = none */
};

struct call {
	su_home_t home[1]; /* first: all of the call's memory */
	TAILQ_ENTRY(call) link;
	struct calls *calls;
	struct sbc *sbc;
	struct settings *settings; /* the snapshot that it began with */
	char id[IDENT_CALL_SIZE];
	/* Flags stand together: a held call fits into 1,024 bytes with what a
	 * home adds. */
	bool query_by_number; /* the second question is being asked */
	bool forward_rang;    /* it had rung before */
	bool forward_counted, forward_metered, forward_talking;
	bool caller_hidden;
	bool emergency;    /* the caller's limits do not hold */
	bool metered;      /* it counts for the caller's hour and day */
	bool talking;      /* its talk is being counted */
	bool torn_down;    /* its legs, shares and sessions go */
	bool figures_done; /* none are coming any more */
	bool buried;       /* waits for the reaper */
	bool untold;       /* what the caller offered in PRACK */
	bool unsaved;      /* in calls->unsaved */
	bool asleep;       /* its texts are in its record: call_wake() */
	enum call_state state;
	struct loop_timer *timer; /* of the state */
	struct loop_timer *life;
	struct loop_timer *retry;

	struct party caller;
	struct party_head parties; /* all called ones, in order of trial */
	struct party *called;      /* who answered; NULL before */

	/* set-up: call_setup.c */
	msg_t *invite; /* the caller's; let go once it is up */
	struct account_query *query;
	unsigned n_queries;
	unsigned n_redirects;
	/* A phone that forwards: call_forward.c */
	const char *forward_to;    /* number; NULL = none does */
	struct account *forwarder; /* whose phone sent the call here */
	struct account *called_account;
	char called_number[ROUTE_NUMBER_SIZE];
	char caller_number[ROUTE_NUMBER_SIZE];
	const char *caller_display;
	struct route_decision *decision;
	size_t target;            /* index of the one being tried */
	struct target_walk *walk; /* within a trunk; NULL = not begun */
	uint32_t q_below; /* within an account: phones of a lower q, times
			     1000, come next; 0 = from the highest */
	/* The same once more, over a connection if the peer takes it. */
	const Gh__TrunkTarget *again_row; /* NULL = none */
	struct addr again_addr;
	struct flow_ask *again_ask;
	unsigned round;
	unsigned n_invites;
	const char *end_lines[2]; /* what goes with the end of each side */
	unsigned failed_status;   /* best failure of the targets so far */
	enum reason failed_why;
	unsigned max_forwards;
	unsigned progress; /* last provisional that the caller got */
	unsigned n_progress;

	/* media: call_media.c */
	struct media_slot *slots;
	struct media_slot *offered; /* whose port a caller without an offer was
				       offered before anybody had agreed */
	char *pending_sdp;        /* to go to the caller once mediad is ready */
	unsigned pending_status;  /* with that: 180 to 200; 0 = nothing */
	const char *answer_lines; /* of the last answer, that may cross */

	struct call_change change;
	struct call_record record;
	struct save_slot saved; /* call_save.c */
	TAILQ_ENTRY(call) unsaved_link;
};

/** What the driver hands to a handler; borrowed. */
struct call_input {
	enum call_event event;
	struct party *party; /* whose leg it was; NULL if none */
	const struct leg_msg *msg;
	enum reason why;
	struct account *account; /* EV_ACCOUNT: taken by the handler */
};

struct calls {
	struct sbc *sbc;
	TAILQ_HEAD(, call) all;
	TAILQ_HEAD(, call) dead; /* freed at the next turn of the loop */
	size_t n_all;
	size_t n_active; /* whose CDR is not written yet */
	bool draining;
	struct loop_timer *reaper;
	TAILQ_HEAD(, call) unsaved; /* call_save_soon() */
	struct loop_timer *saver;
	struct loop_timer *quiet;
	struct trunks *trunks;
	struct table accounts; /* calls in progress per account */
	void (*on_empty)(void *ctx);
	void *on_empty_ctx;
};

typedef enum call_state (*call_handler_fn)(
	struct call *c, const struct call_input *in);

/** One row of the state table. */
struct call_row {
	enum call_state state;
	enum call_event event;
	call_handler_fn handler;
	unsigned next; /* CALL_BIT()s of the states that may follow */
};
/** The row, or NULL where the event means nothing in the state. */
const struct call_row *call_table_row(enum call_state s, enum call_event e);

/** THE way into the machine. Never from inside a handler. */
void call_event(struct call *c, struct call_input *in);
/** A call of an earlier process goes on in this state (CONFIRMING, UP ...). */
void call_resume(struct call *c, enum call_state state);
/** A new call's first state. */
void call_enter(struct call *c, enum call_state first);
void call_leg_event(void *ctx, struct leg *leg, const struct leg_msg *msg);
/** Notes how the call ends (the first note counts); for `return call_end()`.
 * status is the caller's if it has no final answer yet; 0 = the reason's. */
enum call_state call_end(
	struct call *c, enum reason why, unsigned status, enum call_side side);
const char *call_side_name(enum call_side side);
struct party *call_other(struct call *c, const struct party *p);

/* call_life.c */
/** How long the call may be in this state; 0 = it waits for people, not for
 * machines: only EV_LIFE ends it. */
uint64_t call_life_state_us(const struct call *c, enum call_state s);
/** The call is answered, or its life was looked at: EV_LIFE comes in time. */
void call_life_set(struct call *c);
/** At EV_LIFE. @return why the call ends, or NONE: it was only looked at. */
enum reason call_life_over(struct call *c);

/* calls.c */
/** An empty call, in the list of all. */
struct call *call_make(struct calls *calls);
/** EV_RETRY comes after this time. */
void call_retry_in(struct call *c, uint64_t delay_us);
/** The session interval that we ask this party for; 0 = none. */
uint32_t call_session_expires(const struct call *c, const struct party *p);
/** The shortest one that we accept (RFC 4028 4). */
uint32_t call_min_session(const struct call *c);

/** Notes where a phone's datagrams come from now (talker.h). */
void call_talks_from(struct party *p);

/* call_facts.c */
enum call_state call_facts_begin(
	struct call *c, const struct inbound *in, const sip_t *sip);
/** Does the caller call an emergency number? Before call_facts_begin(). */
bool call_facts_is_emergency(struct call *c, const sip_t *sip);
/** Whose is the called number? EV_ACCOUNT follows. @return the state. */
enum call_state call_facts_ask(struct call *c);
/** Would the call, as it stands, reach an emergency service? */
bool call_facts_lead_to_emergency(struct call *c);
/** Where the call may go, by what is known of it now. */
void call_facts_route(struct call *c, struct route_decision *decision_out);

/* call_setup.c */
enum call_state call_setup_on_account(
	struct call *c, const struct call_input *in);
/** EV_LOCATED. */
enum call_state call_setup_on_located(
	struct call *c, const struct call_input *in);
enum call_state call_setup_on_ports(
	struct call *c, const struct call_input *in);
enum call_state call_setup_on_failure(
	struct call *c, const struct call_input *in);
enum call_state call_setup_on_timer(
	struct call *c, const struct call_input *in);
/** Begins anew with another called number. */
enum call_state call_setup_reroute(struct call *c);
/** How many parties of the present target may still answer. */
size_t call_setup_alive(const struct call *c);
/** Ends every called party but `winner` (which may be NULL). */
void call_setup_end_others(
	struct call *c, const struct party *winner, const char *lines);
/** Header lines of a message of `from` that may cross to `to`; "" if none. */
const char *call_setup_lines(const struct party *from, const struct party *to,
	const sip_t *sip, su_home_t *home);
/** Lets go of what authd was asked and of the INVITE. */
void call_setup_release(struct call *c);
/** The call is up: nothing of its set-up is needed any more. */
void call_setup_forget(struct call *c);

/* call_target.c */
/** The list of a party's trunk, account or realm; NULL = all that we know. */
const Gh__CodecList *call_target_codecs(
	const struct call *c, const struct party *p);
/**
 * A party per registered phone of the highest preference (q) below c->q_below
 * (RFC 3261 16.6): those ring together. c->q_below becomes that preference, or
 * 0 if there are no further phones. @return how many.
 */
size_t call_target_phones(struct call *c, struct account *account);
/** The next place of the present target, which is this trunk; TARGET_ASKED:
 * EV_LOCATED comes. */
enum target_step call_target_next(struct call *c, const struct trunk *t,
	struct target_place *place_out, enum reason *why_out);
/** Forgets how far the present target has been walked. */
void call_target_forget_place(struct call *c);
/** A party for one place. again: its INVITE was too large for a datagram.
 * @return ROUTE_OK, or why it can not be used. */
enum reason call_target_trunk(struct call *c, const struct trunk *t,
	const struct target_place *place, bool again);
/** The party's INVITE is too large for a datagram: asks for a connection; then
 * EV_LOCATED, and the target is there to be taken again. @return whether there
 * is something to wait for. */
bool call_target_again(struct call *c, const struct party *p);
/* call_early.c */
enum call_state call_early_on_progress(
	struct call *c, const struct call_input *in);
/** A party has failed: the last one left may now be heard.
 * @return the state that follows. */
enum call_state call_early_on_fewer(struct call *c);
/** EV_MEDIA_OK and EV_MEDIA_FAILED while it rings. */
enum call_state call_early_on_media(
	struct call *c, const struct call_input *in);
enum call_state call_early_on_no_media(
	struct call *c, const struct call_input *in);
/** An UPDATE with an offer, and what becomes of ours. */
enum call_state call_early_on_change(
	struct call *c, const struct call_input *in);
enum call_state call_early_on_change_over(
	struct call *c, const struct call_input *in);
enum call_state call_early_on_retry(
	struct call *c, const struct call_input *in);

/* call_forward.c */
/** A phone answered 3xx: is noted, if its account's policy has any use for it.
 */
void call_forward_note(struct call *c, const struct party *p, const sip_t *sip);
/** Nobody else is left to ring: does what c->forward_to (not NULL) asks for. */
enum call_state call_forward(struct call *c);
/** The Diversion line of an INVITE to the party, "" if none; host is ours. */
const char *call_forward_lines(struct call *c, const struct party *p,
	const char *host, su_home_t *home);
/** The forwarder's part is over. */
void call_forward_release(struct call *c);

/* call_rel.c */
/** Our offer for the provisional that goes out because this party rings; NULL =
 * it needs none. In the call's home. */
const char *call_rel_offer(struct call *c, const struct party *called);
/** Is what the caller has agreed to in provisionals right for what the called
 * side has said? */
bool call_rel_holds(const struct call *c, const struct sdp *far);
/** EV_PRACK. */
enum call_state call_rel_on_prack(struct call *c, const struct call_input *in);
/** The call is up, or has been changed: the called side is asked, soon, about
 * what the caller offered in PRACK and it could not be asked about then. */
void call_rel_tell(struct call *c);
/** Refuses a change; one that came in PRACK is answered all the same. */
void call_rel_refuse(struct call *c, struct party *p, unsigned status);

/* call_media.c */
enum call_state call_media_offer(struct call *c, const struct leg_msg *offer);
/** Our offer to a party of the present round. @return a text in c's home. */
const char *call_media_make_offer(
	struct call *c, struct party *p, enum reason *why_out);
/** Takes the description in a called party's answer, if it fits our offer.
 * @return 0, ERR_NOMEM, or ERR_INVALID with the reason. */
GH_MUST_CHECK int call_media_take(struct call *c, struct party *p,
	const struct leg_msg *msg, enum reason *why_out);
/** Takes a called party's answer, or what it said before if this one has no
 * description, and prepares ours to the caller.
 * @return 0, or ERR_INVALID with the reason. */
GH_MUST_CHECK int call_media_answer(struct call *c, struct party *p,
	const struct leg_msg *msg, enum reason *why_out);
/** Tells mediad what both sides agreed on. @return 0, ERR_AWAY, ERR_NOMEM. */
GH_MUST_CHECK int call_media_want(struct call *c);
/** Fills in what is ours alone: addresses, origin, version. */
GH_MUST_CHECK int call_media_dress(
	struct call *c, struct party *p, struct sdp *sdp);
/** Parses with our policy applied (profile, keys, addresses). The caller wipes
 * it. */
GH_MUST_CHECK int call_media_read(struct call *c, const struct party *p,
	const char *text, size_t len, struct sdp *sdp_out,
	enum reason *why_out);
/** A copy in the call's home to be kept: of several audio lines only the one
 * that was read stays live. @param read what was read out of it. @return NULL
 * without memory. */
char *call_media_copy(
	struct call *c, const char *text, size_t len, const struct sdp *read);
/** Parses one that was accepted when it came: its keys are left as they are,
 * whatever policy or path are now. The caller wipes it. */
GH_MUST_CHECK int call_media_again(
	const struct party *p, const char *text, struct sdp *sdp_out);
/** Writes a description into the call's home, in place of an older one. */
GH_MUST_CHECK int call_media_keep(
	struct call *c, const struct sdp *sdp, char **text);
void call_media_drop_text(struct call *c, char **text);
/** Wants what both sides agreed on so far from a session of the call. */
GH_MUST_CHECK int call_media_tell(
	struct call *c, struct media_slot *slot, const struct party *called);

/* call_quiet.c */
/** The timer's: lets what is quiet sleep. */
void call_quiet_look(void *calls);
/** Takes the texts of a sleeping call out of its record; nothing to do for one
 * that is awake. @return 0, or an error: it can only be ended. */
int call_wake(struct call *c);

/* call_slot.c */
/** Asks for the ports of the present round's parties; EV_MEDIA_OK or
 * EV_MEDIA_FAILED follows. @return 0, ERR_AWAY or ERR_NOMEM. */
GH_MUST_CHECK int call_slot_open(struct call *c);
/** This session is the call's: the others end. */
void call_slot_choose(struct call *c, const struct media_slot *chosen);
/** All end; figures_done if there is nothing to wait for. */
void call_slot_end(struct call *c);
/** Forgets them without waiting. */
void call_slot_drop(struct call *c);
/** One of an earlier process, behind those that are there. Nothing is sent.
 * @return 0, ERR_NOMEM, ERR_EXISTS or ERR_CORRUPT. */
GH_MUST_CHECK int call_slot_restore(struct call *c, const Gh__SavedSlot *saved);
/** The nth from 1, or NULL. */
struct media_slot *call_slot_nth(struct call *c, uint32_t n);

/* call_change.c */
enum call_state call_change_on_offer(
	struct call *c, const struct call_input *in);
enum call_state call_change_on_done(
	struct call *c, const struct call_input *in);
enum call_state call_change_on_failed(
	struct call *c, const struct call_input *in);
enum call_state call_change_on_media(
	struct call *c, const struct call_input *in);
enum call_state call_change_on_ack(struct call *c, const struct call_input *in);
enum call_state call_change_on_refresh(
	struct call *c, const struct call_input *in);
enum call_state call_change_on_retry(
	struct call *c, const struct call_input *in);
void call_change_drop(struct call *c);
/** Would the other side have to hear of what this one has agreed to? */
bool call_change_is_news(struct call *c, const struct party *from);
/** The set-up goes on without the change that is under way: who waits for an
 * answer is refused, and who was asked is asked again once the call is up. */
void call_change_abort(struct call *c);

/* call_record.c */
void call_record_begin(struct call *c, const struct inbound *in);
/** Adds a step to the chain and counts it. data may be NULL. */
void call_decide(struct call *c, enum reason why, const char *data);
/** Counts already done elsewhere: only the step. */
void call_note(struct call *c, enum reason why, const char *data);
void call_record_figures(struct call *c, const Gh__SessionEnded *ended);
/** Writes the CDR; does nothing the second time. */
void call_record_write(struct call *c);
void call_record_free(struct call *c);
/** The chain of an earlier process. */
void call_record_steps(
	struct call *c, Gh__Decision *const *decisions, size_t n);

/* call_digit.c */
enum call_state call_on_info(struct call *c, const struct call_input *in);

/* call_limit.c */
struct party;
/** Takes a place for the party at its trunk or account.
 * @return ROUTE_OK or the limit that is reached. */
enum reason call_limit_take(struct call *c, struct party *p);
/** What is answered to a call that met this limit of the party's. */
unsigned call_limit_status(
	const struct call *c, const struct party *p, enum reason why);
void call_limit_release(struct call *c, struct party *p);
/** The same for c->forwarder, who pays for the rest of the way. */
enum reason call_limit_forward(struct call *c);
void call_limit_end_forward(struct call *c);
/** The call was answered: the minutes of the caller and of who forwarded run.
 */
void call_limit_talk(struct call *c);
/** Microseconds until the minutes of one of them are used up; UINT64_MAX =
 * never. */
uint64_t call_limit_left_us(struct call *c);
/** Takes the place that the party had in an earlier process. */
void call_limit_restore(struct call *c, struct party *p, bool shares);
/** The same for c->forwarder. metered: call_limit_talk() counts for it. */
void call_limit_restore_forward(struct call *c, bool metered);
GH_MUST_CHECK int call_limit_init(struct calls *calls);
void call_limit_done(struct calls *calls);

#endif
