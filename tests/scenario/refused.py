# SPDX-License-Identifier: Apache-2.0
"""Calls that come to nothing: each gets the right answer, one reason and one
CDR, and leaves nothing behind."""
from harness.cases import case
from harness.net import LINKS
from harness.sip import challenge_of

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]
CALLER = "+4989123456"


def _failed(status, reason, **more):
    """What a call without an answer has in its CDR."""
    return {"sip_status": status, "reason_text": reason, "answered_at": None,
            "duration_us": 0, **more}


@case("R1 R44", seconds=3)
def busy(w):
    """The PBX is busy: 486 for the trunk, and none of the PBX's words."""
    called = "7" + w.number()[1][-5:]
    uas = w.sipp("pbx", "uas_refuse", code=486, reason="planted-pbx-reason")
    uac = w.sipp("itsp", "uac_refused", target=True, service=called, code=486)
    uac.done()
    uas.done()
    w.cdr(called, caller=CALLER, **_failed(486, "call_busy", far_status=486,
                                           rang_at=bool, attempts=1,
                                           hangup_side="called"))
    w.no_leaks()


@case("R1 R44", seconds=3)
def declined(w):
    """The called side declines: 603."""
    called = "7" + w.number()[1][-5:]
    uas = w.sipp("pbx", "uas_refuse", code=603, reason="Decline")
    uac = w.sipp("itsp", "uac_refused", target=True, service=called, code=603)
    uac.done()
    uas.done()
    w.cdr(called, **_failed(603, "call_declined", far_status=603))


@case("R1 R44", seconds=9)
def no_answer(w):
    """A phone rings until the time is over: 480, and the phone stops
    ringing."""
    phone = w.phone(answer="manual")
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_refused", target=True, service=number, code=480)
    phone.wait_event("CALL_INCOMING")
    phone.wait_event("CALL_CLOSED", timeout=20)
    s.done()
    w.cdr(number, **_failed(480, "call_no_answer", rang_at=bool,
                            hangup_side="sbc"))
    w.no_leaks(phone.who)


@case("R21 R44", seconds=2)
def no_common_codec(w):
    """A trunk offers only a codec that is not on the list: 488 at once, and
    nothing reaches the phone."""
    phone = w.phone()
    number = phone.who["number"]
    before = len(w.sip_to("phones"))
    s = w.sipp("itsp", "uac_refused", target=True, service=number, code=488,
               pt=18, codec="G729")
    s.done()
    w.cdr(number, **_failed(488, "sdp_no_codec", rang_at=None))
    invites = [p for p in w.sip_to("phones")[before:]
               if p.data.startswith(b"INVITE")]
    assert not invites, invites


@case("R11 R44", seconds=2)
def unknown_number(w):
    """A number that nobody has: 404."""
    _, number = w.number()
    s = w.sipp("itsp", "uac_refused", target=True, service=number, code=404)
    s.done()
    w.cdr(number, **_failed(404, "route_unknown_number", called_leg=None))


@case("R12 R44", seconds=2)
def not_registered(w):
    """A number whose phone is away: 480."""
    account = w.add_phone()
    s = w.sipp("itsp", "uac_refused", target=True, service=account["number"],
               code=480)
    s.done()
    w.cdr(account["number"], **_failed(480, "route_not_registered"))


@case("R6 R11 R44", seconds=3)
def phone_calls_unknown_extension(w):
    """A phone calls an extension that does not exist: 404."""
    phone = w.phone()
    extension, _ = w.number()
    phone.dial(f"sip:{extension}@{phone.server}")
    event = phone.wait_event("CALL_CLOSED")
    assert "404" in event.get("param", ""), event
    w.cdr(extension, caller=phone.who["extension"],
          **_failed(404, "route_unknown_number"))


