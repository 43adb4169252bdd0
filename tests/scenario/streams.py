# SPDX-License-Identifier: Apache-2.0
"""Connections of real peers, and of hostile ones: linphone and sipp over TCP
and TLS, OpenSSL's own client, bytes that are no SIP, certificates that are not
to be believed, and what is refused before any TLS."""
import os
import re
import select
import signal
import socket
import subprocess
import threading

from harness import net, proc, stream
from harness.cases import case
from harness.net import LINKS

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]
HOLD = 6500
STREAMS = f"""
select sbc.add_realm_address('phones', '{PHONES.edge}', 5060, 'tcp');
select sbc.add_realm_address('phones', '{PHONES.edge}', 5061, 'tls');
"""


def _cert(gate, *args):
    subprocess.run([gate.installed.program("sbcctl"), "cert", "--dir",
                    gate.conf_dir, *args], check=True,
                   stdout=subprocess.DEVNULL)


def _gate(w, settings="", options=None, certificate=True):
    gate = w.make_gate(start=False, settings=STREAMS + settings,
                       options=options)
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net") \
        if certificate else None
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    return ca


def _called(w, phone):
    """A trunk calls it; both hear each other."""
    s = w.sipp("itsp", "uac_call", "far", target=True,
               service=phone.who["number"], hold=HOLD)
    s.done()
    w.cdr(phone.who["number"], sip_status=200,
          called_leg__srtp=phone.srtp or "",
          called_leg__rx_packets=lambda v: v > 250,
          called_leg__tx_packets=lambda v: v > 250)


@case("R4 R8 R12 R20 R27", seconds=20, gate="own")
def linphone_over_tls_and_tcp(w):
    """linphone over TLS with SDES, and another over TCP: each is called by a
    trunk and calls it."""
    ca = _gate(w)
    for n, options in enumerate((
            {"transport": "tls", "ca": ca, "srtp": "AES_CM_128_HMAC_SHA1_80"},
            {"transport": "tcp"})):
        phone = w.linphone(w.add_phone(srtp=options.get("srtp") and "required"
                                       or "none"), n=n, **options)
        flows = [f for f in w.gate.ctl("flows") if "flow" in f]
        assert any(f["transport"] == options["transport"].upper() and
                   f["bridged"] for f in flows), flows
        w.marks["itsp"] += len(w.packets("itsp"))
        _called(w, phone)
        # What it heard is told by its figures: its recorder drops sound on a
        # busy machine.
        w.heard_on_wire("itsp", "near")
        mark = w.gate.log_mark()
        called = "+4940" + phone.who["number"][-7:]
        s = w.sipp("itsp", "uas_call_silent", who=f"itsp{n}")
        phone.dial(f"sip:{called}@{PHONES.edge}")
        w.gate.wait_event("call_state", since=mark, process="sbc", new="up",
                          timeout=20)
        phone.hang_up()
        s.done()
        w.cdr(called, sip_status=200)
        phone.stop()


TRUNK = f"""
select sbc.add_realm_address('public', '{ITSP.edge}', 5061, 'tls');
update sbc.realm_address set client_ca = 'internal' where transport = 'tls'
	and realm = sbc.realm_id('public');
select sbc.add_trunk('secure', '{ITSP.host(12)}', 'public', port => 5061,
	transport => 'tls');
update sbc.trunk set tls_name = 'itsp.example.net', tls_ca = 'internal',
	tls_certificate = 'ours', tls_verify = true where name = 'secure';
select sbc.add_route('to-secure', '+88', '{{secure}}', priority => 5);
"""


