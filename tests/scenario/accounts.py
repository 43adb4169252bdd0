# SPDX-License-Identifier: Apache-2.0
"""Accounts end to end: challenges per account, bans with real packets, a bulk
import, and what the database shows while calls are up."""
import json
import re
import time

from harness import proc
from harness.cases import case
from harness.dialog import sdp
from harness.net import LINKS
from harness.sip import authorization, challenge_of, challenges_of

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]
URI = f"sip:{PHONES.edge}"


def _aor(account):
    return f"{account['username']}@{PHONES.edge}"


def _challenges(peer, user, method="REGISTER"):
    """What an unauthenticated request of this user is challenged with."""
    uri = URI if method == "REGISTER" else f"sip:999@{PHONES.edge}"
    peer.send(peer.request(method, uri, f"{user}@{PHONES.edge}"))
    answer = peer.final()
    assert answer.status == 401, answer.first
    if method == "INVITE":
        peer.send(peer.request("ACK", uri, f"{user}@{PHONES.edge}"))
    return challenges_of(answer)


def _names(challenges):
    return [(c.get("algorithm", "MD5"), c["qop"]) for c in challenges]


def _answer(peer, account, challenge, password=None, **options):
    value = authorization(challenge, account["username"],
                          password or account["password"], "REGISTER", URI,
                          **options)
    peer.send(peer.request("REGISTER", URI, _aor(account), headers=[
        "Expires: 300", f"Authorization: {value}"]))
    return peer.final()


def _lists(w, lists):
    """Accounts with challenges of their own, live."""
    accounts = [w.add_phone() for _ in lists]
    w.settings("begin; " + " ".join(
        f"update sbc.account set digest = '{{{digest}}}' where username = "
        f"'{account['username']}';"
        for account, digest in zip(accounts, lists)) + " commit")
    return accounts


@case("R7 R41", seconds=4, gate="own")
def own_digest_lists(w):
    """An account with challenges of its own gets exactly these at once, also
    for a call; each algorithm registers; others get the realm's MD5; an unknown
    name gets a list that is in use, the same one each time."""
    w.make_gate(settings="update sbc.realm set strangers_invite = true "
                "where name = 'phones';")
    wanted = ("SHA-256", "SHA-512-256", "SHA-256/auth-int", "SHA-256,MD5")
    accounts = _lists(w, wanted)
    shown = (
        [("SHA-256", "auth")], [("SHA-512-256", "auth")],
        [("SHA-256", "auth-int")], [("SHA-256", "auth"), ("MD5", "auth")])
    for account, expected in zip(accounts, shown):
        for method in ("REGISTER", "INVITE"):
            found = _names(_challenges(w.peer("phones"), account["username"],
                                       method))
            assert found == expected, (account, method, found)
        for i in range(len(expected)):
            p = w.peer("phones")
            challenge = _challenges(p, account["username"])[i]
            answer = _answer(p, account, challenge)
            assert answer.status == 200, (expected[i], answer.first)

    # What is not on its list does not let it in, right as it may be.
    p = w.peer("phones")
    weak = dict(_challenges(p, accounts[0]["username"])[0], algorithm="MD5")
    answer = _answer(p, accounts[0], weak)
    assert answer.status == 401, answer.first
    assert _names(challenges_of(answer)) == shown[0]

    plain = w.add_phone()
    assert _names(_challenges(w.peer("phones"), plain["username"])) == \
        [("MD5", "auth")]
    known = [[("MD5", "auth")], *shown]
    picked = set()
    for i in range(12):
        name = "nosuchuser" + "abcdefghijkl"[i]
        first = _names(_challenges(w.peer("phones"), name))
        assert first in known, first
        assert first == _names(_challenges(w.peer("phones", n=12), name))
        picked.add(str(first))
    assert len(picked) > 1, "all unknown names are told from known ones"


