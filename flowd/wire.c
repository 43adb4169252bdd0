/* SPDX-License-Identifier: Apache-2.0 */
#include "flowd/wire.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *last_problem = "closed";

const char *wire_problem(void)
{
	return last_problem;
}

/* Renegotiation is refused by an alert, which a peer may ask for over and
 * over: it is the end of the connection. */
static void on_info(const SSL *ssl, int where, int value)
{
	struct wire *w = SSL_get_app_data(ssl);

	if (where == SSL_CB_WRITE_ALERT &&
		(value & 0xff) == SSL_AD_NO_RENEGOTIATION)
		w->was_refused = true;
}

int wire_secure(struct wire *w, SSL_CTX *ctx, bool is_server)
{
	w->ssl = SSL_new(ctx);
	if (!w->ssl)
		return ERR_NOMEM;
	if (SSL_set_fd(w->ssl, w->fd) != 1) {
		SSL_free(w->ssl);
		w->ssl = NULL;
		return ERR_NOMEM;
	}
	(void)SSL_set_app_data(w->ssl, w);
	SSL_set_info_callback(w->ssl, on_info);
	if (is_server)
		SSL_set_accept_state(w->ssl);
	else
		SSL_set_connect_state(w->ssl);
	return 0;
}

static int from_errno(int error)
{
	switch (error) {
	case EAGAIN:
		return ERR_AGAIN;
	case ECONNRESET:
	case EPIPE:
		last_problem = "reset by the peer";
		return ERR_CLOSED;
	default:
		last_problem = "the network failed";
		return ERR_TIMEOUT;
	}
}

/* What an SSL call that did not succeed means. */
static int from_ssl(struct wire *w, int rc, bool reading)
{
	int saved = errno;
	unsigned long e;
	const char *text;

	switch (SSL_get_error(w->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		w->write_wants_read = !reading;
		return ERR_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		w->read_wants_write = reading;
		return ERR_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		last_problem = "closed";
		return ERR_CLOSED;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		if (saved == 0) {
			last_problem = "closed without a word";
			return ERR_CLOSED;
		}
		return from_errno(saved);
	default:
		e = ERR_peek_error();
		text = ERR_reason_error_string(e);
		last_problem = text ? text : "broken TLS record";
		ERR_clear_error();
		if (ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return ERR_CLOSED;
		return ERR_INVALID;
	}
}

int wire_handshake(struct wire *w)
{
	int rc, err;

	w->read_wants_write = w->write_wants_read = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(w->ssl);
	if (rc == 1)
		return 0;
	err = from_ssl(w, rc, true);
	return err == ERR_INVALID ? ERR_REFUSED : err;
}

int wire_read(struct wire *w, uint8_t *bytes, size_t size)
{
	ssize_t n;
	int rc;

	if (!w->ssl) {
		do
			n = recv(w->fd, bytes, size, MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
		if (n > 0)
			return (int)n;
		if (n == 0)
			last_problem = "closed";
		return n == 0 ? ERR_CLOSED : from_errno(errno);
	}
	w->read_wants_write = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_read(w->ssl, bytes, size > INT_MAX ? INT_MAX : (int)size);
	if (w->was_refused) {
		ERR_clear_error();
		last_problem = "renegotiation";
		return ERR_INVALID;
	}
	return rc > 0 ? rc : from_ssl(w, rc, true);
}

int wire_write(struct wire *w, const uint8_t *bytes, size_t len)
{
	ssize_t n;
	int rc;

	if (!w->ssl) {
		do
			n = send(
				w->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		return n >= 0 ? (int)n : from_errno(errno);
	}
	w->write_wants_read = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_write(w->ssl, bytes, len > INT_MAX ? INT_MAX : (int)len);
	return rc > 0 ? rc : from_ssl(w, rc, false);
}

bool wire_has_pending(const struct wire *w)
{
	return w->ssl && SSL_has_pending(w->ssl);
}

void wire_say_end(struct wire *w)
{
	if (w->fd < 0)
		return;
	if (w->ssl && SSL_is_init_finished(w->ssl)) {
		ERR_clear_error();
		(void)SSL_shutdown(w->ssl);
		ERR_clear_error();
	}
	(void)shutdown(w->fd, SHUT_WR);
}

void wire_close(struct wire *w)
{
	SSL_free(w->ssl);
	w->ssl = NULL;
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
}
