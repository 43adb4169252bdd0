/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON list (RFC 8259) of objects that json.h has written, as it grows: what
 * one statement takes of bindings or records. Called by records and bindings.
 */
#ifndef AUTHD_JSON_LIST_H
#define AUTHD_JSON_LIST_H

#include <stddef.h>

#include "common/err.h"

/** Begins as {0}. */
struct json_list {
	char *text; /* owned; "[a,b" */
	size_t len, size;
};

/** Appends a copy. @return 0 or ERR_NOMEM. */
GH_MUST_CHECK int json_list_add(struct json_list *l, const char *object);
/** @return the whole list, borrowed until the next call; NULL if it is empty:
 * an SQL null. */
const char *json_list_text(struct json_list *l);
void json_list_done(struct json_list *l);

#endif
