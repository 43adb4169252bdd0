# SPDX-License-Identifier: Apache-2.0
"""Message waiting, busy lamps, what a PBX tells unasked, and texts: between
phones (baresip, linphone, a peer of our own) and a PBX."""
import os
import re

from harness import dns
from harness.cases import case
from harness.dialog import Side
from harness.net import LINKS
from harness.sip import authorization, challenge_of

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
SETTINGS = "select sbc.set_event_trunk('phones', 'pbx');"
MWI = "Content-Type: application/simple-message-summary"
INFO = "Content-Type: application/dialog-info+xml"


def _mwi(new):
    return ("Messages-Waiting: yes\r\n"
            f"Message-Account: sip:*97@{PBX.host()}\r\n"
            f"Voice-Message: {new}/4 (0/0)\r\n")


def _lamp(state, version):
    return ('<?xml version="1.0"?>\n<dialog-info '
            'xmlns="urn:ietf:params:xml:ns:dialog-info" '
            f'version="{version}" state="full" '
            f'entity="sip:701@{PBX.host()}">\n'
            f'<dialog id="701" call-id="lamp-planted@{PBX.host()}" '
            'local-tag="lamp-tag-one" remote-tag="lamp-tag-two" '
            'direction="recipient">\n'
            f"<state>{state}</state>\n"
            '<remote><identity display="Anna Lamp">'
            f"sip:702@{PBX.host()}</identity>"
            f'<target uri="sip:702@{PBX.host(11)}:5066;transport=udp"/>'
            "</remote></dialog></dialog-info>\n")


def _kill(w):
    w.faults_allowed = True
    mark = w.gate.kill_daemon("sbc")
    w.gate.wait_event("calls_restored", since=mark, process="sbc", timeout=20)
    w.gate.wait_event("listening", since=mark, process="sbc", timeout=20)
    assert not w.gate.find_event("record_dropped", mark)


def _notify(side, event, state, body="", kind=None):
    """Sends a NOTIFY; the caller reads the answer."""
    side.request("NOTIFY", [f"Event: {event}", f"Subscription-State: {state}",
                            *([kind] if body else [])], body)


def _take(side, expires=600):
    """Takes a SUBSCRIBE that comes; its dialog is the side's."""
    m = side.expect("SUBSCRIBE")
    side.taken(m)
    side.answer(m, 200, extra=[f"Expires: {expires}"])
    return m


def _shown(w):
    rows = [r for o in w.gate.ctl("subscriptions")
            for r in o.get("subscriptions", [])]
    return rows


def _leave(w, phone, pbx):
    """The phone goes: the end of its subscription comes to the PBX."""
    phone.command("quit")
    m = pbx.expect("SUBSCRIBE", passing=("SUBSCRIBE",))
    while m.get("expires") != "0":
        pbx.answer(m, 200, extra=["Expires: 600"])
        m = pbx.expect("SUBSCRIBE", passing=("SUBSCRIBE",))
    pbx.answer(m, 200, extra=["Expires: 0"])
    _notify(pbx, "message-summary", "terminated;reason=timeout")
    pbx.expect("2")
    w.wait(lambda: not _shown(w), "no subscription")


@case("R6 R19 R52", seconds=6, gate="own")
def message_waiting_of_a_phone(w):
    """baresip subscribes to its mailbox, proves its account, and is told; sbc
    is killed, and it is told again; then it is told unasked."""
    w.make_gate(settings=SETTINGS)
    pbx = Side(w.peer("pbx", port=5060))
    phone = w.phone(apps=["mwi"])
    extension = phone.who["extension"]
    m = _take(pbx)
    assert m.first.startswith(f"SUBSCRIBE sip:{extension}@"), m.first
    assert m.get("event") == "message-summary", m.get("event")
    assert phone.who["username"].encode() not in m.data, m.data
    _notify(pbx, "message-summary", "active;expires=600", _mwi(1), MWI)
    pbx.expect("200")
    phone.says("Voice-Message: 1/4")
    row = w.wait(lambda: _shown(w), "the subscription")[0]
    assert row["extension"] == extension and row["state"] == "up" and \
        row["package"] == "message-summary" and row["trunk"] == "pbx", row
    _kill(w)
    _notify(pbx, "message-summary", "active;expires=500", _mwi(2), MWI)
    pbx.expect("200")
    phone.says("Voice-Message: 2/4")
    _leave(w, phone, pbx)
    assert not w.rows("select 1 from sbc.cdr"), "a CDR of a subscription"


