// SPDX-License-Identifier: Apache-2.0
/*
 * THE table of event packages, message-summary bodies, and what the bodies in
 * XML share: how a name, a URI and a text for people are written anew.
 *
 * Decides: what of a body is left. Does not decide who may subscribe (event.c)
 * or what becomes of a NOTIFY whose body is refused (event_notify.c).
 *
 * RFC 3842 5 (message-summary), RFC 6665 8.2.1 (Event), 4235 4.1.1, 3863.
 */
#include "sbc/event_body.h"

#include <string.h>

#include "common/table.h"
#include "sbc/event_xml.h"
#include "sbc/hdr_part.h"
#include "sbc/utf8.h"

#define WORDS_MAX   64 /* characters */
#define COUNT_MAX   UINT32_MAX
#define CLASSES_MAX 6

static enum reason rebuild_summary(
	const struct event_body *b, struct span in, struct writer *out);

static const struct event_package packages[] = {
	{"message-summary", "application/simple-message-summary", true, true,
		rebuild_summary},
	{"dialog", "application/dialog-info+xml", true, false,
		event_dialog_rebuild},
	{"presence", "application/pidf+xml", true, false,
		event_presence_rebuild},
	{"check-sync", NULL, true, true, NULL},
};
#define N_PACKAGES (sizeof(packages) / sizeof(packages[0]))

const struct event_package *event_package_find(const char *name)
{
	for (size_t i = 0; name && i < N_PACKAGES; i++)
		if (strcmp(packages[i].name, name) == 0)
			return &packages[i];
	return NULL;
}

bool event_realm_has(const struct realm *realm, const struct event_package *p)
{
	for (size_t i = 0; i < realm->row->n_event_packages; i++)
		if (strcmp(realm->row->event_packages[i], p->name) == 0)
			return true;
	return false;
}

const char *event_realm_list(const struct realm *realm, su_home_t *home)
{
	char text[128];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	for (size_t i = 0; i < N_PACKAGES; i++)
		if (event_realm_has(realm, &packages[i]))
			writer_add(&w, "%s%s", w.len ? ", " : "",
				packages[i].name);
	return w.len && !w.over ? su_strdup(home, text) : "";
}

// ------------------------------------------------------- names, URIs, words

void event_id_make(const struct event_ids *ids, const char *kind,
	const char *text, char out[EVENT_ID_SIZE])
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t inner = table_siphash(ids->key, text, strlen(text));
	uint64_t hash = 0;
	char block[64];
	struct writer w;

	for (unsigned i = 0; i < EVENT_ID_SIZE - 1; i++) {
		if (i % 13 == 0) { /* 64 bits are used up */
			writer_init(&w, block, sizeof(block));
			writer_add(&w, "%u %s %016llx", i, kind,
				(unsigned long long)inner);
			hash = table_siphash(ids->key, block, w.len);
		}
		out[i] = digits[hash & 31];
		hash >>= 5;
	}
	out[EVENT_ID_SIZE - 1] = '\0';
}

const char *event_uri(const struct event_body *b, struct span uri)
{
	char text[256], clean[ROUTE_NUMBER_SIZE], number[ROUTE_NUMBER_SIZE];
	struct span user;
	const char *escaped;

	if (!hdr_uri_user(uri, &user) || span_copy(user, text, sizeof(text)) ||
		number_clean(text, clean))
		return NULL;
	/* A user name like a host name would tell of one. */
	if (strchr(clean, '.') || text_equal(clean, "anonymous"))
		return NULL;
	if (!b->trunk ||
		number_apply(b->trunk, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER,
			clean, number))
		memcpy(number, clean, sizeof(number));
	escaped = hdr_user(number, b->home);
	return escaped ? su_sprintf(b->home, "sip:%s@%s", escaped, b->domain)
		       : NULL;
}

const char *event_words(const struct event_body *b, const char *text)
{
	size_t len = text ? strlen(text) : 0, at = 0, n = 0;
	uint32_t c = 0;

	while (at < len) {
		int step = utf8_decode(text + at, len - at, &c);

		if (step < 0 || ++n > WORDS_MAX || !utf8_is_visible(c))
			return "";
		if (c < 0x80 && !text_is_alnum((char)c) &&
			!strchr(" -_'()!?,&+*#", (int)c))
			return "";
		at += (size_t)step;
	}
	return n ? su_strdup(b->home, text) : "";
}

void event_xml_text(struct writer *w, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			writer_add(w, "&lt;");
			break;
		case '>':
			writer_add(w, "&gt;");
			break;
		case '&':
			writer_add(w, "&amp;");
			break;
		case '"':
			writer_add(w, "&quot;");
			break;
		case '\'':
			writer_add(w, "&apos;");
			break;
		default:
			writer_add_char(w, *text);
		}
}

void event_xml_attr(struct writer *w, const char *name, const char *value)
{
	writer_add(w, " %s=\"", name);
	event_xml_text(w, value);
	writer_add_char(w, '"');
}

