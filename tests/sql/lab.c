/* SPDX-License-Identifier: Apache-2.0 */
/* See lab.h. Used by tests/sql/test_authd and by nothing that ships. */
#include "tests/sql/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "authd/digest.h"
#include "common/clock.h"

unsigned lab_passed, lab_failed, lab_skipped;
struct lab_sbc lab_sbc;
unsigned lab_account_ttl_s = 3600;
long lab_file_limit = -1;

static char work_dir[64];   /* data, scratch */
static char socket_dir[64]; /* short: Unix socket paths are */
static pid_t server_pid = -1, authd_pid = -1;
static struct passwd *owner; /* who runs PostgreSQL; NULL: we do */
static PGconn *conn;
static PGresult *last_result;

static void die(const char *format, ...) GH_PRINTF(1, 2);
static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "lab: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	lab_authd_stop(SIGKILL);
	if (server_pid > 0)
		lab_cluster_stop("immediate");
	exit(2);
}

bool lab_check(bool ok, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s ", ok ? "ok  " : "FAIL");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	if (ok)
		lab_passed++;
	else
		lab_failed++;
	return ok;
}

void lab_case(const char *name)
{
	printf("--- %s\n", name);
	fflush(stdout);
}

const char *lab_socket_dir(void)
{
	return socket_dir;
}

const char *lab_dir(void)
{
	return work_dir;
}

/* -------------------------------------------------------------- programs */

/* Starts a program; as_owner: as the user that runs PostgreSQL. */
static pid_t start(const char *const argv[], bool as_owner, const char *log)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!as_owner && lab_file_limit >= 0) {
		/* Writing past the limit fails, as on a full disk. */
		struct rlimit limit = {
			(rlim_t)lab_file_limit, (rlim_t)lab_file_limit};

		(void)signal(SIGXFSZ, SIG_IGN);
		(void)setrlimit(RLIMIT_FSIZE, &limit);
	}
	if (log) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
		}
	}
	if (as_owner && owner &&
		(setgroups(0, NULL) < 0 || setgid(owner->pw_gid) < 0 ||
			setuid(owner->pw_uid) < 0))
		_exit(127);
	if (as_owner && chdir("/") < 0)
		_exit(127);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int wait_end(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static const char *bin_dir(void)
{
	const char *dir = getenv("GH_PG_BIN");

	return dir ? dir : "/usr/lib/postgresql/15/bin";
}

static void path_of(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", work_dir, name);
}

/* ---------------------------------------------------------------- cluster */

static void server_start(void)
{
	char program[256], data[128], log[128], sockets[128], conninfo[256];
	const char *argv[] = {program, "-D", data, "-c", sockets, "-c",
		"listen_addresses=", "-c", "fsync=off", "-c",
		"shared_buffers=32MB", "-c", "max_connections=60", NULL};
	uint64_t end = clock_now_us() + 60 * CLOCK_US_PER_S;

	snprintf(program, sizeof(program), "%s/postgres", bin_dir());
	path_of(data, sizeof(data), "data");
	path_of(log, sizeof(log), "postgres.log");
	snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s",
		socket_dir);
	server_pid = start(argv, true, log);
	snprintf(conninfo, sizeof(conninfo), "host=%s dbname=postgres",
		socket_dir);
	while (PQping(conninfo) != PQPING_OK) {
		if (waitpid(server_pid, NULL, WNOHANG) != 0 ||
			clock_now_us() > end)
			die("PostgreSQL does not start; see %s", log);
		usleep(20000);
	}
}

