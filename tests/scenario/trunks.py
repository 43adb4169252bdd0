# SPDX-License-Identifier: Apache-2.0
"""Trunks as ITSPs describe their interfaces: two known by their addresses, two
by registration, each called and calling in its own form; several trunks behind
one source; what takes a trunk out of service and back."""
import re
import time

from harness import dns
from harness.cases import case
from harness.dialog import Side
from harness.itsp import Digest, Registrar, reply, take
from harness.net import LINKS

ITSP, PBX = LINKS["itsp"], LINKS["pbx"]
STRANGER = LINKS["stranger"]
OURS = "+4930555000"       # of the PBX's people
QUIET = ("REGISTER", "OPTIONS")

# Calls to +4955 ring the PBX, as other numbers do that begin with 7.
INWARD = "select sbc.add_route('to-house', '+4955', '{pbx}', priority => 4);"


def _user(value):
    """(user, host and parameters) of the first SIP URI of a header."""
    m = re.search(r"sip:([^@>]+)@([^>;]+)", value)
    return m.group(1), m.group(2)


def _uri(m):
    return m.first.split(" ")[1]


def _want(m, **headers):
    """Each header holds the text; None: it is not there."""
    for name, text in headers.items():
        have = ", ".join(m.all(name.replace("_", "-")))
        if text is None:
            assert not have, f"{name} is there: {have}"
        else:
            assert text in have, f"{name} has no {text}: {have}"


def _out(pbx, net, number, caller, passing=(), extra=(), challenge=None,
         hang_up=True):
    """The PBX calls a number at a trunk; returns the INVITE that it got."""
    a, b = Side(pbx), Side(net, 7100)
    a.call(number, user=caller, extra=extra)
    m = b.expect("INVITE", passing=passing)
    if challenge:
        reply(net, m, 407, "Proxy-Authenticate: " + challenge.challenge())
        b.expect("ACK", passing=passing)
        m = b.expect("INVITE", passing=passing)
        challenge.check(m, "proxy-authorization")
    b.taken(m)
    b.answer(m, 200, b.sdp())
    b.expect("ACK", passing=passing)
    a.answered(a.expect("200"))
    a.ack()
    if hang_up:
        a.request("BYE")
        bye = b.expect("BYE", passing=passing)
        b.answer(bye, 200)
        a.expect("200")
    return (m, a, b)


def _calls_in(net, pbx, uri, user, extra=(), passing=(), to=None):
    a, b = Side(net), Side(pbx, 7100)
    a.call_id, a.target = a.tag + "-in", uri
    a.local = f"<sip:{user}@{net.host}>;tag={a.tag}" if "<" not in user \
        else f"{user};tag={a.tag}"
    a.remote = f"<{to or uri}>"
    a.invite_cseq = a.cseq
    a.invite = a._message("INVITE", a.cseq, a.branch(), extra, a.sdp())
    net.send(a.invite)
    m = b.expect("INVITE")
    b.taken(m)
    b.answer(m, 200, b.sdp())
    b.expect("ACK")
    a.answered(a.expect("200", passing=passing))
    a.ack()
    b.request("BYE")
    a.answer(a.expect("BYE", passing=passing), 200)
    b.expect("200")
    return m


ADDRESSES = INWARD + f"""
select sbc.add_trunk('peer-a', '{ITSP.host(11)}', 'public', port => 5060,
	domain => 'a.sip.test');
update sbc.trunk set caller_to = 'p_asserted_identity', user_phone = true,
	from_user = '+49305550000' where name = 'peer-a';
select sbc.add_number_rule('peer-a', 'in_called', '49', '+49');
select sbc.add_number_rule('peer-a', 'in_caller', '^([1-9][0-9]+)$', '+\\1',
	true);
select sbc.add_route('to-a', '+81', '{{peer-a}}', priority => 5);
select sbc.add_trunk('peer-b', '{ITSP.host(12)}', 'public', port => 5060,
	sources => '{{{ITSP.host(12)}/32,{ITSP.host(13)}/32}}');
update sbc.trunk set called_from = 'p_called_party_id',
	caller_from = 'p_asserted_identity', contact_user = 'cust4711'
	where name = 'peer-b';
select sbc.add_number_rule('peer-b', 'in_called', '00', '+');
select sbc.add_number_rule('peer-b', 'in_caller', '00', '+');
select sbc.add_number_rule('peer-b', 'out_called', '+', '00');
select sbc.add_number_rule('peer-b', 'out_caller', '+', '00');
select sbc.add_route('to-b', '+82', '{{peer-b}}', priority => 5);
"""


