/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/rights.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(c) (1ull << (c))
/* SETPCAP only allows to give up: a daemon's bounding set ends empty.
 * NET_ADMIN is for SO_RCVBUFFORCE, NET_RAW to move a socket from one device to
 * another. */
#define KEEPER_CAPS                                                            \
	(CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP) |    \
		CAP_BIT(CAP_KILL) | CAP_BIT(CAP_NET_BIND_SERVICE) |            \
		CAP_BIT(CAP_NET_ADMIN) | CAP_BIT(CAP_NET_RAW))

/* Neither keeper nor a daemon has a use for these. */
static const char *const denied[] = {"mount", "umount2", "pivot_root", "chroot",
	"fsopen", "fsmount", "move_mount", "open_tree", "mount_setattr",
	"unshare", "setns", "init_module", "finit_module", "delete_module",
	"kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
	"add_key", "request_key", "keyctl", "process_vm_writev",
	"open_by_handle_at", "name_to_handle_at", "userfaultfd", "acct",
	"quotactl", "settimeofday", "clock_settime", "adjtimex",
	"clock_adjtime", "sethostname", "setdomainname", "ioperm", "iopl",
	"syslog", "vhangup", "io_uring_setup", "perf_event_open"};

int rights_set(uint64_t caps)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct set[2] = {
		{.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
		{.effective = (uint32_t)(caps >> 32),
			.permitted = (uint32_t)(caps >> 32)}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
		syscall(SYS_capset, &head, set))
		return ERR_SYSTEM;
	return 0;
}

void rights_bounding_clear(void)
{
	/* Without SETPCAP there is nothing to drop that would not be gone. */
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
}

/* What the process does not hold itself can not be asked for. */
static uint64_t caps_held(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct set[2] = {0};

	if (syscall(SYS_capget, &head, set))
		return 0;
	return set[0].permitted | (uint64_t)set[1].permitted << 32;
}

static int calls_deny(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < sizeof(denied) / sizeof(denied[0]);
		i++) {
		int nr = seccomp_syscall_resolve_name(denied[i]);

		if (nr != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(
				ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);
	}
	if (rc == 0)
		rc = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	errno = -rc;
	return rc ? ERR_SYSTEM : 0;
}

int rights_drop(void)
{
	const uint64_t keep = KEEPER_CAPS & caps_held();

	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
		if (!(keep & CAP_BIT(c)))
			prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
	}
	if (rights_set(keep) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ERR_SYSTEM;
	return calls_deny();
}