@case("R7", seconds=5)
def linphone_by_sha256(w):
    """linphone registers where only SHA-256 is offered."""
    account = _lists(w, ["SHA-256"])[0]
    w.linphone(account=account)
    w.wait(lambda: w.rows("select 1 from sbc.registration where username = "
                          f"'{account['username']}'"), "the binding in SQL")
    assert any(b"algorithm=SHA-256" in p.data for p in w.sip_to("phones"))
    w.settings("update sbc.account set digest = null where username = "
               f"'{account['username']}'")


@case("R7", seconds=3)
def body_is_protected(w):
    """With auth-int an altered body does not get in, the right one does."""
    account = _lists(w, ["SHA-256/auth-int"])[0]
    for sent, hashed, status in (("", "", 200), ("", "v=0", 401)):
        p = w.peer("phones")
        challenge = _challenges(p, account["username"])[0]
        assert _answer(p, account, challenge, body=hashed).status == status, \
            (sent, hashed)
    w.settings("update sbc.account set digest = null where username = "
               f"'{account['username']}'")


@case("R7 R52", seconds=6, gate="own")
def nonces_outlive_authd(w):
    """authd is killed: the nonce that a phone has still lets it in with the
    next count, and a count that was used before does not."""
    w.make_gate()
    account = w.add_phone()
    p = w.peer("phones")
    challenge = _challenges(p, account["username"])[0]
    assert _answer(p, account, challenge, nc=1).status == 200
    w.faults_allowed = True
    mark = w.gate.kill_daemon("authd")
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon="authd", timeout=20)
    w.gate.wait_event("nonces_resumed", since=mark, process="authd")
    w.gate.wait_event("authd_up", since=mark, process="sbc")
    w.wait(lambda: w.gate.find_event("nonce_keys", since=mark, process="sbc"),
           "sbc to have the keys")
    answer = _answer(p, account, challenge, nc=1)
    assert answer.status == 401, answer.first
    assert challenge_of(answer).get("stale", "").lower() == "true"
    assert _answer(p, account, challenge, nc=2).status == 200
    assert _answer(p, account, challenge, nc=2).status == 401


# ------------------------------------------------------------------------ bans

_STRICT = "update sbc.setting set value = '3' where name = 'ban_failures';"


def _wrong(w, n, user, times):
    """Wrong passwords from one address, each with a nonce of its own; answers
    until silence."""
    seen = []
    for _ in range(times):
        p = w.peer("phones", n=n)
        p.send(p.request("REGISTER", URI, f"{user}@{PHONES.edge}"))
        m = p.receive(1.0)
        if m is None:
            break
        p.send(p.request("REGISTER", URI, f"{user}@{PHONES.edge}", headers=[
            "Authorization: " + authorization(
                challenge_of(m), user, "wrong", "REGISTER", URI)]))
        m = p.receive(1.0)
        if m is None:
            break
        seen.append(m.status)
    return seen


def _silent(w, n):
    p = w.peer("phones", n=n)
    p.send(p.request("REGISTER", URI, f"x@{PHONES.edge}"))
    return p.receive(0.3) is None


@case("R45", seconds=6, gate="own")
def bans(w):
    """Three wrong passwords of one source: it is not heard any more, listed
    and explained; others are; lifting is at once, by SQL and by sbcctl."""
    w.make_gate(settings=_STRICT)
    account = w.add_phone()
    peer = w.peer("phones", n=10)
    assert peer.register(PHONES.edge, account["username"],
                         account["password"]).status == 200
    seen = _wrong(w, 13, account["username"], 6)
    assert seen == [401, 401, 401], seen
    w.wait(lambda: _silent(w, 13), "silence for the banned source")
    assert peer.register(PHONES.edge, account["username"],
                         account["password"]).status == 200, "others work"
    host = PHONES.host(13)
    row = w.wait(lambda: w.rows("select host(host) as host, failures, reason, "
                                "explanation, remaining_s, last_user from "
                                "sbc.ban_list"), "the ban in SQL")
    assert len(row) == 1 and row[0]["host"] == host, row
    assert row[0]["failures"] == 3 and row[0]["explanation"], row
    assert row[0]["last_user"] == account["username"], row
    assert 500 < row[0]["remaining_s"] <= 600, row
    assert w.wait(lambda: w.rows(
        "select 1 from sbc.security_event where event = 'ban_failures' and "
        f"source like '{host}%'"), "the event of the ban")
    assert host in json.dumps(w.gate.ctl("bans"))
    w.sql(f"select sbc.ban_lift('{host}')")
    w.wait(lambda: not _silent(w, 13), "the lifted source to be heard")
    assert not w.rows("select 1 from sbc.ban_list")

    _wrong(w, 13, account["username"], 3)
    w.wait(lambda: _silent(w, 13), "the second ban")
    w.gate.ctl("ban-lift", host)
    w.wait(lambda: not _silent(w, 13), "the source lifted by sbcctl")


