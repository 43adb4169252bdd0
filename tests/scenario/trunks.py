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
select sbc.allow_messages('public'), sbc.allow_messages('inside');
"""


def _each_is_challenged(net, pbx, digest):
    """PRACK, UPDATE, INFO, MESSAGE and BYE of one call."""
    a, b = Side(pbx), Side(net, 7100)

    def proved(method):
        first = b.expect(method, passing=QUIET)
        reply(net, first, 407, "Proxy-Authenticate: " + digest.challenge())
        again = b.expect(method, passing=QUIET)
        digest.check(again, "proxy-authorization")
        numbers = [int(m.get("cseq").split()[0]) for m in (first, again)]
        assert numbers[1] == numbers[0] + 1, numbers
        return again
    a.call("+8333335", user=OURS + "7", extra=["Require: 100rel"])
    m = b.expect("INVITE", passing=QUIET)
    b.taken(m)
    b.answer(m, 183, b.sdp(), ["Require: 100rel", "RSeq: 9"])
    prack = proved("PRACK")
    assert prack.get("rack") == f"9 {m.get('cseq')}", prack.headers
    b.answer(prack, 200)
    a.send_prack(a.expect("183"), a.sdp("sendonly"))
    b.answer(proved("UPDATE"), 200, b.sdp("recvonly"))
    a.pracked()
    b.answer(m, 200)
    b.expect("ACK", passing=QUIET)
    a.answered(a.expect("200"))
    a.ack()
    a.request("INFO", ["Content-Type: application/dtmf"], "5")
    a.expect("200")
    b.answer(proved("INFO"), 200)
    a.request("MESSAGE", ["Content-Type: text/plain"], "in the call")
    text = proved("MESSAGE")
    assert text.body == b"in the call", text.body
    b.answer(text, 200)
    a.expect("200")
    a.request("BYE")
    b.answer(proved("BYE"), 200)
    a.expect("200")


@case("R2 R3 R4 R5 R8 R11", seconds=14, gate="own")
def profile_by_registration(w):
    """An ITSP given by a name: REGISTER is challenged, then too brief, then
    taken, and refreshed before it ends; every request of a call is challenged
    (INVITE, PRACK, UPDATE, INFO, MESSAGE, re-INVITE, BYE), once with a nonce
    that has grown old; From has the login, P-Preferred-Identity the caller
    without a plus; a call comes to the registered Contact with its number in To, from an address that only
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
    _each_is_challenged(net, pbx, digest)
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


# ----------------------------------------------------------------- headers

HEADERS = "select sbc.add_emergency('112', 'itsp');" + "".join(
    f"select sbc.set_header('{trunk}', '{way}', 'carry', '{name}');"
    for trunk, way, name in (
        ("pbx", "in", "Geolocation"), ("itsp", "out", "Geolocation"),
        ("pbx", "in", "History-Info"), ("itsp", "out", "History-Info"),
        ("pbx", "in", "User-to-User"), ("itsp", "out", "User-to-User"),
        ("itsp", "in", "P-Early-Media"), ("pbx", "out", "P-Early-Media"),
        ("itsp", "in", "Identity"), ("pbx", "out", "Identity"))) + """
select sbc.set_header('itsp', 'out', 'add', 'X-Line', '{caller}@{host}');
select sbc.set_header('itsp', 'out', 'remove', 'Priority');
select sbc.set_header('itsp', 'in', 'set', 'X-Source', '{caller}, itsp');
select sbc.set_header('itsp', 'in', 'remove', 'Priority');
update sbc.trunk set tls_name = 'pbx.inside' where name = 'pbx';
"""

PIDF = """<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:planted@pbx.inside">
<tuple id="planted-tuple"><status><gp:geopriv xmlns:gp="x"><gp:location-info>
<ca:civicAddress xmlns:ca="y"><ca:country>DE</ca:country><ca:A3>M\u00fcnchen
</ca:A3><ca:planted>planted</ca:planted></ca:civicAddress></gp:location-info>
<gp:method>Manual</gp:method></gp:geopriv></status></tuple></presence>
"""
IDENTITY = ("eyJhbGciOiJFUzI1NiJ9.eyJvcmlnIjoiKzQ5In0.c2lnbmF0dXJl"
            ";info=<https://cert.example/p.pem>;alg=ES256;ppt=shaken")


