/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which method goes where, after admit. A trunk's INVITE is a call at once; a
 * phone's waits for authd's judgement of its digest. OPTIONS is answered to
 * trunks and registered phones only (admit saw to it). ACK and CANCEL that no
 * transaction or dialog knows are dropped: an ACK has no answer, and a CANCEL's
 * sender gives up by itself.
 *
 * RFC 3261 8.2, 9.2 (CANCEL), 11 (OPTIONS), 13.3 (INVITE).
 */
#include "sbc/entry.h"

#include <sofia-sip/sip_header.h>
#include <stdio.h>

#include "common/log.h"
#include "sbc/drain.h"
#include "sbc/event_body.h"
#include "sbc/merge.h"
#include "sbc/message.h"
#include "sbc/register.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"
#include "sbc/wait.h"

static void begin_call(
	struct sbc *sbc, struct inbound *in, struct account *account)
{
	if (merge_is_loop(stack_merges(sbc->stack), in->sip)) {
		account_unref(&account);
		stack_refuse(sbc->stack, in, REASON_ADMIT_LOOP);
		return;
	}
	if (merge_is_second(stack_merges(sbc->stack), in->sip)) {
		account_unref(&account);
		stack_refuse(sbc->stack, in, REASON_ADMIT_MERGED);
		return;
	}
	call_on_invite(sbc->calls, in, account);
}

static void on_caller_known(
	struct sbc *sbc, struct inbound *in, struct account *account)
{
	begin_call(sbc, in, account);
}

static void on_invite(struct sbc *sbc, struct inbound *in)
{
	if (in->trunk)
		begin_call(sbc, in, NULL);
	else
		wait_for_judge(
			sbc, in, GH__AUTH_PURPOSE__AUTH_CALL, on_caller_known);
}

static void on_options(struct sbc *sbc, struct inbound *in)
{
	const char *events = in->trunk == NULL ? event_realm_list(in->realm,
							 msg_home(in->msg))
					       : "";

	/* Who probes us sends its calls elsewhere. */
	if (in->trunk && drain_is_on(sbc->drain)) {
		char seconds[12];

		snprintf(seconds, sizeof seconds, "%u",
			stack_retry_after_s(sbc->stack));
		stack_reply(sbc->stack, in, REASON_ADMIT_DRAINING, 503,
			SIPTAG_RETRY_AFTER_STR(seconds), TAG_END());
		return;
	}
	stack_reply(sbc->stack, in, REASON_ADMIT_OK, 200,
		SIPTAG_ALLOW_STR(stack_allow(in)),
		SIPTAG_ACCEPT_STR("application/sdp"),
		TAG_IF(*events != '\0', SIPTAG_ALLOW_EVENTS_STR(events)),
		TAG_END());
}

void entry_on_request(struct sbc *sbc, struct inbound *in)
{
	sip_method_t method = in->sip->sip_request->rq_method;
	enum reason why;

	if (method == sip_method_ack || method == sip_method_cancel) {
		stack_drop(sbc->stack, in, REASON_ADMIT_NO_DIALOG);
		return;
	}
	why = admit_request(sbc->admit, in);
	if (why != REASON_ADMIT_OK) {
		stack_refuse(sbc->stack, in, why);
		return;
	}
	switch (method) {
	case sip_method_invite:
		on_invite(sbc, in);
		break;
	case sip_method_register:
		register_on_request(sbc, in);
		break;
	case sip_method_options:
		on_options(sbc, in);
		break;
	case sip_method_subscribe:
		event_on_subscribe(sbc, in);
		break;
	case sip_method_notify:
		event_on_notify(sbc, in);
		break;
	case sip_method_message:
		message_on_request(sbc, in);
		break;
	default: /* admit lets no other method pass */
		stack_refuse(sbc->stack, in, REASON_ADMIT_METHOD);
		break;
	}
}

void entry_on_listener(struct sbc *sbc)
{
	if (!stack_is_open(sbc->stack))
		return;
	trunks_wake(sbc->trunks);
	if (sbc->said_ready)
		return;
	sbc->said_ready = true;
	daemon_ready(&sbc->daemon);
}