void lab_cluster_start(void)
{
	char program[256], data[128], log[128], text[256];
	const char *argv[] = {program, "-D", data, "-A", "trust", "-U",
		"postgres", "-E", "UTF8", "--no-locale", "-N", NULL};

	if (getuid() == 0) {
		owner = getpwnam("postgres");
		if (!owner)
			owner = getpwnam("nobody");
		if (!owner)
			die("no user to run PostgreSQL as");
	}
	snprintf(work_dir, sizeof(work_dir), "/var/tmp/gh-sql-%d", getpid());
	snprintf(socket_dir, sizeof(socket_dir), "%s/gh-sql-%d",
		access("/run", W_OK) == 0 ? "/run" : "/tmp", getpid());
	if (mkdir(work_dir, 0755) < 0 || mkdir(socket_dir, 0755) < 0)
		die("%s: %s", work_dir, strerror(errno));
	path_of(data, sizeof(data), "data");
	path_of(log, sizeof(log), "initdb.log");
	if (mkdir(data, 0700) < 0 ||
		(owner && (chown(data, owner->pw_uid, owner->pw_gid) < 0 ||
				  chown(socket_dir, owner->pw_uid,
					  owner->pw_gid) < 0)))
		die("%s: %s", data, strerror(errno));
	snprintf(program, sizeof(program), "%s/initdb", bin_dir());
	if (wait_end(start(argv, true, log)) != 0)
		die("initdb failed; see %s", log);
	server_start();
	snprintf(text, sizeof(text), "host=%s user=postgres dbname=postgres",
		socket_dir);
	conn = PQconnectdb(text);
	PQclear(PQexec(conn, "CREATE DATABASE gatehouse"));
	lab_sql_close();
}

void lab_cluster_stop(const char *mode)
{
	if (server_pid <= 0)
		return;
	kill(server_pid, strcmp(mode, "fast") == 0 ? SIGINT : SIGQUIT);
	wait_end(server_pid);
	server_pid = -1;
}

void lab_cluster_restart(void)
{
	server_start();
}

/* Every process whose parent is the server, and the server itself. */
void lab_cluster_freeze(bool frozen)
{
	char command[256];

	snprintf(command, sizeof(command),
		"for p in %d $(ps -o pid= --ppid %d); do kill -%s $p; done",
		server_pid, server_pid, frozen ? "STOP" : "CONT");
	if (system(command) != 0)
		die("the server can not be stopped");
}

void lab_cluster_remove(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s' '%s'", work_dir,
		socket_dir);
	if (system(command) != 0)
		fprintf(stderr, "lab: %s is left\n", work_dir);
}

