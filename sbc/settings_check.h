/* SPDX-License-Identifier: Apache-2.0 */
/* Between settings.c, which collects and looks up, and the checks of rows. */
#ifndef SBC_SETTINGS_CHECK_H
#define SBC_SETTINGS_CHECK_H

#include "sbc/settings.h"

/** A snapshot under construction and where its problem goes. */
struct settings_build {
	struct settings *s;
	char *problem;    /* SETTINGS_PROBLEM_SIZE */
	const char *kind; /* of the row under check */
	uint32_t id;
	const char *name;
};

/** Writes "trunk 3 "itsp": ..." as the problem. @return ERR_INVALID. */
int settings_problem(struct settings_build *b, const char *fmt, ...)
	GH_PRINTF(2, 3);
/** The row that problems speak of from now on. name may be NULL. */
void settings_row(struct settings_build *b, const char *kind, uint32_t id,
	const char *name);

/** Up to 40 characters of a row's text as a problem may show them. */
#define SETTINGS_SHOW_SIZE 48
const char *settings_show(const char *text, char shown[SETTINGS_SHOW_SIZE]);

/* One per kind of row; rows they refer to have been put in place before. Each
 * fills the parsed part and returns 0, ERR_INVALID with the problem written,
 * or ERR_NOMEM. */
GH_MUST_CHECK int settings_check_codec_list(
	struct settings_build *b, const Gh__CodecList *row);
GH_MUST_CHECK int settings_check_realm(
	struct settings_build *b, struct realm *realm);
GH_MUST_CHECK int settings_check_trunk(
	struct settings_build *b, struct trunk *trunk);
GH_MUST_CHECK int settings_check_route(
	struct settings_build *b, struct route *route);
GH_MUST_CHECK int settings_check_blocked(
	struct settings_build *b, const Gh__BlockedCaller *row);
GH_MUST_CHECK int settings_check_setting(
	struct settings_build *b, const Gh__Setting *row);

/** Checks id and name, which every named row has. */
GH_MUST_CHECK int settings_check_name(struct settings_build *b);
/** A reference to a codec list; 0 is allowed only where it means another. */
GH_MUST_CHECK int settings_check_codecs(
	struct settings_build *b, uint32_t id, bool may_be_0);
/** Reads networks. what is the column's name for the problem. */
GH_MUST_CHECK int settings_read_nets(struct settings_build *b, const char *what,
	char *const *rows, size_t n_rows, struct addr_net **nets_out,
	size_t *n_out);
/** host[:port] of our own into a text for Via and Contact.
 * @param port	appended where the row has none and it is not the default. */
GH_MUST_CHECK int settings_read_host(struct settings_build *b, const char *what,
	const char *row, uint16_t port, char *out, size_t size);

#endif
