// SPDX-License-Identifier: Apache-2.0
/*
 * Collects the pieces of a snapshot, builds it, and answers look-ups in it.
 * What a row may say is decided in settings_check*.c; what is done with it, by
 * its users. Pure: authd.c (sbc's link to authd) feeds it, sbc_apply() puts a
 * finished snapshot in force, every call holds a reference to the one it began
 * with. Rows come from the database through another process and are hostile
 * until checked; one row that does not fit refuses the whole snapshot.
 */
#include "sbc/settings.h"

#include <stdlib.h>
#include <string.h>

#include "sbc/settings_check.h"
#include "sbc/text.h"

struct settings_collector {
	uint64_t version;
	Gh__SettingsPiece **pieces; /* copies */
	size_t n_pieces;
	size_t size;
};

static void collector_empty(struct settings_collector *c)
{
	for (size_t i = 0; i < c->n_pieces; i++)
		gh__settings_piece__free_unpacked(c->pieces[i], NULL);
	free(c->pieces);
	memset(c, 0, sizeof(*c));
}

int settings_collector_new(struct settings_collector **c_out)
{
	struct settings_collector *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	*c_out = c;
	return 0;
}

void settings_collector_free(struct settings_collector **c)
{
	if (!*c)
		return;
	collector_empty(*c);
	free(*c);
	*c = NULL;
}

static Gh__SettingsPiece *piece_copy(const Gh__SettingsPiece *piece)
{
	size_t len = gh__settings_piece__get_packed_size(piece);
	uint8_t *bytes = malloc(len ? len : 1);
	Gh__SettingsPiece *copy = NULL;

	if (!bytes)
		return NULL;
	gh__settings_piece__pack(piece, bytes);
	copy = gh__settings_piece__unpack(NULL, len, bytes);
	free(bytes);
	return copy;
}

static int collector_grow(struct settings_collector *c)
{
	size_t size = c->size ? c->size * 2 : 64;
	Gh__SettingsPiece **pieces;

	if (c->n_pieces < c->size)
		return 0;
	pieces = realloc(c->pieces, size * sizeof(Gh__SettingsPiece *));
	if (!pieces)
		return ERR_NOMEM;
	c->pieces = pieces;
	c->size = size;
	return 0;
}

int settings_collect(
	struct settings_collector *c, const Gh__SettingsPiece *piece)
{
	int err;

	/* A link keeps the order, so another version has begun anew: what was
	 * collected before it will never be finished. */
	if (c->n_pieces && piece->version != c->version)
		collector_empty(c);
	c->version = piece->version;
	if (c->n_pieces >= SETTINGS_PIECES_MAX)
		return ERR_FULL;
	err = collector_grow(c);
	if (err)
		return err;
	c->pieces[c->n_pieces] = piece_copy(piece);
	if (!c->pieces[c->n_pieces])
		return ERR_NOMEM;
	c->n_pieces++;
	return 0;
}

static void trunk_done(struct trunk *trunk)
{
	for (size_t i = 0; i < trunk->n_rules; i++)
		if (trunk->rules[i].row->regex)
			regfree(&trunk->rules[i].regex);
	free(trunk->rules);
	free(trunk->sources);
	free(trunk->media_networks);
}

static void settings_free(struct settings *s)
{
	for (size_t i = 0; i < s->n_realms; i++) {
		free(s->realms[i].addresses);
		free(s->realms[i].acl);
	}
	for (size_t i = 0; i < s->n_trunks; i++)
		trunk_done(&s->trunks[i]);
	for (size_t i = 0; i < s->n_routes; i++)
		if (s->routes[i].compiled)
			regfree(&s->routes[i].called_regex);
	for (size_t i = 0; i < s->n_pieces; i++)
		gh__settings_piece__free_unpacked(s->pieces[i], NULL);
	free(s->realms);
	free(s->trunks);
	free(s->routes);
	free(s->sources);
	free(s->codec_lists);
	free(s->blocked_callers);
	free(s->settings);
	free(s->pieces);
	free(s);
}

struct settings *settings_ref(struct settings *s)
{
	s->n_refs++;
	return s;
}

