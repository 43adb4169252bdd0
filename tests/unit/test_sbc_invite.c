/* SPDX-License-Identifier: Apache-2.0 */
/* How an INVITE waits for authd, under which name we answer, what sbcctl is
 * told, and what a new snapshot changes: the real stack on loopback. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/entry_desk.h"

/* ------------------------------------------------------------------ INVITE */

#define CONTACT "Contact: <sip:100@127.0.0.1>\r\n"

START_TEST(invite_of_a_trunk_is_a_call)
{
	entry_send(&trunk, &w->local,
		(struct request){.method = "INVITE",
			.uri = "sip:100@example.com",
			.extra = CONTACT});
	entry_expect(&trunk, "486");
	ck_assert_uint_eq(w->n_invites, 1);
	ck_assert(w->invite_had_trunk);
	ck_assert(!w->invite_had_account);
}
END_TEST

START_TEST(merged_invite)
{
	struct request r = {.method = "INVITE",
		.uri = "sip:100@example.com",
		.extra = CONTACT,
		.call_id = "merged"};

	entry_send(&trunk, &w->local, r);
	entry_expect(&trunk, "486");
	entry_send(&trunk, &w->local, r); /* another branch */
	entry_expect(&trunk, "482");
	ck_assert_uint_eq(w->n_invites, 1);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_MERGED), 1);
	r.cseq = 2;
	entry_send(&trunk, &w->local, r);
	entry_expect(&trunk, "486");
	/* A stranger who knows all of it hears nothing. */
	r.cseq = 1;
	entry_send(&phone, &w->local, r);
	peer_hears_nothing(w, &phone, &w->local);
}
END_TEST

static void challenged_invite(struct request *r)
{
	r->method = "INVITE";
	r->uri = "sip:200@example.com";
	r->extra = CONTACT;
	r->call_id = "invite";
	r->cseq = 1;
	entry_send(&phone, &w->local, *r);
	entry_expect(&phone, "401");
	snprintf(extra, sizeof(extra), "%s%s", CONTACT,
		authorization(text, "u1", "good", auth_line));
	r->extra = extra;
	r->cseq = 2;
	r->branch = "z9hG4bKinvite";
}

START_TEST(invite_of_a_phone_waits_for_authd)
{
	struct request r = {0};

	entry_register();
	challenged_invite(&r);
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	entry_expect(&phone, "486");
	ck_assert_uint_eq(w->n_invites, 1);
	ck_assert(w->invite_had_account);
	ck_assert(!w->invite_had_trunk);
	ck_assert_str_eq(w->last_method, "INVITE");
}
END_TEST

static bool asked_twice(void *ctx)
{
	(void)ctx;
	return w->n_auth == 2; /* once for REGISTER */
}

START_TEST(invite_sent_again_during_the_wait)
{
	struct request r = {0};

	entry_register();
	challenged_invite(&r);
	w->authd_silent = true;
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	world_until(w, asked_twice, NULL, "authd was asked");
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(w->n_auth, 2);
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	entry_expect(&phone, "486");
	ck_assert_uint_eq(w->n_invites, 1);
}
END_TEST

START_TEST(cancel_during_the_wait)
{
	struct request r = {0};
	bool got_200 = false, got_487 = false;

	entry_register();
	challenged_invite(&r);
	w->authd_silent = true;
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	world_until(w, asked_twice, NULL, "authd was asked");
	r.method = "CANCEL";
	r.extra = NULL;
	entry_send(&phone, &w->local, r);
	for (unsigned i = 0; i < 2; i++) {
		peer_recv(w, &phone, text);
		got_200 |= strncmp(text, "SIP/2.0 200", 11) == 0;
		got_487 |= strncmp(text, "SIP/2.0 487", 11) == 0;
	}
	ck_assert(got_200 && got_487);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 0);
	/* The verdict that comes now has no receiver. */
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	r.method = "ACK";
	entry_send(&phone, &w->local, r);
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(w->n_invites, 0);
}
END_TEST

