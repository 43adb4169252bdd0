/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker owns an epoll and the calls that were given to it: it alone touches
 * their struct media between WORKER_APPLY and the answer to WORKER_CLOSE. The
 * control thread talks to it by struct worker_job only.
 *
 * An order is in force when worker_order() returns: whatever wakes the worker,
 * a packet, a timer or another order, it obeys before it does anything else. So
 * nobody has to wait for its answer, and an order that closes nothing does not
 * wake it either: of a call's some 200 us of CPU half were wake-ups of one
 * thread by the other.
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
	WORKER_APPLY,  /* make the wanted state so */
	WORKER_RESUME, /* the same for what an earlier process had */
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
	void *owner;  /* the control thread's own */
	void *ticket; /* the same, for who asked */
	bool wait; /* may be read some 20 ms later, or with the next packet */
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

/** Gives an order; the job comes back in worker_answers(). */
void worker_order(struct worker *w, struct worker_job *job);
/** Readable when there is an answer with content, or an event. */
int worker_answer_fd(const struct worker *w);
/** When it is: makes it unreadable. */
void worker_answers_heard(struct worker *w);
/** Takes what has come back so far; free each. */
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
