# SPDX-License-Identifier: Apache-2.0
"""One side of a call, message by message, for what finished phones do not do
at the moment that a case needs: wait with an ACK, answer late, repeat."""
import re
import secrets
import time

from . import proc


def sdp(host, port, direction="sendrecv", version=1, profile="RTP/AVP",
        lines=()):
    """A description with one audio line; lines: more of its attributes."""
    return ("v=0\r\n"
            f"o=peer 71 {version} IN IP4 {host}\r\n"
            "s=-\r\n"
            f"c=IN IP4 {host}\r\n"
            "t=0 0\r\n"
            f"m=audio {port} {profile} 8 101\r\n"
            "a=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            + "".join(f"a={line}\r\n" for line in lines)
            + f"a={direction}\r\n")


class Side:
    """A dialog at a harness.sip.Peer. Messages that come are kept; expect()
    takes the first that fits, and lets repetitions of known ones pass."""

    def __init__(self, peer, media_port=7000):
        self.peer = peer
        self.media_port = media_port
        self.media_host = peer.host
        self.profile = "RTP/AVP"
        self.lines = []          # of the description: a=...
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
            first = str(m.status) if m.status else m.method
            self._again(m)
            if m.data not in self.seen and not any(
                    first.startswith(p) for p in passing):
                raise proc.Problem(f"{m.first} at {self.peer.host}")

    # ------------------------------------------------------------------- send

    def sdp(self, direction="sendrecv"):
        text = sdp(self.media_host, self.media_port, direction, self.version,
                   self.profile, self.lines)
        self.version += 1
        return text

    def _message(self, method, cseq, branch, extra=(), body="", to=None):
        lines = [f"{method} {self.target} SIP/2.0",
                 f"Via: SIP/2.0/UDP {self.peer.host}:{self.peer.port};rport;"
                 f"branch={branch}",
                 "Max-Forwards: 70",
                 f"From: {self.local}", f"To: {to or self.remote}",
                 f"Call-ID: {self.call_id}", f"CSeq: {cseq} {method}",
                 f"Contact: <sip:peer@{self.peer.host}:{self.peer.port}>",
                 "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO",
                 *extra]
        if body and not any(e.startswith("Content-Type") for e in extra):
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        return "\r\n".join(lines) + "\r\n\r\n" + body

    @staticmethod
    def branch():
        return f"z9hG4bK{secrets.token_hex(8)}"

    def call(self, number, user="+4989123456", extra=(), offer=True):
        """Sends the INVITE."""
        host = self.peer.target[0]
        self.call_id = secrets.token_hex(10)
        self.target = f"sip:{number}@{host}"
        self.local = f"<sip:{user}@{self.peer.host}>;tag={self.tag}"
        self.remote = f"<sip:{number}@{host}>"
        self.invite_cseq = self.cseq
        self.acked = False
        self.invite = self._message("INVITE", self.cseq, self.branch(), extra,
                                    self.sdp() if offer else "")
        self.peer.send(self.invite)

    def request(self, method, extra=(), body=""):
        """Any request inside the dialog; returns its CSeq."""
        self.cseq += 1
        text = self._message(method, self.cseq, self.branch(), extra, body)
        if method == "INVITE":
            self.invite, self.invite_cseq = text, self.cseq
            self.acked = False
        self.peer.send(text)
        return text

    def ack(self):
        """Of a 2xx."""
        self.acked = True
        self.peer.send(self._message("ACK", self.invite_cseq, self.branch()))

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
                  f"Contact: <sip:peer@{self.peer.host}:{self.peer.port}>",
                  "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO",
                  *extra]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        self.peer.send("\r\n".join(lines) + "\r\n\r\n" + body)