def _located(side):
    """A body of a description and a location."""
    return ("--planted-boundary\r\nContent-Type: application/sdp\r\n\r\n"
            f"{side.sdp()}\r\n--planted-boundary\r\nContent-Type: "
            "application/pidf+xml\r\nContent-ID: <planted@pbx.inside>\r\n"
            "Content-Disposition: by-reference;handling=required\r\n\r\n"
            f"{PIDF}\r\n--planted-boundary--\r\n")


def _call_with(side, number, caller, extra, body):
    """An INVITE from the PBX with a body of its own."""
    side.call_id = side.tag + number
    side.target = f"sip:{number}@{side.peer.target[0]}"
    side.local = f"{caller};tag={side.tag}"
    side.remote = f"<{side.target}>"
    side.invite_cseq = side.cseq
    side.invite = side._message(
        "INVITE", side.cseq, side.branch(), extra, body)
    side.peer.send(side.invite)


@case("R2 R3 R11", seconds=6, gate="own")
def headers_by_policy(w):
    """What rules from SQL let through, and how it comes out: the location of
    an emergency call written anew, by reference only to where nothing inside
    is named, History-Info masked, User-to-User, early
    media in a 183, a cause without its text, a signed Identity while no number
    changes, a ring tone and automatic answer for a phone with our URIs; a long
    name in UTF-8 is cut; nothing else crosses."""
    w.make_gate(settings="")
    w.settings(HEADERS)
    pbx, itsp = w.peer("pbx", port=5060), w.peer("itsp", port=5060)
    a, b = Side(pbx), Side(itsp, 7100)
    name = "\u00c4rger " * 20
    extra = ("Content-Type: multipart/mixed;boundary=planted-boundary",
             "Geolocation: <cid:planted@pbx.inside>, "
             f"<https://{PBX.host()}/planted>, <https://lis.example.com/4f7a>",
             "Geolocation-Routing: yes", "Priority: emergency",
             f"History-Info: <sip:{OURS}1@pbx.inside?Reason=SIP%3Bcause%3D302"
             f"&Privacy=history>;index=1, <sip:{OURS}2@pbx.inside>;index=1.1",
             "User-to-User: 00c81234;encoding=hex;purpose=planted",
             "X-Planted: planted", "Alert-Info: <urn:alert:source:internal>")
    _call_with(a, "112", f'"{name}" <sip:{OURS}7@{PBX.host()}>', extra,
               _located(a))
    m = b.expect("INVITE")
    body = m.body.decode()
    domain = ITSP.host()
    _want(m, Content_Type="multipart/mixed", Geolocation="<cid:location@",
          Geolocation_Routing="yes", Priority=None, X_Planted=None,
          Alert_Info=None, User_to_User="00c81234;encoding=hex",
          X_Line=f"{OURS}7@")
    assert "Content-Type: application/sdp" in body and "m=audio " in body
    assert "<cl:country>DE</cl:country><cl:A3>M\u00fcnchen</cl:A3>" in body
    assert f'entity="pres:{OURS}7@' in body, body
    assert m.get("geolocation").endswith(">, <https://lis.example.com/4f7a>"), \
        m.get("geolocation")
    first, second = [v.strip() for v in
                     ", ".join(m.all("history-info")).split(", ")]
    assert first == ("<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D302"
                     ">;index=1"), first
    assert second.startswith(f"<sip:{OURS}2@") and "inside" not in second
    shown = re.match(r'"([^"]*)"', m.get("from")).group(1)
    assert name.startswith(shown) and 50 < len(shown) <= 64, shown
    assert b"planted" not in m.data and b"pbx.inside" not in m.data, m.data
    b.taken(m)
    b.answer(m, 183, b.sdp(), ("P-Early-Media: sendrecv, planted",
                               "Server: planted"))
    early = a.expect("183")
    assert early.get("p-early-media") == "sendrecv", early.headers
    b.answer(m, 486, extra=('Reason: Q.850;cause=17;text="planted"',
                            "Warning: 399 planted.example \"planted\""))
    b.expect("ACK")
    busy = a.expect("486")
    a.ack_failure(busy)
    assert busy.get("reason") == "Q.850;cause=17", busy.headers
    assert b"planted" not in early.data + busy.data.replace(
        b"planted-boundary", b"")
    w.cdr("112", sip_status=486, route_name="emergency-112")

    # By reference alone: what leads outside, and the description as it is.
    c, d = Side(pbx), Side(itsp, 7100)
    c.call("112", f"{OURS}7", extra=(
        "Geolocation: <pres:planted@pbx.inside>, <https://lis.example.com/a>",
        f"Geolocation: <https://lis.example.com/{PBX.host()}/planted>"))
    m = d.expect("INVITE")
    _want(m, Content_Type="application/sdp", Geolocation_Routing="no")
    assert m.all("geolocation") == ["<https://lis.example.com/a>"], m.headers
    assert b"planted" not in m.data and b"pbx.inside" not in m.data, m.data
    d.taken(m)
    d.answer(m, 486)
    d.expect("ACK")
    c.ack_failure(c.expect("486"))

    # The same body in another call: the description alone goes on.
    c, d = Side(pbx), Side(itsp, 7100)
    _call_with(c, "+4440111", f"<sip:{OURS}7@{PBX.host()}>", extra,
               _located(c))
    m = d.expect("INVITE")
    _want(m, Content_Type="application/sdp", Geolocation=None)
    d.taken(m)
    d.answer(m, 486)
    d.expect("ACK")
    c.ack_failure(c.expect("486"))

    # A signature crosses while no number changes.
    e, f = Side(itsp), Side(pbx, 7100)
    e.call("7" + OURS[1:], extra=(f"Identity: {IDENTITY}",
                                  "Priority: urgent", "X-Source: planted"))
    m = f.expect("INVITE")
    _want(m, X_Source="+4989123456, itsp", Priority=None, X_Line=None)
    assert m.get("identity").startswith(IDENTITY.split(";", maxsplit=1)[0])
    f.taken(m)
    f.answer(m, 486)
    f.expect("ACK")
    e.ack_failure(e.expect("486"))

    account = w.add_phone()
    phone = w.peer("phones", port=5080)
    assert phone.register(LINKS["phones"].edge, account["username"],
                          account["password"]).status == 200
    g, h = Side(pbx), Side(phone, 7200)
    g.call(account["extension"], user="700", extra=(
        "Alert-Info: <http://pbx.inside/planted>;info=alert-internal",
        "Call-Info: <sip:pbx.inside>;answer-after=0;planted=1",
        "Answer-Mode: Auto"))
    m = h.expect("INVITE")
    edge = LINKS["phones"].edge
    _want(m, Alert_Info=f"<http://{edge}>;info=alert-internal",
          Call_Info=f"<sip:{edge}>;answer-after=0", Answer_Mode="Auto")
    h.taken(m)
    h.answer(m, 486)
    g.ack_failure(g.expect("486"))
    h.expect("ACK")
    i = Side(itsp)
    i.call(account["number"], extra=(
        "Alert-Info: <urn:alert:source:internal>", "Answer-Mode: Auto"))
    m = h.expect("INVITE")
    _want(m, Alert_Info=None, Answer_Mode=None)
    assert domain not in str(m.headers)
    w.no_leaks(account)


