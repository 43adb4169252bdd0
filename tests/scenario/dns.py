# SPDX-License-Identifier: Apache-2.0
"""A trunk whose target is a name (RFC 3263): a name server of our own stands
beside the ITSP."""
import time

from harness import dns
from harness.cases import case
from harness.dialog import Side
from harness.itsp import Line, dial
from harness.net import LINKS

ITSP, PBX = LINKS["itsp"], LINKS["pbx"]
NAME = "sip.itsp.test"

SETTINGS = f"""
select sbc.add_trunk('named', '{NAME}', 'public', sources => '{{}}');
select sbc.add_route('to-named', '+88', '{{named}}', priority => 5);
select sbc.add_route('to-both', '+89', '{{named,itsp}}', priority => 6);
update sbc.route set timeout_s = 2 where name in ('to-named', 'to-both');
"""


def _begin(w):
    """A name server, and a Gatehouse that asks it."""
    server = w.group.add(dns.Dns(w.ns("itsp"), ITSP.host(14)))
    w.make_gate(options={"sbc": {"dns_servers": [server.address]}},
                settings="")
    w.settings(SETTINGS)
    return server


def _call(w, called, **options):
    return w.sipp("pbx", "uac_call_silent", target=True, service=called,
                  who="pbx-" + called[1:], hold=300, **options)


def _ttl_ends(w):
    """The records above live for a second."""
    end = time.time() + 1.2
    w.wait(lambda: time.time() > end, "the TTL to pass")


def _refused(w, called, code):
    w.sipp("pbx", "uac_refused", target=True, service=called, code=code,
           who="pbx-" + called[1:]).done()


@case("R8 R11", seconds=7, gate="own")
def trunk_by_name(w):
    """SRV leads to host and port; the first host is dead, the second answers;
    the name is what the Request-URI says. A changed record is followed."""
    server = _begin(w)
    server.set(f"_sip._udp.{NAME}", "SRV", "1 0 5077 dead.itsp.test",
               "2 0 5070 live.itsp.test")
    server.set("dead.itsp.test", "A", ITSP.host(12))
    server.set("live.itsp.test", "A", ITSP.host(10))
    uas = w.sipp("itsp", "uas_call_silent", port=5070)
    _call(w, "+8811111").done()
    uas.done()
    w.cdr("+8811111", sip_status=200, attempts=2)
    invite = next(p for p in w.sip_to("itsp") if p.data.startswith(b"INVITE"))
    assert b"INVITE sip:+8811111@" + NAME.encode() in invite.data, invite.data
    kinds = {kind for _, kind in server.asked}
    assert {"NAPTR", "SRV", "A", "AAAA"} <= kinds, kinds

    # The trunk moves: after the TTL of a second its new place is called.
    server.set(f"_sip._udp.{NAME}", "SRV", "1 0 5071 moved.itsp.test")
    server.set("moved.itsp.test", "A", ITSP.host(11))
    moved = w.sipp("itsp", "uas_call_silent", port=5071, n=11)
    known = len(server.asked)
    _ttl_ends(w)
    _call(w, "+8822222", port=5061).done()
    moved.done()
    w.cdr("+8822222", sip_status=200, attempts=1)
    assert len(server.asked) > known


@case("R8 R11 R3", seconds=16, gate="own")
def a_name_that_fails(w):
    """A name that leads inside is refused for an outside trunk; a dead name
    server costs two seconds and the call goes to the next trunk."""
    server = _begin(w)
    for address in (PBX.host(13), PBX.edge, ITSP.edge, "127.0.0.1"):
        server.set(NAME, "A", address)
        called = "+8830" + address.replace(".", "")
        _refused(w, called, 503)
        w.cdr(called, sip_status=503, reason_text="route_dns_inside")
        _ttl_ends(w)
    assert not [p for p in w.sip_to("pbx") if p.data.startswith(b"INVITE")]

    server.records.clear()
    _ttl_ends(w)
    _refused(w, "+8840000", 503)
    w.cdr("+8840000", sip_status=503, reason_text="route_dns")

    w.settings("update sbc.trunk_target set host = 'silent.itsp.test' "
               f"where host = '{NAME}'")
    server.silent = True
    uas = w.sipp("itsp", "uas_call_silent")
    began = time.time()
    _call(w, "+8951111").done()
    uas.done()
    assert time.time() - began < 10
    w.cdr("+8951111", sip_status=200)


