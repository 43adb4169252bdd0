/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes one JSON object (RFC 8259) into memory: for control answers. Text is
 * escaped, and bytes that are no valid UTF-8 become U+FFFD, so that a peer's
 * words can never break the format. A writer that ran out of room or memory
 * says so once, at the end.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define JSON_SIZE_MAX (96u * 1024u)

struct json {
	char *text; /* owned */
	size_t len;
	size_t size;
	bool need_comma;
	int err;
};

/** Begins the outer object. */
void json_begin(struct json *j);
/** Ends it. @param text_out terminated; free() it. @return 0, ERR_NOMEM or
 * ERR_TOO_BIG; the writer is empty afterwards in every case. */
GH_MUST_CHECK int json_end(struct json *j, char **text_out);

/* Members; key NULL inside an array. value NULL is written as null. */
void json_str(struct json *j, const char *key, const char *value);
void json_uint(struct json *j, const char *key, uint64_t value);
/** The same, but nothing at all for "", NULL and 0. */
void json_some_str(struct json *j, const char *key, const char *value);
void json_some_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
/** Wall time as RFC 3339 UTC; 0 is written as null. */
void json_time(struct json *j, const char *key, uint64_t wall_us);
void json_open_object(struct json *j, const char *key);
void json_close_object(struct json *j);
void json_open_array(struct json *j, const char *key);
void json_close_array(struct json *j);

#endif
