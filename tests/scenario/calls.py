# SPDX-License-Identifier: Apache-2.0
"""Calls in each direction, with speech both ways that is judged by content,
the CDR field by field, and no word of one side in the other's packets."""
import struct

from harness import talk
from harness.cases import case
from harness.net import LINKS
from harness.talk import HOLD

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
CALLER = "+4989123456"


def _near(seconds):
    """A duration of about so many seconds."""
    return lambda us: abs(us / 1e6 - seconds) < 2.5


def _mos(value):
    return value is not None and float(value) >= 4.0


def _media(side, seconds=5):
    """What a leg with good sound has in its CDR."""
    n = seconds * 50
    return {f"{side}_leg__codec": "PCMA", f"{side}_leg__srtp": "",
            f"{side}_leg__media_codec": "PCMA",
            f"{side}_leg__rx_packets": lambda v: v >= n,
            f"{side}_leg__rx_octets": lambda v: v >= n * 160,
            f"{side}_leg__rx_expected": lambda v: v >= n,
            f"{side}_leg__rx_lost": 0,
            f"{side}_leg__tx_packets": lambda v: v >= n,
            f"{side}_leg__rx_jitter_us": lambda v: 0 <= v < 40000,
            f"{side}_leg__mos": _mos,
            f"{side}_leg__media_first_at": bool,
            f"{side}_leg__media_last_at": bool,
            f"{side}_leg__rtcp_tx": lambda v: v >= 1}


def _trunk_leg(side, name, link, v6=False):
    host = f"[{link.host6()}]" if v6 else link.host()
    edge = f"[{link.edge6}]" if v6 else link.edge
    return {f"{side}_leg__kind": "pbx" if name.startswith("pbx") else "trunk",
            f"{side}_leg__trunk_name": name,
            f"{side}_leg__peer": f"{host}:5060",
            f"{side}_leg__local": f"{edge}:5060",
            f"{side}_leg__media_source": f"{host}:6000",
            f"{side}_leg__account": None}


def _phone_leg(side, phone, port=5060, v6=False):
    host = f"[{PHONES.host6()}]" if v6 else PHONES.host()
    edge = f"[{PHONES.edge6}]" if v6 else PHONES.edge
    # baresip names any of its IPv6 addresses in SDP.
    media = f"[{PHONES.v6}::" if v6 else host + ":"
    return {f"{side}_leg__kind": "phone",
            f"{side}_leg__extension": phone.who["extension"],
            f"{side}_leg__peer": f"{host}:{port}",
            f"{side}_leg__local": f"{edge}:5060",
            f"{side}_leg__media_source": lambda v: v.startswith(media),
            f"{side}_leg__user_agent": lambda v: v.startswith("baresip"),
            f"{side}_leg__trunk": None}


def _call(hangup, route, seconds=HOLD / 1000):
    """What an answered call has in its CDR."""
    return {"sip_status": 200, "far_status": 200,
            "reason_text": f"call_{hangup}_hung_up", "hangup_side": hangup,
            "route_name": route, "attempts": 1, "rang_at": bool,
            "answered_at": bool, "duration_us": _near(seconds)}


def _own_dialogs(w, row):
    """Call-IDs of the two legs differ, and ours has our form."""
    assert w.is_call_id(row["call"]), row["call"]
    ids = {row[f"{s}_leg"]["call_id"] for s in ("caller", "called")}
    assert len(ids) == 2, ids
    assert row["called_leg"]["call_id"].startswith("w0-"), ids


@case("R1 R2 R3 R4 R6 R13 R20 R21 R23 R30 R44 R50", seconds=11)
def trunk_to_phone(w):
    """A trunk calls a number; the registered phone answers; the trunk hangs
    up."""
    phone = w.phone()
    number = talk.trunk_calls(w, phone)
    talk.both_heard(w, phone)
    row = w.cdr(number, caller=CALLER, called=number,
                caller_name="Anna Caller",
                **_call("caller", "to-phones"), **_media("caller"),
                **_media("called"), **_trunk_leg("caller", "itsp", ITSP),
                **_phone_leg("called", phone),
                caller_leg__user_agent="planted-itsp/1.0")
    _own_dialogs(w, row)
    w.no_leaks(phone.who)