@case("R4 R8 R27 R46", seconds=20, gate="own")
def sipp_trunk_behind_tls(w):
    """A trunk of sipp's behind a bridge, mutual TLS both ways: it calls a
    phone that must encrypt over TLS, and is called by it; with speech."""
    gate = w.make_gate(start=False, settings=STREAMS + TRUNK)
    ca = gate.make_certificate("phones", PHONES.edge)
    gate.make_certificate("public", "sbc.example.net", ITSP.edge)
    _cert(gate, "trunk", "itsp", "itsp.example.net")
    _cert(gate, "trunk", "ours", "sbc.example.net")
    its = f"{gate.conf_dir}/tls/itsp"
    w.group.add(stream.Bridge(
        w.ns("itsp"), ITSP.host(12), 5061, (ITSP.host(12), 5070),
        listen_tls=stream.server_tls(its, ca)))
    w.group.add(stream.Bridge(
        w.ns("itsp"), ITSP.host(12), 5080, (ITSP.edge, 5061),
        connect_tls=stream.client_tls(ca, its)))
    uas = w.sipp("itsp", "uas_call", "far", n=12, port=5070, transport="t1",
                 media_port=6100)
    gate.start()
    w.wait_settings(0)
    gate.wait_event("trunk_connected", process="sbc", timeout=20)
    phone = w.phone(w.add_phone(srtp="required"), transport="tls", ca=ca,
                    srtp="srtp-mand")
    called = "+88" + phone.who["number"][-7:]
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp")
    phone.hang_up()
    uas.done()
    phone.wait_event("CALL_CLOSED")
    w.cdr(called, sip_status=200)
    w.phone_heard(phone, "far")

    uac = w.sipp("itsp", "uac_call", "far", n=12, port=5090, transport="t1",
                 target=f"{ITSP.host(12)}:5080", caller="+4989123456",
                 service=phone.who["number"], hold=HOLD, media_port=6200)
    phone.wait_event("CALL_ESTABLISHED")
    uac.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near", n=12)
    w.cdr(phone.who["number"], sip_status=200)


# -------------------------------------------------------------- OpenSSL's own

def _s_client(w, *args, text=""):
    """Output of openssl s_client from a stranger."""
    done = subprocess.run(proc.in_namespace(
        ["openssl", "s_client", "-connect", f"{PHONES.edge}:5061", *args],
        w.ns("stranger")), input=text, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=30, check=False,
        errors="replace")
    return done.stdout


def _serial(w, name, *args):
    """(serial number, key type) of the certificate for a name."""
    shown = _s_client(w, "-servername", name, *args)
    pem = re.search(r"-----BEGIN CERT.*?-----END CERTIFICATE-----", shown,
                    re.S)
    assert pem, shown
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-serial", "-text"], input=pem.group(0),
        stdout=subprocess.PIPE, text=True, check=True).stdout
    return (re.search(r"serial=(\w+)", text).group(1),
            "RSA" if "rsaEncryption" in text else "EC")


