/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Legs asleep (leg_sleep.h): putting them to sleep, finding them, waking them.
 *
 * Decides: when nothing is under way, and that a request which names a
 * sleeper's tags is its. Does not decide when legs are looked at: the owner of
 * the call does (call_quiet.c). Called by leg*.c, and by the stack for requests
 * that no dialog of the library's wants.
 *
 * What the library does with a request inside a dialog is done here for the
 * first one: a number below the last one's is refused with 500 (RFC 3261
 * 12.2.2), an answer is made from the status that the leg returns.
 */
#include "config.h"

#include "sbc/leg_sleep.h"

#include <stdlib.h>
#include <string.h>

#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/heap.h"
#include "common/log.h"
#include "common/table.h"
#include "sbc/leg_save.h"
#include "sbc/sbc.h"

#define SLEEPERS_MAX 400000u
#define ROUTES_MAX   32u

struct leg_asleep {
	struct table_node node; /* by the leg's own tag */
	struct leg *leg;
	uint32_t local_cseq, remote_cseq;
	uint32_t n_routes;
	char texts[]; /* the peer's tag, the target, the routes; each ends 0 */
};

struct sleepers {
	struct table by_tag;
};

int sleepers_new(struct sleepers **out)
{
	struct sleepers *s = calloc(1, sizeof *s);

	if (s == NULL || table_init(&s->by_tag, SLEEPERS_MAX) != 0) {
		free(s);
		return ERR_NOMEM;
	}
	*out = s;
	return 0;
}

void sleepers_free(struct sleepers **sleepers)
{
	struct sleepers *s = *sleepers;

	*sleepers = NULL;
	if (s == NULL)
		return;
	table_done(&s->by_tag);
	free(s);
}

size_t sleepers_count(const struct sleepers *sleepers)
{
	return sleepers != NULL ? sleepers->by_tag.n_entries : 0;
}

static const char *next_text(const char *text)
{
	return text + strlen(text) + 1;
}

/* ---------------------------------------------------------------- to sleep */

static bool is_idle(const struct leg *leg)
{
	if (leg->state != LEG_UP || leg->dialog == NULL ||
		leg->invite_irq != NULL || leg->invite_orq != NULL ||
		leg->change_irq != NULL || leg->change.orq != NULL ||
		leg->change.sending || leg->bye_orq != NULL ||
		leg->judged_irq != NULL || leg->judging != NULL ||
		leg->auth.query != NULL || leg->auth.orq != NULL ||
		leg->auth.next != NULL || !LIST_EMPTY(&leg->larges) ||
		!LIST_EMPTY(&leg->texts))
		return false;
	for (size_t i = 0; i < LEG_MINORS_MAX; i++) {
		if (leg->minors[i] != NULL)
			return false;
	}
	/* A peer of RFC 2543 without a tag is found by the library alone. */
	return nta_leg_get_rtag(leg->dialog) != NULL;
}

/* The dialog as a record has it, in one piece. */
static struct leg_asleep *keep(const struct leg *leg)
{
	Gh__SavedLeg saved = GH__SAVED_LEG__INIT;
	struct leg_asleep *a = NULL;
	struct scratch s;
	size_t len;
	char *at;

	scratch_init(&s);
	leg_save_dialog(leg, &s, &saved);
	if (saved.n_route > ROUTES_MAX || *saved.target == '\0')
		goto out;
	len = strlen(saved.remote_tag) + strlen(saved.target) + 2;
	for (size_t i = 0; i < saved.n_route; i++)
		len += strlen(saved.route[i]) + 1;
	a = heap_lasting(sizeof *a + len);
	if (a == NULL)
		goto out;
	a->local_cseq = saved.local_cseq;
	a->remote_cseq = saved.remote_cseq;
	a->n_routes = (uint32_t)saved.n_route;
	at = stpcpy(a->texts, saved.remote_tag) + 1;
	at = stpcpy(at, saved.target) + 1;
	for (size_t i = 0; i < saved.n_route; i++)
		at = stpcpy(at, saved.route[i]) + 1;
out:
	scratch_done(&s);
	return a;
}

bool leg_sleep(struct leg *leg)
{
	struct sleepers *sleepers = leg->c.sbc->sleepers;
	struct leg_asleep *a;

	if (sleepers == NULL || !is_idle(leg))
		return false;
	a = keep(leg);
	if (a == NULL)
		return false;
	a->leg = leg;
	if (table_add(&sleepers->by_tag, &a->node, leg->local_tag,
		    LEG_TAG_SIZE - 1) != 0) {
		free(a);
		return false;
	}
	nta_leg_destroy(leg->dialog);
	leg->dialog = NULL;
	leg->asleep = a;
	return true;
}

void leg_sleep_drop(struct leg *leg)
{
	struct leg_asleep *a = leg->asleep;

	if (a == NULL)
		return;
	leg->asleep = NULL;
	table_remove(&leg->c.sbc->sleepers->by_tag, &a->node);
	free(a);
}

