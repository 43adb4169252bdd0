/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SIP stack as the rest of sbc sees it: listeners per realm address, and
 * one entry for every request that starts something. sofia-sip's NTA does
 * parsing, transactions and dialog matching below; this file and
 * sofia_cures.c are the only ones that know its traps.
 *
 * A request outside a dialog comes through admit and then reaches its method's
 * entry (sbc_on_invite, register_on_request, ...). Until an entry calls
 * stack_accept() no transaction exists and nothing of it stays behind.
 */
#ifndef SBC_STACK_H
#define SBC_STACK_H

#include <sofia-sip/nta.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/su_wait.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"
#include "sbc/settings.h"

struct sbc; /* sbc.h */
struct stack;

/** One SIP socket of ours that is open. Lives until the stack ends, also when
 * a snapshot no longer names it (it is then closed to new requests). */
struct listener {
	struct addr local;
	Gh__Transport transport;
	tport_t *tport;
	char ident[ADDR_TEXT_SIZE]; /* TPTAG_IDENT */
	char advertised_host[256];  /* as struct realm_address */
};

/** A request that arrived, with what the wire says of it. */
struct inbound {
	msg_t *msg; /* owned by the stack until stack_accept() */
	const sip_t *sip;
	struct addr source; /* who really sent it */
	struct listener *listener;
	tport_t *tport; /* that it came by; the message's */
	const struct realm_address *address; /* of the present snapshot */
	const struct realm *realm;
	const struct trunk
		*trunk;      /* set by admit: a trunk or PBX; else a phone */
	uint64_t flow;       /* 0 = datagram */
	bool secured;        /* TLS on this hop */
	uint64_t account_at; /* a live binding of this account has exactly
			      * this source; 0 = none */
	nta_incoming_t *irq; /* the transaction, where one was made while
			      * authd was asked; stack_accept() hands it
			      * out, stack_reply() and stack_drop() end it */
	const char *unsupported; /* option tags for a 420; set by admit */
};

/** Where to send a request. */
struct target {
	struct addr addr;
	struct listener *listener;
	uint64_t flow; /* 0 = datagrams */
};

GH_MUST_CHECK int stack_new(struct sbc *sbc, struct stack **stack_out);
void stack_free(struct stack **stack);
nta_agent_t *stack_agent(struct stack *stack);
/** Hears of every answer that no transaction waits for; NULL = nobody.
 * @return whether it was somebody's. */
typedef bool (*stack_orphan_fn)(nta_agent_t *agent, const sip_t *sip);
void stack_on_orphan(struct stack *stack, stack_orphan_fn fn);

/** Whose agent it is. */
struct sbc *stack_sbc(nta_agent_t *agent);
/** Is asked about every request inside a dialog that the library does not know;
 * NULL = nobody. @return whether it was somebody's: then msg is taken. */
typedef bool (*stack_asleep_fn)(
	struct sbc *sbc, msg_t *msg, sip_t *sip, tport_t *tport);
void stack_on_asleep(struct stack *stack, stack_asleep_fn fn);

/** Opens the listeners of a snapshot through keeper, asynchronously; each
 * that cannot be opened is logged, and counted as SETTINGS_LISTEN. */
void stack_apply(struct stack *stack, const struct settings *settings);
/** The bridge of a flow, once flowd has made it; NULL = not yet, or no more. */
tport_t *stack_flow_tport(const struct stack *stack, uint64_t flow);
/** Shows keeper every socket that it opened for us: a new one has none, and
 * must have them when we die. */
void stack_show_keeper(struct stack *stack);
/** Every listener of the snapshot in force is open or has failed, and one at
 * least is open. */
bool stack_is_open(const struct stack *stack);
/** The open listener for a realm address, or NULL. */
struct listener *stack_listener(
	struct stack *stack, const struct realm_address *address);

/** Fills in from a transaction (requests inside dialogs, and the ACK or CANCEL
 * that a transaction's callback is called with). msg stays the transaction's.
 * A CANCEL has been answered with 200 by the library when the callback runs;
 * the 487 to the INVITE is the callback's to send, after it has checked where
 * the CANCEL came from.
 * @return 0, or ERR_NOT_FOUND if its socket is none of the present realms'. */
GH_MUST_CHECK int stack_inbound(struct stack *stack, nta_incoming_t *irq,
	const sip_t *sip, struct inbound *in_out);

/** Fills address and realm of a request that was kept while authd was asked
 * from the snapshot in force now. @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int stack_place(struct stack *stack, struct inbound *in);

/** Makes a server transaction; takes the message. @return NULL if the memory
 * or a limit ran out: then nothing is left of the message. */
nta_incoming_t *stack_accept(struct stack *stack, struct inbound *in);

/** Answers without a transaction (stateless), with our To tag made from the
 * message, so that retransmissions get the same; headers are tag items such as
 * SIPTAG_WWW_AUTHENTICATE_STR(). Takes the message. Counts the reason. */
void stack_reply(struct stack *stack, struct inbound *in, enum reason why,
	unsigned status, tag_type_t tag, tag_value_t value, ...);
/** Answers what reason_sip() says with the headers that belong to that status
 * (Allow, Accept, Unsupported, Retry-After), or is silent where it is 0. Takes
 * the message. Counts the reason. */
void stack_refuse(struct stack *stack, struct inbound *in, enum reason why);
/** INVITEs that became calls lately; for entry.c. */
struct merges;
struct merges *stack_merges(struct stack *stack);

/** Seconds that our 503 answers name in Retry-After. */
unsigned stack_retry_after_s(const struct stack *stack);

/** Drops it without an answer. Takes the message. Counts the reason. A
 * transaction that was made for it is answered 500: NTA cannot be silent. */
void stack_drop(struct stack *stack, struct inbound *in, enum reason why);

/** Writes "sip:user@advertised-host:port" (";transport=tcp" where it is) for
 * a Contact of ours. user may be NULL.
 * @return 0, or ERR_TOO_BIG. */
GH_MUST_CHECK int stack_contact(
	const struct listener *l, const char *user, char *text, size_t size);
/** Writes "sip:ip:port;transport=udp" as the next hop for NTA. A flow's is our
 * end of its bridge; that of a flow that has gone can not be reached, so that
 * the request fails at once. */
const char *stack_next_hop(const struct stack *stack, const struct target *t,
	char *text, size_t size);
#define STACK_URL_SIZE 384

/** Keeps a NAT's mapping open: an empty line from the listener that a phone is
 * registered at to where it is (RFC 5626 3.5.1 for what it is on streams). */
void stack_keepalive(
	struct stack *stack, const struct addr *local, const struct addr *to);

/** Source address of a received message. */
void stack_source(msg_t *msg, struct addr *addr_out);

/** Makes received/rport of a phone behind NAT answer to where it came from even
 * if it did not ask for rport (RFC 3581 4, and rule 2 of the design). Called
 * before the first answer; done by stack_accept() and stack_reply(). */
bool stack_behind_nat(const struct inbound *in);

/** The methods that whoever sent this may use outside of dialogs, for Allow;
 * in its message's memory. */
const char *stack_allow(const struct inbound *in);

/** What we say of ourselves: no product name, no version. */
#define STACK_ALLOW "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO"

#endif
