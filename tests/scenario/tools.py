# SPDX-License-Identifier: Apache-2.0
"""The tools of the scenarios, proved without a Gatehouse: what a later case
takes for granted (speech arrives, a leak is found) is shown here first."""
import socket
import struct

from harness import baresip, capture, net, sipp
from harness.cases import case
from harness.net import LINKS
from harness.proc import Problem

ITSP, PBX, PHONES = LINKS["itsp"], LINKS["pbx"], LINKS["phones"]
EDGE = ITSP.edge


@case("", seconds=10, gate="none")
def peers_speak_without_a_gate(w):
    """sipp in itsp calls a baresip in edge; both ears hear the right speech,
    and the judge refuses the ears exchanged."""
    phone = w.group.add(baresip.Baresip(
        f"{w.dir}/phone", ns=w.ns("edge"), local=EDGE, port=5090,
        speech=w.audio.wav("near"), interface="itsp"))
    phone.account("phone", EDGE, register=0).start()
    s = w.group.add(sipp.Sipp(
        "uac_call", f"{w.dir}/sipp", ns=w.ns("itsp"), local=ITSP.host(),
        target=f"{EDGE}:5090", service="phone", speech=w.audio.stream("far"),
        who="itsp", caller="+4989123456", pt=8, codec="PCMA/8000", hold=6500))
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    stream = w.heard_on_wire("itsp", "near")
    assert int(stream["lost"]) == 0, stream
    for voice, heard in (("near", phone.heard()),
                         ("far", f"{w.dir}/itsp-ear.wav")):
        passed, line = w.audio.judge(voice, heard)
        assert not passed, f"the judge let exchanged ears pass: {line}"


def _packet(data, src=EDGE):
    return capture.Packet(0.0, src, ITSP.host(), 5060, 5060, data)


_GOOD = (b"INVITE sip:+4930@203.0.113.10 SIP/2.0\r\n"
         b"Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKabcdef\r\n"
         b"Call-ID: w0-nothing\r\nContact: <sip:203.0.113.1:5060>\r\n\r\n")
_INSIDE = (b"INVITE sip:+4930@10.20.30.1 SIP/2.0\r\n"
           b"Via: SIP/2.0/UDP 10.20.30.10:5060;branch=z9hG4bKinsidebranch\r\n"
           b"From: <sip:1@10.20.30.10>;tag=insidetag\r\n"
           b"Call-ID: insidecallid@pbx\r\nUser-Agent: InsideSwitch/9\r\n"
           b"Contact: <sip:insideuser@10.20.30.10>\r\n\r\n"
           b"v=0\r\no=- 7777777 1 IN IP4 10.20.30.11\r\n"
           b"c=IN IP4 10.20.30.11\r\na=x:planted-word\r\n"
           b'<dialog id="1" call-id="insidelampcall" '
           b'local-tag="insidelamptag">\r\n')


@case("", gate="none")
def leak_checker_finds_each_kind(w):
    """A clean packet passes; each planted token and each form of an inside
    address is found; a longer address that contains it is not."""
    edge = (EDGE,)
    tokens = capture.tokens_of(
        [capture.Packet(0.0, "10.20.30.10", "10.20.30.1", 5060, 5060,
                        _INSIDE)], ("10.20.30.1",))
    addresses = ["10.20.30.1", "fd20:30::1"]

    def found(data):
        return capture.leaks([_packet(data)], edge, tokens, addresses)

    assert not found(_GOOD), found(_GOOD)
    for word in (b"insidebranch", b"insidetag", b"insidecallid@pbx",
                 b"InsideSwitch", b"insideuser", b"10.20.30.10",
                 b"7777777", b"10.20.30.11", b"planted-word",
                 b"insidelampcall", b"insidelamptag"):
        assert word in tokens, f"{word} was not taken for a token"
    for word in (b"insidebranch", b"INSIDETAG", b"insidecallid@pbx",
                 b"insideswitch/9", b"insideuser", b"7777777", b"10.20.30.1",
                 b"0a141e01", b"10-20-30-1", b"fd20:30::1", b"planted-word",
                 b"10.20.30.11", b"insidelampcall", b"insidelamptag"):
        data = _GOOD.replace(b"w0-nothing", b"w0-" + word + b"-x")
        assert found(data), f"{word} was not found"
    assert not found(_GOOD.replace(b"w0-nothing", b"110.20.30.10.5"))
    own = _packet(_INSIDE, src=ITSP.host())
    assert not capture.leaks([own], edge, tokens, addresses)


