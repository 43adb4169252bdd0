/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a trunk's state share. */
#ifndef SBC_TRUNK_INNER_H
#define SBC_TRUNK_INNER_H

#include <sys/queue.h>

#include "common/table.h"
#include "common/token.h"
#include "sbc/registrant.h"
#include "sbc/stack.h"
#include "sbc/target.h"
#include "sbc/trunk.h"

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

	struct registrant reg; /* trunk_register.c */
	uint64_t reg_identity; /* of whom it is; 0 = not known */
	unsigned reg_tried;    /* registrars, since the last success or wait */
	char *reg_route;       /* by Service-Route; NULL = none */
	struct addr registrar; /* the place that is asked; unset = the first */
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
	bool sweeps;      /* a row may be gone */
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
nta_leg_t *trunk_make_leg(struct trunks *trunks, const char *from,
	const char *to, struct registrant_names *names);

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
GH_MUST_CHECK int trunk_register_init(struct trunk_state *s);
void trunk_register_tick(struct trunk_state *s, const struct trunk *t);
/** Takes back what is registered. @return false if there is nothing, or no
 * longer. */
bool trunk_register_leave(struct trunk_state *s);
void trunk_register_drop(struct trunk_state *s);
/* trunk_auth.c */
void trunk_auth_on_deadline(void *arg);
void trunk_auth_drop_all(struct trunks *trunks);
/** A challenge as the text that authd reads. @return 0, or ERR_TOO_BIG. */
GH_MUST_CHECK int trunk_challenge_text(
	const msg_auth_t *au, char *text, size_t size);
/** RFC 7616 3.3: the answer was right, its nonce too old. */
bool trunk_challenge_is_stale(const msg_auth_t *au);

#endif
