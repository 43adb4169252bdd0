/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packaged sofia-sip (1.12.11) needs before it may face a network.
 * The library is used as Debian ships it: the cures are functions of its own
 * name in our executable, which the dynamic linker prefers (link with
 * -rdynamic), and cures_self_test() proves at every start that the library
 * really calls them.
 *
 *	fault of the library			cure
 *	resolves a Via's host name by blocking	getaddrinfo, su_getaddrinfo take
 *	getaddrinfo() inside the loop		numbers only
 *	answers to where maddr or a wrong	su_getmsgsize reads the datagram
 *	version point (reflection); answers	and hides it unless it passes
 *	STUN on the SIP port; quadratic time	admit and cures_check_datagram;
 *	in the number of headers		su_vrecv hands it over
 *	two more system calls per datagram	su_getmsgsize, su_soerror
 *	answers broken requests of anybody	su_vsend swallows what the
 *library with 400 before we are asked		answers to a stranger by itself
 *	asserts when an ACK comes for an	su_vsend: an answer that cannot
 *	answer that could not be sent		be sent is as good as lost
 *	reads all that waits on a connection	su_getmsgsize tells of a part
 *	into one message, and ends the		at a time
 *	connection if that is too large
 *	makes its own sockets			bind puts keeper's in place
 *	"TEST" datagram to itself at creation	sendto and recvfrom pretend, so
 *	swallows the first queued request	that nothing leaves or is read
 *	its loop spins before each timer	epoll_create tells us its epoll
 *						descriptor for loop_sofia.c,
 *						epoll_ctl marks what is the
 *						library's in it, epoll_wait
 *						hands it over
 *	prints to standard error; log calls	all logs off but nta's, which go
 *	overflow in tport			to log.h at debug
 *	reads SIPCOMPACT, TPORT_DUMP ... from	the variables are removed
 *	the environment
 *
 * Two traps that have no cure here, for callers of NTA:
 *  - an ACK on a leg whose INVITE client transaction is gone aborts the
 *    process (assert in outgoing_ack): always pass NTATAG_ACK_BRANCH, also
 *    for the first ACK, and give it the branch of a transaction of ours or a
 *    fresh one ("z9hG4bK" and random characters);
 *  - a header pointer out of a sip_t lives as long as its message: copy with
 *    *_dup() into a home of one's own before keeping it.
 *
 * One thread. The state is the process's: there is one library per process.
 */
#ifndef SBC_SOFIA_CURES_H
#define SBC_SOFIA_CURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/log.h"
#include "common/reason.h"

/** Largest SIP datagram that is read; a phone's is 1 to 4 kB. */
#define CURES_DATAGRAM_MAX   32768u
/** Read from a connection at a time. */
#define CURES_CHUNK_MAX      16384u
/** Largest message on a connection, which flowd has judged by the settings: of
 * the largest header and body that they allow, with what flowd adds to it, and
 * what is read behind it. */
#define CURES_MESSAGE_MAX    (2 * 65536u + 4096u + CURES_CHUNK_MAX)
/** Header lines, folded ones counted, of one message. */
#define CURES_LINES_MAX      160u
/** Commas and semicolons in the header part: each is an object to sofia. */
#define CURES_SEPARATORS_MAX 1200u
/** SIP sockets that can be open. */
#define CURES_SOCKETS_MAX    256u

/** Functions that the library must reach through us. */
enum cure {
	CURE_GETADDRINFO,
	CURE_SU_GETADDRINFO,
	CURE_SU_GETMSGSIZE,
	CURE_SU_VRECV,
	CURE_SU_SOERROR,
	CURE_SU_VSEND,
	CURE_BIND,
	CURE_SENDTO,
	CURE_RECVFROM,
	CURE_EPOLL_CREATE,
	CURE_EPOLL_CTL,
	CURE_EPOLL_WAIT,
	CURE_COUNT,
};
const char *cure_name(enum cure c);
/** How often the library has called it. */
uint64_t cure_calls(enum cure c);

