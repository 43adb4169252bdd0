/* SPDX-License-Identifier: Apache-2.0 */
/* See hdr_sides.h. */
#include "tests/unit/hdr_sides.h"

#include <check.h>
#include <stdio.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/su_alloc.h>

msg_t *sides_parse(const char *text, size_t len)
{
	msg_t *msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)len);

	ck_assert_ptr_nonnull(msg);
	return msg;
}

msg_t *sides_invite(const char *from, const char *lines)
{
	char text[8192];
	int len = snprintf(text, sizeof(text),
		"INVITE sip:%%2B4930-123@198.51.100.1;user=phone SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa\r\n"
		"From: %s;tag=1\r\n"
		"To: <sip:0049301@198.51.100.1>\r\n"
		"Call-ID: a\r\nCSeq: 1 INVITE\r\n"
		"Contact: <sip:1@192.0.2.10>\r\n%s"
		"Content-Length: 0\r\n\r\n",
		from, lines);

	ck_assert_int_lt(len, (int)sizeof(text));
	return sides_parse(text, (size_t)len);
}

void sides_build(struct sides *w)
{
	w->s = rows_build(&w->r);
	w->home = su_home_new(sizeof(*w->home));
	w->trunk = (struct hdr_side){SIDE_TRUNK, settings_trunk(w->s, 1),
		settings_realm(w->s, 1), "198.51.100.1:5060"};
	w->other = (struct hdr_side){SIDE_TRUNK, settings_trunk(w->s, 2),
		settings_realm(w->s, 1), "198.51.100.1:5060"};
	w->pbx = (struct hdr_side){SIDE_PBX, settings_trunk(w->s, 3),
		settings_realm(w->s, 2), "10.0.0.1:5060"};
	w->phone = (struct hdr_side){SIDE_PHONE, NULL, settings_realm(w->s, 1),
		"[2001:db8::1]:5060"};
}

void sides_done(struct sides *w)
{
	su_home_unref(w->home);
	settings_unref(&w->s);
}
