# SPDX-License-Identifier: Apache-2.0
"""Trunks over connections: names, requests that are too large for a datagram,
connections that serve both ways, dialogs whose connection has gone."""
import subprocess

from harness import dns, stream
from harness.cases import case
from harness.dialog import Side
from harness.net import LINKS

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]


def _cert(gate, *args):
    subprocess.run([gate.installed.program("sbcctl"), "cert", "--dir",
                    gate.conf_dir, *args], check=True,
                   stdout=subprocess.DEVNULL)
    return f"{gate.conf_dir}/tls/{args[1]}"


def _talk(caller, called, line=None):
    """called takes an INVITE that has come, caller acknowledges; line: where
    the called side's messages come."""
    invite = called.expect("INVITE")
    called.taken(invite)
    called.answer(invite, 200, called.sdp())
    answer = caller.expect("200", passing=("18",))
    caller.answered(answer)
    caller.ack()
    called.expect("ACK")
    return invite


TCP = f"""
select sbc.add_realm_address('public', '{ITSP.edge}', 5060, 'tcp');
update sbc.realm set allow_message = true where name in ('public', 'inside');
select sbc.add_trunk_source('itsp', '{ITSP.host()}/32', 'tcp');
"""
LARGE = """
insert into sbc.header_rule (trunk, direction, action, name, value) values
	(sbc.trunk_id('itsp'), 'out', 'set', 'X-Long', repeat('x', 490)),
	(sbc.trunk_id('itsp'), 'out', 'set', 'X-Longer', repeat('y', 490));
"""


def _far_routes(port):
    """Makes each request inside the dialog a large one."""
    return [f"Record-Route: <sip:{ITSP.host()}:{port};lr;n={n}"
            f"{'x' * 400}>" for n in range(3)]


def _over(side, line, method, status=200, body=""):
    """The method comes to the side over this line, and is answered."""
    side.peer = line
    m = side.expect(method)
    assert len(m.data) > 1300, len(m.data)
    assert m.get("via").startswith(
        f"SIP/2.0/{line.transport} {ITSP.edge}"), m.get("via")
    side.answer(m, status, body)
    return m


def _large_inside(w, a, udp, listener):
    """A dialog that began over UDP, with requests that are too large for it.
    Returns the connection that they took."""
    datagrams = udp.peer
    a.call("+4940666666")
    udp.taken(udp.expect("INVITE"))
    udp.answer(udp.invite, 200, udp.sdp(), _far_routes(5060))
    a.answered(a.expect("200", passing=("18",)))
    a.ack()
    udp.expect("ACK")

    a.request("INVITE", body=a.sdp("sendonly"))
    line = listener.accept()
    invite = _over(udp, line, "INVITE", 200, udp.sdp("recvonly"))
    # The dialog stays where it is; only what is too large takes the way.
    assert "transport=tcp" not in invite.get("contact"), invite.get("contact")
    a.expect("200", passing=("18",))
    a.ack()
    _over(udp, line, "ACK")
    a.request("MESSAGE", ["Content-Type: text/plain"], "Good morning")
    _over(udp, line, "MESSAGE")
    a.expect("200")
    a.request("INFO", ["Content-Type: application/dtmf-relay"],
              "Signal=7\r\nDuration=120\r\n")
    a.expect("200")
    _over(udp, line, "INFO")

    # The peer does the same: over a connection of its own, and by datagrams.
    udp.peer = w.group.add(stream.connect(
        w.ns("itsp"), ITSP.host(), ITSP.edge, 5060))
    udp.request("INVITE", body=udp.sdp(), extra=["X-Long: " + "x" * 1300])
    change = a.expect("INVITE")
    a.answer(change, 200, a.sdp())
    udp.expect("200", passing=("18",))
    udp.ack()
    a.expect("ACK")
    udp.peer = datagrams
    udp.request("OPTIONS")
    udp.expect("200")
    a.request("BYE")
    a.expect("200")
    _over(udp, line, "BYE")
    w.cdr("+4940666666", sip_status=200)

    # Nobody listens there: the same as datagrams, at once.
    udp.peer = datagrams
    far = w.peer("itsp", port=5070)
    a.call("+4940777777")
    udp.taken(udp.expect("INVITE"))
    udp.answer(udp.invite, 200, udp.sdp(), _far_routes(5070))
    a.answered(a.expect("200", passing=("18",)))
    a.ack()
    udp.peer = far
    udp.expect("ACK")
    a.request("INVITE", body=a.sdp("sendonly"))
    invite = _over(udp, far, "INVITE", 200, udp.sdp("recvonly"))
    a.expect("200", passing=("18",))
    a.ack()
    udp.expect("ACK")
    a.request("BYE")
    a.expect("200")
    _over(udp, far, "BYE")
    w.cdr("+4940777777", sip_status=200)
    udp.peer = datagrams
    return line


