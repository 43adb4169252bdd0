# SPDX-License-Identifier: Apache-2.0
"""The media bench: rtpload against mediad and against rtpengine in userspace,
one worker each on the same core, in turn.

mediad runs by hand (-f) as root and rtpload plays sbc for it. rtpengine runs
without its kernel module and with one worker thread. Every packet that comes
back is verified. Costs are compared only where both lost less than 0.1 %: where
one of them cannot carry the calls that a figure is about, at the most that both
carry, which its note line then says.
"""
import os
import shutil

from harness import gate, proc

from . import machine
from .figures import Missing, median, note, spread

LOSS_MAX = 0.1          # percent
GENERATOR_CALLS = 2200  # one core of the generator is at its end about here
NG_PORT = 22222


class Mediad:
    name = "mediad"

    def __init__(self, bench):
        self.dir = bench.folder("mediad")
        self.run_dir = f"/run/{bench.name}-media"
        self.socket = f"{self.run_dir}/mediad.sock"
        self.where = f"mediad:{self.socket}"
        os.makedirs(self.run_dir, mode=0o750, exist_ok=True)
        with open(f"{self.dir}/mediad.conf", "w", encoding="ascii") as f:
            f.write(gate.conf_text({"runtime_dir": self.run_dir,
                                    "log_level": "warning", "workers": 1}))
        self.proc = proc.Proc(
            machine.relay([bench.program("mediad/mediad"), "-f", "-c",
                              f"{self.dir}/mediad.conf"]),
            f"{self.dir}/log")
        proc.wait_for(self._up, f"mediad ({self.dir}/log)", 10)

    def _up(self):
        if not self.proc.alive():
            raise proc.Problem("mediad ended: " + self.proc.log()[-500:])
        return os.path.exists(self.socket)

    @property
    def pid(self):
        return self.proc.pid

    def stop(self):
        self.proc.stop()
        shutil.rmtree(self.run_dir, ignore_errors=True)


class Rtpengine:
    name = "rtpengine"

    def __init__(self, bench):
        self.dir = bench.folder("rtpengine")
        self.where = f"rtpengine:127.0.0.1:{NG_PORT}"
        self.proc = proc.Proc(
            machine.relay([
                bench.peers.program("rtpengine"), "--config-file=none",
                "--table=-1", "--foreground", "--log-stderr", "--log-level=3",
                "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{NG_PORT}",
                "--num-threads=1", "--port-min=20000", "--port-max=59998",
                f"--pidfile={self.dir}/pid"]),
            f"{self.dir}/log", env=bench.peers.environment())
        proc.wait_for(self._up, f"rtpengine ({self.dir}/log)", 15)

    def _up(self):
        if not self.proc.alive():
            raise Missing("rtpengine does not start: " +
                          self.proc.log()[-300:])
        with open("/proc/net/udp", encoding="ascii") as f:
            return f":{NG_PORT:04X} " in f.read()

    @property
    def pid(self):
        return self.proc.pid

    def stop(self):
        self.proc.stop(timeout=5)


class Run(dict):
    """One line of rtpload; numbers as numbers."""

    def __init__(self, line):
        super().__init__()
        for word in line.split():
            name, _, value = word.partition("=")
            try:
                self[name] = float(value)
            except ValueError:
                self[name] = value

    @property
    def whole(self):
        return self["loss_percent"] < LOSS_MAX and \
            self["sent"] > 0.999 * self["planned"]


