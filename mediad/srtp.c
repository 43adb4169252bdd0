/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One srtp_t per direction. The control thread makes contexts while it has the
 * keys; from then on only the leg's worker uses them. libsrtp2 keeps rollover
 * counter and replay window, and authenticates before it changes either.
 *
 * libsrtp2 tells neither index, so both are followed here by its own rules
 * (RFC 3711 section 3.3.1) and written to live words: of a sent packet before
 * it can leave, of a received one once it is authentic. After a restart:
 *	SRTP	the rollover counter that the first packet must have is set,
 *		worked out from the saved index
 *	SRTCP	libsrtp2's counter cannot be set; sending, it is driven on by
 *		packets that are thrown away; receiving, any index may be first
 *	both	an index at or below the saved one is refused here, because the
 *		library's own window begins empty
 *
 * Called by plan.c (new), path.c and report.c (use), leg.c (free).
 */
#include "mediad/srtp.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <srtp2/srtp.h>

#include "common/secret.h"
#include "common/store.h"
#include "mediad/check.h"
#include "mediad/rtcp.h"
#include "mediad/srtp_crypto.h"

/* A window of two and a half seconds of 20 ms packets. */
#define REPLAY_WINDOW 128u
/* Below and at this index libsrtp2 takes a sequence number as it is. */
#define INDEX_MIDDLE  0x8000u
#define RTCP_INDEX    0x7fffffffu
/* Throw-away packets at once: some 30 us. */
#define CATCH_UP_STEP 64u

/* One index of SRTP or SRTCP as we know it. */
struct position {
	bool known; /* at least one packet */
	bool floor; /* an earlier process got as far as `below` */
	uint64_t index;
	uint64_t below;
};

/* An SSRC of the peer that has sent something authentic. */
struct peer_source {
	uint32_t ssrc;
	bool synced; /* libsrtp2 knows its rollover counter */
	struct position rtp, rtcp;
};

struct srtp_leg {
	srtp_t session;
	size_t tag_len;       /* of SRTP */
	size_t rtcp_tail_len; /* of SRTCP: tag and index */
	size_t rtcp_index_at; /* SRTCP's index stands so far before the end */
	bool resumed;
	/* Sending. */
	uint32_t ssrc;
	bool synced;
	struct position rtp;
	uint32_t rtcp_made; /* libsrtp2's counter */
	uint32_t rtcp_used; /* what it must be before anything leaves */
	struct srtp_tx_words *tx_words;
	/* Receiving. */
	struct srtp_rx_words *rx_words;
	unsigned n_sources, now;
	struct peer_source source[]; /* SRTP_SOURCES_MAX, receivers only */
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

/* Debian's libsrtp2 opens and closes its crypto library NSS for each of its
 * self tests: 40 ms, and calls wait for them after a kill. Holding NSS open
 * meanwhile makes it 8. Found by name, because nothing else here needs NSS;
 * without it the start is slower, that is all. */
typedef void *nss_open_fn(const char *config_dir, const char *cert_prefix,
	const char *key_prefix, const char *module, void *parameters,
	uint32_t flags);
typedef int nss_close_fn(void *context);

#define NSS_READONLY  0x1u
#define NSS_NO_CERTS  0x2u
#define NSS_NO_MODULE 0x4u
#define NSS_FORCE     0x8u

static void *hold_nss(void)
{
	void *symbol = dlsym(RTLD_DEFAULT, "NSS_InitContext");
	nss_open_fn *open_nss;

	if (symbol == NULL)
		return NULL;
	memcpy(&open_nss, &symbol, sizeof(open_nss));
	return open_nss("", "", "", "", NULL,
		NSS_READONLY | NSS_NO_CERTS | NSS_NO_MODULE | NSS_FORCE);
}

static void release_nss(void *context)
{
	void *symbol = dlsym(RTLD_DEFAULT, "NSS_ShutdownContext");
	nss_close_fn *close_nss;

	if (context == NULL || symbol == NULL)
		return;
	memcpy(&close_nss, &symbol, sizeof(close_nss));
	(void)close_nss(context);
}

int srtp_begin(void)
{
	void *nss = hold_nss();
	int err = ERR_SYSTEM;

	if (srtp_init() == srtp_err_status_ok)
		err = srtp_crypto_register();
	release_nss(nss);
	return err;
}

void srtp_finish(void)
{
	(void)srtp_shutdown();
}

/* --------------------------------------------------------------- indexes */

static uint16_t get16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)get16(b) << 16 | get16(b + 2);
}

