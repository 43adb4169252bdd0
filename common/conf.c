/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict reader of the start-up settings (conf.h). libconfuse parses;
 * every option is declared to it as text, and type, range and repetition are
 * judged here while its line number still stands at the option.
 *
 * libconfuse reports through a function without a context pointer and may end
 * the process where a file cannot be read, so the file is read here and the
 * one load under way stands in a static pointer: loading happens at start and
 * on one thread.
 */
#include "common/conf.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX    (256u * 1024u)
#define OPTIONS_MAX 64
#define STRING_MAX  4096

struct load {
	const char *path;
	const struct conf_option *options;
	size_t n_options;
	void *settings;
	bool seen[OPTIONS_MAX];      /* read to its end */
	size_t n_taken[OPTIONS_MAX]; /* values so far */
	char *problem;               /* the first one stays */
};

static struct load *current;

static void *member(const struct conf_option *o, void *settings)
{
	return (char *)settings + o->offset;
}

static void report(struct load *l, int line, const char *fmt, ...)
	GH_PRINTF(3, 4);

static void report(struct load *l, int line, const char *fmt, ...)
{
	char text[CONF_PROBLEM_SIZE];
	va_list ap;
	char *p;

	if (l->problem[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	if (line > 0)
		(void)snprintf(l->problem, CONF_PROBLEM_SIZE,
			"%.200s:%d: %.280s", l->path, line, text);
	else
		(void)snprintf(l->problem, CONF_PROBLEM_SIZE, "%.200s: %.280s",
			l->path, text);
}

static void on_confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
	GH_PRINTF(2, 0);

static void on_confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[CONF_PROBLEM_SIZE];

	if (!current)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	report(current, cfg ? cfg->line : 0, "%s", text);
}

/* Whole decimal number, nothing else. */
static int parse_uint(const char *text, uint64_t *number_out)
{
	uint64_t n = 0;

	if (!*text || strlen(text) > 20)
		return ERR_INVALID;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return ERR_INVALID;
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return ERR_INVALID;
	}
	*number_out = n;
	return 0;
}

static int parse_bool(const char *text, bool *bool_out)
{
	static const char *const words[] = {
		"false", "no", "off", "true", "yes", "on"};
	size_t i;

	for (i = 0; i < 6; i++) {
		if (!strcmp(text, words[i])) {
			*bool_out = i >= 3;
			return 0;
		}
	}
	return ERR_INVALID;
}

static int check_text(
	struct load *l, int line, const struct conf_option *o, const char *text)
{
	size_t max = o->max ? o->max : STRING_MAX;
	const char *p;

	if (strnlen(text, max + 1) > max) {
		report(l, line, "%s is longer than %zu bytes", o->name, max);
		return ERR_INVALID;
	}
	for (p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			report(l, line, "%s holds a control character",
				o->name);
			return ERR_INVALID;
		}
	}
	return 0;
}

static int take_string(
	struct load *l, int line, const struct conf_option *o, const char *text)
{
	char **value = member(o, l->settings);
	char *copy;

	if (check_text(l, line, o, text))
		return ERR_INVALID;
	copy = strdup(text);
	if (!copy) {
		report(l, line, "out of memory");
		return ERR_INVALID;
	}
	free(*value);
	*value = copy;
	return 0;
}

static int take_uint(
	struct load *l, int line, const struct conf_option *o, const char *text)
{
	uint64_t *value = member(o, l->settings);
	const char *gap = o->unit[0] ? " " : "";
	uint64_t n;

	if (parse_uint(text, &n)) {
		report(l, line, "%s must be a whole number, not \"%.64s\"",
			o->name, text);
		return ERR_INVALID;
	}
	if (n < o->min || n > o->max) {
		report(l, line, "%s must be from %llu to %llu%s%s, not %llu",
			o->name, (unsigned long long)o->min,
			(unsigned long long)o->max, gap, o->unit,
			(unsigned long long)n);
		return ERR_INVALID;
	}
	*value = n;
	return 0;
}

static int take_bool(
	struct load *l, int line, const struct conf_option *o, const char *text)
{
	bool *value = member(o, l->settings);

	if (parse_bool(text, value)) {
		report(l, line, "%s must be true or false, not \"%.64s\"",
			o->name, text);
		return ERR_INVALID;
	}
	return 0;
}

static int take_item(
	struct load *l, int line, const struct conf_option *o, const char *text)
{
	struct conf_list *list = member(o, l->settings);
	char *copy;

	if (list->n_items >= CONF_LIST_MAX) {
		report(l, line, "%s has more than %d items", o->name,
			CONF_LIST_MAX);
		return ERR_INVALID;
	}
	if (check_text(l, line, o, text))
		return ERR_INVALID;
	copy = strdup(text);
	if (!copy) {
		report(l, line, "out of memory");
		return ERR_INVALID;
	}
	list->items[list->n_items++] = copy;
	return 0;
}

/* Takes one value over; line 0 for a default. */
static int take(
	struct load *l, int line, const struct conf_option *o, const char *text)
{
	switch (o->type) {
	case CONF_STRING:
		return take_string(l, line, o, text);
	case CONF_UINT:
		return take_uint(l, line, o, text);
	case CONF_BOOL:
		return take_bool(l, line, o, text);
	case CONF_LIST:
		return take_item(l, line, o, text);
	}
	return ERR_INVALID;
}

/* libconfuse calls this after each value, and for a list once more at its end,
 * when there is no further value. It says nothing about an empty list, so only
 * that may stand before another one. */
