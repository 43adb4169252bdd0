# SPDX-License-Identifier: Apache-2.0
"""baresip as a phone without display or sound card.

Driven over ctrl_tcp: netstrings of JSON, commands one way, events the other.
It plays a WAV file and records what it hears (sndfile, *-dec.wav).
"""
import glob
import json
import os
import re
import select
import socket
import time

from . import net, proc

MODULES = "/usr/lib/baresip/modules"
CONTROL = "127.0.0.1"
REGISTERED = re.compile(r"\{\d/\w+/v\d\} (\d{3}) [^\n]*")


class Baresip:
    """One phone with one account. apps: more modules, such as "mwi". srtp: "srtp" offers keys in RTP/AVP,
    "srtp-mand" insists on RTP/SAVP; srtp_lacks: a suite that it is not to know.
    It takes the first of an offer that it knows, and has no setting for it."""

    def __init__(self, work_dir, ns=None, local="127.0.0.1", port=5060,
                 speech=None, control_port=4444, rtp_ports="30000-30999",
                 interface=None, codecs="PCMA/8000/1", ipv6=False, ca=None,
                 srtp=None, apps=(), srtp_lacks=None):
        self.dir = work_dir
        self.ns = ns
        self.local = local
        self.port = port
        self.rtp = rtp_ports[:2]  # how the numbers of its media ports begin
        self.control_port = control_port
        self.codecs = codecs
        self.ipv6 = ipv6
        self.srtp = srtp
        self.proc = None
        self.sock = None
        self.buffer = b""
        self.events = []
        os.makedirs(f"{work_dir}/heard", exist_ok=True)
        host = f"[{local}]" if ":" in local else local
        lines = [f"sip_listen {host}:{port}", "poll_method epoll",
                 "audio_player aubridge,none", "audio_alert aubridge,none",
                 f"audio_source aufile,{speech}" if speech
                 else "audio_source aubridge,silent",
                 f"rtp_ports {rtp_ports}", "call_max_calls 8",
                 "call_local_timeout 120", "jitter_buffer_delay 1-5",
                 f"module_path {self._modules(srtp_lacks)}",
                 "module aufile.so", "module aubridge.so", "module sndfile.so",
                 "module g711.so", "module_tmp uuid.so",
                 "module_tmp account.so", "module_app menu.so",
                 "module_app ctrl_tcp.so", f"snd_path {work_dir}/heard",
                 f"ctrl_tcp_listen {CONTROL}:{control_port}"]
        if ca:
            lines.append(f"sip_cafile {ca}")
        if srtp:
            lines.append("module srtp.so")
        lines += [f"module_app {app}.so" for app in apps]
        if interface:
            lines.append(f"net_interface {interface}")
        with open(f"{work_dir}/config", "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def _modules(self, srtp_lacks):
        """The folder of its modules; one without a suite is as Debian made
        it but for the suite's name in its table."""
        if srtp_lacks is None:
            return MODULES
        folder = f"{self.dir}/modules"
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(MODULES):
            if name != "srtp.so":
                os.symlink(f"{MODULES}/{name}", f"{folder}/{name}")
        with open(f"{MODULES}/srtp.so", "rb") as f:
            code = f.read()
        suite = srtp_lacks.encode() + b"\0"
        if code.count(suite) != 1:
            raise proc.Problem(f"baresip's srtp module has no {srtp_lacks}")
        with open(f"{folder}/srtp.so", "wb") as f:
            f.write(code.replace(suite, b"-" * (len(suite) - 1) + b"\0"))
        return folder

    def contact(self, uri):
        """Somebody whose presence it watches (apps contact and presence)."""
        with open(f"{self.dir}/contacts", "w", encoding="utf-8") as f:
            f.write(f'"Watched" <{uri}>;presence=p2p\n')
        return self

    def account(self, user, server, password="", answer="auto", register=300,
                outbound=None):
        """server: host[:port] of the registrar, as it stands in the URI.
        outbound: where everything goes that is no call."""
        line = (f"<sip:{user}@{server}>;auth_user={user};"
                f"auth_pass={password};regint={register};answermode={answer};"
                f"audio_codecs={self.codecs}")
        if self.srtp:
            line += f";mediaenc={self.srtp}"
        if outbound:
            line += f';outbound="sip:{outbound}"'
        with open(f"{self.dir}/accounts", "w", encoding="utf-8") as f:
            f.write(line + "\n")
        return self

    def start(self):
        argv = ["baresip", "-6" if self.ipv6 else "-4", "-f", self.dir]
        self.proc = proc.Proc(argv, f"{self.dir}/log", ns=self.ns,
                              cwd=self.dir)
        self.sock = proc.wait_for(self._connect, f"baresip ({self.dir}/log)")
        return self

    def _connect(self):
        if not self.proc.alive():
            raise proc.Problem("baresip ended: " + self.proc.log()[-1000:])
        s = net.open_socket(self.ns, socket.AF_INET, socket.SOCK_STREAM)
        try:
            s.connect((CONTROL, self.control_port))
            return s
        except OSError:
            s.close()
            return None

    def _read(self, timeout):
        """Takes in what has arrived."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return
        data = self.sock.recv(65536)
        if not data:
            raise proc.Problem("baresip closed its control connection: "
                               + self.proc.log()[-1000:])
        self.buffer += data
        while b":" in self.buffer:
            size, rest = self.buffer.split(b":", 1)
            if len(rest) <= int(size):
                break
            self.events.append(json.loads(rest[:int(size)]))
            self.buffer = rest[int(size) + 1:]

    def command(self, name, params=""):
        text = json.dumps({"command": name, "params": params,
                           "token": name}).encode()
        self.sock.sendall(b"%d:%s," % (len(text), text))

    def wait_event(self, *types, timeout=15):
        """The next event of one of the types (REGISTER_OK, CALL_RINGING,
        CALL_ESTABLISHED, CALL_CLOSED ...); earlier ones are dropped."""
        end = time.monotonic() + timeout * proc.PATIENCE
        while True:
            while self.events:
                event = self.events.pop(0)
                if event.get("type") in types:
                    return event
            left = end - time.monotonic()
            if left <= 0:
                raise proc.Problem(f"phone {self.dir}: no {'/'.join(types)}: "
                                   + self.proc.log()[-600:])
            self._read(min(left, 0.5))

    def registered(self):
        """Waits for the answer to REGISTER. It may have come before the
        control connection stood, so the log tells and not an event."""
        def probe():
            if not self.proc.alive():
                raise proc.Problem("baresip ended: " + self.proc.log()[-500:])
            return REGISTERED.search(self.proc.log())
        m = proc.wait_for(probe, f"an answer to REGISTER ({self.dir}/log)", 15)
        if m.group(1) != "200":
            raise proc.Problem(f"registration failed: {m.group(0)}")
        return self

    def dial(self, uri):
        self.command("dial", uri)

    def answer(self):
        self.command("accept")

    def hang_up(self):
        self.command("hangup")

    def says(self, text, times=1, timeout=15):
        """Until its log has a text so many times."""
        proc.wait_for(lambda: self.proc.log().count(text) >= times,
                      f"{text!r} in {self.dir}/log", timeout, pause=0.1)

    def figures(self):
        """Its own statistics of the call that is up: what it sent and
        received, what it missed, jitter and round trip in microseconds."""
        self.command("audio_debug")
        end = time.monotonic() + 10 * proc.PATIENCE
        while time.monotonic() < end:
            for event in self.events:
                if event.get("response") and event.get("token") == \
                   "audio_debug":
                    self.events.remove(event)
                    return self._read_figures(event["data"])
            self._read(0.5)
        raise proc.Problem(f"phone {self.dir}: no figures")

    @staticmethod
    def _read_figures(text):
        m = re.search(r"lost=(-?\d+) Jitter=([\d.]+)ms RTT=([\d.]+)ms\s+"
                      r"IP=\S+ psent=(\d+) rcvd=(\d+)\s+"
                      r"TX: packets=(\d+), octets=(\d+)", text)
        if not m:
            raise proc.Problem("no figures in " + text)
        return {"lost": int(m.group(1)), "jitter_us": float(m.group(2)) * 1000,
                "rtt_us": float(m.group(3)) * 1000,
                "received": int(m.group(5)), "sent": int(m.group(6)),
                "sent_octets": int(m.group(7))}

    def heard(self):
        """The newest recording of its ear, finished (after CALL_CLOSED)."""
        files = sorted(glob.glob(f"{self.dir}/heard/*-dec.wav"),
                       key=os.path.getmtime)
        if not files:
            raise proc.Problem(f"no recording in {self.dir}/heard")
        return files[-1]

    def stop(self):
        if self.sock:
            self.sock.close()
            self.sock = None
        if self.proc:
            self.proc.stop()
            self.proc = None
