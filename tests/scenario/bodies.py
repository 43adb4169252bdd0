# SPDX-License-Identifier: Apache-2.0
"""Legal messages that are seldom seen: large, folded, compact, with several
parts, and descriptions with everything that RFC 8866 allows."""
import re

from harness.cases import case
from harness.dialog import audio_of
from harness.net import LINKS

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]

CODECS = """
select sbc.set_codec_list('default', 'opus', 'G722', 'PCMA', 'PCMU', 'G729',
	'iLBC', 'telephone-event/8000', 'telephone-event/48000');
"""


def _description(host, media, session=()):
    return "\r\n".join(["v=0", f"o=- 9007199254740993 2 IN IP4 {host}", "s= ",
                        *session, f"c=IN IP4 {host}", "t=0 0", *media]) + "\r\n"


def _payloads(body):
    """{payload type: (name, fmtp)} of the live audio line, in its order."""
    text = body.decode()
    section = re.search(r"^m=audio [1-9]\d* \S+ ([\d ]+)\r\n(.*?)(?=^m=|\Z)",
                        text, re.M | re.S)
    assert section, text
    found = {}
    for n in section.group(1).split():
        name = re.search(rf"^a=rtpmap:{n} (\S+)", section.group(2), re.M)
        fmtp = re.search(rf"^a=fmtp:{n} (.*?)\r?$", section.group(2), re.M)
        found[int(n)] = (name.group(1) if name else "", fmtp.group(1)
                         if fmtp else "")
    return found


def _lines(body):
    """(kind, port) of each m= line."""
    return [(k.decode(), int(p)) for k, p in
            re.findall(rb"^m=(\w+) (\d+)", body, re.M)]


def _call(w, a, b, number, body, extra=(), answer=None):
    """A call with this offer; what b was offered and what a was answered."""
    a.call(number, "+4989123456", extra, body=body)
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 200, answer or b.sdp())
    b.expect("ACK")
    m = a.expect("200")
    a.answered(m)
    mark = w.gate.log_mark()
    a.ack()
    w.gate.wait_event("call_state", since=mark, process="sbc", new="up")
    return b.invite, m


def _end(a, b):
    a.request("BYE")
    b.answer(b.expect("BYE"), 200)
    a.expect("200")


