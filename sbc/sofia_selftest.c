/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cures_self_test(): a throw-away agent on loopback meets each cure once. It
 * runs at every start, because another build of the library (static, linked
 * with -Bsymbolic, a later version) could stop calling us without a word.
 */
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_wait.h>
#include <sofia-sip/tport_tag.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sbc/sofia_cures.h"
#include "sbc/sofia_cures_private.h"
#include "sbc/sofia_home.h"

#define STEP_MS   10
#define STEPS_MAX 200 /* 2 s; a pass takes a millisecond */

struct self_test {
	int server_fd; /* stands for keeper's */
	int peer_fd;
	struct addr server;
	su_root_t *root;
	nta_agent_t *agent;
	uint64_t before[CURE_COUNT];
	unsigned n_requests; /* that reached the callback */
};

static int on_message(
	nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *msg, sip_t *sip)
{
	struct self_test *t = (struct self_test *)magic;

	if (!sip || !sip->sip_request) {
		nta_msg_discard(agent, msg);
		return 0;
	}
	t->n_requests++;
	return nta_msg_treply(agent, msg, SIP_200_OK, TAG_END());
}

static void remember(struct self_test *t)
{
	for (unsigned c = 0; c < CURE_COUNT; c++)
		t->before[c] = cure_calls((enum cure)c);
}

static bool called(const struct self_test *t, enum cure c)
{
	return cure_calls(c) > t->before[c];
}

static int socket_on_loopback(struct addr *local_out)
{
	struct sockaddr_storage sa;
	struct addr any;
	socklen_t len;
	int fd;

	if (addr_parse("127.0.0.1", &any) != 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	len = addr_to_sockaddr(&any, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) != 0)
		goto failed;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
		addr_from_sockaddr((struct sockaddr *)&sa, len, local_out) != 0)
		goto failed;
	return fd;
failed:
	close(fd);
	return -1;
}

static int send_options(
	const struct self_test *t, const char *version, const char *via_host)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(&t->server, &sa);
	char text[512];
	int len;

	len = snprintf(text, sizeof(text),
		"OPTIONS sip:self@test.invalid %s\r\n"
		"Via: SIP/2.0/UDP %s;branch=z9hG4bKselftest;rport\r\n"
		"From: <sip:self@test.invalid>;tag=1\r\n"
		"To: <sip:self@test.invalid>\r\n"
		"Call-ID: selftest\r\n"
		"CSeq: 1 OPTIONS\r\n"
		"Content-Length: 0\r\n\r\n",
		version, via_host);
	if (len < 0 || (size_t)len >= sizeof(text))
		return ERR_TOO_BIG;
	if (sendto(t->peer_fd, text, (size_t)len, 0, (struct sockaddr *)&sa,
		    sa_len) != len)
		return ERR_SYSTEM;
	return 0;
}

static bool step_until(struct self_test *t, enum cure a, enum cure b)
{
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		if (called(t, a) && called(t, b))
			return true;
		su_root_step(t->root, STEP_MS);
	}
	return false;
}

static int open_agent(struct self_test *t, const char **problem_out)
{
	char url[64];
	int err;

	remember(t);
	cures_epoll_begin();
	t->root = su_root_create(NULL);
	if (cures_epoll_end() < 0 || !t->root) {
		*problem_out = cure_name(CURE_EPOLL_CREATE);
		return ERR_SYSTEM;
	}
	t->agent = nta_agent_create(t->root, (url_string_t *)-1, on_message,
		(nta_agent_magic_t *)t, NTATAG_UA(1), TAG_END());
	if (!t->agent) {
		*problem_out = "nta_agent_create";
		return ERR_SYSTEM;
	}
	snprintf(url, sizeof(url), "sip:127.0.0.1:%u;transport=udp",
		t->server.port);
	*problem_out = cure_name(CURE_BIND);
	err = cures_adopt_begin(t->server_fd, &t->server);
	if (err != 0)
		return err;
	if (nta_agent_add_tport(t->agent, (url_string_t *)url,
		    TPTAG_STUN_SERVER(0), TAG_END()) != 0) {
		(void)!cures_adopt_end();
		return ERR_SYSTEM;
	}
	if (cures_adopt_end() != 0)
		return ERR_SYSTEM;
	if (!called(t, CURE_EPOLL_CTL)) {
		*problem_out = cure_name(CURE_EPOLL_CTL);
		return ERR_SYSTEM;
	}
	for (enum cure c = CURE_SENDTO; c <= CURE_RECVFROM; c++)
		if (!called(t, c)) {
			*problem_out = cure_name(c);
			return ERR_SYSTEM;
		}
	return 0;
}

static int meet_requests(struct self_test *t, const char **problem_out)
{
	/* A wrong version makes the library resolve the Via's host. */
	*problem_out = cure_name(CURE_SU_GETADDRINFO);
	remember(t);
	if (send_options(t, "SIP/7.0", "self-test.invalid") != 0)
		return ERR_SYSTEM;
	if (!step_until(t, CURE_SU_GETADDRINFO, CURE_GETADDRINFO))
		return ERR_SYSTEM;
	for (enum cure c = CURE_SU_GETMSGSIZE; c <= CURE_SU_VRECV; c++)
		if (!called(t, c)) {
			*problem_out = cure_name(c);
			return ERR_SYSTEM;
		}
	*problem_out = cure_name(CURE_SU_VSEND);
	remember(t);
	if (send_options(t, "SIP/2.0", "127.0.0.1") != 0)
		return ERR_SYSTEM;
	if (!step_until(t, CURE_SU_VSEND, CURE_SU_VRECV) || t->n_requests != 1)
		return ERR_SYSTEM;
	if (!called(t, CURE_SU_SOERROR)) {
		*problem_out = cure_name(CURE_SU_SOERROR);
		return ERR_SYSTEM;
	}
	if (!called(t, CURE_EPOLL_WAIT)) {
		*problem_out = cure_name(CURE_EPOLL_WAIT);
		return ERR_SYSTEM;
	}
	return 0;
}

int cures_self_test(const char **problem_out)
{
	struct self_test t = {.server_fd = -1, .peer_fd = -1};
	size_t homes = homes_made();
	struct addr peer;
	int err = ERR_SYSTEM;

	*problem_out = "a socket on 127.0.0.1";
	t.server_fd = socket_on_loopback(&t.server);
	t.peer_fd = socket_on_loopback(&peer);
	if (t.server_fd < 0 || t.peer_fd < 0)
		goto out;
	cures_testing(true);
	err = open_agent(&t, problem_out);
	if (err == 0)
		err = meet_requests(&t, problem_out);
	/* The agent and its messages have homes. */
	if (err == 0 && homes_made() < homes + 2) {
		*problem_out = "su_home_new";
		err = ERR_SYSTEM;
	}
out:
	if (t.agent)
		nta_agent_destroy(t.agent);
	if (t.root)
		su_root_destroy(t.root);
	cures_epoll_forget();
	cures_forget_all();
	cures_testing(false);
	if (t.server_fd >= 0)
		close(t.server_fd);
	if (t.peer_fd >= 0)
		close(t.peer_fd);
	if (err == 0)
		*problem_out = "";
	return err;
}
