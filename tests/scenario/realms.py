# SPDX-License-Identifier: Apache-2.0
"""Realms: each on its own addresses, behind a 1:1 NAT, over both families; and
what comes to the wrong one is not answered."""
import select

from harness import baresip, capture, dialog, proc, sip, sipp
from harness.cases import case
from harness.dialog import audio_of
from harness.net import LINKS
from harness.sip import authorization, challenge_of

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]

# Beyond the NAT: its two addresses, a trunk, a phone.
OUTER_TRUNKS, OUTER_PHONES = "198.18.0.1", "198.18.0.2"
TRUNK, PHONE = "198.18.0.10", "198.18.0.20"
# Ours, which nobody out there may see.
INNER_TRUNKS, INNER_PHONES, GATEWAY = "172.31.0.2", "172.31.0.3", "172.31.0.1"

NAT_RULES = f"""
table ip gatehouse {{
	chain in {{
		type nat hook prerouting priority dstnat;
		ip daddr {OUTER_TRUNKS} dnat to {INNER_TRUNKS}
		ip daddr {OUTER_PHONES} dnat to {INNER_PHONES}
	}}
	chain out {{
		type nat hook postrouting priority srcnat;
		ip saddr {INNER_TRUNKS} snat to {OUTER_TRUNKS}
		ip saddr {INNER_PHONES} snat to {OUTER_PHONES}
	}}
}}
"""

SETTINGS = f"""
select sbc.add_realm('far-trunks', 'outside', '{INNER_TRUNKS}',
	phones => false, media_port_min => 20000, media_port_max => 20999,
	advertised_sip => '{OUTER_TRUNKS}', advertised_media => '{OUTER_TRUNKS}');
select sbc.add_realm('far-phones', 'outside', '{INNER_PHONES}',
	digest_realm => 'far.example.net',
	media_port_min => 30000, media_port_max => 30999,
	advertised_sip => '{OUTER_PHONES}', advertised_media => '{OUTER_PHONES}');
select sbc.add_trunk('far', '{TRUNK}', 'far-trunks', port => 5060);
select sbc.add_route('to-far', '+8', '{{far}}', priority => 5);
"""


class Nat:
    """A router that translates each outer address to one inner one, and the
    world beyond it."""

    def __init__(self, w):
        self.nat, self.world = w.ns("nat"), w.ns("world")
        edge = w.ns("edge")
        rules = f"{w.dir}/nat.nft"
        with open(rules, "w", encoding="ascii") as f:
            f.write(NAT_RULES)
        for name in (self.nat, self.world):
            proc.run(["ip", "netns", "add", name])
        for lines in (
                ["ip", "-n", self.nat, "link", "add", "inner", "type", "veth",
                 "peer", "name", "nat", "netns", edge],
                ["ip", "-n", self.nat, "link", "add", "outer", "type", "veth",
                 "peer", "name", "eth0", "netns", self.world],
                ["ip", "-n", edge, "addr", "add", f"{INNER_TRUNKS}/24", "dev",
                 "nat"],
                ["ip", "-n", edge, "addr", "add", f"{INNER_PHONES}/24", "dev",
                 "nat"],
                ["ip", "-n", edge, "link", "set", "nat", "up"],
                ["ip", "-n", self.nat, "addr", "add", f"{GATEWAY}/24", "dev",
                 "inner"],
                ["ip", "-n", self.nat, "addr", "add", f"{OUTER_TRUNKS}/24",
                 "dev", "outer"],
                ["ip", "-n", self.nat, "addr", "add", f"{OUTER_PHONES}/24",
                 "dev", "outer"],
                ["ip", "-n", self.nat, "link", "set", "inner", "up"],
                ["ip", "-n", self.nat, "link", "set", "outer", "up"],
                ["ip", "-n", self.world, "addr", "add", f"{TRUNK}/24", "dev",
                 "eth0"],
                ["ip", "-n", self.world, "addr", "add", f"{PHONE}/24", "dev",
                 "eth0"],
                ["ip", "-n", self.world, "link", "set", "eth0", "up"],
                ["ip", "-n", self.world, "link", "set", "lo", "up"],
                ["ip", "-n", edge, "route", "add", "198.18.0.0/24", "via",
                 GATEWAY],
                ["ip", "netns", "exec", self.nat, "sysctl", "-q", "-w",
                 "net.ipv4.ip_forward=1"],
                ["ip", "netns", "exec", self.nat, "nft", "-f", rules]):
            proc.run(lines)
        self.capture = capture.Capture(self.world, "eth0")

    def stop(self):
        self.capture.stop()
        for name in (self.nat, self.world):
            proc.run(["ip", "netns", "del", name], check=False)


