# SPDX-License-Identifier: Apache-2.0
"""SRTP by SDES: phones that encrypt, each with a suite of its own, and plain
trunks beside them; speech both ways judged by content.

What a phone heard it has decrypted itself, and what reached the trunk was
decrypted by us. On the phones' wire nothing may be plain.
"""
import re

from harness.cases import case
from harness.net import LINKS

PHONES = LINKS["phones"]
HOLD = 6500
PLAIN = 12 + 160  # an RTP packet of 20 ms G.711
TAGS = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4,
        "AEAD_AES_128_GCM": 16, "AEAD_AES_256_GCM": 16}
CM80, CM32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"


def _keys_in_clear(w, allowed=True):
    """Phones here register over UDP: keys are allowed on it, or not."""
    word = "true" if allowed else "false"
    found = w.rows("select srtp_insecure_signaling as clear from sbc.realm "
                   "where name = 'phones'")
    if found[0]["clear"] != allowed:
        w.settings(f"update sbc.realm set srtp_insecure_signaling = {word} "
                   "where name = 'phones'")


def _keys(w, role="phones", ours=True):
    """Keys on a neighbour's wire, in order: ours or its own."""
    edge = LINKS[role].edge
    return [m.group(1).decode() for p in w.packets(role)
            if p.is_sip() and (p.src == edge) == ours
            for m in re.finditer(rb"inline:([A-Za-z0-9+/=]+)", p.data)]


def _nothing_plain(w, *suites):
    """Every packet with voice on the phones' wire is as long as one of the
    suites makes it."""
    lengths = {PLAIN + TAGS[s] for s in suites}
    found = {len(p.data) for p in w.packets("phones") if p.is_rtp()}
    assert found and found <= lengths, (found, lengths)


def _no_key_leaves(w):
    """No key in a log, and none of one neighbour's at another one."""
    log = w.gate.log_text(w.log_from)
    keys = set(_keys(w) + _keys(w, ours=False))
    assert keys
    assert not [k for k in keys if k[:20] in log], "a key is in the log"
    for role in LINKS:
        for p in w.packets(role):
            if role != "phones":
                assert b"inline:" not in p.data and \
                    b"crypto" not in p.data, (role, p)
    # A phone's key goes to us and is never on its way to another phone.
    assert not set(_keys(w)) & set(_keys(w, ours=False))


@case("R27 R28", seconds=12)
def trunk_to_encrypting_phone(w):
    """A plain trunk calls a phone that takes RTP/AVP with keys in it."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="optional"), srtp="srtp")
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=HOLD)
    phone.wait_event("CALL_ESTABLISHED")
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    row = w.cdr(number, sip_status=200, caller_leg__srtp="",
                called_leg__srtp=lambda v: v in TAGS)
    _nothing_plain(w, row["called_leg"]["srtp"])
    _no_key_leaves(w)
    w.no_leaks(phone.who)


@case("R27 R28", seconds=12)
def encrypting_phone_to_trunk(w):
    """A phone that insists on RTP/SAVP, as its account does, calls a plain
    trunk."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="required"), srtp="srtp-mand")
    called = "+4940" + phone.who["number"][-7:]
    s = w.sipp("itsp", "uas_call", "far")
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp")
    phone.hang_up()
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.heard_on_wire("itsp", "near")
    w.phone_heard(phone, "far")
    row = w.cdr(called, sip_status=200, called_leg__srtp="",
                caller_leg__srtp=lambda v: v in TAGS)
    _nothing_plain(w, row["caller_leg"]["srtp"])
    _no_key_leaves(w)
    w.no_leaks(phone.who)


@case("R27 R28", seconds=14)
def trunk_to_encrypting_linphone(w):
    """A phone of another make, with a suite of its own choice."""
    _keys_in_clear(w)
    phone = w.linphone(w.add_phone(srtp="required"), srtp=CM32)
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=7500)
    s.done()
    phone.wait_output("ended")
    # What it heard stands in its own recording, decrypted by it.
    w.heard_on_wire("itsp", "near")
    w.cdr(number, sip_status=200, caller_leg__srtp="", called_leg__srtp=CM32,
          called_leg__user_agent=lambda v: "Linphone" in v,
          called_leg__rx_packets=lambda v: v > 250)
    _nothing_plain(w, CM32)
    _no_key_leaves(w)


