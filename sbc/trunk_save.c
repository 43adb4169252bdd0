/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a trunk, over a restart: that it is silent (so that nothing
 * is sent there before it answers again) and our registration, which goes on
 * with the same Call-ID and the next number at the time that was set.
 *
 * Looked at once a second with the trunk itself (trunk.c): a change that a kill
 * comes before is found out again by the next probe or REGISTER.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/text.h"
#include "sbc/trunk_inner.h"

#define CSEQ_MARGIN  8u
/* Nothing that was set can lie further ahead than a registration lasts. */
#define AHEAD_MAX_US (2 * 86400 * CLOCK_US_PER_S)

void trunk_save(struct trunk_state *s)
{
	Gh__SavedTrunk saved = GH__SAVED_TRUNK__INIT;
	char registrar[ADDR_TEXT_SIZE];

	enum registration state = s->reg.state != REGISTRATION_LEAVING
					  ? s->reg.state
					  : REGISTRATION_NONE;

	if (!s->down && state == REGISTRATION_NONE) {
		save_drop(s->trunks->sbc->saves, SAVE_TRUNK, &s->saved);
		return;
	}
	saved.trunk = s->id;
	saved.down = s->down;
	saved.misses = s->misses;
	saved.registration = state;
	saved.expires_s = s->reg.expires_s;
	saved.next_register_us = s->reg.next_us;
	saved.failures = s->reg.failures;
	if (s->reg_route != NULL)
		saved.route = s->reg_route;
	if (addr_is_set(&s->registrar))
		saved.registrar = (char *)(uintptr_t)addr_format(
			&s->registrar, registrar);
	saved.call_id = s->reg.names.call_id;
	saved.local_tag = s->reg.names.tag;
	saved.cseq = registrant_cseq(&s->reg);
	save_put(s->trunks->sbc->saves, SAVE_TRUNK, &s->saved, &saved.base);
}

int trunk_restore(struct trunks *trunks, const Gh__SavedTrunk *saved,
	const struct save_slot *slot)
{
	uint64_t now = clock_now_us();
	struct trunk_state *s;

	if (saved->registration >= REGISTRATION_LEAVING ||
		strlen(saved->call_id) >= sizeof s->reg.names.call_id ||
		strlen(saved->local_tag) >= sizeof s->reg.names.tag ||
		(*saved->call_id == '\0') != (*saved->local_tag == '\0'))
		return ERR_INVALID;
	s = trunk_state_make(trunks, saved->trunk);
	if (s == NULL)
		return ERR_NOMEM;
	if (save_has(&s->saved))
		return ERR_EXISTS;
	s->saved = *slot;
	s->down = saved->down;
	s->misses = saved->misses;
	s->reg.expires_s = saved->expires_s;
	s->reg.failures = saved->failures;
	snprintf(s->reg.names.call_id, sizeof s->reg.names.call_id, "%s",
		saved->call_id);
	snprintf(s->reg.names.tag, sizeof s->reg.names.tag, "%s",
		saved->local_tag);
	if (saved->cseq != 0)
		s->reg.names.cseq = saved->cseq + CSEQ_MARGIN;
	if (*saved->route != '\0' && text_is_plain(saved->route, 512))
		s->reg_route = strdup(saved->route);
	if (*saved->registrar != '\0' &&
		addr_parse(saved->registrar, &s->registrar) != 0)
		memset(&s->registrar, 0, sizeof s->registrar);
	s->reg.state = (enum registration)saved->registration;
	if (s->reg.state == REGISTRATION_NONE)
		return 0;
	/* An answer that was awaited will not come to us: at once. */
	if (s->reg.state != REGISTRATION_TRYING &&
		saved->next_register_us < now + AHEAD_MAX_US)
		s->reg.next_us = saved->next_register_us;
	registrant_resume(&s->reg);
	return 0;
}