/* Somebody who guessed the branch cannot cancel from elsewhere. */
START_TEST(cancel_from_elsewhere_changes_nothing)
{
	struct request r = {0};
	char via[ADDR_TEXT_SIZE];

	entry_register();
	challenged_invite(&r);
	w->authd_silent = true;
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	world_until(w, asked_twice, NULL, "authd was asked");
	r.method = "CANCEL";
	r.extra = NULL;
	r.via_host = addr_format(&phone.local, via);
	entry_send(&trunk, &w->local, r);
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 1);
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	entry_expect(&phone, "486");
	ck_assert_uint_eq(w->n_invites, 1);
}
END_TEST

START_TEST(invite_gets_503_when_authd_is_silent)
{
	struct request r = {0};

	entry_register();
	challenged_invite(&r);
	w->authd_silent = true;
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	entry_expect(&phone, "503");
	ck_assert_str_ne(header(text, "Retry-After", value), "");
	ck_assert_uint_eq(w->n_invites, 0);
}
END_TEST

START_TEST(strangers_may_invite_where_allowed)
{
	struct request r = {0};

	challenged_invite(&r);
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	entry_expect(&phone, "486");
	ck_assert(w->invite_had_account);
}
END_TEST

/* ---------------------------------------------------------------- advertised
 */

static int on_response(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	(void)magic;
	(void)orq;
	(void)sip;
	return 0;
}

/* Sends an OPTIONS of our own from the phones' listener and reads its Via. */
static const char *via_of_ours(void)
{
	const struct realm_address *address = settings_listener(
		w->sbc.settings, &w->local, GH__TRANSPORT__TRANSPORT_UDP);
	struct target to = {.addr = phone.local,
		.listener = stack_listener(w->sbc.stack, address)};
	char hop[STACK_URL_SIZE];
	nta_outgoing_t *orq;

	ck_assert_ptr_nonnull(to.listener);
	orq = nta_outgoing_mcreate(stack_agent(w->sbc.stack), on_response, NULL,
		URL_STRING_MAKE(
			stack_next_hop(w->sbc.stack, &to, hop, sizeof(hop))),
		nta_msg_create(stack_agent(w->sbc.stack), 0),
		NTATAG_TPORT(to.listener->tport),
		SIPTAG_REQUEST_STR("OPTIONS sip:x@example.com SIP/2.0"),
		SIPTAG_FROM_STR("<sip:a@example.com>;tag=1"),
		SIPTAG_TO_STR("<sip:b@example.com>"), SIPTAG_CALL_ID_STR("o"),
		SIPTAG_CSEQ_STR("1 OPTIONS"), TAG_END());
	ck_assert_ptr_nonnull(orq);
	peer_recv(w, &phone, text);
	ck_assert_ptr_nonnull(strstr(text, "OPTIONS sip:x@example.com"));
	nta_outgoing_destroy(orq);
	return header(text, "Via", value);
}

static uint64_t wanted_version;

static bool has_wanted_version(void *ctx)
{
	(void)ctx;
	return w->sbc.settings->version == wanted_version;
}

START_TEST(advertised_host_in_via_and_contact)
{
	struct world_config config = {
		.with_trunk = true, .advertised = "sbc.example.com:5080"};
	const struct realm_address *address;
	char contact[STACK_URL_SIZE];

	entry_teardown();
	entry_begin(config);
	ck_assert_ptr_nonnull(
		strstr(via_of_ours(), "SIP/2.0/UDP sbc.example.com:5080;"));
	ck_assert_ptr_nonnull(strstr(value, ";rport"));
	ck_assert_ptr_null(strstr(text, "127.0.0.1"));
	address = settings_listener(
		w->sbc.settings, &w->local, GH__TRANSPORT__TRANSPORT_UDP);
	ck_assert_int_eq(stack_contact(stack_listener(w->sbc.stack, address),
				 "100", contact, sizeof(contact)),
		0);
	ck_assert_str_eq(contact, "sip:100@sbc.example.com:5080");
	/* A new snapshot changes it on the open socket. */
	config.advertised = "198.51.100.7";
	wanted_version = 5;
	world_settings(w, &config, 5);
	world_until(w, has_wanted_version, NULL, "version 5");
	/* without a port of its own it is the bound one's */
	ck_assert_msg(
		strstr(via_of_ours(), "SIP/2.0/UDP 198.51.100.7:") != NULL,
		"%s", text);
	config.advertised = "[2001:db8::7]:5070";
	wanted_version = 6;
	world_settings(w, &config, 6);
	world_until(w, has_wanted_version, NULL, "version 6");
	ck_assert_ptr_nonnull(
		strstr(via_of_ours(), "SIP/2.0/UDP [2001:db8::7]:5070;"));
}
END_TEST

