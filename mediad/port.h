/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Media ports: which are free, which rest, and the sockets on them. A lease is
 * an even port and the odd one above it (RFC 3550 section 11), whether or not
 * the second socket is open. Control thread only.
 */
#ifndef MEDIAD_PORT_H
#define MEDIAD_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"

struct ports;

/** A leased pair. fd -1 = not open. The descriptors are the holder's: it
 * closes them before port_release(). */
struct port_lease {
	struct addr rtp; /* bound address; unset = no lease */
	int rtp_fd;
	int rtcp_fd;
};

/** What a socket needs. */
struct port_want {
	struct addr bind; /* ip; the port is ignored */
	uint16_t min;     /* range, both ends included */
	uint16_t max;
	bool rtcp; /* open the second socket too */
	uint8_t dscp;
};

/** @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int ports_new(struct ports **ports_out);
void ports_free(struct ports **ports);

/** The network device of an address; "" = any. What is open stays as it is.
 * @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int ports_set_device(
	struct ports *ports, const struct addr *bind, const char *device);
/** Forgets them all. */
void ports_forget_devices(struct ports *ports);
/** Binds a socket that was opened before the device of its address was known.
 * @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int ports_place(
	const struct ports *ports, const struct addr *bind, int fd);

/** A released port rests this long. */
void ports_set_quarantine(struct ports *ports, uint64_t quarantine_us);

/**
 * Leases a random pair of the range and opens its sockets.
 * @return 0; ERR_FULL if no pair is free; ERR_SYSTEM if the address cannot be
 *	bound at all or descriptors ran out; ERR_NOMEM.
 */
GH_MUST_CHECK int port_lease(struct ports *ports, const struct port_want *want,
	struct port_lease *lease_out);

/** Opens the second socket of a lease that has only the first.
 * @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int port_open_rtcp(
	const struct ports *ports, struct port_lease *lease, uint8_t dscp);

/** Opens the first socket of a lease that has none. @return 0, or ERR_SYSTEM.
 */
GH_MUST_CHECK int port_open_rtp(
	const struct ports *ports, struct port_lease *lease, uint8_t dscp);

/** Leases the very pair lease->rtp, which an earlier process had; opens
 * nothing. @return 0; ERR_EXISTS if it is leased; ERR_NOMEM. */
GH_MUST_CHECK int port_take(struct ports *ports, const struct addr *rtp);

/** Gives the pair back: it rests from now on. Safe on an empty lease. */
void port_release(
	struct ports *ports, struct port_lease *lease, uint64_t now_us);

/** Marks outgoing packets (RFC 2474). A failure leaves them unmarked. */
void port_set_dscp(int fd, sa_family_t family, uint8_t dscp);

/** Ports (not pairs) leased at the moment. */
unsigned ports_used(const struct ports *ports);

#endif
