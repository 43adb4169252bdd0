// SPDX-License-Identifier: Apache-2.0
/*
 * Locations: what is read of a PIDF-LO document, what is refused, that it is
 * written anew, and when it crosses with an INVITE.
 */
#include <stdio.h>
#include <string.h>

#include <sofia-sip/sip_parser.h>
#include <sofia-sip/su_alloc.h>

#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "sbc/locate_inside.h"
#include "sbc/location_uri.h"
#include "sbc/pidf.h"
#include "tests/unit/suite.h"

#define HEAD                                                                   \
	"<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:"     \
	"pidf\" xmlns:gml=\"g\" xmlns:gs=\"s\" xmlns:ca=\"c\" "                \
	"xmlns:gp=\"p\" entity=\"pres:EVIL@inside\"><tuple "                   \
	"id=\"EVIL\"><status>"                                                 \
	"<geopriv><location-info>"
#define TAIL "</location-info></geopriv></status></tuple></presence>"

static int read(const char *text, struct pidf *pidf)
{
	return pidf_read((struct span){text, strlen(text)}, 7, pidf);
}

START_TEST(reads_what_it_means)
{
	static const char text[] =
		HEAD "<gs:Circle xmlns:x=\"x\" srsName='EVIL>'><gml:pos>48.1 "
		     "-11.5</gml:pos><gs:radius uom=\"m\"> 30 </gs:radius>"
		     "</gs:Circle><!-- EVIL --><ca:civicAddress><ca:country>DE"
		     "</ca:country><ca:A1>Bayern &amp; &lt;mehr&gt;</ca:A1>"
		     "<ca:HNO/><ca:EVIL>EVIL</ca:EVIL><ca:A1>EVIL</ca:A1>"
		     "</ca:civicAddress><ca:A3>EVIL</ca:A3><gp:method>GPS"
		     "</gp:method>" TAIL;
	char out[PIDF_TEXT_SIZE];
	struct pidf pidf;
	struct writer w;

	ck_assert_int_eq(read(text, &pidf), 0);
	ck_assert_uint_eq(pidf.n_fields, 2);
	ck_assert_str_eq(pidf.fields[1].value, "Bayern & <mehr>");
	ck_assert_str_eq(pidf.point, "48.1 -11.5");
	ck_assert_str_eq(pidf.radius, "30");
	ck_assert_str_eq(pidf.method, "GPS");
	writer_init(&w, out, sizeof(out));
	ck_assert_int_eq(pidf_write(&pidf, "pres:+49@a", &w), 0);
	ck_assert_ptr_null(strstr(out, "EVIL"));
	ck_assert_ptr_nonnull(strstr(out, "entity=\"pres:+49@a\""));
	ck_assert_ptr_nonnull(
		strstr(out, "<cl:A1>Bayern &amp; &lt;mehr&gt;</cl:A1>"));
	ck_assert_ptr_nonnull(strstr(out, "<gml:pos>48.1 -11.5</gml:pos>"));
	/* And again. */
	ck_assert_int_eq(read(out, &pidf), 0);
	ck_assert_uint_eq(pidf.n_fields, 2);
}
END_TEST

static const char *const refused[] = {
	"",
	"EVIL",
	"<presence/>",
	HEAD TAIL,
	HEAD "<pos>EVIL</pos>" TAIL,
	HEAD "<pos>1</pos>" TAIL,
	HEAD "<pos>1 2 3 4</pos>" TAIL,
	HEAD "<pos>1 2</pos>",
	HEAD "<pos>1 2</wrong>" TAIL,
	"<!DOCTYPE x [<!ENTITY a \"EVIL\">]>" HEAD "<pos>1 2</pos>" TAIL,
	HEAD "<civicAddress><A1>&evil;</A1></civicAddress>" TAIL,
	HEAD "<civicAddress><A1>\x01</A1></civicAddress>" TAIL,
	HEAD "<civicAddress><A1>\xff</A1></civicAddress>" TAIL,
	HEAD "<pos>1 2</pos><x y=\"" TAIL,
	HEAD "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>" TAIL,
	HEAD "<pos>1 2</pos>" TAIL "<presence></presence>",
	"<other>" HEAD "<pos>1 2</pos>" TAIL "</other>",
};

