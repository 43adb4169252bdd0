// SPDX-License-Identifier: Apache-2.0
/*
 * What rows of a snapshot may say: realms, codec lists, routes, block list,
 * settings by name (trunks: settings_trunk.c). Every reference exists, every
 * address parses, every number lies in its range; the first row that does not
 * fit is named in one line with the reason. The database refuses most of this
 * already; here it is refused again, because a snapshot may come from a saved
 * copy or from a database that somebody changed by force.
 */
#include "sbc/settings_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/device.h"
#include "sbc/event_body.h"
#include "sbc/pattern.h"
#include "sbc/route.h"
#include "sbc/sdp_codec.h"
#include "sbc/text.h"

#define NAME_MAX_CHARS 128
#define PREFIX_LEN_MAX 32
#define PORT_LOWEST    1024
#define EXPIRES_MAX_S  604800
#define TIMEOUT_MAX_S  3600
#define SIP_PORT       5060
#define SIP_TLS_PORT   5061

const char *settings_show(const char *text, char shown[SETTINGS_SHOW_SIZE])
{
	size_t n = 0;

	for (; text[n] && n < SETTINGS_SHOW_SIZE - 8; n++)
		shown[n] = text[n] > 0x1f && text[n] < 0x7f && text[n] != '"'
				   ? text[n]
				   : '?';
	shown[n] = '\0';
	return shown;
}

void settings_row(struct settings_build *b, const char *kind, uint32_t id,
	const char *name)
{
	b->kind = kind;
	b->id = id;
	b->name = name;
}

int settings_problem(struct settings_build *b, const char *fmt, ...)
{
	char what[SETTINGS_PROBLEM_SIZE], shown[SETTINGS_SHOW_SIZE];
	struct writer w;
	va_list args;
	size_t room;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	writer_init(&w, b->problem, SETTINGS_PROBLEM_SIZE);
	writer_add(&w, "%s %u", b->kind, (unsigned)b->id);
	if (b->name)
		writer_add(&w, " \"%s\"", settings_show(b->name, shown));
	room = w.size - w.len - 3;
	writer_add(&w, ": %.*s", (int)room, what);
	return ERR_INVALID;
}

int settings_check_name(struct settings_build *b)
{
	if (!b->id)
		return settings_problem(b, "the id is 0");
	if (!*b->name || !text_is_plain(b->name, NAME_MAX_CHARS))
		return settings_problem(
			b, "the name is empty, too long or not printable");
	return 0;
}

int settings_check_codecs(struct settings_build *b, uint32_t id, bool may_be_0)
{
	if (!id && may_be_0)
		return 0;
	if (!settings_codec_list(b->s, id))
		return settings_problem(
			b, "codec list %u does not exist", (unsigned)id);
	return 0;
}

int settings_read_nets(struct settings_build *b, const char *what,
	char *const *rows, size_t n_rows, struct addr_net **nets_out,
	size_t *n_out)
{
	char shown[SETTINGS_SHOW_SIZE];
	struct addr_net *nets;

	if (!n_rows)
		return 0;
	nets = calloc(n_rows, sizeof(*nets));
	if (!nets)
		return ERR_NOMEM;
	for (size_t i = 0; i < n_rows; i++)
		if (addr_net_parse(rows[i], &nets[i])) {
			free(nets);
			return settings_problem(b, "%s: \"%s\" is no network",
				what, settings_show(rows[i], shown));
		}
	*nets_out = nets;
	*n_out = n_rows;
	return 0;
}

/** Splits host, host:port, ip:port, [ip]:port. @return 0 or ERR_INVALID. */
static int split_host(const char *text, char *host, size_t size, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	struct addr addr;
	uint64_t n = 0;

	*port = 0;
	if (!addr_parse(text, &addr)) {
		char ip[ADDR_TEXT_SIZE];

		*port = addr.port;
		if (addr_is_any(&addr) || addr_is_multicast(&addr))
			return ERR_INVALID;
		addr_format_ip(&addr, ip);
		return snprintf(host, size,
			       addr.family == AF_INET6 ? "[%s]" : "%s",
			       ip) < (int)size
			       ? 0
			       : ERR_INVALID;
	}
	if (span_copy((struct span){text,
			      colon ? (size_t)(colon - text) : strlen(text)},
		    host, size) ||
		!text_is_host(host))
		return ERR_INVALID;
	if (colon && (span_number(span_of(colon + 1), UINT16_MAX, &n) || !n))
		return ERR_INVALID;
	*port = (uint16_t)n;
	return 0;
}

