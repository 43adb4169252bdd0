# SPDX-License-Identifier: Apache-2.0
"""Every packet of a namespace, and what must not be in it: datagrams, put
together again where they were cut, and the SIP messages of TCP connections.

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


def _reassemble(parts):
    """Payload of an IP packet's fragments, or None while one is missing."""
    data = b""
    for offset in sorted(parts):
        piece, _ = parts[offset]
        if offset > len(data):
            return None
        data = data[:offset] + piece
    return None if parts[max(parts)][1] else data


def ip_packets(frames):
    """(time, source, destination, protocol, payload) of each IP packet in
    Ethernet frames; fragments are put together (RFC 791, RFC 8200 4.5)."""
    pieces = {}
    for at, frame in frames:
        kind = frame[12:14]
        if kind == b"\x08\x00" and len(frame) >= 34:
            head = 14 + (frame[14] & 15) * 4
            total = struct.unpack_from("!H", frame, 16)[0]
            # A segment that the sender's card would cut has no length here.
            body = frame[head:14 + total] if total else frame[head:]
            protocol = frame[23]
            src, dst = frame[26:30], frame[30:34]
            word = struct.unpack_from("!H", frame, 20)[0]
            more, offset = word & 0x2000, (word & 0x1fff) * 8
            name = frame[18:20]
        elif kind == b"\x86\xdd" and len(frame) >= 54:
            total = struct.unpack_from("!H", frame, 18)[0]
            body = frame[54:54 + total] if total else frame[54:]
            protocol = frame[20]
            src, dst = frame[22:38], frame[38:54]
            more, offset, name = 0, 0, b""
            if protocol == 44 and len(body) >= 8:
                word = struct.unpack_from("!H", body, 2)[0]
                more, offset, name = word & 1, word & 0xfff8, body[4:8]
                protocol, body = body[0], body[8:]
        else:
            continue
        if more or offset:
            parts = pieces.setdefault((src, dst, protocol, name), {})
            parts[offset] = (body, more)
            body = _reassemble(parts)
            if body is None:
                continue
            del pieces[(src, dst, protocol, name)]
        yield (at, str(ipaddress.ip_address(src)),
               str(ipaddress.ip_address(dst)), protocol, body)


def udp_packets(frames):
    """Every UDP datagram."""
    found = []
    for at, src, dst, protocol, body in ip_packets(frames):
        if protocol == 17 and len(body) >= 8:
            sport, dport, length = struct.unpack_from("!HHH", body)
            found.append(Packet(at, src, dst, sport, dport, body[8:length]))
    return found


class Stream:
    """One direction of a TCP connection."""

    def __init__(self, at, src, dst, sport, dport, first):
        self.at = at
        self.src, self.dst, self.sport, self.dport = src, dst, sport, dport
        self.first = first  # sequence number of its first octet
        self.opens = False  # it sent the SYN that began the connection
        self.parts = {}

    def add(self, sequence, data):
        offset = (sequence - self.first) & 0xffffffff
        if data and offset < 1 << 31:
            old = self.parts.get(offset, b"")
            self.parts[offset] = max(old, data, key=len)

    def data(self):
        """Its octets up to the first one that was not captured."""
        found = b""
        for offset in sorted(self.parts):
            if offset > len(found):
                break
            found += self.parts[offset][len(found) - offset:]
        return found

    def messages(self):
        """Its SIP messages, as packets."""
        return [Packet(self.at, self.src, self.dst, self.sport, self.dport, m)
                for m in split_sip(self.data())]


def tcp_streams(frames):
    """Both directions of every TCP connection."""
    live, found = {}, []
    for at, src, dst, protocol, body in ip_packets(frames):
        if protocol != 6 or len(body) < 20:
            continue
        sport, dport, sequence = struct.unpack_from("!HHI", body)
        key = (src, sport, dst, dport)
        syn = body[13] & 2
        stream = live.get(key)
        if syn and (not stream or stream.first != sequence + 1 & 0xffffffff):
            stream = None
        if not stream:
            stream = Stream(at, src, dst, sport, dport,
                            sequence + 1 & 0xffffffff if syn else sequence)
            stream.opens = bool(syn and not body[13] & 16)
            live[key] = stream
            found.append(stream)
        stream.add(sequence + (1 if syn else 0), body[(body[12] >> 4) * 4:])
    return found


_START = re.compile(
    rb"(?:[A-Z]{3,20} [^ \r\n]+ SIP/2\.0|SIP/2\.0 \d{3}[^\r\n]*)\r?\n")
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:\s*(\d+)", re.M | re.I)


def split_sip(data):
    """The SIP messages of a stream (RFC 3261 18.3)."""
    found, at = [], 0
    while True:
        m = _START.search(data, at)
        if not m:
            return found
        end = data.find(b"\r\n\r\n", m.start())
        if end < 0:
            return found + [data[m.start():]]
        length = _LENGTH.search(data, m.start(), end + 4)
        at = end + 4 + (int(length.group(1)) if length else 0)
        found.append(data[m.start():at])


class Capture:
    """Records one interface of one namespace until stop()."""

    def __init__(self, ns, interface):
        self.ns = ns
        self.interface = interface
        self.lock = threading.Lock()
        self.frames = []
        self.n_lost = 0
        self.stopping = threading.Event()
        self.paused = False
        self._start()

    def _start(self):
        self.sock = net.open_socket(self.ns, socket.AF_PACKET,
                                    socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.bind((self.interface, ETH_P_ALL))
        self.sock.setblocking(False)
        self.stopping.clear()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def pause(self):
        """Records nothing more, for load that would fill the memory."""
        if not self.paused:
            self.stop()
            self.paused = True

    def resume(self):
        if self.paused:
            self.paused = False
            self._start()

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
        if not self.paused:
            self._drain()
        return len(self.frames)

    def packets(self, since=0):
        """UDP datagrams since a mark, up to now."""
        return udp_packets(self._since(since))

    def streams(self, since=0):
        """TCP streams since a mark, up to now."""
        return tcp_streams(self._since(since))

    def _since(self, since):
        end = self.mark()
        if self.n_lost:
            raise AssertionError(f"the capture lost {self.n_lost} packets")
        return self.frames[since:end]

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
        if self.paused:
            return
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
        rb"\b(?:call-id|local-tag|remote-tag)=\"([^\"]{6,})\""),
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


_WORD = re.compile(rb"[0-9a-z]+")


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
    judged = [p for p in packets
              if p.src in edge and (p.is_sip() or p.is_rtcp())]
    # Most tokens are nowhere: a whole token consists of whole words, and the
    # words of everything are looked up at once.
    words = set()
    for p in judged:
        words.update(_WORD.findall(p.data.lower()))
    text = {token.lower(): (token, kind) for token, kind in text.items()
            if words.issuperset(_WORD.findall(token.lower()))}
    for p in judged:
        low = p.data.lower()
        for folded, (token, kind) in text.items():
            if _whole(low, folded):
                found.append(f"{kind} {token.decode(errors='replace')!r} in {p}:"
                             f" {p.data[:60]!r}")
        if p.is_rtcp():
            for form, address in raw:
                if form in p.data:
                    found.append(f"raw address {address} in {p}")
    return found
