# SPDX-License-Identifier: Apache-2.0
"""SIP peers over TCP and TLS: a connection that speaks like harness.sip.Peer,
a listener that makes them, and a bridge that puts sipp, which Debian builds
without TLS, behind TLS."""
import re
import secrets
import select
import socket
import ssl
import threading
import time

from . import net, proc, sip


def client_tls(ca, certificate=None):
    """A context that believes one authority; certificate: path without its
    ending."""
    context = ssl.create_default_context(cafile=ca)
    if certificate:
        context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    return context


def server_tls(certificate, ca=None):
    """A context for a listener; with ca clients have to prove themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Line(sip.Peer):
    """One connection; where a name has to be written it is the address."""

    def __init__(self, sock, target):
        # pylint: disable=super-init-not-called
        self.sock = sock
        self.transport = "TLS" if isinstance(sock, ssl.SSLSocket) else "TCP"
        host, self.port = sock.getsockname()[:2]
        self.host = f"[{host}]" if ":" in host else host
        self.target = target[:2]
        self.tag = secrets.token_hex(6)
        self.call_id = secrets.token_hex(10)
        self.cseq = 0
        self.buffer = b""

    def send(self, text):
        if isinstance(text, str):
            text = re.sub(r"^Via: SIP/2.0/UDP ",
                          f"Via: SIP/2.0/{self.transport} ", text, 1, re.M)
            text = re.sub(r"^Contact: <(sip:[^;>]+)>", r"Contact: <\1;"
                          f"transport={self.transport.lower()}>", text, 1,
                          re.M)
            text = text.encode()
        self.sock.sendall(text)

    def _whole(self):
        """A message out of the buffer, or None."""
        while self.buffer.startswith(b"\r\n"):
            self.buffer = self.buffer[2:]
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        m = re.search(rb"^(?:content-length|l)\s*:\s*(\d+)",
                      self.buffer[:end], re.I | re.M)
        size = end + 4 + (int(m.group(1)) if m else 0)
        if len(self.buffer) < size:
            return None
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return sip.Message(data, self.target)

    def receive(self, timeout=5.0):
        """The next message, or None when nothing comes in time, or when the
        connection has ended."""
        end = time.monotonic() + timeout * proc.PATIENCE
        while True:
            message = self._whole()
            if message:
                return message
            left = max(0.0, end - time.monotonic())
            pending = self.transport == "TLS" and self.sock.pending()
            if not pending and not select.select([self.sock], [], [], left)[0]:
                return None
            try:
                data = self.sock.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data

    def drain(self, silence=1.0):
        """Throws away what comes, until nothing does for a while."""
        while select.select([self.sock], [], [],
                            silence * proc.PATIENCE)[0]:
            if not self.sock.recv(65536):
                return
        self.buffer = b""

    def ended(self, timeout=10.0):
        """Whether the far side closes it in time."""
        self.sock.settimeout(timeout * proc.PATIENCE)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


def connect(ns, host, target, port, context=None, name=None, rcvbuf=None):
    """A connection from host to target:port; name is the certificate's and
    SNI's; rcvbuf: so much waits in its socket at most."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    s = net.open_socket(ns, family, socket.SOCK_STREAM)
    s.settimeout(10 * proc.PATIENCE)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.bind((host, 0))
    s.connect((target, port))
    if context:
        s = context.wrap_socket(s, server_hostname=name or target)
    return Line(s, (target, port))


class Listener:
    """Takes connections."""

    def __init__(self, ns, host, port, context=None):
        self.context = context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = net.open_socket(ns, family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(16)
        self.lines = []

    def accept(self, timeout=10.0):
        self.sock.settimeout(timeout * proc.PATIENCE)
        s, target = self.sock.accept()
        s.settimeout(10 * proc.PATIENCE)
        if self.context:
            s = self.context.wrap_socket(s, server_side=True)
        self.lines.append(Line(s, target))
        return self.lines[-1]

    def stop(self):
        for line in self.lines:
            line.stop()
        self.sock.close()


class Bridge:
    """From a listener to an address, byte by byte: TLS on one side only. The
    plain side is a program of ours in the same namespace."""

    def __init__(self, ns, host, port, target, listen_tls=None,
                 connect_tls=None):
        self.ns = ns
        self.host = host
        self.target = target
        self.connect_tls = connect_tls
        self.listener = Listener(ns, host, port, listen_tls)
        self.ends = False
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()

    def _serve(self):
        while not self.ends:
            try:
                near = self.listener.accept(0.2)
            except TimeoutError:
                continue
            except (OSError, ssl.SSLError):
                if self.ends:
                    return
                continue
            try:
                far = connect(self.ns, self.host, *self.target,
                              context=self.connect_tls)
            except OSError:
                near.stop()
                continue
            for pair in ((near, far), (far, near)):
                self.threads.append(threading.Thread(
                    target=self._pump, args=pair, daemon=True))
                self.threads[-1].start()

    @staticmethod
    def _pump(source, sink):
        source.sock.settimeout(None)
        try:
            while True:
                data = source.sock.recv(65536)
                if not data:
                    break
                sink.sock.sendall(data)
        except OSError:
            pass
        for line in (source, sink):
            try:
                line.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.ends = True
        for line in self.listener.lines:
            try:
                line.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.stop()
