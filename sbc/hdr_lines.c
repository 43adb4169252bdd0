// SPDX-License-Identifier: Apache-2.0
/*
 * The lines of an INVITE beyond those of its dialog: identity, what THE table
 * carries, and what the administrator's rules change, in this order; and the
 * few lines of a failure that may cross back. Decides nothing about single
 * headers: that stands in hdr_table.c and hdr_carry.c.
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "sbc/hdr_part.h"

/** The trusted line of who calls (RFC 3325), where the trunk wants one. */
static void add_identity(struct hdr_list *list, const struct hdr_side *to,
	const struct hdr_identity *caller)
{
	const char *name = "P-Asserted-Identity";

	if (caller->hide)
		hdr_list_add(list, "Privacy", "id");
	if (!to->trunk || !*caller->number)
		return;
	switch (to->trunk->row->caller_to) {
	case GH__CALLER_FROM__CALLER_P_PREFERRED:
		name = "P-Preferred-Identity";
		break;
	case GH__CALLER_FROM__CALLER_P_ASSERTED:
		break;
	default:
		return;
	}
	hdr_list_add(list, name,
		hdr_name_addr(to->trunk, caller->hide ? NULL : caller->display,
			caller->number, hdr_domain(to, list->home),
			list->home));
}

/** Both trunks of a call have to agree where the table leaves it to them. */
static bool policy_allows(const struct hdr_row *row, const struct hdr_carry *c)
{
	return (!c->from->trunk || hdr_rule_carries(c->from->trunk->row, true,
					   row->name)) &&
	       (!c->to->trunk ||
		       hdr_rule_carries(c->to->trunk->row, false, row->name)) &&
	       (c->from->trunk || c->to->trunk);
}

static void carry_rows(const struct hdr_carry *c, struct hdr_list *list)
{
	size_t n = 0;
	const struct hdr_row *rows = hdr_table(&n);

	for (size_t i = 0; i < n; i++) {
		const struct hdr_row *row = &rows[i];

		if (!row->carry || !(row->from & 1u << c->from->kind) ||
			!(row->to & 1u << c->to->kind))
			continue;
		if (row->action == HDR_POLICY && !policy_allows(row, c))
			continue;
		row->carry(c, row->name, list);
	}
}

static void apply_rule(struct hdr_list *list, const Gh__HeaderRule *row,
	const struct hdr_rule_words *words)
{
	char value[HDR_VALUE_MAX + 512];

	if (row->action == HDR_RULE_REMOVE || row->action == HDR_RULE_SET)
		hdr_list_remove(list, row->name);
	if (row->action != HDR_RULE_ADD && row->action != HDR_RULE_SET)
		return;
	if (!hdr_rule_expand(row->value, words, value, sizeof(value)))
		hdr_list_add(list, row->name, su_strdup(list->home, value));
}

static void apply_rules(struct hdr_list *list, const struct trunk *trunk,
	bool inbound, const struct hdr_rule_words *words)
{
	for (size_t i = 0; trunk && i < trunk->row->n_header_rules; i++)
		if (!!trunk->row->header_rules[i]->inbound == inbound)
			apply_rule(list, trunk->row->header_rules[i], words);
}

const char *hdr_lines(const sip_t *in, const struct hdr_side *from,
	const struct hdr_side *to, const struct hdr_identity *caller,
	su_home_t *home)
{
	const struct hdr_carry carry = {in, from, to};
	struct hdr_list list = {.home = home};
	const struct hdr_rule_words words = {
		caller->hide ? "" : caller->number, hdr_domain(to, home)};

	add_identity(&list, to, caller);
	if (in && from)
		carry_rows(&carry, &list);
	if (from)
		apply_rules(&list, from->trunk, true, &words);
	apply_rules(&list, to->trunk, false, &words);
	return hdr_list_text(&list);
}

/** RFC 3261 20.43: the code is worth something, its text never is. */
static void add_warning(
	struct hdr_list *list, const sip_t *answer, const struct hdr_side *to)
{
	static const struct {
		unsigned code;
		const char *text;
	} warnings[] = {
		{300, "Incompatible network protocol"},
		{301, "Incompatible network address formats"},
		{302, "Incompatible transport protocol"},
		{303, "Incompatible bandwidth units"},
		{304, "Media type not available"},
		{305, "Incompatible media format"},
		{306, "Attribute not understood"},
		{307, "Session description parameter not understood"},
		{330, "Multicast not available"},
		{331, "Unicast not available"},
		{370, "Insufficient bandwidth"},
		{399, "Miscellaneous warning"},
	};
	const sip_warning_t *w = answer->sip_warning;

	for (size_t i = 0; w && i < sizeof(warnings) / sizeof(warnings[0]); i++)
		if (warnings[i].code == w->w_code)
			hdr_list_add(list, "Warning",
				su_sprintf(list->home, "%u %s \"%s\"",
					w->w_code, hdr_domain(to, list->home),
					warnings[i].text));
}

/** When the called one may be tried again; when a server may be (503) is
 * nobody's business behind us. */
static void add_retry_after(struct hdr_list *list, const sip_t *answer)
{
	static const int statuses[] = {404, 413, 480, 486, 600, 603};
	const sip_retry_after_t *af = answer->sip_retry_after;

	if (!af || !answer->sip_status || af->af_delta > 86400)
		return;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i] == answer->sip_status->st_status)
			hdr_list_add(list, "Retry-After",
				su_sprintf(list->home, "%u",
					(unsigned)af->af_delta));
}

/** What crosses of an answer that says yes, or that it rings: the few rows that
 * have a meaning there, by the same policy as in a request. The trunks change
 * places: who answers is the one that the request went to. */
static void carry_answered(const struct hdr_carry *c, struct hdr_list *list)
{
	static const char *const names[] = {
		"P-Early-Media", "User-to-User", "History-Info"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct hdr_row *row = hdr_find(names[i]);

		if (row->from & 1u << c->from->kind &&
			row->to & 1u << c->to->kind && policy_allows(row, c))
			row->carry(c, row->name, list);
	}
}

const char *hdr_answer_lines(const sip_t *answer, const struct hdr_side *from,
	const struct hdr_side *to, su_home_t *home)
{
	const struct hdr_carry carry = {answer, from, to};
	struct hdr_list list = {.home = home};

	if (answer->sip_status && answer->sip_status->st_status < 300) {
		carry_answered(&carry, &list);
		return hdr_list_text(&list);
	}
	hdr_carry_reason(&carry, "Reason", &list);
	add_warning(&list, answer, to);
	add_retry_after(&list, answer);
	return hdr_list_text(&list);
}
