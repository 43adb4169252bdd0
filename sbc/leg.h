/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One dialog with one peer: we are the user agent server towards a caller, or
 * the client towards a called peer. A leg speaks INVITE, ACK, CANCEL, PRACK,
 * BYE, re-INVITE, UPDATE, INFO and OPTIONS, decides who may speak in the
 * dialog (rule 1: leg_source.c), and reports to its owner what the peer did.
 * It knows nothing of calls, of the other side, or of what an SDP says.
 *
 *	client	NEW -> CALLING -> EARLY -> UP -> ENDING -> GONE
 *	                  |  \______/       \-> (BYE of the peer) -> GONE
 *	                  \-> CANCELLING -> GONE, or (2xx) ENDING -> GONE
 *	server	CALLING -> EARLY -> ANSWERED -> UP -> ENDING -> GONE
 *	             \________\-> (failure answer) GONE
 *
 * A 2xx that we receive is acknowledged at once, in whatever state it comes:
 * our INVITEs always carry an offer, so no ACK of ours has to wait. A 2xx that
 * comes after our CANCEL is ended with BYE; so is one of another fork.
 *
 * Owner's rules: on_event runs from the loop and never from inside a leg_*()
 * function. A leg may be freed in its own event only through a later turn of
 * the loop. Times come from the peer's transaction timers in the stack and
 * from the owner; a leg that is ENDING or CANCELLING becomes GONE by itself.
 *
 * RFC 3261 12 to 15, RFC 3262 (PRACK), RFC 3311 (UPDATE), RFC 4028 (session
 * timers), RFC 6026 (retransmitted 2xx).
 */
#ifndef SBC_LEG_H
#define SBC_LEG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_uniqueid.h>
#include <sofia-sip/su_string.h>

#include "common/err.h"
#include "sbc/account.h"
#include "sbc/auth.h"
#include "sbc/route.h"
#include "sbc/stack.h"

struct sbc;
struct trunks;
struct trunk_auth_query;
struct leg;
struct leg_large;
struct leg_asleep;

enum leg_state {
	LEG_NEW,
	LEG_CALLING,
	LEG_EARLY,
	LEG_ANSWERED,
	LEG_UP,
	LEG_CANCELLING,
	LEG_ENDING,
	LEG_GONE,
	LEG_STATE_COUNT,
};
const char *leg_state_name(enum leg_state s);

enum leg_event {
	LEG_PROGRESS, /* client: 101 to 199 */
	LEG_ANSWER,   /* client: 2xx; it has been acknowledged */
	LEG_FAILURE,  /* client: 300 to 699, or nobody answered; GONE */
	LEG_CANCEL,   /* server: the caller gave up; answer with leg_refuse() */
	LEG_ACK,      /* server: our 2xx was acknowledged */
	LEG_NO_ACK,   /* server: it never was; BYE has been sent */
	LEG_PRACK,    /* server: a reliable provisional was acknowledged; with
			 a description: the answer to our offer in it */
	LEG_CHANGE,   /* re-INVITE, or UPDATE or PRACK with an offer, perhaps
			 before the answer: leg_change_accept() */
	LEG_CHANGE_ACK,    /* the ACK of our 2xx to a re-INVITE */
	LEG_CHANGE_DONE,   /* 2xx to our re-INVITE or UPDATE */
	LEG_CHANGE_FAILED, /* another final answer, or none */
	LEG_INFO,          /* an INFO that we have answered */
	LEG_BYE,           /* the peer ended the dialog; answered; GONE */
	LEG_LOST,          /* the peer no longer knows the dialog */
	LEG_REFRESH,       /* a re-INVITE is due to keep the session alive */
	LEG_EXPIRED,       /* the session timer ran out (RFC 4028 10) */
	LEG_MOVED,         /* a digest proved the peer's new source */
	LEG_ENDED,         /* our BYE or CANCEL is done; GONE */
	LEG_SAVE,          /* only numbers have moved: to be saved */
	LEG_EVENT_COUNT,
};
const char *leg_event_name(enum leg_event e);

/** What an event carries; borrowed until on_event returns. */
struct leg_msg {
	enum leg_event event;
	const sip_t *sip; /* the request or answer; NULL if no peer said it */
	unsigned status;  /* of an answer; 408 or 503 where none came */
	bool internal;    /* no peer said it: time-out or no way to send */
	const char *sdp;  /* NULL = none */
	size_t sdp_len;
	enum reason why; /* LEG_CHANGE etc.: ADMIT_CONTENT_TYPE for a foreign
			    body */
};

