# SPDX-License-Identifier: Apache-2.0
"""Calls with sound that go on while one process after the other is killed.

Most calls are talk's (tests/chaos/talk.c): caller and called side watch every
packet and every answer, every third caller encrypts. Some are real phones,
plain and encrypting, over UDP and TLS, called by sipp. After each kill, what
that process serves is asked for at once, and how long it takes is measured at
the network. At the end all hang up; then every call has to have exactly one
record that is right, and nothing may be left of any.

Used by the scenario (tests/scenario/chaos.py) and by the soak run
(tests/chaos/run).
"""
import bisect
import os
import random
import re
import signal
import socket
import time

from harness import net, proc
from harness.net import LINKS
from harness.sip import authorization, challenge_of, Message

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
PROCESSES = ("sbc", "mediad", "authd", "flowd", "keeper")
CALLER = "203.0.113.11"    # trunk "crowd"; sipp is trunk "itsp"
CALLED = "10.20.30.11"
KEEPER_AWAY_S = 0.1        # RestartSec= of the unit
GAP_WINDOW_S = 2.0
SPEECH_S = 10.0
JUDGED_S = 6.5             # of it; the judge wants five
QUIET_S = 9.0              # talk takes 8 s of silence for a lost call

SETTINGS = f"""
select sbc.add_realm_address('phones', '{PHONES.edge}', 5060, 'tcp');
select sbc.add_realm_address('phones', '{PHONES.edge}', 5061, 'tls');
update sbc.realm set srtp_insecure_signaling = true;
select sbc.add_trunk('crowd', '{CALLER}', 'public', port => 5062);
select sbc.add_trunk('hall', '{CALLED}', 'inside', port => 5062);
update sbc.trunk set srtp = 'optional' where name = 'crowd';
select sbc.add_route('to-hall', '71', '{{hall}}', priority => 5);
update sbc.setting set value = '100000' where name in
	('trunk_rate', 'unknown_rate');
"""


class Row:
    """What came of one call: talk's line."""

    def __init__(self, words):
        self.number, self.how = words[0], words[1]
        self.status = int(words[2])
        # Between these a right record's duration lies.
        self.shortest_us, self.longest_us = int(words[3]), int(words[4])
        self.why = words[5]


