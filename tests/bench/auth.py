# SPDX-License-Identifier: Apache-2.0
"""The auth bench: how fast authd judges, what registrations cost beside
Kamailio with auth_db and usrloc, and whether a million accounts change that.
"""
import os
import shutil
import time

from harness import gate, proc

from . import machine, servers
from .figures import Missing, median, note, spread

PHONES_FEW = 20000
PHONES_MANY = 1000000
USRLOC_FLUSH_S = 10  # Kamailio's timer_interval in servers.py
TRIES = 3


class Pass(dict):
    """One line of sipload phones."""

    def __init__(self, line):
        super().__init__()
        for word in line.split():
            name, _, value = word.partition("=")
            self[name] = float(value)


class Auth:
    def __init__(self, bench, figures):
        self.bench = bench
        self.figures = figures
        self.repeat = 1 if bench.short else 2
        self.server = None

    # ------------------------------------------------------------------ tools

    def authload(self, argv, on=machine.measured):
        text = proc.run(on([self.bench.program("tests/bench/authload"),
                            *argv]), timeout=120, check=False)
        lines = [line for line in text.splitlines() if "verified=" in line]
        if not lines:
            raise Missing("authload: " + text.strip()[-300:])
        return Pass(lines[-1])

    def sipload(self, server, phones, rate, passes=1, first=0):
        text = proc.run(machine.generator([
            self.bench.program("tests/bench/sipload"), "phones", "--to",
            server.address, "--from", servers.PHONES, "--domain",
            servers.DOMAIN, "--n", str(phones), "--rate", str(rate),
            "--passes", str(passes), "--first", str(first)]),
            timeout=passes * (phones / rate + 30) + 30, check=False)
        found = [Pass(line) for line in text.splitlines()
                 if line.startswith("pass=")]
        if len(found) != passes:
            raise proc.Problem("sipload: " + text.strip()[-500:])
        trouble = [line for line in text.splitlines() if "first" in line]
        found[-1].trouble = f" ({trouble[0]})" if trouble else ""
        return found

    def ours(self, database, options=None):
        """Our server on a database, started."""
        server = self.bench.group.add(servers.Ours(
            self.bench, servers.cluster(self.bench), database, options))
        server.start()
        for daemon in gate.DAEMONS:
            machine.wait_quiet(server.pids()[daemon])
        return server

    # --------------------------------------------------------------- figures

    def verify(self):
        folder = self.bench.folder("judge")
        runs = [self.authload(["judge", "10000",
                               str(2 if self.bench.short else 5), folder])
                for _ in range(self.repeat)]
        shutil.rmtree(folder)
        rates = [r["rate"] for r in runs]
        note(f"auth_verify_rate: MD5, qop=auth, 10000 accounts in memory, "
             f"{runs[0]['ns_each']:.0f} ns each, {spread(rates)}")
        self.figures.say("auth_verify_rate", round(median(rates)))

    def verify_ipc(self):
        """authd by hand (-f) as root, so that authload may be its sbc."""
        cluster = servers.cluster(self.bench)
        servers.Ours.prepare(self.bench, cluster, "verify", 1000)
        folder = self.bench.folder("authd")
        run_dir = f"/run/{self.bench.name}-authd"
        os.makedirs(run_dir, mode=0o750)
        with open(f"{folder}/authd.conf", "w", encoding="ascii") as f:
            f.write(gate.conf_text({
                "runtime_dir": run_dir, "log_level": "warning",
                "state_dir": f"{folder}/state",
                "database": f"host={cluster.socket_dir} user=postgres "
                            "dbname=verify"}))
        authd = self.bench.group.add(proc.Proc(
            machine.measured([self.bench.program("authd/authd"), "-f", "-c",
                              f"{folder}/authd.conf"]), f"{folder}/log"))
        proc.wait_for(lambda: os.path.exists(f"{run_dir}/authd.sock"),
                      f"authd ({folder}/log)", 10)
        runs = [self.authload(
            ["ipc", "1000", str(2 if self.bench.short else 5),
             f"{run_dir}/authd.sock", str(authd.pid)], on=machine.generator)
            for _ in range(self.repeat)]
        authd.stop()
        shutil.rmtree(run_dir, ignore_errors=True)
        rates = [r["rate"] for r in runs]
        note(f"auth_verify_ipc_rate: 64 questions on their way, "
             f"{runs[0]['ns_each'] / 1000:.1f} us of authd each, "
             f"{spread(rates)}; {runs[0]['wall_rate']:.0f}/s by the clock "
             f"with {runs[0]['core_percent']:.0f} % of a core")
        self.figures.say("auth_verify_ipc_rate", round(median(rates)))

    def measure(self, make, roots, phones, stored=None):
        """All phones once at 500/s at a fresh server; us of CPU per pair by
        process, with the records stored. A machine with other work loses
        datagrams at either product; then all is tried again."""
        for attempt in range(TRIES):
            server = make(attempt)
            try:
                return self.measure_once(server, roots(server), phones, stored)
            except Missing as e:
                if attempt == TRIES - 1:
                    raise
                note(f"again: {e}")
            finally:
                server.stop()
        return None

    def measure_once(self, server, roots, phones, stored):
        cluster = servers.cluster(self.bench)
        before = server.count(stored) if stored else 0
        spent = machine.Spent(postgres=cluster.server.pid, **roots)
        run = self.sipload(server, phones, 500)[-1]
        # As long for both, and nobody looks meanwhile: each look is a process
        # of PostgreSQL. A write-back in batches is over after it.
        time.sleep(USRLOC_FLUSH_S + 2)
        costs = {name: ns / phones / 1000
                 for name, ns in spent.since().items()}
        if run["good"] < 0.999 * phones:
            raise Missing(f"{server.name}: {int(run['good'])} of {phones} "
                          f"registrations good{run.trouble}")
        have = server.count(stored) - before if stored else run["good"]
        if have != run["good"]:
            raise Missing(f"{server.name}: {have} registrations stored of "
                          f"{int(run['good'])}")
        note(f"{server.name}{'' if stored else ', db_mode 0'}: " + ", ".join(
            f"{name} {us:.0f}" for name, us in costs.items()) +
            f" us/pair; answer p99 {run['answer_p99_us'] / 1000:.1f} ms")
        return sum(costs.values())

    def pair(self):
        """Fresh servers for each run, so that each registration is new."""
        phones = 1500 if self.bench.short else 10000
        cluster = servers.cluster(self.bench)
        made = []

        def ours(attempt):
            made.append(attempt)
            name = f"pair{len(made)}"
            servers.Ours.prepare(self.bench, cluster, name, phones)
            return self.ours(name)

        def kamailio(mode):
            made.append(mode)
            name = f"kam{len(made)}"
            servers.Kamailio.prepare(self.bench, cluster, name, phones)
            return self.bench.group.add(servers.Kamailio(
                self.bench, cluster, name, servers.PHONES_CFG,
                db_mode=mode)).start()

        def own_roots(server):
            pids = server.pids()
            return {"sbc": pids["sbc"], "authd": pids["authd"]}

        def its_roots(server):
            return {"kamailio": server.proc.pid}

        found = {"ours": [], "peer": [], "alone": []}
        for _ in range(self.repeat):
            found["ours"].append(self.measure(ours, own_roots, phones,
                                              "binding"))
            found["peer"].append(self.measure(lambda _: kamailio(2), its_roots,
                                              phones, "location"))
            found["alone"].append(self.measure(lambda _: kamailio(0),
                                               its_roots, phones))
        note(f"register_pair: {phones} phones at 500/s, each new; ours "
             f"{spread(found['ours'])}, Kamailio {spread(found['peer'])} "
             f"(usrloc db_mode 2, flushed every {USRLOC_FLUSH_S} s)")
        self.figures.say("register_pair", median(found["ours"]),
                         median(found["peer"]))
        self.figures.say("register_pair_memory_only", median(found["ours"]),
                         median(found["alone"]))

    def storm(self):
        phones = 2000 if self.bench.short else 10000
        servers.Ours.prepare(self.bench, servers.cluster(self.bench), "storm",
                             phones)
        server = self.ours("storm")
        run = self.sipload(server, phones, 1000)[-1]
        stored = server.wait_count("binding", int(run["good"]), 30)
        server.stop()
        note(f"register_storm_lost: {phones} phones in {phones / 1000:.0f} s, "
             f"nothing sent twice; {int(run['lost'])} without an answer, "
             f"{int(run['wrong'])} with a wrong one{run.trouble}, {stored} "
             f"stored; answer p99 {run['answer_p99_us'] / 1000:.1f} ms; "
             f"settings besides the defaults: {servers.RATES}")
        self.figures.say("register_storm_lost", int(phones - run["good"]))

    def bulk_import(self):
        phones = 10000 if self.bench.short else 100000
        cluster = servers.cluster(self.bench)
        servers.Ours.prepare(self.bench, cluster, "bulk")
        path = f"{self.bench.folder('bulk')}/phones.csv"
        with open(path, "w", encoding="ascii") as f:
            for i in range(phones):
                f.write(f"{500000 + i},Phone {i},+4941{1000000 + i},outside\n")
        spent = machine.Spent(postgres=cluster.server.pid)
        began = time.monotonic()
        proc.run(machine.measured([
            f"{cluster.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h",
            cluster.socket_dir, "-U", "postgres", "-d", "bulk", "-c",
            f"\\copy sbc.phone_import from '{path}' csv", "-o", "/dev/null",
            "-c", "select * from sbc.import_phones()"]), timeout=600)
        took = time.monotonic() - began
        cpu = spent.since()["postgres"] / 1e9
        have = int(cluster.sql("bulk", "select count(*) from sbc.account"))
        if have != phones:
            raise Missing(f"{have} phones of {phones}")
        note(f"bulk_import_100k: {phones} phones from CSV in {took:.1f} s by "
             f"the clock, {cpu:.1f} s of CPU")
        self.figures.say("bulk_import_100k", round(cpu * 100000 / phones, 1))

    def active(self, database, phones):
        """All active phones register twice: (p99 of the second time, authd's
        Pss with them in memory)."""
        server = self.ours(database)
        runs = self.sipload(server, phones, 1000, passes=2)
        for run in runs:
            if run["good"] < 0.999 * phones:
                raise Missing(f"{int(run['good'])} of {phones} registrations "
                              f"good in pass {int(run['pass'])}"
                              f"{runs[-1].trouble}")
        pss = machine.memory([server.pids()["authd"]])["Pss"]
        server.stop()
        return runs[-1]["answer_p99_us"], pss

    def million(self):
        active = 2000 if self.bench.short else PHONES_FEW
        many = 100000 if self.bench.short else PHONES_MANY
        cluster = servers.cluster(self.bench)
        servers.Ours.prepare(self.bench, cluster, "many", active)
        few = self.active("many", active)
        began = time.monotonic()
        servers.Ours.add_phones(cluster, "many", active, many)
        note(f"auth_mem_1m: {many} accounts, {many - active} of them added "
             f"in {time.monotonic() - began:.0f} s")
        # The second server is a new one; it knows nothing from before.
        result = self.active("many", active)
        note(f"auth_mem_1m: {active} active; authd's Pss {few[1] / 1e6:.1f} "
             f"MB with {active} accounts, {result[1] / 1e6:.1f} MB with "
             f"{many}; p99 {few[0]:.0f} and {result[0]:.0f} us")
        self.figures.say("auth_mem_1m", round(result[1] / 1e6, 1))
        self.figures.say("auth_p99_1m", result[0], ratio=result[0] / few[0])


def run(bench, figures):
    auth = Auth(bench, figures)
    yield "auth_verify_rate", auth.verify
    yield "auth_verify_ipc_rate", auth.verify_ipc
    yield "register_pair register_pair_memory_only", auth.pair
    yield "register_storm_lost", auth.storm
    yield "bulk_import_100k", auth.bulk_import
    yield "auth_mem_1m auth_p99_1m", auth.million