typedef void (*leg_event_fn)(
	void *ctx, struct leg *leg, const struct leg_msg *msg);

/** Who stands at the other end, and who hears of it. All borrowed for the
 * leg's life, except that the leg takes its own reference to the account. */
struct leg_config {
	struct sbc *sbc;
	su_home_t *home;  /* the owner's: all of the leg lives in it */
	const char *call; /* our call ID, for the log */
	enum side_kind kind;
	const struct trunk *trunk; /* SIDE_TRUNK, SIDE_PBX */
	struct account *account;   /* SIDE_PHONE */
	struct trunks *trunks; /* answers a trunk's challenges; NULL = none */
	struct target peer;    /* where its requests came from, or go to */
	const char *user;      /* user part of our Contact; NULL = none */
	const char *body_type; /* client: of the INVITE's body; NULL = a bare
				* description; static */
	const char *route;  /* client: Route of the INVITE; "" or NULL = none;
			     * not needed after it */
	uint64_t surrogate; /* client: account that we register there, and
			     * that challenges are answered as; 0 = none */
	uint32_t min_se_s;  /* session timers: RFC 4028 */
	uint32_t session_expires_s; /* what we ask for; 0 = we do not ask */
	leg_event_fn on_event;
	/** Takes over what arrives inside a dialog that is none of a call (a
	 * subscription); NULL = a call's. irq is the callee's; returns 0, or a
	 * status that the library answers with. */
	int (*on_request)(
		struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
	void *ctx;
};

/** A request of ours that is under way and matters (one at a time). */
struct leg_request {
	nta_outgoing_t *orq;
	sip_method_t method;
	bool sending; /* orq is being made */
};

/** What a reliable provisional of ours carried; the larger says more. */
enum leg_rel { LEG_REL_NONE, LEG_REL_PLAIN, LEG_REL_ANSWER, LEG_REL_OFFER };

#define LEG_MINORS_MAX 4
#define LEG_TAG_SIZE   21

/** A MESSAGE of a call's other side (message.c). Its request outlives the leg
 * if need be. */
struct leg_text {
	LIST_ENTRY(leg_text) link;
	struct leg *leg; /* in whose list it is; NULL = in none any more */
	nta_outgoing_t *orq;
	nta_incoming_t *irq; /* of the other side */
	bool challenged;     /* orq was, and its answer is being made */
};

struct leg_judged;

/** Read only outside leg*.c. A held call has two: flags and numbers stand
 * together, and what few legs ever need is elsewhere, so that it fits into 512
 * bytes with what a home adds. */
struct leg {
	struct leg_config c;
	char local_tag[LEG_TAG_SIZE];
	bool server;
	bool owes_bye;       /* server: BYE goes out once the ACK came */
	bool provisional;    /* client: any answer came */
	bool rel_supported;  /* RFC 3262: the peer can do PRACK */
	bool rel_required;   /* server: provisionals have to be reliable */
	bool rel_agreed;     /* offer and answer were exchanged in a provisional
				that is acknowledged: UPDATE may offer */
	bool offerless;      /* server: the INVITE had no offer */
	bool rel_offered;    /* server: ours went out in a provisional */
	bool update_allowed; /* the peer's Allow has UPDATE */
	bool change_answered; /* our 2xx to their re-INVITE waits for its ACK */
	bool auth_proxy;      /* the challenge is a 407 */
	bool auth_stale;      /* one more answer went out, to a newer nonce */
	bool se_raised;    /* the INVITE under way asks for the 422's Min-SE */
	bool se_refresher; /* we refresh */
	bool se_server;    /* set by a request of the peer */
	bool se_peer_can;  /* it said Supported: timer */
	enum leg_rel rel_owed : 8; /* server: what the PRACK that has not been
				      taken yet acknowledges */
	enum leg_state state;
	uint32_t invite_cseq;
	uint32_t rel_rseq;      /* client: last RSeq that we acknowledged */
	uint32_t se_interval_s; /* RFC 4028; 0 = no session timer in force */

	char *names; /* the four texts that follow, in one piece */
	const char *call_id;
	const char *contact; /* our Contact value: "<sip:...>" */
	const char *local;  /* our address value in the dialog, without a tag */
	const char *remote; /* the peer's */
	char *user_agent;   /* what the peer says it is; "" = nothing */
	nta_leg_t *dialog;  /* NULL: none, or asleep */
	struct leg_asleep *asleep; /* leg_sleep.h; NULL = awake */

