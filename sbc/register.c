/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registrar. authd has said who the sender is; here it is decided whether
 * this account may bind this address of record, and what each Contact asks
 * for. The REGISTER is done whole or not at all: everything is read and
 * checked (bindings_check) before the first binding changes.
 *
 * Where requests to a contact go is where its REGISTER came from, unless the
 * account's NAT setting is "never" and the contact is an address. A contact's
 * host name is never resolved.
 *
 * RFC 3261 10.3 (steps in order), RFC 3327 (Path), RFC 5626 4.1 (instance,
 * reg-id), RFC 5627 is not offered (no GRUU is handed out).
 */
#include "sbc/register.h"

#include <sofia-sip/msg_date.h>
#include <sofia-sip/sip_extra.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/wait.h"

#define CONTACTS_MAX      16
#define CONTACT_SIZE      256
#define INSTANCE_SIZE     128
#define AGENT_SIZE        96
#define PATHS_MAX         4
#define SINCE_1900_S      2208988800ULL /* sofia-sip counts from there */
#define DEFAULT_EXPIRES_S 3600
#define DEFAULT_MIN_S     60
#define DEFAULT_CONTACTS  5

/* A REGISTER being worked off. */
struct registration {
	struct sbc *sbc;
	struct inbound *in;
	struct account *account;
	const sip_t *sip;
	su_home_t *home; /* the message's */
	uint32_t min_s, max_s, default_s;
	unsigned max_contacts;
	Gh__Binding rows[CONTACTS_MAX];
	struct binding_want wants[CONTACTS_MAX];
	size_t n;
	char *paths[PATHS_MAX];
	size_t n_paths;
	char source[ADDR_TEXT_SIZE];
	char local[ADDR_TEXT_SIZE];
	char agent[AGENT_SIZE];
};

/* ----------------------------------------------------------- whose address */

static bool owns(const Gh__Account *row, const char *user)
{
	if (strcmp(user, row->user) == 0 ||
		(row->extension[0] && strcmp(user, row->extension) == 0))
		return true;
	for (size_t i = 0; i < row->n_numbers; i++)
		if (strcmp(user, row->numbers[i]) == 0)
			return true;
	return false;
}

static enum reason check_aor(const struct registration *r)
{
	const url_t *to = r->sip->sip_to->a_url;
	char user[CONTACT_SIZE];

	if ((to->url_type != url_sip && to->url_type != url_sips) ||
		!to->url_user || !to->url_host ||
		strlen(to->url_user) >= sizeof(user) ||
		!realm_serves(r->in->realm, to->url_host))
		return REASON_REGISTER_WRONG_AOR;
	url_unescape(user, to->url_user);
	return owns(r->account->row, user) ? REASON_REGISTER_OK
					   : REASON_REGISTER_WRONG_AOR;
}

/* ---------------------------------------------------------------- contacts */

