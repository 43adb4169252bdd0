# SPDX-License-Identifier: Apache-2.0
"""What can happen in a dialog, for every pair of sides: trunk, PBX, phone.
Peers that speak message by message do what finished phones cannot be made to
do at the moment that counts; dialogs_phones has the finished ones."""
from harness.cases import case
from harness.dialog import audio_of
from harness.net import LINKS
from harness.proc import Problem

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
FINAL = ("2", "3", "4", "5", "6")
PAIRS = [("itsp", "pbx"), ("pbx", "itsp"), ("phones", "itsp"),
         ("itsp", "phones"), ("phones", "pbx"), ("pbx", "phones"),
         ("phones", "phones")]


def confirm(w, caller, body=""):
    """The caller takes the 200 and acknowledges it; from then on the call is
    up for us too."""
    m = caller.expect("200")
    caller.answered(m)
    mark = w.gate.log_mark()
    caller.ack(body)
    w.gate.wait_event("call_state", since=mark, process="sbc", new="up")
    return m


class Pair:
    """A caller and who it calls."""

    def __init__(self, w, caller, called, n):
        self.w = w
        self.name = f"{caller} to {called}"
        self.a = w.side(caller, 5060 + 20 * n, 7000 + 20 * n) \
            if caller == "phones" else w.side(caller, 5060)
        self.b = w.side(called, 5070 + 20 * n, 7010 + 20 * n) \
            if called == "phones" else w.side(called, 5060, 7010)
        self.user = {"itsp": "+4989123456", "pbx": "701"}.get(
            caller, self.a.user)
        self.calls = 0

    def number(self):
        """One that leads to the called side; of its own where it can be."""
        self.calls += 1
        fresh = self.w.number()[1]
        if self.b.role == "pbx":
            return "7" + fresh[-5:]
        if self.b.role == "itsp":
            return "+4940" + fresh[-7:]
        who = self.b.who
        return who["number"] if self.a.role == "itsp" else who["extension"]

    def invite(self, extra=(), offer=True, body=None):
        called = self.number()
        self.a.call(called, self.user, extra, offer, body)
        self.b.taken(self.b.expect("INVITE"))
        return called

    def up(self, extra=(), answer=()):
        called = self.invite(extra)
        self.b.answer(self.b.invite, 180)
        self.a.expect("180")
        self.b.answer(self.b.invite, 200, self.b.sdp(), answer)
        self.b.expect("ACK")
        confirm(self.w, self.a)
        return called

    def hang_up(self, by_called=False):
        this, other = (self.b, self.a) if by_called else (self.a, self.b)
        this.request("BYE")
        other.answer(other.expect("BYE"), 200)
        this.expect("200")

    def stop(self):
        for side in (self.a, self.b):
            side.silent(0.1)
            side.peer.stop()


def every_pair(w, prove, pairs=None):
    """Runs a proof for each pair; says which one it was that failed."""
    for n, (caller, called) in enumerate(pairs or PAIRS):
        pair = Pair(w, caller, called, n)
        try:
            prove(pair)
            pair.stop()
        except (Problem, AssertionError) as e:
            raise Problem(f"{pair.name}: {e}") from e


def alive(one, other):
    """The call is as it was: a digit crosses."""
    one.request("INFO", ["Content-Type: application/dtmf-relay"],
                "Signal=7\r\nDuration=120\r\n")
    one.expect("200")
    info = other.expect("INFO")
    assert b"Signal=7" in info.body and b"Duration=120" in info.body, info.body
    other.answer(info, 200)


def change(one, other, said, seen, answer=None, method="INVITE"):
    """A change that the other side has to know of. seen: the direction there;
    answer: its description. Returns what both were told."""
    one.request(method, body=said)
    m = other.expect("INVITE")
    told = audio_of(m)
    assert told[3] == seen, f"{told} instead of {seen}"
    assert told[0] != "0.0.0.0" and told[1] != 0, told
    other.answer(m, 200, answer or other.sdp())
    other.expect("ACK")
    final = one.expect("200")
    if method == "INVITE":
        one.ack()
    return told, audio_of(final)


def refused(one, status, method="INVITE", extra=(), body=""):
    """A request that is refused; the answer."""
    one.request(method, extra, body)
    m = one.expect(str(status))
    if method == "INVITE":
        one.ack_failure(m)
    return m


CHALLENGE = ['WWW-Authenticate: Digest realm="planted-realm", nonce="x"',
             'Proxy-Authenticate: Digest realm="planted-realm", nonce="x"']


# ------------------------------------------------------------ inside a dialog

HOLDS = (("sendonly", "recvonly"), ("inactive", "inactive"),
         ("recvonly", "sendonly"), ("sendrecv", "sendrecv"))


