# SPDX-License-Identifier: Apache-2.0
"""Realms on network devices: what arrives by another device is not heard, what
leaves goes by its own, and a device that was made anew is used again."""
import re
import socket
import struct

from harness import dialog, net, proc, sip, stream
from harness.cases import case
from harness.dialog import audio_of
from harness.net import LINKS

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
STRANGER = LINKS["stranger"]


def _sockets(w):
    """Every IP socket of the edge but those on loopback: {"udp address:port":
    the device that it is bound to, "" for none}. What waits for its time to
    run out is nobody's socket, perhaps of a case before this one."""
    text = proc.run(["ss", "-Hntua"], ns=w.ns("edge"))
    found = {}
    for line in text.splitlines():
        words = line.split()
        place, _, port = words[4].rpartition(":")
        host, _, device = place.partition("%")
        if not host.startswith("127.") and words[1] != "TIME-WAIT":
            found[f"{words[0]} {host.strip('[]')}:{port}"] = device.strip("]")
    return found


def _on_devices(w, devices):
    """All sockets, on the devices of their addresses; how many there are."""
    found = _sockets(w)
    for place, device in found.items():
        host = place.split()[1].rpartition(":")[0]
        assert device == devices[host], (place, found)
    return len(found)


def _register(peer, host):
    aor = f"nobody@{host}"
    peer.call_id += "x"
    peer.send(peer.request("REGISTER", f"sip:{host}", aor))


def _answers(w, role, target, v6=False):
    """What a REGISTER to that address of ours gets: a status, 0 = silence."""
    peer = w.peer(role, target=target, v6=v6)
    _register(peer, f"[{target}]" if v6 else target)
    m = peer.receive(0.5)
    return m.status if m else 0


def _connects(w, role, target):
    try:
        line = stream.connect(w.ns(role), LINKS[role].host(), target, 5060)
    except OSError:
        return False
    line.stop()
    return True


DEVICES = """
select sbc.set_device('public', 'itsp');
select sbc.set_device('phones', 'phones');
select sbc.set_device('inside', 'pbx');
"""


@case("R8 R50", seconds=8, gate="own")
def the_wrong_device(w):
    """A host takes packets for any of its addresses on any device: a stranger
    beside the SBC, and the PBX, reach the phones' address. With devices they
    do not, over UDP, TCP and IPv6; a call over the right ones works, with
    every socket on its device. Without devices it is as before."""
    w.make_gate(settings=f"""
        select sbc.add_realm_address('phones', '{PHONES.edge}', 5060, 'tcp');
        select sbc.add_realm_address('public', '{ITSP.edge}', 5060, 'tcp');
        select sbc.add_trunk('itsp-tcp', '{ITSP.host(11)}', 'public',
            port => 5060, transport => 'tcp');""")
    w.gate.wait_event("listening", process="flowd", transport="TCP",
                      listen=f"{PHONES.edge}:5060")
    wrong = ("stranger", "pbx")
    for role in wrong:
        assert _answers(w, role, PHONES.edge) == 401
        assert _answers(w, role, PHONES.edge6, True) == 401
        assert _connects(w, role, PHONES.edge)
    # The trunk connects by the device, too.
    listener = w.group.add(stream.Listener(w.ns("itsp"), ITSP.host(11), 5060))
    listener.accept().stop()
    mark = w.gate.log_mark()
    w.settings(DEVICES)
    line = listener.accept()
    where = {a: role for role, link in LINKS.items()
             for a in (link.edge, link.edge6)}
    try:
        w.wait(lambda: all(_sockets(w).values()), "all sockets on devices")
    except proc.Problem as problem:
        raise proc.Problem(f"{problem}: {_sockets(w)}") from None
    assert _on_devices(w, where) >= 9, _sockets(w)
    for role in wrong:
        assert _answers(w, role, PHONES.edge) == 0
        assert _answers(w, role, PHONES.edge6, True) == 0
        assert not _connects(w, role, PHONES.edge)
    assert _answers(w, "phones", PHONES.edge) == 401
    assert _answers(w, "phones", PHONES.edge6, True) == 401
    assert _connects(w, "phones", PHONES.edge)
    assert w.gate.find_event("listen_device", since=mark, process="keeper",
                             device="phones", state="bound")
    # A call; its media ports are on the devices, too.
    phone, trunk = w.side("phones", 5060, 7100), w.side("itsp", 5060, 7000)
    called = "+4940" + phone.who["number"][-7:]
    phone.call(called, phone.user)
    trunk.taken(trunk.expect("INVITE"))
    trunk.answer(trunk.invite, 200, trunk.sdp())
    trunk.expect("ACK")
    phone.answered(phone.expect("200", passing=("18",)))
    phone.ack()
    assert _on_devices(w, where) >= 13, _sockets(w)
    # Inside the dialog the other realm's device is as dead as to strangers.
    own, phone.peer.target = phone.peer.target, (ITSP.edge, 5060)
    phone.request("BYE")
    phone.silent(0.3)
    phone.peer.target = own
    phone.request("BYE")
    phone.expect("200")
    trunk.answer(trunk.expect("BYE"), 200)
    w.cdr(called, sip_status=200, hangup_side="caller")
    line.stop()
    # keeper may take it back: a daemon could not.
    w.settings("select sbc.set_device('phones', null);")
    w.wait(lambda: _answers(w, "stranger", PHONES.edge) == 401,
           "no device any more")
    assert _answers(w, "stranger", PHONES.edge6, True) == 401


