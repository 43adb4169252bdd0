# SPDX-License-Identifier: Apache-2.0
"""Every packet of a namespace, and what must not be in it.

A packet socket per neighbour reads from the start of its world to the end, so
that a case begins without waiting and ends with all that was sent: reading
until the socket is empty is the barrier. Lost packets make a capture worthless
and are an error. The files are ordinary libpcap files.
"""
import ipaddress
import re
import select
import socket
import struct
import threading
import time

from . import net

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35


class Packet:
    """One UDP datagram."""

    __slots__ = ("at", "src", "dst", "sport", "dport", "data")

    def __init__(self, at, src, dst, sport, dport, data):
        self.at = at
        self.src = src
        self.dst = dst
        self.sport = sport
        self.dport = dport
        self.data = data

    def __repr__(self):
        return (f"{self.src}:{self.sport} > {self.dst}:{self.dport} "
                f"{len(self.data)} octets")

    def is_sip(self):
        """Requests and answers begin with letters; keep-alives are short."""
        return (len(self.data) > 20 and 65 <= self.data[0] <= 90
                and b"SIP/2.0" in self.data.split(b"\n", 1)[0])

    def is_rtcp(self):
        return (len(self.data) >= 8 and self.data[0] >> 6 == 2
                and 192 <= self.data[1] <= 223)

    def is_rtp(self):
        return (len(self.data) >= 12 and self.data[0] >> 6 == 2
                and not self.is_rtcp())


def parse_frame(at, frame):
    """The UDP datagram of an Ethernet frame, or None."""
    if len(frame) < 42:
        return None
    kind = frame[12:14]
    if kind == b"\x08\x00":
        head = 14 + (frame[14] & 15) * 4
        if frame[23] != 17 or struct.unpack_from("!H", frame, 20)[0] & 0x3fff:
            return None
        src, dst = frame[26:30], frame[30:34]
    elif kind == b"\x86\xdd" and len(frame) >= 62:
        head = 54
        if frame[20] != 17:
            return None
        src, dst = frame[22:38], frame[38:54]
    else:
        return None
    if len(frame) < head + 8:
        return None
    sport, dport, length = struct.unpack_from("!HHH", frame, head)
    return Packet(at, str(ipaddress.ip_address(src)),
                  str(ipaddress.ip_address(dst)), sport, dport,
                  frame[head + 8:head + length])


