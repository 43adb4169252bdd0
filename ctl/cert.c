/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the files of pki.h belong:
 *
 *	DIR/ca/NAME.crt, .crl	authorities and their lists: flowd reads them
 *	DIR/ca/private/NAME.key	an authority's key: root's alone
 *	DIR/tls/NAME.crt, .key	what flowd shows: the key is flowd's user's
 *	DIR/device/NAME.*	for phones and trunks, to carry away
 *
 * No daemon is asked; flowd notices new files by itself.
 */
#include "ctl/cert.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/process.h"
#include "ctl/pki.h"

#define PATH_SIZE 1024
#define DAY_S     86400
#define DAYS_MAX  36500

struct cert_args {
	const char *dir;
	const char *ca;
	long days;
	bool rsa;
	char **words;
	size_t n_words;
};

static int usage(FILE *out)
{
	fputs("usage: sbcctl cert ca NAME              make an authority\n"
	      "       sbcctl cert server NAME HOST ...  for phones to see\n"
	      "       sbcctl cert trunk NAME DOMAIN ... both sides of a trunk\n"
	      "       sbcctl cert device NAME URI ...   a phone's own\n"
	      "       sbcctl cert revoke FILE           on the authority's "
	      "list\n"
	      "       sbcctl cert show FILE             names, end, pin\n"
	      "\n"
	      "  --dir DIR     settings folder (" SYSCONF_DIR ")\n"
	      "  --ca NAME     authority that signs (internal)\n"
	      "  --days N      life (authority 3650, others 397)\n"
	      "  --rsa         RSA 2048 in place of EC P-256\n",
		out);
	return CONTROL_USAGE;
}

static bool name_is_good(const char *name)
{
	return name[0] && name[0] != '.' && strlen(name) <= 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
			    "YZ0123456789._-") == strlen(name);
}

static int make_path(char path[PATH_SIZE], const struct cert_args *a,
	const char *folder, const char *name, const char *ending)
{
	int n = snprintf(
		path, PATH_SIZE, "%s/%s/%s.%s", a->dir, folder, name, ending);

	return n < 0 || n >= PATH_SIZE ? ERR_TOO_BIG : 0;
}

static int make_folder(
	const struct cert_args *a, const char *folder, mode_t mode)
{
	char path[PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s/%s", a->dir, folder) >= PATH_SIZE)
		return ERR_TOO_BIG;
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	fprintf(stderr, "sbcctl: %s: %s\n", path, strerror(errno));
	return ERR_SYSTEM;
}

static int report(const char *problem)
{
	fprintf(stderr, "sbcctl: %s\n", problem);
	return CONTROL_REFUSED;
}

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_us() / CLOCK_US_PER_S);
}

static int make_ca(const struct cert_args *a)
{
	char crt[PATH_SIZE], key[PATH_SIZE], problem[PKI_PROBLEM_SIZE];
	const char *name = a->words[0];
	struct pki_order o = {.kind = PKI_CA,
		.subject = name,
		.crt = crt,
		.key = key,
		.rsa = a->rsa,
		.not_before_s = now_s() - DAY_S,
		.not_after_s = now_s() + (a->days ? a->days : 3650) * DAY_S};

	if (!name_is_good(name) || a->n_words != 1)
		return usage(stderr);
	if (make_folder(a, "ca", 0755) || make_folder(a, "ca/private", 0700) ||
		make_path(crt, a, "ca", name, "crt") ||
		make_path(key, a, "ca/private", name, "key"))
		return CONTROL_REFUSED;
	if (pki_make(&o, problem))
		return report(problem);
	printf("authority    %s\nits key      %s\n", crt, key);
	return CONTROL_OK;
}

/* flowd reads its keys under its own user; nobody else does. */
static void give_to_flowd(const char *path)
{
	const struct passwd *pw = getpwnam(process_user(PROCESS_FLOWD));

	if (geteuid() != 0)
		return;
	if (!pw || chown(path, pw->pw_uid, 0))
		fprintf(stderr, "sbcctl: %s has to be made readable for %s\n",
			path, process_user(PROCESS_FLOWD));
}

