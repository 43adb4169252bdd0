# SPDX-License-Identifier: Apache-2.0
"""The network's end of a trunk, message by message: a registrar, and a server
that wants credentials."""
import re
import secrets
import threading

from . import proc
from .dialog import Side
from .sip import authorization


def fields_of(value):
    """Parameters of an Authorization header."""
    return {k.lower(): v.strip('"') for k, v in re.findall(
        r'(\w+)\s*=\s*("[^"]*"|[^,\s]+)', value.partition(" ")[2])}


class Digest:
    """Challenges of one realm, and whether they are answered rightly."""

    def __init__(self, realm, user, password, algorithm="MD5"):
        self.realm, self.user, self.password = realm, user, password
        self.algorithm = algorithm
        self.nonce = ""

    def challenge(self, stale=False):
        self.nonce = secrets.token_hex(12)
        return (f'Digest realm="{self.realm}", nonce="{self.nonce}", '
                f'algorithm={self.algorithm}, qop="auth"' +
                (", stale=true" if stale else ""))

    def check(self, m, header="authorization"):
        """A request's answer to the last challenge."""
        have = fields_of(m.get(header))
        want = fields_of(authorization(
            {"realm": self.realm, "nonce": self.nonce, "qop": "auth",
             "algorithm": self.algorithm}, self.user, self.password,
            m.method, have.get("uri", ""), cnonce=have.get("cnonce")))
        for key in ("username", "realm", "nonce", "response"):
            if have.get(key) != want[key]:
                raise proc.Problem(f"{key} is {have.get(key)!r}, not "
                                   f"{want[key]!r} in {m.first}")


def reply(peer, m, status, *headers, tag=True):
    """Any answer to a request that has come."""
    to = m.get("to")
    if tag and ";tag=" not in to:
        to += f";tag={peer.tag}"
    lines = [f"SIP/2.0 {status} Peer", *(f"Via: {v}" for v in m.all("via")),
             f"From: {m.get('from')}", f"To: {to}",
             f"Call-ID: {m.get('call-id')}", f"CSeq: {m.get('cseq')}",
             *headers, "Content-Length: 0"]
    peer.send("\r\n".join(lines) + "\r\n\r\n")


def take(peer, method, timeout=15, seen=None):
    """The next request of a method; repetitions of known ones pass."""
    while True:
        m = peer.receive(timeout)
        if m is None:
            raise proc.Problem(f"no {method} at {peer.host}")
        if seen is not None and m.data in seen:
            continue
        if m.method == method:
            if seen is not None:
                seen.add(m.data)
            return m
        if m.method not in ("OPTIONS", "REGISTER", ""):
            raise proc.Problem(f"{m.first} instead of {method}")


class Registrar:
    """Takes registrations at a harness.sip.Peer."""

    def __init__(self, peer, digest):
        self.peer, self.digest = peer, digest
        self.seen = set()
        self.contact = ""
        self.cseq = -1
        self.call_id = None

    def next(self, timeout=15):
        m = take(self.peer, "REGISTER", timeout, self.seen)
        cseq = int(m.get("cseq").split()[0])
        if self.call_id == m.get("call-id") and cseq <= self.cseq:
            raise proc.Problem(f"REGISTER {cseq} after {self.cseq}")
        self.call_id, self.cseq = m.get("call-id"), cseq
        return m

    def challenge(self, m, stale=False):
        reply(self.peer, m, 401, "WWW-Authenticate: " +
              self.digest.challenge(stale))

    def accept(self, m, expires=300, headers=()):
        self.digest.check(m)
        self.contact = re.search(r"<([^>]+)>", m.get("contact")).group(1)
        reply(self.peer, m, 200, f"Contact: <{self.contact}>;expires={expires}",
              *headers)
        return m

    def register(self, expires=300, headers=()):
        """A whole registration; returns the REGISTER that was accepted."""
        self.challenge(self.next())
        return self.accept(self.next(), expires, headers)


class Line(threading.Thread):
    """A trunk that answers everything in one way: OPTIONS with one status,
    INVITE with another one (0 = with silence), and keeps who called whom."""

    def __init__(self, peer, options=200, invite=486):
        super().__init__(daemon=True)
        self.peer, self.options, self.invite = peer, options, invite
        self.calls = []
        self.ends = False
        self.start()

    def run(self):
        seen = set()
        while not self.ends:
            try:
                m = self.peer.receive(0.1)
            except OSError:
                return
            if m is None:
                continue
            if m.method == "OPTIONS":
                reply(self.peer, m, self.options)
            elif m.method == "INVITE":
                if m.data not in seen:
                    self.calls.append(m)
                seen.add(m.data)
                if self.invite:
                    reply(self.peer, m, self.invite)
            elif m.method == "CANCEL":
                reply(self.peer, m, 200)

    def take(self):
        """The calls since the last look."""
        calls, self.calls = self.calls, []
        return calls

    def stop(self):
        self.ends = True
        self.join(5)


def dial(peer, number, user="+49305550007", extra=()):
    """Calls, and gives the final answer; a 2xx stands."""
    s = Side(peer)
    s.call(number, user=user, extra=extra)
    m = s.expect("", passing=("1",))
    while m.status < 200:
        m = s.expect("", passing=("1",))
    if m.status >= 300:
        s.ack_failure(m)
    return m.status, s, m