int settings_read_host(struct settings_build *b, const char *what,
	const char *row, uint16_t port, char *out, size_t size)
{
	char host[256], shown[SETTINGS_SHOW_SIZE];
	uint16_t own = 0;
	int n;

	if (split_host(row, host, sizeof(host), &own))
		return settings_problem(b, "%s: \"%s\" is no host or host:port",
			what, settings_show(row, shown));
	if (own || port)
		n = snprintf(out, size, "%s:%u", host, own ? own : port);
	else
		n = snprintf(out, size, "%s", host);
	if (n < 0 || (size_t)n >= size)
		return settings_problem(b, "%s is too long", what);
	return 0;
}

// ------------------------------------------------------------- codec lists

static int check_codec(
	struct settings_build *b, const Gh__Codec *row, bool *audio)
{
	const struct sdp_codec *any = sdp_codec_find(span_of(row->name), 0, 0);
	const struct sdp_codec *codec =
		sdp_codec_find(span_of(row->name), row->clock, row->channels);
	char shown[SETTINGS_SHOW_SIZE];

	settings_show(row->name, shown);
	if (!any)
		return settings_problem(b, "codec \"%s\" is not known", shown);
	if (!codec)
		return settings_problem(b,
			"codec \"%s\" has no clock %u with %u channels in SDP; "
			"it has %u with %u",
			shown, (unsigned)row->clock, (unsigned)row->channels,
			(unsigned)any->clock, (unsigned)any->channels);
	*audio |= codec->kind == CODEC_AUDIO;
	return 0;
}

int settings_check_codec_list(
	struct settings_build *b, const Gh__CodecList *row)
{
	bool audio = false;
	int err;

	settings_row(b, "codec list", row->id, row->name);
	err = settings_check_name(b);
	if (err)
		return err;
	if (row->n_codecs > SDP_PAYLOADS_MAX)
		return settings_problem(
			b, "more than %d codecs", SDP_PAYLOADS_MAX);
	for (size_t i = 0; i < row->n_codecs && !err; i++)
		err = check_codec(b, row->codecs[i], &audio);
	if (!err && !audio)
		return settings_problem(b, "no audio codec is in it");
	return err;
}

// ------------------------------------------------------------------ realms

static uint16_t default_port(Gh__Transport transport)
{
	return transport == GH__TRANSPORT__TRANSPORT_TLS ||
			       transport == GH__TRANSPORT__TRANSPORT_WSS
		       ? SIP_TLS_PORT
		       : SIP_PORT;
}

static bool is_host_address(const struct addr *addr)
{
	return addr_is_set(addr) && !addr_is_any(addr) &&
	       !addr_is_multicast(addr);
}

static int read_listen(struct settings_build *b, struct realm_address *address)
{
	const Gh__RealmAddress *row = address->row;
	char shown[SETTINGS_SHOW_SIZE], text[ADDR_TEXT_SIZE];
	uint16_t port;

	settings_show(row->listen, shown);
	if (addr_parse(row->listen, &address->listen) || !address->listen.port)
		return settings_problem(
			b, "listen: \"%s\" is no ip:port", shown);
	if (!is_host_address(&address->listen))
		return settings_problem(
			b, "listen: \"%s\" names no address of a host", shown);
	if ((unsigned)row->transport > GH__TRANSPORT__TRANSPORT_WSS)
		return settings_problem(
			b, "listen: \"%s\" has an unknown transport", shown);
	if (!*row->advertised_sip) {
		snprintf(address->advertised_host,
			sizeof(address->advertised_host), "%s",
			addr_format(&address->listen, text));
		return 0;
	}
	/* A bare host means the default port to everybody who reads it. */
	port = address->listen.port == default_port(row->transport)
		       ? 0
		       : address->listen.port;
	return settings_read_host(b, "advertised_sip", row->advertised_sip,
		port, address->advertised_host,
		sizeof(address->advertised_host));
}

