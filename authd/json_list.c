/* SPDX-License-Identifier: Apache-2.0 */
/* The growing list; see json_list.h. Does not look into its objects. */
#include "authd/json_list.h"

#include <stdlib.h>
#include <string.h>

int json_list_add(struct json_list *l, const char *object)
{
	size_t len = strlen(object);

	/* With what ends the list. */
	if (l->len + len + 3 > l->size) {
		size_t size = (l->len + len + 3) * 2;
		char *more = realloc(l->text, size);

		if (!more)
			return ERR_NOMEM;
		l->text = more;
		l->size = size;
	}
	l->text[l->len] = l->len ? ',' : '[';
	memcpy(l->text + l->len + 1, object, len);
	l->len += len + 1;
	return 0;
}

const char *json_list_text(struct json_list *l)
{
	if (l->len == 0)
		return NULL;
	memcpy(l->text + l->len, "]", 2);
	return l->text;
}

void json_list_done(struct json_list *l)
{
	free(l->text);
	*l = (struct json_list){0};
}
