# SPDX-License-Identifier: Apache-2.0
"""The flows bench: what TLS connections cost. Memory of idle ones, CPU per
registration, call and handshake beside Kamailio with its tls module, and what
is left of a flood of connections, of broken handshakes and of slow peers while
a phone is called on.

The generator (flowload) has a source address for each phone; certificates are
EC P-256 of our own internal authority for both products, TLS 1.3.
"""
import os
import re
import subprocess
import time

from harness import gate, proc

from . import machine, servers
from .calls import FAILED_MAX
from .figures import Missing, median, note, spread

PORT = 5061
FIRST_PHONE, ATTACKERS, TRUNK = "127.64.0.0", "127.80.0.0", "127.0.0.6"
CALLS_RATE = 100
WRITE_BEHIND_S = 11  # Kamailio's timer_interval, and a second

SETTINGS = f"""
select sbc.add_realm_address('outside', '{servers.OURS}', {PORT}, 'tls');
select sbc.add_trunk('tls', '{TRUNK}', 'outside', port => {PORT},
	transport => 'tls');
delete from sbc.trunk_target where trunk = sbc.trunk_id('tls');
select sbc.add_route('extensions', '2', priority => 20);
update sbc.setting set value = '600000'
	where name = 'flow_first_message_timeout_ms';
"""

# What the defaults would refuse: thousands of strangers in a few seconds, who
# say nothing until all are there.
FLOWD = {"accept_rate": 1000000, "accept_rate_source": 100000}
LIMITS = "accept_rate 1000000/s instead of 500, accept_rate_source " \
    "100000/s instead of 20, flow_first_message_timeout_ms 600000 instead " \
    "of 30000, " + servers.RATES

KAMAILIO_TLS = """enable_tls=yes
tcp_children=4
tcp_max_connections=20000
tls_max_connections=20000
tcp_connection_lifetime=3700
listen=tls:{address}:5061
"""

KAMAILIO_CFG = """
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{pki}/tls/kamailio.crt")
modparam("tls", "private_key", "{pki}/tls/kamailio.key")
modparam("tls", "verify_certificate", 0)
modparam("tls", "require_certificate", 0)
""" + servers.BOTH_CFG


def words(line):
    """{name: number} of a line of sums; "first" is text."""
    found = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", line)}
    m = re.search(r'first="([^"]*)"', line)
    found["first"] = m.group(1) if m else ""
    return found


def tcp_memory():
    """Bytes that the kernel holds for TCP sockets of this namespace's host,
    and how many there are."""
    with open("/proc/net/sockstat", encoding="ascii") as f:
        m = re.search(r"^TCP: inuse (\d+).* mem (\d+)", f.read(), re.M)
    return int(m.group(2)) * os.sysconf("SC_PAGE_SIZE"), int(m.group(1))


class Phones:
    """flowload's phones, driven by commands."""

    def __init__(self, bench, to, ca, n, names=False):
        argv = [bench.program("tests/bench/flowload"), "phones", "--to",
                f"{to}:{PORT}", "--from", FIRST_PHONE, "--trunk", TRUNK,
                "--domain", servers.DOMAIN, "--n", str(n), "--ca", ca]
        self.n = n
        self.proc = proc.Proc(
            machine.generator(argv + (["--names"] if names else [])),
            f"{bench.folder('phones')}/log", stdin=subprocess.PIPE)
        self.lines = 0

    def say(self, line):
        self.proc.popen.stdin.write((line + "\n").encode())
        self.proc.popen.stdin.flush()

    def answer(self, timeout):
        """The next line, as numbers."""
        def probe():
            lines = self.proc.log().splitlines()
            if len(lines) > self.lines:
                return lines[self.lines]
            if not self.proc.alive():
                raise proc.Problem("flowload ended: " +
                                   self.proc.log()[-500:])
            return None
        line = proc.wait_for(probe, "flowload", timeout, pause=0.05)
        self.lines += 1
        return words(line)

    def connect(self, rate=300):
        self.say(f"connect {rate}")
        done = self.answer(self.n / rate + 60)
        if done["connected"] < 0.999 * self.n:
            raise proc.Problem(f"{done['connected']:.0f} of {self.n + 1} "
                               "connections stand")

    def register(self, rate=300):
        self.say(f"register {rate}")
        done = self.answer(self.n / rate + 60)
        if done["good"] != self.n:
            raise proc.Problem(f"{done['good']:.0f} of {self.n} "
                               f"registrations good ({done['first']})")

    def call(self, n, rate, hold_ms=500):
        self.say(f"call {n} {rate} {hold_ms}")
        return self.answer(n / rate + 60)

    def stop(self):
        self.proc.stop()