@case("R8", seconds=14, gate="own")
def large_requests_move_to_tcp(w):
    """A request of more than 1300 bytes to a trunk at UDP goes by TCP where
    the trunk takes it: an INVITE with all of its dialog, one inside a dialog
    that began over UDP by itself; by UDP where it does not; and a small one
    stays with UDP."""
    w.make_gate(settings=TCP)
    w.gate.wait_event("listening", process="flowd", transport="TCP")
    listener = w.group.add(stream.Listener(w.ns("itsp"), ITSP.host(), 5060))
    a = Side(w.peer("pbx", port=5060), 7100)
    udp = Side(w.peer("itsp", port=5060), 7000)
    line = _large_inside(w, a, udp, listener)
    w.settings(LARGE)
    a.call("+4940111111")
    b = Side(line, 7000)
    invite = _talk(a, b)
    assert len(invite.data) > 1300, len(invite.data)
    assert invite.get("via").startswith(f"SIP/2.0/TCP {ITSP.edge}"), \
        invite.get("via")
    assert "transport=tcp" in invite.get("contact"), invite.get("contact")
    # Both directions of the dialog, over the same connection.
    a.request("BYE")
    a.expect("200")
    b.answer(b.expect("BYE"), 200)
    w.cdr("+4940111111", sip_status=200, attempts=1)

    # The next one uses it again; it breaks in the call, and the trunk takes
    # no other: what follows in the dialog goes as datagrams.
    a.call("+4940555555")
    _talk(a, b)
    mark = w.gate.log_mark()
    line.stop()
    listener.stop()
    w.gate.wait_event("flow_closed", since=mark, process="flowd")
    a.request("BYE")
    a.expect("200")
    b.peer = udp.peer
    b.answer(b.expect("BYE"), 200)
    w.cdr("+4940555555", sip_status=200)

    # So do large INVITEs, without a second try soon.
    for number in ("+4940222222", "+4940333333"):
        a.call(number)
        invite = _talk(a, udp)
        assert len(invite.data) > 1300, len(invite.data)
        udp.request("BYE")
        udp.expect("200")
        a.answer(a.expect("BYE"), 200)
        w.cdr(number, sip_status=200)

    again = w.group.add(stream.Listener(w.ns("itsp"), ITSP.host(), 5060))
    w.settings("delete from sbc.header_rule")
    a.call("+4940444444")
    invite = _talk(a, udp)
    assert len(invite.data) <= 1300, len(invite.data)
    a.request("BYE")
    a.expect("200")
    udp.answer(udp.expect("BYE"), 200)
    assert not again.lines


