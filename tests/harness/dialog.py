# SPDX-License-Identifier: Apache-2.0
"""One side of a call, message by message, for what finished phones do not do
at the moment that a case needs: wait with an ACK, answer late, repeat."""
import re
import secrets
import struct
import time

from . import proc, sip

NAMES = {8: "PCMA/8000", 0: "PCMU/8000", 101: "telephone-event/8000",
         9: "G722/8000", 18: "G729/8000", 96: "opus/48000/2"}


def sdp(host, port, direction="sendrecv", version=1, formats="8 101",
        connection=None, more=(), profile="RTP/AVP"):
    """A description with one audio line. connection: another address in c=;
    more: whole lines after those of the audio line."""
    host = host.strip("[]")
    family = "IP6" if ":" in host else "IP4"
    names = [f"a=rtpmap:{n} {NAMES[int(n)]}" for n in formats.split()]
    return "\r\n".join([
        "v=0", f"o=peer 71 {version} IN {family} {host}", "s=-",
        f"c=IN {family} {connection or host}", "t=0 0",
        f"m=audio {port} {profile} {formats}", *names, f"a={direction}",
        *more]) + "\r\n"


def audio_of(m):
    """(address, port, formats, direction) of a message's description."""
    text = m.body.decode()
    c = re.search(r"^c=IN IP[46] (\S+)", text, re.M)
    a = re.search(r"^m=audio (\d+) \S+ ([\d ]+?)\r?$", text, re.M)
    d = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", text, re.M)
    if not c or not a:
        raise proc.Problem(f"no audio in {m.first}: {text!r}")
    return (c.group(1), int(a.group(1)), a.group(2),
            d.group(1) if d else "sendrecv")


SHORT = {"Via": "v", "From": "F", "To": "t", "Call-ID": "i", "Contact": "m",
         "Content-Type": "c", "Content-Length": "L"}


def _shorten(line):
    name, colon, value = line.partition(":")
    return f"{SHORT[name]} \t:{value}" if colon and name in SHORT else line