static int make_one(const struct cert_args *a, enum pki_kind kind)
{
	char crt[PATH_SIZE], key[PATH_SIZE], problem[PKI_PROBLEM_SIZE];
	char ca_crt[PATH_SIZE], ca_key[PATH_SIZE];
	const char *name = a->words[0];
	const char *folder = kind == PKI_DEVICE ? "device" : "tls";
	struct pki_order o = {.kind = kind,
		.subject = name,
		.names = (const char *const *)a->words + 1,
		.n_names = a->n_words - 1,
		.ca_crt = ca_crt,
		.ca_key = ca_key,
		.crt = crt,
		.key = key,
		.rsa = a->rsa,
		.chain = true,
		.not_before_s = now_s() - DAY_S,
		.not_after_s = now_s() + (a->days ? a->days : 397) * DAY_S};

	if (a->n_words < 2 || a->n_words > PKI_NAMES_MAX ||
		!name_is_good(name) || !name_is_good(a->ca))
		return usage(stderr);
	if (make_folder(a, folder, kind == PKI_DEVICE ? 0700 : 0755) ||
		make_path(crt, a, folder, name, "crt") ||
		make_path(key, a, folder, name, "key") ||
		make_path(ca_crt, a, "ca", a->ca, "crt") ||
		make_path(ca_key, a, "ca/private", a->ca, "key"))
		return CONTROL_REFUSED;
	if (pki_make(&o, problem))
		return report(problem);
	if (kind != PKI_DEVICE)
		give_to_flowd(key);
	printf("certificate  %s\nits key      %s\nauthority    %s\n", crt, key,
		ca_crt);
	return CONTROL_OK;
}

static int revoke_one(const struct cert_args *a)
{
	char ca_crt[PATH_SIZE], ca_key[PATH_SIZE], crl[PATH_SIZE];
	char problem[PKI_PROBLEM_SIZE];
	struct pki_view ca;

	if (a->n_words != 1 || !name_is_good(a->ca))
		return usage(stderr);
	if (make_path(ca_crt, a, "ca", a->ca, "crt") ||
		make_path(ca_key, a, "ca/private", a->ca, "key") ||
		make_path(crl, a, "ca", a->ca, "crl"))
		return CONTROL_REFUSED;
	/* A list that ran out would stop every connection of its authority:
	 * it lives as long as that. */
	if (pki_view(ca_crt, &ca, problem) ||
		pki_revoke(ca_crt, ca_key, crl, a->words[0], ca.not_after_s,
			problem))
		return report(problem);
	printf("list         %s\n", crl);
	return CONTROL_OK;
}

static int show_one(const struct cert_args *a)
{
	char problem[PKI_PROBLEM_SIZE], end[CLOCK_UTC_SIZE];
	struct pki_view v;

	if (a->n_words != 1)
		return usage(stderr);
	if (pki_view(a->words[0], &v, problem))
		return report(problem);
	clock_format_utc((uint64_t)v.not_after_s * CLOCK_US_PER_S, end);
	printf("subject      %s\nissuer       %s\nnames        %s\n"
	       "key          %s\npin          %s\nexpires      %s\n"
	       "days left    %" PRId64 "\n",
		v.subject, v.issuer, v.names, v.key_type, v.pin, end,
		(v.not_after_s - now_s()) / DAY_S);
	return CONTROL_OK;
}

static int run(const char *what, const struct cert_args *a)
{
	if (a->n_words == 0)
		return usage(stderr);
	if (strcmp(what, "ca") == 0)
		return make_ca(a);
	if (strcmp(what, "server") == 0)
		return make_one(a, PKI_SERVER);
	if (strcmp(what, "trunk") == 0)
		return make_one(a, PKI_TRUNK);
	if (strcmp(what, "device") == 0)
		return make_one(a, PKI_DEVICE);
	if (strcmp(what, "revoke") == 0)
		return revoke_one(a);
	if (strcmp(what, "show") == 0)
		return show_one(a);
	return usage(stderr);
}

int cert_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},
		{"ca", required_argument, NULL, 'a'},
		{"days", required_argument, NULL, 'n'},
		{"rsa", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct cert_args a = {.dir = SYSCONF_DIR, .ca = "internal"};
	char *end;
	int c;

	optind = 0; /* the tool has scanned its own options before */
	while ((c = getopt_long(argc, argv, "d:a:n:rh", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			a.dir = optarg;
			break;
		case 'a':
			a.ca = optarg;
			break;
		case 'n':
			a.days = strtol(optarg, &end, 10);
			if (*end || a.days < 1 || a.days > DAYS_MAX)
				return usage(stderr);
			break;
		case 'r':
			a.rsa = true;
			break;
		case 'h':
			(void)usage(stdout);
			return CONTROL_OK;
		default:
			return usage(stderr);
		}
	}
	if (optind >= argc)
		return usage(stderr);
	a.words = argv + optind + 1;
	a.n_words = (size_t)(argc - optind - 1);
	return run(argv[optind], &a);
}
