/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One registration of ours at somebody else's registrar (RFC 3261 10.2): a
 * trunk's (trunk_register.c), or an extension's at its PBX (surrogate.c).
 *
 *	start -> TRYING -> (challenge, authd) -> UP -> asks again in time
 *	            ^                            |
 *	            +--- FAILED, a longer wait --+
 *	leave: LEAVING -> Expires: 0, credentials if asked for -> gone
 *
 * The owner says where, and is told; it never sends a REGISTER itself.
 */
#ifndef SBC_REGISTRANT_H
#define SBC_REGISTRANT_H

#include <stdbool.h>
#include <stdint.h>

#include <sofia-sip/nta.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/reason.h"
#include "sbc/stack.h"

struct trunks;
struct trunk_auth_query;

/** A request of ours outside any call, with the dialog leg that numbers it. */
struct trunk_request {
	nta_leg_t *leg;
	nta_outgoing_t *orq;
};

/** What a registration is known by. */
struct registrant_names {
	char call_id[40]; /* "" = none yet */
	char tag[21];
	uint32_t cseq; /* used last by an earlier process */
};

/** Saved with the trunk: the numbers stay. */
enum registration {
	REGISTRATION_NONE, /* not wanted */
	REGISTRATION_TRYING,
	REGISTRATION_UP,
	REGISTRATION_FAILED,  /* waits for the next try */
	REGISTRATION_LEAVING, /* takes back what is there; not saved */
	REGISTRATION_COUNT,
};

/** Where the next REGISTER goes, and what it says. */
struct registrant_place {
	struct target target;
	bool has_others;              /* registrars, if this one is silent */
	char url[STACK_URL_SIZE];     /* Request-URI: "sip:domain" */
	char user[STACK_URL_SIZE];    /* of the address of record, escaped */
	char contact[STACK_URL_SIZE]; /* a URI */
};

struct registrant;

struct registrant_kind {
	bool path;            /* we understand Path (RFC 3327) */
	uint32_t retry_max_s; /* between two tries */
	/** @return 0; ERR_AGAIN: not known yet, asked again soon; else there
	 * is no such place. */
	int (*where)(struct registrant *r, struct registrant_place *out);
	/** The registrar in use failed: the next one from now on.
	 * @return whether it has not been asked since the last success. */
	bool (*next)(struct registrant *r, enum reason why, const char *data);
	/** A REGISTER is out, with these names and this number; may be NULL. */
	void (*on_asked)(struct registrant *r);
	/** A 2xx; first: it was not up before. */
	void (*on_up)(struct registrant *r, const sip_t *sip, bool first);
	/** The first failure in a row. */
	void (*on_failed)(
		struct registrant *r, enum reason why, const char *data);
	/** What registrant_leave() began is over; may free r. */
	void (*on_left)(struct registrant *r);
	enum reason refused; /* what a refusal is called */
};

struct registrant {
	const struct registrant_kind *kind;
	struct trunks *trunks;
	uint32_t trunk;
	uint64_t account; /* whose credentials answer; 0 = the trunk's */
	enum registration state;
	struct registrant_names names;
	uint32_t expires_s; /* asked for; the registrar may raise it */
	unsigned failures;  /* in a row */
	uint64_t next_us;   /* when it is asked next */

	/* the rest is registrant.c's */
	struct loop_timer *timer;
	struct trunk_request request;
	struct trunk_auth_query *query;
	bool proxy;      /* 407 */
	bool challenged; /* the present try answered a challenge */
	bool stale;      /* ... and another, to a newer nonce */
	bool heard;      /* any answer to the REGISTER under way */
	unsigned looks;  /* for a place, in vain */
	uint64_t sent_us;
	uint64_t until_us; /* what was granted last runs out */
	/* What the registrar has of us: how it is taken back when the settings
	 * no longer tell. NULL = nothing was said yet. */
	struct registrant_said *said;
};

/** The owner has zeroed r. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int registrant_init(struct registrant *r,
	const struct registrant_kind *kind, struct trunks *trunks,
	uint32_t trunk, uint64_t account);
/** Sends nothing. Safe on one that is zero. */
void registrant_done(struct registrant *r);

/** Registers after the delay; also one that was leaving. expires_s: what to
 * ask for, at least (0 = 600). */
void registrant_start(
	struct registrant *r, uint32_t expires_s, uint64_t delay_us);
/** Goes on with what an earlier process had: state, names, next_us. */
void registrant_resume(struct registrant *r);
/** After a restart: notes how this registration can be taken back. */
void registrant_note(struct registrant *r);
/** Asks the registrar now, if no answer is under way. */
void registrant_wake(struct registrant *r);
/** Takes it back after the delay: on_left comes, some seconds later at most.
 * @return false if there is nothing to take back; it is NONE then, and on_left
 * does not come. */
bool registrant_leave(struct registrant *r, uint64_t delay_us);
/** Forgets it without a word. */
void registrant_drop(struct registrant *r);

/** Its last CSeq. */
uint32_t registrant_cseq(const struct registrant *r);

/** A time between three quarters of us and all of it. */
uint64_t registrant_spread(uint64_t us);

#endif