START_TEST(refuses)
{
	struct pidf pidf;

	ck_assert_msg(read(refused[_i], &pidf) != 0, "%s", refused[_i]);
}
END_TEST

START_TEST(is_bounded)
{
	static char text[2 * PIDF_SIZE_MAX];
	struct pidf pidf;
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), HEAD "<pos>1 2</pos>");
	memset(text + n, ' ', PIDF_SIZE_MAX);
	snprintf(text + n + PIDF_SIZE_MAX, sizeof(text) - n - PIDF_SIZE_MAX,
		TAIL);
	ck_assert_int_eq(read(text, &pidf), ERR_TOO_BIG);
	/* One value that is too long: the others are worth something. */
	n = (size_t)snprintf(text, sizeof(text), HEAD "<civicAddress><A1>");
	memset(text + n, 'a', 1000);
	snprintf(text + n + 1000, sizeof(text) - n - 1000,
		"</A1><A2>b</A2></civicAddress>" TAIL);
	ck_assert_int_eq(read(text, &pidf), 0);
	ck_assert_uint_eq(pidf.n_fields, 1);
	ck_assert_str_eq(pidf.fields[0].name, "A2");
}
END_TEST

/* An inside realm with a PBX by name and one by address; the host stands in
 * 203.0.113.0/24. */
static struct {
	Gh__Realm row;
	Gh__Trunk trunk_rows[2];
	Gh__TrunkTarget targets[2];
	Gh__TrunkTarget *target_lists[2];
	char *domains[1];
	struct realm realm;
	struct realm_address address;
	struct trunk trunks[2];
	struct local_nets nets;
	struct settings settings;
	struct hdr_hidden hidden;
} in;

static void inside_init(void)
{
	memset(&in, 0, sizeof(in));
	gh__realm__init(&in.row);
	in.row.zone = GH__ZONE__ZONE_INSIDE;
	in.domains[0] = (char *)(uintptr_t) "office.example.org";
	in.row.domains = in.domains;
	in.row.n_domains = 1;
	ck_assert_int_eq(addr_parse("8.8.4.1:5060", &in.address.listen), 0);
	in.address.media = in.address.advertised_media = in.address.listen;
	snprintf(in.address.advertised_host, sizeof(in.address.advertised_host),
		"sbc.office.example.net:5070");
	in.realm = (struct realm){
		.row = &in.row, .addresses = &in.address, .n_addresses = 1};
	for (unsigned i = 0; i < 2; i++) {
		gh__trunk__init(&in.trunk_rows[i]);
		gh__trunk_target__init(&in.targets[i]);
		in.target_lists[i] = &in.targets[i];
		in.trunk_rows[i].targets = &in.target_lists[i];
		in.trunk_rows[i].n_targets = 1;
		in.trunks[i] = (struct trunk){
			.row = &in.trunk_rows[i], .realm = &in.realm};
	}
	in.targets[0].host = (char *)(uintptr_t) "pbx.example.com";
	in.targets[1].host = (char *)(uintptr_t) "8.8.8.8";
	in.trunk_rows[0].domain = (char *)(uintptr_t) "PBX-Domain";
	ck_assert_int_eq(addr_parse("203.0.113.7", &in.nets.addrs[0]), 0);
	in.nets.prefix_len[0] = 24;
	in.nets.n = 1;
	in.settings = (struct settings){.realms = &in.realm,
		.n_realms = 1,
		.trunks = in.trunks,
		.n_trunks = 2};
	in.hidden = (struct hdr_hidden){&in.settings, &in.nets, "Q7xKz9"};
}

// --------------------------------------------------------------- in INVITEs

/* From a phone to a trunk, whose rules may carry locations. */
static struct {
	Gh__HeaderRule carry;
	Gh__HeaderRule *rules[1];
	Gh__Trunk row;
	Gh__Realm realm_row;
	struct realm realm;
	struct trunk trunk;
	struct hdr_side from, to;
	su_home_t home[1];
	struct hdr_body body; /* of the INVITE that goes out */
} way;

