# SPDX-License-Identifier: Apache-2.0
"""The media border: every mix of plain and encrypted, holds longer than the
media time-out behind a NAT, sources that move or want to, sound that is missing
or bad. Speech is judged by content."""
import re
import struct
import time

from harness import net, proc
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


def _capacity_fits(w):
    """mediad has said what its descriptor limit allows: four a call."""
    said = w.gate.wait_event("capacity", process="mediad").fields
    told = w.gate.ctl("capacity")[0]
    limit, workers = int(said["descriptors"]), int(said["workers"])
    own = 64 + 4 * workers
    assert told["capacity"] == int(said["sessions"]) == (limit - own) // 4
    assert told["workers"] == workers and told["sessions"] == 0, told


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
    _capacity_fits(w)
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


class Phone:
    """A phone of our own: it registers by digest, is called, and its media
    comes from where the case wants. Its description names a private address,
    as behind a router."""

    PRIVATE = "192.168.44.5"

    def __init__(self, w, n=10):
        self.w = w
        self.who = w.add_phone()
        self.peer = w.peer("phones", n=n)
        self.side = None
        self.register()

    def register(self):
        """From the present socket; the contact stays."""
        p = self.peer
        host, p.host = p.host, self.PRIVATE
        port, p.port = p.port, 5060
        ok = p.register(PHONES.edge, self.who["username"],
                        self.who["password"])
        p.host, p.port = host, port
        assert ok.status == 200, ok.first

    def move(self):
        """The router gives its signaling another port."""
        old = self.peer
        self.peer = self.w.peer("phones", n=int(old.host.split(".")[-1]))
        self.peer.call_id, self.peer.cseq = old.call_id, old.cseq
        self.peer.tag = old.tag
        old.sock.close()
        if self.side:
            self.side.peer = self.peer

    def answer(self, port=9000, host=None):
        """Takes the call that comes; where its media has to go."""
        self.side = Side(self.peer, port)
        self.side.media_host = host or self.PRIVATE
        invite = self.side.expect("INVITE")
        self.side.taken(invite)
        self.side.answer(invite, 200, self.side.sdp())
        self.side.expect("ACK")
        return _media(invite)[0]


def _call(w, phone, **answer):
    """A trunk calls it: (trunk's side, its media end, where the phone's media
    has to go)."""
    talker = w.talker("itsp", "far", port=7000 + 10 * w.n_numbers)
    trunk = Side(w.peer("itsp"), talker.port)
    trunk.call(phone.who["number"])
    to = phone.answer(**answer)
    ok = trunk.expect("200", passing=("18",))
    trunk.answered(ok)
    trunk.ack()
    talker.say(_media(ok)[0])
    return trunk, talker, to


def _hang_up(trunk, phone):
    trunk.request("BYE")
    bye = phone.side.expect("BYE")
    phone.side.answer(bye, 200)
    trunk.expect("200")


def _drops(leg):
    return {d["reason"]: d["n"] for d in leg["drops"]}


def _stays_deaf(w, *talkers):
    """Nothing comes to them for as long as fifty packets would need."""
    before = [len(t.heard) for t in talkers]
    end = time.monotonic() + 1
    w.wait(lambda: time.monotonic() > end, "a second", 20)
    assert [len(t.heard) for t in talkers] == before


SOURCE, PROBATION = 601, 613  # numbers of drop reasons
SAME_HOST = 651


