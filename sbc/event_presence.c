// SPDX-License-Identifier: Apache-2.0
/*
 * pidf: is somebody there? Of each tuple its basic state, its contact (as a URI
 * of ours), notes and the time are kept, and of the person what it is doing, in
 * the words of RFC 4480. Everything else is dropped; names of elements are
 * other ones.
 *
 * RFC 3863 4 (presence, tuple), 4479 (person), 4480 3.2 (activities).
 */
#include <string.h>

#include "sbc/event_body.h"
#include "sbc/event_xml.h"
#include "sbc/hdr_part.h"

#define NS           "urn:ietf:params:xml:ns:pidf"
#define NS_MODEL     "urn:ietf:params:xml:ns:pidf:data-model"
#define NS_RPID      "urn:ietf:params:xml:ns:pidf:rpid"
#define TUPLES_MAX   16
#define NOTES_MAX    4
/* Digits of a fraction of a second. */
#define FRACTION_MAX 9

/** An ID begins with a letter. */
static void add_id(const struct event_body *b, const struct xml_node *n,
	struct writer *out)
{
	const char *text = xml_attr(n, "id");
	char id[EVENT_ID_SIZE];

	event_id_make(b->ids, "tuple", text ? text : "", id);
	writer_add(out, " id=\"t%s\"", id);
}

static void add_notes(const struct event_body *b, const struct xml_node *parent,
	const char *ns, const char *tag, struct writer *out)
{
	unsigned n_notes = 0;

	for (const struct xml_node *n = parent->first; n && n_notes < NOTES_MAX;
		n = n->next) {
		char text[XML_TEXT_MAX + 1];
		const char *words;

		if (!xml_is(n, ns, "note") ||
			span_copy(xml_text(n), text, sizeof(text)) != 0)
			continue;
		words = event_words(b, text);
		if (!*words)
			continue;
		writer_add(out, "<%s>", tag);
		event_xml_text(out, words);
		writer_add(out, "</%s>\n", tag);
		n_notes++;
	}
}

/** Takes what has the form of the pattern, in which 0 is any digit, off. */
static bool skip_form(struct span *s, const char *form)
{
	size_t n = strlen(form);

	if (s->len < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (form[i] == '0' ? !text_is_digit(s->at[i])
				   : s->at[i] != form[i])
			return false;
	*s = (struct span){s->at + n, s->len - n};
	return true;
}

/** date-time of RFC 3339 section 5.6; a looser check lets addresses pass. */
static bool is_time(struct span s)
{
	if (!skip_form(&s, "0000-00-00T00:00:00"))
		return false;
	if (skip_form(&s, ".0"))
		for (unsigned n = 1; n < FRACTION_MAX; n++)
			if (!skip_form(&s, "0"))
				break;
	return span_is(s, "Z") || (skip_form(&s, "+00:00") && s.len == 0) ||
	       (skip_form(&s, "-00:00") && s.len == 0);
}

static void add_time(const struct xml_node *n, struct writer *out)
{
	struct span s = n ? xml_text(n) : (struct span){"", 0};

	if (!is_time(s))
		return;
	writer_add(out, "<timestamp>");
	writer_add_span(out, s);
	writer_add(out, "</timestamp>\n");
}

static void add_contact(const struct event_body *b, const struct xml_node *n,
	struct writer *out)
{
	const char *uri = n ? event_uri(b, xml_text(n)) : NULL;
	struct span q;

	if (!uri)
		return;
	q = span_of(xml_attr(n, "priority"));
	writer_add(out, "<contact");
	if (q.len == 1 && (q.at[0] == '0' || q.at[0] == '1'))
		writer_add(out, " priority=\"%c\"", q.at[0]);
	else if (q.len >= 3 && q.len <= 5 && q.at[0] == '0' && q.at[1] == '.' &&
		 text_is_digit(q.at[2]))
		writer_add(out, " priority=\"0.%c\"", q.at[2]);
	writer_add_char(out, '>');
	event_xml_text(out, uri);
	writer_add(out, "</contact>\n");
}

static bool add_tuple(const struct event_body *b, const struct xml_node *n,
	struct writer *out)
{
	static const char *const states[] = {"open", "closed"};
	const struct xml_node *status = xml_child(n, "status");
	const struct xml_node *basic =
		status ? xml_child(status, "basic") : NULL;
	const char *word = basic ? EVENT_ONE_OF(xml_text(basic), states) : NULL;

	if (!status || (basic && !word))
		return false;
	writer_add(out, "<tuple");
	add_id(b, n, out);
	writer_add(out, ">\n<status>");
	if (basic)
		writer_add(out, "<basic>%s</basic>", word);
	writer_add(out, "</status>\n");
	add_contact(b, xml_child(n, "contact"), out);
	add_notes(b, n, NS, "note", out);
	add_time(xml_child(n, "timestamp"), out);
	writer_add(out, "</tuple>\n");
	return true;
}

static void add_person(const struct event_body *b, const struct xml_node *n,
	struct writer *out)
{
	static const char *const words[] = {"appointment", "away", "breakfast",
		"busy", "dinner", "holiday", "in-transit", "looking-for-work",
		"lunch", "meal", "meeting", "on-the-phone", "performance",
		"permanent-absence", "playing", "presentation", "shopping",
		"sleeping", "spectator", "steering", "travel", "tv", "unknown",
		"vacation", "working", "worship"};

	writer_add(out, "<dm:person");
	add_id(b, n, out);
	writer_add(out, ">\n");
	for (const struct xml_node *a = n->first; a; a = a->next) {
		if (!xml_is(a, NS_RPID, "activities"))
			continue;
		writer_add(out, "<rpid:activities>");
		for (const struct xml_node *w = a->first; w; w = w->next)
			for (size_t i = 0; i < sizeof(words) / sizeof(words[0]);
				i++)
				if (xml_is(w, NS_RPID, words[i]))
					writer_add(out, "<rpid:%s/>", words[i]);
		writer_add(out, "</rpid:activities>\n");
		break;
	}
	add_notes(b, n, NS_MODEL, "dm:note", out);
	writer_add(out, "</dm:person>\n");
}

enum reason event_presence_rebuild(
	const struct event_body *b, struct span in, struct writer *out)
{
	const struct xml_node *root;
	enum reason why = event_xml_root(b, in, NS, "presence", &root);
	unsigned n_tuples = 0;

	if (why != REASON_EVENT_OK)
		return why;
	writer_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			"<presence xmlns=\"" NS "\" xmlns:dm=\"" NS_MODEL
			"\" xmlns:rpid=\"" NS_RPID "\"");
	event_xml_attr(out, "entity", b->entity);
	writer_add(out, ">\n");
	/* The order of the schema: tuples, notes, and what extends it. */
	for (const struct xml_node *n = root->first; n; n = n->next) {
		if (!xml_is(n, NS, "tuple"))
			continue;
		if (++n_tuples > TUPLES_MAX)
			return REASON_EVENT_BODY_TOO_BIG;
		if (!add_tuple(b, n, out))
			return REASON_EVENT_BODY;
	}
	add_notes(b, root, NS, "note", out);
	for (const struct xml_node *n = root->first; n; n = n->next)
		if (xml_is(n, NS_MODEL, "person")) {
			add_person(b, n, out);
			break;
		}
	writer_add(out, "</presence>\n");
	return REASON_EVENT_OK;
}
