/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alignment in two steps: both sounds are low-passed and thinned to 1000
 * samples per second, every lag within 2 s is tried on those (4,000 lags times
 * 10,000 samples), and the few best are refined on the full samples. The
 * energies of the overlap come from running sums, so that one lag costs one
 * multiplication per sample. Called by tests/audio/judge_main.c and its self
 * test; knows nothing of packets.
 */
#include "tests/audio/judge.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define THIN         8
#define LAG_MAX      ((long)JUDGE_LAG_MAX_S * WAV_RATE)
#define N_CANDIDATES 6
#define BLOCK        (WAV_RATE / 50)
/* A block of the reference is speech when its mean square is at least this
 * share of the whole's (-20 dB); quieter ones prove nothing. */
#define SPEECH_SHARE 0.01
/* A speech block is missing when it correlates less than this. Codec and
 * filters leave far more, another block's sound far less. */
#define BLOCK_MIN    0.5

/* Samples as floats with running sums of their squares. */
struct series {
	float *x;
	double *energy; /* energy[i] = sum of x[0..i-1] squared */
	long n;
};

struct candidate {
	double correlation;
	long lag;
};

static void series_done(struct series *s)
{
	free(s->x);
	free(s->energy);
	s->x = NULL;
	s->energy = NULL;
}

static int series_new(struct series *s, long n)
{
	s->n = n;
	s->x = calloc((size_t)n + 1, sizeof(*s->x));
	s->energy = calloc((size_t)n + 1, sizeof(*s->energy));
	if (s->x && s->energy)
		return 0;
	series_done(s);
	return -1;
}

static void series_sum(struct series *s)
{
	for (long i = 0; i < s->n; i++)
		s->energy[i + 1] = s->energy[i] + (double)s->x[i] * s->x[i];
}

/* The sound without its constant part. */
static int series_full(struct series *s, const struct sound *sound)
{
	double mean = 0;

	if (series_new(s, (long)sound->n))
		return -1;
	for (long i = 0; i < s->n; i++)
		mean += sound->sample[i];
	if (s->n > 0)
		mean /= (double)s->n;
	for (long i = 0; i < s->n; i++)
		s->x[i] = (float)(sound->sample[i] - mean);
	series_sum(s);
	return 0;
}

/* Every THINth sample of a triangular low-pass. */
static int series_thin(struct series *s, const struct series *full)
{
	if (series_new(s, full->n / THIN))
		return -1;
	for (long i = 0; i < s->n; i++) {
		float sum = 0;
		for (long k = -THIN; k <= THIN; k++) {
			long at = i * THIN + k;
			float weight = (float)(THIN - labs(k)) / THIN;
			if (at >= 0 && at < full->n)
				sum += weight * full->x[at];
		}
		s->x[i] = sum;
	}
	series_sum(s);
	return 0;
}

/* Where reference and heard overlap at this lag: [*from, *to) of reference. */
static void overlap(const struct series *ref, const struct series *heard,
	long lag, long *from, long *to)
{
	*from = lag < 0 ? -lag : 0;
	*to = heard->n - lag < ref->n ? heard->n - lag : ref->n;
	if (*to < *from)
		*to = *from;
}

static double correlate(const struct series *ref, const struct series *heard,
	long lag, long from, long to)
{
	double sum = 0;

	for (long i = from; i < to; i++)
		sum += ref->x[i] * heard->x[i + lag];
	double energy = (ref->energy[to] - ref->energy[from]) *
			(heard->energy[to + lag] - heard->energy[from + lag]);
	return energy > 1 ? sum / sqrt(energy) : 0;
}

static double correlate_at(
	const struct series *ref, const struct series *heard, long lag)
{
	long from, to;

	overlap(ref, heard, lag, &from, &to);
	return to > from ? correlate(ref, heard, lag, from, to) : 0;
}

/* Keeps the best lags, at most one per neighbourhood. */
static void candidate_add(struct candidate *list, double correlation, long lag)
{
	int worst = 0;

	for (int i = 0; i < N_CANDIDATES; i++) {
		if (list[i].correlation > -1 && labs(list[i].lag - lag) <= 2) {
			if (correlation > list[i].correlation)
				list[i] = (struct candidate){correlation, lag};
			return;
		}
		if (list[i].correlation < list[worst].correlation)
			worst = i;
	}
	if (correlation > list[worst].correlation)
		list[worst] = (struct candidate){correlation, lag};
}

/* Coarse search on the thinned series. Lags that leave too little to compare
 * are not tried: ten samples correlate with anything. */
static void search_coarse(const struct series *ref, const struct series *heard,
	struct candidate *list)
{
	long shortest = JUDGE_OVERLAP_S * WAV_RATE / THIN / 2;

