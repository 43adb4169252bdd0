/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole calls in one process, for tests: the real sbc on loopback between raw
 * UDP sockets, with stand-ins for authd and mediad at the other ends of real
 * links. Nothing sleeps: everything steps the loop until what it waits for is
 * there, or fails after CW_PATIENCE_US.
 *
 *	hosts 2, 3 (ITSPs)     realm 2 (outside)    trunks 1 and 2
 *	host 4 (PBX)           realm 3 (inside)     trunk 3 (pbx_twice: host 7)
 *	hosts 5 ... (phones)   realm 1 (outside)    accounts 1 (100), 2 (200)
 */
#ifndef TESTS_UNIT_CALL_WORLD_H
#define TESTS_UNIT_CALL_WORLD_H

#include "sbc/call_inner.h"

#define CW_PATIENCE_US (20ULL * 1000 * 1000)
#define CW_TEXT        65536
#define CW_TRUNK_PORT  30000
#define CW_PORT        40004u /* of every caller; called + 2 */
#define CW_SEEN        256
#define CW_CDRS_MAX    512

struct cw {
	struct sbc sbc;
	char dir[64];
	struct addr phones, itsp, pbx; /* where sbc listens */
	struct addr phones2;           /* a second address for phones */
	struct addr bridge;            /* and waits for flowd */
	uint64_t version;

	struct ipc_server *authd;
	struct ipc_link *authd_link;
	bool accounts_silent;
	uint32_t max_calls; /* of every account */
	uint32_t max_calls_per_hour, max_minutes_per_day;
	uint64_t usage_at_us, usage_day_us;
	uint32_t usage_hour_calls;
	Gh__SrtpPolicy account_srtp;
	uint32_t surrogate; /* of every account: its surrogate_trunk */
	Gh__Cdr *cdrs[CW_CDRS_MAX];
	size_t n_cdrs, n_taken;
	Gh__TrunkAuthRequest *trunk_auth; /* the last question */

	struct ipc_server *mediad;
	struct ipc_link *mediad_link;
	bool media_silent;         /* wants are not answered */
	enum reason media_refuses; /* SESSION_OPEN = it does not */
	bool refuses_once;
	Gh__SessionWant *want; /* the last one */
	unsigned n_wants, n_opened, n_ended;
	char last_call[IDENT_CALL_SIZE];
};

struct cw_config {
	unsigned itsp_max_calls;
	unsigned itsp_ring_s;
	const char *itsp_host; /* its name for us */
	bool no_mediad;
	bool probe;                 /* trunk 1 is probed with OPTIONS */
	bool redirects;             /* trunk 1 may redirect */
	bool registers;             /* we register at trunk 1 */
	unsigned session_expires_s; /* of trunk 1 */
	Gh__SrtpPolicy itsp_srtp, account_srtp, phones_srtp;
	unsigned texts;     /* 1 << id of each realm that lets MESSAGE pass */
	bool keys_in_clear; /* SDES without TLS, in every realm */
	bool pbx_twice;     /* the PBX is at host 7 too, after host 4 */
};

/** "ip:port" of a host of this test; port 0 = "ip". */
const char *cw_at(unsigned host, unsigned port);
struct cw *cw_new(const struct cw_config *config);
void cw_free(struct cw **w);
void cw_until(
	struct cw *w, bool (*done)(void *ctx), void *ctx, const char *what);
/** One turn. */
void cw_step(struct cw *w);
/** A few turns of the loop in which nothing is waited for. */
void cw_turn(struct cw *w);
void cw_mediad_start(struct cw *w);
void cw_mediad_stop(struct cw *w);
/** Answers the want that was kept back. */
void cw_media_answer(struct cw *w, enum reason why);
/** An event from mediad about the last session. */
void cw_media_event(struct cw *w, Gh__MediaEventKind kind, bool called_side);
/** Until authd is asked for the answer to a trunk's challenge. */
void cw_trunk_auth_wait(struct cw *w);
/** The question is over: another one is waited for. */
void cw_trunk_auth_forget(struct cw *w);
/** Answers a trunk's challenge; NULL: refuses to. */
void cw_trunk_auth_answer(struct cw *w, const char *header);

/** Registers a phone of an account at a peer's address, as register.c would. */
struct sip_peer;
void cw_bind(struct cw *w, uint64_t account, const struct sip_peer *p);
/** The same at another address of ours. */
void cw_bind_at(struct cw *w, uint64_t account, const struct sip_peer *p,
	const struct addr *at);

/** The call that is in progress (the only one), or NULL. */
struct call *cw_call(struct cw *w);
/** Lets time pass for it: its state's timer, or its life. */
void cw_fire(struct cw *w, enum call_event event);
/** Waits for the next CDR, frees it at cw_free(). */
const Gh__Cdr *cw_cdr(struct cw *w);
/** Waits until no call is left, not even in its last transactions. */
void cw_wait_empty(struct cw *w);

