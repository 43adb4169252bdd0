// SPDX-License-Identifier: Apache-2.0
/*
 * Locations: what is read of a PIDF-LO document, what is refused, that it is
 * written anew, and when it crosses with an INVITE.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_parser.h>
#include <sofia-sip/su_alloc.h>

#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "sbc/pidf.h"

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

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

// --------------------------------------------------------------- in INVITEs

#define XML HEAD "<pos>1 2</pos>" TAIL

static msg_t *invite(const char *handling)
{
	static const char part[] =
		"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n"
		"Content-Type: application/pidf+xml\r\nContent-ID: <a@b>\r\n"
		"%s\r\n" XML "\r\n--b--\r\n";
	char body[2048], text[4096];
	int len = snprintf(body, sizeof(body), part, handling);

	len = snprintf(text, sizeof(text),
		"INVITE sip:112@198.51.100.1 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa\r\n"
		"From: <sip:1@a>;tag=1\r\nTo: <sip:112@a>\r\n"
		"Call-ID: a\r\nCSeq: 1 INVITE\r\nContact: "
		"<sip:1@192.0.2.10>\r\n"
		"Geolocation: <cid:a@b>\r\nGeolocation-Routing: yes\r\n"
		"Content-Type: multipart/mixed;boundary=b\r\n"
		"Content-Length: %d\r\n\r\n%s",
		len, body);
	return msg_make(sip_default_mclass(), 0, text, len);
}

START_TEST(crosses_by_policy)
{
	Gh__HeaderRule carry = GH__HEADER_RULE__INIT;
	Gh__HeaderRule *rules[] = {&carry};
	Gh__Trunk row = GH__TRUNK__INIT;
	Gh__Realm realm_row = GH__REALM__INIT;
	struct realm realm = {.row = &realm_row};
	struct trunk trunk = {.row = &row, .realm = &realm};
	struct hdr_side phone = {SIDE_PHONE, NULL, &realm, "[2001:db8::1]"};
	struct hdr_side to = {SIDE_TRUNK, &trunk, &realm, "198.51.100.1:5060"};
	const struct hdr_identity caller = {"+4930", "", false};
	struct hdr_body body = {NULL, NULL, NULL};
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const char *sdp;
	msg_t *msg = invite("");
	msg_t *required =
		invite("Content-Disposition: x;handling=required\r\n");
	size_t len;

	su_home_init(home);
	ck_assert(!hdr_location(
		sip_object(msg), &phone, &to, &caller, "v=0", home, &body));
	carry.action = HDR_RULE_CARRY;
	carry.name = (char *)(uintptr_t) "Geolocation";
	row.header_rules = rules;
	row.n_header_rules = 1;
	ck_assert(hdr_location(
		sip_object(msg), &phone, &to, &caller, "v=0", home, &body));
	ck_assert_str_eq(body.lines,
		"Geolocation: <cid:location@198.51.100.1>\r\n"
		"Geolocation-Routing: yes\r\n");
	ck_assert_ptr_null(strstr(body.text, "EVIL"));
	ck_assert_ptr_nonnull(strstr(body.text, "pres:+4930@198.51.100.1"));
	ck_assert_ptr_nonnull(
		strstr(body.text, "Content-ID: <location@198.51.100.1>\r\n"));
	/* One that has to be understood is: the call is not refused for it. */
	ck_assert_int_eq(
		hdr_sdp_of(sip_object(required), &sdp, &len), REASON_ADMIT_OK);
	msg_destroy(msg);
	msg_destroy(required);
	su_home_deinit(home);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("location");
	TCase *c = tcase_create("pidf");

	tcase_add_test(c, reads_what_it_means);
	tcase_add_loop_test(c, refuses, 0, (int)N_ROWS(refused));
	tcase_add_test(c, is_bounded);
	tcase_add_test(c, crosses_by_policy);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int n_failed;

	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