static int read_media(struct settings_build *b, struct realm_address *address)
{
	const Gh__RealmAddress *row = address->row;
	char shown[SETTINGS_SHOW_SIZE];

	address->media = address->listen;
	address->media.port = 0;
	if (*row->media && (addr_parse(row->media, &address->media) ||
				   address->media.port ||
				   !is_host_address(&address->media)))
		return settings_problem(b,
			"media: \"%s\" is no address of a host",
			settings_show(row->media, shown));
	address->advertised_media = address->media;
	if (!*row->advertised_media)
		return 0;
	if (addr_parse(row->advertised_media, &address->advertised_media) ||
		address->advertised_media.port ||
		!is_host_address(&address->advertised_media))
		return settings_problem(b,
			"advertised_media: \"%s\" is no address of a host",
			settings_show(row->advertised_media, shown));
	if (address->advertised_media.family != address->media.family)
		return settings_problem(b,
			"advertised_media: \"%s\" is of another family than "
			"media",
			settings_show(row->advertised_media, shown));
	return 0;
}

/* A media address is one place: all that name it name one device. */
static int check_device(
	struct settings_build *b, const struct realm_address *address)
{
	const Gh__RealmAddress *row = address->row;
	char shown[SETTINGS_SHOW_SIZE], text[ADDR_TEXT_SIZE];

	if (*row->device && !device_name_ok(row->device))
		return settings_problem(b, "device: \"%s\" is no name of one",
			settings_show(row->device, shown));
	if (*row->media_device && !device_name_ok(row->media_device))
		return settings_problem(b,
			"media_device: \"%s\" is no name of one",
			settings_show(row->media_device, shown));
	for (size_t i = 0; i < b->s->n_realms; i++) {
		const struct realm *r = &b->s->realms[i];

		for (size_t k = 0; k < r->n_addresses; k++)
			if (addr_equal_ip(
				    &r->addresses[k].media, &address->media) &&
				strcmp(r->addresses[k].row->media_device,
					row->media_device) != 0)
				return settings_problem(b,
					"media: %s is on two devices",
					addr_format_ip(&address->media, text));
	}
	return 0;
}

static int read_addresses(struct settings_build *b, struct realm *realm)
{
	char text[ADDR_TEXT_SIZE];
	int err;

	realm->addresses =
		calloc(realm->row->n_addresses + 1, sizeof(*realm->addresses));
	if (!realm->addresses)
		return ERR_NOMEM;
	for (size_t i = 0; i < realm->row->n_addresses; i++) {
		struct realm_address *address = &realm->addresses[i];

		address->row = realm->row->addresses[i];
		address->realm = realm;
		err = read_listen(b, address);
		if (!err)
			err = read_media(b, address);
		if (!err)
			err = check_device(b, address);
		if (err)
			return err;
		if (settings_listener(
			    b->s, &address->listen, address->row->transport))
			return settings_problem(b,
				"%s is listened on twice with one transport",
				addr_format(&address->listen, text));
		realm->n_addresses++;
	}
	return 0;
}

static int check_digest(struct settings_build *b, const Gh__Realm *row)
{
	if (row->phones && !*row->digest_realm)
		return settings_problem(b, "has phones and no digest_realm");
	if (!text_is_plain(row->digest_realm, NAME_MAX_CHARS) ||
		strpbrk(row->digest_realm, "\"\\"))
		return settings_problem(b,
			"digest_realm is too long or has a quote or backslash");
	for (size_t i = 0; i < row->n_digest; i++)
		if ((unsigned)row->digest[i]->algorithm >
				GH__ALGORITHM__ALGORITHM_SHA512_256 ||
			(unsigned)row->digest[i]->qop > GH__QOP__QOP_AUTH_INT)
			return settings_problem(
				b, "digest offer %zu is not known", i + 1);
	return 0;
}

static int check_expires(struct settings_build *b, const Gh__Realm *row)
{
	uint32_t max = row->expires_max_s ? row->expires_max_s : EXPIRES_MAX_S;
	uint32_t def = row->expires_default_s ? row->expires_default_s : max;

	if (max > EXPIRES_MAX_S || def > max || row->expires_min_s > def)
		return settings_problem(b,
			"expires: %u <= %u <= %u <= %u does not hold",
			(unsigned)row->expires_min_s,
			(unsigned)row->expires_default_s,
			(unsigned)row->expires_max_s, EXPIRES_MAX_S);
	return 0;
}