static int on_option(cfg_t *cfg, cfg_opt_t *opt)
{
	struct load *l = current;
	const struct conf_option *o = NULL;
	size_t row, n = cfg_opt_size(opt);
	const char *text;

	for (row = 0; row < l->n_options && !o; row++) {
		if (!strcmp(l->options[row].name, opt->name))
			o = &l->options[row];
	}
	if (!o)
		return -1;
	row--;
	if (l->seen[row]) {
		report(l, cfg->line, "%s stands here for the second time",
			o->name);
		return -1;
	}
	if (o->type != CONF_LIST || l->n_taken[row] == n)
		l->seen[row] = true;
	if (l->n_taken[row] == n)
		return 0;
	l->n_taken[row] = n;
	text = n ? cfg_opt_getnstr(opt, n - 1) : NULL;
	return take(l, cfg->line, o, text ? text : "") ? -1 : 0;
}

/* Reads the whole file as text. */
static int read_file(struct load *l, char **text_out)
{
	char *text = NULL;
	size_t len = 0;
	struct stat st;
	int fd, rc;

	fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		report(l, 0, "%s", strerror(errno));
		return ERR_NOT_FOUND;
	}
	rc = ERR_INVALID;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		report(l, 0, "not a regular file");
		goto out;
	}
	text = malloc(FILE_MAX + 1);
	if (!text) {
		report(l, 0, "out of memory");
		goto out;
	}
	while (len <= FILE_MAX) {
		ssize_t n = read(fd, text + len, FILE_MAX + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			report(l, 0, "%s", strerror(errno));
			goto out;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > FILE_MAX) {
		report(l, 0, "larger than %u bytes", FILE_MAX);
		goto out;
	}
	text[len] = '\0';
	if (strlen(text) != len) {
		report(l, 0, "holds a zero byte");
		goto out;
	}
	*text_out = text;
	text = NULL;
	rc = 0;
out:
	free(text);
	(void)close(fd);
	return rc;
}

/* Lets libconfuse parse; on_option() takes the values over. */
static int parse(struct load *l, const char *text)
{
	cfg_opt_t opts[OPTIONS_MAX + 1];
	cfg_t *cfg;
	size_t i;
	int rc;

	for (i = 0; i < l->n_options; i++) {
		const char *name = l->options[i].name;
		cfg_opt_t str = CFG_STR(name, NULL, CFGF_NODEFAULT);
		cfg_opt_t list = CFG_STR_LIST(name, NULL, CFGF_NODEFAULT);

		opts[i] = l->options[i].type == CONF_LIST ? list : str;
	}
	opts[i] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(opts, CFGF_NONE);
	if (!cfg) {
		report(l, 0, "out of memory");
		return ERR_INVALID;
	}
	(void)cfg_set_error_function(cfg, on_confuse_error);
	for (i = 0; i < l->n_options; i++)
		(void)cfg_set_validate_func(cfg, l->options[i].name, on_option);
	rc = cfg_parse_buf(cfg, text);
	if (rc != CFG_SUCCESS)
		report(l, 0, "cannot be parsed");
	(void)cfg_free(cfg);
	return rc == CFG_SUCCESS ? 0 : ERR_INVALID;
}

static int take_defaults(struct load *l)
{
	size_t i;

	for (i = 0; i < l->n_options; i++) {
		const struct conf_option *o = &l->options[i];

		if (!l->seen[i] && o->def && take(l, 0, o, o->def))
			return ERR_INVALID;
	}
	return 0;
}

int conf_load(const char *path, const struct conf_option *options,
	size_t n_options, void *settings, char *problem)
{
	struct load l = {.path = path,
		.options = options,
		.n_options = n_options,
		.settings = settings,
		.problem = problem};
	char *text = NULL;
	int rc;

	problem[0] = '\0';
	if (n_options > OPTIONS_MAX) {
		report(&l, 0, "too many options are declared");
		return ERR_INVALID;
	}
	rc = read_file(&l, &text);
	if (rc)
		return rc;
	current = &l;
	rc = parse(&l, text);
	if (!rc)
		rc = take_defaults(&l);
	current = NULL;
	free(text);
	if (rc)
		conf_free(options, n_options, settings);
	return rc;
}

static void describe_kind(FILE *out, const struct conf_option *o)
{
	switch (o->type) {
	case CONF_STRING:
		fprintf(out, "text");
		break;
	case CONF_UINT:
		fprintf(out, "number, %" PRIu64 " to %" PRIu64, o->min, o->max);
		if (o->unit[0])
			fprintf(out, " %s", o->unit);
		break;
	case CONF_BOOL:
		fprintf(out, "true or false");
		break;
	case CONF_LIST:
		fprintf(out, "list of texts");
		break;
	}
}

void conf_describe(
	FILE *out, const struct conf_option *options, size_t n_options)
{
	for (size_t i = 0; i < n_options; i++) {
		const struct conf_option *o = &options[i];
		const char *quote = o->type == CONF_STRING ? "\"" : "";

		if (o->def)
			fprintf(out, "  %s = %s%s%s\n", o->name, quote, o->def,
				quote);
		else
			fprintf(out, "  %s =\n", o->name);
		fprintf(out, "      ");
		describe_kind(out, o);
		fprintf(out, ": %s\n", o->text);
	}
}

static void free_list(struct conf_list *list)
{
	size_t i;

	for (i = 0; i < list->n_items; i++)
		free(list->items[i]);
	memset(list, 0, sizeof(*list));
}

void conf_free(
	const struct conf_option *options, size_t n_options, void *settings)
{
	size_t i;

	for (i = 0; i < n_options; i++) {
		void *value = member(&options[i], settings);

		switch (options[i].type) {
		case CONF_STRING:
			free(*(char **)value);
			*(char **)value = NULL;
			break;
		case CONF_UINT:
			*(uint64_t *)value = 0;
			break;
		case CONF_BOOL:
			*(bool *)value = false;
			break;
		case CONF_LIST:
			free_list(value);
			break;
		}
	}
}
