/* SPDX-License-Identifier: Apache-2.0 */
#include "flowd/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/* Where sbc names no limit. */
#define HEADER_DEFAULT       16384u
#define BODY_DEFAULT         16384u
#define SEPARATORS_MAX       1200u
#define LINES_MAX            160u
#define MESSAGE_DEFAULT_MS   10000u
#define HANDSHAKE_DEFAULT_MS 10000u
#define FIRST_DEFAULT_MS     30000u
/* Longer than a phone's registration that lasts an hour. */
#define IDLE_DEFAULT_MS      3900000u
#define TIME_MAX_MS          86400000u
#define MESSAGE_BYTES_MAX    262144u
#define PER_SOURCE_DEFAULT   100u

static const char *const transport_names[] = {
	[GH__TRANSPORT__TRANSPORT_UDP] = "UDP",
	[GH__TRANSPORT__TRANSPORT_TCP] = "TCP",
	[GH__TRANSPORT__TRANSPORT_TLS] = "TLS",
	[GH__TRANSPORT__TRANSPORT_WS] = "WS",
	[GH__TRANSPORT__TRANSPORT_WSS] = "WSS",
};

const char *transport_name(Gh__Transport t)
{
	return (unsigned)t < sizeof(transport_names) / sizeof(*transport_names)
		       ? transport_names[t]
		       : "?";
}

bool transport_is_secure(Gh__Transport t)
{
	return t == GH__TRANSPORT__TRANSPORT_TLS ||
	       t == GH__TRANSPORT__TRANSPORT_WSS;
}

struct face *face_new(uint32_t realm, const struct addr *listen,
	Gh__Transport transport, const char *advertised)
{
	struct face *face = calloc(1, sizeof(*face));

	if (!face)
		return NULL;
	face->n_refs = 1;
	face->realm = realm;
	face->listen = *listen;
	face->transport = transport;
	if (advertised[0])
		snprintf(face->advertised, sizeof(face->advertised), "%s",
			advertised);
	else
		addr_format(listen, face->advertised);
	return face;
}

struct face *face_ref(struct face *face)
{
	face->n_refs++;
	return face;
}

void face_unref(struct face **face)
{
	if (*face && --(*face)->n_refs == 0)
		free(*face);
	*face = NULL;
}

static int bad(char *problem, const char *what, const char *value)
{
	snprintf(problem, CONFIG_PROBLEM_SIZE, "%s: \"%.100s\"", what, value);
	return ERR_INVALID;
}

static int copy_texts(char **from, size_t n, char ***to, size_t *n_out)
{
	*to = calloc(n ? n : 1, sizeof(**to));
	if (!*to)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		(*to)[i] = strdup(from[i]);
		if (!(*to)[i])
			return ERR_NOMEM;
		*n_out = i + 1;
	}
	return 0;
}

static int copy_nets(char **from, size_t n, struct addr_net **to, size_t *n_out,
	char *problem)
{
	if (n > CONFIG_NETWORKS_MAX)
		return bad(problem, "too many networks", "");
	*to = calloc(n ? n : 1, sizeof(**to));
	if (!*to)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		if (addr_net_parse(from[i], &(*to)[i]))
			return bad(problem, "no network", from[i]);
	*n_out = n;
	return 0;
}

/* What peers see must be a host or address with an optional port. */
static bool is_sent_by(const char *text)
{
	if (strlen(text) >= CONFIG_HOST_SIZE)
		return false;
	for (const char *p = text; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			    (*p >= '0' && *p <= '9') || strchr("-._:[]", *p)))
			return false;
	return true;
}

