# SPDX-License-Identifier: Apache-2.0
"""The SIP servers under load: ours, whole, and Kamailio with rtpengine; one
PostgreSQL for both.

    127.0.0.2  our trunks and phones      127.0.0.3  the caller (trunk "itsp")
    127.0.0.4  our inside                 127.0.0.5  the called side ("pbx")
    127.0.0.7  Kamailio                   127.64/10  phones
"""
import time

from harness import db, gate, proc, runner

from . import machine

OURS, INSIDE, KAMAILIO = "127.0.0.2", "127.0.0.4", "127.0.0.7"
CALLER, CALLED, PHONES = "127.0.0.3:5060", "127.0.0.5:5060", "127.64.0.0:5061"
DOMAIN = "load.example.net"
NG_PORT = 22223

SETTINGS = f"""
select sbc.set_codec_list('default', 'PCMA', 'PCMU', 'telephone-event');
select sbc.add_realm('outside', 'outside', '{OURS}', phones => true,
	digest_realm => '{DOMAIN}', media_port_min => 16384,
	media_port_max => 65000);
select sbc.add_realm('inside', 'inside', '{INSIDE}', phones => false,
	media_port_min => 16384, media_port_max => 65000);
select sbc.add_trunk('itsp', '127.0.0.3', 'outside', port => 5060);
select sbc.add_trunk('pbx', '127.0.0.5', 'inside', port => 5060);
select sbc.add_route('to-pbx', '+4971', '{{pbx}}', priority => 10);
update sbc.setting set value = '1000000' where name = 'trunk_rate';
update sbc.setting set value = '100000' where name = 'unknown_rate';
update sbc.setting set value = '3600' where name = 'media_timeout_s';
"""

# What the defaults would refuse: a whole network of phones that nobody has
# seen yet, one trunk with 12,000 messages a second, calls without media.
RATES = "unknown_rate 100000/s instead of 200, trunk_rate 1000000/s instead " \
    "of 2000, media_timeout_s 3600 instead of 30"

PHONES_SQL = """
set session_replication_role = replica;
insert into sbc.account (username, extension, realm)
select 'phone.' || translate(lpad(i::text, 8, '0'), '0123456789', 'abcdefghij'),
	(200000000 + i)::text, sbc.realm_id('outside')
from generate_series({first}, {last}) i;
insert into sbc.account_secret (account, algorithm, digest_realm, ha1)
select a.id, 'MD5', '{domain}', decode(md5(a.username || ':{domain}:secret.'
	|| substr(a.username, 7)), 'hex')
from sbc.account a where a.extension::bigint between 200000000 + {first}
	and 200000000 + {last};
analyze sbc.account; analyze sbc.account_secret;
"""

SUBSCRIBERS_SQL = """
insert into subscriber (username, domain, ha1)
select u, '{domain}', md5(u || ':{domain}:secret.' || substr(u, 7))
from (select 'phone.' || translate(lpad(i::text, 8, '0'), '0123456789',
	'abcdefghij') as u from generate_series({first}, {last}) i) names;
analyze subscriber;
"""


class Server:
    """What both products have: an address, and rows in a database."""

    schema = "public"

    def __init__(self, cluster, database, address):
        self.cluster = cluster
        self.database = database
        self.address = address

    def count(self, table):
        return int(self.cluster.sql(
            self.database, f"select count(*) from {self.schema}.{table}"))

    def wait_count(self, table, wanted, timeout=30):
        """Waits until a table has that many rows; says how many it has."""
        end = time.monotonic() + timeout
        while True:
            have = self.count(table)
            if have >= wanted or time.monotonic() > end:
                return have
            time.sleep(0.2)


