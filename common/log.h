/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured logging: a level, an event name, then key=value fields. Text that
 * came from a peer is quoted and escaped, so a line is always one line and a
 * field cannot pretend to be another. One line is one write(2), to standard
 * error, which keeper passes through (or systemd's journal takes).
 *
 *	log_info("register_ok", LOG_STR("user", user), LOG_ADDR("src", &src));
 *
 * A line that a peer can cause uses log_peer_*(), which lets LOG_PEER_BURST
 * lines of one call site pass per second and then counts; the next line that
 * passes says dropped=N.
 *
 * Levels: err = an operator must act; warning = degraded but going on;
 * notice = start, stop, reload, trunk up or down; info = one line per call
 * event; debug = the rest.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT,
};

enum log_type {
	LOG_TYPE_END,
	LOG_TYPE_STR, /* any text; quoted when it holds more than a word */
	LOG_TYPE_UINT,
	LOG_TYPE_INT,
	LOG_TYPE_ADDR,
	LOG_TYPE_ERR,   /* an enum err, as its text */
	LOG_TYPE_ERRNO, /* an errno, as its text */
};

struct log_field {
	const char *key;
	enum log_type type;
	union {
		const char *str;
		uint64_t u;
		int64_t i;
		const struct addr *addr;
	};
};

#define LOG_STR(k, v)                                                          \
	((struct log_field){.key = (k), .type = LOG_TYPE_STR, .str = (v)})
#define LOG_UINT(k, v)                                                         \
	((struct log_field){.key = (k), .type = LOG_TYPE_UINT, .u = (v)})
#define LOG_INT(k, v)                                                          \
	((struct log_field){.key = (k), .type = LOG_TYPE_INT, .i = (v)})
#define LOG_ADDR(k, v)                                                         \
	((struct log_field){.key = (k), .type = LOG_TYPE_ADDR, .addr = (v)})
#define LOG_ERR(v)                                                             \
	((struct log_field){.key = "error", .type = LOG_TYPE_ERR, .i = (v)})
#define LOG_ERRNO(v)                                                           \
	((struct log_field){.key = "error", .type = LOG_TYPE_ERRNO, .i = (v)})
/** Our call ID; every line about a call has it. */
#define LOG_CALL(id) LOG_STR("call", id)

/** A call site's budget; see log_peer_*(). */
struct log_site {
	uint64_t second; /* the one that n_passed belongs to */
	uint32_t n_passed;
	uint64_t n_dropped;
};

#define LOG_PEER_BURST 10

/** Names this process in every line. @param process static text. */
void log_open(const char *process, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_level(void);
bool log_enabled(enum log_level level);

/** "err", "warning" ... @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int log_level_parse(const char *text, enum log_level *level_out);
const char *log_level_name(enum log_level level);

/** Sends lines somewhere else; NULL puts standard error back. For tests. */
void log_set_sink(
	void (*sink)(const char *line, size_t len, void *arg), void *arg);

/** Use the macros below. fields end with LOG_TYPE_END. */
void log_write(enum log_level level, struct log_site *site, const char *event,
	const struct log_field *fields);

#define LOG_AT(level, site, event, ...)                                        \
	do {                                                                   \
		if (log_enabled(level))                                        \
			log_write(level, site, event,                          \
				(const struct log_field[]){                    \
					__VA_ARGS__ __VA_OPT__(, ){            \
						.type = LOG_TYPE_END}});       \
	} while (0)
#define LOG_PEER_AT(level, event, ...)                                         \
	do {                                                                   \
		static struct log_site log_site_;                              \
		LOG_AT(level, &log_site_, event, __VA_ARGS__);                 \
	} while (0)

#define log_err(event, ...) LOG_AT(LOG_LEVEL_ERR, NULL, event, __VA_ARGS__)
#define log_warning(event, ...)                                                \
	LOG_AT(LOG_LEVEL_WARNING, NULL, event, __VA_ARGS__)
#define log_notice(event, ...)                                                 \
	LOG_AT(LOG_LEVEL_NOTICE, NULL, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_LEVEL_INFO, NULL, event, __VA_ARGS__)
#define log_debug(event, ...) LOG_AT(LOG_LEVEL_DEBUG, NULL, event, __VA_ARGS__)

#define log_peer_warning(event, ...)                                           \
	LOG_PEER_AT(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_peer_info(event, ...)                                              \
	LOG_PEER_AT(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_peer_debug(event, ...)                                             \
	LOG_PEER_AT(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
