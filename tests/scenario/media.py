# SPDX-License-Identifier: Apache-2.0
"""The media border: every mix of plain and encrypted, holds longer than the
media time-out behind a NAT, sources that move or want to, sound that is missing
or bad. Speech is judged by content."""
import re
import time

from harness import net
from harness.cases import case
from harness.dialog import Side
from harness.net import LINKS
from harness.rtp import SUITES

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
CM80, CM32, AES256, GCM128, GCM256 = SUITES
AUDIO = re.compile(rb"^m=audio (\d+) (\S+)", re.M)
ADDRESS = re.compile(rb"^c=IN IP4 (\S+)", re.M)
CRYPTO = re.compile(rb"^a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/=]+)", re.M)


def _media(message):
    """((address, port), profile) that a description names."""
    m = AUDIO.search(message.body)
    return ((ADDRESS.search(message.body).group(1).decode(), int(m.group(1))),
            m.group(2).decode())


def _lines(message):
    """{suite: (tag, key)} of a description."""
    return {s.decode(): (tag.decode(), key.decode())
            for tag, s, key in CRYPTO.findall(message.body)}


def _dial(side, number, talker, suite, profile):
    """The caller's INVITE, with a key if it has a suite."""
    if suite:
        side.profile = profile
        side.lines = [f"crypto:7 {suite} inline:{talker.offer_key(suite)}"]
    side.call(number)


def _answer(side, invite, talker, suite):
    """The called side takes one of the keys, or none."""
    to, profile = _media(invite)
    side.profile = profile
    if suite:
        tag, key = _lines(invite)[suite]
        side.lines = [f"crypto:{tag} {suite} "
                      f"inline:{talker.offer_key(suite)}"]
        talker.take_key(key)
    side.answer(invite, 200, side.sdp())
    return to


def _connected(side, talker, suite, profile):
    """The caller's end of the answer."""
    ok = side.expect("200", passing=("18",))
    side.answered(ok)
    side.ack()
    to, agreed = _media(ok)
    lines = _lines(ok)
    if suite:
        assert agreed == profile, (agreed, profile)
        # One line, with the tag and the suite of the offer.
        assert list(lines) == [suite] and lines[suite][0] == "7", lines
        talker.take_key(lines[suite][1])
    else:
        assert not lines and agreed == "RTP/AVP", ok.body
    talker.say(to)


@case("R20 R27 R28", seconds=14, gate="own")
def every_suite(w):
    """Calls between the five suites and plain, all at once, each with speech
    both ways: what leaves is decrypted by another implementation, and no key
    of one side is on the other."""
    mixes = [(CM80, GCM256, "RTP/SAVP"), (CM32, CM80, "RTP/AVP"),
             (AES256, None, "RTP/SAVP"), (None, GCM128, "RTP/AVP"),
             (GCM128, CM32, "RTP/AVP"), (GCM256, AES256, "RTP/SAVP")]
    w.make_gate(settings="update sbc.realm set srtp_insecure_signaling = true;"
                " update sbc.trunk set srtp = 'optional';")
    pbx = w.peer("pbx", port=5060)
    calls = []
    for i, (mine, theirs, profile) in enumerate(mixes):
        a = w.talker("itsp", "far", port=7000 + 10 * i)
        b = w.talker("pbx", "near", port=7000 + 10 * i)
        caller = Side(w.peer("itsp"), a.port)
        called = Side(pbx, b.port)
        _dial(caller, f"70{i}", a, mine, profile)
        invite = called.expect("INVITE")
        called.taken(invite)
        assert set(_lines(invite)) == set(SUITES), invite.body
        to = _answer(called, invite, b, theirs)
        _connected(caller, a, mine, profile)
        called.expect("ACK")
        b.say(to)
        calls.append((caller, called, a, b))
    for _, _, a, b in calls:
        a.wait_heard(6)
        b.wait_heard(6)
    for i, (caller, called, a, b) in enumerate(calls):
        caller.request("BYE")
        bye = called.expect("BYE")
        called.answer(bye, 200)
        caller.expect("200")
        w.talker_heard(a, "near")
        w.talker_heard(b, "far")
        assert not a.n_bad and not b.n_bad, (i, a.n_bad, b.n_bad)
        w.cdr(f"70{i}", sip_status=200,
              caller_leg__srtp=mixes[i][0] or "",
              called_leg__srtp=mixes[i][1] or "",
              caller_leg__rx_lost=0, called_leg__rx_lost=0,
              caller_leg__drops=[], called_leg__drops=[])
    keys = {role: {k for p in w.packets(role) if p.is_sip()
                   for _, _, k in CRYPTO.findall(p.data)}
            for role in ("itsp", "pbx")}
    assert keys["itsp"] and not keys["itsp"] & keys["pbx"]
    log = w.gate.log_text(w.log_from)
    assert not [k for k in keys["itsp"] | keys["pbx"]
                if k[:16].decode() in log], "a key is in the log"


def _hold(trunk, direction):
    trunk.request("INVITE", body=trunk.sdp(direction))
    trunk.expect("200")
    trunk.ack()


@case("R20 R26 R30", seconds=22, gate="own")
def hold_behind_nat(w):
    """A phone behind a router that forgets UDP after three seconds; the trunk
    holds it by sendonly and by inactive, each for longer than the media
    time-out and the router's memory, and resumes: speech both ways, through
    the same hole."""
    home = w.group.add(net.Nat(w.net, forgets=3))
    w.make_gate(settings=f"""
        update sbc.setting set value = '2' where name = 'media_timeout_s';
        update sbc.setting set value = '1' where name = 'media_keepalive_s';
        select sbc.add_realm_address('phones', '{PHONES.edge}', 5060, 'tcp');
        """)
    phone = w.phone(transport="tcp", home=home, long=True)
    number = phone.who["number"]
    trunk = Side(w.peer("itsp", port=5060), 7000)
    talker = w.talker("itsp", "far")
    trunk.call(number)
    ok = trunk.expect("200", passing=("18",))
    trunk.answered(ok)
    trunk.ack()
    talker.say(_media(ok)[0])
    talker.wait_heard(1)
    holes = _holes(w, home)
    for direction, seconds in (("sendonly", 3), ("inactive", 4.5)):
        if direction == "inactive":
            talker.hush()
        _hold(trunk, direction)
        talker.forget()
        began = time.monotonic()
        w.wait(lambda end=began + seconds: time.monotonic() > end, "the hold",
               20)
        # What was under way when it began.
        assert len(talker.heard) < 50, len(talker.heard)
        _hold(trunk, "sendrecv")
        talker.forget()
        w.marks["phones"] = w.captures["phones"].mark()
        talker.say()
        talker.wait_heard(1)
    talker.wait_heard(6)
    w.talker_heard(talker, "near", anywhere=True)
    w.heard_on_wire("phones", "far", n=14)
    w.marks["phones"] = 0
    assert len(holes) == 1 and _holes(w, home) == holes, _holes(w, home)
    trunk.request("BYE")
    trunk.expect("200")
    phone.wait_event("CALL_CLOSED")
    w.cdr(number, sip_status=200, hangup_side="caller",
          called_leg__media_source=lambda v: v.startswith(home.public),
          called_leg__media_source_reason=651)


def _holes(w, home):
    """Public ports of the router that the phone's media leaves by."""
    return {p.sport for p in w.packets("phones")
            if p.src == home.public and p.is_rtp()}
