# SPDX-License-Identifier: Apache-2.0
"""The tools of the scenarios, proved without a Gatehouse: what a later case
takes for granted (speech arrives, a leak is found) is shown here first."""
import struct

from harness import baresip, capture, sipp
from harness.cases import case
from harness.net import LINKS
from harness.proc import Problem

ITSP, EDGE = LINKS["itsp"], LINKS["itsp"].edge


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
           b"c=IN IP4 10.20.30.11\r\na=x:planted-word\r\n")


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
                 b"7777777", b"10.20.30.11", b"planted-word"):
        assert word in tokens, f"{word} was not taken for a token"
    for word in (b"insidebranch", b"INSIDETAG", b"insidecallid@pbx",
                 b"insideswitch/9", b"insideuser", b"7777777", b"10.20.30.1",
                 b"0a141e01", b"10-20-30-1", b"fd20:30::1", b"planted-word",
                 b"10.20.30.11"):
        data = _GOOD.replace(b"w0-nothing", b"w0-" + word + b"-x")
        assert found(data), f"{word} was not found"
    assert not found(_GOOD.replace(b"w0-nothing", b"110.20.30.10.5"))
    own = _packet(_INSIDE, src=ITSP.host())
    assert not capture.leaks([own], edge, tokens, addresses)


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
