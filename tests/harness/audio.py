# SPDX-License-Identifier: Apache-2.0
"""Speech to send and the judge of what was heard."""
import os
import re
import subprocess

from . import proc

FAR = "far"    # spoken outside: trunk, or the caller
NEAR = "near"  # spoken inside: phone, PBX, or the called side


class Audio:
    """Speech files in the forms that the peers play."""

    def __init__(self, source, build, work_dir):
        self.tools = os.path.join(build, "tests/audio")
        self.source = os.path.join(source, "tests/audio")
        self.dir = os.path.join(work_dir, "speech")
        os.makedirs(self.dir, exist_ok=True)
        for voice in (FAR, NEAR):
            original = self.recorded(voice)
            for kind, suffix in (("WAV", "wav"), ("PCMA", "pcma"),
                                 ("PCMU", "pcmu")):
                proc.run([f"{self.tools}/wavconv", kind, original,
                          f"{self.dir}/{voice}.{suffix}"])

    def recorded(self, voice):
        return f"{self.source}/{voice}.wav"

    def wav(self, voice):
        """For phones."""
        return f"{self.dir}/{voice}.wav"

    def stream(self, voice, codec="PCMA"):
        """For sipp's rtp_stream."""
        return f"{self.dir}/{voice}.{codec.lower()}"

    def from_capture(self, pcap, out, src=None, dst=None):
        """Decodes what went from src to dst; facts of the stream."""
        argv = [f"{self.tools}/pcap2wav"]
        if src:
            argv += ["-s", src]
        if dst:
            argv += ["-d", dst]
        line = proc.run(argv + [pcap, out])
        return dict(re.findall(r"(\w+)=(\S+)", line))

    def judge(self, voice, heard):
        """(passed, the judge's line) for an ear that had to hear voice."""
        other = NEAR if voice == FAR else FAR
        done = subprocess.run(
            [f"{self.tools}/judge", self.recorded(voice), heard,
             self.recorded(other)], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.returncode == 0, done.stdout.strip()

    def must_hear(self, voice, heard):
        passed, line = self.judge(voice, heard)
        if not passed:
            raise proc.Problem(f"{heard} had to hear {voice}: {line}")
        return line