def _staple(gate, name):
    """The internal authority's OCSP answer about a certificate of ours."""
    conf, tls = gate.conf_dir, f"{gate.conf_dir}/tls/{name}"
    text = subprocess.run(
        ["openssl", "x509", "-in", f"{tls}.crt", "-noout", "-serial"],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    serial = text.strip().split("=")[1]
    with open(f"{gate.base}/ocsp.txt", "w", encoding="ascii") as f:
        f.write(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=x\n")
    subprocess.run(
        ["openssl", "ocsp", "-index", f"{gate.base}/ocsp.txt", "-CA",
         f"{conf}/ca/internal.crt", "-rsigner", f"{conf}/ca/internal.crt",
         "-rkey", f"{conf}/ca/private/internal.key", "-issuer",
         f"{conf}/ca/internal.crt", "-cert", f"{tls}.crt", "-ndays", "1",
         "-respout", f"{tls}.ocsp"], check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)


@case("R8 R46", seconds=10, gate="own")
def tls_by_openssl(w):
    """Versions, ciphers, server names with EC and RSA keys, the chain, what
    is stapled, no renegotiation; new files are taken without dropping a
    connection; what expires soon is told."""
    gate = w.make_gate(start=False, settings=STREAMS + """
        update sbc.realm_address set certificates = '{phones,other}'
            where transport = 'tls';""", options={"flowd": {"reload_check": 1}})
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    _cert(gate, "--rsa", "server", "other", "other.example.net")
    _staple(gate, "phones")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")

    # Renegotiation is refused and the connection with it; TLS 1.3 has none.
    # First: a peer's lines in the log are limited per second.
    mark = gate.log_mark()
    shown = _s_client(w, "-tls1_2", text="R\n")
    assert "RENEGOTIATING" in shown and "no renegotiation" in shown, shown
    gate.wait_event("flow_closed", since=mark, process="flowd",
                    reason="flow_broken", detail="renegotiation")

    for version in ("-tls1_2", "-tls1_3"):
        shown = _s_client(w, version, "-CAfile", ca, "-verify_return_error",
                          "-servername", "sbc.example.net")
        assert "Verify return code: 0 (ok)" in shown, shown
    for args in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                 ["-tls1_2", "-cipher", "AES128-SHA"],
                 ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-"
                  "AES128-SHA"]):
        shown = _s_client(w, *args)
        assert "Cipher is (NONE)" in shown, (args, shown)
    first = _serial(w, "sbc.example.net")
    other = _serial(w, "other.example.net")
    assert (first[1], other[1]) == ("EC", "RSA"), (first, other)
    assert _serial(w, "unknown.example.net") == first

    # The responder's word is stapled to the certificate that it is about.
    for name, word in (("sbc.example.net", "Cert Status: good"),
                       ("other.example.net", "no response sent")):
        shown = _s_client(w, "-status", "-servername", name)
        assert word in shown, shown

    # New files: the next connection has them, the old one goes on.
    line = stream.connect(w.ns("phones"), PHONES.host(), PHONES.edge, 5061,
                          stream.client_tls(ca))
    line.send("\r\n\r\n")
    assert line.sock.recv(2) == b"\r\n"
    mark = gate.log_mark()
    for ending in ("crt", "key"):
        subprocess.run(["rm", f"{gate.conf_dir}/tls/phones.{ending}"],
                       check=True)
    # Between two files it goes on with the old ones.
    gate.wait_event("certificate", since=mark, process="flowd",
                    in_force="the old one")
    w.faults_allowed = True
    _cert(gate, "--days", "20", "server", "phones", PHONES.edge,
          "sbc.example.net")
    gate.wait_event("certificate_expires", since=mark, process="flowd")
    assert _serial(w, "sbc.example.net")[0] != first[0]
    line.send("\r\n\r\n")
    assert line.sock.recv(2) == b"\r\n"
    line.stop()
    # That word was about another certificate.
    shown = _s_client(w, "-status", "-servername", "sbc.example.net")
    assert "no response sent" in shown, shown
    assert gate.status("flowd")["certificates_expiring"] == 1
    shown = gate.ctl("certificates")[0]["certificates"]
    assert {(c["name"], c["verdict"], c["key"][:2]) for c in shown} == \
        {("phones", "expires soon", "EC"), ("other", "good", "RS")}, shown


# ------------------------------------------------------------------ bad input

REGISTER = (f"REGISTER sip:{PHONES.edge} SIP/2.0\r\n"
            "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKbad\r\n"
            "From: <sip:x@example.net>;tag=1\r\nTo: <sip:x@example.net>\r\n"
            "Call-ID: bad\r\nCSeq: 1 REGISTER\r\n")

# What is sent on a TCP connection, why it is refused, and the status that it
# is told, if any.
BAD = (
    (bytes(range(1, 256)) * 4, "flow_broken", 0),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "flow_length", 0),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
     "flow_broken", 0),
    (b"REGISTER sip:x SIP/2.0\r\nVia: half", "flow_slow_message", 0),
    ((REGISTER + "X: " + "x" * 17000).encode(), "flow_too_big", 513),
    ((REGISTER + "X: y\r\n" * 400).encode(), "flow_too_big", 513),
    ((REGISTER + "Content-Length: 999999\r\n\r\n").encode(), "flow_too_big",
     513),
    ((REGISTER + "Content-Length: -1\r\n\r\n").encode(), "flow_length", 400),
    ((REGISTER + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n").encode(),
     "flow_length", 400),
    ((REGISTER + "\r\n").encode(), "flow_length", 400),
    (b"", "flow_no_message", 0),
)


