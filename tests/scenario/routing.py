# SPDX-License-Identifier: Apache-2.0
"""Where calls go: number rules, priorities and weights, groups, failover, what
is blocked and limited, emergencies, who rings and who is shown."""
from harness.cases import case
from harness.dialog import Side
from harness.itsp import Line, dial
from harness.net import LINKS
from harness.sip import authorization, challenge_of

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
OURS = "+4930555000"


def _line(w, n, **how):
    return w.group.add(Line(w.peer("itsp", n=n, port=5060), **how))


def _test(w, *args):
    """What route-test says: (route, SIP status, trunks)."""
    said = w.gate.ctl("route-test", *args)[0]
    return (said["route"], said["sip_status"],
            [t["trunk"] or t["kind"] for t in said["targets"]])


SETTINGS = "".join(
    f"select sbc.add_trunk('t{n}', '{ITSP.host(10 + n)}', 'public', "
    "port => 5060);" for n in (1, 2, 3)) + """
select sbc.add_trunk_group('pair', 't1', 't2');
select sbc.add_route('by-group', '+71', '{pair,t3}', priority => 5);
select sbc.add_route('by-regex', '^\\+72[0-9]{4}$', '{t3}', priority => 5,
	regex => true);
select sbc.add_route('no-72', '+72', '{reject}', priority => 6,
	reject_code => 410);
select sbc.add_route('longer', '+7399', '{t2}', priority => 4);
select sbc.add_route('shorter', '+73', '{t1}', priority => 5);
select sbc.add_route('fails-over', '+74', '{t1,t2}', priority => 5);
select sbc.add_route('on-busy', '+75', '{t1,t2}', priority => 5);
update sbc.route set failover_causes = '{486}' where name = 'on-busy';
select sbc.add_route('silent', '+76', '{t1,t2,t3}', priority => 5);
update sbc.route set timeout_s = 1 where name in ('silent', 'by-group');
select sbc.add_route('probed', '+77', '{t3,t1}', priority => 5);
select sbc.add_route('from-one', '+78', '{t2}', 't1', priority => 3);
select sbc.add_route('by-caller', '+78', '{t3}', caller => '+49305550009',
	priority => 4);
select sbc.add_route('others', '+78', '{reject}', priority => 5);
"""


@case("R11", seconds=13, gate="own")
def choices(w):
    """Prefix and expression, the lower priority first, both trunks of a group
    by their weights and then the next one; a cause of the list goes on, another
    one does not; silence goes on after the route's time; probes take a trunk
    out and put it back; the source and the caller decide; route-test says the
    same without a call."""
    w.make_gate(settings="")
    one, two = _line(w, 11), _line(w, 12)
    three = _line(w, 13, options=503)
    w.settings(SETTINGS + "update sbc.trunk set options_interval_s = 5 "
               "where name = 't3';")
    lines = (one, two, three)
    pbx = w.peer("pbx", port=5060)

    def who(number, **how):
        status = dial(pbx, number, **how)[0]
        return status, [len(line.take()) for line in lines]

    # Out of service within the first seconds: nobody waits for it.
    w.gate.wait_event("trunk_down", process="sbc", timeout=20)
    assert who("+777001") == (486, [1, 0, 0])
    assert _test(w, "pbx", "+777001") == ("probed", 0, ["t1"])
    three.options = 200

    used = [who(f"+7100{i:02}")[1] for i in range(16)]
    both = [sum(column) for column in zip(*used)]
    assert both[0] > 0 and both[1] > 0 and both[2] == 0, both
    assert all(sum(row) == 1 for row in used), used   # 486 goes nowhere else
    assert who("+7212345") == (410, [0, 0, 0])
    assert _test(w, "pbx", "+7212345") == ("no-72", 410, [])
    assert who("+739955") == (486, [0, 1, 0])
    assert who("+739855") == (486, [1, 0, 0])
    assert who("+740001") == (486, [1, 0, 0])
    one.invite = 500
    assert who("+740002") == (486, [1, 1, 0])
    assert who("+750001") == (500, [1, 0, 0])
    one.invite = 486
    two.invite = 404
    assert who("+750002") == (404, [1, 1, 0])
    two.invite = 486
    assert who("+780001") == (403, [0, 0, 0])
    assert _test(w, "t1", "+780001") == ("from-one", 0, ["t2"])
    assert _test(w, "pbx", "+780001") == ("others", 403, [])

    w.gate.wait_event("trunk_up", process="sbc", timeout=20)
    assert who("+777002") == (486, [0, 0, 1])
    assert who("+721234") == (486, [0, 0, 1])
    one.invite = two.invite = 503
    assert who("+710099") == (486, [1, 1, 1])
    w.cdr("+710099", attempts=3, sip_status=486, route_name="by-group")
    assert sorted(_test(w, "pbx", "+710099")[2][:2]) == ["t1", "t2"]
    # Silence, and a status of the list; the third one is the end.
    one.invite, two.invite = 0, 503
    assert who("+760001") == (486, [1, 1, 1])
    w.cdr("+760001", attempts=3, sip_status=486)
    assert who("+780001", user=OURS + "9") == (486, [0, 0, 1])
    assert _test(w, "pbx", "+780001", OURS + "9") == ("by-caller", 0, ["t3"])