@case("R2 R9 R21", seconds=6, gate="own")
def odd_descriptions(w):
    """Several m= lines, refused in their place; bundle-only, bandwidth, rtcp
    attributes, unknown ones; static types without rtpmap; fmtp of each codec;
    digits at each codec's clock; a secure and a plain line; any codec of an
    answer in mid-call."""
    w.make_gate(settings=CODECS)
    a, b = w.side("itsp"), w.side("pbx")
    called = "7" + w.number()[1][-5:]
    host = a.peer.host

    offer = _description(host, [
        "m=video 49170 RTP/AVP 31 32", "b=AS:512", "a=rtpmap:31 H261/90000",
        "a=mid:v", "m=audio 7000 RTP/AVP 8 0 13 101", "i=planted-title",
        "b=TIAS:64000", "k=clear:planted", "a=mid:a", "a=rtpmap:101 "
        "telephone-event/8000", "a=fmtp:101 0-15,32-49", "a=rtcp:7001 IN IP4 "
        + host, "a=rtcp-fb:* nack", "a=planted-attribute:planted-value",
        "a=silenceSupp:off - - - -", "a=ssrc:12345 cname:planted-cname",
        "a=candidate:1 1 UDP 1 10.9.8.7 9 typ host", "a=ptime:20",
        "a=maxptime:40", "m=image 49180 udptl t38", "a=T38FaxVersion:0",
        "m=audio 0 RTP/AVP 0", "a=bundle-only", "a=mid:x",
        "m=application 9 UDP/BFCP *", "m=text 49190 RTP/AVP 98",
        "a=rtpmap:98 t140/1000"],
        ["i=planted-session", "u=http://planted.invalid/", "e=planted@invalid",
         "p=+1", "b=CT:1000", "a=group:BUNDLE a v x", "a=tool:planted-tool",
         "a=charset:UTF-8", "a=sdplang:en"])
    seen, answer = _call(w, a, b, called, offer)
    assert b"planted" not in seen.body and b"10.9.8.7" not in seen.body, \
        seen.body
    assert _lines(seen.body)[0][0] == "audio" and len(_lines(seen.body)) == 1
    # Event 16 is the last that we relay; theirs was 0 to 15 and modem tones.
    assert _payloads(seen.body)[101] == ("telephone-event/8000", "0-15"), \
        seen.body
    kinds = _lines(answer.body)
    assert [k for k, _ in kinds] == ["video", "audio", "image", "audio",
                                     "application", "text"], kinds
    assert [bool(p) for _, p in kinds] == [False, True, False, False, False,
                                           False], kinds
    _end(a, b)

    # Static types need no rtpmap; what is called something else is nothing.
    seen, answer = _call(w, a, b, called, _description(
        host, ["m=audio 7000 RTP/AVP 0 8 18 3 4 96 97",
               "a=rtpmap:3 PLANTED/8000"]),
        answer=_description(b.peer.host, ["m=audio 7100 RTP/AVP 18"]))
    assert {n: p[0] for n, p in _payloads(seen.body).items()} == {
        8: "PCMA/8000", 0: "PCMU/8000", 18: "G729/8000"}, seen.body
    assert list(_payloads(answer.body)) == [18], answer.body
    _end(a, b)

    # Parameters: read by table, written anew; a refusal of one side holds.
    seen, answer = _call(w, a, b, called, _description(host, [
        "m=audio 7000 RTP/AVP 111 8 18 97 101 110",
        "a=rtpmap:111 OPUS/48000/2", "a=fmtp:111 useinbandfec=1; minptime=10;"
        "planted=1;maxplaybackrate=16000;stereo=planted",
        "a=rtpmap:18 g729/8000", "a=fmtp:18 annexb=no",
        "a=rtpmap:97 iLBC/8000", "a=fmtp:97 mode=20",
        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16",
        "a=rtpmap:110 telephone-event/48000", "a=fmtp:110 0-11"]),
        answer=_description(b.peer.host, [
            "m=audio 7100 RTP/AVP 120 18 97 121 101",
            "a=rtpmap:120 opus/48000/2", "a=fmtp:120 usedtx=1;minptime=20",
            "a=rtpmap:97 iLBC/8000", "a=fmtp:97 mode=30",
            "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
            "a=rtpmap:121 telephone-event/48000"]))
    assert _payloads(seen.body) == {
        111: ("opus/48000/2",
              "minptime=10;useinbandfec=1;maxplaybackrate=16000"),
        8: ("PCMA/8000", ""), 18: ("G729/8000", "annexb=no"),
        97: ("iLBC/8000", "mode=20"),
        101: ("telephone-event/8000", "0-16"),
        110: ("telephone-event/48000", "0-11")}, seen.body
    assert _payloads(answer.body) == {
        111: ("opus/48000/2", "minptime=20;usedtx=1"),
        18: ("G729/8000", "annexb=no"), 97: ("iLBC/8000", "mode=30"),
        101: ("telephone-event/8000", "0-15"),
        110: ("telephone-event/48000", "0-11")}, answer.body
    _end(a, b)

    # One stream offered twice: plain is taken where keys may not be.
    seen, answer = _call(w, a, b, called, _description(host, [
        "m=audio 7200 RTP/SAVP 8", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
        "inline:" + "A" * 40, "m=audio 7000 RTP/AVP 8"]))
    assert _lines(answer.body)[0] == ("audio", 0) and \
        _lines(answer.body)[1][1] != 0, answer.body
    assert b"crypto" not in seen.body + answer.body
    _end(a, b)

    # All codecs of an answer may be used, whenever.
    seen, answer = _call(w, a, b, called, a.sdp(formats="8 0 101"),
                         answer=b.sdp(formats="8 0 101"))
    for one, other, told in ((a, b, answer), (b, a, seen)):
        mouth, ear = w.media(one), w.media(other)
        to = audio_of(told)
        for pt in (8, 0, 8, 101, 0):
            got = []
            w.wait(lambda: mouth.send(to[0], to[1], pt) or
                   got.extend(ear.heard()) or pt in got,
                   f"payload type {pt} from {one.role}", 10)
        mouth.sock.close()
        ear.sock.close()
    _end(a, b)