def _bad_connection(w, data, status):
    s = net.open_socket(w.ns("stranger"), socket.AF_INET,
                        socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect((PHONES.edge, 5060))
    got = b""
    try:
        s.sendall(data)
        while True:
            more = s.recv(4096)
            if not more:
                break
            got += more
    except (ConnectionResetError, BrokenPipeError):
        pass
    s.close()
    assert got.startswith(f"SIP/2.0 {status} ".encode()) if status else \
        not got, (data[:40], got)


@case("R4 R8 R53", seconds=15, gate="own")
def bad_bytes(w):
    """Each is refused with its reason, told where SIP has an answer for it,
    and is in the event table; a phone beside it never notices."""
    _gate(w, """
        update sbc.setting set value = '400'
            where name = 'flow_message_timeout_ms';
        update sbc.setting set value = '1200'
            where name = 'flow_first_message_timeout_ms';
        """)
    phone = w.phone(transport="tcp")
    before = [f["flow"] for f in w.gate.ctl("flows") if f.get("bridged")]
    for data, reason, status in BAD:
        mark = w.gate.log_mark()
        _bad_connection(w, data, status)
        w.gate.wait_event("flow_closed", since=mark, process="flowd",
                          reason=reason)
    w.wait(lambda: {r["name"] for r in w.rows(
        "select r.text as name from sbc.event e join sbc.reason r "
        "on r.number = e.reason where e.source like "
        f"'{LINKS['stranger'].host()}%'")} >= {r for _, r, _ in BAD},
        "every reason in the event table", 15)
    assert [f["flow"] for f in w.gate.ctl("flows") if f.get("bridged")] == \
        before
    s = w.sipp("itsp", "uac_call_silent", target=True, hold=300,
               service=phone.who["number"])
    s.done()


def _stuff(line, message, pause=0.5):
    """Sends the same until nothing more is taken for a while; the number of
    messages. The last one is in part only: the rest of it is returned, too."""
    line.sock.setblocking(False)
    n, rest = 0, b""
    while n < 6000:
        rest = rest or message(n)
        try:
            rest = rest[line.sock.send(rest):]
            n += not rest
        except BlockingIOError:
            if not select.select([], [line.sock], [], pause * proc.PATIENCE)[1]:
                break
    line.sock.setblocking(True)
    line.sock.settimeout(20)
    return n, rest


def _unstuff(line, rest):
    """Reads all that comes while the rest is said."""
    talk = threading.Thread(target=line.sock.sendall, args=(rest,))
    talk.start()
    while talk.is_alive():
        line.drain(0.1)
    talk.join()
    line.drain(0.5)


def _large_options(n):
    """Its answer is as large."""
    return (f"OPTIONS sip:{PHONES.edge} SIP/2.0\r\n"
            f"Via: SIP/2.0/TCP {PHONES.host(11)};rport;branch=z9hG4bK{n}"
            f";x={'!' * 12000}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:x@{PHONES.edge}>;tag=1\r\nTo: <sip:{PHONES.edge}>"
            f"\r\nCall-ID: large-{n}\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n").encode()


@case("R4 R52 R53", seconds=12, gate="own")
def peers_and_sbc_that_do_not_read(w):
    """A phone that sends and never reads is not read any more after a bounded
    number of bytes, and while sbc does not read no peer is read without end;
    others go on, and so do these when the reading does. What sbc leaves unread
    when it is killed is not lost."""
    for name in ("tcp_rmem", "tcp_wmem"):  # as small as they may be
        proc.run(["sysctl", "-qw", f"net.ipv4.{name}=4096 32768 65536"],
                 ns=w.ns("edge"))
    _gate(w)
    gate = w.gate
    line = w.group.add(stream.connect(
        w.ns("phones"), PHONES.host(11), PHONES.edge, 5060, rcvbuf=65536))
    who = w.add_phone()

    def registers(line):
        answer = line.register(PHONES.edge, who["username"], who["password"])
        assert answer.status == 200, answer.first

    registers(line)
    n, rest = _stuff(line, _large_options)
    assert 10 < n < 400, n
    phone = w.phone(n=1, transport="tcp")
    s = w.sipp("itsp", "uac_call_silent", target=True, hold=300,
               service=phone.who["number"])
    s.done()
    # It reads: what it had said is answered, and it is heard again.
    for _ in range(5):
        assert line.receive().status == 200
    _unstuff(line, rest)
    registers(line)

    # The other way: sbc stands still for a moment.
    os.kill(gate.pid_of("sbc"), signal.SIGSTOP)
    try:
        n, rest = _stuff(line, _large_options, 0.3)
    finally:
        os.kill(gate.pid_of("sbc"), signal.SIGCONT)
    assert 10 < n < 400, n
    _unstuff(line, rest)
    registers(line)
    assert not gate.find_event("daemon_hangs")

    def heard():
        """Messages that flowd has had from it."""
        return [f["received"] for f in gate.ctl("flows")
                if f.get("peer") == f"{line.host}:{line.port}"][0]

    # What sbc had not read when it died, the next one reads.
    os.kill(gate.pid_of("sbc"), signal.SIGSTOP)
    before = heard()
    line.send(line.request("OPTIONS", f"sip:{PHONES.edge}", "x@example.net"))
    w.wait(lambda: heard() > before, "the request at flowd")
    gate.kill_daemon("sbc")
    w.faults_allowed = True
    answer = line.receive(20)
    assert answer and answer.status == 200, answer and answer.first


def _expired(gate, name):
    """A certificate of the internal authority that ended years ago."""
    conf, tls = gate.conf_dir, f"{gate.conf_dir}/tls/{name}"
    folder = f"{gate.base}/old"
    subprocess.run(["mkdir", "-p", folder], check=True)
    for path, text in (("index.txt", ""), ("serial", "1234\n"), ("conf", f"""
[ca]
default_ca = it
[it]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
""")):
        with open(f"{folder}/{path}", "w", encoding="ascii") as f:
            f.write(text)
    quiet = {"check": True, "stdout": subprocess.DEVNULL,
             "stderr": subprocess.DEVNULL}
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    f"{tls}.key", "-out", f"{folder}/csr", "-subj",
                    f"/CN={name}", "-addext",
                    "subjectAltName=DNS:itsp.example.net"], **quiet)
    subprocess.run(["openssl", "ca", "-batch", "-config", f"{folder}/conf",
                    "-cert", f"{conf}/ca/internal.crt", "-keyfile",
                    f"{conf}/ca/private/internal.key", "-in", f"{folder}/csr",
                    "-startdate", "20200101000000Z", "-enddate",
                    "20210101000000Z", "-notext", "-out", f"{tls}.crt"],
                   **quiet)


