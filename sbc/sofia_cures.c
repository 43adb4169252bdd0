/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overrides; why each exists stands in sofia_cures.h. Every override is
 * declared under its own C name with the library's symbol as assembler label,
 * so that no system header's inline version stands in the way. What must reach
 * the kernel goes there by syscall(2); what must reach the library's or libc's
 * own function goes by dlsym(RTLD_NEXT).
 *
 * The hook's order: size and first byte, then admit (bans and rates are
 * cheapest), then the text. A refused datagram looks to tport like EAGAIN.
 */
#include <sofia-sip/su.h>
#include <sofia-sip/su_addrinfo.h>
#include <sofia-sip/su_log.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/stat.h"
#include "sbc/sofia_cures.h"
#include "sbc/sofia_cures_private.h"

/* Datagrams of one wake-up that are looked at for one that passes. */
#define READ_BATCH        32

/* Events that are kept for the library; more stay with the kernel. */
#define EPOLL_PENDING_MAX 64
/* In an event's data: it is the library's, whose own data are small numbers.
 * No address has it. */
#define EPOLL_LIBRARY     (1ull << 63)

extern su_log_t nta_log[];
extern su_log_t tport_log[];

struct watched {
	int fd;
	struct addr local;
};

/* The library is one per process, and so is this. */
static struct {
	uint64_t calls[CURE_COUNT];
	struct watched sockets[CURES_SOCKETS_MAX];
	size_t n_sockets;
	cures_datagram_fn fn;
	void *ctx;
	cures_checked_fn checked_fn;
	void *checked_ctx;
	cures_sending_fn sending_fn;
	void *sending_ctx;
	cures_stream_fn stream_fn;
	void *stream_ctx;
	/* adopt */
	int adopt_fd; /* -1 = none */
	int adopted_fd;
	struct addr adopt_local;
	/* epoll */
	bool epoll_armed;
	int epoll_fd; /* the library's and ours; -1 = none */
	struct epoll_event pending[EPOLL_PENDING_MAX];
	size_t n_pending, next_pending;
	/* the answer gate */
	bool gate_shut;
	struct addr gate_source;
	/* a datagram that was read for the library and not handed over yet */
	int read_fd; /* -1 = none */
	size_t read_len;
	struct sockaddr_storage read_from;
	socklen_t read_from_len;
	bool testing; /* let the self test's broken message through */
} cures = {.adopt_fd = -1, .adopted_fd = -1, .epoll_fd = -1, .read_fd = -1};

/* Where datagrams are read to: one byte more than may be. */
static uint8_t datagram[CURES_DATAGRAM_MAX + 1];

static const char *const cure_names[] = {
	[CURE_GETADDRINFO] = "getaddrinfo",
	[CURE_SU_GETADDRINFO] = "su_getaddrinfo",
	[CURE_SU_GETMSGSIZE] = "su_getmsgsize",
	[CURE_SU_VRECV] = "su_vrecv",
	[CURE_SU_SOERROR] = "su_soerror",
	[CURE_SU_VSEND] = "su_vsend",
	[CURE_BIND] = "bind",
	[CURE_SENDTO] = "sendto",
	[CURE_RECVFROM] = "recvfrom",
	[CURE_EPOLL_CREATE] = "epoll_create",
	[CURE_EPOLL_CTL] = "epoll_ctl",
	[CURE_EPOLL_WAIT] = "epoll_wait",
};
_Static_assert(sizeof(cure_names) / sizeof(cure_names[0]) == CURE_COUNT,
	"every cure has a name");

const char *cure_name(enum cure c)
{
	return (unsigned)c < CURE_COUNT ? cure_names[c] : "unknown";
}

uint64_t cure_calls(enum cure c)
{
	return (unsigned)c < CURE_COUNT ? cures.calls[c] : 0;
}

void cures_testing(bool on)
{
	cures.testing = on;
}

/* ------------------------------------------------------------ the resolver */

typedef int (*getaddrinfo_fn)(const char *, const char *,
	const struct addrinfo *, struct addrinfo **);

/* Numbers only: a name is "not known" at once, without asking anybody. */
int cure_getaddrinfo(const char *node, const char *service,
	const struct addrinfo *hints,
	struct addrinfo **res) __asm__("getaddrinfo");