# ------------------------------------------------------- behind one source

def _apart():
    """Five trunks at one address: two that register, two told by the called
    number, one by its domain."""
    host = ITSP.host(11)
    text = INWARD
    for name in ("line-a", "line-b"):
        text += (f"select sbc.add_trunk_registration('{name}', '{host}', "
                 f"'{name}', 'secret', 'public', digest_realm => 'one.test', "
                 "domain => 'one.test');")
    for name in ("north", "south", "domain"):
        text += (f"select sbc.add_trunk('{name}', '{host}', 'public', "
                 "port => 5060);")
    return text + """
update sbc.trunk set called_prefixes = '{+4955991,+495588}'
	where name = 'north';
update sbc.trunk set called_prefixes = '{+495599}' where name = 'south';
update sbc.trunk set domain = 'mine.test', called_from = 'diversion'
	where name = 'domain';
"""


@case("R4 R5 R11", seconds=6, gate="own")
def told_apart(w):
    """Several trunks at one address: by the token of the Contact that we
    registered, also where only its user is left of it; else by the longest
    prefix of the called number; else by the domain. From another address the
    very same requests are not answered."""
    w.make_gate(settings="")
    w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd's key")
    net = w.peer("itsp", n=11, port=5060)
    pbx = w.peer("pbx", port=5060)
    w.settings(_apart())
    contacts, seen = {}, set()
    digest = {n: Digest("one.test", n, "secret") for n in ("line-a", "line-b")}
    while len(contacts) < 2:
        m = take(net, "REGISTER", seen=seen)
        name = _user(m.get("to"))[0]
        if not m.get("authorization"):
            reply(net, m, 401, "WWW-Authenticate: " + digest[name].challenge())
            continue
        digest[name].check(m)
        contacts[name] = re.search(r"<([^>]+)>", m.get("contact")).group(1)
        reply(net, m, 200, f"Contact: <{contacts[name]}>;expires=300")
    tokens = {n: re.search(r";line=(\w+)", c).group(1)
              for n, c in contacts.items()}
    assert tokens["line-a"] != tokens["line-b"], tokens
    edge = ITSP.edge

    def lands(uri, number, to=None, extra=()):
        m = _calls_in(net, pbx, uri, "+4989777", passing=QUIET, extra=extra,
                      to=to or f"sip:{number}@{edge}")
        assert _uri(m).startswith(f"sip:{number}@"), m.first
        return w.cdr(number)["caller_leg"]["trunk_name"]

    for i, name in enumerate(("line-a", "line-b")):
        # The whole Contact; its user changed for the number; its user alone.
        assert lands(contacts[name], f"+49559{i}1") == name
        assert lands(f"sip:+49559{i}2@{edge};line={tokens[name]}",
                     f"+49559{i}2") == name
        assert lands(f"sip:{name}@{edge}", f"+49559{i}3") == name
    assert lands(f"sip:+49559915@{edge}", "+49559915") == "north"
    assert lands(f"sip:+49559925@{edge}", "+49559925") == "south"
    # This one's called number is who diverted the call.
    assert lands(f"sip:+4900@{edge}", "+495577", "sip:+4900@mine.test", (
        "Diversion: <sip:+495577@mine.test>;reason=unconditional",)) == "domain"
    # Nothing tells: the first one's. A token that is none is nothing.
    assert lands(f"sip:+495578@{edge};line=nosuchtoken", "+495578") == "line-a"
    other = w.peer("itsp", n=12, target=edge)
    for uri in (contacts["line-a"], f"sip:+49559915@{edge}",
                "sip:+495577@mine.test"):
        s = Side(other)
        s.call_id, s.target = s.tag + "x", uri
        s.local, s.remote = f"<sip:4989@x>;tag={s.tag}", f"<{uri}>"
        other.send(s._message("INVITE", 1, s.branch(), (), s.sdp()))
    assert other.receive(0.6) is None
    w.no_leaks()