	nta_incoming_t *invite_irq; /* server: the first INVITE */
	nta_outgoing_t *invite_orq; /* client: the first INVITE */
	char *invite_text;          /* either, for leg_save(); NULL = done */
	char *end_lines;            /* for CANCEL or BYE; NULL = none */

	/* a change of the running session: theirs or ours, one at a time */
	nta_incoming_t *change_irq;
	struct leg_request change;

	/* small requests of ours whose failure tells that the dialog is gone */
	nta_outgoing_t *minors[LEG_MINORS_MAX];
	nta_outgoing_t *bye_orq;

	/* rule 1: a request from an unknown source while authd judges it */
	struct auth_query *judging;
	nta_incoming_t *judged_irq;
	struct leg_judged *judged; /* leg_source.c; NULL = never any */

	/* a trunk's challenge to a request of ours, while authd makes the
	 * answer */
	struct {
		struct trunk_auth_query *query;
		nta_outgoing_t *orq;         /* that was challenged; ended */
		nta_response_f *fn;          /* hears the next answer */
		nta_outgoing_magic_t *magic; /* fn's */
		nta_outgoing_t *refused; /* that gets no answer, while told */
		/* another that was challenged meanwhile; its turn comes */
		nta_outgoing_t *next;
		nta_response_f *next_fn;
		nta_outgoing_magic_t *next_magic;
	} auth;
	/* requests that wait for a connection (leg_send.c) */
	LIST_HEAD(, leg_large) larges;
	LIST_HEAD(, leg_text) texts; /* on their way to the peer */

