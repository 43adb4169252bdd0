/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the database tests stand on: a private PostgreSQL cluster, statements
 * with expected outcomes, the real authd as a child, and an sbc that only
 * remembers what authd told it. Waiting is always for an event, with a bound.
 */
#ifndef TESTS_SQL_LAB_H
#define TESTS_SQL_LAB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/ipc.h"
#include "common/loop.h"
#include "common/nonce.h"

#define LAB_WAIT_S  20

/** A literal for a field of a message, which nobody writes to. */
#define LAB_TEXT(x) ((char *)(uintptr_t)(x))

/* ------------------------------------------------------------- outcomes */

extern unsigned lab_passed, lab_failed, lab_skipped;

/** Notes one checked fact; the text names it. @return ok. */
bool lab_check(bool ok, const char *format, ...) GH_PRINTF(2, 3);
/** Prints a heading. */
void lab_case(const char *name);

/* -------------------------------------------------------------- cluster */

/** Makes and starts a cluster of its own; ends the program if it can not. */
void lab_cluster_start(void);
/** mode: "fast" or "immediate"; the data stay. */
void lab_cluster_stop(const char *mode);
void lab_cluster_restart(void);
/** Stalls (SIGSTOP) or wakes every process of the server. */
void lab_cluster_freeze(bool frozen);
void lab_cluster_remove(void);
const char *lab_socket_dir(void);
const char *lab_dir(void); /* scratch folder, removed at the end */

/** Runs sql/migrate with this folder of files. @return its exit status; text
 * gets its last line. */
int lab_migrate(const char *dir, char *text, size_t size);

/* ----------------------------------------------------------- statements */

/** A statement that must work. @return whether it did. */
bool lab_sql(const char *format, ...) GH_PRINTF(1, 2);
/** First cell of the first row, "" if there is none; good until the next. */
const char *lab_sql_one(const char *format, ...) GH_PRINTF(1, 2);
/** A statement that must fail with these words in message and hint (NULL: any).
 * Counts as one checked fact. */
void lab_sql_fails(const char *sql, const char *message, const char *hint);
/** Drops the connection (before the server is stopped). */
void lab_sql_close(void);

/* ---------------------------------------------------------------- authd */

/** Starts authd; program and folder come from the environment or defaults. */
void lab_authd_start(void);
void lab_authd_stop(int signal);
bool lab_authd_alive(void);
pid_t lab_authd_pid(void);
bool lab_authd_has_sanitizer(void);
/** How often these bytes stand in authd's writable memory; -1 if nobody may
 * look (root may). */
int lab_authd_count(const void *needle, size_t len);
/** For the next start: account_ttl_s, and the largest file it may write (-1 =
 * any). */
extern unsigned lab_account_ttl_s;
extern long lab_file_limit;
/** Removes what authd keeps. */
void lab_authd_forget(void);

/* ------------------------------------------------------------- fake sbc */

struct lab_auth {
	uint64_t id;
	bool done;
	Gh__AuthVerdict verdict;
	uint32_t reason;
	uint64_t account;
	char extension[32];
	unsigned n_offers;
	Gh__Algorithm first_offer;
	Gh__Qop first_qop;
	uint64_t asked_us, answered_us;
};

/** What authd has said. */
struct lab_sbc {
	struct loop *loop;
	struct ipc_link *link;
	struct process_users users;
	bool up;
	bool has_nonce_keys;
	struct nonce_keys nonce_keys;
	bool accept_settings;
	unsigned n_pieces, n_sets; /* of the last set; sets in all */
	uint64_t settings_version;
	unsigned n_realms, n_trunks, n_routes, n_codec_lists;
	char pieces[32768]; /* names of all, for finding */
	unsigned n_saved_bindings;
	bool saved_done;
	char saved_contact[256];
	unsigned n_account_answers;
	bool account_found, account_unavailable;
	char account_extension[32];
	char account_numbers[256];
	unsigned n_acks;
	uint64_t last_ack;
	unsigned n_bans, n_lifts;
	char ban_host[80];
	unsigned n_changed; /* AccountsChanged */
	unsigned n_calls_asks; /* ActiveCallsAsk */
	unsigned n_trunk_answers;
	bool trunk_ok;
	uint32_t trunk_reason;
	char trunk_header[4096];
	unsigned n_offers_answers, offers_n;
	Gh__Algorithm offers_first;
	struct lab_auth auths[4096];
	unsigned n_auths, n_answered;
};

extern struct lab_sbc lab_sbc;

void lab_sbc_start(void);
void lab_sbc_stop(void);
#define LAB_UNTIL(expr)                                                        \
	({                                                                     \
		uint64_t end_ = clock_now_us() + LAB_WAIT_S * CLOCK_US_PER_S;  \
		while (!(expr) && clock_now_us() < end_)                       \
			lab_turn();                                            \
		(expr);                                                        \
	})
/** One turn of the loop, at most a few milliseconds. */
void lab_turn(void);

bool lab_send(const Gh__Msg *msg);

/** A response to be altered. */
struct lab_digest {
	char username[300];
	char realm[128];
	char password[128];
	char nonce[128];
	char uri[128];
	char nc[16];
	char cnonce[64];
	char qop[16];
	char algorithm[32];
	char response[128]; /* empty: computed */
	char method[16];
	char request_uri[128];
	char source[80];
	const char *body;
	Gh__Algorithm hash;
	uint32_t realm_id;
	Gh__AuthPurpose purpose;
	uint64_t dialog_account;
};

/** Fills in what a phone would send for a fresh nonce. */
void lab_digest_init(
	struct lab_digest *d, const char *username, const char *password);
/** Sends it. @return its slot. */
struct lab_auth *lab_auth_send(const struct lab_digest *d);
/** Sends it and waits for the answer. */
struct lab_auth *lab_auth(const struct lab_digest *d);

#endif
