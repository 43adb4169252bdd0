/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk: calls with sound in both directions that are watched while the server
 * between them is mistreated. One process is the caller and the called side of
 * every call, each on a SIP socket and in a network namespace of its own.
 *
 * talk.c	options, the loop, who calls when
 * talk_sip.c	the two dialogs of a call, with the retransmissions of RFC 3261
 * talk_media.c	50 packets a second each way, each checked for its content
 */
#ifndef TESTS_CHAOS_TALK_H
#define TESTS_CHAOS_TALK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/sip.h"

struct srtp_leg;

#define NS_PER_US   1000ull
#define NS_PER_MS   1000000ull
#define NS_PER_S    1000000000ull
#define MASTER_LEN  30u /* AES_CM_128_HMAC_SHA1_80: key and salt */
#define TEXT_SIZE   256
#define NUMBER_BASE 10000000u

enum side { CALLER, CALLED, SIDES };

/** A message that is repeated until it is answered. */
struct repeat {
	char bytes[SIP_BYTES];
	size_t len; /* 0 = nothing waits */
	enum side side;
	uint64_t again_ns, give_up_ns;
	uint64_t interval_ns;
};

/** One direction that a side sends, and what it hears. */
struct stream {
	int fd;
	uint16_t port; /* ours */
	bool on;
	uint32_t ssrc, timestamp, number;
	uint16_t seq;
	uint64_t heard_ns; /* the last good packet */
	uint64_t n_sent, n_heard;
	uint8_t key[MASTER_LEN]; /* that we send with */
	struct srtp_leg *tx, *rx;
};

enum state {
	IDLE,    /* until due_ns */
	CALLING, /* INVITE is out */
	TALKING, /* until due_ns */
	LEAVING, /* BYE is out, or has come at one side only */
};

struct slot {
	enum state state;
	bool secure;
	uint32_t number; /* of the present call; each call has its own */
	uint64_t due_ns, began_ns;
	/* The record's talk begins and ends between two of these each. */
	uint64_t ok_sent_ns, answered_ns, bye_sent_ns, bye_known_ns;
	enum side leaver;
	bool provisional, got_ack, bye_answered, bye_seen;
	char call_id[64], called_id[TEXT_SIZE];
	char target[SIDES][TEXT_SIZE];
	char local[SIDES][TEXT_SIZE], remote[SIDES][TEXT_SIZE];
	struct repeat request; /* INVITE or BYE */
	struct repeat answer;  /* the called side's 200 */
	uint64_t answer_ns;    /* 180 is out; 200 goes then */
	struct stream stream[SIDES];
};

struct talk {
	struct sockaddr_in server[SIDES]; /* its addresses */
	struct sockaddr_in own[SIDES];
	const char *ns[SIDES]; /* NULL = where we are */
	char host[SIDES][32], ip[SIDES][INET_ADDRSTRLEN];
	int sip[SIDES];
	size_t n;
	unsigned secure_every; /* 0 = never */
	uint64_t hold_min_ns, hold_max_ns;
	uint64_t ramp_ns; /* between two first calls */
	uint64_t random;
	struct slot *slots;
	int epoll;
	bool stopping;
	/* Since the start. */
	uint64_t n_sent, n_heard, n_bad;
	uint64_t n_ok, n_refused, n_lost;
	/* The longest silence that ended in this tenth of a second. */
	uint64_t gap_ns, gap_tell_ns;
	uint32_t gap_call;
};

uint64_t talk_now_ns(void);
/** Of the seed: the same in each run. */
uint64_t talk_random(struct talk *t, uint64_t below);
/** A bound datagram socket in a side's namespace. @return -1 after a line. */
int talk_socket(struct talk *t, enum side side, struct sockaddr_in *at);
/** The call is over; "ok", "refused" or "lost", and why. Prints its line. */
void talk_over(struct talk *t, struct slot *s, const char *how, unsigned status,
	const char *why);

/* talk_sip.c */
void sip_call(struct talk *t, struct slot *s);
void sip_leave(struct talk *t, struct slot *s);
void sip_receive(struct talk *t, enum side side);
/** Sends what is due. */
void sip_turn(struct talk *t, struct slot *s, uint64_t now);

/* talk_media.c */
bool media_open(struct talk *t, struct slot *s);
/** For a call that begins. */
void media_new_key(struct slot *s);
/** Our description. @return its text. */
const char *media_offer(const struct talk *t, const struct slot *s,
	enum side side, char sdp[512]);
/** Takes the far side's. @return whether it is one that can be spoken to. */
bool media_take(struct slot *s, enum side side, struct sip_text body);
void media_start(struct slot *s, uint64_t now);
void media_stop(struct slot *s);
void media_send(struct talk *t, struct slot *s, enum side side);
void media_receive(struct talk *t, struct slot *s, enum side side);
/** Longest silence of either direction up to now. */
uint64_t media_silence_ns(const struct slot *s, uint64_t now);

#endif
