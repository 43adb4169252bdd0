# SPDX-License-Identifier: Apache-2.0
"""The database goes away: slow, dead, somebody else takes over, or all was
restarted without it. Nobody on the phone may notice."""
import select
import time

from harness import db, proc, runner, world
from harness.cases import case
from harness.net import LINKS
from harness.sip import Message, authorization, challenge_of

ITSP, PHONES = LINKS["itsp"], LINKS["phones"]
URI = f"sip:{PHONES.edge}"


def _cluster(w, name):
    cluster = db.Cluster(f"{w.net.prefix}-{name}", w.dir)
    cluster.log_path = f"{w.dir}/postgres-{name}.log"
    cluster.make()
    w.group.add(cluster)
    cluster.start()
    cluster.create("gatehouse")
    return cluster


def _filled(w, name="own", settings=""):
    cluster = _cluster(w, name)
    runner.migrate(cluster, "gatehouse", w.installed)
    cluster.sql("gatehouse", world.SETTINGS + settings)
    return cluster


def _signal(cluster, name):
    """To every process of the server."""
    server = str(cluster.server.pid)
    pids = [server] + proc.run(["ps", "-o", "pid=", "--ppid", server],
                               check=False).split()
    for pid in pids:
        proc.run(["kill", f"-{name}", pid], check=False)


def _call(w, phone, cdr=True):
    number = phone.who["number"]
    w.sipp("itsp", "uac_call_silent", target=True, service=number, hold=300,
           who=f"itsp{number[-3:]}").done()
    phone.wait_event("CALL_CLOSED")
    if cdr:
        w.cdr(number, timeout=30, sip_status=200)


@case("R43", seconds=14, gate="own")
def stalled_server(w):
    """PostgreSQL stands still (SIGSTOP): known phones register and are called,
    an unknown one gets no refusal, and records arrive once it goes on."""
    cluster = _filled(w)
    w.make_gate(database="gatehouse", cluster=cluster)
    phone, other = w.phone(), w.add_phone()
    _signal(cluster, "STOP")
    try:
        account = phone.who
        p = w.peer("phones", n=12)
        assert p.register(PHONES.edge, account["username"],
                          account["password"]).status == 200
        assert p.register(PHONES.edge, account["username"],
                          account["password"], expires=0).status == 200
        _call(w, phone, cdr=False)
        p = w.peer("phones", n=13)
        p.send(p.request("REGISTER", URI, f"{other['username']}@{PHONES.edge}"))
        value = authorization(challenge_of(p.final()), other["username"],
                              other["password"], "REGISTER", URI)
        p.send(p.request("REGISTER", URI, f"{other['username']}@{PHONES.edge}",
                         headers=[f"Authorization: {value}"]))
        m = p.receive(3.0)
        assert m is None or m.status in (100, 503), m.first
    finally:
        _signal(cluster, "CONT")
    w.cdr(phone.who["number"], timeout=40, sip_status=200)
    w.wait(lambda: w.peer("phones", n=13).register(
        PHONES.edge, other["username"], other["password"]).status == 200,
        "the unknown phone to register", 30)


def _down(cluster):
    """In order, then killed, then paused: each with what brings it back."""
    def killed():
        _signal(cluster, "KILL")
        cluster.server.wait(20)

    return ((lambda: cluster.stop(remove=False), cluster.start),
            (killed, cluster.start),
            (lambda: _signal(cluster, "STOP"),
             lambda: _signal(cluster, "CONT")))


@case("R43 R52", seconds=20, gate="own")
def away_in_mid_call(w):
    """A call lasts through a stop, a kill and a pause of PostgreSQL; in each a
    phone registers, and a call begins and ends: every record arrives once."""
    cluster = _filled(w)
    w.make_gate(database="gatehouse", cluster=cluster)
    phone, other = w.phone(n=0), w.phone(n=1)
    number = phone.who["number"]
    long = w.sipp("itsp", "uac_hung_up_on", "far", target=True, service=number,
                  port=5080, timeout=120, media_port=6200)
    phone.wait_event("CALL_ESTABLISHED")
    silent = other.who
    for down, up in _down(cluster):
        down()
        try:
            p = w.peer("phones", n=12, port=5099)
            assert p.register(PHONES.edge, silent["username"],
                              silent["password"]).status == 200
            assert p.register(PHONES.edge, silent["username"],
                              silent["password"], expires=0).status == 200
            p.stop()
            _call(w, other, cdr=False)
        finally:
            up()
    w.wait_speech("itsp", 9)
    phone.hang_up()
    long.done()
    phone.wait_event("CALL_CLOSED")
    w.phone_heard(phone, "far")
    w.cdr(number, timeout=40, sip_status=200, hangup_side="called")
    rows = w.wait(lambda: [r for r in w.rows(
        "select called, count(*) as n, count(distinct call) as calls "
        f"from sbc.cdr where called = '{silent['number']}' group by 1")
        if r["n"] >= 3], "three records of the short calls", 40)
    assert (rows[0]["n"], rows[0]["calls"]) == (3, 3), rows


