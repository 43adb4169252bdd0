-- SPDX-License-Identifier: Apache-2.0
-- Ground: roles, the extension for hashes and random bytes, and the checks
-- that constraints of later files name. sbc.schema_version itself is made by
-- sql/migrate, which must be able to read it before the first file.

CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sbc_authd') THEN
		CREATE ROLE sbc_authd LOGIN;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sbc_admin') THEN
		CREATE ROLE sbc_admin NOLOGIN;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sbc_viewer') THEN
		CREATE ROLE sbc_viewer NOLOGIN;
	END IF;
END $$;

COMMENT ON SCHEMA sbc IS
	'Gatehouse session border controller: its whole configuration, its accounts and its records';

-- ------------------------------------------------------------ small checks

CREATE FUNCTION sbc.is_address(text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
	RETURN masklen($1::inet) = CASE family($1::inet) WHEN 4 THEN 32 ELSE 128 END
		AND strpos($1, '/') = 0;
EXCEPTION WHEN invalid_text_representation THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION sbc.is_address(text) IS 'True for one IPv4 or IPv6 address without a prefix length';

CREATE FUNCTION sbc.is_host(text) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT sbc.is_address($1) OR (length($1) <= 253
		AND $1 ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?\.?$')
$$;
COMMENT ON FUNCTION sbc.is_host(text) IS 'True for an address or a lower-case DNS name';

CREATE FUNCTION sbc.is_host_port(text) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT sbc.is_host($1)
		OR (sbc.is_host(substring($1 FROM '^\[?([^]]*?)\]?:[0-9]{1,5}$'))
			AND substring($1 FROM ':([0-9]{1,5})$')::int BETWEEN 1 AND 65535)
$$;
COMMENT ON FUNCTION sbc.is_host_port(text) IS 'True for a host, or a host and a port';

CREATE FUNCTION sbc.all_hosts(text[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT coalesce(bool_and(h IS NOT NULL AND sbc.is_host(h)), true) FROM unnest($1) h
$$;
COMMENT ON FUNCTION sbc.all_hosts(text[]) IS 'True if every member is an address or a lower-case DNS name';

CREATE FUNCTION sbc.all_words(text[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT coalesce(bool_and(w IS NOT NULL AND w ~ '^[A-Za-z0-9._+-]{1,64}$'), true)
	FROM unnest($1) w
$$;
COMMENT ON FUNCTION sbc.all_words(text[]) IS 'True if every member is one plain word';

CREATE FUNCTION sbc.is_digest_list(text[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT count(*) BETWEEN 1 AND 6 AND count(DISTINCT d) = count(*)
		AND bool_and(d IS NOT NULL
			AND d ~ '^(MD5|SHA-256|SHA-512-256)(/auth-int)?$')
	FROM unnest($1) d
$$;
COMMENT ON FUNCTION sbc.is_digest_list(text[]) IS
	'True for one to six different challenges: MD5, SHA-256 or SHA-512-256, each optionally followed by /auth-int';

CREATE FUNCTION sbc.is_regex(text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
	PERFORM '' ~ $1;
	RETURN length($1) <= 200 AND $1 !~ '\\[^.+*?()\[\]{}|^$\\]' AND $1 !~ '\(\?';
EXCEPTION WHEN invalid_regular_expression THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION sbc.is_regex(text) IS
	'True for a POSIX extended regular expression of at most 200 characters; no classes such as \d, no (?';

CREATE FUNCTION sbc.all_sip_codes(int[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT coalesce(bool_and(c IS NOT NULL AND c BETWEEN 300 AND 699), true) FROM unnest($1) c
$$;
COMMENT ON FUNCTION sbc.all_sip_codes(int[]) IS 'True if every member is a SIP failure or redirection code';

-- A single address, never a network in disguise.
CREATE DOMAIN sbc.ip AS inet
	CONSTRAINT "one address, without a prefix length"
	CHECK (masklen(VALUE) = CASE family(VALUE) WHEN 4 THEN 32 ELSE 128 END);
COMMENT ON DOMAIN sbc.ip IS 'One IPv4 or IPv6 address';

CREATE DOMAIN sbc.port AS integer
	CONSTRAINT "a port is 1 to 65535" CHECK (VALUE BETWEEN 1 AND 65535);
COMMENT ON DOMAIN sbc.port IS 'UDP or TCP port';

CREATE DOMAIN sbc.e164 AS text
	CONSTRAINT "a number is + and 2 to 15 digits (E.164)"
	CHECK (VALUE ~ '^\+[1-9][0-9]{1,14}$');
COMMENT ON DOMAIN sbc.e164 IS 'Telephone number in international form, for example +49301234567';

CREATE DOMAIN sbc.name AS text
	CONSTRAINT "a name is 1 to 64 of a-z A-Z 0-9 . _ -"
	CHECK (VALUE ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$');
COMMENT ON DOMAIN sbc.name IS 'Name of a realm, trunk, route or codec list';

-- Text that people read. No control characters: it travels in SIP and logs.
CREATE DOMAIN sbc.label AS text
	CONSTRAINT "text of up to 120 characters, no control characters"
	CHECK (length(VALUE) <= 120 AND VALUE !~ '[[:cntrl:]]');
COMMENT ON DOMAIN sbc.label IS 'Text for humans';

CREATE DOMAIN sbc.transport AS text
	CONSTRAINT "a transport is udp, tcp, tls, ws or wss"
	CHECK (VALUE IN ('udp', 'tcp', 'tls', 'ws', 'wss'));
COMMENT ON DOMAIN sbc.transport IS 'SIP transport';

CREATE DOMAIN sbc.srtp_policy AS text
	CONSTRAINT "srtp is none, optional or required"
	CHECK (VALUE IN ('none', 'optional', 'required'));
COMMENT ON DOMAIN sbc.srtp_policy IS 'Media encryption';

-- Counts and seconds that a person sets; the bound keeps them inside uint32.
CREATE DOMAIN sbc.amount AS integer
	CONSTRAINT "zero or more" CHECK (VALUE >= 0);
COMMENT ON DOMAIN sbc.amount IS 'A count or a number of seconds; 0 means no limit where the column says so';