NAME, OTHER = "sip.itsp.test", "other.itsp.test"
NAMED = f"""
select sbc.add_realm_address('public', '{ITSP.edge}', 5061, 'tls');
select sbc.add_trunk('named', '{NAME}', 'public', transport => 'tls',
	sources => '{{{ITSP.host(11)}}}');
select sbc.add_trunk('other', '{OTHER}', 'public', transport => 'tls',
	sources => '{{{ITSP.host(12)}}}');
update sbc.trunk set tls_ca = 'internal', host = 'sbc.example.net'
	where name in ('named', 'other');
select sbc.add_route('to-named', '+88', '{{other,named}}', priority => 5);
"""


@case("R8 R11 R46", seconds=10, gate="own")
def trunk_by_name_over_tls(w):
    """SRV of _sips._tcp leads to host and port, and the certificate has to
    have the trunk's own name: one that has the name of the host that SRV led
    to is refused, and the call goes to the next trunk."""
    server = w.group.add(dns.Dns(w.ns("itsp"), ITSP.host(14)))
    server.set(f"_sips._tcp.{NAME}", "SRV", "1 0 5081 live.itsp.test")
    server.set("live.itsp.test", "A", ITSP.host(11))
    server.set(f"_sips._tcp.{OTHER}", "SRV", "1 0 5082 false.itsp.test")
    server.set("false.itsp.test", "A", ITSP.host(12))
    gate = w.make_gate(start=False, settings=NAMED, options={"sbc": {"dns_servers": [server.address]}})
    gate.make_certificate("public", "sbc.example.net")
    good = _cert(gate, "trunk", "good", NAME)
    false = _cert(gate, "trunk", "false", "false.itsp.test")
    listener = w.group.add(stream.Listener(
        w.ns("itsp"), ITSP.host(11), 5081, stream.server_tls(good)))
    liar = w.group.add(stream.Listener(
        w.ns("itsp"), ITSP.host(12), 5082, stream.server_tls(false)))
    gate.start()
    w.wait_settings(0)
    liar.accept()
    gate.wait_event("flow_closed", process="flowd", reason="flow_tls_name")
    b = Side(listener.accept(), 7000)
    gate.wait_event("trunk_connected", process="sbc")
    a = Side(w.peer("pbx", port=5060), 7100)
    a.call("+8811111")
    invite = _talk(a, b)
    assert invite.first.startswith(f"INVITE sip:+8811111@{NAME}"), invite.first
    assert invite.get("via").startswith("SIP/2.0/TLS sbc.example.net:5061;"), \
        invite.get("via")
    assert "sbc.example.net:5061;transport=tls" in invite.get("contact")
    b.request("BYE")
    b.expect("200")
    a.answer(a.expect("BYE"), 200)
    w.cdr("+8811111", sip_status=200)

    # A connection that was on its way when the settings changed is not used.
    slow = w.group.add(stream.Listener(w.ns("itsp"), ITSP.host(13), 5083))
    w.settings(f"""select sbc.add_trunk('slow', '{ITSP.host(13)}', 'public',
            port => 5083, transport => 'tls');
        update sbc.trunk set tls_name = 'old.itsp.test', tls_ca = 'internal'
            where name = 'slow';""")
    half = slow.accept()
    w.settings("update sbc.trunk set tls_name = 'new.itsp.test' "
               "where name = 'slow'")
    names, slow.context = [], stream.server_tls(
        _cert(gate, "trunk", "slow", "old.itsp.test", "new.itsp.test"))
    slow.context.sni_callback = lambda _s, name, _c: names.append(name)
    late = slow.context.wrap_socket(half.sock, server_side=True)
    assert late.recv(1) == b""
    late.close()
    slow.accept()
    assert names == ["old.itsp.test", "new.itsp.test"], names


MUTUAL = f"""
select sbc.add_realm_address('public', '{ITSP.edge}', 5061, 'tls');
update sbc.realm_address set client_ca = 'internal' where transport = 'tls'
	and realm = sbc.realm_id('public');
select sbc.add_trunk('secure', '{ITSP.host(12)}', 'public', port => 5061,
	transport => 'tls');
update sbc.trunk set tls_name = 'itsp.example.net', tls_ca = 'internal',
	tls_certificate = 'ours', tls_verify = true where name = 'secure';
select sbc.add_route('to-secure', '+88', '{{secure}}', priority => 5);
"""