def _holds(one, other):
    """Each direction attribute, and the old way with 0.0.0.0."""
    for said, back in HOLDS:
        told = change(one, other, one.sdp(said), said, other.sdp(back))
        assert told[1][3] == back, told
    told = change(one, other, one.sdp(connection="0.0.0.0"), "sendonly",
                  other.sdp("recvonly"))
    assert told[1][3] in ("recvonly", "inactive"), told
    change(one, other, one.sdp(), "sendrecv")
    # By UPDATE, which the other side hears of by re-INVITE.
    change(one, other, one.sdp("sendonly"), "sendonly", other.sdp("recvonly"),
           method="UPDATE")
    change(one, other, one.sdp(), "sendrecv", method="UPDATE")


def _codecs(one, other):
    """Another codec, which the other side takes, and back."""
    told, back = change(one, other, one.sdp(formats="0 101"), "sendrecv",
                        other.sdp(formats="0 101"))
    assert told[2].split()[0] == "0" and "8" not in told[2].split(), told
    assert back[2].split()[0] == "0", back
    told, back = change(one, other, one.sdp(), "sendrecv")
    assert told[2].split()[0] == "8" and back[2].split()[0] == "8", (told, back)


def _settled(w, mark):
    w.gate.wait_event("call_state", since=mark, process="sbc", old="changing",
                      new="up")


def _offerless(w, one, other):
    """A re-INVITE without an offer: ours in the 200, the answer in the ACK."""
    one.request("INVITE")
    final = one.expect("200")
    offer = audio_of(final)
    assert "8" in offer[2].split() and offer[3] == "sendrecv", offer
    mark = w.gate.log_mark()
    one.ack(one.sdp())
    _settled(w, mark)
    # An answer that holds: the other side hears of it afterwards.
    one.request("INVITE")
    one.expect("200")
    mark = w.gate.log_mark()
    one.ack(one.sdp("recvonly"))
    m = other.expect("INVITE")
    assert audio_of(m)[3] == "recvonly", audio_of(m)
    other.answer(m, 200, other.sdp("sendonly"))
    other.expect("ACK")
    _settled(w, mark)
    change(one, other, one.sdp(), "sendrecv")


def _glare(one, other):
    """Both change at once: 491 for both, and then one of them has its way."""
    one.request("INVITE", body=one.sdp("sendonly"))
    m = other.expect("INVITE")
    other.request("INVITE", body=other.sdp("sendonly"))
    other.ack_failure(other.expect("491"))
    other.answer(m, 491)
    other.expect("ACK")
    one.ack_failure(one.expect("491"))
    alive(one, other)
    change(one, other, one.sdp("sendonly"), "sendonly", other.sdp("recvonly"))
    change(one, other, one.sdp(), "sendrecv")


def _refusals(one, other):
    """What is refused leaves the call as it was."""
    for said, heard in ((488, 488), (603, 603), (500, 500), (404, 404),
                        (401, 500), (407, 500), (503, 500)):
        one.request("INVITE", body=one.sdp("inactive"))
        m = other.expect("INVITE")
        other.answer(m, said, extra=CHALLENGE if said in (401, 407) else ())
        other.expect("ACK")
        got = one.expect(FINAL)
        assert got.status == heard, f"{said} became {got.first}"
        assert not got.all("www-authenticate") and \
            not got.all("proxy-authenticate"), got.data
        one.ack_failure(got)
    alive(other, one)
    fax = one.sdp().replace("m=audio", "m=image").replace("RTP/AVP 8 101",
                                                          "udptl t38")
    refused(one, 488, body=fax)
    refused(one, 488, body=one.sdp(formats="9"))
    refused(one, 400, body="v=0\r\nnonsense\r\n")
    m = refused(one, 420, extra=["Require: planted-feature"], body=one.sdp())
    assert m.get("unsupported") == "planted-feature", m.data
    refused(one, 420, "UPDATE", ["Proxy-Require: planted-other"])
    refused(one, 415, extra=["Content-Type: text/planted"], body="hello")
    m = refused(one, 405, "REFER", ["Refer-To: <sip:planted@192.0.2.1>"])
    assert "INVITE" in m.get("allow") and "REFER" not in m.get("allow"), m.data
    refused(one, 481, "PRACK", ["RAck: 1 1 INVITE"])
    alive(one, other)


def _small_things(one, other):
    one.request("OPTIONS")
    m = one.expect("200")
    assert "INVITE" in m.get("allow") and "REFER" not in m.get("allow"), m.data
    one.request("INFO", ["Content-Type: application/dtmf"], "5")
    one.expect("200")
    info = other.expect("INFO")
    assert b"Signal=5" in info.body, info.body
    other.answer(info, 200)
    refused(one, 415, "INFO", ["Content-Type: text/planted"], "no digit")
    # A sign of life stays on its side.
    one.request("UPDATE", ["Supported: timer",
                           "Session-Expires: 1800;refresher=uac"])
    m = one.expect("200")
    assert m.get("session-expires").startswith("1800"), m.data
    m = refused(one, 422, "UPDATE", ["Supported: timer", "Session-Expires: 1"])
    assert int(m.get("min-se")) == 90, m.data


