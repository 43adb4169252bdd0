# SPDX-License-Identifier: Apache-2.0
"""A small SIP peer over UDP for what finished phones cannot be made to do.

It builds requests, keeps what came back and computes digests (RFC 7616 and
8760). Nothing is retransmitted unless asked: silence can be tested.
"""
import hashlib
import re
import secrets
import select
import socket
import time

from . import net, proc


class Message:
    """A received message, split for looking."""

    def __init__(self, data, source):
        self.data = data
        self.source = source
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.first = lines[0]
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers.append((name.strip().lower(), value.strip()))

    @property
    def status(self):
        m = re.match(r"SIP/2\.0 (\d{3})", self.first)
        return int(m.group(1)) if m else 0

    @property
    def method(self):
        return "" if self.status else self.first.split(" ")[0]

    def get(self, name, default=""):
        for key, value in self.headers:
            if key == name.lower():
                return value
        return default

    def all(self, name):
        return [v for k, v in self.headers if k == name.lower()]


def challenges_of(message):
    """Parameters of every digest challenge, in order."""
    found = []
    for text in (message.all("www-authenticate") or
                 message.all("proxy-authenticate")):
        if not text.lower().startswith("digest "):
            raise proc.Problem(f"no challenge in {message.first}")
        found.append({k.lower(): v.strip('"') for k, v in re.findall(
            r'(\w+)\s*=\s*("[^"]*"|[^,\s]+)', text[7:])})
    if not found:
        raise proc.Problem(f"no challenge in {message.first}")
    return found


def challenge_of(message):
    """Parameters of the first digest challenge."""
    return challenges_of(message)[0]


HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def authorization(challenge, user, password, method, uri, nc=1, cnonce=None,
                  body=""):
    """Value of an Authorization header; auth-int where it is asked for."""
    algorithm = challenge.get("algorithm", "MD5")
    qop = challenge.get("qop", "auth")

    def h(text):
        return hashlib.new(HASHES[algorithm.upper()], text.encode()).hexdigest()

    cnonce = cnonce or secrets.token_hex(8)
    ha1 = h(f"{user}:{challenge['realm']}:{password}")
    ha2 = h(f"{method}:{uri}" + (f":{h(body)}" if qop == "auth-int" else ""))
    parts = [f'username="{user}"', f'realm="{challenge["realm"]}"',
             f'nonce="{challenge["nonce"]}"', f'uri="{uri}"',
             f"algorithm={algorithm}"]
    if "qop" in challenge:
        response = h(f"{ha1}:{challenge['nonce']}:{nc:08x}:{cnonce}:{qop}:{ha2}")
        parts += [f"nc={nc:08x}", f'cnonce="{cnonce}"', f"qop={qop}"]
    else:
        response = h(f"{ha1}:{challenge['nonce']}:{ha2}")
    parts.append(f'response="{response}"')
    if "opaque" in challenge:
        parts.append(f'opaque="{challenge["opaque"]}"')
    return "Digest " + ", ".join(parts)


