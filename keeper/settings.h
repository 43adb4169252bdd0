/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.conf: which daemons, and which sockets they may have. */
#ifndef KEEPER_SETTINGS_H
#define KEEPER_SETTINGS_H

#include "common/daemon.h"
#include "keeper/child.h"
#include "keeper/listen.h"

/** Primary group of all daemons' users. */
#define SETTINGS_GROUP "gatehouse"

struct settings {
	struct daemon_settings common;
	struct conf_list daemons;
	struct conf_list listen_allow;
	bool listen_freebind;
	char *daemon_dir;
	char *conf_dir;
	char *state_dir;
	uint64_t ready_timeout_s, adopt_timeout_s, renew_timeout_s;
	uint64_t stop_timeout_s;
};

extern const struct conf_option settings_options[];
extern const size_t settings_n_options;

/** For daemon.h's check. */
GH_MUST_CHECK int settings_check(void *settings, char *problem);
/** Replaces the rules; settings were checked. */
void settings_listen(const struct settings *s, struct listeners *l);
/** Fills the plans in the order of starting. Logs what is wrong.
 * @return 0, or ERR_INVALID for a user whose group is not gid. */
GH_MUST_CHECK int settings_plans(const struct settings *s,
	const struct process_users *users, gid_t gid,
	struct child_plan plans[PROCESS_COUNT], size_t *n_out);

#endif
