/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of hdr share among themselves; hdr.h is for everybody else. */
#ifndef SBC_HDR_PART_H
#define SBC_HDR_PART_H

#include <stdbool.h>
#include <stddef.h>

#include "sbc/hdr.h"
#include "sbc/hdr_rule.h"
#include "sbc/text.h"

/** Lines of a message under construction, in order; texts live in home. */
struct hdr_list {
	su_home_t *home;
	struct {
		const char *name;
		const char *value;
	} lines[HDR_LINES_MAX];
	size_t n;
};

/** Adds "name: value"; a NULL value (out of memory) and lines over the bound
 * are left out. */
void hdr_list_add(struct hdr_list *list, const char *name, const char *value);
void hdr_list_remove(struct hdr_list *list, const char *name);
/** All lines as one text; "" if none or out of memory. */
const char *hdr_list_text(const struct hdr_list *list);

/** What a carrier may know beside the message. */
struct hdr_carry {
	const sip_t *in;
	const struct hdr_side *from;
	const struct hdr_side *to;
};
/** Writes a header anew from what it means. */
typedef void (*hdr_carry_fn)(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);

enum hdr_action {
	HDR_BUILD,  /* ours, or none: never taken from the other side */
	HDR_CARRY,  /* written anew after checking, between the kinds named */
	HDR_POLICY, /* the same, if a trunk's rule says so */
	HDR_DROP,
	HDR_ACTION_COUNT,
};

/** Kinds of sides as bits. */
enum {
	ON_TRUNK = 1 << SIDE_TRUNK,
	ON_PBX = 1 << SIDE_PBX,
	ON_PHONE = 1 << SIDE_PHONE,
	ON_ANY = ON_TRUNK | ON_PBX | ON_PHONE,
};

struct hdr_row {
	const char *name;
	const char *compact; /* RFC 3261 7.3.3; NULL = none */
	enum hdr_action action;
	unsigned from, to; /* kinds that it crosses between */
	hdr_carry_fn carry;
	bool removable; /* built by us, and a rule may take it out */
};

/** THE table; n_out is its length. */
const struct hdr_row *hdr_table(size_t *n_out);
/** The row of a header's name or compact form, or NULL. */
const struct hdr_row *hdr_find(const char *name);

// ------------------------------------------------------------- hdr_carry.c

/** A telephone number of the sending side as the receiving side writes it.
 * @return false for what is none. */
bool hdr_carry_number(const struct hdr_carry *c, struct span uri,
	char out[ROUTE_NUMBER_SIZE]);
void hdr_carry_diversion(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_reason(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_priority(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_alert_info(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_call_info(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_answer_mode(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_user_to_user(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_early_media(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);
void hdr_carry_identity(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);

// -------------------------------------------------------------- hdr_body.c

/** The content of the first part of this type: of a multipart body, or the
 * body itself. @return false if there is none. */
bool hdr_part_of(const sip_t *sip, const char *type, struct span *part_out);

// ----------------------------------------------------------- hdr_history.c

void hdr_carry_history(
	const struct hdr_carry *c, const char *name, struct hdr_list *list);

// -------------------------------------------------------------- hdr_text.c

/** The value of the next header of this name that sofia-sip has no class for;
 * *after = NULL begins. NULL at the end. */
const char *hdr_unknown(
	const sip_t *sip, const char *name, const sip_unknown_t **after);
/** One element of a header of the name-addr kind, as it was written. */
struct hdr_addr {
	struct span display; /* with its quotes */
	struct span uri;
	struct span params; /* behind the URI, from the first ; on */
};
/** Takes the next element off a value that may hold several, separated by
 * commas. @return false at the end or at what is no name-addr. */
bool hdr_addr_next(struct span *rest, struct hdr_addr *addr_out);
/** The value of a parameter, quotes taken off; no value gives an empty one. */
bool hdr_param(struct span params, const char *name, struct span *value_out);
/** The user part of a sip:, sips: or tel: URI, still escaped. */
bool hdr_uri_user(struct span uri, struct span *user_out);

/** A display name in quotes with a blank behind it; "" for none. */
const char *hdr_quote(const char *display, su_home_t *home);
/** A user part with everything escaped that has to be (RFC 3261 25.1). */
const char *hdr_user(const char *user, su_home_t *home);
/** A host without its port, IPv6 in brackets. */
const char *hdr_host(const char *host, su_home_t *home);
/** Our domain towards a side, for the right of the @. */
const char *hdr_domain(const struct hdr_side *side, su_home_t *home);
/** name-addr of a caller or called towards a side; trunk: the side's, or NULL.
 */
const char *hdr_name_addr(const struct trunk *trunk, const char *display,
	const char *user, const char *domain, su_home_t *home);

#endif
