/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemons: starting each under its own user, in order, each once the one
 * before is ready; noticing a death through its pidfd and starting it again;
 * killing one that hangs; stopping all in reverse order. A keeper that comes
 * after another one's death adopts what runs.
 *
 *	IDLE --start--> STARTING --READY--> READY
 *	 (record of a running one) ADOPTING --link--> READY
 *	STARTING, ADOPTING, READY --death--> STARTING at once, or BACKOFF first
 *	STARTING too long, ADOPTING too long, READY without WATCHDOG --> SIGKILL
 *	any, on stop --SIGTERM--> STOPPING --death, or SIGKILL--> STOPPED
 *
 * A daemon that asks for it is retired: it serves on what only it can, and the
 * next one is started in its place (the upgrade of flowd). Of a retired one
 * keeper knows the pid, ends it with all others, and nothing else; it ends by
 * itself, also when a new keeper does not know it.
 *
 * A daemon's program is opened once and started again from that descriptor, so
 * that a file which was replaced takes effect by child_renew() and not by
 * chance:
 *
 *	WAITS --death or RETIRE--> NEW --READY for a while--> NONE, renewed
 *	NEW --death, or not READY in time--> OLD, rolled back --READY--> NONE
 *
 * There is no parent-death signal: calls outlive keeper. What daemons say
 * comes in from link.c; when a death may be answered is backoff.h's.
 */
#ifndef KEEPER_CHILD_H
#define KEEPER_CHILD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/process.h"
#include "keeper/backoff.h"

/** How to start one daemon. */
struct child_plan {
	enum process process;
	char exe[PATH_MAX]; /* run as: exe -c conf */
	char conf[PATH_MAX];
	uid_t uid;
	gid_t gid;
};

enum child_state {
	CHILD_IDLE,
	CHILD_BACKOFF,
	CHILD_ADOPTING,
	CHILD_STARTING,
	CHILD_READY,
	CHILD_STOPPING,
	CHILD_STOPPED,
	CHILD_STATE_COUNT,
};

enum renew {
	RENEW_NONE,
	RENEW_WAITS, /* for the present process to go */
	RENEW_NEW,   /* the new program was started */
	RENEW_OLD,   /* it did not stay: the old one was started */
};

struct children;

struct child {
	struct children *all;
	struct child_plan plan;
	enum child_state state;
	pid_t pid; /* 0: does not run */
	int pidfd;
	uint64_t start_ticks;
	struct loop_fd *death;
	struct loop_timer *timer; /* what the state waits for */
	struct backoff backoff;
	uint64_t started_us, seen_us;
	bool was_ready; /* at least once: the next may start */
	int program;    /* what is started; -1: open it */
	int fresh;      /* what is tried in its place; -1 */
	bool proven;    /* program has been ready */
	enum renew renew;
};

/** More than this many at once, and the oldest is killed. */
#define RETIRED_MAX 4

struct retired {
	struct loop *loop;
	pid_t pid; /* 0: free */
	int pidfd;
	struct loop_fd *death;
};

struct child_limits {
	uint64_t ready_us; /* from start to READY */
	uint64_t adopt_us; /* from keeper's start to a running one's link */
	uint64_t stop_us;  /* from SIGTERM to SIGKILL */
	uint64_t watchdog_us;
	uint64_t renew_us; /* from a new program's start to READY */
};

struct child_events {
	/* c has died; called before it is started again. */
	void (*on_death)(void *ctx, struct child *c);
	void (*on_all_ready)(void *ctx); /* once */
	void (*on_stopped)(void *ctx);   /* the last one is gone */
	/* child_renew() has ended; runs: the new program. */
	void (*on_renewed)(void *ctx, struct child *c, bool runs);
};

struct children {
	struct loop *loop;
	const char *own_dir; /* for the record */
	struct child_limits limits;
	struct child_events events;
	void *ctx;
	struct child child[PROCESS_COUNT];
	size_t n_children;
	struct retired retired[RETIRED_MAX];
	size_t next_retired;
	uint64_t checked_us;
	bool all_ready, stopping;
};

const char *child_state_name(enum child_state s);

/** @param plans	in the order of starting; copied.
 * @param own_dir	keeper's own folder, borrowed for life.
 * @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int children_init(struct children *all, struct loop *loop,
	const struct child_plan *plans, size_t n_plans, const char *own_dir);
/** Lets go of the processes, which run on. */
void children_done(struct children *all);

/** Finds the daemons that an earlier keeper left running. Needs the right to
 * read their executables, so before rights are dropped. */
void children_adopt(struct children *all);
/** Starts the first one; the others follow. */
void children_start(struct children *all);
/** Ends all in reverse order, then on_stopped. May be called twice. */
void children_stop(struct children *all);
/** Ends at once what still runs. */
void children_kill(struct children *all);
/** Sends a signal to all that are ready. */
void children_signal(struct children *all, int signal);
/** Kills those that hang. Call every second or oftener. */
void children_check(struct children *all);

/** @return the running one with this pid and user, or NULL. */
struct child *children_find(struct children *all, pid_t pid, uid_t uid);
/** The daemon's link has come. */
void child_on_link(struct child *c);
void child_on_ready(struct child *c);
void child_on_watchdog(struct child *c);
/** It goes on without keeper: the next one is started at once. */
void child_retire(struct child *c);
/** Replaces the process by one of the program that its file is now, or by the
 * old program again if that does not stay ready; on_renewed tells.
 * @param wait	it retires by itself; else it is killed, and its state lives.
 * @return 0; ERR_AGAIN if it is not ready; ERR_SYSTEM with errno. */
GH_MUST_CHECK int child_renew(struct child *c, bool wait);
/** Nobody waits for it any more: a process that has not gone stays. */
void child_renew_stop(struct child *c);
struct child *children_by_process(struct children *all, enum process p);

#endif
