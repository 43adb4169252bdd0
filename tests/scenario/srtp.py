# SPDX-License-Identifier: Apache-2.0
"""SRTP by SDES: phones that encrypt, each with a suite of its own, and plain
trunks beside them; speech both ways judged by content.

What a baresip heard it has decrypted itself, and what reached the trunk was
decrypted by us. On the phones' wire nothing may be plain.
"""
import re

from harness import talk
from harness.cases import case
from harness.dialog import Side
from harness.net import LINKS

PHONES = LINKS["phones"]
PLAIN = 12 + 160  # an RTP packet of 20 ms G.711
TAGS = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4,
        "AES_256_CM_HMAC_SHA1_80": 10, "AEAD_AES_128_GCM": 16,
        "AEAD_AES_256_GCM": 16}
CM80, CM32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
AES256 = "AES_256_CM_HMAC_SHA1_80"
GCM128, GCM256 = "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
UNREAD = {610, 611, 618}  # numbers of reasons: tag, replay, plain
RTCP_AUTH = 638


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


def _read_all(leg):
    """Sound and reports of a side are read, all of them: none was plain, wrong
    under the key, or a replay. What a phone sends before its 200 is early; one
    report of that time may be read after it."""
    drops = {d["reason"]: d["n"] for d in leg["drops"]}
    assert not UNREAD & drops.keys(), leg["drops"]
    assert drops.get(RTCP_AUTH, 0) <= 1 <= leg["rtcp_rx"], leg


@case("R27 R28", seconds=12)
def trunk_to_encrypting_phone(w):
    """A plain trunk calls a phone that takes RTP/AVP with keys in it, and the
    first of our suites."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="optional"), srtp="srtp")
    number = talk.trunk_calls(w, phone)
    talk.both_heard(w, phone)
    row = w.cdr(number, sip_status=200, caller_leg__srtp="",
                called_leg__srtp=GCM256)
    _read_all(row["called_leg"])
    _nothing_plain(w, GCM256)
    _no_key_leaves(w)
    w.no_leaks(phone.who)


@case("R27 R28", seconds=12)
def encrypting_phone_to_trunk(w):
    """A phone that insists on RTP/SAVP, as its account does, calls a plain
    trunk."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="required"), srtp="srtp-mand")
    called = talk.phone_calls(w, phone)
    talk.both_heard(w, phone)
    row = w.cdr(called, sip_status=200, called_leg__srtp="",
                caller_leg__srtp=lambda v: v in TAGS)
    _nothing_plain(w, row["caller_leg"]["srtp"])
    _no_key_leaves(w)
    w.no_leaks(phone.who)


@case("R27 R28", seconds=14)
def trunk_to_encrypting_linphone(w):
    """A phone of another make, with a suite of its own choice."""
    _keys_in_clear(w)
    phone = w.linphone(w.add_phone(srtp="required"), srtp=CM80)
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=7500)
    s.done()
    phone.wait_output("ended")
    w.heard_on_wire("itsp", "near")
    _ear(w, phone, "far", CM80)
    # That it answers our SRTCP reports shows that it reads them, too.
    w.cdr(number, sip_status=200, caller_leg__srtp="", called_leg__srtp=CM80,
          called_leg__user_agent=lambda v: "Linphone" in v,
          called_leg__rx_packets=lambda v: v > 250,
          called_leg__rtt_us=lambda v: v is not None)
    _nothing_plain(w, CM80)
    _no_key_leaves(w)


def _ear(w, phone, voice, suite):
    """What reached a linphone: its recorder drops sound on a busy machine."""
    offers = [m.group(1).decode() for p in w.sip_to("phones")
              if p.dport == phone.port for m in re.finditer(
                  rb"crypto:\d+ %s inline:([A-Za-z0-9+/=]+)" % suite.encode(),
                  p.data)]
    assert len(set(offers)) == 1, offers
    w.heard_encrypted("phones", voice, phone.rtp_port, suite, offers[0])


