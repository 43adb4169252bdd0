# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL cluster.

Data under /var/tmp, one Unix socket in a short path under /run, no network
port, run by the postgres user, peer authentication: root may be any
administrator's role, the service users exactly their own. Nothing of a cluster
that the machine has is touched.
"""
import glob
import os
import pwd
import shutil
import signal

from . import proc

OWNER = "postgres"


def bin_dir():
    """Where initdb and postgres are."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"),
                   key=lambda p: int(p.split("/")[4]))
    if not found:
        raise proc.Problem("PostgreSQL is not installed")
    return os.path.dirname(found[-1])


class Cluster:
    """One cluster; start() makes it, stop() removes it."""

    def __init__(self, name, log_dir):
        self.data = f"/var/tmp/{name}-pg"
        self.socket_dir = f"/run/{name}-pg"
        self.log_path = os.path.join(log_dir, "postgres.log")
        self.server = None
        self.bin = bin_dir()

    def _as_owner(self, argv, **options):
        return proc.run(["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}",
                         "--clear-groups", "--"] + argv, cwd="/", **options)

    def _own(self, path, mode):
        os.makedirs(path, mode=mode, exist_ok=True)
        entry = pwd.getpwnam(OWNER)
        os.chown(path, entry.pw_uid, entry.pw_gid)
        os.chmod(path, mode)

    def make(self):
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.socket_dir, ignore_errors=True)
        self._own(self.data, 0o700)
        self._own(self.socket_dir, 0o755)
        self._as_owner([f"{self.bin}/initdb", "-D", self.data, "-U", OWNER,
                        "-A", "peer", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
                       timeout=120)
        with open(f"{self.data}/pg_hba.conf", "w", encoding="ascii") as f:
            f.write("local all all peer map=gatehouse\n")
        with open(f"{self.data}/pg_ident.conf", "w", encoding="ascii") as f:
            f.write("gatehouse gatehouse-authd sbc_authd\n"
                    "gatehouse postgres postgres\n"
                    "gatehouse root postgres\n"
                    "gatehouse root sbc_admin\n"
                    "gatehouse root sbc_viewer\n")

    def start(self):
        """The server's own log says when it takes connections."""
        self.server = proc.Proc(
            ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}",
             "--clear-groups", "--pdeathsig", "KILL", "--",
             f"{self.bin}/postgres", "-D", self.data,
             "-c", f"unix_socket_directories={self.socket_dir}",
             "-c", "listen_addresses=", "-c", "fsync=off",
             "-c", "max_connections=200", "-c", "shared_buffers=32MB",
             "-c", "autovacuum=off", "-c", "jit=off",
             "-c", "log_line_prefix=%m [%p] %u@%d "],
            self.log_path, cwd="/")
        proc.wait_for(self._ready, f"PostgreSQL ({self.log_path})", 60)

    def _ready(self):
        if not self.server.alive():
            raise proc.Problem("PostgreSQL ended: " + self.server.log()[-2000:])
        return os.path.exists(f"{self.socket_dir}/.s.PGSQL.5432") and \
            proc.run(["pg_isready", "-q", "-h", self.socket_dir],
                     check=False) == "" and self._answers()

    def _answers(self):
        try:
            return self.sql("postgres", "select 1").strip() == "1"
        except proc.Problem:
            return False

    def sql(self, database, text, role=OWNER, timeout=60):
        """Runs SQL; rows come back one per line, columns split by |."""
        return proc.run([f"{self.bin}/psql", "-X", "-q", "-A", "-t",
                         "-v", "ON_ERROR_STOP=1", "-h", self.socket_dir,
                         "-U", role, "-d", database, "-c", text],
                        timeout=timeout)

    def create(self, database, template=None):
        self.sql("postgres", f'create database "{database}"' + (
            f' template "{template}"' if template else ""))

    def drop(self, database):
        self.sql("postgres",
                 f'drop database if exists "{database}" with (force)')

    def stop(self, remove=True):
        if self.server:
            # SIGINT is PostgreSQL's fast shutdown.
            self.server.stop(signal.SIGINT, 30)
            self.server = None
        if remove:
            shutil.rmtree(self.data, ignore_errors=True)
            shutil.rmtree(self.socket_dir, ignore_errors=True)
