/* SPDX-License-Identifier: Apache-2.0 */
/* For programs without libevent: they must set make_loop. */
#include "common/daemon.h"

int daemon_default_loop(struct loop **loop_out)
{
	(void)loop_out;
	return ERR_STATE;
}
