/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot as flowd needs it: a listener for each TCP or TLS address of a
 * realm with its certificates, access list and trunks, and the limits.
 */
#include "sbc/flow_inner.h"

#include <stdlib.h>

#include "common/log.h"

#define LISTENERS_MAX 256u
#define PINS_MAX      16u

/* The texts that a config's messages point to. */
struct config_text {
	Gh__FlowListener rows[LISTENERS_MAX];
	Gh__FlowListener *list[LISTENERS_MAX];
	char *certificates[LISTENERS_MAX][1];
	char **trunk_networks[LISTENERS_MAX];
	char *pins[LISTENERS_MAX][PINS_MAX];
	size_t n;
};

static size_t count_sources(
	const struct settings *s, const struct realm_address *a)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_sources; i++)
		n += s->sources[i].trunk->realm == a->realm;
	return n;
}

static void list_sources(const struct settings *s,
	const struct realm_address *a, Gh__FlowListener *row)
{
	for (size_t i = 0; i < s->n_trunks; i++) {
		const struct trunk *t = &s->trunks[i];

		for (size_t k = 0; t->realm == a->realm && t->row->enabled &&
				   k < t->row->n_sources;
			k++)
			row->trunk_networks[row->n_trunk_networks++] =
				t->row->sources[k]->network;
	}
}

static size_t count_rows(
	const struct settings *s, const struct realm_address *a)
{
	size_t n = count_sources(s, a);

	for (size_t i = 0; i < s->n_trunks; i++)
		n += s->trunks[i].row->n_sources;
	return n;
}

/* Keys that trunks of the realm are known by. */
static void list_pins(const struct settings *s, const struct realm_address *a,
	Gh__FlowListener *row)
{
	for (size_t i = 0; i < s->n_trunks; i++) {
		const struct trunk *t = &s->trunks[i];

		if (t->realm == a->realm && t->row->enabled &&
			t->row->tls_pin[0] && row->n_client_pins < PINS_MAX)
			row->client_pins[row->n_client_pins++] =
				t->row->tls_pin;
	}
}

static int add_listener(struct config_text *c, const struct settings *s,
	const struct realm_address *a)
{
	Gh__FlowListener *row = &c->rows[c->n];

	if (c->n == LISTENERS_MAX)
		return ERR_FULL;
	c->trunk_networks[c->n] = calloc(count_rows(s, a) + 1, sizeof(char *));
	if (!c->trunk_networks[c->n])
		return ERR_NOMEM;
	gh__flow_listener__init(row);
	row->realm = a->realm->row->id;
	row->listen = a->row->listen;
	row->transport = a->row->transport;
	row->device = a->row->device;
	row->advertised = (char *)(uintptr_t)a->advertised_host;
	row->acl = a->realm->row->acl;
	row->n_acl = a->realm->row->n_acl;
	row->trunk_networks = c->trunk_networks[c->n];
	list_sources(s, a, row);
	if (transport_is_secured(row->transport)) {
		/* Without a list the certificate bears the realm's name. */
		c->certificates[c->n][0] = a->realm->row->name;
		row->certificates = a->row->n_certificates
					    ? a->row->certificates
					    : c->certificates[c->n];
		row->n_certificates =
			a->row->n_certificates ? a->row->n_certificates : 1;
		row->client_ca = a->row->client_ca;
		row->client_pins = c->pins[c->n];
		list_pins(s, a, row);
	}
	c->list[c->n++] = row;
	return 0;
}

static uint32_t number(const struct settings *s, const char *name, uint32_t def,
	uint32_t min, uint32_t max)
{
	return (uint32_t)settings_number(s, name, def, min, max);
}

void flow_send_config(struct flows *flows, struct ipc_link *via)
{
	const struct settings *s = flows->sbc->settings;
	struct config_text *c = calloc(1, sizeof(*c));
	Gh__FlowConfig m = GH__FLOW_CONFIG__INIT;
	char bridge[ADDR_TEXT_SIZE];

	if (!c)
		return;
	for (size_t i = 0; i < s->n_realms; i++)
		for (size_t k = 0; k < s->realms[i].n_addresses; k++) {
			const struct realm_address *a =
				&s->realms[i].addresses[k];

			if (transport_is_stream(a->row->transport) &&
				add_listener(c, s, a) != 0)
				log_err("flow_listener_lost",
					LOG_ADDR("listen", &a->listen));
		}
	m.version = ++flows->version;
	addr_format(&flows->bridge, bridge);
	m.bridge = bridge;
	m.listeners = c->list;
	m.n_listeners = c->n;
	m.max_flows = number(s, "max_flows", 0, 0, FLOWS_MAX);
	m.max_flows_per_source =
		number(s, "max_flows_per_source", 100, 1, FLOWS_MAX);
	m.reserve_known = number(s, "flows_reserved", 100, 0, FLOWS_MAX);
	m.header_max = number(s, "flow_header_max", 16384, 1024, 65536);
	m.body_max = number(s, "flow_body_max", 16384, 1024, 65536);
	m.message_timeout_ms =
		number(s, "flow_message_timeout_ms", 10000, 100, 600000);
	m.handshake_timeout_ms =
		number(s, "flow_handshake_timeout_ms", 10000, 100, 600000);
	m.idle_timeout_ms =
		number(s, "flow_idle_timeout_ms", 3900000, 1000, 86400000);
	m.first_message_timeout_ms =
		number(s, "flow_first_message_timeout_ms", 30000, 100, 600000);
	IPC_MSG(msg, FLOW_CONFIG, flow_config, &m);
	flow_say(via, &msg);
	for (size_t i = 0; i < c->n; i++)
		free(c->trunk_networks[i]);
	free(c);
}