void settings_unref(struct settings **s)
{
	if (*s && --(*s)->n_refs == 0)
		settings_free(*s);
	*s = NULL;
}

/** Room for every kind, as much as there are pieces of it. */
static int make_room(struct settings *s)
{
	size_t n[GH__SETTINGS_PIECE__PIECE_SETTING + 1] = {0};

	for (size_t i = 0; i < s->n_pieces; i++)
		n[s->pieces[i]->piece_case]++;
	s->realms = calloc(
		n[GH__SETTINGS_PIECE__PIECE_REALM] + 1, sizeof(*s->realms));
	s->trunks = calloc(
		n[GH__SETTINGS_PIECE__PIECE_TRUNK] + 1, sizeof(*s->trunks));
	s->routes = calloc(
		n[GH__SETTINGS_PIECE__PIECE_ROUTE] + 1, sizeof(*s->routes));
	s->codec_lists = calloc(n[GH__SETTINGS_PIECE__PIECE_CODEC_LIST] + 1,
		sizeof(Gh__CodecList *));
	s->blocked_callers =
		calloc(n[GH__SETTINGS_PIECE__PIECE_BLOCKED_CALLER] + 1,
			sizeof(Gh__BlockedCaller *));
	s->settings = calloc(n[GH__SETTINGS_PIECE__PIECE_SETTING] + 1,
		sizeof(Gh__Setting *));
	if (!s->realms || !s->trunks || !s->routes || !s->codec_lists ||
		!s->blocked_callers || !s->settings)
		return ERR_NOMEM;
	return 0;
}

static void place_piece(struct settings *s, const Gh__SettingsPiece *piece)
{
	switch (piece->piece_case) {
	case GH__SETTINGS_PIECE__PIECE_REALM:
		s->realms[s->n_realms++].row = piece->realm;
		break;
	case GH__SETTINGS_PIECE__PIECE_TRUNK:
		s->trunks[s->n_trunks++].row = piece->trunk;
		break;
	case GH__SETTINGS_PIECE__PIECE_ROUTE:
		s->routes[s->n_routes++].row = piece->route;
		break;
	case GH__SETTINGS_PIECE__PIECE_CODEC_LIST:
		s->codec_lists[s->n_codec_lists++] = piece->codec_list;
		break;
	case GH__SETTINGS_PIECE__PIECE_BLOCKED_CALLER:
		s->blocked_callers[s->n_blocked_callers++] =
			piece->blocked_caller;
		break;
	default:
		s->settings[s->n_settings++] = piece->setting;
		break;
	}
}

static int by_number(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_realm(const void *a, const void *b)
{
	return by_number(((const struct realm *)a)->row->id,
		((const struct realm *)b)->row->id);
}

static int cmp_trunk(const void *a, const void *b)
{
	return by_number(((const struct trunk *)a)->row->id,
		((const struct trunk *)b)->row->id);
}

static int cmp_codec_list(const void *a, const void *b)
{
	return by_number((*(Gh__CodecList *const *)a)->id,
		(*(Gh__CodecList *const *)b)->id);
}

/** A reject for a prefix must not swallow an emergency number, so emergency
 * rows come first whatever their priority. */
static int cmp_route(const void *a, const void *b)
{
	const Gh__Route *x = ((const struct route *)a)->row;
	const Gh__Route *y = ((const struct route *)b)->row;
	int order = by_number(y->emergency, x->emergency);

	if (!order)
		order = by_number(x->priority, y->priority);
	return order ? order : by_number(x->id, y->id);
}

static int cmp_ip(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip));
}

/** Family, longest prefix, network; the group that one look-up walks. */
static int cmp_network(const struct addr_net *a, const struct addr_net *b)
{
	int order = by_number(a->base.family, b->base.family);

	if (!order)
		order = by_number(b->prefix_len, a->prefix_len);
	return order ? order : cmp_ip(&a->base, &b->base);
}

static int cmp_source(const void *a, const void *b)
{
	const struct source_entry *x = a, *y = b;
	int order = cmp_network(&x->network, &y->network);

	return order ? order : by_number(x->trunk->row->id, y->trunk->row->id);
}

