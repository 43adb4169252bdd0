/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sbc/drain.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"

#define WAITS_MAX 8
#define LOOK_US   (CLOCK_US_PER_S)

struct drain {
	struct sbc *sbc;
	bool on, told; /* told: that the last call has ended */
	struct loop_timer *timer;
	struct save_slot slot;
	struct control_request waits[WAITS_MAX];
	size_t n_waits;
};

static void describe(const struct drain *d, struct json *j)
{
	json_bool(j, "draining", d->on);
	json_uint(j, "calls", calls_count(d->sbc->calls));
}

static void finish_all(struct drain *d, enum control_exit code)
{
	for (size_t i = 0; i < d->n_waits; i++) {
		struct json j;

		json_begin(&j);
		json_uint(&j, "format", 1);
		describe(d, &j);
		control_finish(&d->waits[i], code, &j);
	}
	d->n_waits = 0;
}

static void on_timer(void *arg)
{
	struct drain *d = arg;

	if (!d->on)
		return;
	if (saves_are_in_force(d->sbc->saves) &&
		calls_count(d->sbc->calls) == 0) {
		if (!d->told)
			log_notice("drained");
		d->told = true;
		finish_all(d, CONTROL_OK);
	}
	for (size_t i = 0; i < d->n_waits; i++) {
		struct json j;
		char *text;

		json_begin(&j);
		json_uint(&j, "format", 1);
		describe(d, &j);
		control_send(&d->waits[i], &j);
		/* It begins the next object, which comes later. */
		if (json_end(&j, &text) == 0)
			free(text);
	}
	loop_timer_set(d->sbc->daemon.loop, d->timer, LOOK_US);
}

static void apply(struct drain *d, bool on)
{
	d->on = on;
	d->told = false;
	calls_drain(d->sbc->calls, on);
	log_notice("drain", LOG_STR("draining", on ? "yes" : "no"));
	loop_timer_set(d->sbc->daemon.loop, d->timer, 0);
}

bool drain_is_on(const struct drain *d)
{
	return d != NULL && d->on;
}

void drain_set(struct drain *d, bool on)
{
	Gh__SavedSwitches saved = GH__SAVED_SWITCHES__INIT;

	apply(d, on);
	saved.draining = on;
	if (on) {
		save_put(d->sbc->saves, SAVE_SWITCHES, &d->slot, &saved.base);
	} else {
		save_drop(d->sbc->saves, SAVE_SWITCHES, &d->slot);
		finish_all(d, CONTROL_REFUSED);
	}
}

int drain_on_found(struct drain *d, const Gh__SavedSwitches *saved,
	const struct save_slot *slot)
{
	if (!saved->draining || save_has(&d->slot))
		return ERR_INVALID;
	d->slot = *slot;
	apply(d, true);
	return 0;
}

int drain_wait(struct drain *d, const struct control_request *request)
{
	if (d->n_waits == WAITS_MAX)
		return CONTROL_REFUSED;
	d->waits[d->n_waits++] = *request;
	loop_timer_set(d->sbc->daemon.loop, d->timer, 0);
	return CONTROL_LATER;
}

void drain_on_down(struct drain *d, const struct ipc_link *link)
{
	for (size_t i = 0; i < d->n_waits;) {
		if (d->waits[i].link == link)
			d->waits[i] = d->waits[--d->n_waits];
		else
			i++;
	}
}

int drain_new(struct sbc *sbc, struct drain **drain_out)
{
	struct drain *d = calloc(1, sizeof(*d));
	int err = d ? loop_timer_new(sbc->daemon.loop, on_timer, d, &d->timer)
		    : ERR_NOMEM;

	if (err != 0) {
		free(d);
		return err;
	}
	d->sbc = sbc;
	*drain_out = d;
	return 0;
}

void drain_free(struct drain **ref)
{
	struct drain *d = *ref;

	if (!d)
		return;
	*ref = NULL;
	loop_timer_free(d->sbc->daemon.loop, &d->timer);
	free(d);
}
