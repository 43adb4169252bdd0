/* SPDX-License-Identifier: Apache-2.0 */
/* Reads calls for displays (ctl.c). */
#include "sbc/call_list.h"

#include "sbc/call_inner.h"

static void fill_side(const struct party *p, struct call_list_side *side)
{
	if (p == NULL)
		return;
	side->kind = side_kind_name(p->kind);
	side->trunk = p->trunk != NULL ? p->trunk->row->name : NULL;
	side->extension =
		p->account != NULL ? p->account->row->extension : NULL;
	side->peer = p->peer;
}

void calls_walk(const struct calls *calls,
	void (*fn)(void *ctx, const struct call_list_entry *entry), void *ctx)
{
	const struct call *c;

	TAILQ_FOREACH (c, &calls->all, link) {
		struct call_list_entry entry = {
			.id = c->id,
			.state = call_state_name(c->state),
			.caller_number = c->caller_number,
			.called_number = c->called_number,
			.wall_start_us = c->record.wall_start_us,
			.wall_answer_us = c->record.wall_answer_us,
		};

		fill_side(&c->caller, &entry.caller);
		/* Before an answer: whom it was tried with last. */
		fill_side(c->called != NULL
				  ? c->called
				  : TAILQ_LAST(&c->parties, party_head),
			&entry.called);
		fn(ctx, &entry);
	}
}
