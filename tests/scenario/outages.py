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


def _rtp_from_us(w, role):
    """(first packet, longest gap in seconds) of the one stream that we sent to
    a neighbour: one port, one SSRC, numbers in order and none twice."""
    edge = LINKS[role].edge
    stream = [p for p in w.packets(role) if p.src == edge and p.is_rtp()]
    assert stream, f"no audio to {role}"
    assert len({(p.sport, p.data[8:12]) for p in stream}) == 1, \
        f"another port or SSRC to {role}"
    numbers = [int.from_bytes(p.data[2:4], "big") for p in stream]
    steps = [(b - a) & 0xffff for a, b in zip(numbers, numbers[1:])]
    # A packet may have died with the process.
    assert all(step in (1, 2) for step in steps), \
        f"numbers to {role}: {[s for s in steps if s != 1]}"
    assert steps.count(2) <= 1, f"lost to {role}"
    return stream[0], max(b.at - a.at for a, b in zip(stream, stream[1:]))


def _open_ports(pid):
    """UDP ports that are open where a process lives."""
    with open(f"/proc/{pid}/net/udp", encoding="ascii") as f:
        return {int(line.split()[1].split(":")[1], 16)
                for line in f.readlines()[1:]}


@case("R20 R43 R52", seconds=14, gate="own")
def mediad_killed_in_call(w):
    """mediad is killed while both sides talk: the same ports, SSRC and numbers
    go on, each hears the other, and the CDR has the whole call."""
    w.make_gate()
    phone = w.phone()
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=9000)
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp", 1.5)
    w.wait_speech("phones", 1.5)
    w.faults_allowed = True
    mark = w.gate.kill_daemon("mediad")
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon="mediad", timeout=20)
    resumed = w.gate.find_event("sessions_resumed", since=mark,
                                process="mediad")
    assert resumed and resumed.fields["sessions"] == "1", resumed
    s.done()
    phone.wait_event("CALL_CLOSED")
    ports, gaps = set(), {}
    for role in ("itsp", "phones"):
        first, gaps[role] = _rtp_from_us(w, role)
        ports |= {first.sport, first.sport + 1}
    # The goal is 200 ms; a machine with other work may take longer.
    print("mediad_killed_in_call: longest gap "
          + ", ".join(f"{g * 1000:.0f} ms to {r}" for r, g in gaps.items()))
    assert max(gaps.values()) < 2, gaps
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    w.cdr(number, sip_status=200, hangup_side="caller",
          duration_us=lambda us: abs(us / 1e6 - 9) < 2.5,
          caller_leg__rx_packets=lambda v: v >= 400,
          called_leg__rx_packets=lambda v: v >= 400,
          caller_leg__rx_lost=lambda v: v <= 2,
          caller_leg__tx_packets=lambda v: v >= 400,
          called_leg__tx_packets=lambda v: v >= 400)
    w.wait(lambda: not ports & _open_ports(w.gate.pid_of("mediad")),
           "the media ports to be closed", 10)


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