int cure_getaddrinfo(const char *node, const char *service,
	const struct addrinfo *hints, struct addrinfo **res)
{
	static getaddrinfo_fn next;
	struct addrinfo numeric = {.ai_family = AF_UNSPEC};

	cures.calls[CURE_GETADDRINFO]++;
	if (!next)
		next = (getaddrinfo_fn)(uintptr_t)dlsym(
			RTLD_NEXT, "getaddrinfo");
	if (!next)
		return EAI_FAIL;
	if (hints)
		numeric = *hints;
	numeric.ai_flags |= AI_NUMERICHOST;
	return next(node, service, &numeric, res);
}

typedef int (*su_getaddrinfo_fn)(
	const char *, const char *, const su_addrinfo_t *, su_addrinfo_t **);

int cure_su_getaddrinfo(const char *node, const char *service,
	const su_addrinfo_t *hints,
	su_addrinfo_t **res) __asm__("su_getaddrinfo");
int cure_su_getaddrinfo(const char *node, const char *service,
	const su_addrinfo_t *hints, su_addrinfo_t **res)
{
	static su_getaddrinfo_fn next;
	su_addrinfo_t numeric = {.ai_family = AF_UNSPEC};

	cures.calls[CURE_SU_GETADDRINFO]++;
	if (!next)
		next = (su_getaddrinfo_fn)(uintptr_t)dlsym(
			RTLD_NEXT, "su_getaddrinfo");
	if (!next)
		return EAI_FAIL;
	if (hints)
		numeric = *hints;
	numeric.ai_flags |= AI_NUMERICHOST;
	return next(node, service, &numeric, res);
}

/* ------------------------------------------------------- keeper's sockets */

int cures_adopt_begin(int fd, const struct addr *local)
{
	int flags;

	if (cures.n_sockets >= CURES_SOCKETS_MAX)
		return ERR_FULL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return ERR_SYSTEM;
	cures.adopt_fd = fd;
	cures.adopted_fd = -1;
	cures.adopt_local = *local;
	return 0;
}

int cures_adopt_end(void)
{
	int fd = cures.adopted_fd;

	cures.adopt_fd = -1;
	cures.adopted_fd = -1;
	if (fd < 0)
		return ERR_NOT_FOUND;
	cures.sockets[cures.n_sockets].fd = fd;
	cures.sockets[cures.n_sockets].local = cures.adopt_local;
	cures.n_sockets++;
	return 0;
}

int cure_bind(int fd, const struct sockaddr *sa, socklen_t len) __asm__("bind");
int cure_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct addr wanted;

	cures.calls[CURE_BIND]++;
	if (cures.adopt_fd >= 0 && sa &&
		addr_from_sockaddr(sa, len, &wanted) == 0 &&
		addr_equal(&wanted, &cures.adopt_local)) {
		if (dup3(cures.adopt_fd, fd, O_CLOEXEC) < 0)
			return -1;
		cures.adopted_fd = fd;
		return 0;
	}
	return (int)syscall(SYS_bind, fd, sa, len);
}

/* tport_check_trunc() sends "TEST" to its own port and reads one datagram into
 * two bytes, to see whether MSG_TRUNC tells the true length. It does on Linux;
 * and what it would read is the oldest request in keeper's socket. */
#define TEST_TEXT "TEST"
#define TEST_LEN  4

ssize_t cure_sendto(int fd, const void *bytes, size_t len, int flags,
	const struct sockaddr *to, socklen_t to_len) __asm__("sendto");
ssize_t cure_sendto(int fd, const void *bytes, size_t len, int flags,
	const struct sockaddr *to, socklen_t to_len)
{
	if (fd >= 0 && fd == cures.adopted_fd && len == TEST_LEN &&
		memcmp(bytes, TEST_TEXT, TEST_LEN) == 0) {
		cures.calls[CURE_SENDTO]++;
		return TEST_LEN;
	}
	return syscall(SYS_sendto, fd, bytes, len, flags, to, to_len);
}

ssize_t cure_recvfrom(int fd, void *bytes, size_t len, int flags,
	struct sockaddr *from, socklen_t *from_len) __asm__("recvfrom");
