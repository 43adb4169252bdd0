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


def _gone(reg, user, call_id):
    """Takes the REGISTER that takes a registration back, with its challenge:
    by the words that it was made with."""
    m = reg.next()
    assert m.get("expires") == "0" and f"<sip:{user}@" in m.get("to"), m.headers
    assert m.get("call-id") == call_id, m.headers
    contact = re.search(r"<([^>]+)>", m.get("contact")).group(1)
    assert contact == reg.contact, (contact, reg.contact)
    reg.challenge(m)
    reg.accept(reg.next(), 0)


@case("R5 R11 R12 R19", seconds=12, gate="own")
def taken_back(w):
    """What we have registered elsewhere is taken back when it is wanted no
    longer, with a challenge: a trunk's that gets another login, is disabled,
    is deleted; an extension's that gets another number, whose PBX is disabled,
    whose account is disabled, is deleted. What is wanted instead follows."""
    w.make_gate(settings="")
    w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd's key")
    net, pbx = w.peer("itsp", n=11, port=5060), w.peer("pbx", port=5060)
    digest = Digest("back.test", "3001t0", "secret-a")
    reg = Registrar(net, digest)
    w.settings("select sbc.add_trunk_registration('back', "
               f"'{ITSP.host(11)}', '3001t0', 'secret-a', 'public', "
               "digest_realm => 'back.test', domain => 'back.test');")
    reg.register()
    w.gate.wait_event("trunk_registration", process="sbc",
                      reason="trunk_registered")
    first = reg.call_id
    w.sql("update sbc.trunk set register_user = 'other' where name = 'back'")
    _gone(reg, "3001t0", first)
    m = reg.register()
    assert "<sip:other@" in m.get("to") and m.get("call-id") != first
    second = m.get("call-id")
    w.sql("update sbc.trunk set enabled = false where name = 'back'")
    _gone(reg, "other", second)
    w.sql("update sbc.trunk set enabled = true where name = 'back'")
    m = reg.register()
    assert m.get("call-id") not in (first, second), m.headers
    w.sql("delete from sbc.trunk where name = 'back'")
    _gone(reg, "other", m.get("call-id"))
    w.wait(lambda: len(w.rows(
        "select 1 from sbc.event where reason = 1014")) == 3, "three events")

    account = w.add_phone()
    ext = account["extension"]
    digest = Digest("pbx.local", ext, SECRET)
    reg = Registrar(pbx, digest)
    phone = _phone(w, account, 10)
    w.sql(f"set role sbc_admin; select sbc.register_at_pbx('{ext}', 'pbx', "
          f"'{SECRET}', digest_realm => 'pbx.local')")
    reg.register()
    other = w.number()[0]
    w.sql(f"update sbc.account set extension = '{other}' where extension = "
          f"'{ext}'")
    _gone(reg, ext, reg.call_id)
    m = reg.register()
    assert f"<sip:{other}@" in m.get("to"), m.headers
    w.sql("update sbc.trunk set enabled = false where name = 'pbx'")
    _gone(reg, other, reg.call_id)
    # Without any PBX its phones are called all the same.
    a, b = Side(w.peer("itsp", port=5060)), Side(phone, 7200)
    a.call(account["number"])
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 486)
    b.expect("ACK")
    a.ack_failure(a.expect("486", passing=("1",)))
    w.sql("update sbc.trunk set enabled = true where name = 'pbx'")
    reg.register()
    w.sql(f"update sbc.account set enabled = false where extension = '{other}'")
    _gone(reg, other, reg.call_id)
    w.sql(f"update sbc.account set enabled = true where extension = '{other}'")
    reg.register()
    w.sql(f"delete from sbc.account where extension = '{other}'")
    _gone(reg, other, reg.call_id)
    w.wait(lambda: not w.gate.ctl("registrations")[0]["registrations"],
           "the deleted account's contact to go")
    assert phone.register(PHONES.edge, account["username"],
                          account["password"]).status in (401, 403)
    w.no_leaks()


# ------------------------------------------------------------ RFC 3261 10.3

