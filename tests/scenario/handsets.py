# SPDX-License-Identifier: Apache-2.0
"""Finished phones, baresip and linphone: registration, calls both ways, hold
and resume by either side, and what they do to each other."""
from harness.cases import case
from harness.dialog import audio_of
from harness.net import LINKS
from harness.proc import Problem

PHONES, PBX = LINKS["phones"], LINKS["pbx"]


def _agree(w, side, mark, directions, answer):
    """The phone's re-INVITE reaches a side, which agrees."""
    m = side.expect("INVITE", timeout=15)
    told = audio_of(m)
    assert told[3] in directions and told[1], told
    side.answer(m, 200, side.sdp(answer.get(told[3], "sendrecv")))
    side.expect("ACK")
    w.gate.wait_event("call_state", since=mark, process="sbc", new="up",
                      old="changing")


def _holds_us(w, side, hold, resume):
    """The phone holds and resumes."""
    mark = w.gate.log_mark()
    hold()
    _agree(w, side, mark, ("sendonly", "inactive"),
           {"sendonly": "recvonly", "inactive": "inactive"})
    mark = w.gate.log_mark()
    resume()
    _agree(w, side, mark, ("sendrecv",), {})


def _offer(side, body):
    """A re-INVITE that is taken; 491 while the phone's ACK to a change of its
    own is still on its way, as any peer would meet it."""
    for _ in range(50):
        side.request("INVITE", body=body)
        m = side.expect(("200", "491"), timeout=15)
        if m.status == 200:
            return m
        side.ack_failure(m)
        side.silent(0.1)
    raise Problem("491 for ever")


def _is_held(side):
    """A side holds and resumes; the phone agrees."""
    for said, back in (("sendonly", ("recvonly", "inactive")),
                       ("inactive", ("inactive",)),
                       ("sendrecv", ("sendrecv",))):
        m = _offer(side, side.sdp(said))
        assert audio_of(m)[3] in back, (said, m.body)
        side.ack()


@case("R6 R9 R12 R13", seconds=9)
def baresip_holds(w):
    """baresip calls the PBX, holds, is held, and hangs up; then it is called,
    holds, and is hung up on."""
    phone = w.phone()
    side = w.side("pbx", 5060)
    called = "7" + w.number()[1][-5:]
    phone.dial(f"sip:{called}@{phone.server}")
    side.taken(side.expect("INVITE"))
    side.answer(side.invite, 180)
    side.answer(side.invite, 200, side.sdp())
    side.expect("ACK")
    phone.wait_event("CALL_ESTABLISHED")
    _holds_us(w, side, lambda: phone.command("hold"),
              lambda: phone.command("resume"))
    _is_held(side)
    phone.hang_up()
    side.answer(side.expect("BYE"), 200)
    phone.wait_event("CALL_CLOSED")
    w.cdr(called, sip_status=200, hangup_side="caller",
          caller_leg__extension=phone.who["extension"])
    side = w.side("itsp", 5060)
    side.call(phone.who["number"])
    side.answered(side.expect("200", passing=("18",)))
    side.ack()
    phone.wait_event("CALL_ESTABLISHED")
    _is_held(side)
    _holds_us(w, side, lambda: phone.command("hold"),
              lambda: phone.command("resume"))
    side.request("BYE")
    side.expect("200")
    phone.wait_event("CALL_CLOSED")
    w.cdr(phone.who["number"], sip_status=200, hangup_side="caller",
          called_leg__user_agent=lambda v: v.startswith("baresip"))


def _resume(phone):
    phone.wait_output("is now paused")
    phone.command("resume")


@case("R6 R9 R12 R13", seconds=10)
def linphone_holds(w):
    """The same with linphone."""
    phone = w.linphone()
    side = w.side("itsp", 5060)
    side.call(phone.who["number"])
    side.answered(side.expect("200", timeout=20, passing=("18",)))
    side.ack()
    phone.wait_output("Media streams established")
    _is_held(side)
    _holds_us(w, side, lambda: phone.command("pause"),
              lambda: _resume(phone))
    phone.wait_output("Media streams established")
    phone.hang_up()
    side.answer(side.expect("BYE", timeout=15), 200)
    w.cdr(phone.who["number"], sip_status=200, hangup_side="called",
          called_leg__user_agent=lambda v: "Linphone" in v)
    side = w.side("pbx", 5060)
    called = "7" + w.number()[1][-5:]
    phone.dial(f"sip:{called}@{phone.server}")
    side.taken(side.expect("INVITE", timeout=15))
    side.answer(side.invite, 183, side.sdp())
    side.answer(side.invite, 200, side.sdp())
    side.expect("ACK")
    phone.wait_output("Media streams established")
    _holds_us(w, side, lambda: phone.command("pause"),
              lambda: _resume(phone))
    phone.wait_output("Media streams established")
    _is_held(side)
    side.request("BYE")
    side.expect("200")
    w.cdr(called, sip_status=200, hangup_side="called",
          caller_leg__extension=phone.who["extension"])
