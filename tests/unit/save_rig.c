/* SPDX-License-Identifier: Apache-2.0 */
/* See save_rig.h. */
#include "config.h"

#include "tests/unit/save_rig.h"

#include <check.h>
#include <sys/socket.h>

void saves_begin(struct scene *s)
{
	sc_begin(s, NULL);
	ck_assert_int_eq(
		saves_new(&s->w->sbc, &sbc_save_owners, &s->w->sbc.saves), 0);
	saves_on_keeper(s->w->sbc.saves);
}

void saves_end(struct scene *s)
{
	cw_wait_empty(s->w);
	saves_free(&s->w->sbc.saves, true);
	sp_close(&s->itsp);
	sp_close(&s->phone);
	cw_free(&s->w);
}

void saves_pack(const struct call *c, struct saved_bytes *out)
{
	struct scratch s;
	Gh__SavedCall record;

	scratch_init(&s);
	call_to_record(c, &s, &record);
	out->len = gh__saved_call__get_packed_size(&record);
	ck_assert_uint_lt(out->len, sizeof out->data);
	gh__saved_call__pack(&record, out->data);
	scratch_done(&s);
}

Gh__SavedCall *saves_unpack(const struct saved_bytes *b)
{
	Gh__SavedCall *saved = gh__saved_call__unpack(NULL, b->len, b->data);

	ck_assert_ptr_nonnull(saved);
	return saved;
}

bool saves_no_call(void *ctx)
{
	struct cw *w = ctx;

	return TAILQ_EMPTY(&w->sbc.calls->all) &&
	       TAILQ_EMPTY(&w->sbc.calls->dead);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

void saves_drain(struct sip_peer *p)
{
	while (recv(p->fd, p->rx, sizeof p->rx - 1, MSG_DONTWAIT) >= 0)
		continue;
	p->n_seen = 0;
}

void saves_vanish(struct scene *s)
{
	struct cw *w = s->w;
	struct call *c;
	bool up = cw_call(w)->state == CALL_UP;

	calls_end_all(w->sbc.calls, REASON_CALL_ADMIN_HUNG_UP, nothing, NULL);
	if (up) {
		sp_expect(&s->itsp, "BYE ");
		dl_answer(&s->caller, s->itsp.rx, 200, NULL, NULL);
		sp_expect(&s->phone, "BYE ");
		dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
	}
	cw_turn(w);
	while ((c = cw_call(w)) != NULL) {
		cw_fire(w, EV_TIMER);
		cw_turn(w);
	}
	cw_until(w, saves_no_call, w, "the end of the first process");
	cw_cdr(w);
	saves_drain(&s->itsp);
	saves_drain(&s->phone);
}

int saves_restore(struct scene *s, const Gh__SavedCall *saved)
{
	static const struct save_slot none;

	return call_restore(s->w->sbc.calls, saved, &none);
}

int saves_keep(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	(void)ctx;
	(void)record;
	(void)type;
	(void)version;
	(void)bytes;
	(void)len;
	return 0;
}

void saves_put(struct store *file, uint32_t kind, uint32_t version,
	const void *bytes, size_t len)
{
	struct store_record *record = NULL;

	ck_assert_int_eq(
		store_put(file, &record, kind, version, bytes, len, 0), 0);
}