static int check_realm_words(struct settings_build *b, const Gh__Realm *row)
{
	char shown[SETTINGS_SHOW_SIZE];

	for (size_t i = 0; i < row->n_domains; i++)
		if (!text_is_host(row->domains[i]))
			return settings_problem(b,
				"domain \"%s\" is no host name",
				settings_show(row->domains[i], shown));
	for (size_t i = 0; i < row->n_event_packages; i++)
		if (!event_package_find(row->event_packages[i]))
			return settings_problem(b,
				"event package \"%s\" is not known",
				settings_show(row->event_packages[i], shown));
	for (size_t i = 0; i < row->n_message_types; i++)
		if (strcmp(row->message_types[i], "text/plain") != 0 &&
			strcmp(row->message_types[i], "text/html") != 0)
			return settings_problem(b,
				"message type \"%s\" is not known",
				settings_show(row->message_types[i], shown));
	return 0;
}

int settings_check_realm(struct settings_build *b, struct realm *realm)
{
	const Gh__Realm *row = realm->row;
	int err;

	settings_row(b, "realm", row->id, row->name);
	err = settings_check_name(b);
	if (err)
		return err;
	if ((unsigned)row->zone > GH__ZONE__ZONE_INSIDE)
		return settings_problem(b, "the zone is not known");
	if ((unsigned)row->srtp > GH__SRTP_POLICY__SRTP_REQUIRED)
		return settings_problem(b, "the SRTP policy is not known");
	if (row->media_port_min < PORT_LOWEST ||
		row->media_port_max > UINT16_MAX ||
		row->media_port_min >= row->media_port_max)
		return settings_problem(b,
			"media ports %u to %u are no range within 1024 to "
			"65535",
			(unsigned)row->media_port_min,
			(unsigned)row->media_port_max);
	if (row->max_contacts > 1000)
		return settings_problem(b, "max_contacts is over 1000");
	err = settings_check_codecs(b, row->codec_list, false);
	if (!err)
		err = check_realm_words(b, row);
	if (!err)
		err = check_digest(b, row);
	if (!err)
		err = check_expires(b, row);
	if (!err)
		err = settings_read_nets(b, "acl", row->acl, row->n_acl,
			&realm->acl, &realm->n_acl);
	return err ? err : read_addresses(b, realm);
}

// ------------------------------------------------------------------ routes

/** A prefix: what a clean number can begin with. */
static bool is_prefix(const char *text)
{
	size_t len = strnlen(text, PREFIX_LEN_MAX + 1);

	for (size_t i = 0; i < len; i++)
		if (!text_is_alnum(text[i]) && !strchr("+*#-_.!~'", text[i]))
			return false;
	return len <= PREFIX_LEN_MAX;
}

static int check_route_targets(struct settings_build *b, const Gh__Route *row)
{
	if (row->action == GH__ROUTE_ACTION__ROUTE_TO_TRUNK && !row->n_targets)
		return settings_problem(b, "leads to a trunk and names none");
	if (row->n_targets > ROUTE_TARGETS_MAX)
		return settings_problem(
			b, "more than %d targets", ROUTE_TARGETS_MAX);
	for (size_t i = 0; i < row->n_targets; i++)
		if (!settings_trunk(b->s, row->targets[i]->trunk))
			return settings_problem(b, "trunk %u does not exist",
				(unsigned)row->targets[i]->trunk);
	for (size_t i = 0; i < row->n_failover_causes; i++)
		if (row->failover_causes[i] < 300 ||
			row->failover_causes[i] > 699)
			return settings_problem(b,
				"failover cause %u is no SIP code from 300 to "
				"699",
				(unsigned)row->failover_causes[i]);
	return 0;
}

static int check_route_match(struct settings_build *b, struct route *route)
{
	const Gh__Route *row = route->row;
	char why[PATTERN_WHY_SIZE];
	unsigned n_groups = 0;

	if (!is_prefix(row->caller_match))
		return settings_problem(
			b, "caller_match is no prefix of a number");
	if (!row->called_regex)
		return is_prefix(row->called_match)
			       ? 0
			       : settings_problem(b, "called_match is no "
						     "prefix of a number");
	if (pattern_compile(
		    row->called_match, &route->called_regex, &n_groups, why))
		return settings_problem(b, "called_match: %s", why);
	route->compiled = true;
	return 0;
}

