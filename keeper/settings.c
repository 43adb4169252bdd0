/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/settings.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct conf_option settings_options[] = {
	DAEMON_OPTIONS(struct settings),
	{"daemons", CONF_LIST, offsetof(struct settings, daemons), NULL, 0, 16,
		"",
		"what to start, in this order; default authd, mediad, flowd, "
		"sbc"},
	{"listen_allow", CONF_LIST, offsetof(struct settings, listen_allow),
		NULL, 0, 100, "",
		"sockets that may be opened: \"udp 192.0.2.0/24 5060-5061\"; "
		"with a device behind it: only on that one"},
	{"listen_freebind", CONF_BOOL,
		offsetof(struct settings, listen_freebind), "false", 0, 0, "",
		"also on addresses that the machine has not got yet"},
	{"daemon_dir", CONF_STRING, offsetof(struct settings, daemon_dir),
		DAEMON_DIR, 0, 1024, "", "folder of the daemons' programs"},
	{"conf_dir", CONF_STRING, offsetof(struct settings, conf_dir),
		SYSCONF_DIR, 0, 1024, "", "folder of the daemons' settings"},
	{"state_dir", CONF_STRING, offsetof(struct settings, state_dir),
		STATE_DIR, 0, 1024, "", "folder of what authd keeps on disk"},
	{"ready_timeout", CONF_UINT, offsetof(struct settings, ready_timeout_s),
		"60", 1, 3600, "s",
		"a daemon that is not ready by then is started again"},
	{"adopt_timeout", CONF_UINT, offsetof(struct settings, adopt_timeout_s),
		"10", 1, 60, "s",
		"how long a new keeper waits for a running daemon's link"},
	{"renew_timeout", CONF_UINT, offsetof(struct settings, renew_timeout_s),
		"10", 1, 3600, "s",
		"a new program that is not ready by then is rolled back"},
	{"stop_timeout", CONF_UINT, offsetof(struct settings, stop_timeout_s),
		"15", 1, 3600, "s", "a daemon that runs on then is killed"},
};
const size_t settings_n_options =
	sizeof(settings_options) / sizeof(settings_options[0]);

static int default_daemons(struct conf_list *list)
{
	static const enum process order[] = {
		PROCESS_AUTHD, PROCESS_MEDIAD, PROCESS_FLOWD, PROCESS_SBC};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		list->items[i] = strdup(process_name(order[i]));
		if (!list->items[i])
			return ERR_NOMEM;
		list->n_items++;
	}
	return 0;
}

int settings_check(void *settings, char *problem)
{
	struct settings *s = settings;
	struct listen_rule rule;
	unsigned seen = 0;

	if (s->daemons.n_items == 0 && default_daemons(&s->daemons)) {
		snprintf(problem, CONF_PROBLEM_SIZE, "out of memory");
		return ERR_INVALID;
	}
	for (size_t i = 0; i < s->daemons.n_items; i++) {
		const char *name = s->daemons.items[i];
		enum process p;

		if (process_from_name(name, &p) || p == PROCESS_KEEPER ||
			p == PROCESS_CTL || seen & PROCESS_BIT(p)) {
			snprintf(problem, CONF_PROBLEM_SIZE,
				"daemons: \"%.32s\" is no daemon or named "
				"twice",
				name);
			return ERR_INVALID;
		}
		seen |= PROCESS_BIT(p);
	}
	for (size_t i = 0; i < s->listen_allow.n_items; i++) {
		if (listen_rule_parse(s->listen_allow.items[i], &rule) == 0)
			continue;
		snprintf(problem, CONF_PROBLEM_SIZE,
			"listen_allow: \"%.100s\" is not \"udp|tcp NETWORK "
			"PORT[-PORT] [DEVICE]\"",
			s->listen_allow.items[i]);
		return ERR_INVALID;
	}
	return 0;
}

void settings_listen(const struct settings *s, struct listeners *l)
{
	l->freebind = s->listen_freebind;
	l->n_rules = 0;
	for (size_t i = 0; i < s->listen_allow.n_items; i++) {
		if (l->n_rules < LISTEN_RULES_MAX &&
			listen_rule_parse(s->listen_allow.items[i],
				&l->rules[l->n_rules]) == 0)
			l->n_rules++;
	}
}

int settings_plans(const struct settings *s, const struct process_users *users,
	gid_t gid, struct child_plan plans[PROCESS_COUNT], size_t *n_out)
{
	for (size_t i = 0; i < s->daemons.n_items; i++) {
		struct child_plan *plan = &plans[i];
		const struct passwd *pw;

		if (process_from_name(s->daemons.items[i], &plan->process))
			return ERR_INVALID;
		plan->uid = users->uid[plan->process];
		plan->gid = gid;
		pw = getpwuid(plan->uid);
		if (!pw || pw->pw_gid != gid || plan->uid == 0) {
			log_err("user",
				LOG_STR("user", process_user(plan->process)),
				LOG_STR("problem", "primary group is "
						   "not " SETTINGS_GROUP));
			return ERR_INVALID;
		}
		snprintf(plan->exe, sizeof(plan->exe), "%s/%s", s->daemon_dir,
			process_name(plan->process));
		snprintf(plan->conf, sizeof(plan->conf), "%s/%s.conf",
			s->conf_dir, process_name(plan->process));
	}
	*n_out = s->daemons.n_items;
	return 0;
}
