# SPDX-License-Identifier: Apache-2.0
"""One Gatehouse: its files, its keeper, its database, its log."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess

from . import proc

DAEMONS = ("authd", "mediad", "flowd", "sbc")
LINE = re.compile(r"^(\S+) (err|warning|notice|info|debug) (\S+) (\S+)(.*)$")
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


def conf_text(options):
    """libconfuse syntax of {name: text, number, bool or list}."""
    lines = []
    for name, value in options.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int):
            text = str(value)
        elif isinstance(value, (list, tuple)):
            text = "{" + ", ".join(f'"{v}"' for v in value) + "}"
        else:
            text = f'"{value}"'
        lines.append(f"{name} = {text}\n")
    return "".join(lines)


class Event:
    """One line of the log."""

    def __init__(self, m):
        self.time, self.level, self.process, self.name = m.groups()[:4]
        self.fields = {k: v.strip('"') for k, v in FIELD.findall(m.group(5))}
        self.text = m.group(0)

    def __repr__(self):
        return self.text


class Gate:
    """keeper and its daemons. name is short and unique on the machine; data
    stands below base, sockets in /run/<name>."""

    def __init__(self, name, base, installed, database, socket_dir, ns=None,
                 listen_allow=None, log_level="debug", options=None):
        self.name = name
        self.installed = installed
        self.ns = ns
        self.base = base
        self.conf_dir = f"{base}/etc"
        self.state_dir = f"{base}/state"
        self.runtime_dir = f"/run/{name}"
        self.log_path = f"{base}/gatehouse.log"
        self.database = database
        self.socket_dir = socket_dir
        self.keeper = None
        self.files = 0  # hard limit of descriptors; 0 = the runner's
        self._configure(listen_allow, log_level, options or {})

    def _configure(self, listen_allow, log_level, options):
        os.makedirs(self.conf_dir, mode=0o755, exist_ok=True)
        common = {"runtime_dir": self.runtime_dir, "log_level": log_level}
        conf = {
            "keeper": {**common, "conf_dir": self.conf_dir,
                       "daemon_dir": self.installed.daemon_dir,
                       "state_dir": self.state_dir,
                       "listen_allow": listen_allow or [
                           "udp 0.0.0.0/0 1024-65535", "udp ::/0 1024-65535",
                           "tcp 0.0.0.0/0 1024-65535",
                           "tcp ::/0 1024-65535"]},
            "authd": {**common,
                      "state_dir": f"{self.state_dir}/authd",
                      "database": f"host={self.socket_dir} user=sbc_authd "
                                  f"dbname={self.database}"},
            "mediad": dict(common),
            "flowd": {**common, "tls_dir": f"{self.conf_dir}/tls",
                      "ca_dir": f"{self.conf_dir}/ca"},
            "sbc": dict(common),
        }
        for process, values in conf.items():
            values.update(options.get(process, {}))
            path = f"{self.conf_dir}/{process}.conf"
            with open(path, "w", encoding="utf-8") as f:
                f.write(conf_text(values))
            os.chmod(path, 0o644)

        for folder in ("tls", "ca"):
            os.makedirs(f"{self.conf_dir}/{folder}", mode=0o755,
                        exist_ok=True)

    def make_certificate(self, name, *hosts):
        """One of flowd's by the internal authority; the authority's file."""
        ca = f"{self.conf_dir}/ca/internal.crt"
        for args in ([] if os.path.exists(ca) else [["ca", "internal"]]) + \
                [["server", name, *hosts]]:
            subprocess.run([self.installed.program("sbcctl"), "cert", "--dir",
                            self.conf_dir, *args], check=True,
                           stdout=subprocess.DEVNULL)
        return ca

    # ------------------------------------------------------------ the process

    def start(self, wait=True, bound=True):
        env = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=0:exitcode=99",
               "UBSAN_OPTIONS": "print_stacktrace=1"}
        argv = [self.installed.program("keeper"), "-c",
                f"{self.conf_dir}/keeper.conf"]
        if self.files:
            argv = ["prlimit", f"--nofile={self.files}", *argv]
        self.keeper = proc.Proc(
            argv,
            self.log_path, ns=self.ns, env=env, bound=bound)
        if wait:
            self.wait_event("ready", process="keeper", timeout=60)
        return self

    def pid_of(self, daemon):
        """Process id of a running daemon, by what keeper last said."""
        for event in reversed(self.events()):
            if event.process == "keeper" and \
               event.fields.get("daemon") == daemon and \
               event.name in ("daemon_start", "daemon_ready"):
                pid = event.fields.get("pid")
                if pid:
                    return int(pid)
        raise proc.Problem(f"the log does not name {daemon}'s pid")

    def kill_daemon(self, daemon, sig=signal.SIGKILL):
        """Kills a daemon; returns the log position of before."""
        mark = self.log_mark()
        os.kill(self.pid_of(daemon), sig)
        return mark

    def stop(self):
        if self.keeper:
            self.keeper.stop(signal.SIGTERM, 30)
            self.keeper = None
        shutil.rmtree(self.runtime_dir, ignore_errors=True)

    # ---------------------------------------------------------------- the log

    def log_mark(self):
        return os.path.getsize(self.log_path) \
            if os.path.exists(self.log_path) else 0

    def log_text(self, since=0):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as f:
            f.seek(since)
            return f.read().decode("utf-8", "replace")

    def events(self, since=0):
        found = (LINE.match(line) for line in self.log_text(since).split("\n"))
        return [Event(m) for m in found if m]

    def find_event(self, name, since=0, process=None, **fields):
        for event in self.events(since):
            if event.name == name and process in (None, event.process) and \
               all(event.fields.get(k) == str(v) for k, v in fields.items()):
                return event
        return None

    def wait_event(self, name, since=0, process=None, timeout=10, **fields):
        def probe():
            event = self.find_event(name, since, process, **fields)
            if not event and self.keeper and not self.keeper.alive():
                raise proc.Problem("keeper ended: " +
                                   self.log_text(since)[-1500:])
            return event
        return proc.wait_for(
            probe, f"log event {name} {fields} ({self.log_path})", timeout,
            pause=0.05)

    def faults(self, since=0):
        """Lines that no good run has."""
        bad = re.compile(r"AddressSanitizer|runtime error:|LeakSanitizer|"
                         r" err keeper daemon_(died|hangs|not_ready)|"
                         r"Assertion")
        return [line for line in self.log_text(since).split("\n")
                if bad.search(line)]

    # ----------------------------------------------------------- ask it things

    def ctl(self, *args, check=True):
        """sbcctl --json: a list of objects, one per line of its answer."""
        done = subprocess.run(
            [self.installed.program("sbcctl"), "--json", "--runtime-dir",
             self.runtime_dir, *args], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        if check and done.returncode != 0:
            raise proc.Problem(f"sbcctl {shlex.join(args)}: exit "
                               f"{done.returncode}: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines() if line]

    def status(self, process):
        """What a daemon says of itself."""
        for answer in self.ctl("status", check=False):
            if answer.get("process") == process:
                return answer
        raise proc.Problem(f"sbcctl status does not name {process}")
