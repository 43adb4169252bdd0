# SPDX-License-Identifier: Apache-2.0
"""The calls bench: sipload's complete calls through the whole of us (keeper,
sbc, authd, mediad, PostgreSQL) and through Kamailio with topoh, acc and
rtpengine, in turn.

A call is INVITE 180 200 ACK, half a second, BYE; media ports are opened and
closed, its record is in PostgreSQL, no RTP. CPU is the run time of processes,
from before the first call until the last record is stored. The number of CDRs
has to be the number of calls.
"""
import resource
import struct
import time

from harness import proc

from . import machine, servers
from .figures import Missing, median, note, spread

FAILED_MAX = 0.001
HELD_RATE = 100
STORED_S = 1.5
LATE_MAX_MS = 100  # a generator that is later than this is at its end
TRANSACTION_TAIL_S = 40
# An INVITE is repeated after 0.5, 1 and 2 s (RFC 3261 17.1.1.2); a number of
# the generator's block is called again after 4 s at 500 calls a second.
REPETITION_S = 2.5


class Run(dict):
    """The last line of sipload."""

    def __init__(self, text):
        super().__init__()
        lines = [line for line in text.splitlines() if "good=" in line]
        if not lines:
            raise proc.Problem("sipload: " + text[-500:])
        for word in lines[-1].split():
            name, _, value = word.partition("=")
            self[name] = float(value)
        self.trouble = [line for line in text.splitlines()
                        if "first" in line]

    def why(self):
        return (f"{int(self['good'])} of {int(self['calls'])} calls good" +
                (f" ({self.trouble[0]})" if self.trouble else ""))


