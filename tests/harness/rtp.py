# SPDX-License-Identifier: Apache-2.0
"""Media ends of our own: what finished phones do not do at the moment that a
case needs, such as another port, another source, lost packets, one SRTP suite
and no other. They send real speech and keep what they hear, so that it can be
judged by content.

SRTP is libsrtp2's own implementation with its own ciphers, which is not what
mediad runs: what the two make of each other's packets is a proof for both.
"""
import base64
import ctypes
import secrets
import select
import socket
import struct
import threading
import time

from . import net, proc

STEP = 0.02
OCTETS = 160
PCMA = 8

_SUITES = {  # octets of key and salt, what sets RTP's and RTCP's policy
    "AES_CM_128_HMAC_SHA1_80": (30, "rtp_default", "rtcp_default"),
    "AES_CM_128_HMAC_SHA1_32": (30, "aes_cm_128_hmac_sha1_32",
                                "rtcp_default"),
    "AES_256_CM_HMAC_SHA1_80": (46, "aes_cm_256_hmac_sha1_80",
                                "aes_cm_256_hmac_sha1_80"),
    "AEAD_AES_128_GCM": (28, "aes_gcm_128_16_auth", "aes_gcm_128_16_auth"),
    "AEAD_AES_256_GCM": (44, "aes_gcm_256_16_auth", "aes_gcm_256_16_auth"),
}
SUITES = tuple(_SUITES)


class _CryptoPolicy(ctypes.Structure):
    _fields_ = [("cipher_type", ctypes.c_uint32), ("key_len", ctypes.c_int),
                ("auth_type", ctypes.c_uint32), ("auth_key_len", ctypes.c_int),
                ("tag_len", ctypes.c_int), ("services", ctypes.c_int)]


class _Policy(ctypes.Structure):
    _fields_ = [("ssrc_type", ctypes.c_int), ("ssrc", ctypes.c_uint),
                ("rtp", _CryptoPolicy), ("rtcp", _CryptoPolicy),
                ("key", ctypes.c_char_p), ("keys", ctypes.c_void_p),
                ("n_keys", ctypes.c_ulong), ("ekt", ctypes.c_void_p),
                ("window", ctypes.c_ulong), ("repeat", ctypes.c_int),
                ("ext", ctypes.c_void_p), ("n_ext", ctypes.c_int),
                ("next", ctypes.c_void_p)]


_lib = None


def _library():
    global _lib
    if _lib is None:
        _lib = ctypes.CDLL("libsrtp2.so.1")
        if _lib.srtp_init() != 0:
            raise proc.Problem("srtp_init failed")
    return _lib


class Srtp:
    """One direction under one key; inline is the key as in a=crypto."""

    INBOUND, OUTBOUND = 2, 3  # any SSRC

    def __init__(self, suite, inline, direction):
        lib = _library()
        self.key = base64.b64decode(inline)
        size, rtp, rtcp = _SUITES[suite]
        if len(self.key) != size:
            raise proc.Problem(f"{suite}: a key of {len(self.key)} octets")
        policy = _Policy(ssrc_type=direction, key=self.key, window=1024)
        for name, part in ((rtp, policy.rtp), (rtcp, policy.rtcp)):
            setter = "srtp_crypto_policy_set_" + name
            getattr(lib, setter)(ctypes.byref(part))
        self.session = ctypes.c_void_p()
        if lib.srtp_create(ctypes.byref(self.session),
                           ctypes.byref(policy)) != 0:
            raise proc.Problem(f"{suite}: no context")

    def _run(self, function, packet):
        size = ctypes.c_int(len(packet))
        buffer = ctypes.create_string_buffer(packet, len(packet) + 180)
        if getattr(_library(), function)(self.session, buffer,
                                         ctypes.byref(size)) != 0:
            return None
        return buffer.raw[:size.value]

    def protect(self, packet):
        return self._run("srtp_protect", packet)

    def open(self, packet):
        """The packet in the clear, or None."""
        return self._run("srtp_unprotect", packet)

    def open_rtcp(self, packet):
        return self._run("srtp_unprotect_rtcp", packet)

    def free(self):
        if self.session:
            _library().srtp_dealloc(self.session)
            self.session = None


def make_key(suite):
    """A fresh key as it stands in a=crypto."""
    return base64.b64encode(secrets.token_bytes(_SUITES[suite][0])).decode()


def write_pcap(path, packets):
    """(time, RTP packet) as a capture between two made-up addresses, for
    pcap2wav."""
    with open(path, "wb") as f:
        f.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for at, data in packets:
            udp = struct.pack("!HHHH", 1000, 2000, 8 + len(data), 0)
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0,
                             64, 17, 0, bytes([192, 0, 2, 1]),
                             bytes([192, 0, 2, 2]))
            frame = bytes(12) + b"\x08\x00" + ip + udp + data
            f.write(struct.pack("=IIII", int(at), int(at % 1 * 1e6),
                                len(frame), len(frame)))
            f.write(frame)
    return path


def decrypted(packets, suite, inline):
    """(time, RTP in the clear) of captured packets of one direction, and how
    many could not be opened."""
    key = Srtp(suite, inline, Srtp.INBOUND)
    opened = [(p.at, key.open(p.data)) for p in packets if p.is_rtp()]
    key.free()
    good = [(at, data) for at, data in opened if data]
    return good, len(opened) - len(good)


