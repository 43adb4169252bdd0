/* SPDX-License-Identifier: Apache-2.0 */
/* Is an address that a name leads to one of ours, or inside? */
#ifndef SBC_LOCATE_INSIDE_H
#define SBC_LOCATE_INSIDE_H

#include "sbc/settings.h"

#define LOCAL_NETS_MAX 256

/** The host's own addresses with the networks that they stand in. */
struct local_nets {
	struct addr addrs[LOCAL_NETS_MAX];
	uint8_t prefix_len[LOCAL_NETS_MAX];
	size_t n;
};

/** Reads the interfaces: before the sandbox, which forbids it. What comes
 * later is not known. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int local_nets_read(struct local_nets *nets);

/**
 * One of the host's or a realm's own addresses (advertised ones too), or one
 * inside: in a network that an inside realm's address stands in and no outside
 * one does, in an inside realm's access list, or a source or target of one of
 * its trunks.
 */
bool locate_is_inside(const struct settings *s, const struct local_nets *nets,
	const struct addr *addr);

/** Does a text have a name of the inside in it: a domain or
 * advertised name of an inside realm, or what the settings name of its trunks?
 */
bool locate_names_inside(const struct settings *s, const char *text);

#endif