FAR, FAR_TRUNK, LINE = "172.30.20.1", "172.30.20.10", "itsp.20"
FAR6, FAR6_TRUNK = "fe80::20", "fe80::30"


def _make_line(w):
    """The edge's device of a second network beside the trunks'. The other
    device of the same wire must not say that it has this one's address."""
    edge = w.ns("edge")
    proc.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/itsp/arp_ignore"],
             ns=edge)
    for args in (["link", "add", "link", "itsp", "name", LINE, "type",
                  "macvlan", "mode", "bridge"],
                 ["addr", "add", f"{FAR}/24", "dev", LINE],
                 ["addr", "add", f"{FAR6}/64", "dev", LINE, "nodad"],
                 ["link", "set", LINE, "up"]):
        proc.run(["ip", "-n", edge, *args])


def _drop_line(w, check=True):
    """The device goes, with its addresses."""
    proc.run(["ip", "-n", w.ns("edge"), "link", "del", LINE], check=check)


@case("R8 R50 R52", seconds=9, gate="own")
def made_anew(w):
    """A device that is not there yet when its realm comes, goes in a call and
    is made anew, as a VLAN is: one line of the log each time, the listener is
    opened when it can be, the call in progress has sound again and ends in
    order, and a new one can be made, by a link-local address at that."""
    w.make_gate(settings=f"""
        select sbc.add_realm('line', 'outside', '{FAR}', phones => false,
            media_port_min => 25000, media_port_max => 25999);
        select sbc.add_trunk('far', '{FAR_TRUNK}', 'line', port => 5060);
        select sbc.add_realm_address('line', '{FAR}', 5060, 'tcp');
        select sbc.add_realm_address('line', '{FAR6}');
        select sbc.add_trunk('far6', '{FAR6_TRUNK}', 'line', port => 5060);
        select sbc.set_device('line', '{LINE}');
        select sbc.set_device('inside', 'pbx');
        """)
    gate = w.gate
    gate.wait_event("listen_failed", process="keeper", daemon="sbc")
    proc.run(["ip", "-n", w.ns("itsp"), "addr", "add", f"{FAR_TRUNK}/24",
              "dev", "eth0"])
    proc.run(["ip", "-n", w.ns("itsp"), "addr", "add", f"{FAR6_TRUNK}/64",
              "dev", "eth0", "nodad"])
    try:
        _made_anew(w, gate)
    finally:
        _drop_line(w, check=False)
        proc.run(["sh", "-c",
                  "echo 0 > /proc/sys/net/ipv4/conf/itsp/arp_ignore"],
                 ns=w.ns("edge"))
        for address in (f"{FAR_TRUNK}/24", f"{FAR6_TRUNK}/64"):
            proc.run(["ip", "-n", w.ns("itsp"), "addr", "del", address,
                      "dev", "eth0"])