/* RFC 3261 20.10, 20.19: what cannot be read counts as an hour. */
static uint32_t read_seconds(const char *text)
{
	char *end;
	unsigned long long n;

	if (!isdigit((unsigned char)text[0]))
		return DEFAULT_EXPIRES_S;
	n = strtoull(text, &end, 10);
	if (*end)
		return DEFAULT_EXPIRES_S;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* @return seconds; 0 = remove. */
static uint32_t asked_expires(
	const struct registration *r, const sip_contact_t *m)
{
	if (m->m_expires)
		return read_seconds(m->m_expires);
	if (r->sip->sip_expires)
		return r->sip->sip_expires->ex_delta > UINT32_MAX
			       ? UINT32_MAX
			       : (uint32_t)r->sip->sip_expires->ex_delta;
	return r->default_s;
}

static uint32_t read_q(const char *text)
{
	uint32_t q = 0;
	unsigned scale = 100;

	if (!text || (text[0] != '0' && text[0] != '1'))
		return 1000;
	if (text[0] == '1')
		return 1000;
	if (text[1] != '.')
		return 0;
	for (const char *p = text + 2; isdigit((unsigned char)*p) && scale > 0;
		p++, scale /= 10)
		q += (uint32_t)(*p - '0') * scale;
	return q;
}

static enum reason check_uri(const url_t *u)
{
	char value[64];

	if ((u->url_type != url_sip && u->url_type != url_sips) ||
		!u->url_host || !u->url_host[0] || u->url_headers)
		return REASON_REGISTER_CONTACT;
	/* Another address to send to would be a way to attack third parties. */
	if (u->url_params &&
		url_param(u->url_params, "maddr", value, sizeof(value)) > 0)
		return REASON_REGISTER_CONTACT;
	return REASON_REGISTER_OK;
}

/* It is written between < and > again. */
static bool is_plain(const char *uri)
{
	for (; *uri; uri++)
		if (!isgraph((unsigned char)*uri) || strchr("<>\"\\", *uri))
			return false;
	return true;
}

/* The account's NAT setting decides whether the source is believed or the
 * contact (rule 2 of the design). */
static void place_contact(
	const struct registration *r, const url_t *u, Gh__Binding *row)
{
	struct addr named;
	char text[ADDR_TEXT_SIZE];
	const char *host = u->url_host;
	size_t len = strlen(host);
	char *source;

	row->behind_nat = r->account->row->nat == GH__NAT_MODE__NAT_ALWAYS ||
			  (r->account->row->nat == GH__NAT_MODE__NAT_AUTO &&
				  stack_behind_nat(r->in));
	if (r->account->row->nat != GH__NAT_MODE__NAT_NEVER || len < 3 ||
		len >= sizeof(text))
		return;
	if (host[0] == '[') {
		memcpy(text, host + 1, len - 2);
		text[len - 2] = '\0';
		host = text;
	}
	if (addr_parse(host, &named) != 0 || addr_is_any(&named) ||
		addr_is_multicast(&named) ||
		named.family != r->in->source.family)
		return;
	named.port = (uint16_t)(u->url_port && u->url_port[0]
					? strtoul(u->url_port, NULL, 10)
					: 5060);
	source = su_alloc(r->home, ADDR_TEXT_SIZE);
	if (source && named.port != 0) {
		addr_format(&named, source);
		row->source = source;
	}
}

/* +sip.instance="<urn:uuid:...>" without its dress. */
static char *read_instance(const struct registration *r, const sip_contact_t *m)
{
	const char *value = msg_params_find(m->m_params, "+sip.instance=");
	char *text;
	size_t len;

	if (!value)
		return NULL;
	text = su_strdup(r->home, value);
	if (!text)
		return NULL;
	len = strlen(text);
	if (len > 1 && text[0] == '"' && text[len - 1] == '"') {
		text[len - 1] = '\0';
		text++;
		len -= 2;
	}
	if (len == 0 || len >= INSTANCE_SIZE)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]) || text[i] == '"' ||
			text[i] == '\\')
			return NULL;
	return text;
}

static uint32_t read_reg_id(const sip_contact_t *m)
{
	const char *value = msg_params_find(m->m_params, "reg-id=");
	unsigned long n = value ? strtoul(value, NULL, 10) : 0;

	return n < 0x7fffffff ? (uint32_t)n : 0;
}

static enum reason read_contact(struct registration *r, const sip_contact_t *m)
{
	Gh__Binding *row = &r->rows[r->n];
	uint32_t expires_s = asked_expires(r, m);
	uint64_t now = clock_wall_us();
	char *uri;
	enum reason why = check_uri(m->m_url);

	if (why != REASON_REGISTER_OK || r->n >= CONTACTS_MAX)
		return REASON_REGISTER_CONTACT;
	for (const sip_contact_t *p = r->sip->sip_contact; p != m;
		p = p->m_next)
		if (url_cmp_all(p->m_url, m->m_url) == 0)
			return REASON_REGISTER_CONTACT; /* the same twice */
	uri = url_as_string(r->home, m->m_url);
	if (!uri || strlen(uri) >= CONTACT_SIZE || !is_plain(uri))
		return REASON_REGISTER_CONTACT;
	if (expires_s > 0 && expires_s < r->min_s)
		return REASON_REGISTER_TOO_BRIEF;
	if (expires_s > r->max_s)
		expires_s = r->max_s;
	gh__binding__init(row);
	row->account = r->account->row->id;
	row->realm = r->in->realm->row->id;
	row->contact = uri;
	row->source = r->source;
	row->local = r->local;
	row->transport = r->in->listener->transport;
	row->flow = r->in->flow;
	row->wall_registered_us = now;
	row->wall_expires_us = now + expires_s * CLOCK_US_PER_S;
	row->q_permille = read_q(m->m_q);
	row->call_id = (char *)(uintptr_t)r->sip->sip_call_id->i_id;
	row->cseq = r->sip->sip_cseq->cs_seq;
	row->user_agent = r->agent;
	row->path = r->paths;
	row->n_path = r->n_paths;
	place_contact(r, m->m_url, row);
	uri = read_instance(r, m);
	if (uri) {
		row->instance = uri;
		row->reg_id = read_reg_id(m);
	}
	r->wants[r->n].row = row;
	r->wants[r->n].remove = expires_s == 0;
	r->n++;
	return REASON_REGISTER_OK;
}

static enum reason read_paths(struct registration *r)
{
	const sip_path_t *p = sip_path(r->sip);

