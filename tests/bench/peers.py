# SPDX-License-Identifier: Apache-2.0
"""The products that we are compared with, from Debian's own packages.

They come with services, so they are not installed: apt-get downloads them and
dpkg -x unpacks them below a folder of ours. Their libraries stand in
etc/packages.bench.
"""
import glob
import os
import subprocess

from harness import proc

from .figures import Missing

PACKAGES = ("rtpengine-daemon", "kamailio", "kamailio-postgres-modules",
            "kamailio-tls-modules")


class Peers:
    def __init__(self, folder):
        self.folder = folder
        self.root = f"{folder}/root"
        self.problem = None

    def fetch(self):
        """Downloads and unpacks; a problem is kept for whoever needs them."""
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        for package in PACKAGES:
            done = subprocess.run(
                ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download",
                 package], cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=120, check=False)
            found = glob.glob(f"{self.folder}/{package}_*.deb")
            if done.returncode != 0 or not found:
                last = (done.stdout.strip() or "no answer").splitlines()[-1]
                self.problem = f"{package} cannot be downloaded: {last}"
                with open(f"{self.folder}/problem", "w",
                          encoding="utf-8") as f:
                    f.write(self.problem)
                return
            proc.run(["dpkg", "-x", found[0], self.root])

    def fetched(self):
        """What another process has fetched into the folder."""
        try:
            with open(f"{self.folder}/problem", encoding="utf-8") as f:
                self.problem = f.read()
        except FileNotFoundError:
            self.problem = None

    def versions(self):
        names = [os.path.basename(path).split("_")[:2]
                 for path in sorted(glob.glob(f"{self.folder}/*.deb"))]
        return ", ".join(" ".join(n).replace("%3a", ":") for n in names)

    def program(self, name):
        if self.problem:
            raise Missing(self.problem)
        for folder in ("usr/sbin", "usr/bin"):
            path = f"{self.root}/{folder}/{name}"
            if os.path.exists(path):
                return path
        raise Missing(f"{name} is not in its package")

    @property
    def kamailio_modules(self):
        found = glob.glob(f"{self.root}/usr/lib/*/kamailio/modules")
        if not found:
            raise Missing(self.problem or "kamailio has no modules")
        return found[0]

    @property
    def kamailio_sql(self):
        return f"{self.root}/usr/share/kamailio/postgres"

    def environment(self):
        """Kamailio's own shared libraries are beside it."""
        found = glob.glob(f"{self.root}/usr/lib/*/kamailio")
        return {"LD_LIBRARY_PATH": found[0]} if found else {}