@case("R3", gate="none")
def leak_checker_puts_together(w):
    """Streams are put together whatever order their segments come in, and
    messages are cut out of them."""
    two = _GOOD + b"SIP/2.0 200 OK\r\nl : 4\r\n\r\nbody" + _GOOD
    s = capture.Stream(0.0, "a", "b", 1, 2, 0xfffffff0)
    for at in (40, 0, 20, 10, 0):
        piece = two[at:at + 25] if at < 40 else two[at:]
        s.add(0xfffffff0 + at & 0xffffffff, piece)
    s.add(0xffffffe0, b"from before it began")
    assert s.data() == two, s.data()
    assert capture.split_sip(two)[1] == b"SIP/2.0 200 OK\r\nl : 4\r\n\r\nbody"
    assert [m == _GOOD for m in capture.split_sip(b"\r\n\r\n" + two)] == [
        True, False, True]
    s = capture.Stream(0.0, "a", "b", 1, 2, 0)
    s.add(0, two[:10])
    s.add(12, two[12:])
    assert s.data() == two[:10], "a gap was overlooked"


def _udp(w, v6):
    def send(data):
        family = socket.AF_INET6 if v6 else socket.AF_INET
        s = w.group.add(_Stopper(net.open_socket(
            w.ns("edge"), family, socket.SOCK_DGRAM)))
        there = w.group.add(_Stopper(net.open_socket(
            w.ns("itsp"), family, socket.SOCK_DGRAM)))
        there.settimeout(10)
        there.bind((ITSP.host6() if v6 else ITSP.host(), 0))
        s.bind((ITSP.edge6 if v6 else ITSP.edge, 0))
        s.sendto(data, there.getsockname()[:2])
        there.recv(65536)
    return send


class _Stopper(socket.socket):
    """A socket that a case's group can end."""

    def __init__(self, other):
        super().__init__(fileno=other.detach())

    def stop(self):
        self.close()


def _connection(w, server, client, host, from_host):
    """Both ends of a TCP connection between two namespaces."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    a = w.group.add(_Stopper(net.open_socket(w.ns(server), family,
                                             socket.SOCK_STREAM)))
    b = w.group.add(_Stopper(net.open_socket(w.ns(client), family,
                                             socket.SOCK_STREAM)))
    a.bind((host, 0))
    a.listen(1)
    b.bind((from_host, 0))
    b.settimeout(10)
    b.connect(a.getsockname()[:2])
    c = w.group.add(_Stopper(a.accept()[0]))
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return b, c


def _tcp(w, v6):
    def send(data):
        theirs, ours = _connection(w, "edge", "itsp",
                              ITSP.edge6 if v6 else ITSP.edge,
                              ITSP.host6() if v6 else ITSP.host())
        for i in range(0, len(data), 300):
            ours.sendall(data[i:i + 300])
        theirs.recv(len(data), socket.MSG_WAITALL)
    return send


def _bridge(w):
    """What goes to a peer over TLS: sbc's end of the bridge says it."""
    def send(data):
        flowd, ours = _connection(w, "edge", "edge", "127.0.0.1", "127.0.0.1")
        flowd.sendall(b"OPTIONS sip:203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/TCP "
                      b"203.0.113.10:5061;branch=z9hG4bKtheirown\r\n\r\n")
        ours.sendall(data)
        flowd.recv(len(data), socket.MSG_WAITALL)
    return send


