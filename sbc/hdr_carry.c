// SPDX-License-Identifier: Apache-2.0
/*
 * The headers that cross, each read for what it means and written anew: words
 * of a list here, numbers in a range, telephone numbers through the trunks'
 * rules, and our own host where a URI has to stand. What does not fit is left
 * out; a peer's header never makes a request fail here. Called through THE
 * table (hdr_table.c).
 *
 * RFC 5806 Diversion, 3326 Reason, 3261 20.26 Priority, 7462 Alert-Info, 5373
 * Answer-Mode, 7433 User-to-User, 5009 P-Early-Media, 8224 Identity.
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "sbc/hdr_part.h"

#define N_WORDS(list)  (sizeof(list) / sizeof((list)[0]))

#define DIVERSIONS_MAX 5
#define UUI_DIGITS_MAX 512 /* 256 octets: twice what ISDN ever had */
#define IDENTITY_MAX   4096

static const char *find_word(struct span s, const char *const *words, size_t n)
{
	s = span_trim(s);
	for (size_t i = 0; i < n; i++)
		if (span_is_word(s, words[i]))
			return words[i];
	return NULL;
}

bool hdr_carry_number(
	const struct hdr_carry *c, struct span uri, char out[ROUTE_NUMBER_SIZE])
{
	char text[256], clean[ROUTE_NUMBER_SIZE], global[ROUTE_NUMBER_SIZE];
	struct span user;

	if (!hdr_uri_user(uri, &user) || span_copy(user, text, sizeof(text)) ||
		number_clean(text, clean) ||
		number_apply(c->from->trunk,
			GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, clean, global) ||
		number_apply(c->to->trunk,
			GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER, global, out))
		return false;
	/* A name would tell the outside who is inside. */
	for (const char *s = out; *s; s++)
		if (!text_is_digit(*s) && (*s != '+' || s != out))
			return false;
	return *out && strcmp(out, "+") != 0;
}

/** Who diverted; nobody where he does not want to be shown and the other side
 * is not one that we tell identities (RFC 5806 4.1, RFC 3325). */
static const char *diverting(const struct hdr_carry *c, const char *number,
	const char *privacy, struct hdr_list *list)
{
	bool hide = privacy &&
		    (!strcmp(privacy, "full") || !strcmp(privacy, "uri"));
	const char *uri;

	if (hide && c->to->kind == SIDE_TRUNK && c->to->trunk &&
		c->to->trunk->row->caller_to == GH__CALLER_FROM__CALLER_FROM)
		return "sip:anonymous@anonymous.invalid";
	uri = su_sprintf(list->home, "sip:%s@%s%s", number,
		hdr_domain(c->to, list->home),
		hdr_user_phone(c->to->trunk, number));
	return uri ? uri : "sip:anonymous@anonymous.invalid";
}

void hdr_carry_diversion(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const reasons[] = {"unknown", "user-busy",
		"no-answer", "unavailable", "unconditional", "time-of-day",
		"do-not-disturb", "deflection", "follow-me", "out-of-service",
		"away"};
	static const char *const privacies[] = {"full", "name", "uri", "off"};
	const sip_unknown_t *at = NULL;
	const char *value;
	unsigned n = 0;

	while ((value = hdr_unknown(c->in, name, &at)) != NULL) {
		struct span rest = span_of(value), text;
		struct hdr_addr addr;

		while (n < DIVERSIONS_MAX && hdr_addr_next(&rest, &addr)) {
			char number[ROUTE_NUMBER_SIZE];
			const char *why = NULL, *privacy = NULL;

			if (hdr_param(addr.params, "reason", &text))
				why = find_word(
					text, reasons, N_WORDS(reasons));
			if (hdr_param(addr.params, "privacy", &text))
				privacy = find_word(
					text, privacies, N_WORDS(privacies));
			if (!hdr_carry_number(c, addr.uri, number))
				continue;
			hdr_list_add(list, name,
				su_sprintf(list->home, "<%s>;reason=%s%s%s",
					diverting(c, number, privacy, list),
					why ? why : "unknown",
					privacy ? ";privacy=" : "",
					privacy ? privacy : ""));
			n++;
		}
	}
}

void hdr_carry_reason(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	const sip_reason_t *re = c->in->sip_reason;

	for (unsigned n = 0; re && n < 4; re = re->re_next, n++) {
		struct span cause = span_trim(span_of(re->re_cause));
		bool q850 =
			re->re_protocol && text_equal(re->re_protocol, "Q.850");
		uint64_t number = 0;

		if (!re->re_protocol || !re->re_cause ||
			(!q850 && !text_equal(re->re_protocol, "SIP")))
			continue;
		if (span_number(cause, q850 ? 127 : 699, &number) ||
			(!q850 && number < 200))
			continue;
		hdr_list_add(list, name,
			su_sprintf(list->home, "%s;cause=%u",
				q850 ? "Q.850" : "SIP", (unsigned)number));
	}
}

