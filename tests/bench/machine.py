# SPDX-License-Identifier: Apache-2.0
"""Where things run, what else runs, and what processes use.

The generator has the first core that we may use and everything measured the
second. Generators and media relays are SCHED_FIFO where that is allowed, all
other things measured SCHED_RR, PostgreSQL below them: a neighbour on their core
would look like a slow product, and it costs all the same. With one core only,
nothing is pinned.
"""
import os
import re
import shutil
import subprocess
import time

from harness import proc

TICK = os.sysconf("SC_CLK_TCK")


_cores = []


def cores():
    """Cores that we had at the start."""
    if not _cores:
        _cores.extend(sorted(os.sched_getaffinity(0)))
    return _cores


def settle():
    """What is started from here on stays off the generator's core, and
    neighbours do not keep it from its own."""
    if len(cores()) > 1:
        os.sched_setaffinity(0, {cores()[1]})
    if may_fifo():
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))


def below(pid):
    """A process and its later children give way to what is measured, but not
    to neighbours; among themselves they take turns as usual, so that a question
    does not wait for a long insertion."""
    if may_fifo():
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, pid, -15)


def generator(argv):
    """argv on the generator's core, in real time where allowed."""
    return _pin(0) + (["chrt", "-f", "50"] if may_fifo() else []) + argv


def measured(argv):
    """argv on the core of what is measured."""
    return _pin(1) + argv


def relay(argv):
    """A packet relay on the core of what is measured, in real time."""
    return _pin(1) + (["chrt", "-f", "40"] if may_fifo() else []) + argv


def awake():
    """A loop that runs on the core of what is measured when nothing else
    does, or None. A virtual machine's core that has halted starts cold, after
    up to some 100 us: that would be counted to a relay that rests, but hardly
    to one whose pauses are short."""
    if not may_fifo():
        return None
    return _pin(1) + ["chrt", "-i", "0", "sh", "-c", "while :; do :; done"]


def _pin(n):
    have = cores()
    return ["taskset", "-c", str(have[n])] if len(have) > 1 else []


_fifo = []


def may_fifo():
    if not _fifo:
        _fifo.append(len(cores()) > 1 and shutil.which("chrt") and
                     subprocess.run(["chrt", "-f", "50", "true"],
                                    stderr=subprocess.DEVNULL,
                                    check=False).returncode == 0)
    return _fifo[0]


def raise_files():
    """Most descriptors that we may have; children get them."""
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = max(hard, 200000)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, want))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def others(seconds=1.0):
    """What used more than 2 % of a core during that time: ["name 40 %"]."""
    def sample():
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8",
                          errors="replace") as f:
                    head, _, tail = f.read().rpartition(")")
            except OSError:
                continue
            words = tail.split()
            name = head.partition("(")[2]
            found[pid] = (name, int(words[11]) + int(words[12]))
        return found
    before = sample()
    time.sleep(seconds)
    shares = {}
    for pid, (name, ticks) in sample().items():
        if pid in before and int(pid) != os.getpid():
            share = (ticks - before[pid][1]) / TICK / seconds
            shares[name] = shares.get(name, 0) + share
    return [f"{name} {share * 100:.0f} %" for name, share in
            sorted(shares.items(), key=lambda s: -s[1]) if share > 0.02]


def busy_s():
    """Seconds that all cores of the machine were busy, since its start."""
    with open("/proc/stat", encoding="ascii") as f:
        words = [int(w) for w in f.readline().split()[1:]]
    return (sum(words[:3]) + sum(words[5:8])) / TICK


def family(*roots):
    """These processes and all that descend from them."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8",
                      errors="replace") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(pid))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def run_ns(pids):
    """Run time in nanoseconds of all threads that live."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat",
                          encoding="ascii") as f:
                    total += int(f.read().split()[0])
        except OSError:
            continue
    return total


def ended_children_ns(pid):
    """User and system time of children that a process has reaped."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        words = f.read().rpartition(")")[2].split()
    return (int(words[13]) + int(words[14])) * 1000000000 // TICK


class Spent:
    """CPU time of process trees between two moments, in nanoseconds. Children
    that came and went in between count by their parent's record of them."""

    def __init__(self, **roots):
        self.roots = roots
        self.before = {name: self._now(pid) for name, pid in roots.items()}

    @staticmethod
    def _now(pid):
        return run_ns(family(pid)) + ended_children_ns(pid)

    def since(self):
        return {name: self._now(pid) - self.before[name]
                for name, pid in self.roots.items()}


def memory(pids):
    """{"Pss": bytes, "Rss": ..., "Private_Dirty": ...} of processes."""
    total = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                for name, kb in re.findall(r"^(\w+): +(\d+) kB", f.read(),
                                           re.M):
                    total[name] = total.get(name, 0) + int(kb) * 1024
        except OSError:
            raise proc.Problem(f"process {pid} is gone") from None
    return total


def udp_sockets():
    """UDP sockets of our network namespace."""
    with open("/proc/net/sockstat", encoding="ascii") as f:
        return int(re.search(r"^UDP: inuse (\d+)", f.read(), re.M).group(1))


def wait_quiet(pid, timeout=10):
    """Until a process has used less than 2 ms in a quarter of a second, so
    that its start is not measured."""
    def probe():
        before = run_ns([pid])
        time.sleep(0.25)
        return run_ns([pid]) - before < 2000000
    proc.wait_for(probe, f"process {pid} to come to rest", timeout)
