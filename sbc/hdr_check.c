// SPDX-License-Identifier: Apache-2.0
/*
 * What sofia-sip lets pass and RFC 3261 does not: the checks of a request
 * before anything is done with it. Called by stack for requests outside a
 * dialog and by leg inside one. Does not look at who sent it (admit) or at the
 * body's content (sdp); says only whether its type is one that we read.
 *
 * RFC 3261 8.1.1.7 (branch), 8.2.2 (Require), 16.3 (Max-Forwards, scheme),
 * 19.1.5 (headers in a Request-URI), 20.15; RFC 4475 for what to expect.
 */
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/url.h>

#include "sbc/hdr_part.h"

#define COOKIE       "z9hG4bK"
#define CSEQ_MAX     0x7fffffffu /* RFC 3261 8.1.1.5 */
#define FORWARDS_MAX 255
#define VIAS_MAX     70
#define ROUTES_MAX   20
#define CONTACTS_MAX 20
/* What one message may leave behind in a dialog or a log. RFC 4475 shows
 * legal values of some 200 characters. */
#define CALL_ID_MAX  512
#define TAG_MAX      256
#define BRANCH_MAX   512
#define URL_MAX      1024

static const char *const supported[] = {
	"100rel", "timer", "path", "outbound", "replaces", "privacy"};

/** Requests that go on from us to somebody else; REGISTER and OPTIONS end
 * here, so that a last hop may have used up their Max-Forwards. */
static bool goes_on(sip_method_t method)
{
	return method != sip_method_register && method != sip_method_options;
}

static bool has_bad_char(const char *text, size_t max)
{
	size_t n = 0;

	for (; text && text[n]; n++)
		if (n == max || text[n] <= ' ' || text[n] > '~' ||
			strchr("<>\"", text[n]))
			return true;
	return false;
}

/** No blanks, brackets, controls or raw UTF-8 in any part (RFC 4475 3.1.2.12).
 */
static bool is_url_clean(const url_t *url)
{
	return !has_bad_char(url->url_user, URL_MAX) &&
	       !has_bad_char(url->url_password, URL_MAX) &&
	       !has_bad_char(url->url_host, 255) &&
	       !has_bad_char(url->url_port, 5) &&
	       !has_bad_char(url->url_path, URL_MAX) &&
	       !has_bad_char(url->url_params, URL_MAX) &&
	       !has_bad_char(url->url_headers, URL_MAX);
}

static bool is_sip_or_tel(const url_t *url)
{
	return url->url_type == url_sip || url->url_type == url_sips ||
	       url->url_type == url_tel;
}

static bool has_host(const url_t *url)
{
	return url->url_type == url_tel || (url->url_host && *url->url_host);
}

static enum reason check_request_uri(const url_t *url)
{
	if (!is_sip_or_tel(url))
		return REASON_ADMIT_URI_SCHEME;
	if (!is_url_clean(url) || !has_host(url) || url->url_headers ||
		url->url_fragment)
		return REASON_ADMIT_SYNTAX;
	return REASON_ADMIT_OK;
}

static bool check_addr(const sip_addr_t *addr)
{
	const url_t *url = addr->a_url;

	return is_sip_or_tel(url) && is_url_clean(url) && has_host(url) &&
	       !url->url_headers && !has_bad_char(addr->a_tag, TAG_MAX) &&
	       !(addr->a_tag && !*addr->a_tag);
}

static bool check_via(const sip_via_t *top)
{
	const char *branch = top->v_branch;
	unsigned n = 0;

	for (const sip_via_t *via = top; via; via = via->v_next)
		if (++n > VIAS_MAX)
			return false;
	if (!branch || has_bad_char(branch, BRANCH_MAX))
		return !branch; /* RFC 2543 had none */
	return strncasecmp(branch, COOKIE, strlen(COOKIE)) != 0 ||
	       strlen(branch) > strlen(COOKIE);
}

static bool check_routes(const sip_route_t *route)
{
	unsigned n = 0;

	for (; route; route = route->r_next)
		if (++n > ROUTES_MAX || !is_url_clean(route->r_url))
			return false;
	return true;
}

