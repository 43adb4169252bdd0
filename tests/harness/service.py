# SPDX-License-Identifier: Apache-2.0
"""A Gatehouse as the service that it is on Debian: the installed unit, run by
Debian's systemd as process 1 of namespaces and a root of its own
(harness/machine.sh). Looked at like any other Gate."""
import json
import os
import shutil
import subprocess

from . import gate, proc

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEMD = "/lib/systemd/systemd"
UNIT = "gatehouse.service"
STATE = "/var/lib/gatehouse"
CGROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
FROM_HOST = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf",
             "ld.so.conf.d", "ssl/openssl.cnf", "localtime")
# What prepares a real machine, and has no business in this one.
MASKED = """
systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service
systemd-tmpfiles-clean.service systemd-tmpfiles-clean.timer
systemd-sysctl.service systemd-modules-load.service kmod-static-nodes.service
systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket
systemd-udev-trigger.service systemd-udev-settle.service
systemd-random-seed.service systemd-update-utmp.service
systemd-update-utmp-runlevel.service systemd-journal-flush.service
systemd-journald-audit.socket systemd-remount-fs.service
systemd-machine-id-commit.service systemd-binfmt.service systemd-sysusers.service
systemd-firstboot.service systemd-hwdb-update.service systemd-pstore.service
systemd-logind.service systemd-user-sessions.service
systemd-ask-password-console.path systemd-ask-password-wall.path
proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount
sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount
getty.target console-getty.service getty-static.service postgresql.service
""".split()