int lab_migrate(const char *dir, char *text, size_t size)
{
	char command[512], line[512];
	FILE *out;
	int status;

	snprintf(command, sizeof(command),
		"'%s/migrate' -h %s -U postgres -d gatehouse 2>&1", dir,
		socket_dir);
	out = popen(command, "r");
	if (!out)
		die("popen: %s", strerror(errno));
	text[0] = '\0';
	while (fgets(line, sizeof(line), out)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(text, size, "%s", line);
	}
	status = pclose(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* ------------------------------------------------------------ statements */

static PGresult *run(const char *sql)
{
	char text[256];

	if (!conn) {
		snprintf(text, sizeof(text),
			"host=%s user=postgres dbname=gatehouse", socket_dir);
		conn = PQconnectdb(text);
		if (PQstatus(conn) != CONNECTION_OK)
			die("%s", PQerrorMessage(conn));
	}
	PQclear(last_result);
	last_result = PQexec(conn, sql);
	return last_result;
}

void lab_sql_close(void)
{
	PQclear(last_result);
	last_result = NULL;
	PQfinish(conn);
	conn = NULL;
}

static bool is_good(const PGresult *r)
{
	return PQresultStatus(r) == PGRES_TUPLES_OK ||
	       PQresultStatus(r) == PGRES_COMMAND_OK;
}

bool lab_sql(const char *format, ...)
{
	char sql[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	if (is_good(run(sql)))
		return true;
	lab_check(false, "%s: %s", sql, PQerrorMessage(conn));
	return false;
}

const char *lab_sql_one(const char *format, ...)
{
	char sql[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	if (!is_good(run(sql))) {
		lab_check(false, "%s: %s", sql, PQerrorMessage(conn));
		return "";
	}
	return PQntuples(last_result) > 0 ? PQgetvalue(last_result, 0, 0) : "";
}

void lab_sql_fails(const char *sql, const char *message, const char *hint)
{
	const PGresult *r = run(sql);
	const char *got = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *got_hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
	bool ok = !is_good(r) && got && strstr(got, message) &&
		  (!hint || (got_hint && strstr(got_hint, hint)));

	lab_check(ok, "refused: %.90s", sql);
	if (!ok)
		printf("     wanted: %s | %s\n     got:    %s | %s\n", message,
			hint ? hint : "-", got ? got : "no error",
			got_hint ? got_hint : "-");
}

/* ----------------------------------------------------------------- authd */

static void write_config(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		die("%s: %s", path, strerror(errno));
	fprintf(f,
		"runtime_dir = \"%s\"\nstate_dir = \"%s/state\"\n"
		"key_file = \"%s/state/key\"\nlog_level = \"debug\"\n"
		"account_ttl_s = %u\n"
		"database = \"host=%s/nobody,%s user=sbc_authd "
		"dbname=gatehouse\"\n",
		work_dir, work_dir, work_dir, lab_account_ttl_s, work_dir,
		socket_dir);
	fclose(f);
}

void lab_authd_start(void)
{
	const char *program = getenv("GH_AUTHD");
	char config[128], log[128], state[128];
	const char *argv[] = {
		program ? program : "authd/authd", "-f", "-c", config, NULL};

	path_of(config, sizeof(config), "authd.conf");
	path_of(log, sizeof(log), "authd.log");
	path_of(state, sizeof(state), "state");
	(void)mkdir(state, 0700);
	write_config(config);
	authd_pid = start(argv, false, log);
}

bool lab_authd_alive(void)
{
	return authd_pid > 0 && waitpid(authd_pid, NULL, WNOHANG) == 0;
}

void lab_authd_stop(int signal)
{
	int status;

	if (authd_pid <= 0)
		return;
	kill(authd_pid, signal);
	status = wait_end(authd_pid);
	authd_pid = -1;
	if (signal == SIGTERM)
		lab_check(status == 0, "authd ends in order (%d)", status);
}

pid_t lab_authd_pid(void)
{
	return authd_pid;
}

bool lab_authd_has_sanitizer(void)
{
	char path[64], line[512];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", authd_pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, "libasan") != NULL;
	if (f)
		fclose(f);
	return found;
}

/* Counts a needle in one mapping, in portions that overlap. */
static unsigned count_in(
	int mem, uint64_t from, uint64_t to, const void *needle, size_t len)
{
	static uint8_t block[1 << 20];
	unsigned n = 0;

	while (from < to) {
		size_t want =
			to - from < sizeof(block) ? to - from : sizeof(block);
		ssize_t got = pread(mem, block, want, (off_t)from);
		uint8_t *at = block, *hit;

		if (got < (ssize_t)len)
			break;
		while ((hit = memmem(
				at, (size_t)(block + got - at), needle, len))) {
			n++;
			at = hit + 1;
		}
		if ((size_t)got < sizeof(block))
			break;
		from += (uint64_t)got - len + 1;
	}
	return n;
}

int lab_authd_count(const void *needle, size_t len)
{
	char path[64], line[512], rights[8];
	uint64_t from, to;
	unsigned n = 0;
	int mem;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/mem", authd_pid);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/maps", authd_pid);
	f = fopen(path, "r");
	if (mem < 0 || !f) {
		if (mem >= 0)
			close(mem);
		if (f)
			fclose(f);
		return -1;
	}
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to,
			    rights) == 3 &&
			rights[1] == 'w')
			n += count_in(mem, from, to, needle, len);
	}
	fclose(f);
	close(mem);
	return (int)n;
}

void lab_authd_forget(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s/state'", work_dir);
	if (system(command) != 0)
		die("%s", command);
}

/* -------------------------------------------------------------- fake sbc */

static void on_nonce_keys(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	lab_sbc.has_nonce_keys =
		nonce_keys_read(msg->nonce_keys, &lab_sbc.nonce_keys) == 0;
}

static void add_name(const char *kind, const char *name)
{
	size_t len = strlen(lab_sbc.pieces);

	snprintf(lab_sbc.pieces + len, sizeof(lab_sbc.pieces) - len, "%s:%s ",
		kind, name);
}

