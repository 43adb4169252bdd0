/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses and networks as values (addr.h): reading, writing,
 * comparing, classifying. Every byte of text may come from a peer, so reading
 * is strict: no names, no leading zeros, no blanks, no port 0.
 * Classes of addresses: RFC 1918, 3927, 4193, 4291, 6598.
 */
#include "common/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Used as a key of hash tables byte by byte: it may have no padding. */
_Static_assert(sizeof(struct addr) == 24, "struct addr has no padding");

static const uint8_t mapped_prefix[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static size_t ip_len(const struct addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

/* Reads a decimal number without sign, blanks or leading zeros. */
static int parse_number(const char *text, uint32_t max, uint32_t *number_out)
{
	uint64_t n = 0;
	const char *p;

	if (!*text || (text[0] == '0' && text[1]))
		return ERR_INVALID;
	for (p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return ERR_INVALID;
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > max)
			return ERR_INVALID;
	}
	*number_out = (uint32_t)n;
	return 0;
}

/* An IPv4-mapped IPv6 address becomes IPv4. */
static void unmap(struct addr *a)
{
	if (a->family != AF_INET6 ||
		memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)))
		return;
	memmove(a->ip, a->ip + 12, 4);
	memset(a->ip + 4, 0, 12);
	a->family = AF_INET;
	a->scope_id = 0;
}

/* Reads an address of exactly len characters, without port or brackets. */
static int parse_ip(const char *text, size_t len, struct addr *addr_out)
{
	struct addr a = {0};
	char buf[ADDR_TEXT_SIZE];
	char *scope;

	if (!len || len >= sizeof(buf))
		return ERR_INVALID;
	memcpy(buf, text, len);
	buf[len] = '\0';
	scope = strchr(buf, '%');
	if (scope) {
		*scope++ = '\0';
		if (parse_number(scope, UINT32_MAX, &a.scope_id) || !a.scope_id)
			return ERR_INVALID;
	}
	if (!scope && inet_pton(AF_INET, buf, a.ip) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, buf, a.ip) == 1)
		a.family = AF_INET6;
	else
		return ERR_INVALID;
	unmap(&a);
	*addr_out = a;
	return 0;
}

int addr_parse(const char *text, struct addr *addr_out)
{
	struct addr a;
	uint32_t port = 0;
	const char *end, *port_text = NULL;

	if (!text)
		return ERR_INVALID;
	if (text[0] == '[') {
		text++;
		end = strchr(text, ']');
		if (!end || !memchr(text, ':', (size_t)(end - text)))
			return ERR_INVALID;
		if (end[1] == ':')
			port_text = end + 2;
		else if (end[1])
			return ERR_INVALID;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			port_text = end + 1; /* one colon: IPv4 with a port */
		else
			end = text + strlen(text);
	}
	if (parse_ip(text, (size_t)(end - text), &a))
		return ERR_INVALID;
	if (port_text && (parse_number(port_text, 65535, &port) || !port))
		return ERR_INVALID;
	a.port = (uint16_t)port;
	*addr_out = a;
	return 0;
}

/* Whether all bits of ip behind the first prefix_len are zero. */
static bool host_bits_zero(const struct addr *a, unsigned prefix_len)
{
	size_t i, len = ip_len(a);

	for (i = prefix_len / 8; i < len; i++) {
		unsigned mask = 0xff;

		if (i == prefix_len / 8)
			mask >>= prefix_len % 8;
		if (a->ip[i] & mask)
			return false;
	}
	return true;
}

int addr_net_parse(const char *text, struct addr_net *net_out)
{
	struct addr_net net = {0};
	uint32_t prefix_len;
	const char *slash;
	bool mapped;

	if (!text)
		return ERR_INVALID;
	slash = strchr(text, '/');
	if (parse_ip(text, slash ? (size_t)(slash - text) : strlen(text),
		    &net.base) ||
		net.base.scope_id)
		return ERR_INVALID;
	prefix_len = net.base.family == AF_INET ? 32 : 128;
	mapped = net.base.family == AF_INET &&
		 memchr(text, ':', strlen(text)) != NULL;
	if (slash) {
		/* A mapped network's prefix counts IPv6's bits. */
		if (parse_number(
			    slash + 1, mapped ? 128 : prefix_len, &prefix_len))
			return ERR_INVALID;
		if (mapped && prefix_len < 96)
			return ERR_INVALID;
		if (mapped)
			prefix_len -= 96;
	}
	if (!host_bits_zero(&net.base, prefix_len))
		return ERR_INVALID;
	net.prefix_len = (uint8_t)prefix_len;
	*net_out = net;
	return 0;
}

/* Decimal digits; the end of them. */
static char *put_number(char *at, unsigned n)
{
	if (n >= 10)
		at = put_number(at, n / 10);
	*at++ = (char)('0' + n % 10);
	return at;
}

/* By hand: addresses are written several times per call and message. */
static char *put_ip4(char *at, const struct addr *a)
{
	for (int i = 0; i < 4; i++) {
		at = put_number(at, a->ip[i]);
		*at++ = '.';
	}
	*--at = '\0';
	return at;
}