class Media:
    def __init__(self, bench, figures):
        self.bench = bench
        self.figures = figures
        self.seconds = 3 if bench.short else 8
        self.warm_up = 1 if bench.short else 2
        self.repeat = 1 if bench.short else 3

    # ------------------------------------------------------------------ runs

    def load(self, relay, calls, *options):
        """One run of rtpload against a relay that runs."""
        limit = self.seconds + self.warm_up + 60
        text = proc.run(machine.generator([
            self.bench.program("tests/bench/rtpload"), "--relay", relay.where,
            "--pid", str(relay.pid), "--calls", str(calls), "--seconds",
            str(self.seconds), "--warm-up", str(self.warm_up), *options]),
            timeout=limit, check=False)
        lines = [line for line in text.splitlines() if "relay=" in line]
        if not lines:
            raise proc.Problem(f"rtpload and {relay.name}: {text[-500:]}")
        run = Run(lines[-1])
        if run["bad"]:
            raise proc.Problem(f"{relay.name} gave back wrong packets: "
                               f"{int(run['bad'])}")
        return run

    def once(self, kind, calls, *options):
        """One run against a fresh relay."""
        relay = kind(self.bench)
        try:
            return self.load(relay, calls, *options)
        finally:
            relay.stop()

    def pairs(self, calls, *options):
        """Ours and the peer's runs in turn: [(ours, peer)], only pairs in
        which both gave (nearly) everything back; and what the last try was
        like."""
        found, tries, last = [], 0, ""
        while len(found) < self.repeat and tries < self.repeat + 2:
            tries += 1
            ours = self.once(Mediad, calls, *options)
            peer = self.once(Rtpengine, calls, *options)
            if ours.whole and peer.whole:
                found.append((ours, peer))
            last = ", ".join(
                f"{r['relay']} lost {r['loss_percent']:.3f} %, generator sent "
                f"{100 * r['sent'] / r['planned']:.2f} %"
                for r in (ours, peer))
        return found, last

    def most_pairs(self, name, calls, *options):
        """(calls, pairs) at the most calls, in steps of a tenth, that both
        carry."""
        for n in range(calls, 0, -max(calls // 10, 1)):
            found, last = self.pairs(n, *options)
            if found:
                return n, found
            note(f"{name}: no pair of runs with less than {LOSS_MAX} % loss "
                 f"at {n} calls: {last}")
        raise Missing(f"no pair of runs with less than {LOSS_MAX} % loss, "
                      f"with however few calls: {last}")

    def compare(self, name, wanted, *options):
        calls, runs = self.most_pairs(name, wanted, *options)
        if calls < wanted:
            note(f"{name}: compared at {calls} calls instead of {wanted}, "
                 "the most that both carry")
        ours = [a["ns_per_packet"] for a, _ in runs]
        peer = [b["ns_per_packet"] for _, b in runs]
        ratios = [a / b for a, b in zip(ours, peer)]
        note(f"{name}: {calls} calls, ours {spread(ours)}, rtpengine "
             f"{spread(peer)}, ratio {spread(ratios)}; core used "
             f"{runs[0][0]['core_percent']:.0f} % and "
             f"{runs[0][1]['core_percent']:.0f} %")
        self.figures.say(name, median(ours), median(peer), median(ratios))

    # --------------------------------------------------------------- figures

    def flat(self):
        text = proc.run(machine.measured([
            self.bench.program("tests/bench/srtpflat"), "100", "1500",
            str(3 if self.bench.short else 10)]), timeout=60)
        run = Run(text)
        note(f"srtp_flat: protect and open {run['few_ns']:.0f} ns per packet "
             f"with 100 streams, {run['many_ns']:.0f} ns with 1500, on "
             "mediad's own SRTP without sockets")
        self.figures.say("srtp_flat", run["ratio"])

    def carries(self, kind, calls):
        """Whether a relay does, and what is to be said if not. A run that
        fails may be a neighbour's doing, and so may one in which the generator
        did not send everything: that one says nothing about the relay."""
        for _ in range(3):
            run = self.once(kind, calls)
            if run.whole:
                return True, ""
            if run["sent"] < 0.999 * run["planned"]:
                how = f"the generator ended first, at {calls} calls (relay " \
                    f"at {run['core_percent']:.0f} % of its core)"
            else:
                how = f"{run['loss_percent']:.2f} % lost at {calls} calls"
        return False, how

    def steps(self, kind):
        """Calls with less than 0.1 % loss: in growing steps until one fails,
        or in shrinking ones until one does not. Returns (calls, how it
        ended)."""
        calls = 1000 if kind is Rtpengine else 1400
        step = 400 if self.bench.short else 200
        good, how = self.carries(kind, calls)
        if not good:
            while not good and calls > step:
                calls -= step // 2
                good, _ = self.carries(kind, calls)
            return calls if good else 0, how
        while calls + step <= 3000:
            good, how = self.carries(kind, calls + step)
            if not good:
                return calls, how
            calls += step
        return calls, "no loss up to there"

    def capacity(self):
        ours, how = self.steps(Mediad)
        peer, peer_how = self.steps(Rtpengine)
        note(f"media_calls_capacity: ours {ours}: {how}; rtpengine {peer}: "
             f"{peer_how}")
        if not ours or not peer:
            raise Missing(f"ours: {how}; rtpengine: {peer_how}")
        self.figures.say("media_calls_capacity", ours, peer)

    def memory(self, name, *options):
        calls = 500 if self.bench.short else 1000
        sockets = machine.udp_sockets()
        relay = Mediad(self.bench)
        try:
            run = self.load(relay, calls, *options)
            sockets = machine.udp_sockets() - sockets
        finally:
            relay.stop()
        peer = self.once(Rtpengine, calls, *options)
        ours, theirs = ((r["pss_after"] - r["pss_before"]) / calls
                        for r in (run, peer))
        note(f"{name}: Pss with {calls} calls less Pss before the first; the "
             f"kernel's {sockets / calls:.1f} sockets per call are not in it")
        self.figures.say(name, round(ours), round(theirs))

    def delay(self, name, coalesce):
        runs = []
        for _ in range(self.repeat):
            runs.append(self.once(Mediad, 500, "--stamps", "--coalesce",
                                  str(coalesce)))
        values = [r["delay_p99_us"] for r in runs]
        peer = self.once(Rtpengine, 500, "--stamps")
        note(f"{name}: 500 calls, coalescing {coalesce} us, "
             f"{spread(values)}; p50 {runs[0]['delay_p50_us']:.0f} us; loss "
             f"{max(r['loss_percent'] for r in runs):.3f} %")
        self.figures.say(name, median(values), peer["delay_p99_us"])

    def steps_of(self):
        yield ("rtp_plain_1000",
               lambda: self.compare("rtp_plain_1000", 1000))
        yield ("rtp_plain_100",
               lambda: self.compare("rtp_plain_100", 100))
        yield ("srtp_cm80_1000",
               lambda: self.compare("srtp_cm80_1000", 1000, "--srtp"))
        yield "srtp_flat", self.flat
        yield "media_calls_capacity", self.capacity
        yield "media_mem_plain", lambda: self.memory("media_mem_plain")
        yield ("media_mem_srtp",
               lambda: self.memory("media_mem_srtp", "--srtp"))
        yield ("media_delay_on_p99",
               lambda: self.delay("media_delay_on_p99", 500))
        yield ("media_delay_off_p99",
               lambda: self.delay("media_delay_off_p99", 0))


def run(bench, figures):
    loop = machine.awake()
    if loop:
        bench.group.add(proc.Proc(loop, f"{bench.folder('awake')}/log"))
        note("media: a loop of the lowest priority keeps the relays' core "
             "from halting")
    return Media(bench, figures).steps_of()