enum reason event_xml_root(const struct event_body *b, struct span in,
	const char *ns, const char *name, const struct xml_node **root_out)
{
	struct xml_node *root;
	uint64_t salt;
	int err;

	memcpy(&salt, b->ids->key, sizeof(salt));
	err = xml_read(b->home, in, salt, &root);
	if (err != 0)
		return err == ERR_TOO_BIG ? REASON_EVENT_BODY_TOO_BIG
		       : err == ERR_NOMEM ? REASON_CALL_INTERNAL
					  : REASON_EVENT_BODY;
	if (!xml_is(root, ns, name))
		return REASON_EVENT_BODY;
	*root_out = root;
	return REASON_EVENT_OK;
}

const char *event_one_of(
	struct span s, const char *const *words, size_t n_words)
{
	for (size_t i = 0; i < n_words; i++)
		if (span_is(s, words[i]))
			return words[i];
	return NULL;
}

// ---------------------------------------------------------- message-summary

/** "new/old" with optional "(urgent/urgent)" behind it. */
static bool read_counts(struct span s, uint64_t n[4], bool *urgent)
{
	struct span part, fresh, old, both[2];

	s = span_trim(s);
	*urgent = s.len && memchr(s.at, '(', s.len);
	if (!span_next(&s, '(', &part))
		return false;
	both[0] = span_trim(part);
	if (*urgent) {
		s = span_trim(s);
		if (!s.len || s.at[s.len - 1] != ')')
			return false;
		s.len--;
		both[1] = span_trim(s);
	}
	for (unsigned i = 0; i < (*urgent ? 2u : 1u); i++) {
		if (!span_next(&both[i], '/', &fresh) ||
			!span_next(&both[i], '/', &old) || both[i].at ||
			span_number(span_trim(fresh), COUNT_MAX, &n[2 * i]) ||
			span_number(span_trim(old), COUNT_MAX, &n[2 * i + 1]))
			return false;
	}
	return true;
}

static bool add_class(struct writer *out, struct span name, struct span value)
{
	static const char *const classes[] = {"Voice-Message", "Fax-Message",
		"Pager-Message", "Multimedia-Message", "Text-Message", "None"};
	uint64_t n[4] = {0};
	bool urgent;

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (!span_is_word(name, classes[i]))
			continue;
		if (!read_counts(value, n, &urgent))
			return false;
		writer_add(out, "%s: %llu/%llu", classes[i],
			(unsigned long long)n[0], (unsigned long long)n[1]);
		if (urgent)
			writer_add(out, " (%llu/%llu)",
				(unsigned long long)n[2],
				(unsigned long long)n[3]);
		writer_add(out, "\r\n");
		break;
	}
	return true;
}

/** The lines up to the first empty one; what follows tells of single messages
 * (their senders, subjects), which nobody shows and nobody else has to know. */
static enum reason rebuild_summary(
	const struct event_body *b, struct span in, struct writer *out)
{
	struct span line, name;
	unsigned n_classes = 0;
	bool waiting = false;

	while (in.len && span_next(&in, '\n', &line)) {
		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		if (!line.len)
			break;
		if (!memchr(line.at, ':', line.len) ||
			!span_next(&line, ':', &name))
			return REASON_EVENT_BODY;
		name = span_trim(name);
		line = span_trim(line);
		if (span_is_word(name, "Messages-Waiting")) {
			if (waiting || (!span_is_word(line, "yes") &&
					       !span_is_word(line, "no")))
				return REASON_EVENT_BODY;
			waiting = true;
			writer_add(out, "Messages-Waiting: %s\r\n",
				span_is_word(line, "yes") ? "yes" : "no");
			continue;
		}
		if (!waiting)
			return REASON_EVENT_BODY; /* it comes first */
		if (span_is_word(name, "Message-Account")) {
			const char *uri = event_uri(b, line);

			if (uri)
				writer_add(out, "Message-Account: %s\r\n", uri);
			continue;
		}
		if (++n_classes > 4 * CLASSES_MAX ||
			!add_class(out, name, line))
			return REASON_EVENT_BODY;
	}
	return waiting ? REASON_EVENT_OK : REASON_EVENT_BODY;
}

// --------------------------------------------------------------------- all

enum reason event_body_rebuild(const struct event_package *package,
	const struct event_body *b, const char *type, struct span in,
	const char **out)
{
	struct writer w;
	enum reason why;
	char *text;

	*out = NULL;
	/* A package without bodies is carried without one. */
	if (!in.len || !package->rebuild)
		return REASON_EVENT_OK;
	if (in.len > EVENT_BODY_MAX)
		return REASON_EVENT_BODY_TOO_BIG;
	if (!type || !text_equal(type, package->type))
		return REASON_ADMIT_CONTENT_TYPE;
	if (memchr(in.at, '\0', in.len))
		return REASON_EVENT_BODY;
	text = su_alloc(b->home, EVENT_BODY_MAX);
	if (!text)
		return REASON_CALL_INTERNAL;
	writer_init(&w, text, EVENT_BODY_MAX);
	why = package->rebuild(b, in, &w);
	if (why != REASON_EVENT_OK)
		return why;
	if (w.over)
		return REASON_EVENT_BODY_TOO_BIG;
	*out = text;
	return REASON_EVENT_OK;
}