def _first_word(line):
    """A connection counts from its first message."""
    line.send(line.request("OPTIONS", f"sip:{ITSP.edge}",
                           "x@itsp.example.net"))


@case("R8 R46", seconds=12, gate="own")
def proven_connections_serve_both_ways(w):
    """A trunk that we cannot connect to is called over the connection that it
    has made, but only once its certificate has proved its name; when that one
    breaks in a call, the call goes on over its next one."""
    gate = w.make_gate(start=False, settings=MUTUAL)
    ca = gate.make_certificate("public", "sbc.example.net")
    trunk = _cert(gate, "trunk", "itsp", "itsp.example.net")
    wrong = _cert(gate, "trunk", "wrong", "somebody.example.net")
    _cert(gate, "trunk", "ours", "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")

    def connect(certificate):
        line = w.group.add(stream.connect(
            w.ns("itsp"), ITSP.host(12), ITSP.edge, 5061,
            stream.client_tls(ca, certificate), "sbc.example.net"))
        _first_word(line)
        return line

    a = Side(w.peer("pbx", port=5060), 7100)
    for certificate in (None, wrong):
        line = connect(certificate)
        a.call("+8800000")
        a.ack_failure(a.expect("503"))
        assert line.receive(0.2) is None
        line.stop()
    line = connect(trunk)
    assert line.receive().status == 200
    b = Side(line, 7000)
    a.call("+8811111")
    invite = _talk(a, b)
    assert b"127.0.0.1" not in invite.data, invite.data
    line.stop()
    gate.wait_event("flow_closed", process="flowd",
                    reason="flow_closed_by_peer")
    line = connect(trunk)
    assert line.receive().status == 200
    b.peer = line
    a.request("BYE")
    a.expect("200")
    bye = b.expect("BYE")
    assert bye.get("call-id") == invite.get("call-id")
    b.answer(bye, 200)
    w.cdr("+8811111", sip_status=200)


@case("R8 R12", seconds=10, gate="own")
def dialog_over_the_newest_flow(w):
    """A phone's connection breaks in a call: the far side's re-INVITE and BYE
    reach it over the one that it has registered anew; and what the phone says
    in the dialog from there is heard."""
    gate = w.make_gate(start=False, settings=f"""
        select sbc.add_realm_address('phones', '{PHONES.edge}', 5061, 'tls');
        """)
    ca = gate.make_certificate("phones", PHONES.edge)
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    who = w.add_phone()

    def register():
        line = w.group.add(stream.connect(
            w.ns("phones"), PHONES.host(), PHONES.edge, 5061,
            stream.client_tls(ca)))
        answer = line.register(PHONES.edge, who["username"], who["password"])
        assert answer.status == 200, answer.first
        return line

    line = register()
    a, b = Side(w.peer("itsp", port=5060), 7000), Side(line, 7100)
    a.call(who["number"])
    _talk(a, b)
    mark = gate.log_mark()
    line.stop()
    gate.wait_event("flow_closed", since=mark, process="flowd")
    b.peer = line = register()
    a.request("INVITE", body=a.sdp("sendonly"))
    change = b.expect("INVITE")
    b.answer(change, 200, b.sdp("recvonly"))
    a.expect("200", passing=("18",))
    a.ack()
    b.expect("ACK")
    b.cseq = 500
    b.request("INVITE", body=b.sdp())
    change = a.expect("INVITE")
    a.answer(change, 200, a.sdp())
    b.expect("200", passing=("18",))
    b.ack()
    a.expect("ACK")
    a.request("BYE")
    a.expect("200")
    b.answer(b.expect("BYE"), 200)
    w.cdr(who["number"], sip_status=200)


