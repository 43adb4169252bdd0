# SPDX-License-Identifier: Apache-2.0
"""sbc is killed in the middle of calls: what was up goes on, what was being
set up ends for everybody, every call has one CDR, and nobody on the network
sees a closed port."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess

from harness import net, sip
from harness.cases import case
from harness.dialog import Side
from harness.net import LINKS

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
LOST = "call_lost_in_restart"


def _near(seconds, slack=2.5):
    return lambda us: abs(us / 1e6 - seconds) < slack


def _kill(w, during=lambda: None):
    """Kills sbc; during() runs when it can read no datagram any more. Returns
    when the new one has its calls."""
    w.faults_allowed = True
    old = w.gate.pid_of("sbc")
    os.kill(old, signal.SIGSTOP)
    during()
    mark = w.gate.kill_daemon("sbc")
    w.gate.wait_event("settings_applied", since=mark, process="sbc", timeout=20)
    w.gate.wait_event("listening", since=mark, process="sbc", timeout=20)
    return mark


def _clean(w):
    """Nothing of a call is left, in any process; nothing was dropped."""
    def closed():
        status = w.gate.status("mediad")
        return not status.get("media_sessions") and \
            not status.get("media_ports_used")
    w.wait(closed, "all media sessions and ports to close", 20)
    w.wait(lambda: not w.gate.status("sbc").get("calls"), "no call", 20)
    # The kill itself is a fault of the log; what a sanitizer says is not.
    bad = [line for line in w.gate.faults() if " keeper " not in line]
    assert not bad, bad
    for event in w.gate.events():
        assert event.name not in (
            "record_dropped", "store_record_dropped", "store_damaged",
            "not_saved", "leg_not_restored", "call_not_restored"), event


def _pair(w, number=None):
    """A caller in itsp and a called one in the PBX, ready to speak SIP."""
    called = number or "7" + w.number()[1][-5:]
    a = Side(w.peer("itsp", port=5060), 7000)
    b = Side(w.peer("pbx", port=5060), 7100)
    return called, a, b


def _up(a, b, called):
    a.call(called)
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 180)
    a.expect("180")
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    a.answered(a.expect("200"))
    a.ack()


def _hang_up(this, other):
    this.request("BYE")
    other.answer(other.expect("BYE"), 200)
    this.expect("200")


@case("R20 R30 R52", seconds=16, gate="own")
def talk_goes_on(w):
    """Two calls with speech; sbc is killed; nobody hears it; one call is ended
    by its caller, the other by the phone that was called."""
    w.make_gate()
    one, two = w.phone(n=0), w.phone(n=1)
    first = w.sipp("itsp", "uac_call", "far", target=True,
                   service=one.who["number"], hold=8000)
    second = w.sipp("pbx", "uac_hung_up_on", "far", target=True,
                    service=two.who["extension"], caller="701")
    one.wait_event("CALL_ESTABLISHED")
    two.wait_event("CALL_ESTABLISHED")
    w.wait_speech("pbx", 2)
    mark = _kill(w)
    w.gate.wait_event("calls_restored", since=mark, process="sbc", calls=2)
    first.done()
    one.wait_event("CALL_CLOSED")
    w.wait_speech("pbx", 8)
    two.hang_up()
    two.wait_event("CALL_CLOSED")
    second.done()
    w.heard_on_wire("itsp", "near")
    w.heard_on_wire("pbx", "near")
    w.phone_heard(one, "far")
    w.phone_heard(two, "far")
    row = w.cdr(one.who["number"], sip_status=200, hangup_side="caller",
                reason_text="call_caller_hung_up", duration_us=_near(8),
                rang_at=bool, answered_at=bool, attempts=1,
                caller="+4989123456", caller_name="Anna Caller",
                caller_leg__rx_packets=lambda n: n >= 300,
                called_leg__rx_packets=lambda n: n >= 300,
                called_leg__extension=one.who["extension"],
                called_leg__user_agent=lambda v: v.startswith("baresip"),
                caller_leg__user_agent="planted-itsp/1.0",
                route_name="to-phones")
    assert w.is_call_id(row["call"])
    w.cdr(two.who["extension"], sip_status=200, hangup_side="called",
          reason_text="call_called_hung_up", duration_us=_near(9, 4))
    _clean(w)


@case("R52", seconds=10, gate="own")
def dialog_goes_on(w):
    """After a kill: INFO, OPTIONS, hold and resume from either side, a refresh,
    and after a second kill a BYE from the called side."""
    w.make_gate()
    called, a, b = _pair(w)
    _up(a, b, called)
    w.gate.wait_event("call_state", process="sbc", new="up")
    _kill(w)
    _talk(a, b)
    _talk(b, a)
    # A refresh without a word about media stays on its side.
    for side in (a, b):
        side.request("UPDATE", ["Session-Expires: 1800;refresher=uac",
                                "Supported: timer"])
        side.expect("200")
    _kill(w)
    _talk(b, a)
    _hang_up(b, a)
    w.cdr(called, sip_status=200, hangup_side="called",
          reason_text="call_called_hung_up")
    a.silent()
    b.silent()
    _clean(w)


def _talk(one, other):
    """INFO, OPTIONS, hold and resume."""
    one.request("OPTIONS")
    one.expect("200")
    one.request("INFO", ["Content-Type: application/dtmf-relay"],
                "Signal=5\r\nDuration=160\r\n")
    one.expect("200")
    info = other.expect("INFO")
    assert b"Signal=5" in info.body, info.body
    other.answer(info, 200)
    for direction, seen, answer in (("sendonly", b"sendonly", "recvonly"),
                                    ("sendrecv", b"sendrecv", "sendrecv")):
        one.request("INVITE", body=one.sdp(direction))
        invite = other.expect("INVITE")
        assert b"a=" + seen in invite.body, invite.body
        other.answer(invite, 200, other.sdp(answer))
        other.expect("ACK")
        final = one.expect("200")
        assert b"a=" + answer.encode() in final.body, final.body
        one.ack()


@case("R52", seconds=9, gate="own")
def change_is_cut_off(w):
    """A hold is half way when sbc is killed: it is refused, the other side is
    asked for what was before, and the call can be ended."""
    w.make_gate()
    called, a, b = _pair(w)
    _up(a, b, called)
    w.gate.wait_event("call_state", process="sbc", new="up")
    a.request("INVITE", body=a.sdp("sendonly"))
    first = b.expect("INVITE")
    _kill(w, lambda: b.answer(first, 200, b.sdp("recvonly")))
    refused = a.expect("500")
    a.ack_failure(refused)
    b.expect("ACK")
    again = b.expect("INVITE", passing=("ACK",))
    assert b"a=sendrecv" in again.body, again.body
    b.answer(again, 200, b.sdp())
    b.expect("ACK")
    _hang_up(a, b)
    w.cdr(called, sip_status=200, reason_text="call_caller_hung_up")
    _clean(w)


def _lost(w, called):
    w.cdr(called, sip_status=503, reason_text=LOST, hangup_side="sbc",
          answered_at=None, duration_us=lambda v: not v)


@case("R52", seconds=9, gate="own")
def killed_after_100(w):
    """The called side has said nothing yet; when it does, it hears CANCEL."""
    w.make_gate()
    called, a, b = _pair(w)
    a.call(called)
    b.taken(b.expect("INVITE"))
    _kill(w)
    a.ack_failure(a.expect("503"))
    again = b.peer.receive()
    assert again.data == b.invite.data, "the INVITE is not repeated as it was"
    b.answer(b.invite, 180)
    cancel = b.expect("CANCEL", passing=("INVITE",))
    assert cancel.get("via") == b.invite.get("via"), cancel.get("via")
    b.answer(cancel, 200)
    b.answer(b.invite, 487)
    b.expect("ACK", passing=("INVITE",))
    _lost(w, called)
    assert w.cdr(called)["caller"] == "+4989123456", w.cdr(called)["caller"]
    _clean(w)


@case("R44 R52", seconds=8, gate="own")
def killed_while_authd_is_asked(w):
    """Nothing is known of a call but its INVITE: the CDR says what that does."""
    w.make_gate()
    called, a, _ = _pair(w)
    authd = w.gate.pid_of("authd")
    mark = w.gate.log_mark()
    os.kill(authd, signal.SIGSTOP)
    try:
        a.call(called)
        w.gate.wait_event("call_begin", since=mark, process="sbc")
        w.faults_allowed = True
        mark = w.gate.kill_daemon("sbc")
    finally:
        os.kill(authd, signal.SIGCONT)
    w.gate.wait_event("listening", since=mark, process="sbc", timeout=20)
    a.ack_failure(a.expect("503"))
    _lost(w, called)
    row = w.cdr(called)
    assert row["caller"] == "+4989123456", row["caller"]
    assert row["caller_leg"]["peer"].startswith(a.peer.host), row
    _clean(w)


@case("R52", seconds=12, gate="own")
def killed_while_it_rings(w):
    """A phone and a PBX ring: both stop, both callers hear 503."""
    w.make_gate()
    phone = w.phone(answer="manual")
    called = "7" + w.number()[1][-5:]
    rings = w.sipp("pbx", "uas_rings")
    a = Side(w.peer("itsp", port=5060))
    b = Side(w.peer("itsp", port=5070))
    a.call(called)
    a.expect("180")
    b.call(phone.who["number"])
    b.expect("180")
    phone.wait_event("CALL_INCOMING")
    _kill(w)
    a.ack_failure(a.expect("503"))
    b.ack_failure(b.expect("503"))
    rings.done()
    phone.wait_event("CALL_CLOSED")
    _lost(w, called)
    _lost(w, phone.who["number"])
    _clean(w)


@case("R52", seconds=9, gate="own")
def killed_before_a_late_200(w):
    """The called side answers while sbc is dead: its 200 is acknowledged and
    ended by BYE, the caller hears 503."""
    w.make_gate()
    called, a, b = _pair(w)
    a.call(called)
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 180)
    a.expect("180")
    _kill(w, lambda: b.answer(b.invite, 200, b.sdp()))
    a.ack_failure(a.expect("503"))
    b.expect("ACK", passing=("INVITE", "CANCEL"))
    bye = b.expect("BYE", passing=("INVITE", "CANCEL", "ACK"))
    b.answer(bye, 200)
    _lost(w, called)
    _clean(w)


@case("R52", seconds=9, gate="own")
def killed_between_200_and_ack(w):
    """The caller has its 200 and has not acknowledged it: the call is
    completed, whether the ACK comes during the kill or after it."""
    w.make_gate()
    for during in (True, False):
        called, a, b = _pair(w)
        a.call(called)
        b.taken(b.expect("INVITE"))
        b.answer(b.invite, 180)
        a.expect("180")
        b.answer(b.invite, 200, b.sdp())
        b.expect("ACK")
        a.answered(a.expect("200"))
        mark = _kill(w, a.ack if during else lambda: None)
        if not during:
            a.seen.clear()  # the very same 200 comes again
            a.expect("200")
            a.ack()
        w.gate.wait_event("call_state", since=mark, process="sbc", new="up")
        _hang_up(a, b) if during else _hang_up(b, a)
        w.cdr(called, sip_status=200, answered_at=bool)
        a.peer.stop()
        b.peer.stop()
    _clean(w)


@case("R52", seconds=8, gate="own")
def nobody_meets_a_closed_port(w):
    """A connected peer sends ten requests while sbc is dead: no error comes
    back, ten answers do; an INVITE of that time becomes a call."""
    w.make_gate()
    called, a, b = _pair(w)
    sock = net.open_socket(w.ns("itsp"), socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ITSP.host(), 5080))
    sock.connect((ITSP.edge, 5060))
    sock.settimeout(10)
    user = f"probe@{ITSP.host()}"
    probe = w.peer("itsp")

    def send():
        for _ in range(10):
            text = probe.request("OPTIONS", f"sip:{ITSP.edge}", user)
            sock.send(text.replace(f":{probe.port}", ":5080").encode())
        a.call(called)

    try:
        _kill(w, send)
        answers = set()
        while len(answers) < 10:
            m = sock.recv(65536)
            assert m.startswith(b"SIP/2.0 200"), m
            answers.add(m.split(b"CSeq: ")[1].split(b"\r\n")[0])
    finally:
        sock.close()
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    a.answered(a.expect("200"))
    a.ack()
    _hang_up(a, b)
    w.cdr(called, sip_status=200)
    _clean(w)


@case("R43 R52", seconds=8, gate="own")
def registration_outlives(w):
    """A phone that is registered rings at once after a kill, also while authd
    is dead with its bindings; a CDR that nobody has acknowledged comes
    through."""
    w.make_gate()
    phone = w.phone()
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call_silent", target=True, service=number,
               hold=600)
    phone.wait_event("CALL_ESTABLISHED")
    authd = w.gate.pid_of("authd")
    w.faults_allowed = True
    os.kill(authd, signal.SIGSTOP)
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.gate.wait_event("call_state", process="sbc", new="done")
    mark = w.gate.kill_daemon("sbc")
    os.kill(authd, signal.SIGCONT)
    w.gate.wait_event("state_found", since=mark, process="sbc", timeout=20)
    w.cdr(number, timeout=20, sip_status=200, hangup_side="caller",
          duration_us=_near(0.6, 0.5))
    w.gate.wait_event("listening", since=mark, process="sbc", timeout=20)
    s = w.sipp("itsp", "uac_call_silent", target=True, service=number,
               hold=300, who="again", port=5090)
    s.done()
    assert len(w.rows("select 1 from sbc.cdr where called = "
                      f"'{number}'")) >= 1
    _clean(w)


@case("R4 R52", seconds=12, gate="own")
def tls_call_goes_on(w):
    """A phone over TLS is in a call when sbc is killed; afterwards it hangs up
    over the connection that it still has."""
    gate = w.make_gate(start=False, settings=f"""
        select sbc.add_realm_address('phones', '{PHONES.edge}', 5061, 'tls');
        """)
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    phone = w.phone(transport="tls", ca=ca)
    s = w.sipp("itsp", "uac_hung_up_on", "far", target=True,
               service=phone.who["number"])
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp", 2)
    mark = _kill(w)
    w.gate.wait_event("calls_restored", since=mark, process="sbc", calls=1)
    w.wait_speech("itsp", 6)
    phone.hang_up()
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    w.cdr(phone.who["number"], sip_status=200, hangup_side="called",
          reason_text="call_called_hung_up", duration_us=_near(6.5, 4))
    _clean(w)


STREAMS = f"""
select sbc.add_realm_address('public', '{ITSP.edge}', 5060, 'tcp');
select sbc.add_realm_address('public', '{ITSP.edge}', 5061, 'tls');
select sbc.add_trunk('stream', '{ITSP.host(12)}', 'public', port => 5060,
	transport => 'tcp');
