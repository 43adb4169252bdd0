/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network devices that held sockets are bound to. The kernel binds a socket to
 * a device's number: once the device was made anew (a VLAN, a tunnel, a driver
 * loaded again) the socket is deaf, and its process may not bind it a second
 * time. keeper holds the very same sockets, so it moves them to the new number
 * and their processes go on: SIP listeners, and media sockets of calls that
 * outlive the gap. It says once that a device has gone and once that it is
 * back.
 *
 * Not here: what a socket should be bound to (its owner decides, listen.c may
 * refuse), and connections over TCP, which end by themselves.
 */
#ifndef KEEPER_DEVICE_H
#define KEEPER_DEVICE_H

#include <stdbool.h>

#include "common/device.h"
#include "common/loop.h"
#include "keeper/fdstore.h"
#include "keeper/listen.h"

/** More devices than these are not looked after; it is logged. */
#define DEVICES_MAX     64
/** Where a socket hears nobody but this machine. */
#define DEVICES_NOWHERE "lo"

struct devices {
	struct loop *loop;
	struct listeners *listeners;
	struct fdstore *store;
	int fd; /* rtnetlink: something about devices has changed */
	struct loop_fd *watch;
	bool told_full;
	size_t n;
	struct device_row {
		char name[DEVICE_NAME_SIZE];
		unsigned index; /* that sockets are bound to; 0 = not yet */
		bool gone;
	} rows[DEVICES_MAX];
};

/** Opens the watch. Without one the SBC works, but a device that was made anew
 * stays unheard. @return 0, or ERR_SYSTEM with errno. */
GH_MUST_CHECK int devices_open(struct devices *d, struct loop *loop,
	struct listeners *listeners, struct fdstore *store);
void devices_close(struct devices *d);

/** A socket came that is to be on the device name, or is on one if name is "".
 * Cheap, and does nothing, for one that is on none. */
void devices_note(struct devices *d, int fd, const char *name);

#endif