static void on_piece(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__SettingsPiece *p = msg->settings_piece;
	struct lab_sbc *s = &lab_sbc;

	(void)ctx;
	(void)link;
	if (p->version != s->settings_version) {
		s->settings_version = p->version;
		s->n_pieces = s->n_realms = s->n_trunks = s->n_routes =
			s->n_codec_lists = 0;
		s->pieces[0] = '\0';
	}
	s->n_pieces++;
	switch (p->piece_case) {
	case GH__SETTINGS_PIECE__PIECE_REALM:
		s->n_realms++;
		add_name("realm", p->realm->name);
		break;
	case GH__SETTINGS_PIECE__PIECE_TRUNK:
		s->n_trunks++;
		add_name("trunk", p->trunk->name);
		break;
	case GH__SETTINGS_PIECE__PIECE_ROUTE:
		s->n_routes++;
		add_name("route", p->route->name);
		break;
	case GH__SETTINGS_PIECE__PIECE_CODEC_LIST:
		s->n_codec_lists++;
		add_name("codecs", p->codec_list->name);
		break;
	case GH__SETTINGS_PIECE__PIECE_SETTING:
		add_name(p->setting->name, p->setting->value);
		break;
	default:
		break;
	}
}

static void on_done(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	Gh__SettingsResult result = GH__SETTINGS_RESULT__INIT;
	IPC_MSG(out, SETTINGS_RESULT, settings_result, &result);

	(void)ctx;
	result.version = msg->settings_done->version;
	result.accepted = lab_sbc.accept_settings &&
			  lab_sbc.n_pieces == msg->settings_done->n_pieces;
	result.reason = reason_number(
		result.accepted ? REASON_SETTINGS_OK : REASON_SETTINGS_INVALID);
	result.problem =
		LAB_TEXT(result.accepted ? "" : "trunk 1: does not suit");
	lab_sbc.n_sets++;
	if (ipc_send(link, &out) < 0)
		die("the result could not be sent");
}

static void on_saved(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__BindingsSaved *saved = msg->bindings_saved;

	(void)ctx;
	(void)link;
	if (lab_sbc.saved_done)
		lab_sbc.n_saved_bindings = 0;
	lab_sbc.n_saved_bindings += (unsigned)saved->n_bindings;
	if (saved->n_bindings > 0)
		snprintf(lab_sbc.saved_contact, sizeof(lab_sbc.saved_contact),
			"%s", saved->bindings[0]->contact);
	lab_sbc.saved_done = saved->done;
}

static void on_auth_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__AuthAnswer *a = msg->auth_answer;

	(void)ctx;
	(void)link;
	for (unsigned i = 0; i < lab_sbc.n_auths; i++) {
		struct lab_auth *slot = &lab_sbc.auths[i];

		if (slot->id != a->id || slot->done)
			continue;
		slot->done = true;
		slot->verdict = a->verdict;
		slot->reason = a->reason;
		slot->n_offers = (unsigned)a->n_offers;
		slot->answered_us = clock_now_us();
		if (a->n_offers > 0) {
			slot->first_offer = a->offers[0]->algorithm;
			slot->first_qop = a->offers[0]->qop;
		}
		if (a->account) {
			slot->account = a->account->id;
			snprintf(slot->extension, sizeof(slot->extension), "%s",
				a->account->extension);
		}
		lab_sbc.n_answered++;
		return;
	}
	lab_check(false, "an answer to nothing: %" PRIu64, a->id);
}

static void on_account_answer(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__AccountAnswer *a = msg->account_answer;

	(void)ctx;
	(void)link;
	lab_sbc.n_account_answers++;
	lab_sbc.account_found = a->found;
	lab_sbc.account_unavailable = a->unavailable;
	lab_sbc.account_extension[0] = lab_sbc.account_numbers[0] = '\0';
	if (!a->account)
		return;
	snprintf(lab_sbc.account_extension, sizeof(lab_sbc.account_extension),
		"%s", a->account->extension);
	if (a->account->n_numbers > 0)
		snprintf(lab_sbc.account_numbers,
			sizeof(lab_sbc.account_numbers), "%s",
			a->account->numbers[0]);
}

static void on_ack(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	lab_sbc.n_acks++;
	lab_sbc.last_ack = msg->cdr_ack->id;
}