class Desk:
    """A desk phone of our own: registers, subscribes, answers."""

    def __init__(self, w, port=5070):
        self.w = w
        self.account = w.add_phone()
        self.peer = w.peer("phones", port=port)
        self.side = Side(self.peer)
        answer = self.peer.register(PHONES.edge, self.account["username"],
                                    self.account["password"])
        assert answer.status == 200, answer.first

    def proved(self, method, user, extra=(), body=""):
        """A request outside of dialogs, with digest after its challenge; from
        the side, so that its dialog is the side's."""
        s = self.side
        uri = f"sip:{user}@{PHONES.edge}"
        s.call_id = os.urandom(8).hex()
        s.target = uri
        s.local = (f"<sip:{self.account['username']}@{PHONES.edge}>"
                   f";tag={s.tag}")
        s.remote = f"<{uri}>"
        s.request(method, extra, body)
        challenge = challenge_of(s.expect("401"))
        value = authorization(challenge, self.account["username"],
                              self.account["password"], method, uri)
        s.request(method, [*extra, f"Authorization: {value}"], body)


@case("R2 R3 R6 R19 R52", seconds=5, gate="own", builds="sanitizer")
def busy_lamp(w):
    """A lamp over its whole life: told before the answer, told again, kept up
    over two kills of sbc, refreshed, ended by the PBX; nothing of the PBX is
    seen."""
    w.make_gate(settings=SETTINGS)
    pbx = Side(w.peer("pbx", port=5060))
    desk = Desk(w)
    phone = desk.side
    desk.proved("SUBSCRIBE", "701", ["Event: dialog", "Expires: 600"])
    m = pbx.expect("SUBSCRIBE")
    assert m.first.startswith("SUBSCRIBE sip:701@"), m.first
    pbx.taken(m)
    _notify(pbx, "dialog", "active;expires=600", _lamp("early", 1), INFO)
    pbx.answer(m, 200, extra=["Expires: 600"])
    phone.answered(phone.expect("200"))
    m = phone.expect("NOTIFY")
    phone.answer(m, 200)
    pbx.expect("200")
    first = re.search(rb'call-id="([^"]+)"', m.body).group(1)
    assert f'entity="sip:701@{PHONES.edge}"'.encode() in m.body, m.body
    assert b"<state>early</state>" in m.body, m.body
    assert b"Anna Lamp" in m.body, m.body

    for version, state in ((2, "confirmed"), (3, "terminated")):
        _kill(w)
        _notify(pbx, "dialog", "active;expires=500", _lamp(state, version),
                INFO)
        m = phone.expect("NOTIFY")
        phone.answer(m, 200)
        pbx.expect("200")
        assert state.encode() in m.body, m.body
        # The same call is called the same after a kill.
        assert first in m.body, (first, m.body)
    phone.request("SUBSCRIBE", ["Event: dialog", "Expires: 300"])
    m = pbx.expect("SUBSCRIBE")
    assert m.get("expires") == "300" and ";tag=" in m.get("to"), m.data
    pbx.answer(m, 200, extra=["Expires: 300"])
    assert phone.expect("200").get("expires") == "300"
    _notify(pbx, "dialog", "terminated;reason=noresource")
    m = phone.expect("NOTIFY")
    assert m.get("subscription-state") == "terminated;reason=noresource"
    phone.answer(m, 200)
    pbx.expect("200")
    w.wait(lambda: not _shown(w), "no subscription")
    phone.request("SUBSCRIBE", ["Event: dialog", "Expires: 300"])
    phone.expect("481")


@case("R3 R4 R6 R19", seconds=5, gate="own", builds="sanitizer")
def unasked_and_refused(w):
    """The PBX tells an extension's phone of messages and to fetch its settings;
    what is not in the realm's list is refused, and a stranger hears nothing."""
    w.make_gate(settings=SETTINGS)
    pbx = Side(w.peer("pbx", port=5060))
    desk = Desk(w)
    extension = desk.account["extension"]

    def tell(event, body="", kind=None):
        pbx.call_id = os.urandom(8).hex()
        pbx.target = f"sip:{extension}@{PBX.edge}"
        pbx.local = f"<sip:asterisk@{PBX.host()}>;tag={pbx.tag}"
        pbx.remote = f"<{pbx.target}>"
        _notify(pbx, event, "active", body, kind)

    tell("message-summary", _mwi(7), MWI)
    m = desk.side.expect("NOTIFY")
    assert b"Voice-Message: 7/4" in m.body, m.body
    assert f"sip:*97@{PHONES.edge}".encode() in m.body, m.body
    desk.side.answer(m, 200)
    pbx.expect("200")
    tell("check-sync;reboot=false")
    m = desk.side.expect("NOTIFY")
    assert m.get("event") == "check-sync;reboot=false", m.get("event")
    desk.side.answer(m, 200)
    pbx.expect("200")
    tell("ua-profile")
    pbx.expect("489")
    w.settings("select sbc.allow_events('phones', 'dialog')")
    tell("check-sync")
    pbx.expect("489")
    desk.peer.send(desk.peer.request(
        "SUBSCRIBE", f"sip:701@{PHONES.edge}", f"x@{PHONES.edge}",
        headers=["Event: presence"]))
    refused = desk.side.expect("489")
    assert refused.get("allow-events") == "dialog", refused.data
    w.settings("update sbc.trunk set enabled = false where name like 'pbx%'")
    desk.proved("SUBSCRIBE", "701", ["Event: dialog"])
    refused = desk.side.expect("489")
    assert not refused.get("allow-events"), "nobody could serve it"
    stranger = w.peer("stranger", target=PHONES.edge)
    for method in ("SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH"):
        stranger.send(stranger.request(
            method, f"sip:701@{PHONES.edge}", f"x@{PHONES.edge}",
            headers=["Event: dialog"]))
    assert stranger.receive(1.0) is None, "a stranger was answered"