@case("R4 R46", seconds=10, gate="own")
def bad_certificates(w):
    """Expired, revoked and foreign certificates end the handshake with a
    reason; so does a trunk that shows one when we connect to it. One with
    another name is a connection, and not the trunk."""
    gate = w.make_gate(start=False, settings=TRUNK)
    ca = gate.make_certificate("public", "sbc.example.net", ITSP.edge)
    for args in (["trunk", "itsp", "itsp.example.net"],
                 ["trunk", "ours", "sbc.example.net"],
                 ["trunk", "revoked", "itsp.example.net"],
                 ["trunk", "named", "somebody.example.net"],
                 ["ca", "foreign"],
                 ["--ca", "foreign", "trunk", "strange", "itsp.example.net"]):
        _cert(gate, *args)
    _cert(gate, "revoke", f"{gate.conf_dir}/tls/revoked.crt")
    _expired(gate, "expired")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")

    def speak(name):
        """What a peer at the trunk's address is answered, who has this."""
        try:
            line = w.group.add(stream.connect(
                w.ns("itsp"), ITSP.host(12), ITSP.edge, 5061,
                stream.client_tls(ca, f"{gate.conf_dir}/tls/{name}")))
            line.send(line.request("OPTIONS", f"sip:{ITSP.edge}",
                                   "x@itsp.example.net"))
            answer = line.receive(1)
        except OSError:
            return 0
        return answer.status if answer else 0

    assert speak("itsp") == 200
    for name in ("revoked", "expired", "strange"):
        mark = gate.log_mark()
        assert speak(name) == 0
        gate.wait_event("flow_closed", since=mark, process="flowd",
                        reason="flow_tls_untrusted")
    assert speak("named") == 0

    for name in ("revoked", "expired", "strange"):
        mark = gate.log_mark()
        listener = stream.Listener(
            w.ns("itsp"), ITSP.host(12), 5061,
            stream.server_tls(f"{gate.conf_dir}/tls/{name}"))
        try:
            listener.accept(40)
        except OSError:
            pass
        gate.wait_event("flow_closed", since=mark, process="flowd",
                        reason="flow_tls_untrusted")
        listener.stop()
    w.wait(lambda: w.rows("select 1 from sbc.event e join sbc.reason r on "
                          "r.number = e.reason where r.text = "
                          "'flow_tls_untrusted'"), "the event in SQL")


