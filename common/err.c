/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the error codes; see err.h. Called by the log and by tools. */
#include "common/err.h"

#include <stddef.h>

/* Indexed by the negated code. */
static const char *const err_texts[] = {
	[0] = "success",
	[-ERR_NOMEM] = "out of memory",
	[-ERR_INVALID] = "invalid",
	[-ERR_TOO_BIG] = "too big",
	[-ERR_TRUNCATED] = "truncated",
	[-ERR_NOT_FOUND] = "not found",
	[-ERR_EXISTS] = "exists already",
	[-ERR_AWAY] = "peer is away",
	[-ERR_FULL] = "full",
	[-ERR_TIMEOUT] = "timed out",
	[-ERR_REFUSED] = "refused",
	[-ERR_AGAIN] = "nothing to do now",
	[-ERR_CLOSED] = "closed by peer",
	[-ERR_SYSTEM] = "system error",
	[-ERR_VERSION] = "unknown version",
	[-ERR_CORRUPT] = "corrupt",
	[-ERR_STATE] = "not allowed in this state",
};
_Static_assert(sizeof(err_texts) / sizeof(err_texts[0]) == 1 - ERR_LAST,
	"every error code has its text");

const char *err_text(int err)
{
	if (err > 0 || err < ERR_LAST)
		return "unknown error";
	return err_texts[-err];
}
