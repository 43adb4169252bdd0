/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc's FlowConfig, checked and parsed: listeners and limits. Taken over whole
 * or not at all. Pure.
 */
#ifndef FLOWD_CONFIG_H
#define FLOWD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/device.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "flowd/frame.h"
#include "flowd/tls.h"

#define CONFIG_LISTENERS_MAX 256
#define CONFIG_NETWORKS_MAX  1024
#define CONFIG_HOST_SIZE     264
#define CONFIG_PROBLEM_SIZE  256

/** How we look on one listener. A connection keeps it for its life, whatever
 * the settings become. */
struct face {
	unsigned n_refs;
	uint32_t realm;
	struct addr listen;
	Gh__Transport transport;
	char advertised[CONFIG_HOST_SIZE]; /* sent-by of our Via */
};

/** One listener as it is wanted. */
struct config_listener {
	struct face *face;             /* one reference */
	char device[DEVICE_NAME_SIZE]; /* "" = any */
	char **certificates;
	size_t n_certificates;
	char *client_ca;
	char **client_pins;
	size_t n_client_pins;
	bool client_required;
	struct addr_net *acl; /* n_acl 0 = all */
	size_t n_acl;
	struct addr_net *trunk_networks;
	size_t n_trunk_networks;
};

/** Limits of every connection. Times in microseconds, 0 = none. */
struct flow_limits {
	struct frame_limits frame;
	uint64_t message_us;
	uint64_t handshake_us;
	uint64_t idle_us;
	uint64_t first_message_us;
};

struct config {
	uint64_t version;
	struct addr bridge;
	struct config_listener *listeners;
	size_t n_listeners;
	size_t max_flows; /* 0 = as many as descriptors allow */
	size_t max_flows_per_source;
	size_t reserve_known;
	struct flow_limits limits;
	char tls_min[8];
	char *tls_ciphers;
};

/** @param problem CONFIG_PROBLEM_SIZE bytes, a line on failure.
 * @return 0, ERR_INVALID, or ERR_NOMEM. */
GH_MUST_CHECK int config_new(
	const Gh__FlowConfig *msg, struct config **config_out, char *problem);
/** Safe on NULL. */
void config_free(struct config **config);

/** "TCP", "TLS", "WS", "WSS" as a Via has it. */
const char *transport_name(Gh__Transport t);
bool transport_is_secure(Gh__Transport t);

struct face *face_new(uint32_t realm, const struct addr *listen,
	Gh__Transport transport, const char *advertised);
struct face *face_ref(struct face *face);
/** Safe on NULL. */
void face_unref(struct face **face);

#endif