class Talker:
    """One end: a socket (and one for RTCP), speech that it says, and what it
    hears. It speaks between say() and hush(), from the beginning."""

    def __init__(self, ns, host, port, voice):
        self.ns = ns
        self.host = host
        with open(voice, "rb") as f:
            self.speech = f.read()
        self.to = None
        self.ssrc = secrets.randbits(32)
        self.seq = secrets.randbits(14)
        self.ts = secrets.randbits(32)
        self.suite = None
        self.inline = None
        self.tx = self.rx = None
        self.lose = 0          # each n-th packet is not sent
        self.n_sent = 0
        self.n_bad = 0         # could not be opened
        self.heard = []        # (time, RTP in the clear)
        self.reports = []      # (time, RTCP as it came)
        self.at = None         # place in the speech; None = silent
        self.due = 0.0
        self.lock = threading.Lock()
        self.sock, self.rtcp = self._open(port), self._open(port + 1)
        self.port = port

    def _open(self, port):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        s = net.open_socket(self.ns, family, socket.SOCK_DGRAM)
        s.setblocking(False)
        s.bind((self.host, port))
        return s

    # ----------------------------------------------------------------- SRTP

    def offer_key(self, suite):
        """Our key for a=crypto."""
        self.suite = suite
        self.inline = make_key(suite)
        return self.inline

    def take_key(self, inline):
        """The other end's: from now on everything is SRTP."""
        with self.lock:
            self.tx = Srtp(self.suite, self.inline, Srtp.OUTBOUND)
            self.rx = Srtp(self.suite, inline, Srtp.INBOUND)

    # ---------------------------------------------------------------- speech

    def say(self, to=None):
        with self.lock:
            self.to = to or self.to
            self.at = 0
            self.due = time.monotonic()
        return self

    def hush(self):
        with self.lock:
            self.at = None

    def move(self, port):
        """Another local port, as a NAT makes it; the old one is closed."""
        new = self._open(port)
        with self.lock:
            old, self.sock, self.port = self.sock, new, port
        old.close()

    def forget(self):
        """What was heard so far."""
        with self.lock:
            self.heard = []

    def wait_heard(self, seconds, timeout=None):
        n = int(seconds / STEP)
        proc.wait_for(lambda: len(self.heard) >= n,
                      f"{seconds} s of sound at {self.host}:{self.port} "
                      f"({len(self.heard)} packets)",
                      timeout or seconds + 15, pause=0.05)

    def wait_same(self, other, seconds):
        """Hears what another one says, for so long: the same packets, none
        missing, changed or out of order. Both without SRTP, one codec."""
        n = int(seconds / STEP)

        def probe():
            with self.lock:
                heard = [data[12:] for _, data in self.heard[-n:]]
            return len(heard) == n and b"".join(heard) in other.speech
        proc.wait_for(probe, f"{seconds} s of the same sound at "
                      f"{self.host}:{self.port}", seconds + 15, pause=0.05)

    def wav(self, audio, path):
        """What it has heard, as a file for the judge."""
        with self.lock:
            packets = list(self.heard)
        audio.from_capture(write_pcap(path + ".pcap", packets), path)
        return path

    # ------------------------------------------------------- the loop's half

    def packet(self, payload, marker=False):
        head = struct.pack("!BBHII", 0x80, PCMA | (0x80 if marker else 0),
                           self.seq & 0xffff, self.ts & 0xffffffff, self.ssrc)
        return head + payload

    def step(self, now):
        """Sends what is due."""
        with self.lock:
            while self.at is not None and self.due <= now:
                payload = self.speech[self.at:self.at + OCTETS]
                if len(payload) < OCTETS:
                    self.at = 0
                    continue
                data = self.packet(payload, marker=self.at == 0)
                lost = self.lose and self.n_sent % self.lose == 0
                if self.tx:
                    data = self.tx.protect(data)
                if not lost:
                    try:
                        self.sock.sendto(data, self.to)
                    except OSError:
                        pass  # an ICMP error for an earlier one
                self.n_sent += 1
                self.at += OCTETS
                self.seq += 1
                self.ts += OCTETS
                # After a stall of ours not all at once.
                self.due = max(self.due + STEP, now - 0.2)
            return self.due if self.at is not None else now + 0.1

    def take(self):
        with self.lock:
            for sock in (self.sock, self.rtcp):
                while True:
                    try:
                        data, _ = sock.recvfrom(2048)
                    except OSError as e:
                        if isinstance(e, ConnectionRefusedError):
                            continue
                        break
                    self._take(data, sock is self.rtcp)

    def _take(self, data, rtcp):
        if rtcp or (len(data) > 1 and 192 <= data[1] <= 223):
            self.reports.append((time.time(), data))
            return
        if self.rx:
            data = self.rx.open(data)
            if data is None:
                self.n_bad += 1
                return
        self.heard.append((time.time(), data))


class Room:
    """Runs all talkers of a case on one thread."""

    def __init__(self):
        self.talkers = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def add(self, talker):
        self.talkers = self.talkers + [talker]
        return talker

    def _run(self):
        while not self.stopping.is_set():
            now = time.monotonic()
            talkers = self.talkers
            due = [t.step(now) for t in talkers]
            left = max(0.0, min(due) - time.monotonic()) if due else 0.05
            socks = {s: t for t in talkers for s in (t.sock, t.rtcp)}
            try:
                ready = select.select(list(socks), [], [], left)[0]
            except (OSError, ValueError):
                continue  # one was just moved
            for t in {socks[s] for s in ready}:
                t.take()

    def stop(self):
        self.stopping.set()
        self.thread.join(5)
        for t in self.talkers:
            t.sock.close()
            t.rtcp.close()
