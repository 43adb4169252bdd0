# SPDX-License-Identifier: Apache-2.0
"""Trunks that are played by sipp, message by message as its scenario files have
them: what a trunk by address and one by registration do in daily work."""
import re
import secrets

from harness.cases import case
from harness.net import LINKS

ITSP = LINKS["itsp"]
OURS = "+4930555000"       # of the PBX's people

BY_ADDRESS = f"""
select sbc.add_trunk('moves', '{ITSP.host(11)}', 'public', port => 5060);
update sbc.trunk set follow_redirects = true where name = 'moves';
select sbc.add_route('to-moves', '+861', '{{moves}}', priority => 5);
select sbc.add_trunk('pair', '{ITSP.host(12)}', 'public', port => 5060);
insert into sbc.trunk_target (trunk, host, port, priority)
	select id, '{ITSP.host(13)}', 5060, 200 from sbc.trunk where name = 'pair';
select sbc.add_route('to-pair', '+862', '{{pair}}', priority => 5);
"""


def _out(w, called, *uas, scenario="uac_call_silent", **options):
    """The PBX calls; everybody's scenario has to end well."""
    uac = w.sipp("pbx", scenario, target=True, service=called, hold=100,
                 caller=f"{OURS}7", **options)
    uac.done()
    for s in uas:
        s.done()


@case("R2 R3 R9 R11 R44", seconds=15, gate="own")
def by_address(w):
    """A trunk that is its address: it calls and is called; a 302 is followed to
    another trunk; 503 goes on to the next target; early media comes reliably
    and stands; the trunk holds and takes back; its answer crosses our CANCEL;
    session intervals that are too short, in either direction."""
    w.make_gate(settings=BY_ADDRESS)
    first, second = w.number()[1][-5:], w.number()[1][-5:]

    moved = w.sipp("itsp", "uas_redirect", n=11, number=f"+862{first}")
    busy = w.sipp("itsp", "uas_refuse", n=12, code=503, reason="planted-full")
    next_one = w.sipp("itsp", "uas_call_silent", n=13, port=5060)
    _out(w, f"+861{first}", moved, busy, next_one)
    row = w.cdr(f"+862{first}", called_leg__trunk_name="pair", sip_status=200,
                called_leg__peer=f"{ITSP.host(13)}:5060")
    chain = [step["reason"] for step in row["decisions"]]
    # Redirected, followed, routed anew; overloaded, the next one answers.
    assert chain[2:6] == [420, 430, 300, 423], chain

    _out(w, f"+40{first}", w.sipp("itsp", "uas_early"))
    w.cdr(f"+40{first}", sip_status=200)
    _out(w, f"+41{first}", w.sipp("itsp", "uas_holds"), scenario="uac_held")
    w.cdr(f"+41{first}", hangup_side="called", sip_status=200)
    _out(w, f"+42{first}", w.sipp("itsp", "uas_cancel_race"),
         scenario="uac_cancel")
    w.cdr(f"+42{first}", sip_status=487, hangup_side="caller")
    _out(w, f"+43{first}", w.sipp("itsp", "uas_interval"),
         scenario="uac_call_silent", port=5090)
    w.cdr(f"+43{first}", sip_status=200)

    house = w.sipp("pbx", "uas_call_silent")
    w.sipp("itsp", "uac_interval", target=True, service=f"7{second}").done()
    house.done()
    w.wait(lambda: sorted(r["sip_status"] for r in w.rows(
        f"select sip_status from sbc.cdr where called = '7{second}'"))
           == [200, 422], "the refused and the answered call")
    w.no_leaks()


@case("R2 R3 R5 R11", seconds=10, gate="own")
def by_registration(w):
    """A trunk that we register at: its challenge, checked with the password;
    the call that goes there is challenged (401), its BYE, too (407); a call
    from there comes to what was registered."""
    w.make_gate(settings="")
    w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd's key")
    called, number = (w.number()[1][-5:] for _ in range(2))
    words = {"user": "login7", "password": "secret-of-7", "realm": "reg.test",
             "nonce": secrets.token_hex(8)}
    registrar = w.sipp("itsp", "uas_registrar", n=11, **words)
    w.settings(f"""
select sbc.add_trunk_registration('reg', '{ITSP.host(11)}', 'login7',
	'secret-of-7', 'public', digest_realm => 'reg.test',
	domain => 'reg.test');
select sbc.add_route('to-reg', '+87', '{{reg}}', priority => 5);
select sbc.add_route('in', '+88', '{{pbx}}', priority => 5);""")
    registrar.done()
    w.gate.wait_event("trunk_registration", process="sbc",
                      reason="trunk_registered")
    contact = re.findall(r"Contact: <sip:([^@]+)@([^>;]+);line=\w+>",
                         registrar.messages())[-1]
    assert contact == ("login7", f"{ITSP.edge}:5060"), contact

    _out(w, f"+87{called}", w.sipp("itsp", "uas_challenges", n=11, **words))
    w.cdr(f"+87{called}", sip_status=200, called_leg__trunk_name="reg")
    house = w.sipp("pbx", "uas_call_silent")
    w.sipp("itsp", "uac_call_silent", n=11, target=True, hold=100,
           service=f"+88{number}").done()
    house.done()
    w.cdr(f"+88{number}", sip_status=200, caller_leg__trunk_name="reg")
    w.no_leaks()
    assert not any(b"secret-of-7" in p.data for p in w.packets("itsp"))
