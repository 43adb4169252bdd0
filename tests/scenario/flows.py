# SPDX-License-Identifier: Apache-2.0
"""Phones over TCP and TLS: calls both ways with speech, restarts of both
processes, and no word of the bridge between them."""
import re
import socket
import ssl
import subprocess
import time

from harness import net, talk
from harness.cases import case
from harness.net import LINKS

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]
STREAMS = f"""
select sbc.add_realm_address('phones', '{PHONES.edge}', 5060, 'tcp');
select sbc.add_realm_address('phones', '{PHONES.edge}', 5061, 'tls');
"""


def _gate(w):
    """A Gatehouse whose phones' realm listens for connections; the file of
    the authority that signed its certificate."""
    gate = w.make_gate(start=False, settings=STREAMS)
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    return ca


def _connect_tls(w, ca, role="phones", **options):
    """A stranger's connection to the phones' TLS port."""
    context = ssl.create_default_context(cafile=ca)
    for name, value in options.items():
        setattr(context, name, value)
    s = net.open_socket(w.ns(role), socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect((PHONES.edge, 5061))
    return context.wrap_socket(s, server_hostname=PHONES.edge)


def _is_answered(line):
    """A keep-alive is (RFC 5626 4.4.1)."""
    line.sendall(b"\r\n\r\n")
    pong = line.recv(2)
    assert pong == b"\r\n", pong


def _is_over(w, phone, transport):
    row = w.wait(lambda: w.rows(
        "select b.* from sbc.binding b join sbc.account a on a.id = "
        f"b.account where a.username = '{phone.who['username']}'"),
        "the binding in SQL")[0]
    assert row["transport"] == transport, row
    flows = [f for f in w.gate.ctl("flows") if "flow" in f]
    assert any(f["peer"] == row["source"] and f["bridged"] and
               f["transport"] == transport.upper() for f in flows), flows


def _call_in(w, phone):
    """A trunk calls the phone; both hear each other."""
    number = talk.trunk_calls(w, phone)
    talk.both_heard(w, phone)
    return w.cdr(number, sip_status=200,
                 called_leg__extension=phone.who["extension"])


def _call_out(w, phone):
    called = talk.phone_calls(w, phone)
    w.cdr(called, sip_status=200,
          caller_leg__extension=phone.who["extension"])


@case("R4 R8 R12 R20", seconds=20, gate="own")
def calls_over_tls(w):
    """A phone registers over TLS, is called and calls; what it is sent names
    TLS and the realm, never the bridge."""
    ca = _gate(w)
    phone = w.phone(transport="tls", ca=ca)
    _is_over(w, phone, "tls")
    _call_in(w, phone)
    _call_out(w, phone)


@case("R4 R8 R12 R20", seconds=12, gate="own")
def calls_over_tcp(w):
    """The same over TCP."""
    _gate(w)
    phone = w.phone(transport="tcp")
    _is_over(w, phone, "tcp")
    _call_in(w, phone)
    w.no_leaks(phone.who)


@case("R4 R8 R12", seconds=20, gate="own")
def sbc_restarts_behind_tls(w):
    """sbc dies: the phone's connection stays, and the next call reaches it
    over the same one without a new registration."""
    ca = _gate(w)
    phone = w.phone(transport="tls", ca=ca)
    w.wait(lambda: w.rows("select 1 from sbc.binding"), "the binding in SQL")
    before = [f["flow"] for f in w.gate.ctl("flows") if f.get("bridged")]
    mark = w.gate.kill_daemon("sbc")
    w.gate.wait_event("ready", since=mark, process="sbc", timeout=20)
    w.gate.wait_event("sbc_up", since=mark, process="flowd")
    w.faults_allowed = True
    w.wait(lambda: [f["flow"] for f in w.gate.ctl("flows")
                    if f.get("bridged")] == before, "the same flow, bridged")
    _call_in(w, phone)


@case("R4 R8 R12", seconds=12, gate="own")
def flowd_restarts(w):
    """flowd dies: sbc knows at once; a phone that connects again is served."""
    ca = _gate(w)
    phone = w.phone(transport="tls", ca=ca)
    w.wait(lambda: w.rows("select 1 from sbc.binding"), "the binding in SQL")
    mark = w.gate.kill_daemon("flowd")
    w.faults_allowed = True
    w.gate.wait_event("flowd_away", since=mark, process="sbc")
    w.gate.wait_event("flowd_up", since=mark, process="sbc", timeout=20)
    w.gate.wait_event("listening", since=mark, process="flowd",
                      transport="TLS")
    other = w.phone(n=1, transport="tls", ca=ca)
    _is_over(w, other, "tls")
    phone.stop()


def _retire(w):
    """Upgrade of flowd by overlap; the log position of before."""
    mark = w.gate.log_mark()
    w.gate.ctl("retire")
    w.gate.wait_event("daemon_retired", since=mark, process="keeper",
                      daemon="flowd")
    w.gate.wait_event("flowd_up", since=mark, process="sbc", state="present",
                      timeout=20)
    w.gate.wait_event("listening", since=mark, process="flowd",
                      transport="TLS", timeout=20)
    return mark


@case("R4 R8 R12", seconds=25, gate="own")
def flowd_is_upgraded(w):
    """A new flowd takes the listeners in the middle of a call: the call and
    the phone's connection go on, a phone that comes now is the new one's; the
    next upgrade finds both serving, a restarted sbc finds all three, and the
    oldest ends with its last phone."""
    ca = _gate(w)
    phone = w.phone(transport="tls", ca=ca)
    _is_over(w, phone, "tls")
    flow = [f["flow"] for f in w.gate.ctl("flows") if f.get("bridged")]
    old = w.gate.pid_of("flowd")
    s = w.sipp("itsp", "uac_call", "far", target=True,
               service=phone.who["number"], hold=talk.HOLD)
    phone.wait_event("CALL_ESTABLISHED")
    mark = _retire(w)
    assert w.gate.pid_of("flowd") != old
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.cdr(phone.who["number"], sip_status=200)

    other = w.phone(n=1, transport="tls", ca=ca)
    flow += [f["flow"] for f in w.gate.ctl("flows")
             if f.get("bridged") and f["flow"] not in flow]
    # A second one while the first still serves: all three are found again.
    _retire(w)
    sums = [a for a in w.gate.ctl("flows") if "capacity" in a]
    assert [(a["retired"], a["flows"]) for a in sums] == \
        [(False, 0), (True, 1), (True, 1)], sums

    again = w.gate.kill_daemon("sbc")
    w.faults_allowed = True
    w.gate.wait_event("ready", since=again, process="sbc", timeout=20)
    w.gate.wait_event("flowd_up", since=again, process="sbc", state="present")
    w.wait(lambda: sorted(f["flow"] for f in w.gate.ctl("flows")
                          if f.get("bridged")) == sorted(flow),
           "the same flows, bridged")
    s = w.sipp("itsp", "uac_call", "far", target=True,
               service=phone.who["number"], hold=1000)
    phone.wait_event("CALL_ESTABLISHED")
    s.done()
    phone.stop()
    w.gate.wait_event("retired_ended", since=mark, process="keeper", pid=old,
                      end='exit 0', timeout=20)
    _is_over(w, other, "tls")


@case("R4 R8", seconds=8, gate="own")
def flowd_is_upgraded_twice(w):
    """Connections stay with their process; the time-out ends what is left,
    and settings that name a listener no longer close it."""
    w.make_gate(start=False, settings=STREAMS,
                options={"flowd": {"retire_timeout": 2}})
    ca = w.gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    w.gate.start()
    w.wait_settings(0)
    w.gate.wait_event("listening", process="flowd", transport="TLS")
    lines = []
    for _ in range(2):
        lines.append(_connect_tls(w, ca))
        _is_answered(lines[-1])
        _retire(w)
    began = time.monotonic()
    lines.append(_connect_tls(w, ca))
    for line in lines:
        _is_answered(line)
    for line in lines[:2]:
        assert line.recv(100) == b""
    assert time.monotonic() - began > 1
    w.wait(lambda: w.gate.log_text().count(" retired_ended ") == 2,
           "both have ended")
    _is_answered(lines[2])

    mark = w.gate.log_mark()
    w.settings("delete from sbc.realm_address where transport = 'tls'")
    w.gate.wait_event("listen_closed", since=mark, process="keeper")
    try:
        _connect_tls(w, ca)
        raise AssertionError("it still listens")
    except ConnectionRefusedError:
        pass
    _is_answered(lines[2])


@case("R4 R51", seconds=5, gate="own")
def strangers_on_the_tls_port(w):
    """HTTP, random bytes and silence on the TLS port are refused with a
    reason; sbc never hears a word."""
    _gate(w)
    for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)),
                 b"OPTIONS sip:x SIP/2.0\r\n\r\n"):
        s = net.open_socket(w.ns("stranger"), socket.AF_INET,
                            socket.SOCK_STREAM)
        s.settimeout(10)
        s.connect((PHONES.edge, 5061))
        s.sendall(data)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
        s.close()
    w.gate.wait_event("flow_closed", process="flowd",
                      reason="flow_tls_handshake")
    w.wait(lambda: w.rows("select 1 from sbc.event"), "the event in SQL")


