/* SPDX-License-Identifier: Apache-2.0 */
/* What concerns all parts of sbc at once: a new snapshot, the sandbox. */
#include "sbc/sbc.h"

#include "common/log.h"

void sbc_apply(struct sbc *sbc, struct settings *settings)
{
	struct settings *old = sbc->settings;

	sbc->settings = settings;
	admit_apply(sbc->admit, settings);
	stack_apply(sbc->stack, settings);
	flows_apply(sbc->flows, settings);
	media_apply(sbc->media, settings);
	settings_unref(&old);
	log_notice("settings_applied", LOG_UINT("version", settings->version),
		LOG_UINT("realms", settings->n_realms),
		LOG_UINT("trunks", settings->n_trunks),
		LOG_UINT("routes", settings->n_routes));
}

int sbc_sandbox(struct sbc *sbc, const char *runtime_dir)
{
	const struct sandbox_path paths[] = {
		/* Sockets of the others, and its own. */
		{runtime_dir, SANDBOX_READ | SANDBOX_WRITE},
	};
	const struct sandbox_profile profile = {
		.paths = paths,
		.n_paths = sizeof(paths) / sizeof(paths[0]),
		/* The library makes a TCP socket, in whose place keeper's
		 * comes; it may connect to nobody. */
		.may_tcp_bind_any = true,
	};

	return daemon_sandbox(&sbc->daemon, &profile);
}
