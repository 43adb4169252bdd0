// SPDX-License-Identifier: Apache-2.0
/*
 * libexpat with everything off that a body of a PBX does not need. Expat checks
 * the syntax and the namespaces; this file keeps the bounds and makes the tree.
 * An input is at most EVENT_BODY_MAX octets, so that a parser's own memory is a
 * small multiple of that; it is given back before the caller goes on.
 */
#include "sbc/event_xml.h"

#include <expat.h>
#include <limits.h>
#include <string.h>

/* Not a character of a URI or a name. */
#define NS_END '\n'

struct reading {
	XML_Parser parser;
	su_home_t *home;
	struct xml_node *root, *at;
	size_t n_nodes, depth;
	int err;
};

static void fail(struct reading *r, int err)
{
	if (r->err == 0)
		r->err = err;
	(void)XML_StopParser(r->parser, XML_FALSE);
}

/** Splits "namespace NS_END name". */
static const char *local_name(const char *full, struct span *ns)
{
	const char *end = strchr(full, NS_END);

	*ns = end ? (struct span){full, (size_t)(end - full)}
		  : (struct span){"", 0};
	return end ? end + 1 : full;
}

static void XMLCALL on_start(
	void *ctx, const XML_Char *full, const XML_Char **attrs)
{
	struct reading *r = ctx;
	struct xml_node *n;
	struct span ns;
	const char *name = local_name(full, &ns);

	if (++r->n_nodes > XML_NODES_MAX || ++r->depth > XML_DEPTH_MAX) {
		fail(r, ERR_TOO_BIG);
		return;
	}
	n = su_zalloc(r->home, sizeof(*n));
	if (!n) {
		fail(r, ERR_NOMEM);
		return;
	}
	n->name = su_strdup(r->home, name);
	n->ns = su_strndup(r->home, ns.at, (isize_t)ns.len);
	n->text = "";
	for (; attrs[0]; attrs += 2) {
		struct xml_attr *a = &n->attrs[n->n_attrs];

		if (n->n_attrs == XML_ATTRS_MAX) {
			fail(r, ERR_TOO_BIG);
			return;
		}
		if (strchr(attrs[0], NS_END))
			continue;
		a->name = su_strdup(r->home, attrs[0]);
		a->value = su_strdup(r->home, attrs[1]);
		if (!a->name || !a->value) {
			fail(r, ERR_NOMEM);
			return;
		}
		n->n_attrs++;
	}
	if (!n->name || !n->ns) {
		fail(r, ERR_NOMEM);
		return;
	}
	n->parent = r->at;
	if (!r->at)
		r->root = n;
	else if (!r->at->last)
		r->at->first = r->at->last = n;
	else
		r->at->last = r->at->last->next = n;
	r->at = n;
}

static void XMLCALL on_end(void *ctx, const XML_Char *full)
{
	struct reading *r = ctx;

	(void)full;
	r->depth--;
	if (r->at)
		r->at = r->at->parent;
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct reading *r = ctx;
	struct xml_node *n = r->at;
	char *both;

	/* What stands before the first word, and between elements. */
	while (n && !n->text_len && len > 0 && strchr(" \t\r\n", *text)) {
		text++;
		len--;
	}
	if (!n || len <= 0)
		return;
	if (n->text_len + (size_t)len > XML_TEXT_MAX) {
		fail(r, ERR_TOO_BIG);
		return;
	}
	both = su_alloc(r->home, (isize_t)(n->text_len + (size_t)len + 1));
	if (!both) {
		fail(r, ERR_NOMEM);
		return;
	}
	memcpy(both, n->text, n->text_len);
	memcpy(both + n->text_len, text, (size_t)len);
	if (n->text_len)
		su_free(r->home, (void *)(uintptr_t)n->text);
	n->text_len += (size_t)len;
	both[n->text_len] = '\0';
	n->text = both;
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name,
	const XML_Char *system_id, const XML_Char *public_id, int internal)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)internal;
	fail(ctx, ERR_INVALID);
}

static void XMLCALL on_instruction(
	void *ctx, const XML_Char *target, const XML_Char *data)
{
	(void)target;
	(void)data;
	fail(ctx, ERR_INVALID);
}

int xml_read(su_home_t *home, struct span in, uint64_t salt,
	struct xml_node **root_out)
{
	struct reading r = {.home = home};
	enum XML_Status status;

	if (in.len > INT_MAX)
		return ERR_TOO_BIG;
	r.parser = XML_ParserCreateNS(NULL, NS_END);
	if (!r.parser)
		return ERR_NOMEM;
	/* With a salt of ours it needs none from the system. 0 means none. */
	(void)XML_SetHashSalt(r.parser, (unsigned long)(salt | 1));
	XML_SetUserData(r.parser, &r);
	XML_SetParamEntityParsing(r.parser, XML_PARAM_ENTITY_PARSING_NEVER);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	XML_SetProcessingInstructionHandler(r.parser, on_instruction);
	status = XML_Parse(r.parser, in.at, (int)in.len, XML_TRUE);
	XML_ParserFree(r.parser);
	if (r.err != 0)
		return r.err;
	if (status != XML_STATUS_OK || !r.root)
		return ERR_INVALID;
	*root_out = r.root;
	return 0;
}

bool xml_is(const struct xml_node *n, const char *ns, const char *name)
{
	return strcmp(n->ns, ns) == 0 && strcmp(n->name, name) == 0;
}

const struct xml_node *xml_child(
	const struct xml_node *parent, const char *name)
{
	for (const struct xml_node *n = parent->first; n; n = n->next)
		if (xml_is(n, parent->ns, name))
			return n;
	return NULL;
}

const char *xml_attr(const struct xml_node *n, const char *name)
{
	for (size_t i = 0; i < n->n_attrs; i++)
		if (strcmp(n->attrs[i].name, name) == 0)
			return n->attrs[i].value;
	return NULL;
}

struct span xml_text(const struct xml_node *n)
{
	struct span s = {n->text, n->text_len};

	while (s.len && strchr(" \t\r\n", s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && strchr(" \t\r\n", s.at[s.len - 1]))
		s.len--;
	return s;
}