class Peer:
    """One UDP socket in a namespace that talks to one address of ours."""

    transport = "UDP"

    def __init__(self, ns, local, port, target, target_port=5060):
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self.sock = net.open_socket(ns, family, socket.SOCK_DGRAM)
        self.sock.bind((local, port))
        self.host = f"[{local}]" if ":" in local else local
        self.port = self.sock.getsockname()[1]
        self.target = (target, target_port)
        self.tag = secrets.token_hex(6)
        self.call_id = secrets.token_hex(10)
        self.cseq = 0

    def request(self, method, uri, user, to=None, headers=(), body="",
                contact=True):
        self.cseq += 1
        lines = [f"{method} {uri} SIP/2.0",
                 f"Via: SIP/2.0/{self.transport} {self.host}:{self.port};rport;"
                 f"branch=z9hG4bK{secrets.token_hex(8)}",
                 "Max-Forwards: 70",
                 f"From: <sip:{user}>;tag={self.tag}",
                 f"To: <sip:{to or user}>",
                 f"Call-ID: {self.call_id}",
                 f"CSeq: {self.cseq} {method}"]
        if contact:
            lines.append("Contact: <sip:"
                         f"{user.split('@')[0]}@{self.host}:{self.port}>")
        lines += list(headers)
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def send(self, text):
        self.sock.sendto(text.encode() if isinstance(text, str) else text,
                         self.target)

    def receive(self, timeout=5.0):
        """The next message, or None when nothing comes in time."""
        if not select.select([self.sock], [], [], timeout * proc.PATIENCE)[0]:
            return None
        data, source = self.sock.recvfrom(65536)
        return Message(data, source)

    def final(self, timeout=5.0):
        """The next final answer."""
        end = time.monotonic() + timeout * proc.PATIENCE
        while True:
            m = self.receive(max(0.0, end - time.monotonic()))
            if m is None:
                raise proc.Problem("no final answer")
            if m.status >= 200:
                return m

    def register(self, domain, user, password, expires=300, headers=(),
                 contact=""):
        """REGISTER with digest; returns the last answer. contact: parameters
        of the Contact."""
        uri = f"sip:{domain}"
        aor = f"{user}@{domain}"
        extra = [f"Expires: {expires}",
                 f"Contact: <sip:{user}@{self.host}:{self.port}>{contact}",
                 *headers]
        self.send(self.request("REGISTER", uri, aor, headers=extra,
                               contact=False))
        answer = self.final()
        if answer.status != 401:
            return answer
        value = authorization(challenge_of(answer), user, password,
                              "REGISTER", uri)
        self.send(self.request("REGISTER", uri, aor, headers=[
            *extra, f"Authorization: {value}"], contact=False))
        return self.final()

    def stop(self):
        self.sock.close()


class StreamPeer(Peer):
    """The same over one connection, plain or TLS (a context of ssl). Without
    a connection of its own it waits for ours: accept()."""

    def __init__(self, ns, local, port, target, target_port=5060, tls=None,
                 listen=False):
        self.listener = self.sock = None
        self.transport = "TLS" if tls else "TCP"
        self.tls = tls
        self.host = local
        self.target = (target, target_port)
        self.tag = secrets.token_hex(6)
        self.call_id = secrets.token_hex(10)
        self.cseq = 0
        self.buffer = b""
        raw = net.open_socket(ns, socket.AF_INET, socket.SOCK_STREAM)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        raw.settimeout(10 * proc.PATIENCE)
        raw.bind((local, port))
        self.port = raw.getsockname()[1]
        if listen:
            raw.listen(4)
            self.listener = raw
            return
        raw.connect(self.target)
        self.sock = tls.wrap_socket(raw) if tls else raw

    def accept(self):
        raw, _ = self.listener.accept()
        self.sock = self.tls.wrap_socket(raw, server_side=True) \
            if self.tls else raw
        return self

    def send(self, text):
        self.sock.sendall(text.encode() if isinstance(text, str) else text)

    def receive(self, timeout=5.0):
        end = time.monotonic() + timeout * proc.PATIENCE
        while True:
            m = self._message()
            if m:
                return m
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.sock.recv(65536)
            except (TimeoutError, BlockingIOError):
                return None
            if not data:
                raise proc.Problem(f"{self.target} closed the connection")
            self.buffer += data

    def _message(self):
        """One message by its Content-Length (RFC 3261 18.3)."""
        self.buffer = self.buffer.lstrip(b"\r\n")
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        size = int(re.search(rb"(?mi)^(?:content-length|l)\s*:\s*(\d+)",
                             head)[1])
        if len(rest) < size:
            return None
        self.buffer = rest[size:]
        return Message(head + end + rest[:size], self.target)

    def stop(self):
        for s in (self.sock, self.listener):
            if s:
                s.close()
