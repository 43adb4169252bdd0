/* SPDX-License-Identifier: Apache-2.0 */
/* sbcctl: the administrator's tool; see tool.c. */
#include "common/log.h"
#include "ctl/tool.h"

int main(int argc, char **argv)
{
	struct tool tool = {.out = stdout, .err = stderr};

	log_open("sbcctl", LOG_LEVEL_ERR);
	return tool_run(&tool, argc, argv);
}
