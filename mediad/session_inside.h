/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What session.c and resume.c share; for nobody else.
 */
#ifndef MEDIAD_SESSION_INSIDE_H
#define MEDIAD_SESSION_INSIDE_H

#include "common/table.h"
#include "mediad/keep.h"
#include "mediad/plan.h"
#include "mediad/port.h"
#include "mediad/record.h"
#include "mediad/session.h"
#include "mediad/want.h"

enum session_state {
	SESSION_STATE_LIVE,
	SESSION_STATE_CLOSING,
};

struct session {
	struct table_node node;
	char call[IDENT_CALL_SIZE];
	enum session_state state;
	uint32_t version;
	unsigned worker;
	struct media *media;
	uint64_t claimed_us;
	uint64_t opened_wall_us;
	enum reason why; /* CLOSING */
	uint64_t end_request;
	struct session_side side[SIDE_COUNT];
	struct keep_entry kept;
};

struct worker_slot {
	struct sessions *owner;
	struct worker *worker;
	struct loop_fd *watch;
	size_t n_sessions;
	struct worker_counts merged;
};

struct sessions {
	struct loop *loop;
	const struct session_events *events;
	void *ctx;
	struct session_settings settings;
	struct planner planner;
	struct keep *keep;
	struct table table;
	struct media *slab;
	struct media **unused;
	size_t n_unused;
	size_t capacity;
	struct worker_slot *workers;
	unsigned n_workers;
	struct loop_timer *lease_timer;
	struct loop_timer *merge_timer;
	bool configured; /* settings have come */
};

/** Makes one without sides, and gives it to a worker. @return NULL if memory
 * or the capacity is short. */
struct session *session_make(struct sessions *s, const char *call);
/** Its worker has closed it, or never had it. */
void session_unmake(struct sessions *s, struct session *x);
void sessions_set_gauges(struct sessions *s);

#endif