select sbc.add_trunk('secret', '{ITSP.host(13)}', 'public', port => 5061,
	transport => 'tls');
update sbc.trunk set tls_verify = false where name = 'secret';
select sbc.add_route('to-stream', '+3', '{{stream}}', priority => 5);
"""


def _streams(w):
    gate = w.make_gate(start=False, settings=STREAMS)
    gate.make_certificate("public", ITSP.edge, "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    return gate


def _stream_caller(w, secure):
    tls = None
    if secure:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    host = ITSP.host(13 if secure else 12)
    return Side(w.group.add(sip.StreamPeer(
        w.ns("itsp"), host, 0, ITSP.edge, 5061 if secure else 5060, tls)))


@case("R8 R52", seconds=14, gate="own")
def killed_in_set_up_over_streams(w):
    """A caller over TCP has 100, or 200 without having acknowledged it, one
    over TLS has 180: their connections live and say what UDP would; a called
    side over TCP stops ringing."""
    peer = w.group.add(sip.StreamPeer(w.ns("itsp"), ITSP.host(12), 5060,
                                      ITSP.edge, listen=True))
    _streams(w)
    peer.accept()
    _called_over_tcp(w, peer)
    a = _stream_caller(w, False)
    for secure, answer in ((False, None), (True, 180), (False, 200)):
        if secure:
            a = _stream_caller(w, True)
        else:
            a = Side(a.peer) if a.peer.transport == "TCP" else \
                _stream_caller(w, False)
        called, other, b = _pair(w)
        other.peer.stop()
        a.call(called)
        b.taken(b.expect("INVITE"))
        if answer:
            b.answer(b.invite, answer, b.sdp() if answer == 200 else "")
            if answer == 200:
                b.expect("ACK")
            a.answered(a.expect(str(answer)))
        mark = _kill(w)
        if answer == 200:
            a.ack()
            w.gate.wait_event("call_state", since=mark, process="sbc",
                              new="up")
            _hang_up(a, b)
            w.cdr(called, sip_status=200, answered_at=bool)
        else:
            a.ack_failure(a.expect("503"))
            _stops_ringing(b)
            _lost(w, called)
        b.peer.stop()
    _clean(w)


def _stops_ringing(b):
    """It answers the repeated INVITE, and is cancelled."""
    b.answer(b.invite, 180)
    cancel = b.expect("CANCEL", passing=("INVITE",))
    b.answer(cancel, 200)
    b.answer(b.invite, 487)
    b.expect("ACK", passing=("INVITE",))


def _called_over_tcp(w, peer):
    called = "+35550" + w.number()[1][-5:]
    a = Side(w.peer("pbx", port=5060))
    b = Side(peer)
    a.call(called, user="701")
    b.taken(b.expect("INVITE", passing=("OPTIONS",)))
    b.answer(b.invite, 180)
    a.expect("180")
    _kill(w)
    a.ack_failure(a.expect("503"))
    _stops_ringing(b)
    _lost(w, called)
    a.peer.stop()


REGISTERS = f"""
select sbc.add_trunk_registration('carrier', '{ITSP.host(14)}', 'line77',
	'a password of ours', realm => 'public', port => 5060,
	digest_realm => 'carrier.example.net');
