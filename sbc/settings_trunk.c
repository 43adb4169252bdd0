// SPDX-License-Identifier: Apache-2.0
/*
 * What a trunk's row may say: its sources, targets, number rules and header
 * rules. As settings_check.c, of which it is the largest kind of row.
 */
#include <stdlib.h>
#include <string.h>

#include "sbc/hdr_rule.h"
#include "sbc/pattern.h"
#include "sbc/route.h"
#include "sbc/settings_check.h"
#include "sbc/text.h"

#define RULES_MAX    256
#define SOURCES_MAX  1024
#define TARGETS_MAX  64
#define PREFIXES_MAX 64

static int read_source(struct settings_build *b, const struct trunk *trunk,
	const Gh__TrunkSource *row, struct trunk_source *source)
{
	char shown[SETTINGS_SHOW_SIZE];

	settings_show(row->network, shown);
	if (addr_net_parse(row->network, &source->network))
		return settings_problem(
			b, "source \"%s\" is no network", shown);
	/* A trunk is known by its source alone: everybody is no source. */
	if (!source->network.prefix_len)
		return settings_problem(
			b, "source \"%s\" is every address there is", shown);
	if ((unsigned)row->transport > GH__TRANSPORT__TRANSPORT_WSS)
		return settings_problem(
			b, "source \"%s\" has an unknown transport", shown);
	source->transport = row->transport;
	if (!*row->listen)
		return 0;
	if (addr_parse(row->listen, &source->listen))
		return settings_problem(b, "local address \"%s\" is none",
			settings_show(row->listen, shown));
	for (size_t i = 0; i < trunk->realm->n_addresses; i++) {
		const struct realm_address *address =
			&trunk->realm->addresses[i];

		if (address->row->transport == source->transport &&
			addr_equal_ip(&address->listen, &source->listen) &&
			(!source->listen.port ||
				source->listen.port == address->listen.port))
			return 0;
	}
	return settings_problem(b,
		"local address \"%s\" is none of its realm's with that "
		"transport",
		settings_show(row->listen, shown));
}

static int read_sources(struct settings_build *b, struct trunk *trunk)
{
	size_t n = trunk->row->n_sources;
	int err = 0;

	if (n > SOURCES_MAX)
		return settings_problem(b, "more than %d sources", SOURCES_MAX);
	trunk->sources = calloc(n + 1, sizeof(*trunk->sources));
	if (!trunk->sources)
		return ERR_NOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		err = read_source(
			b, trunk, trunk->row->sources[i], &trunk->sources[i]);
		trunk->n_sources++;
	}
	return err;
}

static bool realm_has_transport(
	const struct realm *realm, Gh__Transport transport)
{
	for (size_t i = 0; i < realm->n_addresses; i++)
		if (realm->addresses[i].row->transport == transport)
			return true;
	return false;
}

static int check_target(struct settings_build *b, const struct trunk *trunk,
	const Gh__TrunkTarget *row)
{
	char shown[SETTINGS_SHOW_SIZE];
	struct addr addr;

	settings_show(row->host, shown);
	if (!text_is_host(row->host))
		return settings_problem(
			b, "target \"%s\" is no host name or address", shown);
	if (!addr_parse(row->host, &addr) &&
		(addr_is_any(&addr) || addr_is_multicast(&addr)))
		return settings_problem(
			b, "target \"%s\" names no host", shown);
	if (row->port > UINT16_MAX)
		return settings_problem(b, "target \"%s\" has port %u", shown,
			(unsigned)row->port);
	if ((unsigned)row->transport > GH__TRANSPORT__TRANSPORT_WSS)
		return settings_problem(
			b, "target \"%s\" has an unknown transport", shown);
	if (trunk->row->enabled &&
		!realm_has_transport(trunk->realm, row->transport))
		return settings_problem(b,
			"target \"%s\": its realm has no address with that "
			"transport",
			shown);
	return 0;
}

