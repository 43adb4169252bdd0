/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The difference between one side of a session as it is and as it is wanted:
 * ports and keys are got first, all that can fail; then it is written into an
 * order for the worker. Control thread only.
 */
#ifndef MEDIAD_PLAN_H
#define MEDIAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/reason.h"
#include "mediad/port.h"
#include "mediad/session.h"
#include "mediad/want.h"
#include "mediad/worker.h"

/** What plans are made from. */
struct planner {
	struct ports *ports;
	const struct session_settings *settings;
	uint8_t mark_key[16]; /* tells keys apart without keeping them */
};

/** One side: a lease of ports, or none. */
struct session_side {
	uint32_t realm;
	bool rtcp_open;
	bool rtcp_mux;
	struct port_lease lease;
	uint32_t ssrc;
	char cname[LEG_CNAME_SIZE];
	uint64_t rx_mark; /* of the keys in force; 0 = plain */
	uint64_t tx_mark;
	struct stream first; /* how its stream began */
	/* Numbers from 1: legs that this side has had, and their keys. */
	uint32_t birth;
	uint32_t rx_key;
	uint32_t tx_key;
	/* The worker's descriptors, open until an order says otherwise; to be
	 * copied only. */
	int rtp_fd;
	int rtcp_fd;
};

/** How one side has to change; got before anything is changed. */
struct side_plan {
	bool begin;
	bool end;
	bool open_rtcp;
	bool close_rtcp;
	bool set_rx;
	bool set_tx;
	uint64_t rx_mark;
	uint64_t tx_mark;
	struct srtp_leg *srtp_rx;
	struct srtp_leg *srtp_tx;
	struct stream tx; /* begin */
	struct port_lease lease;
};

/** No lease, no descriptors. */
void plan_side_init(struct session_side *side);
bool plan_side_is_open(const struct session_side *side);
/** Mark of keys; 0 = plain. Equal marks: equal keys. */
uint64_t plan_mark(const struct planner *p, const struct srtp_master *m);

/**
 * Gets what the wanted side needs.
 * @return SESSION_OPEN with a plan for plan_commit() or plan_drop(); or why
 *	not, and the plan holds nothing.
 */
enum reason plan_side(struct planner *p, struct session_side *side,
	const struct want_side *want, struct side_plan *plan_out);
/** Gives everything back. */
void plan_drop(struct planner *p, struct side_plan *plan);
/** Cannot fail: makes it the side's state and the worker's order. What want
 * owns goes into the order. */
void plan_commit(struct planner *p, struct session_side *side,
	struct want_side *want, struct side_plan *plan,
	struct worker_side *order);

#endif