@case("R11 R26", seconds=5, gate="own")
def media_networks(w):
    """A trunk whose media comes from a network of its own: a description that
    names an address there is taken and heard, one that names another host is
    not, though the trunk's signaling is."""
    w.make_gate(settings=INWARD)
    w.settings("insert into sbc.trunk_media_network select id, "
               f"'{ITSP.host(14)}/32' from sbc.trunk where name = 'itsp'")
    itsp, pbx = w.peer("itsp", port=5060), w.peer("pbx", port=5060)
    far = w.talker("itsp", "far", n=14, port=7000)
    near = w.talker("pbx", "near", port=7100)

    def described(side, host):
        return side.sdp().replace(side.peer.host, host)

    def ours(m):
        c = re.search(rb"^c=IN IP4 (\S+)", m.body, re.M).group(1).decode()
        return c, int(re.search(rb"^m=audio (\d+)", m.body, re.M).group(1))

    a, b = Side(pbx, 7100), Side(itsp, 7000)
    a.call("+4440155")
    b.taken(b.expect("INVITE"))
    b.answer(b.invite, 200, described(b, ITSP.host(14)))
    b.expect("ACK")
    ok = a.expect("200")
    a.answered(ok)
    a.ack()
    far.say(ours(b.invite))
    near.say(ours(ok))
    far.wait_heard(1)
    near.wait_heard(1)
    a.request("BYE")
    b.answer(b.expect("BYE"), 200)
    a.expect("200")
    w.cdr("+4440155", called_leg__media_source=f"{ITSP.host(14)}:7000")

    c = Side(itsp)
    c.sdp = lambda *_: Side.sdp(c).replace(itsp.host, ITSP.host(13))
    c.call("+495566", user="+4989777")
    m = c.expect("4")
    c.ack_failure(m)
    assert m.status == 488, m.first