	for (; p; p = p->r_next) {
		char *text;

		if (r->n_paths >= PATHS_MAX)
			return REASON_REGISTER_CONTACT;
		text = sip_header_as_string(
			r->home, (sip_header_t *)(uintptr_t)p);
		if (!text || strlen(text) >= CONTACT_SIZE)
			return REASON_REGISTER_CONTACT;
		r->paths[r->n_paths++] = text;
	}
	return REASON_REGISTER_OK;
}

/* ------------------------------------------------------------------ limits */

static void read_limits(struct registration *r)
{
	const Gh__Realm *realm = r->in->realm->row;
	const Gh__Account *account = r->account->row;

	r->min_s = realm->expires_min_s ? realm->expires_min_s : DEFAULT_MIN_S;
	r->max_s =
		realm->expires_max_s ? realm->expires_max_s : DEFAULT_EXPIRES_S;
	if (account->expires_max_s && account->expires_max_s < r->max_s)
		r->max_s = account->expires_max_s;
	if (r->min_s > r->max_s)
		r->min_s = r->max_s;
	r->default_s =
		realm->expires_default_s ? realm->expires_default_s : r->max_s;
	if (r->default_s < r->min_s)
		r->default_s = r->min_s;
	r->max_contacts = account->max_contacts ? account->max_contacts
			  : realm->max_contacts ? realm->max_contacts
						: DEFAULT_CONTACTS;
}

static void read_agent(struct registration *r)
{
	const sip_user_agent_t *ua = r->sip->sip_user_agent;
	size_t at = 0;

	for (const char *p = ua ? ua->g_string : "";
		*p && at + 1 < sizeof(r->agent); p++)
		if (isprint((unsigned char)*p))
			r->agent[at++] = *p;
	r->agent[at] = '\0';
}

/* ------------------------------------------------------------------ answer */

static uint32_t seconds_left(const struct binding *m)
{
	uint64_t now = clock_now_us();

	return m->expires_us > now
		       ? (uint32_t)((m->expires_us - now + CLOCK_US_PER_S - 1) /
				    CLOCK_US_PER_S)
		       : 0;
}

static const char *contact_text(
	const struct registration *r, const struct binding *m)
{
	char instance[INSTANCE_SIZE + 48] = "";
	char q[16] = "";

	if (m->row->q_permille < 1000)
		snprintf(q, sizeof(q), ";q=0.%03u", m->row->q_permille);
	if (m->row->instance[0])
		snprintf(instance, sizeof(instance),
			";+sip.instance=\"%.*s\";reg-id=%u", INSTANCE_SIZE,
			m->row->instance, m->row->reg_id);
	if (m->row->instance[0] && m->row->reg_id == 0)
		snprintf(instance, sizeof(instance), ";+sip.instance=\"%.*s\"",
			INSTANCE_SIZE, m->row->instance);
	return su_sprintf(r->home, "<%s>;expires=%u%s%s", m->row->contact,
		seconds_left(m), q, instance);
}

/* All present bindings as one Contact value, or NULL. */
static const char *contacts_text(const struct registration *r)
{
	const struct binding *m =
		bindings_of(r->sbc->bindings, r->account->row->id);
	const char *all = NULL;

	for (; m; m = m->next) {
		const char *one = contact_text(r, m);

		if (one)
			all = all ? su_sprintf(r->home, "%s, %s", all, one)
				  : one;
	}
	return all;
}

static void answer_ok(struct registration *r, enum reason why)
{
	const char *contacts = contacts_text(r);
	sip_date_t *date = sip_date_create(r->home,
		(sip_time_t)(clock_wall_us() / CLOCK_US_PER_S + SINCE_1900_S));
	const char *path = NULL;

	for (size_t i = 0; i < r->n_paths; i++)
		path = path ? su_sprintf(r->home, "%s, %s", path, r->paths[i])
			    : r->paths[i];
	stack_reply(r->sbc->stack, r->in, why, 200,
		TAG_IF(contacts, SIPTAG_CONTACT_STR(contacts)),
		TAG_IF(path, SIPTAG_PATH_STR(path)),
		TAG_IF(date, SIPTAG_DATE(date)), TAG_END());
}

static void refuse(struct registration *r, enum reason why)
{
	char min[16];

	log_peer_info("register_refused", LOG_STR("reason", reason_text(why)),
		LOG_STR("extension", r->account->row->extension),
		LOG_ADDR("source", &r->in->source));
	if (why != REASON_REGISTER_TOO_BRIEF) {
		stack_refuse(r->sbc->stack, r->in, why);
		return;
	}
	snprintf(min, sizeof(min), "%u", r->min_s);
	stack_reply(r->sbc->stack, r->in, why, 423, SIPTAG_MIN_EXPIRES_STR(min),
		TAG_END());
}

/* ------------------------------------------------------------------ changes */

