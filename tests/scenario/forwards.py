# SPDX-License-Identifier: Apache-2.0
"""What accounts may do with calls and texts of their own: phones that forward
their calls by themselves (302), and texts by account."""
import re

from harness.cases import case
from harness.net import LINKS
from scenario.dialogs import FINAL, alive, confirm

PBX = LINKS["pbx"]
PLANTED = "203.0.113.222"  # the host of a forwarding Contact: nobody's


def _moved(phone, number, rings=False):
    """The phone forwards the call that comes."""
    phone.taken(phone.expect("INVITE"))
    if rings:
        phone.answer(phone.invite, 180)
    phone.answer(phone.invite, 302, extra=[
        f"Contact: <sip:{number}@{PLANTED};transport=tcp>"])
    phone.expect("ACK")


def _talk(w, a, b):
    """b answers what has come from a; the call works and ends."""
    b.answer(b.invite, 200, b.sdp())
    b.expect("ACK")
    confirm(w, a)
    alive(a, b)
    a.request("BYE")
    b.answer(b.expect("BYE"), 200)
    a.expect("200")


def _refused(w, caller, called, status, reason):
    m = caller.expect(FINAL)
    assert m.status == status, m.first
    assert not m.all("contact"), m.data
    caller.ack_failure(m)
    w.wait(lambda: w.rows(
        "select 1 from sbc.cdr c join sbc.reason r on r.number = c.reason "
        f"where c.called = '{called}' and c.sip_status = {status} and "
        f"r.text = '{reason}'"), f"the CDR of a call to {called}: {reason}")


def _phone(w, port, settings=""):
    """One whose account has these settings before anybody asks for it."""
    account = w.add_phone()
    if settings:
        w.sql(settings.format(account["extension"]))
    return w.side("phones", port, 2040 + port, account)


def _out(w):
    return "+4940" + w.number()[1][-7:]


def _told_to_the_pbx(w, pbx, one, two):
    """302 with a Contact at the PBX, after the account's other phone has
    refused too."""
    who = one.who["extension"]
    pbx.call(who, "701")
    _moved(one, "702")
    two.taken(two.expect("INVITE"))
    pbx.silent(0.05, passing=("100",))
    two.answer(two.invite, 486)
    two.expect("ACK")
    m = pbx.expect("302")
    assert m.get("contact") == f"<sip:702@{PBX.host()}>", m.data
    pbx.ack_failure(m)
    w.cdr(who, sip_status=302, reason_text="call_forward_told",
          hangup_side="called")


def _followed(w, itsp, far, one, other):
    """To a colleague, and out again: as a call of the phone's account, with
    word of who sent it, whatever host the phone has named."""
    who = one.who
    itsp.call(who["number"])
    _moved(one, other.who["extension"], rings=True)
    itsp.expect("180")
    other.taken(other.expect("INVITE"))
    assert "+4989123456@" in other.invite.get("from"), other.invite.data
    _talk(w, itsp, other)
    out = _out(w)
    itsp.call(who["number"])
    _moved(one, out)
    far.taken(far.expect("INVITE"))
    m = far.invite
    assert f"sip:{out}@" in m.first, m.first
    assert PLANTED not in m.data.decode(), m.data
    assert re.fullmatch(rf"<sip:\{who['number']}@[^>]+>;reason=unconditional",
                        m.get("diversion")), m.data
    _talk(w, itsp, far)
    row = w.cdr(out, sip_status=200)
    steps = w.rows("select e.reason from sbc.call_explain e where e.call = "
                   f"'{row['call']}'")
    assert {"reason": "call_forwarded"} in steps, steps


def _bounded(w, itsp, one, other, national):
    """Two phones that forward to each other, a phone to itself, to the
    emergency number, and to a class that its account may not call."""
    who = one.who
    itsp.call(who["number"])
    for n in range(6):
        phone, to = ((one, other), (other, one))[n % 2]
        _moved(phone, to.who["extension"])
    _refused(w, itsp, other.who["extension"], 480, "call_forward_refused")
    itsp.call(who["number"])
    _moved(one, who["number"])
    _refused(w, itsp, who["number"], 480, "call_redirected")
    itsp.call(who["number"])
    _moved(one, "112")
    _refused(w, itsp, "112", 480, "call_forward_refused")
    out = _out(w)
    itsp.call(national.who["number"])
    _moved(national, out)
    _refused(w, itsp, out, 403, "limit_destination")


def _limited(w, itsp, far, phone):
    """The account's calls per hour hold for what its phone forwards."""
    itsp.call(phone.who["number"])
    _moved(phone, _out(w))
    far.taken(far.expect("INVITE"))
    far.answer(far.invite, 486)
    far.expect("ACK")
    itsp.ack_failure(itsp.expect("486"))
    out = _out(w)
    itsp.call(phone.who["number"])
    _moved(phone, out)
    _refused(w, itsp, out, 403, "limit_account_hour")


