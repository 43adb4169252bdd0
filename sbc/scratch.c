/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for what is forgotten at once (scratch.h). */
#include "config.h"

#include "sbc/scratch.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 16384u

struct scratch_block {
	struct scratch_block *next;
	_Alignas(16) uint8_t bytes[];
};

void scratch_init(struct scratch *s)
{
	s->at = s->first;
	s->end = s->first + sizeof s->first;
	s->more = NULL;
	s->has_home = 0;
}

void scratch_done(struct scratch *s)
{
	struct scratch_block *b;

	while ((b = s->more) != NULL) {
		s->more = b->next;
		free(b);
	}
	if (s->has_home)
		su_home_deinit(s->home);
	scratch_init(s);
}

void *scratch_alloc(struct scratch *s, size_t size)
{
	size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
	struct scratch_block *b;
	void *piece;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	room = (room + 15) & ~(size_t)15;
	if (size > (size_t)(s->end - s->at)) {
		b = malloc(sizeof *b + room);
		if (b == NULL)
			return NULL;
		b->next = s->more;
		s->more = b;
		s->at = b->bytes;
		s->end = b->bytes + room;
	}
	piece = s->at;
	s->at += size;
	return piece;
}

char *scratch_address(struct scratch *s, const struct addr *addr)
{
	static char none[1] = "";
	char buffer[ADDR_TEXT_SIZE], *text;
	size_t size;

	if (!addr_is_set(addr))
		return none;
	size = strlen(addr_format(addr, buffer)) + 1;
	text = scratch_alloc(s, size);
	if (text == NULL)
		return none;
	return memcpy(text, buffer, size);
}

su_home_t *scratch_home(struct scratch *s)
{
	static const su_home_t fresh = SU_HOME_INIT(fresh);

	if (!s->has_home) {
		*s->home = fresh;
		su_home_init(s->home);
		s->has_home = 1;
	}
	return s->home;
}