void hdr_carry_priority(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const words[] = {
		"emergency", "urgent", "normal", "non-urgent"};
	const sip_priority_t *priority = c->in->sip_priority;

	if (priority && priority->g_string)
		hdr_list_add(list, name,
			find_word(span_of(priority->g_string), words,
				N_WORDS(words)));
}

/** Looks for one of the ring names phones know, wherever it stands. */
static const char *find_ring(struct span value, su_home_t *home)
{
	static const char prefix[] = "bellcore-dr";
	const size_t len = sizeof(prefix) - 1;

	for (size_t i = 0; i + len < value.len; i++) {
		struct span part = {value.at + i, len};
		char digit = value.at[i + len];

		if (span_is_word(part, prefix) && digit >= '1' && digit <= '8')
			return su_sprintf(home, "Bellcore-dr%c", digit);
	}
	return NULL;
}

void hdr_carry_alert_info(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const infos[] = {"alert-autoanswer",
		"alert-internal", "alert-external", "alert-group",
		"ring-answer", "auto-answer", "intercom"};
	static const char *const urns[] = {"urn:alert:source:internal",
		"urn:alert:source:external", "urn:alert:service:call-waiting",
		"urn:alert:service:recall:callback", "urn:alert:priority:high",
		"urn:alert:priority:low", "urn:alert:duration:short"};
	const sip_unknown_t *at = NULL;
	const char *value = hdr_unknown(c->in, name, &at), *word, *host;
	struct span rest = span_of(value), text, delay;
	struct hdr_addr addr;
	uint64_t seconds = 0;

	if (!value || !hdr_addr_next(&rest, &addr))
		return;
	host = hdr_domain(c->to, list->home);
	word = find_word(addr.uri, urns, N_WORDS(urns));
	if (word) {
		hdr_list_add(list, name, su_sprintf(list->home, "<%s>", word));
		return;
	}
	word = hdr_param(addr.params, "info", &text)
		       ? find_word(text, infos, N_WORDS(infos))
		       : NULL;
	if (word) {
		if (!hdr_param(addr.params, "delay", &delay) ||
			span_number(delay, 60, &seconds))
			seconds = 0;
		hdr_list_add(list, name,
			su_sprintf(list->home, "<http://%s>;info=%s;delay=%u",
				host, word, (unsigned)seconds));
		return;
	}
	word = find_ring(span_of(value), list->home);
	if (word)
		hdr_list_add(list, name,
			su_sprintf(list->home, "<http://%s/%s>", host, word));
}

void hdr_carry_call_info(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	const sip_call_info_t *ci = c->in->sip_call_info;

	for (unsigned n = 0; ci && n < 8; ci = ci->ci_next, n++) {
		const msg_param_t *param = ci->ci_params;
		uint64_t seconds = 0;

		for (; param && *param; param++) {
			struct span s = span_of(*param), key;

			if (!span_next(&s, '=', &key) ||
				!span_is_word(span_trim(key), "answer-after") ||
				span_number(span_trim(s), 60, &seconds))
				continue;
			hdr_list_add(list, name,
				su_sprintf(list->home,
					"<sip:%s>;answer-after=%u",
					hdr_domain(c->to, list->home),
					(unsigned)seconds));
			return;
		}
	}
}

void hdr_carry_answer_mode(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const words[] = {"Auto", "Manual"};
	const sip_unknown_t *at = NULL;
	const char *value = hdr_unknown(c->in, name, &at);
	struct span rest = span_of(value), mode;

	if (value && span_next(&rest, ';', &mode))
		hdr_list_add(
			list, name, find_word(mode, words, N_WORDS(words)));
}

void hdr_carry_user_to_user(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const purposes[] = {"isdn-uui", "isdn-network"};
	static const char *const contents[] = {"isdn-uui"};
	const sip_unknown_t *at = NULL;
	const char *value = hdr_unknown(c->in, name, &at);
	struct span rest = span_of(value), data, text;
	const char *purpose = NULL, *content = NULL;

	if (!value || !span_next(&rest, ';', &data))
		return;
	data = span_trim(data);
	if (!data.len || data.len > UUI_DIGITS_MAX || data.len % 2)
		return;
	for (size_t i = 0; i < data.len; i++)
		if (text_hex(data.at[i]) < 0)
			return;
	if (hdr_param(rest, "encoding", &text) && !span_is_word(text, "hex"))
		return;
	if (hdr_param(rest, "purpose", &text))
		purpose = find_word(text, purposes, N_WORDS(purposes));
	if (hdr_param(rest, "content", &text))
		content = find_word(text, contents, N_WORDS(contents));
	hdr_list_add(list, name,
		su_sprintf(list->home, "%.*s;encoding=hex%s%s%s%s",
			(int)data.len, data.at, purpose ? ";purpose=" : "",
			purpose ? purpose : "", content ? ";content=" : "",
			content ? content : ""));
}

