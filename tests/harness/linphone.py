# SPDX-License-Identifier: Apache-2.0
"""linphonec as a phone of another make, without display or sound card.

Commands go in on standard input; what happens is read from its output. Each
one has a home of its own: two that share a database never register.
"""
import os
import re
import shutil
import subprocess

from . import proc

PROGRAM = "linphonec"


class Linphone:
    """One phone with one account; plays a WAV file and records what it
    hears. srtp: the one suite that it has to use."""

    def __init__(self, work_dir, ns=None, local="127.0.0.1", port=5060,
                 speech=None, rtp_port=7078, answer=True, srtp=None,
                 transport="udp", ca=None):
        self.dir = work_dir
        self.ns = ns
        self.local = local
        self.port = port
        self.speech = speech
        self.rtp_port = rtp_port
        self.answer_calls = answer
        self.srtp = srtp
        self.transport = transport
        self.ca = ca
        self.proc = None
        self.seen = 0
        self.config = {}
        os.makedirs(work_dir, exist_ok=True)

    @staticmethod
    def there():
        return shutil.which(PROGRAM) is not None

    def account(self, user, server, password="", register=300):
        """server: host[:port] of the registrar."""
        if self.transport != "udp":
            server += f";transport={self.transport}"
        self.config = {
            "auth_info_0": {"username": user, "passwd": password,
                            "realm": "phones.example.net"},
            "proxy_0": {"reg_proxy": f"<sip:{server}>",
                        "reg_identity": f"sip:{user}@{server.split(';')[0]}",
                        "reg_expires": register,
                        "reg_sendregister": int(register > 0)}}
        return self

    def _write_config(self):
        """Afresh for each start: it rewrites the file on exit and drops the
        password."""
        sections = {
            "sip": {"sip_port": self.port, "sip_tcp_port": 0,
                    "sip_tls_port": 0, "guess_hostname": 0,
                    "default_proxy": 0, "bind_address": self.local,
                    # Its library compares names, and no addresses.
                    "verify_server_certs": 1, "verify_server_cn": 0},
            "rtp": {"audio_rtp_port": self.rtp_port,
                    "audio_adaptive_jitt_comp_enabled": 0,
                    "audio_jitt_comp": 100},
            "sound": {"echocancellation": 0},
            **self.config}
        if self.transport != "udp":
            # -1: a port of its own choice for its side.
            sections["sip"].update(sip_port=0, sip_tcp_port=-1,
                                   sip_tls_port=-1)
        if self.ca:
            sections["sip"]["root_ca"] = self.ca
        if self.srtp:
            sections["sip"].update(media_encryption="srtp",
                                   media_encryption_mandatory=1,
                                   srtp_crypto_suites=self.srtp)
        with open(f"{self.dir}/rc", "w", encoding="utf-8") as f:
            for name, values in sections.items():
                f.write(f"[{name}]\n")
                f.writelines(f"{k}={v}\n" for k, v in values.items())
        for folder in (".local/share/linphone", ".config/linphone"):
            os.makedirs(f"{self.dir}/home/{folder}", exist_ok=True)

    def start(self):
        self._write_config()
        argv = [PROGRAM, "-c", f"{self.dir}/rc", "-d", "1", "-l",
                f"{self.dir}/trace"] + (["-a"] if self.answer_calls else [])
        self.proc = proc.Proc(argv, f"{self.dir}/log", ns=self.ns,
                              env={"HOME": f"{self.dir}/home"}, cwd=self.dir,
                              stdin=subprocess.PIPE)
        self.command("soundcard use files")
        self.command(f"record {self.dir}/heard.wav")
        if self.speech:
            self.command(f"play {self.speech}")
        return self

    def command(self, line):
        self.proc.popen.stdin.write((line + "\n").encode())
        self.proc.popen.stdin.flush()

    def wait_output(self, text, timeout=20):
        """Until its output has a text that was not there before."""
        def probe():
            at = self._text("log").find(text, self.seen)
            if at >= 0:
                self.seen = at + len(text)
            return at >= 0
        proc.wait_for(probe, f"linphonec to say {text!r} ({self.dir}/log)",
                      timeout, pause=0.1)
        return self

    def _text(self, name):
        if not self.proc.alive():
            raise proc.Problem("linphonec ended: " + self.proc.log()[-800:])
        path = f"{self.dir}/{name}"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def registered(self):
        """Its trace tells; its output does not."""
        proc.wait_for(
            lambda: "[LinphoneRegistrationOk]" in self._text("trace"),
            f"linphonec to register ({self.dir}/trace)", 15, pause=0.1)
        return self

    def dial(self, uri):
        self.command(f"call {uri}")

    def hang_up(self):
        self.command("terminate")

    def heard(self):
        """The recording; its header's length is wrong, which readers of ours
        allow for."""
        return f"{self.dir}/heard.wav"

    def figures(self):
        """Its own statistics of the last call, which it writes at its end."""
        names = {"sent": "sent", "received": "received",
                 "lost": "incoming cumulative lost",
                 "late": "incoming received too late",
                 "bad": "incoming bad formatted",
                 "reports": "received rtcp"}
        last = proc.wait_for(
            lambda: self._text("trace").rpartition("RTP STATISTICS")[2],
            "linphonec's statistics", 15)
        found = {key: re.search(rf"ortp-message-{name} +(-?\d+) packets", last)
                 for key, name in names.items()}
        if not all(found.values()):
            raise proc.Problem("no figures in " + last[:600])
        return {key: int(m.group(1)) for key, m in found.items()}

    def stop(self):
        if self.proc and self.proc.alive():
            try:
                self.command("quit")
            except OSError:
                pass
            try:
                self.proc.popen.wait(3)
            except subprocess.TimeoutExpired:
                pass
        if self.proc:
            self.proc.stop()
            self.proc = None
