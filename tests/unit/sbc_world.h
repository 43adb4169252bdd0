/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live sbc in one process for tests: the real stack on loopback, a stand-in
 * for authd at the other end of a real link, stand-ins for the call side, and
 * raw UDP sockets as peers. Nothing sleeps: everything steps the loop until
 * what it waits for is there, or fails after WORLD_PATIENCE_US.
 */
#ifndef TESTS_UNIT_SBC_WORLD_H
#define TESTS_UNIT_SBC_WORLD_H

#include "sbc/sbc.h"

#define WORLD_PATIENCE_US (10ULL * 1000 * 1000)
#define WORLD_TEXT_SIZE   70000
#define WORLD_AUTH_MAX    16

struct world {
	struct sbc sbc;
	char dir[64];
	bool dir_stays;
	struct addr local; /* phones' and trunks' realm, IPv4 */
	struct addr bridge; /* where sbc waits for flowd */
	struct addr tcp, tls; /* the same realm's listeners in flowd */
	struct addr
		local6; /* the same realm, IPv6; unset if the host has none */
	struct addr trunks; /* a realm without phones */
	/* authd's stand-in */
	struct ipc_server *authd;
	struct ipc_link *link;
	bool authd_silent; /* it takes questions and never answers */
	unsigned n_auth;   /* questions that it got */
	unsigned n_account;
	unsigned n_updates;
	char last_method[32];
	char last_uri[128];
	char last_username[128];
	uint64_t pending[WORLD_AUTH_MAX]; /* unanswered */
	size_t n_pending;
	Gh__BindingsUpdate *last_update;
	Gh__SettingsResult *last_result;
	/* the call side's */
	unsigned n_invites;
	bool invite_had_account;
	bool invite_had_trunk;
	unsigned n_moved; /* registrations that came from elsewhere */
	struct addr moved_from, moved_to;
	uint64_t moved_from_flow;
	unsigned n_events;
	uint32_t last_event; /* reason's number */
};

/** What a world is made with; zeroes are the ordinary case. */
struct world_config {
	const char *dir; /* exists, stays; NULL = one of its own */
	bool sandbox;    /* enter sbc's before the listeners open */
	bool strangers_invite;
	bool with_trunk;        /* 127.0.0.2 is a trunk */
	const char *const *acl; /* of the phones' realm */
	size_t n_acl;
	const char *unknown_rate;
	const char *source_rate;
	const char *trusted_rate;
	const char *advertised; /* of the phones' realm, IPv4 */
	uint32_t n_digest; /* offers: 0 = none named, 1 MD5, 2 SHA-256 too */
	bool streams; /* the phones' realm listens for TCP and TLS, too */
};

struct world *world_new(const struct world_config *config);
void world_free(struct world **w);
/** Steps the loop until done(ctx); fails the test with what after patience. */
void world_until(
	struct world *w, bool (*done)(void *ctx), void *ctx, const char *what);
/** Sends the snapshot again, without the phones' realm's addresses if bare. */
void world_settings(
	struct world *w, const struct world_config *config, uint64_t version);
void world_authd_start(struct world *w);
void world_authd_stop(struct world *w);
/** Answers a question that was kept (authd_silent). */
void world_answer(
	struct world *w, size_t n, Gh__AuthVerdict verdict, enum reason why);
/** Puts one message from authd on the link. */
void world_say(struct world *w, const Gh__Msg *msg);

/** A peer's socket at ip ("127.0.0.1", "::1"). */
struct peer {
	int fd;
	struct addr local;
};
void peer_open(struct peer *p, const char *ip);
void peer_close(struct peer *p);
void peer_send(const struct peer *p, const struct addr *to, const char *text);
void peer_send_bytes(const struct peer *p, const struct addr *to,
	const void *bytes, size_t len);
/** Waits for one datagram. */
void peer_recv(
	struct world *w, const struct peer *p, char text[WORLD_TEXT_SIZE]);
/** Has nothing come? Sends a trunk's OPTIONS behind it through the same socket
 * of sbc and waits for its answer: sbc works in order, so then it is certain.
 */
void peer_hears_nothing(
	struct world *w, const struct peer *p, const struct addr *at);

/** A REGISTER or another request as text; NULL fields have defaults. */
struct request {
	const char *method;
	const char *uri;
	const char *to; /* URI */
	const char *from;
	const char *call_id;
	unsigned cseq;
	const char *branch;
	const char *extra;    /* whole header lines */
	const char *via_host; /* default: the peer's own address */
};
const char *request_text(const struct peer *p, const struct request *r,
	char text[WORLD_TEXT_SIZE]);

/** Makes an Authorization line whose response is `response` (the stand-in for
 * authd takes "good") from a 401. */
const char *authorization(const char *challenge, const char *username,
	const char *response, char text[1024]);
/** Value of a header of an answer, up to its line's end; "" if absent. */
const char *header(const char *message, const char *name, char text[1024]);

#endif
