/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's memory homes, by the names and with the meaning that su_alloc.h
 * gives them; sofia_home.h says why they are ours. A home is a block of memory
 * with pieces in a list; a piece may be a home itself, which ends with its
 * parent. The first pieces of a message come out of one larger piece, the
 * preload, and go with it.
 *
 *	home:	| link | struct su_home_s, or what begins with it | block |
 *	piece:	| link | bytes |
 *
 * Does not lock: there is one thread. The mutex that su_home_threadsafe() makes
 * for a home is taken by nobody else and goes with the home.
 *
 * Called by the library and by everything of ours that holds a su_home_t.
 */
#include "config.h"

#include "sbc/sofia_home.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "common/heap.h"

/* Stands before each piece. */
struct link {
	struct link *next;
	uintptr_t back; /* the pointer to this one; lowest bit: it is a home */
};
#define IS_HOME     ((uintptr_t)1)

#define ALIGN(n)    (((size_t)(n) + 15) & ~(size_t)15)
#define PIECE_MAX   ((size_t)INT_MAX)
/* The library counts what it wants before a message in 16 bits. */
#define PRELOAD_MAX ((size_t)UINT16_MAX & ~(size_t)15)

struct su_block_s {
	struct link *first;
	su_home_t *parent;
	void (*destructor)(void *home);
	char *preload;
	uint32_t preload_size, preload_used;
	uint32_t n_refs;
	bool apart;   /* this block is a piece of memory of its own */
	bool made;    /* the home is: it is freed with the last reference */
	bool lasting; /* its pieces are */
};

_Static_assert(sizeof(struct link) == 16, "pieces stay aligned");

static struct link *link_of(void *piece)
{
	return (struct link *)piece - 1;
}

static void *piece_of(struct link *l)
{
	return l + 1;
}

static void add(su_block_t *b, struct link *l, uintptr_t is_home)
{
	l->next = b->first;
	l->back = (uintptr_t)&b->first | is_home;
	if (l->next != NULL)
		l->next->back = (uintptr_t)&l->next | (l->next->back & IS_HOME);
	b->first = l;
}

/* A piece that is not where its neighbours say was freed twice, or through
 * another home, or written over. */
static void take_out(struct link *l)
{
	struct link **at = (struct link **)(l->back & ~IS_HOME);

	if (*at != l)
		abort();
	*at = l->next;
	if (l->next != NULL)
		l->next->back = (uintptr_t)at | (l->next->back & IS_HOME);
}

static bool in_preload(const su_block_t *b, const void *piece)
{
	const char *p = piece;

	return b->preload != NULL && p >= b->preload &&
	       p < b->preload + b->preload_size;
}

static struct link *take(const su_block_t *b, size_t size, bool zero)
{
	size_t all = sizeof(struct link) + size;

	if (b->lasting)
		return heap_lasting(all);
	return zero ? calloc(1, all) : malloc(all);
}