static void way_init(void)
{
	memset(&way, 0, sizeof(way));
	su_home_init(way.home);
	inside_init();
	gh__header_rule__init(&way.carry);
	way.carry.action = HDR_RULE_CARRY;
	way.carry.name = (char *)(uintptr_t) "Geolocation";
	way.rules[0] = &way.carry;
	gh__trunk__init(&way.row);
	way.row.header_rules = way.rules;
	gh__realm__init(&way.realm_row);
	way.realm = (struct realm){.row = &way.realm_row};
	way.trunk = (struct trunk){.row = &way.row, .realm = &way.realm};
	way.from = (struct hdr_side){
		SIDE_PHONE, NULL, &way.realm, "[2001:db8::1]"};
	way.to = (struct hdr_side){
		SIDE_TRUNK, &way.trunk, &way.realm, "198.51.100.1:5060"};
}

static bool crosses(msg_t *msg, bool trunk_may)
{
	const struct hdr_identity caller = {"+4930", "", false};

	way.row.n_header_rules = trunk_may;
	return hdr_location(sip_object(msg), &way.from, &way.to, &caller,
		&in.hidden, "v=0", way.home, &way.body);
}

/* An INVITE with this Contact, these lines, and this body. */
static msg_t *invite(const char *contact, const char *lines, const char *type,
	const char *body)
{
	char text[4096];
	int len = snprintf(text, sizeof(text),
		"INVITE sip:112@198.51.100.1 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa\r\n"
		"From: <sip:1@a>;tag=1\r\nTo: <sip:112@a>\r\n"
		"Call-ID: a\r\nCSeq: 1 INVITE\r\nContact: <sip:1@%s>\r\n"
		"%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
		contact, lines, type, strlen(body), body);

	return msg_make(sip_default_mclass(), 0, text, len);
}

#define XML HEAD "<pos>1 2</pos>" TAIL

static msg_t *with_part(const char *handling)
{
	static const char part[] =
		"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n"
		"Content-Type: application/pidf+xml\r\nContent-ID: <a@b>\r\n"
		"%s\r\n" XML "\r\n--b--\r\n";
	char body[2048];

	snprintf(body, sizeof(body), part, handling);
	return invite("192.0.2.10",
		"Geolocation: <cid:a@b>, <https://lis.example.com/EVIL>\r\n"
		"Geolocation-Routing: yes\r\n",
		"multipart/mixed;boundary=b", body);
}

START_TEST(crosses_by_policy)
{
	msg_t *msg = with_part("");
	msg_t *required =
		with_part("Content-Disposition: x;handling=required\r\n");
	const char *sdp;
	size_t len;

	way_init();
	ck_assert(!crosses(msg, false));
	ck_assert(crosses(msg, true));
	ck_assert_str_eq(way.body.lines,
		"Geolocation: <cid:location@198.51.100.1>, "
		"<https://lis.example.com/EVIL>\r\n"
		"Geolocation-Routing: yes\r\n");
	ck_assert_ptr_null(strstr(way.body.text, "EVIL"));
	ck_assert_ptr_nonnull(strstr(way.body.text, "pres:+4930@198.51.100.1"));
	ck_assert_ptr_nonnull(strstr(
		way.body.text, "Content-ID: <location@198.51.100.1>\r\n"));
	/* One that has to be understood is: the call is not refused for it. */
	ck_assert_int_eq(
		hdr_sdp_of(sip_object(required), &sdp, &len), REASON_ADMIT_OK);
	msg_destroy(msg);
	msg_destroy(required);
	su_home_deinit(way.home);
}
END_TEST

// ------------------------------------------------------------ by reference

