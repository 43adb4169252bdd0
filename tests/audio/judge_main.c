/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge REFERENCE HEARD OTHER: prints one line and ends with 0 if HEARD is the
 * speech REFERENCE, whole, without OTHER; with 1 if not; with 2 where a file
 * cannot be used. Called by the scenarios and by quickstart.
 */
#include <stdio.h>

#include "tests/audio/judge.h"

int main(int argc, char **argv)
{
	struct sound sound[3] = {0};
	struct verdict v;
	int status = 2;

	if (argc != 4) {
		fprintf(stderr, "usage: judge REFERENCE HEARD OTHER\n");
		return 2;
	}
	for (int i = 0; i < 3; i++) {
		const char *problem = NULL;
		if (wav_read(argv[i + 1], &sound[i], &problem)) {
			fprintf(stderr, "judge: %s: %s\n", argv[i + 1],
				problem);
			goto out;
		}
	}
	if (judge(&sound[0], &sound[1], &sound[2], &v)) {
		fprintf(stderr, "judge: out of memory\n");
		goto out;
	}
	printf("%s correlation=%.3f other=%.3f lag_ms=%ld overlap_s=%.2f "
	       "holes=%.3f verdict=\"%s\"\n",
		v.pass ? "pass" : "fail", v.same.correlation,
		v.other.correlation, v.same.lag / (WAV_RATE / 1000),
		v.same.overlap_s, v.same.holes, v.why);
	status = v.pass ? 0 : 1;
out:
	for (int i = 0; i < 3; i++)
		sound_done(&sound[i]);
	return status;
}