def _answer(peer, request, status):
    """Answers a request that came to a peer."""
    lines = [f"SIP/2.0 {status} Planted"]
    lines += [f"Via: {via}" for via in request.all("Via")]
    to = request.get("To")
    lines += [f"From: {request.get('From')}",
              f"To: {to if ';tag=' in to else to + ';tag=' + peer.tag}",
              f"Call-ID: {request.get('Call-ID')}",
              f"CSeq: {request.get('CSeq')}", "Content-Length: 0"]
    peer.send("\r\n".join(lines) + "\r\n\r\n")


@case("R8 R11", seconds=12, gate="own")
def each_address_is_probed(w):
    """OPTIONS goes to every address that a name has; a call passes over the
    one that says it is out of service, though it comes first."""
    server = _begin(w)
    server.set(f"_sip._udp.{NAME}", "SRV", "1 0 5070 down.itsp.test",
               "2 0 5071 up.itsp.test")
    server.set("down.itsp.test", "A", ITSP.host(10))
    server.set("up.itsp.test", "A", ITSP.host(11))
    down = w.peer("itsp", n=10, port=5070)
    up = w.peer("itsp", n=11, port=5071)
    w.settings("update sbc.trunk set options_interval_s = 5 "
               "where name = 'named'")
    seen = {"down": 0, "up": 0}
    calls = []

    def serve(done):
        end = time.time() + 30
        while not done():
            assert time.time() < end, seen
            for name, peer, status in (("down", down, 503), ("up", up, 200)):
                m = peer.receive(0.05)
                if m is None:
                    continue
                if m.method == "OPTIONS":
                    seen[name] += 1
                    _answer(peer, m, status)
                elif m.method == "INVITE":
                    calls.append(name)
                    _answer(peer, m, 486)

    # The third question tells that two answers have been heard.
    serve(lambda: seen["down"] >= 3 and seen["up"] >= 3)
    s = w.sipp("pbx", "uac_refused", target=True, service="+8860000",
               code=486, who="pbx-probed")
    serve(lambda: calls)
    s.done()
    assert set(calls) == {"up"}, calls
    w.cdr("+8860000", sip_status=486, attempts=1)


@case("R8 R11", seconds=9, gate="own")
def weights_families_and_a_slow_server(w):
    """Of two SRV records of one priority the heavier one gets the calls, and the
    other one what it refuses; a host with both families is called over IPv6
    first, and over IPv4 when that is silent; a slow name server delays a call
    and no other one."""
    server = _begin(w)
    pbx = w.peer("pbx", port=5060)
    server.set(f"_sip._udp.{NAME}", "SRV", "1 0 5070 light.itsp.test",
               "1 65535 5071 heavy.itsp.test")
    server.set("light.itsp.test", "A", ITSP.host(10))
    server.set("heavy.itsp.test", "A", ITSP.host(11))
    light = w.group.add(Line(w.peer("itsp", n=10, port=5070)))
    heavy = w.group.add(Line(w.peer("itsp", n=11, port=5071)))
    for i in range(6):
        assert dial(pbx, f"+88600{i}")[0] == 486
    assert (len(light.take()), len(heavy.take())) == (0, 6)
    heavy.invite = 503
    assert dial(pbx, "+886010")[0] == 486
    assert (len(light.take()), len(heavy.take())) == (1, 1)
    w.cdr("+886010", attempts=2)

    server.set(f"_sip._udp.{NAME}", "SRV", "1 0 5072 both.itsp.test")
    server.set("both.itsp.test", "A", ITSP.host(12))
    server.set("both.itsp.test", "AAAA", ITSP.host6(12))
    v4 = w.group.add(Line(w.peer("itsp", n=12, port=5072)))
    v6 = w.group.add(Line(w.peer("itsp", n=12, port=5072, v6=True)))
    _ttl_ends(w)
    assert dial(pbx, "+886020")[0] == 486
    assert (len(v6.take()), len(v4.take())) == (1, 0)
    v6.invite = 0
    assert dial(pbx, "+886021")[0] == 486
    assert (len(v6.take()), len(v4.take())) == (1, 1)
    v6.invite = 486

    # Each answer takes its time; a call to an address does not wait for it.
    server.delay = 0.3
    _ttl_ends(w)
    other = w.group.add(Line(w.peer("itsp", port=5060)))
    slow = Side(pbx)
    began = time.time()
    slow.call("+886030")
    assert dial(w.peer("pbx", n=10, port=5061), "+4940123")[0] == 486
    quick = time.time() - began
    slow.ack_failure(slow.expect("486", passing=("1",)))
    took = time.time() - began
    assert len(other.take()) == 1 and quick < took and took > 0.3, (
        quick, took)
