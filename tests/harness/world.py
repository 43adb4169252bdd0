# SPDX-License-Identifier: Apache-2.0
"""What a scenario gets: a Gatehouse between its neighbours.

    itsp      trunk "itsp"  203.0.113.10, and "itsp6" over IPv6
    phones    realm "phones", accounts made by the scenario
    pbx       trunk "pbx"   10.20.30.10, and "pbx6"
    stranger  nobody knows it

Numbers: +4930xxxxxxx rings phones, other + numbers go to the trunk, 7xx go to
the PBX, short numbers are extensions. Each scenario takes numbers of its own,
so that scenarios can share a Gatehouse.
"""
import json
import os
import re
import time

from . import (baresip, capture, cases, dialog, gate, linphone, net, proc, rtp,
               sip, sipp)
from .net import LINKS

ITSP, PHONES, PBX = LINKS["itsp"], LINKS["phones"], LINKS["pbx"]
STRANGER = LINKS["stranger"]

SETTINGS = f"""
update sbc.setting set value = '1000' where name = 'rtcp_interval_ms';
update sbc.setting set value = '200' where name = 'media_quarantine_ms';
update sbc.setting set value = '50' where name = 'ban_failures';
update sbc.setting set value = '5' where name = 'ring_timeout_s';
select sbc.set_codec_list('default', 'PCMA', 'PCMU', 'telephone-event');
select sbc.add_realm('public', 'outside', '{ITSP.edge}', phones => false,
	media_port_min => 20000, media_port_max => 24999);
select sbc.add_realm_address('public', '{ITSP.edge6}');
select sbc.add_realm('phones', 'outside', '{PHONES.edge}',
	digest_realm => 'phones.example.net',
	media_port_min => 30000, media_port_max => 34999);
select sbc.add_realm_address('phones', '{PHONES.edge6}');
select sbc.add_realm('inside', 'inside', '{PBX.edge}', phones => false,
	media_port_min => 40000, media_port_max => 44999);
select sbc.add_realm_address('inside', '{PBX.edge6}');
select sbc.add_trunk('itsp', '{ITSP.host()}', 'public', port => 5060);
select sbc.add_trunk('itsp6', '{ITSP.host6()}', 'public', port => 5060);
select sbc.add_trunk('pbx', '{PBX.host()}', 'inside', port => 5060);
select sbc.add_route('to-pbx', '7', '{{pbx}}', priority => 10);
select sbc.add_route('to-phones', '+4930', priority => 20);
select sbc.add_route('to-ipv6', '+6', '{{itsp6}}', priority => 25);
select sbc.add_route('to-itsp', '+', '{{itsp}}', priority => 30);
select sbc.add_route('extensions', '', priority => 40);
"""


def _owner(address, role):
    """The neighbour whose network has an address; else role."""
    for name, link in LINKS.items():
        if address.startswith((link.v4 + ".", link.v6 + "::")):
            return name
    return role