@case("R45", seconds=4, gate="own")
def spoofed_packets_ban_nobody(w):
    """Wrong answers that carry another source's nonce, or one that nobody made,
    are challenged again and count for nothing: whoever can not receive at an
    address can not get it banned."""
    w.make_gate(settings=_STRICT)
    account = w.add_phone()
    attacker, victim = w.peer("phones", n=13), w.peer("phones", n=12)
    attacker.send(attacker.request("REGISTER", URI, _aor(account)))
    stolen = challenge_of(attacker.final())
    for i in range(10):
        challenge = stolen if i % 2 else dict(stolen, nonce="A" * 48)
        answer = _answer(victim, account, challenge, "wrong", nc=i + 1)
        assert answer.status == 401, answer.first
    assert not w.rows("select 1 from sbc.ban_list")
    assert victim.register(PHONES.edge, account["username"],
                           account["password"]).status == 200
    assert not _silent(w, 12) and not _silent(w, 13)


@case("R45", seconds=5, gate="own")
def shared_address_is_judged_by_account(w):
    """Behind an address with a registered phone somebody else's wrong password
    blocks that account there, not the phone; elsewhere the account works."""
    w.make_gate(settings=_STRICT)
    mine, other = w.add_phone(), w.add_phone()
    phone = w.peer("phones", n=11)
    assert phone.register(PHONES.edge, mine["username"],
                          mine["password"]).status == 200
    w.wait(lambda: w.rows("select 1 from sbc.registration"), "the binding")
    assert _wrong(w, 11, other["username"], 6) == [401] * 6
    assert not w.rows("select 1 from sbc.ban_list")
    assert phone.register(PHONES.edge, mine["username"],
                          mine["password"]).status == 200
    assert w.peer("phones", n=11).register(
        PHONES.edge, other["username"], other["password"]).status == 401, \
        "the account is blocked for this source"
    assert w.peer("phones", n=14).register(
        PHONES.edge, other["username"], other["password"]).status == 200, \
        "and works from another one"


# --------------------------------------------------------------- in the database

@case("R40 R44", seconds=9)
def active_calls_in_sql(w):
    """A call in progress stands in sbc.active_call, with both sides, and goes
    when it ends; a viewer may look."""
    phone = w.phone()
    number = phone.who["number"]
    query = ("select state, caller, called, came_from, went_to, talk_s from "
             f"sbc.active_call where called = '{number}'")
    s = w.sipp("itsp", "uac_call_silent", target=True, service=number,
               hold=5000)
    row = w.wait(lambda: [r for r in w.rows(query) if r["talk_s"] is not None],
                 "the call in SQL", 8)[0]
    assert row["came_from"] == "trunk itsp", row
    assert row["went_to"] == f"phone {phone.who['extension']}", row
    assert row["caller"] == "+4989123456", row
    assert w.sql("set role sbc_viewer; select count(*) from sbc.active_call"
                 ).strip() != "0"
    s.done()
    w.wait(lambda: not w.rows(query), "the call to go", 8)