static int check_ids(struct settings_build *b)
{
	const struct settings *s = b->s;

	for (size_t i = 1; i < s->n_realms; i++)
		if (s->realms[i].row->id == s->realms[i - 1].row->id) {
			settings_row(b, "realm", s->realms[i].row->id, NULL);
			return settings_problem(b, "the id is there twice");
		}
	for (size_t i = 1; i < s->n_trunks; i++)
		if (s->trunks[i].row->id == s->trunks[i - 1].row->id) {
			settings_row(b, "trunk", s->trunks[i].row->id, NULL);
			return settings_problem(b, "the id is there twice");
		}
	for (size_t i = 1; i < s->n_codec_lists; i++)
		if (s->codec_lists[i]->id == s->codec_lists[i - 1]->id) {
			settings_row(
				b, "codec list", s->codec_lists[i]->id, NULL);
			return settings_problem(b, "the id is there twice");
		}
	return 0;
}

static int check_rows(struct settings_build *b)
{
	struct settings *s = b->s;
	int err = check_ids(b);

	for (size_t i = 0; i < s->n_codec_lists && !err; i++)
		err = settings_check_codec_list(b, s->codec_lists[i]);
	for (size_t i = 0; i < s->n_realms && !err; i++)
		err = settings_check_realm(b, &s->realms[i]);
	for (size_t i = 0; i < s->n_trunks && !err; i++)
		err = settings_check_trunk(b, &s->trunks[i]);
	for (size_t i = 0; i < s->n_routes && !err; i++)
		err = settings_check_route(b, &s->routes[i]);
	for (size_t i = 0; i < s->n_blocked_callers && !err; i++)
		err = settings_check_blocked(b, s->blocked_callers[i]);
	for (size_t i = 0; i < s->n_settings && !err; i++)
		err = settings_check_setting(b, s->settings[i]);
	return err;
}

static int index_sources(struct settings *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_trunks; i++)
		n += s->trunks[i].n_sources;
	s->sources = calloc(n + 1, sizeof(*s->sources));
	if (!s->sources)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->n_trunks; i++) {
		const struct trunk *trunk = &s->trunks[i];

		if (!trunk->row->enabled)
			continue;
		for (size_t k = 0; k < trunk->n_sources; k++)
			s->sources[s->n_sources++] =
				(struct source_entry){trunk->sources[k].network,
					trunk, &trunk->sources[k]};
	}
	qsort(s->sources, s->n_sources, sizeof(*s->sources), cmp_source);
	return 0;
}

static int build(struct settings *s, char *problem)
{
	struct settings_build b = {.s = s, .problem = problem};
	int err;

	for (size_t i = 0; i < s->n_pieces; i++) {
		unsigned kind = (unsigned)s->pieces[i]->piece_case;

		settings_row(&b, "piece", (uint32_t)i + 1, NULL);
		if (kind < GH__SETTINGS_PIECE__PIECE_REALM ||
			kind > GH__SETTINGS_PIECE__PIECE_SETTING)
			return settings_problem(&b, "of an unknown kind");
	}
	err = make_room(s);
	if (err)
		return err;
	for (size_t i = 0; i < s->n_pieces; i++)
		place_piece(s, s->pieces[i]);
	qsort(s->realms, s->n_realms, sizeof(*s->realms), cmp_realm);
	qsort(s->trunks, s->n_trunks, sizeof(*s->trunks), cmp_trunk);
	qsort(s->routes, s->n_routes, sizeof(*s->routes), cmp_route);
	qsort(s->codec_lists, s->n_codec_lists, sizeof(Gh__CodecList *),
		cmp_codec_list);
	err = check_rows(&b);
	return err ? err : index_sources(s);
}

int settings_finish(struct settings_collector *c, const Gh__SettingsDone *done,
	struct settings **settings_out, enum reason *reason_out, char *problem)
{
	struct settings *s = NULL;
	struct writer w;
	int err;

