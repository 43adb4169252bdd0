/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event packages and their bodies. A body is read, checked and written anew
 * from what it means: every URI has a host that the phone knows, every name of
 * a dialog or element is another one (the same for the same), and what the
 * package's list here does not have is not there any more. Pure.
 *
 *	message-summary	RFC 3842	lines of counts
 *	dialog		RFC 4235	event_dialog.c
 *	presence	RFC 3856, 3863	event_presence.c
 *	check-sync	no RFC		no body
 */
#ifndef SBC_EVENT_BODY_H
#define SBC_EVENT_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sofia-sip/su_alloc.h>

#include "common/err.h"
#include "common/reason.h"
#include "sbc/settings.h"
#include "sbc/text.h"

struct event_body;

struct event_package {
	const char *name;
	const char *type; /* of its bodies; NULL = it has none */
	bool subscribed;  /* phones may ask for it */
	bool unasked;     /* it may come without a subscription */
	/* Writes the body anew. @return EVENT_OK, EVENT_BODY or
	 * EVENT_BODY_TOO_BIG. */
	enum reason (*rebuild)(
		const struct event_body *b, struct span in, struct writer *out);
};

/** The package of this name, or NULL; case counts (RFC 6665 8.2.1). */
const struct event_package *event_package_find(const char *name);
/** Does the realm let the package pass? */
bool event_realm_has(const struct realm *realm, const struct event_package *p);
/** The realm's packages as a value for Allow-Events; "" if it has none. */
const char *event_realm_list(const struct realm *realm, su_home_t *home);

#define EVENT_IDS_KEY_SIZE 16
#define EVENT_ID_SIZE      27 /* 128 bits in base32 */

/** A dialog as its phone knows it. */
struct event_dialog {
	const char *call_id;
	const char *local_tag; /* the phone's */
	const char *remote_tag;
};

/** How names are changed. */
struct event_ids {
	uint8_t key[EVENT_IDS_KEY_SIZE];
	/** A dialog that runs through us, as the phone at its other side knows
	 * it; may be NULL. @return whether it is one. */
	bool (*find)(void *ctx, const char *call_id, const char *tag,
		const char *other_tag, struct event_dialog *out);
	void *ctx;
};

/** What a body is written for; all borrowed. */
struct event_body {
	su_home_t *home;
	const char *entity;        /* the URI that the phone asked for */
	const char *domain;        /* right of the @ in every other URI */
	const struct trunk *trunk; /* whose rules bring numbers into our form;
				      may be NULL */
	const struct event_ids *ids;
};

#define EVENT_BODY_MAX 16384 /* octets, in and out */

/**
 * A body of this package, written anew.
 * @param type	its Content-Type without parameters; NULL = none.
 * @param out	from b->home; NULL where the package, or this one, has no body.
 * @return EVENT_OK, EVENT_BODY, EVENT_BODY_TOO_BIG, ADMIT_CONTENT_TYPE, or
 *	CALL_INTERNAL without memory.
 */
enum reason event_body_rebuild(const struct event_package *package,
	const struct event_body *b, const char *type, struct span in,
	const char **out);

/* --- between event_*.c only --- */

enum reason event_dialog_rebuild(
	const struct event_body *b, struct span in, struct writer *out);
enum reason event_presence_rebuild(
	const struct event_body *b, struct span in, struct writer *out);

/** A name that stands for another one, always the same for the same. kind
 * keeps equal texts of different use apart. */
void event_id_make(const struct event_ids *ids, const char *kind,
	const char *text, char out[EVENT_ID_SIZE]);
/** "sip:user@domain" for a URI of the PBX, its number in our form; NULL for
 * one that is none of a user here. */
const char *event_uri(const struct event_body *b, struct span uri);
/** Words for a person: bounded, and without any character that an address, a
 * host name or a URI needs; "" for another text. */
const char *event_words(const struct event_body *b, const char *text);
/** Writes text as XML character data or attribute value. */
void event_xml_text(struct writer *w, const char *text);
/** Writes an attribute. */
void event_xml_attr(struct writer *w, const char *name, const char *value);
/** Reads a document that has to have this element at its root.
 * @return EVENT_OK, EVENT_BODY, EVENT_BODY_TOO_BIG or CALL_INTERNAL. */
struct xml_node;
enum reason event_xml_root(const struct event_body *b, struct span in,
	const char *ns, const char *name, const struct xml_node **root_out);
/** The one of our words that the text is, or NULL. */
const char *event_one_of(
	struct span s, const char *const *words, size_t n_words);
#define EVENT_ONE_OF(s, words)                                                 \
	event_one_of(s, words, sizeof(words) / sizeof((words)[0]))

#endif
