/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own digest answers; see trunkcred.h. Does not decide when to register or
 * to try again: sbc does. Called by server. RFC 3261 section 22, RFC 7616,
 * RFC 8760.
 */
#include "authd/trunkcred.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "authd/unseal.h"
#include "common/addr.h"
#include "common/ident.h"
#include "common/log.h"
#include "common/secret.h"

enum { CNONCE_LEN = 16, VALUE_SIZE = 1025 };

static const char *skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Reads one value, quoted or not, unescaped, into value.
 * @return the place after it, or NULL. */
static const char *read_value(const char *at, char value[VALUE_SIZE])
{
	size_t len = 0;

	if (*at != '"') {
		len = strcspn(at, ", \t");
		if (len >= VALUE_SIZE)
			return NULL;
		memcpy(value, at, len);
		value[len] = '\0';
		return at + len;
	}
	for (at++; *at != '"'; at++) {
		if (*at == '\\')
			at++;
		if (*at == '\0' || len == VALUE_SIZE - 1 ||
			iscntrl((unsigned char)*at))
			return NULL;
		value[len++] = *at;
	}
	value[len] = '\0';
	return at + 1;
}

/* Is word one of a comma-separated list? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == len && strncasecmp(list, word, len) == 0)
			return true;
		list += n;
	}
	return false;
}

static int copy_text(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len >= size)
		return ERR_INVALID;
	memcpy(to, from, len + 1);
	return 0;
}

static int take_parameter(struct challenge *c, const char *name, size_t len,
	const char *value, bool *has_qop)
{
	struct digest_offers offers;

	if (len == 5 && strncasecmp(name, "realm", 5) == 0)
		return copy_text(c->realm, sizeof(c->realm), value);
	if (len == 5 && strncasecmp(name, "nonce", 5) == 0)
		return copy_text(c->nonce, sizeof(c->nonce), value);
	if (len == 6 && strncasecmp(name, "opaque", 6) == 0) {
		c->has_opaque = true;
		return copy_text(c->opaque, sizeof(c->opaque), value);
	}
	if (len == 9 && strncasecmp(name, "algorithm", 9) == 0) {
		if (strchr(value, '/') || strchr(value, ' ') ||
			digest_offers_parse(value, &offers) < 0)
			return ERR_INVALID;
		c->algorithm = offers.offer[0].algorithm;
		c->has_algorithm = true;
	} else if (len == 3 && strncasecmp(name, "qop", 3) == 0) {
		*has_qop = true;
		c->qop = has_word(value, "auth")       ? "auth"
			 : has_word(value, "auth-int") ? "auth-int"
						       : NULL;
	}
	return 0;
}

int trunkcred_parse(const char *text, struct challenge *out)
{
	struct challenge c = {.algorithm = GH__ALGORITHM__ALGORITHM_MD5};
	bool has_qop = false;
	const char *at = skip_space(text);
	char value[VALUE_SIZE];

	if (strncasecmp(at, "Digest", 6) != 0 ||
		(at[6] != ' ' && at[6] != '\t'))
		return ERR_INVALID;
	at = skip_space(at + 6);
	while (*at) {
		const char *name = at;
		size_t len = strcspn(at, "= \t,");

		at = skip_space(at + len);
		if (len == 0 || *at != '=')
			return ERR_INVALID;
		at = read_value(skip_space(at + 1), value);
		if (!at || take_parameter(&c, name, len, value, &has_qop) < 0)
			return ERR_INVALID;
		at = skip_space(at);
		if (*at != ',' && *at != '\0')
			return ERR_INVALID;
		while (*at == ',' || *at == ' ' || *at == '\t')
			at++;
	}
	if (!c.realm[0] || !c.nonce[0] || (has_qop && !c.qop))
		return ERR_INVALID;
	*out = c;
	return 0;
}

/* Is the challenge from an address of the trunk? A target that is a name is
 * resolved by sbc, which sent its request there: such a trunk is trusted with
 * any address, but then its realm must be known, or be one of its names. */
static bool is_own_address(
	const Gh__Trunk *trunk, const struct addr *peer, bool *by_name_out)
{
	struct addr_net net;
	struct addr target;

	*by_name_out = false;
	for (size_t i = 0; i < trunk->n_sources; i++) {
		if (addr_net_parse(trunk->sources[i]->network, &net) == 0 &&
			addr_in_net(peer, &net))
			return true;
	}
	for (size_t i = 0; i < trunk->n_targets; i++) {
		if (addr_parse(trunk->targets[i]->host, &target) < 0)
			*by_name_out = true;
		else if (addr_equal_ip(&target, peer))
			return true;
	}
	return false;
}

static bool is_own_name(const Gh__Trunk *trunk, const char *realm)
{
	if (*trunk->domain && strcasecmp(trunk->domain, realm) == 0)
		return true;
	for (size_t i = 0; i < trunk->n_targets; i++) {
		if (strcasecmp(trunk->targets[i]->host, realm) == 0)
			return true;
	}
	return false;
}

