# SPDX-License-Identifier: Apache-2.0
"""What an attacker can not bring about: that somebody else is banned, that a
trunk is, that bans are forgotten, that a dialog's challenge gets weaker."""
import secrets
import socket
import struct

from harness import net, proc
from harness.cases import case
from harness.dialog import Side
from harness.net import LINKS
from harness.sip import authorization, challenge_of, challenges_of

PHONES, STRANGER = LINKS["phones"], LINKS["stranger"]
URI = f"sip:{PHONES.edge}"
STRICT = "update sbc.setting set value = '3' where name = 'ban_failures';"


def _counters(w):
    """{reason: how often} of sbc."""
    answer = [a for a in w.gate.ctl("counters") if a.get("process") == "sbc"]
    return answer[0]["reasons"]


def _checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def _datagram(source, port, target, text):
    """An IPv4 packet with any source (RFC 791, RFC 768)."""
    data = text.encode()
    src, dst = socket.inet_aton(source), socket.inet_aton(target)
    udp = struct.pack("!HHHH", port, 5060, 8 + len(data), 0)
    pseudo = src + dst + struct.pack("!BBH", 0, 17, 8 + len(data))
    udp = udp[:6] + struct.pack("!H", _checksum(pseudo + udp + data) or 0xffff)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, 17,
                       0, src, dst)
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return head + udp + data


def _register(source, port, user, header):
    return "\r\n".join([
        f"REGISTER {URI} SIP/2.0",
        f"Via: SIP/2.0/UDP {source}:{port};rport;"
        f"branch=z9hG4bK{secrets.token_hex(8)}", "Max-Forwards: 70",
        f"From: <sip:{user}@{PHONES.edge}>;tag={secrets.token_hex(4)}",
        f"To: <sip:{user}@{PHONES.edge}>", f"Call-ID: {secrets.token_hex(8)}",
        "CSeq: 2 REGISTER", f"Contact: <sip:{user}@{source}:{port}>",
        f"Authorization: {header}", "Content-Length: 0"]) + "\r\n\r\n"


def _nonce(peer, user):
    peer.send(peer.request("REGISTER", URI, f"{user}@{PHONES.edge}"))
    return challenge_of(peer.final())


def _silent(w, n):
    p = w.peer("phones", n=n)
    p.send(p.request("REGISTER", URI, f"x@{PHONES.edge}"))
    return p.receive(0.3) is None


def _wrong(w, n, user, times):
    """Wrong passwords from one address; the answers, of which there are as many
    unless the source is banned."""
    seen = []
    for _ in range(times):
        p = w.peer("phones", n=n)
        p.send(p.request("REGISTER", URI, f"{user}@{PHONES.edge}"))
        m = p.receive(5.0)
        if m is None:
            break
        value = authorization(challenge_of(m), user, "wrong", "REGISTER", URI)
        p.send(p.request("REGISTER", URI, f"{user}@{PHONES.edge}",
                         headers=[f"Authorization: {value}"]))
        m = p.receive(5.0)
        if m is None:
            break
        seen.append(m.status)
    return seen


