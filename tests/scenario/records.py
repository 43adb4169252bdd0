# SPDX-License-Identifier: Apache-2.0
"""CDRs after every mix of kills and outages: each once, in order."""
import time

from harness import proc
from harness.cases import case
from harness.dialog import sdp
from harness.net import LINKS
from scenario.database import _ack, _filled, _signal

ITSP = LINKS["itsp"]


class Caller:
    """A trunk that makes calls which nobody takes; each has a number of its
    own, in the order of their making."""

    def __init__(self, w, called):
        self.w = w
        self.called = called
        self.peer = w.peer("itsp", port=5060)
        self.n = 0

    def calls(self, n, wait=True):
        """n calls one after the other; each ends refused."""
        for _ in range(n):
            self.n += 1
            self.peer.call_id = f"call-{self.n}-{time.monotonic_ns()}"
            text = self.peer.request(
                "INVITE", f"sip:{self.called}@{ITSP.edge}",
                f"+49891{100000 + self.n}@{ITSP.host()}",
                to=f"{self.called}@{ITSP.edge}", body=sdp(ITSP.host(), 6000))
            self.peer.send(text)
            if wait:
                self._final(text)

    def _final(self, text):
        end = time.monotonic() + 20 * proc.PATIENCE
        while time.monotonic() < end:
            m = self.peer.receive(1.0)
            if m is None:
                self.peer.send(text)
            elif m.status >= 200 and m.get("call-id") == self.peer.call_id:
                self.peer.send(_ack(m, self.peer))
                # 503: nobody could say in time who was called.
                assert m.status in (480, 503), m.first
                return
        raise proc.Problem("no final answer to a call")


def _kill(w, daemon):
    mark = w.gate.kill_daemon(daemon)
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon=daemon, timeout=20)
    # Ready is not yet connected; until then sbc has only what it knows.
    w.gate.wait_event("authd_up", since=mark, process="sbc", timeout=20)


def _serves(w, caller):
    """A call is handled as before."""
    caller.calls(1)


@case("R43 R44 R52", seconds=20, gate="own", limit=180)
def each_once_in_order(w):
    """Calls end while authd stands still, sbc is killed with their CDRs not
    acknowledged; the database dies in the middle, authd is killed while the
    CDRs wait on disk, sbc once more, both of them: when all is back SQL has each
    call once, in the order in which they were made."""
    cluster = _filled(w)
    gate = w.make_gate(database="gatehouse", cluster=cluster)
    w.faults_allowed = True
    account = w.add_phone()
    caller = Caller(w, account["number"])
    caller.calls(5)

    # sbc dies with what authd has not taken.
    authd = gate.pid_of("authd")
    proc.run(["kill", "-STOP", str(authd)])
    caller.calls(10)
    mark = gate.kill_daemon("sbc")
    proc.run(["kill", "-CONT", str(authd)])
    gate.wait_event("daemon_ready", since=mark, process="keeper", daemon="sbc",
                    timeout=20)
    found = gate.wait_event("state_found", since=mark, process="sbc")
    # The last may have been told before its record was made: a call yet.
    waits = found.fields["calls"] != "no"
    assert int(found.fields["contacts_and_cdrs"]) + waits >= 10, found.text
    _serves(w, caller)

    # The database goes; authd dies with CDRs on the disk and some under way.
    _signal(cluster, "STOP")
    caller.calls(5)
    _kill(w, "authd")
    caller.calls(5)
    _signal(cluster, "CONT")
    cluster.stop(remove=False)
    caller.calls(5)
    _kill(w, "authd")
    caller.calls(5)
    authd = gate.pid_of("authd")
    proc.run(["kill", "-STOP", str(authd)])
    caller.calls(5)
    gate.kill_daemon("sbc")
    _kill(w, "authd")
    _serves(w, caller)
    cluster.start()
    _kill(w, "authd")
    _serves(w, caller)

    n = caller.n
    row = w.wait(lambda: (r := w.rows(
        "select count(*) as n, count(distinct caller) as different from "
        "sbc.cdr")[0]) and r["n"] >= n and r, f"{n} CDRs in SQL", 60)
    assert row == {"n": n, "different": n}, (row, n)
    late = w.rows(
        "select caller, started_at, stored_at from (select *, "
        "lag(stored_at) over (order by caller) as before, "
        "lag(started_at) over (order by caller) as begun from sbc.cdr) q "
        "where stored_at < before or started_at < begun")
    assert not late, late
    assert not w.rows("select call from sbc.cdr c where not exists (select "
                      "from sbc.cdr_leg l where l.call = c.call)")