def _connect(w, n, role="stranger"):
    s = net.open_socket(w.ns(role), socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(10)
    s.bind((LINKS[role].host(n), 0))
    try:
        s.connect((PHONES.edge, 5061))
    except ConnectionResetError:
        s.close()
        return None
    return s


def _is_reset(w, n, role="stranger"):
    """Without a byte of TLS having been said by us or heard from it."""
    s = _connect(w, n, role)
    if not s:
        return True
    s.settimeout(0.5)
    try:
        s.recv(1)
        return False
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    finally:
        s.close()


@case("R4 R53", seconds=10, gate="own")
def refused_before_tls(w):
    """The realm's list, the rate of strangers and a ban are looked at before a
    byte is read: the connection is reset, and no handshake is begun."""
    ca = _gate(w, "update sbc.setting set value = '3' where name = "
               "'ban_failures';", {"flowd": {"accept_rate_source": 2}})
    held, mark = [], w.gate.log_mark()
    while len(held) < 60 and not w.gate.find_event(
            "flow_refused", since=mark, process="flowd", reason="flow_rate"):
        held.append(_connect(w, 11))
    w.gate.wait_event("flow_refused", since=mark, process="flowd",
                      reason="flow_rate")
    for s in filter(None, held):
        s.close()

    line = w.group.add(stream.connect(
        w.ns("phones"), PHONES.host(11), PHONES.edge, 5061,
        stream.client_tls(ca)))
    who = w.add_phone()
    while not w.rows("select 1 from sbc.ban_list"):
        answer = line.register(PHONES.edge, who["username"], "wrong")
        assert answer.status in (401, 403), answer.first
    w.gate.wait_event("ban", process="authd")
    w.wait(lambda: _is_reset(w, 11, "phones") and w.gate.find_event(
        "flow_refused", since=mark, process="flowd", reason="flow_banned"),
        "the ban at the door")

    w.settings(f"select sbc.add_acl('phones', '{PHONES.host()}/32')")
    w.wait(lambda: _is_reset(w, 12), "the list at the door")
    w.gate.wait_event("flow_refused", since=mark, process="flowd",
                      reason="flow_acl")
    w.wait(lambda: {r["t"] for r in w.rows(
        "select r.text as t from sbc.event e join sbc.reason r on "
        "r.number = e.reason")} >= {"flow_acl", "flow_rate", "flow_banned"},
        "the events")
    phone = w.phone(transport="tls", ca=ca)
    assert phone.who
