/* SPDX-License-Identifier: Apache-2.0 */
/* What stack.c and listener.c share. */
#ifndef SBC_STACK_INNER_H
#define SBC_STACK_INNER_H

#include "common/device.h"
#include "sbc/merge.h"
#include "sbc/sbc.h"
#include "sbc/stack.h"

enum node_state { NODE_ASKED, NODE_HELD, NODE_OPEN, NODE_FAILED };

/* A listener and what it is made of. */
struct node {
	struct listener pub;
	enum node_state state;
	int fd; /* NODE_HELD, NODE_OPEN: keeper's socket */
	char device[DEVICE_NAME_SIZE]; /* that it was asked for; "" = any */
	bool wanted;                   /* the snapshot in force names it */
	bool told;                     /* that it could not be opened */
	char host[256]; /* of pub.advertised_host, as the Via shows them */
	char port[8];
	struct node *next;
};

struct stack {
	struct sbc *sbc;
	nta_agent_t *agent;
	struct node *nodes;
	size_t n_nodes;
	struct loop_timer *retry_timer;
	uint8_t tag_key[16];
	unsigned retry_after_s;
	struct merges *merges;
	stack_orphan_fn orphan_fn;
	stack_asleep_fn asleep_fn;
	/* Where flowd connects to: one tport for all listeners for
	 * connections. */
	struct node *bridge;
};

/** The tag of an answer without state: 64 bits in base32 of a text that is the
 * same for every retransmission. */
#define STACK_TAG_SIZE 14
void stack_make_tag(
	struct stack *stack, const char *key, size_t len, char *text);
/** The open listener at an address, or NULL. */
struct node *stack_node_at(
	struct stack *stack, const struct addr *local, Gh__Transport transport);
/** The listener of a tport for datagrams, or NULL. */
struct node *stack_node_of(struct stack *stack, const tport_t *tport);
/** Asks keeper again for what could not be opened. */
void stack_on_retry(void *arg);
/** After the agent is gone. */
void stack_free_nodes(struct stack *stack);

#endif