/* The index of a packet, as libsrtp2 guesses it. */
static uint64_t guess(const struct position *p, uint16_t seq)
{
	uint64_t roc = p->index >> 16;
	uint16_t last = (uint16_t)p->index;

	if (!p->known || p->index <= INDEX_MIDDLE)
		return seq;
	if (last < INDEX_MIDDLE && seq > last + INDEX_MIDDLE)
		roc--;
	else if (last >= INDEX_MIDDLE && seq < last - INDEX_MIDDLE)
		roc++;
	return (roc & UINT32_MAX) << 16 | seq;
}

static bool is_used(const struct position *p, uint64_t index)
{
	return p->floor && index <= p->below;
}

/* @param word may be NULL. */
static void advance(struct position *p, uint64_t index, uint64_t *word)
{
	if (p->known && index <= p->index)
		return;
	p->known = true;
	p->index = index;
	if (word != NULL)
		store_word_set(word, index);
}

/* @return 0, or ERR_CORRUPT. */
static int read_position(const uint64_t *word, uint64_t max, struct position *p)
{
	uint64_t index;

	if (*word == 0)
		return 0;
	if (store_word_get(word, &index) || index > max)
		return ERR_CORRUPT;
	*p = (struct position){
		.known = true, .floor = true, .index = index, .below = index};
	return 0;
}

/* ---------------------------------------------------------------- making */

/* Makes the session for n SSRCs; with `any`, others may come later. */
static int leg_open_session(struct srtp_leg *leg,
	const struct srtp_master *master, const uint32_t *ssrcs, unsigned n,
	bool any)
{
	srtp_policy_t policies[SRTP_SOURCES_MAX + 1];
	struct srtp_master copy = *master;
	unsigned n_policies = n + any;
	int err = 0;

	for (unsigned i = 0; i < n_policies; i++) {
		srtp_policy_t *p = &policies[i];

		*p = (srtp_policy_t){
			.key = copy.bytes, .window_size = REPLAY_WINDOW};
		p->ssrc.type = i < n ? ssrc_specific : ssrc_any_inbound;
		p->ssrc.value = i < n ? ssrcs[i] : 0;
		suites[copy.suite].rtp(&p->rtp);
		suites[copy.suite].rtcp(&p->rtcp);
		p->next = i + 1 < n_policies ? p + 1 : NULL;
	}
	leg->tag_len = (size_t)policies[0].rtp.auth_tag_len;
	leg->rtcp_tail_len = (size_t)policies[0].rtcp.auth_tag_len + 4;
	/* RFC 3711 section 3.4: before the tag. RFC 7714 section 17: the tag
	 * belongs to what is encrypted, and the index is the end. */
	leg->rtcp_index_at =
		copy.suite == SRTP_SUITE_AEAD_AES_128_GCM ||
				copy.suite == SRTP_SUITE_AEAD_AES_256_GCM
			? 4
			: leg->rtcp_tail_len;
	if (srtp_create(&leg->session, policies) != srtp_err_status_ok)
		err = ERR_NOMEM;
	secret_wipe(&copy, sizeof(copy));
	return err;
}

static bool is_master(const struct srtp_master *m)
{
	return m->len != 0 && m->len == srtp_master_len(m->suite);
}

int srtp_leg_resume_sender(const struct srtp_master *master, uint32_t ssrc,
	const struct srtp_tx_words *words, struct srtp_leg **leg_out)
{
	struct position rtcp = {0};
	struct srtp_leg *leg;
	int err;

	if (!is_master(master))
		return ERR_INVALID;
	leg = calloc(1, sizeof(*leg));
	if (leg == NULL)
		return ERR_NOMEM;
	leg->ssrc = ssrc;
	leg->resumed = words != NULL;
	err = words ? read_position(&words->rtp, STORE_WORD_MAX, &leg->rtp) : 0;
	if (!err && words)
		err = read_position(&words->rtcp, RTCP_INDEX, &rtcp);
	leg->rtcp_used = (uint32_t)rtcp.index;
	if (!err)
		err = leg_open_session(leg, master, &ssrc, 1, false);
	if (err) {
		free(leg);
		return err;
	}
	*leg_out = leg;
	return 0;
}