/* --- peers --- */

struct sip_peer {
	struct cw *w;
	int fd;
	struct addr local;
	char text[ADDR_TEXT_SIZE]; /* of local */
	char rx[CW_TEXT];          /* the last message */
	bool repeats;              /* repeated messages count as new ones */
	uint64_t seen[CW_SEEN]; /* what came before, to pass over repetitions */
	unsigned n_seen;
};
void sp_open(struct cw *w, struct sip_peer *p, unsigned host);
void sp_close(struct sip_peer *p);
void sp_send(struct sip_peer *p, const struct addr *to, const char *text);
/** Waits for a message whose first line begins like this; anything but 100 and
 * repetitions in between fails the test. @return p->rx. */
const char *sp_expect(struct sip_peer *p, const char *first);
/** Passes over messages that begin with `but` too (retransmissions). */
const char *sp_expect_but(
	struct sip_peer *p, const char *first, const char *but);
/** Nothing has come, and nothing comes in a few turns. */
void sp_silent(struct sip_peer *p);

/** Value of a header, "" if absent; n-th occurrence from 0. */
const char *msg_header_value(
	const char *message, const char *name, unsigned nth);
/** The body. */
const char *msg_body(const char *message);
/** The tag of From or To, "" if none. */
const char *msg_tag(const char *message, const char *name);
/** Has any line of the message this text? */
bool msg_has(const char *message, const char *text);

/** One end of a dialog at a peer. */
struct dialog {
	struct sip_peer *p;
	struct addr to; /* sbc */
	char call_id[128];
	char local[256]; /* our From or To, with tag */
	char remote[256];
	char target[256]; /* the far Contact's URI */
	char branch[64];  /* of the last request */
	unsigned cseq;    /* of the last request of ours */
	unsigned invite_cseq;
	char invite[CW_TEXT]; /* the last INVITE, as sent or received */
	char first[CW_TEXT];  /* the one that made it, if received */
};

/** Sends an INVITE. extra: whole lines, or NULL. sdp NULL = no offer. */
void dl_invite(struct dialog *d, struct sip_peer *p, const struct addr *to,
	const char *from_user, const char *to_user, const char *extra,
	const char *sdp);
/** Any request inside the dialog (or CANCEL and ACK with the INVITE's CSeq). */
void dl_request(struct dialog *d, const char *method, const char *extra,
	const char *type, const char *body);
/** The same from another socket. */
void dl_request_from(struct dialog *d, struct sip_peer *p, const char *method,
	const char *extra, const char *type, const char *body);
/** Takes the dialog's values out of a 1xx or 2xx in d->p->rx. */
void dl_answered(struct dialog *d);
void dl_ack(struct dialog *d, const char *sdp);
void dl_cancel(struct dialog *d);
void dl_cancel_with(struct dialog *d, const char *extra);
/** Takes the dialog out of an INVITE in p->rx. */
void dl_from_invite(
	struct dialog *d, struct sip_peer *p, const struct addr *from);
/** Answers a request text; sdp may be NULL. extra: whole lines, or NULL. */
void dl_answer(struct dialog *d, const char *request, unsigned status,
	const char *extra, const char *sdp);

/** What a trunk may ask for, and ask again with because the nonce was too old.
 */
#define CW_CHALLENGE                                                           \
	"Proxy-Authenticate: Digest realm=\"itsp\", nonce=\"abc\","            \
	" algorithm=MD5, qop=\"auth\"\r\n"
#define CW_STALE                                                               \
	"Proxy-Authenticate: Digest realm=\"itsp\", nonce=\"def\","            \
	" algorithm=MD5, qop=\"auth\", stale=true\r\n"
/** The request in the trunk's socket is challenged by these lines (407); its
 * second go comes, with the answer and the next number. */
void cw_challenged(
	struct cw *w, struct dialog *d, const char *method, const char *lines);

/** An audio description: codecs as m= formats ("8 0 101"), direction or NULL.
 */
const char *sdp_text(const struct sip_peer *p, unsigned port,
	const char *formats, const char *direction);
/** The port of the audio line. */
unsigned sdp_port_of(const char *body);

/* --- the usual call: the ITSP calls extension 100, whose phone answers --- */

struct scene {
	struct cw *w;
	struct sip_peer itsp, phone;
	struct dialog caller, called;
};
/** config NULL = plain. */
void sc_begin(struct scene *s, const struct cw_config *config);
/** Everything is over, nobody has heard anything more. */
void sc_end(struct scene *s);
/** Until the caller hears 180. */
void sc_ring(struct scene *s, const char *sdp);
/** Until the caller's ACK. */
void sc_answer(struct scene *s);
void sc_up(struct scene *s);
void sc_bye_from_caller(struct scene *s);
/** Checks what every CDR has. */
void sc_cdr(
	const Gh__Cdr *cdr, enum reason why, unsigned status, const char *side);

#endif