TLS_TRUNK = f"""
select sbc.add_realm_address('public', '{ITSP.edge}', 5061, 'tls');
update sbc.realm_address set client_ca = 'internal' where transport = 'tls'
	and realm = sbc.realm_id('public');
select sbc.add_trunk('secure', '{ITSP.host(12)}', 'public', port => 5061,
	transport => 'tls');
update sbc.trunk set tls_name = 'itsp.example.net', tls_ca = 'internal',
	tls_certificate = 'ours', tls_verify = true, options_interval_s = 5
	where name = 'secure';
"""


def _tls(gate, server, certificate=None):
    """A context of a peer that knows the internal authority."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server
                       else ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.load_verify_locations(f"{gate.conf_dir}/ca/internal.crt")
    c.verify_mode = ssl.CERT_REQUIRED
    if certificate:
        path = f"{gate.conf_dir}/tls/{certificate}"
        c.load_cert_chain(f"{path}.crt", f"{path}.key")
    return c


def _answer(request):
    """200 to a request, with what has to be copied."""
    head = request.split(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in head if re.match(
        rb"(via|v|from|f|to|t|call-id|i|cseq):", line, re.I)]
    return b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0",
                         b"", b""])


def _options(connection, n):
    connection.sendall(
        f"OPTIONS sip:{ITSP.edge} SIP/2.0\r\n"
        f"Via: SIP/2.0/TLS {ITSP.host(12)};branch=z9hG4bK{n};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:x@itsp.example.net>;tag={n}\r\n"
        f"To: <sip:{ITSP.edge}>\r\nCall-ID: tls-{n}\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n".encode())


@case("R4 R8 R46", seconds=8, gate="own")
def trunk_by_mutual_tls(w):
    """We connect to a trunk, both sides prove their names, and our OPTIONS is
    answered; its own connection is believed only with its certificate."""
    gate = w.make_gate(start=False, settings=TLS_TRUNK)
    gate.make_certificate("public", "sbc.example.net")
    for name, domain in (("itsp", "itsp.example.net"),
                         ("ours", "sbc.example.net")):
        subprocess.run([gate.installed.program("sbcctl"), "cert", "--dir",
                        gate.conf_dir, "trunk", name, domain],
                       check=True, stdout=subprocess.DEVNULL)
    listener = net.open_socket(w.ns("itsp"), socket.AF_INET,
                               socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ITSP.host(12), 5061))
    listener.listen(4)
    listener.settimeout(20)
    gate.start()
    w.wait_settings(0)
    raw, peer = listener.accept()
    assert peer[0] == ITSP.edge, peer
    raw.settimeout(20)
    line = _tls(gate, True, "itsp").wrap_socket(raw, server_side=True)
    names = line.getpeercert()["subjectAltName"]
    assert ("DNS", "sbc.example.net") in names, names
    request = line.recv(4096)
    assert request.startswith(b"OPTIONS "), request
    via = re.search(rb"^Via: (.*)\r$", request, re.M).group(1)
    assert via.startswith(f"SIP/2.0/TLS {ITSP.edge}:5061;".encode()), via
    assert b"127.0.0.1" not in request, request
    line.sendall(_answer(request))
    shown = w.wait(lambda: [f for f in gate.ctl("flows") if f.get("outgoing")],
                   "the flow")
    assert shown[0]["peer"] == f"{ITSP.host(12)}:5061", shown

    for n, certificate in enumerate(("itsp", None)):
        s = net.open_socket(w.ns("itsp"), socket.AF_INET, socket.SOCK_STREAM)
        s.bind((ITSP.host(12), 0))
        s.settimeout(10 if certificate else 1)
        s.connect((ITSP.edge, 5061))
        theirs = _tls(gate, False, certificate).wrap_socket(s)
        _options(theirs, n)
        try:
            answer = theirs.recv(4096)
        except TimeoutError:
            answer = b""
        theirs.close()
        assert answer.startswith(b"SIP/2.0 200 ") == bool(certificate), answer
    line.close()
    listener.close()
