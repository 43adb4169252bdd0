// SPDX-License-Identifier: Apache-2.0
/*
 * A reader of the XML that PIDF-LO is, no more of it: elements, attributes
 * that are passed over, text, comments, the five entities that XML has itself.
 * Names are compared without their prefix: senders use any. Depth, size and
 * the number of values are bounded; nothing is allocated.
 *
 * RFC 4119 (PIDF-LO), 5139 and 4776 (civic fields), 5491 (shapes: of those a
 * point and a circle). Called by hdr_location.c.
 */
#include "sbc/pidf.h"

#include <string.h>

#include "sbc/utf8.h"

#define DEPTH_MAX 16
#define N(list)   (sizeof(list) / sizeof((list)[0]))

static const char *const civic_names[] = {"country", "A1", "A2", "A3", "A4",
	"A5", "A6", "PRM", "PRD", "RD", "STS", "POD", "POM", "RDSEC", "RDBR",
	"RDSUBBR", "HNO", "HNS", "LMK", "LOC", "FLR", "NAM", "PC", "BLD",
	"UNIT", "ROOM", "SEAT", "PLC", "PCN", "POBOX", "ADDCODE"};

struct reader {
	struct span rest;
	struct span open[DEPTH_MAX]; /* names with their prefixes */
	size_t depth;
	size_t civic; /* depth of the civicAddress that is read; 0 = none */
	bool had_civic, had_root;
	struct pidf *out;
};

static struct span local_name(struct span name)
{
	const char *colon = name.len ? memchr(name.at, ':', name.len) : NULL;

	if (!colon)
		return name;
	return (struct span){
		colon + 1, name.len - (size_t)(colon + 1 - name.at)};
}