/* @return 0, ERR_NOT_FOUND behind the last one, or ERR_CORRUPT. */
static int read_source(
	const struct srtp_rx_word *word, struct peer_source *source)
{
	uint64_t ssrc;
	int err;

	if (word->ssrc == 0)
		return ERR_NOT_FOUND;
	if (store_word_get(&word->ssrc, &ssrc) || ssrc > UINT32_MAX)
		return ERR_CORRUPT;
	*source = (struct peer_source){.ssrc = (uint32_t)ssrc};
	err = read_position(&word->rtp, STORE_WORD_MAX, &source->rtp);
	return err ? err
		   : read_position(&word->rtcp, RTCP_INDEX, &source->rtcp);
}

int srtp_leg_resume_receiver(const struct srtp_master *master,
	const struct srtp_rx_words *words, struct srtp_leg **leg_out)
{
	uint32_t ssrcs[SRTP_SOURCES_MAX];
	struct srtp_leg *leg;
	int err = 0;

	if (!is_master(master))
		return ERR_INVALID;
	leg = calloc(
		1, sizeof(*leg) + SRTP_SOURCES_MAX * sizeof(leg->source[0]));
	if (leg == NULL)
		return ERR_NOMEM;
	leg->resumed = words != NULL;
	for (unsigned i = 0; words && !err && i < SRTP_SOURCES_MAX; i++) {
		err = read_source(&words->source[i], &leg->source[i]);
		if (!err)
			ssrcs[leg->n_sources++] = leg->source[i].ssrc;
	}
	if (!err || err == ERR_NOT_FOUND)
		err = leg_open_session(
			leg, master, ssrcs, leg->n_sources, true);
	if (err) {
		free(leg);
		return err;
	}
	*leg_out = leg;
	return 0;
}

int srtp_leg_new_sender(const struct srtp_master *master, uint32_t ssrc,
	struct srtp_leg **leg_out)
{
	return srtp_leg_resume_sender(master, ssrc, NULL, leg_out);
}

int srtp_leg_new_receiver(
	const struct srtp_master *master, struct srtp_leg **leg_out)
{
	return srtp_leg_resume_receiver(master, NULL, leg_out);
}

void srtp_leg_keep_sender(struct srtp_leg *leg, struct srtp_tx_words *words)
{
	if (!leg->resumed)
		*words = (struct srtp_tx_words){0};
	leg->tx_words = words;
}

void srtp_leg_keep_receiver(struct srtp_leg *leg, struct srtp_rx_words *words)
{
	if (!leg->resumed)
		*words = (struct srtp_rx_words){0};
	leg->rx_words = words;
}

void srtp_leg_free(struct srtp_leg **leg)
{
	if (*leg == NULL)
		return;
	(void)srtp_dealloc((*leg)->session);
	free(*leg);
	*leg = NULL;
}

/* -------------------------------------------------------------- receiving */

static struct peer_source *find_source(struct srtp_leg *leg, uint32_t ssrc)
{
	if (leg->now < leg->n_sources && leg->source[leg->now].ssrc == ssrc)
		return &leg->source[leg->now];
	for (unsigned i = 0; i < leg->n_sources; i++) {
		if (leg->source[i].ssrc != ssrc)
			continue;
		leg->now = i;
		return &leg->source[i];
	}
	return NULL;
}

/* There is room: its packet would have been refused before. */
static struct peer_source *add_source(struct srtp_leg *leg, uint32_t ssrc)
{
	struct peer_source *s = &leg->source[leg->n_sources];

	leg->now = leg->n_sources;
	*s = (struct peer_source){.ssrc = ssrc, .synced = true};
	if (leg->rx_words != NULL)
		store_word_set(&leg->rx_words->source[leg->now].ssrc, ssrc);
	leg->n_sources++;
	return s;
}

