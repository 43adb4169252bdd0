# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios: one process makes what all share (users, installed build,
database cluster, namespaces), workers run the cases.

A worker is a process id namespace of its own: whatever a case leaves running
ends with its worker, and nothing else can be hit. Worker and runner speak JSON
lines over pipes. A worker that exceeds a case's limit is ended and replaced.
"""
import argparse
import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
import traceback

from . import audio, cases, db, install, net, proc, world

SOURCE = os.path.dirname(cases.TESTS)
TEMPLATE = "gatehouse_template"


def is_sanitizer(build):
    with open(f"{build}/Makefile", encoding="utf-8") as f:
        return "-fsanitize=address" in f.read()


# ------------------------------------------------------------------ the worker

def worker(args):
    """Runs the cases named on standard input, one result line each."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what cases print belongs to the worker's log
    shared = json.loads(args.shared)
    known = cases.load()
    network = net.Net(args.slot, shared["owner"])
    cluster = db.Cluster(shared["name"], shared["work_dir"])
    installed = install.Installed.__new__(install.Installed)
    installed.__dict__.update(shared["installed"])
    sound = audio.Audio.__new__(audio.Audio)
    sound.__dict__.update(shared["audio"])
    w = world.World(args.slot, network, installed, cluster, TEMPLATE, sound,
                    f"{shared['work_dir']}/slot{args.slot}",
                    shared["release"])
    w.n_gates = args.generation * 1000
    for line in sys.stdin:
        name = line.strip()
        began = time.monotonic()
        state, text = run_case(w, known[name], shared["work_dir"])
        results.write(json.dumps({
            "name": name, "state": state, "text": text,
            "seconds": time.monotonic() - began}) + "\n")
    w.stop()


def run_case(w, case, work_dir):
    """("passed" | "failed" | "skipped", text)."""
    state, text = "passed", ""
    try:
        w.begin(case, f"{work_dir}/{case.name}")
        try:
            case.fn(w)
        except cases.Skip:
            raise
        except BaseException:
            state, text = "failed", traceback.format_exc(limit=-4)
            w.keep_evidence()
    except cases.Skip as e:
        state, text = "skipped", str(e)
    except BaseException:
        state, text = "failed", traceback.format_exc(limit=-4)
    try:
        if w.group:
            w.end()
    except BaseException:
        if state != "failed":
            w.keep_evidence()
        text += traceback.format_exc(limit=-2)
        state = "failed"
    if state == "failed":
        try:
            w.drop_gate()  # the next case must not inherit the trouble
        except BaseException:
            text += traceback.format_exc(limit=-2)
    return state, text


class Worker:
    """The runner's end of one worker."""

    def __init__(self, slot, shared, log_dir):
        self.slot = slot
        self.shared = shared
        self.log_path = f"{log_dir}/worker{slot}.log"
        self.generation = 0
        self.popen = None
        self.case = None
        self.since = 0.0
        self.buffer = b""

    def give(self, case):
        if not self.popen or self.popen.poll() is not None:
            self._start()
        self.case = case
        self.since = time.monotonic()
        self.popen.stdin.write((case.name + "\n").encode())
        self.popen.stdin.flush()

    def _start(self):
        self.generation += 1
        self.buffer = b""
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--",
                 "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "--", "/usr/bin/python3", f"{cases.TESTS}/run", "--worker",
                 "--slot", str(self.slot), "--generation",
                 str(self.generation), "--shared", json.dumps(self.shared)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        fd = self.popen.stdout.fileno()
        fcntl.fcntl(fd, fcntl.F_SETFL,
                    fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)

    def result(self):
        """The finished case's result, or None while it runs."""
        try:
            data = os.read(self.popen.stdout.fileno(), 1 << 20)
            self.buffer += data
            gone = not data
        except BlockingIOError:
            gone = False
        if b"\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\n")
            self.case = None
            return json.loads(line)
        took = time.monotonic() - self.since
        if not gone and took < self.case.limit * proc.PATIENCE:
            return None
        name, self.case = self.case.name, None
        self.end(force=True)
        return {"name": name, "state": "failed", "seconds": took, "text":
                f"the worker ended; see {self.log_path}" if gone else
                f"not done after {took:.0f} s; see {self.log_path}"}

    def end(self, force=False):
        if not self.popen:
            return
        if force:
            self.popen.kill()
        else:
            self.popen.stdin.close()
        try:
            self.popen.wait(60)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen = None


