// SPDX-License-Identifier: Apache-2.0
/*
 * History-Info (RFC 7044): who was called before, across the border where both
 * trunks' rules let it. Each entry is written anew: a telephone number in the
 * receiving side's form and our domain, or, where the entry asks for privacy or
 * is no number, nobody, so that the indexes stay a whole chain (RFC 7044
 * 10.1.2); its cause, and the index. Called through THE table (hdr_table.c).
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "sbc/hdr_part.h"

#define ENTRIES_MAX 10
#define INDEX_MAX   32
#define NOBODY      "sip:anonymous@anonymous.invalid"

/** "1.2.1": digits with single dots between. */
static bool is_index(struct span s)
{
	bool digit = false;

	for (size_t i = 0; i < s.len; i++) {
		if (!digit && !text_is_digit(s.at[i]))
			return false;
		digit = text_is_digit(s.at[i]);
		if (!digit && s.at[i] != '.')
			return false;
	}
	return digit && s.len <= INDEX_MAX;
}

/** Looks for word, ignoring case, in the headers of a URI. */
static bool find(struct span s, const char *word, struct span *behind_out)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= s.len; i++) {
		if (!span_is_word((struct span){s.at + i, len}, word))
			continue;
		*behind_out = (struct span){s.at + i + len, s.len - i - len};
		return true;
	}
	return false;
}

/** The cause that the entry's URI carries in its headers, still escaped:
 * Reason=SIP%3Bcause%3D302. 0 = none. */
static unsigned cause_of(struct span headers)
{
	struct span rest;
	uint64_t number = 0;
	size_t n = 0;

	if (!find(headers, "cause", &rest) ||
		(!span_skip(&rest, "%3D") && !span_skip(&rest, "%3d") &&
			!span_skip(&rest, "=")))
		return 0;
	while (n < rest.len && text_is_digit(rest.at[n]))
		n++;
	return n && !span_number((struct span){rest.at, n}, 699, &number)
		       ? (unsigned)number
		       : 0;
}

/** RFC 7044 10.1.1: a whole message, or one entry. */
static bool is_private(const sip_t *sip, struct span headers)
{
	static const char *const words[] = {"history", "header", "full"};
	const msg_param_t *value =
		sip->sip_privacy ? sip->sip_privacy->priv_values : NULL;
	struct span rest;

	for (; value && *value; value++)
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (text_equal(*value, words[i]))
				return true;
	return find(headers, "Privacy=history", &rest) ||
	       find(headers, "Privacy%3Dhistory", &rest);
}

static const char *target_of(
	const struct hdr_carry *c, struct span uri, su_home_t *home)
{
	struct span headers = {uri.at, 0}, bare = uri;
	char number[ROUTE_NUMBER_SIZE], reason[48] = "";
	const char *mark = uri.len ? memchr(uri.at, '?', uri.len) : NULL;
	unsigned cause;
	struct writer w;

	if (mark) {
		bare.len = (size_t)(mark - uri.at);
		headers = (struct span){mark + 1, uri.len - bare.len - 1};
	}
	cause = cause_of(headers);
	writer_init(&w, reason, sizeof(reason));
	if (cause >= 300)
		writer_add(&w, "?Reason=SIP%%3Bcause%%3D%u", cause);
	else if (cause && cause <= 127)
		writer_add(&w, "?Reason=Q.850%%3Bcause%%3D%u", cause);
	if (is_private(c->in, headers) || !hdr_carry_number(c, bare, number))
		return su_sprintf(home, "<" NOBODY "%s>", reason);
	return su_sprintf(home, "<sip:%s@%s%s%s>", number,
		hdr_domain(c->to, home), hdr_user_phone(c->to->trunk, number),
		reason);
}

void hdr_carry_history(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const kinds[] = {"rc", "mp", "np"};
	const sip_unknown_t *at = NULL;
	const char *value;
	unsigned n = 0;

	while ((value = hdr_unknown(c->in, name, &at)) != NULL) {
		struct span rest = span_of(value), index, text;
		struct hdr_addr addr;

		while (n < ENTRIES_MAX && hdr_addr_next(&rest, &addr)) {
			const char *kind = NULL, *target;

			if (!hdr_param(addr.params, "index", &index) ||
				!is_index(index))
				continue;
			for (size_t i = 0; i < 3 && !kind; i++)
				if (hdr_param(addr.params, kinds[i], &text) &&
					is_index(text))
					kind = kinds[i];
			target = target_of(c, addr.uri, list->home);
			hdr_list_add(list, name,
				su_sprintf(list->home,
					"%s;index=%.*s%s%s%s%.*s",
					target ? target : "<" NOBODY ">",
					(int)index.len, index.at,
					kind ? ";" : "", kind ? kind : "",
					kind ? "=" : "",
					kind ? (int)text.len : 0,
					kind ? text.at : ""));
			n++;
		}
	}
}