class Talk:
    """The generator, read as it goes."""

    def __init__(self, w, calls, hold_ms, seed, program):
        self.log_path = f"{w.dir}/talk.log"
        # Behind others it would hear its own lateness.
        argv = ["nice", "-n", "-15", program, "--server", f"{ITSP.edge}:5060,{PBX.edge}:5060",
                "--own", f"{CALLER}:5062,{CALLED}:5062",
                "--ns", f"{w.ns('itsp')},{w.ns('pbx')}",
                "--calls", str(calls), "--hold", "%d,%d" % hold_ms,
                "--secure", "3", "--seed", str(seed)]
        stdin, stdin_write = os.pipe()
        self.proc = proc.Proc(argv, self.log_path, stdin=stdin)
        os.close(stdin)
        self.stdin_write = stdin_write
        self.at = 0
        self.rest = ""
        self.calls = []
        self.bad = []
        self.stalls = []   # when it stood still itself: (until, how long)
        self.gaps = []     # (when it ended, how long), seconds
        self.ticks = []    # (when, talking, sent, heard, bad)
        self.done = None

    def read(self):
        """Takes in the lines that have come."""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            f.seek(self.at)
            text = f.read()
            self.at = f.tell()
        lines = (self.rest + text).split("\n")
        self.rest = lines.pop()
        for line in lines:
            words = line.split()
            if words[:1] == ["tick"]:
                n = [int(x) for x in words[1:]]
                self.ticks.append((n[0] / 1e9, *n[1:]))
            elif words[:1] == ["stall"]:
                self.stalls.append((int(words[1]) / 1e9, int(words[2]) / 1e9))
            elif words[:1] == ["gap"]:
                self.gaps.append((int(words[1]) / 1e9, int(words[2]) / 1e9))
            elif words[:1] == ["bad"]:
                self.bad.append(words[1:])
            elif words[:1] == ["call"]:
                self.calls.append(Row(words[1:]))
            elif words[:1] == ["done"]:
                self.done = [int(x) for x in words[1:]]
            elif line:
                raise proc.Problem(f"talk: {line}")
        if not self.proc.alive() and not self.done:
            raise proc.Problem(f"talk ended; {self.log_path}")
        return self

    def gaps_of_others(self):
        """Silences in which the generator itself did not stand still."""
        untils = [until for until, _ in self.stalls]

        def stood(begin, end):
            """The first standstill that ended later began soon enough."""
            i = bisect.bisect_left(untils, begin)
            return i < len(untils) and \
                self.stalls[i][0] - self.stalls[i][1] <= end
        return [(end, length) for end, length in self.gaps
                if not stood(end - length, end)]

    def talking(self):
        self.read()
        return self.ticks[-1][1] if self.ticks else 0

    def loss(self, seconds):
        """Share of the packets of the last seconds that were not heard."""
        self.read()
        last = self.ticks[-1]
        first = next(t for t in self.ticks if t[0] >= last[0] - seconds - 0.5)
        sent, heard = last[2] - first[2], last[3] - first[3]
        # What was on its way at either end does not count.
        return max(0.0, 1 - heard / sent) if sent else 1.0

    def hang_up(self):
        if self.stdin_write is not None:
            os.close(self.stdin_write)
            self.stdin_write = None

    def finish(self):
        self.hang_up()
        self.proc.wait(90)
        return self.read()

    def stop(self):
        self.hang_up()
        self.proc.stop(signal.SIGKILL)


class Kill:
    def __init__(self, process, at, service_s):
        self.process, self.at, self.service_s = process, at, service_s