class Registrant:
    """REGISTERs with any contacts, by one nonce as long as it is good."""

    def __init__(self, peer, account):
        self.peer, self.account = peer, account
        self.challenge, self.nc = None, 0
        self.aor = f"{account['username']}@{PHONES.edge}"
        self.uri = f"sip:{PHONES.edge}"

    def text(self, headers):
        self.nc += 1
        value = authorization(self.challenge, self.account["username"],
                              self.account["password"], "REGISTER", self.uri,
                              nc=self.nc)
        return self.peer.request("REGISTER", self.uri, self.aor, headers=[
            *headers, f"Authorization: {value}"], contact=False)

    def do(self, *headers):
        """The final answer to a REGISTER with these headers."""
        if not self.challenge:
            self.peer.send(self.peer.request(
                "REGISTER", self.uri, self.aor, headers=list(headers),
                contact=False))
            self.challenge = challenge_of(self.peer.final())
        self.peer.send(self.text(headers))
        answer = self.peer.final()
        if answer.status == 401:
            self.challenge, self.nc = challenge_of(answer), 0
            self.peer.send(self.text(headers))
            answer = self.peer.final()
        return answer

    @staticmethod
    def contacts(answer):
        """URI: parameters, of all bindings that the answer lists."""
        return dict(re.findall(r"<([^>]+)>([^,]*)",
                               ", ".join(answer.all("contact"))))


UUID = "<urn:uuid:00000000-0000-1000-8000-00000000abcd>"


@case("R3 R12 R53", seconds=13, gate="own")
def corners(w):
    """Several contacts with q; the order of CSeq and Call-ID; `*`; too brief
    and too long; a REGISTER that fails leaves everything as it was; an
    instance that comes back takes its old place; Path is the way of a call;
    no GRUU; a storm of refreshes; a phone behind a NAT is kept open in its own
    rhythm."""
    w.make_gate(settings="update sbc.realm set expires_max_s = 900, "
                "expires_min_s = 30 where name = 'phones'; update sbc.setting "
                "set value = '5000' where name in ('unknown_rate', "
                "'source_rate');")
    account = w.add_phone()
    other = w.add_phone()
    w.sql(f"update sbc.account set keepalive_s = 10 where extension = "
          f"'{other['extension']}'")
    p = w.peer("phones", n=10, port=5080)
    r = Registrant(p, account)
    one, two = (f"sip:a@{PHONES.host()}:508{i}" for i in (0, 1))
    # A private address in Contact: behind a NAT.
    nat = w.peer("phones", n=12, port=5090)
    assert Registrant(nat, other).do(
        "Contact: <sip:n@192.168.7.7:5060>", "Expires: 300").status == 200

    a = r.do(f"Contact: <{one}>;q=0.5;expires=100, <{two}>;q=1.0",
             "Expires: 5000", "Supported: gruu, outbound")
    have = r.contacts(a)
    assert a.status == 200 and a.get("date"), a.headers
    assert "expires=100" in have[one] and "q=0.5" in have[one], have
    assert "expires=900" in have[two], have          # cut
    assert "gr" not in re.sub(r"gruu", "", str(have)) and "gruu" not in \
        str(a.headers), a.headers
    assert len(r.contacts(r.do())) == 2              # asks only
    brief = r.do(f"Contact: <{one}>;expires=300, <{two}>;expires=29")
    assert (brief.status, brief.get("min-expires")) == (423, "30")
    assert "expires=100" in r.contacts(r.do())[one] or \
        "expires=9" in r.contacts(r.do())[one]       # nothing was changed

    # Older CSeq of the same Call-ID: nothing; of another Call-ID: taken.
    p.cseq -= 6
    assert r.do(f"Contact: <{one}>;expires=200").status == 500
    p.cseq += 20
    p.call_id = "another-" + p.call_id
    p.cseq = 0
    assert r.do(f"Contact: <{one}>;expires=200").status == 200
    for bad in (["Contact: *"], ["Contact: *", "Expires: 60"],
                [f"Contact: *, <{one}>", "Expires: 0"]):
        assert r.do(*bad).status == 400, bad
    # Six contacts are one too many; none of them is taken.
    six = ", ".join(f"<sip:x{i}@{PHONES.host()}>" for i in range(6))
    assert r.do(f"Contact: {six}").status == 403
    assert len(r.contacts(r.do())) == 2
    assert r.do("Contact: *", "Expires: 0").status == 200
    assert not r.contacts(r.do())

    # RFC 5626: the same instance and reg-id from another place is the same.
    inst = f';+sip.instance="{UUID}";reg-id=1'
    old = Registrant(w.peer("phones", n=13, port=5091), account)
    assert old.do(f"Contact: <sip:old@{PHONES.host(13)}:5091>{inst}").status \
        == 200
    route = f"<sip:proxy.phones.test;lr>, <sip:{PHONES.host()}:5080;lr>"
    a = r.do(f"Contact: <{one}>{inst}", f"Path: {route}", "Supported: path")
    assert list(r.contacts(a)) == [one], a.headers
    assert ", ".join(a.all("path")) == route, a.headers
    b = r.do(f'Contact: <{one};x=2>;+sip.instance="{UUID}";reg-id=2',
             "Supported: path")
    assert len(r.contacts(b)) == 2, b.headers
    assert r.do(f"Contact: <{one};x=2>;expires=0").status == 200
    pbx = Side(w.peer("pbx", port=5060))
    pbx.call(account["extension"], user="700")
    s = Side(p, 7100)
    m = s.expect("INVITE")
    assert ", ".join(m.all("route")) == route, m.headers
    assert m.first.split()[1] == one, m.first
    s.taken(m)
    s.answer(m, 486)
    s.expect("ACK")
    pbx.ack_failure(pbx.expect("486"))
    _storm(w)
    # Registered before all this: its empty line has come, or comes, after 10 s
    # and not after the realm's 25. The wire knows when.
    def empty_lines():
        return [p.at for p in w.packets("phones") if p.src == PHONES.edge and
                p.dport == 5090 and not p.data.strip()]

    began = next(p.at for p in w.sip_to("phones") if p.dport == 5090 and
                 p.data.startswith(b"SIP/2.0 200"))
    w.wait(empty_lines, "an empty line for the phone behind a NAT", 20)
    assert 9 < empty_lines()[0] - began < 15, empty_lines()[0] - began
    w.no_leaks(account, other)