static bool check_contacts(const sip_t *sip)
{
	bool is_register = sip->sip_request->rq_method == sip_method_register;
	bool is_invite = sip->sip_request->rq_method == sip_method_invite;
	unsigned n = 0;

	for (const sip_contact_t *m = sip->sip_contact; m; m = m->m_next) {
		const url_t *url = m->m_url;
		bool is_sip =
			url->url_type == url_sip || url->url_type == url_sips;

		if (++n > CONTACTS_MAX)
			return false;
		/* "*" takes registrations back; in a dialog it is where we
		 * have to send to. */
		if (url->url_type == url_any ? !is_register
					     : !is_url_clean(url))
			return false;
		if (is_invite && (!is_sip || !has_host(url)))
			return false;
	}
	/* A dialog needs exactly one (RFC 3261 8.1.1.8). */
	return !is_invite || n == 1;
}

/** Visible ASCII: quotes and brackets are legal in it (RFC 3261 25.1). */
static bool is_call_id(const char *id)
{
	size_t n = 0;

	for (; id && id[n]; n++)
		if (n == CALL_ID_MAX || id[n] <= ' ' || id[n] > '~')
			return false;
	return n > 0;
}

static bool check_dialog_fields(const sip_t *sip)
{
	const sip_cseq_t *cseq = sip->sip_cseq;

	if (!sip->sip_from || !sip->sip_to || !sip->sip_call_id || !cseq ||
		!sip->sip_via)
		return false;
	if (cseq->cs_seq > CSEQ_MAX ||
		cseq->cs_method != sip->sip_request->rq_method ||
		(cseq->cs_method == sip_method_unknown &&
			strcmp(cseq->cs_method_name,
				sip->sip_request->rq_method_name)))
		return false;
	return is_call_id(sip->sip_call_id->i_id) &&
	       check_addr(sip->sip_from) && check_addr(sip->sip_to) &&
	       check_via(sip->sip_via) && check_routes(sip->sip_route) &&
	       check_routes(sip->sip_record_route) && check_contacts(sip);
}

/** What an entry of the list of errors is called. The parser puts two kinds of
 * things there: its own record of a header that it could not read, and, whole
 * and of its own class, the second one of a header that there is only one of.
 * Only the first has a name inside. NULL for what is no header at all. */
static const char *broken_name(const sip_error_t *e)
{
	const msg_hclass_t *class = e->er_common->h_class;

	return class == sip_error_class ? e->er_name : class->hc_name;
}

/** Broken headers that only decorate are as if they were absent; one that we
 * act on makes the request broken, also if it is there twice. */
static bool check_broken(const sip_t *sip)
{
	static const char *const decoration[] = {"Date", "Timestamp", "Subject",
		"Organization", "User-Agent", "Server", "Call-Info",
		"Error-Info", "Accept-Language", "Warning", "Retry-After",
		"Priority", "In-Reply-To", "Reason"};
	const size_t n = sizeof(decoration) / sizeof(decoration[0]);

	for (const sip_error_t *e = sip->sip_error; e; e = e->er_next) {
		const char *name = broken_name(e);
		bool harmless = false;

		for (size_t i = 0; name && i < n; i++)
			harmless |= text_equal(name, decoration[i]);
		if (!harmless)
			return false;
	}
	return true;
}

static enum reason check_forwards(const sip_t *sip)
{
	const sip_max_forwards_t *mf = sip->sip_max_forwards;

	if (!mf)
		return REASON_ADMIT_OK;
	if (mf->mf_count > FORWARDS_MAX)
		return REASON_ADMIT_SYNTAX;
	return !mf->mf_count && goes_on(sip->sip_request->rq_method)
		       ? REASON_ADMIT_MAX_FORWARDS
		       : REASON_ADMIT_OK;
}

static bool is_supported(const char *tag)
{
	for (size_t i = 0; i < sizeof(supported) / sizeof(supported[0]); i++)
		if (text_equal(tag, supported[i]))
			return true;
	return false;
}