static void on_ban(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	if (msg->ban->lifted)
		lab_sbc.n_lifts++;
	else
		lab_sbc.n_bans++;
	snprintf(lab_sbc.ban_host, sizeof(lab_sbc.ban_host), "%s",
		msg->ban->host);
}

static void on_changed(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	(void)msg;
	lab_sbc.n_changed++;
}

static void on_trunk_answer(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__TrunkAuthAnswer *a = msg->trunk_auth_answer;

	(void)ctx;
	(void)link;
	lab_sbc.n_trunk_answers++;
	lab_sbc.trunk_ok = a->ok;
	lab_sbc.trunk_reason = a->reason;
	snprintf(lab_sbc.trunk_header, sizeof(lab_sbc.trunk_header), "%s",
		a->header);
}

static void on_offers(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	lab_sbc.n_offers_answers++;
	lab_sbc.offers_n = (unsigned)msg->offers_answer->n_offers;
	if (lab_sbc.offers_n > 0)
		lab_sbc.offers_first = msg->offers_answer->offers[0]->algorithm;
}

static void on_calls_ask(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	(void)msg;
	lab_sbc.n_calls_asks++;
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_NONCE_KEYS, PROCESS_BIT(PROCESS_AUTHD), on_nonce_keys},
	{GH__MSG__BODY_SETTINGS_PIECE, PROCESS_BIT(PROCESS_AUTHD), on_piece},
	{GH__MSG__BODY_SETTINGS_DONE, PROCESS_BIT(PROCESS_AUTHD), on_done},
	{GH__MSG__BODY_BINDINGS_SAVED, PROCESS_BIT(PROCESS_AUTHD), on_saved},
	{GH__MSG__BODY_AUTH_ANSWER, PROCESS_BIT(PROCESS_AUTHD), on_auth_answer},
	{GH__MSG__BODY_ACCOUNT_ANSWER, PROCESS_BIT(PROCESS_AUTHD),
		on_account_answer},
	{GH__MSG__BODY_CDR_ACK, PROCESS_BIT(PROCESS_AUTHD), on_ack},
	{GH__MSG__BODY_BAN, PROCESS_BIT(PROCESS_AUTHD), on_ban},
	{GH__MSG__BODY_ACCOUNTS_CHANGED, PROCESS_BIT(PROCESS_AUTHD),
		on_changed},
	{GH__MSG__BODY_TRUNK_AUTH_ANSWER, PROCESS_BIT(PROCESS_AUTHD),
		on_trunk_answer},
	{GH__MSG__BODY_OFFERS_ANSWER, PROCESS_BIT(PROCESS_AUTHD), on_offers},
	{GH__MSG__BODY_ACTIVE_CALLS_ASK, PROCESS_BIT(PROCESS_AUTHD),
		on_calls_ask},
};

static void on_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	(void)link;
	lab_sbc.up = true;
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	(void)ctx;
	(void)link;
	(void)why;
	lab_sbc.up = false;
}

static struct loop_timer *turn_timer;

static void on_turn(void *arg)
{
	(void)arg;
	loop_stop(lab_sbc.loop);
}

void lab_sbc_start(void)
{
	static struct ipc_config config = {
		.self = PROCESS_SBC,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
	};
	char path[128];

	memset(&lab_sbc, 0, sizeof(lab_sbc));
	lab_sbc.accept_settings = true;
	process_users_all(&lab_sbc.users, getuid());
	if (loop_event_new(&lab_sbc.loop) < 0 ||
		loop_timer_new(lab_sbc.loop, on_turn, NULL, &turn_timer) < 0)
		die("no loop");
	config.loop = lab_sbc.loop;
	config.users = &lab_sbc.users;
	path_of(path, sizeof(path), "authd.sock");
	if (ipc_connect(&config, path, PROCESS_AUTHD, &lab_sbc.link) < 0)
		die("no link");
}

void lab_sbc_stop(void)
{
	ipc_link_free(&lab_sbc.link);
	loop_timer_free(lab_sbc.loop, &turn_timer);
	loop_free(&lab_sbc.loop);
}