class Capture:
    """Records one interface of one namespace until stop()."""

    def __init__(self, ns, interface):
        self.interface = interface
        self.sock = net.open_socket(ns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.bind((interface, ETH_P_ALL))
        self.sock.setblocking(False)
        self.lock = threading.Lock()
        self.frames = []
        self.n_lost = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set():
            if select.select([self.sock], [], [], 0.2)[0]:
                time.sleep(0.005)  # one wake for many packets
                self._drain()

    def _drain(self):
        with self.lock:
            while True:
                try:
                    data, anc, _, addr = self.sock.recvmsg(65600, 64)
                except (BlockingIOError, InterruptedError):
                    break
                # lo shows each packet going out and coming in.
                if self.interface == "lo" and addr[2] == PACKET_OUTGOING:
                    continue
                at = 0.0
                for _, kind, value in anc:
                    if kind == SO_TIMESTAMPNS and len(value) >= 16:
                        sec, nsec = struct.unpack("=qq", value[:16])
                        at = sec + nsec / 1e9
                self.frames.append((at, data))
            _, lost = struct.unpack("=II", self.sock.getsockopt(
                SOL_PACKET, PACKET_STATISTICS, 8))
            self.n_lost += lost

    def mark(self):
        """Position now; everything before it has been read."""
        self._drain()
        return len(self.frames)

    def packets(self, since=0):
        """UDP datagrams since a mark, up to now."""
        end = self.mark()
        if self.n_lost:
            raise AssertionError(f"the capture lost {self.n_lost} packets")
        found = (parse_frame(at, f) for at, f in self.frames[since:end])
        return [p for p in found if p]

    def write(self, path, since=0):
        """A libpcap file of what came since a mark."""
        end = self.mark()
        with open(path, "wb") as f:
            f.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
            for at, frame in self.frames[since:end]:
                f.write(struct.pack("=IIII", int(at), int(at % 1 * 1e6),
                                    len(frame), len(frame)))
                f.write(frame)
        return path

    def forget(self):
        """Drops what was recorded; marks start at 0 again."""
        with self.lock:
            self.frames = []

    def stop(self):
        self.stopping.set()
        self.thread.join(5)
        self.sock.close()


# ---------------------------------------------------------------- leak check

_TOKEN = {
    "Call-ID": re.compile(rb"^(?:Call-ID|i)\s*:\s*(\S+)", re.M | re.I),
    "tag": re.compile(rb"[;]tag=([^;>,\s]+)", re.I),
    "branch": re.compile(rb"[;]branch=(?:z9hG4bK)?([^;,\s]+)", re.I),
    "user agent": re.compile(
        rb"^(?:User-Agent|Server)\s*:\s*([^\s/(]+)", re.M | re.I),
    "host": re.compile(
        rb"^(?:Via|v|Contact|m)\s*:[^\r\n]*?(?:UDP\s+|sip:(?:[^@>]*@)?)"
        rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)", re.M | re.I),
    "Contact user": re.compile(
        rb"^(?:Contact|m)\s*:[^\r\n]*?sip:([^@>;]{6,})@", re.M | re.I),
    "dialog name": re.compile(
        rb"\\b(?:call-id|local-tag|remote-tag)=\"([^\"]{6,})\""),
    "SDP origin": re.compile(rb"^o=\S+ (\d{6,}) ", re.M),
    "SDP address": re.compile(rb"^c=IN IP[46] (\S+)", re.M),
    "planted": re.compile(rb"([A-Za-z0-9-]*planted[A-Za-z0-9-]*)", re.I),
}
_NUMBER = re.compile(rb"\+?\d{2,15}")


def _rtcp_cnames(data):
    """CNAMEs of a compound RTCP packet (RFC 3550 6.5)."""
    at, found = 0, []
    while at + 4 <= len(data):
        size = (struct.unpack_from("!H", data, at + 2)[0] + 1) * 4
        if data[at + 1] == 202:
            i = at + 8
            while i + 2 <= min(at + size, len(data)) and data[i]:
                if data[i] == 1:
                    found.append(data[i + 2:i + 2 + data[i + 1]])
                i += 2 + data[i + 1]
        at += size
    return found


def tokens_of(packets, edge):
    """What a peer said of itself: {token: kind}. edge = our addresses, whose
    packets are ours and not the peer's."""
    found = {}
    for p in packets:
        if p.src in edge:
            continue
        if p.is_sip():
            for kind, pattern in _TOKEN.items():
                for value in pattern.findall(p.data):
                    value = value.strip(b"[]<>\"")
                    if len(value) >= 4 and (kind == "SDP origin" or
                                            not _NUMBER.fullmatch(value)):
                        found.setdefault(value, kind)
        elif p.is_rtcp():
            for name in _rtcp_cnames(p.data):
                if len(name) >= 4:
                    found.setdefault(name, "CNAME")
    return found


def _address_forms(address):
    a = ipaddress.ip_address(address)
    forms = [address.encode(), a.packed]
    if a.version == 4:
        forms.append(a.packed.hex().encode())
        forms.append(b"-".join(str(b).encode() for b in a.packed))
    else:
        forms.append(a.exploded.encode())
        forms.append(a.packed.hex().encode())
    return forms


def _whole(data, token):
    """token stands in data and not inside a longer word (10.20.30.1 is not in
    10.20.30.10)."""
    at = data.find(token)
    word = re.compile(rb"[0-9A-Za-z]")
    while at >= 0:
        before = data[at - 1:at] if at else b""
        after = data[at + len(token):at + len(token) + 1]
        if not (word.match(before) and word.match(token[:1])) and \
           not (word.match(after) and word.match(token[-1:])):
            return True
        at = data.find(token, at + 1)
    return False


def leaks(packets, edge, tokens, addresses):
    """Lines that say which of our packets carry what they must not.

    packets    what one neighbour's capture has
    edge       our addresses there: only what we sent is judged
    tokens     {bytes: kind} of the other neighbours, see tokens_of()
    addresses  text of addresses that may not appear in any form
    """
    raw, text = [], dict(tokens)
    for address in addresses:
        forms = _address_forms(address)
        raw.append((forms[1], address))
        for form in [forms[0]] + forms[2:]:
            text.setdefault(form, "address")
    found = []
    for p in packets:
        if p.src not in edge or not (p.is_sip() or p.is_rtcp()):
            continue
        low = p.data.lower()
        for token, kind in text.items():
            if _whole(low, token.lower()):
                found.append(f"{kind} {token.decode(errors='replace')!r} in {p}:"
                             f" {p.data[:60]!r}")
        if p.is_rtcp():
            for form, address in raw:
                if form in p.data:
                    found.append(f"raw address {address} in {p}")
    return found
