/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of call_world.h. */
#include "config.h"

#include "tests/unit/call_world_inner.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static void collect(struct settings_collector *c, Gh__SettingsPiece *piece,
	uint64_t version, uint32_t *n)
{
	piece->version = version;
	ck_assert_int_eq(settings_collect(c, piece), 0);
	(*n)++;
}

static void add_codecs(
	struct settings_collector *c, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__CodecList list = GH__CODEC_LIST__INIT;
	Gh__Codec codecs[3] = {
		GH__CODEC__INIT, GH__CODEC__INIT, GH__CODEC__INIT};
	Gh__Codec *rows[3] = {&codecs[0], &codecs[1], &codecs[2]};

	codecs[0].name = cw_str("PCMA");
	codecs[1].name = cw_str("PCMU");
	codecs[2].name = cw_str("telephone-event");
	for (size_t i = 0; i < 3; i++) {
		codecs[i].clock = 8000;
		codecs[i].channels = 1;
	}
	list.id = 1;
	list.name = cw_str("plain");
	list.codecs = rows;
	list.n_codecs = 3;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_CODEC_LIST;
	piece.codec_list = &list;
	collect(c, &piece, version, n);
}

static void add_realm(struct settings_collector *c, uint32_t id,
	const struct addr *at, const struct addr *at2,
	const struct cw_config *config, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Realm realm = GH__REALM__INIT;
	Gh__RealmAddress address = GH__REALM_ADDRESS__INIT;
	Gh__RealmAddress second = GH__REALM_ADDRESS__INIT;
	Gh__RealmAddress *addresses[2] = {&address, &second};
	Gh__DigestOffer offer = GH__DIGEST_OFFER__INIT, *offers = &offer;
	char listen[ADDR_TEXT_SIZE], also[ADDR_TEXT_SIZE];
	char *domain = cw_str("example.com");
	char *packages[] = {cw_str("message-summary"), cw_str("dialog"),
		cw_str("presence"), cw_str("check-sync")};

	address.listen = cw_str(addr_format(at, listen));
	second.listen = cw_str(addr_format(at2, also));
	address.media = cw_str("127.0.0.1");
	/* Where we stand behind a 1:1 NAT the world knows another address. */
	address.advertised_media = cw_str(id == 2 ? "198.51.100.7" : "");
	realm.id = id;
	realm.name = cw_str(id == 1 ? "phones" : id == 2 ? "itsp" : "pbx");
	realm.zone = id == 3 ? GH__ZONE__ZONE_INSIDE : GH__ZONE__ZONE_OUTSIDE;
	realm.phones = id == 1;
	realm.strangers_invite = id == 1;
	second.media = cw_str("127.0.0.9");
	realm.addresses = addresses;
	realm.n_addresses = id == 1 ? 2 : 1;
	realm.domains = &domain;
	realm.n_domains = 1;
	realm.digest_realm = cw_str("example.com");
	realm.digest = &offers;
	realm.n_digest = 1;
	realm.codec_list = 1;
	realm.media_port_min = 30000;
	realm.media_port_max = 30999;
	realm.expires_min_s = 60;
	realm.expires_max_s = 3600;
	realm.expires_default_s = 600;
	realm.max_contacts = 8;
	realm.srtp = id == 1 ? config->phones_srtp : GH__SRTP_POLICY__SRTP_NONE;
	realm.srtp_insecure_signaling = config->keys_in_clear;
	realm.event_packages = id == 1 ? packages : NULL;
	realm.n_event_packages =
		id == 1 ? sizeof packages / sizeof *packages : 0;
	realm.allow_message = (config->texts & 1u << id) != 0;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_REALM;
	piece.realm = &realm;
	collect(c, &piece, version, n);
}