def _address(pair, one, other):
    """Sound moves to a new address; the other side need not know."""
    w = pair.w
    telling = [w.media(other)]
    new = w.media(one, one.media_port + 2)
    one.media_port += 2
    one.request("INVITE", body=one.sdp())
    one.expect("200")
    one.ack()
    to = pair.told[other]
    w.wait(lambda: telling[0].send(to[0], to[1]) or new.heard(),
           f"sound at {one.role}'s new address", 10)
    other.silent(0.05)
    telling[0].sock.close()
    new.sock.close()


@case("R1 R2 R3 R9 R13", seconds=12, limit=240)
def inside_every_pair(w):
    """Hold and resume in all directions and the old form, by re-INVITE and
    UPDATE; other codecs; a new address; changes without an offer; glare;
    refused changes; T.38; INFO, OPTIONS, REFER, Require, session intervals.
    From both sides of every pair; the call goes on after each."""
    def prove(pair):
        called = pair.up()
        a, b = pair.a, pair.b
        pair.told = {}
        for one, other in ((a, b), (b, a)):
            _holds(one, other)
            _codecs(one, other)
            _offerless(w, one, other)
            _glare(one, other)
            _refusals(one, other)
            _small_things(one, other)
        for one, other in ((a, b), (b, a)):
            # What the other side was told of us last is where it sends to.
            told, back = change(one, other, one.sdp("sendonly"), "sendonly",
                                other.sdp("recvonly"))
            told, back = change(one, other, one.sdp(), "sendrecv")
            pair.told = {other: told, one: back}
            _address(pair, one, other)
        pair.hang_up(by_called=pair.a.role == "pbx")
        refused(a, 481, "INFO", ["Content-Type: application/dtmf"], "5")
        w.cdr(called, sip_status=200)
    every_pair(w, prove)


# --------------------------------------------------------------- the beginning

def _early_media(pair):
    """183 with a description, another one, then 200: each reaches the caller,
    and the sound of the early one is heard."""
    a, b, w = pair.a, pair.b, pair.w
    pair.invite()
    b.answer(b.invite, 183, b.sdp())
    m = a.expect("183")
    first = audio_of(m)
    assert first[3] == "sendrecv", first
    _sound(w, b, a, audio_of(b.invite))
    b.answer(b.invite, 183, b.sdp(formats="8"))
    m = a.expect("183")
    assert audio_of(m)[2] == "8", m.body
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    m = a.expect("200")
    a.answered(m)
    # A digit that overtakes the ACK.
    alive(a, b)
    a.ack("")
    assert audio_of(m)[:2] == first[:2], m.body
    pair.hang_up()


def _reliable(pair):
    """PRACK on the called leg alone, on the caller's alone, and UPDATE in the
    early dialog where both have it."""
    a, b = pair.a, pair.b
    rel = ["Require: 100rel"]
    pair.invite()
    assert "100rel" in b.invite.get("supported"), b.invite.data
    b.answer(b.invite, 183, b.sdp(), [*rel, "RSeq: 7"])
    m = b.expect("PRACK")
    assert m.get("rack").split() == ["7", *b.invite.get("cseq").split()], m.data
    b.answer(m, 200)
    m = a.expect("183")
    assert "100rel" not in m.get("require"), m.data
    b.answer(b.invite, 200)  # without a description: it has been said
    b.expect("ACK")
    m = confirm(pair.w, a)
    assert audio_of(m)[1], m.data
    pair.hang_up()

    pair.invite(rel)
    assert "100rel" not in b.invite.get("require"), b.invite.data
    b.answer(b.invite, 180)
    m = a.expect("180")
    assert "100rel" in m.get("require"), m.data
    a.prack(m)
    b.answer(b.invite, 183, b.sdp(), [*rel, "RSeq: 1"])
    b.answer(b.expect("PRACK"), 200)
    a.prack(a.expect("183"))
    # The called side changes its early media, and the caller takes it.
    b.request("UPDATE", body=b.sdp("sendonly"))
    m = a.expect("UPDATE")
    assert audio_of(m)[3] == "sendonly", m.body
    a.answer(m, 200, a.sdp("recvonly"))
    m = b.expect("200")
    assert audio_of(m)[3] == "recvonly", m.body
    b.answer(b.invite, 200)
    b.expect("ACK")
    confirm(pair.w, a)
    change(b, a, b.sdp(), "sendrecv")
    pair.hang_up(by_called=True)


NO_UPDATE = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS"