@case("R45", seconds=5, gate="own")
def forged_sources_ban_nobody(w):
    """A stranger on another network sends packets with a phone's address as
    their source and wrong answers in them, to nonces of every kind that he can
    have: they arrive, are counted, and the phone is not banned; neither is the
    source of whoever sends a nonce that was made for somebody else."""
    w.make_gate(settings=STRICT)
    proc.run(["sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do "
              "echo 0 > $f; done"], ns=w.ns("edge"))
    account = w.add_phone()
    victim = PHONES.host(12)
    # The attacker has a nonce of his own: this network reaches the phones' door.
    attacker = w.peer("stranger", target=PHONES.edge)
    own = _nonce(attacker, account["username"])
    made_up = dict(own, nonce="A" * len(own["nonce"]))
    broken = dict(own, nonce=own["nonce"][:-4] + "AAAA")
    raw = net.open_socket(w.ns("stranger"), socket.AF_INET, socket.SOCK_RAW,
                          socket.IPPROTO_RAW)
    before = _counters(w)
    try:
        for i in range(30):
            challenge = (own, made_up, broken)[i % 3]
            header = authorization(challenge, account["username"], "wrong",
                                   "REGISTER", URI, nc=i + 1)
            port = 20000 + i % 7
            raw.sendto(_datagram(victim, port, PHONES.edge, _register(
                victim, port, account["username"], header)),
                (PHONES.edge, 0))
    finally:
        raw.close()

    def arrived():
        now = _counters(w)
        return sum(now.get(n, 0) - before.get(n, 0) for n in
                   ("auth_stale", "auth_forged_nonce")) >= 30
    w.wait(arrived, "the forged packets to be counted")
    assert not w.rows("select 1 from sbc.ban_list")
    assert victim not in str(w.gate.ctl("bans"))
    w.wait(lambda: not _silent(w, 12), "an answer to the phone")
    assert w.peer("phones", n=12).register(
        PHONES.edge, account["username"], account["password"]).status == 200
    # The same by whoever really is there, with his own nonce: banned.
    assert _wrong(w, 13, account["username"], 3) == [401] * 3
    w.wait(lambda: _silent(w, 13), "the real one to be banned")


@case("R45 R52", seconds=8, gate="own")
def bans_outlive_authd(w):
    """authd is killed between failures: the third one bans; it is killed again:
    the ban holds, without the database too. What is dropped is counted before
    the SIP parser has seen it."""
    w.make_gate(settings=STRICT)
    account = w.add_phone()
    assert _wrong(w, 13, account["username"], 2) == [401, 401]
    _kill_authd(w)
    assert _wrong(w, 13, account["username"], 1) == [401]
    w.wait(lambda: _silent(w, 13), "the ban")
    w.wait(lambda: w.rows("select 1 from sbc.ban_list"), "the ban in SQL")
    _kill_authd(w)
    assert _silent(w, 13)
    assert [b for b in w.gate.ctl("bans") if PHONES.host(13) in str(b)]

    before = _counters(w)
    p = w.peer("phones", n=13)
    for i in range(20):
        # The second one could not even be parsed.
        p.send(p.request("REGISTER", URI, f"x@{PHONES.edge}") if i % 2 else
               b"NO SIP AT ALL \x00\xff\r\n\r\n")
    after = w.wait(lambda: _dropped(w, before, 20), "the drops to be counted")
    for name in ("admit_ok", "auth_missing", "admit_syntax"):
        assert after.get(name, 0) == before.get(name, 0), name


def _dropped(w, before, n):
    now = _counters(w)
    dropped = now.get("admit_banned", 0) - before.get("admit_banned", 0)
    return now if dropped >= n else None


def _kill_authd(w):
    w.faults_allowed = True
    mark = w.gate.kill_daemon("authd")
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon="authd", timeout=20)
    w.gate.wait_event("authd_up", since=mark, process="sbc", timeout=20)
    w.wait(lambda: w.gate.find_event("nonce_keys", since=mark, process="sbc"),
           "sbc to have the keys")


@case("R45", seconds=6, gate="own")
def trunks_are_never_banned(w):
    """A phone inside a trunk's network that guesses passwords is refused each
    time, bans nobody, and the trunk's calls go on; a ban that an older
    setting made ends for the network with the trunk."""
    w.make_gate(settings=STRICT)
    account = w.add_phone()
    phone = w.phone(account, n=11)
    assert _wrong(w, 13, account["username"], 3) == [401] * 3
    w.wait(lambda: _silent(w, 13), "the ban without a trunk")
    w.settings(f"select sbc.add_trunk('near', '{PHONES.host(13)}', 'phones', "
               f"port => 5070, sources => '{{{PHONES.host(13)}/32,"
               f"{PHONES.host(14)}/32}}')")
    for n in (13, 14):
        seen = w.wait(lambda n=n: (s := _wrong(w, n, account["username"], 8))
                      and len(s) == 8 and s, f"host {n} to be heard")
        assert seen == [401] * 8, seen
        w.wait(lambda n=n: not _silent(w, n), f"an answer to host {n}")
    assert not [b for b in w.rows("select host(host) as host from sbc.ban_list")
                if b["host"] == PHONES.host(14)]
    trunk = Side(w.peer("phones", n=13, port=5070), 7000)
    trunk.call(account["number"])
    phone.wait_event("CALL_ESTABLISHED")
    trunk.answered(trunk.expect("200", passing=("1",)))
    trunk.ack()
    trunk.request("BYE")
    trunk.expect("200")
    phone.wait_event("CALL_CLOSED")