def _part(kind, text, more=()):
    return "\r\n".join([f"Content-Type: {kind}", *more, "", text])


def _multipart(*parts):
    return "".join(f"--planted-edge\r\n{p}\r\n" for p in parts) + \
        "--planted-edge--\r\n"


MIXED = 'Content-Type: multipart/mixed;boundary="planted-edge"'


@case("R2 R3 R9", seconds=4)
def odd_messages(w):
    """Large requests in fragments, folded headers, compact names, several
    parts: the description is taken out, the rest stays behind or is refused;
    broken ones get an answer and never a call."""
    a, b = w.side("itsp"), w.side("pbx")
    called = "7" + w.number()[1][-5:]
    # Large: many headers, and a large description.
    heads = [f"X-Planted-{n}: " + "planted " * 12 for n in range(80)]
    body = a.sdp() + "".join(f"a=planted-{n}:{'x' * 60}\r\n"
                             for n in range(60))
    seen, _ = _call(w, a, b, called, body, heads)
    assert len(seen.data) < 2000 and b"lanted-" not in seen.data.replace(
        b"planted-itsp", b""), seen.data
    _end(a, b)
    # Folded, and in compact form, with odd blanks and letters.
    folded = [
        "Subject: a\r\n folded\r\n\tsubject",
        "Session-Expires:\r\n 1800", "Supported:timer\r\n ,\r\n 100rel"]
    seen, answer = _call(w, a, b, called, a.sdp(), folded)
    assert b"folded" not in seen.data, seen.data
    assert answer.get("session-expires").startswith("1800"), answer.data
    _end(a, b)
    a.compact = True
    seen, answer = _call(w, a, b, called, a.sdp(), ["k: timer", "x: 1800"])
    assert answer.get("session-expires").startswith("1800"), answer.data
    _end(a, b)
    a.compact = False

    sdp = _part("application/sdp", a.sdp())
    isup = _part("application/ISUP;version=planted", "planted-isup",
                 ["Content-Disposition: signal;handling=optional"])
    pidf = _part("application/pidf+xml", "<planted/>", ["Content-ID: <planted>"])
    for parts in ((sdp, isup), (isup, sdp), (pidf, isup, sdp)):
        seen, _ = _call(w, a, b, called, _multipart(*parts), [MIXED])
        assert b"planted-isup" not in seen.data, seen.data
        assert seen.get("content-type") == "application/sdp", seen.data
        _end(a, b)
    needed = isup.replace("optional", "required")
    for body, status in ((_multipart(sdp, needed), 415),
                         (_multipart(isup), 415),
                         (_multipart(sdp, sdp), 400),
                         (_multipart(sdp)[:-20], 400),
                         ("--other\r\n" + sdp, 400)):
        a.call(called, extra=[MIXED], body=body)
        m = a.expect(("2", "4", "5"))
        assert m.status == status, (m.first, body)
        a.ack_failure(m)
    for kind, body in (("application/sdp", "v=0\r\n"),
                       ("application/sdp", "\0" * 40),
                       ("application/sdp", a.sdp() + "x" * 9000)):
        a.call(called, extra=[f"Content-Type: {kind}"], body=body)
        m = a.expect(("2", "4", "5"))
        assert m.status in (400, 413), m.first
        a.ack_failure(m)
    a.call(called, extra=["Content-Encoding: gzip"], body=a.sdp())
    m = a.expect("415")
    a.ack_failure(m)
    b.silent(0.1)
