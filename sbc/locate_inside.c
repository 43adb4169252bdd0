/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is ours or inside, so that a name in somebody else's hands cannot aim
 * our calls there: an outside trunk's DNS would otherwise be a way to speak to
 * the PBX, or to us, as us. Private networks are not refused as such: an ITSP
 * may be reached over one.
 *
 * Called by locate.c through main.c, and by location_uri.c.
 */
#include "config.h"

#include "sbc/locate_inside.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

#include "sbc/text.h"

static uint8_t prefix_of(const struct sockaddr *mask, sa_family_t family)
{
	const uint8_t *bytes;
	size_t len;
	uint8_t bits = 0;

	if (family == AF_INET) {
		bytes = (const uint8_t *)&(
			(const struct sockaddr_in *)(const void *)mask)
				->sin_addr;
		len = 4;
	} else {
		bytes = (const uint8_t *)&(
			(const struct sockaddr_in6 *)(const void *)mask)
				->sin6_addr;
		len = 16;
	}
	for (size_t i = 0; i < len; i++) {
		for (uint8_t b = bytes[i]; b & 0x80; b = (uint8_t)(b << 1))
			bits++;
		if (bytes[i] != 0xff)
			break;
	}
	return bits;
}

int local_nets_read(struct local_nets *nets)
{
	struct ifaddrs *all = NULL;

	nets->n = 0;
	if (getifaddrs(&all) != 0)
		return ERR_SYSTEM;
	for (struct ifaddrs *i = all; i != NULL && nets->n < LOCAL_NETS_MAX;
		i = i->ifa_next) {
		socklen_t len;
		struct addr addr;

		if (i->ifa_addr == NULL || i->ifa_netmask == NULL)
			continue;
		len = i->ifa_addr->sa_family == AF_INET
			      ? sizeof(struct sockaddr_in)
			      : sizeof(struct sockaddr_in6);
		if (addr_from_sockaddr(i->ifa_addr, len, &addr) != 0)
			continue;
		nets->addrs[nets->n] = addr;
		nets->prefix_len[nets->n++] =
			prefix_of(i->ifa_netmask, addr.family);
	}
	freeifaddrs(all);
	return 0;
}

static bool is_own(const struct settings *s, const struct local_nets *nets,
	const struct addr *addr)
{
	for (size_t i = 0; i < nets->n; i++) {
		if (addr_equal_ip(&nets->addrs[i], addr))
			return true;
	}
	for (size_t i = 0; i < s->n_realms; i++) {
		for (size_t k = 0; k < s->realms[i].n_addresses; k++) {
			const struct realm_address *ra =
				&s->realms[i].addresses[k];
			struct addr advertised;

			if (addr_equal_ip(&ra->listen, addr) ||
				addr_equal_ip(&ra->media, addr) ||
				addr_equal_ip(&ra->advertised_media, addr) ||
				(addr_parse(ra->advertised_host, &advertised) ==
						0 &&
					addr_equal_ip(&advertised, addr)))
				return true;
		}
	}
	return false;
}

static bool same_prefix(
	const struct addr *a, const struct addr *b, unsigned bits)
{
	unsigned whole = bits / 8;

	if (a->family != b->family || memcmp(a->ip, b->ip, whole) != 0)
		return false;
	return bits % 8 == 0 ||
	       (a->ip[whole] ^ b->ip[whole]) >> (8 - bits % 8) == 0;
}

/* Has a realm of the zone an address in the nth local network? */
static bool zone_is_in(const struct settings *s, Gh__Zone zone,
	const struct local_nets *nets, size_t nth)
{
	for (size_t i = 0; i < s->n_realms; i++) {
		const struct realm *r = &s->realms[i];

		if (r->row->zone != zone)
			continue;
		for (size_t k = 0; k < r->n_addresses; k++) {
			if (same_prefix(&r->addresses[k].listen,
				    &nets->addrs[nth], nets->prefix_len[nth]))
				return true;
		}
	}
	return false;
}

static bool is_trunks(const struct trunk *t, const struct addr *addr)
{
	struct addr target;

	for (size_t i = 0; i < t->n_sources; i++) {
		if (addr_in_net(addr, &t->sources[i].network))
			return true;
	}
	for (size_t i = 0; i < t->row->n_targets; i++) {
		if (addr_parse(t->row->targets[i]->host, &target) == 0 &&
			addr_equal_ip(&target, addr))
			return true;
	}
	return false;
}

bool locate_is_inside(const struct settings *s, const struct local_nets *nets,
	const struct addr *addr)
{
	if (is_own(s, nets, addr))
		return true;
	for (size_t i = 0; i < nets->n; i++) {
		if (same_prefix(&nets->addrs[i], addr, nets->prefix_len[i]) &&
			zone_is_in(s, GH__ZONE__ZONE_INSIDE, nets, i) &&
			!zone_is_in(s, GH__ZONE__ZONE_OUTSIDE, nets, i))
			return true;
	}
	for (size_t i = 0; i < s->n_realms; i++) {
		const struct realm *r = &s->realms[i];

		/* A list that admits all says nothing of where inside is. */
		for (size_t k = 0;
			r->row->zone == GH__ZONE__ZONE_INSIDE && k < r->n_acl;
			k++) {
			if (r->acl[k].prefix_len != 0 &&
				addr_in_net(addr, &r->acl[k]))
				return true;
		}
	}
	for (size_t i = 0; i < s->n_trunks; i++) {
		if (s->trunks[i].realm->row->zone == GH__ZONE__ZONE_INSIDE &&
			is_trunks(&s->trunks[i], addr))
			return true;
	}
	return false;
}

/** Addresses are judged as addresses. */
static bool has_host(const char *text, const char *host)
{
	char name[256];
	struct addr addr;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(host, ":"), host);
	return addr_parse(host, &addr) != 0 && text_has_name(text, name);
}

static bool has_trunks_name(const struct trunk *t, const char *text)
{
	if (has_host(text, t->row->host) || has_host(text, t->row->domain) ||
		has_host(text, t->row->tls_name))
		return true;
	for (size_t i = 0; i < t->row->n_targets; i++) {
		if (has_host(text, t->row->targets[i]->host))
			return true;
	}
	return false;
}

bool locate_names_inside(const struct settings *s, const char *text)
{
	for (size_t i = 0; i < s->n_realms; i++) {
		const struct realm *r = &s->realms[i];

		if (r->row->zone != GH__ZONE__ZONE_INSIDE)
			continue;
		for (size_t k = 0; k < r->row->n_domains; k++) {
			if (has_host(text, r->row->domains[k]))
				return true;
		}
		for (size_t k = 0; k < r->n_addresses; k++) {
			if (has_host(text, r->addresses[k].advertised_host))
				return true;
		}
	}
	for (size_t i = 0; i < s->n_trunks; i++) {
		if (s->trunks[i].realm->row->zone == GH__ZONE__ZONE_INSIDE &&
			has_trunks_name(&s->trunks[i], text))
			return true;
	}
	return false;
}
