/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flowd as a whole in one process with a test: its control object on a real
 * loop, a fake sbc (link and bridge listener), and peers on loopback, plain or
 * by OpenSSL. Nothing sleeps: everything waits for a condition.
 */
#ifndef TESTS_UNIT_FLOW_RIG_H
#define TESTS_UNIT_FLOW_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/daemon.h"
#include "common/ipc.h"
#include "flowd/ctl.h"
#include "flowd/flow.h"

#define RIG_PATIENCE_US 20000000u
#define RIG_OPENED_MAX  64
#define RIG_LISTENERS   8
#define RIG_BRIDGES     64

/** What sbc heard of one flow. */
struct rig_opened {
	uint64_t flow, request;
	uint16_t local_port;
	Gh__Transport transport;
	char peer[ADDR_TEXT_SIZE], listen[ADDR_TEXT_SIZE];
	char names[4][256];
	size_t n_names;
	char key[80];
};

struct rig_closed {
	uint64_t flow, request;
	enum reason why;
	char detail[128];
	char peer[ADDR_TEXT_SIZE];
	uint32_t times;
};

/** A bridge as sbc sees it. */
struct rig_bridge {
	int fd; /* -1: none */
	uint16_t port;
	uint8_t bytes[262144];
	size_t len;
	bool ended;
};

struct rig {
	struct daemon daemon;
	struct loop_timer *timer;
	struct ctl *ctl;
	struct ctl_config config;
	struct ipc_link *sbc;
	int bridge_listen;
	struct addr bridge_addr;
	struct rig_bridge *bridges; /* RIG_BRIDGES */
	bool sbc_reads;
	Gh__FlowConfig flow_config;
	Gh__FlowListener listener[RIG_LISTENERS];
	Gh__FlowListener *listeners[RIG_LISTENERS];
	char listen_text[RIG_LISTENERS][ADDR_TEXT_SIZE];
	struct rig_opened opened[RIG_OPENED_MAX];
	size_t n_opened;
	struct rig_closed closed[RIG_OPENED_MAX];
	size_t n_closed;
	char dir[64]; /* temporary; with tls/ and ca/ */
	char tls_dir[96], ca_dir[96];
	char bridge_text[ADDR_TEXT_SIZE];
};

/** A peer's end. */
struct rig_peer {
	struct rig *rig;
	int fd;
	SSL *ssl;
	SSL_CTX *ctx;
	uint8_t bytes[262144];
	size_t len;
	bool ended;     /* in order */
	bool broken;    /* by reset, alert or a failed handshake */
	bool handshake; /* done */
};

void rig_begin(struct rig *r);
void rig_end(struct rig *r);
/** Adds a listener on a free port of ip to the config. @return its index. */
unsigned rig_listener(struct rig *r, const char *ip, Gh__Transport transport);
/** Connects the fake sbc, sends the config, waits until listeners are open. */
void rig_sbc_up(struct rig *r);
/** Sends the config again. */
void rig_configure(struct rig *r);
/** sbc dies: link and bridges go; the listener stays, as keeper holds it. */
void rig_sbc_down(struct rig *r);
void rig_send(struct rig *r, const Gh__Msg *msg);

void rig_until(struct rig *r, bool (*done)(struct rig *, void *), void *arg);
/** Runs the loop for a while; only to see that nothing happens. */
void rig_for(struct rig *r, uint64_t us);
/** The bridge with this local port, as soon as it is there. */
struct rig_bridge *rig_bridge(struct rig *r, uint16_t port);
/** Waits until sbc heard of n flows. */
struct rig_opened *rig_wait_opened(struct rig *r, size_t n);
/** Waits until sbc heard of n ends. */
struct rig_closed *rig_wait_closed(struct rig *r, size_t n);
/** Waits for text on a bridge; leaves what is behind it. Terminates at it. */
void rig_bridge_expect(struct rig *r, struct rig_bridge *b, const char *text);
void rig_bridge_say(struct rig *r, struct rig_bridge *b, const char *text);

/** Connects from ip to a listener. */
void rig_connect(
	struct rig_peer *p, struct rig *r, unsigned listener, const char *ip);
/** What a TLS client brings. All may be NULL. */
struct rig_tls {
	const char *sni;
	const char *ca;  /* file */
	const char *crt; /* file; the key stands beside it */
	int version;     /* TLS1_2_VERSION ...; 0 = any */
	const char *ciphers;
	bool ask_status;
};
/** Starts TLS and waits until it stands or fails. @return p->handshake. */
bool rig_secure(struct rig_peer *p, const struct rig_tls *tls);
void rig_peer_end(struct rig_peer *p);
void rig_say(struct rig_peer *p, const char *text);
void rig_say_bytes(struct rig_peer *p, const void *bytes, size_t len);
/** Waits until the peer has received text, and forgets what it has. */
void rig_expect(struct rig_peer *p, const char *text);
/** Waits until the connection has ended, either way. */
void rig_expect_end(struct rig_peer *p);

/** A file of the rig's folder: "tls/x.crt". */
const char *rig_path(struct rig *r, const char *name);
/** Makes certificates: an authority in ca/, or one of ours in tls/. */
void rig_make_ca(struct rig *r, const char *name);
void rig_make_cert(struct rig *r, const char *name, const char *ca,
	const char *host, bool rsa, int days);

#endif
