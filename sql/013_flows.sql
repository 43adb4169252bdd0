-- SPDX-License-Identifier: Apache-2.0
-- Connections (TCP and TLS): certificates of our listeners, what a trunk has to
-- prove and what we show it, limits and deadlines.

CREATE FUNCTION sbc.is_file_name(name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
	$$ SELECT name ~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$' $$;
COMMENT ON FUNCTION sbc.is_file_name(text) IS
	'Is this the name of a certificate or authority, as a file has it?';

ALTER TABLE sbc.realm_address
	ADD COLUMN certificates text[] NOT NULL DEFAULT '{}'
		CONSTRAINT "certificates are names of files, without ending"
		CHECK (array_length(certificates, 1) IS NULL OR
			array_to_string(certificates, '/') ~
			'^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){0,14}$'),
	ADD COLUMN client_ca text NOT NULL DEFAULT ''
		CONSTRAINT "the authority of client certificates is the name of a file"
		CHECK (client_ca = '' OR sbc.is_file_name(client_ca));
COMMENT ON COLUMN sbc.realm_address.certificates IS 'TLS: names of certificates, chosen by the name a peer asks for; empty = the realm''s name';
COMMENT ON COLUMN sbc.realm_address.client_ca IS 'TLS: authority of certificates that peers may show; empty = none is asked for';

ALTER TABLE sbc.trunk
	ADD COLUMN tls_name text NOT NULL DEFAULT ''
		CONSTRAINT "the TLS name is a host"
		CHECK (tls_name = '' OR sbc.is_host_port(tls_name)),
	ADD COLUMN tls_ca text NOT NULL DEFAULT ''
		CONSTRAINT "the trunk's authority is the name of a file"
		CHECK (tls_ca = '' OR sbc.is_file_name(tls_ca)),
	ADD COLUMN tls_pin text NOT NULL DEFAULT ''
		CONSTRAINT "a pin is the SHA-256 of a public key in 64 hex digits"
		CHECK (tls_pin = '' OR tls_pin ~ '^[0-9A-Fa-f]{64}$'),
	ADD COLUMN tls_certificate text NOT NULL DEFAULT ''
		CONSTRAINT "our certificate for the trunk is the name of a file"
		CHECK (tls_certificate = '' OR sbc.is_file_name(tls_certificate)),
	ADD COLUMN tls_verify boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sbc.trunk.tls_name IS 'Name that its certificate must have; empty = its domain, or the host of the target';
COMMENT ON COLUMN sbc.trunk.tls_ca IS 'Authority of its certificate; empty = the system''s';
COMMENT ON COLUMN sbc.trunk.tls_pin IS 'SHA-256 of its public key: trusted without an authority; sbcctl cert show prints it';
COMMENT ON COLUMN sbc.trunk.tls_certificate IS 'Certificate that we show when we connect; empty = none';
COMMENT ON COLUMN sbc.trunk.tls_verify IS 'Its calls are taken only over TLS connections that proved its name or pin';

CREATE OR REPLACE VIEW sbc.authd_realm_address AS
SELECT realm, sbc.address_port(address, port) AS listen, transport,
	coalesce(advertised_sip, '') AS advertised_sip, host(media) AS media,
	coalesce(host(advertised_media), '') AS advertised_media,
	array_to_string(certificates, ' ') AS certificates, client_ca
FROM sbc.realm_address ORDER BY realm, id;

CREATE OR REPLACE VIEW sbc.authd_trunk AS
SELECT id, name, realm, enabled, coalesce(codec_list, 0) AS codec_list, srtp, max_calls,
	max_calls_per_s, coalesce(host, '') AS host, coalesce(domain, '') AS domain, called_from,
	caller_from, caller_to, registers, coalesce(register_user, '') AS register_user,
	register_expires_s, options_interval_s, max_duration_s, session_expires_s,
	ring_timeout_s, follow_redirects, array_to_string(groups, ' ') AS groups,
	coalesce((SELECT string_agg(network::text, ' ' ORDER BY network)
		FROM sbc.trunk_media_network m WHERE m.trunk = t.id), '') AS media_networks,
	tls_name, tls_ca, tls_pin, tls_certificate, tls_verify
FROM sbc.trunk t ORDER BY id;

INSERT INTO sbc.setting (name, value, default_value, kind, minimum, maximum, unit, description) VALUES
	('max_flows', '0', '0', 'number', 0, 1000000, '', 'Most connections; 0 = as many as the system allows'),
	('max_flows_per_source', '100', '100', 'number', 1, 1000000, '', 'Most connections of one stranger; ten times as many for a host with registered phones'),
	('flows_reserved', '100', '100', 'number', 0, 1000000, '', 'Connections kept free for hosts with registered phones'),
	('flow_header_max', '16384', '16384', 'number', 1024, 65536, 'octets', 'Largest header of a message on a connection'),
	('flow_body_max', '16384', '16384', 'number', 1024, 65536, 'octets', 'Largest body of a message on a connection'),
	('flow_message_timeout_ms', '10000', '10000', 'number', 100, 600000, 'ms', 'A message that was begun has to be complete by then'),
	('flow_handshake_timeout_ms', '10000', '10000', 'number', 100, 600000, 'ms', 'A TLS handshake has to be done by then'),
	('flow_first_message_timeout_ms', '30000', '30000', 'number', 100, 600000, 'ms', 'A connection without a message ends after this'),
	('flow_idle_timeout_ms', '3900000', '3900000', 'number', 1000, 86400000, 'ms', 'A connection that is silent so long ends');

REVOKE ALL ON FUNCTION sbc.is_file_name(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.is_file_name(text) TO sbc_admin;