# ------------------------------------------------------------------ the runner

class Runner:
    """Everything that the cases share."""

    def __init__(self, args, chosen, owner=None, name="gh"):
        """owner: the process that all is named after, as the machine knows
        it; for a runner in a process namespace of its own."""
        self.args = args
        self.chosen = chosen
        self.owner = owner or os.getpid()
        self.name = f"{name}{self.owner}"
        self.work_dir = f"/var/tmp/{self.name}"
        self.release = not is_sanitizer(args.build)
        self.cluster = self.installed = self.sound = None
        self.nets = []
        self.workers = []
        self.results = []
        self.gates = None

    def set_up(self):
        os.makedirs(self.work_dir, mode=0o755)
        os.chmod(self.work_dir, 0o755)
        install.make_users(f"{SOURCE}/etc/gatehouse.sysusers")
        installed = install.Installed(SOURCE, self.args.build,
                                      f"{self.work_dir}/root")
        sound = audio.Audio(SOURCE, self.args.build, self.work_dir)
        self.installed, self.sound = installed, sound
        self.cluster = db.Cluster(self.name, self.work_dir)
        self.cluster.make()
        self.cluster.start()
        make_template(self.cluster, installed)
        shared = {"owner": self.owner, "name": self.name,
                  "work_dir": self.work_dir, "release": self.release,
                  "installed": installed.__dict__, "audio": sound.__dict__}
        for slot in range(self.args.jobs):
            network = net.Net(slot, self.owner)
            self.nets.append(network)
            network.make()
            self.workers.append(Worker(slot, shared, self.work_dir))

    def run(self):
        together = sorted((c for c in self.chosen if not c.alone),
                          key=lambda c: -c.seconds)
        self._run_list(together, self.workers)
        self._run_list([c for c in self.chosen if c.alone], self.workers[:1])

    def _run_list(self, waiting, workers):
        waiting = list(waiting)
        while waiting or any(w.case for w in workers):
            for w in workers:
                if not w.case and waiting:
                    w.give(waiting.pop(0))
            busy = [w for w in workers if w.case]
            select.select([w.popen.stdout for w in busy], [], [], 1.0)
            for w in busy:
                result = w.result()
                if result:
                    self._report(result)

    def _report(self, result):
        self.results.append(result)
        mark = {"passed": "ok     ", "failed": "FAILED ",
                "skipped": "skipped"}[result["state"]]
        print(f"{mark} {result['seconds']:6.1f} s  {result['name']}"
              + (f": {result['text']}" if result["state"] == "skipped" else ""),
              flush=True)
        if result["state"] == "failed":
            text = result["text"].strip().replace("\n", "\n        ")
            print(f"        {text}\n        files: "
                  f"{self.work_dir}/{result['name']}", flush=True)

    def tear_down(self, keep):
        for w in self.workers:
            w.end(force=bool(w.case))
        for network in self.nets:
            network.remove()
        if self.cluster:
            self.cluster.stop()
        if keep and os.path.isdir(self.work_dir):
            with open(f"{self.work_dir}/kept", "w", encoding="ascii"):
                pass
        else:
            shutil.rmtree(self.work_dir, ignore_errors=True)


def make_template(cluster, installed):
    """The schema, loaded once; each Gatehouse gets a copy."""
    cluster.create(TEMPLATE)
    migrate(cluster, TEMPLATE, installed)
    cluster.sql(TEMPLATE, world.SETTINGS)