static enum reason why_of(int err)
{
	switch (err) {
	case 0:
		return REASON_REGISTER_OK;
	case ERR_FULL:
		return REASON_REGISTER_TOO_MANY;
	case ERR_STATE:
		return REASON_REGISTER_OUT_OF_ORDER;
	default:
		return REASON_CALL_INTERNAL;
	}
}

static enum reason remove_all(struct registration *r)
{
	const sip_contact_t *m = r->sip->sip_contact;

	if (m->m_next || !r->sip->sip_expires ||
		r->sip->sip_expires->ex_delta != 0)
		return REASON_REGISTER_CONTACT;
	return why_of(bindings_remove_all(r->sbc->bindings, r->account->row->id,
		r->sip->sip_call_id->i_id, r->sip->sip_cseq->cs_seq));
}

/* The contact that this one takes the place of, or NULL. */
static const struct binding *known_as(
	const struct registration *r, const Gh__Binding *row)
{
	const struct binding *m =
		bindings_of(r->sbc->bindings, r->account->row->id);

	for (; m; m = m->next)
		if (*row->instance ? strcmp(m->row->instance, row->instance) ==
						     0 &&
					     m->row->reg_id == row->reg_id
				   : strcmp(m->row->contact, row->contact) == 0)
			return m;
	return NULL;
}

/* A router gave the phone another port, or it changed its network: calls in
 * progress follow. */
static int put(struct registration *r, const Gh__Binding *row)
{
	const struct binding *old = known_as(r, row);
	struct addr from = {0};
	uint64_t flow = 0;
	int err;

	if (old) {
		from = old->source;
		flow = old->row->flow;
	}
	err = bindings_put(r->sbc->bindings, r->account, row, r->max_contacts);
	if (err || !addr_is_set(&from) ||
		(addr_equal(&from, &r->in->source) && flow == r->in->flow))
		return err;
	calls_moved(r->sbc->calls, r->account->row->id, &from, flow, r->in);
	return 0;
}

static enum reason change(struct registration *r)
{
	struct bindings *b = r->sbc->bindings;
	uint64_t id = r->account->row->id;
	int err = bindings_check(b, id, r->wants, r->n, r->max_contacts);

	/* Removals first: they make the room that bindings_check() counted. */
	for (unsigned pass = 0; pass < 2 && err == 0; pass++)
		for (size_t i = 0; i < r->n && err == 0; i++) {
			const Gh__Binding *row = r->wants[i].row;

			if (r->wants[i].remove != (pass == 0))
				continue;
			if (!r->wants[i].remove) {
				err = put(r, row);
				continue;
			}
			err = bindings_remove(
				b, id, row->contact, row->call_id, row->cseq);
			if (err == ERR_NOT_FOUND)
				err = 0;
		}
	return why_of(err);
}

static enum reason work(struct registration *r)
{
	const sip_contact_t *m = r->sip->sip_contact;
	enum reason why = check_aor(r);

	if (why == REASON_REGISTER_OK)
		why = read_paths(r);
	if (why != REASON_REGISTER_OK || !m)
		return why;
	if (m->m_url->url_type == url_any)
		return remove_all(r);
	for (; m; m = m->m_next) {
		why = read_contact(r, m);
		if (why != REASON_REGISTER_OK)
			return why;
	}
	return change(r);
}

static void log_done(const struct registration *r, bool removed)
{
	const struct binding *m =
		bindings_of(r->sbc->bindings, r->account->row->id);

	log_peer_info(removed ? "unregistered" : "registered",
		LOG_STR("extension", r->account->row->extension),
		LOG_ADDR("source", &r->in->source),
		LOG_UINT("expires_s", m ? seconds_left(m) : 0),
		LOG_STR("nat", m && m->row->behind_nat ? "yes" : "no"),
		LOG_STR("agent", r->agent));
}

static void on_sender_known(
	struct sbc *sbc, struct inbound *in, struct account *account)
{
	struct registration r = {.sbc = sbc,
		.in = in,
		.account = account,
		.sip = in->sip,
		.home = msg_home(in->msg)};
	bool removed;
	enum reason why;

	addr_format(&in->source, r.source);
	addr_format(&in->listener->local, r.local);
	read_limits(&r);
	read_agent(&r);
	why = work(&r);
	if (why != REASON_REGISTER_OK) {
		refuse(&r, why);
		goto out;
	}
	removed = in->sip->sip_contact &&
		  !bindings_of(sbc->bindings, account->row->id);
	if (in->sip->sip_contact) {
		bindings_publish(sbc->bindings, account->row->id);
		log_done(&r, removed);
	}
	answer_ok(&r, removed ? REASON_REGISTER_REMOVED : REASON_REGISTER_OK);
out:
	account_unref(&account);
}

void register_on_request(struct sbc *sbc, struct inbound *in)
{
	wait_for_judge(
		sbc, in, GH__AUTH_PURPOSE__AUTH_REGISTER, on_sender_known);
}