"""


def _registered(m, expires=600):
    """200 to a REGISTER, as text."""
    kept = [f"Via: {v}" for v in m.all("via")]
    return "\r\n".join([
        "SIP/2.0 200 OK", *kept, f"From: {m.get('from')}",
        f"To: {m.get('to')};tag=r", f"Call-ID: {m.get('call-id')}",
        f"CSeq: {m.get('cseq')}", f"Contact: {m.get('contact')}",
        f"Expires: {expires}", "Content-Length: 0", "", ""])


@case("R5 R52", seconds=6, gate="own")
def trunk_registration_outlives(w):
    """A REGISTER that was on its way at a kill is sent again as the same
    registration's next; a trunk where we are registered stays so."""
    carrier = w.peer("itsp", n=14, port=5060)
    w.make_gate(settings=REGISTERS)

    def register():
        m = carrier.receive(10)
        while m and m.method != "REGISTER":
            m = carrier.receive(10)
        assert m, "no REGISTER"
        return m

    def follows(before, m):
        """m is the next one of the same registration."""
        assert m.get("call-id") == before.get("call-id"), m.data
        assert int(m.get("cseq").split()[0]) > \
            int(before.get("cseq").split()[0]), m.data

    first = register()
    w.wait(lambda: w.gate.status("sbc").get("store_records"),
           "the registration to be written down")
    _kill(w)
    second = register()
    while second.data == first.data:
        second = register()  # what was repeated before the kill
    follows(first, second)
    carrier.send(_registered(second))
    w.gate.wait_event("trunk_registration", process="sbc")
    mark = _kill(w)
    w.gate.wait_event("ready", since=mark, process="sbc", timeout=20)
    m = carrier.receive(1.0)
    if m and m.data != second.data:  # killed before it was written down
        follows(second, m)


