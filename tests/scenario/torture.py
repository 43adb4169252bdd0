# SPDX-License-Identifier: Apache-2.0
"""What the SIP library takes too easily, sent to the whole: each message gets
the answer that it earns where its sender is known, and nothing anywhere else;
sockets of victims stay silent and calls go on. RFC 4475 names many of them."""
import secrets
import select

from harness.cases import case
from harness.dialog import sdp
from harness.net import LINKS

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]


class Text:
    """A good INVITE, and what replaces its parts."""

    def __init__(self, peer, host, number, user):
        self.host, self.number = host, number
        self.lines = {
            "start": f"INVITE sip:{number}@{host} SIP/2.0",
            "via": f"Via: SIP/2.0/UDP {peer.host}:{peer.port};rport;"
                   "branch=z9hG4bK%BRANCH%",
            "mf": "Max-Forwards: 70",
            "from": f"From: <sip:{user}@{peer.host}>;tag=%BRANCH%",
            "to": f"To: <sip:{number}@{host}>",
            "call-id": "Call-ID: %BRANCH%",
            "cseq": "CSeq: 1 INVITE",
            "contact": f"Contact: <sip:peer@{peer.host}:{peer.port}>",
            "type": "Content-Type: application/sdp",
            "more": ""}
        self.body = sdp(peer.host, 7000)

    def make(self, **changes):
        lines = {**self.lines, **changes}
        body = lines.pop("body", self.body)
        length = lines.pop("length", f"Content-Length: {len(body)}")
        text = "\r\n".join(
            [v for v in lines.values() if v] + ([length] if length else []))
        return (text + "\r\n\r\n" + body).replace(
            "%BRANCH%", secrets.token_hex(8)).encode()


def _rows(t):
    """(what, message, the answer to a trunk; 0 = silence)."""
    start = t.lines["start"]
    uri = f"sip:{t.number}@{t.host}"
    yield "escruri: headers in the Request-URI", t.make(
        start=f"INVITE {uri}?Route=%3Csip:planted%3E SIP/2.0"), 400
    yield "badaspec: blanks inside <>", t.make(
        to=f"To: \"x\" < {uri} >"), 400
    yield "badbranch: the bare cookie", t.make(
        via=t.lines["via"].replace("%BRANCH%", "")), 400
    yield "bext01: Require and Proxy-Require", t.make(
        more="Require: planted-a, planted-b\r\nProxy-Require: planted-c"), 420
    yield "unkscm: another scheme in the Request-URI", t.make(
        start=f"INVITE nobodyKnowsThisScheme:{t.number} SIP/2.0"), 416
    yield "novelsc: a scheme of our own shape", t.make(
        start="INVITE soap.beep://192.0.2.103:3002 SIP/2.0"), 416
    yield "unksm2: another scheme in To", t.make(
        to="To: isbn:2983792873"), 400
    yield "zeromf: no hops left", t.make(mf="Max-Forwards: 0"), 483
    yield "baddate: a broken Date only decorates", t.make(
        more="Date: Fri, 01 Jan 2010 16:00:00 EST"), 486
    yield "lwsstart: blanks in the first line", t.make(
        start=f"INVITE  {uri}  SIP/2.0"), 0
    yield "lwsruri: blanks in the Request-URI", t.make(
        start=f"INVITE {uri}; lr SIP/2.0"), 0
    yield "ltgtruri: a Request-URI in brackets", t.make(
        start=f"INVITE <{uri}> SIP/2.0"), (0, 400)
    yield "trws: blanks at the end of the first line", t.make(
        start=f"INVITE {uri} SIP/2.0  "), 0
    yield "invut: a body of another kind", t.make(
        type="Content-Type: application/planted", body="hello"), 415
    yield "regaut01: another way to authenticate", t.make(
        more="Authorization: NoOneKnowsThisScheme opaque-data=here"), 486
    yield "multi01: headers that may be there once", t.make(
        more="Call-ID: planted\r\nCSeq: 5 INVITE\r\nMax-Forwards: 5"), (0, 400)
    yield "mcl01: two lengths", t.make(
        more="Content-Length: 13"), (0, 400)
    yield "clerr: a length beyond the datagram", t.make(
        length="Content-Length: 9999"), (0, 400)
    yield "ncl: a negative length", t.make(
        length="Content-Length: -999"), (0, 400)
    yield "scalar02: numbers over every bound", t.make(
        cseq="CSeq: 36893488147419103232 INVITE",
        mf="Max-Forwards: 300"), (0, 400)
    yield "mismatch01: CSeq of another method", t.make(
        cseq="CSeq: 1 OPTIONS"), 400
    yield "mismatch02: an unknown method of one", t.make(
        start=f"NEWMETHOD {uri} SIP/2.0", cseq="CSeq: 1 INVITE"), 400
    yield "an unknown method", t.make(
        start=f"NEWMETHOD {uri} SIP/2.0", cseq="CSeq: 1 NEWMETHOD"), 501
    yield "quotbal: a quote without its end", t.make(
        to=f'To: "planted <{uri}>'), (0, 400)
    yield "badvers: another version", t.make(
        start=f"INVITE {uri} SIP/7.0"), 0
    yield "badinv01: broken Via", t.make(
        via=f"Via: SIP/2.0/UDP {ITSP.host()};;,;,,"), 0
    yield "insuf: From, To, Call-ID missing", t.make(
        to="", **{"from": "", "call-id": ""}), (0, 400)
    yield "sdp01: a length longer than the body's lines", t.make(
        body="v=0\r\n"), 400
    yield "Via of another transport", t.make(
        via=t.lines["via"].replace("UDP", "TLS")), 0
    yield "no Contact", t.make(contact=""), 400
    yield "a NUL in a header", t.make(more="Subject: a\0b"), (0, 400)
    yield "a thousand headers", t.make(
        more="\r\n".join(f"X-{i}: y" for i in range(1000))), 0
    yield "blank lines only", b"\r\n\r\n\r\n\r\n", 0
    yield "STUN", bytes([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]) + b"x" * 12, 0
    yield "words", b"GET / HTTP/1.1\r\nHost: planted\r\n\r\n", 0
    yield "an answer to nothing", t.make(start="SIP/2.0 200 OK"), 0
    # Who is named in Via is never written to.
    for victim in (";maddr=192.0.2.10", ";received=192.0.2.10",
                   ";rport=7777"):
        yield f"reflection by {victim}", t.make(
            via=t.lines["via"].replace(";rport", victim)), None
    yield "a name in Via", t.make(
        via=t.lines["via"].replace(ITSP.host(), "planted.invalid")), None