	for (int i = 0; i < N_CANDIDATES; i++)
		list[i] = (struct candidate){-1, 0};
	for (long lag = -LAG_MAX / THIN; lag <= LAG_MAX / THIN; lag++) {
		long from, to;
		overlap(ref, heard, lag, &from, &to);
		if (to - from >= shortest)
			candidate_add(list,
				correlate(ref, heard, lag, from, to), lag);
	}
}

static struct candidate search_fine(const struct series *ref,
	const struct series *heard, const struct candidate *list)
{
	struct candidate best = {-1, 0};

	for (int i = 0; i < N_CANDIDATES; i++) {
		if (list[i].correlation <= -1)
			continue;
		long middle = list[i].lag * THIN;
		for (long lag = middle - THIN; lag <= middle + THIN; lag++) {
			double c = correlate_at(ref, heard, lag);
			if (labs(lag) <= LAG_MAX && c > best.correlation)
				best = (struct candidate){c, lag};
		}
	}
	return best;
}

/* Cuts silence off both ends of the overlap, at most the alignment's 2 s each:
 * a call is picked up after the speech began and may end before it does. */
static void trim(const struct series *heard, long lag, long *from, long *to)
{
	long first = *from, last = *to;
	double loudness = heard->n > 0 ? heard->energy[heard->n] / heard->n : 0;

	while (first + BLOCK <= last && first - *from < LAG_MAX) {
		double e = heard->energy[first + BLOCK + lag] -
			   heard->energy[first + lag];
		if (e / BLOCK > loudness * SPEECH_SHARE)
			break;
		first += BLOCK;
	}
	while (last - BLOCK >= first && *to - last < LAG_MAX) {
		double e = heard->energy[last + lag] -
			   heard->energy[last - BLOCK + lag];
		if (e / BLOCK > loudness * SPEECH_SHARE)
			break;
		last -= BLOCK;
	}
	*from = first;
	*to = last;
}

static double holes(const struct series *ref, const struct series *heard,
	long lag, long from, long to)
{
	double floor = ref->energy[ref->n] / (double)ref->n * SPEECH_SHARE;
	long n_speech = 0, n_missing = 0;

	for (long at = from; at + BLOCK <= to; at += BLOCK) {
		double e = ref->energy[at + BLOCK] - ref->energy[at];
		if (e / BLOCK < floor)
			continue;
		n_speech++;
		if (correlate(ref, heard, lag, at, at + BLOCK) < BLOCK_MIN)
			n_missing++;
	}
	return n_speech > 0 ? (double)n_missing / (double)n_speech : 1;
}

static void match_fill(const struct series *ref, const struct series *heard,
	long lag, struct match *m)
{
	long from, to;

	overlap(ref, heard, lag, &from, &to);
	trim(heard, lag, &from, &to);
	m->lag = lag;
	m->overlap_s = (double)(to - from) / WAV_RATE;
	m->correlation = correlate(ref, heard, lag, from, to);
	m->holes = holes(ref, heard, lag, from, to);
}

int judge_match(const struct sound *reference, const struct sound *heard,
	struct match *match_out)
{
	struct series ref = {0}, ear = {0}, ref_thin = {0}, ear_thin = {0};
	struct candidate list[N_CANDIDATES];
	struct match m = {.holes = 1};
	int err = -1;

	if (series_full(&ref, reference) || series_full(&ear, heard) ||
		series_thin(&ref_thin, &ref) || series_thin(&ear_thin, &ear))
		goto out;
	search_coarse(&ref_thin, &ear_thin, list);
	struct candidate best = search_fine(&ref, &ear, list);
	if (best.correlation > -1)
		match_fill(&ref, &ear, best.lag, &m);
	*match_out = m;
	err = 0;
out:
	series_done(&ref);
	series_done(&ear);
	series_done(&ref_thin);
	series_done(&ear_thin);
	return err;
}

int judge(const struct sound *reference, const struct sound *heard,
	const struct sound *other, struct verdict *verdict_out)
{
	struct verdict v = {0};

	if (judge_match(reference, heard, &v.same) ||
		judge_match(other, heard, &v.other))
		return -1;
	if (v.same.overlap_s < JUDGE_OVERLAP_S)
		v.why = "less than 5 s to compare";
	else if (!(v.same.correlation >= JUDGE_SAME_MIN))
		v.why = "not the speech that was sent";
	else if (!(v.other.correlation < JUDGE_OTHER_MAX))
		v.why = "the other direction is heard";
	else if (!(v.same.holes <= JUDGE_HOLES_MAX))
		v.why = "pieces of the speech are missing";
	else
		v.why = "the speech arrived";
	v.pass = v.same.overlap_s >= JUDGE_OVERLAP_S &&
		 v.same.correlation >= JUDGE_SAME_MIN &&
		 v.other.correlation < JUDGE_OTHER_MAX &&
		 v.same.holes <= JUDGE_HOLES_MAX;
	*verdict_out = v;
	return 0;
}