/* -------------------------------------------------------------------- sbcctl
 */

static char answers[16][4096];
static unsigned n_answers;
static bool last_answer;
static uint32_t exit_code;
static struct ipc_link *ctl_link;

static void on_ctl_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__CtlAnswer *a = msg->ctl_answer;

	(void)ctx;
	(void)link;
	if (n_answers < 16)
		snprintf(answers[n_answers++], sizeof(answers[0]), "%s",
			a->json);
	last_answer = a->done;
	exit_code = a->exit_code;
}

static void on_ctl_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	ctl_link = link;
}

static bool ctl_is_up(void *ctx)
{
	(void)ctx;
	return ctl_link != NULL;
}

static bool ctl_is_done(void *ctx)
{
	(void)ctx;
	return last_answer;
}

/* @return the answer's first object. */
static const char *ask(const char *command, const char *a, const char *b)
{
	static const struct ipc_permit permits[] = {{GH__MSG__BODY_CTL_ANSWER,
		PROCESS_BIT(PROCESS_SBC), on_ctl_answer}};
	struct ipc_config config = {.loop = w->sbc.daemon.loop,
		.self = PROCESS_CTL,
		.users = &w->sbc.daemon.users,
		.permits = permits,
		.n_permits = 1,
		.events = {.on_up = on_ctl_up}};
	Gh__CtlRequest request = GH__CTL_REQUEST__INIT;
	char *args[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b};
	struct ipc_link *link = NULL;
	char path[96];

	n_answers = 0;
	last_answer = false;
	ctl_link = NULL;
	snprintf(path, sizeof(path), "%s/sbc.sock", w->dir);
	ck_assert_int_eq(ipc_connect(&config, path, PROCESS_SBC, &link), 0);
	world_until(w, ctl_is_up, NULL, "sbc's control socket");
	request.id = 7;
	request.command = (char *)(uintptr_t)command;
	request.args = args;
	request.n_args = b ? 2 : a ? 1 : 0;
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &request);
	ck_assert_int_eq(ipc_send(link, &msg), 0);
	world_until(w, ctl_is_done, NULL, "sbc's answer");
	ipc_link_free(&link);
	return answers[0];
}

START_TEST(control)
{
	const char *json;

	entry_register();
	json = ask("registrations", NULL, NULL);
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"format\":1"));
	ck_assert_ptr_nonnull(strstr(json, "\"extension\":\"100\""));
	ck_assert_ptr_nonnull(strstr(json, "\"n\":1"));
	json = ask("calls", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(json, "\"call\":\"0123456789ABCDEF\""));
	json = ask("subscriptions", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(json, "\"package\":\"dialog\""));
	ck_assert_ptr_nonnull(strstr(json, "\"resource\":\"701\""));
	json = ask("trunks", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(json, "\"name\":\"itsp\""));
	ck_assert_ptr_nonnull(strstr(json, "\"in_service\":false"));
	json = ask("status", NULL, NULL);
	ck_assert_msg(strstr(json, "\"process\":\"sbc\"") != NULL, "%s", json);
	json = ask("drain", NULL, NULL);
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"draining\":true,\"calls\":0"));
	json = ask("drain", "wait", NULL); /* no call is left */
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"draining\":true,\"calls\":0"));
	json = ask("drain", "off", NULL);
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"draining\":false"));
	ask("drain", "maybe", NULL);
	ck_assert_uint_eq(exit_code, 2);
	ask("no-such-command", NULL, NULL);
	ck_assert_uint_ne(exit_code, 0);
}
END_TEST

