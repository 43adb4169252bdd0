/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses and networks, IPv4 and IPv6, as values. An IPv4-mapped
 * IPv6 address is turned into IPv4 when it enters (addr_from_sockaddr,
 * addr_parse), so that comparing never has to know about it.
 */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"

/** Longest text of addr_format(): "[v6%scope]:65535" and the terminator. */
#define ADDR_TEXT_SIZE 72

/** An IP address with a port in host order; family 0 means "no address". */
struct addr {
	sa_family_t family; /* AF_INET, AF_INET6 or 0 */
	uint16_t port;
	uint32_t scope_id; /* as a text named it; else 0 */
	uint8_t ip[16];    /* network order; IPv4 uses the first four */
};

/** A network: every address whose first prefix_len bits equal base's. */
struct addr_net {
	struct addr base;
	uint8_t prefix_len;
};

static inline bool addr_is_set(const struct addr *a)
{
	return a->family != 0;
}

/**
 * Reads "192.0.2.1", "2001:db8::1", "192.0.2.1:5060" or
 * "[2001:db8::1]:5060". Host names are refused: nothing here resolves.
 * @return 0, or ERR_INVALID.
 */
GH_MUST_CHECK int addr_parse(const char *text, struct addr *addr_out);

/** Reads "192.0.2.0/24" or a single address; bits behind the prefix must be
 * zero. @return 0, or ERR_INVALID. */
GH_MUST_CHECK int addr_net_parse(const char *text, struct addr_net *net_out);

/** Writes "ip:port", or "[ip]:port" for IPv6; without ":port" if it is 0.
 * "-" if unset. @param text at least ADDR_TEXT_SIZE bytes. @return text. */
const char *addr_format(const struct addr *a, char *text);

/** Writes the IP only, without brackets. @return text. */
const char *addr_format_ip(const struct addr *a, char *text);

/** A link-local address comes without its scope: it belongs to the device that
 * its socket is bound to (device.h), and is compared with what settings and
 * peers write, who know no number of a device.
 * @return 0, or ERR_INVALID for another family or a short length. */
GH_MUST_CHECK int addr_from_sockaddr(
	const struct sockaddr *sa, socklen_t len, struct addr *addr_out);

/** Fills sa for a system call. @return its length; 0 if the address is unset.
 */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *sa);

bool addr_equal(const struct addr *a, const struct addr *b); /* ip and port */
bool addr_equal_ip(const struct addr *a, const struct addr *b); /* ip only */
bool addr_in_net(const struct addr *a, const struct addr_net *net);

/** Private, loopback, link-local, shared (RFC 6598) or unique-local: an
 * address that can not be reached from the public network. */
bool addr_is_private(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
/** 0.0.0.0 or :: */
bool addr_is_any(const struct addr *a);
bool addr_is_multicast(const struct addr *a);

/**
 * The address that stands for a host in nonces, limits and bans: IPv4 whole,
 * IPv6 cut to /64, port 0.
 */
struct addr addr_host_key(const struct addr *a);

#endif
