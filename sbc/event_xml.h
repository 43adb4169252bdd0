/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML of a peer as a small tree. Everything about it is bounded; a document
 * type, and with it every entity but the five of XML itself, makes the document
 * unreadable. Nothing is fetched from anywhere.
 */
#ifndef SBC_EVENT_XML_H
#define SBC_EVENT_XML_H

#include <stddef.h>
#include <stdint.h>

#include <sofia-sip/su_alloc.h>

#include "common/err.h"
#include "sbc/text.h"

#define XML_NODES_MAX 1024
#define XML_DEPTH_MAX 10
#define XML_ATTRS_MAX 12
#define XML_TEXT_MAX  1024 /* octets of one element's own text */

struct xml_attr {
	const char *name; /* without a namespace; others are left out */
	const char *value;
};

struct xml_node {
	const char *ns; /* "" = none */
	const char *name;
	const char *text; /* its own, without that of its children */
	size_t text_len;
	struct xml_attr attrs[XML_ATTRS_MAX];
	size_t n_attrs;
	struct xml_node *parent, *first, *last, *next;
};

/** Reads a document into home. salt: for the reader's own hash tables.
 * @return 0, ERR_INVALID, ERR_TOO_BIG over a bound, or ERR_NOMEM. */
GH_MUST_CHECK int xml_read(su_home_t *home, struct span in, uint64_t salt,
	struct xml_node **root_out);

/** The first child of this name in its parent's namespace, or NULL. */
const struct xml_node *xml_child(
	const struct xml_node *parent, const char *name);
/** Is it this element? */
bool xml_is(const struct xml_node *n, const char *ns, const char *name);
/** An attribute's value, or NULL. */
const char *xml_attr(const struct xml_node *n, const char *name);
/** Its text without blanks around it. */
struct span xml_text(const struct xml_node *n);

#endif
