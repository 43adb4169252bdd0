# SPDX-License-Identifier: Apache-2.0
"""The build in a private prefix, and the users that the daemons run as."""
import grp
import os
import pwd
import re
import shutil

from . import proc


def make_users(sysusers):
    """Makes the service users of a sysusers.d file where they are missing:
    with systemd-sysusers, or by hand where a machine has no systemd."""
    with open(sysusers, encoding="utf-8") as f:
        lines = [line.split() for line in f
                 if line.strip() and not line.startswith("#")]
    if all(_there(words) for words in lines):
        return
    if shutil.which("systemd-sysusers"):
        proc.run(["systemd-sysusers", os.path.abspath(sysusers)], check=False)
    for words in lines:
        if not _there(words):
            _make(words)


def _there(words):
    try:
        if words[0] == "g":
            grp.getgrnam(words[1])
        else:
            pwd.getpwnam(words[1])
        return True
    except KeyError:
        return False


def _make(words):
    if words[0] == "g":
        proc.run(["groupadd", "--system", words[1]])
        return
    group = words[2].partition(":")[2] or words[1]
    proc.run(["useradd", "--system", "--no-create-home", "--home-dir", "/",
              "--shell", "/usr/sbin/nologin", "--gid", group, words[1]])


class Installed:
    """Where the programs of a build are after `make install`."""

    def __init__(self, source, build, root):
        self.source = source
        self.build = build
        self.root = root
        with open(f"{build}/Makefile", encoding="utf-8") as f:
            text = f.read()
        prefix = re.search(r"^prefix = (.*)$", text, re.M).group(1)
        self.prefix = root + prefix
        proc.run(["make", "-s", "-C", build, "install", f"DESTDIR={root}"],
                 timeout=300)
        # Service users walk in; the folder above may be closed to them.
        os.chmod(root, 0o755)

    def program(self, name):
        """sbcctl and keeper where packages put them, daemons in libexec."""
        for folder in ("sbin", "bin", "libexec/gatehouse"):
            path = f"{self.prefix}/{folder}/{name}"
            if os.path.exists(path):
                return path
        raise proc.Problem(f"{name} is not installed below {self.prefix}")

    @property
    def daemon_dir(self):
        return f"{self.prefix}/libexec/gatehouse"

    @property
    def migrate(self):
        return f"{self.source}/sql/migrate"

    @property
    def sysusers(self):
        return f"{self.source}/etc/gatehouse.sysusers"
