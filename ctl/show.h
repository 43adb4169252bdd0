/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for human eyes: "key value" lines, and tables for lists. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdio.h>

#include "common/err.h"

/** Prints one JSON object. Control characters in values are shown escaped, so
 * that no peer's text drives the terminal. @return 0, or ERR_INVALID. */
GH_MUST_CHECK int show_answer(FILE *out, const char *json);

#endif