static int find_ha1(struct digest *digest, const struct key *key,
	const Gh__TrunkSecret *secret, const struct challenge *c,
	struct digest_ha1 *ha1_out)
{
	const ProtobufCBinaryData *stored =
		c->algorithm == GH__ALGORITHM__ALGORITHM_MD5 ? &secret->ha1_md5
		: c->algorithm == GH__ALGORITHM__ALGORITHM_SHA256
			? &secret->ha1_sha256
			: &secret->ha1_sha512_256;
	char password[UNSEAL_PASSWORD_SIZE];
	int err;

	if (secret->sealed.len == 0) {
		if (stored->len != digest_hash_len(c->algorithm))
			return ERR_NOT_FOUND;
		memcpy(ha1_out->bytes, stored->data, stored->len);
		return 0;
	}
	err = unseal_password(
		key->rsa, secret->sealed.data, secret->sealed.len, password);
	if (err == 0)
		err = digest_make_ha1(digest, c->algorithm, secret->username,
			c->realm, password, ha1_out);
	secret_wipe(password, sizeof(password));
	return err;
}

/* Puts backslashes before quotes and backslashes. */
static int quote(const char *text, char *out, size_t size)
{
	size_t len = 0;

	for (; *text; text++) {
		if (len + 3 > size)
			return ERR_TOO_BIG;
		if (*text == '"' || *text == '\\')
			out[len++] = '\\';
		out[len++] = *text;
	}
	out[len] = '\0';
	return 0;
}

static int write_header(const struct challenge *c, const char *username,
	const char *uri, const char *cnonce, const char *response, char *header)
{
	char user[300], realm[300], nonce[1100], opaque[1100], q_uri[2100];
	int len;

	if (quote(username, user, sizeof(user)) < 0 ||
		quote(c->realm, realm, sizeof(realm)) < 0 ||
		quote(c->nonce, nonce, sizeof(nonce)) < 0 ||
		quote(c->opaque, opaque, sizeof(opaque)) < 0 ||
		quote(uri, q_uri, sizeof(q_uri)) < 0)
		return ERR_TOO_BIG;
	len = snprintf(header, TRUNKCRED_HEADER_SIZE,
		"Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", "
		"uri=\"%s\", response=\"%s\"",
		user, realm, nonce, q_uri, response);
	if (len > 0 && len < TRUNKCRED_HEADER_SIZE && c->has_algorithm)
		len += snprintf(header + len,
			(size_t)(TRUNKCRED_HEADER_SIZE - len), ", algorithm=%s",
			digest_algorithm_name(c->algorithm));
	if (len > 0 && len < TRUNKCRED_HEADER_SIZE && c->qop)
		len += snprintf(header + len,
			(size_t)(TRUNKCRED_HEADER_SIZE - len),
			", cnonce=\"%s\", qop=%s, nc=00000001", cnonce, c->qop);
	if (len > 0 && len < TRUNKCRED_HEADER_SIZE && c->has_opaque)
		len += snprintf(header + len,
			(size_t)(TRUNKCRED_HEADER_SIZE - len),
			", opaque=\"%s\"", opaque);
	return len > 0 && len < TRUNKCRED_HEADER_SIZE ? 0 : ERR_TOO_BIG;
}

enum reason trunkcred_answer(struct digest *digest, const struct key *key,
	const Gh__Trunk *trunk, const Gh__TrunkSecret *secret,
	const Gh__TrunkAuthRequest *request, const char *fixed_cnonce,
	char header[TRUNKCRED_HEADER_SIZE])
{
	char cnonce[CNONCE_LEN + 1], response[DIGEST_HEX_SIZE];
	struct digest_ha1 ha1;
	struct challenge c;
	struct addr peer;
	bool by_name;
	int err;

	if (addr_parse(request->peer, &peer) < 0 ||
		trunkcred_parse(request->challenge, &c) < 0)
		return REASON_AUTH_TRUNK_FAILED;
	if (!is_own_address(trunk, &peer, &by_name) &&
		!(by_name &&
			(*secret->digest_realm || is_own_name(trunk, c.realm))))
		return REASON_AUTH_TRUNK_REALM;
	if (*secret->digest_realm && strcmp(secret->digest_realm, c.realm) != 0)
		return REASON_AUTH_TRUNK_REALM;
	err = find_ha1(digest, key, secret, &c, &ha1);
	if (err < 0) {
		log_err("trunk_secret", LOG_STR("trunk", trunk->name),
			LOG_ERR(err));
		return REASON_AUTH_TRUNK_FAILED;
	}
	if (fixed_cnonce)
		snprintf(cnonce, sizeof(cnonce), "%s", fixed_cnonce);
	else
		ident_make_random(cnonce, CNONCE_LEN);
	err = digest_response(digest, c.algorithm, &ha1, c.nonce, "00000001",
		cnonce, c.qop, request->method, request->uri,
		request->body.data, request->body.len, response);
	secret_wipe(&ha1, sizeof(ha1));
	if (err == 0)
		err = write_header(&c, secret->username, request->uri, cnonce,
			response, header);
	secret_wipe(response, sizeof(response));
	return err < 0 ? REASON_AUTH_TRUNK_FAILED : REASON_NONE;
}