@case("R8 R19", seconds=5, gate="own", builds="sanitizer")
def pbx_by_name(w):
    """The PBX is a name: it is looked up, asked by its name, and told of; where
    the name leads nowhere the phone hears when to ask again."""
    name = "pbx.inside.test"
    server = w.group.add(dns.Dns(w.ns("itsp"), ITSP.host(14)))
    server.set(f"_sip._udp.{name}", "SRV", "1 0 5060 one.inside.test")
    server.set("one.inside.test", "A", PBX.host())
    w.make_gate(options={"sbc": {"dns_servers": [server.address]}})
    w.settings(f"""
        select sbc.add_trunk('named', '{name}', 'inside', sources => '{{}}');
        select sbc.set_event_trunk('phones', 'named');
        """)
    pbx = Side(w.peer("pbx", port=5060))
    desk = Desk(w)
    desk.proved("SUBSCRIBE", desk.account["extension"],
                ["Event: message-summary", "Expires: 600"])
    m = _take(pbx)
    assert m.first.startswith(
        f"SUBSCRIBE sip:{desk.account['extension']}@{name} "), m.first
    desk.side.answered(desk.side.expect("200"))
    _notify(pbx, "message-summary", "terminated", _mwi(1), MWI)
    m = desk.side.expect("NOTIFY")
    desk.side.answer(m, 200)
    pbx.expect("200")
    w.settings("""
        update sbc.trunk_target set host = 'nobody.inside.test'
            where host = 'pbx.inside.test';
        """)
    desk.proved("SUBSCRIBE", desk.account["extension"],
                ["Event: message-summary", "Expires: 600"])
    refused = desk.side.expect("480")
    assert refused.get("retry-after"), refused.data


@case("R3 R6 R8 R19 R52", seconds=10, gate="own")
def over_tls(w):
    """A phone over TLS: what it is told comes over its connection, and over the
    next one after flowd was killed."""
    gate = w.make_gate(start=False, settings=SETTINGS + f"""
        select sbc.add_realm_address('phones', '{PHONES.edge}', 5061, 'tls');
        update sbc.realm set expires_min_s = 5, expires_default_s = 10
            where name = 'phones';
        """)
    ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
    gate.start()
    w.wait_settings(0)
    gate.wait_event("listening", process="flowd", transport="TLS")
    pbx = Side(w.peer("pbx", port=5060))
    phone = w.phone(transport="tls", ca=ca, apps=["mwi"], register=5)
    _take(pbx)
    _notify(pbx, "message-summary", "active;expires=600", _mwi(3), MWI)
    pbx.expect("200")
    phone.says("Voice-Message: 3/4")
    w.faults_allowed = True
    mark = gate.kill_daemon("flowd")
    # It comes back with its next registration.
    gate.wait_event("registered", since=mark, process="sbc", timeout=60)
    _notify(pbx, "message-summary", "active;expires=500", _mwi(4), MWI)
    pbx.expect("200", passing=("SUBSCRIBE",))
    phone.says("Voice-Message: 4/4")
    _leave(w, phone, pbx)


@case("R3 R6 R19", seconds=5, gate="own", builds="sanitizer")
def presence_of_a_colleague(w):
    """baresip watches somebody at the PBX, where the realm allows it."""
    w.make_gate(settings=SETTINGS +
                "select sbc.allow_events('phones', 'presence');")
    pbx = Side(w.peer("pbx", port=5060))
    phone = w.phone(apps=["contact", "presence"],
                    contact=f"sip:701@{PHONES.edge}")
    m = _take(pbx)
    assert m.first.startswith("SUBSCRIBE sip:701@"), m.first
    assert m.get("event") == "presence", m.get("event")
    assert m.get("accept") == "application/pidf+xml", m.get("accept")
    for basic in ("open", "closed"):
        _notify(pbx, "presence", "active;expires=600",
                '<?xml version="1.0"?>\n<presence '
                'xmlns="urn:ietf:params:xml:ns:pidf" '
                f'entity="sip:701@{PBX.host()}">'
                f'<note>planted at {PBX.host()}</note><tuple id="planted-701">'
                f"<status><basic>{basic}</basic></status>"
                f"<contact>sip:701@{PBX.host(11)}:5066</contact>"
                "</tuple></presence>\n",
                "Content-Type: application/pidf+xml")
        pbx.expect("200")  # the phone's
        assert any(f"<basic>{basic}</basic>".encode() in p.data
                   for p in w.sip_to("phones")), basic
    _notify(pbx, "presence", "terminated;reason=noresource")
    pbx.expect("200")
    w.wait(lambda: not _shown(w), "no subscription")
    assert phone.proc.alive()