@case("R26 R22", seconds=14)
def media_moves_by_signaling_only(w):
    """A phone behind a router: its media is learned from where it signals;
    another port of the router gets and gives nothing, however long the phone
    is silent, until the phone has registered from a new port of its own."""
    phone = Phone(w)
    trunk, far, to = _call(w, phone)
    here = w.talker("phones", "near", port=9100)
    other = w.talker("phones", "near", port=9200)      # the same host
    stranger = w.talker("stranger", "near", port=9300)
    # Before the phone has spoken nothing goes to its host, and a stranger
    # learns nothing by being first.
    stranger.say(to)
    _stays_deaf(w, here, other, stranger)
    here.say(to)
    here.wait_heard(1)
    far.wait_heard(1)
    # A bleed, an injection: the port is known, and of no use.
    other.ssrc, other.seq, other.ts = here.ssrc, here.seq, here.ts
    other.say(to)
    _stays_deaf(w, other, stranger)
    # The phone falls silent: still nobody may take its place.
    here.hush()
    _stays_deaf(w, other, stranger)
    n = len(far.heard)
    _stays_deaf(w, far)
    # The router's new port, without a word of signaling: dead.
    old = here.port
    here.move(9400)
    here.say()
    _stays_deaf(w, far, here)
    assert len(far.heard) == n
    # A REGISTER from another port by digest: learned anew, and the hijacker
    # on the same host, who is still sending, has a worse claim than silence:
    # the first one to send two packets in a row would do, so it is stopped.
    other.hush()
    phone.move()
    phone.register()
    far.forget()
    here.forget()
    far.say()
    here.say()
    far.wait_heard(6)
    here.wait_heard(6)
    w.talker_heard(far, "near")
    w.talker_heard(here, "far")
    _hang_up(trunk, phone)
    row = w.cdr(phone.who["number"], sip_status=200,
                called_leg__media_source=f"{PHONES.host()}:9400",
                called_leg__media_source_reason=SAME_HOST)
    assert old != 9400 and not other.heard and not stranger.heard
    drops = _drops(row["called_leg"])
    assert drops.get(SOURCE, 0) > 50 and drops.get(PROBATION, 0) >= 1, drops


@case("R26", seconds=12)
def hijack_and_victim(w):
    """Signaling allows to learn anew while the phone talks on: a hijacker on
    its host gets nothing. A description that names somebody else sends
    nothing there."""
    phone = Phone(w)
    trunk, far, to = _call(w, phone)
    here = w.talker("phones", "near", port=9100).say(to)
    hijacker = w.talker("phones", "near", port=9200)
    far.wait_heard(1)
    here.wait_heard(1)
    phone.move()
    hijacker.say(to)
    phone.register()
    far.forget()
    here.forget()
    far.say()
    here.say()
    far.wait_heard(5.5)
    here.wait_heard(5.5)
    assert not hijacker.heard
    w.talker_heard(far, "near")
    w.talker_heard(here, "far")
    _hang_up(trunk, phone)
    w.cdr(phone.who["number"], sip_status=200,
          called_leg__media_source=f"{PHONES.host()}:9100",
          called_leg__rx_packets=lambda v: v >= 300)
    # The victim stands in the description with its public address.
    victim = w.talker("stranger", "near", port=9300)
    bad = Phone(w, n=11)
    trunk, far, to = _call(w, bad, port=9300, host=victim.host)
    _stays_deaf(w, victim)
    assert not [p for p in w.packets("stranger")
                if p.src == LINKS["stranger"].edge]
    _hang_up(trunk, bad)
    w.cdr(bad.who["number"], sip_status=200, called_leg__tx_packets=0)


def _voip_metrics(own, about, discarded, mos, buffer_ms):
    """RTCP of a peer: an empty RR, and what it says of our stream (RFC 3611
    section 4.7); unknown is 127."""
    return struct.pack("!BBHI", 0x80, 201, 1, own) + struct.pack(
        "!BBHIBBHIBBBBHHHHBBBBBBBBBBHHH", 0x80, 207, 10, own, 7, 0, 8, about,
        0, discarded, 0, 0, 0, 0, 0, 0, 127, 127, 127, 16, 127, 127, 127, mos,
        0, 0, buffer_ms, buffer_ms, buffer_ms)


def _dissected(w, port):
    """Our VoIP metrics to a trunk's RTCP port but for the BYE's, each as tshark
    reads it."""
    names = ("xr.bl", "ssrc.identifier", "ssrc.fraction",
             *("xr.voipmetrics." + n for n in (
                 "gmin", "rfactor", "extrfactor", "moslq", "moscq",
                 "burstdensity", "burstduration")))
    path = w.captures["itsp"].write(f"{w.dir}/xr.pcap", w.marks["itsp"])
    text = proc.run(
        ["tshark", "-n", "-r", path, "-d", f"udp.port=={port},rtcp", "-Y",
         f"udp.dstport=={port} && rtcp.xr.bt==7 && !(rtcp.pt==203) && "
         "!_ws.malformed && !rtcp.length_check.bad", "-T", "fields", "-E", "separator=;",
         "-E", "occurrence=l", *(f"-ertcp.{n}" for n in names)], timeout=60)
    return [dict(zip(names, line.split(";"))) for line in text.splitlines()
            if ";" in line]


