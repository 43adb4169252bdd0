/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans for session.c. A pair of ports stays with a side as long as its realm
 * and bind address do; the socket for RTCP comes and goes with rtcp-mux; keys
 * are replaced only where they differ.
 */
#include "mediad/plan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "common/table.h"

void plan_side_init(struct session_side *side)
{
	*side = (struct session_side){.lease = {.rtp_fd = -1, .rtcp_fd = -1},
		.rtp_fd = -1,
		.rtcp_fd = -1};
}

bool plan_side_is_open(const struct session_side *side)
{
	return addr_is_set(&side->lease.rtp);
}

static const struct session_realm *find_realm(
	const struct planner *p, uint32_t id, const struct addr *bind)
{
	for (size_t i = 0; i < p->settings->n_realms; i++) {
		const struct session_realm *r = &p->settings->realms[i];

		for (unsigned j = 0; r->id == id && j < r->n_media; j++)
			if (addr_equal_ip(&r->media[j], bind))
				return r;
	}
	return NULL;
}

static enum reason lease_ports(struct planner *p, const struct want_side *want,
	struct port_lease *lease_out)
{
	const struct session_realm *r = find_realm(p, want->realm, &want->bind);
	struct port_want pw;
	int err, why;

	if (r == NULL)
		return REASON_SESSION_NO_REALM;
	pw = (struct port_want){
		.bind = want->bind,
		.min = r->port_min,
		.max = r->port_max,
		.rtcp = !want->config.rtcp_mux,
		.dscp = want->config.dscp,
	};
	err = port_lease(p->ports, &pw, lease_out);
	why = errno;
	if (err == 0)
		return REASON_SESSION_OPEN;
	if (err == ERR_FULL)
		return REASON_SESSION_NO_PORT;
	if (err == ERR_NOMEM)
		return REASON_SESSION_FULL;
	log_peer_warning("media_bind_failed", LOG_ADDR("addr", &want->bind),
		LOG_ERRNO(why));
	if (why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM)
		return REASON_SESSION_FULL;
	return REASON_SESSION_NO_REALM;
}

static void close_lease(struct planner *p, struct port_lease *lease)
{
	if (lease->rtp_fd >= 0)
		close(lease->rtp_fd);
	if (lease->rtcp_fd >= 0)
		close(lease->rtcp_fd);
	port_release(p->ports, lease, clock_now_us());
}

/* Equal keys keep their context: a new one would start its packet index
 * again, and use the same keystream twice. */
uint64_t plan_mark(const struct planner *p, const struct srtp_master *m)
{
	uint64_t mark;

	if (m->suite == SRTP_SUITE_NONE)
		return 0;
	mark = table_siphash(p->mark_key, m->bytes, m->len);
	return (mark ^ m->suite) | (1ull << 63);
}

static enum reason plan_keys(const struct planner *p,
	const struct session_side *side, const struct want_side *want,
	struct side_plan *plan)
{
	uint32_t ssrc = plan->begin ? plan->tx.ssrc : side->ssrc;

	plan->rx_mark = plan_mark(p, &want->receive);
	plan->tx_mark = plan_mark(p, &want->send);
	plan->set_rx = plan->begin || plan->rx_mark != side->rx_mark;
	plan->set_tx = plan->begin || plan->tx_mark != side->tx_mark;
	if (plan->set_rx && plan->rx_mark != 0 &&
		srtp_leg_new_receiver(&want->receive, &plan->srtp_rx) < 0)
		return REASON_SESSION_FULL;
	if (plan->set_tx && plan->tx_mark != 0 &&
		srtp_leg_new_sender(&want->send, ssrc, &plan->srtp_tx) < 0)
		return REASON_SESSION_FULL;
	return REASON_SESSION_OPEN;
}

