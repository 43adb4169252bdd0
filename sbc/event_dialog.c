// SPDX-License-Identifier: Apache-2.0
/*
 * dialog-info: the busy lamp. Of each dialog its state, its direction, who the
 * two ends are and whether one is on hold are kept; session descriptions, route
 * sets, who was replaced or referred are not. Names of dialogs are other ones,
 * but always the same for the same, so that a phone can tell two calls apart
 * and a full state from the last one. A dialog that runs through us is called
 * as the phone at its end knows it.
 *
 * RFC 4235 4.1 (elements), 4.1.1 (version, state, entity), 4.1.6 (identity,
 * target, +sip.rendering).
 */
#include "sbc/event_body.h"
#include "sbc/event_xml.h"
#include "sbc/hdr_part.h"

#define NS          "urn:ietf:params:xml:ns:dialog-info"
#define DIALOGS_MAX 64

/** Names as the phone knows them, or made ones. */
static void add_names(const struct event_body *b, const struct xml_node *n,
	struct writer *out)
{
	const char *call_id = xml_attr(n, "call-id");
	const char *local = xml_attr(n, "local-tag");
	const char *remote = xml_attr(n, "remote-tag");
	struct event_dialog known;
	char id[EVENT_ID_SIZE];

	event_id_make(b->ids, "id", xml_attr(n, "id"), id);
	event_xml_attr(out, "id", id);
	if (!call_id)
		return;
	if (b->ids->find && local && remote &&
		b->ids->find(b->ids->ctx, call_id, local, remote, &known)) {
		event_xml_attr(out, "call-id", known.call_id);
		event_xml_attr(out, "local-tag", known.local_tag);
		event_xml_attr(out, "remote-tag", known.remote_tag);
		return;
	}
	event_id_make(b->ids, "call", call_id, id);
	event_xml_attr(out, "call-id", id);
	if (local) {
		event_id_make(b->ids, "tag", local, id);
		event_xml_attr(out, "local-tag", id);
	}
	if (remote) {
		event_id_make(b->ids, "tag", remote, id);
		event_xml_attr(out, "remote-tag", id);
	}
}

static bool add_state(const struct xml_node *dialog, struct writer *out)
{
	static const char *const states[] = {
		"trying", "proceeding", "early", "confirmed", "terminated"};
	static const char *const events[] = {"cancelled", "rejected",
		"replaced", "local-bye", "remote-bye", "error", "timeout"};
	const struct xml_node *n = xml_child(dialog, "state");
	const char *state = n ? EVENT_ONE_OF(xml_text(n), states) : NULL;
	const char *event;
	uint64_t code = 0;

	if (!state)
		return false;
	event = EVENT_ONE_OF(span_of(xml_attr(n, "event")), events);
	writer_add(out, "<state");
	if (event)
		event_xml_attr(out, "event", event);
	if (xml_attr(n, "code") &&
		!span_number(span_of(xml_attr(n, "code")), 699, &code) &&
		code >= 100)
		writer_add(out, " code=\"%u\"", (unsigned)code);
	writer_add(out, ">%s</state>\n", state);
	return true;
}

/** Phones show a call on hold by this parameter alone. */
static void add_rendering(const struct xml_node *target, struct writer *out)
{
	for (const struct xml_node *p = target->first; p; p = p->next) {
		/* The standard's name, and the one that is in use. */
		const char *word = xml_attr(p, "pval") ? "pval" : "pvalue";
		const char *name = xml_attr(p, "pname");
		const char *value = xml_attr(p, word);

		if (!xml_is(p, NS, "param") || !name || !value ||
			!text_equal(name, "+sip.rendering"))
			continue;
		if (text_equal(value, "yes") || text_equal(value, "no") ||
			text_equal(value, "unknown")) {
			writer_add(out, "<param pname=\"+sip.rendering\"");
			event_xml_attr(out, word, value);
			writer_add(out, "/>");
		}
		return;
	}
}

static void add_end(const struct event_body *b, const struct xml_node *dialog,
	const char *which, struct writer *out)
{
	const struct xml_node *end = xml_child(dialog, which);
	const struct xml_node *identity, *target;
	const char *uri;

	if (!end)
		return;
	identity = xml_child(end, "identity");
	target = xml_child(end, "target");
	writer_add(out, "<%s>\n", which);
	uri = identity ? event_uri(b, xml_text(identity)) : NULL;
	if (uri) {
		const char *display =
			event_words(b, xml_attr(identity, "display"));

		writer_add(out, "<identity");
		if (*display)
			event_xml_attr(out, "display", display);
		writer_add_char(out, '>');
		event_xml_text(out, uri);
		writer_add(out, "</identity>\n");
	}
	uri = target ? event_uri(b, span_of(xml_attr(target, "uri"))) : NULL;
	if (uri) {
		writer_add(out, "<target");
		event_xml_attr(out, "uri", uri);
		writer_add_char(out, '>');
		add_rendering(target, out);
		writer_add(out, "</target>\n");
	}
	writer_add(out, "</%s>\n", which);
}

static bool add_dialog(const struct event_body *b, const struct xml_node *n,
	struct writer *out)
{
	static const char *const directions[] = {"initiator", "recipient"};
	const struct xml_node *duration = xml_child(n, "duration");
	const char *direction;
	uint64_t seconds = 0;

	if (!xml_attr(n, "id"))
		return false;
	direction = EVENT_ONE_OF(span_of(xml_attr(n, "direction")), directions);
	writer_add(out, "<dialog");
	add_names(b, n, out);
	if (direction)
		event_xml_attr(out, "direction", direction);
	writer_add(out, ">\n");
	if (!add_state(n, out))
		return false;
	if (duration && !span_number(xml_text(duration), UINT32_MAX, &seconds))
		writer_add(out, "<duration>%u</duration>\n", (unsigned)seconds);
	add_end(b, n, "local", out);
	add_end(b, n, "remote", out);
	writer_add(out, "</dialog>\n");
	return true;
}

enum reason event_dialog_rebuild(
	const struct event_body *b, struct span in, struct writer *out)
{
	static const char *const states[] = {"full", "partial"};
	const struct xml_node *root;
	enum reason why = event_xml_root(b, in, NS, "dialog-info", &root);
	const char *state;
	uint64_t version = 0;
	unsigned n_dialogs = 0;

	if (why != REASON_EVENT_OK)
		return why;
	state = EVENT_ONE_OF(span_of(xml_attr(root, "state")), states);
	if (!state || !xml_attr(root, "version") ||
		span_number(span_of(xml_attr(root, "version")), UINT32_MAX,
			&version) != 0)
		return REASON_EVENT_BODY;
	writer_add(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<dialog-info xmlns=\"" NS "\" version=\"%u\" state=\"%s\"",
		(unsigned)version, state);
	event_xml_attr(out, "entity", b->entity);
	writer_add(out, ">\n");
	for (const struct xml_node *n = root->first; n; n = n->next) {
		if (!xml_is(n, NS, "dialog"))
			continue;
		if (++n_dialogs > DIALOGS_MAX)
			return REASON_EVENT_BODY_TOO_BIG;
		if (!add_dialog(b, n, out))
			return REASON_EVENT_BODY;
	}
	writer_add(out, "</dialog-info>\n");
	return REASON_EVENT_OK;
}
