# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: four neighbours around one edge.

    itsp ---- edge ---- pbx           the SBC lives in edge and forwards nothing
  phones ------'  '---- stranger

Each neighbour has one veth pair to edge, IPv4 and IPv6, and its default route
there. Names are gh<runner's pid>-<slot>-<role>; what a dead runner left behind
is removed by the next one.
"""
import ctypes
import os
import re
import socket

from . import proc

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Link:
    """Addresses of one neighbour's network."""

    def __init__(self, v4, v6):
        self.v4 = v4
        self.v6 = v6
        self.edge = v4 + ".1"
        self.edge6 = v6 + "::1"
        self.net = v4 + ".0/24"
        self.net6 = v6 + "::/64"

    def host(self, n=10):
        return f"{self.v4}.{n}"

    def host6(self, n=10):
        return f"{self.v6}::{n:x}"


LINKS = {
    "itsp": Link("203.0.113", "2001:db8:a"),
    "phones": Link("198.51.100", "2001:db8:b"),
    "pbx": Link("10.20.30", "fd20:30"),
    "stranger": Link("192.0.2", "2001:db8:c"),
}
# Neighbours own these last octets.
HOSTS = range(10, 15)


def _setns(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + path)
    finally:
        os.close(fd)


def open_socket(ns, family, kind, protocol=0):
    """A socket that lives in the namespace; the caller stays where it is."""
    if not ns:
        return socket.socket(family, kind, protocol)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(f"/run/netns/{ns}")
        try:
            return socket.socket(family, kind, protocol)
        finally:
            if _libc.setns(own, CLONE_NEWNET) != 0:
                os._exit(70)  # in the wrong namespace nothing is safe
    finally:
        os.close(own)


class Net:
    """The namespaces of one slot."""

    def __init__(self, slot, owner=None):
        self.prefix = f"gh{owner or os.getpid()}-{slot}"

    def name(self, role):
        return f"{self.prefix}-{role}"

    def make(self):
        for role in ("edge", *LINKS):
            proc.run(["ip", "netns", "add", self.name(role)])
        edge = ["link set lo up"]
        for role, link in LINKS.items():
            edge.append(f"link add {role} type veth peer name eth0 "
                        f"netns {self.name(role)}")
            edge += [f"addr add {link.edge}/24 dev {role}",
                     f"addr add {link.edge6}/64 dev {role} nodad",
                     f"link set {role} up"]
        self._batch("edge", edge)
        for role, link in LINKS.items():
            lines = ["link set lo up"]
            for n in HOSTS:
                lines += [f"addr add {link.host(n)}/24 dev eth0",
                          f"addr add {link.host6(n)}/64 dev eth0 nodad"]
            lines += ["link set eth0 up",
                      f"route add default via {link.edge}",
                      f"route add ::/0 via {link.edge6}"]
            self._batch(role, lines)

    def _batch(self, role, lines):
        path = f"/run/{self.name(role)}.batch"
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        try:
            proc.run(["ip", "-n", self.name(role), "-batch", path])
        finally:
            os.unlink(path)

    def remove(self):
        for role in ("edge", *LINKS):
            if os.path.exists(f"/run/netns/{self.name(role)}"):
                proc.run(["ip", "netns", "del", self.name(role)], check=False)


class Nat:
    """A home behind one neighbour's network: a namespace with private
    addresses, whose packets leave with one address of the neighbour's, as a
    router at home does it. Forgets UDP after so many seconds."""

    INSIDE = "192.168.7"

    def __init__(self, network, role="phones", n=14, forgets=4):
        self.router = network.name(role)
        self.ns = network.name("home")
        self.host = f"{self.INSIDE}.10"
        self.public = LINKS[role].host(n)
        proc.run(["ip", "netns", "add", self.ns])
        for line in (f"-n {self.ns} link set lo up",
                     f"-n {self.router} link add home type veth peer name eth0 "
                     f"netns {self.ns}",
                     f"-n {self.router} addr add {self.INSIDE}.1/24 dev home",
                     f"-n {self.router} link set home up",
                     f"-n {self.ns} addr add {self.host}/24 dev eth0",
                     f"-n {self.ns} link set eth0 up",
                     f"-n {self.ns} route add default via {self.INSIDE}.1"):
            proc.run(["ip", *line.split()])
        for rule in ("add table ip home",
                     "add chain ip home out { type nat hook postrouting "
                     "priority 100 ; }",
                     f"add rule ip home out ip saddr {self.INSIDE}.0/24 "
                     f"snat to {self.public}"):
            proc.run(["nft", rule], ns=self.router)
        self._set("ipv4/ip_forward", 1)
        for name in ("udp_timeout", "udp_timeout_stream"):
            self._set(f"netfilter/nf_conntrack_{name}", forgets)

    def _set(self, name, value):
        proc.run(["sh", "-c", f"echo {value} > /proc/sys/net/{name}"],
                 ns=self.router)

    def stop(self):
        proc.run(["nft", "delete table ip home"], ns=self.router, check=False)
        self._set("ipv4/ip_forward", 0)
        proc.run(["ip", "netns", "del", self.ns], check=False)


def remove_leftovers():
    """Namespaces whose runner is dead."""
    if not os.path.isdir("/run/netns"):
        return
    for name in os.listdir("/run/netns"):
        m = re.fullmatch(r"gh(\d+)-\d+-[a-z]+", name)
        if m and not os.path.exists(f"/proc/{m.group(1)}"):
            proc.run(["ip", "netns", "del", name], check=False)
