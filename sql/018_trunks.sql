-- SPDX-License-Identifier: Apache-2.0
-- Trunks as ITSPs describe their interfaces: who we are in Contact and From,
-- sources by name, several trunks behind one source, groups; and extensions
-- that the SBC registers at the PBX.

-- ------------------------------------------------------------------ trunks

CREATE FUNCTION sbc.all_prefixes(list text[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(bool_and(p ~ '^[+*#0-9]{1,32}$'), true) FROM unnest(list) p
$$;
COMMENT ON FUNCTION sbc.all_prefixes(text[]) IS 'Are all of these prefixes of numbers?';

ALTER TABLE sbc.trunk
	ADD COLUMN contact_user text
		CONSTRAINT "the user in Contact is 1 to 100 plain characters"
		CHECK (contact_user ~ '^[A-Za-z0-9._~!*''()&=+$-]{1,100}$'),
	ADD COLUMN from_user text
		CONSTRAINT "the user in From is 1 to 60 plain characters"
		CHECK (from_user ~ '^[A-Za-z0-9._~!*''()+-]{1,60}$'),
	ADD COLUMN user_phone boolean NOT NULL DEFAULT false,
	ADD COLUMN called_prefixes text[] NOT NULL DEFAULT '{}'
		CONSTRAINT "called_prefixes are up to 64 prefixes of + * # 0-9"
		CHECK (sbc.all_prefixes(called_prefixes) AND cardinality(called_prefixes) <= 64),
	ADD COLUMN sources_by_name boolean NOT NULL DEFAULT false,
	ADD COLUMN limit_code integer NOT NULL DEFAULT 503
		CONSTRAINT "a limit is answered with a SIP code from 400 to 699"
		CHECK (limit_code BETWEEN 400 AND 699 AND limit_code NOT IN (401, 407));
COMMENT ON COLUMN sbc.trunk.contact_user IS 'User part of our Contact towards it; empty = register_user, or none';
COMMENT ON COLUMN sbc.trunk.from_user IS 'User part of our From towards it, where the caller''s number stands in caller_to; empty = the caller''s number';
COMMENT ON COLUMN sbc.trunk.user_phone IS 'URIs with telephone numbers get ;user=phone';
COMMENT ON COLUMN sbc.trunk.called_prefixes IS 'Numbers in E.164 that its calls are for: tells apart trunks with the same source';
COMMENT ON COLUMN sbc.trunk.sources_by_name IS 'Its calls may also come from every address that its targets'' names lead to';
COMMENT ON COLUMN sbc.trunk.limit_code IS 'SIP code for calls beyond its limits; 503 goes with Retry-After';

CREATE VIEW sbc.authd_trunk_more AS
SELECT id AS trunk, coalesce(contact_user, '') AS contact_user,
	coalesce(from_user, '') AS from_user, user_phone,
	array_to_string(called_prefixes, ' ') AS called_prefixes, sources_by_name, limit_code
FROM sbc.trunk ORDER BY id;
COMMENT ON VIEW sbc.authd_trunk_more IS 'For authd: more of trunks';

INSERT INTO sbc.setting (name, value, default_value, kind, minimum, maximum, unit, description) VALUES
	('account_limit_code', '403', '403', 'number', 402, 699, '', 'SIP code for calls of a phone beyond its own limits');

CREATE FUNCTION sbc.allow_sources_by_name(trunk text, allow boolean DEFAULT true) RETURNS boolean
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.trunk t SET sources_by_name = allow WHERE t.id = sbc.trunk_id(allow_sources_by_name.trunk)
	RETURNING sources_by_name
$$;
COMMENT ON FUNCTION sbc.allow_sources_by_name(text, boolean) IS
	'Takes a trunk''s calls from every address that its targets'' names lead to (SRV, A, AAAA), besides its sources';

CREATE OR REPLACE FUNCTION sbc.add_trunk_registration(name text, host text, username text, password text,
		realm text DEFAULT 'outside', digest_realm text DEFAULT NULL,
		register_user text DEFAULT NULL, port integer DEFAULT NULL,
		transport text DEFAULT 'udp', sources cidr[] DEFAULT NULL,
		media_networks cidr[] DEFAULT '{}', expires_s integer DEFAULT 600,
		codec_list text DEFAULT NULL, domain text DEFAULT NULL)
	RETURNS integer LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	new_id integer;
BEGIN
	new_id := sbc.add_trunk(name, host, realm, port, transport,
		coalesce(sources, CASE WHEN sbc.is_address(host) THEN ARRAY[host::inet::cidr]
			ELSE '{}'::cidr[] END),
		media_networks, codec_list, 0, NULL, coalesce(domain, lower(host)), 0);
	UPDATE sbc.trunk SET registers = true,
		register_user = coalesce(add_trunk_registration.register_user,
			add_trunk_registration.username),
		register_expires_s = expires_s,
		sources_by_name = add_trunk_registration.sources IS NULL AND NOT sbc.is_address(add_trunk_registration.host)
	WHERE id = new_id;
	PERFORM sbc.set_trunk_password(name, username, password, digest_realm);
	RETURN new_id;
END $$;
COMMENT ON FUNCTION sbc.add_trunk_registration(text, text, text, text, text, text, text, integer, text, cidr[], cidr[], integer, text, text) IS
	'Adds a trunk where the SBC registers with user name and password. Where host is a name and no sources are given, its calls come from the addresses that the name leads to';

-- ------------------------------------------------------------------ groups

CREATE TABLE sbc.trunk_group (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name sbc.name NOT NULL UNIQUE
);
COMMENT ON TABLE sbc.trunk_group IS 'Trunks that routes use together; use sbc.add_trunk_group()';
COMMENT ON COLUMN sbc.trunk_group.id IS 'Number that stands in sbc.trunk.groups';
COMMENT ON COLUMN sbc.trunk_group.name IS 'Name used by people';

CREATE TABLE sbc.route_group (
	route integer NOT NULL REFERENCES sbc.route ON DELETE CASCADE,
	trunk_group integer NOT NULL REFERENCES sbc.trunk_group,
	priority sbc.amount NOT NULL DEFAULT 100,
	weight sbc.amount NOT NULL DEFAULT 1,
	PRIMARY KEY (route, trunk_group)
);
COMMENT ON TABLE sbc.route_group IS 'Trunk groups of a route: each trunk of a group as if it stood in sbc.route_target';
COMMENT ON COLUMN sbc.route_group.route IS 'The route';
COMMENT ON COLUMN sbc.route_group.trunk_group IS 'The group';
COMMENT ON COLUMN sbc.route_group.priority IS 'Lower ones are tried first';
COMMENT ON COLUMN sbc.route_group.weight IS 'Share of each of its trunks among those of one priority';

CREATE OR REPLACE VIEW sbc.authd_route_target AS
SELECT DISTINCT ON (route, priority, trunk) route, trunk, priority, weight
FROM (SELECT t.route, t.trunk, t.priority, t.weight
	FROM sbc.route_target t JOIN sbc.route r ON r.id = t.route WHERE r.enabled
	UNION ALL
	SELECT g.route, t.id, g.priority, g.weight
	FROM sbc.route_group g JOIN sbc.route r ON r.id = g.route
		JOIN sbc.trunk t ON g.trunk_group = ANY (t.groups)
	WHERE r.enabled AND NOT EXISTS (SELECT FROM sbc.route_target o
		WHERE o.route = g.route AND o.trunk = t.id)) x
ORDER BY route, priority, trunk, weight DESC;

CREATE FUNCTION sbc.trunk_groups_check() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	unknown integer;
BEGIN
	SELECT g INTO unknown FROM unnest(NEW.groups) g
	WHERE NOT EXISTS (SELECT FROM sbc.trunk_group t WHERE t.id = g) LIMIT 1;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'there is no trunk group with number %', unknown
			USING HINT = 'Use SELECT sbc.add_trunk_group(''name'', ''trunk'', ...).',
				ERRCODE = 'foreign_key_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.trunk_groups_check() IS 'Refuses numbers of groups that do not exist';
-- What stood there had no meaning yet, and names no group.
UPDATE sbc.trunk SET groups = '{}' WHERE groups <> '{}';
CREATE TRIGGER trunk_groups_check BEFORE INSERT OR UPDATE OF groups ON sbc.trunk
	FOR EACH ROW EXECUTE FUNCTION sbc.trunk_groups_check();

CREATE FUNCTION sbc.trunk_group_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	UPDATE sbc.trunk SET groups = array_remove(groups, OLD.id) WHERE OLD.id = ANY (groups);
	RETURN OLD;
END $$;
COMMENT ON FUNCTION sbc.trunk_group_gone() IS 'Takes the number of a deleted group out of its trunks';
CREATE TRIGGER trunk_group_gone AFTER DELETE ON sbc.trunk_group
	FOR EACH ROW EXECUTE FUNCTION sbc.trunk_group_gone();

CREATE FUNCTION sbc.add_trunk_group(name text, VARIADIC trunks text[] DEFAULT '{}') RETURNS integer
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	group_id integer;
	one text;
BEGIN
	INSERT INTO sbc.trunk_group AS g (name) VALUES (add_trunk_group.name)
	ON CONFLICT ON CONSTRAINT trunk_group_name_key DO UPDATE SET name = excluded.name
	RETURNING id INTO group_id;
	FOREACH one IN ARRAY trunks LOOP
		UPDATE sbc.trunk t SET groups = array_append(array_remove(groups, group_id), group_id)
		WHERE t.id = sbc.trunk_id(one);
	END LOOP;
	RETURN group_id;
END $$;
COMMENT ON FUNCTION sbc.add_trunk_group(text, text[]) IS
	'Makes a trunk group, or adds trunks to one: SELECT sbc.add_trunk_group(''itsps'', ''itsp-a'', ''itsp-b'')';

CREATE OR REPLACE FUNCTION sbc.add_route(name text, called text DEFAULT '',
		target text[] DEFAULT '{extension}', source text DEFAULT 'any',
		priority integer DEFAULT 100, regex boolean DEFAULT false,
		caller text DEFAULT '', reject_code integer DEFAULT 403,
		emergency boolean DEFAULT false)
	RETURNS integer LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	new_id integer;
	to_trunk boolean := target <> '{extension}' AND target <> '{reject}';
	n integer := 0;
	one text;
	group_id integer;
BEGIN
	INSERT INTO sbc.route (name, priority, source, source_trunk, called_regex, called_match,
		caller_match, action, reject_code, emergency)
	VALUES (add_route.name, add_route.priority,
		CASE WHEN add_route.source IN ('any', 'phones') THEN add_route.source ELSE 'trunk' END,
		CASE WHEN add_route.source NOT IN ('any', 'phones') THEN sbc.trunk_id(add_route.source) END,
		add_route.regex, add_route.called, add_route.caller,
		CASE WHEN to_trunk THEN 'trunk' ELSE target[1] END,
		add_route.reject_code, add_route.emergency)
	RETURNING id INTO new_id;
	IF to_trunk THEN
		FOREACH one IN ARRAY target LOOP
			n := n + 1;
			SELECT g.id INTO group_id FROM sbc.trunk_group g WHERE g.name = one
				AND NOT EXISTS (SELECT FROM sbc.trunk t WHERE t.name = one);
			IF group_id IS NOT NULL THEN
				INSERT INTO sbc.route_group (route, trunk_group, priority)
				VALUES (new_id, group_id, n * 100);
			ELSE
				INSERT INTO sbc.route_target (route, trunk, priority)
				VALUES (new_id, sbc.trunk_id(one), n * 100);
			END IF;
		END LOOP;
		IF n = 0 THEN
			RAISE EXCEPTION 'route "%" has no target', name
				USING HINT = 'Name trunks, trunk groups, ''{extension}'' or ''{reject}''.',
					ERRCODE = 'check_violation';
		END IF;
	END IF;
	RETURN new_id;
END $$;
COMMENT ON FUNCTION sbc.add_route(text, text, text[], text, integer, boolean, text, integer, boolean) IS
	'Adds a route: calls from source (any, phones or a trunk) to numbers that begin with called go to target: {extension}, {reject} or trunks and trunk groups in the order in which they are tried';

-- ------------------------------------------- extensions registered at the PBX

CREATE TABLE sbc.surrogate_credential (
	account bigint PRIMARY KEY REFERENCES sbc.account ON DELETE CASCADE,
	username text NOT NULL
		CONSTRAINT "a surrogate's user name is 1 to 128 characters"
		CHECK (length(username) BETWEEN 1 AND 128 AND username !~ '["[:cntrl:]]'),
	digest_realm text
		CONSTRAINT "a surrogate's realm is up to 128 characters, no quotes"
		CHECK (length(digest_realm) BETWEEN 1 AND 128 AND digest_realm !~ '["[:cntrl:]]'),
	sealed bytea,
	ha1_md5 bytea,
	ha1_sha256 bytea,
	ha1_sha512_256 bytea,
	changed_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT "a surrogate's password is sealed, or its digest realm is known"
		CHECK (sealed IS NOT NULL OR (digest_realm IS NOT NULL AND ha1_md5 IS NOT NULL)),
	CONSTRAINT "a surrogate's HA1 has the length of its hash"
		CHECK (length(ha1_md5) = 16 AND length(ha1_sha256) = 32 AND length(ha1_sha512_256) = 32)
);
COMMENT ON TABLE sbc.surrogate_credential IS 'What authd answers the PBX with when the SBC registers an extension there; written by functions only';
COMMENT ON COLUMN sbc.surrogate_credential.account IS 'The account';
COMMENT ON COLUMN sbc.surrogate_credential.username IS 'Digest user name at the PBX';
COMMENT ON COLUMN sbc.surrogate_credential.digest_realm IS 'Only challenges of this realm are answered; empty = any realm of the PBX''s own addresses';
COMMENT ON COLUMN sbc.surrogate_credential.sealed IS 'The password, encrypted for authd''s key: nobody else can read it';
COMMENT ON COLUMN sbc.surrogate_credential.ha1_md5 IS 'HA1 by MD5, where the realm is known';
COMMENT ON COLUMN sbc.surrogate_credential.ha1_sha256 IS 'HA1 by SHA-256, where the realm is known';
COMMENT ON COLUMN sbc.surrogate_credential.ha1_sha512_256 IS 'HA1 by SHA-512/256, where the realm is known';
COMMENT ON COLUMN sbc.surrogate_credential.changed_at IS 'When it was set';

CREATE VIEW sbc.authd_surrogate AS
SELECT account AS id, concat_ws(' ', encode(convert_to(username, 'UTF8'), 'hex'),
	coalesce(encode(convert_to(digest_realm, 'UTF8'), 'hex'), '-'),
	coalesce(encode(sealed, 'hex'), '-'), coalesce(encode(ha1_md5, 'hex'), '-'),
	coalesce(encode(ha1_sha256, 'hex'), '-'), coalesce(encode(ha1_sha512_256, 'hex'), '-'))
	AS secret
FROM sbc.surrogate_credential;
COMMENT ON VIEW sbc.authd_surrogate IS 'For authd alone: what the PBX is answered with for an extension';

CREATE FUNCTION sbc.register_at_pbx(extension text, pbx text, password text DEFAULT NULL,
		username text DEFAULT NULL, digest_realm text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	public_key bytea := (SELECT k.public_key FROM sbc.seal_key k);
	sealed_text bytea;
	account_number bigint := sbc.account_id(extension);
	trunk_number integer := sbc.trunk_id(pbx);
	login text := coalesce(register_at_pbx.username, extension);
	known text := register_at_pbx.digest_realm;
BEGIN
	IF NOT EXISTS (SELECT FROM sbc.trunk t JOIN sbc.realm r ON r.id = t.realm
			WHERE t.id = trunk_number AND r.zone = 'inside') THEN
		RAISE EXCEPTION 'trunk "%" is no PBX: its realm is outside', pbx
			USING HINT = 'Extensions are registered at trunks of an inside realm.',
				ERRCODE = 'check_violation';
	END IF;
	UPDATE sbc.account SET surrogate_trunk = trunk_number WHERE id = account_number;
	DELETE FROM sbc.surrogate_credential c WHERE c.account = account_number;
	IF password IS NULL THEN
		RETURN format('phone %s is registered at %s without a password of its own', extension, pbx);
	END IF;
	IF password = '' OR length(password) > 128 THEN
		RAISE EXCEPTION 'the password is 1 to 128 characters' USING ERRCODE = 'check_violation';
	END IF;
	IF public_key IS NULL AND known IS NULL THEN
		RAISE EXCEPTION 'the password can not be sealed yet: authd has never been connected to this database'
			USING HINT = 'Start authd once, or name the PBX''s digest realm: digest_realm => ''...''.',
				ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	IF public_key IS NOT NULL THEN
		sealed_text := pgp_pub_encrypt(password, public_key, 'cipher-algo=aes256, compress-algo=0');
	END IF;
	INSERT INTO sbc.surrogate_credential (account, username, digest_realm, sealed, ha1_md5,
		ha1_sha256, ha1_sha512_256)
	SELECT account_number, login, known, sealed_text,
		CASE WHEN sealed_text IS NULL THEN sbc.ha1('MD5', login, known, password) END,
		CASE WHEN sealed_text IS NULL THEN sbc.ha1('SHA-256', login, known, password) END,
		CASE WHEN sealed_text IS NULL THEN sbc.ha1('SHA-512-256', login, known, password) END;
	RETURN format('phone %s is registered at %s while it is registered here; its password is stored %s',
		extension, pbx, CASE WHEN sealed_text IS NULL THEN 'as HA1' ELSE 'sealed' END);
END $$;
COMMENT ON FUNCTION sbc.register_at_pbx(text, text, text, text, text) IS
	'Registers an extension at a PBX while its phone is registered here: SELECT sbc.register_at_pbx(''101'', ''pbx'', ''password''). Without a password the PBX is answered with the trunk''s';

CREATE FUNCTION sbc.stop_register_at_pbx(extension text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	account_number bigint := sbc.account_id(extension);
BEGIN
	UPDATE sbc.account SET surrogate_trunk = NULL WHERE id = account_number;
	DELETE FROM sbc.surrogate_credential c WHERE c.account = account_number;
	RETURN format('phone %s is no longer registered at a PBX', extension);
END $$;
COMMENT ON FUNCTION sbc.stop_register_at_pbx(text) IS 'Ends the registration of an extension at its PBX';

-- ----------------------------------------------------------------- headers

-- The same lists as sbc's table of headers (sbc/hdr_table.c); a test compares.
CREATE OR REPLACE FUNCTION sbc.header_rule_problem(action text, name text, value text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	l text := lower(name);
	built text[] := '{via,from,to,call-id,cseq,contact,max-forwards,route,record-route,path,
		service-route,rseq,rack,session-expires,min-se,expires,min-expires,replaces,
		target-dialog,join,refer-to,referred-by,allow,supported,require,proxy-require,
		unsupported,accept,accept-encoding,accept-language,event,allow-events,
		subscription-state,sip-etag,sip-if-match,content-type,content-length,
		content-encoding,content-disposition,content-language,content-id,mime-version,
		authorization,proxy-authorization,www-authenticate,proxy-authenticate,
		authentication-info,proxy-authentication-info,security-client,security-server,
		security-verify,privacy}';
	removable text[] := '{p-asserted-identity,p-preferred-identity}';
	policy text[] := '{identity,user-to-user,p-early-media,history-info,geolocation}';
BEGIN
	IF l ~ '^[viftmxrbkouclensdajy]$' THEN
		RETURN format('"%s" is the short form of a header; write its name in full', name);
	ELSIF action = 'carry' AND l <> ALL (policy) THEN
		RETURN format('%s is not a header that can be carried', name);
	ELSIF action = 'carry' THEN
		RETURN CASE WHEN value <> '' THEN 'carry takes no value' END;
	ELSIF l = ANY (built) OR (action <> 'remove' AND l = ANY (removable)) THEN
		RETURN format('this header belongs to the SBC: %s', name);
	ELSIF action = 'remove' THEN
		RETURN NULL;
	ELSIF value ~ '[^ -~]' THEN
		RETURN 'a header value is one line of printable ASCII';
	ELSIF replace(replace(value, '{caller}', ''), '{host}', '') ~ '[{}]' THEN
		RETURN 'the value has a brace that is not {caller} or {host}';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON COLUMN sbc.header_rule.action IS
	'add, set, remove; carry: let User-to-User, P-Early-Media, Identity, History-Info or (in emergency calls, with its body) Geolocation through, which stop here otherwise';

CREATE OR REPLACE FUNCTION sbc.header_rule_check() RETURNS trigger
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	problem text := sbc.header_rule_problem(NEW.action, NEW.name, NEW.value);
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem
			USING HINT = 'Carry is for User-to-User, P-Early-Media, Identity, History-Info and Geolocation; add, set and remove are for headers that are not the SBC''s own.',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;

-- ------------------------------------------------------ news, history, rights

DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['trunk_group', 'route_group'] LOOP
		EXECUTE format('CREATE TRIGGER notify_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
			ON sbc.%I FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_config()', t);
	END LOOP;
	FOREACH t IN ARRAY ARRAY['trunk_group', 'route_group', 'surrogate_credential'] LOOP
		EXECUTE format('CREATE TRIGGER history AFTER INSERT OR UPDATE OR DELETE
			ON sbc.%I FOR EACH ROW EXECUTE FUNCTION sbc.history_write()', t);
	END LOOP;
END $$;
CREATE TRIGGER notify_insert AFTER INSERT ON sbc.surrogate_credential REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_new('account');
CREATE TRIGGER notify_update AFTER UPDATE ON sbc.surrogate_credential REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_new('account');
CREATE TRIGGER notify_delete AFTER DELETE ON sbc.surrogate_credential REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_old('account');

REVOKE ALL ON FUNCTION sbc.all_prefixes(text[]), sbc.allow_sources_by_name(text, boolean),
	sbc.trunk_groups_check(), sbc.trunk_group_gone(), sbc.add_trunk_group(text, text[]),
	sbc.register_at_pbx(text, text, text, text, text), sbc.stop_register_at_pbx(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.all_prefixes(text[]), sbc.allow_sources_by_name(text, boolean),
	sbc.add_trunk_group(text, text[]), sbc.register_at_pbx(text, text, text, text, text),
	sbc.stop_register_at_pbx(text) TO sbc_admin;
GRANT SELECT ON sbc.trunk_group, sbc.route_group TO sbc_viewer, sbc_admin;
GRANT INSERT, UPDATE, DELETE ON sbc.trunk_group, sbc.route_group TO sbc_admin;
GRANT SELECT (account, username, digest_realm, changed_at), DELETE ON sbc.surrogate_credential TO sbc_admin;
GRANT SELECT ON sbc.authd_trunk_more, sbc.authd_surrogate TO sbc_authd;

-- ------------------------------------------------------------------ dry run

ALTER FUNCTION sbc.check_config() RENAME TO check_config_sources;
COMMENT ON FUNCTION sbc.check_config_sources() IS 'Part of sbc.check_config()';

CREATE FUNCTION sbc.check_config() RETURNS TABLE (severity text, what text, problem text, hint text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	SELECT * FROM sbc.check_config_sources() c
	WHERE NOT (c.problem LIKE 'both may send from %')
		AND NOT (c.problem LIKE 'no call can come from it%' AND EXISTS (SELECT FROM sbc.trunk t
			WHERE c.what = 'trunk ' || t.name AND t.sources_by_name))
		AND NOT (c.problem LIKE 'it leads to a trunk, but names none%' AND EXISTS
			(SELECT FROM sbc.route r JOIN sbc.route_group g ON g.route = r.id
			WHERE c.what = 'route ' || r.name))
	UNION ALL
	SELECT 'error', format('trunks %s and %s', t.name, u.name),
		format('both may send from %s, and nothing tells them apart', s.network),
		'Make the networks different, bind each to a local address, let them register, or give each its called_prefixes or domain.'
	FROM sbc.trunk_source s JOIN sbc.trunk t ON t.id = s.trunk
		JOIN sbc.trunk_source o ON o.network = s.network AND o.transport = s.transport
			AND o.local_address IS NOT DISTINCT FROM s.local_address
			AND o.local_port IS NOT DISTINCT FROM s.local_port
		JOIN sbc.trunk u ON u.id = o.trunk AND u.id > t.id AND u.realm = t.realm
	WHERE t.enabled AND u.enabled AND NOT (t.registers OR u.registers)
		AND t.called_prefixes = '{}' AND u.called_prefixes = '{}'
		AND coalesce(t.domain, '') = coalesce(u.domain, '')
		AND coalesce(t.host, '') = coalesce(u.host, '')
	UNION ALL
	SELECT 'error', 'route ' || r.name, format('its group %s has no trunk', g.name),
		format('SELECT sbc.add_trunk_group(%L, ''trunk'');', g.name)
	FROM sbc.route r JOIN sbc.route_group rg ON rg.route = r.id
		JOIN sbc.trunk_group g ON g.id = rg.trunk_group
	WHERE r.enabled AND NOT EXISTS (SELECT FROM sbc.trunk t WHERE g.id = ANY (t.groups))
	UNION ALL
	SELECT 'warning', 'trunk ' || t.name, 'sources_by_name, but none of its targets is a name',
		format('SELECT sbc.allow_sources_by_name(%L, false);', t.name)
	FROM sbc.trunk t WHERE t.sources_by_name AND NOT EXISTS
		(SELECT FROM sbc.trunk_target g WHERE g.trunk = t.id AND NOT sbc.is_address(g.host))
	UNION ALL
	SELECT 'warning', 'trunk ' || t.name, 'from_user hides the caller''s number: it stands nowhere else',
		format('UPDATE sbc.trunk SET caller_to = ''p_preferred_identity'' WHERE name = %L;', t.name)
	FROM sbc.trunk t WHERE t.from_user IS NOT NULL AND t.caller_to = 'from'
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION sbc.check_config() IS
	'Dry run: every problem of the settings with a hint; works inside a transaction before COMMIT. No row = all is well';
REVOKE ALL ON FUNCTION sbc.check_config() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.check_config() TO sbc_authd, sbc_viewer, sbc_admin;