@case("R27 R28", seconds=14)
def two_phones_two_suites(w):
    """Two phones that encrypt, with different suites: each has keys of its
    own with us, and both hear the other one."""
    _keys_in_clear(w)
    caller = w.phone(w.add_phone(srtp="optional"), n=0, voice="far",
                     srtp="srtp-mand")
    called = w.linphone(w.add_phone(srtp="required"), n=1, voice="near",
                        srtp=CM32)
    extension = called.who["extension"]
    caller.dial(f"sip:{extension}@{caller.server}")
    caller.wait_event("CALL_ESTABLISHED")
    w.wait_speech("phones", seconds=2 * 6.5)
    caller.hang_up()
    caller.wait_event("CALL_CLOSED")
    called.wait_output("ended")
    w.phone_heard(caller, "near")
    row = w.cdr(extension, sip_status=200, called_leg__srtp=CM32,
                caller_leg__srtp=lambda v: v in TAGS and v != CM32)
    _nothing_plain(w, row["caller_leg"]["srtp"], CM32)
    _no_key_leaves(w)


@case("R27 R28", seconds=18, gate="own")
def keys_inside_tls(w):
    """A phone over TLS, with keys that need it: called, and it calls."""
    gate = w.make_gate(start=False, settings="select sbc.add_realm_address("
                       f"'phones', '{PHONES.edge}', 5061, 'tls')")
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    phone = w.phone(w.add_phone(srtp="required"), transport="tls", ca=ca,
                    srtp="srtp-mand")
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=HOLD)
    phone.wait_event("CALL_ESTABLISHED")
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    row = w.cdr(number, sip_status=200, caller_leg__srtp="",
                called_leg__srtp=lambda v: v in TAGS)
    _nothing_plain(w, row["called_leg"]["srtp"])
    called = "+4940" + number[-7:]
    s = w.sipp("itsp", "uas_call", "far")
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    phone.hang_up()
    s.done()
    w.cdr(called, sip_status=200, caller_leg__srtp=lambda v: v in TAGS)
    for role in LINKS:
        assert not [p for p in w.packets(role) if b"inline:" in p.data], role
    assert "inline:" not in w.gate.log_text(w.log_from)


def _refused(w, phone, called, reason):
    """488, and nobody else hears of it."""
    before = len(w.sip_to("itsp"))
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_CLOSED")
    w.cdr(called, sip_status=488, reason_text=reason, answered_at=None)
    assert len(w.sip_to("itsp")) == before
    assert not [p for p in w.packets("phones") if p.is_rtp()]


@case("R27", seconds=3)
def plain_phone_that_must_encrypt(w):
    """An account that requires SRTP, and a phone that does not do it."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="required"))
    _refused(w, phone, "+4940" + phone.who["number"][-7:],
             "sdp_srtp_required")


@case("R27", seconds=3)
def phone_that_may_not_encrypt(w):
    """An account without SRTP, and a phone that insists on it."""
    _keys_in_clear(w)
    phone = w.phone(srtp="srtp-mand")
    _refused(w, phone, "+4940" + phone.who["number"][-7:],
             "sdp_srtp_forbidden")


@case("R27 R28", seconds=4)
def keys_over_clear_signaling(w):
    """Keys over UDP where the realm does not allow it."""
    _keys_in_clear(w, False)
    phone = w.phone(w.add_phone(srtp="optional"), srtp="srtp-mand")
    _refused(w, phone, "+4940" + phone.who["number"][-7:],
             "sdp_insecure_signaling")


@case("R27 R28", seconds=16)
def hold_keeps_the_key(w):
    """The phone holds and resumes: its key, ours and our SSRC stay, and the
    speech goes on."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="required"), srtp="srtp-mand")
    number = phone.who["number"]
    s = w.sipp("pbx", "uac_hung_up_on", "far", target=True, service=number,
               caller="701")
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("phones", seconds=2)
    phone.command("call_hold")
    w.wait(lambda: len(_keys(w)) > 1, "the answer to the hold")
    phone.command("call_resume")
    w.wait(lambda: len(_keys(w)) > 2, "the answer to the resumption")
    w.wait_speech("phones", seconds=9)
    phone.hang_up()
    phone.wait_event("CALL_CLOSED")
    s.done()
    assert len(set(_keys(w, ours=False))) == 1, _keys(w, ours=False)
    w.phone_heard(phone, "far")
    w.heard_on_wire("pbx", "near")
    w.cdr(number, sip_status=200, called_leg__srtp=lambda v: v in TAGS)
    ssrc = {p.data[8:12] for p in w.packets("phones")
            if p.is_rtp() and p.src == PHONES.edge}
    assert len(ssrc) == 1, ssrc
    _no_key_leaves(w)