def migrate(cluster, database, installed):
    """Loads or updates the schema with the tool that administrators use."""
    proc.run([installed.migrate, "-h", cluster.socket_dir, "-U", db.OWNER,
              "-d", database], timeout=120)


def remove_leftovers():
    """What dead runners have left and were not asked to keep. Only for who
    sees all processes of the machine: the others would look dead."""
    net.remove_leftovers()
    for top in ("/var/tmp", "/run"):
        for entry in os.listdir(top):
            m = re.fullmatch(r"(?:gh|gatehouse-soak-)(\d+)(?:-.*)?", entry)
            if m and not os.path.exists(f"/proc/{m[1]}") and \
               not os.path.exists(f"{top}/{entry}/kept"):
                shutil.rmtree(f"{top}/{entry}", ignore_errors=True)


def choose(args, known, release):
    """The cases of this build that the patterns name."""
    chosen = []
    for c in known.values():
        if c.builds not in ("both", "release" if release else "sanitizer"):
            continue
        if args.match and not any(m in c.name for m in args.match):
            continue
        chosen.append(c)
    return chosen


def options(argv):
    p = argparse.ArgumentParser(
        prog="tests/run", description="Runs the scenarios on one build.")
    p.add_argument("--build", default=f"{SOURCE}/build-check",
                   help="build folder [build-check]")
    p.add_argument("-j", "--jobs", type=int,
                   default=max(2, (os.cpu_count() or 2) + 1),
                   help="cases at once")
    p.add_argument("-k", "--keep", action="store_true",
                   help="keep logs and captures also after success")
    p.add_argument("-l", "--list", action="store_true",
                   help="list the cases and the rows they prove")
    p.add_argument("match", nargs="*", help="only cases whose name has this")
    for name in ("--worker",):
        p.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--slot", type=int, default=0, help=argparse.SUPPRESS)
    p.add_argument("--generation", type=int, default=0,
                   help=argparse.SUPPRESS)
    p.add_argument("--shared", default="{}", help=argparse.SUPPRESS)
    return p.parse_args(argv)


def main(argv):
    args = options(argv)
    if args.worker:
        worker(args)
        return 0
    known = cases.load()
    if args.list:
        for c in known.values():
            print(f"{c.name}  {' '.join(c.rows)}")
        return 0
    if os.geteuid() != 0:
        print("tests/run: must be started as root", file=sys.stderr)
        return 2
    args.build = os.path.abspath(args.build)
    chosen = choose(args, known, not is_sanitizer(args.build))
    runner = Runner(args, chosen)
    broken = ""
    try:
        remove_leftovers()
        runner.set_up()
        runner.run()
    except KeyboardInterrupt:
        broken = "interrupted"
    except Exception:
        broken = traceback.format_exc(limit=-4)
    return finish(runner, broken, args)


def finish(runner, broken, args):
    count = {state: sum(r["state"] == state for r in runner.results)
             for state in ("passed", "failed", "skipped")}
    if os.environ.get("CI") == "true":
        count["failed"] += count["skipped"]  # there, a skip is a failure
        count["skipped"] = 0
    if broken:
        print(f"FAILED  the runner itself: {broken}")
        count["failed"] += 1
    keep = args.keep or count["failed"] > 0
    runner.tear_down(keep)
    slow = sorted(runner.results, key=lambda r: -r["seconds"])[:10]
    if len(slow) > 1:
        print("slowest:")
        for r in slow:
            print(f"  {r['seconds']:6.1f} s  {r['name']}")
    if keep:
        print(f"logs and captures: {runner.work_dir}")
    print(f"{count['passed']} passed, {count['failed']} failed, "
          f"{count['skipped']} skipped")
    return 0 if count["failed"] == 0 and count["passed"] > 0 else 1
