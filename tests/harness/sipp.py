# SPDX-License-Identifier: Apache-2.0
"""sipp as trunk, PBX or crowd.

Scenario files stand in tests/scenario/sipp with @WORDS@ to fill in. sipp is
always given its own -timeout, and the harness ends it a little later itself:
with calls stuck it has outlived its own.
"""
import os
import re

from . import proc

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(os.path.dirname(HERE), "scenario", "sipp")


class Sipp:
    """One sipp; listening (uas) or calling (uac, with a target)."""

    def __init__(self, scenario, work_dir, ns=None, local="", port=5060,
                 target=None, calls=1, rate=10, at_once=None, service="service",
                 timeout=30, speech=None, media_port=6000,
                 media_ip=None, background=False, transport="u1", **words):
        self.dir = work_dir
        os.makedirs(work_dir, exist_ok=True)
        self.timeout = timeout
        xml = self._fill(scenario, words)
        if speech:
            link = os.path.join(work_dir, "speech.raw")
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(speech, link)
        argv = ["sipp", "-sf", xml, "-t", transport, "-i", local, "-p",
                str(port),
                "-mi", media_ip or local.strip("[]"),
                "-mp", str(media_port),
                "-cid_str", f"planted-{words.get('who', 'call')}-%u-%p@%s",
                "-m", str(calls), "-nostdin", "-s", service,
                "-timeout", f"{timeout * proc.PATIENCE:.0f}s",
                "-timeout_error", "-max_socket", "2000",
                "-trace_err", "-error_file", f"{work_dir}/errors.log",
                "-trace_msg", "-message_file", f"{work_dir}/messages.log"]
        if target:
            argv += ["-r", str(rate), "-l", str(at_once or calls), target]
        self.port = port
        self.proc = proc.Proc(argv, f"{work_dir}/sipp.log", ns=ns,
                              cwd=work_dir)
        if not target:
            proc.wait_for(self._listens, f"sipp to listen ({work_dir})")

    def _listens(self):
        """Its namespace's table of UDP sockets has its port."""
        if not self.proc.alive():
            raise proc.Problem(f"sipp ended; {self.errors()}")
        try:
            # Until then it is `ip netns exec`, still in the runner's own
            # namespace, where anybody may have the port.
            with open(f"/proc/{self.proc.pid}/comm", encoding="ascii") as f:
                if f.read().strip() != "sipp":
                    return False
        except OSError:
            return False
        for table in ("udp", "udp6", "tcp", "tcp6"):
            try:
                with open(f"/proc/{self.proc.pid}/net/{table}",
                          encoding="ascii") as f:
                    if f":{self.port:04X} " in f.read():
                        return True
            except OSError:
                pass
        return False

    def _fill(self, scenario, words):
        with open(f"{FOLDER}/{scenario}.xml", encoding="utf-8") as f:
            text = f.read()
        for key, value in words.items():
            text = text.replace(f"@{key.upper()}@", str(value))
        left = re.findall(r"@[A-Z_]+@", text)
        if left:
            raise proc.Problem(f"{scenario}.xml wants {', '.join(left)}")
        path = f"{self.dir}/{scenario}.xml"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def done(self):
        """Waits for the end; every call must have gone as written."""
        status = self.proc.wait(self.timeout + 5)
        if status != 0:
            raise proc.Problem(f"sipp ended with {status}; {self.errors()}")

    def errors(self):
        """The last lines, which say what went wrong."""
        for name in ("errors.log", "sipp.log"):
            path = os.path.join(self.dir, name)
            if os.path.exists(path) and os.path.getsize(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    return f"{path}: " + " / ".join(f.read()[-1500:].split("\n"))
        return f"nothing in {self.dir}"

    def messages(self):
        """What went over its wire, as sipp logged it."""
        path = f"{self.dir}/messages.log"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.proc.stop()