LIMITS = f"""
select sbc.add_emergency('112', 'itsp');
update sbc.trunk set max_calls = 1, limit_code = 480 where name = 'pbx';
update sbc.trunk set max_calls = 1, limit_code = 486 where name = 'itsp';
select sbc.add_trunk('slow', '{ITSP.host(11)}', 'public', port => 5060);
select sbc.block_caller('+4989666', note => 'telephone sales');
select sbc.block_caller('anonymous', 'slow');
update sbc.setting set value = '429' where name = 'account_limit_code';
"""


@case("R11 R13 R47", seconds=8, gate="own")
def limits_and_callers(w):
    """Beyond its calls or its rate a trunk, a PBX and a phone hear the code that
    SQL says, 503 with Retry-After; an emergency passes all of it, from each; a
    blocked and an anonymous caller are refused; each number of an extension
    rings all its phones; a phone is shown as its account says."""
    w.make_gate(settings="")
    account = w.add_phone(max_calls="1")
    ext, number = account["extension"], account["number"]
    second = "+4930" + str(int(number[5:]) + 500)
    w.settings(LIMITS)
    w.sql(f"select sbc.add_number('{ext}', '{second}'); update sbc.account "
          f"set caller_number = '{second}' where extension = '{ext}'")
    pbx, itsp = w.peer("pbx", port=5060), w.peer("itsp", port=5060)
    slow = w.peer("itsp", n=11, port=5060)
    phones = [w.peer("phones", n=n, port=5080) for n in (10, 11)]
    for p in phones:
        assert p.register(PHONES.edge, account["username"],
                          account["password"]).status == 200

    # Both numbers ring both phones.
    for called in (number, second):
        a, b, c = Side(itsp), Side(phones[0], 7200), Side(phones[1], 7300)
        a.call(called)
        for s in (b, c):
            s.taken(s.expect("INVITE"))
            s.answer(s.invite, 180)
        b.answer(b.invite, 486)
        b.expect("ACK")
        c.answer(c.invite, 486)
        c.expect("ACK")
        a.ack_failure(a.expect("486", passing=("1",)))
        w.cdr(called, called_leg__extension=ext)

    # Its call goes out with its number; while it stands all three are full.
    def phone_calls(n, called):
        s = Side(phones[n], 7400)
        s.call(called, user=account["username"])
        first = s.expect("401")
        s.ack_failure(first)
        value = authorization(
            challenge_of(first), account["username"], account["password"],
            "INVITE", f"sip:{called}@{PHONES.edge}")
        s.request("INVITE", [f"Authorization: {value}"], s.sdp())
        return s

    up, out = phone_calls(0, "+4940333"), Side(itsp, 7100)
    m = out.expect("INVITE")
    assert f"<sip:{second}@" in m.get("from"), m.get("from")
    out.taken(m)
    out.answer(m, 200, out.sdp())
    out.expect("ACK")
    up.answered(up.expect("200", passing=("1",)))
    up.ack()
    again = phone_calls(1, "+4940334")
    again.ack_failure(again.expect("429"))
    w.cdr("+4940334", reason_text="limit_account_calls", sip_status=429)
    status, *_ = dial(pbx, "+4940335")     # the trunk is full
    assert status == 486, status
    w.cdr("+4940335", reason_text="limit_trunk_calls")
    in_use, there = Side(pbx), Side(slow, 7100)
    w.settings("select sbc.add_route('to-slow', '+41', '{slow}', "
               "priority => 5)")
    in_use.call("+41444")                   # the PBX's only call
    there.taken(there.expect("INVITE"))
    there.answer(there.invite, 180)
    in_use.expect("180")
    assert dial(pbx, "+41445")[0] == 480

    # Emergencies: of the PBX, and of the phone that is in a call, though the
    # whole SBC has as many calls as it may.
    w.settings("update sbc.setting set value = '1' where name = 'max_calls'")
    assert dial(itsp, number)[0] == 503
    e = Side(pbx)
    e.call("112", user=OURS + "7")
    for caller in (e, None):
        if caller is None:
            caller = phone_calls(1, "112")
        s = Side(itsp, 7500)
        m = s.expect("INVITE")
        assert m.first.startswith("INVITE sip:112@"), m.first
        s.taken(m)
        s.answer(m, 480)
        s.expect("ACK")
        caller.ack_failure(caller.expect("480", passing=("1",)))
    w.settings("update sbc.setting set value = '0' where name = 'max_calls'")
    there.answer(there.invite, 486)
    there.expect("ACK")
    in_use.ack_failure(in_use.expect("486", passing=("1",)))
    up.request("BYE")
    out.answer(out.expect("BYE"), 200)
    up.expect("200")

    # Who is blocked, and who does not say who he is.
    assert dial(itsp, number, user="+4989666123")[0] == 603
    assert _test(w, "itsp", number, "+4989666123")[1] == 603
    assert _test(w, "itsp", number, "+4989667123")[1] == 0
    assert dial(slow, number, user="anonymous")[0] == 433
    assert _test(w, "slow", number)[1] == 433
    assert _test(w, "itsp", number)[1] == 0

    # One call per second of the slow one: of three at once one is too many,
    # whatever is left of the second before.
    w.settings("update sbc.trunk set limit_code = 503, max_calls_per_s = 1 "
               "where name = 'slow'")
    for i in range(3):
        Side(slow).call(f"+4955{i}", user="+4989777")
    m = slow.receive()
    while m and m.status != 503:
        m = slow.receive()
    assert m and m.get("retry-after"), m and m.first