class Ours(Server):
    """keeper and its daemons on a database of their own."""

    name = "gatehouse"
    schema = "sbc"

    def __init__(self, bench, cluster, database, options=None):
        super().__init__(cluster, database, f"{OURS}:5060")
        self.gate = gate.Gate(
            f"{bench.name}-{database}", bench.folder("gatehouse"),
            bench.installed, database, cluster.socket_dir,
            log_level="warning", options=options)

    @staticmethod
    def prepare(bench, cluster, database, phones=0):
        """A database with the settings and that many phones."""
        cluster.create(database)
        runner.migrate(cluster, database, bench.installed)
        cluster.sql(database, SETTINGS)
        if phones:
            Ours.add_phones(cluster, database, 0, phones)

    @staticmethod
    def add_phones(cluster, database, first, last):
        cluster.sql(database, PHONES_SQL.format(
            first=first, last=last - 1, domain=DOMAIN), timeout=300)

    def start(self):
        known = self.count("config_status")
        # The log says "ready" at a level that the bench does not log at.
        self.gate.start(wait=False)
        proc.wait_for(lambda: self.count("config_status") > known or
                      self._ended(), "settings in force", 30, pause=0.1)
        return self

    def _ended(self):
        if not self.gate.keeper.alive():
            raise proc.Problem("keeper ended: " + self.gate.log_text()[-800:])

    def pids(self):
        """{"sbc": pid, ...} of the running daemons."""
        found = {"keeper": self.gate.keeper.pid}
        for pid in machine.family(self.gate.keeper.pid):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                name = f.read().strip()
            if name in gate.DAEMONS:
                found[name] = pid
        missing = [d for d in gate.DAEMONS if d not in found]
        if missing:
            raise proc.Problem(f"{missing[0]} does not run: " +
                               self.gate.log_text()[-800:])
        return found

    def stop(self):
        self.gate.stop()


KAMAILIO_CFG = """#!KAMAILIO
debug=0
log_stderror=yes
children={children}
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
listen=udp:{address}:5060
mpath="{modules}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "sanity.so"
loadmodule "db_postgres.so"
{more}
"""

# What Kamailio's configurations are put together from; {words} are filled in
# by the class.
CALLS_MODULES = """
loadmodule "acc.so"
loadmodule "rtpengine.so"
loadmodule "topoh.so"
modparam("rr", "enable_full_lr", 1)
modparam("acc", "db_url", "{db}")
modparam("acc", "db_flag", 1)
modparam("acc", "early_media", 0)
modparam("acc", "report_cancels", 1)
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:{ng}")
modparam("topoh", "mask_key", "bench")
modparam("topoh", "mask_ip", "127.0.0.8")
modparam("topoh", "sanity_checks", 1)
"""

PHONES_MODULES = """
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "auth_db.so"
modparam("usrloc", "db_url", "{db}")
modparam("usrloc", "db_mode", {db_mode})
modparam("usrloc", "timer_interval", 10)
modparam("auth", "nonce_expire", 300)
modparam("auth", "qop", "auth")
modparam("auth_db", "db_url", "{db}")
modparam("auth_db", "calculate_ha1", 0)
modparam("auth_db", "password_column", "ha1")
"""

CHECKS = """
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (!sanity_check("1511", "7")) exit;
"""

IN_DIALOG = """
	if (has_totag()) {
		if (!loose_route()) {
			if (is_method("ACK") && t_check_trans()) t_relay();
			exit;
		}
		if (is_method("BYE")) { setflag(1); rtpengine_delete(); }
		t_relay();
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
"""

REGISTER = """
	if (!auth_check("{domain}", "subscriber", "0")) {
		auth_challenge("{domain}", "1");
		exit;
	}
	consume_credentials();
	if (!save("location")) sl_reply_error();
"""

# {find}: how the called side is found.
INVITE = """
	if (!is_method("INVITE") || $si != "{trunk}") { sl_send_reply("403", "Forbidden"); exit; }
	setflag(1);
	if (!t_newtran()) { sl_reply_error(); exit; }
	record_route();
	{find}
	rtpengine_offer("replace-origin replace-session-connection ICE=remove");
	t_on_reply("ANSWER");
	t_relay();
"""

ON_ANSWER = """
onreply_route[ANSWER] {
	if (has_body("application/sdp"))
		rtpengine_answer("replace-origin replace-session-connection ICE=remove");
}
"""

CALLS_CFG = CALLS_MODULES + "request_route {" + CHECKS + IN_DIALOG + \
    INVITE.replace("{find}", '$du = "sip:{called}";') + "}" + ON_ANSWER

PHONES_CFG = PHONES_MODULES + "request_route {" + CHECKS + """
	if (!is_method("REGISTER")) { sl_send_reply("403", "Forbidden"); exit; }
""" + REGISTER + "}"

BOTH_CFG = PHONES_MODULES + CALLS_MODULES + "request_route {" + CHECKS + \
    IN_DIALOG + 'if (is_method("REGISTER")) {' + REGISTER + "exit; }" + \
    INVITE.replace("{find}", 'if (!lookup("location")) '
                   '{ t_reply("404", "Not Found"); exit; }') + \
    "}" + ON_ANSWER


