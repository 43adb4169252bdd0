/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A harness has one function in libFuzzer's form. Built with clang's
 * -fsanitize=fuzzer (make fuzzers) it is explored; linked with replay.c it is
 * a plain program that runs files and small changes of them (make check).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/** What must hold for every input; a sanitizer report is not enough. */
#define FUZZ_CHECK(condition)                                                  \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,     \
				#condition);                                   \
			abort();                                               \
		}                                                              \
	} while (0)

#endif