static enum reason plan_ports(struct planner *p, struct session_side *side,
	const struct want_side *want, struct side_plan *plan)
{
	bool is_open = plan_side_is_open(side);
	bool same = is_open && want->wanted && side->realm == want->realm &&
		    addr_equal_ip(&side->lease.rtp, &want->bind);

	if (!want->wanted) {
		plan->end = is_open;
		return REASON_SESSION_OPEN;
	}
	if (!same) {
		enum reason why = lease_ports(p, want, &plan->lease);

		plan->begin = why == REASON_SESSION_OPEN;
		stream_init(&plan->tx);
		return why;
	}
	plan->close_rtcp = want->config.rtcp_mux && side->rtcp_open;
	if (want->config.rtcp_mux || side->rtcp_open)
		return REASON_SESSION_OPEN;
	plan->lease.rtp = side->lease.rtp;
	plan->open_rtcp =
		port_open_rtcp(p->ports, &plan->lease, want->config.dscp) == 0;
	return plan->open_rtcp ? REASON_SESSION_OPEN : REASON_SESSION_NO_PORT;
}

void plan_drop(struct planner *p, struct side_plan *plan)
{
	if (plan->begin)
		close_lease(p, &plan->lease);
	else if (plan->open_rtcp)
		close(plan->lease.rtcp_fd);
	srtp_leg_free(&plan->srtp_rx);
	srtp_leg_free(&plan->srtp_tx);
}

/* On failure the plan holds nothing. */
enum reason plan_side(struct planner *p, struct session_side *side,
	const struct want_side *want, struct side_plan *plan)
{
	enum reason why;

	*plan = (struct side_plan){.lease = {.rtp_fd = -1, .rtcp_fd = -1}};
	why = plan_ports(p, side, want, plan);
	if (why != REASON_SESSION_OPEN || !want->wanted)
		return why;
	why = plan_keys(p, side, want, plan);
	if (why != REASON_SESSION_OPEN)
		plan_drop(p, plan);
	return why;
}

static void begin_side(struct session_side *side, const struct want_side *want,
	struct side_plan *plan, struct worker_side *order)
{
	struct leg_birth *b = &order->birth;

	b->tx = plan->tx;
	ident_make_random(b->cname, RTCP_CNAME_LEN);
	b->rtp_fd = plan->lease.rtp_fd;
	b->rtcp_fd = plan->lease.rtcp_fd;
	b->dscp = want->config.dscp;
	b->bound = plan->lease.rtp;
	b->number = ++side->birth;
	side->rtp_fd = b->rtp_fd;
	side->rtcp_fd = b->rtcp_fd;
	side->first = plan->tx;
	/* The descriptors are the worker's now; the pair stays leased. */
	plan->lease.rtp_fd = plan->lease.rtcp_fd = -1;
	side->realm = want->realm;
	side->lease = plan->lease;
	side->rtcp_open = !want->config.rtcp_mux;
	side->ssrc = b->tx.ssrc;
	memcpy(side->cname, b->cname, sizeof(side->cname));
	order->begin = true;
}

/* The numbers go on: what is saved of the old leg must not be taken for the
 * next one's. */
static void forget_side(struct session_side *side)
{
	struct session_side old = *side;

	plan_side_init(side);
	side->birth = old.birth;
	side->rx_key = old.rx_key;
	side->tx_key = old.tx_key;
}

void plan_commit(struct planner *p, struct session_side *side,
	struct want_side *want, struct side_plan *plan,
	struct worker_side *order)
{
	if (plan->end || (plan->begin && plan_side_is_open(side))) {
		/* The pair rests before the worker has closed it; it is not
		 * drawn again while it does. */
		port_release(p->ports, &side->lease, clock_now_us());
		forget_side(side);
		order->end = plan->end;
	}
	if (plan->begin)
		begin_side(side, want, plan, order);
	if (plan->open_rtcp) {
		order->rtcp_fd = side->rtcp_fd = plan->lease.rtcp_fd;
		side->rtcp_open = true;
	}
	if (plan->close_rtcp) {
		order->close_rtcp = true;
		side->rtcp_open = false;
		side->rtcp_fd = -1;
	}
	if (want->wanted) {
		side->rx_mark = plan->rx_mark;
		side->tx_mark = plan->tx_mark;
	}
	order->set_rx = plan->set_rx;
	order->set_tx = plan->set_tx;
	order->rx_key = side->rx_key += plan->set_rx;
	order->tx_key = side->tx_key += plan->set_tx;
	order->srtp_rx = plan->srtp_rx;
	order->srtp_tx = plan->srtp_tx;
	side->rtcp_mux = want->config.rtcp_mux;
	leg_config_move(&order->config, &want->config);
}
