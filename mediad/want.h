/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the wanted state of a session out of its message, or refuses it whole.
 * The sender is another process of ours and may have been taken over: nothing
 * in the message is believed.
 */
#ifndef MEDIAD_WANT_H
#define MEDIAD_WANT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/ipc.pb-c.h"
#include "mediad/leg.h"

struct want_side {
	bool wanted;
	uint32_t realm;
	struct addr bind;
	struct leg_config config;
	struct srtp_master receive; /* what the peer encrypts with */
	struct srtp_master send;
};

/** Holds keys: wipe it after use. */
struct want {
	char call[IDENT_CALL_SIZE];
	uint32_t version;
	struct want_side side[SIDE_COUNT];
};

/** Wipes its keys and frees what it owns. */
void want_done(struct want *want);

/**
 * @param problem_out	static text on failure, for the log.
 * @return 0, or ERR_INVALID.
 */
GH_MUST_CHECK int want_read(const Gh__SessionWant *msg, struct want *want_out,
	const char **problem_out);

#endif