@case("R1 R3 R6 R11 R13 R20 R30 R44", seconds=11)
def phone_to_trunk(w):
    """A phone calls out by digest; the trunk answers; the phone hangs up."""
    phone = w.phone()
    called = talk.phone_calls(w, phone)
    talk.both_heard(w, phone)
    # The account is the identity: its number is shown, not its user name.
    row = w.cdr(called, caller=phone.who["extension"],
                **_call("caller", "to-itsp"), **_media("caller"),
                **_media("called"), **_phone_leg("caller", phone),
                **_trunk_leg("called", "itsp", ITSP),
                called_leg__user_agent="planted-itsp/1.0")
    _own_dialogs(w, row)
    invite = next(p for p in w.sip_to("itsp") if p.data.startswith(b"INVITE"))
    assert phone.who["number"].encode() in invite.data, invite.data
    w.no_leaks(phone.who)


@case("R1 R6 R12 R13 R20 R30 R44", seconds=11)
def phone_to_phone(w):
    """A phone calls another one's extension; the called one hangs up."""
    caller = w.phone(n=0, voice="far")
    called = w.phone(n=1, voice="near")
    extension = called.who["extension"]
    caller.dial(f"sip:{extension}@{caller.server}")
    caller.wait_event("CALL_ESTABLISHED")
    called.wait_event("CALL_ESTABLISHED")
    w.wait_speech("phones", seconds=2 * 6.5)
    called.hang_up()
    caller.wait_event("CALL_CLOSED")
    called.wait_event("CALL_CLOSED")
    w.phone_heard(called, "far")
    w.phone_heard(caller, "near")
    row = w.cdr(extension, caller=caller.who["extension"],
                **_call("called", "extensions"), **_media("caller"),
                **_media("called"), **_phone_leg("caller", caller),
                **_phone_leg("called", called, port=5070))
    _own_dialogs(w, row)
    for p in w.sip_to("phones"):
        # Whoever it was sent to, it never carries the other one's login.
        other = called.who if p.dport == 5060 else caller.who
        assert other["username"].encode() not in p.data, p.data


@case("R1 R3 R13 R20 R30 R44 R50", seconds=11)
def pbx_to_phone(w):
    """The PBX calls an extension; the phone hangs up."""
    phone = w.phone()
    extension = phone.who["extension"]
    s = w.sipp("pbx", "uac_hung_up_on", "far", target=True, service=extension,
               caller="701")
    phone.wait_event("CALL_ESTABLISHED")
    w.wait_speech("pbx")
    phone.hang_up()
    phone.wait_event("CALL_CLOSED")
    s.done()
    w.phone_heard(phone, "far")
    w.heard_on_wire("pbx", "near")
    row = w.cdr(extension, caller="701", **_call("called", "extensions"),
                **_media("caller"), **_media("called"),
                **_trunk_leg("caller", "pbx", PBX),
                **_phone_leg("called", phone))
    _own_dialogs(w, row)
    w.no_leaks(phone.who)


@case("R1 R3 R6 R11 R20 R30 R44", seconds=11)
def phone_to_pbx(w):
    """A phone calls a number of the PBX; the PBX hangs up."""
    phone = w.phone()
    called = "7" + phone.who["number"][-5:]
    s = w.sipp("pbx", "uas_hangs_up", "far", hold=HOLD)
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    phone.wait_event("CALL_CLOSED")
    s.done()
    w.heard_on_wire("pbx", "near")
    w.phone_heard(phone, "far")
    row = w.cdr(called, caller=phone.who["extension"],
                **_call("called", "to-pbx"), **_media("caller"),
                **_media("called"), **_phone_leg("caller", phone),
                **_trunk_leg("called", "pbx", PBX))
    _own_dialogs(w, row)
    w.no_leaks(phone.who)


@case("R6 R12 R20", seconds=13)
def trunk_to_linphone(w):
    """A phone of another make registers, answers and speaks."""
    phone = w.linphone()
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=7500)
    s.done()
    phone.wait_output("ended")
    # Its recorder drops sound to stay in time when the machine is busy: what
    # reached it is judged on its wire.
    w.heard_on_wire("phones", "far")
    w.heard_on_wire("itsp", "near")
    w.cdr(number, sip_status=200, hangup_side="caller",
          called_leg__extension=phone.who["extension"],
          called_leg__user_agent=lambda v: "Linphone" in v)
    w.no_leaks(phone.who)


