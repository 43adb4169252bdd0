# SPDX-License-Identifier: Apache-2.0
"""Whole calls between the trunk "itsp" and a phone that answers by itself, with
speech both ways, for cases that are about what such a call leaves behind."""
HOLD = 6500


def trunk_calls(w, phone, v6=False):
    """The trunk calls the phone, they talk, the trunk hangs up. The number."""
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=HOLD, v6=v6)
    phone.wait_event("CALL_ESTABLISHED")
    s.done()
    phone.wait_event("CALL_CLOSED")
    return number


def phone_calls(w, phone, prefix="+4940", v6=False):
    """The phone calls out, they talk, the phone hangs up. The number."""
    called = prefix + phone.who["number"][-7:]
    s = w.sipp("itsp", "uas_call", "far", v6=v6)
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp", v6=v6)
    phone.hang_up()
    s.done()
    phone.wait_event("CALL_CLOSED")
    return called


def both_heard(w, phone, v6=False):
    """Each has heard what the other said."""
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near", v6=v6)
