/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtpengine over its ng protocol: "cookie bencoded-dictionary" in UDP. Only
 * what a call needs: offer, answer. Replies are searched for the sdp string,
 * whose lines are then read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/bench/relay.h"

static int ng = -1;
static unsigned cookie;

static int ng_open(const char *where)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct timeval deadline = {.tv_sec = 2};
	char host[64];
	unsigned port;

	if (sscanf(where, "%63[^:]:%u", host, &port) != 2 ||
		inet_pton(AF_INET, host, &to.sin_addr) != 1) {
		fprintf(stderr, "rtpengine: %s is no ip:port\n", where);
		return -1;
	}
	to.sin_port = htons((uint16_t)port);
	ng = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ng < 0 || connect(ng, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		setsockopt(ng, SOL_SOCKET, SO_RCVTIMEO, &deadline,
			sizeof(deadline)) < 0) {
		perror("rtpengine");
		return -1;
	}
	return 0;
}

static void ng_close(void)
{
	if (ng >= 0)
		close(ng);
	ng = -1;
}

static void ng_keep(void)
{
}

static size_t put(
	char *out, size_t size, size_t at, const char *key, const char *value)
{
	int n = snprintf(out + at, size - at, "%zu:%s%zu:%s", strlen(key), key,
		strlen(value), value);

	return n > 0 && at + (size_t)n < size ? at + (size_t)n : size;
}

/* Sends one command and returns the sdp of its answer, terminated. */
static int ng_command(const char *command, size_t index, bool answer,
	const char *sdp, const char *protocol, char *sdp_out, size_t sdp_size)
{
	char request[4096], reply[8192], text[64], *found;
	size_t at, len;
	ssize_t n;

	at = (size_t)snprintf(request, sizeof(request), "%u d", ++cookie);
	snprintf(text, sizeof(text), "call-%zu", index);
	at = put(request, sizeof(request), at, "call-id", text);
	at = put(request, sizeof(request), at, "command", command);
	at = put(request, sizeof(request), at, "from-tag", "from");
	at = put(request, sizeof(request), at, "ICE", "remove");
	at = put(request, sizeof(request), at, "sdp", sdp);
	if (answer)
		at = put(request, sizeof(request), at, "to-tag", "to");
	if (protocol)
		at = put(request, sizeof(request), at, "transport-protocol",
			protocol);
	if (at + 2 > sizeof(request))
		return -1;
	request[at++] = 'e';
	if (send(ng, request, at, 0) != (ssize_t)at)
		return -1;
	n = recv(ng, reply, sizeof(reply) - 1, 0);
	if (n <= 0) {
		fprintf(stderr, "rtpengine: no answer: %s\n", strerror(errno));
		return -1;
	}
	reply[n] = '\0';
	found = strstr(reply, "3:sdp");
	if (!found) {
		fprintf(stderr, "rtpengine: %s\n", reply);
		return -1;
	}
	len = strtoul(found + 5, &found, 10);
	if (*found != ':' || len >= sdp_size || found + 1 + len > reply + n)
		return -1;
	memcpy(sdp_out, found + 1, len);
	sdp_out[len] = '\0';
	return 0;
}

static int sdp_port(const char *sdp, struct sockaddr_in *at)
{
	const char *c = strstr(sdp, "c=IN IP4 "), *m = strstr(sdp, "m=audio ");
	char host[64];
	unsigned port;

	if (!c || !m || sscanf(c, "c=IN IP4 %63[0-9.]", host) != 1 ||
		sscanf(m, "m=audio %u", &port) != 1 ||
		inet_pton(AF_INET, host, &at->sin_addr) != 1)
		return -1;
	at->sin_family = AF_INET;
	at->sin_port = htons((uint16_t)port);
	return 0;
}

static int sdp_key(const char *sdp, uint8_t key[RELAY_MASTER_LEN], int *tag_out)
{
	const char *line = sdp;
	uint8_t bytes[64];
	char text[41];
	int tag;

	while ((line = strstr(line, "a=crypto:"))) {
		if (sscanf(line,
			    "a=crypto:%d AES_CM_128_HMAC_SHA1_80 "
			    "inline:%40[A-Za-z0-9+/]",
			    &tag, text) == 2 &&
			EVP_DecodeBlock(bytes, (const uint8_t *)text, 40) ==
				30) {
			memcpy(key, bytes, RELAY_MASTER_LEN);
			*tag_out = tag;
			return 0;
		}
		line++;
	}
	return -1;
}

static void write_sdp(char *sdp, size_t size, const struct sockaddr_in *local,
	const uint8_t *key, int tag)
{
	char host[INET_ADDRSTRLEN], inline_key[48], crypto[128] = "";

	inet_ntop(AF_INET, &local->sin_addr, host, sizeof(host));
	if (key) {
		EVP_EncodeBlock((uint8_t *)inline_key, key, RELAY_MASTER_LEN);
		snprintf(crypto, sizeof(crypto),
			"a=crypto:%d AES_CM_128_HMAC_SHA1_80 inline:%s\r\n",
			tag, inline_key);
	}
	snprintf(sdp, size,
		"v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
		"m=audio %u RTP/%s 8\r\na=rtpmap:8 PCMA/8000\r\n%s",
		host, host, ntohs(local->sin_port), key ? "SAVP" : "AVP",
		crypto);
}

static int ng_call(size_t index, struct relay_call *call)
{
	char ours[2048], theirs[4096];
	int tag = 1;

	write_sdp(ours, sizeof(ours), &call->a_local, NULL, 0);
	if (ng_command("offer", index, false, ours,
		    call->srtp ? "RTP/SAVP" : NULL, theirs, sizeof(theirs)) ||
		sdp_port(theirs, &call->b_relay))
		return -1;
	if (call->srtp && sdp_key(theirs, call->b_receive_key, &tag)) {
		fprintf(stderr, "rtpengine: no AES_CM_128 key in its offer\n");
		return -1;
	}
	/* The answer has to repeat the chosen tag, or the leg stays silent. */
	write_sdp(ours, sizeof(ours), &call->b_local,
		call->srtp ? call->b_send_key : NULL, tag);
	if (ng_command("answer", index, true, ours,
		    call->srtp ? "RTP/AVP" : NULL, theirs, sizeof(theirs)) ||
		sdp_port(theirs, &call->a_relay))
		return -1;
	return 0;
}

const struct relay relay_rtpengine = {
	"rtpengine", ng_open, ng_call, ng_keep, ng_close};