static bool is_name_char(char c)
{
	return text_is_alnum(c) || (c && strchr("_-.:", c));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip(struct reader *r, size_t n)
{
	r->rest.at += n;
	r->rest.len -= n;
}

/** Moves behind the next occurrence of end. */
static int skip_past(struct reader *r, const char *end)
{
	size_t len = strlen(end);

	for (; r->rest.len >= len; skip(r, 1)) {
		if (memcmp(r->rest.at, end, len) == 0) {
			skip(r, len);
			return 0;
		}
	}
	return ERR_INVALID;
}

/** Text up to the next tag with its entities read; trimmed. */
static int read_text(struct reader *r, char *out, size_t size)
{
	static const struct {
		const char *name;
		char is;
	} entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'},
		{"&quot;", '"'}, {"&apos;", '\''}};
	const char *end =
		r->rest.len ? memchr(r->rest.at, '<', r->rest.len) : NULL;
	struct span text;
	struct writer w;

	if (!end)
		return ERR_INVALID;
	text = (struct span){r->rest.at, (size_t)(end - r->rest.at)};
	while (text.len && is_blank(*text.at)) {
		text.at++;
		text.len--;
	}
	while (text.len && is_blank(text.at[text.len - 1]))
		text.len--;
	writer_init(&w, out, size);
	while (text.len) {
		size_t i = 0;

		if (*text.at != '&') {
			writer_add_char(
				&w, is_blank(*text.at) ? ' ' : *text.at);
			text.at++;
			text.len--;
			continue;
		}
		while (i < N(entities) && !span_skip(&text, entities[i].name))
			i++;
		if (i == N(entities))
			return ERR_INVALID;
		writer_add_char(&w, entities[i].is);
	}
	return w.over ? ERR_TOO_BIG : 0;
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
	unsigned n = 0;
	struct writer w;
	char point[PIDF_POINT_SIZE];

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

static void take_civic(struct pidf *p, struct span name, const char *text)
{
	for (size_t i = 0; i < N(civic_names); i++) {
		if (!span_is(name, civic_names[i]))
			continue;
		for (size_t k = 0; k < p->n_fields; k++)
			if (p->fields[k].name == civic_names[i])
				return;
		if (p->n_fields == PIDF_FIELDS_MAX || !*text ||
			strlen(text) >= PIDF_VALUE_SIZE)
			return;
		p->fields[p->n_fields].name = civic_names[i];
		memcpy(p->fields[p->n_fields].value, text, strlen(text) + 1);
		p->n_fields++;
		return;
	}
}

/** A start tag has been read: what its text may mean. */
static int read_value(struct reader *r, struct span name)
{
	bool is_civic = r->civic && r->depth == r->civic + 1;
	char text[2 * PIDF_VALUE_SIZE];
	struct pidf *p = r->out;
	int err;

	if (!is_civic && !span_is(name, "pos") && !span_is(name, "radius") &&
		!span_is(name, "method"))
		return 0;
	err = read_text(r, text, sizeof(text));
	if (err == ERR_TOO_BIG)
		return 0; /* one value too long: without it */
	if (err)
		return err;
	if (!utf8_is_plain(text, strlen(text)))
		return 0;
	if (is_civic)
		take_civic(p, name, text);
	else if (span_is(name, "pos"))
		take_point(p, text);
	else if (span_is(name, "radius") && is_number(span_of(text)))
		return span_copy(span_of(text), p->radius, sizeof(p->radius));
	else if (span_is(name, "method") && text_is_token(text, 23))
		return span_copy(span_of(text), p->method, sizeof(p->method));
	return 0;
}

/** The attributes of a start tag. @return 1 if the element is empty, 0, or
 * ERR_INVALID. */
static int skip_attributes(struct reader *r)
{
	while (r->rest.len) {
		char c = *r->rest.at;

		if (c == '"' || c == '\'') {
			const char quote[2] = {c, '\0'};

			skip(r, 1);
			if (skip_past(r, quote))
				return ERR_INVALID;
		} else if (c == '>') {
			skip(r, 1);
			return 0;
		} else if (c == '/' && r->rest.len > 1 &&
			   r->rest.at[1] == '>') {
			skip(r, 2);
			return 1;
		} else if (c == '<') {
			return ERR_INVALID;
		} else {
			skip(r, 1);
		}
	}
	return ERR_INVALID;
}

static int read_start(struct reader *r)
{
	struct span name = {r->rest.at, 0};
	int empty;

	while (name.len < r->rest.len && is_name_char(name.at[name.len]))
		name.len++;
	skip(r, name.len);
	if (!name.len || r->depth == DEPTH_MAX || (!r->depth && r->had_root))
		return ERR_INVALID;
	if (!r->depth && !span_is(local_name(name), "presence"))
		return ERR_INVALID;
	r->had_root = true;
	empty = skip_attributes(r);
	if (empty)
		return empty < 0 ? empty : 0;
	r->open[r->depth++] = name;
	name = local_name(name);
	if (span_is(name, "civicAddress") && !r->had_civic) {
		r->civic = r->depth;
		r->had_civic = true;
	}
	return read_value(r, name);
}

static int read_end(struct reader *r)
{
	struct span name = {r->rest.at, 0};

	while (name.len < r->rest.len && is_name_char(name.at[name.len]))
		name.len++;
	skip(r, name.len);
	while (r->rest.len && is_blank(*r->rest.at))
		skip(r, 1);
	if (!r->depth || !span_skip(&r->rest, ">") ||
		name.len != r->open[r->depth - 1].len ||
		memcmp(name.at, r->open[r->depth - 1].at, name.len))
		return ERR_INVALID;
	if (r->civic == r->depth)
		r->civic = 0;
	r->depth--;
	return 0;
}

/** What begins with "<". */
static int read_markup(struct reader *r)
{
	if (span_skip(&r->rest, "<!--"))
		return skip_past(r, "-->");
	if (span_skip(&r->rest, "<?"))
		return skip_past(r, "?>");
	if (span_skip(&r->rest, "</"))
		return read_end(r);
	if (span_skip(&r->rest, "<!"))
		return ERR_INVALID; /* DOCTYPE, CDATA */
	skip(r, 1);
	return read_start(r);
}

int pidf_read(struct span xml, struct pidf *pidf_out)
{
	struct pidf pidf = {.n_fields = 0};
	struct reader r = {.rest = xml, .out = &pidf};

	if (xml.len > PIDF_SIZE_MAX)
		return ERR_TOO_BIG;
	while (r.rest.len) {
		int err = 0;

		if (*r.rest.at == '<')
			err = read_markup(&r);
		else
			skip(&r, 1);
		if (err)
			return err;
	}
	if (r.depth || !r.had_root || (!pidf.n_fields && !*pidf.point))
		return ERR_INVALID;
	if (!*pidf.point)
		pidf.radius[0] = '\0';
	*pidf_out = pidf;
	return 0;
}

static void add_escaped(struct writer *w, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			writer_add(w, "&amp;");
			break;
		case '<':
			writer_add(w, "&lt;");
			break;
		case '>':
			writer_add(w, "&gt;");
			break;
		case '"':
			writer_add(w, "&quot;");
			break;
		default:
			writer_add_char(w, *text);
		}
	}
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
	add_escaped(w, entity);
	writer_add(w, "\"><tuple id=\"location\"><status><gp:geopriv>"
		      "<gp:location-info>");
	write_point(w, p);
	if (p->n_fields)
		writer_add(w, "<cl:civicAddress>");
	for (size_t i = 0; i < p->n_fields; i++) {
		writer_add(w, "<cl:%s>", p->fields[i].name);
		add_escaped(w, p->fields[i].value);
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
