/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a trunk's state share. */
#ifndef SBC_TRUNK_INNER_H
#define SBC_TRUNK_INNER_H

#include <sys/queue.h>

#include "common/table.h"
#include "common/token.h"
#include "sbc/stack.h"
#include "sbc/target.h"
#include "sbc/trunk.h"

/** A request of ours outside any call, with the dialog leg that numbers it. */
struct trunk_request {
	nta_leg_t *leg;
	nta_outgoing_t *orq;
};

#define TRUNK_PLACES_MAX 16

/** One address of a trunk, as its targets lead there. */
struct trunk_place {
	struct trunk_state *state;
	struct addr addr;
	Gh__Transport transport;
	char host[256]; /* of the row that led here: a name or an address */
	bool is_name;   /* ... a name */
	bool seen;      /* by the look that is under way */
	bool down;
	unsigned misses;
	struct trunk_request probe;
};

/** What a registration is known by. */
struct trunk_names {
	char call_id[40]; /* "" = none yet */
	char tag[21];
	uint32_t cseq; /* used last by an earlier process */
};

enum registration {
	REGISTRATION_NONE, /* not wanted */
	REGISTRATION_TRYING,
	REGISTRATION_UP,
	REGISTRATION_FAILED, /* waits for the next try */
	REGISTRATION_COUNT,
};

struct trunk_state {
	struct table_node node;
	struct trunks *trunks;
	uint32_t id;

	uint32_t n_calls;
	struct token rate;

	bool down;
	unsigned misses; /* looks that found no address, in a row */
	uint64_t next_probe_us;

	/* where its targets are: trunk_where.c */
	struct trunk_place *places[TRUNK_PLACES_MAX];
	size_t n_places;
	bool where_known; /* looked once */
	uint64_t next_where_us;
	struct target_walk walk; /* the look that is under way */
	struct settings *walked; /* ... over this snapshot's trunk */
	struct trunk_place *found[TRUNK_PLACES_MAX];
	size_t n_found;

	enum registration registration;
	struct trunk_request reg;
	struct trunk_auth_query *reg_query;
	bool reg_proxy;         /* ... with 407 */
	bool reg_challenged;    /* the present try answered a challenge */
	bool reg_stale;         /* ... and another, to a newer nonce */
	uint32_t reg_expires_s; /* asked for; the registrar may raise it */
	uint64_t next_register_us;
	unsigned reg_failures; /* in a row */
	unsigned reg_tried;    /* registrars, since the last success or wait */
	uint64_t reg_sent_us;
	bool reg_heard;        /* any answer to the REGISTER under way */
	char *reg_route;       /* by Service-Route; NULL = none */
	struct addr registrar; /* the place that is asked; unset = the first */
	struct trunk_names names;
	struct save_slot saved;

	TAILQ_ENTRY(trunk_state) named_link; /* its names are sources */
	bool named;
	unsigned n_surrogates; /* extensions that are registered there */
};

struct trunk_auth_query {
	TAILQ_ENTRY(trunk_auth_query) link;
	struct trunks *trunks;
	uint64_t id;
	uint64_t deadline_us;
	trunk_auth_fn fn;
	void *ctx;
};

struct trunks {
	struct sbc *sbc;
	struct table table;
	struct loop_timer *tick;
	struct loop_timer *deadline;
	uint64_t version; /* of the settings last looked at */
	TAILQ_HEAD(, trunk_auth_query) queries; /* by deadline */
	TAILQ_HEAD(, trunk_state) named;
	struct surrogates *surrogates;
	size_t n_queries;
};

struct trunk_state *trunk_state_find(struct trunks *trunks, uint32_t id);
/** How to reach a place, and the URI of the trunk's domain. */
GH_MUST_CHECK int trunk_target_of(struct sbc *sbc, const struct trunk *t,
	const struct trunk_place *place, struct target *target,
	char url[STACK_URL_SIZE]);
/** names of an earlier leg that this one goes on with, or is filled in; NULL =
 * new ones that nobody needs again. */
nta_leg_t *trunk_make_leg(struct trunk_state *s, const char *from,
	const char *to, struct trunk_names *names);

/* trunk_where.c */
/** Looks again where the targets are, if it is time. */
void trunk_where_tick(
	struct trunk_state *s, const struct trunk *t, uint64_t now);
void trunk_where_drop(struct trunk_state *s);
/** The registrar in use, or the first place; NULL if there is none. */
const struct trunk_place *trunk_where_registrar(struct trunk_state *s);
/** The registrar in use failed: the next one. */
void trunk_where_next_registrar(struct trunk_state *s);
/** From trunk.c: what the looks and probes say, taken together. */
void trunk_judge(struct trunk_state *s, const char *data);

void trunk_request_drop(struct trunk_request *r);

/* trunk_find.c */
/** User part of our Contact there; NULL = none. */
const char *trunk_contact_user(const struct trunk *t);
void trunk_token(const struct trunk *t, char text[TRUNK_TOKEN_SIZE]);
bool trunk_is_named_source(const struct trunks *trunks, const struct trunk *t,
	const struct addr *source, Gh__Transport transport);

/* trunk_save.c */
/** Writes what a new process has to know. */
void trunk_save(struct trunk_state *s);
/** The row of a trunk, made if there is none; NULL without memory. */
struct trunk_state *trunk_state_make(struct trunks *trunks, uint32_t id);
/* trunk_register.c */
void trunk_register_tick(
	struct trunk_state *s, const struct trunk *t, uint64_t now);
void trunk_register_drop(struct trunk_state *s);
/** A time between three quarters of us and all of it. */
uint64_t trunk_spread(uint64_t us);
/** Seconds that a 2xx to our REGISTER gives us; asked_s if it does not say. */
uint32_t trunk_granted(const sip_t *sip, uint32_t asked_s);
/* trunk_auth.c */
void trunk_auth_on_deadline(void *arg);
void trunk_auth_drop_all(struct trunks *trunks);
/** A challenge as the text that authd reads. @return 0, or ERR_TOO_BIG. */
GH_MUST_CHECK int trunk_challenge_text(
	const msg_auth_t *au, char *text, size_t size);
/** RFC 7616 3.3: the answer was right, its nonce too old. */
bool trunk_challenge_is_stale(const msg_auth_t *au);

#endif