ssize_t cure_recvfrom(int fd, void *bytes, size_t len, int flags,
	struct sockaddr *from, socklen_t *from_len)
{
	if (fd >= 0 && fd == cures.adopted_fd && (flags & MSG_TRUNC) &&
		len < TEST_LEN) {
		cures.calls[CURE_RECVFROM]++;
		memcpy(bytes, TEST_TEXT, len);
		return TEST_LEN;
	}
	return syscall(SYS_recvfrom, fd, bytes, len, flags, from, from_len);
}

/* ------------------------------------------------- the loop's descriptor */

void cures_epoll_begin(void)
{
	cures_epoll_forget();
	cures.epoll_armed = true;
}

int cures_epoll_end(void)
{
	cures.epoll_armed = false;
	return cures.epoll_fd;
}

void cures_epoll_forget(void)
{
	cures.epoll_fd = -1;
	cures.n_pending = 0;
	cures.next_pending = 0;
}

int cure_epoll_create(int size) __asm__("epoll_create");
int cure_epoll_create(int size)
{
	int fd;

	(void)size;
	cures.calls[CURE_EPOLL_CREATE]++;
	fd = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
	if (cures.epoll_armed)
		cures.epoll_fd = fd;
	return fd;
}

int cures_epoll_ctl(int fd, int op, int target, struct epoll_event *event)
{
	return (int)syscall(SYS_epoll_ctl, fd, op, target, event);
}

int cure_epoll_ctl(int fd, int op, int target,
	struct epoll_event *event) __asm__("epoll_ctl");
int cure_epoll_ctl(int fd, int op, int target, struct epoll_event *event)
{
	struct epoll_event marked;

	if (fd != cures.epoll_fd)
		return cures_epoll_ctl(fd, op, target, event);
	cures.calls[CURE_EPOLL_CTL]++;
	/* What is kept may be of this descriptor, and its number soon another
	 * one's. The kernel tells what is still true again. */
	if (op != EPOLL_CTL_ADD)
		cures.n_pending = cures.next_pending = 0;
	if (!event)
		return cures_epoll_ctl(fd, op, target, NULL);
	marked = *event;
	marked.data.u64 |= EPOLL_LIBRARY;
	return cures_epoll_ctl(fd, op, target, &marked);
}

bool cures_epoll_pending(void)
{
	return cures.next_pending < cures.n_pending;
}

static int raw_epoll_wait(
	int fd, struct epoll_event *events, int max, int wait_ms)
{
	return (int)syscall(SYS_epoll_wait, fd, events, max, wait_ms);
}

int cures_epoll_wait(int fd, struct epoll_event *events, int max, int wait_ms)
{
	int n = raw_epoll_wait(fd, events, max, wait_ms), ours = 0;

	cures.n_pending = cures.next_pending = 0;
	for (int i = 0; i < n; i++) {
		if (!(events[i].data.u64 & EPOLL_LIBRARY))
			events[ours++] = events[i];
		else if (cures.n_pending < EPOLL_PENDING_MAX)
			cures.pending[cures.n_pending++] = events[i];
	}
	return n < 0 ? n : ours;
}

int cure_epoll_wait(int fd, struct epoll_event *events, int max,
	int wait_ms) __asm__("epoll_wait");
int cure_epoll_wait(int fd, struct epoll_event *events, int max, int wait_ms)
{
	int n = 0;

	if (fd != cures.epoll_fd)
		return raw_epoll_wait(fd, events, max, wait_ms);
	cures.calls[CURE_EPOLL_WAIT]++;
	while (n < max && cures_epoll_pending())
		events[n++] = cures.pending[cures.next_pending++];
	/* The loop waits, not the library; only the self test has no loop. */
	if (n == 0 && wait_ms != 0)
		n = raw_epoll_wait(fd, events, max, wait_ms);
	for (int i = 0; i < n; i++)
		events[i].data.u64 &= ~EPOLL_LIBRARY;
	return n;
}

/* ---------------------------------------------------- before it is parsed */

void cures_on_datagram(cures_datagram_fn fn, void *ctx)
{
	cures.fn = fn;
	cures.ctx = ctx;
}

