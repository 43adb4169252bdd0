/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flowd's ends of the links: sbc (what is wanted, what happens) and sbcctl.
 * Owns the flows, the sources and the listeners.
 */
#ifndef FLOWD_CTL_H
#define FLOWD_CTL_H

#include "common/daemon.h"
#include "flowd/cert.h"

struct ctl;

struct ctl_config {
	struct daemon *daemon;
	struct certs folders; /* only the paths are set */
	size_t capacity;      /* flows that the descriptors allow */
	size_t max_handshakes;
	uint32_t accept_rate, accept_rate_source;
	uint64_t check_us;   /* how often the files are looked at */
	uint64_t retire_us;  /* how long a retired flowd serves its flows */
	uint64_t refused_us; /* refused connections are told once in this time;
				0 = one second */
};

/** The strings of config are borrowed. */
GH_MUST_CHECK int ctl_new(
	const struct ctl_config *config, struct ctl **ctl_out);
void ctl_free(struct ctl **ctl);
/** Listens at path for sbc and sbcctl. */
GH_MUST_CHECK int ctl_listen(struct ctl *ctl, const char *path);
/** Takes a connected socket as sbc's or sbcctl's link, for tests. */
GH_MUST_CHECK int ctl_adopt(struct ctl *ctl, int fd);
/** Certificates anew. */
void ctl_reload(struct ctl *ctl);
/** keeper is there (again). */
void ctl_keeper_up(struct ctl *ctl);
/** Ends every flow in order, then the daemon. */
void ctl_stop(struct ctl *ctl);

#endif
