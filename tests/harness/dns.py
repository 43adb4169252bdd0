# SPDX-License-Identifier: Apache-2.0
"""A name server for scenarios: it answers from a table, in a thread, through a
socket that stands in a neighbour's namespace."""
import socket
import struct
import threading
import time

from . import net

TYPES = {"A": 1, "SOA": 6, "AAAA": 28, "SRV": 33, "NAPTR": 35}
NAMES = {number: name for name, number in TYPES.items()}


def _name(text):
    labels = [part for part in text.split(".") if part]
    return b"".join(bytes([len(p)]) + p.encode() for p in labels) + b"\0"


def _data(kind, text):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, text)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, text)
    words = text.split()
    if kind == "SRV":
        return struct.pack(">HHH", *map(int, words[:3])) + _name(words[3])
    order, preference, flags, service, name = words
    return struct.pack(">HH", int(order), int(preference)) + b"".join(
        bytes([len(w)]) + w.encode() for w in (flags, service, "")) + \
        _name(name)


class Dns:
    """records: {(name, type): [text]}; texts as in a zone file. A group may
    own it: it has stop()."""

    def __init__(self, ns, host, port=5353, ttl=1):
        self.records = {}
        self.silent = False
        self.delay = 0.0        # before each answer
        self.asked = []
        self.ttl = ttl
        self.address = f"{host}:{port}"
        self.socket = net.open_socket(ns, socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.settimeout(0.2)
        self.ends = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def set(self, name, kind, *texts):
        self.records[(name, kind)] = list(texts)

    def _serve(self):
        while not self.ends:
            try:
                query, peer = self.socket.recvfrom(2000)
            except socket.timeout:
                continue
            except OSError:
                return
            reply = self._reply(query)
            if self.delay:
                time.sleep(self.delay)
            if reply:
                self.socket.sendto(reply, peer)

    def _reply(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels).lower()
        kind = NAMES.get(struct.unpack(">H", query[at + 1:at + 3])[0], "?")
        self.asked.append((name, kind))
        if self.silent:
            return None
        found = self.records.get((name, kind), [])
        exists = any(n == name for n, _ in self.records)
        reply = query[:2] + struct.pack(
            ">HHHHH", 0x8180 if exists else 0x8183, 1, len(found),
            0 if found else 1, 0) + query[12:at + 5]
        for text in found:
            data = _data(kind, text)
            reply += _name(name) + struct.pack(
                ">HHIH", TYPES[kind], 1, self.ttl, len(data)) + data
        if not found:
            reply += _name("test") + struct.pack(
                ">HHIH", TYPES["SOA"], 1, self.ttl, 22) + b"\0\0" + \
                struct.pack(">IIIII", 1, 1, 1, 1, self.ttl)
        return reply

    def stop(self):
        self.ends = True
        self.thread.join(5)
        self.socket.close()