class Calls:
    def __init__(self, bench, figures):
        self.bench = bench
        self.figures = figures
        self.repeat = 1 if bench.short else 2
        self.ours = None
        self.kamailio = None
        self.rtpengine = None
        self.peer_problem = None
        self.first = 0

    # ---------------------------------------------------------------- set-up

    def prepare(self):
        cluster = servers.cluster(self.bench)
        servers.Ours.prepare(self.bench, cluster, "calls")
        self.ours = self.bench.group.add(
            servers.Ours(self.bench, cluster, "calls"))
        self.ours.start()
        note(f"calls: settings besides the defaults: {servers.RATES}")
        try:
            servers.Kamailio.prepare(self.bench, cluster, "kamailio")
            # First: Kamailio asks for it at its start, and not again soon.
            self.rtpengine = self.bench.group.add(
                servers.Rtpengine(self.bench))
            self.rtpengine.start()
            self.kamailio = self.bench.group.add(servers.Kamailio(
                self.bench, cluster, "kamailio", servers.CALLS_CFG))
            self.kamailio.start()
            note("calls: Kamailio has 4 children, allocator fm, acc to "
                 "PostgreSQL, topoh; rtpengine one thread")
        except (proc.Problem, Missing) as e:
            self.peer_problem = str(e)
            note(f"calls: no peer: {e}")
        machine.wait_quiet(self.ours.pids()["sbc"])

    # ------------------------------------------------------------------ runs

    def sipload(self, server, n, rate, hold=500, patience=5):
        argv = machine.generator([
            self.bench.program("tests/bench/sipload"), "calls", "--to",
            server.address, "--from", servers.CALLER, "--called",
            servers.CALLED, "--n", str(n), "--rate", str(rate), "--hold",
            str(hold), "--patience", str(patience), "--first",
            str(self.first)])
        self.first += n
        return argv

    def load(self, server, n, rate, **options):
        limit = n / rate + 60 + options.get("patience", 5)
        return Run(proc.run(self.sipload(server, n, rate, **options),
                            timeout=limit, check=False))

    def measure(self, server, n, rate, table, per_call):
        """One run; (what sipload says, {process: ns per call})."""
        roots = {"postgres": servers.cluster(self.bench).server.pid}
        if server is self.ours:
            roots.update(self.ours.pids())
            roots.pop("keeper")
        else:
            roots.update(kamailio=self.kamailio.proc.pid,
                         rtpengine=self.rtpengine.proc.pid)
        rows = server.count(table)
        spent = machine.Spent(**roots)
        run = self.load(server, n, rate)
        # As long for both, and nobody looks meanwhile: each look is a process
        # of PostgreSQL. Records in batches are stored by then.
        time.sleep(STORED_S)
        costs = spent.since()
        wanted = rows + n * per_call
        have = server.count(table)
        if have < wanted:
            have = server.wait_count(table, wanted)
            costs = spent.since()
        if have != wanted:
            note(f"{server.name}: {have - rows} rows in {table} for {n} "
                 f"calls, {wanted - rows} are right")
        run["records_right"] = have == wanted
        return run, {name: ns / n for name, ns in costs.items()}

    def rate_figures(self, rate, seconds):
        n = rate * (3 if self.bench.short else seconds)
        ours, peer, postgres, tail = [], [], [], []
        sbc, sbc_peer = [], []
        for _ in range(self.repeat if rate < 500 else 1):
            if rate == 500:
                before = machine.memory([self.ours.pids()["sbc"]])["Pss"]
            run, costs = self.measure(self.ours, n, rate, "cdr", 1)
            if rate == 500:
                tail.append(machine.memory(
                    [self.ours.pids()["sbc"]])["Pss"] - before)
                note(f"call_tail_500: growth of sbc's Pss after "
                     f"{n / rate:.0f} s; finished transactions stay 32 s")
                self.figures.say("call_tail_500", round(tail[0] / 1e6, 1))
            mine = costs["sbc"] + costs["authd"] + costs["mediad"]
            ours.append(mine / 1000)
            sbc.append(costs["sbc"] / 1000)
            note(f"{rate}/s, gatehouse: sbc {costs['sbc'] / 1000:.0f}, authd "
                 f"{costs['authd'] / 1000:.0f}, mediad "
                 f"{costs['mediad'] / 1000:.0f} us/call; setup p99 "
                 f"{run['setup_p99_us'] / 1000:.1f} ms; {run.why()}")
            self.judge(run, "gatehouse", rate)
            postgres.append(costs["postgres"] / 1000)
            if self.peer_problem:
                continue
            run, costs = self.measure(self.kamailio, min(n, rate * 20), rate,
                                      "acc", 2)
            theirs = costs["kamailio"] + costs["rtpengine"]
            peer.append(theirs / 1000)
            sbc_peer.append(costs["postgres"] / 1000)
            note(f"{rate}/s, peer: kamailio {costs['kamailio'] / 1000:.0f}, "
                 f"rtpengine {costs['rtpengine'] / 1000:.0f} us/call; "
                 f"{run.why()}")
            self.judge(run, "kamailio", rate)
        if self.peer_problem:
            name = f"call_cpu_{rate}"
            self.figures.missing(name, f"ours {median(ours):.0f} us/call; no "
                                 f"peer: {self.peer_problem}")
        else:
            note(f"call_cpu_{rate}: ours {spread(ours)}, peer {spread(peer)}")
            self.figures.say(f"call_cpu_{rate}", median(ours), median(peer))
            if rate == 500:
                self.figures.say("call_cpu_sbc_500", median(sbc),
                                 median(peer))
        self.figures.say(f"call_cpu_postgres_{rate}", median(postgres),
                         median(sbc_peer) if sbc_peer else None)

    def judge(self, run, who, rate):
        """A ratio is only worth something where (nearly) all calls were good
        and each has its record."""
        if run["good"] < (1 - FAILED_MAX) * run["calls"]:
            raise Missing(f"{who} at {rate}/s: {run.why()}")
        if not run["records_right"]:
            raise Missing(f"{who} at {rate}/s: the records do not match the "
                          "calls")

    # --------------------------------------------------------------- figures

    def setup(self):
        """One capture of both sides of us at 500 calls a second."""
        rate, seconds = 500, 3 if self.bench.short else 10
        path = f"{self.bench.folder('capture')}/lo.pcap"
        sniffer = proc.Proc(machine.generator([
            "tcpdump", "-i", "lo", "-n", "-s", "192", "-B", "65536", "-U",
            "-w", path, "udp port 5060 and udp[8:4] = 0x494e5649"]),
            path + ".log")
        try:
            proc.wait_for(lambda: "listening on" in sniffer.log(),
                          "tcpdump", 10)
            run = self.load(self.ours, rate * seconds, rate)
            # The kernel hands its ring over once a second.
            time.sleep(2)
        finally:
            sniffer.stop()
        delays = invite_delays(path)
        if len(delays) < 0.999 * rate * seconds:
            raise Missing(f"the capture has {len(delays)} of "
                          f"{rate * seconds} calls whole; {run.why()}")
        note(f"call_setup_p99: {len(delays)} calls in the capture, p50 "
             f"{delays[len(delays) // 2] * 1000:.2f} ms, longest "
             f"{delays[-1] * 1000:.1f} ms")
        self.figures.say("call_setup_p99",
                         delays[int(len(delays) * 0.99)] * 1000)

    def failed(self):
        """At 2,000 calls a second, or as fast as the generator can."""
        for rate in (2000, 1600, 1200, 800):
            n = rate * (3 if self.bench.short else 10)
            rows = self.ours.count("cdr")
            run = self.load(self.ours, n, rate)
            have = self.ours.wait_count("cdr", rows + n, 60)
            note(f"calls_failed_2000: {rate}/s: {run.why()}; the generator "
                 f"was at most {run['late_max_ms']:.0f} ms late; setup p99 "
                 f"{run['setup_p99_us'] / 1000:.1f} ms; {have - rows} CDRs "
                 f"for {n} calls")
            if run["late_max_ms"] < LATE_MAX_MS:
                break
            note("calls_failed_2000: the generator was at its end first")
        self.figures.say("calls_failed_2000", int(n - run["good"]))

    def held(self):
        """Memory of a fresh sbc with held calls, once the transactions that
        made them are gone, less its memory before the first call."""
        n = 500 if self.bench.short else 5000
        # mediad has four sockets for each.
        n = min(n, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
                // 4)
        self.ours.stop()
        self.ours.start()
        pid = self.ours.pids()["sbc"]
        machine.wait_quiet(pid)
        rows = self.ours.count("cdr")
        before = machine.memory([pid])["Pss"]
        load = self.bench.group.add(proc.Proc(
            self.sipload(self.ours, n, HELD_RATE, hold=290000),
            f"{self.bench.folder('held')}/log"))
        proc.wait_for(lambda: f"talking={n}" in load.log() or
                      not load.alive(), f"{n} held calls",
                      n / HELD_RATE + 30, pause=0.5)
        if not load.alive():
            raise Missing("the held calls did not stand: " + load.log())
        peak = machine.memory([pid])["Pss"]
        time.sleep(TRANSACTION_TAIL_S)
        after = machine.memory([pid])["Pss"]
        ended = self.ours.count("cdr") - rows
        load.stop()
        if ended:
            raise Missing(f"{ended} of {n} held calls have ended")
        note(f"call_mem_sbc: {n} held calls set up at {HELD_RATE}/s; sbc's "
             f"Pss {before / 1e6:.1f} MB before, {peak / 1e6:.1f} MB with the "
             f"last one's transactions, {after / 1e6:.1f} MB "
             f"{TRANSACTION_TAIL_S} s later")
        self.figures.say("call_mem_sbc", round((after - before) / n))


def invite_delays(path):
    """Seconds from each INVITE towards us to its INVITE to the called side,
    sorted. The called numbers are a block that comes round: the n-th call to a
    number is its n-th INVITE on both sides, repetitions left out."""
    came, left = {}, {}
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    while at + 16 <= len(data):
        second, micro, size, _ = struct.unpack_from("<IIII", data, at)
        packet = data[at + 16:at + 16 + size]
        at += 16 + size
        if len(packet) < 42 + 30:
            continue
        to = ".".join(str(b) for b in packet[30:34])
        mark = packet.find(b"4971", 42)
        number = packet[mark:mark + 13]
        when = second + micro / 1e6
        if to == servers.OURS:
            times = came.setdefault(number, [])
        elif to == servers.CALLED.split(":")[0]:
            times = left.setdefault(number, [])
        else:
            continue
        if not times or when - times[-1] > REPETITION_S:
            times.append(when)
    return sorted(out - into for number, times in left.items()
                  for into, out in zip(came.get(number, []), times))


def run(bench, figures):
    calls = Calls(bench, figures)
    calls.prepare()
    yield "call_cpu_50 call_cpu_postgres_50", \
        lambda: calls.rate_figures(50, 20)
    yield "call_cpu_200 call_cpu_postgres_200", \
        lambda: calls.rate_figures(200, 20)
    yield ("call_cpu_500 call_cpu_postgres_500 call_cpu_sbc_500 "
           "call_tail_500"), lambda: calls.rate_figures(500, 40)
    yield "call_setup_p99", calls.setup
    yield "calls_failed_2000", calls.failed
    yield "call_mem_sbc", calls.held