#define LONG200                                                                \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *uri, *out; /* NULL: refused with rc */
	int rc;
} uris[] = {
	{"https://lis.example.com/loc/4f7a?x=1&y=%20b", NULL, 0},
	{"HTTPS://LIS.Example.COM:8443/Loc", "https://lis.example.com:8443/Loc",
		0},
	{"https://lis.example.com", NULL, 0},
	{"https://[2001:db8::5]:443/a", NULL, 0},
	{"https://198.51.100.9/a", NULL, 0},
	{"sips:4f7a@lis.example.com", NULL, 0},
	{"SIPS:4f7a@lis.example.com:5061", "sips:4f7a@lis.example.com:5061", 0},
	{"pres:4f7a%40x@lis.example.com", NULL, 0},
	/* Other schemes and forms. */
	{"http://lis.example.com/a", NULL, ERR_INVALID},
	{"sip:a@lis.example.com", NULL, ERR_INVALID},
	{"cid:a@b", NULL, ERR_INVALID},
	{"ftp://lis.example.com/a", NULL, ERR_INVALID},
	{"javascript:alert(1)", NULL, ERR_INVALID},
	{"https", NULL, ERR_INVALID},
	{"", NULL, ERR_INVALID},
	{"https:/lis.example.com", NULL, ERR_INVALID},
	{"https:///a", NULL, ERR_INVALID},
	{"https://user:pass@lis.example.com/", NULL, ERR_INVALID},
	{"https://lis.example.com/#a", NULL, ERR_INVALID},
	{"https://lis.example.com/a b", NULL, ERR_INVALID},
	{"https://lis.example.com/\"", NULL, ERR_INVALID},
	{"https://lis.example.com/\xc3\xa4", NULL, ERR_INVALID},
	{"https://lis.example.com/%4", NULL, ERR_INVALID},
	{"https://lis.example.com/%zz", NULL, ERR_INVALID},
	{"https://lis.example.com:0/", NULL, ERR_INVALID},
	{"https://lis.example.com:65536/", NULL, ERR_INVALID},
	{"https://lis.example.com:/", NULL, ERR_INVALID},
	{"https://lis_example.com%2e/", NULL, ERR_INVALID},
	{"https://[2001:db8::5/a", NULL, ERR_INVALID},
	{"https://[8.8.8.8]/a", NULL, ERR_INVALID},
	{"sips:lis.example.com", NULL, ERR_INVALID},
	{"sips:@lis.example.com", NULL, ERR_INVALID},
	{"sips:a@lis.example.com;maddr=10.0.0.1", NULL, ERR_INVALID},
	{"sips:a@lis.example.com?Route=x", NULL, ERR_INVALID},
	{"pres:a:b@lis.example.com", NULL, ERR_INVALID},
	{"https://lis.example.com/" LONG200, NULL, 0},
	{"https://lis.example.com/" LONG200 "/" LONG200, NULL, ERR_TOO_BIG},
	/* What must not be seen. */
	{"https://10.20.30.10/a", NULL, ERR_REFUSED},
	{"https://127.0.0.1/a", NULL, ERR_REFUSED},
	{"https://[fd20:30::10]/a", NULL, ERR_REFUSED},
	{"https://[::ffff:10.0.0.1]/a", NULL, ERR_REFUSED},
	{"https://0.0.0.0/a", NULL, ERR_REFUSED},
	{"https://203.0.113.7/a", NULL, ERR_REFUSED}, /* our own */
	{"https://8.8.8.8/a", NULL, ERR_REFUSED},     /* the PBX */
	{"https://8.8.4.1/a", NULL, ERR_REFUSED},     /* the realm */
	{"https://pbx.example.com/a", NULL, ERR_REFUSED},
	{"https://PBX.example.com./a", NULL, ERR_REFUSED},
	{"https://lis.pbx.example.com/a", NULL, ERR_REFUSED},
	{"https://xpbx.example.com/a", NULL, 0},
	{"https://sbc.office.example.net/a", NULL, ERR_REFUSED},
	{"pres:a@office.example.org", NULL, ERR_REFUSED},
	{"https://lis.example.com/at/pbx.example.com", NULL, ERR_REFUSED},
	{"https://lis.example.com/?d=PBX-DOMAIN", NULL, ERR_REFUSED},
	{"https://lis.example.com/%70bx.example.com", NULL, ERR_REFUSED},
	{"https://lis.example.com/%2570bx.example.com", NULL, ERR_REFUSED},
	{"https://lis.example.com/%0d%0aX:y", NULL, ERR_REFUSED},
	{"https://lis.example.com/10.20.30.10/x", NULL, ERR_REFUSED},
	{"https://lis.example.com/v1.10.20.30.10", NULL, ERR_REFUSED},
	{"https://lis.example.com/ip=10.20.30.10.", NULL, ERR_REFUSED},
	{"https://lis.example.com/10.20.30", NULL, 0},
	{"https://lis.example.com/[fd20:30::10]", NULL, ERR_REFUSED},
	{"https://lis.example.com/fd20%3a30%3a%3a10", NULL, ERR_REFUSED},
	{"https://lis.example.com/u=fe80::1:", NULL, ERR_REFUSED},
	{"https://lis.example.com/Q7xKz9", NULL, ERR_REFUSED},
	{"pres:q7xkz9@lis.example.com", NULL, ERR_REFUSED},
	{"https://lis.example.com/Q7xKz9b", NULL, 0},
	{"https://lis/a", NULL, ERR_REFUSED},
	{"https://lis.local/a", NULL, ERR_REFUSED},
	{"https://lis.home.arpa/a", NULL, ERR_REFUSED},
	{"https://localhost/a", NULL, ERR_REFUSED},
};