class Chaos:
    """One run on a World that has no Gatehouse of its own yet."""

    def __init__(self, w, seed, calls, hold_ms=(20000, 60000), phones=4,
                 log_level="info", say=print):
        self.w = w
        self.seed = seed
        self.random = random.Random(seed)
        self.n_calls = calls
        self.hold_ms = hold_ms
        self.n_phones = phones
        self.log_level = log_level
        self.say = say
        self.kills = []
        self.phones = []
        self.sipps = []
        self.talk = None
        self.probe = None
        self.before = {}
        self.keepers = []

    # --------------------------------------------------------------- set-up

    def prepare(self, seconds):
        """A Gatehouse and its phones, whose speech lasts that long."""
        w = self.w
        for capture in w.captures.values():
            capture.pause()
        options = {p: {"log_level": self.log_level}
                   for p in ("authd", "mediad", "flowd", "sbc")}
        gate = w.make_gate(start=False, settings=SETTINGS, options=options)
        w.faults_allowed = True
        ca = gate.make_certificate("phones", PHONES.edge, "sbc.example.net")
        gate.start()
        w.wait_settings(0)
        gate.wait_event("listening", process="flowd", transport="TLS")
        self.probe = w.add_phone()
        if self.n_phones:
            self._start_phones(ca, seconds)
        self._serve("authd", time.monotonic())  # as warm as it will be
        self.before = self._usage()

    def _start_phones(self, ca, seconds):
        w = self.w
        speech = f"{w.dir}/long.wav"
        _repeat(w.audio.wav("near"), speech, int(seconds / SPEECH_S) + 12)
        kinds = [
            {}, {"transport": "tls", "ca": ca, "srtp": "srtp-mand"},
            {"srtp": "srtp-mand"}, {"transport": "tls", "ca": ca},
        ]
        for n, kind in enumerate(kinds[:self.n_phones]):
            who = w.add_phone(srtp="required") if "srtp" in kind else None
            phone = w.phone(who, n=n, speech=speech, **kind)
            phone.tls = "ca" in kind
            self.phones.append(phone)

    def begin(self, seconds):
        """All calls up; seconds: how long the phones' have to last."""
        w = self.w
        speech = w.audio.stream("far")
        for n, phone in enumerate(self.phones):
            folder = f"{w.dir}/itsp-uac_chaos-{5070 + n}"
            os.makedirs(folder, exist_ok=True)
            os.symlink(speech, f"{folder}/again.raw")
            # The two over UDP are hung up on. A phone whose connection went
            # with flowd makes a new one when it has something to say.
            self.sipps.append(w.sipp(
                "itsp", "uac_chaos", "far", target=True, port=5070 + n,
                service=phone.who["number"],
                last=40000 if phone.tls else int(JUDGED_S * 1000),
                who=f"p{n}", media_port=6000 + 100 * n,
                timeout=int(seconds + 90)))
        for phone in self.phones:
            phone.wait_event("CALL_ESTABLISHED")
        self.talk = w.group.add(Talk(
            w, self.n_calls, self.hold_ms, self.seed,
            f"{w.installed.build}/tests/chaos/talk"))
        w.wait(lambda: self.talk.talking() >= self.n_calls * 0.9,
               f"{self.n_calls} calls", 60 + self.n_calls / 20)

    # ---------------------------------------------------------------- kills

    def kill_for(self, seconds, pause_s=(0.3, 2.0)):
        """Kills in turn at random moments until the time is over, each
        process at least once."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(self.kills) < len(PROCESSES):
            order = list(PROCESSES)
            self.random.shuffle(order)
            for process in order:
                time.sleep(self.random.uniform(*pause_s))
                if time.monotonic() > end and \
                   len(self.kills) >= len(PROCESSES):
                    break
                self.kill(process)
                self.talk.read()

    def kill(self, process):
        gate = self.w.gate
        mark = gate.log_mark()
        pid = gate.keeper.pid if process == "keeper" else gate.pid_of(process)
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        took = self._serve(process, at, mark)
        self.kills.append(Kill(process, at, took))

    def _serve(self, process, at, mark=0):
        """Seconds from the kill until what the process does is done again."""
        w, gate = self.w, self.w.gate
        if process == "keeper":
            gate.keeper.popen.wait()
            time.sleep(KEEPER_AWAY_S)
            gate.start(wait=False)
            gate.wait_event("ready", since=mark, process="keeper", timeout=30)
        elif process == "mediad":
            gate.wait_event("mediad_up", since=mark, process="sbc", timeout=30)
        else:
            {"sbc": self._ask_sbc, "authd": self._ask_authd,
             "flowd": self._ask_flowd}[process]()
        took = time.monotonic() - at
        if process not in ("keeper", "mediad") and mark:
            # It may be killed again only once keeper knows it as ready.
            gate.wait_event("daemon_ready", since=mark, process="keeper",
                            daemon=process, timeout=30)
        return took

    @staticmethod
    def _until_answered(peer, text):
        """Sends as RFC 3261 says (timer E) until a final answer is there."""
        pause = 0.5
        for _ in range(10):
            peer.send(text)
            end = time.monotonic() + pause
            while time.monotonic() < end:
                m = peer.receive(max(0.0, end - time.monotonic())
                                 / proc.PATIENCE)
                if m and m.status >= 200:
                    return m
            pause = min(4, pause * 2)
        raise proc.Problem("no answer to " + text.split("\r\n", 1)[0])

    def _ask_sbc(self):
        peer = self.w.peer("itsp")
        try:
            m = self._until_answered(peer, peer.request(
                "OPTIONS", f"sip:{ITSP.edge}", f"probe@{ITSP.host()}"))
            assert m.status == 200, m.first
        finally:
            peer.stop()

    def _ask_authd(self):
        peer, who = self.w.peer("phones", n=12, port=5099), self.probe
        uri, aor = f"sip:{PHONES.edge}", f"{who['username']}@{PHONES.edge}"
        extra = ["Expires: 300"]
        try:
            for _ in range(20):
                m = self._until_answered(peer, peer.request(
                    "REGISTER", uri, aor, headers=extra))
                if m.status == 200:
                    return
                if m.status == 401:
                    value = authorization(
                        challenge_of(m), who["username"], who["password"],
                        "REGISTER", uri)
                    extra = ["Expires: 300", f"Authorization: {value}"]
                elif m.status != 503:
                    break
            raise proc.Problem(f"REGISTER: {m.first}")
        finally:
            peer.stop()

    def _ask_flowd(self):
        """A REGISTER without credentials over TCP: 401 comes from sbc."""
        while True:
            s = net.open_socket(self.w.ns("phones"), socket.AF_INET,
                                socket.SOCK_STREAM)
            s.settimeout(10)
            try:
                s.bind((PHONES.host(13), 0))
                s.connect((PHONES.edge, 5060))
                s.sendall((
                    f"REGISTER sip:{PHONES.edge} SIP/2.0\r\n"
                    f"Via: SIP/2.0/TCP {PHONES.host(13)};branch=z9hG4bK"
                    f"{s.getsockname()[1]};rport\r\nMax-Forwards: 70\r\n"
                    f"From: <sip:x@{PHONES.edge}>;tag=1\r\n"
                    f"To: <sip:x@{PHONES.edge}>\r\n"
                    f"Call-ID: f{time.monotonic_ns()}\r\n"
                    "CSeq: 1 REGISTER\r\nContact: <sip:x@"
                    f"{PHONES.host(13)}>\r\nContent-Length: 0\r\n\r\n"
                ).encode())
                answer = s.recv(4096)
            except ConnectionError:
                answer = b""
            finally:
                s.close()
            if answer:
                assert Message(answer, None).status == 401, answer
                return
            time.sleep(0.02)

    # ------------------------------------------------------------------ end

    def end(self, quiet_s=QUIET_S):
        """After the last kill: the phones hear a speech that is judged, while
        all other calls are heard and hang up."""
        w = self.w
        for s in self.sipps:
            self._begin_speech(s)
        self._until_all_heard(quiet_s)
        self.talk.hang_up()
        if self.phones:
            w.wait(lambda: any(self._hung_up(s) for s in self.sipps),
                   "the callers to hang up", 180)
            for phone in self.phones:
                if phone.tls:
                    phone.hang_up()
            for s in self.sipps:
                s.done()
            for phone in self.phones:
                phone.wait_event("CALL_CLOSED", timeout=40)
        self.talk.finish()

    def _until_all_heard(self, quiet_s):
        """No call is silent any more: one that is, on one side, would be a
        larger share of the packets. At most as long as talk needs to call a
        silent one lost."""
        begin = self.talk.read().ticks[-1][0]
        share = 1 / (4 * self.n_calls)
        try:
            self.w.wait(lambda: self.talk.read().ticks[-1][0] >= begin + 3
                        and self.talk.loss(2) < share, "sound in all calls",
                        quiet_s)
        except proc.Problem:
            pass  # talk names the lost ones

    def _begin_speech(self, s):
        """Tells a caller that what it says from now on is judged. It would
        answer to the server, so it does not."""
        call = re.search(r"^Call-ID: *(\S+)", s.messages(), re.M)[1]
        here = ITSP.host()
        sock = net.open_socket(self.w.ns("itsp"), socket.AF_INET,
                               socket.SOCK_DGRAM)
        with sock:
            sock.sendto((
                f"MESSAGE sip:{here}:{s.port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {here}:9;branch=z9hG4bKspeak\r\n"
                f"From: <sip:{here}>;tag=1\r\nTo: <sip:{here}>;tag=2\r\n"
                f"Call-ID: {call}\r\nCSeq: 1 MESSAGE\r\n"
                "Content-Length: 0\r\n\r\n").encode(), (here, s.port))
        proc.wait_for(lambda: "\nMESSAGE sip:" in s.messages(),
                      "a caller to begin its speech")

    @staticmethod
    def _hung_up(s):
        return not s.proc.alive()

    def phones_heard(self):
        """The speech after the last kill, from the end of each recording."""
        for n, phone in enumerate(self.phones):
            tail = f"{self.w.dir}/tail{n}.wav"
            _tail(phone.heard(), tail, JUDGED_S + 0.5)
            self.w.audio.must_hear("far", tail)

    def wrong_records(self):
        """A line for each CDR that is missing, double or not right."""
        rows, wanted = {}, {}
        for row in self._records():
            rows.setdefault(row["called"], []).append(row)
        for call in self.talk.calls:
            wanted[call.number] = call
        wrong = [f"{n}: nobody made that call" for n in rows
                 if n.startswith("71") and n not in wanted]
        for number, call in wanted.items():
            found = rows.get(number, [])
            if len(found) != 1:
                wrong.append(f"{number} ({call.how} {call.status} "
                             f"{call.why}): {len(found)} records")
                continue
            wrong += self._wrong(call, found[0])
        for phone in self.phones:
            found = rows.get(phone.who["number"], [])
            if len(found) != 1 or found[0]["sip_status"] != 200:
                wrong.append(f"phone {phone.who['number']}: {found}")
        return wrong

    @staticmethod
    def _wrong(call, row):
        if call.how == "ok":
            if row["sip_status"] != 200 or \
               not call.shortest_us <= row["duration_us"] \
               <= call.longest_us or row["hangup_side"] != call.why:
                return [f"{call.number}: {call.shortest_us} to "
                        f"{call.longest_us} us on the wire, {call.why} hung "
                        f"up; record: {row}"]
        elif call.how == "refused" and row["sip_status"] != call.status:
            return [f"{call.number}: {call.status} came; record: {row}"]
        return []

    def _records(self):
        """All of them, once as many are there as calls were made."""
        n = len(self.talk.calls) + len(self.phones)
        try:
            self.w.wait(lambda: int(self.w.sql(
                "select count(*) from sbc.cdr")) >= n, "the records", 20)
        except proc.Problem:
            pass  # which are missing is told one by one
        return self.w.rows(
            "select c.called, c.sip_status, c.duration_us, c.hangup_side, "
            "(select r.text from sbc.reason r where r.number = c.reason) "
            "as reason from sbc.cdr c")

    # ------------------------------------------------------------- leftovers

    def pids(self):
        gate = self.w.gate
        found = {p: gate.pid_of(p) for p in PROCESSES if p != "keeper"}
        found["keeper"] = gate.keeper.pid
        return found

    def _usage(self):
        """{process: (descriptors, Pss in bytes)}."""
        found = {}
        for process, pid in self.pids().items():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                pss = int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
            found[process] = (len(os.listdir(f"/proc/{pid}/fd")), pss * 1024)
        return found

    def left_over(self, memory=None):
        """Lines about what a call has left: sessions, ports, descriptors,
        records, and memory (bytes in all that may stay)."""
        w, found = self.w, []

        def idle():
            media = w.gate.status("mediad")
            return not w.gate.status("sbc").get("calls") and \
                not media.get("media_sessions") and \
                not media.get("media_ports_used") and \
                not media.get("store_records")
        try:
            w.wait(idle, "sbc and mediad to be idle", 40)
        except proc.Problem:
            found += [f"{p}: {w.gate.status(p)}" for p in ("sbc", "mediad")]
        try:
            w.wait(lambda: not self._media_ports(), "media ports to close", 10)
        except proc.Problem:
            found.append(f"open media ports: {self._media_ports()[:20]}")
        after = self._usage()
        for process, (fds, _) in after.items():
            # A connection of a phone that came anew may still stand.
            if fds > self.before[process][0] + len(self.phones) + 2:
                found.append(f"{process} has {fds} descriptors, not "
                             f"{self.before[process][0]}")
        grown = sum(pss for _, pss in after.values()) - \
            sum(pss for _, pss in self.before.values())
        self.say(f"memory of all processes: {grown / 1e6:+.1f} MB since "
                 "before the calls; " + ", ".join(
                     f"{p} {(after[p][1] - self.before[p][1]) / 1e6:+.1f}"
                     for p in after))
        if memory is not None and grown > memory:
            found.append(f"{grown / 1e6:.1f} MB more memory")
        return found

    def _media_ports(self):
        with open(f"/proc/{self.w.gate.keeper.pid}/net/udp",
                  encoding="ascii") as f:
            ports = [int(line.split()[1].split(":")[1], 16)
                     for line in f.readlines()[1:]]
        return sorted(p for p in ports if 20000 <= p < 45000)

    # ---------------------------------------------------------------- figures

    def services(self):
        """{process: [seconds of each kill]}."""
        found = {p: [] for p in PROCESSES}
        for k in self.kills:
            found[k.process].append(k.service_s)
        return found

    def gap_after(self, process):
        """Longest silence that a kill of the process fell into, seconds."""
        longest = 0.0
        gaps = self.talk.gaps_of_others()
        for kill in (k for k in self.kills if k.process == process):
            for end, length in gaps:
                began = end - length
                if began <= kill.at + GAP_WINDOW_S and end >= kill.at:
                    longest = max(longest, length)
        return longest

    def lost(self):
        return [c for c in self.talk.calls if c.how == "lost"]

    def summary(self):
        calls = self.talk.calls
        count = {how: sum(c.how == how for c in calls)
                 for how in ("ok", "refused", "lost")}
        self.say(f"seed {self.seed}: {len(self.kills)} kills; "
                 f"{len(calls)} calls of the generator: {count['ok']} ended "
                 f"well, {count['refused']} refused in set-up, "
                 f"{count['lost']} lost; {len(self.phones)} phones; packets "
                 "sent, heard, wrong: "
                 + ", ".join(str(n) for n in self.talk.done[3:]))
        if self.talk.stalls:
            stood = sum(length for _, length in self.talk.stalls)
            self.say(f"the generator itself stood still {len(self.talk.stalls)}"
                     f" times, {stood:.1f} s in all: silences of those moments "
                     "are not counted")
        for process, times in self.services().items():
            if times:
                self.say(f"{process}: {len(times)} kills, service after "
                         f"{_ms(sorted(times)[len(times) // 2])} ms (median), "
                         f"{_ms(max(times))} ms (longest); longest silence "
                         f"around one {_ms(self.gap_after(process))} ms")
        for words in self.talk.bad:
            self.say("another content: " + " ".join(words))
        for c in self.lost()[:20]:
            self.say(f"lost: {c.number} status {c.status} after "
                     f"{c.longest_us // 1000} ms: {c.why}")


def _ms(seconds):
    return f"{seconds * 1000:.0f}"


def _tail(path, out, seconds):
    """The last seconds of a WAV file of 8 kHz, 16 bit, mono; its header's
    length is not believed."""
    head, sound = _wav(path)
    keep = int(seconds * 8000) * 2
    _write_wav(out, head, sound[len(sound) % 2:][-keep:])


def _repeat(path, out, times):
    head, sound = _wav(path)
    _write_wav(out, head, sound * times)


def _wav(path):
    with open(path, "rb") as f:
        data = f.read()
    at = data.index(b"data") + 8
    return data[:at], data[at:]


def _write_wav(path, head, sound):
    head = bytearray(head)
    head[4:8] = (len(head) - 8 + len(sound)).to_bytes(4, "little")
    head[-4:] = len(sound).to_bytes(4, "little")
    with open(path, "wb") as f:
        f.write(bytes(head) + sound)