DAEMONS = ("authd", "mediad", "flowd", "sbc")


def _replace(folder, daemon, source):
    """As a package does: a new file takes the name of the old one."""
    shutil.copy(source, f"{folder}/{daemon}.new")
    os.rename(f"{folder}/{daemon}.new", f"{folder}/{daemon}")


def _upgrade(w, *names):
    """(exit status, {process: state}) of sbcctl upgrade."""
    done = subprocess.run(
        [w.installed.program("sbcctl"), "--json", "--runtime-dir",
         w.gate.runtime_dir, "upgrade", *names], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert not done.stderr, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {a["process"]: a["state"] for a in answers}


@case("R20 R52", seconds=20, gate="own")
def upgrade(w):
    """The programs are replaced and sbcctl upgrade renews one process after
    the other while a call talks; one that does not come up is rolled back, and
    a replaced file alone changes nothing."""
    folder = f"{w.dir}/libexec"
    os.makedirs(folder)
    for daemon in DAEMONS:
        shutil.copy(w.installed.program(daemon), folder)
    gate = w.make_gate(options={"keeper": {"daemon_dir": folder}})
    phone = w.phone()
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_hung_up_on", "far", target=True, service=number,
               timeout=60)
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp", 1)

    before = {d: gate.pid_of(d) for d in DAEMONS}
    for daemon in DAEMONS:
        _replace(folder, daemon, w.installed.program(daemon))
    status, states = _upgrade(w)
    assert status == 0, states
    assert states == {**{d: "renewed" for d in DAEMONS}, "keeper": "alone"}, \
        states
    for daemon in DAEMONS:
        pid = gate.pid_of(daemon)
        assert pid != before[daemon], daemon
        assert os.path.samestat(os.stat(f"/proc/{pid}/exe"),
                                os.stat(f"{folder}/{daemon}")), daemon
        with open(f"/proc/{pid}/comm", encoding="ascii") as f:
            assert f.read().strip() == daemon

    good = os.stat(f"{folder}/sbc")
    _replace(folder, "sbc", "/bin/false")
    mark = gate.log_mark()
    status, states = _upgrade(w, "sbc")
    assert (status, states) == (4, {"sbc": "rolled_back"}), (status, states)
    assert gate.find_event("upgrade_rolled_back", since=mark, daemon="sbc")
    assert os.stat(f"/proc/{gate.pid_of('sbc')}/exe").st_ino == good.st_ino
    gate.wait_event("calls_restored", since=mark, process="sbc", calls=1)
    # A kill now brings the old program again, not the file.
    mark = _kill(w)
    gate.wait_event("calls_restored", since=mark, process="sbc", calls=1)
    w.wait_speech("itsp", 8)
    phone.hang_up()
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.cdr(number, sip_status=200, hangup_side="called",
          reason_text="call_called_hung_up")
    _clean(w)