class Kamailio(Server):
    """Debian's Kamailio, with the faster of its allocators."""

    name = "kamailio"

    def __init__(self, bench, cluster, database, text, children=4,
                 memory_mb=1024, tls=None, **values):
        super().__init__(cluster, database, f"{KAMAILIO}:5060")
        self.dir = bench.folder("kamailio")
        # An empty host is libpq's default, which PGHOST names.
        url = f"postgres://postgres:none@/{database}"
        filled = text
        for name, value in {"db": url, "ng": NG_PORT, "called": CALLED,
                            "domain": DOMAIN, "db_mode": 2,
                            "trunk": CALLER.split(":", maxsplit=1)[0],
                            **values}.items():
            filled = filled.replace("{" + name + "}", str(value))
        frame = KAMAILIO_CFG.replace("disable_tcp=yes\n", tls) if tls \
            else KAMAILIO_CFG
        with open(f"{self.dir}/kamailio.cfg", "w", encoding="ascii") as f:
            f.write(frame.format(
                children=children, address=KAMAILIO, more=filled,
                modules=bench.peers.kamailio_modules))
        self.argv = [bench.peers.program("kamailio"), "-DD", "-E", "-f",
                     f"{self.dir}/kamailio.cfg", "-Y", self.dir, "-P",
                     f"{self.dir}/pid", "-m", str(memory_mb), "-M", "16",
                     "-x", "fm", "-X", "fm", "-w", self.dir]
        self.env = {**bench.peers.environment(),
                    "PGHOST": cluster.socket_dir}
        self.proc = None

    @staticmethod
    def prepare(bench, cluster, database, phones=0):
        cluster.create(database)
        for name in ("standard", "acc", "auth_db", "usrloc"):
            with open(f"{bench.peers.kamailio_sql}/{name}-create.sql",
                      encoding="utf-8") as f:
                cluster.sql(database, f.read())
        if phones:
            cluster.sql(database, SUBSCRIBERS_SQL.format(
                first=0, last=phones - 1, domain=DOMAIN), timeout=300)

    def start(self):
        self.proc = proc.Proc(self.argv, f"{self.dir}/log", env=self.env)
        proc.wait_for(self._up, f"kamailio ({self.dir}/log)", 20)
        machine.wait_quiet(self.proc.pid)
        return self

    def _up(self):
        if not self.proc.alive():
            raise proc.Problem("kamailio ended: " + self.proc.log()[-800:])
        host = "".join(f"{int(b):02X}" for b in reversed(KAMAILIO.split(".")))
        with open("/proc/net/udp", encoding="ascii") as f:
            return f" {host}:13C4 " in f.read()

    def stop(self):
        if self.proc:
            self.proc.stop(timeout=15)
            self.proc = None


class Rtpengine:
    """Beside Kamailio, in userspace."""

    def __init__(self, bench):
        self.dir = bench.folder("rtpengine")
        self.argv = [
            bench.peers.program("rtpengine"), "--config-file=none",
            "--table=-1", "--foreground", "--log-stderr", "--log-level=3",
            "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{NG_PORT}",
            "--num-threads=1", "--port-min=16384", "--port-max=65000",
            # Its default keeps a call's four ports for 30 s: too many.
            "--delete-delay=0",
            f"--pidfile={self.dir}/pid"]
        self.env = bench.peers.environment()
        self.proc = None

    def start(self):
        self.proc = proc.Proc(self.argv, f"{self.dir}/log", env=self.env)
        proc.wait_for(self._up, f"rtpengine ({self.dir}/log)", 15)
        machine.wait_quiet(self.proc.pid)
        return self

    def _up(self):
        if not self.proc.alive():
            raise proc.Problem("rtpengine ended: " + self.proc.log()[-300:])
        with open("/proc/net/udp", encoding="ascii") as f:
            return f":{NG_PORT:04X} " in f.read()

    def stop(self):
        if self.proc:
            self.proc.stop(timeout=5)
            self.proc = None


def cluster(bench):
    """The bench's PostgreSQL."""
    if not bench.cluster:
        made = db.Cluster(bench.name, bench.dir)
        made.make()
        made.start()
        machine.below(made.server.pid)
        bench.cluster = made
        bench.group.add(made)
    return bench.cluster