class Service(gate.Gate):
    """runs: systemd's unshare, a child of ours; what is inside dies with it."""

    def __init__(self, name, base, installed, database, socket_dir, ns):
        inside = {"keeper": {"state_dir": STATE, "conf_dir": "/etc/gatehouse",
                             "daemon_dir": "/usr/libexec/gatehouse"},
                  "authd": {"state_dir": f"{STATE}/authd"},
                  "flowd": {"tls_dir": "/etc/gatehouse/tls",
                            "ca_dir": "/etc/gatehouse/ca"}}
        super().__init__(name, base, installed, database, socket_dir, ns=ns,
                         options=inside)
        self.log_path = f"{base}/files/log/gatehouse.log"
        self.process_1 = None
        self.runs = None
        self.cgroup = None

    # ------------------------------------------------------------ the machine

    @staticmethod
    def missing():
        """Why this machine can not do it, or ""."""
        if not os.path.exists(SYSTEMD):
            return "systemd is not installed"
        if not Service._cgroup2():
            return "there is no cgroup2 hierarchy"
        return ""

    @staticmethod
    def _cgroup2():
        for path in CGROUPS:
            if os.path.exists(f"{path}/cgroup.controllers"):
                return path
        return None

    def _make_files(self):
        for folder in ("etc/gatehouse", "etc/ssl", "log",
                       f"etc/systemd/system/{UNIT}.d"):
            os.makedirs(f"{self.base}/files/{folder}", exist_ok=True)
        etc = f"{self.base}/files/etc"
        os.chmod(f"{self.base}/files", 0o755)
        for name in FROM_HOST:
            if os.path.isdir(f"/etc/{name}"):
                shutil.copytree(f"/etc/{name}", f"{etc}/{name}", symlinks=True)
            elif os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", f"{etc}/{name}")
        shutil.copytree(self.conf_dir, f"{etc}/gatehouse", dirs_exist_ok=True)
        for unit in MASKED:
            os.symlink("/dev/null", f"{etc}/systemd/system/{unit}")
        self._write(f"{etc}/machine-id", os.urandom(16).hex() + "\n")
        self._write(f"{etc}/hostname", "sbc\n")
        # The log where the test reads it; nothing else of the unit changes.
        self._write(f"{etc}/systemd/system/{UNIT}.d/log.conf",
                    "[Service]\nStandardError=append:/var/log/gatehouse.log\n")
        self._write(f"{etc}/systemd/system/default.target",
                    f"[Unit]\nRequires={UNIT}\nAfter={UNIT}\n")

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def start(self, wait=True, bound=True):
        self._make_files()
        root = f"{self.base}/root"
        os.makedirs(root)
        self.cgroup = f"{self._cgroup2()}/{self.name}"
        os.makedirs(self.cgroup, exist_ok=True)
        enter = (f'echo $$ >"{self.cgroup}/cgroup.procs" && exec unshare '
                 "--mount --uts --ipc --pid --cgroup --fork --kill-child "
                 '-- /bin/sh "$@"')
        self.runs = proc.Proc(
            ["/bin/sh", "-c", enter, "sh", f"{HERE}/machine.sh", root,
             f"{self.base}/files", self.installed.prefix, self.socket_dir],
            f"{self.base}/machine.log", ns=self.ns, bound=bound)
        self.process_1 = proc.wait_for(self._find_1, "process 1", 20)
        if wait:
            proc.wait_for(lambda: self.find_event("ready", process="keeper")
                          or self._gone(), f"keeper ({self.log_path})", 90,
                          pause=0.1)
        return self

    def _find_1(self):
        """systemd, once it has taken the script's place."""
        pid = self.runs.pid
        self._gone()
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = f.read().split()
        if not children:
            return None
        with open(f"/proc/{children[0]}/comm", encoding="ascii") as f:
            return int(children[0]) if f.read().strip() == "systemd" else None

    def _gone(self):
        if not self.runs.alive():
            raise proc.Problem("systemd ended: " + self.runs.log()[-1500:])

    def inside(self, *argv, check=True, timeout=60):
        """Runs a program in there."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.process_1), "-m", "-p", "-n", "-C",
             "--", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=timeout * proc.PATIENCE, check=False)
        if check and done.returncode != 0:
            raise proc.Problem(f"{' '.join(argv)}: exit {done.returncode}: "
                               f"{done.stdout} {done.stderr}")
        return done.stdout

    # ------------------------------------------------- what a Gate can be told

    def unit(self, what):
        """A property of the unit."""
        return self.inside("systemctl", "show", "-P", what, UNIT).strip()

    def kill_daemon(self, daemon, sig=9):
        mark = self.log_mark()
        pid = self.unit("MainPID") if daemon == "keeper" \
            else str(self.pid_of(daemon))
        self.inside("kill", f"-{int(sig)}", pid)
        return mark

    def ctl(self, *args, check=True):
        text = self.inside("sbcctl", "--json", "--runtime-dir",
                           self.runtime_dir, *args, check=check)
        return [json.loads(line) for line in text.splitlines() if line]

    def wait_event(self, name, since=0, process=None, timeout=10, **fields):
        def probe():
            self._gone()
            return self.find_event(name, since, process, **fields)
        return proc.wait_for(
            probe, f"log event {name} {fields} ({self.log_path})", timeout,
            pause=0.05)

    def processes(self):
        """Names of what runs in the unit."""
        found = []
        for pid in self.inside("sh", "-c", "cat /sys/fs/cgroup/system.slice/"
                               f"{UNIT}/cgroup.procs", check=False).split():
            name = self.inside("cat", f"/proc/{pid}/comm", check=False)
            found.append(name.strip())
        return sorted(found)

    def stop(self):
        if self.runs:
            self.runs.stop(9)
            self.runs = None
        if self.cgroup and os.path.isdir(self.cgroup):
            proc.wait_for(self._remove_cgroup, f"{self.cgroup} to be empty",
                          20, pause=0.1)

    def _remove_cgroup(self):
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
        return not os.path.isdir(self.cgroup)


def fingerprint():
    """What a systemd that escaped would change."""
    found = {}
    for name in os.listdir("/proc/sys/fs"):
        if name.startswith("protected_") or name in ("file-max", "nr_open"):
            with open(f"/proc/sys/fs/{name}", encoding="ascii") as f:
                found[name] = f.read().strip()
    with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as f:
        found["max_dgram_qlen"] = f.read().strip()
    found["hostname"] = os.uname().nodename
    found["tmp"] = os.stat("/tmp").st_ino
    return found