def _prack_offer(pair):
    """An offer in PRACK: asked of the called side where it can be asked, else
    answered out of the session, and the called side hears of it once the call
    is up; what fits nobody is refused without refusing the PRACK."""
    a, b = pair.a, pair.b
    rel = ["Require: 100rel"]
    pair.invite(rel)
    b.answer(b.invite, 183, b.sdp(), [*rel, "RSeq: 1"])
    b.answer(b.expect("PRACK"), 200)
    a.send_prack(a.expect("183"), a.sdp("sendonly"))
    m = b.expect("UPDATE")
    assert audio_of(m)[3] == "sendonly", m.body
    b.answer(m, 200, b.sdp("recvonly"))
    m = a.pracked()
    assert audio_of(m)[3] == "recvonly" and not m.get("contact"), m.data
    b.answer(b.invite, 200)
    b.expect("ACK")
    m = confirm(pair.w, a)
    assert not m.body, m.data  # RFC 3261 13.2.1: it has been said
    change(a, b, a.sdp(), "sendrecv")
    pair.hang_up()

    # The called side has no reliable provisionals and no UPDATE.
    w, quiet = pair.w, [NO_UPDATE]
    pair.invite(rel)
    b.answer(b.invite, 183, b.sdp(), quiet)
    m = a.prack(a.expect("183"), a.sdp("sendonly"))
    assert audio_of(m)[3] == "recvonly", m.body
    _sound(w, a, b, audio_of(m))
    b.answer(b.invite, 200, b.sdp(), quiet)
    b.expect("ACK")
    confirm(w, a)
    told = audio_of(b.invite)
    m = b.expect("INVITE")
    assert audio_of(m)[3] == "sendonly", m.body
    assert audio_of(m)[:2] == told[:2], m.body
    mark = w.gate.log_mark()
    b.answer(m, 200, b.sdp("recvonly"), quiet)
    b.expect("ACK")
    _settled(w, mark)
    change(a, b, a.sdp(), "sendrecv")
    pair.hang_up()

    pair.invite(rel)
    b.answer(b.invite, 183, b.sdp(), quiet)
    m = a.prack(a.expect("183"), a.sdp(formats="9"))
    assert audio_of(m)[1] == 0, m.body
    m = a.expect("UPDATE")
    assert audio_of(m)[2].split()[0] == "8", m.body
    a.media_port += 2  # sound there says that the answer has arrived
    a.answer(m, 200, a.sdp())
    _sound(w, b, a, audio_of(b.invite))
    b.answer(b.invite, 200, b.sdp(), quiet)
    b.expect("ACK")
    confirm(w, a)
    alive(a, b)
    pair.hang_up()


def _sound(w, one, other, to):
    """What one sends arrives at the other."""
    mouth, ear = w.media(one), w.media(other)
    w.wait(lambda: mouth.send(to[0], to[1]) or ear.heard(),
           f"sound from {one.role} to {other.role}", 10)
    for end in (mouth, ear):
        end.sock.close()


def _prack_answer(pair):
    """An INVITE without an offer that requires PRACK: our offer stands in the
    first provisional, its answer comes in PRACK, sound flows before the 200,
    which says nothing more."""
    a, b = pair.a, pair.b
    for early in (False, True):
        pair.invite(["Require: 100rel"], offer=False)
        b.answer(b.invite, 183 if early else 180, b.sdp() if early else "")
        m = a.expect("18")
        offer = audio_of(m)
        assert "8" in offer[2].split() and offer[3] == "sendrecv", m.body
        m = a.prack(m, a.sdp())
        assert not m.body, m.data
        if early:
            _sound(pair.w, b, a, audio_of(b.invite))
        b.answer(b.invite, 200, b.sdp())
        b.expect("ACK")
        m = confirm(pair.w, a)
        assert not m.body, m.data
        alive(b, a)
        pair.hang_up()
    # An answer that is none ends it.
    pair.invite(["Require: 100rel"], offer=False)
    b.answer(b.invite, 180)
    a.send_prack(a.expect("180"), a.sdp(formats="9"))
    got = sorted((a.expect(FINAL) for _ in range(2)), key=lambda m: m.status)
    assert [m.status for m in got] == [200, 488], got
    a.ack_failure(got[1])
    b.answer(b.expect("CANCEL"), 200)
    b.answer(b.invite, 487)
    b.expect("ACK")


def _offerless_invite(pair):
    a, b = pair.a, pair.b
    pair.invite(offer=False)
    assert audio_of(b.invite)[3] == "sendrecv", b.invite.body
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    m = confirm(pair.w, a, a.sdp())
    assert "8" in audio_of(m)[2].split(), m.body
    alive(b, a)
    pair.hang_up()


def _longer_interval(pair):
    """The called side wants a longer session interval than we asked for."""
    a, b = pair.a, pair.b
    pair.invite()
    assert int(b.invite.get("session-expires").split(";")[0]) == 1800
    b.answer(b.invite, 422, extra=["Min-SE: 3600"])
    b.expect("ACK")
    b.taken(b.expect("INVITE"))
    assert b.invite.get("session-expires").startswith("3600"), b.invite.data
    assert b.invite.get("min-se") == "3600", b.invite.data
    b.answer(b.invite, 200, b.sdp(), ["Session-Expires: 3600;refresher=uac"])
    b.expect("ACK")
    confirm(pair.w, a)
    pair.hang_up()