void cures_on_stream(cures_stream_fn fn, void *ctx)
{
	cures.stream_fn = fn;
	cures.stream_ctx = ctx;
}

void cures_on_checked(cures_checked_fn fn, void *ctx)
{
	cures.checked_fn = fn;
	cures.checked_ctx = ctx;
}

/* @return whether the library may read this connection now. The loop asks
 * again as long as there is something to read; shutting it is what the library
 * takes for the peer's end. */
static bool stream_passes(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr source;
	int verdict;

	if (!cures.stream_fn)
		return true;
	if (getpeername(fd, (struct sockaddr *)&sa, &len) != 0 ||
		addr_from_sockaddr((struct sockaddr *)&sa, len, &source) != 0)
		return true; /* reading tells what is wrong */
	verdict = cures.stream_fn(cures.stream_ctx, &source);
	if (verdict < 0)
		(void)shutdown(fd, SHUT_RDWR);
	return verdict > 0;
}

void cures_on_sending(cures_sending_fn fn, void *ctx)
{
	cures.sending_fn = fn;
	cures.sending_ctx = ctx;
}

void cures_answer_is_ours(void)
{
	cures.gate_shut = false;
}

static const struct watched *watched_find(int fd)
{
	static size_t last;

	if (last < cures.n_sockets && cures.sockets[last].fd == fd)
		return &cures.sockets[last];
	for (size_t i = 0; i < cures.n_sockets; i++)
		if (cures.sockets[i].fd == fd) {
			last = i;
			return &cures.sockets[i];
		}
	return NULL;
}

/* @return whether the library may have it. */
static bool datagram_passes(
	const struct watched *w, const struct addr *source, size_t len)
{
	enum reason why = REASON_ADMIT_OK;
	bool stranger = false;

	stat_add(STAT_SIP_RX, 1);
	if (len > CURES_DATAGRAM_MAX) {
		reason_count(REASON_ADMIT_TOO_BIG);
		return false;
	}
	if (cures.fn)
		why = cures.fn(
			cures.ctx, source, &w->local, datagram, len, &stranger);
	if (why != REASON_ADMIT_OK)
		return false;
	why = cures_check_datagram(datagram, len);
	if (why == REASON_NONE)
		return false;
	if (why != REASON_ADMIT_OK) {
		reason_count(why);
		log_peer_debug("datagram_dropped",
			LOG_STR("reason", reason_text(why)),
			LOG_ADDR("source", source),
			LOG_ADDR("local", &w->local));
		return false;
	}
	if (cures.checked_fn && cures.checked_fn(cures.checked_ctx, source,
					&w->local, datagram, len))
		return false;
	cures.gate_shut = stranger;
	cures.gate_source = *source;
	return true;
}

/* Reads until there is a datagram that the library may have, or none, or so
 * many were dropped that the others of the loop have waited enough.
 * @return its length, or -1 with errno. */
static issize_t read_datagram(const struct watched *w)
{
	struct iovec iov = {datagram, sizeof(datagram)};
	struct msghdr hdr = {0};
	struct addr source;
	ssize_t len;

	hdr.msg_name = &cures.read_from;
	hdr.msg_iov = &iov;
	hdr.msg_iovlen = 1;
	for (unsigned i = 0; i < READ_BATCH; i++) {
		hdr.msg_namelen = sizeof(cures.read_from);
		len = recvmsg(w->fd, &hdr, MSG_DONTWAIT | MSG_TRUNC);
		if (len < 0)
			return -1;
		if (addr_from_sockaddr((struct sockaddr *)&cures.read_from,
			    hdr.msg_namelen, &source) != 0 ||
			!datagram_passes(w, &source, (size_t)len))
			continue;
		cures.read_fd = w->fd;
		cures.read_len = (size_t)len;
		cures.read_from_len = hdr.msg_namelen;
		return len;
	}
	errno = EAGAIN;
	return -1;
}

/* How long the next datagram is: it is read to find out. What the library is
 * told about is what passes; the rest costs it nothing. */
