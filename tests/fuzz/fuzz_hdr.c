// SPDX-License-Identifier: Apache-2.0
/*
 * A SIP message as the stack reads it, through every check and carrier of hdr
 * and the reader of numbers. What comes out for the other side is whole lines
 * of printable text, without the word EVIL and without an address of the
 * network 10.0.0.0/8, which stand in the seeds wherever a header can hold them
 * (numbers, which do cross, hold neither).
 */
#include <string.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/su_alloc.h>

#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "sbc/locate_inside.h"
#include "sbc/location_uri.h"
#include "sbc/pidf.h"
#include "sbc/utf8.h"
#include "tests/fuzz/fuzz.h"

static Gh__Trunk trunk_rows[2];
static struct trunk trunks[2];
static Gh__Realm realm_row;
static struct realm realm;

static void check_text(const char *text, bool lines)
{
	size_t len = strlen(text);

	FUZZ_CHECK(len < 65536);
	for (size_t i = 0; i < len; i++) {
		if (lines && text[i] == '\r' && text[i + 1] == '\n')
			i++;
		else
			FUZZ_CHECK((unsigned char)text[i] >= ' ');
	}
	FUZZ_CHECK(!lines || !len || text[len - 1] == '\n');
	FUZZ_CHECK(!strstr(text, "EVIL"));
	FUZZ_CHECK(!strstr(text, "@10."));
	FUZZ_CHECK(!strstr(text, "\r\n\r\n"));
}

static void check_caller(
	const sip_t *sip, su_home_t *home, const struct hdr_side *sides)
{
	struct hdr_identity id = {"", "", false};
	char number[ROUTE_NUMBER_SIZE];
	const char *called;

	for (unsigned i = 0; i < 2; i++) {
		struct hdr_identity shown;

		called = hdr_called_of(sip, &trunks[i], home);
		if (called && !number_clean(called, number))
			(void)hdr_to(&sides[i], number, "192.0.2.9:5060", home);
		if (!sip->sip_from || hdr_caller_of(sip, &trunks[i], home, &id))
			continue;
		FUZZ_CHECK(strlen(id.number) < ROUTE_NUMBER_SIZE);
		FUZZ_CHECK(utf8_is_plain(id.display, strlen(id.display)));
		FUZZ_CHECK(strlen(id.display) <= HDR_DISPLAY_MAX * 4);
		/* From is the caller's own word: only its form is judged. */
		shown = id;
		for (const char *c = hdr_from(&sides[1 - i], &shown, home); *c;
			c++)
			FUZZ_CHECK((unsigned char)*c >= ' ');
	}
}

static void check_lines(
	const sip_t *sip, su_home_t *home, const struct hdr_side *sides)
{
	static const struct hdr_identity caller = {"100", "", false};

	for (unsigned a = 0; a < 3; a++)
		for (unsigned b = 0; b < 3; b++) {
			check_text(hdr_lines(sip, &sides[a], &sides[b], &caller,
					   home),
				true);
			check_text(hdr_answer_lines(
					   sip, &sides[a], &sides[b], home),
				true);
		}
}

/* A location URI that may be seen is read back as the same. */
static void check_uris(const sip_t *sip, const struct hdr_hidden *hidden)
{
	const sip_unknown_t *at = NULL;
	const char *value;

	while ((value = hdr_unknown(sip, "Geolocation", &at))) {
		char first[LOCATION_URI_SIZE], second[LOCATION_URI_SIZE];
		struct span rest = span_of(value);
		struct hdr_addr addr;

		while (hdr_addr_next(&rest, &addr)) {
			if (location_uri_read(addr.uri, hidden, false, first))
				continue;
			for (const char *c = first; *c; c++)
				FUZZ_CHECK(*c > ' ' && *c <= '~' && *c != '<' &&
					   *c != '>' && *c != '"');
			FUZZ_CHECK(!strstr(first, "10.9.8.7"));
			FUZZ_CHECK(!location_uri_read(
				span_of(first), hidden, false, second));
			FUZZ_CHECK(!strcmp(first, second));
		}
	}
}

/* What is written of a location is read back as the same. */
static void check_location(
	const sip_t *sip, su_home_t *home, const struct hdr_side *sides)
{
	const struct hdr_identity caller = {"+4930", "", false};
	static const struct settings settings;
	static const struct local_nets nets;
	const struct hdr_hidden hidden = {&settings, &nets, "user"};
	struct hdr_body body = {NULL, NULL, NULL};
	char first[PIDF_TEXT_SIZE], second[PIDF_TEXT_SIZE];
	struct span part;
	struct pidf pidf, again;
	struct writer w;

	(void)hdr_location(sip, &sides[0], &sides[1], &caller, &hidden, "v=0",
		home, &body);
	check_uris(sip, &hidden);
	if (!hdr_part_of(sip, "application/pidf+xml", &part) ||
		pidf_read(part, 1, &pidf))
		return;
	writer_init(&w, first, sizeof(first));
	if (pidf_write(&pidf, "pres:a", &w))
		return;
	FUZZ_CHECK(!pidf_read((struct span){first, w.len}, 1, &again));
	writer_init(&w, second, sizeof(second));
	FUZZ_CHECK(!pidf_write(&again, "pres:a", &w));
	FUZZ_CHECK(!strcmp(first, second));
}

static void init_once(void)
{
	if (trunks[0].row)
		return;
	gh__realm__init(&realm_row);
	realm.row = &realm_row;
	for (unsigned i = 0; i < 2; i++) {
		gh__trunk__init(&trunk_rows[i]);
		trunks[i].row = &trunk_rows[i];
		trunks[i].realm = &realm;
	}
	trunk_rows[0].caller_from = GH__CALLER_FROM__CALLER_P_ASSERTED;
	trunk_rows[0].called_from = GH__CALLED_FROM__CALLED_DIVERSION;
	trunk_rows[1].called_from = GH__CALLED_FROM__CALLED_TO;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct hdr_side sides[] = {
		{SIDE_TRUNK, &trunks[0], &realm, "198.51.100.1:5060"},
		{SIDE_PBX, &trunks[1], &realm, "192.0.2.1:5060"},
		{SIDE_PHONE, NULL, &realm, "[2001:db8::1]:5060"},
	};
	const char *unsupported = NULL, *sdp = NULL;
	size_t sdp_len = 0;
	const sip_t *sip;
	enum reason why;
	msg_t *msg;

	if (!len || len > 16384)
		return 0;
	init_once();
	msg = msg_make(sip_default_mclass(), 0, bytes, (ssize_t)len);
	if (!msg)
		return 0;
	sip = sip_object(msg);
	if (sip && sip->sip_request) {
		why = hdr_check_request(sip, msg_home(msg), &unsupported);
		FUZZ_CHECK(why == REASON_ADMIT_OK || reason_sip(why) >= 400);
		if (unsupported)
			for (const char *c = unsupported; *c; c++)
				FUZZ_CHECK(*c >= ' ' && *c <= '~');
	}
	if (sip) {
		why = hdr_sdp_of(sip, &sdp, &sdp_len);
		FUZZ_CHECK(why == REASON_ADMIT_OK || !sdp);
		if (sdp)
			FUZZ_CHECK(sdp >= sip->sip_payload->pl_data &&
				   sdp + sdp_len <=
					   sip->sip_payload->pl_data +
						   sip->sip_payload->pl_len);
		check_caller(sip, msg_home(msg), sides);
		check_lines(sip, msg_home(msg), sides);
		check_location(sip, msg_home(msg), sides);
	}
	msg_destroy(msg);
	return 0;
}