def _cancels(pair):
    """CANCEL before anything was said, while it rings, and against a 200."""
    a, b = pair.a, pair.b
    for rings in (False, True):
        pair.invite()
        if rings:
            b.answer(b.invite, 180)
            a.expect("180")
        else:
            b.answer(b.invite, 100)
        a.cancel()
        a.ack_failure(_both(a, "200", "487"))
        m = b.expect("CANCEL")
        b.answer(m, 200)
        b.answer(b.invite, 487)
        b.expect("ACK")
    # The 200 is under way: acknowledged and ended; the caller hears 487.
    pair.invite()
    b.answer(b.invite, 180)
    a.expect("180")
    a.cancel()
    a.ack_failure(_both(a, "200", "487"))
    m = b.expect("CANCEL")
    b.answer(b.invite, 200, b.sdp())
    b.answer(m, 481)
    b.expect("ACK")
    b.answer(b.expect("BYE"), 200)
    # The caller's CANCEL comes after our 200: it changes nothing.
    pair.invite()
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    m = a.expect("200")
    a.cancel()
    a.answered(m)
    mark = pair.w.gate.log_mark()
    a.ack()
    m = a.expect(FINAL)
    assert "CANCEL" in m.get("cseq"), m.data
    pair.w.gate.wait_event("call_state", since=mark, process="sbc", new="up")
    alive(a, b)
    pair.hang_up()


def _both(side, one, other):
    """Two answers in either order; the second kind."""
    found = [side.expect(FINAL), side.expect(FINAL)]
    found.sort(key=lambda m: m.status)
    assert [str(m.status) for m in found] == [one, other], found
    return found[1]


def _fork(pair):
    """Several answers of a fork behind the called side: several 18x, the first
    2xx wins, a late one gets ACK and BYE, wherever its Contact points."""
    a, b = pair.a, pair.b
    first, second = b.tag, b.tag + "2"
    pair.invite()
    b.answer(b.invite, 180)
    a.expect("180")
    b.tag = second
    b.answer(b.invite, 183, b.sdp())
    a.expect("183")
    b.answer(b.invite, 200, b.sdp())
    m = b.expect("ACK")
    assert f"tag={second}" in m.get("to"), m.data
    confirm(pair.w, a)
    late = b.sdp()
    b.tag = first
    b.answer(b.invite, 200, late, ["Contact: <sip:planted@192.0.2.66>"])
    ended = [b.expect(("ACK", "BYE")) for _ in range(2)]
    assert {m.method for m in ended} == {"ACK", "BYE"}, ended
    for m in ended:
        assert f"tag={first}" in m.get("to"), m.data
        if m.method == "BYE":
            b.answer(m, 200)
    b.tag = second
    b.local = f"{b.invite.get('to')};tag={second}"
    alive(b, a)
    pair.hang_up()
    b.tag = first


@case("R1 R3 R9 R13", seconds=12, limit=240)
def set_up_every_pair(w):
    """Early media that changes; PRACK on either leg; UPDATE before the answer;
    an INVITE without an offer; 422; CANCEL at every moment; forks behind the
    called side."""
    def prove(pair):
        _early_media(pair)
        _reliable(pair)
        _offerless_invite(pair)
        _longer_interval(pair)
        _cancels(pair)
        _fork(pair)
    every_pair(w, prove)


@case("R9", seconds=6, limit=240)
def offers_in_prack(w):
    """Offers and answers in PRACK (RFC 3262 5, RFC 6337): each kind of side as
    caller and as called, with and without UPDATE on the other side."""
    def prove(pair):
        _prack_offer(pair)
        _prack_answer(pair)
    every_pair(w, prove, [("itsp", "pbx"), ("pbx", "phones"),
                          ("phones", "itsp"), ("phones", "phones")])


FAILURES = ((300, 480), (302, 480), (380, 480), (400, 500), (401, 500),
            (403, 403), (404, 404), (407, 500), (408, 480), (410, 410),
            (415, 488), (420, 500), (422, 500), (480, 480), (481, 500),
            (484, 484), (486, 486), (488, 488), (491, 491), (500, 500),
            (503, 500), (504, 504), (513, 500), (600, 600), (603, 603),
            (606, 606), (699, 603))


def _failures(pair):
    """Each failure of the called side, and what the caller makes of it."""
    a, b = pair.a, pair.b
    for said, heard in FAILURES:
        pair.invite()
        # A phone may forward, but this one says no number.
        user = "" if b.role == "phones" else "planted@"
        b.answer(b.invite, said, extra=[
            *CHALLENGE, "Retry-After: 9", "Warning: 399 planted-host \"x\"",
            f"Contact: <sip:{user}192.0.2.99>"])
        b.expect("ACK")
        m = a.expect(FINAL)
        assert m.status == heard, f"{said} became {m.first}"
        for name in ("www-authenticate", "proxy-authenticate", "contact"):
            assert not m.all(name), m.data
        a.ack_failure(m)