INSIDE = f"""
select sbc.add_realm_address('inside', '{PBX.edge6}', 5060, 'tcp');
select sbc.add_realm_address('inside', '{PBX.edge}', 5061, 'tls');
select sbc.add_realm_address('phones', '{PHONES.edge6}', 5061, 'tls');
select sbc.add_trunk('pbx-tcp', '{PBX.host6(11)}', 'inside', port => 5070,
	transport => 'tcp');
select sbc.add_trunk('pbx-tls', '{PBX.host(12)}', 'inside', port => 5071,
	transport => 'tls');
update sbc.trunk set tls_ca = 'internal', tls_name = 'pbx.example.net'
	where name = 'pbx-tls';
select sbc.add_trunk_target('pbx-tls', '{PBX.host(12)}', 5060, 'udp', 200);
select sbc.add_route('to-pbx-tls', '+88', '{{pbx-tls}}', priority => 5);
"""


@case("R8 R12", seconds=8, gate="own")
def inside_realm_and_ipv6(w):
    """A PBX over TCP and IPv6 calls a phone over TLS and IPv6, and the call
    between them goes both ways; another PBX is reached over TLS and IPv4, and
    by its next target over UDP when it does not take the connection."""
    gate = w.make_gate(start=False, settings=INSIDE)
    ca = gate.make_certificate("phones", PHONES.edge6)
    gate.make_certificate("inside", PBX.edge)
    pbx = _cert(gate, "trunk", "pbx", "pbx.example.net")
    tcp = w.group.add(stream.Listener(w.ns("pbx"), PBX.host6(11), 5070))
    tls = w.group.add(stream.Listener(w.ns("pbx"), PBX.host(12), 5071,
                                      stream.server_tls(pbx)))
    gate.start()
    w.wait_settings(0)
    a, c = Side(tcp.accept(), 7000), Side(tls.accept(), 7200)
    gate.wait_event("listening", process="flowd",
                    listen=f"[{PHONES.edge6}]:5061")
    who = w.add_phone()
    line = w.group.add(stream.connect(
        w.ns("phones"), PHONES.host6(), PHONES.edge6, 5061,
        stream.client_tls(ca)))
    answer = line.register(f"[{PHONES.edge6}]", who["username"],
                           who["password"])
    assert answer.status == 200, answer.first
    b = Side(line, 7100)
    a.call(who["extension"])
    invite = _talk(a, b)
    assert invite.get("via").startswith(
        f"SIP/2.0/TLS [{PHONES.edge6}]:5061;"), invite.get("via")
    assert f"IN IP6 {PHONES.edge6}".encode() in invite.body, invite.body
    b.request("BYE")
    b.expect("200")
    bye = a.expect("BYE")
    assert bye.get("via").startswith(f"SIP/2.0/TCP [{PBX.edge6}]"), \
        bye.get("via")
    a.answer(bye, 200)
    w.cdr(who["extension"], sip_status=200)

    udp = Side(w.peer("itsp", port=5060), 7300)
    udp.call("+8812345")
    invite = _talk(udp, c)
    assert invite.get("via").startswith(f"SIP/2.0/TLS {PBX.edge}:5061;"), \
        invite.get("via")
    udp.request("BYE")
    udp.expect("200")
    c.answer(c.expect("BYE"), 200)
    w.cdr("+8812345", sip_status=200)

    mark = gate.log_mark()
    tls.stop()
    gate.wait_event("flow_closed", since=mark, process="flowd")
    d = Side(w.peer("pbx", n=12, port=5060), 7400)
    udp.call("+8812346")
    invite = _talk(udp, d)
    assert invite.get("via").startswith(f"SIP/2.0/UDP {PBX.edge}"), \
        invite.get("via")
    udp.request("BYE")
    udp.expect("200")
    d.answer(d.expect("BYE"), 200)
    w.cdr("+8812346", sip_status=200)