	writer_init(&w, problem, SETTINGS_PROBLEM_SIZE);
	*reason_out = REASON_SETTINGS_INCOMPLETE;
	if (done->n_pieces != c->n_pieces ||
		(c->n_pieces && done->version != c->version)) {
		writer_add(&w,
			"version %llu has %u rows, %zu of version %llu arrived",
			(unsigned long long)done->version,
			(unsigned)done->n_pieces, c->n_pieces,
			(unsigned long long)c->version);
		collector_empty(c);
		return ERR_TRUNCATED;
	}
	*reason_out = REASON_SETTINGS_INVALID;
	s = calloc(1, sizeof(*s));
	if (!s) {
		writer_add(&w, "out of memory");
		collector_empty(c);
		return ERR_NOMEM;
	}
	s->n_refs = 1;
	s->version = done->version;
	s->pieces = c->pieces;
	s->n_pieces = c->n_pieces;
	memset(c, 0, sizeof(*c));
	err = build(s, problem);
	if (err) {
		if (err == ERR_NOMEM)
			writer_add(&w, "out of memory");
		settings_unref(&s);
		return err;
	}
	*reason_out = REASON_SETTINGS_OK;
	*settings_out = s;
	return 0;
}

const struct realm *settings_realm(const struct settings *s, uint32_t id)
{
	const Gh__Realm row = {.id = id};
	const struct realm key = {.row = &row};

	return bsearch(&key, s->realms, s->n_realms, sizeof(key), cmp_realm);
}

const struct trunk *settings_trunk(const struct settings *s, uint32_t id)
{
	const Gh__Trunk row = {.id = id};
	const struct trunk key = {.row = &row};

	return bsearch(&key, s->trunks, s->n_trunks, sizeof(key), cmp_trunk);
}

const Gh__CodecList *settings_codec_list(const struct settings *s, uint32_t id)
{
	Gh__CodecList row = {.id = id};
	Gh__CodecList *key = &row;
	Gh__CodecList **found = bsearch(&key, s->codec_lists, s->n_codec_lists,
		sizeof(key), cmp_codec_list);

	return found ? *found : NULL;
}

const struct realm_address *settings_listener(const struct settings *s,
	const struct addr *listen, Gh__Transport transport)
{
	for (size_t i = 0; i < s->n_realms; i++)
		for (size_t k = 0; k < s->realms[i].n_addresses; k++) {
			const struct realm_address *address =
				&s->realms[i].addresses[k];

			if (address->row->transport == transport &&
				addr_equal(&address->listen, listen))
				return address;
		}
	return NULL;
}

/** The network of this length that holds addr. */
static struct addr_net network_of(const struct addr *addr, uint8_t prefix_len)
{
	struct addr_net net = {.prefix_len = prefix_len};

	net.base.family = addr->family;
	for (unsigned i = 0; i < sizeof(net.base.ip); i++) {
		unsigned bits = prefix_len > i * 8 ? prefix_len - i * 8 : 0;
		unsigned mask = bits >= 8 ? 0xff : 0xff00u >> bits & 0xff;

		net.base.ip[i] = addr->ip[i] & (uint8_t)mask;
	}
	return net;
}

