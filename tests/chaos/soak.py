# SPDX-License-Identifier: Apache-2.0
"""The soak run: see tests/chaos/run."""
import argparse
import os
import random
import subprocess
import sys
import time
import traceback

from bench import figures, machine
from bench.figures import Row, note
from harness import cases, proc, runner, world

from . import chaos

PROCESSES = chaos.PROCESSES
LOSS_MAX = 0.001
OWNER = "GATEHOUSE_SOAK"  # who started the run, seen from outside of it
TRY_S = 15
PROGRESS_S = 300
MEMORY_PER_CALL = 256 << 10

figures.PARTS["soak"] = [
    Row("soak_calls_lost", "calls", goal=0),
    Row("soak_media_gap", "ms", goal=200),
    Row("soak_service_sbc", "ms", goal=1000),
    *(Row(f"soak_service_{p}", "ms") for p in PROCESSES if p != "sbc"),
    Row("soak_cdr_wrong", "CDRs", goal=0),
]


class Place:
    """What runner.Runner makes for its workers, for one World of ours."""

    def __init__(self, build, owner):
        shared = argparse.Namespace(build=build, jobs=1, match=[], keep=False)
        self.runner = runner.Runner(shared, [], owner, "gatehouse-soak-")
        self.world = None
        self.keep = True  # what happened, unless it was well

    def __enter__(self):
        r = self.runner
        r.set_up()
        self.world = world.World(
            0, r.nets[0], r.installed, r.cluster, runner.TEMPLATE, r.sound,
            f"{r.work_dir}/slot0", r.release)
        return self

    def __exit__(self, kind, value, trace):
        if self.world:
            self.world.stop()
        self.runner.tear_down(self.keep)
        if self.keep:
            note(f"logs: {self.runner.work_dir}")


def whole_case():
    """The World wants to know what it works for."""
    return cases.Case(whole_case, "", 0, "own", True, "both", 0)


def capacity(w, calls, seed):
    """How many calls this machine carries before anything is killed."""
    while True:
        c = chaos.Chaos(w, seed, calls, (600000, 600000), phones=0,
                        log_level="notice", say=note)
        w.begin(whole_case(), f"{w.work_dir}/try{calls}")
        try:
            c.prepare(TRY_S)
            c.begin(TRY_S)
            time.sleep(TRY_S)
            loss = c.talk.loss(TRY_S - 2)
            c.talk.finish()
        finally:
            w.end()
        note(f"{calls} calls without a kill: {loss * 100:.3f} % of the "
             "packets lost")
        if loss < LOSS_MAX or calls < 20:
            return calls if loss < LOSS_MAX else 0
        calls = int(calls * 0.7)


def soak(w, args, seed, say):
    """One run; whether all was well."""
    c = chaos.Chaos(
        w, seed, args.calls,
        (15000, 45000) if args.short else (60000, 300000),
        phones=4 if args.short else 0, say=note)
    w.begin(whole_case(), f"{w.work_dir}/soak")
    try:
        c.prepare(args.seconds)
        c.begin(args.seconds)
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            c.kill_for(min(PROGRESS_S, end - time.monotonic()))
            note(f"{len(c.kills)} kills, {c.talk.talking()} calls up, "
                 f"{len(c.talk.calls)} ended, {len(c.lost())} lost")
        c.end()
        c.summary()
        return judge(c, args, say)
    finally:
        w.end()


def judge(c, args, say):
    say.say("soak_calls_lost", len(c.lost()))
    say.say("soak_media_gap", c.gap_after("mediad") * 1000)
    for process, times in c.services().items():
        say.say(f"soak_service_{process}", max(times) * 1000)
    wrong = c.wrong_records()
    say.say("soak_cdr_wrong", len(wrong))
    left = c.left_over((48 << 20) + args.calls * MEMORY_PER_CALL)
    if c.talk.done[5]:
        left.append(f"{c.talk.done[5]} packets with another content")
    if args.short:
        try:
            c.phones_heard()
        except proc.Problem as e:
            left.append(str(e))
    for line in wrong[:20] + left:
        note(line)
    return not c.lost() and not wrong and not left


def options(argv):
    p = argparse.ArgumentParser(prog="./quickstart soak")
    p.add_argument("--short", action="store_true",
                   help="a minute with 100 calls, four of them real phones")
    p.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    p.add_argument("--calls", type=int, help="[1000, short: 96 + 4]")
    p.add_argument("--seconds", type=int, help="[3600, short: 60]")
    p.add_argument("--build", default=f"{runner.SOURCE}/build-run",
                   help=argparse.SUPPRESS)
    args = p.parse_args(argv)
    args.calls = args.calls or (96 if args.short else 1000)
    args.seconds = args.seconds or (60 if args.short else 3600)
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    return args


def main(argv):
    args = options(argv)
    if os.geteuid() != 0:
        print("soak: must be started as root", file=sys.stderr)
        return 2
    if not os.environ.get(OWNER):
        # In there nothing of the machine's can be seen.
        note("beside this runs: " + (", ".join(machine.others()) or "nothing"))
        return in_namespace(argv)
    machine.raise_files()
    say = figures.Figures("soak")
    note(f"seed {args.seed}")
    good = False
    try:
        with Place(args.build, int(os.environ[OWNER])) as place:
            w = place.world
            if not args.short:
                args.calls = capacity(w, args.calls, args.seed)
                note(f"calls of this run: {args.calls}")
            good = bool(args.calls) and soak(w, args, args.seed, say)
            place.keep = not good
    except KeyboardInterrupt:
        say.rest("interrupted")
    except Exception as e:
        traceback.print_exc(limit=-4)
        say.rest(e)
    say.rest("there was no run")
    return 0 if good else 1


def in_namespace(argv):
    """Process ids of its own: whatever is left running ends with it."""
    runner.remove_leftovers()
    environment = {**os.environ, OWNER: str(os.getpid())}
    return subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
         # Process 1 there: it buries the daemons of a keeper that was killed.
         "sh", "-c", '"$@"; exit $?', "sh",
         "/usr/bin/python3", f"{cases.TESTS}/chaos/run", *argv],
        env=environment, check=False).returncode