def _first_checks(pair):
    """What is refused before anybody rings."""
    a, b = pair.a, pair.b
    for extra, status in ((["Max-Forwards: 0"], 483),
                          (["Require: planted-feature"], 420),
                          (["Proxy-Require: planted-feature"], 420),
                          (["Supported: timer", "Session-Expires: 30"], 422),
                          (["Content-Type: text/planted"], 415)):
        known, a.password = a.password, None
        challenged = a.role == "phones" and status == 422
        if challenged:
            a.password = known
        a.call(pair.number(), pair.user, extra)
        m = a.expect(FINAL)
        a.password = known
        if m.status == 401:  # a phone has to say who it is first
            a.ack_failure(m)
            a.call(pair.number(), pair.user, extra)
            m = a.expect(FINAL)
        assert m.status == status, f"{extra}: {m.first}"
        if status == 420:
            assert m.get("unsupported") == "planted-feature", m.data
        if status == 422:
            assert m.get("min-se") == "90", m.data
        a.ack_failure(m)
    b.silent(0.05)
    # Outside a dialog: OPTIONS is answered, a transfer is not offered.
    for method, status in (("OPTIONS", 200), ("REFER", 501)):
        peer = a.peer
        peer.call_id += "o"
        host = peer.target[0]
        peer.send(peer.request(method, f"sip:{host}", f"x@{host}", headers=[
            "Refer-To: <sip:planted@192.0.2.1>"] if status == 501 else ()))
        m = a.expect(str(status))
        allowed = m.get("allow").replace(" ", "").split(",")
        assert "REFER" not in allowed and (
            status == 501 or "INVITE" in allowed), m.data
    # Hops are counted across.
    pair.invite(["Max-Forwards: 5"])
    assert b.invite.get("max-forwards") == "4", b.invite.data
    b.answer(b.invite, 486)
    b.expect("ACK")
    a.ack_failure(a.expect("486"))


@case("R1 R3 R9 R44", seconds=9, limit=240)
def failures_every_pair(w):
    """Every kind of failure becomes what the table says: no 401, 407 or 503
    of a far leg crosses, nor its words; what is wrong is refused before
    anybody rings."""
    def prove(pair):
        _failures(pair)
        _first_checks(pair)
    every_pair(w, prove)


class _Back:
    """A proxy sends an INVITE of ours back, to this number."""

    def __init__(self, side, called):
        self.side, self.uri = side, f"sip:{called}@{ITSP.edge}"
        self.via = f"Via: SIP/2.0/UDP {side.peer.host}:{side.peer.port};" \
            f"rport;branch={side.branch()}"
        head, _, body = side.invite.data.decode().partition("\r\n\r\n")
        hops = int(side.invite.get("max-forwards")) - 1
        self.lines = [
            f"Max-Forwards: {hops}" if line.startswith("Max-Forwards:")
            else line for line in head.split("\r\n")[1:]]
        self._send([f"INVITE {self.uri} SIP/2.0", self.via, *self.lines], body)

    def _send(self, lines, body=""):
        self.side.peer.send("\r\n".join(lines) + "\r\n\r\n" + body)

    def refused(self, status):
        m = self.side.expect(str(status))
        same = [line for line in self.lines if not line.startswith(
            ("Via:", "To:", "CSeq:", "Content-"))]
        self._send([f"ACK {self.uri} SIP/2.0", self.via, *same,
                    f"To: {m.get('to')}",
                    f"CSeq: {m.get('cseq').split()[0]} ACK",
                    "Content-Length: 0"])


@case("R9", seconds=3)
def loops(w):
    """An INVITE of ours that a proxy sends back unchanged is a loop; with
    another number it is a call of its own, with the hops counted on."""
    a, b = w.side("pbx", 5060), w.side("itsp", 5060, 7010)
    phone = w.side("phones", 5080, 7600)
    called = "+4940" + w.number()[1][-7:]
    a.call(called, "701", ["Max-Forwards: 20"])
    b.taken(b.expect("INVITE"))
    _Back(b, called).refused(482)
    spiral = _Back(b, phone.who["number"])
    phone.taken(phone.expect("INVITE"))
    assert phone.invite.get("max-forwards") == "17", phone.invite.data
    phone.answer(phone.invite, 486)
    phone.expect("ACK")
    spiral.refused(486)
    b.answer(b.invite, 486)
    b.expect("ACK")
    a.ack_failure(a.expect("486"))


# ---------------------------------------------------- an account's phones

def _ring(w, caller, account, phones, who):
    """A call to the account; who of its phones rings, each once."""
    caller.call(account["number"])
    for phone in phones:
        if phone in who:
            phone.taken(phone.expect("INVITE"))


def _cancelled(phone, answer=487):
    m = phone.expect("CANCEL")
    phone.answer(m, 200)
    phone.answer(phone.invite, answer, phone.sdp() if answer == 200 else "")
    phone.expect("ACK")
    return m