@case("R27 R28 R30", seconds=16)
def phones_of_two_makes(w):
    """A plain baresip calls a linphone that encrypts, and another linphone
    that encrypts calls a plain baresip, at the same time."""
    _keys_in_clear(w)
    plain = [w.phone(n=n, voice="far") for n in (0, 1)]
    secret = [w.linphone(w.add_phone(srtp="required"), n=n, voice="near",
                         srtp=suite) for n, suite in ((2, CM32), (3, AES256))]
    pairs = ((plain[0], secret[0]), (secret[1], plain[1]))
    for caller, called in pairs:
        caller.dial(f"sip:{called.who['extension']}@{caller.server}")
    for phone in plain:
        phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("phones", seconds=4 * 6.5)
    for phone in plain:
        _agrees_now(w, phone)
    for phone in plain:
        phone.hang_up()
        phone.wait_event("CALL_CLOSED")
    for phone in secret:
        phone.wait_output("ended")
    _ear(w, secret[0], "far", CM32)
    _ear(w, secret[1], "far", AES256)
    for phone in plain:
        w.phone_heard(phone, "near")
    rows = [w.cdr(secret[0].who["extension"], caller_leg__srtp="",
                  called_leg__srtp=CM32),
            w.cdr(plain[1].who["extension"], caller_leg__srtp=AES256,
                  called_leg__srtp="")]
    _agreed(secret[0], rows[0]["called_leg"])
    _agreed(secret[1], rows[1]["caller_leg"])
    # It sends STUN to every port, now and then from one that is not the
    # stream's. With the suite of short tags it shortens
    # SRTCP's too (RFC 4568 6.2.2 does not), so its reports are of no use.
    for leg, reads in ((rows[0]["called_leg"], False),
                       (rows[1]["caller_leg"], True)):
        drops = {d["reason"]: d["n"] for d in leg["drops"]}
        assert set(drops) <= {601, 624, 634, 638}, drops
        assert drops.get(601, 0) + drops.get(634, 0) < 10, drops
        assert (leg["rtcp_rx"] > 0) == reads, leg
        assert (leg["rtt_us"] is not None) == reads, leg
    _no_key_leaves(w)


def _agrees_now(w, phone):
    """A baresip's own statistics, taken in the call, lie between ours from
    just before and just after; a packet may be under way."""
    def ours():
        for s in w.gate.ctl("sessions"):
            for side in ("caller", "called"):
                if s.get(side) and s[side]["source"] and s[side][
                        "source"].startswith(f"{phone.local}:{phone.rtp}"):
                    return s[side]
        raise AssertionError("no session of the phone")

    before, its, after = ours(), phone.figures(), ours()
    slack = 3
    for mine, theirs in (("rx_packets", "sent"), ("tx_packets", "received")):
        assert before[mine] - slack <= its[theirs] <= after[mine] + slack, \
            (mine, before[mine], its[theirs], after[mine])
    assert before["rx_octets"] - slack * 160 <= its["sent_octets"] <= \
        after["rx_octets"] + slack * 160, (before, its)
    assert its["lost"] == after["peer_lost"] == after["rx_lost"] == 0
    # Jitter as it counted it, and as it reported it to us some time ago; and
    # the two ends of one way back and forth, on a busy machine.
    assert abs(its["jitter_us"] - after["peer_jitter_us"]) < 15000, (its, after)
    assert its["rtt_us"] < 100000 and after["rtt_us"] < 100000, (its, after)


def _agreed(phone, leg):
    """A linphone's final statistics and our CDR."""
    its = phone.figures()
    slack = 5  # what was under way at the end
    assert abs(its["sent"] - leg["rx_packets"]) <= slack, (its, leg)
    assert abs(its["received"] - leg["tx_packets"]) <= slack, (its, leg)
    assert its["lost"] == its["bad"] == leg["rx_lost"] == 0, (its, leg)