static int read_listener(
	const Gh__FlowListener *m, struct config_listener *l, char *problem)
{
	struct addr listen;
	int err;

	if (addr_parse(m->listen, &listen) || listen.port == 0)
		return bad(problem, "no address to listen on", m->listen);
	if (m->transport != GH__TRANSPORT__TRANSPORT_TCP &&
		m->transport != GH__TRANSPORT__TRANSPORT_TLS)
		return bad(problem, "no transport for a connection", m->listen);
	if (!is_sent_by(m->advertised))
		return bad(problem, "no host to advertise", m->advertised);
	if (device_name_copy(m->device, l->device))
		return bad(problem, "no name of a device", m->device);
	if (transport_is_secure(m->transport) && m->n_certificates == 0)
		return bad(problem, "TLS without a certificate", m->listen);
	l->face = face_new(m->realm, &listen, m->transport, m->advertised);
	l->client_ca = strdup(m->client_ca);
	if (!l->face || !l->client_ca)
		return ERR_NOMEM;
	l->client_required = m->client_required;
	err = copy_texts(m->certificates, m->n_certificates, &l->certificates,
		&l->n_certificates);
	if (!err)
		err = copy_texts(m->client_pins, m->n_client_pins,
			&l->client_pins, &l->n_client_pins);
	if (!err)
		err = copy_nets(m->acl, m->n_acl, &l->acl, &l->n_acl, problem);
	if (!err)
		err = copy_nets(m->trunk_networks, m->n_trunk_networks,
			&l->trunk_networks, &l->n_trunk_networks, problem);
	return err;
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

static void free_listener(struct config_listener *l)
{
	face_unref(&l->face);
	free_texts(l->certificates, l->n_certificates);
	free_texts(l->client_pins, l->n_client_pins);
	free(l->client_ca);
	free(l->acl);
	free(l->trunk_networks);
}

static uint64_t time_us(uint32_t ms, uint32_t def_ms)
{
	uint32_t v = ms ? ms : def_ms;

	return (v > TIME_MAX_MS ? TIME_MAX_MS : v) * CLOCK_US_PER_MS;
}

static size_t bytes_of(uint32_t v, uint32_t def)
{
	if (v == 0)
		v = def;
	return v > MESSAGE_BYTES_MAX ? MESSAGE_BYTES_MAX : v < 512 ? 512 : v;
}

static int read_all(const Gh__FlowConfig *m, struct config *c, char *problem)
{
	int err;

	c->version = m->version;
	if (addr_parse(m->bridge, &c->bridge) || c->bridge.port == 0 ||
		!addr_is_loopback(&c->bridge))
		return bad(
			problem, "no loopback address to bridge to", m->bridge);
	if (m->n_listeners > CONFIG_LISTENERS_MAX)
		return bad(problem, "too many listeners", "");
	if (strlen(m->tls_min) >= sizeof(c->tls_min))
		return bad(problem, "no TLS version", m->tls_min);
	snprintf(c->tls_min, sizeof(c->tls_min), "%s", m->tls_min);
	c->tls_ciphers = strdup(m->tls_ciphers);
	c->listeners = calloc(
		m->n_listeners ? m->n_listeners : 1, sizeof(*c->listeners));
	if (!c->tls_ciphers || !c->listeners)
		return ERR_NOMEM;
	for (; c->n_listeners < m->n_listeners; c->n_listeners++) {
		err = read_listener(m->listeners[c->n_listeners],
			&c->listeners[c->n_listeners], problem);
		if (err) {
			c->n_listeners++; /* what it has is freed */
			return err;
		}
	}
	c->max_flows = m->max_flows;
	c->max_flows_per_source = m->max_flows_per_source
					  ? m->max_flows_per_source
					  : PER_SOURCE_DEFAULT;
	c->reserve_known = m->reserve_known;
	c->limits = (struct flow_limits){
		.frame = {bytes_of(m->header_max, HEADER_DEFAULT),
			bytes_of(m->body_max, BODY_DEFAULT), LINES_MAX,
			SEPARATORS_MAX},
		.message_us =
			time_us(m->message_timeout_ms, MESSAGE_DEFAULT_MS),
		.handshake_us =
			time_us(m->handshake_timeout_ms, HANDSHAKE_DEFAULT_MS),
		.idle_us = time_us(m->idle_timeout_ms, IDLE_DEFAULT_MS),
		.first_message_us =
			time_us(m->first_message_timeout_ms, FIRST_DEFAULT_MS),
	};
	return 0;
}

int config_new(
	const Gh__FlowConfig *msg, struct config **config_out, char *problem)
{
	struct config *c = calloc(1, sizeof(*c));
	int err;

	snprintf(problem, CONFIG_PROBLEM_SIZE, "out of memory");
	if (!c)
		return ERR_NOMEM;
	err = read_all(msg, c, problem);
	if (err) {
		config_free(&c);
		return err;
	}
	*config_out = c;
	return 0;
}

void config_free(struct config **config)
{
	struct config *c = *config;

	*config = NULL;
	if (!c)
		return;
	for (size_t i = 0; i < c->n_listeners; i++)
		free_listener(&c->listeners[i]);
	free(c->listeners);
	free(c->tls_ciphers);
	free(c);
}