issize_t cure_su_getmsgsize(su_socket_t s) __asm__("su_getmsgsize");
issize_t cure_su_getmsgsize(su_socket_t s)
{
	const struct watched *w = cures.testing ? NULL : watched_find(s);
	int n = 0;

	cures.calls[CURE_SU_GETMSGSIZE]++;
	if (w)
		return read_datagram(w);
	if (ioctl(s, FIONREAD, &n) != 0)
		return -1;
	/* On a connection the library makes room for all that waits, and takes
	 * it for the rest of one message. */
	return n > (int)CURES_CHUNK_MAX ? (int)CURES_CHUNK_MAX : n;
}

/* The datagram that was read goes into the library's fragments. */
static issize_t hand_over(
	const struct msghdr *hdr, su_sockaddr_t *su, socklen_t *name_len)
{
	const uint8_t *p = datagram;
	size_t left = cures.read_len;

	cures.read_fd = -1;
	if (*name_len < cures.read_from_len) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(su, &cures.read_from, cures.read_from_len);
	*name_len = cures.read_from_len;
	for (size_t i = 0; i < hdr->msg_iovlen && left > 0; i++) {
		size_t part = hdr->msg_iov[i].iov_len < left
				      ? hdr->msg_iov[i].iov_len
				      : left;

		memcpy(hdr->msg_iov[i].iov_base, p, part);
		p += part;
		left -= part;
	}
	return (issize_t)(p - datagram);
}

issize_t cure_su_vrecv(su_socket_t s, su_iovec_t iov[], isize_t n, int flags,
	su_sockaddr_t *su, socklen_t *name_len) __asm__("su_vrecv");
issize_t cure_su_vrecv(su_socket_t s, su_iovec_t iov[], isize_t n, int flags,
	su_sockaddr_t *su, socklen_t *name_len)
{
	struct msghdr hdr = {0};
	ssize_t len;

	cures.calls[CURE_SU_VRECV]++;
	hdr.msg_iov = (struct iovec *)iov;
	hdr.msg_iovlen = (size_t)n;
	if (su && name_len && cures.read_fd == s)
		return hand_over(&hdr, su, name_len);
	/* Nothing of ours is read past the checks. */
	if (!cures.testing &&
		(su ? watched_find(s) != NULL : !stream_passes(s))) {
		errno = EAGAIN;
		return -1;
	}
	hdr.msg_name = su;
	if (su && name_len)
		hdr.msg_namelen = *name_len;
	len = recvmsg(s, &hdr, flags);
	if (su && name_len)
		*name_len = hdr.msg_namelen;
	return len;
}

/* ------------------------------------------------- answers of the library */

#define HEAD     "SIP/2.0 "
#define HEAD_LEN (sizeof(HEAD) - 1)