void lab_turn(void)
{
	loop_timer_set(lab_sbc.loop, turn_timer, 5000);
	if (loop_run(lab_sbc.loop) < 0)
		die("the loop fails");
}

bool lab_send(const Gh__Msg *msg)
{
	return ipc_send(lab_sbc.link, msg) == 0;
}

void lab_digest_init(
	struct lab_digest *d, const char *username, const char *password)
{
	static unsigned counter;
	struct addr source;

	memset(d, 0, sizeof(*d));
	snprintf(d->username, sizeof(d->username), "%s", username);
	snprintf(d->password, sizeof(d->password), "%s", password);
	snprintf(d->realm, sizeof(d->realm), "gatehouse");
	snprintf(d->uri, sizeof(d->uri), "sip:127.0.0.1");
	snprintf(d->request_uri, sizeof(d->request_uri), "sip:127.0.0.1");
	snprintf(d->method, sizeof(d->method), "REGISTER");
	snprintf(d->source, sizeof(d->source), "198.51.100.7:5060");
	snprintf(d->nc, sizeof(d->nc), "00000001");
	snprintf(d->cnonce, sizeof(d->cnonce), "c%u", ++counter);
	snprintf(d->qop, sizeof(d->qop), "auth");
	snprintf(d->algorithm, sizeof(d->algorithm), "MD5");
	d->realm_id = 1;
	if (addr_parse(d->source, &source) < 0 ||
		nonce_make(&lab_sbc.nonce_keys, 1, &source, clock_now_us(),
			d->nonce) < 0)
		die("no nonce");
}

static void compute(const struct lab_digest *d, char hex[DIGEST_HEX_SIZE])
{
	struct digest *digest;
	struct digest_ha1 ha1;

	if (digest_new(&digest) < 0 ||
		digest_make_ha1(digest, d->hash, d->username, d->realm,
			d->password, &ha1) < 0 ||
		digest_response(digest, d->hash, &ha1, d->nonce, d->nc,
			d->cnonce, *d->qop ? d->qop : NULL, d->method, d->uri,
			d->body, d->body ? strlen(d->body) : 0, hex) < 0)
		die("no digest");
	digest_free(&digest);
}

struct lab_auth *lab_auth_send(const struct lab_digest *d)
{
	static uint64_t next_id;
	char hex[DIGEST_HEX_SIZE];
	struct lab_auth *slot = &lab_sbc.auths[lab_sbc.n_auths++ % 4096];
	Gh__DigestFields f = GH__DIGEST_FIELDS__INIT;
	Gh__AuthRequest r = GH__AUTH_REQUEST__INIT;
	IPC_MSG(msg, AUTH_REQUEST, auth_request, &r);

	compute(d, hex);
	f.username = LAB_TEXT(d->username);
	f.realm = LAB_TEXT(d->realm);
	f.nonce = LAB_TEXT(d->nonce);
	f.uri = LAB_TEXT(d->uri);
	f.response = *d->response ? LAB_TEXT(d->response) : hex;
	f.algorithm = LAB_TEXT(d->algorithm);
	f.cnonce = LAB_TEXT(d->cnonce);
	f.nc = LAB_TEXT(d->nc);
	f.qop = LAB_TEXT(d->qop);
	r.id = ++next_id;
	r.realm = d->realm_id;
	r.digest = &f;
	r.method = LAB_TEXT(d->method);
	r.request_uri = LAB_TEXT(d->request_uri);
	r.source = LAB_TEXT(d->source);
	r.purpose = d->purpose;
	r.dialog_account = d->dialog_account;
	if (d->body) {
		r.body.data = (uint8_t *)(uintptr_t)d->body;
		r.body.len = strlen(d->body);
	}
	memset(slot, 0, sizeof(*slot));
	slot->id = r.id;
	slot->asked_us = clock_now_us();
	if (!lab_send(&msg))
		die("authd is not there");
	return slot;
}

struct lab_auth *lab_auth(const struct lab_digest *d)
{
	struct lab_auth *slot = lab_auth_send(d);

	LAB_UNTIL(slot->done);
	return slot;
}