def _kinds(talker):
    """Packet types of the RTCP that it got."""
    found = set()
    for _, data in talker.reports:
        while data:
            found.add(data[1])
            data = data[4 + 4 * struct.unpack("!H", data[2:4])[0]:]
    return found


@case("R23 R30", seconds=12)
def voip_metrics(w):
    """A trunk's gateway and a linphone want VoIP metrics (RFC 3611), and give
    theirs: each is asked and told by us alone, and what it says of our stream
    stands in the CDR. Others, who do not want them, get none."""
    phone = w.linphone(w.add_phone(), n=4)
    number = phone.who["number"]
    talker = w.talker("itsp", "far", port=7470)
    talker.lose = 4
    trunk = Side(w.peer("itsp"), talker.port)
    trunk.lines = ["rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss voip-metrics"]
    trunk.call(number)
    ok = trunk.expect("200", passing=("18",))
    trunk.answered(ok)
    trunk.ack()
    wish = re.compile(rb"^a=rtcp-xr:(.*?)\r$", re.M)
    assert wish.findall(ok.body) == [b"voip-metrics"], ok.body
    offers = [p.data for p in w.sip_to("phones") if p.dport == phone.port and
              p.data.startswith(b"INVITE")]
    assert offers and all(wish.findall(o) == [b"voip-metrics"]
                          for o in offers), offers
    to, _ = _media(ok)
    talker.say(to)
    talker.wait_heard(1)
    ssrc = struct.unpack("!I", talker.heard[-1][1][8:12])[0]
    said = _voip_metrics(talker.ssrc, ssrc, 64, 39, 60)
    talker.rtcp.sendto(said, (to[0], to[1] + 1))

    def told():
        ours = next(s for s in w.gate.ctl("sessions") if s.get("caller") and
                    s["caller"]["source"] == f"{talker.host}:{talker.port}")
        return ours if "peer_buffer_ms" in ours["caller"] and \
            "peer_buffer_ms" in ours["called"] else None
    ours = w.wait(told, "both peers' VoIP metrics", 25)
    assert ours["caller"]["peer_mos_centi"] == 390, ours
    talker.wait_heard(6)
    trunk.request("BYE")
    trunk.expect("200")
    phone.wait_output("ended")
    row = w.cdr(number, sip_status=200, caller_leg__peer_mos=3.9,
                caller_leg__peer_discarded_permille=250,
                caller_leg__peer_buffer_ms=60, caller_leg__drops=[],
                called_leg__peer_discarded_permille=lambda v: v <= 1000,
                called_leg__peer_buffer_ms=lambda v: 20 <= v <= 1000)
    # One packet in four is lost, and each ends no burst (Gmin 16). The first
    # block may be of before the burst.
    blocks = _dissected(w, talker.port + 1)
    assert blocks and len(blocks) == sum(
        p.dport == talker.port + 1 and b"\x80\xcf\x00\x0a" in p.data and
        p.data[-8:-4] != b"\x81\xcb\x00\x01"
        for p in w.packets("itsp")), blocks
    last = {name: float(value) if value[:2] != "0x" else int(value, 16)
            for name, value in blocks[-1].items()}
    assert last["xr.bl"] == 8 and last["ssrc.identifier"] == talker.ssrc, last
    assert 58 <= last["ssrc.fraction"] <= 66, last
    assert 58 <= last["xr.voipmetrics.burstdensity"] <= 66, last
    assert last["xr.voipmetrics.burstduration"] > 4000, last
    assert last["xr.voipmetrics.gmin"] == 16, last
    assert last["xr.voipmetrics.extrfactor"] == 127, last
    mos = float(row["caller_leg"]["mos"])
    assert 1 <= last["xr.voipmetrics.moscq"] <= last["xr.voipmetrics.moslq"] < \
        3, last
    assert abs(last["xr.voipmetrics.moscq"] - mos) < 0.3, (last, mos)
    assert 20 < last["xr.voipmetrics.rfactor"] < 70, last
    # Nothing of its block is in what the phone got.
    assert not [p for p in w.packets("phones") if said[20:] in p.data]
    _not_wanted(w, talker)