START_TEST(control_route_test)
{
	const char *json = ask("route-test", "itsp", "+4930123456");

	ck_assert_uint_eq(exit_code, 0);
	ck_assert_msg(
		strstr(json, "\"reason\":\"route_ok\"") != NULL, "%s", json);
	ck_assert_ptr_nonnull(strstr(json, "\"kind\":\"phones\""));
	json = ask("route-test", "100", "999");
	ck_assert_ptr_nonnull(strstr(json, "\"sip_status\":404"));
	ask("route-test", "nobody", "100");
	ck_assert_uint_eq(exit_code, 1);
	ask("route-test", "100", "<>");
	ck_assert_uint_eq(exit_code, 2);
	w->authd_silent = true;
	ask("route-test", "100", "555");
	ck_assert_uint_eq(exit_code, 3);
}
END_TEST

/* A stranger behind the phone's NAT must not make the phone deaf. */
START_TEST(the_gate_shuts_for_one_datagram_only)
{
	struct request r = {0};
	struct peer other;

	entry_register();
	challenged_invite(&r);
	w->authd_silent = true;
	entry_send(&phone, &w->local, r);
	entry_expect(&phone, "100");
	peer_open(&other, "127.0.0.1");
	entry_send(&other, &w->local, (struct request){.method = "OPTIONS"});
	peer_hears_nothing(w, &other, &w->local);
	entry_send(&other, &w->local, (struct request){.method = "OPTIONS"});
	entry_expect(&phone, "503");
	peer_close(&other);
}
END_TEST

/* -------------------------------------------------------------- snapshots */

START_TEST(a_new_snapshot_changes_who_is_known)
{
	struct world_config config = {.with_trunk = false};

	entry_send(&trunk, &w->trunks, (struct request){.method = "OPTIONS"});
	entry_expect(&trunk, "200");
	wanted_version = 2;
	world_settings(w, &config, 2);
	world_until(w, has_wanted_version, NULL, "version 2");
	entry_send(&trunk, &w->trunks, (struct request){.method = "OPTIONS"});
	peer_hears_nothing(w, &trunk, &w->local);
}
END_TEST

static bool was_refused(void *ctx)
{
	(void)ctx;
	return !w->last_result->accepted;
}

START_TEST(a_broken_snapshot_is_refused_whole)
{
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;

	done.version = 3;
	done.n_pieces = 5; /* none came */
	IPC_MSG(msg, SETTINGS_DONE, settings_done, &done);
	world_say(w, &msg);
	world_until(w, was_refused, NULL, "the refusal");
	ck_assert_uint_eq(w->sbc.settings->version, 1);
	ck_assert_str_ne(w->last_result->problem, "");
	entry_send(&trunk, &w->local, (struct request){.method = "OPTIONS"});
	entry_expect(&trunk, "200");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_invite");
	TCase *t = tcase_create("live");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, entry_setup, entry_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, invite_of_a_trunk_is_a_call);
	tcase_add_test(t, merged_invite);
	tcase_add_test(t, invite_of_a_phone_waits_for_authd);
	tcase_add_test(t, invite_sent_again_during_the_wait);
	tcase_add_test(t, cancel_during_the_wait);
	tcase_add_test(t, cancel_from_elsewhere_changes_nothing);
	tcase_add_test(t, invite_gets_503_when_authd_is_silent);
	tcase_add_test(t, advertised_host_in_via_and_contact);
	tcase_add_test(t, control);
	tcase_add_test(t, control_route_test);
	tcase_add_test(t, the_gate_shuts_for_one_datagram_only);
	tcase_add_test(t, a_new_snapshot_changes_who_is_known);
	tcase_add_test(t, a_broken_snapshot_is_refused_whole);
	suite_add_tcase(s, t);
	t = tcase_create("strangers may invite");
	tcase_add_checked_fixture(t, entry_setup_open, entry_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, strangers_may_invite_where_allowed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
