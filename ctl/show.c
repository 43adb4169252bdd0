/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/show.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SHOW_COLUMNS_MAX 24
#define SHOW_CELL_SIZE   256

/* A value as a table cell: one line, printable. Lists and objects inside a
 * cell stay JSON. */
static void show_cell(const json_t *value, char *text, size_t size)
{
	char *dump;
	size_t n = 0;

	if (json_is_null(value) || !value) {
		snprintf(text, size, "-");
		return;
	}
	if (json_is_integer(value)) {
		snprintf(text, size, "%" JSON_INTEGER_FORMAT,
			json_integer_value(value));
		return;
	}
	if (json_is_boolean(value)) {
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
		return;
	}
	if (json_is_string(value)) {
		for (const char *s = json_string_value(value);
			*s && n + 1 < size; s++)
			text[n++] = ((unsigned char)*s < 0x20 || *s == 0x7f)
					    ? '?'
					    : *s;
		text[n] = '\0';
		return;
	}
	dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	snprintf(text, size, "%s", dump ? dump : "?");
	free(dump);
}

static void show_table(FILE *out, const json_t *rows)
{
	const char *names[SHOW_COLUMNS_MAX];
	size_t widths[SHOW_COLUMNS_MAX] = {0};
	size_t n_columns = 0;
	char cell[SHOW_CELL_SIZE];
	const char *key;
	json_t *value, *row;
	size_t i;

	json_object_foreach(json_array_get(rows, 0), key, value)
	{
		if (n_columns == SHOW_COLUMNS_MAX)
			break;
		names[n_columns] = key;
		widths[n_columns++] = strlen(key);
	}
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < n_columns; c++) {
			show_cell(json_object_get(row, names[c]), cell,
				sizeof(cell));
			if (strlen(cell) > widths[c])
				widths[c] = strlen(cell);
		}
	}
	for (size_t c = 0; c < n_columns; c++)
		fprintf(out, "%-*s ", (int)widths[c], names[c]);
	fprintf(out, "\n");
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < n_columns; c++) {
			show_cell(json_object_get(row, names[c]), cell,
				sizeof(cell));
			fprintf(out, "%-*s ", (int)widths[c], cell);
		}
		fprintf(out, "\n");
	}
}

static void show_object(FILE *out, const json_t *object, int indent)
{
	char cell[SHOW_CELL_SIZE];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (indent == 0 && strcmp(key, "format") == 0)
			continue;
		if (json_is_array(value) && json_array_size(value) > 0 &&
			json_is_object(json_array_get(value, 0))) {
			fprintf(out, "%s\n", key);
			show_table(out, value);
		} else if (json_is_object(value)) {
			fprintf(out, "%*s%s\n", indent, "", key);
			show_object(out, value, indent + 2);
		} else {
			show_cell(value, cell, sizeof(cell));
			fprintf(out, "%*s%-*s %s\n", indent, "", 24 - indent,
				key, cell);
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
