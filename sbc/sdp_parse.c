// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptions that were read a moment ago are not read again. The texts of a
 * call are its only memory of what was agreed on, and whoever needs the values
 * reads them: who takes an answer, who makes ours of it and who tells mediad
 * read four texts seven times in one event. Reading takes 13,000 instructions,
 * finding a text here 300.
 *
 * Nothing with keys is remembered. Does not decide what a text means
 * (sdp_read.c). Called by call*.c; one thread.
 */
#include "sbc/sdp_part.h"

#include <string.h>

#define REMEMBERED_MAX  4
#define REMEMBERED_SIZE 1024

static struct remembered {
	size_t len; /* 0 = none */
	enum sdp_prefer prefer;
	struct sdp sdp;
	char text[REMEMBERED_SIZE];
} remembered[REMEMBERED_MAX];

static const struct sdp *recall(
	const char *text, size_t len, enum sdp_prefer prefer)
{
	for (size_t i = 0; i < REMEMBERED_MAX; i++) {
		const struct remembered *r = &remembered[i];

		if (r->len == len && len != 0 && r->prefer == prefer &&
			memcmp(r->text, text, len) == 0)
			return &r->sdp;
	}
	return NULL;
}

static void remember(const char *text, size_t len, enum sdp_prefer prefer,
	const struct sdp *sdp)
{
	static size_t next;
	struct remembered *r = &remembered[next];

	if (len > REMEMBERED_SIZE || sdp->n_crypto != 0)
		return;
	next = (next + 1) % REMEMBERED_MAX;
	r->len = len;
	r->prefer = prefer;
	r->sdp = *sdp;
	memcpy(r->text, text, len);
}

int sdp_parse_preferring(const char *text, size_t len, enum sdp_prefer prefer,
	struct sdp *sdp_out, enum reason *why_out)
{
	const struct sdp *known = recall(text, len, prefer);
	bool keys = false;
	int err;

	if (known) {
		*why_out = REASON_SDP_OK;
		*sdp_out = *known;
		return 0;
	}
	err = sdp_read(
		(struct span){text, len}, prefer, sdp_out, &keys, why_out);
	if (!err && !keys)
		remember(text, len, prefer, sdp_out);
	return err;
}

int sdp_parse(
	const char *text, size_t len, struct sdp *sdp_out, enum reason *why_out)
{
	return sdp_parse_preferring(text, len, SDP_ANY, sdp_out, why_out);
}
