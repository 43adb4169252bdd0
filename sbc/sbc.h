/* SPDX-License-Identifier: Apache-2.0 */
/* The process context of sbc: who there is. main.c makes and frees it. */
#ifndef SBC_SBC_H
#define SBC_SBC_H

#include "common/daemon.h"
#include "sbc/account.h"
#include "sbc/admit.h"
#include "sbc/auth.h"
#include "sbc/authd.h"
#include "sbc/binding.h"
#include "sbc/call.h"
#include "sbc/call_report.h"
#include "sbc/cdr.h"
#include "sbc/event.h"
#include "sbc/flow.h"
#include "sbc/locate.h"
#include "sbc/locate_inside.h"
#include "sbc/media.h"
#include "sbc/save.h"
#include "sbc/settings.h"
#include "sbc/stack.h"
#include "sbc/wait.h"

struct pages; /* page.h */

struct sbc {
	struct daemon daemon;
	struct settings
		*settings; /* the snapshot in force; NULL until the first */
	struct authd *authd;
	struct media *media;
	struct accounts *accounts;
	struct bindings *bindings;
	struct admit *admit;
	struct auth *auth;
	struct calls *calls;
	struct sleepers *sleepers; /* owned by calls; NULL: nobody sleeps */
	struct cdrs *cdrs;
	struct meters *meters;
	struct talkers *talkers; /* may be NULL (tests) */
	struct trunks *trunks;   /* owned by calls */
	struct stack *stack;
	struct flows *flows;
	struct locator *locator;
	struct local_nets local_nets; /* as they were at the start */
	struct waits *waits;
	struct events *events;
	struct pages *pages;
	struct ctl *ctl;
	struct drain *drain; /* NULL: none (tests) */
	struct leg *sending; /* whose INVITE is about to leave; NULL = none */
	struct saves *saves; /* NULL: nothing outlives the process (tests) */
	struct call_report *report;
	struct loop_timer *ready_timer;
	bool said_ready;
};

/** For saves_new(). */
extern const struct save_owners sbc_save_owners;

/** Puts a new snapshot in force everywhere (takes the reference). */
void sbc_apply(struct sbc *sbc, struct settings *settings);

/** Gives up what SIP does not need: the only files are the sockets below
 * runtime_dir. Listeners opened afterwards come from keeper.
 * @return as daemon_sandbox(). */
GH_MUST_CHECK int sbc_sandbox(struct sbc *sbc, const char *runtime_dir);

#endif
