/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings snapshot that authd pushes: realms, trunks, routes, codec
 * lists, limits. A snapshot is collected piece by piece, checked as a whole,
 * and takes the old one's place only if every row fits; a call keeps the
 * snapshot that it began with (reference counted). It holds no account and no
 * secret. Pure: no socket, no loop.
 *
 * Rows stay the protobuf rows (row); what a lookup needs parsed stands beside.
 */
#ifndef SBC_SETTINGS_H
#define SBC_SETTINGS_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

#define SETTINGS_PROBLEM_SIZE 256

/** One bound address of a realm. */
struct realm_address {
	const Gh__RealmAddress *row;
	const struct realm *realm;
	struct addr listen;        /* where SIP is received */
	struct addr media;         /* ip that media binds to */
	char advertised_host[256]; /* host[:port] for Via and Contact; IPv6 in
				      brackets */
	struct addr advertised_media; /* ip in SDP */
};

struct realm {
	const Gh__Realm *row;
	struct realm_address *addresses;
	size_t n_addresses;
	struct addr_net *acl;
	size_t n_acl;
};

struct trunk_source {
	struct addr_net network;
	struct addr listen; /* unset = any address of the realm */
	Gh__Transport transport;
};

/** A compiled number_rule row. */
struct number_rule {
	const Gh__NumberRule *row;
	regex_t regex; /* only if row->regex */
};

struct trunk {
	const Gh__Trunk *row;
	const struct realm *realm;
	struct trunk_source *sources;
	size_t n_sources;
	struct addr_net *media_networks;
	size_t n_media_networks;
	struct number_rule *rules; /* by priority */
	size_t n_rules;
};

struct route {
	const Gh__Route *row;
	regex_t called_regex; /* only if row->called_regex */
	bool compiled;        /* called_regex is to be freed */
};

/** One trunk's source in the order in which it is looked up: by family, the
 * longest prefix first, then the network, then the trunk's id. */
struct source_entry {
	struct addr_net network;
	const struct trunk *trunk;
	const struct trunk_source *source;
};

struct settings {
	unsigned n_refs;
	uint64_t version;
	struct realm *realms;
	size_t n_realms;
	struct trunk *trunks;
	size_t n_trunks;
	struct route *routes; /* emergency first, then by priority */
	size_t n_routes;
	struct source_entry *sources; /* of all trunks in service */
	size_t n_sources;
	Gh__CodecList **codec_lists;
	size_t n_codec_lists;
	Gh__BlockedCaller **blocked_callers;
	size_t n_blocked_callers;
	Gh__Setting **settings;
	size_t n_settings;
	Gh__SettingsPiece **pieces; /* own the rows above */
	size_t n_pieces;
};

/** Pieces of a snapshot that is arriving. */
struct settings_collector;

GH_MUST_CHECK int settings_collector_new(struct settings_collector **c_out);
void settings_collector_free(struct settings_collector **c);

/**
 * Takes one piece (a copy is made). A piece of a newer version drops what was
 * collected of an older one.
 * @return 0, ERR_NOMEM, or ERR_FULL over SETTINGS_PIECES_MAX.
 */
GH_MUST_CHECK int settings_collect(
	struct settings_collector *c, const Gh__SettingsPiece *piece);
#define SETTINGS_PIECES_MAX 100000u

/**
 * Checks the collected pieces against SettingsDone and builds the snapshot
 * (one reference, the caller's). The collector is empty afterwards.
 * @param reason_out	SETTINGS_INVALID or SETTINGS_INCOMPLETE on failure.
 * @param problem	SETTINGS_PROBLEM_SIZE bytes: which row and why.
 * @return 0, ERR_INVALID, ERR_TRUNCATED, or ERR_NOMEM.
 */
GH_MUST_CHECK int settings_finish(struct settings_collector *c,
	const Gh__SettingsDone *done, struct settings **settings_out,
	enum reason *reason_out, char *problem);

struct settings *settings_ref(struct settings *s);
/** Safe on NULL. */
void settings_unref(struct settings **s);

const struct realm *settings_realm(const struct settings *s, uint32_t id);
const struct trunk *settings_trunk(const struct settings *s, uint32_t id);
const Gh__CodecList *settings_codec_list(const struct settings *s, uint32_t id);
/** The realm address with this listening address and transport, or NULL. */
const struct realm_address *settings_listener(const struct settings *s,
	const struct addr *listen, Gh__Transport transport);
/** The trunks that may send from source to this listener, each once: the
 * longest network first, then the lower id. @return how many, max at most. */
size_t settings_trunks_by_source(const struct settings *s,
	const struct addr *source, const struct realm_address *listener,
	const struct trunk **trunks_out, size_t max);
/** The first of them, or NULL. */
const struct trunk *settings_trunk_by_source(const struct settings *s,
	const struct addr *source, const struct realm_address *listener);
/** May this trunk send from source to this listener? */
bool trunk_accepts(const struct trunk *t, const struct addr *source,
	const struct realm_address *listener);
/** The realm's access list; an empty list admits all. */
bool realm_admits(const struct realm *r, const struct addr *source);
/** A served domain, or the advertised or bound address of the realm. Case is
 * ignored; a port is not part of host. */
bool realm_serves(const struct realm *r, const char *host);
/** The realm's address of this family and transport, or NULL. */
const struct realm_address *realm_address_for(
	const struct realm *r, sa_family_t family, Gh__Transport transport);

/**
 * A number from sbc.setting within [min, max]; def if absent or out of range
 * (settings_finish() has refused rows of known names that do not fit).
 */
uint64_t settings_number(const struct settings *s, const char *name,
	uint64_t def, uint64_t min, uint64_t max);

#endif