class Flows:
    def __init__(self, bench, figures):
        self.bench = bench
        self.figures = figures
        self.repeat = 1 if bench.short else 2
        self.pki = None
        self.n_databases = 0
        self.live = []

    def alone(self, step):
        """A figure that fails leaves nothing running to the next one."""
        try:
            step()
        finally:
            while self.live:
                self.live.pop().stop()

    def add(self, thing):
        self.live.append(thing)
        return thing

    # ---------------------------------------------------------------- servers

    def ours(self, phones):
        cluster = servers.cluster(self.bench)
        self.n_databases += 1
        database = f"flows{self.n_databases}"
        servers.Ours.prepare(self.bench, cluster, database, phones)
        cluster.sql(database, SETTINGS)
        server = self.add(servers.Ours(
            self.bench, cluster, database, {"flowd": FLOWD}))
        server.ca = server.gate.make_certificate("outside", servers.OURS)
        server.start()
        proc.wait_for(lambda: any(
            row["state"] == "open" for answer in server.gate.ctl("listeners")
            for row in answer["listeners"]), "the TLS listener", 20)
        for daemon in gate.DAEMONS:
            machine.wait_quiet(server.pids()[daemon])
        return server

    def kamailio(self, phones):
        cluster = servers.cluster(self.bench)
        self.n_databases += 1
        database = f"kamflows{self.n_databases}"
        if not self.pki:
            self.pki = self.bench.folder("pki")
            for folder in ("tls", "ca"):
                os.makedirs(f"{self.pki}/{folder}")
            for args in (["ca", "internal"],
                         ["server", "kamailio", servers.KAMAILIO]):
                proc.run([self.bench.installed.program("sbcctl"), "cert",
                          "--dir", self.pki, *args])
        servers.Kamailio.prepare(self.bench, cluster, database, phones)
        server = self.add(servers.Kamailio(
            self.bench, cluster, database, KAMAILIO_CFG, tls=KAMAILIO_TLS,
            pki=self.pki, trunk=TRUNK))
        server.ca = f"{self.pki}/ca/internal.crt"
        server.start()
        return server

    def phones(self, server, n):
        return self.add(Phones(
            self.bench, server.address.split(":")[0], server.ca, n,
            names=isinstance(server, servers.Kamailio)))

    @staticmethod
    def roots(server, *daemons):
        if isinstance(server, servers.Kamailio):
            return {"kamailio": server.proc.pid}
        pids = server.pids()
        return {name: pids[name] for name in daemons}

    def attack(self, server, what, n, rate, source=ATTACKERS, at_once=100,
               timeout=None, **options):
        argv = [self.bench.program("tests/bench/flowload"), what, "--to",
                f"{server.address.split(':')[0]}:{PORT}", "--from", source,
                "--n", str(n), "--rate", str(rate), "--at-once", str(at_once)]
        if options.get("background"):
            return self.add(proc.Proc(
                machine.generator(argv), f"{self.bench.folder(what)}/log",
                stdin=subprocess.PIPE))
        return words(proc.run(machine.generator(argv),
                              timeout=timeout or 3 * n / rate + 60))

    # ----------------------------------------------------------------- memory

    def idle(self):
        """Registered phones that say nothing, as many as descriptors allow."""
        server = self.ours(1)
        status = server.gate.ctl("flows")[-1]
        n = min(500 if self.bench.short else 9000, status["capacity"] - 101)
        server.add_phones(server.cluster, server.database, 1, n)
        pids = [server.pids()[d] for d in ("flowd", "sbc")]
        before = [machine.memory([pid])["Pss"] for pid in pids]
        kernel, sockets = tcp_memory()
        phones = self.phones(server, n)
        phones.connect()
        phones.register()
        time.sleep(5)
        after = [machine.memory([pid])["Pss"] for pid in pids]
        kernel_after, sockets_after = tcp_memory()
        flows = server.gate.ctl("flows")[-1]["flows"]
        phones.stop()
        server.stop()
        if flows < n:
            raise Missing(f"{flows} of {n} flows stand")
        note(f"flow_mem_tls: {n} registered phones (capacity "
             f"{status['capacity']}), each with its bridge; flowd "
             f"{(after[0] - before[0]) / n:.0f}, sbc "
             f"{(after[1] - before[1]) / n:.0f} bytes each; the kernel holds "
             f"{kernel_after - kernel} bytes more for "
             f"{sockets_after - sockets} sockets more, the generator's "
             "included")
        self.figures.say("flow_mem_tls",
                         round((sum(after) - sum(before)) / n))

    # -------------------------------------------------------------------- CPU

    def measured(self, server, roots, work):
        spent = machine.Spent(**roots)
        result = work()
        return result, {k: ns / 1000 for k, ns in spent.since().items()}

    def register(self):
        """Connections stand, and each phone has registered once over its own:
        what is measured is the next time, as every half hour of its life. SQL
        is part of it, as in the auth bench."""
        n = 500 if self.bench.short else 3000
        ours, peer = [], []
        for _ in range(self.repeat):
            for make, table, into in ((self.ours, "binding", ours),
                                      (self.kamailio, "location", peer)):
                server = make(n)
                phones = self.phones(server, n)
                phones.connect()
                phones.register()
                have = server.wait_count(table, n, 30)
                if have != n:
                    raise Missing(f"{server.name}: {have} of {n} stored")
                time.sleep(2)
                roots = self.roots(server, "flowd", "sbc", "authd")
                roots["postgres"] = server.cluster.server.pid

                def work():
                    phones.register()
                    # Kamailio writes behind.
                    time.sleep(WRITE_BEHIND_S)
                _, spent = self.measured(server, roots, work)
                note(f"{server.name}: " + ", ".join(
                    f"{k} {us / n:.0f}" for k, us in spent.items()) +
                    " us/pair")
                into.append(sum(spent.values()) / n)
                phones.stop()
                server.stop()
        note(f"flow_register_tls: {n} phones at 300/s; ours {spread(ours)}, "
             f"Kamailio {spread(peer)}")
        self.figures.say("flow_register_tls", median(ours), median(peer))

    def calls(self):
        n = CALLS_RATE * (5 if self.bench.short else 20)
        many = 200
        ours, peer = [], []
        rtpengine = self.add(servers.Rtpengine(self.bench))
        rtpengine.start()
        for _ in range(self.repeat):
            for make, table, rows, into in (
                    (self.ours, "cdr", n, ours),
                    (self.kamailio, "acc", 2 * n, peer)):
                server = make(many)
                phones = self.phones(server, many)
                phones.connect()
                phones.register()
                phones.call(50, 50)
                time.sleep(1)
                roots = self.roots(server, "flowd", "sbc", "authd", "mediad")
                if make == self.kamailio:
                    roots["rtpengine"] = rtpengine.proc.pid
                known = server.count(table)

                def work():
                    run = phones.call(n, CALLS_RATE)
                    run["rows"] = server.wait_count(
                        table, known + rows, 30) - known
                    time.sleep(0.3)
                    return run
                run, spent = self.measured(server, roots, work)
                note(f"{server.name}: " + ", ".join(
                    f"{k} {us / n:.0f}" for k, us in spent.items()) +
                    f" us/call; {run['good']:.0f} of {n} calls good "
                    f"{run['first']}")
                if run["good"] < (1 - FAILED_MAX) * n or run["rows"] != rows:
                    raise Missing(f"{server.name}: {run['good']:.0f} of {n} "
                                  f"calls good ({run['first']}), "
                                  f"{run['rows']} records")
                into.append(sum(spent.values()) / n)
                phones.stop()
                server.stop()
        rtpengine.stop()
        note(f"flow_call_tls: {n} calls at {CALLS_RATE}/s, both sides TLS; "
             f"ours {spread(ours)}, peer {spread(peer)}")
        self.figures.say("flow_call_tls", median(ours), median(peer))

    def handshake(self):
        n, rate = 600 if self.bench.short else 3000, 300
        ours, peer = [], []
        pair = [(self.ours(1), ours), (self.kamailio(1), peer)]
        for _ in range(self.repeat + 1):
            for server, into in pair:
                run, spent = self.measured(
                    server, self.roots(server, "flowd", "sbc"),
                    lambda: self.attack(server, "handshakes", n, rate))
                if run["good"] < 0.999 * n:
                    raise Missing(f"{server.name}: {run['good']:.0f} of {n} "
                                  "handshakes good")
                into.append(sum(spent.values()) / n)
        for server, _ in pair:
            server.stop()
        note(f"flow_handshake: {n} whole handshakes at {rate}/s; ours "
             f"{spread(ours)}, Kamailio {spread(peer)}; one core makes "
             f"{1e6 / median(ours):.0f}/s beside {1e6 / median(peer):.0f}/s")
        self.figures.say("flow_handshake", median(ours), median(peer))

    # ------------------------------------------------------------------ flood

    def growth(self):
        """A phone is called all the time, and the same as the measured flood,
        small, goes before: what grows afterwards is what connections leave
        behind."""
        scale = 0.1 if self.bench.short else 1
        many = 100
        server = self.ours(many)
        phones = self.phones(server, many)
        phones.connect()
        phones.register()
        phones.say("call-on 5 200")
        pids = [server.pids()[d] for d in ("flowd", "sbc")]

        def flood(share):
            run = self.attack(server, "handshakes", int(50000 * share), 1000,
                              timeout=600)
            broken = self.attack(server, "broken", int(10000 * share), 2000)
            slow = self.attack(server, "slow", int(2000 * share), 500,
                               background=True)
            time.sleep(25 if share == 1 else 12)
            during = server.gate.ctl("flows")[-1]
            slow.popen.stdin.close()
            slow.wait(60)
            return run, broken, during

        def is_over():
            """flowd remembers for a while who connected, for their rate."""
            answer = server.gate.ctl("flows")[-1]
            return answer["flows"] <= many + 1 and \
                answer["handshakes"] == 0 and answer["sources"] <= many + 1

        def memory():
            proc.wait_for(is_over, "the flood to be over", 90, pause=0.5)
            time.sleep(6)
            return [machine.memory([pid])["Pss"] for pid in pids]

        flood(0.1)
        before = memory()
        run, broken, during = flood(scale)
        after = memory()
        phones.say("call 1 1 100")
        calls = phones.answer(60)
        phones.answer(60)
        phones.stop()
        server.stop()
        note(f"flow_growth: {run['good']:.0f} connections opened and closed "
             f"in {run['seconds']:.0f} s, {broken['good']:.0f} broken "
             f"handshakes, {int(2000 * scale)} slow peers "
             f"({during['flows']} flows then); flowd "
             f"{(after[0] - before[0]) / 1e6:+.2f}, sbc "
             f"{(after[1] - before[1]) / 1e6:+.2f} MB; {LIMITS}")
        note(f"flow_slow_success_rate: {calls['good']:.0f} of "
             f"{calls['calls']:.0f} calls good {calls['first']}")
        self.figures.say("flow_growth",
                         round((sum(after) - sum(before)) / 1e6, 2))
        self.figures.say("flow_slow_success_rate",
                         calls["good"] / calls["calls"])


def run(bench, figures):
    flows = Flows(bench, figures)
    for names, step in (
            ("flow_mem_tls", flows.idle),
            ("flow_register_tls", flows.register),
            ("flow_call_tls", flows.calls),
            ("flow_handshake", flows.handshake),
            ("flow_growth flow_slow_success_rate", flows.growth)):
        yield names, lambda step=step: flows.alone(step)