/** "\0" to "\9" only for groups that are there, else plain number text. */
static bool is_replacement(const Gh__NumberRule *row, unsigned n_groups)
{
	const char *s = row->replace;

	if (strnlen(s, ROUTE_NUMBER_SIZE + 1) > ROUTE_NUMBER_SIZE)
		return false;
	for (; *s; s++) {
		if (row->regex && *s == '\\') {
			s++;
			if (!text_is_digit(*s) ||
				(unsigned)(*s - '0') > n_groups)
				return false;
		} else if (!text_is_alnum(*s) && !strchr("+*#-_.!~'", *s)) {
			return false;
		}
	}
	return true;
}

static int read_rule(struct settings_build *b, const Gh__NumberRule *row,
	struct number_rule *rule)
{
	char shown[SETTINGS_SHOW_SIZE], why[PATTERN_WHY_SIZE];
	unsigned n_groups = 0;

	settings_show(row->match, shown);
	rule->row = row;
	if ((unsigned)row->scope > GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER)
		return settings_problem(
			b, "number rule \"%s\" has an unknown scope", shown);
	if (row->regex) {
		if (pattern_compile(row->match, &rule->regex, &n_groups, why))
			return settings_problem(
				b, "number rule \"%s\": %s", shown, why);
	} else if (strnlen(row->match, 33) > 32) {
		return settings_problem(
			b, "number rule \"%s\" is too long", shown);
	}
	if (!is_replacement(row, n_groups)) {
		if (row->regex)
			regfree(&rule->regex);
		return settings_problem(b,
			"number rule \"%s\" puts in what no number has, or a "
			"group that is not there",
			shown);
	}
	return 0;
}

static int cmp_rule(const void *a, const void *b)
{
	const Gh__NumberRule *x = *(Gh__NumberRule *const *)a;
	const Gh__NumberRule *y = *(Gh__NumberRule *const *)b;

	return (x->priority > y->priority) - (x->priority < y->priority);
}

/** By priority; rules of one priority keep the order that they came in. */
static void sort_rules(Gh__NumberRule **rows, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		Gh__NumberRule *row = rows[i];
		size_t k = i;

		for (; k > 0 && cmp_rule(&rows[k - 1], &row) > 0; k--)
			rows[k] = rows[k - 1];
		rows[k] = row;
	}
}

static int read_rules(struct settings_build *b, struct trunk *trunk)
{
	Gh__NumberRule *rows[RULES_MAX];
	size_t n = trunk->row->n_rules;
	int err;

	if (n > RULES_MAX)
		return settings_problem(
			b, "more than %d number rules", RULES_MAX);
	if (n)
		memcpy(rows, trunk->row->rules, n * sizeof(rows[0]));
	sort_rules(rows, n);
	/* Compiled expressions are used where they stand: no moving later. */
	trunk->rules = calloc(n + 1, sizeof(*trunk->rules));
	if (!trunk->rules)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		err = read_rule(b, rows[i], &trunk->rules[i]);
		if (err)
			return err;
		trunk->n_rules++;
	}
	return 0;
}

static int check_header_rules(struct settings_build *b, const Gh__Trunk *row)
{
	char shown[SETTINGS_SHOW_SIZE];

	if (row->n_header_rules > HDR_RULES_MAX)
		return settings_problem(
			b, "more than %d header rules", HDR_RULES_MAX);
	for (size_t i = 0; i < row->n_header_rules; i++) {
		const char *why = hdr_rule_check(row->header_rules[i]);

		if (why)
			return settings_problem(b, "header rule \"%s\": %s",
				settings_show(
					row->header_rules[i]->name, shown),
				why);
	}
	return 0;
}

static bool is_user(const char *text)
{
	size_t len = strnlen(text, 101);

	for (size_t i = 0; i < len; i++)
		if (!text_is_alnum(text[i]) &&
			!strchr("-_.!~*'()&=+$,;?/%", text[i]))
			return false;
	return len && len <= 100;
}

