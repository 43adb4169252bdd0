# SPDX-License-Identifier: Apache-2.0
"""The installed unit under Debian's systemd: what is killed is back, and the
call talks on."""
import os

from harness import cases, proc, service
from harness.cases import case

DAEMONS = ("authd", "mediad", "flowd", "sbc")


def _service(w):
    why = service.Service.missing()
    if why:
        raise cases.Skip(why)
    if w.installed.prefix != w.installed.root + "/usr":
        raise cases.Skip("the build is not configured with --prefix=/usr")
    w.drop_gate()
    w.n_gates += 1
    name = f"{w.net.prefix}-{w.n_gates}"
    w.gate_cluster = w.cluster
    w.cluster.create(name, "gatehouse_template")
    w.gate = service.Service(name, f"{w.work_dir}/{name}", w.installed, name,
                             w.cluster.socket_dir, w.net.name("edge"))
    w.gate.start()
    w.wait_settings(0)
    return w.gate


def _adopted(gate, mark, start="start"):
    """A new keeper stands and has started nothing."""
    gate.wait_event("ready", since=mark, process="keeper", timeout=60)
    names = [(e.name, e.fields.get("daemon")) for e in gate.events(mark)
             if e.process == "keeper"]
    names = names[[n for n, _ in names].index(start):]
    for daemon in DAEMONS:
        assert ("daemon_adopted", daemon) in names, (daemon, names)
    assert "daemon_start" not in dict(names), names


@case("R52 R63", seconds=25, gate="own", builds="release", limit=200)
def calls_outlive_kills(w):
    """keeper and each daemon are killed while a call talks, sbc also together
    with keeper; everything is upgraded; the service is stopped in order."""
    before = service.fingerprint()
    sentinel = f"/tmp/{w.net.prefix}-sentinel"
    with open(sentinel, "w", encoding="ascii"):
        pass
    try:
        _run(w)
    finally:
        w.drop_gate()
        assert service.fingerprint() == before, "systemd changed the machine"
        os.unlink(sentinel)


def _run(w):
    gate = _service(w)
    w.faults_allowed = True
    assert gate.unit("Type") == "notify"
    assert gate.unit("Restart") == "always"
    assert gate.unit("KillMode") == "process"
    assert gate.unit("ActiveState") == "active"
    phone = w.phone()
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_hung_up_on", "far", target=True, service=number,
               timeout=120)
    phone.wait_event("CALL_ESTABLISHED")

    first = {d: gate.pid_of(d) for d in DAEMONS}
    main = gate.unit("MainPID")
    mark = gate.kill_daemon("keeper")
    _adopted(gate, mark)
    assert gate.unit("MainPID") != main
    # Memory files and listeners came back from systemd itself.
    back = [e.fields["name"] for e in gate.events(mark)
            if e.name == "systemd_fd"]
    for wanted in ("listen/udp/", "sbc/calls", "mediad/media"):
        assert any(n.startswith(wanted) for n in back), (wanted, back)
    assert {d: gate.pid_of(d) for d in DAEMONS} == first
    for daemon in DAEMONS:
        mark = gate.kill_daemon(daemon)
        gate.wait_event("daemon_ready", since=mark, daemon=daemon, timeout=30)
    gate.wait_event("calls_restored", process="sbc", calls=1)

    # Only systemd is left with what sbc knew.
    mark = gate.kill_daemon("sbc")
    gate.kill_daemon("keeper")
    gate.wait_event("ready", since=mark, process="keeper", timeout=60)
    gate.wait_event("calls_restored", since=mark, process="sbc", timeout=30,
                    calls=1)

    mark = gate.log_mark()
    states = {a["process"]: a["state"] for a in gate.ctl("upgrade")}
    assert states == {p: "renewed" for p in (*DAEMONS, "keeper")}, states
    _adopted(gate, mark, "leaving")
    w.wait_speech("itsp", 7)
    phone.hang_up()
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    w.cdr(number, sip_status=200, hangup_side="called",
          reason_text="call_called_hung_up")

    assert gate.processes() == sorted((*DAEMONS, "keeper")), gate.processes()
    mark = gate.log_mark()
    gate.inside("systemctl", "stop", "gatehouse")
    order = [e.fields["daemon"] for e in gate.events(mark)
             if e.name == "daemon_stopped"]
    assert order == list(reversed(DAEMONS)), order
    assert gate.unit("Result") == "success", gate.unit("Result")
    proc.wait_for(lambda: not gate.processes(), "nothing left in the unit")