def _in_parallel(w, a, account, one, two):
    """Both ring, neither is heard until it is the only one; who answers first
    has the call, and a 200 that crosses our CANCEL is ended."""
    _ring(w, a, account, (one, two), (one, two))
    one.answer(one.invite, 183, one.sdp())
    m = a.expect("183")
    assert not m.body, m.data
    two.answer(two.invite, 183, two.sdp(formats="8"))
    one.answer(one.invite, 486)
    one.expect("ACK")
    m = a.expect("183")
    assert audio_of(m)[2] == "8", m.body
    two.answer(two.invite, 200, two.sdp(formats="8"))
    two.expect("ACK")
    confirm(w, a)
    alive(a, two)
    _end(two, a)
    # The first of two that answer.
    for crossing in (False, True):
        _ring(w, a, account, (one, two), (one, two))
        for phone in (one, two):
            phone.answer(phone.invite, 180)
        a.expect("180")
        one.answer(one.invite, 200, one.sdp())
        one.expect("ACK")
        m = _cancelled(two, 200 if crossing else 487)
        assert "cause=200" in m.get("reason"), m.data
        if crossing:
            two.answer(two.expect("BYE"), 200)
        confirm(w, a)
        alive(one, a)
        _end(a, one)
    # A 6xx of one speaks for all.
    _ring(w, a, account, (one, two), (one, two))
    for phone in (one, two):
        phone.answer(phone.invite, 180)
    a.expect("180")
    two.answer(two.invite, 603)
    two.expect("ACK")
    _cancelled(one)
    a.ack_failure(a.expect("603"))


def _end(one, other):
    one.request("BYE")
    other.answer(other.expect("BYE"), 200)
    one.expect("200")


def _one_after_the_other(w, a, account, one, two):
    """The phone of the higher q alone rings; the other one when it has refused
    or nobody has answered for a while; a 6xx ends it."""
    _ring(w, a, account, (one, two), (one,))
    two.silent(0.1)
    one.answer(one.invite, 486)
    one.expect("ACK")
    two.taken(two.expect("INVITE"))
    two.answer(two.invite, 200, two.sdp())
    two.expect("ACK")
    confirm(w, a)
    _end(a, two)
    _ring(w, a, account, (one, two), (one,))
    one.answer(one.invite, 180)
    a.expect("180")
    two.taken(two.expect("INVITE"))  # after ring_serial_s
    _cancelled(one)
    two.answer(two.invite, 486)
    two.expect("ACK")
    a.ack_failure(a.expect("486"))
    _ring(w, a, account, (one, two), (one,))
    one.answer(one.invite, 600)
    one.expect("ACK")
    a.ack_failure(a.expect("600"))
    two.silent(0.1)


@case("R1 R9 R12", seconds=8, gate="own")
def phones_of_an_account(w):
    """Two phones of one account ring together, or one after the other where
    they have said so with q; a trunk that may redirect sends a call to them."""
    w.make_gate(settings="""
        update sbc.setting set value = '1' where name = 'ring_serial_s';
        update sbc.trunk set follow_redirects = true where name = 'itsp';""")
    a = w.side("itsp", port=5060)
    account = w.add_phone()
    one = w.side("phones", 5060, 7100, account)
    two = w.side("phones", 5070, 7200, account)
    _in_parallel(w, a, account, one, two)
    b = w.side("pbx", port=5060, media_port=7300)
    b.call("+494012345", "701")
    a.taken(a.expect("INVITE"))
    a.answer(a.invite, 302, extra=[
        f"Contact: <sip:{account['number']}@192.0.2.99>"])
    a.expect("ACK")
    for phone in (one, two):
        phone.taken(phone.expect("INVITE"))
        phone.answer(phone.invite, 486)
        phone.expect("ACK")
    b.ack_failure(b.expect("486"))
    other = w.add_phone()
    three = w.side("phones", 5080, 7300, other, register=[])
    four = w.side("phones", 5090, 7400, other, register=[])
    for phone, q in ((three, "0.9"), (four, "0.3")):
        p = phone.peer
        answer = p.register(PHONES.edge, other["username"], other["password"],
                            contact=f";q={q}")
        assert answer.status == 200, answer.first
    _one_after_the_other(w, a, other, three, four)
    for side in (a, b, one, two, three, four):
        side.silent(0.1)


# ------------------------------------------------------------ ended by itself

QUIET = {"direction": "inactive"}  # nobody has to send


class Timed:
    """Calls that stand at the same time, each with sides of its own."""

    def __init__(self, w):
        self.w = w
        self.n = 0

    def up(self, caller, called, extra=(), answer=(), direction="inactive",
           account=None):
        w, port = self.w, 5100 + 10 * self.n
        self.n += 1
        if called == "phones":
            b = w.side("phones", port, port + 1000, account or w.add_phone())
        a = w.side(caller, port + 5, port + 1200, account
                   if called != "phones" else None)
        if called == "phones":
            number = b.who["number" if caller == "itsp" else "extension"]
        else:
            b = self.trunk_side(called)
            number = {"pbx": "7", "itsp": "+4940"}[called] + \
                w.number()[1][-5:]
        a.call(number, "701" if caller == "pbx" else a.user or "+4989123456",
               extra, body=a.sdp(direction))
        b.taken(b.expect("INVITE"))
        b.answer(b.invite, 200, b.sdp(direction), answer)
        b.expect("ACK")
        m = confirm(w, a)
        return a, b, number, m

    def trunk_side(self, role):
        """Trunks are called at one port: one such call at a time."""
        side = self.w.side(role, 5060, 8000)
        return side


