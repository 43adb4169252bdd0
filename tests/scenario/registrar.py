# SPDX-License-Identifier: Apache-2.0
"""The registrar beyond a plain registration: RFC 3261 10.3 in its corners, and
extensions that we register at their PBX."""
import re
import time

from harness import proc
from harness.cases import case
from harness.dialog import Side
from harness.itsp import Digest, Registrar, fields_of, reply
from harness.net import LINKS
from harness.sip import authorization, challenge_of

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
SECRET = "pbx-secret-of-101"


def _phone(w, account, n, expires=300):
    p = w.peer("phones", n=n, port=5080)
    assert p.register(PHONES.edge, account["username"], account["password"],
                      expires).status == 200
    return p


def _leave(p, account):
    assert p.register(PHONES.edge, account["username"], account["password"],
                      0).status == 200


@case("R3 R12 R19 R42", seconds=13, gate="own")
def surrogate_registration(w):
    """An account that the PBX knows as its own phone: when SQL says so, and
    from the first of its phones to the last, we are registered there, by the
    extension's own password; the PBX's call to that Contact rings all its
    phones, a call of a phone is challenged as that extension; a killed sbc
    goes on with the registration."""
    w.make_gate(settings="")
    w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd's key")
    account = w.add_phone()
    ext = account["extension"]
    pbx = w.peer("pbx", port=5060)
    digest = Digest("pbx.local", ext, SECRET)
    reg = Registrar(pbx, digest)
    one = _phone(w, account, 10)
    # The phone is there already when SQL says it.
    said = w.sql(f"set role sbc_admin; select sbc.register_at_pbx('{ext}', "
                 f"'pbx', '{SECRET}', digest_realm => 'pbx.local')")
    assert "sealed" in said, said
    first = reg.register(expires=300)
    assert first.first == f"REGISTER sip:{PBX.host()}:5060 SIP/2.0"
    assert reg.contact == f"sip:{ext}@{PBX.edge}:5060", reg.contact
    w.wait(lambda: w.gate.ctl("registrations")[0]["registrations"][0]["pbx"]
           == "registered", "the registration at the PBX")
    two = _phone(w, account, 11)

    a, b, c = Side(pbx), Side(one, 7100), Side(two, 7200)
    a.call_id, a.target = a.tag, reg.contact
    a.local, a.remote = f"<sip:700@{PBX.host()}>;tag={a.tag}", f"<{reg.contact}>"
    a.invite_cseq = a.cseq
    a.invite = a._message("INVITE", a.cseq, a.branch(), (), a.sdp())
    pbx.send(a.invite)
    b.taken(b.expect("INVITE"))
    c.taken(c.expect("INVITE"))
    b.answer(b.invite, 180)
    a.expect("180")
    c.answer(c.invite, 200, c.sdp())
    c.expect("ACK")
    cancel = b.expect("CANCEL")
    b.answer(cancel, 200)
    b.answer(b.invite, 487)
    a.answered(a.expect("200"))
    a.ack()
    a.request("BYE")
    c.answer(c.expect("BYE"), 200)
    a.expect("200")
    w.cdr(ext, caller="700", called_leg__extension=ext)

    before = (reg.call_id, reg.cseq)
    mark = w.gate.kill_daemon("sbc")
    w.faults_allowed = True
    w.gate.wait_event("settings_applied", since=mark, process="sbc",
                      timeout=20)
    again = reg.register(expires=300)
    assert (again.get("call-id"), reg.cseq > before[1]) == (before[0], True)
    assert f"sip:{ext}@{PBX.edge}:5060" == reg.contact

    # A phone's call is this extension's call: the PBX's challenge to it has
    # the extension's answer.
    number = "7" + w.number()[1][-5:]
    uri = f"sip:{number}@{PHONES.edge}"
    p = Side(two, 7300)
    p.call(number, user=account["username"])
    first = p.expect("401")
    p.ack_failure(first)
    value = authorization(challenge_of(first), account["username"],
                          account["password"], "INVITE", uri)
    p.request("INVITE", [f"Authorization: {value}"], p.sdp())
    s = Side(pbx, 7400)
    m = s.expect("INVITE", passing=("REGISTER",))
    reply(pbx, m, 401, "WWW-Authenticate: " + digest.challenge())
    s.expect("ACK", passing=("REGISTER",))
    m = s.expect("INVITE", passing=("REGISTER",))
    digest.check(m)
    assert f"<sip:{ext}@" in m.get("from"), m.get("from")
    s.taken(m)
    s.answer(m, 486)
    p.ack_failure(p.expect("486"))
    s.expect("ACK", passing=("REGISTER",))

    # The last phone to leave takes the registration along.
    _leave(one, account)
    _leave(two, account)
    m = reg.next()
    assert m.get("expires") == "0", m.headers
    reg.challenge(m)
    reg.accept(reg.next(), 0)
    w.gate.wait_event("surrogate", since=mark, process="sbc",
                      reason="surrogate_ended")
    assert SECRET not in w.gate.log_text()
    assert not w.rows("select 1 from sbc.surrogate_credential where sealed is "
                      "null or ha1_md5 is not null")
    w.no_leaks(account)