@case("R2 R3 R4 R11", seconds=6, gate="own")
def profiles_by_address(w):
    """Two ITSPs that know us by our address. One: From has the pilot number,
    P-Asserted-Identity the caller, user=phone everywhere; its calls come in
    international form without a plus. The other: both numbers with 00, its
    calls from two hosts, the called number in P-Called-Party-ID, the caller in
    P-Asserted-Identity, our Contact with a customer number."""
    w.make_gate(settings="")
    w.settings(ADDRESSES)
    pbx = w.peer("pbx", port=5060)
    a = w.peer("itsp", n=11, port=5060)
    b = w.peer("itsp", n=12, port=5060)
    b2 = w.peer("itsp", n=13, port=5060)

    m, *_ = _out(pbx, a, "+8111111", OURS + "7")
    assert _uri(m) == "sip:+8111111@a.sip.test;user=phone", m.first
    assert _user(m.get("from")) == ("+49305550000", "a.sip.test"), m.headers
    _want(m, To="<sip:+8111111@a.sip.test;user=phone>",
          P_Asserted_Identity=f"<sip:{OURS}7@a.sip.test;user=phone>",
          P_Preferred_Identity=None, Privacy=None)
    m, *_ = _out(pbx, a, "+8111112", OURS + "7", extra=("Privacy: id",))
    _want(m, From="anonymous@anonymous.invalid", Privacy="id",
          P_Asserted_Identity=OURS + "7")
    m = _calls_in(a, pbx, f"sip:495511111@{ITSP.edge}", "4989777")
    assert _uri(m).startswith("sip:+495511111@"), m.first
    assert _user(m.get("from"))[0] == "+4989777", m.get("from")

    m, *_ = _out(pbx, b, "+8222222", OURS + "8", extra=(
        f"Diversion: <sip:{OURS}9@{PBX.host()}>;reason=no-answer",))
    assert _uri(m) == f"sip:008222222@{ITSP.host(12)}:5060", m.first
    assert _user(m.get("from"))[0] == "00" + OURS[1:] + "8", m.get("from")
    _want(m, P_Asserted_Identity=None, Contact="<sip:cust4711@",
          Diversion="<sip:00" + OURS[1:] + "9@")
    assert ";reason=no-answer" in m.get("diversion"), m.get("diversion")
    m = _calls_in(b2, pbx, f"sip:cust4711@{ITSP.edge}",
                  '"B" <sip:0000@carrier.test>', extra=(
                      "P-Called-Party-ID: <sip:00495522222@b.sip.test>",
                      "P-Asserted-Identity: <sip:004989888@b.sip.test>"))
    assert _uri(m).startswith("sip:+495522222@"), m.first
    assert _user(m.get("from"))[0] == "+4989888", m.get("from")
    w.cdr("+495522222", caller="+4989888",
          caller_leg__trunk_name="peer-b",
          caller_leg__peer=f"{ITSP.host(13)}:5060")
    w.no_leaks()


REG = "trunk.reg.test"
OTHER = "ims.test"


def _registering(w):
    """A name server and a Gatehouse whose authd can seal passwords."""
    server = w.group.add(dns.Dns(w.ns("itsp"), ITSP.host(14), ttl=5))
    for name, hosts in ((REG, (11,)), (OTHER, (12, 13))):
        server.set(f"_sip._udp.{name}", "SRV", *(
            f"{i} 0 5060 h{n}.{name}" for i, n in enumerate(hosts)))
        for n in hosts:
            server.set(f"h{n}.{name}", "A", ITSP.host(n))
    w.make_gate(options={"sbc": {"dns_servers": [server.address]}},
                settings="")
    w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd's key")
    return server


