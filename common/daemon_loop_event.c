/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a daemon that makes none itself: libevent. */
#include "common/daemon.h"

int daemon_default_loop(struct loop **loop_out)
{
	return loop_event_new(loop_out);
}