@case("R3 R13 R20 R50", seconds=13, gate="own")
def behind_a_nat(w):
    """sbc and mediad behind a 1:1 NAT: a trunk outside calls a phone outside,
    both hear each other, the phone hangs up through our Contact; outside only
    advertised addresses are seen, in packets and in what they say. The phone
    calls the trunk back."""
    nat = w.group.add(Nat(w))
    w.make_gate(settings=SETTINGS)
    account = w.add_phone(realm="far-phones")
    phone = w.group.add(baresip.Baresip(
        f"{w.dir}/phone", ns=nat.world, local=PHONE, port=5060,
        speech=w.audio.wav("near"), rtp_ports="10000-10998"))
    phone.account(account["username"], OUTER_PHONES, account["password"])
    phone.start()
    phone.registered()
    s = w.group.add(sipp.Sipp(
        "uac_hung_up_on", f"{w.dir}/trunk", ns=nat.world, local=TRUNK,
        target=f"{OUTER_TRUNKS}:5060", service=account["number"],
        speech=w.audio.stream("far"), who="far", caller="+4989123456", pt=8,
        codec="PCMA/8000"))
    phone.wait_event("CALL_ESTABLISHED")
    w.wait(lambda: sum(p.src == OUTER_TRUNKS and p.is_rtp() for p in
                       nat.capture.packets()) > 325, "6.5 s of sound", 25)
    phone.hang_up()
    phone.wait_event("CALL_CLOSED")
    s.done()
    w.phone_heard(phone, "far")
    ear = f"{w.dir}/trunk-ear.wav"
    w.audio.from_capture(nat.capture.write(f"{w.dir}/world.pcap"), ear,
                         src=OUTER_TRUNKS, dst=TRUNK)
    w.audio.must_hear("near", ear)
    w.cdr(account["number"], sip_status=200, hangup_side="called",
          caller_leg__local=f"{INNER_TRUNKS}:5060",
          called_leg__local=f"{INNER_PHONES}:5060")
    # The other direction.
    side = dialog.Side(w.group.add(sip.Peer(nat.world, TRUNK, 5060,
                                            OUTER_TRUNKS)))
    phone.dial(f"sip:+88123@{OUTER_PHONES}")
    side.taken(side.expect("INVITE"))
    assert audio_of(side.invite)[0] == OUTER_TRUNKS, side.invite.body
    assert f"@{OUTER_TRUNKS}:5060" in side.invite.get("contact") or \
        f"sip:{OUTER_TRUNKS}" in side.invite.get("contact"), side.invite.data
    side.answer(side.invite, 200, side.sdp())
    side.expect("ACK")
    phone.wait_event("CALL_ESTABLISHED")
    side.request("BYE")
    side.expect("200")
    phone.wait_event("CALL_CLOSED")
    _only_advertised(nat.capture)


def _only_advertised(world):
    """What is seen beyond the NAT."""
    ours = (OUTER_TRUNKS, OUTER_PHONES)
    known = {*ours, TRUNK, PHONE}
    packets = world.packets()
    assert {p.src for p in packets if ":" not in p.src} <= known, \
        {p.src for p in packets}
    hidden = [INNER_TRUNKS, INNER_PHONES, GATEWAY]
    for link in LINKS.values():
        hidden += [link.edge, link.edge6]
    found = capture.leaks(packets, ours, {b"172.31": "network"}, hidden)
    assert not found, found
    said = [p for p in packets if p.src in ours and p.is_sip()]
    assert len(said) > 10, len(said)
    for p in said:
        # Each realm names its own address only.
        other = OUTER_PHONES if p.src == OUTER_TRUNKS else OUTER_TRUNKS
        assert other.encode() not in p.data, p.data


def _unanswered(peer, texts):
    for text in texts:
        peer.send(text)
    _silent(peer)


def _silent(*peers):
    for peer in peers:
        m = peer.receive(0.5 if peer is peers[0] else 0.05)
        assert m is None, m.data


def _requests(peer, host, user, number):
    """One of each that a realm of theirs would answer. Who is a stranger at
    the phones' realm may try to register there, like everybody."""
    methods = ["OPTIONS", "INVITE", "SUBSCRIBE", "BYE"]
    if host.strip("[]") not in (PHONES.edge, PHONES.edge6):
        methods.append("REGISTER")
    for method in methods:
        peer.call_id += "x"
        yield peer.request(method, f"sip:{number}@{host}", f"{user}@{host}",
                           body=dialog.sdp(peer.host, 7000)
                           if method == "INVITE" else "")


