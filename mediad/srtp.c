/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One srtp_t per direction. The control thread makes contexts while it has the
 * keys; from then on only the leg's worker uses them. libsrtp2 keeps rollover
 * counter and replay window, and authenticates before it changes either.
 * Called by session.c (new), path.c and report.c (use), leg.c (free).
 */
#include "mediad/srtp.h"

#include <stdlib.h>

#include <srtp2/srtp.h>

#include "common/secret.h"
#include "mediad/check.h"
#include "mediad/rtcp.h"
#include "mediad/srtp_crypto.h"

/* A window of two and a half seconds of 20 ms packets. */
#define REPLAY_WINDOW 128u
#define SSRCS_MAX     16u

struct srtp_leg {
	srtp_t session;
	size_t tag_len;       /* of SRTP */
	size_t rtcp_tail_len; /* of SRTCP: tag and index */
	unsigned n_changes;
};

struct suite_row {
	uint8_t master_len;
	void (*rtp)(srtp_crypto_policy_t *);
	void (*rtcp)(srtp_crypto_policy_t *);
};

/* RFC 4568 section 6.2: with the short tag, SRTCP keeps the long one. */
static const struct suite_row suites[] = {
	[SRTP_SUITE_NONE] = {0, NULL, NULL},
	[SRTP_SUITE_AES_CM_128_HMAC_SHA1_80] = {30,
		srtp_crypto_policy_set_rtp_default,
		srtp_crypto_policy_set_rtcp_default},
	[SRTP_SUITE_AES_CM_128_HMAC_SHA1_32] = {30,
		srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
		srtp_crypto_policy_set_rtcp_default},
	[SRTP_SUITE_AES_256_CM_HMAC_SHA1_80] = {46,
		srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
		srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80},
	[SRTP_SUITE_AEAD_AES_128_GCM] = {28,
		srtp_crypto_policy_set_aes_gcm_128_16_auth,
		srtp_crypto_policy_set_aes_gcm_128_16_auth},
	[SRTP_SUITE_AEAD_AES_256_GCM] = {44,
		srtp_crypto_policy_set_aes_gcm_256_16_auth,
		srtp_crypto_policy_set_aes_gcm_256_16_auth},
};
_Static_assert(sizeof(suites) / sizeof(suites[0]) == SRTP_SUITE_COUNT,
	"every suite has a row");
_Static_assert(SRTP_TRAILER_MAX >= SRTP_MAX_TRAILER_LEN + 4,
	"SRTCP adds an index to the tag");

size_t srtp_master_len(enum srtp_suite suite)
{
	return suite < SRTP_SUITE_COUNT ? suites[suite].master_len : 0;
}

int srtp_begin(void)
{
	if (srtp_init() != srtp_err_status_ok)
		return ERR_SYSTEM;
	return srtp_crypto_register();
}

void srtp_finish(void)
{
	(void)srtp_shutdown();
}

static int leg_new(const struct srtp_master *master, srtp_ssrc_type_t type,
	uint32_t ssrc, struct srtp_leg **leg_out)
{
	struct srtp_master copy = *master;
	srtp_policy_t policy = {
		.ssrc = {.type = type, .value = ssrc},
		.key = copy.bytes,
		.window_size = REPLAY_WINDOW,
	};
	struct srtp_leg *leg = NULL;
	int err = ERR_INVALID;

	if (copy.len == 0 || copy.len != srtp_master_len(copy.suite))
		goto end;
	suites[copy.suite].rtp(&policy.rtp);
	suites[copy.suite].rtcp(&policy.rtcp);
	err = ERR_NOMEM;
	leg = calloc(1, sizeof(*leg));
	if (leg == NULL)
		goto end;
	if (srtp_create(&leg->session, &policy) != srtp_err_status_ok) {
		free(leg);
		goto end;
	}
	leg->tag_len = (size_t)policy.rtp.auth_tag_len;
	leg->rtcp_tail_len = (size_t)policy.rtcp.auth_tag_len + 4;
	*leg_out = leg;
	err = 0;
end:
	secret_wipe(&copy, sizeof(copy));
	return err;
}

int srtp_leg_new_sender(const struct srtp_master *master, uint32_t ssrc,
	struct srtp_leg **leg_out)
{
	return leg_new(master, ssrc_specific, ssrc, leg_out);
}

int srtp_leg_new_receiver(
	const struct srtp_master *master, struct srtp_leg **leg_out)
{
	return leg_new(master, ssrc_any_inbound, 0, leg_out);
}

void srtp_leg_free(struct srtp_leg **leg)
{
	if (*leg == NULL)
		return;
	(void)srtp_dealloc((*leg)->session);
	free(*leg);
	*leg = NULL;
}

static enum reason opened(srtp_err_status_t status, enum reason good)
{
	switch (status) {
	case srtp_err_status_ok:
		return good;
	case srtp_err_status_replay_fail:
	case srtp_err_status_replay_old:
	case srtp_err_status_pkt_idx_old:
		return REASON_RTP_REPLAY;
	default:
		return REASON_RTP_AUTH;
	}
}

enum reason srtp_leg_open(struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;
	enum reason why;

	if (*len < RTP_HEADER_LEN + leg->tag_len)
		return REASON_RTP_AUTH;
	why = opened(srtp_unprotect(leg->session, bytes, &n), REASON_RTP_OK);
	if (why == REASON_RTP_OK)
		*len = (size_t)n;
	return why;
}

enum reason srtp_leg_open_rtcp(
	struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;
	enum reason why;

	if (*len < RTCP_SSRC_END + leg->rtcp_tail_len)
		return REASON_RTP_AUTH;
	why = opened(
		srtp_unprotect_rtcp(leg->session, bytes, &n), REASON_RTCP_OK);
	if (why == REASON_RTCP_OK)
		*len = (size_t)n;
	return why;
}

bool srtp_leg_protect(struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;

	if (srtp_protect(leg->session, bytes, &n) != srtp_err_status_ok)
		return false;
	*len = (size_t)n;
	return true;
}

bool srtp_leg_protect_rtcp(struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;

	if (srtp_protect_rtcp(leg->session, bytes, &n) != srtp_err_status_ok)
		return false;
	*len = (size_t)n;
	return true;
}

bool srtp_leg_may_change(const struct srtp_leg *leg)
{
	return leg->n_changes < SSRCS_MAX;
}

void srtp_leg_changed(struct srtp_leg *leg)
{
	leg->n_changes++;
}
