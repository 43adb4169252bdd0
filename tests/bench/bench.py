# SPDX-License-Identifier: Apache-2.0
"""The benches' frame: options, the folder, the private namespaces, which part
runs, and that every figure is printed, be it as missing.

Everything runs in network and process namespaces of its own with nothing but
loopback: no port is anybody else's, and whatever is left running ends with it.
"""
import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from harness import install, proc, runner

from . import figures, machine, peers

SOURCE = runner.SOURCE
BUILD = f"{SOURCE}/build-run"
PARTS = tuple(figures.PARTS)
INSIDE = "GATEHOUSE_BENCH_DIR"
LIMIT_S = 3600


class Bench:
    """What a part gets."""

    def __init__(self, work_dir, short):
        self.dir = work_dir
        self.name = os.path.basename(work_dir)
        self.short = short
        self.peers = peers.Peers(f"{work_dir}/peers")
        self.n_folders = 0
        self._installed = None
        self.cluster = None
        self.group = proc.Group()

    def folder(self, what):
        """A fresh folder for files of one process."""
        self.n_folders += 1
        path = f"{self.dir}/{self.n_folders}-{what}"
        os.makedirs(path, mode=0o755)
        return path

    @staticmethod
    def program(name):
        path = f"{BUILD}/{name}"
        if not os.path.exists(path):
            raise figures.Missing(f"{name} is not built")
        return path

    @property
    def installed(self):
        """The release build in a prefix of its own, with its users."""
        if not self._installed:
            install.make_users(f"{SOURCE}/etc/gatehouse.sysusers")
            self._installed = install.Installed(SOURCE, BUILD,
                                                f"{self.dir}/root")
        return self._installed


def head(bench, busy, chosen):
    have = machine.cores()
    where = f"core {have[0]}" + (", SCHED_FIFO" if machine.may_fifo() else "") \
        if len(have) > 1 else "not pinned"
    under = f"core {have[1]}" + \
        (", SCHED_RR" if machine.may_fifo() else "") \
        if len(have) > 1 else "not pinned"
    print(f"bench: {', '.join(chosen)}; generators on {where}; what is "
          f"measured on {under}; {len(have)} cores; "
          f"{'short runs, each once' if bench.short else 'alternating runs'}; "
          f"peers: {bench.peers.versions() or bench.peers.problem}")
    print("bench: what else ran before the start (of one core): " +
          (", ".join(busy) or "nothing"), flush=True)


def part(bench, name, wanted):
    """Runs a part, or those of its steps that have a wanted figure; whatever
    happens, each of these figures has a line."""
    made = figures.Figures(name, wanted)
    broken = False
    began, busy = time.monotonic(), machine.busy_s()
    try:
        module = importlib.import_module(f"bench.{name}")
        for figure, step in module.run(bench, made):
            if not made.wants(figure.split()):
                continue
            try:
                step()
            except (figures.Missing, proc.Problem,
                    subprocess.SubprocessError) as e:
                for one in figure.split():
                    if one in made.left:
                        made.missing(one, e)
    except Exception as e:
        traceback.print_exc()
        made.rest(f"{type(e).__name__}: {e}")
        broken = True
    finally:
        bench.group.stop()
        bench.cluster = None
    made.rest("the bench did not come to it")
    seconds = time.monotonic() - began
    figures.note(f"{name}: {seconds:.0f} s; all cores together were busy "
                 f"{(machine.busy_s() - busy) / seconds * 100:.0f} % of one")
    return broken


def inside(args, work_dir, busy):
    """In the namespaces."""
    proc.run(["ip", "link", "set", "lo", "up"])
    machine.raise_files()
    machine.settle()
    bench = Bench(work_dir, args.short)
    bench.peers.fetched()
    head(bench, busy, list(args.wanted))
    broken = [part(bench, name, wanted)
              for name, wanted in args.wanted.items()]
    return 1 if any(broken) else 0


def all_of(name):
    """The names of a part's figures."""
    return {row.name for row in figures.PARTS[name]}


def options(argv):
    parser = argparse.ArgumentParser(
        prog="./quickstart bench",
        description="Prints the figures of the named parts, or single "
                    "figures by their names; of all parts without names. It "
                    "decides nothing.")
    parser.add_argument("names", nargs="*",
                        metavar="|".join(PARTS) + "|FIGURE")
    parser.add_argument("--short", action="store_true",
                        help="each figure from one short run")
    parser.add_argument("--keep", action="store_true",
                        help="leave logs and other files where they are")
    args = parser.parse_args(argv)
    for name in args.names:
        if name not in PARTS and not any(name in all_of(p) for p in PARTS):
            parser.error(f"there is no bench and no figure \"{name}\"; the "
                         f"benches are {', '.join(PARTS)}")
    args.wanted = {}
    for name in PARTS:
        some = all_of(name) & set(args.names)
        if name in args.names or not args.names:
            args.wanted[name] = all_of(name)
        elif some:
            args.wanted[name] = some
    return args


def outside(args, argv):
    """Fetches the peers while there is a network, then goes inside."""
    busy = machine.others()
    work_dir = tempfile.mkdtemp(prefix="gatehouse-bench-", dir="/var/tmp")
    os.chmod(work_dir, 0o755)
    child = None

    def end(signum, frame):
        if child:
            child.kill()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        peers.Peers(f"{work_dir}/peers").fetch()
        env = {**os.environ, INSIDE: work_dir, f"{INSIDE}_BUSY":
               "\n".join(busy)}
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net",
             "--pid", "--fork", "--kill-child", "--mount-proc", "--",
             "/usr/bin/python3", "-B", f"{SOURCE}/tests/bench/run", *argv],
            env=env, stdin=subprocess.DEVNULL)
        return child.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"bench: ended after {LIMIT_S} s", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if child and child.poll() is None:
            child.kill()
            child.wait()
        if args.keep:
            print(f"bench: files are in {work_dir}")
        else:
            shutil.rmtree(work_dir, ignore_errors=True)
        for path in os.listdir("/run"):
            if path.startswith(os.path.basename(work_dir)):
                shutil.rmtree(f"/run/{path}", ignore_errors=True)


def main(argv):
    args = options(argv)
    if os.environ.get(INSIDE):
        return inside(args, os.environ[INSIDE],
                      os.environ[f"{INSIDE}_BUSY"].splitlines())
    return outside(args, argv)
