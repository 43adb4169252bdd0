/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reason.def says, by enum; the counts of this process; and the reason
 * phrases of SIP statuses. A number that comes from another process or the
 * database goes through reason_from_number(), which refuses what no row has.
 */
#include "common/reason.h"

struct reason_row {
	unsigned number;
	unsigned sip;
	const char *text;
	const char *sentence;
};

static const struct reason_row rows[] = {
#define REASON(name, number, sip, text, sentence)                              \
	[REASON_##name] = {number, sip, text, sentence},
#include "common/reason.def"
#undef REASON
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == REASON_COUNT,
	"every reason has its row");

static uint64_t counts[REASON_COUNT];

static const struct reason_row *row(enum reason r)
{
	return &rows[(unsigned)r < REASON_COUNT ? r : REASON_NONE];
}

unsigned reason_number(enum reason r)
{
	return row(r)->number;
}

int reason_from_number(unsigned number, enum reason *reason_out)
{
	unsigned i;

	for (i = 0; i < REASON_COUNT; i++) {
		if (rows[i].number == number) {
			*reason_out = (enum reason)i;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

const char *reason_text(enum reason r)
{
	return row(r)->text;
}

const char *reason_sentence(enum reason r)
{
	return row(r)->sentence;
}

unsigned reason_sip(enum reason r)
{
	return row(r)->sip;
}

void reason_count(enum reason r)
{
	reason_count_add(r, 1);
}

void reason_count_add(enum reason r, uint64_t n)
{
	if ((unsigned)r < REASON_COUNT)
		counts[r] += n;
}

uint64_t reason_counted(enum reason r)
{
	return (unsigned)r < REASON_COUNT ? counts[r] : 0;
}

struct phrase {
	unsigned status;
	const char *text;
};

/* RFC 3261 section 21, 3262 (no own), 3265/6665, 3311 (no own), 3323, 3326,
 * 3329, 3428, 3903, 4028, 4411, 4412, 4474/8224, 5360, 5626, 5839, 6086. */
static const struct phrase phrases[] = {
	{100, "Trying"},
	{180, "Ringing"},
	{181, "Call Is Being Forwarded"},
	{182, "Queued"},
	{183, "Session Progress"},
	{199, "Early Dialog Terminated"},
	{200, "OK"},
	{202, "Accepted"},
	{204, "No Notification"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Moved Temporarily"},
	{305, "Use Proxy"},
	{380, "Alternative Service"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{412, "Conditional Request Failed"},
	{413, "Request Entity Too Large"},
	{414, "Request-URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Unsupported URI Scheme"},
	{417, "Unknown Resource-Priority"},
	{420, "Bad Extension"},
	{421, "Extension Required"},
	{422, "Session Interval Too Small"},
	{423, "Interval Too Brief"},
	{424, "Bad Location Information"},
	{428, "Use Identity Header"},
	{429, "Provide Referrer Identity"},
	{430, "Flow Failed"},
	{433, "Anonymity Disallowed"},
	{436, "Bad Identity Info"},
	{437, "Unsupported Credential"},
	{438, "Invalid Identity Header"},
	{439, "First Hop Lacks Outbound Support"},
	{440, "Max-Breadth Exceeded"},
	{469, "Bad Info Package"},
	{470, "Consent Needed"},
	{480, "Temporarily Unavailable"},
	{481, "Call/Transaction Does Not Exist"},
	{482, "Loop Detected"},
	{483, "Too Many Hops"},
	{484, "Address Incomplete"},
	{485, "Ambiguous"},
	{486, "Busy Here"},
	{487, "Request Terminated"},
	{488, "Not Acceptable Here"},
	{489, "Bad Event"},
	{491, "Request Pending"},
	{493, "Undecipherable"},
	{494, "Security Agreement Required"},
	{500, "Server Internal Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Server Time-out"},
	{505, "Version Not Supported"},
	{513, "Message Too Large"},
	{555, "Push Notification Service Not Supported"},
	{580, "Precondition Failure"},
	{600, "Busy Everywhere"},
	{603, "Decline"},
	{604, "Does Not Exist Anywhere"},
	{606, "Not Acceptable"},
	{607, "Unwanted"},
	{608, "Rejected"},
};

const char *reason_sip_phrase(unsigned status)
{
	static const char *const generic[] = {"Unknown", "Progress", "Success",
		"Redirection", "Request Failure", "Server Failure",
		"Global Failure"};
	size_t i;

	for (i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		if (phrases[i].status == status)
			return phrases[i].text;
	}
	return generic[status / 100 < 7 ? status / 100 : 0];
}