def _status(peer, data, seconds):
    """Of the final answer to this message; 0 if there is none. What comes
    again because nobody acknowledged it is another one's."""
    while True:
        m = peer.receive(seconds)
        if m is None:
            return 0
        if not m.status:
            raise AssertionError(f"{m.first} to nothing")
        if m.status >= 200 and m.get("call-id").encode() in data:
            return m.status


@case("R4 R53", seconds=14, gate="own")
def what_is_taken_too_easily(w):
    """Each from a trunk, a registered phone and a stranger; a call stands
    meanwhile, and afterwards nothing is left over."""
    w.make_gate(settings="update sbc.setting set value = '10000' where name in "
                         "('source_rate', 'unknown_rate', 'trusted_rate');")
    called = "7" + w.number()[1][-5:]
    a, b = w.side("itsp", 5060), w.side("pbx", 5060)
    a.call(called)
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    a.answered(a.expect("200"))
    a.ack()

    victim = w.peer("stranger", n=10, port=5060)
    phone = w.side("phones", 5090)
    peers = {"trunk": w.peer("itsp", port=5080),
             "phone": phone.peer,
             "stranger": w.peer("stranger", n=11, target=ITSP.edge),
             "stranger at the phones' door": w.peer(
                 "stranger", n=12, target=PHONES.edge)}
    hosts = {"trunk": ITSP.edge, "phone": PHONES.edge}
    for who, peer in peers.items():
        host = hosts.get(who, peer.target[0])
        text = Text(peer, host, called[:-1] + "0", "+4989123456")
        for what, data, status in _rows(text):
            peer.send(data)
            if who == "trunk" and (status == 486 or
                                   status is None and _arrives(b.peer)):
                _goes_through(b)
            if who == "trunk" and status not in (0, None):
                _expect(peer, what, data, status)
    # Everything that a stranger sent is answered by now or never.
    probe = w.peer("itsp", port=5085)
    probe.send(probe.request("OPTIONS", f"sip:{ITSP.edge}", f"x@{ITSP.edge}"))
    assert probe.final().status == 200
    for who in ("stranger", "stranger at the phones' door"):
        m = peers[who].receive(0.5)
        assert m is None, f"{who}: {m.data}"
    assert victim.receive(0.2) is None, "a victim was written to"
    a.request("OPTIONS")
    a.expect("200")
    b.request("BYE")
    a.answer(a.expect("BYE"), 200)
    b.expect("200")
    w.wait(lambda: not w.gate.status("sbc").get("calls"), "no call", 20)
    w.cdr(called, sip_status=200)


def _arrives(peer):
    """The next message is there, and stays there."""
    return bool(select.select([peer.sock], [], [], 0.3)[0])


def _goes_through(called):
    """A message that is odd and good becomes a call, which is declined."""
    m = called.expect("INVITE")
    called.answer(m, 486)
    called.expect("ACK")


def _expect(peer, what, data, status):
    allowed = status if isinstance(status, tuple) else (status,)
    got = _status(peer, data, 0.3 if 0 in allowed else 5)
    assert got in allowed, f"{what}: {got} instead of {allowed}"