def _file_limit(pid, size):
    """As the process's own user: that needs no rights over others."""
    proc.run(["setpriv", "--reuid=gatehouse-authd", "--regid=gatehouse",
              "--clear-groups", "--", "prlimit", "--pid", str(pid),
              f"--fsize={size}:unlimited"])


@case("R43 R64", seconds=8, gate="own")
def full_disk(w):
    """authd may write no file any more: it says so, phones register, calls go
    on and their CDRs reach SQL; with room again it says that too."""
    gate = w.make_gate()
    phone, other = w.phone(), w.add_phone()
    w.faults_allowed = True
    authd = gate.pid_of("authd")
    _file_limit(authd, "1")
    _call(w, phone)
    # Its log is a file as well: the counter tells.
    assert [a["reasons"]["spool_full"] for a in gate.ctl("counters")
            if a.get("process") == "authd"][0] >= 1
    assert w.peer("phones", n=12).register(
        PHONES.edge, other["username"], other["password"]).status == 200
    row = w.wait(lambda: w.rows("select 1 from sbc.registration where username "
                                f"= '{other['username']}'"),
                 "the registration in SQL")
    assert row
    assert gate.pid_of("authd") == authd
    _file_limit(authd, "unlimited")
    mark = gate.log_mark()
    _call(w, phone, cdr=False)
    gate.wait_event("spool_works_again", since=mark, process="authd",
                    timeout=20)


@case("R43", seconds=14, gate="own")
def another_host_takes_over(w):
    """Two hosts in the connection string: when the first dies, authd goes on
    with the second; a change made there is live, and the CDR is there."""
    first = _filled(w, "one")
    second = _cluster(w, "two")
    w.make_gate(database="gatehouse", cluster=first, options={"authd": {
        "database": f"host={first.socket_dir},{second.socket_dir} "
                    "user=sbc_authd dbname=gatehouse"}})
    phone = w.phone()
    dump = f"{w.dir}/dump.sql"
    proc.run([f"{first.bin}/pg_dump", "-h", first.socket_dir, "-U", db.OWNER,
              "-f", dump, "gatehouse"])
    # A dump of one database has no roles.
    for role in ("sbc_authd", "sbc_admin", "sbc_viewer"):
        second.sql("postgres", f"create role {role} login")
    proc.run([f"{second.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1",
              "-h", second.socket_dir, "-U", db.OWNER, "-d", "gatehouse",
              "-f", dump])
    first.stop(remove=False)
    w.gate_cluster = second
    _call(w, phone)
    account = w.add_phone()
    w.wait(lambda: w.peer("phones", n=12).register(
        PHONES.edge, account["username"], account["password"]).status == 200,
        "a phone of the second host to register", 20)


# ------------------------------------------------ after a reboot, without it

