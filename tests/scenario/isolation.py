# SPDX-License-Identifier: Apache-2.0
"""Who can find a secret: planted passwords, hashes and keys are looked for in
the memory of the shipped daemons after they were used."""
import base64
import os
import re
import secrets

from harness import proc
from harness.cases import case
from harness.net import LINKS
from harness.sip import authorization, challenge_of

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]
DAEMONS = ("sbc", "mediad")


def _memory(pid):
    """All memory of a process that it can write to, mapping by mapping."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            if "rw" not in rights or "[v" in line:
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(begin)
                at, tail = begin, b""
                while at < end:
                    block = mem.read(min(end - at, 4 << 20))
                    if not block:
                        break
                    yield tail + block
                    tail = block[-600:]
                    at += len(block)
            except OSError:
                continue  # a guard page


def _found(pid, needles):
    """Names of the needles that stand in a process's memory."""
    found = set()
    for block in _memory(pid):
        found.update(n for n, value in needles.items() if value in block)
    return found


def _sockets(pid):
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            m = re.match(r"socket:\[(\d+)\]", os.readlink(
                f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
        if m:
            found.add(m.group(1))
    return found


def _files(pid):
    """Paths of its open files and of what it has mapped."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        found.update(line.split(None, 5)[5].strip() for line in maps
                     if len(line.split(None, 5)) > 5)
    return found


def _hashes(w, account):
    """Its HA1 values, raw and as text."""
    found = {}
    for row in w.rows("select algorithm, encode(ha1, 'hex') as hex from "
                      "sbc.account_secret s join sbc.account a on a.id = "
                      f"s.account where username = '{account['username']}'"):
        found[f"HA1 {row['algorithm']}"] = bytes.fromhex(row["hex"])
        found[f"HA1 {row['algorithm']} as text"] = row["hex"].encode()
    assert len(found) == 6, found
    return found


def _trunk_login(w, password):
    """A call to the trunk, which asks for a password and gets the answer."""
    number = "+4940" + w.number()[1][-7:]
    trunk = w.peer("itsp", port=5060)
    phone = w.phone()
    phone.dial(f"sip:{number}@{phone.server}")

    def invite():
        m = trunk.receive(10)
        while m and m.method != "INVITE":
            m = trunk.receive(10)
        assert m, "no INVITE at the trunk"
        return m

    def answer(m, status, *more):
        lines = [f"SIP/2.0 {status}"] + [
            f"{name}: {value}" for name, value in m.headers
            if name in ("via", "from", "to", "call-id", "cseq")]
        lines = [x + ";tag=trunk" if x.startswith("to:") else x
                 for x in lines]
        trunk.send("\r\n".join([*lines, *more, "Content-Length: 0"]) +
                   "\r\n\r\n")

    first = invite()
    answer(first, "407 Proxy Authentication Required",
           'Proxy-Authenticate: Digest realm="trunk.example", '
           'nonce="abcdef", algorithm=MD5, qop="auth"')
    second = invite()
    while second.get("cseq") == first.get("cseq"):
        second = invite()
    value = second.get("proxy-authorization")
    m = {k: v.strip('"') for k, v in
         re.findall(r'(\w+)\s*=\s*("[^"]*"|[^,\s]+)', value)}
    own = authorization({"realm": "trunk.example", "nonce": "abcdef",
                         "algorithm": "MD5", "qop": "auth"}, m["username"],
                        password, "INVITE", m["uri"], nc=int(m["nc"], 16),
                        cnonce=m["cnonce"])
    assert m["response"] in own, "the trunk's answer was computed wrongly"
    answer(second, "486 Busy Here")
    phone.wait_event("CALL_CLOSED")
    trunk.stop()
    return phone


def _incoming(w, number):
    w.sipp("itsp", "uac_call_silent", target=True, service=number,
           hold=1000).done()


@case("R5 R42", seconds=15, gate="own", builds="release")
def no_secret_outside_authd(w):
    """After registrations and calls, also to a trunk that asks for a password:
    no password, hash or key is in the memory of sbc or mediad; neither has a
    way to the database; in authd a hash is gone when its time in the cache is
    over, and passwords never occur."""
    marker = "Db" + secrets.token_hex(12)
    conninfo = (f"host={w.cluster.socket_dir} user=sbc_authd "
                f"dbname={w.net.prefix}-{w.n_gates + 1} password={marker}")
    gate = w.make_gate(options={"authd": {"account_ttl_s": 2,
                                          "database": conninfo}})
    trunk_password = "Trunk" + secrets.token_hex(12)
    w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd's key in SQL")
    w.settings("select sbc.set_trunk_password('itsp', 'planted-user', "
               f"'{trunk_password}')")
    assert w.rows("select sealed is not null as x from sbc.trunk_credential"
                  )[0]["x"]
    phone = _trunk_login(w, trunk_password)
    account = phone.who
    _incoming(w, account["number"])
    phone.wait_event("CALL_CLOSED")
    with open(f"{gate.state_dir}/authd/key", "rb") as f:
        key = f.read()
    needles = {"phone password": account["password"].encode(),
               "trunk password": trunk_password.encode(),
               "database password": marker.encode(),
               "master key": key[8:40], "RSA key": key[60:92],
               "RSA key's tail": key[-96:-64], **_hashes(w, account)}

    authd = gate.pid_of("authd")
    known = {"database password", "master key"}
    assert known <= _found(authd, needles), \
        "the search finds what has to be there"
    for daemon in DAEMONS:
        found = _found(gate.pid_of(daemon), needles)
        assert not found, f"{daemon} has {found}"

    _no_way_to_the_database(w, gate)

    phone.stop()
    mine = {n: v for n, v in needles.items() if n.startswith("HA1")}
    w.wait(lambda: not _found(authd, mine), "the hashes to leave authd", 20)
    found = _found(authd, {n: needles[n] for n in (
        "phone password", "trunk password")})
    assert not found, f"authd has {found}"


def _no_way_to_the_database(w, gate):
    """No socket of sbc or mediad ends at PostgreSQL, none of their files
    is the database's or authd's, and their users are let in by neither."""
    lines = proc.run(["ss", "-xanH"], ns=w.ns("edge")).splitlines()
    lines += proc.run(["ss", "-xanH"]).splitlines()
    # type state recv-q send-q local inode peer inode
    at_server = {line.split()[7] for line in lines
                 if ".s.PGSQL" in line.split()[4] and len(line.split()) > 7}
    authd = _sockets(gate.pid_of("authd"))
    assert authd & at_server, "authd's connection is not seen"
    for daemon in DAEMONS:
        pid = gate.pid_of(daemon)
        assert not _sockets(pid) & at_server, f"{daemon} speaks to PostgreSQL"
        for path in _files(pid):
            assert "PGSQL" not in path and "libpq" not in path, path
            assert "/state/authd" not in path, path
        user = f"gatehouse-{daemon}"
        for argv in ([f"{w.gate_cluster.bin}/psql", "-X", "-h",
                      w.gate_cluster.socket_dir, "-U", "sbc_authd", "-d",
                      gate.database, "-c", "select 1"],
                     ["cat", f"{gate.state_dir}/authd/key"]):
            out = proc.run(["setpriv", f"--reuid={user}", "--regid=gatehouse",
                            "--clear-groups", "--", *argv], check=False,
                           cwd="/")
            assert re.search("failed|denied|not permitted", out), (argv, out)


def _media_keys(w):
    """Every key on the phones' wire, as its text and as octets."""
    found = {}
    pcap = w.captures["phones"].write(f"{w.dir}/keys.pcap", w.marks["phones"])
    with open(pcap, "rb") as f:
        for m in re.finditer(rb"inline:([A-Za-z0-9+/]{38,})", f.read()):
            text = m.group(1)[:36]
            name = text[:8].decode()
            found[name + " as text"] = text
            found[name] = base64.b64decode(text)[:24]
    return found


@case("R28", seconds=12, gate="own", builds="release")
def no_media_key_outlives_its_call(w):
    """SDES keys of a call are in no daemon's memory once it is over and its
    transactions have run out: not in a description, not in what the SIP
    library had of a message, not in the saved state."""
    w.make_gate(settings=f"""
        update sbc.setting set value = '50' where name = 'sip_t1_ms';
        update sbc.setting set value = '100' where name = 'sip_t2_ms';
        update sbc.setting set value = '100' where name = 'sip_t4_ms';
        update sbc.realm set srtp_insecure_signaling = true
        where name = 'phones';
        select sbc.add_realm_address('phones', '{PHONES.edge}', 5060, 'tcp');
        """)
    # Over TCP no transaction waits 32 s for repetitions (RFC 3261 17.1.1.2).
    phone = w.phone(w.add_phone(srtp="required"), srtp="srtp-mand",
                    transport="tcp", long=True)
    number = phone.who["number"]
    w.sipp("itsp", "uac_call_silent", target=True, service=number,
           hold=500).done()
    phone.wait_event("CALL_CLOSED")
    w.cdr(number, sip_status=200)
    called = "+4940" + number[-7:]
    s = w.sipp("itsp", "uas_call_silent")
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    keys = _media_keys(w)
    # Both directions of both calls; ours offers five.
    assert len(keys) >= 2 * (1 + 5 + 1 + 1), keys
    # The search finds what is there: this call is up.
    for daemon in ("sbc", "mediad"):
        w.wait(lambda d=daemon: _found(w.gate.pid_of(d), keys),
               f"a key of the call in {daemon}", 20)
    phone.hang_up()
    s.done()
    phone.wait_event("CALL_CLOSED")
    w.cdr(called, sip_status=200)
    left = {}

    def gone():
        left.clear()
        for daemon in ("sbc", "mediad", "flowd", "authd"):
            found = _found(w.gate.pid_of(daemon), keys)
            if found:
                left[daemon] = found
        return not left

    try:
        w.wait(gone, "the keys to leave the memory", 20)
    except proc.Problem as e:
        raise proc.Problem(f"{e}: {left}") from e
