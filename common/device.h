/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that belong to a network device (an interface, a VLAN, a VRF):
 * SO_BINDTODEVICE. Such a socket hears what arrives by that device only, also
 * where the host would take the address on another one, and what it sends
 * leaves by it.
 *
 * Any process may bind a socket once (Linux 5.7 and later); only CAP_NET_RAW
 * moves one that is bound already. The kernel keeps the device's number, not
 * its name: after the device was made anew the socket is deaf until somebody
 * with that right (keeper/device.c) binds it again.
 */
#ifndef COMMON_DEVICE_H
#define COMMON_DEVICE_H

#include <stdbool.h>

#include "common/err.h"

/** IFNAMSIZ of Linux: 15 characters and the terminator. */
#define DEVICE_NAME_SIZE 16

/** A name as this project takes one: 1 to 15 of A-Z a-z 0-9 _ . -, not
 * beginning with . or -, and with a letter: a number alone is a port that
 * somebody forgot a dash before. */
bool device_name_ok(const char *text);

/** Takes a name over, "" too. @return 0, or ERR_INVALID. */
GH_MUST_CHECK int device_name_copy(
	const char *text, char name_out[DEVICE_NAME_SIZE]);

/**
 * Binds fd to a device; to none at all with "" if it is bound.
 * @return 0; ERR_NOT_FOUND if there is no such device; ERR_SYSTEM with errno.
 */
GH_MUST_CHECK int device_bind(int fd, const char *name);

/** Moves fd to the device of that number. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int device_bind_index(int fd, unsigned index);

/** Number of the device that fd is bound to, there or not; 0 = none, or no
 * socket. */
unsigned device_index(int fd);

/** Number of the device of that name at present; 0 = there is none. */
unsigned device_find(const char *name);

/** Name of that number at present. @return whether there is such a device. */
bool device_name(unsigned index, char name_out[DEVICE_NAME_SIZE]);

#endif