@case("R11 R40", seconds=3)
def destination_classes(w):
    """A phone that may call one class only: a route of another class refuses it
    with the reason in the CDR, and not once the class is allowed."""
    account = w.add_phone()
    w.settings("begin; select sbc.set_route_class('to-itsp', 'national'); "
               f"select sbc.allow_classes('{account['extension']}', 'mobile'); "
               "commit")
    try:
        phone = w.phone(account)
        called = "+4940" + account["number"][-7:]
        phone.dial(f"sip:{called}@{phone.server}")
        event = phone.wait_event("CALL_CLOSED")
        assert "403" in event.get("param", ""), event
        w.cdr(called, sip_status=403, reason_text="limit_destination")
        w.sql(f"select sbc.allow_classes('{account['extension']}', 'mobile', "
              "'national')")
        called = "+4941" + account["number"][-7:]
        uas = w.sipp("itsp", "uas_refuse", code=486, reason="Busy")

        def reaches_the_trunk():
            phone.dial(f"sip:{called}@{phone.server}")
            return "486" in phone.wait_event("CALL_CLOSED").get("param", "")
        w.wait(reaches_the_trunk, "the call to reach the trunk", 5)
        uas.done()
    finally:
        w.settings("select sbc.set_route_class('to-itsp', '')")


@case("R40 R41", seconds=30, gate="own", builds="release", limit=400)
def bulk_import(w):
    """100,000 phones from a CSV file (how fast: ./quickstart bench auth); one of
    them registers at once (that this is one message to sbc: tests/sql, case
    news)."""
    w.make_gate()
    path = f"{w.dir}/phones.csv"
    with open(path, "w", encoding="ascii") as f:
        for i in range(100000):
            f.write(f"{500000 + i},Phone {i},+4941{1000000 + i},phones\n")
    began = time.monotonic()
    proc.run([f"{w.gate_cluster.bin}/psql", "-X", "-q", "-A", "-t", "-F", ",",
              "-v", "ON_ERROR_STOP=1", "-h", w.gate_cluster.socket_dir, "-U",
              "postgres", "-d", w.gate.database, "-c", "set role sbc_admin",
              "-c",
              f"\\copy sbc.phone_import from '{path}' csv", "-o",
              f"{w.dir}/logins.csv", "-c",
              "select extension, username, password from "
              "sbc.import_phones()"], timeout=300)
    # The goal is a minute on an idle machine; this one may have other work.
    print(f"bulk_import: {time.monotonic() - began:.0f} s")
    with open(f"{w.dir}/logins.csv", encoding="ascii") as f:
        logins = [line.strip().split(",") for line in f]
    assert len(logins) == 100000 and len({x[2] for x in logins}) == 100000
    extension, username, password = logins[77777]
    assert w.peer("phones").register(PHONES.edge, username,
                                     password).status == 200
    assert w.rows(f"select 1 from sbc.account where extension = '{extension}'")


# ------------------------------------------------------------------- bad input

def _credentials(challenge, account, **changes):
    """A right Authorization header with some parameters replaced; None takes
    one out."""
    nc = changes.pop("count", 1)
    value = authorization(challenge, account["username"],
                          account["password"], "REGISTER", URI, nc=nc)
    fields = dict(part.split("=", 1) for part in value[7:].split(", "))
    fields.update({k: v for k, v in changes.items() if v is not None})
    for name in (k for k, v in changes.items() if v is None):
        fields.pop(name, None)
    return ("Digest " + ", ".join(f"{k}={v}" for k, v in fields.items())
            ).encode("latin-1")


