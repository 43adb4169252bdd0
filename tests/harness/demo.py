# SPDX-License-Identifier: Apache-2.0
"""quickstart's demonstration: the whole SBC on a private PostgreSQL, a SIPp
trunk on a loopback address, a baresip phone on this machine's address, one
call with different speech each way, and the facts about it.

Everything that it starts is in one list and ends in reverse order, whatever
happens; files stand in /var/tmp/gatehouse-<pid> and /run/gatehouse-<pid>*.
"""
import argparse
import errno
import json
import os
import re
import shutil
import signal
import socket
import sys
import time

from . import audio, baresip, capture, db, gate, install, proc, runner, sipp

SOURCE = runner.SOURCE
TRUNK_REALM = "127.0.0.2"  # where the SBC awaits the trunk
TRUNK = "127.0.0.3"        # where the trunk is
NUMBER = "+493055500100"   # rings the demonstration's phone
CALLER = "+498955500001"
PHONE, FREE = "100", "200"


class Stop(Exception):
    """Somebody wants this to end."""


class Trouble(Exception):
    """One clear line for the person in front of it."""


def say(text):
    print(f"== {text}", flush=True)


def own_address():
    """The address of this machine that other phones reach, or loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing: asks the routes
            return s.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def port_holder(address, port):
    """Who has a UDP port, as far as /proc tells."""
    want = set()
    with open("/proc/net/udp", encoding="ascii") as f:
        for line in list(f)[1:]:
            words = line.split()
            host, _, number = words[1].partition(":")
            mine = socket.inet_ntoa(bytes.fromhex(host)[::-1])
            if int(number, 16) == port and mine in (address, "0.0.0.0"):
                want.add(f"socket:[{words[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in want:
                    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                        return f"{f.read().strip()} (process {pid})"
        except OSError:
            continue
    return "another program"


def need_port(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind((address, port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                raise Trouble(
                    f"UDP port {port} of {address} is in use by "
                    f"{port_holder(address, port)}; stop it or choose another "
                    "one with --port") from None
            raise Trouble(f"{address} cannot be used: {e.strerror}; choose an "
                          "address of this machine with --address") from None


def remove_leftovers():
    """Daemons and files of an earlier run that was killed: they stand in its
    own folder, and its process is gone."""
    for top in ("/var/tmp", "/run"):
        for entry in os.listdir(top):
            m = re.fullmatch(r"gatehouse-(\d+)(-pg)?", entry)
            if not m or os.path.exists(f"/proc/{m.group(1)}"):
                continue
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    exe = os.readlink(f"/proc/{pid}/exe")
                    if exe.startswith(f"/var/tmp/gatehouse-{m.group(1)}/"):
                        os.kill(int(pid), signal.SIGKILL)
                except OSError:
                    continue
            shutil.rmtree(f"{top}/{entry}", ignore_errors=True)


class Demo:
    """One run."""

    def __init__(self, args):
        self.args = args
        self.address = args.address or own_address()
        self.port = args.port
        self.name = f"gatehouse-{os.getpid()}"
        self.dir = f"/var/tmp/{self.name}"
        self.group = proc.Group()
        self.cluster = None
        self.gate = None
        self.audio = None
        self.phone = None
        self.wire = None
        self.account = {}
        self.free = {}
        self.shown = False

    # ---------------------------------------------------------------- set-up

    def prepare(self):
        remove_leftovers()
        for address in (self.address, TRUNK_REALM, TRUNK):
            need_port(address, self.port)
        need_port(self.address, self.port + 10)
        os.makedirs(self.dir, mode=0o755)
        os.chmod(self.dir, 0o755)
        install.make_users(f"{SOURCE}/etc/gatehouse.sysusers")
        installed = install.Installed(SOURCE, f"{SOURCE}/build-run",
                                      f"{self.dir}/root")
        self.audio = audio.Audio(SOURCE, f"{SOURCE}/build-run", self.dir)
        say("database: a private PostgreSQL on a Unix socket")
        self.cluster = db.Cluster(self.name, self.dir)
        self.cluster.make()
        self.group.add(self.cluster)
        self.cluster.start()
        self.cluster.create("gatehouse")
        runner.migrate(self.cluster, "gatehouse", installed)
        self.settings()
        say("starting keeper, authd, mediad and sbc")
        self.gate = gate.Gate(
            self.name, f"{self.dir}/gate", installed, "gatehouse",
            self.cluster.socket_dir, log_level="info",
            listen_allow=[f"udp {self.address} {self.port}",
                          f"udp {TRUNK_REALM} {self.port}"])
        self.group.add(self.gate)
        self.gate.start()
        proc.wait_for(self.settled, "settings in force", 20, pause=0.1)
        for event in self.gate.events():
            if event.name == "daemon_ready":
                print(f"   {event.fields.get('daemon')} is ready")

    def row(self, query):
        text = self.cluster.sql("gatehouse",
                                f"select row_to_json(q) from ({query}) q")
        return json.loads(text) if text.strip() else None

    def settings(self):
        """A trunk, two phones and the way between them, with the functions
        that an administrator uses."""
        self.cluster.sql("gatehouse", f"""
            select sbc.add_realm('trunks', 'outside', '{TRUNK_REALM}',
                {self.port}, phones => false,
                media_port_min => 20000, media_port_max => 20999);
            select sbc.add_realm('phones', 'outside', '{self.address}',
                {self.port}, digest_realm => 'gatehouse',
                media_port_min => 30000, media_port_max => 30999);
            select sbc.add_trunk('demo-trunk', '{TRUNK}', 'trunks',
                port => {self.port});
            select sbc.add_route('to-phones', '+4930', priority => 10);
            select sbc.add_route('to-trunk', '+', '{{demo-trunk}}',
                priority => 20);
            select sbc.add_route('extensions', '', priority => 30);""")
        self.account = self.row(
            f"select (p).* from sbc.add_phone('{PHONE}', 'Demonstration', "
            f"'{{{NUMBER}}}', realm => 'phones') p")
        self.free = self.row(
            f"select (p).* from sbc.add_phone('{FREE}', 'Your phone', "
            "realm => 'phones') p")

    def settled(self):
        state = self.row("select state, problem from sbc.config_status "
                         "order by at desc limit 1")
        if state and state["state"] != "accepted":
            raise Trouble(f"the settings were refused: {state['problem']}")
        return state

    # ------------------------------------------------------------- the call

    def register(self):
        say(f"phone: baresip registers as {self.account['username']} with "
            f"digest at {self.address}:{self.port}")
        self.phone = baresip.Baresip(
            f"{self.dir}/phone", local=self.address, port=self.port + 10,
            speech=self.audio.wav(audio.NEAR), control_port=free_tcp_port(),
            interface=self.address if self.address.startswith("127.") else None)
        self.phone.account(self.account["username"],
                           f"{self.address}:{self.port}",
                           self.account["password"])
        self.group.add(self.phone)
        self.phone.start()
        self.phone.registered()

    def call(self):
        say(f"trunk: SIPp at {TRUNK} calls {NUMBER}; each side speaks for "
            "seven seconds")
        self.wire = self.group.add(capture.Capture(None, "lo"))
        trunk = self.group.add(sipp.Sipp(
            "uac_call", f"{self.dir}/trunk", local=TRUNK, port=self.port,
            target=f"{TRUNK_REALM}:{self.port}", service=NUMBER,
            speech=self.audio.stream(audio.FAR), who="trunk", caller=CALLER,
            pt=8, codec="PCMA/8000", hold=7000))
        self.phone.wait_event("CALL_ESTABLISHED")
        say("the phone answered; speech goes both ways")
        trunk.done()
        self.phone.wait_event("CALL_CLOSED")
        say("the trunk hung up")

    def verdict(self):
        """Judges both ears and prints what is known of the call."""
        pcap = self.wire.write(f"{self.dir}/trunk-ear.pcap")
        ear = f"{self.dir}/trunk-ear.wav"
        self.audio.from_capture(pcap, ear, src=TRUNK_REALM, dst=TRUNK)
        heard = {"trunk": self.audio.judge(audio.NEAR, ear),
                 "phone": self.audio.judge(audio.FAR, self.phone.heard())}
        cdr = proc.wait_for(
            lambda: self.row("select * from sbc.cdr order by started_at desc "
                             "limit 1"), "the call's CDR", 10)
        legs = {side: self.row(
            f"select * from sbc.cdr_leg where call = '{cdr['call']}' and "
            f"side = '{side}'") for side in ("caller", "called")}
        reason = self.row("select text, sentence from sbc.reason where "
                          f"number = {cdr['reason']}")
        print()
        print_table(cdr, legs, reason, heard)
        good = all(passed for passed, _ in heard.values()) and all(
            leg and leg["rx_packets"] > 0 and leg["tx_packets"] > 0
            for leg in legs.values()) and cdr["sip_status"] == 200
        say("the call passed, and both sides heard the right speech" if good
            else "something is wrong with this call; see above and "
            f"{self.gate.log_path}")
        return good

    # --------------------------------------------------------- the foreground

    def invite(self):
        run = self.gate.runtime_dir
        ctl = self.gate.installed.program("sbcctl")
        print(f"""
