-- SPDX-License-Identifier: Apache-2.0
-- Who may do what. sbc_authd: the views and functions made for it, nothing
-- else. sbc_admin: settings, accounts, functions; never a hash of a password.
-- sbc_viewer: to look.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sbc FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA sbc FROM PUBLIC;
GRANT USAGE ON SCHEMA sbc TO sbc_authd, sbc_admin, sbc_viewer;
GRANT SELECT ON sbc.schema_version TO sbc_authd, sbc_admin, sbc_viewer;

-- authd
GRANT SELECT ON sbc.authd_realm, sbc.authd_realm_address, sbc.authd_trunk, sbc.authd_trunk_source,
	sbc.authd_trunk_target, sbc.authd_number_rule, sbc.authd_header_rule, sbc.authd_route,
	sbc.authd_route_target, sbc.authd_codec, sbc.authd_blocked_caller, sbc.authd_setting,
	sbc.authd_digest_list, sbc.authd_account, sbc.authd_number, sbc.authd_trunk_credential, sbc.authd_ban,
	sbc.authd_binding TO sbc_authd;
GRANT EXECUTE ON FUNCTION sbc.cdr_store(jsonb), sbc.event_store(jsonb), sbc.ban_store(jsonb),
	sbc.ban_store_lift(inet), sbc.binding_store(jsonb), sbc.reason_store(jsonb),
	sbc.config_status_store(numeric, text, integer, text), sbc.seal_key_store(bytea),
	sbc.from_us(numeric), sbc.address_port(inet, integer), sbc.check_config() TO sbc_authd;

-- people who look
GRANT SELECT ON sbc.registration, sbc.ban_list, sbc.event_log, sbc.security_event, sbc.call_log,
	sbc.calls_per_hour, sbc.call_explain, sbc.config_state, sbc.cdr, sbc.cdr_leg, sbc.event,
	sbc.ban, sbc.binding, sbc.config_status, sbc.history, sbc.reason, sbc.codec,
	sbc.codec_list, sbc.codec_list_entry, sbc.realm, sbc.realm_address, sbc.realm_acl, sbc.trunk,
	sbc.trunk_source, sbc.trunk_target, sbc.trunk_media_network, sbc.number_rule,
	sbc.header_rule, sbc.route, sbc.route_target, sbc.blocked_caller, sbc.setting, sbc.account,
	sbc.account_number, sbc.account_acl TO sbc_viewer, sbc_admin;
GRANT EXECUTE ON FUNCTION sbc.list_phones(), sbc.check_config(), sbc.from_us(numeric),
	sbc.realm_id(text), sbc.trunk_id(text), sbc.codec_list_id(text), sbc.account_id(text)
	TO sbc_viewer, sbc_admin;

-- people who change
GRANT INSERT, UPDATE, DELETE ON sbc.codec_list, sbc.codec_list_entry, sbc.realm,
	sbc.realm_address, sbc.realm_acl, sbc.trunk, sbc.trunk_source, sbc.trunk_target,
	sbc.trunk_media_network, sbc.number_rule, sbc.header_rule, sbc.route, sbc.route_target,
	sbc.blocked_caller, sbc.account, sbc.account_number, sbc.account_acl, sbc.phone_import
	TO sbc_admin;
GRANT SELECT ON sbc.phone_import TO sbc_admin;
GRANT UPDATE (value) ON sbc.setting TO sbc_admin;
GRANT SELECT (trunk, username, digest_realm, changed_at), DELETE ON sbc.trunk_credential TO sbc_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sbc TO sbc_admin;
REVOKE EXECUTE ON FUNCTION sbc.store_password(bigint, text), sbc.cdr_store(jsonb),
	sbc.event_store(jsonb), sbc.ban_store(jsonb), sbc.ban_store_lift(inet),
	sbc.binding_store(jsonb), sbc.reason_store(jsonb), sbc.config_status_store(numeric, text, integer, text),
	sbc.seal_key_store(bytea) FROM sbc_admin;