def _storm(w):
    """All phones refresh at once: each is answered, fast; and three
    hundred REGISTERs without credentials leave neither a binding nor a transaction."""
    n = 60
    w.sql("insert into sbc.phone_import select (2000 + g)::text, 'Storm', "
          f"null, 'phones' from generate_series(1, {n}) g")
    logins = w.rows("select (p).* from sbc.import_phones() p")
    phones = [Registrant(w.peer("phones", n=10 + i % 4), login)
              for i, login in enumerate(logins)]
    for r in phones:
        host = f"{r.peer.host}:{r.peer.port}"
        assert r.do(f"Contact: <sip:s@{host}>", "Expires: 600").status == 200
    texts = [r.text([f"Contact: <sip:s@{r.peer.host}:{r.peer.port}>",
                     "Expires: 600"]) for r in phones]
    sent = time.monotonic()
    for r, text in zip(phones, texts):
        r.peer.send(text)
    for r in phones:
        assert r.peer.final().status == 200
    took = time.monotonic() - sent
    assert took < 3 * proc.PATIENCE, took
    assert len(w.gate.ctl("registrations")[-1]) and w.wait(
        lambda: w.rows("select 1 from sbc.registration")[n - 1:],
        "all registrations in SQL")

    def state():
        return [w.gate.status("sbc").get(k) for k in (
            "bindings", "calls", "store_records")] + [
                w.gate.status("authd").get("auth_queries_total")]

    before = state()
    p = w.peer("phones", n=14)
    for i in range(300):
        p.call_id = f"nobody-{i}"
        p.send(p.request("REGISTER", f"sip:{PHONES.edge}",
                         f"nobody{i}@{PHONES.edge}"))
        while p.receive(0):
            pass
    assert state() == before, (before, state())
    assert b"401" in b"".join(m.data[:12] for m in w.sip_to("phones")
                              if b"nobody-" in m.data)