@case("R45", seconds=6, gate="own")
def a_call_outlives_a_ban(w):
    """A phone calls without having registered; another one behind its address
    gets that banned: the call's requests are heard, a stranger's from another
    port of the same address are not."""
    w.make_gate(settings=STRICT + "update sbc.realm set strangers_invite = true "
                "where name = 'phones';")
    account, other = w.add_phone(), w.add_phone()
    called = "+4940" + account["number"][-7:]
    trunk = Side(w.peer("itsp", port=5060))
    phone = Side(w.peer("phones", n=13))
    user = f"{account['username']}"
    phone.call(called, user)
    answer = phone.expect("401")
    phone.ack_failure(answer)
    value = authorization(challenge_of(answer), user, account["password"],
                          "INVITE", phone.target)
    phone.cseq += 1
    phone.call(called, user, extra=[f"Authorization: {value}"])
    invite = trunk.expect("INVITE")
    trunk.taken(invite)
    trunk.answer(invite, 200, trunk.sdp())
    phone.answered(phone.expect("200", passing=("1",)))
    phone.ack()
    trunk.expect("ACK")

    assert _wrong(w, 13, other["username"], 3) == [401] * 3
    w.wait(lambda: _silent(w, 13), "the ban")
    phone.request("INFO", ["Content-Type: application/dtmf-relay"],
                  "Signal=5\r\nDuration=100\r\n")
    phone.expect("2")
    trunk.request("BYE")
    phone.answer(phone.expect("BYE"), 200)
    trunk.expect("200", passing=("INFO",))
    assert _silent(w, 13)
    w.cdr(called, sip_status=200, hangup_side="called")


@case("R6 R7", seconds=5, gate="own")
def challenge_inside_a_dialog(w):
    """A request of a dialog that comes from elsewhere is challenged with the
    dialog's account's own list and not with the realm's; with that answered the
    dialog moves, with the weaker one it does not."""
    w.make_gate()
    account = w.add_phone()
    w.settings("update sbc.account set digest = '{SHA-256}' where username = "
               f"'{account['username']}'")
    p = w.peer("phones", port=5080)
    assert p.register(PHONES.edge, account["username"],
                      account["password"]).status == 200
    trunk, phone = Side(w.peer("itsp", port=5060)), Side(p, 7100)
    trunk.call(account["number"])
    invite = phone.expect("INVITE")
    phone.taken(invite)
    phone.answer(invite, 200, phone.sdp())
    trunk.answered(trunk.expect("200", passing=("1",)))
    trunk.ack()
    phone.expect("ACK")

    phone.peer = w.peer("phones", n=12)
    phone.request("INFO")
    answer = phone.expect("401")
    shown = [(c.get("algorithm"), c["qop"]) for c in challenges_of(answer)]
    assert shown == [("SHA-256", "auth")], shown
    challenge = challenge_of(answer)
    for algorithm, status in (("MD5", "401"), ("SHA-256", "200")):
        value = authorization(dict(challenge, algorithm=algorithm),
                              account["username"], account["password"], "BYE",
                              phone.target)
        phone.request("BYE", extra=[f"Authorization: {value}"])
        answer = phone.expect(status)
        if status == "401":
            assert [c.get("algorithm") for c in challenges_of(answer)
                    ] == ["SHA-256"], answer.data
            trunk.silent(0.3)
            challenge = challenge_of(answer)
    trunk.answer(trunk.expect("BYE"), 200)