REGISTERED = INWARD + f"""
select sbc.add_trunk_registration('reg-a', '{REG}', '3001t0', 'secret-a',
	'public', digest_realm => 'reg.test', domain => 'reg.test',
	expires_s => 60);
update sbc.trunk set caller_to = 'p_preferred_identity', from_user = '3001t0'
	where name = 'reg-a';
select sbc.add_number_rule('reg-a', 'in_called', '49', '+49');
select sbc.add_number_rule('reg-a', 'in_caller', '49', '+49');
select sbc.add_number_rule('reg-a', 'out_called', '+', '');
select sbc.add_number_rule('reg-a', 'out_caller', '+', '');
select sbc.add_route('to-reg-a', '+83', '{{reg-a}}', priority => 5);
"""


@case("R2 R3 R4 R5 R8 R11", seconds=14, gate="own")
def profile_by_registration(w):
    """An ITSP given by a name: REGISTER is challenged, then too brief, then
    taken, and refreshed before it ends; every request of a call is challenged
    (INVITE, re-INVITE, BYE), once with a nonce that has grown old; From has
    the login, P-Preferred-Identity the caller without a plus; a call comes to
    the registered Contact with its number in To, from an address that only
    SRV tells. The same call from another host gets no answer at all."""
    _registering(w)
    net = w.peer("itsp", n=11, port=5060)
    pbx = w.peer("pbx", port=5060)
    digest = Digest("reg.test", "3001t0", "secret-a")
    reg = Registrar(net, digest)
    w.settings(REGISTERED)

    first = reg.next()
    assert first.first == "REGISTER sip:reg.test SIP/2.0", first.first
    assert _user(first.get("to")) == ("3001t0", "reg.test"), first.headers
    assert first.get("authorization") == "" and "path" in first.get("supported")
    reg.challenge(first)
    brief = reg.next()
    digest.check(brief)
    assert brief.get("expires") == "60", brief.headers
    reply(net, brief, 423, "Min-Expires: 90")
    again = reg.next()
    assert again.get("expires") == "90", again.headers
    reg.challenge(again)
    old = reg.next()
    reg.challenge(old, stale=True)      # the nonce has just run out
    reg.accept(reg.next(), expires=5)
    w.gate.wait_event("trunk_registration", process="sbc",
                      reason="trunk_registered")
    assert reg.contact.startswith("sip:3001t0@" + ITSP.edge), reg.contact

    m, a, b = _out(pbx, net, "+8333333", OURS + "7", QUIET, challenge=digest,
                   hang_up=False)
    assert _uri(m) == "sip:8333333@reg.test", m.first
    assert _user(m.get("from")) == ("3001t0", "reg.test"), m.headers
    _want(m, P_Preferred_Identity=f"<sip:{OURS[1:]}7@reg.test>",
          P_Asserted_Identity=None, Contact=reg.contact)
    a.request("INVITE", body=a.sdp("sendonly"))
    hold = b.expect("INVITE", passing=QUIET)
    reply(net, hold, 401, "WWW-Authenticate: " + digest.challenge())
    b.expect("ACK", passing=QUIET)
    hold = b.expect("INVITE", passing=QUIET)
    digest.check(hold)
    b.answer(hold, 200, b.sdp("recvonly"))
    b.expect("ACK", passing=QUIET)
    a.answered(a.expect("200"))
    a.ack()
    a.request("BYE")
    bye = b.expect("BYE", passing=QUIET)
    reply(net, bye, 407, "Proxy-Authenticate: " + digest.challenge())
    bye = b.expect("BYE", passing=QUIET)
    digest.check(bye, "proxy-authorization")
    b.answer(bye, 200)
    a.expect("200")
    m, *_ = _out(pbx, net, "+8333334", OURS + "7", QUIET,
                 extra=("Privacy: id",), challenge=digest)
    _want(m, From="anonymous@anonymous.invalid", Privacy="id",
          P_Preferred_Identity=OURS[1:] + "7@reg.test")

    # Its refresh has come meanwhile, or comes: in time, with a higher number.
    reg.register(expires=300)
    m = _calls_in(net, pbx, reg.contact, "4989777", passing=QUIET,
                  to="sip:495533331@reg.test")
    assert _uri(m).startswith("sip:+495533331@"), m.first
    assert _user(m.get("from"))[0] == "+4989777", m.get("from")
    w.cdr("+495533331", caller="+4989777", caller_leg__trunk_name="reg-a")
    for role, n in (("itsp", 12), ("stranger", 10)):
        other = w.peer(role, n=n, target=ITSP.edge)
        s = Side(other)
        s.call_id, s.target = s.tag, reg.contact
        s.local, s.remote = f"<sip:4989@x>;tag={s.tag}", "<sip:495533332@x>"
        other.send(s._message("INVITE", 1, s.branch(), (), s.sdp()))
        assert other.receive(0.5) is None, role
    w.no_leaks()
    assert not any(b"secret-a" in p.data for p in w.packets("itsp"))