bool srtp_leg_may_change(const struct srtp_leg *leg, uint32_t ssrc)
{
	for (unsigned i = 0; i < leg->n_sources; i++)
		if (leg->source[i].ssrc == ssrc)
			return true;
	return leg->n_sources < SRTP_SOURCES_MAX;
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

static struct srtp_rx_word *words_now(struct srtp_leg *leg)
{
	return leg->rx_words ? &leg->rx_words->source[leg->now] : NULL;
}

enum reason srtp_leg_open(struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;
	struct srtp_rx_word *word;
	struct peer_source *s;
	uint64_t index;
	uint32_t ssrc;
	enum reason why;

	if (*len < RTP_HEADER_LEN + leg->tag_len)
		return REASON_RTP_AUTH;
	ssrc = get32(bytes + 8);
	index = get16(bytes + 2);
	s = find_source(leg, ssrc);
	if (s == NULL && leg->n_sources == SRTP_SOURCES_MAX)
		return REASON_RTP_SSRC;
	if (s != NULL) {
		index = guess(&s->rtp, (uint16_t)index);
		if (is_used(&s->rtp, index))
			return REASON_RTP_REPLAY;
		/* Stays without effect until a packet is authentic. */
		if (!s->synced &&
			srtp_set_stream_roc(leg->session, ssrc,
				(uint32_t)(index >> 16)) != srtp_err_status_ok)
			return REASON_RTP_AUTH;
	}
	why = opened(srtp_unprotect(leg->session, bytes, &n), REASON_RTP_OK);
	if (why != REASON_RTP_OK)
		return why;
	if (s == NULL)
		s = add_source(leg, ssrc);
	s->synced = true;
	word = words_now(leg);
	advance(&s->rtp, index, word ? &word->rtp : NULL);
	*len = (size_t)n;
	return REASON_RTP_OK;
}

enum reason srtp_leg_open_rtcp(
	struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;
	struct srtp_rx_word *word;
	struct peer_source *s;
	uint32_t index, ssrc;
	enum reason why;

	if (*len < RTCP_SSRC_END + leg->rtcp_tail_len)
		return REASON_RTP_AUTH;
	ssrc = rtcp_sender_ssrc(bytes);
	index = get32(bytes + *len - leg->rtcp_index_at) & RTCP_INDEX;
	s = find_source(leg, ssrc);
	if (s == NULL && leg->n_sources == SRTP_SOURCES_MAX)
		return REASON_RTP_SSRC;
	if (s != NULL && is_used(&s->rtcp, index))
		return REASON_RTP_REPLAY;
	why = opened(
		srtp_unprotect_rtcp(leg->session, bytes, &n), REASON_RTCP_OK);
	if (why != REASON_RTCP_OK)
		return why;
	if (s == NULL)
		s = add_source(leg, ssrc);
	word = words_now(leg);
	advance(&s->rtcp, index, word ? &word->rtcp : NULL);
	*len = (size_t)n;
	return REASON_RTCP_OK;
}

/* ---------------------------------------------------------------- sending */

bool srtp_leg_protect(struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;
	uint64_t index = guess(&leg->rtp, get16(bytes + 2));

	if (is_used(&leg->rtp, index))
		return false;
	if (!leg->synced &&
		srtp_set_stream_roc(leg->session, leg->ssrc,
			(uint32_t)(index >> 16)) != srtp_err_status_ok)
		return false;
	leg->synced = true;
	advance(&leg->rtp, index, leg->tx_words ? &leg->tx_words->rtp : NULL);
	if (srtp_protect(leg->session, bytes, &n) != srtp_err_status_ok)
		return false;
	*len = (size_t)n;
	return true;
}

/* The next index that libsrtp2 will use. */
static bool make_rtcp(struct srtp_leg *leg, uint8_t *bytes, int *n)
{
	leg->rtcp_made++;
	return srtp_protect_rtcp(leg->session, bytes, n) == srtp_err_status_ok;
}

bool srtp_leg_catch_up(struct srtp_leg *leg)
{
	for (unsigned i = 0;
		i < CATCH_UP_STEP && leg->rtcp_made < leg->rtcp_used; i++) {
		_Alignas(4) uint8_t bytes[12 + SRTP_TRAILER_MAX] = {0x80, 201,
			0, 2, (uint8_t)(leg->ssrc >> 24),
			(uint8_t)(leg->ssrc >> 16), (uint8_t)(leg->ssrc >> 8),
			(uint8_t)leg->ssrc};
		int n = 12;

		if (!make_rtcp(leg, bytes, &n))
			return false;
	}
	return leg->rtcp_made >= leg->rtcp_used;
}

bool srtp_leg_protect_rtcp(struct srtp_leg *leg, uint8_t *bytes, size_t *len)
{
	int n = (int)*len;

	if (leg->rtcp_made < leg->rtcp_used)
		return false;
	leg->rtcp_used = leg->rtcp_made + 1;
	if (leg->tx_words != NULL)
		store_word_set(&leg->tx_words->rtcp, leg->rtcp_used);
	if (!make_rtcp(leg, bytes, &n))
		return false;
	*len = (size_t)n;
	return true;
}
