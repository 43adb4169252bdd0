# SPDX-License-Identifier: Apache-2.0
"""A trunk whose target is a name (RFC 3263): a name server of our own stands
beside the ITSP."""
import time

from harness import dns
from harness.cases import case
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
                  who="pbx-" + called[1:], **options)


def _refused(w, called, code):
    w.sipp("pbx", "uac_refused", target=True, service=called, code=code,
           who="pbx-" + called[1:]).done()


@case("R8 R11", seconds=14, gate="own")
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
    w.wait(lambda: time.time() - began > 1.5, "the TTL to pass") \
        if (began := time.time()) else None
    _call(w, "+8822222", port=5061).done()
    moved.done()
    w.cdr("+8822222", sip_status=200, attempts=1)
    assert len(server.asked) > known


@case("R8 R11 R3", seconds=12, gate="own")
def a_name_that_fails(w):
    """A name that leads inside is refused for an outside trunk; a dead name
    server costs two seconds and the call goes to the next trunk."""
    server = _begin(w)
    for address in (PBX.host(13), PBX.edge, ITSP.edge, "127.0.0.1"):
        server.set(NAME, "A", address)
        called = "+8830" + address.replace(".", "")
        _refused(w, called, 503)
        w.cdr(called, sip_status=503, reason_text="route_dns_inside")
        # The next answer is to be a new one.
        end = time.time() + 1.2
        w.wait(lambda end=end: time.time() > end, "the TTL to pass")
    assert not [p for p in w.sip_to("pbx") if p.data.startswith(b"INVITE")]

    server.records.clear()
    end = time.time() + 1.2
    w.wait(lambda: time.time() > end, "the TTL to pass")
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