@case("R4 R14 R50", seconds=6)
def the_wrong_realm(w):
    """A trunk, the PBX and a registered phone each knock at the other realms'
    addresses, over IPv4 and IPv6: nothing comes back, inside a dialog neither,
    and calls that stand are not touched."""
    phone = w.side("phones", 5060, 7100)
    a, b = w.side("itsp", 5060, 7000), w.side("pbx", 5060, 7200)
    called = "7" + w.number()[1][-5:]
    a.call(called)
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    a.answered(a.expect("200"))
    a.ack()
    knocks = (("itsp", PHONES, "+4989123456", called),
              ("itsp", PBX, "+4989123456", called),
              ("pbx", ITSP, "701", "+49401234"),
              ("pbx", PHONES, "701", phone.who["extension"]),
              ("phones", ITSP, phone.user, "+49401234"),
              ("phones", PBX, phone.user, called))
    edges = {"itsp": a, "pbx": b, "phones": phone}
    for role, link, user, number in knocks:
        side = edges[role]
        own = side.peer.target
        side.peer.target = (link.edge, 5060)
        _unanswered(side.peer, _requests(side.peer, link.edge, user, number))
        side.peer.target = own
    six = {role: w.peer(role, v6=True, port=0 if role == "phones" else 5060)
           for role in edges}
    for role, link, user, number in knocks:
        peer = six[role]
        peer.target = (link.edge6, 5060)
        for text in _requests(peer, f"[{link.edge6}]", user, number):
            peer.send(text)
    _silent(*six.values())
    for role, peer in six.items():
        if role != "pbx":  # it has no trunk over IPv6 here
            edge6 = LINKS[role].edge6
            peer.target = (edge6, 5060)
            peer.send(peer.request(
                "REGISTER" if role == "phones" else "OPTIONS",
                f"sip:[{edge6}]", f"101@[{edge6}]"))
            assert peer.final().status == (401 if role == "phones" else 200)
    # A digest that is right at its own realm opens no other.
    peer = phone.peer
    uri, aor = f"sip:{PHONES.edge}", f"{phone.user}@{PHONES.edge}"
    peer.call_id += "y"
    peer.send(peer.request("REGISTER", uri, aor))
    value = authorization(challenge_of(peer.final()), phone.user,
                          phone.password, "REGISTER", uri)
    text = peer.request("REGISTER", uri, aor,
                        headers=[f"Authorization: {value}"])
    peer.target = (ITSP.edge, 5060)
    _unanswered(peer, [text])
    peer.target = (PHONES.edge, 5060)
    # A BYE with all the right words, at the wrong address. Where strangers may
    # register, it hears what any dialog's stranger hears.
    for side, link, status in ((a, PBX, 0), (b, ITSP, 0), (a, PHONES, 481)):
        own, side.peer.target = side.peer.target, (link.edge, 5060)
        side.request("BYE")
        side.cseq -= 1
        m = side.peer.receive(5 if status else 0.3)
        assert (m.status if m else 0) == status, m and m.data
        side.peer.target = own
    a.request("OPTIONS")
    a.expect("200")
    b.request("BYE")
    a.answer(a.expect("BYE"), 200)
    b.expect("200")
    w.cdr(called, sip_status=200, hangup_side="called")


@case("R4 R8 R50", seconds=6, gate="own")
def the_wrong_realm_over_tcp(w):
    """The same over connections, which the host's kernel takes for any of its
    addresses: they are heard, and nothing is said on them; at the right realm
    the same peers are answered."""
    w.make_gate(settings="".join(
        f"select sbc.add_realm_address('{realm}', '{link.edge}', 5060, 'tcp');"
        for realm, link in (("public", ITSP), ("phones", PHONES),
                            ("inside", PBX))) + "".join(
        f"select sbc.add_trunk('{realm}-tcp', '{link.host()}', '{realm}',"
        "port => 5060, transport => 'tcp');"
        for realm, link in (("public", ITSP), ("inside", PBX))))
    for link in (ITSP, PHONES, PBX):
        w.gate.wait_event("listening", process="flowd",
                          listen=f"{link.edge}:5060")
    links = {"itsp": ITSP, "pbx": PBX, "phones": PHONES}
    wrong = []
    for role, own in links.items():
        for link in links.values():
            peer = w.group.add(sip.StreamPeer(w.ns(role), own.host(), 0,
                                              link.edge))
            if link is own:
                peer.send(peer.request(
                    "REGISTER" if role == "phones" else "OPTIONS",
                    f"sip:{own.edge}", f"101@{own.edge}"))
                assert peer.final().status == \
                    (401 if role == "phones" else 200)
                continue
            for text in _requests(peer, link.edge, "101", "7123"):
                peer.send(text)
            wrong.append(peer)
    _silent(*wrong)