static void list_unsupported(
	const msg_list_t *header, struct writer *w, bool *refused)
{
	for (; header; header = header->k_next)
		for (msg_param_t *tag = header->k_items; tag && *tag; tag++) {
			if (is_supported(*tag))
				continue;
			*refused = true;
			/* Said back, so it has to be a token. */
			if (text_is_token(*tag, 64))
				writer_add(w, "%s%s", w->len ? ", " : "", *tag);
		}
}

static enum reason check_require(
	const sip_t *sip, su_home_t *home, const char **unsupported_out)
{
	sip_method_t method = sip->sip_request->rq_method;
	bool refused = false;
	char text[512];
	struct writer w;

	/* RFC 3261 8.2.2.3: never for these, which cannot be answered so. */
	if (method == sip_method_ack || method == sip_method_cancel)
		return REASON_ADMIT_OK;
	writer_init(&w, text, sizeof(text));
	list_unsupported(sip->sip_require, &w, &refused);
	list_unsupported(sip->sip_proxy_require, &w, &refused);
	if (!refused)
		return REASON_ADMIT_OK;
	*unsupported_out = w.len ? su_strdup(home, text) : NULL;
	return REASON_ADMIT_REQUIRE;
}

/** Requests whose body is an offer or an answer. */
static bool has_sdp(sip_method_t method)
{
	return method == sip_method_invite || method == sip_method_ack ||
	       method == sip_method_prack || method == sip_method_update;
}

static bool type_fits(sip_method_t method, const char *type)
{
	static const struct {
		sip_method_t method;
		const char *type;
	} types[] = {
		{sip_method_options, "application/sdp"},
		{sip_method_info, "application/dtmf-relay"},
		{sip_method_info, "application/dtmf"},
		{sip_method_info, "application/media_control+xml"},
		{sip_method_message, "text/plain"},
		{sip_method_message, "text/html"},
		{sip_method_notify, "application/simple-message-summary"},
		{sip_method_notify, "application/dialog-info+xml"},
		{sip_method_notify, "application/pidf+xml"},
		{sip_method_notify, "message/sipfrag"},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].method == method &&
			text_equal(type, types[i].type))
			return true;
	/* Methods that are answered with a refusal anyway get that one. */
	return method == sip_method_unknown || method == sip_method_register ||
	       method == sip_method_bye || method == sip_method_refer ||
	       method == sip_method_subscribe || method == sip_method_publish;
}

static enum reason check_body(const sip_t *sip)
{
	const sip_content_encoding_t *coding = sip->sip_content_encoding;
	const char *sdp;
	size_t len;

	if (!sip->sip_payload || !sip->sip_payload->pl_len)
		return REASON_ADMIT_OK;
	if (!sip->sip_content_type || !sip->sip_content_type->c_type)
		return REASON_ADMIT_SYNTAX;
	if (coding && coding->k_items && coding->k_items[0] &&
		!text_equal(coding->k_items[0], "identity"))
		return REASON_ADMIT_CONTENT_TYPE;
	if (has_sdp(sip->sip_request->rq_method))
		return hdr_sdp_of(sip, &sdp, &len);
	return type_fits(sip->sip_request->rq_method,
		       sip->sip_content_type->c_type)
		       ? REASON_ADMIT_OK
		       : REASON_ADMIT_CONTENT_TYPE;
}

enum reason hdr_check_request(
	const sip_t *sip, su_home_t *home, const char **unsupported_out)
{
	enum reason why;

	*unsupported_out = NULL;
	if (!sip->sip_request)
		return REASON_ADMIT_SYNTAX;
	if (!check_broken(sip) || !check_dialog_fields(sip))
		return REASON_ADMIT_SYNTAX;
	why = check_request_uri(sip->sip_request->rq_url);
	if (why == REASON_ADMIT_OK)
		why = check_forwards(sip);
	if (why == REASON_ADMIT_OK)
		why = check_require(sip, home, unsupported_out);
	if (why == REASON_ADMIT_OK)
		why = check_body(sip);
	return why;
}