def _not_wanted(w, other):
    """Who does not ask for VoIP metrics is not told."""
    number, caller, called, far, near = _to_pbx(w, 0, w.peer("pbx", port=5060))
    far.say()
    near.say()
    w.wait(lambda: len(far.reports) > 1 and len(near.reports) > 1,
           "reports at both ends", 20)
    assert _kinds(far) <= {200, 201, 202} and _kinds(near) <= {200, 201, 202}
    assert 207 in _kinds(other)
    caller.request("BYE")
    called.answer(called.expect("BYE"), 200)
    caller.expect("200")
    w.cdr(number, sip_status=200, caller_leg__peer_mos=None,
          called_leg__peer_buffer_ms=None)


def _to_pbx(w, i, pbx):
    """A call from the trunk to the PBX between media ends of ours."""
    far = w.talker("itsp", "far", port=7500 + 10 * i)
    near = w.talker("pbx", "near", port=7500 + 10 * i)
    caller, called = Side(w.peer("itsp"), far.port), Side(pbx, near.port)
    number = f"7{w.number()[1][-6:]}"
    caller.call(number)
    invite = called.expect("INVITE")
    called.taken(invite)
    called.answer(invite, 200, called.sdp())
    ok = caller.expect("200", passing=("18",))
    caller.answered(ok)
    caller.ack()
    called.expect("ACK")
    far.to, near.to = _media(ok)[0], _media(invite)[0]
    return number, caller, called, far, near


def _told(w, call, text):
    """The event in SQL, while the call is up."""
    def probe():
        return w.rows("select e.data from sbc.event e join sbc.reason r on "
                      f"r.number = e.reason where e.call = '{call}' and "
                      f"r.text = '{text}'")
    found = w.wait(probe, f"{text} of {call}", 20)
    assert len(found) == 1, found
    return found[0]["data"]


@case("R30 R44 R61", seconds=13)
def sound_is_missing_or_bad(w):
    """Three calls, one with sound in one direction only, one with none, one
    that loses a quarter: each is told of while it runs, once, and stands in
    its CDR. A phone counts the same loss as we do."""
    w.settings("update sbc.setting set value = '1200' where name = "
               "'media_silence_ms'")
    try:
        _missing_or_bad(w)
    finally:
        w.settings("update sbc.setting set value = default_value where name = "
                   "'media_silence_ms'")


def _missing_or_bad(w):
    pbx = w.peer("pbx", port=5060)
    phone = w.phone(long=True)
    lossy = w.talker("itsp", "far", port=7490)
    lossy.lose = 4
    trunk = Side(w.peer("itsp"), lossy.port)
    trunk.call(phone.who["number"])
    ok = trunk.expect("200", passing=("18",))
    trunk.answered(ok)
    trunk.ack()
    lossy.say(_media(ok)[0])
    one_way, silent = _to_pbx(w, 0, pbx), _to_pbx(w, 1, pbx)
    one_way[3].say()
    calls = {c["called"]: c["call"] for page in w.gate.ctl("calls")
             for c in page.get("calls", ())}
    assert _told(w, calls[one_way[0]], "media_one_way") == "called"
    assert _told(w, calls[silent[0]], "media_none") == "caller"
    data = _told(w, calls[phone.who["number"]], "media_quality")
    assert re.fullmatch(r"caller mos=[12]\.\d\d", data), data
    # What was left out before us is missing behind us: as many, by the
    # phone's own report, which is a few seconds old.
    def reported():
        ours = next(s for s in w.gate.ctl("sessions")
                    if s.get("call") == calls[phone.who["number"]])
        return ours if ours["called"]["peer_lost"] else None
    ours = w.wait(reported, "a report of the phone", 20)
    lost, theirs = ours["caller"]["rx_lost"], ours["called"]["peer_lost"]
    assert 15 <= theirs <= lost + 1 and lost >= 60, ours
    its = phone.figures()
    assert its["received"] >= ours["called"]["tx_packets"] - 3, (its, ours)
    for number, caller, called, _, _ in (one_way, silent):
        caller.request("BYE")
        bye = called.expect("BYE")
        called.answer(bye, 200)
        caller.expect("200")
    trunk.request("BYE")
    trunk.expect("200")
    phone.wait_event("CALL_CLOSED")
    for number, text in ((one_way[0], "media_one_way"),
                         (silent[0], "media_none"),
                         (phone.who["number"], "media_quality")):
        w.cdr(number, sip_status=200)
        steps = w.rows("select e.reason from sbc.call_explain e where e.call = "
                       f"'{calls[number]}'")
        assert sum(text in str(s) for s in steps) == 1, (text, steps)