def _over(w, sides, number, reason, who="sbc"):
    """Both sides hear BYE, the CDR says why."""
    for side in sides:
        m = side.expect("BYE", timeout=20, passing=("UPDATE", "INVITE"))
        side.answer(m, 200)
    row = w.cdr(number, reason_text=reason)
    assert row["hangup_side"] == who, row["hangup_side"]


@case("R9 R20 R44", seconds=14, gate="own", limit=180)
def calls_that_end_by_themselves(w):
    """Nobody hangs up: silence, a session that is not refreshed by who has to,
    a peer that answers our refreshes no more or does not know the dialog, the
    longest duration of a trunk and of an account. Refreshes keep the others;
    while the SBC drains, callers hear when to come back."""
    w.make_gate(settings="""
        update sbc.setting set value = '2' where name = 'media_timeout_s';
        update sbc.setting set value = '5' where name = 'session_min_se_s';
        update sbc.setting set value = '6' where name = 'session_expires_s';
        update sbc.setting set value = '100' where name = 'sip_t1_ms';
        update sbc.trunk set max_duration_s = 3 where name = 'pbx';""")
    calls = Timed(w)
    timer = ["Supported: timer"]
    # Who has to send and does not.
    silent = calls.up("itsp", "phones", direction="sendrecv")
    # A phone that promised to refresh, and a caller that has to.
    lazy = calls.up("itsp", "phones", answer=[
        *timer, "Session-Expires: 6;refresher=uas"])
    lazy_caller = calls.up("phones", "phones", extra=[
        *timer, "Session-Expires: 6"])
    m = lazy_caller[3]
    assert m.get("session-expires") == "6;refresher=uac", m.data
    assert m.get("require") == "timer", m.data
    # We refresh: by UPDATE, or by re-INVITE where there is no UPDATE.
    kept = calls.up("itsp", "phones", answer=[
        *timer, "Session-Expires: 6;refresher=uac"])
    by_invite = calls.up("itsp", "phones", answer=[
        "Allow: INVITE, ACK, CANCEL, BYE", "Session-Expires: 6;refresher=uac"])
    # A peer that is dead, and one that has forgotten everything.
    dead = calls.up("phones", "phones")
    gone = calls.up("itsp", "phones")
    # A trunk's longest call, and an account's.
    trunk = calls.up("itsp", "pbx")
    short = w.add_phone()
    w.sql("update sbc.account set max_duration_s = 3 where username = "
          f"'{short['username']}'")
    account = calls.up("itsp", "phones", account=short)

    _over(w, silent[:2], silent[2], "call_media_timeout")
    _over(w, trunk[:2], trunk[2], "call_max_duration")
    _over(w, account[:2], account[2], "call_max_duration")
    m = kept[1].expect("UPDATE")
    assert m.get("session-expires") == "6;refresher=uac", m.data
    kept[1].answer(m, 200, extra=["Session-Expires: 6;refresher=uac"])
    m = by_invite[1].expect("INVITE")
    assert m.get("session-expires") == "6;refresher=uac", m.data
    by_invite[1].answer(m, 200, by_invite[1].sdp("inactive"),
                        ["Session-Expires: 6;refresher=uac"])
    by_invite[1].expect("ACK")
    m = gone[1].expect("UPDATE")
    gone[1].answer(m, 481)
    m = gone[0].expect("BYE", passing=("UPDATE",))
    gone[0].answer(m, 200)
    w.cdr(gone[2], reason_text="call_dialog_gone", hangup_side="called")
    _over(w, lazy[:2], lazy[2], "call_session_expired", "called")
    _over(w, lazy_caller[:2], lazy_caller[2], "call_session_expired", "caller")
    # The dead one is asked until the transaction gives up.
    m = dead[0].expect("BYE", timeout=20, passing=("UPDATE",))
    dead[0].answer(m, 200)
    w.cdr(dead[2], reason_text="call_dialog_gone", hangup_side="called")

    w.gate.ctl("drain")
    late = w.side("itsp", 5400)
    late.call("+4940777")
    m = late.expect("503")
    assert int(m.get("retry-after")) > 0, m.data
    late.ack_failure(m)
    # Calls that were refreshed still stand.
    for call in (kept, by_invite):
        call[1].request("BYE")
        call[0].answer(call[0].expect("BYE", passing=("UPDATE",)), 200)
        call[1].expect("200", passing=("UPDATE", "INVITE"))
