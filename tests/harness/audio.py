# SPDX-License-Identifier: Apache-2.0
"""Speech to send and the judge of what was heard."""
import os
import re
import subprocess
import wave

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

    def long(self, voice, times=6):
        """The same again and again: baresip hangs up at a file's end."""
        path = f"{self.dir}/{voice}-times-{times}.wav"
        if not os.path.exists(path):
            with wave.open(self.wav(voice), "rb") as f:
                sound = f.readframes(f.getnframes())
            self._write(path, sound * times)
        return path

    @staticmethod
    def _write(path, sound):
        with wave.open(path + ".part", "wb") as f:
            f.setnchannels(1)
            f.setsampwidth(2)
            f.setframerate(8000)
            f.writeframes(sound)
        os.replace(path + ".part", path)

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

    def judge(self, voice, heard, recorded=None):
        """(passed, the judge's line) for an ear that had to hear voice."""
        other = NEAR if voice == FAR else FAR
        done = subprocess.run(
            [f"{self.tools}/judge", recorded or self.recorded(voice), heard,
             self.recorded(other)], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.returncode == 0, done.stdout.strip()

    def _turned(self, voice, seconds):
        """The recording, begun so many seconds later and gone round."""
        path = f"{self.dir}/{voice}-{seconds}.wav"
        if not os.path.exists(path):
            with wave.open(self.wav(voice), "rb") as f:
                sound = f.readframes(f.getnframes())
            at = seconds * 8000 * 2
            self._write(path, sound[at:] + sound[:at])
        return path

    def must_hear(self, voice, heard, anywhere=False):
        """anywhere: a phone repeats its speech, and the ear began somewhere
        in it; the judge itself looks 2 s to each side."""
        starts = (0, 3, 6, 9) if anywhere else (0,)
        lines = []
        for seconds in starts:
            passed, line = self.judge(
                voice, heard, self._turned(voice, seconds) if seconds else None)
            if passed:
                return line
            lines.append(line)
        raise proc.Problem(f"{heard} had to hear {voice}: {' | '.join(lines)}")
