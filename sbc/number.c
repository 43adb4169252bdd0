// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers and user names out of the user part of a URI, and a trunk's rules
 * that rewrite them. What leaves here holds letters, digits and a few marks
 * only, so that no later text can be broken by it. Pure; called by call before
 * route_decide() and by hdr. RFC 3261 19.1.1 (escapes), RFC 3966 5.1.1 (visual
 * separators, parameters).
 */
#include <string.h>

#include "sbc/pattern.h"
#include "sbc/route.h"
#include "sbc/text.h"

/** What a user name or extension may hold beside letters and digits. */
#define NAME_MARKS   "+*#-_.!~'"
/** What a telephone number is written with; the second part is for the eye. */
#define NUMBER_CHARS "0123456789+*#"
#define SEPARATORS   "-.() "

/** Takes a tel: or sip: dress off. @return 0, or ERR_INVALID for a sip URI
 * that has no user part. */
static int undress(struct span *s)
{
	struct span rest = *s, scheme, user;

	if (!memchr(rest.at, ':', rest.len) || !span_next(&rest, ':', &scheme))
		return 0;
	if (span_is_word(scheme, "tel")) {
		*s = rest;
		return 0;
	}
	if (!span_is_word(scheme, "sip") && !span_is_word(scheme, "sips"))
		return 0;
	if (!memchr(rest.at, '@', rest.len) || !span_next(&rest, '@', &user))
		return ERR_INVALID;
	*s = user;
	return 0;
}

/** Resolves %XX. @return 0, ERR_INVALID or ERR_TOO_BIG. */
static int unescape(struct span s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == '%') {
			int high = i + 2 < s.len ? text_hex(s.at[i + 1]) : -1;
			int low = i + 2 < s.len ? text_hex(s.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return ERR_INVALID;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!c)
			return ERR_INVALID;
		if (n + 1 >= size)
			return ERR_TOO_BIG;
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

/** Only what telephone numbers are written with, and a digit or mark in it. */
static bool is_number(const char *text)
{
	bool dialled = false;

	for (const char *s = text; *s; s++) {
		if (*s == '+' && s != text)
			return false;
		if (!strchr(NUMBER_CHARS SEPARATORS, *s))
			return false;
		dialled |= text_is_digit(*s) || *s == '*' || *s == '#';
	}
	return dialled;
}

static bool is_name(const char *text)
{
	bool word = false;

	for (const char *s = text; *s; s++) {
		if (!text_is_alnum(*s) && !strchr(NAME_MARKS, *s))
			return false;
		word |= text_is_alnum(*s) || *s == '*' || *s == '#';
	}
	return word;
}

int number_clean(const char *user, char out[ROUTE_NUMBER_SIZE])
{
	struct span s = span_trim(span_of(user)), part;
	char text[4 * ROUTE_NUMBER_SIZE], clean[ROUTE_NUMBER_SIZE];
	size_t n = 0;
	int err;

	if (!s.len)
		return ERR_INVALID;
	err = undress(&s);
	if (err || !span_next(&s, ';', &part))
		return ERR_INVALID;
	err = unescape(part, text, sizeof(text));
	if (err)
		return err;
	if (!is_number(text)) {
		if (!is_name(text))
			return ERR_INVALID;
		return span_copy(span_of(text), out, ROUTE_NUMBER_SIZE);
	}
	for (const char *c = text; *c; c++) {
		if (strchr(SEPARATORS, *c))
			continue;
		if (n + 1 >= sizeof(clean))
			return ERR_TOO_BIG;
		clean[n++] = *c;
	}
	clean[n] = '\0';
	memcpy(out, clean, n + 1);
	return 0;
}

/** "\1" and its like replaced by what the groups matched. */
static void expand(struct writer *w, const char *replace, const char *number,
	const regmatch_t *groups)
{
	for (const char *s = replace; *s; s++) {
		const regmatch_t *group;

		if (*s != '\\' || !text_is_digit(s[1])) {
			writer_add_char(w, *s);
			continue;
		}
		group = &groups[*++s - '0'];
		if (group->rm_so >= 0)
			writer_add_span(w,
				(struct span){number + group->rm_so,
					(size_t)(group->rm_eo - group->rm_so)});
	}
}

static bool rule_apply(
	const struct number_rule *rule, const char *number, struct writer *w)
{
	regmatch_t groups[10];
	struct span rest = span_of(number);

	if (rule->row->regex) {
		if (!pattern_matches(&rule->regex, number, 10, groups))
			return false;
		expand(w, rule->row->replace, number, groups);
		return true;
	}
	if (!span_skip(&rest, rule->row->match))
		return false;
	writer_add_span(w, span_of(rule->row->replace));
	writer_add_span(w, rest);
	return true;
}

int number_apply(const struct trunk *t, Gh__NumberRuleScope scope,
	const char *number, char out[ROUTE_NUMBER_SIZE])
{
	bool is_caller = scope == GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER ||
			 scope == GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER;
	char text[ROUTE_NUMBER_SIZE];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	/* Nobody's number is nobody's number for every trunk. */
	if (is_caller && !*number) {
		out[0] = '\0';
		return 0;
	}
	for (size_t i = 0; t && i < t->n_rules; i++)
		if (t->rules[i].row->scope == scope &&
			rule_apply(&t->rules[i], number, &w))
			goto applied;
	writer_add_span(&w, span_of(number));
applied:
	if (w.over)
		return ERR_TOO_BIG;
	if (is_caller && !*text) {
		out[0] = '\0';
		return 0;
	}
	if (!is_number(text) && !is_name(text))
		return ERR_INVALID;
	memcpy(out, text, w.len + 1);
	return 0;
}