START_TEST(uri_by_table)
{
	char out[LOCATION_URI_SIZE] = "untouched";
	int rc;

	inside_init();
	rc = location_uri_read(span_of(uris[_i].uri), &in.hidden, false, out);
	ck_assert_msg(rc == uris[_i].rc, "%s: %d", uris[_i].uri, rc);
	ck_assert_str_eq(out, rc             ? "untouched"
			      : uris[_i].out ? uris[_i].out
					     : uris[_i].uri);
	/* Who wants to be nobody has no user anywhere. */
	if (rc == 0)
		ck_assert_int_eq(location_uri_read(span_of(uris[_i].uri),
					 &in.hidden, true, out),
			strchr(out, '@') ? ERR_REFUSED : 0);
}
END_TEST

static const struct {
	const char *lines;  /* of the INVITE */
	const char *places; /* NULL: nothing crosses */
	const char *routing;
} by_reference[] = {
	{"Geolocation: <https://lis.example.com/a>\r\n",
		"<https://lis.example.com/a>", "no"},
	{"Geolocation: <https://lis.example.com/a>;x=y\r\n"
	 "Geolocation-Routing: yes\r\n",
		"<https://lis.example.com/a>", "yes"},
	/* Several, in one line and in several; two at most. */
	{"Geolocation: <https://10.1.1.1/a>, <https://lis.example.com/a>\r\n"
	 "Geolocation: <cid:a@b>,<sips:x@lis.example.com>, "
	 "<https://lis.example.com/c>\r\nGeolocation-Routing: no\r\n",
		"<https://lis.example.com/a>, <sips:x@lis.example.com>", "no"},
	{"Geolocation: <https://pbx.example.com/a>\r\n", NULL, NULL},
	{"Geolocation: <https://sender.example.com/a>\r\n", NULL, NULL},
	{"Geolocation: <https://lis.example.com/192.0.2.10>\r\n", NULL, NULL},
	{"Geolocation: https://lis.example.com/a b\r\n", NULL, NULL},
	{"Geolocation: ,,,\r\n", NULL, NULL},
	{"Geolocation-Routing: yes\r\n", NULL, NULL},
	{"", NULL, NULL},
};

START_TEST(crosses_by_reference)
{
	const char *places = by_reference[_i].places;
	char want[512];
	msg_t *msg = invite("Sender.example.com", by_reference[_i].lines,
		"application/sdp", "v=0\r\n");

	way_init();
	ck_assert(!crosses(msg, false));
	ck_assert_int_eq(crosses(msg, true), places != NULL);
	if (places) {
		ck_assert_ptr_null(way.body.type);
		snprintf(want, sizeof(want),
			"Geolocation: %s\r\nGeolocation-Routing: %s\r\n",
			places, by_reference[_i].routing);
		ck_assert_str_eq(way.body.lines, want);
	}
	msg_destroy(msg);
	su_home_deinit(way.home);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("location");

	suite_add(s, "reads", reads_what_it_means);
	suite_add_rows(s, "refuses", refuses, N_ROWS(refused));
	suite_add(s, "bounded", is_bounded);
	suite_add(s, "policy", crosses_by_policy);
	suite_add_rows(s, "uri", uri_by_table, N_ROWS(uris));
	suite_add_rows(
		s, "reference", crosses_by_reference, N_ROWS(by_reference));
	return suite_run(s);
}
