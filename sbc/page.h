/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests outside of dialogs that are passed on once: texts (MESSAGE, RFC
 * 3428) and notices of a PBX (NOTIFY without a subscription). Each becomes a
 * new request to every phone of an account, or to one trunk; the sender gets
 * one answer: the first that is good, else the one that says most.
 *
 * What may pass and what it carries is its kind's: message.c, event_unasked.c.
 */
#ifndef SBC_PAGE_H
#define SBC_PAGE_H

#include <sys/queue.h>

#include "common/ident.h"
#include "sbc/account.h"
#include "sbc/target.h"
#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "sbc/leg.h"
#include "sbc/route.h"
#include "sbc/stack.h"

struct sbc;
struct page;
struct pages;

/** One receiver. */
struct page_to {
	struct hdr_side side;
	struct target target;
	struct account *account; /* SIDE_PHONE */
	const char *request_uri;
	const char *host; /* right of the @ in To */
};

/** What a kind writes for a receiver; texts in its home or static. */
struct page_text {
	const char *from, *to; /* without tags */
	const char *event;     /* NULL = none */
	const char *state;     /* Subscription-State; NULL = none */
	const char *lines;
	const char *type; /* NULL = no body */
	const char *body;
};

struct page_kind {
	sip_method_t method;
	const char *name;
	enum reason ok;
	bool phones_only; /* never to a trunk */
	bool contact;     /* it has one */
	/** May it go to this realm? @return ROUTE_OK, or why not. */
	enum reason (*may)(const struct page *p, const struct realm *to);
	/** @return ROUTE_OK, or why this receiver gets none. */
	enum reason (*make)(const struct page *p, const struct page_to *to,
		su_home_t *home, struct page_text *out);
};

#define PAGE_BRANCHES_MAX 8

struct page_branch {
	struct page *page;
	struct leg *leg;
	unsigned status; /* 0 = open */
	bool heard;      /* something came from there */
};

/** Read only outside page.c. */
struct page {
	su_home_t home[1];
	TAILQ_ENTRY(page) link;
	struct pages *pages;
	struct sbc *sbc;
	const struct page_kind *kind;
	char id[IDENT_CALL_SIZE];
	nta_incoming_t *irq; /* NULL once answered */
	msg_t *request;
	struct settings *settings;
	enum side_kind from;
	const struct trunk *from_trunk;
	struct account *from_account;
	const struct realm *from_realm;
	struct listener *from_listener;
	unsigned max_forwards;
	char called[ROUTE_NUMBER_SIZE], caller[ROUTE_NUMBER_SIZE];
	struct hdr_identity who;

	struct account_query *query;
	bool by_number;
	unsigned n_queries;
	struct account *called_account;
	struct route_decision *decision;
	size_t target;
	struct target_walk walk;

	struct page_branch branches[PAGE_BRANCHES_MAX];
	size_t n_branches, n_open;
	unsigned best; /* of the refusals */
	struct loop_timer *timer;
	uint64_t deadline_us; /* the sender has an answer by then */
};

GH_MUST_CHECK int pages_new(struct sbc *sbc, struct pages **pages_out);
void pages_free(struct pages **pages);
size_t pages_count(const struct pages *pages);

/** Takes a request that may pass (in's message), and the account reference. */
void page_begin(struct sbc *sbc, const struct page_kind *kind,
	struct inbound *in, struct account *account);

static inline const sip_t *page_sip(const struct page *p)
{
	return sip_object(p->request);
}

#endif
