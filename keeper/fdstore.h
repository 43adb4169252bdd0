/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that daemons deposit, so that live state and media sockets
 * outlive them. keeper never looks into one. A name belongs to one daemon; a
 * second deposit under it takes the first one's place, because a daemon that
 * comes back deposits everything again. Nobody else's names can be reached.
 *
 * Bounded twice: per daemon, and in total below the process's own limit of
 * descriptors, so that no daemon can keep keeper from starting another.
 */
#ifndef KEEPER_FDSTORE_H
#define KEEPER_FDSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "common/err.h"
#include "common/notify.h"
#include "common/process.h"
#include "common/table.h"

/** "mediad/" and a name. */
#define FDSTORE_KEY_SIZE (16 + NOTIFY_FDNAME_MAX)

struct fdstore_entry {
	TAILQ_ENTRY(fdstore_entry) next; /* of its owner, oldest first */
	struct table_node node;
	char key[FDSTORE_KEY_SIZE]; /* "<process>/<name>" */
	const char *name;           /* within key */
	bool settled;               /* whether systemd should have it */
	bool passed;                /* it has */
	size_t n_fds;
	int fds[];
};

TAILQ_HEAD(fdstore_list, fdstore_entry);

struct fdstore {
	struct table by_key;
	size_t max_fds, max_fds_each;
	size_t n_fds;
	struct fdstore_owner {
		struct fdstore_list entries;
		size_t n_fds;
		struct fdstore_entry *given; /* next one to give back */
	} owners[PROCESS_COUNT];
	/* A descriptor has come; may be NULL. */
	void (*on_put)(void *ctx, int fd);
	void *ctx;
	/* May be NULL: an entry is new; one that was passed on has gone. */
	void (*on_new)(void *handover, struct fdstore_entry *entry);
	void (*on_forget)(void *handover, const struct fdstore_entry *entry);
	void *handover;
};

/** @param max_fds, max_fds_each caps in total and per daemon.
 * @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int fdstore_init(
	struct fdstore *s, size_t max_fds, size_t max_fds_each);
/** Closes everything; on_forget is not called. */
void fdstore_done(struct fdstore *s);

/**
 * Holds n_fds descriptors under name; they are taken in any case.
 * @param name	shorter than NOTIFY_FDNAME_MAX, printable, without blanks.
 * @return 0; ERR_INVALID for the name or no descriptor; ERR_FULL; ERR_NOMEM.
 */
GH_MUST_CHECK int fdstore_put(struct fdstore *s, enum process owner,
	const char *name, const int *fds, size_t n_fds);
/** @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int fdstore_remove(
	struct fdstore *s, enum process owner, const char *name);

/** Starts to give back to owner from its oldest entry. */
void fdstore_rewind(struct fdstore *s, enum process owner);
/** The entry whose turn it is, still the store's; fdstore_given() once it has
 * been sent. @return NULL when all have had theirs. */
const struct fdstore_entry *fdstore_peek(
	const struct fdstore *s, enum process owner);
void fdstore_given(struct fdstore *s, enum process owner);

#endif