def _numbers(value, key=""):
    """All numbers of an answer with their names."""
    if isinstance(value, dict):
        if "name" in value and isinstance(value.get("value"), int):
            yield value["name"], value["value"]
        for k, v in value.items():
            yield from _numbers(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from _numbers(v, key)
    elif isinstance(value, int):
        yield key, value


_FRAGMENT = "x'); drop table sbc.account cascade; --"
# name, what is changed, the answers that it may get; none = dropped unread
_BAD = (
    ("an SQL fragment as user", {"username": f'"{_FRAGMENT}"'}, (401,)),
    ("an SQL fragment as nonce", {"nonce": f'"{_FRAGMENT}"'}, (401,)),
    ("an SQL fragment as realm", {"realm": f'"{_FRAGMENT}"'}, (401,)),
    ("an SQL fragment as cnonce", {"cnonce": f'"{_FRAGMENT}"'}, (401,)),
    ("a user of 300 characters", {"username": '"' + "u" * 300 + '"'}, (400,)),
    ("a user of 3000 characters", {"username": '"' + "u" * 3000 + '"'}, (400,)),
    ("a user that is no UTF-8", {"username": '"\xff\xfe\xc0\x80"'}, (400, 401)),
    ("an empty user", {"username": '""'}, (400, 401)),
    ("no user", {"username": None}, (400,)),
    ("no nonce", {"nonce": None}, (400, 401)),
    ("no response", {"response": None}, (400,)),
    ("no uri", {"uri": None}, (400,)),
    ("a nonce count of 9 digits", {"nc": "100000001"}, (400,)),
    ("a negative nonce count", {"nc": "-0000001"}, (400,)),
    ("a nonce count of no digits", {"nc": "zzzzzzzz"}, (400,)),
    ("no nonce count", {"nc": None}, (400, 401)),
    ("no qop where it was asked for",
     {"qop": None, "nc": None, "cnonce": None}, (400, 401)),
    ("another qop", {"qop": "auth-conf"}, (400, 401)),
    ("another algorithm", {"algorithm": "MD5-sess"}, (400, 401)),
    ("an algorithm that nobody offered", {"algorithm": "SHA-256"}, (400, 401)),
    ("a response that is too short", {"response": '"abcd"'}, (400, 401)),
    ("a response of 100 kB", {"response": '"' + "a" * 20000 + '"'}, (400,)),
    ("another uri", {"uri": '"sip:elsewhere.example"'}, (400, 401)),
    ("a quote that does not end", {"response": '"' + "a" * 32}, (400, 401)),
)
_BROKEN = (b"Digest", b"Digest ,,,,", b"Digest =", b"Basic YTpi", b"\xff\xfe",
           b"Digest username", b'Digest username="a', b"Digest " + b"a=b," * 900)


@case("R7 R47", seconds=8, gate="own")
def bad_credentials(w):
    """SQL fragments, names too long or of no UTF-8, broken headers, huge nonce
    counts: refused with the right status and counted; the database sees what
    came only as bound parameters, and a right password still works."""
    name = f"{w.net.prefix}-{w.n_gates + 1}"
    gate = w.make_gate(
        settings=f"alter database \"{name}\" set log_statement = 'all';")
    account = w.add_phone()
    wrong = []

    def send(text):
        p = w.peer("phones")
        p.send(p.request("REGISTER", URI, _aor(account)))
        challenge = challenge_of(p.final())
        value = text(challenge)
        p.send(p.request("REGISTER", URI, _aor(account), headers=[
            "Authorization: PLACE"]).encode().replace(b"PLACE", value))
        m = p.receive(1.5)
        while m and m.status < 200:
            m = p.receive(1.5)
        p.stop()
        return m.status if m else None

    for what, changes, wanted in _BAD:
        status = send(lambda c, ch=changes: _credentials(c, account, **ch))
        if status not in wanted:
            wrong.append(f"{what}: {status}, not {wanted}")
    for value in _BROKEN:
        status = send(lambda c, v=value: v)
        if status not in (400, 401):
            wrong.append(f"{value[:20]!r}: {status}")
    assert not wrong, "; ".join(wrong)

    p = w.peer("phones")
    for raw in (b"REGISTER sip:x\x00y SIP/2.0\r\n\r\n", b"\x00" * 200,
                p.request("REGISTER", URI, "a\x00b@" + PHONES.edge).encode()):
        p.send(raw)
        m = p.receive(0.3)
        assert m is None or m.status == 400, m.first
    challenge = _challenges(p, account["username"])[0]
    assert _answer(p, account, challenge, nc=0xffffffff).status == 200
    assert _answer(p, account, challenge, nc=0xfffffffe).status == 200
    assert _answer(p, account, challenge, nc=0xffffffff).status == 401
    counted = {}
    for answer in gate.ctl("counters"):
        for key, value in _numbers(answer):
            counted[key] = counted.get(key, 0) + value
    assert counted["auth_syntax"] >= 12, counted
    assert counted["auth_replay"] >= 1, counted

    _only_as_parameters(w, name, account["username"])


def _only_as_parameters(w, name, known):
    """The database has seen what is known and every hostile text only as bound
    parameters."""
    with open(w.cluster.log_path, encoding="utf-8", errors="replace") as f:
        lines = [line for line in f if f"sbc_authd@{name}" in line]
    asked = [line for line in lines if known in line]
    assert asked, "the log is not read"
    for line in lines:
        if "drop table" not in line and line not in asked:
            continue
        assert "DETAIL:  parameters:" in line, line
    assert w.rows("select 1 from sbc.account")


@case("R7 R12 R64", seconds=7, gate="own")
def hostile_texts(w):
    """Texts of a peer everywhere else: what cannot be is refused, what is only
    text (a product's name, a caller's name) reaches SQL as it is, bound."""
    name = f"{w.net.prefix}-{w.n_gates + 1}"
    w.make_gate(settings=f"alter database \"{name}\" set log_statement = 'all';")
    account = w.add_phone()
    user, password = account["username"], account["password"]
    agent = f"phone {_FRAGMENT}"

    def register(to=None, contact=None, headers=()):
        p = w.peer("phones")
        aor = f"{to or user}@{PHONES.edge}"
        p.send(p.request("REGISTER", URI, aor))
        m = p.final()
        if m.status != 401:
            return m.status
        challenge = challenge_of(m)
        text = p.request("REGISTER", URI, aor, headers=[
            *headers, "Authorization: " + authorization(
                challenge, user, password, "REGISTER", URI)]).encode()
        if contact:
            text = re.sub(rb"Contact: [^\r]*", b"Contact: " + contact, text)
        p.send(text)
        m = p.receive(1.5)
        p.stop()
        return m.status if m else None

    host = PHONES.host()
    assert register(to="x%27%29%3B%20drop%20table%20sbc.account") == 403
    assert register(to="u" * 2000) == 400
    for contact in (b"<sip:" + b"c" * 4000 + b"@" + host.encode() + b">",
                    b"<sip:a\xff\xfe@" + host.encode() + b">",
                    b"<sip:a@evil.example;maddr=192.0.2.10>",
                    b"<tel:+491234>", b"<sip:>", b"sip:%00%00@" + b"h" * 300):
        status = register(contact=contact)
        assert status is None or 400 <= status < 500, (contact[:30], status)
    assert not w.rows("select 1 from sbc.registration")
    assert register(headers=[f"User-Agent: {agent}"]) == 200
    row = w.wait(lambda: w.rows("select user_agent from sbc.registration"),
                 "the binding in SQL")[0]
    assert row["user_agent"] == agent, row

    trunk = w.peer("itsp", port=5060)
    text = trunk.request(
        "INVITE", f"sip:{account['number']}@{ITSP.edge}",
        f"+4989777@{ITSP.host()}", to=f"{account['number']}@{ITSP.edge}",
        body=sdp(ITSP.host(), 6000))
    trunk.send(text.replace("From: <", f'From: "{_FRAGMENT}" <'))
    assert trunk.final(20).status >= 400
    row = w.cdr(account["number"])
    assert row["caller_name"] == _FRAGMENT, row
    trunk.send(trunk.request(
        "INVITE", f"sip:1%27%3Bdrop%20table%20x@{ITSP.edge}",
        f"+4989777@{ITSP.host()}", body=sdp(ITSP.host(), 6000)))
    assert trunk.final(20).status in (404, 484)
    _only_as_parameters(w, name, user)