@case("R3 R8 R50", seconds=4)
def families_mixed(w):
    """IPv4 and IPv6 legs in every pairing: each side sees its own family and
    realm in SIP and SDP, also after re-INVITE, hold by 0.0.0.0 and by ::, and
    in early media."""
    six = w.side("itsp", 5060, 7000, v6=True)
    pbx4 = w.side("pbx", 5060, 7040)
    phone = w.side("phones", 5060, 7080)
    phone6 = w.side("phones", 5062, 7084, v6=True)

    def call(one, other, number, user):
        one.call(number, user)
        other.taken(other.expect("INVITE"))
        _is_own(other, other.invite)
        other.answer(other.invite, 183, other.sdp())
        _is_own(one, one.expect("183"))
        other.answer(other.invite, 200, other.sdp())
        _is_own(other, other.expect("ACK"))
        m = one.expect("200")
        _is_own(one, m)
        one.answered(m)
        mark = w.gate.log_mark()
        one.ack()
        w.gate.wait_event("call_state", since=mark, process="sbc", new="up")
        for this, that in ((one, other), (other, one)):
            for zero in (None, "::" if ":" in this.peer.host else "0.0.0.0",
                         None):
                this.request("INVITE", body=this.sdp(
                    "sendrecv", connection=zero, formats="8 101"
                    if zero else "8 0 101"))
                m = _changed(this, that)
                _is_own(this, m)
        one.request("BYE")
        other.answer(other.expect("BYE"), 200)
        one.expect("200")

    def _changed(this, that):
        """The other side hears of it or not; the answer."""
        while True:
            if _readable(that.peer):
                m = that.expect("INVITE")
                _is_own(that, m)
                that.answer(m, 200, that.sdp("recvonly" if audio_of(m)[3] ==
                                             "sendonly" else "sendrecv"))
                that.expect("ACK")
            if _readable(this.peer):
                m = this.expect("200")
                this.ack()
                return m

    call(six, pbx4, "7" + w.number()[1][-5:], "+4989123456")
    call(six, phone, phone.who["number"], "+4989123456")
    call(phone, six, "+6140" + w.number()[1][-5:], phone.user)
    call(phone6, pbx4, "7" + w.number()[1][-5:], phone6.user)
    call(pbx4, phone6, phone6.who["extension"], "701")
    call(pbx4, six, "+6140" + w.number()[1][-5:], "+4930555123")


def _readable(peer):
    return bool(select.select([peer.sock], [], [], 0.05)[0])


def _is_own(side, m):
    """Nothing of the other family, and our address of this side's realm."""
    link = LINKS[side.role]
    six = ":" in side.peer.host
    edge, other = (link.edge6, "IN IP4") if six else (link.edge, "IN IP6")
    if m.body:
        assert other.encode() not in m.body, m.body
        assert audio_of(m)[0] == edge, m.body
    for value in m.all("contact"):
        assert (f"[{edge}]" if six else edge) in value, value


@case("R4 R14 R50", seconds=4, gate="own")
def known_networks(w):
    """A realm with a list answers who is on it and nobody else, with the right
    password neither; a change of the list counts at once, for phones, the
    inside and trunks."""
    w.make_gate(settings=f"""
        select sbc.add_acl('phones', '{PHONES.host(10)}/32');
        select sbc.add_acl('inside', '{PBX.host(10)}/32');""")
    account = w.add_phone()

    def registers(n, wait=0.5):
        peer = w.peer("phones", n=n)
        uri = f"sip:{PHONES.edge}"
        aor = f"{account['username']}@{PHONES.edge}"
        peer.send(peer.request("REGISTER", uri, aor))
        m = peer.receive(wait)
        return m and m.status

    def is_there(role, n, wait=0.5):
        link = LINKS[role]
        peer = w.peer(role, n=n, port=5060)
        peer.send(peer.request("OPTIONS", f"sip:{link.edge}",
                               f"x@{link.edge}"))
        m = peer.receive(wait)
        peer.stop()
        return m and m.status

    assert registers(10, 5) == 401 and registers(11) is None
    assert is_there("pbx", 10, 5) == 200 and is_there("pbx", 11) is None
    assert is_there("itsp", 10, 5) == 200 and is_there("itsp", 11) is None
    phone = w.side("phones", account=account)
    w.settings("delete from sbc.realm_acl;"
               f"select sbc.add_acl('phones', '{PHONES.host(11)}/32');"
               f"select sbc.add_acl('public', '{ITSP.host(12)}/32');")
    assert registers(10) is None
    # Its registration is no way round the list.
    uri = f"sip:{PHONES.edge}"
    phone.peer.send(phone.peer.request(
        "OPTIONS", uri, f"{phone.user}@{PHONES.edge}"))
    assert phone.peer.receive(0.5) is None
    # Nor is it a trunk's network.
    assert is_there("itsp", 10) is None
    assert is_there("pbx", 10, 5) == 200