/**
 * Asked for every datagram on an adopted socket, before it is parsed.
 * @param stranger_out	true: the library's own error answers to this source
 *			are swallowed.
 * @return REASON_ADMIT_OK, or why to drop it unread (it counts itself).
 */
typedef enum reason (*cures_datagram_fn)(void *ctx, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len,
	bool *stranger_out);

/** Shown every datagram that passed all checks. @return whether it is done
 * with: the library does not get it. */
typedef bool (*cures_checked_fn)(void *ctx, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len);
/** NULL: all go to the library. */
void cures_on_checked(cures_checked_fn fn, void *ctx);

/**
 * Asked before bytes of an accepted connection are read.
 * @return 1: read; 0: not now (it is asked again); else: the connection is
 *	shut.
 */
typedef int (*cures_stream_fn)(void *ctx, const struct addr *source);
/** NULL: streams are read as they come. */
void cures_on_stream(cures_stream_fn fn, void *ctx);

/** Prepares environment, library and its log; call before any su_root exists.
 * @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int cures_begin(void);
/** Called before a message leaves for the network; the parts are the library's.
 * NULL ends it. */
typedef void (*cures_sending_fn)(
	void *ctx, const struct iovec *parts, size_t n_parts);
void cures_on_sending(cures_sending_fn fn, void *ctx);
/** NULL: datagrams are only checked by cures_check_datagram(). */
void cures_on_datagram(cures_datagram_fn fn, void *ctx);

/**
 * Lets the library run against each cure on loopback.
 * @param problem_out	static text: the first cure that is not reached.
 * @return 0, or ERR_SYSTEM: sbc must not start.
 */
GH_MUST_CHECK int cures_self_test(const char **problem_out);

/**
 * The next bind() of the library to `local` takes fd in place (a copy; fd
 * stays the caller's). @return 0, ERR_FULL, or ERR_SYSTEM.
 */
GH_MUST_CHECK int cures_adopt_begin(int fd, const struct addr *local);
/** Ends it. @return 0, or ERR_NOT_FOUND if no bind() came. */
GH_MUST_CHECK int cures_adopt_end(void);

/** Begins to watch for the library's epoll descriptor. */
void cures_epoll_begin(void);
/** @return the descriptor that was made since, or -1. The library closes it. */
int cures_epoll_end(void);
/** Nothing is the library's any more. */
void cures_epoll_forget(void);

/**
 * One descriptor for the library and our loop: an epoll within an epoll costs
 * a second epoll_wait() per event, and the kernel a second wake-up. These two
 * are for what is ours in it (epoll_ctl() itself would mark it).
 * cures_epoll_wait() keeps what is the library's; su_root_step(root, 0) takes
 * one of it at a time, without a system call.
 * @return as the kernel does.
 */
int cures_epoll_ctl(int fd, int op, int target, struct epoll_event *event);
int cures_epoll_wait(int fd, struct epoll_event *events, int max, int wait_ms);
/** Whether something is kept for the library. */
bool cures_epoll_pending(void);

/** The datagram under way has reached our code, or is done with: what is sent
 * from here is ours. */
void cures_answer_is_ours(void);

/** Sends bytes from the adopted socket at local: for keep-alives, which are no
 * SIP, and for answers that the library has no part in. @return 0,
 * ERR_NOT_FOUND, or ERR_SYSTEM. */
GH_MUST_CHECK int cures_send(const struct addr *local, const struct addr *to,
	const void *bytes, size_t len);

/**
 * The textual checks of a datagram, pure: first line, line and separator
 * counts, every Via (RFC 3261 20.42; compact form, folding, blanks), the
 * mandatory headers. No allocation, one pass.
 * @return REASON_ADMIT_OK; REASON_NONE for a keep-alive (only CR and LF, or
 *	empty); or the refusal.
 */
enum reason cures_check_datagram(const uint8_t *bytes, size_t len);

#endif