Gatehouse is up. Register a softphone of yours (UDP):

    domain / server   {self.address}:{self.port}
    user name         {self.free['username']}
    password          {self.free['password']}

    It is extension {FREE}. Call {PHONE}: the demonstration's phone answers and
    speaks. {NUMBER} is its number.

    more phones       psql -h {self.cluster.socket_dir} -U postgres gatehouse \\
                          -c "select * from sbc.add_phone('201', 'Name')"
    what goes on      {ctl} --runtime-dir {run} status
    log               {self.gate.log_path}

Registrations and calls as they come; Ctrl-C stops everything.
""", flush=True)

    def watch(self):
        """Shows what happens until somebody stops it."""
        mark = self.gate.log_mark()
        while True:
            if not self.gate.keeper.alive():
                raise Trouble("keeper ended: " +
                              self.gate.log_text(mark)[-500:])
            text = self.gate.log_text(mark)
            whole = text[:text.rfind("\n") + 1]
            mark += len(whole.encode("utf-8", "replace"))
            for line in whole.splitlines():
                shown = friendly(gate.LINE.match(line))
                if shown:
                    print(shown, flush=True)
            time.sleep(0.2)

    def show_errors(self):
        """What the daemons themselves said is wrong."""
        if self.gate:
            for event in [e for e in self.gate.events()
                          if e.level == "err"][-5:]:
                print(f"   {event.text}", file=sys.stderr)

    def stop(self):
        self.group.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def friendly(match):
    """A log line shortened, or None for what is of no interest here: sbc says
    what becomes of registrations and calls, the others are heard when
    something is wrong. The log file has everything."""
    if not match:
        return None
    event = gate.Event(match)
    if event.level == "debug" or (event.process != "sbc" and
                                  event.level in ("info", "notice")):
        return None
    if event.name == "call_state" and \
       event.fields.get("new") not in ("ringing", "confirming", "talking"):
        return None  # the steps between are in the log
    facts = " ".join(f"{k}={v}" for k, v in event.fields.items())
    return f"{event.time[11:19]}  {event.name}  {facts}"


def free_tcp_port():
    with socket.socket() as s:
        s.bind((baresip.CONTROL, 0))
        return s.getsockname()[1]


def print_table(cdr, legs, reason, heard):
    def facts(leg):
        if not leg:
            return ["-"] * 10
        return [leg["kind"], leg["peer"], leg["local"], leg["media_source"],
                leg["codec"], str(leg["rx_packets"]), str(leg["tx_packets"]),
                f"{leg['rx_lost']} of {leg['rx_expected']}",
                f"{leg['rx_jitter_us'] / 1000:.1f} ms", str(leg["mos"])]

    names = ["leg", "signaling peer", "our address", "media from", "codec",
             "packets received", "packets sent", "lost", "jitter",
             "MOS estimate"]
    rows = list(zip(names, facts(legs["caller"]), facts(legs["called"])))
    rows.append(("heard the right speech", *(
        f"{'yes' if heard[k][0] else 'NO'} ({word(heard[k][1], 'correlation')}"
        f", other {word(heard[k][1], 'other')})" for k in ("trunk", "phone"))))
    print(f"{'':24}{'caller':34}{'called':34}".rstrip())
    for name, left, right in rows:
        print(f"{name:24}{left:34}{right:34}".rstrip())
    print(f"""