static size_t total_len(const struct iovec *iov, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

static bool is_response(const struct iovec *iov, size_t n)
{
	return n > 0 && iov[0].iov_len >= HEAD_LEN &&
	       memcmp(iov[0].iov_base, HEAD, HEAD_LEN) == 0;
}

/* Statuses that nta answers with before any of our code has seen the request:
 * broken, too large, wrong version, merged, queue full. */
static bool is_library_status(const struct iovec *iov, size_t n)
{
	static const char *const statuses[] = {
		"400", "413", "482", "503", "505"};
	const char *p;

	if (!is_response(iov, n) || iov[0].iov_len < HEAD_LEN + 3)
		return false;
	p = (const char *)iov[0].iov_base + HEAD_LEN;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (memcmp(p, statuses[i], 3) == 0)
			return true;
	return false;
}

/* The library asks before each datagram, to take away what an ICMP message
 * has left: sending takes it away as well (send_parts). */
int cure_su_soerror(su_socket_t s) __asm__("su_soerror");
int cure_su_soerror(su_socket_t s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	cures.calls[CURE_SU_SOERROR]++;
	if (!cures.testing && watched_find(s))
		return 0;
	(void)getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

static ssize_t send_parts(int fd, const struct msghdr *hdr, int flags)
{
	ssize_t len = sendmsg(fd, hdr, flags);

	/* That was an ICMP message's error, of an earlier datagram to anybody,
	 * or it comes again. */
	if (len < 0 && errno != EAGAIN && errno != EINTR && hdr->msg_name)
		len = sendmsg(fd, hdr, flags);
	return len;
}

issize_t cure_su_vsend(su_socket_t s, su_iovec_t const iov[], isize_t n,
	int flags, su_sockaddr_t const *su,
	socklen_t name_len) __asm__("su_vsend");
issize_t cure_su_vsend(su_socket_t s, su_iovec_t const iov[], isize_t n,
	int flags, su_sockaddr_t const *su, socklen_t name_len)
{
	const struct iovec *parts = (const struct iovec *)iov;
	struct msghdr hdr = {0};
	struct addr to;
	ssize_t len;

	cures.calls[CURE_SU_VSEND]++;
	if (cures.gate_shut && su && is_library_status(parts, (size_t)n) &&
		addr_from_sockaddr(&su->su_sa, name_len, &to) == 0 &&
		addr_equal_ip(&to, &cures.gate_source)) {
		reason_count(REASON_ADMIT_UNKNOWN_SOURCE);
		return (issize_t)total_len(parts, (size_t)n);
	}
	if (cures.sending_fn)
		cures.sending_fn(cures.sending_ctx, parts, (size_t)n);
	stat_add(STAT_SIP_TX, 1);
	hdr.msg_name = (void *)(uintptr_t)su;
	hdr.msg_namelen = name_len;
	hdr.msg_iov = (struct iovec *)(uintptr_t)parts;
	hdr.msg_iovlen = (size_t)n;
	len = send_parts(s, &hdr, flags);
	/* A final answer that "failed" puts its transaction into a queue where
	 * an ACK of the peer meets an assert (incoming_ack); and the peer, who
	 * names the port in its Via, can make sending fail. A datagram that is
	 * lost here is lost like any other. */
	if (len < 0 && errno != EAGAIN && errno != EINTR &&
		is_response(parts, (size_t)n))
		len = (ssize_t)total_len(parts, (size_t)n);
	return len;
}

int cures_send(const struct addr *local, const struct addr *to,
	const void *bytes, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct sockaddr_storage sa;
	struct msghdr hdr = {0};

	for (size_t i = 0; i < cures.n_sockets; i++) {
		if (!addr_equal(&cures.sockets[i].local, local))
			continue;
		hdr.msg_name = &sa;
		hdr.msg_namelen = addr_to_sockaddr(to, &sa);
		hdr.msg_iov = &iov;
		hdr.msg_iovlen = 1;
		return send_parts(cures.sockets[i].fd, &hdr, MSG_NOSIGNAL) < 0
			       ? ERR_SYSTEM
			       : 0;
	}
	return ERR_NOT_FOUND;
}

/* ------------------------------------------------------------ log, begin */

/* The library's log lines may come in parts, and hold peers' words: log.h
 * quotes them. */
static void __attribute__((format(printf, 2, 0)))
on_library_log(void *stream, const char *fmt, va_list ap)
{
	static struct log_site site;
	char text[512];
	size_t len;

	(void)stream;
	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		return;
	len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		text[--len] = '\0';
	if (len > 0)
		LOG_AT(LOG_LEVEL_DEBUG, &site, "sip_library",
			LOG_STR("text", text));
}

int cures_begin(void)
{
	static const char *const variables[] = {"SIPCOMPACT", "SIP_UDP_CONNECT",
		"SOFIA_DEBUG", "SU_DEBUG", "NTA_DEBUG", "TPORT_DEBUG",
		"TPORT_LOG", "TPORT_DUMP", "TPORT_DUMP_FILE", "TPORT_ALLOW",
		"SRESOLV_CONF", "SRESOLV_DEBUG", "SU_PORT", "SU_LOG"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if (unsetenv(variables[i]) != 0)
			return ERR_SYSTEM;
	su_init();
	su_log_redirect(NULL, on_library_log, NULL);
	su_log_redirect(nta_log, on_library_log, NULL);
	su_log_redirect(tport_log, on_library_log, NULL);
	su_log_set_level(NULL, 0);
	su_log_set_level(tport_log, 0);
	su_log_set_level(nta_log, log_enabled(LOG_LEVEL_DEBUG) ? 3 : 0);
	return 0;
}

void cures_forget_all(void)
{
	cures.n_sockets = 0;
	cures.read_fd = -1;
}