@case("R3", gate="none")
def leaks_are_found_on_every_path(w):
    """Real packets: what the PBX said of itself is found in what goes to the
    trunk over UDP, in fragments, over TCP and over TLS, IPv4 and IPv6; and so
    are the bridge's address outside and what a trunk says towards the PBX."""
    pbx = w.peer("pbx", target=PBX.edge)
    paths = {"udp": _udp(w, False), "udp6": _udp(w, True),
             "tcp": _tcp(w, False), "tcp6": _tcp(w, True),
             "tls": _bridge(w)}
    filler = b"Subject: " + b"x" * 5000 + b"\r\n"
    planted = _GOOD.replace(b"w0-nothing", b"insidecallid@pbx")
    for path, send in paths.items():
        for big in (False, True):
            for leak in (False, True):
                pbx.send(_INSIDE)
                data = planted if leak else _GOOD
                send(data.replace(b"Call-ID", filler + b"Call-ID")
                     if big else data)
                _judged(w, leak, f"{path} big={big}")
    send = paths["udp"]
    w.extensions.add(b"4711")
    for data in (_GOOD.replace(b"sip:203.0.113.1:5060",
                               b"sip:4711@203.0.113.1:5060"),
                 _GOOD.replace(b"203.0.113.1:5060;branch",
                               b"127.0.0.1:5060;branch"),
                 _GOOD.replace(b"w0-nothing", b"w0-10.20.30.1"),
                 _GOOD.replace(b"w0-nothing", b"Sofia-SIP")):
        send(data)
        _judged(w, True, repr(data))
    # From one phone to another.
    one, two = (w.peer("phones", n=n, port=5060) for n in (10, 11))
    _judged_phones(w, one, two)
    # The other direction, and RTCP.
    itsp = w.peer("itsp", target=ITSP.edge)
    itsp.send(_INSIDE.replace(b"10.20.30", b"203.0.113"))
    edge = w.group.add(_Stopper(net.open_socket(
        w.ns("edge"), socket.AF_INET, socket.SOCK_DGRAM)))
    edge.bind((PBX.edge, 0))
    edge.sendto(planted.replace(b"203.0.113.1", PBX.edge.encode()),
                (PBX.host(), 5060))
    _judged(w, True, "towards the PBX")


def _judged_phones(w, one, two):
    """What a phone says of itself may come back to it, and not to another
    account's."""
    edge = w.group.add(_Stopper(net.open_socket(
        w.ns("edge"), socket.AF_INET, socket.SOCK_DGRAM)))
    edge.bind((PHONES.edge, 0))
    for account, leak in (("firstuser", False), ("otheruser", True)):
        one.send(one.request("REGISTER", f"sip:{PHONES.edge}",
                             f"firstuser@{PHONES.edge}",
                             headers=["User-Agent: planted-one/1"]))
        two.send(two.request("REGISTER", f"sip:{PHONES.edge}",
                             f"{account}@{PHONES.edge}"))
        edge.sendto(_GOOD.replace(b"203.0.113.1", PHONES.edge.encode())
                    .replace(b"w0-nothing", b"planted-one"),
                    (PHONES.host(11), 5060))
        _judged(w, leak, f"from phone to phone ({account})")


def _judged(w, leak, what):
    try:
        w.no_leaks()
    except Problem as e:
        assert leak, f"{what}: {e}"
    else:
        assert not leak, f"{what}: nothing was found"
    for c in (*w.captures.values(), w.bridge):
        c.mark()
        c.forget()


@case("", gate="none")
def leak_checker_reads_rtcp(w):
    """A CNAME and a raw address inside RTCP are found."""
    def sdes(name):
        chunk = struct.pack("!IBB", 0x01020304, 1, len(name)) + name + b"\0"
        chunk += b"\0" * (-len(chunk) % 4)
        return struct.pack("!BBHI", 0x80, 201, 1, 0x01020304) + struct.pack(
            "!BBH", 0x81, 202, len(chunk) // 4) + chunk

    inside = capture.Packet(0.0, "10.20.30.10", "10.20.30.1", 4001, 4001,
                            sdes(b"inside-cname"))
    tokens = capture.tokens_of([inside], ("10.20.30.1",))
    assert tokens.get(b"inside-cname") == "CNAME", tokens
    edge = (EDGE,)
    assert capture.leaks([_packet(sdes(b"inside-cname"))], edge, tokens, [])
    assert not capture.leaks([_packet(sdes(b"own"))], edge, tokens, [])
    raw = sdes(b"abc" + bytes((10, 20, 30, 1)) + b"d")
    assert capture.leaks([_packet(raw)], edge, {}, ["10.20.30.1"])


@case("", gate="none")
def a_problem_is_seen(w):
    """A comparison that does not hold raises."""
    try:
        w.compare({"call": "x", "a": 1, "leg": {"b": 2}}, a=1, leg__b=3)
    except Problem as e:
        assert "leg__b" in str(e)
    else:
        raise AssertionError("nothing was raised")