const char *addr_format_ip(const struct addr *a, char *text)
{
	char ip[INET6_ADDRSTRLEN];

	if (a->family == AF_INET)
		(void)put_ip4(text, a);
	else if (!addr_is_set(a) ||
		 !inet_ntop(a->family, a->ip, ip, sizeof(ip)))
		(void)snprintf(text, ADDR_TEXT_SIZE, "-");
	else if (a->scope_id)
		(void)snprintf(text, ADDR_TEXT_SIZE, "%s%%%u", ip, a->scope_id);
	else
		(void)snprintf(text, ADDR_TEXT_SIZE, "%s", ip);
	return text;
}

const char *addr_format(const struct addr *a, char *text)
{
	char ip[ADDR_TEXT_SIZE];

	if (!addr_is_set(a) || !a->port)
		return addr_format_ip(a, text);
	if (a->family == AF_INET) {
		char *at = put_ip4(text, a);

		*at++ = ':';
		*put_number(at, a->port) = '\0';
		return text;
	}
	(void)addr_format_ip(a, ip);
	/* 64 covers "v6%scope", which is 57 at most. */
	(void)snprintf(text, ADDR_TEXT_SIZE, "[%.60s]:%u", ip, a->port);
	return text;
}

int addr_from_sockaddr(
	const struct sockaddr *sa, socklen_t len, struct addr *addr_out)
{
	struct addr a = {0};
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (!sa || len < sizeof(sa->sa_family))
		return ERR_INVALID;
	/* Copied, because a caller's buffer may be aligned less. */
	if (sa->sa_family == AF_INET && len >= sizeof(in4)) {
		memcpy(&in4, sa, sizeof(in4));
		a.port = ntohs(in4.sin_port);
		memcpy(a.ip, &in4.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, sa, sizeof(in6));
		a.port = ntohs(in6.sin6_port);
		memcpy(a.ip, &in6.sin6_addr, 16);
	} else {
		return ERR_INVALID;
	}
	a.family = sa->sa_family;
	unmap(&a);
	*addr_out = a;
	return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (a->family == AF_INET) {
		struct sockaddr_in in4 = {
			.sin_family = AF_INET, .sin_port = htons(a->port)};

		memcpy(&in4.sin_addr, a->ip, 4);
		memcpy(sa, &in4, sizeof(in4));
		return sizeof(in4);
	}
	if (a->family == AF_INET6) {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
			.sin6_port = htons(a->port),
			.sin6_scope_id = a->scope_id};

		memcpy(&in6.sin6_addr, a->ip, 16);
		memcpy(sa, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return false;
	if (!a->family)
		return true;
	return a->scope_id == b->scope_id && !memcmp(a->ip, b->ip, ip_len(a));
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_equal_ip(a, b);
}

static bool prefix_equal(
	const uint8_t *a, const uint8_t *b, unsigned prefix_len)
{
	unsigned whole = prefix_len / 8, rest = prefix_len % 8;

	if (memcmp(a, b, whole))
		return false;
	return !rest || !((a[whole] ^ b[whole]) >> (8 - rest));
}

bool addr_in_net(const struct addr *a, const struct addr_net *net)
{
	if (!addr_is_set(a) || a->family != net->base.family)
		return false;
	return prefix_equal(a->ip, net->base.ip, net->prefix_len);
}

/* Networks of one kind, as compact rows. */
struct row {
	sa_family_t family;
	uint8_t prefix_len;
	uint8_t ip[16];
};

static bool in_rows(const struct addr *a, const struct row *rows, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (a->family == rows[i].family &&
			prefix_equal(a->ip, rows[i].ip, rows[i].prefix_len))
			return true;
	}
	return false;
}

bool addr_is_private(const struct addr *a)
{
	static const struct row rows[] = {
		{AF_INET, 8, {10}},
		{AF_INET, 12, {172, 16}},
		{AF_INET, 16, {192, 168}},
		{AF_INET, 16, {169, 254}},
		{AF_INET, 10, {100, 64}},
		{AF_INET, 8, {127}},
		{AF_INET6, 7, {0xfc}},
		{AF_INET6, 10, {0xfe, 0x80}},
	};

	return in_rows(a, rows, sizeof(rows) / sizeof(rows[0])) ||
	       addr_is_loopback(a);
}

bool addr_is_loopback(const struct addr *a)
{
	static const struct row rows[] = {
		{AF_INET, 8, {127}},
		{AF_INET6, 128, {[15] = 1}},
	};

	return in_rows(a, rows, sizeof(rows) / sizeof(rows[0]));
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t zeros[16];

	return addr_is_set(a) && !memcmp(a->ip, zeros, ip_len(a));
}

bool addr_is_multicast(const struct addr *a)
{
	static const struct row rows[] = {
		{AF_INET, 4, {224}},
		{AF_INET6, 8, {0xff}},
	};

	return in_rows(a, rows, sizeof(rows) / sizeof(rows[0]));
}

struct addr addr_host_key(const struct addr *a)
{
	struct addr key = {.family = a->family};

	/* Whoever has a /64 has all of its 2^64 addresses. */
	memcpy(key.ip, a->ip, a->family == AF_INET ? 4 : 8);
	if (!addr_is_set(a))
		memset(key.ip, 0, sizeof(key.ip));
	return key;
}
