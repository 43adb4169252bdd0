/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of the process before us (sessions_resume()): out of its records,
 * the sockets that keeper held and the live words, each session is made as it
 * was, and given to a worker as an order like any other. What does not fit
 * together is dropped with one line; its sockets are closed, and sbc's next
 * wish makes it anew.
 *
 * A key goes on only from words of that very key (save_parts()): words of an
 * older number mean that nothing was sent with it yet.
 */
#include <sys/socket.h>
#include <unistd.h>

#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "mediad/save.h"
#include "mediad/session_inside.h"

/* The socket that is bound there, out of what keeper held. */
static int claim_fd(struct keep_found *found, struct addr local)
{
	for (size_t i = 0; i < found->n_fds; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct addr a;
		int fd = found->fds[i];

		if (fd < 0 ||
			getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
			addr_from_sockaddr((struct sockaddr *)&sa, len, &a) <
				0 ||
			!addr_equal(&a, &local))
			continue;
		found->fds[i] = -1;
		return fd;
	}
	return -1;
}

/* The sockets that keeper held; the same ports anew where it held none.
 * @param lost	set if so. */
static int resume_ports(struct sessions *s, struct session_side *side,
	const struct record_side *from, struct keep_found *found,
	struct leg_birth *birth, bool *lost)
{
	struct port_lease lease = from->side.lease;
	struct addr rtcp = lease.rtp;
	uint8_t dscp = from->config.dscp;
	int err = port_take(s->planner.ports, &lease.rtp);

	if (err)
		return err;
	rtcp.port++;
	side->lease.rtp = lease.rtp;
	birth->rtp_fd = lease.rtp_fd = claim_fd(found, lease.rtp);
	if (from->side.rtcp_open)
		birth->rtcp_fd = lease.rtcp_fd = claim_fd(found, rtcp);
	if (lease.rtp_fd < 0) {
		*lost = true;
		err = port_open_rtp(s->planner.ports, &lease, dscp);
		birth->rtp_fd = lease.rtp_fd;
	}
	if (!err && from->side.rtcp_open && lease.rtcp_fd < 0) {
		*lost = true;
		err = port_open_rtcp(s->planner.ports, &lease, dscp);
		birth->rtcp_fd = lease.rtcp_fd;
	}
	return err;
}

static int resume_keys(const struct planner *p, struct session_side *side,
	const struct record_side *from, const struct live_leg *words,
	const struct save_parts *parts, struct worker_side *order)
{
	int err = 0;

	side->rx_mark = plan_mark(p, &from->receive);
	side->tx_mark = plan_mark(p, &from->send);
	if (side->rx_mark != 0)
		err = srtp_leg_resume_receiver(&from->receive,
			parts->rx_key ? &words->rx_srtp : NULL,
			&order->srtp_rx);
	if (!err && side->tx_mark != 0)
		err = srtp_leg_resume_sender(&from->send, side->first.ssrc,
			parts->tx_key ? &words->tx_srtp : NULL,
			&order->srtp_tx);
	order->set_rx = order->set_tx = true;
	order->rx_key = side->rx_key;
	order->tx_key = side->tx_key;
	return err;
}

static int resume_side(struct sessions *s, struct session *x, unsigned i,
	struct keep_found *found, struct worker_side *order)
{
	struct record_side *from = &found->plan.side[i];
	struct session_side *side = &x->side[i];
	struct live_leg *words = &x->kept.live[i];
	struct save_parts parts;
	bool lost = false;
	int err;

	side->birth = from->side.birth;
	side->rx_key = from->side.rx_key;
	side->tx_key = from->side.tx_key;
	if (!from->config.wanted)
		return 0;
	err = save_parts(
		words, side->birth, side->rx_key, side->tx_key, &parts);
	if (!err)
		err = resume_ports(s, side, from, found, &order->birth, &lost);
	if (err)
		return err;
	side->realm = from->side.realm;
	side->rtcp_open = from->side.rtcp_open;
	side->rtcp_mux = from->side.rtcp_mux;
	side->first = from->side.first;
	side->ssrc = side->first.ssrc;
	memcpy(side->cname, from->side.cname, sizeof(side->cname));
	side->rtp_fd = order->birth.rtp_fd;
	side->rtcp_fd = order->birth.rtcp_fd;
	order->begin = true;
	order->birth.bound = side->lease.rtp;
	order->birth.tx = side->first;
	order->birth.number = side->birth;
	order->birth.words = words;
	order->birth.resumed = parts.leg;
	memcpy(order->birth.cname, side->cname, sizeof(order->birth.cname));
	leg_config_move(&order->config, &from->config);
	if (lost)
		keep_mark(s->keep, &x->kept);
	return resume_keys(&s->planner, side, from, words, &parts, order);
}

static int resume_into(
	struct sessions *s, struct session *x, struct keep_found *found)
{
	struct worker_job *job = worker_job_new(WORKER_RESUME, x->media);
	int err = 0;

	if (job == NULL)
		return ERR_NOMEM;
	job->owner = x;
	x->version = found->plan.version;
	x->opened_wall_us = found->plan.opened_wall_us;
	for (unsigned i = 0; i < SIDE_COUNT && !err; i++)
		err = resume_side(s, x, i, found, &job->side[i]);
	if (err)
		worker_job_free(job);
	else
		worker_order(s->workers[x->worker].worker, job);
	return err;
}

static int resume_one(struct sessions *s, struct keep_found *found)
{
	struct session *x = session_make(s, found->plan.call);
	int err = ERR_FULL;

	if (x != NULL) {
		x->kept = found->entry;
		keep_list(s->keep, &x->kept);
		err = resume_into(s, x, found);
	} else {
		keep_end(s->keep, &found->entry);
	}
	if (x != NULL && err)
		session_unmake(s, x);
	if (err) {
		reason_count(REASON_STORE_RECORD);
		log_peer_warning("session_dropped", LOG_CALL(found->plan.call),
			LOG_ERR(err));
	}
	for (size_t i = 0; i < found->n_fds; i++)
		if (found->fds[i] >= 0)
			close(found->fds[i]);
	record_plan_done(&found->plan);
	return err;
}

int sessions_resume(struct sessions *s)
{
	uint64_t since_us = clock_now_us();
	unsigned n = 0, n_dropped = 0;
	struct keep_found found;
	int err = keep_open(s->keep);

	if (err)
		return err;
	while (keep_next(s->keep, &found)) {
		if (resume_one(s, &found))
			n_dropped++;
		else
			n++;
	}
	keep_settle(s->keep);
	secret_wipe_stack();
	sessions_set_gauges(s);
	if (n + n_dropped > 0)
		log_notice("sessions_resumed", LOG_UINT("sessions", n),
			LOG_UINT("dropped", n_dropped),
			LOG_UINT("took_us", clock_now_us() - since_us));
	return 0;
}