def _made_anew(w, gate):
    _make_line(w)
    gate.wait_event("listening", process="sbc", local=f"{FAR}:5060")
    gate.wait_event("listening", process="flowd", listen=f"{FAR}:5060")
    failed = [e for e in gate.events() if e.name == "listen_failed"]
    assert len(failed) == 6, failed  # once each: keeper, and who asked

    far, near = w.talker("itsp", "far", ns=w.ns("itsp"), host=FAR_TRUNK), \
        w.talker("pbx", "near", port=7200)
    a = dialog.Side(w.group.add(
        sip.Peer(w.ns("itsp"), FAR_TRUNK, 5060, FAR)), 7000)
    b = w.side("pbx", 5060, 7200)
    called = "7" + w.number()[1][-5:]

    def begin():
        a.call(called)
        b.taken(b.expect("INVITE"))
        b.answer(b.invite, 200, b.sdp())
        b.expect("ACK")
        m = a.expect("200")
        a.answered(m)
        a.ack()
        return audio_of(m)[:2], audio_of(b.invite)[:2]

    to_far, to_near = begin()
    assert to_far[0] == FAR, to_far
    far.say(to_far)
    near.say(to_near)
    far.wait_heard(1)
    near.wait_heard(1)
    mark = gate.log_mark()
    _drop_line(w)
    gate.wait_event("device_gone", since=mark, process="keeper", device=LINE)
    n = len(far.heard)
    _make_line(w)
    back = gate.wait_event("device_back", since=mark, process="keeper",
                           device=LINE)
    # Three listeners and the call's two sockets.
    assert int(back.fields["sockets"]) == 5, back
    w.wait(lambda: len(far.heard) > n + 25, "sound to the line again")
    far.forget()
    near.forget()
    far.wait_same(near, 1)
    near.wait_same(far, 1)
    found = {k: v for k, v in _sockets(w).items() if f" {FAR}:" in k}
    assert len(found) == 4 and set(found.values()) == {LINE}, found
    a.request("BYE")
    a.expect("200")
    b.answer(b.expect("BYE"), 200)
    w.cdr(called, sip_status=200, hangup_side="caller")
    gone = [e for e in gate.events(mark) if e.name == "device_gone"]
    assert len(gone) == 1, gone
    assert not [e for e in gate.events(mark) if e.level == "err"], mark

    _link_local(w, b, near)


class LinkLocal(sip.Peer):
    """A peer with a link-local address: its own socket needs the number of its
    device, its words must not have it."""

    def __init__(self, ns, local, port, target, index):
        super().__init__(ns, "::1", 0, target)
        self.host, self.port = f"[{local}]", port
        self.sock.close()
        self.sock = net.open_socket(ns, socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.bind((local, port, 0, index))
        self.index = index

    def send(self, text):
        self.sock.sendto(text.encode(), (*self.target, 0, self.index))


def _link_local(w, b, near):
    """An address that means nothing without its device serves, too."""
    index = int(re.search(r"^(\d+): eth0", proc.run(
        ["ip", "-o", "link", "show", "eth0"], ns=w.ns("itsp")), re.M)[1])
    a, far = (w.group.add(LinkLocal(w.ns("itsp"), FAR6_TRUNK, port, FAR6,
                                    index)) for port in (5060, 7020))
    a = dialog.Side(a, 7020)
    called = "7" + w.number()[1][-5:]
    a.call(called)
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    m = a.expect("200")
    a.answered(m)
    a.ack()
    assert f"[{FAR6}]" in m.get("contact"), m.get("contact")
    host, port = audio_of(m)[:2]
    assert host == FAR6, m.body
    near.forget()
    near.say(audio_of(b.invite)[:2])
    for n in range(2000, 2025):
        # RTP: PCMA, silence.
        far.sock.sendto(struct.pack("!BBHII", 0x80, 8, n, n * 160, 7) +
                        b"\xd5" * 160, (host, port, 0, index))
        assert far.receive(5).data[0] == 0x80
    near.wait_heard(0.2)
    b.request("BYE")
    a.answer(a.expect("BYE"), 200)
    b.expect("200")
    w.cdr(called, sip_status=200, hangup_side="called")