class World:
    """One slot of the runner: namespaces, captures, Gatehouses one after the
    other, and what the current case started."""

    def __init__(self, slot, network, installed, cluster, template, audio,
                 work_dir, release):
        self.slot = slot
        self.net = network
        self.installed = installed
        self.cluster = cluster
        self.template = template
        self.audio = audio
        self.work_dir = work_dir
        self.release = release
        self.gate = None
        self.gate_cluster = cluster
        self.n_gates = 0
        self.n_numbers = 0
        self.case = None
        self.dir = None
        self.group = None
        self.room = None
        self.faults_allowed = False
        self.captures = {role: capture.Capture(network.name(role), "eth0")
                         for role in LINKS}
        # Connections go through flowd, which may encrypt them: what sbc said
        # stands in clear between the two.
        self.bridge = capture.Capture(network.name("edge"), "lo")
        self.bridge_ports = set()
        self.names = {}
        self.extensions = set()
        self.marks = {}
        self.log_from = 0
        self.began = 0.0

    # ------------------------------------------------------------- Gatehouse

    def make_gate(self, start=True, wait=True, database=None, cluster=None,
                  options=None, settings=""):
        """A new Gatehouse with a database of its own; in the shared cluster
        unless a database in another cluster is named."""
        self.drop_gate()
        self.n_gates += 1
        name = f"{self.net.prefix}-{self.n_gates}"
        self.gate_cluster = cluster or self.cluster
        if database is None:
            database = name
            self.cluster.create(database, self.template)
            if settings:
                self.cluster.sql(database, settings)
        self.gate = gate.Gate(
            name, f"{self.work_dir}/{name}", self.installed, database,
            self.gate_cluster.socket_dir, ns=self.net.name("edge"),
            options=options)
        if start:
            self.gate.start(wait)
            if wait:
                self.wait_settings(0)
        self.log_from = 0
        return self.gate

    @staticmethod
    def wait(probe, what, timeout=10):
        return proc.wait_for(probe, what, timeout, pause=0.1)

    def drop_gate(self):
        if not self.gate:
            return
        old, self.gate = self.gate, None
        old.stop()
        if old.database == old.name:
            self.cluster.drop(old.database)

    def sql(self, text):
        return self.gate_cluster.sql(self.gate.database, text)

    def rows(self, query):
        """Rows as dicts."""
        lines = self.sql(f"select row_to_json(q) from ({query}) q")
        return [json.loads(line) for line in lines.splitlines() if line]

    def wait_settings(self, known):
        """Waits for a verdict about settings beyond the known number of them;
        it has to be acceptance."""
        def probe():
            found = self.rows("select state, problem from sbc.config_status "
                              "order by at")
            return found if len(found) > known else None
        last = proc.wait_for(probe, "settings in force", 20, pause=0.1)[-1]
        if last["state"] != "accepted":
            raise proc.Problem(f"settings refused: {last['problem']}")

    def settings(self, text):
        """Changes settings and waits until they are in force."""
        known = len(self.rows("select 1 from sbc.config_status"))
        self.sql(text)
        self.wait_settings(known)

    # ------------------------------------------------------------- one case

    def begin(self, case, case_dir):
        self.case = case
        self.dir = case_dir
        os.makedirs(case_dir, exist_ok=True)
        self.group = proc.Group()
        self.room = None
        self.faults_allowed = False
        self.began = time.time()
        for c in (*self.captures.values(), self.bridge):
            c.resume()
            c.forget()
        self.marks = {role: 0 for role in LINKS}
        if case.gate == "own":
            self.drop_gate()
        elif case.gate == "shared" and not self.gate:
            self.make_gate()
        self.log_from = self.gate.log_mark() if self.gate else 0

    def end(self):
        """Stops what the case started; what no good run has is an error."""
        try:
            self.group.stop()
            if self.gate:
                self.no_leaks()
            if self.gate and not self.faults_allowed:
                faults = self.gate.faults(self.log_from)
                if faults:
                    raise proc.Problem("the log has: " + " | ".join(faults[:5]))
        finally:
            if self.case.gate == "own":
                self.drop_gate()

    def keep_evidence(self):
        """After a failure: captures and the log beside the peers' files."""
        for role, c in (*self.captures.items(), ("bridge", self.bridge)):
            c.write(f"{self.dir}/{role}.pcap")
        if self.gate:
            with open(f"{self.dir}/gatehouse.log", "w", encoding="utf-8") as f:
                f.write(self.gate.log_text(self.log_from))

    def stop(self):
        self.drop_gate()
        for c in (*self.captures.values(), self.bridge):
            c.stop()

    # ------------------------------------------------------------- neighbours

    def ns(self, role):
        return self.net.name(role)

    def number(self):
        """An extension and a number that only this case uses."""
        self.n_numbers += 1
        return str(1000 + self.n_numbers), f"+4930{5550000 + self.n_numbers}"

    def add_phone(self, realm="phones", **options):
        """An account: dict with extension, number, username, password."""
        extension, number = self.number()
        more = "".join(f", {k} => '{v}'" for k, v in options.items())
        row = self.rows(f"select (p).* from sbc.add_phone('{extension}', "
                        f"'Phone {extension}', '{{{number}}}', "
                        f"realm => '{realm}'{more}) p")[0]
        row["number"] = number
        self.names[row["username"].encode()] = "account"
        self.extensions.add(row["extension"].encode())
        return row

    def phone(self, account=None, n=0, answer="auto", voice="near", v6=False,
              register=True, codecs="PCMA/8000/1", transport=None, ca=None,
              srtp=None, home=None, long=False, speech=None, apps=(),
              contact=None, srtp_lacks=None):
        """A baresip with an account, registered. n tells phones of one case
        apart; transport is "tcp" or "tls" where it is not UDP; home is the
        net.Nat that it is behind; long: speech for a minute, not for 10 s. It
        hangs up at the end of its speech, a file in place of voice. register
        may be seconds; apps are more modules of baresip, contact whose presence
        it watches."""
        account = account or self.add_phone()
        server = f"[{PHONES.edge6}]" if v6 else PHONES.edge
        if not speech:
            speech = self.audio.long(voice) if long else self.audio.wav(voice)
        p = baresip.Baresip(
            f"{self.dir}/phone{n}", ns=home.ns if home else self.ns("phones"),
            local=home.host if home else
            PHONES.host6() if v6 else PHONES.host(), port=5060 + 10 * n,
            speech=speech,
            control_port=4444 + n,
            rtp_ports=f"{10000 + 1000 * n}-{10998 + 1000 * n}",
            codecs=codecs, ipv6=v6, ca=ca, srtp=srtp, apps=apps,
            srtp_lacks=srtp_lacks)
        where = f"{server};transport={transport}" if transport else server
        p.account(account["username"], where, account["password"], answer,
                  300 if register is True else int(register),
                  where if transport and apps else None)
        if contact:
            p.contact(contact)
        self.group.add(p)
        p.start()
        p.who = account
        p.server = server
        if register:
            p.registered()
        return p

    def linphone(self, account=None, n=0, voice="near", answer=True,
                 srtp=None, transport="udp", ca=None):
        """A linphonec with an account, registered."""
        if not linphone.Linphone.there():
            raise cases.Skip("linphonec is not installed")
        account = account or self.add_phone()
        p = linphone.Linphone(
            f"{self.dir}/linphone{n}", ns=self.ns("phones"),
            local=PHONES.host(), port=5160 + 10 * n,
            speech=self.audio.wav(voice), rtp_port=9000 + 100 * n,
            answer=answer, srtp=srtp, transport=transport, ca=ca)
        p.account(account["username"], PHONES.edge, account["password"])
        self.group.add(p)
        p.start()
        p.who = account
        p.server = PHONES.edge
        return p.registered()

    def sipp(self, role, scenario, voice=None, codec="PCMA", v6=False,
             n=10, port=5060, target=None, who=None, **options):
        """A sipp on a neighbour; with target=True it calls our address there,
        else it waits for calls."""
        link = LINKS[role]
        words = {"pt": {"PCMA": 8, "PCMU": 0}.get(codec, 8),
                 "codec": f"{codec}/8000", "who": who or role}
        words.update(options)
        if target is True:
            edge = f"[{link.edge6}]" if v6 else link.edge
            target = f"{edge}:5060"
            words.setdefault("caller", "+4989123456")
        s = sipp.Sipp(scenario, f"{self.dir}/{role}-{scenario}-{port}",
                      ns=self.ns(role),
                      local=f"[{link.host6(n)}]" if v6 else link.host(n),
                      port=port, target=target,
                      speech=self.audio.stream(voice, codec) if voice else None,
                      **words)
        return self.group.add(s)

    def peer(self, role, target=None, n=10, port=0, v6=False):
        """A SIP socket of our own on a neighbour."""
        link = LINKS[role]
        edge = link.edge6 if v6 else link.edge
        p = sip.Peer(self.ns(role), link.host6(n) if v6 else link.host(n), port,
                     target or edge)
        return self.group.add(p)

    def talker(self, role, voice="far", n=10, port=7000, ns=None, host=None):
        """A media end of our own on a neighbour."""
        if self.room is None:
            self.room = self.group.add(rtp.Room())
        return self.room.add(rtp.Talker(
            ns or self.ns(role), host or LINKS[role].host(n), port,
            self.audio.stream(voice)))

    def talker_heard(self, talker, voice, anywhere=False):
        path = f"{self.dir}/talker-{talker.host}-{talker.port}.wav"
        self.audio.must_hear(voice, talker.wav(self.audio, path), anywhere)

    def side(self, role, port=5060, media_port=7000, account=None, n=10,
             register=(), v6=False):
        """One side of a call, message by message: of a trunk, the PBX, or a
        phone, which registers first. register: header lines for that."""
        peer = self.peer(role, port=port, n=n, v6=v6)
        if role != "phones":
            side = dialog.Side(peer, media_port)
            side.who = None
        else:
            account = account or self.add_phone()
            answer = peer.register(f"[{PHONES.edge6}]" if v6 else PHONES.edge,
                                   account["username"], account["password"],
                                   headers=register)
            if answer.status != 200:
                raise proc.Problem(f"registration: {answer.first}")
            side = dialog.Side(peer, media_port, account["username"],
                               account["password"])
            side.who = account
        side.role = role
        side.heads = [f"User-Agent: planted-{role}-{port}/1.0",
                      f"X-Private: planted-{role}-{port}-header"]
        return side

    def media(self, side, port=None):
        """An RTP socket where a side said that its media is."""
        link = LINKS[side.role]
        return dialog.Media(self.peer(side.role, n=int(
            side.peer.host.rpartition(".")[2]),
            port=port or side.media_port, target=link.edge))

    # ------------------------------------------------------------------ ears

    def packets(self, role):
        return self.captures[role].packets(self.marks[role])

    def heard_on_wire(self, role, voice, n=10, v6=False):
        """Judges what reached a neighbour that cannot record."""
        link = LINKS[role]
        pcap = self.captures[role].write(f"{self.dir}/{role}-ear.pcap",
                                         self.marks[role])
        host = link.host6(n) if v6 else link.host(n)
        edge = link.edge6 if v6 else link.edge
        wav = f"{self.dir}/{role}-ear.wav"
        stream = self.audio.from_capture(pcap, wav, src=edge, dst=host)
        self.audio.must_hear(voice, wav)
        return stream

    def heard_encrypted(self, role, voice, port, suite, inline):
        """The same for sound under a key of ours, which libsrtp2 opens."""
        edge = LINKS[role].edge
        packets, n_bad = rtp.decrypted(
            [p for p in self.packets(role)
             if p.src == edge and p.dport == port], suite, inline)
        if n_bad:
            raise proc.Problem(f"{n_bad} packets to {port} can not be opened")
        path = f"{self.dir}/{role}-{port}.wav"
        self.audio.from_capture(rtp.write_pcap(path + ".pcap", packets), path)
        self.audio.must_hear(voice, path)

    def phone_heard(self, phone, voice):
        self.audio.must_hear(voice, phone.heard())

    def _bridged(self):
        """{role: SIP messages between sbc and flowd on its behalf}, and our
        address there. Who a connection is for is in what its peer says, or in
        what we say of ourselves on it."""
        streams = self.bridge.streams()
        self.bridge_ports |= {s.dport for s in streams if s.opens}
        flows = {}
        for s in streams:
            ours = s.sport in self.bridge_ports
            port = s.dport if ours else s.sport
            flows.setdefault(port, ([], []))[ours].extend(s.messages())
        found = {role: [] for role in LINKS}
        for said, sent in flows.values():
            if not said and not sent:
                continue
            text = b"\0".join(p.data for p in said or sent)
            hits = {role: sum(text.count(a.encode()) for a in (
                link.v4 + ".", link.v6 + "::")) for role, link in LINKS.items()}
            role = max(hits, key=hits.get)
            if not hits[role]:
                raise proc.Problem(f"whose connection is this? {text[:300]!r}")
            for p in sent:
                p.src = LINKS[role].edge
            found[role] += said + sent
        return found

    @staticmethod
    def _between_phones(packets, edge):
        """Phones share a network; two of different accounts may not hear each
        other's words all the same. Who an address and port is, its REGISTER
        tells."""
        said, users = {}, {}
        for p in packets:
            if p.src in edge or not p.is_sip():
                continue
            said.setdefault((p.src, p.sport), []).append(p)
            m = re.search(rb"^(?:To|t)\s*:[^\r\n]*?sip:([^@>;]+)@", p.data,
                          re.M | re.I)
            if p.data.startswith(b"REGISTER") and m:
                users.setdefault((p.src, p.sport), set()).add(m.group(1))
        tokens = {peer: capture.tokens_of(said[peer], edge) for peer in users}
        problems = []
        for peer, names in users.items():
            # The answer to a REGISTER names all contacts of the account.
            others, own = {}, []
            for other, theirs in users.items():
                if not names.isdisjoint(theirs):
                    own += tokens[other]
                else:
                    others.update(tokens[other])
                    others.update({name: "account" for name in theirs
                                   if len(name) >= 4})
            own = b"\0".join(own).lower()
            others = {t: kind for t, kind in others.items()
                      if t.lower() not in own and t not in names}
            to_it = [p for p in packets if p.src in edge and
                     (p.dst, p.dport) == peer]
            problems += [f"to the phone {peer}: {line}" for line in
                         capture.leaks(to_it, edge, others, [])]
        return problems

    def no_leaks(self, *accounts):
        """Nothing of one neighbour is in what we sent to another one: of the
        neighbour's address, dialogs and names, of our own addresses there, of
        logins, of this machine and of what we are made of. Every case ends
        with this; UDP, TCP and what goes through TLS are judged alike."""
        bridged = self._bridged()
        all_packets = {}
        for role, c in self.captures.items():
            all_packets[role] = self.packets(role) + bridged[role] + [
                m for s in c.streams(self.marks[role]) for m in s.messages()]
        edges = {role: (link.edge, link.edge6) for role, link in LINKS.items()}
        # Words belong to whose address they came from: answers to a forged
        # source go to its owner.
        words = {role: [] for role in LINKS}
        for role, packets in all_packets.items():
            for p in packets:
                if p.src not in edges[role]:
                    words[_owner(p.src, role)].append(p)
        said = {role: capture.tokens_of(p, edges[role])
                for role, p in words.items()}
        names = {**self.names, b"sofia-sip": "library",
                 **{a["username"].encode(): "account" for a in accounts}}
        # RTCP's random octets have a shorter name by chance.
        if len(os.uname().nodename) > 3:
            names[os.uname().nodename.encode()] = "host name"
        problems = []
        for role in LINKS:
            # A phone may be told its own login.
            tokens = {name: kind for name, kind in names.items()
                      if role != "phones" or kind != "account"}
            addresses = []
            for other, link in LINKS.items():
                if other == role:
                    continue
                tokens.update(said[other])
                addresses += [link.edge, link.edge6]
                addresses += [link.host(n) for n in net.HOSTS]
                addresses += [link.host6(n) for n in net.HOSTS]
            # What it said itself, also as a part of something longer, may
            # come back to it.
            own = b"\0".join(said[role]).lower()
            tokens = {token: kind for token, kind in tokens.items()
                      if token.lower() not in own}
            problems += [f"to {role}: {line}" for line in capture.leaks(
                all_packets[role], edges[role], tokens, addresses)]
            inside = {id(p) for p in bridged[role]}
            problems += [f"to {role}: the bridge in {p}" for p in
                         all_packets[role] if p.src in edges[role] and
                         id(p) not in inside and p.is_sip() and
                         b"127.0.0.1" in p.data]
        asked = b"\0".join(p.data for p in words["itsp"] + words["stranger"])
        for p in all_packets["itsp"] + all_packets["stranger"]:
            if p.src in edges["itsp"] + edges["stranger"] and p.is_sip():
                problems += [
                    f"extension {m.group(1).decode()} in {p}" for m in
                    re.finditer(rb"(?:sip|tel):(\d{3,5})[@;>]", p.data)
                    if m.group(1) in self.extensions and
                    b"sip:" + m.group(1) + b"@" not in asked]
        problems += self._between_phones(all_packets["phones"],
                                         edges["phones"])
        if problems:
            raise proc.Problem(f"{len(problems)} leaks: " +
                               " | ".join(problems[:5]))

    def wait_speech(self, role, seconds=6.5, v6=False):
        """Until a neighbour was sent that much sound: 50 packets a second."""
        edge = LINKS[role].edge6 if v6 else LINKS[role].edge

        def probe():
            n = sum(p.src == edge and p.is_rtp() for p in self.packets(role))
            return n >= seconds * 50
        proc.wait_for(probe, f"{seconds} s of sound towards {role}",
                      seconds + 15, pause=0.2)

    def sip_to(self, role):
        """SIP messages that we sent to a neighbour."""
        edge = (LINKS[role].edge, LINKS[role].edge6)
        return [p for p in self.packets(role) if p.src in edge and p.is_sip()]

    def our_media(self, role):
        """(address, port) that we last named to a neighbour in SDP."""
        found = None
        for p in self.sip_to(role):
            c = re.search(rb"^c=IN IP[46] (\S+)", p.data, re.M)
            m = re.search(rb"^m=audio (\d+) ", p.data, re.M)
            if c and m:
                found = (c.group(1).decode(), int(m.group(1)))
        return found

    # ------------------------------------------------------------------ CDRs

    def cdr(self, number, timeout=10, **expected):
        """The CDR of the one call to a number that this case made, with its
        legs as row["caller_leg"] and row["called_leg"]. Fields given are
        compared; a name like caller_leg__codec looks into a leg."""
        query = ("select c.*, (select r.text from sbc.reason r where "
                 "r.number = c.reason) as reason_text, "
                 "(select row_to_json(l) from sbc.cdr_leg l where l.call = "
                 "c.call and side = 'caller') as caller_leg, "
                 "(select row_to_json(l) from sbc.cdr_leg l where l.call = "
                 "c.call and side = 'called') as called_leg "
                 f"from sbc.cdr c where c.called = '{number}'")
        found = proc.wait_for(lambda: self.rows(query), f"a CDR to {number}",
                              timeout, pause=0.1)
        if len(found) != 1:
            raise proc.Problem(f"{len(found)} CDRs to {number}")
        self.compare(found[0], **expected)
        return found[0]

    @staticmethod
    def compare(row, **expected):
        """Each field equals the value, or the value (a function) accepts it."""
        wrong = []
        for name, want in expected.items():
            leg, _, field = name.rpartition("__")
            holder = (row[leg] or {}) if leg else row
            have = holder.get(field)
            if not (want(have) if callable(want) else have == want):
                shown = "what it has to be" if callable(want) else repr(want)
                wrong.append(f"{name} is {have!r}, not {shown}")
        if wrong:
            raise proc.Problem(f"CDR {row.get('call')}: " + "; ".join(wrong))

    @staticmethod
    def is_call_id(text):
        """16 characters of Crockford base32."""
        return bool(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{16}", text or ""))