int settings_check_route(struct settings_build *b, struct route *route)
{
	const Gh__Route *row = route->row;
	int err;

	settings_row(b, "route", row->id, row->name);
	err = settings_check_name(b);
	if (err)
		return err;
	if ((unsigned)row->from > GH__ROUTE_SOURCE__ROUTE_FROM_TRUNK)
		return settings_problem(b, "the source is not known");
	if ((unsigned)row->action > GH__ROUTE_ACTION__ROUTE_REJECT)
		return settings_problem(b, "the action is not known");
	if (row->from == GH__ROUTE_SOURCE__ROUTE_FROM_TRUNK &&
		!settings_trunk(b->s, row->from_trunk))
		return settings_problem(b, "source trunk %u does not exist",
			(unsigned)row->from_trunk);
	if (row->timeout_s > TIMEOUT_MAX_S)
		return settings_problem(
			b, "timeout_s is over %d", TIMEOUT_MAX_S);
	if (row->reject_code &&
		(row->reject_code < 400 || row->reject_code > 699))
		return settings_problem(b,
			"reject_code %u is no SIP code from 400 to 699",
			(unsigned)row->reject_code);
	if (row->emergency && row->action != GH__ROUTE_ACTION__ROUTE_TO_TRUNK)
		return settings_problem(
			b, "is for emergencies and leads to no trunk");
	if (*row->destination_class &&
		!text_is_token(row->destination_class, 64))
		return settings_problem(b, "destination_class is no word");
	if (row->emergency && !*row->called_match)
		return settings_problem(
			b, "is for emergencies and names no number");
	err = check_route_targets(b, row);
	return err ? err : check_route_match(b, route);
}

// ---------------------------------------------------- block list, settings

int settings_check_blocked(
	struct settings_build *b, const Gh__BlockedCaller *row)
{
	settings_row(b, "blocked caller of trunk", row->trunk, row->match);
	if (row->trunk && !settings_trunk(b->s, row->trunk))
		return settings_problem(b, "the trunk does not exist");
	if (row->anonymous == !!*row->match)
		return settings_problem(b, "names a number or anonymous "
					   "callers, not both or none");
	if (!is_prefix(row->match))
		return settings_problem(b, "is no prefix of a number");
	return 0;
}

/* Settings that sbc reads; a name that is not here is another process's, or a
 * newer version's, and passes. */
static const struct {
	const char *name;
	uint64_t min, max;
} known[] = {
	{"max_calls", 0, 1000000},
	{"nonce_lifetime_s", 10, 86400},
	{"media_timeout_s", 2, 3600},
	{"media_lease_ms", 1000, 600000},
	{"media_quarantine_ms", 0, 600000},
	{"media_coalesce_us", 0, 1000},
	{"rtcp_interval_ms", 500, 60000},
	{"sip_t1_ms", 50, 5000},
	{"sip_t2_ms", 100, 60000},
	{"sip_t4_ms", 100, 60000},
	{"setup_timeout_s", 5, 3600},
	{"ring_timeout_s", 5, 3600},
	{"max_duration_s", 0, 604800},
	{"session_expires_s", 0, 86400},
	{"session_min_se_s", 5, 3600},
	{"ring_serial_s", 1, 600},
	{"unknown_rate", 1, 100000},
	{"source_rate", 1, 100000},
	{"trusted_rate", 1, 100000},
	{"trunk_rate", 1, 1000000},
	{"keepalive_s", 10, 300},
	{"retry_after_s", 1, 600},
	{"max_flows", 0, 1000000},
	{"max_flows_per_source", 1, 1000000},
	{"flows_reserved", 0, 1000000},
	{"flow_header_max", 1024, 65536},
	{"flow_body_max", 1024, 65536},
	{"flow_message_timeout_ms", 100, 600000},
	{"flow_handshake_timeout_ms", 100, 600000},
	{"flow_first_message_timeout_ms", 100, 600000},
	{"flow_idle_timeout_ms", 1000, 86400000},
	{"max_subscriptions", 0, 1000000},
	{"max_subscriptions_per_account", 1, 10000},
	{"event_expires_min_s", 1, 3600},
	{"event_expires_max_s", 60, 86400},
	{"message_max_bytes", 1, 8000},
};

int settings_check_setting(struct settings_build *b, const Gh__Setting *row)
{
	char shown[SETTINGS_SHOW_SIZE];
	uint64_t n = 0;

	settings_row(b, "setting", 0, row->name);
	if (!text_is_token(row->name, 64))
		return settings_problem(b, "the name is no word");
	if (!text_is_plain(row->value, 1024))
		return settings_problem(
			b, "the value is too long or not printable");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, row->name))
			continue;
		if (span_number(span_of(row->value), known[i].max, &n) ||
			n < known[i].min)
			return settings_problem(b,
				"\"%s\" is no number from %llu to %llu",
				settings_show(row->value, shown),
				(unsigned long long)known[i].min,
				(unsigned long long)known[i].max);
	}
	return 0;
}