void leg_sleep_save(const struct leg *leg, struct scratch *s, Gh__SavedLeg *out)
{
	const struct leg_asleep *a = leg->asleep;
	const char *at = a->texts;

	out->remote_tag = (char *)(uintptr_t)at;
	out->local_cseq = a->local_cseq;
	out->remote_cseq = a->remote_cseq;
	at = next_text(at);
	out->target = (char *)(uintptr_t)at;
	out->route = scratch_alloc(s, (a->n_routes + 1) * sizeof *out->route);
	for (size_t i = 0; out->route != NULL && i < a->n_routes; i++) {
		at = next_text(at);
		out->route[out->n_route++] = (char *)(uintptr_t)at;
	}
}

/* ------------------------------------------------------------------- awake */

/* remote_cseq: of the request that wakes it, or the last one. */
static int wake(struct leg *leg, uint32_t remote_cseq)
{
	Gh__SavedLeg saved = GH__SAVED_LEG__INIT;
	struct scratch s;
	int err;

	scratch_init(&s);
	leg_sleep_save(leg, &s, &saved);
	saved.remote_cseq = remote_cseq;
	err = leg_make_dialog_again(leg, &saved, saved.local_cseq);
	scratch_done(&s);
	if (err != 0) {
		log_warning("dialog_not_woken", LOG_CALL(leg->c.call),
			LOG_ERR(err));
		if (leg->dialog != NULL)
			nta_leg_destroy(leg->dialog);
		leg->dialog = NULL;
		return err;
	}
	leg_sleep_drop(leg);
	return 0;
}

void leg_wake(struct leg *leg)
{
	if (leg->asleep != NULL)
		(void)wake(leg, leg->asleep->remote_cseq);
}

/* Both tags and the Call-ID have to be the dialog's. */
static struct leg *find(struct sbc *sbc, const sip_call_id_t *call_id,
	const char *local_tag, const char *remote_tag)
{
	char key[LEG_TAG_SIZE];
	const struct leg_asleep *a;
	struct table_node *node;

	if (sbc->sleepers == NULL || call_id == NULL || local_tag == NULL ||
		remote_tag == NULL || strlen(local_tag) != LEG_TAG_SIZE - 1)
		return NULL;
	/* As the library has it, tags are the same in upper case; ours are made
	 * in lower case. */
	for (size_t i = 0; i < LEG_TAG_SIZE; i++)
		key[i] = local_tag[i] >= 'A' && local_tag[i] <= 'Z'
				 ? (char)(local_tag[i] - 'A' + 'a')
				 : local_tag[i];
	node = table_find(&sbc->sleepers->by_tag, key, LEG_TAG_SIZE - 1);
	if (node == NULL)
		return NULL;
	a = TABLE_ENTRY(node, struct leg_asleep, node);
	if (strcmp(a->leg->call_id, call_id->i_id) != 0 ||
		!su_casematch(a->texts, remote_tag))
		return NULL;
	return a->leg;
}

struct leg *leg_by_dialog(struct sbc *sbc, const sip_call_id_t *call_id,
	const char *local_tag, const char *remote_tag)
{
	nta_leg_t *dialog = nta_leg_by_dialog(stack_agent(sbc->stack), NULL,
		call_id, remote_tag, NULL, local_tag, NULL);
	struct leg *leg;

	if (dialog != NULL)
		return leg_of_dialog(dialog);
	leg = find(sbc, call_id, local_tag, remote_tag);
	if (leg != NULL)
		leg_wake(leg);
	return leg != NULL && leg->dialog != NULL ? leg : NULL;
}

static void hand_over(
	struct leg *leg, nta_incoming_t *irq, const sip_t *sip, bool old)
{
	int status = old ? 500 : leg_on_request(leg, irq, sip);

	if (status == 0)
		return;
	if (nta_incoming_status(irq) < 200)
		(void)nta_incoming_treply(irq, status,
			reason_sip_phrase((unsigned)status), TAG_END());
	nta_incoming_destroy(irq);
}

bool leg_sleep_take(struct sbc *sbc, msg_t *msg, sip_t *sip, tport_t *tport)
{
	sip_method_t method = sip->sip_request->rq_method;
	nta_agent_t *agent = stack_agent(sbc->stack);
	nta_incoming_t *irq;
	struct leg *leg;
	uint32_t last, now;

	/* The library gives no SUBSCRIBE to a dialog either. */
	if (sip->sip_to == NULL || sip->sip_from == NULL ||
		sip->sip_cseq == NULL || method == sip_method_subscribe)
		return false;
	leg = find(sbc, sip->sip_call_id, sip->sip_to->a_tag,
		sip->sip_from->a_tag);
	if (leg == NULL)
		return false;
	last = leg->asleep->remote_cseq;
	now = sip->sip_cseq->cs_seq;
	/* An ACK is a repetition: nothing waits for one. Without memory the
	 * request is lost, and comes again. */
	if (method == sip_method_ack ||
		wake(leg, now > last ? now : last) != 0) {
		nta_msg_discard(agent, msg);
		return true;
	}
	irq = nta_incoming_create(
		agent, leg->dialog, msg, sip, NTATAG_TPORT(tport), TAG_END());
	if (irq != NULL)
		hand_over(leg, irq, sip, last > now);
	return true;
}
