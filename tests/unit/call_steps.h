/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of which tests of calls are made: each is one thing that a peer
 * does or that happens to it, with all the messages that belong to that. What
 * a step sends is what any peer would; a test that is about the messages
 * themselves writes them out with call_world.h.
 *
 *	dl_x()       the peer at this end does x
 *	dl_take_x()  x comes to it, and it answers as a peer must
 *	sc_x()       both ends of the scene's call
 *
 * Where both ends hear of something, their steps may come in any order: what
 * is on its way to the other one waits in its socket.
 */
#ifndef TESTS_UNIT_CALL_STEPS_H
#define TESTS_UNIT_CALL_STEPS_H

#include "tests/unit/call_world.h"

/* --- one end: until the answer --- */

/** An INVITE comes: this is the dialog's end. @return its text. */
const char *dl_take_invite(
	struct dialog *d, struct sip_peer *p, const struct addr *from);
/** Answers its INVITE with 180. */
void dl_ring(struct dialog *d);
/** Sends a reliable 183 with a description, and hears the PRACK. */
void dl_early(struct dialog *d, const char *sdp);
/** Answers its INVITE with 200 and hears the ACK. sdp NULL = said before. */
void dl_pick_up(struct dialog *d, const char *sdp);
/** Answers its INVITE with a failure and hears the ACK. */
void dl_refuse(struct dialog *d, unsigned status);
/** A CANCEL comes: 200, 487, ACK. @return the CANCEL's text. */
const char *dl_take_cancel(struct dialog *d);

/** Its INVITE, first or later, was taken: 200, ACK. @return the 200's body. */
const char *dl_take_answer(struct dialog *d);
/** It was refused with this status: acknowledges it. */
void dl_take_refusal(struct dialog *d, unsigned status);
/** Cancels its INVITE: 200, 487, ACK. */
void dl_give_up(struct dialog *d);
/** Acknowledges the reliable provisional that it has just heard ... */
void dl_send_prack(struct dialog *d);
/** ... with a description in it ... */
void dl_send_prack_with(struct dialog *d, const char *sdp);
/** ... and hears the 200. */
void dl_prack(struct dialog *d);

/* --- one end: afterwards --- */

/** Sends a request with a description: INVITE or UPDATE. */
void dl_offer(struct dialog *d, const char *method, const char *sdp);
/** A re-INVITE comes. @return its body, "" if none. */
const char *dl_take_offer(struct dialog *d);
/** Answers the re-INVITE that has just come: 200, ACK. */
void dl_agree(struct dialog *d, const char *sdp);
/** Sends BYE: 200. */
void dl_hang_up(struct dialog *d);
/** A BYE comes: 200. */
void dl_take_bye(struct dialog *d);

/** The Authorization line that answers the 401 in its socket; in call_world
 * the response "good" is right. Valid until the next. */
const char *dl_credentials(
	const struct dialog *d, const char *user, const char *response);
/** Another early dialog of the same INVITE, as behind a proxy that forks. */
struct dialog dl_fork(const struct dialog *d);

/* --- the scene: from the ITSP to the phone of extension 100 --- */

/** Their descriptions, at the ports 6000 and 7000. direction NULL = both. */
const char *sc_caller_sdp(
	struct scene *s, const char *formats, const char *direction);
const char *sc_phone_sdp(
	struct scene *s, const char *formats, const char *direction);
/** The ITSP calls, nothing is waited for. extra: whole lines, or NULL. */
void sc_invite(struct scene *s, const char *extra, const char *sdp);
/** Until the phone has the INVITE. */
void sc_call(struct scene *s, const char *extra, const char *sdp);
/** The phone picks up, and the caller's ACK has come. */
void sc_pick_up(struct scene *s, const char *sdp);
/** Somebody else has ended the call: both hear BYE. */
void sc_take_byes(struct scene *s);
/** Waits for the CDR, checks it with sc_cdr(), and ends the scene. */
void sc_over(
	struct scene *s, enum reason why, unsigned status, const char *side);
/** The call is up; the caller hangs up; that is what the CDR says. */
void sc_finish(struct scene *s);

/* --- two phones of extension 100 --- */

struct fork {
	struct scene s;
	struct sip_peer second;
	struct dialog other; /* the second phone's */
};
/** Both phones have the INVITE. The second one may be registered at another
 * address of ours than the first. */
void fork_begin(struct fork *f, bool elsewhere, const char *formats);
/** The same, and the caller knows that both ring. */
void fork_ring(struct fork *f);
/** As sc_end() and sc_over(); the second phone has heard nothing more either.
 */
void fork_end(struct fork *f);
void fork_over(
	struct fork *f, enum reason why, unsigned status, const char *side);

/* --- a PBX, an ITSP and the phone of extension 100 --- */

struct house {
	struct cw *w;
	struct sip_peer pbx, itsp, phone;
	struct dialog caller, called;
};
/** config NULL = plain. */
void house_begin(struct house *h, const struct cw_config *config);
/** Everything is over, nobody has heard anything more. */
void house_end(struct house *h);
/** The PBX's 701 calls, nothing is waited for. extra: whole lines, or NULL. */
void house_pbx_calls(struct house *h, const char *number, const char *extra);
/** The phone calls, with a forged name and its account's credentials. */
void house_phone_calls(struct house *h, const char *number, const char *extra);
/** The INVITE has come to this peer. @return its text. */
const char *house_take(struct house *h, struct sip_peer *p);
/** Who was called picks up, and the caller's ACK has come. */
void house_pick_up(struct house *h);
/** The same, and the caller hangs up. @return the CDR. */
const Gh__Cdr *house_talk(struct house *h);

#endif