static void *alloc(su_home_t *home, size_t size, bool zero)
{
	su_block_t *b = home->suh_blocks;
	struct link *l;
	void *p;

	if (size == 0)
		return NULL;
	if (size > PIECE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	if (b == NULL) {
		if (su_home_init(home) != 0)
			return NULL;
		b = home->suh_blocks;
	}
	if (size <= b->preload_size - b->preload_used) {
		p = b->preload + b->preload_used;
		b->preload_used += (uint32_t)((size + 7) & ~(size_t)7);
		if (b->preload_used > b->preload_size)
			b->preload_used = b->preload_size;
		return zero ? memset(p, 0, size) : p;
	}
	l = take(b, size, zero);
	if (l == NULL)
		return NULL;
	add(b, l, 0);
	return piece_of(l);
}

/* ------------------------------------------------------------------- homes */

static size_t n_made;

size_t homes_made(void)
{
	return n_made;
}

static void *make_home(size_t size, su_home_t *parent, bool lasting)
{
	size_t all = sizeof(struct link) + ALIGN(size) + sizeof(su_block_t);
	struct link *l;
	su_home_t *home;
	su_block_t *b;

	if (size < sizeof *home || size > PIECE_MAX) {
		errno = size < sizeof *home ? EINVAL : ENOMEM;
		return NULL;
	}
	if (parent != NULL && parent->suh_blocks == NULL &&
		su_home_init(parent) != 0)
		return NULL;
	l = lasting ? heap_lasting(all) : calloc(1, all);
	if (l == NULL)
		return NULL;
	home = piece_of(l);
	b = (su_block_t *)(void *)((char *)home + ALIGN(size));
	n_made++;
	b->n_refs = 1;
	b->made = true;
	b->lasting = lasting;
	b->parent = parent;
	home->suh_size = (int)size;
	home->suh_blocks = b;
	if (parent != NULL)
		add(parent->suh_blocks, l, IS_HOME);
	return home;
}

void *su_home_new(isize_t size)
{
	return make_home((size_t)size, NULL, false);
}

void *home_new_lasting(size_t size)
{
	return make_home(size, NULL, true);
}

void *su_home_clone(su_home_t *parent, isize_t size)
{
	return make_home((size_t)size, parent, false);
}

su_home_t *su_home_create(void)
{
	return su_home_new(sizeof(su_home_t));
}

int su_home_init(su_home_t *home)
{
	su_block_t *b;

	if (home == NULL)
		return -1;
	home->suh_lock = NULL;
	home->suh_blocks = b = calloc(1, sizeof *b);
	if (b == NULL)
		return -1;
	b->n_refs = 1;
	b->apart = true;
	return 0;
}

su_home_t *su_home_auto(void *area, isize_t size)
{
	uintptr_t from = (uintptr_t)area;
	size_t before = ALIGN(from) - from, room = (size_t)size;
	size_t own =
		before + ALIGN(sizeof(su_home_t)) + ALIGN(sizeof(su_block_t));
	su_home_t *home;
	su_block_t *b;

	if (area == NULL || size < 0 || room < own)
		return NULL;
	home = memset((char *)area + before, 0, own - before);
	b = (su_block_t *)(void *)((char *)home + ALIGN(sizeof *home));
	home->suh_size = size;
	home->suh_blocks = b;
	b->n_refs = 1;
	b->preload = (char *)area + own;
	room -= own;
	b->preload_size = (uint32_t)(room < PRELOAD_MAX ? room : PRELOAD_MAX);
	return home;
}

void su_home_preload(su_home_t *home, isize_t n, isize_t size)
{
	size_t all = PRELOAD_MAX;
	su_block_t *b;
	struct link *l;

	if (home->suh_blocks == NULL && su_home_init(home) != 0)
		return;
	b = home->suh_blocks;
	if (b->preload != NULL || n <= 0 || size <= 0)
		return;
	if ((size_t)size <= PRELOAD_MAX &&
		(size_t)n <= PRELOAD_MAX / ALIGN(size))
		all = (size_t)n * ALIGN(size);
	l = take(b, all, false);
	if (l == NULL)
		return;
	add(b, l, 0);
	b->preload = piece_of(l);
	b->preload_size = (uint32_t)all;
	b->preload_used = 0;
}

/* The library's: NULL before the first home that has a mutex. */
extern void (*destroy_mutexes)(void *mutex) __asm__("_su_home_destroy_mutexes");

static void empty(su_home_t *home);

static void free_piece(struct link *l)
{
	bool is_home = (l->back & IS_HOME) != 0;

	take_out(l);
	if (is_home)
		empty(piece_of(l));
	free(l);
}

/* Ends everything in a home, whoever refers to it; not the home itself. */
static void empty(su_home_t *home)
{
	su_block_t *b = home->suh_blocks;
	void (*destructor)(void *home);
	void *mutex = home->suh_lock;

	if (b == NULL)
		return;
	b->n_refs = 0;
	destructor = b->destructor;
	b->destructor = NULL;
	if (destructor != NULL)
		destructor(home);
	while (b->first != NULL)
		free_piece(b->first);
	home->suh_lock = NULL;
	home->suh_blocks = NULL;
	if (b->apart)
		free(b);
	if (mutex != NULL)
		destroy_mutexes(mutex);
}

void su_home_deinit(su_home_t *home)
{
	if (home != NULL)
		empty(home);
}

void su_home_destroy(su_home_t *home)
{
	su_home_deinit(home);
}

void *su_home_ref(su_home_t const *home)
{
	if (home == NULL || home->suh_blocks == NULL ||
		home->suh_blocks->n_refs == 0)
		return NULL;
	if (home->suh_blocks->n_refs != UINT32_MAX)
		home->suh_blocks->n_refs++;
	return (void *)(uintptr_t)home;
}

int su_home_unref(su_home_t *home)
{
	su_block_t *b = home != NULL ? home->suh_blocks : NULL;
	bool made;

	if (b == NULL || b->n_refs == UINT32_MAX)
		return 0;
	if (b->n_refs > 1) {
		b->n_refs--;
		return 0;
	}
	if (b->parent != NULL) {
		free_piece(link_of(home));
		return 1;
	}
	made = b->made;
	empty(home);
	if (made)
		free(link_of(home));
	return 1;
}

size_t su_home_refcount(su_home_t *home)
{
	return home != NULL && home->suh_blocks != NULL
		       ? home->suh_blocks->n_refs
		       : 0;
}

int su_home_destructor(su_home_t *home, void (*destructor)(void *))
{
	if (home == NULL || home->suh_blocks == NULL ||
		home->suh_blocks->destructor != NULL)
		return -1;
	home->suh_blocks->destructor = destructor;
	return 0;
}

#undef su_home_desctructor
int su_home_desctructor(su_home_t *home, void (*destructor)(void *))
{
	return su_home_destructor(home, destructor);
}

su_home_t *su_home_parent(su_home_t const *home)
{
	return home != NULL && home->suh_blocks != NULL
		       ? home->suh_blocks->parent
		       : NULL;
}

int su_home_has_parent(su_home_t const *home)
{
	return su_home_parent(home) != NULL;
}

int su_home_move(su_home_t *dst, su_home_t *src)
{
	su_block_t *s = src != NULL ? src->suh_blocks : NULL;
	void (*destructor)(void *home);

	if (s == NULL || dst == src)
		return 0;
	/* Pieces that are nobody's have no way to be freed. */
	if (dst == NULL || (dst->suh_blocks == NULL && su_home_init(dst) != 0))
		return -1;
	destructor = s->destructor;
	s->destructor = NULL;
	if (destructor != NULL)
		destructor(src);
	/* What came out of it goes along with it. */
	if (s->apart || s->made) {
		s->preload = NULL;
		s->preload_size = s->preload_used = 0;
	}
	while (s->first != NULL) {
		struct link *l = s->first;
		uintptr_t is_home = l->back & IS_HOME;

		take_out(l);
		if (is_home)
			((su_home_t *)piece_of(l))->suh_blocks->parent = dst;
		add(dst->suh_blocks, l, is_home);
	}
	return 0;
}

/* ------------------------------------------------------------------ pieces */

/* A negative size is a very large one. */
void *su_alloc(su_home_t *home, isize_t size)
{
	return home != NULL ? alloc(home, (size_t)size, false)
			    : malloc((size_t)size);
}

void *su_zalloc(su_home_t *home, isize_t size)
{
	return home != NULL ? alloc(home, (size_t)size, true)
			    : calloc(1, (size_t)size);
}

void *su_salloc(su_home_t *home, isize_t size)
{
	int *piece;

	if (size < (isize_t)sizeof *piece) {
		errno = EINVAL;
		return NULL;
	}
	piece = su_zalloc(home, size);
	if (piece != NULL)
		*piece = (int)size;
	return piece;
}

void su_free(su_home_t *home, void *piece)
{
	if (piece == NULL)
		return;
	if (home == NULL)
		free(piece);
	else if (!in_preload(home->suh_blocks, piece))
		free_piece(link_of(piece));
}

void *su_realloc(su_home_t *home, void *piece, isize_t wanted)
{
	su_block_t *b = home != NULL ? home->suh_blocks : NULL;
	size_t had, size = (size_t)wanted;
	void *grown;

	if (home == NULL)
		return realloc(piece, size);
	if (piece == NULL)
		return alloc(home, size, false);
	if (size == 0) {
		su_free(home, piece);
		return NULL;
	}
	if (in_preload(b, piece)) {
		/* How long it was is not known; what follows it is ours too. */
		had = (size_t)(b->preload + b->preload_used - (char *)piece);
	} else {
		had = malloc_usable_size(link_of(piece)) - sizeof(struct link);
		if (size <= had && size >= had / 2)
			return piece;
	}
	grown = alloc(home, size, false);
	if (grown == NULL)
		return NULL;
	memcpy(grown, piece, had < size ? had : size);
	su_free(home, piece);
	return grown;
}

int su_in_home(su_home_t *home, void const *piece)
{
	return su_home_check_alloc(home, piece);
}

int su_home_check_alloc(su_home_t const *home, void const *piece)
{
	const su_block_t *b = home != NULL ? home->suh_blocks : NULL;

	if (b == NULL || piece == NULL)
		return 0;
	if (in_preload(b, piece))
		return 1;
	for (struct link *l = b->first; l != NULL; l = l->next)
		if (piece_of(l) == piece)
			return 1;
	return 0;
}

void su_home_check(su_home_t const *home)
{
	(void)home;
}