@case("R8 R3 R20 R30", seconds=11)
def ipv6_trunk_to_ipv6_phone(w):
    """The same over IPv6 on both sides."""
    phone = w.phone(v6=True)
    number = talk.trunk_calls(w, phone, v6=True)
    talk.both_heard(w, phone, v6=True)
    w.cdr(number, caller=CALLER, **_call("caller", "to-phones"),
          **_media("caller"), **_media("called"),
          **_trunk_leg("caller", "itsp6", ITSP, v6=True),
          **_phone_leg("called", phone, v6=True))
    w.no_leaks(phone.who)


@case("R8 R20", seconds=11)
def ipv4_phone_to_ipv6_trunk(w):
    """Between the address families, in signaling and media."""
    phone = w.phone()
    called = talk.phone_calls(w, phone, prefix="+6140", v6=True)
    talk.both_heard(w, phone, v6=True)
    w.cdr(called, **_call("caller", "to-ipv6"), **_media("caller"),
          **_media("called"), **_phone_leg("caller", phone),
          **_trunk_leg("called", "itsp6", ITSP, v6=True))
    w.no_leaks(phone.who)


MARK = b"marked-by-a-stranger"


def _spray(sock, ports, sequence):
    """One packet of G.711 size to each port, with a mark in it."""
    payload = (MARK * 8)[:160]
    for address, port in ports:
        head = struct.pack("!BBHII", 0x80, 8, sequence & 0xffff,
                           sequence * 160 & 0xffffffff, 0x5eed5eed)
        sock.sendto(head + payload, (address, port))


@case("R22 R26 R30", seconds=11)
def media_of_a_stranger(w):
    """During a call a stranger sends voice packets to both of its media
    ports: none goes through, none comes back, the talk is not disturbed."""
    phone = w.phone()
    number = phone.who["number"]
    s = w.sipp("itsp", "uac_call", "far", target=True, service=number,
               hold=HOLD)
    phone.wait_event("CALL_ESTABLISHED")
    w.wait(lambda: w.our_media("itsp"), "the answer to the trunk")
    ports = [w.our_media("itsp"), w.our_media("phones")]
    sock = w.group.add(w.peer("stranger", target=ITSP.edge)).sock
    sequence = 0

    def talked():
        nonlocal sequence
        _spray(sock, ports, sequence)
        sequence += 1
        return s.proc.popen.poll() is not None

    w.wait(talked, "the call to end", 20)
    s.done()
    phone.wait_event("CALL_CLOSED")
    assert sequence > 30, sequence
    w.phone_heard(phone, "far")
    w.heard_on_wire("itsp", "near")
    for role in ("itsp", "phones"):
        assert not any(MARK in p.data for p in w.packets(role)), role
    assert not [p for p in w.packets("stranger") if p.src == ITSP.edge]
    # Whether the CDR counts them depends on when the socket was connected:
    # from then on the kernel drops a stranger's packets unseen.
    w.cdr(number, **_media("caller"), **_media("called"))


@case("R1 R20 R30 R44", seconds=15, alone=True)
def hundred_calls_at_once(w):
    """A hundred calls from the trunk to the PBX stand at the same time, with
    sound both ways; each has one CDR, and no port stays open."""
    called = "7" + w.number()[1][-5:]
    uas = w.sipp("pbx", "uas_call", "near", calls=100, timeout=60)
    uac = w.sipp("itsp", "uac_call", "far", target=True, calls=100, rate=50,
                 service=called, hold=5000, timeout=60)
    uac.done()
    uas.done()

    def all_there():
        rows = w.rows("select c.call, sip_status, hangup_side, a.rx_packets "
                      "as a, b.rx_packets as b, a.rx_lost + b.rx_lost as lost "
                      "from sbc.cdr c "
                      "join sbc.cdr_leg a on a.call = c.call and a.side = "
                      "'caller' join sbc.cdr_leg b on b.call = c.call and "
                      f"b.side = 'called' where c.called = '{called}'")
        return rows if len(rows) >= 100 else None

    rows = w.wait(all_there, "a hundred CDRs", 20)
    assert len(rows) == 100, len(rows)
    bad = [r for r in rows if r["sip_status"] != 200 or
           r["hangup_side"] != "caller" or r["a"] < 200 or r["b"] < 200]
    assert not bad, bad[:3]

    def all_closed():
        status = w.gate.status("mediad")
        return not status.get("media_sessions") and \
            not status.get("media_ports_used")

    w.wait(all_closed, "all media sessions and ports to close", 20)