SECOND = INWARD + f"""
select sbc.add_trunk_registration('reg-b', '{OTHER}', 'login-b', 'secret-b',
	'public', register_user => '+4955990', domain => '{OTHER}');
update sbc.trunk set caller_to = 'p_asserted_identity', user_phone = true
	where name = 'reg-b';
select sbc.add_route('to-reg-b', '+84', '{{reg-b}}', priority => 5);
"""


@case("R2 R3 R5 R8 R11", seconds=16, gate="own")
def registration_with_service_route(w):
    """An ITSP with two registrars behind a name: the first one refuses, the
    second one takes us and names a Service-Route, which every call takes, to
    the place that has our registration; both numbers in E.164 with user=phone.
    A killed sbc goes on with the same registration. When the second registrar
    is silent at the refresh, the first one is asked."""
    _registering(w)
    one = w.peer("itsp", n=12, port=5060)
    two = w.peer("itsp", n=13, port=5060)
    pbx = w.peer("pbx", port=5060)
    # The realm is the domain: it need not be named.
    digest = Digest(OTHER, "login-b", "secret-b", "SHA-256")
    reg1, reg2 = Registrar(one, digest), Registrar(two, digest)
    w.settings(SECOND)
    reply(one, reg1.next(), 503)
    route = f"<sip:orig@{ITSP.host(13)}:5060;lr>, <sip:scscf.{OTHER};lr>"
    reg2.register(expires=8, headers=(
        f"Service-Route: {route}", f"Path: <sip:pcscf.{OTHER};lr>",
        f"P-Associated-URI: <sip:+4955990@{OTHER}>"))
    w.gate.wait_event("trunk_registration", process="sbc",
                      reason="trunk_registered")

    m, *_ = _out(pbx, two, "+8444444", "+49559901", QUIET)
    assert _uri(m) == f"sip:+8444444@{OTHER};user=phone", m.first
    assert ", ".join(m.all("route")) == route, m.headers
    assert _user(m.get("from")) == ("+49559901", OTHER), m.headers
    _want(m, P_Asserted_Identity=f"<sip:+49559901@{OTHER};user=phone>",
          Contact=reg2.contact)
    ack = [p.data for p in w.sip_to("itsp") if p.data.startswith(b"ACK")]
    assert ack and b"Route:" not in ack[-1], ack  # of the dialog: none

    w.cdr("+8444444", called_leg__trunk_name="reg-b")
    mark = w.gate.kill_daemon("sbc")
    w.faults_allowed = True
    w.gate.wait_event("listening", since=mark, process="sbc", timeout=20)
    before = reg2.call_id
    m, *_ = _out(pbx, two, "+8444445", "+49559901", QUIET)
    assert ", ".join(m.all("route")) == route, m.headers
    number = reg2.contact.split("@")[1]
    # The user part is the called number here; the rest is our Contact.
    m = _calls_in(two, pbx, f"sip:+495511@{number}", "+4989777",
                  passing=QUIET)
    assert _uri(m).startswith("sip:+495511@"), m.first

    reg2.next()
    assert reg2.call_id == before
    began = time.time()
    reg1.register(expires=300)
    assert time.time() - began < 15
    m, *_ = _out(pbx, one, "+8444446", "+49559901", QUIET)
    assert not m.all("route"), m.headers
    w.no_leaks()