CDR {cdr['call']}  {cdr['caller']} -> {cdr['called']}
    started {cdr['started_at']}  answered {cdr['answered_at']}
    talked {cdr['duration_us'] / 1e6:.1f} s  status {cdr['sip_status']}  \
hung up by {cdr['hangup_side']}
    {reason['text'] if reason else cdr['reason']}: \
{reason['sentence'] if reason else ''}
""")


def word(line, key):
    """Value of key=value in the judge's line."""
    for part in line.split():
        if part.startswith(key + "="):
            return part[len(key) + 1:]
    return line[:40] or "-"


def options(argv):
    p = argparse.ArgumentParser(prog="quickstart")
    p.add_argument("--once", action="store_true",
                   help="end after the demonstration")
    p.add_argument("--address", help="address of this machine for phones")
    p.add_argument("--port", type=int, default=5060, help="SIP port [5060]")
    return p.parse_args(argv)


def on_signal(number, _frame):
    raise Stop(number)


def show(demo, once):
    """The whole run up to its end by somebody; 0 if the call was good."""
    demo.prepare()
    demo.register()
    demo.call()
    good = demo.verdict()
    demo.shown = True
    if not once:
        demo.invite()
        demo.watch()
    return 0 if good else 1


def main(argv):
    args = options(argv)
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, on_signal)
    demo = Demo(args)
    status = 1
    try:
        status = show(demo, args.once)
    except Stop:
        status = 0 if demo.shown else 130
    except BrokenPipeError:  # nobody reads any more
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="ascii")
    except (Trouble, proc.Problem, OSError) as e:
        print(f"quickstart: {e}", file=sys.stderr)
        demo.show_errors()
    finally:
        # Whatever happened: what was started ends before we do.
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        try:
            demo.stop()
        except (proc.Problem, OSError) as e:
            print(f"quickstart: while stopping: {e}", file=sys.stderr)
            status = 1
    try:
        say("everything that was started is stopped")
    except BrokenPipeError:
        pass
    return status
