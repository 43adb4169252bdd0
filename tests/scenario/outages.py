# SPDX-License-Identifier: Apache-2.0
"""What is away when it should be there: the database at start, a daemon that
was killed, a port that somebody has."""
import os

from harness import db, net, runner, world
from harness.cases import case
from harness.net import LINKS

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]


def _plain_call(w, phone):
    """A call without speech works from end to end."""
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call_silent", target=True, service=number,
               hold=500, who=f"itsp{number[-3:]}")
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.cdr(number, timeout=20, sip_status=200, hangup_side="caller")


@case("R43 R64", seconds=12, gate="own")
def database_away_at_start(w):
    """Without a database the daemons start and say so in one clear line; once
    it is there, settings come by themselves and a call works."""
    name = f"{w.net.prefix}-late"
    cluster = db.Cluster(name, w.dir)
    cluster.make()
    w.group.add(cluster)
    gate = w.make_gate(wait=False, database="gatehouse",
                       cluster=cluster)
    w.wait(lambda: any(e.process == "authd" and
                       e.level in ("warning", "err") and "database" in e.text
                       for e in gate.events()),
           "a line of authd about the database", 30)
    assert gate.keeper.alive()
    peer = w.peer("phones")
    peer.send(peer.request("REGISTER", f"sip:{PHONES.edge}",
                           f"x@{PHONES.edge}"))
    assert peer.receive(0.5) is None, "nothing can be served yet"

    cluster.start()
    cluster.create("gatehouse")
    runner.migrate(cluster, "gatehouse", w.installed)
    cluster.sql("gatehouse", world.SETTINGS)
    w.wait_settings(0)
    _plain_call(w, w.phone())
def _killed(w, daemon):
    phone = w.phone()
    w.faults_allowed = True
    mark = w.gate.kill_daemon(daemon)
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon=daemon, timeout=20)
    # Ready is not yet connected: until then sbc says 503, rightly.
    w.gate.wait_event(f"{daemon}_up", since=mark, process="sbc", timeout=20)
    _plain_call(w, phone)


@case("R52", seconds=5, gate="own")
def sbc_killed(w):
    """sbc is killed; it is back by itself and a new call works."""
    w.make_gate()
    phone = w.phone()
    w.faults_allowed = True
    mark = w.gate.kill_daemon("sbc")
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon="sbc", timeout=20)
    w.wait(lambda: w.gate.ctl("registrations", check=False),
           "the registration to be known again", 20)
    _plain_call(w, phone)


@case("R52", seconds=5, gate="own")
def mediad_killed(w):
    """mediad is killed; it is back by itself and a new call works."""
    w.make_gate()
    _killed(w, "mediad")


@case("R52", seconds=5, gate="own")
def authd_killed(w):
    """authd is killed; it is back by itself, a phone registers and a new call
    works."""
    w.make_gate()
    _killed(w, "authd")


@case("R64", seconds=4, gate="own")
def port_in_use(w):
    """A realm's port that another program has: one clear line names it, and
    the other realms work."""
    taken = net.open_socket(w.ns("edge"), 2, 2)
    taken.bind((LINKS["pbx"].edge, 5060))
    try:
        gate = w.make_gate(wait=False)
        gate.wait_event("listen_failed", process="keeper", timeout=30)
        line = gate.find_event("listen_failed", process="keeper").text
        assert f"{LINKS['pbx'].edge}:5060" in line, line
    finally:
        taken.close()


@case("R51", seconds=3)
def each_under_its_own_user(w):
    """Every daemon runs as its own user without any capability."""
    users = set()
    for daemon in ("authd", "mediad", "sbc"):
        pid = w.gate.pid_of(daemon)
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f
                          if ":\t" in line)
        assert int(status["CapEff"], 16) == 0, status
        assert int(status["CapPrm"], 16) == 0, status
        assert status["NoNewPrivs"] == "1", status
        uid = int(status["Uid"].split()[0])
        assert uid != 0
        users.add(uid)
        assert os.stat(f"/proc/{pid}").st_uid in (0, uid)
    assert len(users) == 3, users


@case("R51", seconds=3, builds="release")
def full_sandbox(w):
    """The shipped daemons report every layer that this kernel has."""
    for daemon in ("authd", "mediad", "sbc"):
        event = w.gate.find_event("sandbox", process=daemon)
        assert event, f"{daemon} does not tell its level"
        assert event.fields["level"] == event.fields["possible"], event
        assert "seccomp" in w.gate.status(daemon)["sandbox"], event
        with open(f"/proc/{w.gate.pid_of(daemon)}/status",
                  encoding="ascii") as f:
            assert "Seccomp:\t2" in f.read(), f"{daemon} has no filter"