@case("R27 R28", seconds=14)
def two_phones_two_suites(w):
    """Two phones that encrypt, with different suites: each has keys of its
    own with us, and sound goes both ways."""
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
    _ear(w, called, "far", CM32)
    row = w.cdr(extension, sip_status=200, called_leg__srtp=CM32,
                caller_leg__srtp=lambda v: v in TAGS and v != CM32)
    _nothing_plain(w, row["caller_leg"]["srtp"], CM32)
    _no_key_leaves(w)


@case("R27 R28", seconds=18, gate="own")
def keys_inside_tls(w):
    """A phone over TLS, with keys that need it: called, and it calls. It knows
    GCM with short keys only."""
    gate = w.make_gate(start=False, settings="select sbc.add_realm_address("
                       f"'phones', '{PHONES.edge}', 5061, 'tls')")
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    phone = w.phone(w.add_phone(srtp="required"), transport="tls", ca=ca,
                    srtp="srtp-mand", srtp_lacks=GCM256)
    number = talk.trunk_calls(w, phone)
    talk.both_heard(w, phone)
    row = w.cdr(number, sip_status=200, caller_leg__srtp="",
                called_leg__srtp=GCM128)
    _read_all(row["called_leg"])
    _nothing_plain(w, GCM128)
    called = talk.phone_calls(w, phone)
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


def _one_session(w):
    """All along the phone had one key, we had one of those that it was offered
    first, and one SSRC."""
    ours = _keys(w)
    assert len(set(_keys(w, ours=False))) == 1, "the phone's key changed"
    assert len(set(ours[5:])) == 1, f"our key changed ({len(ours)} lines)"
    assert ours[5] in ours[:5], "our key is new"
    ssrc = {p.data[8:12] for p in w.packets("phones")
            if p.is_rtp() and p.src == PHONES.edge}
    assert len(ssrc) <= 1, ssrc
    _no_key_leaves(w)


@case("R27 R28", seconds=6)
def hold_keeps_the_key(w):
    """A trunk holds and resumes a phone that encrypts: its key and ours stay,
    and its speech arrives again."""
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="required"), srtp="srtp-mand")
    number = phone.who["number"]
    trunk = Side(w.peer("itsp", port=5060), 7000)
    trunk.call(number)
    trunk.answered(trunk.expect("200", passing=("18",)))
    trunk.ack()
    w.wait_speech("itsp", seconds=1)
    for direction in ("sendonly", "sendrecv"):
        trunk.request("INVITE", body=trunk.sdp(direction))
        trunk.expect("200")
        trunk.ack()
    n = sum(p.is_rtp() for p in w.packets("itsp"))
    w.wait_speech("itsp", seconds=n / 50 + 1.5)
    trunk.request("BYE")
    trunk.expect("200")
    phone.wait_event("CALL_CLOSED")
    offers = [p for p in w.sip_to("phones") if p.data.startswith(b"INVITE")]
    assert [b"a=recvonly" in p.data or b"a=sendonly" in p.data
            for p in offers] == [False, True, False], offers
    w.cdr(number, sip_status=200, called_leg__srtp=lambda v: v in TAGS)
    _one_session(w)


@case("R27 R28", seconds=12)
def refresh_keeps_the_key(w):
    """The phone says the same again in the middle of a talk."""
    _refresh(w, lambda: None)


@case("R27 R28 R52", seconds=16, gate="own")
def keys_outlive_sbc(w):
    """The same, and sbc was killed before: the new one knows the keys."""
    def killed():
        w.faults_allowed = True
        mark = w.gate.kill_daemon("sbc")
        for event in ("settings_applied", "listening"):
            w.gate.wait_event(event, since=mark, process="sbc", timeout=20)

    w.make_gate()
    _refresh(w, killed)


def _refresh(w, before):
    _keys_in_clear(w)
    phone = w.phone(w.add_phone(srtp="required"), srtp="srtp-mand")
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=talk.HOLD + 2000)
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("itsp", seconds=1)
    before()
    phone.command("reinvite")
    w.wait(lambda: len(_keys(w)) == 6, "the answer to the re-INVITE")
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    w.cdr(number, sip_status=200, called_leg__srtp=lambda v: v in TAGS,
          called_leg__rx_lost=0)
    _one_session(w)
