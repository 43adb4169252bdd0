/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mediad's real objects behind a socket pair, two peers and a stranger on
 * loopback: for tests that want packets to pass.
 */
#ifndef TESTS_UNIT_MEDIA_RIG_H
#define TESTS_UNIT_MEDIA_RIG_H

#include "common/daemon.h"
#include "common/ipc.h"
#include "mediad/ctl.h"
#include "mediad/srtp.h"

#define RIG_CALL        "0123456789ABCDEF"
/** Nothing in a test takes longer unless it fails. */
#define RIG_PATIENCE_US 10000000ull

/** What sbc last heard. */
struct rig_news {
	unsigned n_states;
	unsigned reason;
	uint32_t version;
	char rtp[SIDE_COUNT][ADDR_TEXT_SIZE];
	char rtcp[SIDE_COUNT][ADDR_TEXT_SIZE];
	char cname[SIDE_COUNT][LEG_CNAME_SIZE];
	uint32_t ssrc[SIDE_COUNT];
	Gh__Msg *ended;
	unsigned n_ended;
	unsigned n_events[16]; /* by kind */
	unsigned event_reason[16];
	unsigned n_learned[SIDE_COUNT];
	unsigned learned[SIDE_COUNT]; /* reason */
	unsigned mos_centi;           /* of the last event of quality */
	unsigned n_listed;
	bool list_done;
};

struct rig {
	struct daemon daemon;
	struct ctl *ctl;
	struct ipc_link *sbc;
	struct ipc_config sbc_config;
	struct loop_timer *timer;
	struct rig_news news;
	const char *call;  /* of rig_want() and rig_end_session() */
	uint32_t lease_ms; /* of the next MediaConfig, and the interval of RTCP
			    */
	uint32_t rtcp_ms;
	uint32_t silence_ms, keepalive_ms, mos_min_centi; /* the same; 0 */
	unsigned n_ups; /* links to mediad so far */
	uint16_t port_min;
	uint16_t port_max;
};

/** A loopback address that no other test process uses: neither ports nor
 * packets of one that runs beside us come in between. */
const char *rig_ip4(void);

/** Makes it all and sends a MediaConfig for realm 1 on rig_ip4() and ::1. */
void rig_begin(struct rig *r);
void rig_end(struct rig *r);
/** The same with a mediad that runs elsewhere and listens at path: sbc connects
 * to it again and again, and sends the settings each time. */
void rig_attach(struct rig *r, const char *path);
/** Sends the settings again with other figures. */
void rig_configure(struct rig *r, uint32_t lease_ms, uint32_t quarantine_ms,
	uint32_t coalesce_us, uint32_t rtcp_ms);

/** Runs the control loop until done(arg), which must happen. */
void rig_until(
	struct rig *r, bool (*done)(struct rig *r, void *arg), void *arg);
/** Runs it for a while, for what must not happen. */
void rig_for(struct rig *r, uint64_t us);

/** One side as a test describes it. */
struct rig_side {
	Gh__MediaSide msg;
	Gh__Payload payloads[3];
	Gh__Payload *list[3];
	char remote[ADDR_TEXT_SIZE];
	Gh__SrtpKey receive, send;
	uint8_t receive_key[SRTP_MASTER_MAX], send_key[SRTP_MASTER_MAX];
};
/** Both ways, PCMA as 8, telephone-event as 101, mux off. */
void rig_side(struct rig_side *s, const struct addr *remote);

/** Gives the side keys, filled with two octets; a and b as the peer sees it:
 * it sends with `peer` and opens with `own`. */
void rig_keys(struct rig_side *s, enum srtp_suite suite, uint8_t peer,
	uint8_t own, struct srtp_master *peer_out, struct srtp_master *own_out);

/** Wants a session and waits for the answer. */
void rig_want(struct rig *r, uint32_t version, struct rig_side *caller,
	struct rig_side *called);
/** Ends it and waits; news.ended has the message. */
void rig_end_session(struct rig *r);

/** A UDP socket on an address; port 0 = any. */
int rig_socket(const char *ip, struct addr *addr_out);
/** Two sockets as a phone has them: RTP on an even port, RTCP on the next. Who
 * expects RTCP anywhere needs both: else the next port may be another's. */
int rig_pair(const char *ip, struct addr *addr_out, int *rtcp_fd_out);
void rig_send(int fd, const char *to, const void *bytes, size_t len);
/** Waits for one datagram. @return its length. */
size_t rig_recv(struct rig *r, int fd, uint8_t *bytes, size_t size);
/** @return whether nothing waits in the socket. */
bool rig_is_quiet(int fd);

/** Writes an RTP packet with n_octets of fill. @return its length. */
size_t rig_rtp(uint8_t *bytes, uint8_t pt, uint16_t seq, uint32_t ts,
	uint32_t ssrc, uint8_t fill, size_t n_octets);

#define PT_PCMA 8

/** A session between two peers at their signaled addresses. */
struct talk {
	struct rig rig;
	struct rig_side side[SIDE_COUNT];
	int fd[SIDE_COUNT];
	struct addr addr[SIDE_COUNT];
	const char *port[SIDE_COUNT]; /* mediad's */
};

/** Opens a session between two peers. */
void talk_begin(struct talk *t, const char *ip);
void talk_end(struct talk *t);
/** One of PCMA's packets, 20 ms a number, filled with one octet. */
void say(struct talk *t, enum side from, uint32_t seq, uint8_t fill);
/** Waits for one and checks its header. @return its number. */
uint16_t hear(struct talk *t, enum side at, uint8_t fill);
/** How often a reason was counted. */
uint64_t drops(const Gh__MediaStats *s, enum reason why);

#endif
