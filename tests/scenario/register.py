# SPDX-License-Identifier: Apache-2.0
"""Registrations: digest right and wrong, bindings with their end."""
import re

from harness.cases import case
from harness.net import LINKS
from harness.sip import authorization, challenge_of

PHONES = LINKS["phones"]
DOMAIN = PHONES.edge


def _bindings(w, account):
    return w.rows("select b.* from sbc.binding b join sbc.account a on a.id = "
                  f"b.account where a.username = '{account['username']}'")


@case("R6 R7 R12 R41 R44", seconds=3)
def right_password(w):
    """401 with one MD5 challenge, then 200 with the contact; the database
    shows the binding; taking it back removes it."""
    account = w.add_phone()
    p = w.peer("phones", port=5080)
    uri, aor = f"sip:{DOMAIN}", f"{account['username']}@{DOMAIN}"
    p.send(p.request("REGISTER", uri, aor, headers=["Expires: 300"]))
    answer = p.final()
    assert answer.status == 401, answer.first
    assert len(answer.all("www-authenticate")) == 1
    challenge = challenge_of(answer)
    assert challenge.get("algorithm", "MD5").upper() == "MD5", challenge
    assert challenge["qop"] == "auth", challenge
    assert len(answer.data) < 2 * 600, "a challenge must not amplify"
    value = authorization(challenge, account["username"], account["password"],
                          "REGISTER", uri)
    p.send(p.request("REGISTER", uri, aor, headers=[
        "Expires: 300", f"Authorization: {value}"]))
    answer = p.final()
    assert answer.status == 200, answer.first
    contact = answer.get("contact")
    assert f"{PHONES.host()}:5080" in contact, contact
    expires = re.search(r"expires=(\d+)", contact)
    assert expires and 60 <= int(expires.group(1)) <= 300, contact

    row = w.wait(lambda: _bindings(w, account), "the binding in SQL")[0]
    assert row["source"] == f"{PHONES.host()}:5080", row
    assert row["local"] == f"{DOMAIN}:5060", row
    assert row["transport"] == "udp", row
    shown = [b for b in w.gate.ctl("registrations")
             if account["extension"] in str(b)]
    assert shown, w.gate.ctl("registrations")

    assert p.register(DOMAIN, account["username"], account["password"],
                      expires=0).status == 200
    w.wait(lambda: not _bindings(w, account), "the binding to go")


@case("R7", seconds=3)
def wrong_password_and_unknown_user(w):
    """Both get the same: 401 with a challenge, never 403 or 404, and the same
    headers; no binding."""
    account = w.add_phone()
    shapes = []
    for user in (account["username"], "nobodyatall"):
        p = w.peer("phones", n=13)
        answer = p.register(DOMAIN, user, "not-the-password")
        assert answer.status == 401, answer.first
        assert challenge_of(answer)["realm"] == "phones.example.net"
        shapes.append((answer.first, [name for name, _ in answer.headers]))
    assert shapes[0] == shapes[1], shapes
    assert not _bindings(w, account)


@case("R7", seconds=3)
def replayed_and_foreign_credentials(w):
    """A captured Authorization is worth nothing: not a second time, not from
    another address, not with a nonce that was not made here."""
    account = w.add_phone()
    uri, aor = f"sip:{DOMAIN}", f"{account['username']}@{DOMAIN}"
    p = w.peer("phones", n=12)
    p.send(p.request("REGISTER", uri, aor))
    challenge = challenge_of(p.final())
    login = (account["username"], account["password"], "REGISTER", uri)
    value = authorization(challenge, *login)

    def answer_to(peer, header):
        peer.send(peer.request("REGISTER", uri, aor, headers=[
            "Expires: 300", f"Authorization: {header}"]))
        return peer.final()

    assert answer_to(p, value).status == 200
    assert answer_to(p, value).status == 401, "the same header worked twice"
    assert answer_to(p, authorization(challenge, *login, nc=2)).status == 200
    other = w.peer("phones", n=11)
    again = answer_to(other, authorization(challenge, *login, nc=3))
    assert again.status == 401, "the nonce worked from another address"
    forged = dict(challenge, nonce="A" * len(challenge["nonce"]))
    assert answer_to(p, authorization(forged, *login)).status == 401


@case("R6", seconds=3)
def another_accounts_address(w):
    """An account can not register somebody else's address of record."""
    mine, victim = w.add_phone(), w.add_phone()
    p = w.peer("phones", n=12)
    uri = f"sip:{DOMAIN}"
    aor = f"{victim['username']}@{DOMAIN}"
    p.send(p.request("REGISTER", uri, aor))
    value = authorization(challenge_of(p.final()), mine["username"],
                          mine["password"], "REGISTER", uri)
    p.send(p.request("REGISTER", uri, aor,
                     headers=[f"Authorization: {value}"]))
    assert p.final().status == 403
    assert not _bindings(w, victim)


@case("R12", seconds=3)
def too_brief(w):
    """An expiry below the minimum: 423 with Min-Expires."""
    account = w.add_phone()
    p = w.peer("phones")
    answer = p.register(DOMAIN, account["username"], account["password"],
                        expires=5)
    assert answer.status == 423, answer.first
    assert answer.get("min-expires") == "60", answer.data


@case("R6 R12", seconds=4)
def a_real_phone(w):
    """baresip registers, and its registration shows its name and address."""
    phone = w.phone()
    row = w.wait(lambda: _bindings(w, phone.who), "the binding in SQL")[0]
    assert row["user_agent"].startswith("baresip"), row
    assert row["source"] == f"{PHONES.host()}:5060", row