void hdr_carry_early_media(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const words[] = {"supported", "sendrecv", "sendonly",
		"recvonly", "inactive", "gated"};
	const sip_unknown_t *at = NULL;
	const char *value = hdr_unknown(c->in, name, &at), *word;
	struct span rest = span_of(value), item;
	char text[128];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	while (value && span_next(&rest, ',', &item)) {
		word = find_word(item, words, N_WORDS(words));
		if (word)
			writer_add(&w, "%s%s", w.len ? ", " : "", word);
	}
	if (w.len && !w.over)
		hdr_list_add(list, name, su_strdup(list->home, text));
}

static bool is_base64url(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!text_is_alnum(s.at[i]) && s.at[i] != '-' && s.at[i] != '_')
			return false;
	return s.len > 0;
}

/** Three parts of base64url (RFC 7515), or "..signature" (RFC 8225 7). */
static bool is_token(struct span s)
{
	struct span head, claims, signature;

	return span_next(&s, '.', &head) && span_next(&s, '.', &claims) &&
	       span_next(&s, '.', &signature) && !s.at &&
	       is_base64url(signature) &&
	       ((!head.len && !claims.len) ||
		       (is_base64url(head) && is_base64url(claims)));
}

/** Where the certificate is: only what a public https address looks like. */
static bool is_info(struct span s)
{
	if (s.len < 3 || s.at[0] != '<' || s.at[s.len - 1] != '>')
		return false;
	s.at++;
	s.len -= 2;
	if (!span_skip(&s, "https://") || !s.len)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!text_is_alnum(s.at[i]) &&
			!(s.at[i] && strchr("-._~/:%", s.at[i])))
			return false;
	return true;
}

static bool stays(const struct hdr_carry *c, const char *user,
	Gh__NumberRuleScope in, Gh__NumberRuleScope out)
{
	char clean[ROUTE_NUMBER_SIZE], global[ROUTE_NUMBER_SIZE],
		sent[ROUTE_NUMBER_SIZE];

	return user && *user && !number_clean(user, clean) &&
	       !number_apply(c->from->trunk, in, clean, global) &&
	       !number_apply(c->to->trunk, out, global, sent) &&
	       !strcmp(clean, sent);
}

/** Caller and called leave as they came. */
static bool numbers_stay(const struct hdr_carry *c, su_home_t *home)
{
	struct hdr_identity caller = {0};

	return !hdr_caller_of(c->in, c->from->trunk, home, &caller) &&
	       !caller.hide && !*c->to->trunk->row->from_user &&
	       stays(c, caller.number, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER,
		       GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER) &&
	       stays(c, hdr_called_of(c->in, c->from->trunk, home),
		       GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED,
		       GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED);
}

void hdr_carry_identity(
	const struct hdr_carry *c, const char *name, struct hdr_list *list)
{
	static const char *const types[] = {"shaken", "div", "rph"};
	const sip_unknown_t *at = NULL;
	const char *value = hdr_unknown(c->in, name, &at), *type = NULL;
	struct span rest = span_of(value), token, info, text;

	/* It signs the numbers as they came in: where one side rewrites them,
	 * it would only prove that. */
	if (!c->from->trunk || !c->to->trunk || !numbers_stay(c, list->home))
		return;
	if (!value || rest.len > IDENTITY_MAX ||
		!span_next(&rest, ';', &token) || !is_token(span_trim(token)) ||
		!hdr_param(rest, "info", &info) || !is_info(info))
		return;
	if (hdr_param(rest, "alg", &text) && !span_is_word(text, "ES256"))
		return;
	if (hdr_param(rest, "ppt", &text))
		type = find_word(text, types, N_WORDS(types));
	token = span_trim(token);
	hdr_list_add(list, name,
		su_sprintf(list->home, "%.*s;info=%.*s;alg=ES256%s%s%s",
			(int)token.len, token.at, (int)info.len, info.at,
			type ? ";ppt=\"" : "", type ? type : "",
			type ? "\"" : ""));
}
