// SPDX-License-Identifier: Apache-2.0
/*
 * Decides which regular expressions number rules and routes may have. The C
 * library compiles a repeated group by copying it and matches a
 * back-reference by trying everything, so that a pattern of thirty characters
 * can take gigabytes or minutes. Refused are: more than 256 characters, bytes
 * that are no printable ASCII, back-references, a repetition of something that
 * holds a repetition, and bounds over 64 (no number is longer). "(a+)?" is no
 * repetition: it is there once or not at all.
 */
#include "sbc/pattern.h"

#include <stdio.h>
#include <string.h>

#include "sbc/text.h"

#define DEPTH_MAX  16
#define BOUND_MAX  64
#define BOUNDS_SUM 256 /* of all {n,m} together */

/** What is known of the atom before a quantifier. */
struct scan {
	const char *at;
	bool repeats[DEPTH_MAX + 1]; /* a group holds a repetition */
	unsigned depth;
	unsigned n_groups;
	unsigned bounds;
	bool atom;         /* something to quantify stands before */
	bool atom_repeats; /* and it holds a repetition */
};

static const char *skip_brackets(const char *s)
{
	s++;
	if (*s == '^')
		s++;
	if (*s == ']')
		s++;
	while (*s && *s != ']') {
		if (s[0] == '[' &&
			(s[1] == ':' || s[1] == '.' || s[1] == '=')) {
			char kind = s[1];

			s += 2;
			while (*s && !(s[0] == kind && s[1] == ']'))
				s++;
			if (*s)
				s++;
		}
		if (*s)
			s++;
	}
	return *s ? s : NULL;
}

/** "{2}", "{2,}", "{2,5}"; leaves at on the closing brace. */
static const char *scan_bounds(struct scan *scan)
{
	const char *end = strchr(scan->at, '}');
	struct span rest, low;
	uint64_t from = 0, to = 0;

	if (!end)
		return "a bound without its end";
	rest = (struct span){scan->at + 1, (size_t)(end - scan->at - 1)};
	if (!span_next(&rest, ',', &low) || span_number(low, BOUND_MAX, &from))
		return "a bound that is no number up to 64";
	to = from;
	if (rest.len && span_number(rest, BOUND_MAX, &to))
		return "a bound that is no number up to 64";
	scan->bounds += (unsigned)(to > from ? to : from);
	if (scan->bounds > BOUNDS_SUM)
		return "too many bounded repetitions";
	scan->at = end;
	return NULL;
}

static const char *scan_quantifier(struct scan *scan)
{
	bool once = *scan->at == '?';
	const char *why = NULL;

	if (!scan->atom)
		return "a repetition of nothing";
	if (*scan->at == '{')
		why = scan_bounds(scan);
	if (why)
		return why;
	if (scan->atom_repeats && !once)
		return "a repetition inside a repetition";
	/* Also "a?" counts inside a group: (a?)* is as bad as (a*)*. */
	scan->repeats[scan->depth] = true;
	scan->atom = false;
	return NULL;
}

static const char *scan_group(struct scan *scan)
{
	if (*scan->at == '(') {
		if (scan->depth == DEPTH_MAX)
			return "groups nested too deeply";
		scan->n_groups++;
		scan->repeats[++scan->depth] = false;
		scan->atom = false;
		return NULL;
	}
	if (!scan->depth)
		return "a group that ends and never began";
	scan->atom_repeats = scan->repeats[scan->depth--];
	scan->repeats[scan->depth] |= scan->atom_repeats;
	scan->atom = true;
	return NULL;
}

static const char *scan_char(struct scan *scan)
{
	switch (*scan->at) {
	case '(':
	case ')':
		return scan_group(scan);
	case '*':
	case '+':
	case '?':
	case '{':
		return scan_quantifier(scan);
	case '|':
	case '^':
	case '$':
		scan->atom = false;
		return NULL;
	case '[':
		scan->at = skip_brackets(scan->at);
		if (!scan->at)
			return "a bracket without its end";
		break;
	case '\\':
		scan->at++;
		if (!*scan->at || text_is_alnum(*scan->at))
			return "a backslash before a letter or digit";
		if (strchr("<>`'", *scan->at)) /* GNU's own anchors */
			return "a backslash before a plain character";
		break;
	default:
		break;
	}
	scan->atom = true;
	scan->atom_repeats = false;
	return NULL;
}

static const char *scan_pattern(const char *text, unsigned *n_groups)
{
	struct scan scan = {.at = text};
	const char *why = NULL;
	size_t len = strnlen(text, PATTERN_LEN_MAX + 1);

	if (!len)
		return "an empty expression";
	if (len > PATTERN_LEN_MAX)
		return "more than 256 characters";
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return "a character that is not printable ASCII";
	for (; *scan.at && !why; scan.at++) {
		why = scan_char(&scan);
		if (why)
			return why;
	}
	*n_groups = scan.n_groups;
	return NULL;
}

int pattern_compile(
	const char *text, regex_t *regex_out, unsigned *n_groups_out, char *why)
{
	unsigned n_groups = 0;
	const char *problem = scan_pattern(text, &n_groups);
	int err;

	if (problem) {
		snprintf(why, PATTERN_WHY_SIZE, "%s", problem);
		return ERR_INVALID;
	}
	err = regcomp(regex_out, text, REG_EXTENDED);
	if (err) {
		regerror(err, NULL, why, PATTERN_WHY_SIZE);
		return ERR_INVALID;
	}
	*n_groups_out = n_groups;
	return 0;
}

bool pattern_matches(const regex_t *regex, const char *subject, size_t n_groups,
	regmatch_t *groups)
{
	regmatch_t whole[1];

	/* The leftmost longest match is the whole subject if any match is. */
	if (!n_groups) {
		groups = whole;
		n_groups = 1;
	}
	return !regexec(regex, subject, n_groups, groups, 0) &&
	       groups[0].rm_so == 0 &&
	       (size_t)groups[0].rm_eo == strlen(subject);
}
