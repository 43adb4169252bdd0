/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define LISTEN_NAME "listen/"
#define NAME_SIZE   (FDSTORE_KEY_SIZE + ADDR_TEXT_SIZE)

struct handover_name {
	TAILQ_ENTRY(handover_name) next;
	char text[];
};

static void name_of(const struct listener *s, char name[NAME_SIZE])
{
	char local[ADDR_TEXT_SIZE];

	snprintf(name, NAME_SIZE, LISTEN_NAME "%s/%s",
		notify_kind_name(s->kind), addr_format(&s->local, local));
}

/* @return whether it is settled: systemd has it, or it is not meant for it. An
 * entry of several descriptors is not: systemd does not keep their order. */
static bool entry_pass(struct handover *h, struct fdstore_entry *e)
{
	if (e->settled)
		return true;
	e->settled = e->n_fds > 1 || !systemd_wants(e->fds[0]);
	if (!e->settled)
		e->settled = e->passed =
			systemd_store(h->systemd, e->key, e->fds[0]);
	return e->settled;
}

static bool listener_pass(struct handover *h, struct listener *s)
{
	char name[NAME_SIZE];

	if (s->passed || s->fd < 0)
		return true;
	name_of(s, name);
	s->passed = systemd_store(h->systemd, name, s->fd);
	return s->passed;
}

static bool forget_all(struct handover *h)
{
	struct handover_name *n;

	while ((n = TAILQ_FIRST(&h->gone))) {
		if (!systemd_forget(h->systemd, n->text))
			return false;
		TAILQ_REMOVE(&h->gone, n, next);
		free(n);
	}
	return true;
}

void handover_retry(struct handover *h)
{
	struct fdstore_entry *e;
	struct listener *s;

	if (!h->behind || !forget_all(h))
		return;
	TAILQ_FOREACH (s, &h->listeners->held, next) {
		if (!listener_pass(h, s))
			return;
	}
	for (int p = 0; p < PROCESS_COUNT; p++) {
		TAILQ_FOREACH (e, &h->store->owners[p].entries, next) {
			if (!entry_pass(h, e))
				return;
		}
	}
	h->behind = false;
}

/* -------------------------------------------------------------------- hooks */

static void on_new(void *ctx, struct fdstore_entry *e)
{
	struct handover *h = ctx;

	if (h->behind || !entry_pass(h, e))
		h->behind = true;
}

static void on_open(void *ctx, struct listener *s)
{
	struct handover *h = ctx;

	if (h->behind || !listener_pass(h, s))
		h->behind = true;
}

/* The next keeper must not get back what a daemon gave up. */
static void forget(struct handover *h, const char *name)
{
	const size_t size = strlen(name) + 1;
	struct handover_name *n;

	if (!h->behind && systemd_forget(h->systemd, name))
		return;
	h->behind = true;
	n = malloc(sizeof(*n) + size);
	if (!n) {
		log_err("systemd_forget", LOG_STR("name", name),
			LOG_ERR(ERR_NOMEM));
		return;
	}
	memcpy(n->text, name, size);
	TAILQ_INSERT_TAIL(&h->gone, n, next);
}

static void on_forget(void *ctx, const struct fdstore_entry *e)
{
	forget(ctx, e->key);
}

static void on_close(void *ctx, const struct listener *s)
{
	char name[NAME_SIZE];

	name_of(s, name);
	forget(ctx, name);
}

/* -------------------------------------------------------------- begin, end */

static int take_entry(struct handover *h, const char *key, int fd)
{
	char process[16], name[NOTIFY_FDNAME_MAX];
	struct fdstore_entry *e;
	enum process owner;
	int end = 0, rc;

	if (sscanf(key, "%15[^/]/%95s%n", process, name, &end) != 2 ||
		key[end] || process_from_name(process, &owner)) {
		close(fd);
		return ERR_INVALID;
	}
	rc = fdstore_put(h->store, owner, name, &fd, 1);
	if (rc == 0) {
		e = TAILQ_LAST(&h->store->owners[owner].entries, fdstore_list);
		e->settled = e->passed = true;
	}
	return rc;
}

static void on_systemd_fd(void *ctx, const char *key, int fd)
{
	struct handover *h = ctx;
	int rc;

	if (!strncmp(key, LISTEN_NAME, sizeof(LISTEN_NAME) - 1)) {
		rc = listeners_adopt(h->listeners, PROCESS_COUNT, fd);
		if (rc == 0)
			TAILQ_LAST(&h->listeners->held, listener_list)->passed =
				true;
	} else {
		rc = take_entry(h, key, fd);
	}
	if (rc)
		log_warning("systemd_fd", LOG_STR("name", key), LOG_ERR(rc));
	else
		log_info("systemd_fd", LOG_STR("name", key));
}

void handover_begin(struct handover *h)
{
	TAILQ_INIT(&h->gone);
	h->behind = false;
	systemd_take(on_systemd_fd, h);
	if (h->systemd->fd < 0)
		return;
	h->store->on_new = on_new;
	h->store->on_forget = on_forget;
	h->store->handover = h;
	h->listeners->on_open = on_open;
	h->listeners->on_close = on_close;
	h->listeners->ctx = h;
}

void handover_end(struct handover *h)
{
	struct handover_name *n;

	h->store->on_new = NULL;
	h->store->on_forget = NULL;
	h->listeners->on_open = NULL;
	h->listeners->on_close = NULL;
	while (h->gone.tqh_last && (n = TAILQ_FIRST(&h->gone))) {
		TAILQ_REMOVE(&h->gone, n, next);
		free(n);
	}
}
