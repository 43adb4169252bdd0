/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for human eyes. An answer is any JSON object; nothing here knows a
 * command. Lists of objects become tables whose columns are the members that
 * any row has, in the order in which they first appear; everything else is one
 * line of name and value.
 *
 * Names and values may hold what a peer wrote: see show_text().
 */
#include "ctl/show.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SHOW_COLUMNS_MAX 24
#define SHOW_CELL_SIZE   256
#define SHOW_NAME_WIDTH  24

struct cell {
	char text[SHOW_CELL_SIZE];
	size_t width; /* characters */
};

/* Drives the terminal, or moves and hides its neighbours: C0, DEL, C1, marks
 * of direction, joiners of no width. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0xad ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* Takes one character of UTF-8 that jansson has checked. @return its length. */
static size_t take_char(const char *s, uint32_t *char_out)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	uint32_t c = len == 1 ? u[0] : u[0] & (0x7fu >> len);

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (u[i] & 0x3f);
	*char_out = c;
	return len;
}

/* One line of plain characters, cut where the cell is full. */
static void show_text(struct cell *cell, const char *text)
{
	size_t n = 0;

	cell->width = 0;
	while (*text) {
		uint32_t c;
		size_t len = take_char(text, &c);

		if (n + len >= sizeof(cell->text))
			break;
		if (is_unsafe(c)) {
			cell->text[n++] = '?';
		} else {
			memcpy(cell->text + n, text, len);
			n += len;
		}
		cell->width++;
		text += len;
	}
	cell->text[n] = '\0';
}

/* Lists and objects inside a cell stay JSON. */
static void show_value(struct cell *cell, const json_t *value)
{
	char *dump;

	if (!value || json_is_null(value)) {
		show_text(cell, "-");
	} else if (json_is_boolean(value)) {
		show_text(cell, json_is_true(value) ? "yes" : "no");
	} else if (json_is_string(value)) {
		show_text(cell, json_string_value(value));
	} else {
		dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		show_text(cell, dump ? dump : "?");
		free(dump);
	}
}

static void put_cell(FILE *out, int indent, const struct cell *cell,
	size_t width, const char *end)
{
	size_t pad = cell->width < width ? width - cell->width : 0;

	fprintf(out, "%*s%s%*s%s", indent, "", cell->text, (int)pad, "", end);
}

struct columns {
	const char *names[SHOW_COLUMNS_MAX];
	size_t widths[SHOW_COLUMNS_MAX];
	size_t n;
};

static size_t find_column(const struct columns *columns, const char *name)
{
	size_t c;

	for (c = 0; c < columns->n; c++)
		if (strcmp(columns->names[c], name) == 0)
			break;
	return c;
}

/* Makes room for a row's members; what is over the bound is not shown. */
static void measure_row(struct columns *columns, const json_t *row)
{
	struct cell cell;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)row, name, value)
	{
		size_t c = find_column(columns, name);

		if (c == SHOW_COLUMNS_MAX)
			continue;
		if (c == columns->n) {
			columns->names[columns->n++] = name;
			show_text(&cell, name);
			columns->widths[c] = cell.width;
		}
		show_value(&cell, value);
		if (cell.width > columns->widths[c])
			columns->widths[c] = cell.width;
	}
}

static void show_table(FILE *out, const json_t *rows, int indent)
{
	struct columns columns = {.n = 0};
	struct cell cell;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) measure_row(&columns, row);
	for (size_t c = 0; c < columns.n; c++) {
		show_text(&cell, columns.names[c]);
		put_cell(out, c == 0 ? indent : 0, &cell, columns.widths[c],
			c + 1 < columns.n ? " " : "\n");
	}
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < columns.n; c++) {
			show_value(
				&cell, json_object_get(row, columns.names[c]));
			put_cell(out, c == 0 ? indent : 0, &cell,
				columns.widths[c],
				c + 1 < columns.n ? " " : "\n");
		}
	}
}

static void show_object(FILE *out, const json_t *object, int indent)
{
	int width = indent < SHOW_NAME_WIDTH ? SHOW_NAME_WIDTH - indent : 0;
	struct cell cell;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (indent == 0 && strcmp(name, "format") == 0)
			continue;
		show_text(&cell, name);
		if (json_is_object(value)) {
			put_cell(out, indent, &cell, 0, "\n");
			show_object(out, value, indent + 2);
		} else if (json_is_object(json_array_get(value, 0))) {
			put_cell(out, indent, &cell, 0, "\n");
			show_table(out, value, indent);
		} else {
			put_cell(out, indent, &cell, (size_t)width, " ");
			show_value(&cell, value);
			put_cell(out, 0, &cell, 0, "\n");
		}
	}
}

int show_answer(FILE *out, const char *text)
{
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (!json_is_object(root)) {
		json_decref(root);
		return ERR_INVALID;
	}
	show_object(out, root, 0);
	json_decref(root);
	return 0;
}