def _outlives(w, itsp, far, phone):
    """What a phone has sent on takes its account's place until it ends, also
    after a kill."""
    number = phone.who["number"]
    itsp.call(number)
    _moved(phone, _out(w))
    far.taken(far.expect("INVITE"))
    far.answer(far.invite, 200, far.sdp())
    far.expect("ACK")
    confirm(w, itsp)
    w.faults_allowed = True
    mark = w.gate.kill_daemon("sbc")
    w.gate.wait_event("calls_restored", since=mark, process="sbc", calls=1,
                      timeout=20)
    w.gate.wait_event("listening", since=mark, process="sbc", timeout=20)
    other = w.side("itsp", 5080, 7700)
    other.call(number)
    other.ack_failure(other.expect("486"))
    alive(itsp, far)
    itsp.request("BYE")
    far.answer(far.expect("BYE"), 200)
    itsp.expect("200")
    other.call(number)
    phone.taken(phone.expect("INVITE"))
    phone.answer(phone.invite, 603)
    phone.expect("ACK")
    other.ack_failure(other.expect("603"))


@case("R11 R12 R13 R47 R52", seconds=10, gate="own", limit=180)
def phones_forward(w):
    """A phone's own 302: a PBX is told, at itself; other calls are followed as
    calls of the phone's account, within its rights and limits and a number of
    hops, over a kill of sbc, too; the account's policy."""
    w.make_gate(settings="""
        select sbc.add_route('emergency', '112', '{itsp}', priority => 1);
        update sbc.route set emergency = true where name = 'emergency';
        select sbc.set_route_class('to-itsp', 'national');""")
    account = w.add_phone()
    one = w.side("phones", 5060, 7100, account)
    other = _phone(w, 5070)
    itsp = w.side("itsp", 5070, 7300)
    far = w.side("itsp", 5060, 7400)
    pbx = w.side("pbx", 5060, 7500)
    _followed(w, itsp, far, one, other)
    _bounded(w, itsp, one, other,
             _phone(w, 5080, "select sbc.allow_classes('{}', 'mobile')"))
    _limited(w, itsp, far, _phone(
        w, 5090, "select sbc.limit_phone('{}', max_calls_per_hour => 1)"))
    for n, policy in enumerate(("refuse", "pbx")):
        phone = _phone(w, 5100 + 10 * n,
                       f"select sbc.set_phone_forwards('{{}}', '{policy}')")
        itsp.call(phone.who["number"])
        _moved(phone, "702")
        _refused(w, itsp, phone.who["number"], 480, "call_redirected")
    phone = _phone(w, 5120, "select sbc.set_phone_forwards('{}', 'follow')")
    pbx.call(phone.who["extension"], "701")
    _moved(phone, _out(w))
    far.taken(far.expect("INVITE"))
    _talk(w, pbx, far)
    two = w.side("phones", 5130, 7600, account)
    _told_to_the_pbx(w, pbx, one, two)
    _outlives(w, itsp, far, _phone(
        w, 5140, "select sbc.limit_phone('{}', max_calls => 1)"))
    for side in (one, two, other, itsp, far, pbx):
        side.silent(0.05)


@case("R12", seconds=5, gate="own")
def texts_by_account(w):
    """An account that may not use texts neither sends nor gets any, outside
    and inside of calls; others go on."""
    w.make_gate(settings="""
        select sbc.allow_messages('phones'), sbc.allow_messages('inside');""")
    pbx = w.side("pbx", 5060, 7200)
    quiet = _phone(w, 5060, "select sbc.allow_phone_messages('{}', false)")
    other = _phone(w, 5070)

    def text(phone, status):
        who = phone.who["extension"]
        pbx.call_id = pbx.branch()
        pbx.target = f"sip:{who}@{PBX.edge}"
        pbx.local = f"<sip:700@{PBX.host()}>;tag={pbx.tag}"
        pbx.remote = f"<{pbx.target}>"
        pbx.request("MESSAGE", ["Content-Type: text/plain"], "hello")
        if phone is other:
            phone.answer(phone.expect("MESSAGE"), 200)
        pbx.expect(status)
    text(other, "200")
    text(quiet, "403")
    # Inside a call, from either side.
    pbx.call(quiet.who["extension"], "701")
    quiet.taken(quiet.expect("INVITE"))
    quiet.answer(quiet.invite, 200, quiet.sdp())
    quiet.expect("ACK")
    confirm(w, pbx)
    for side in (quiet, pbx):
        side.request("MESSAGE", ["Content-Type: text/plain"], "inside")
        side.expect("403")
    pbx.request("BYE")
    quiet.answer(quiet.expect("BYE"), 200)
    pbx.expect("200")
