/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of error codes. A fallible function returns 0 or one of these
 * as a negative number; what went wrong for a caller of ours (a phone, a
 * trunk, an administrator) is a reason (reason.h), never an error code.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#define GH_MUST_CHECK        __attribute__((warn_unused_result))
#define GH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
	ERR_NOMEM = -1,     /* out of memory, or a fixed pool is full */
	ERR_INVALID = -2,   /* the bytes or arguments break their own rules */
	ERR_TOO_BIG = -3,   /* over a bound that the callee enforces */
	ERR_TRUNCATED = -4, /* ends before it is complete */
	ERR_NOT_FOUND = -5, /* no such thing */
	ERR_EXISTS = -6,    /* there is one already */
	ERR_AWAY = -7,      /* the peer process or server is not connected */
	ERR_FULL = -8,      /* a queue or table is at its cap: shed the work */
	ERR_TIMEOUT = -9,   /* the deadline passed */
	ERR_REFUSED = -10,  /* not permitted */
	ERR_AGAIN = -11,    /* nothing to do now */
	ERR_CLOSED = -12,   /* the peer has gone */
	ERR_SYSTEM = -13,   /* the kernel said no; errno tells why */
	ERR_VERSION = -14,  /* made by a version that we do not understand */
	ERR_CORRUPT = -15,  /* a checksum or an authentication tag is wrong */
	ERR_STATE = -16,    /* not allowed in the present state */
	ERR_LAST = -16,
};

/**
 * Says what an error code means, in a few lower-case words.
 * @param err	0 or an enum err; other numbers read "unknown error".
 * @return static text, never NULL.
 */
const char *err_text(int err);

#endif
