// SPDX-License-Identifier: Apache-2.0
/*
 * The limited language of header rules: add, set or remove a header by name,
 * or let one through that THE table leaves to policy. A rule never touches
 * what makes up a dialog, describes a body, carries credentials or says who is
 * calling: those rows of the table are built. Its value is one line of the
 * administrator's own, with {caller} and {host} as the only things that change.
 */
#include "sbc/hdr_rule.h"

#include <string.h>

#include "sbc/hdr_part.h"
#include "sbc/text.h"

static const char *check_value(const char *value)
{
	char out[HDR_VALUE_MAX + 1];
	const struct hdr_rule_words words = {"", ""};

	if (!text_is_plain(value, HDR_VALUE_MAX))
		return "the value is over 512 characters or not printable";
	if (hdr_rule_expand(value, &words, out, sizeof(out)))
		return "the value has a brace that is not {caller} or {host}";
	return NULL;
}

const char *hdr_rule_check(const Gh__HeaderRule *row)
{
	const struct hdr_row *known;

	if (row->action >= HDR_RULE_ACTION_COUNT)
		return "the action is not known";
	if (!text_is_token(row->name, 64))
		return "the name is no token of up to 64 characters";
	known = hdr_find(row->name);
	if (known && known->compact && text_equal(row->name, known->compact))
		return "the name is a short form";
	if (row->action == HDR_RULE_CARRY)
		return known && known->action == HDR_POLICY
			       ? NULL
			       : "this header is not left to policy";
	if (row->action == HDR_RULE_REMOVE)
		return known && known->action == HDR_BUILD && !known->removable
			       ? "this header belongs to the SBC"
			       : NULL;
	if (known && known->action == HDR_BUILD)
		return "this header belongs to the SBC";
	return check_value(row->value);
}

bool hdr_rule_carries(const Gh__Trunk *trunk, bool inbound, const char *header)
{
	for (size_t i = 0; i < trunk->n_header_rules; i++) {
		const Gh__HeaderRule *row = trunk->header_rules[i];

		if (row->action == HDR_RULE_CARRY &&
			!!row->inbound == inbound &&
			text_equal(row->name, header))
			return true;
	}
	return false;
}

int hdr_rule_expand(const char *value, const struct hdr_rule_words *words,
	char *out, size_t size)
{
	struct span rest = span_of(value);
	struct writer w;

	writer_init(&w, out, size);
	while (rest.len) {
		if (span_skip(&rest, "{caller}")) {
			writer_add_span(&w, span_of(words->caller));
		} else if (span_skip(&rest, "{host}")) {
			writer_add_span(&w, span_of(words->host));
		} else if (*rest.at == '{' || *rest.at == '}') {
			return ERR_INVALID;
		} else {
			writer_add_char(&w, *rest.at);
			rest.at++;
			rest.len--;
		}
	}
	return w.over ? ERR_TOO_BIG : 0;
}
