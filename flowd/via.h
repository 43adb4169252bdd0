/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Via surgery that a bridge between a peer's connection and sbc's local
 * one needs. sbc's SIP library drops a message whose top Via names another
 * transport than TCP, and 127.0.0.1 must never reach a peer; so
 *
 *	request from the peer	one Via of ours is put on top (via_push)
 *	its response		that Via is taken off again (via_pop)
 *	request from sbc	its top Via gets the listener's transport and
 *				advertised sent-by (via_replace)
 *	its response		the top Via gets sbc's own back (via_replace)
 *
 * Works on one whole message as frame.h delivers it. Pure. RFC 3261 18, 20.42,
 * RFC 3581 (received and rport of the peer's own Via).
 */
#ifndef FLOWD_VIA_H
#define FLOWD_VIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"

#define VIA_SENT_BY_SIZE   280
#define VIA_TRANSPORT_SIZE 8

/** The first Via value of a message, as offsets into its bytes. */
struct via {
	size_t line;      /* start of the header line */
	size_t line_end;  /* behind the line's CRLF, folds included */
	size_t value;     /* start of the first value */
	size_t value_end; /* end of the first value: at ',' or the CRLF */
	bool alone;       /* the line has no second value */
	size_t transport, transport_end;
	size_t sent_by, sent_by_end;
	size_t params;             /* first ';' or value_end */
	size_t branch, branch_end; /* its value; both 0 if there is none */
};

/** A response begins with "SIP/2.0 ". */
bool via_is_response(const uint8_t *bytes, size_t len);

/** Finds the topmost Via. @return 0, ERR_NOT_FOUND, or ERR_INVALID. */
GH_MUST_CHECK int via_find(
	const uint8_t *bytes, size_t header_len, struct via *via_out);

/**
 * What names the transaction that a top Via belongs to: the branch if it has
 * RFC 3261's cookie, the whole value otherwise (17.2.3: both are the same in a
 * request, its ACK and its CANCEL).
 */
void via_identity(const uint8_t *bytes, const struct via *via,
	const uint8_t **id_out, size_t *len_out);

/** Writes one Via value with received and rport set from peer, for an answer
 * (RFC 3261 18.2.1, RFC 3581 4). @return length, or ERR_TOO_BIG. */
GH_MUST_CHECK int via_answer(const uint8_t *bytes, const struct via *via,
	const struct addr *peer, uint8_t *out, size_t size);

/**
 * Writes the message with a Via of ours on top:
 * "Via: SIP/2.0/TCP <sent_by>;branch=z9hG4bK<branch>;rport". The peer's own
 * top Via gets received (and rport's value, if it asked) from peer.
 * @return length, or ERR_TOO_BIG, ERR_NOT_FOUND, ERR_INVALID.
 */
GH_MUST_CHECK int via_push(const uint8_t *bytes, size_t len, size_t header_len,
	const char *sent_by, const char *branch, const struct addr *peer,
	uint8_t *out, size_t size);

/** Writes the message without its topmost Via value.
 * @return length, or ERR_TOO_BIG, ERR_NOT_FOUND, ERR_INVALID. */
GH_MUST_CHECK int via_pop(const uint8_t *bytes, size_t len, size_t header_len,
	uint8_t *out, size_t size);

/**
 * Writes the message with other transport and sent-by in the topmost Via; the
 * parameters stay.
 * @param old_sent_by	NULL, or VIA_SENT_BY_SIZE bytes for what stood there.
 * @return length, or ERR_TOO_BIG, ERR_NOT_FOUND, ERR_INVALID.
 */
GH_MUST_CHECK int via_replace(const uint8_t *bytes, size_t len,
	size_t header_len, const char *transport, const char *sent_by,
	char *old_sent_by, uint8_t *out, size_t size);

#endif