	struct loop_timer *se_timer;
	uint64_t se_due_us; /* when it fires; 0 = it does not run */
};

/**
 * A server leg for an INVITE that has a transaction.
 * @return 0; ERR_NOMEM, or ERR_INVALID for an INVITE without a usable
 *	Contact: then irq is still the caller's to answer.
 */
GH_MUST_CHECK int leg_new_server(const struct leg_config *config,
	nta_incoming_t *irq, const sip_t *sip, struct leg **leg_out);

/** A server leg for a request of another method that makes a dialog; it is up,
 * and irq stays the caller's. @return as leg_new_server(). */
GH_MUST_CHECK int leg_new_dialog(const struct leg_config *config,
	nta_incoming_t *irq, const sip_t *sip, struct leg **leg_out);

/** A client leg; nothing is sent. from and to are header values without tags.
 * @return 0 or ERR_NOMEM. */
GH_MUST_CHECK int leg_new_client(const struct leg_config *config,
	const char *from, const char *to, struct leg **leg_out);

/** Lets go of every transaction without sending anything more. */
void leg_free(struct leg **leg);

/** Sends the INVITE. @return 0, ERR_NOMEM (nothing was sent). */
GH_MUST_CHECK int leg_invite(struct leg *leg, const char *request_uri,
	const char *sdp, const char *lines, unsigned max_forwards);

/** Server: 101 to 199, reliably where the caller requires it. sdp may be NULL.
 * Does nothing once a final answer is out. */
void leg_progress(
	struct leg *leg, unsigned status, const char *sdp, const char *lines);
/** Server: 200; without sdp if a provisional has settled that, or has offered.
 * @return 0, or ERR_STATE if it is too late. */
GH_MUST_CHECK int leg_accept(
	struct leg *leg, const char *sdp, const char *lines);
/** Server: a final failure; the leg is GONE afterwards. */
void leg_refuse(struct leg *leg, unsigned status, const char *lines);

/**
 * Ends the leg in the way that its state asks for: a failure answer (status),
 * CANCEL, BYE, or nothing if it has ended. Idempotent. The leg is GONE at
 * once, or later (LEG_ENDED).
 * @param lines	header lines for that message, such as Reason (RFC 3326), or
 *		NULL; copied.
 */
void leg_end(struct leg *leg, unsigned status, const char *lines);

/** May a change be offered now: none in progress, either way, and it is up, or
 * early with a peer that takes UPDATE and has agreed to the first offer in a
 * reliable provisional (RFC 3311 5.1)? */
bool leg_can_change(const struct leg *leg);
/** Our offer in a re-INVITE, before the answer in an UPDATE. LEG_CHANGE_DONE or
 * _FAILED follows.
 * @return 0, ERR_STATE, or ERR_NOMEM. */
GH_MUST_CHECK int leg_change(struct leg *leg, const char *sdp);
/** Answers a LEG_CHANGE with 200. */
void leg_change_accept(struct leg *leg, const char *sdp);
/** Answers it with a failure: the session stays as it was. */
void leg_change_refuse(struct leg *leg, unsigned status);
/** Did it come in PRACK? Then a refusal would leave open whether the
 * provisional was received: it has to be answered (RFC 6337 3.2). */
bool leg_change_is_prack(const struct leg *leg);
/** The offer that waits for its answer, borrowed until that; NULL = none. */
const char *leg_change_offer(const struct leg *leg, size_t *len_out);

/** Sends an INFO; dropped if too many are under way. */
void leg_info(struct leg *leg, const char *content_type, const char *body);

/** Server: would leg_accept() go through? */
static inline bool leg_awaits_answer(const struct leg *leg)
{
	return leg->server && leg->invite_irq != NULL &&
	       (leg->state == LEG_CALLING || leg->state == LEG_EARLY);
}

/** The same trunk in another snapshot: for dialogs that live for days. */
static inline void leg_renew(struct leg *leg, const struct trunk *trunk)
{
	leg->c.trunk = trunk;
}

/** Is anything of it still under way? */
static inline bool leg_is_gone(const struct leg *leg)
{
	return leg == NULL || leg->state == LEG_GONE;
}

/* --- between leg*.c only --- */

/** What leg_source.c says of a request inside the dialog. */
enum leg_verdict {
	LEG_SOURCE_OK,
	LEG_SOURCE_WAIT,    /* authd judges; leg_resume() follows */
	LEG_SOURCE_REFUSED, /* answered, counted */
};

void leg_emit(struct leg *leg, const struct leg_msg *msg);
/** Seconds for a Retry-After of ours, as sbc.setting has them. */
const char *leg_retry_after(const struct leg *leg, char *text, size_t size);
void leg_set_state(struct leg *leg, enum leg_state state);
/** Everything is answered and nothing waits: becomes GONE, says so later. */
void leg_close(struct leg *leg);
/** A final answer was taken in: the bodies of both messages are of no more use,
 * and have media keys. The library keeps the messages for 32 s. */
void leg_wipe_bodies(nta_outgoing_t *orq);
/** Makes the nta leg for these tags and the next CSeq: also after a restart. */
GH_MUST_CHECK int leg_make_dialog(struct leg *leg, const char *remote_tag,
	uint32_t local_cseq, uint32_t remote_cseq);
/** A request inside the dialog, as the library calls it. @return 0, or a status
 * to answer with. */
int leg_on_request(struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
/** The leg of one of the library's dialogs, or NULL if it is none. */
struct leg *leg_of_dialog(nta_leg_t *dialog);
/** Sends a request inside the dialog, or the first INVITE; fn is called with
 * the leg. One that is too large for a datagram may wait for a connection: what
 * is returned stands for it, and another may take its place in leg_auth_slot().
 */
nta_outgoing_t *leg_send(struct leg *leg, nta_response_f *fn,
	sip_method_t method, const char *name, const char *request_uri,
	tag_type_t tag, tag_value_t value, ...);
/** The same with fn's own magic. What is returned is kept where leg_auth_slot()
 * finds it. */
nta_outgoing_t *leg_send_as(struct leg *leg, nta_response_f *fn,
	nta_outgoing_magic_t *magic, sip_method_t method, const char *name,
	const char *request_uri, tag_type_t tag, tag_value_t value, ...);
/** A request once more, with the next CSeq and more headers. @return NULL
 * without memory or dialog. */
nta_outgoing_t *leg_send_again(struct leg *leg, nta_outgoing_t *old,
	const struct target *to, nta_response_f *fn,
	nta_outgoing_magic_t *magic, tag_type_t tag, tag_value_t value, ...);
void leg_send_ack(struct leg *leg, nta_outgoing_t *invite, uint32_t cseq);
void leg_send_bye(struct leg *leg);
/** Body of a message: SDP, nothing, or something foreign.
 * @return ADMIT_OK or ADMIT_CONTENT_TYPE. */
enum reason leg_body(const sip_t *sip, struct leg_msg *msg);
void leg_learn_peer(struct leg *leg, const sip_t *sip);
/** Says that numbers have moved which no other event tells of. */
void leg_note(struct leg *leg);
/** A free place for a small request, or NULL. */
nta_outgoing_t **leg_minor_slot(struct leg *leg);

/* leg_invite.c */
struct leg *leg_alloc(const struct leg_config *config, bool server);
/** The leg's texts; contact is our Contact value. @return 0 or ERR_NOMEM. */
GH_MUST_CHECK int leg_keep_texts(struct leg *leg, const char *call_id,
	const char *contact, const char *local, const char *remote);
int leg_on_invite_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip);
int leg_on_ack_cancel(
	nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip);
/* leg_rel.c */
void leg_rel_from_invite(struct leg *leg, const sip_t *sip);
/** A PRACK whose source is accepted. */
int leg_rel_on_prack(struct leg *leg, nta_incoming_t *prack, const sip_t *sip);
/** Acknowledges a reliable provisional. @return whether it is a new one. */
bool leg_rel_take(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip);
/* leg_change.c */
int leg_on_invite_inside(
	struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
int leg_on_update(struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
void leg_change_drop(struct leg *leg);
/* leg_source.c */
enum leg_verdict leg_check_source(
	struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
/** An ACK or CANCEL of a transaction: from an accepted source? */
bool leg_accepts_message(
	struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
void leg_judge_drop(struct leg *leg);
/** A phone's connection may have gone: its newest one that lives takes its
 * place. */
void leg_reach(struct leg *leg);
/** Where requests go now that the route set or the target changed. */
void leg_aim(struct leg *leg);
/* leg.c: a request inside the dialog whose source is accepted. */
int leg_dispatch(struct leg *leg, nta_incoming_t *irq, const sip_t *sip);
/* leg_auth.c */
/**
 * Takes a challenge (401, 407) to a request of ours to a trunk: authd is
 * asked, and the request goes out again with the answer.
 * @return whether it was taken; then orq is taken too, and `fn` hears the next
 *	answer, or once more this one if there is no answer to the challenge.
 */
bool leg_auth_take(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip,
	nta_response_f *fn);
/** The same for a request of leg_send_as(). */
bool leg_auth_take_as(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip,
	nta_response_f *fn, nta_outgoing_magic_t *magic);
/** Takes a 422 (RFC 4028 7.4): the request goes out again at once, with the
 * interval that the peer wants at least. @return whether it was taken. */
bool leg_interval_take(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip,
	nta_response_f *fn);
/** Whose place the new transaction takes: the caller's field is set anew. */
nta_outgoing_t **leg_auth_slot(struct leg *leg, nta_outgoing_t *orq);
void leg_auth_drop(struct leg *leg);
/* leg_send.c */
enum leg_way {
	LEG_WAY_NOW,
	LEG_WAY_WAIT, /* for a connection */
};
/** Bytes of a request of ours, estimated: the texts that it is made of may be
 * NULL. */
size_t leg_request_size(const struct leg *leg, const char *request_uri,
	const char *body, const char *lines);
/** Where a request that is too large for a datagram goes; large_out NULL: it
 * can not wait. WAIT: leg_large_begin() follows, with a request to to_out. */
enum leg_way leg_way(
	struct leg *leg, struct target *to_out, struct leg_large **large_out);
/** orq stands for the request from now on; NULL: there is none. */
void leg_large_begin(struct leg_large *large, nta_outgoing_t *orq,
	nta_response_f *fn, nta_outgoing_magic_t *magic);
/** Its answer callback; the magic is the leg_large. */
int leg_large_on_end(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip);
/** The owner gives up a request, which may be one that waits. */
void leg_large_forget(struct leg *leg, nta_outgoing_t *orq);
/** The leg goes: whoever waits for an answer hears that there is none. */
void leg_large_drop(struct leg *leg);
/* leg_timer.c */
void leg_timer_from_request(struct leg *leg, const sip_t *sip);
void leg_timer_from_answer(struct leg *leg, const sip_t *sip);
void leg_timer_stop(struct leg *leg);
/** Goes on with one of an earlier process. */
void leg_timer_resume(struct leg *leg, uint64_t due_us);
/** (Re)starts it with the values in force. */
void leg_timer_run(struct leg *leg);
/** Session-Expires value for an answer of ours, or NULL. */
const char *leg_timer_answer(const struct leg *leg, char *text, size_t size);
/** The same for a request of ours. */
const char *leg_timer_request(const struct leg *leg, char *text, size_t size);
#define LEG_TIMER_TEXT     48
#define LEG_INTERVAL_MAX_S 86400
/** A request of the peer asks for less than we allow (RFC 4028 8.2). */
bool leg_interval_too_small(const struct leg *leg, const sip_t *sip);
/** Does the answer have to oblige the caller to refresh (Require: timer)? */
bool leg_timer_is_uac(const struct leg *leg);

#endif
