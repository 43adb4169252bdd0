/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker owns an epoll and the calls that were given to it: it alone touches
 * their struct media between WORKER_APPLY and the answer to WORKER_CLOSE. The
 * control thread talks to it by struct worker_job only.
 */
#ifndef MEDIAD_WORKER_H
#define MEDIAD_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "mediad/leg.h"
#include "mediad/mailbox.h"
#include "mediad/watch.h"

enum worker_verb {
	WORKER_APPLY,  /* make the wanted state so; the answer says it is */
	WORKER_RESUME, /* the same for what an earlier process had */
	WORKER_SYNC,   /* nothing; the answer says that all before is done */
	WORKER_STATS,  /* copy the figures */
	WORKER_CLOSE,  /* last figures, BYE, sockets closed */
	WORKER_TUNE,   /* new coalescing, times and limits */
	WORKER_EVENT,  /* from the worker only: something happened */
};

/** How one side changes. */
struct worker_side {
	bool begin;      /* a fresh leg with `birth` (an old one ends) */
	bool end;        /* the leg ends and no other begins */
	bool close_rtcp; /* rtcp-mux was agreed on */
	int rtcp_fd;     /* a second socket, later; -1 = none */
	struct leg_birth birth;
	struct leg_config config;
	bool set_rx; /* srtp_rx takes the present one's place */
	bool set_tx;
	struct srtp_leg *srtp_rx; /* NULL = plain */
	struct srtp_leg *srtp_tx;
	uint32_t rx_key; /* numbers of the keys, for the live words */
	uint32_t tx_key;
};

/** One order, and its answer. Made by the control thread, and by the worker
 * for WORKER_EVENT; freed by the control thread. */
struct worker_job {
	struct mail mail;
	enum worker_verb verb;
	struct media *media;
	void *owner;      /* the control thread's own */
	uint64_t request; /* the same: whose answer it is */
	void *ticket;     /* the same, for who asked */
	struct worker_side side[SIDE_COUNT];
	struct leg_stats stats[SIDE_COUNT];
	uint32_t coalesce_us;
	struct watch_rules rules;
	struct leg_event event;
};

struct worker;

/**
 * Makes a worker; its thread starts with worker_start().
 * @param capacity	most calls that it will be given.
 */
GH_MUST_CHECK int worker_new(
	unsigned index, size_t capacity, struct worker **worker_out);
GH_MUST_CHECK int worker_start(struct worker *w);
/** Ends the thread and closes what it holds. */
void worker_free(struct worker **worker);

/** An order without content. @return NULL if memory is short. */
struct worker_job *worker_job_new(enum worker_verb verb, struct media *media);

/** Gives an order; answers come back in worker_answers(). */
void worker_order(struct worker *w, struct worker_job *job);
/** Readable when answers or events wait. */
int worker_answer_fd(const struct worker *w);
/** Takes what has come back; free each. */
struct mail *worker_answers(struct worker *w);

/** Wipes keys and frees. */
void worker_job_free(struct worker_job *job);

/** Counters of this worker since its start. */
struct worker_counts {
	uint64_t drops[LEG_DROPS];
	uint64_t rtp_rx;
	uint64_t rtp_tx;
	uint64_t icmp;
};
void worker_counts(const struct worker *w, struct worker_counts *out);

#endif