static void add_trunk(struct settings_collector *c, uint32_t id,
	const struct cw_config *config, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Trunk trunk = GH__TRUNK__INIT;
	Gh__TrunkSource source = GH__TRUNK_SOURCE__INIT, second_source;
	Gh__TrunkSource *sources[2] = {&source, &second_source};
	Gh__TrunkTarget target = GH__TRUNK_TARGET__INIT, second_target;
	Gh__TrunkTarget *targets[2] = {&target, &second_target};
	char network[32], second_network[32];

	snprintf(network, sizeof network, "%s/32", cw_at(id + 1, 0));
	source.network = network;
	target.host = cw_str(cw_at(id + 1, 0));
	target.port = CW_TRUNK_PORT;
	second_source = source;
	second_target = target;
	snprintf(second_network, sizeof second_network, "%s/32", cw_at(7, 0));
	second_source.network = second_network;
	second_target.host = cw_str(cw_at(7, 0));
	second_target.priority = 1;
	trunk.id = id;
	trunk.name = cw_str(id == 1 ? "itsp" : id == 2 ? "backup" : "pbx");
	trunk.realm = id == 3 ? 3 : 2;
	trunk.enabled = true;
	trunk.sources = sources;
	trunk.targets = targets;
	trunk.n_sources = trunk.n_targets =
		id == 3 && config->pbx_twice ? 2 : 1;
	trunk.codec_list = 1;
	if (id == 1) {
		trunk.max_calls = config->itsp_max_calls;
		trunk.srtp = config->itsp_srtp;
		if (config->itsp_host != NULL)
			trunk.host = cw_str(config->itsp_host);
		trunk.ring_timeout_s = config->itsp_ring_s;
		trunk.options_interval_s = config->probe ? 1 : 0;
		trunk.session_expires_s = config->session_expires_s;
		trunk.follow_redirects = config->redirects;
		trunk.registers = config->registers;
		trunk.register_user = cw_str(config->registers ? "reg7" : "");
		trunk.register_expires_s = 60;
	}
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_TRUNK;
	piece.trunk = &trunk;
	collect(c, &piece, version, n);
}

/* +49... from phones and the PBX goes to the world, by trunk 1, then 2; a call
 * for 1xx from the PBX or the world rings the extension. */
static void add_routes(
	struct settings_collector *c, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Route route = GH__ROUTE__INIT;
	Gh__RouteTarget targets[2] = {
		GH__ROUTE_TARGET__INIT, GH__ROUTE_TARGET__INIT};
	Gh__RouteTarget *rows[2] = {&targets[0], &targets[1]};

	targets[0].trunk = 1;
	targets[1].trunk = 2;
	targets[1].priority = 1;
	route.id = 5;
	route.name = cw_str("world");
	route.priority = 10;
	route.called_match = cw_str("+4989");
	route.action = GH__ROUTE_ACTION__ROUTE_TO_TRUNK;
	route.targets = rows;
	route.n_targets = 2;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_ROUTE;
	piece.route = &route;
	collect(c, &piece, version, n);

	targets[0].trunk = 3;
	route.id = 6;
	route.name = cw_str("pbx");
	route.priority = 20;
	route.called_match = cw_str("7");
	route.n_targets = 1;
	collect(c, &piece, version, n);

	targets[0].trunk = 1;
	route.id = 7;
	route.name = cw_str("emergency");
	route.called_match = cw_str("112");
	route.emergency = true;
	collect(c, &piece, version, n);
}

static void add_setting(struct settings_collector *c, const char *name,
	const char *value, uint64_t version, uint32_t *n)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Setting setting = GH__SETTING__INIT;

	setting.name = cw_str(name);
	setting.value = cw_str(value);
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_SETTING;
	piece.setting = &setting;
	collect(c, &piece, version, n);
}

void cw_settings_apply(struct cw *w, const struct cw_config *config)
{
	struct settings_collector *c;
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	struct settings *settings;
	enum reason why = REASON_NONE;
	char problem[SETTINGS_PROBLEM_SIZE] = "";
	uint32_t n = 0;
	int err;

	w->version++;
	ck_assert_int_eq(settings_collector_new(&c), 0);
	add_codecs(c, w->version, &n);
	add_realm(c, 1, &w->phones, &w->phones2, config, w->version, &n);
	add_realm(c, 2, &w->itsp, &w->phones2, config, w->version, &n);
	add_realm(c, 3, &w->pbx, &w->phones2, config, w->version, &n);
	for (uint32_t id = 1; id <= 3; id++)
		add_trunk(c, id, config, w->version, &n);
	add_routes(c, w->version, &n);
	/* 64*T1 = 3.2 s: time-outs of transactions within a test's patience. */
	add_setting(c, "sip_t1_ms", "50", w->version, &n);
	add_setting(c, "max_subscriptions", "6", w->version, &n);
	add_setting(c, "max_subscriptions_per_account", "5", w->version, &n);
	add_setting(c, "event_expires_min_s", "10", w->version, &n);
	add_setting(c, "sip_t2_ms", "400", w->version, &n);
	add_setting(c, "sip_t4_ms", "500", w->version, &n);
	done.version = w->version;
	done.n_pieces = n;
	err = settings_finish(c, &done, &settings, &why, problem);
	ck_assert_msg(err == 0, "%s: %s", reason_text(why), problem);
	settings_collector_free(&c);
	sbc_apply(&w->sbc, settings);
}