TWICE = f"""
select sbc.add_trunk_target('pbx', '{PBX.host(11)}', 5060, priority => 200);
select sbc.add_trunk_source('pbx', '{PBX.host(11)}/32');
update sbc.setting set value = '100' where name = 'sip_t1_ms';
select sbc.allow_messages('phones'), sbc.allow_messages('inside'),
	sbc.allow_messages('public');
select sbc.add_trunk('second', '{ITSP.host(11)}', 'public', port => 5060);
select sbc.add_route('away', '+59', '{{itsp,second}}', priority => 1);
"""


@case("R6 R11 R19", seconds=9, gate="own", builds="sanitizer")
def dead_neighbours(w):
    """A PBX and a trunk that say nothing any more have another address, or are
    one of two: baresip's subscription and linphone's text come to the living
    one, once, and to the dead one first."""
    w.make_gate(settings=SETTINGS + TWICE)
    dead = w.peer("pbx", port=5060)
    pbx = Side(w.peer("pbx", n=11, port=5060))
    dead_itsp = w.peer("itsp", port=5060)
    itsp = Side(w.peer("itsp", n=11, port=5060))
    phone = w.phone(apps=["mwi"])
    m = _take(pbx)
    assert dead.receive(5).method == "SUBSCRIBE"
    extension = phone.who["extension"]
    assert m.first.startswith(f"SUBSCRIBE sip:{extension}@"), m.first
    _notify(pbx, "message-summary", "active;expires=600", _mwi(5), MWI)
    pbx.expect("200")
    phone.says("Voice-Message: 5/4")

    other = w.linphone()
    for called, side in (("701", pbx), ("+595551", itsp)):
        other.command(f'chat sip:{called}@{PHONES.edge} "still there"')
        m = side.expect("MESSAGE")
        assert m.body == b'"still there"', m.body
        assert f"sip:{called}@" in m.first, m.first
        side.answer(m, 200)
        w.gate.wait_event("page", process="sbc", method="MESSAGE",
                          called=called, status=200)
        side.silent(0.1)
    assert dead_itsp.receive(5).method == "MESSAGE"


def _said(w, role, words, caller):
    """A neighbour was sent a text, from whom it has to be, and took it."""
    def probe():
        return [p for p in w.sip_to(role)
                if p.data.startswith(b"MESSAGE ") and words in p.data]
    text = w.wait(probe, f"{words!r} towards {role}")[0]
    assert b"From: " in text.data and f"sip:{caller}@".encode() in text.data, \
        text.data
    w.gate.wait_event("page", process="sbc", method="MESSAGE", caller=caller,
                      status=200)


@case("R3 R6 R19", seconds=6, gate="own", builds="sanitizer")
def texts(w):
    """linphone writes to baresip, the PBX to both ends; where a realm does not
    allow texts they are refused."""
    w.make_gate(settings=SETTINGS + """
        select sbc.allow_messages('phones'), sbc.allow_messages('inside');
        """)
    pbx = Side(w.peer("pbx", port=5060))
    phone = w.phone()
    other = w.linphone()
    extension = phone.who["extension"]
    other.command(f'chat sip:{extension}@{PHONES.edge} "good morning"')
    _said(w, "phones", b'good morning', other.who["extension"])
    pbx.call_id = os.urandom(8).hex()
    pbx.target = f"sip:{extension}@{PBX.edge}"
    pbx.local = f'"Desk" <sip:700@{PBX.host()}>;tag={pbx.tag}'
    pbx.remote = f"<{pbx.target}>"
    pbx.request("MESSAGE", ["Content-Type: text/plain"], "from the PBX")
    pbx.expect("2")
    _said(w, "phones", b"from the PBX", "700")
    other.command(f'chat sip:701@{PHONES.edge} "to the PBX"')
    m = pbx.expect("MESSAGE")
    assert m.body == b'"to the PBX"', m.body
    assert f"sip:{other.who['extension']}@" in m.get("from"), m.get("from")
    pbx.answer(m, 200)
    w.settings("select sbc.allow_messages('inside', false)")
    pbx.request("MESSAGE", ["Content-Type: text/plain"], "from the PBX")
    pbx.expect("405")