@case("R9 R44", seconds=3)
def cancel_before_answer(w):
    """The trunk gives up while the phone rings: 487, and the phone stops."""
    phone = w.phone(answer="manual")
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_cancel", target=True, service=number)
    phone.wait_event("CALL_INCOMING")
    phone.wait_event("CALL_CLOSED")
    s.done()
    w.cdr(number, **_failed(487, "call_cancelled", hangup_side="caller",
                            rang_at=bool))
    w.no_leaks(phone.who)


@case("R9 R44", seconds=3)
def cancel_crosses_the_answer(w):
    """The PBX answers just as it is cancelled: the trunk gets 487, the PBX's
    answer gets ACK and BYE."""
    called = "7" + w.number()[1][-5:]
    uas = w.sipp("pbx", "uas_cancel_race")
    uac = w.sipp("itsp", "uac_cancel", target=True, service=called)
    uac.done()
    uas.done()
    w.cdr(called, **_failed(487, "call_cancelled", hangup_side="caller"))
    w.no_leaks()


@case("R9 R44", seconds=3)
def cancel_from_a_phone(w):
    """A phone gives up while the trunk rings."""
    phone = w.phone()
    called = "+4940" + phone.who["number"][-7:]
    s = w.sipp("itsp", "uas_rings")
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_RINGING")
    phone.hang_up()
    s.done()
    w.cdr(called, **_failed(487, "call_cancelled", hangup_side="caller"))
    w.no_leaks(phone.who)


@case("R4", seconds=4)
def stranger_hears_nothing(w):
    """Whatever a stranger sends to a trunk's address stays unanswered, and
    nothing of it goes anywhere."""
    account = w.add_phone()
    before = {role: len(w.sip_to(role)) for role in ("itsp", "pbx", "phones")}
    for target in (ITSP.edge, LINKS["pbx"].edge):
        for method in ("INVITE", "OPTIONS", "REGISTER", "MESSAGE", "BYE"):
            p = w.peer("stranger", target=target)
            p.send(p.request(method, f"sip:{account['number']}@{target}",
                             f"me@{target}"))
            answer = p.receive(0.3)
            assert answer is None, f"{method} to {target}: {answer.first}"
    # A claim in the headers is worth nothing.
    p = w.peer("stranger", target=ITSP.edge)
    p.send(p.request("INVITE", f"sip:{account['number']}@{ITSP.edge}",
                     f"{CALLER}@{ITSP.host()}"))
    assert p.receive(0.5) is None
    assert not w.sip_to("stranger")
    after = {role: len(w.sip_to(role)) for role in before}
    assert after == before, (before, after)


@case("R4 R6", seconds=3)
def stranger_at_the_phones_door(w):
    """A phone realm answers a stranger for REGISTER to a served domain only."""
    domain = PHONES.edge
    for method, host in (("OPTIONS", domain), ("MESSAGE", domain),
                         ("INVITE", domain), ("SUBSCRIBE", domain),
                         ("REGISTER", "other.example.org")):
        p = w.peer("stranger", target=domain)
        p.send(p.request(method, f"sip:{host}", f"someone@{host}"))
        answer = p.receive(0.3)
        assert answer is None, f"{method} for {host}: {answer.first}"
    p = w.peer("stranger", target=domain)
    p.send(p.request("REGISTER", f"sip:{domain}", f"someone@{domain}"))
    answer = p.final()
    assert answer.status == 401, answer.first
    assert challenge_of(answer)["realm"] == "phones.example.net"
    assert not answer.get("server") and not answer.get("user-agent")


@case("R6", seconds=3)
def phone_without_credentials(w):
    """An INVITE from a registered phone's address without credentials is
    challenged and reaches nobody."""
    phone = w.phone()
    p = w.peer("phones", port=5099)
    p.send(p.request("INVITE", f"sip:+494012345@{PHONES.edge}",
                     f"{phone.who['extension']}@{PHONES.edge}"))
    answer = p.receive(2)
    assert answer is None or answer.status in (100, 401, 407), answer.first
    if answer is not None and answer.status == 100:
        assert p.final().status in (401, 407)
    invites = [m for m in w.sip_to("itsp") if m.data.startswith(b"INVITE")]
    assert not invites, invites
