// SPDX-License-Identifier: Apache-2.0
/*
 * PIDF-LO as far as an emergency centre needs it: the civic address by fields
 * of a list, a point or circle, and how it was found. The tree is
 * event_xml.c's (libexpat); here the elements are known by their local names,
 * since senders use civic namespaces of several years. Values over a bound are
 * left out, the others kept: half a location is better than none.
 *
 * RFC 4119 (PIDF-LO), 5139 and 4776 (civic fields), 5491 (shapes: of those a
 * point and a circle). Called by hdr_location.c.
 */
#include "sbc/pidf.h"

#include <string.h>

#include "sbc/event_body.h"
#include "sbc/event_xml.h"
#include "sbc/utf8.h"

#define PIDF_NS "urn:ietf:params:xml:ns:pidf"
#define N(list) (sizeof(list) / sizeof((list)[0]))

static const char *const civic_names[] = {"country", "A1", "A2", "A3", "A4",
	"A5", "A6", "PRM", "PRD", "RD", "STS", "POD", "POM", "RDSEC", "RDBR",
	"RDSUBBR", "HNO", "HNS", "LMK", "LOC", "FLR", "NAM", "PC", "BLD",
	"UNIT", "ROOM", "SEAT", "PLC", "PCN", "POBOX", "ADDCODE"};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/** An element's text with one blank for each run of them. @return whether it
 * fits and may be shown. */
static bool take_text(const struct xml_node *node, char *out, size_t size)
{
	struct span text = xml_text(node);
	struct writer w;

	writer_init(&w, out, size);
	for (size_t i = 0; i < text.len; i++) {
		bool blank = is_blank(text.at[i]);

		if (!blank)
			writer_add_char(&w, text.at[i]);
		else if (w.len && out[w.len - 1] != ' ')
			writer_add_char(&w, ' ');
	}
	while (!w.over && w.len && out[w.len - 1] == ' ')
		out[--w.len] = '\0';
	return !w.over && w.len && utf8_is_plain(out, w.len);
}

/** "-48.123": digits with at most one point. */
static bool is_number(struct span s)
{
	bool point = false, digit = false;

	if (s.len && *s.at == '-') {
		s.at++;
		s.len--;
	}
	for (size_t i = 0; i < s.len; i++) {
		if (text_is_digit(s.at[i]))
			digit = true;
		else if (s.at[i] == '.' && !point)
			point = true;
		else
			return false;
	}
	return digit && s.len <= 14;
}

static void take_point(struct pidf *p, const char *text)
{
	struct span rest = span_of(text), word;
	char point[PIDF_POINT_SIZE];
	struct writer w;
	unsigned n = 0;

	writer_init(&w, point, sizeof(point));
	while (n < 4 && span_take_word(&rest, &word)) {
		if (!is_number(word))
			return;
		writer_add(&w, "%s", n++ ? " " : "");
		writer_add_span(&w, word);
	}
	if (!w.over && (n == 2 || n == 3) && !*p->point)
		memcpy(p->point, point, sizeof(point));
}

static void take_field(struct pidf *p, const struct xml_node *node)
{
	char text[PIDF_VALUE_SIZE];
	const char *name = NULL;

	for (size_t i = 0; i < N(civic_names) && !name; i++)
		if (!strcmp(node->name, civic_names[i]))
			name = civic_names[i];
	for (size_t i = 0; i < p->n_fields; i++)
		if (p->fields[i].name == name)
			return;
	if (!name || p->n_fields == PIDF_FIELDS_MAX ||
		!take_text(node, text, sizeof(text)))
		return;
	p->fields[p->n_fields].name = name;
	memcpy(p->fields[p->n_fields].value, text, sizeof(text));
	p->n_fields++;
}

static void take(struct pidf *p, const struct xml_node *node)
{
	char text[PIDF_VALUE_SIZE];

	/* The first one: there may be several, of several places. */
	if (!strcmp(node->name, "civicAddress") && !p->n_fields) {
		for (const struct xml_node *c = node->first; c; c = c->next)
			take_field(p, c);
		return;
	}
	if (!take_text(node, text, sizeof(text)))
		return;
	if (!strcmp(node->name, "pos"))
		take_point(p, text);
	else if (!strcmp(node->name, "radius") && is_number(span_of(text)))
		memcpy(p->radius, text, strlen(text) + 1);
	else if (!strcmp(node->name, "method") &&
		 text_is_token(text, sizeof(p->method) - 1))
		memcpy(p->method, text, strlen(text) + 1);
}

/** The next element of a tree, from the top; NULL at the end. */
static const struct xml_node *following(const struct xml_node *node)
{
	if (node->first)
		return node->first;
	while (node && !node->next)
		node = node->parent;
	return node ? node->next : NULL;
}

int pidf_read(struct span xml, uint64_t salt, struct pidf *pidf_out)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	struct pidf pidf = {.n_fields = 0};
	struct xml_node *root;
	int err;

	if (xml.len > PIDF_SIZE_MAX)
		return ERR_TOO_BIG;
	su_home_init(home);
	err = xml_read(home, xml, salt, &root);
	if (!err && !xml_is(root, PIDF_NS, "presence"))
		err = ERR_INVALID;
	for (const struct xml_node *n = err ? NULL : root; n; n = following(n))
		take(&pidf, n);
	su_home_deinit(home);
	if (!err && !pidf.n_fields && !*pidf.point)
		err = ERR_INVALID;
	if (err)
		return err;
	if (!*pidf.point)
		pidf.radius[0] = '\0';
	*pidf_out = pidf;
	return 0;
}

static void write_point(struct writer *w, const struct pidf *p)
{
	unsigned dimensions =
		strchr(p->point, ' ') == strrchr(p->point, ' ') ? 4326 : 4979;

	if (!*p->point)
		return;
	writer_add(w,
		"<%s srsName=\"urn:ogc:def:crs:EPSG::%u\"><gml:pos>%s"
		"</gml:pos>",
		*p->radius ? "gs:Circle" : "gml:Point", dimensions, p->point);
	if (*p->radius)
		writer_add(w,
			"<gs:radius uom=\"urn:ogc:def:uom:EPSG::9001\">"
			"%s</gs:radius></gs:Circle>",
			p->radius);
	else
		writer_add(w, "</gml:Point>");
}

int pidf_write(const struct pidf *p, const char *entity, struct writer *w)
{
	writer_add(w,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"
		"<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" "
		"xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" "
		"xmlns:cl=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\" "
		"xmlns:gml=\"http://www.opengis.net/gml\" "
		"xmlns:gs=\"http://www.opengis.net/pidflo/1.0\" entity=\"");
	event_xml_text(w, entity);
	writer_add(w, "\"><tuple id=\"location\"><status><gp:geopriv>"
		      "<gp:location-info>");
	write_point(w, p);
	if (p->n_fields)
		writer_add(w, "<cl:civicAddress>");
	for (size_t i = 0; i < p->n_fields; i++) {
		writer_add(w, "<cl:%s>", p->fields[i].name);
		event_xml_text(w, p->fields[i].value);
		writer_add(w, "</cl:%s>", p->fields[i].name);
	}
	if (p->n_fields)
		writer_add(w, "</cl:civicAddress>");
	writer_add(w, "</gp:location-info><gp:usage-rules/>");
	if (*p->method)
		writer_add(w, "<gp:method>%s</gp:method>", p->method);
	writer_add(w, "</gp:geopriv></status></tuple></presence>\r\n");
	return w->over ? ERR_TOO_BIG : 0;
}