/** The first entry that is not before this network. */
static size_t first_source(
	const struct settings *s, const struct addr_net *network)
{
	size_t low = 0, high = s->n_sources;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cmp_network(&s->sources[mid].network, network) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool source_fits(const struct trunk_source *ts,
	const struct addr *source, const struct realm_address *listener)
{
	if (ts->transport != listener->row->transport)
		return false;
	if (addr_is_set(&ts->listen) &&
		(!addr_equal_ip(&ts->listen, &listener->listen) ||
			(ts->listen.port &&
				ts->listen.port != listener->listen.port)))
		return false;
	return addr_in_net(source, &ts->network);
}

/** Adds a trunk that is not there yet. */
static size_t add_match(
	const struct trunk **trunks, size_t n, const struct trunk *trunk)
{
	for (size_t i = 0; i < n; i++)
		if (trunks[i] == trunk)
			return n;
	trunks[n] = trunk;
	return n + 1;
}

size_t settings_trunks_by_source(const struct settings *s,
	const struct addr *source, const struct realm_address *listener,
	const struct trunk **trunks_out, size_t max)
{
	struct addr_net net = network_of(source, 128);
	size_t i = first_source(s, &net), n = 0;

	/* Every prefix length in use is one step; there are a handful. */
	while (i < s->n_sources &&
		s->sources[i].network.base.family == source->family) {
		uint8_t prefix_len = s->sources[i].network.prefix_len;

		net = network_of(source, prefix_len);
		for (i = first_source(s, &net);
			i < s->n_sources &&
			!cmp_network(&s->sources[i].network, &net);
			i++) {
			const struct source_entry *entry = &s->sources[i];

			if (entry->trunk->row->realm ==
					listener->realm->row->id &&
				source_fits(entry->source, source, listener))
				n = add_match(trunks_out, n, entry->trunk);
			if (n == max)
				return n;
		}
		memset(net.base.ip, 0xff, sizeof(net.base.ip));
		i = first_source(s, &net);
		while (i < s->n_sources &&
			s->sources[i].network.base.family == source->family &&
			s->sources[i].network.prefix_len == prefix_len)
			i++;
	}
	return n;
}

const struct trunk *settings_trunk_by_source(const struct settings *s,
	const struct addr *source, const struct realm_address *listener)
{
	const struct trunk *trunk = NULL;

	return settings_trunks_by_source(s, source, listener, &trunk, 1) ? trunk
									 : NULL;
}

bool trunk_accepts(const struct trunk *t, const struct addr *source,
	const struct realm_address *listener)
{
	if (!t->row->enabled || t->row->realm != listener->realm->row->id)
		return false;
	for (size_t i = 0; i < t->n_sources; i++)
		if (source_fits(&t->sources[i], source, listener))
			return true;
	return false;
}

bool realm_admits(const struct realm *r, const struct addr *source)
{
	for (size_t i = 0; i < r->n_acl; i++)
		if (addr_in_net(source, &r->acl[i]))
			return true;
	return r->n_acl == 0;
}

static bool same_host(const char *a, struct span b)
{
	struct addr addr_a, addr_b;
	char text[ADDR_TEXT_SIZE];

	if (span_is_word(b, a))
		return true;
	/* Two spellings of one IPv6 address. */
	if (addr_parse(a, &addr_a) || span_copy(b, text, sizeof(text)) ||
		addr_parse(text, &addr_b))
		return false;
	return addr_equal_ip(&addr_a, &addr_b);
}

/** Brackets, and the port of our own spelling, taken off. */
static struct span host_part(const char *text)
{
	struct span s = span_of(text), host = s;
	const char *colon = strrchr(text, ':');

	if (span_skip(&s, "[") && span_next(&s, ']', &host))
		return host;
	if (colon && strchr(text, ':') == colon)
		host.len = (size_t)(colon - text);
	return host;
}

bool realm_serves(const struct realm *r, const char *host)
{
	char ip[ADDR_TEXT_SIZE], plain[256];
	struct span asked = span_of(host), inner;

	if (span_skip(&asked, "[") && span_next(&asked, ']', &inner))
		asked = inner;
	else
		asked = span_of(host);
	if (asked.len > 1 && asked.at[asked.len - 1] == '.')
		asked.len--;
	if (!asked.len || span_copy(asked, plain, sizeof(plain)))
		return false;
	for (size_t i = 0; i < r->row->n_domains; i++)
		if (same_host(plain, host_part(r->row->domains[i])))
			return true;
	for (size_t i = 0; i < r->n_addresses; i++) {
		const struct realm_address *address = &r->addresses[i];

		addr_format_ip(&address->listen, ip);
		if (same_host(plain, span_of(ip)) ||
			same_host(plain, host_part(address->advertised_host)))
			return true;
	}
	return false;
}

const struct realm_address *realm_address_for(
	const struct realm *r, sa_family_t family, Gh__Transport transport)
{
	for (size_t i = 0; i < r->n_addresses; i++)
		if (r->addresses[i].listen.family == family &&
			r->addresses[i].row->transport == transport)
			return &r->addresses[i];
	return NULL;
}

uint64_t settings_number(const struct settings *s, const char *name,
	uint64_t def, uint64_t min, uint64_t max)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_settings; i++) {
		if (strcmp(s->settings[i]->name, name))
			continue;
		if (span_number(span_of(s->settings[i]->value), max, &n) ||
			n < min)
			return def;
		return n;
	}
	return def;
}
