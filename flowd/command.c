/* SPDX-License-Identifier: Apache-2.0 */
/* What flowd answers to sbcctl. */
#include "flowd/ctl_inner.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define ID_TEXT_DIGITS 20

static void flow_json(const struct flow *f, uint64_t now_us, struct json *j)
{
	char text[ADDR_TEXT_SIZE];

	json_uint(j, "flow", f->id);
	json_str(j, "state", flow_state_name(f->state));
	json_str(j, "transport", transport_name(f->face->transport));
	json_str(j, "peer", addr_format(&f->peer, text));
	json_str(j, "listen", addr_format(&f->face->listen, text));
	json_bool(j, "outgoing", f->request != 0);
	json_bool(j, "bridged", bridge_is_open(&f->bridge));
	json_time(j, "opened", f->wall_opened_us);
	json_uint(j, "silent_s", (now_us - f->last_rx_us) / CLOCK_US_PER_S);
	json_uint(j, "received", f->n_rx);
	json_uint(j, "sent", f->n_tx);
	json_uint(j, "waiting_octets", buf_len(&f->out) + f->bridge.n_bytes);
	if (f->is_secured)
		json_str(j, "cipher", SSL_get_cipher_name(f->wire.ssl));
}

static int cmd_flows(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	uint64_t now_us = clock_now_us();
	const struct flow *f;

	(void)args;
	(void)n_args;
	/* What the link does not take any more would be lost without a word;
	 * the sum at the end shows it. */
	TAILQ_FOREACH (f, &c->flows->all, all) {
		struct json j;

		if (ipc_queued(request->link) >= IPC_QUEUE_MAX - 16)
			break;
		json_begin(&j);
		json_uint(&j, "format", 1);
		flow_json(f, now_us, &j);
		control_send(request, &j);
		free(j.text);
	}
	json_uint(answer, "flows", c->flows->n_flows);
	json_uint(answer, "capacity", c->sources.limits.max_flows);
	json_uint(answer, "handshakes", c->flows->n_handshakes);
	json_uint(answer, "sources", c->sources.table.n_entries);
	json_bool(answer, "retired", c->retired);
	return CONTROL_OK;
}

static int cmd_flow_close(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	struct flow *f = NULL;
	char *end = NULL;
	uint64_t id;

	(void)request;
	(void)n_args;
	if (strlen(args[0]) > ID_TEXT_DIGITS)
		return CONTROL_USAGE;
	id = strtoull(args[0], &end, 10);
	if (end == args[0] || *end)
		return CONTROL_USAGE;
	f = flows_find(c->flows, id);
	if (!f) {
		json_str(answer, "error", "no such flow");
		return CONTROL_NO_SUCH;
	}
	flow_end(f, REASON_FLOW_CLOSED_BY_SBC, "by the administrator");
	json_uint(answer, "flow", id);
	return CONTROL_OK;
}

static int cmd_listeners(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	char text[ADDR_TEXT_SIZE];
	const struct listener *l;

	(void)request;
	(void)args;
	(void)n_args;
	json_open_array(answer, "listeners");
	LIST_FOREACH (l, &c->listeners->list, next) {
		json_open_object(answer, NULL);
		json_str(answer, "listen", addr_format(&l->face->listen, text));
		json_str(answer, "transport",
			transport_name(l->face->transport));
		json_str(answer, "advertised", l->face->advertised);
		json_str(answer, "state", listener_state_name(l->state));
		json_uint(answer, "accepted", l->n_accepted);
		json_uint(answer, "refused", l->n_refused);
		json_str(answer, "problem", l->problem[0] ? l->problem : NULL);
		json_close_object(answer);
	}
	json_close_array(answer);
	return CONTROL_OK;
}

static int cmd_certificates(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	int64_t now_s = (int64_t)(clock_wall_us() / CLOCK_US_PER_S);
	const struct cert *cert;

	(void)request;
	(void)args;
	(void)n_args;
	json_open_array(answer, "certificates");
	SLIST_FOREACH (cert, &c->listeners->certs.list, next) {
		int64_t left_s = cert->not_after_s - now_s;

		json_open_object(answer, NULL);
		json_str(answer, "name", cert->name);
		json_str(answer, "key", cert_key_type(cert));
		json_time(answer, "expires",
			(uint64_t)cert->not_after_s * CLOCK_US_PER_S);
		json_int(answer, "days_left", left_s / 86400);
		json_str(answer, "verdict",
			left_s <= 0                   ? "expired"
			: left_s < CERT_EXPIRY_WARN_S ? "expires soon"
						      : "good");
		json_bool(answer, "stapled", cert->ocsp != NULL);
		json_close_object(answer);
	}
	json_close_array(answer);
	return CONTROL_OK;
}

static int cmd_reload(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	(void)request;
	(void)args;
	(void)n_args;
	(void)answer;
	ctl_reload(ctx);
	return CONTROL_OK;
}

static int cmd_retire(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct ctl *c = ctx;
	int err = ctl_retire(c);

	(void)request;
	(void)args;
	(void)n_args;
	if (err) {
		json_str(answer, "error",
			err == ERR_STATE ? "it has retired already"
					 : err_text(err));
		return CONTROL_REFUSED;
	}
	json_uint(answer, "flows", c->flows->n_flows);
	return CONTROL_OK;
}

const struct control_command ctl_commands[] = {
	{"flows", "", "every connection", 0, 0, cmd_flows},
	{"flow-close", "FLOW", "end one connection", 1, 1, cmd_flow_close},
	{"listeners", "", "where connections are taken", 0, 0, cmd_listeners},
	{"certificates", "", "certificates in use", 0, 0, cmd_certificates},
	{"reload", "", "read certificates anew", 0, 0, cmd_reload},
	{"retire", "", "make room for the next flowd; connections stay", 0, 0,
		cmd_retire},
};
const size_t ctl_n_commands = sizeof(ctl_commands) / sizeof(ctl_commands[0]);