class Phones:
    """Many phones on one socket: a few requests under way at once, each tried
    again until it is answered."""

    def __init__(self, w, accounts):
        self.accounts = accounts
        self.peer = w.peer("phones", port=5060)
        self.peer.sock.setsockopt(1, 33, 4 << 20)  # SO_RCVBUFFORCE

    def _request(self, account, header=None, cseq=1):
        user = account["username"]
        peer = self.peer
        peer.call_id, peer.tag = f"reg-{user}-{time.monotonic_ns()}", user
        headers = ["Expires: 3000"]
        if header:
            headers.append(f"Authorization: {header}")
        text = peer.request("REGISTER", URI, f"{user}@{PHONES.edge}",
                            headers=headers)
        account["sent"] = (time.monotonic(), text)
        peer.send(text)

    def register(self, limit):
        """Registers all; returns how many got 200."""
        waiting = list(self.accounts)
        busy, done = {}, 0
        end = time.monotonic() + limit * proc.PATIENCE
        while (waiting or busy) and time.monotonic() < end:
            while waiting and len(busy) < 32:
                account = waiting.pop()
                busy[account["username"]] = account
                self._request(account)
            m = self.peer.receive(0.2)
            now = time.monotonic()
            for account in busy.values():
                if now - account["sent"][0] > 1.0:
                    account["sent"] = (now, account["sent"][1])
                    self.peer.send(account["sent"][1])
            if not m or not m.status or m.status < 200:
                continue
            user = m.get("from").split("tag=")[1]
            account = busy.get(user)
            if not account or m.get("call-id") not in account["sent"][1]:
                continue
            if m.status == 401:
                self._request(account, authorization(
                    challenge_of(m), user, account["password"], "REGISTER",
                    URI))
            elif m.status == 200:
                del busy[user]
                done += 1
            else:
                raise proc.Problem(f"{user}: {m.first}")
        return done

    def answer_busy(self, trunk, numbers, limit):
        """The trunk calls every number; each phone says that it is busy.
        Returns the users that were called."""
        called, waiting, busy, over = set(), list(numbers), {}, 0
        end = time.monotonic() + limit * proc.PATIENCE
        while (waiting or busy) and time.monotonic() < end:
            while waiting and len(busy) < 16:
                number = waiting.pop()
                trunk.call_id = f"call-{number[1:]}"
                text = trunk.request("INVITE", f"sip:{number}@{ITSP.edge}",
                                     f"+4989123456@{ITSP.host()}",
                                     to=f"{number}@{ITSP.edge}", body=_SDP)
                busy[trunk.call_id] = [time.monotonic(), text]
                trunk.send(text)
            ready = select.select([self.peer.sock, trunk.sock], [], [], 0.2)[0]
            for sock in ready:
                m = Message(*sock.recvfrom(65536))
                if sock is self.peer.sock and m.method == "INVITE":
                    called.add(m.first.split("sip:")[1].split("@")[0])
                    self.peer.send(_response(m, "486 Busy Here"))
                elif sock is trunk.sock and m.status >= 200:
                    found = busy.pop(m.get("call-id"), None)
                    trunk.send(_ack(m, trunk))
                    if found:
                        assert m.status == 486, m.first
                        over += 1
            for entry in busy.values():
                if time.monotonic() - entry[0] > 1.0:
                    entry[0] = time.monotonic()
                    trunk.send(entry[1])
        assert over == len(numbers), f"{over} of {len(numbers)} calls"
        return called


_SDP = ("v=0\r\no=- 1 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\n"
        "t=0 0\r\nm=audio 6000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")


def _response(m, status):
    lines = [f"SIP/2.0 {status}"]
    for name, value in m.headers:
        if name in ("via", "from", "call-id", "cseq"):
            lines.append(f"{name}: {value}")
        elif name == "to":
            lines.append(f"to: {value};tag=phone")
    return "\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n"


def _ack(m, trunk):
    uri = m.get("to").split("<")[1].split(">")[0]
    return "\r\n".join([
        f"ACK {uri} SIP/2.0", f"Via: {m.get('via')}", "Max-Forwards: 70",
        f"From: {m.get('from')}", f"To: {m.get('to')}",
        f"Call-ID: {m.get('call-id')}",
        f"CSeq: {m.get('cseq').split()[0]} ACK",
        "Content-Length: 0"]) + "\r\n\r\n"


_RATES = "".join(
    f"update sbc.setting set value = '100000' where name = '{name}';"
    for name in ("unknown_rate", "source_rate", "trusted_rate", "trunk_rate"))


@case("R43 R52", seconds=40, gate="own", limit=240)
def reboot_without_database(w):
    """1,000 phones are known; the database goes, every process is restarted:
    all of them register again and are called; when the database is back it has
    each call once."""
    n = 1000 if w.release else 200
    cluster = _filled(w, settings=_RATES)
    gate = w.make_gate(database="gatehouse", cluster=cluster)
    w.sql("insert into sbc.phone_import select 20000 + g, 'Phone ' || g, "
          f"'+493077' || 10000 + g, 'phones' from generate_series(1, {n}) g")
    accounts = w.rows("select * from sbc.import_phones()")
    numbers = {r["username"]: r["number"] for r in w.rows(
        "select a.username, n.number from sbc.account a join "
        "sbc.account_number n on n.account = a.id")}
    phones = Phones(w, accounts)
    assert phones.register(60) == n
    w.wait(lambda: w.rows("select count(*) as n from sbc.registration"
                          )[0]["n"] == n, "the registrations in SQL", 20)
    phones.peer.stop()
    cluster.stop(remove=False)
    w.faults_allowed = True
    gate.keeper.stop()
    gate.start()
    w.faults_allowed = False

    phones = Phones(w, accounts)
    assert phones.register(60) == n
    trunk = w.peer("itsp", port=5060)
    users = phones.answer_busy(trunk, [numbers[a["username"]]
                                       for a in accounts], 90)
    assert len(users) == n, f"{len(users)} phones were called"
    cluster.start()
    query = ("select count(*) as n, count(distinct called) as different from "
             "sbc.cdr where sip_status = 486")
    w.wait(lambda: w.rows(query)[0]["n"] >= n, "all CDRs in SQL", 60)
    row = w.rows(query)[0]
    assert row["n"] == row["different"] == n, row