class Side:
    """A dialog at a harness.sip.Peer. Messages that come are kept; expect()
    takes the first that fits, and lets repetitions of known ones pass."""

    def __init__(self, peer, media_port=7000, user=None, password=None):
        self.peer = peer
        self.media_port = media_port
        self.media_host = peer.host
        self.profile = "RTP/AVP"
        self.lines = []          # of the description: a=...
        self.user = user  # of an account: a challenge is answered
        self.password = password
        self.heads = []   # header lines in everything that it says
        self.compact = False  # short names for them (RFC 3261 7.3.3)
        self.version = 1
        self.tag = secrets.token_hex(6)
        self.remote = self.local = self.call_id = self.target = ""
        self.cseq = 100
        self.invite = None       # the last INVITE, as sent or received
        self.invite_cseq = 0
        self.seen = set()
        self.acked = False       # the last INVITE of ours

    # ---------------------------------------------------------------- receive

    def expect(self, what, timeout=10.0, passing=()):
        """what: a method, or a status or class ("180", "2"). 100 passes, so
        does what begins with a word of passing."""
        end = time.monotonic() + timeout * proc.PATIENCE
        while True:
            left = end - time.monotonic()
            m = self.peer.receive(left / proc.PATIENCE) if left > 0 else None
            if m is None:
                raise proc.Problem(f"no {what} at {self.peer.host}")
            if not m.first:
                continue  # keep-alive
            first = str(m.status) if m.status else m.method
            if first.startswith(what) and m.data not in self.seen:
                self.seen.add(m.data)
                return m
            self._again(m)
            if first == "100" or m.data in self.seen or \
               any(first.startswith(p) for p in passing):
                continue
            raise proc.Problem(f"{m.first} instead of {what} at "
                               f"{self.peer.host}")

    def _again(self, m):
        """A 2xx that comes again is acknowledged again (RFC 3261 13.2.2.4)."""
        if self.acked and m.status // 100 == 2 and m.data in self.seen and \
           m.get("cseq") == f"{self.invite_cseq} INVITE":
            self.ack()

    def silent(self, seconds=0.5, passing=()):
        """Nothing new comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            m = self.peer.receive((end - time.monotonic()) / proc.PATIENCE)
            if m is None:
                return
            if not m.first:
                continue
            first = str(m.status) if m.status else m.method
            self._again(m)
            if m.data not in self.seen and not any(
                    first.startswith(p) for p in passing):
                raise proc.Problem(f"{m.first} at {self.peer.host}")

    # ------------------------------------------------------------------- send

    def sdp(self, direction="sendrecv", **more):
        text = sdp(self.media_host, more.pop("port", self.media_port),
                   direction, self.version, profile=self.profile,
                   more=[*(f"a={line}" for line in self.lines),
                         *more.pop("more", ())], **more)
        self.version += 1
        return text

    def _message(self, method, cseq, branch, extra=(), body="", to=None):
        lines = [f"{method} {self.target} SIP/2.0",
                 f"Via: SIP/2.0/{self.peer.transport} "
                 f"{self.peer.host}:{self.peer.port};rport;"
                 f"branch={branch}",
                 "Max-Forwards: 70",
                 f"From: {self.local}", f"To: {to or self.remote}",
                 f"Call-ID: {self.call_id}", f"CSeq: {cseq} {method}",
                 f"Contact: <{self._contact()}>",
                 *self.heads, *extra]
        if not any(e.startswith("Allow:") for e in extra):
            lines.append("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, "
                         "UPDATE, INFO")
        if any(e.startswith("Max-Forwards:") for e in extra):
            lines.remove("Max-Forwards: 70")
        if body and not any(e.startswith("Content-Type") for e in extra):
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        if self.compact:
            lines = [_shorten(line) for line in lines]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def _contact(self):
        uri = f"sip:peer@{self.peer.host}:{self.peer.port}"
        if self.peer.transport != "UDP":
            uri += f";transport={self.peer.transport.lower()}"
        return uri

    @staticmethod
    def branch():
        return f"z9hG4bK{secrets.token_hex(8)}"

    def call(self, number, user="+4989123456", extra=(), offer=True,
             body=None):
        """Sends the INVITE; an account's with its answer to the challenge.
        body: a description of the case's own."""
        host = self.peer.target[0]
        host = f"[{host}]" if ":" in host else host
        self.call_id = secrets.token_hex(10)
        self.target = f"sip:{number}@{host}"
        self.local = f"<sip:{user}@{self.peer.host}>;tag={self.tag}"
        self.remote = f"<sip:{number}@{host}>"
        self.invite_cseq = self.cseq
        self.acked = False
        if body is None:
            body = self.sdp() if offer else ""
        self.invite = self._message("INVITE", self.cseq, self.branch(), extra,
                                    body)
        self.peer.send(self.invite)
        if self.password is None:
            return
        challenge = self.expect("401")
        self.ack_failure(challenge)
        self.cseq += 1
        self.invite_cseq = self.cseq
        value = sip.authorization(sip.challenge_of(challenge), self.user,
                                  self.password, "INVITE", self.target,
                                  body=body)
        self.invite = self._message(
            "INVITE", self.cseq, self.branch(),
            [*extra, f"Authorization: {value}"], body)
        self.peer.send(self.invite)

    def cancel(self):
        """Of the INVITE under way."""
        branch = re.search(r"branch=([^;\r]+)", self.invite).group(1)
        text = self._message("CANCEL", self.invite_cseq, branch)
        uri = self.invite.split(" ")[1]
        to = re.search(r"\r\nTo: ([^\r]+)", self.invite).group(1)
        text = re.sub(r"^CANCEL \S+", f"CANCEL {uri}", text)
        self.peer.send(re.sub(r"\r\nTo: [^\r]+", f"\r\nTo: {to}", text))

    def send_prack(self, m, body=""):
        """Acknowledges a reliable provisional; body: an offer or answer."""
        self.answered(m)
        self.request("PRACK", [f"RAck: {m.get('rseq')} {m.get('cseq')}"], body)

    def prack(self, m, body=""):
        """The same, and takes its 200."""
        self.send_prack(m, body)
        return self.pracked()

    def pracked(self):
        answer = self.expect("200")
        if "PRACK" not in answer.get("cseq"):
            raise proc.Problem(f"{answer.get('cseq')} instead of PRACK")
        return answer

    def request(self, method, extra=(), body=""):
        """Any request inside the dialog; returns its CSeq."""
        self.cseq += 1
        text = self._message(method, self.cseq, self.branch(), extra, body)
        if method == "INVITE":
            self.invite, self.invite_cseq = text, self.cseq
            self.acked = False
        self.peer.send(text)
        return text

    def ack(self, body=""):
        """Of a 2xx."""
        self.acked = True
        self.peer.send(self._message("ACK", self.invite_cseq, self.branch(),
                                     body=body))

    def ack_failure(self, answer):
        """Of another final answer: belongs to the INVITE's transaction."""
        branch = re.search(r"branch=([^;\r]+)", self.invite).group(1)
        self.peer.send(self._message("ACK", self.invite_cseq, branch,
                                     to=answer.get("to")))

    def answered(self, m):
        """Takes the dialog's values from a 1xx or 2xx."""
        self.remote = m.get("to")
        contact = re.search(r"<([^>]+)>", m.get("contact"))
        if contact:
            self.target = contact.group(1)

    def taken(self, m):
        """Takes the dialog out of an INVITE that has come."""
        self.invite = m
        self.invite_cseq = int(m.get("cseq").split()[0])
        self.call_id = m.get("call-id")
        self.remote = m.get("from")
        self.local = f"{m.get('to')};tag={self.tag}"
        self.target = re.search(r"<([^>]+)>", m.get("contact")).group(1)

    def answer(self, m, status, body="", extra=()):
        """Answers a request that has come."""
        lines = [f"SIP/2.0 {status} Peer", *(f"Via: {v}" for v in m.all("via")),
                 f"From: {m.get('from')}"]
        to = m.get("to")
        if ";tag=" not in to and status != 100:
            to += f";tag={self.tag}"
        lines += [f"To: {to}", f"Call-ID: {m.get('call-id')}",
                  f"CSeq: {m.get('cseq')}",
                  *self.heads, *extra]
        if not any(e.startswith("Contact:") for e in extra):
            lines.append(f"Contact: <{self._contact()}>")
        if not any(e.startswith("Allow:") for e in extra):
            lines.append("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, "
                         "UPDATE, INFO")
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        self.peer.send("\r\n".join(lines) + "\r\n\r\n" + body)


class Media:
    """An RTP socket of a side."""

    def __init__(self, peer):
        self.sock = peer.sock
        self.sequence = 0
        self.ssrc = struct.unpack("!I", secrets.token_bytes(4))[0]

    def send(self, address, port, payload_type=8):
        """The next packet of 20 ms."""
        head = struct.pack("!BBHII", 0x80, payload_type, self.sequence & 0xffff,
                           self.sequence * 160 & 0xffffffff, self.ssrc)
        # Digit 5, or a frame of silence.
        payload = b"\x05\x0a\x00\xa0" if payload_type == 101 else b"\xd5" * 160
        self.sock.sendto(head + payload, (address, port))
        self.sequence += 1

    def heard(self):
        """Payload types of the packets that have come since."""
        found = []
        self.sock.setblocking(False)
        try:
            while True:
                found.append(self.sock.recv(2048)[1] & 0x7f)
        except BlockingIOError:
            return found
