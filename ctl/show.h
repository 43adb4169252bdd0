/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for human eyes: "key value" lines, and tables for lists. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdio.h>

#include "common/err.h"

/**
 * Prints one JSON object. Characters that drive a terminal or change the place
 * of others are shown as ?, so that no peer's text does either; --json is for
 * those who need the bytes.
 * @return 0, or ERR_INVALID for what is no JSON object.
 */
GH_MUST_CHECK int show_answer(FILE *out, const char *json);

#endif