static int check_trunk_hosts(struct settings_build *b, const Gh__Trunk *row)
{
	char host[256];
	int err = 0;

	if (*row->host)
		err = settings_read_host(
			b, "host", row->host, 0, host, sizeof(host));
	if (err)
		return err;
	if (*row->contact_user && !is_user(row->contact_user))
		return settings_problem(b, "contact_user is no user part");
	if (*row->from_user && (strlen(row->from_user) >= ROUTE_NUMBER_SIZE ||
				       !is_user(row->from_user)))
		return settings_problem(b, "from_user is no user part");
	if (*row->domain && !text_is_host(row->domain))
		return settings_problem(b, "domain is no host name or address");
	if (row->registers && !is_user(row->register_user))
		return settings_problem(
			b, "registers and has no usable register_user");
	if (row->registers && !row->n_targets)
		return settings_problem(b, "registers and has no target");
	return 0;
}

static int check_trunk_numbers(struct settings_build *b, const Gh__Trunk *row)
{
	if ((unsigned)row->srtp > GH__SRTP_POLICY__SRTP_REQUIRED)
		return settings_problem(b, "the SRTP policy is not known");
	if ((unsigned)row->called_from > GH__CALLED_FROM__CALLED_DIVERSION ||
		(unsigned)row->caller_from >
			GH__CALLER_FROM__CALLER_P_PREFERRED ||
		(unsigned)row->caller_to > GH__CALLER_FROM__CALLER_P_PREFERRED)
		return settings_problem(b,
			"called_from, caller_from or caller_to is not known");
	if (row->limit_code && (row->limit_code < 400 || row->limit_code > 699))
		return settings_problem(
			b, "limit_code is not within 400 to 699");
	if (row->n_called_prefixes > PREFIXES_MAX)
		return settings_problem(
			b, "more than %d called_prefixes", PREFIXES_MAX);
	if (row->registers && row->register_expires_s &&
		(row->register_expires_s < 30 ||
			row->register_expires_s > 604800))
		return settings_problem(
			b, "register_expires_s is not within 30 to 604800");
	if (row->options_interval_s > 86400)
		return settings_problem(b, "options_interval_s is over 86400");
	if (row->session_expires_s &&
		(row->session_expires_s < 90 || row->session_expires_s > 86400))
		return settings_problem(b, "session_expires_s is not 0 or "
					   "within 90 to 86400 (RFC 4028)");
	if (row->ring_timeout_s > 3600)
		return settings_problem(b, "ring_timeout_s is over 3600");
	return 0;
}

int settings_check_trunk(struct settings_build *b, struct trunk *trunk)
{
	const Gh__Trunk *row = trunk->row;
	int err;

	settings_row(b, "trunk", row->id, row->name);
	err = settings_check_name(b);
	if (err)
		return err;
	trunk->realm = settings_realm(b->s, row->realm);
	if (!trunk->realm)
		return settings_problem(
			b, "realm %u does not exist", (unsigned)row->realm);
	err = settings_check_codecs(b, row->codec_list, true);
	if (!err)
		err = check_trunk_numbers(b, row);
	if (!err)
		err = check_trunk_hosts(b, row);
	if (!err && row->n_targets > TARGETS_MAX)
		err = settings_problem(b, "more than %d targets", TARGETS_MAX);
	for (size_t i = 0; i < row->n_targets && !err; i++)
		err = check_target(b, trunk, row->targets[i]);
	if (!err)
		err = read_sources(b, trunk);
	if (!err)
		err = settings_read_nets(b, "media network",
			row->media_networks, row->n_media_networks,
			&trunk->media_networks, &trunk->n_media_networks);
	if (!err)
		err = read_rules(b, trunk);
	return err ? err : check_header_rules(b, row);
}
