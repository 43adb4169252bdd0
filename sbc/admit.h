/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may speak to us at all: source class, access list, ban, rate, sanity.
 * Two stages. admit_datagram() sees raw bytes before sofia-sip parses them and
 * must be cheap; admit_request() sees the parsed request outside a dialog.
 * Trunk realms never answer strangers; phone realms answer them only for
 * REGISTER (or INVITE where allowed) to a served domain; all else is silence.
 */
#ifndef SBC_ADMIT_H
#define SBC_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"
#include "sbc/settings.h"
#include "sbc/stack.h"

struct admit;

/** Class of a source; each has its own rate. */
enum admit_class {
	ADMIT_DENIED,
	ADMIT_UNKNOWN,
	ADMIT_PHONE, /* a live binding comes from this address and port */
	ADMIT_TRUNK,
	ADMIT_CLASS_COUNT,
};
const char *admit_class_name(enum admit_class c);
/** Is a User-Agent a scanning tool's? */
bool admit_is_scanner(const char *text);

GH_MUST_CHECK int admit_new(struct sbc *sbc, struct admit **admit_out);
void admit_free(struct admit **admit);

/** Raw bytes from a source at one of our sockets, before parsing.
 * @return REASON_ADMIT_OK, or why to drop it unread. */
enum reason admit_datagram(struct admit *admit, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len);

/** Class of a source at one of our sockets, without counting it. */
enum admit_class admit_class(struct admit *admit, const struct addr *source,
	const struct addr *local);

/** What admit_datagram() found last. */
enum admit_class admit_last_class(const struct admit *admit);

/** The rate of a request that came over a flow; connections of strangers are
 * limited by flowd. @return whether it may pass. */
bool admit_flow(struct admit *admit, const struct inbound *in);

/** A snapshot is in force: classes and rates are worked out anew. */
void admit_apply(struct admit *admit, const struct settings *settings);

/** A parsed request outside a dialog; fills in->trunk.
 * @return REASON_ADMIT_OK, or the refusal; reason_sip() 0 means silence. */
enum reason admit_request(struct admit *admit, struct inbound *in);

/** authd's Ban message. */
void admit_on_ban(struct admit *admit, const Gh__Ban *ban);

#endif
