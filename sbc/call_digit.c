/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digit by INFO (application/dtmf, application/dtmf-relay) from one side.
 *
 * Decides: how it goes on to the other side. A digit in the sound is mediad's.
 * Called by call.c's table.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "Signal=5" and "Duration=160" of application/dtmf-relay, or a lone digit of
 * application/dtmf. @return the digit, or 0. */
static char read_digit(
	const char *type, const char *body, size_t len, unsigned *duration_ms)
{
	static const char digits[] = "0123456789*#ABCDabcd";
	char text[128], *at;

	*duration_ms = 160;
	if (len == 0 || len >= sizeof text)
		return 0;
	memcpy(text, body, len);
	text[len] = '\0';
	if (su_casematch(type, "application/dtmf"))
		return strchr(digits, text[0]) != NULL ? text[0] : 0;
	if (!su_casematch(type, "application/dtmf-relay"))
		return 0;
	at = strcasestr(text, "duration");
	if (at != NULL) {
		unsigned value = 0;

		at += strlen("duration");
		at += strspn(at, " =");
		for (; isdigit((unsigned char)*at) && value < 10000; at++)
			value = value * 10 + (unsigned)(*at - '0');
		if (value >= 40 && value <= 8000)
			*duration_ms = value;
	}
	at = strcasestr(text, "signal");
	if (at == NULL)
		return 0;
	at += strlen("signal");
	at += strspn(at, " =");
	return *at != '\0' && strchr(digits, *at) != NULL ? *at : 0;
}

enum call_state call_on_info(struct call *c, const struct call_input *in)
{
	const sip_t *sip = in->msg->sip;
	struct party *other;
	unsigned duration_ms;
	char digit, body[48];

	if (in->party != &c->caller && in->party != c->called)
		return c->state;
	other = call_other(c, in->party);
	if (sip->sip_content_type == NULL || sip->sip_payload == NULL ||
		other == NULL || other->leg == NULL)
		return c->state;
	digit = read_digit(sip->sip_content_type->c_type,
		sip->sip_payload->pl_data, sip->sip_payload->pl_len,
		&duration_ms);
	if (digit == 0)
		return c->state;
	snprintf(body, sizeof body, "Signal=%c\r\nDuration=%u\r\n", digit,
		duration_ms);
	leg_info(other->leg, "application/dtmf-relay", body);
	return c->state;
}
