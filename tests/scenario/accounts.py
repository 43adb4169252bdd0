# SPDX-License-Identifier: Apache-2.0
"""Accounts end to end: challenges per account, bans with real packets, a bulk
import, and what the database shows while calls are up."""
import json
import time

from harness import proc
from harness.cases import case
from harness.net import LINKS
from harness.sip import authorization, challenge_of, challenges_of

PHONES = LINKS["phones"]
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


@case("R40 R41", seconds=30, gate="own", builds="release", limit=180)
def bulk_import(w):
    """100,000 phones from a CSV file in under a minute; one of them registers
    at once (that this is one message to sbc: tests/sql, case news)."""
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
              "sbc.import_phones()"], timeout=120)
    took = time.monotonic() - began
    assert took < 60, f"the import took {took:.0f} s"
    with open(f"{w.dir}/logins.csv", encoding="ascii") as f:
        logins = [line.strip().split(",") for line in f]
    assert len(logins) == 100000 and len({x[2] for x in logins}) == 100000
    extension, username, password = logins[77777]
    assert w.peer("phones").register(PHONES.edge, username,
                                     password).status == 200
    assert w.rows(f"select 1 from sbc.account where extension = '{extension}'")
