-- SPDX-License-Identifier: Apache-2.0
-- The administrator's work, each one statement:
--	SELECT * FROM sbc.add_phone('101', 'Anna');
-- Functions that touch secrets run with the owner's rights and give a secret
-- away once, as their result. Problems are exceptions with a hint.

-- --------------------------------------------------------- names and secrets

CREATE FUNCTION sbc.random_text(n integer, alphabet text) RETURNS text
	LANGUAGE sql VOLATILE SET search_path = sbc, public, pg_temp AS $$
	SELECT string_agg(substr(alphabet, get_byte(b, i) % length(alphabet) + 1, 1), '')
	FROM (SELECT gen_random_bytes(n) AS b) r, generate_series(0, n - 1) i
$$;
COMMENT ON FUNCTION sbc.random_text(integer, text) IS
	'n random characters of an alphabet whose length divides 256, so that none is likelier than another';

-- 14 of 16 letters: 56 bits, no digit, hence no number ever in it.
CREATE FUNCTION sbc.random_username() RETURNS text
	LANGUAGE sql VOLATILE AS $$ SELECT sbc.random_text(14, 'abcdefghjkmnpqrs') $$;
COMMENT ON FUNCTION sbc.random_username() IS 'A random user name of 14 letters';

-- 24 of 32 characters: 120 bits, nothing that looks like something else.
CREATE FUNCTION sbc.random_password() RETURNS text
	LANGUAGE sql VOLATILE AS $$ SELECT sbc.random_text(24, 'abcdefghjkmnpqrstuvwxyz23456789R') $$;
COMMENT ON FUNCTION sbc.random_password() IS 'A random password of 24 unambiguous characters';

CREATE FUNCTION sbc.ha1(algorithm text, username text, digest_realm text, password text)
	RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path = sbc, public, pg_temp AS $$
	SELECT digest(convert_to(username || ':' || digest_realm || ':' || password, 'UTF8'),
		CASE algorithm WHEN 'MD5' THEN 'md5' WHEN 'SHA-256' THEN 'sha256'
			WHEN 'SHA-512-256' THEN 'sha512-256' END)
$$;
COMMENT ON FUNCTION sbc.ha1(text, text, text, text) IS 'H(user:realm:password) of RFC 7616 section 3.4.2';

-- Volatile, so that they see what the same statement did before.
CREATE FUNCTION sbc.realm_id(name text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	found_id integer;
BEGIN
	SELECT r.id INTO found_id FROM sbc.realm r WHERE r.name = realm_id.name;
	IF found_id IS NULL THEN
		RAISE EXCEPTION 'there is no realm "%"', name
			USING HINT = coalesce('The realms are: '
				|| (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM sbc.realm r) || '.',
				'Make one with sbc.add_realm().'), ERRCODE = 'no_data_found';
	END IF;
	RETURN found_id;
END $$;
COMMENT ON FUNCTION sbc.realm_id(text) IS 'Number of a realm, or an error that lists the realms';

CREATE FUNCTION sbc.trunk_id(name text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	found_id integer;
BEGIN
	SELECT t.id INTO found_id FROM sbc.trunk t WHERE t.name = trunk_id.name;
	IF found_id IS NULL THEN
		RAISE EXCEPTION 'there is no trunk "%"', name
			USING HINT = coalesce('The trunks are: '
				|| (SELECT string_agg(t.name, ', ' ORDER BY t.name) FROM sbc.trunk t) || '.',
				'Make one with sbc.add_trunk().'), ERRCODE = 'no_data_found';
	END IF;
	RETURN found_id;
END $$;
COMMENT ON FUNCTION sbc.trunk_id(text) IS 'Number of a trunk, or an error that lists the trunks';

CREATE FUNCTION sbc.codec_list_id(name text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	found_id integer;
BEGIN
	IF name IS NULL THEN
		RETURN NULL;
	END IF;
	SELECT l.id INTO found_id FROM sbc.codec_list l WHERE l.name = codec_list_id.name;
	IF found_id IS NULL THEN
		RAISE EXCEPTION 'there is no codec list "%"', name
			USING HINT = coalesce('The lists are: '
				|| (SELECT string_agg(l.name, ', ' ORDER BY l.name) FROM sbc.codec_list l) || '.',
				'Make one with sbc.set_codec_list().'), ERRCODE = 'no_data_found';
	END IF;
	RETURN found_id;
END $$;
COMMENT ON FUNCTION sbc.codec_list_id(text) IS 'Number of a codec list, or an error that lists them; NULL for NULL';

CREATE FUNCTION sbc.account_id(extension text) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	found_id bigint;
BEGIN
	SELECT a.id INTO found_id FROM sbc.account a WHERE a.extension = account_id.extension;
	IF found_id IS NULL THEN
		RAISE EXCEPTION 'there is no phone with extension "%"', extension
			USING HINT = 'SELECT * FROM sbc.list_phones() shows them.', ERRCODE = 'no_data_found';
	END IF;
	RETURN found_id;
END $$;
COMMENT ON FUNCTION sbc.account_id(text) IS 'Number of the account with this extension, or an error';

-- -------------------------------------------------------------------- codecs

CREATE FUNCTION sbc.set_codec_list(list_name text, VARIADIC codecs text[]) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	list integer;
	codec_name text;
	wanted_clock integer;
	row sbc.codec;
	n integer := 0;
BEGIN
	INSERT INTO sbc.codec_list (name) VALUES (list_name) ON CONFLICT (name) DO NOTHING;
	SELECT l.id INTO list FROM sbc.codec_list l WHERE l.name = list_name;
	DELETE FROM sbc.codec_list_entry WHERE codec_list = list;
	FOREACH codec_name IN ARRAY codecs LOOP
		wanted_clock := substring(codec_name FROM '/([0-9]{4,6})$')::integer;
		SELECT c.* INTO row FROM sbc.codec c
		WHERE lower(c.name) = lower(regexp_replace(codec_name, '/[0-9]+$', ''))
			AND (wanted_clock IS NULL OR c.clock = wanted_clock)
		ORDER BY c.clock LIMIT 1;
		IF row.name IS NULL THEN
			RAISE EXCEPTION 'codec "%" is not known', codec_name
				USING HINT = 'Known are: ' || (SELECT string_agg(c.name || '/' || c.clock, ', '
					ORDER BY c.name, c.clock) FROM sbc.codec c) || '.',
					ERRCODE = 'check_violation';
		END IF;
		n := n + 1;
		INSERT INTO sbc.codec_list_entry VALUES (list, n, row.name, row.clock);
	END LOOP;
	IF NOT EXISTS (SELECT FROM sbc.codec_list_entry e WHERE e.codec_list = list
			AND e.codec NOT IN ('telephone-event', 'CN')) THEN
		RAISE EXCEPTION 'codec list "%" has no codec that carries speech', list_name
			USING HINT = 'Add PCMA, for example.', ERRCODE = 'check_violation';
	END IF;
	RETURN (SELECT string_agg(e.codec || '/' || e.clock, ', ' ORDER BY e.position)
		FROM sbc.codec_list_entry e WHERE e.codec_list = list);
END $$;
COMMENT ON FUNCTION sbc.set_codec_list(text, text[]) IS
	'Makes a codec list or replaces its codecs, most preferred first: SELECT sbc.set_codec_list(''default'', ''PCMA'', ''PCMU'', ''telephone-event'')';

-- -------------------------------------------------------------------- realms

CREATE FUNCTION sbc.add_realm_address(realm text, address inet, port integer DEFAULT 5060,
		transport text DEFAULT 'udp', advertised_sip text DEFAULT NULL,
		media inet DEFAULT NULL, advertised_media inet DEFAULT NULL) RETURNS integer
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.realm_address (realm, address, port, transport, advertised_sip, media,
		advertised_media)
	VALUES (sbc.realm_id(realm), address, port, transport, advertised_sip,
		coalesce(media, address), advertised_media)
	RETURNING id
$$;
COMMENT ON FUNCTION sbc.add_realm_address(text, inet, integer, text, text, inet, inet) IS
	'Lets a realm listen on one more address; media is on the same address unless named';

CREATE FUNCTION sbc.add_realm(name text, zone text, address inet DEFAULT NULL,
		port integer DEFAULT 5060, phones boolean DEFAULT NULL,
		domains text[] DEFAULT '{}', digest_realm text DEFAULT NULL,
		strangers_invite boolean DEFAULT false, codec_list text DEFAULT 'default',
		media_port_min integer DEFAULT 16384, media_port_max integer DEFAULT 32767,
		advertised_sip text DEFAULT NULL, advertised_media inet DEFAULT NULL)
	RETURNS integer LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	new_id integer;
	with_phones boolean := coalesce(phones, zone = 'outside');
BEGIN
	INSERT INTO sbc.realm (name, zone, phones, strangers_invite, domains, digest_realm,
		codec_list, media_port_min, media_port_max)
	VALUES (add_realm.name, add_realm.zone, with_phones, add_realm.strangers_invite,
		add_realm.domains, CASE WHEN with_phones THEN coalesce(add_realm.digest_realm,
			add_realm.domains[1], add_realm.name) ELSE add_realm.digest_realm END,
		sbc.codec_list_id(add_realm.codec_list), add_realm.media_port_min,
		add_realm.media_port_max)
	RETURNING id INTO new_id;
	IF address IS NOT NULL THEN
		PERFORM sbc.add_realm_address(add_realm.name, add_realm.address, add_realm.port, 'udp',
			add_realm.advertised_sip, NULL, add_realm.advertised_media);
	END IF;
	RETURN new_id;
END $$;
COMMENT ON FUNCTION sbc.add_realm(text, text, inet, integer, boolean, text[], text, boolean, text, integer, integer, text, inet) IS
	'Adds a realm (zone outside or inside), with its first UDP address if one is named. Phones may register in outside realms unless phones => false';

CREATE FUNCTION sbc.add_acl(realm text, VARIADIC networks cidr[]) RETURNS integer
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	WITH added AS (
		INSERT INTO sbc.realm_acl SELECT sbc.realm_id(realm), unnest(networks)
		ON CONFLICT DO NOTHING RETURNING 1)
	SELECT count(*)::integer FROM added
$$;
COMMENT ON FUNCTION sbc.add_acl(text, cidr[]) IS
	'Lets only the named networks (and those named before) talk to a realm; returns how many were new';

CREATE FUNCTION sbc.remove_acl(realm text, VARIADIC networks cidr[]) RETURNS integer
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	WITH gone AS (
		DELETE FROM sbc.realm_acl a WHERE a.realm = sbc.realm_id(remove_acl.realm)
			AND a.network = ANY (networks) RETURNING 1)
	SELECT count(*)::integer FROM gone
$$;
COMMENT ON FUNCTION sbc.remove_acl(text, cidr[]) IS 'Takes networks out of a realm''s access list; returns how many';

-- -------------------------------------------------------------------- trunks

CREATE FUNCTION sbc.add_trunk_target(trunk text, host text, port integer DEFAULT 0,
		transport text DEFAULT 'udp', priority integer DEFAULT 100, weight integer DEFAULT 1)
	RETURNS integer LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.trunk_target (trunk, host, port, transport, priority, weight)
	VALUES (sbc.trunk_id(trunk), host, port, transport, priority, weight) RETURNING id
$$;
COMMENT ON FUNCTION sbc.add_trunk_target(text, text, integer, text, integer, integer) IS
	'Adds an address that calls to a trunk may be sent to';

CREATE FUNCTION sbc.add_trunk_source(trunk text, network cidr, transport text DEFAULT 'udp',
		local_address inet DEFAULT NULL, local_port integer DEFAULT NULL)
	RETURNS integer LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.trunk_source (trunk, network, transport, local_address, local_port)
	VALUES (sbc.trunk_id(trunk), network, transport, local_address, local_port) RETURNING id
$$;
COMMENT ON FUNCTION sbc.add_trunk_source(text, cidr, text, inet, integer) IS
	'Adds a network that a trunk''s requests may come from';

CREATE FUNCTION sbc.add_trunk(name text, address text, realm text DEFAULT 'outside',
		port integer DEFAULT NULL, transport text DEFAULT 'udp',
		sources cidr[] DEFAULT NULL, media_networks cidr[] DEFAULT '{}',
		codec_list text DEFAULT NULL, max_calls integer DEFAULT 0,
		host text DEFAULT NULL, domain text DEFAULT NULL,
		options_interval_s integer DEFAULT 0)
	RETURNS integer LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	new_id integer;
	from_networks cidr[] := sources;
BEGIN
	IF from_networks IS NULL AND sbc.is_address(address) THEN
		from_networks := ARRAY[address::inet::cidr];
	END IF;
	IF from_networks IS NULL THEN
		RAISE EXCEPTION 'trunk "%": its target is a name, so its sources must be listed', name
			USING HINT = 'Name the networks that its calls come from: sources => ''{192.0.2.0/24}'' (or ''{}'' if it never calls here).',
				ERRCODE = 'check_violation';
	END IF;
	INSERT INTO sbc.trunk (name, realm, codec_list, max_calls, host, domain, options_interval_s)
	VALUES (add_trunk.name, sbc.realm_id(add_trunk.realm),
		sbc.codec_list_id(add_trunk.codec_list), add_trunk.max_calls, add_trunk.host,
		add_trunk.domain, add_trunk.options_interval_s)
	RETURNING id INTO new_id;
	INSERT INTO sbc.trunk_target (trunk, host, port, transport)
	VALUES (new_id, lower(add_trunk.address),
		coalesce(add_trunk.port, CASE WHEN sbc.is_address(add_trunk.address)
			THEN CASE add_trunk.transport WHEN 'tls' THEN 5061 ELSE 5060 END ELSE 0 END),
		add_trunk.transport);
	INSERT INTO sbc.trunk_source (trunk, network, transport)
	SELECT new_id, n, add_trunk.transport FROM unnest(from_networks) n;
	INSERT INTO sbc.trunk_media_network SELECT new_id, n FROM unnest(media_networks) n;
	RETURN new_id;
END $$;
COMMENT ON FUNCTION sbc.add_trunk(text, text, text, integer, text, cidr[], cidr[], text, integer, text, text, integer) IS
	'Adds a trunk that is known by its address. address is where our calls go; the trunk''s calls come from there too, unless sources names networks. For a PBX name an inside realm';

CREATE FUNCTION sbc.set_trunk_password(trunk text, username text, password text,
		digest_realm text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	public_key bytea := (SELECT k.public_key FROM sbc.seal_key k);
	sealed_text bytea;
	trunk_number integer := sbc.trunk_id(trunk);
BEGIN
	IF coalesce(password, '') = '' OR length(password) > 128 THEN
		RAISE EXCEPTION 'the password of a trunk is 1 to 128 characters'
			USING ERRCODE = 'check_violation';
	END IF;
	IF public_key IS NULL AND digest_realm IS NULL THEN
		RAISE EXCEPTION 'the password can not be sealed yet: authd has never been connected to this database'
			USING HINT = 'Start authd once, or name the trunk''s digest realm: digest_realm => ''...''.',
				ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	IF public_key IS NOT NULL THEN
		sealed_text := pgp_pub_encrypt(password, public_key,
			'cipher-algo=aes256, compress-algo=0');
	END IF;
	INSERT INTO sbc.trunk_credential AS c (trunk, username, digest_realm, sealed, ha1_md5,
		ha1_sha256, ha1_sha512_256)
	SELECT trunk_number, set_trunk_password.username, set_trunk_password.digest_realm, sealed_text,
		CASE WHEN sealed_text IS NULL THEN sbc.ha1('MD5', set_trunk_password.username,
			set_trunk_password.digest_realm, set_trunk_password.password) END,
		CASE WHEN sealed_text IS NULL THEN sbc.ha1('SHA-256', set_trunk_password.username,
			set_trunk_password.digest_realm, set_trunk_password.password) END,
		CASE WHEN sealed_text IS NULL THEN sbc.ha1('SHA-512-256', set_trunk_password.username,
			set_trunk_password.digest_realm, set_trunk_password.password) END
	ON CONFLICT ON CONSTRAINT trunk_credential_pkey DO UPDATE SET username = excluded.username,
		digest_realm = excluded.digest_realm, sealed = excluded.sealed,
		ha1_md5 = excluded.ha1_md5, ha1_sha256 = excluded.ha1_sha256,
		ha1_sha512_256 = excluded.ha1_sha512_256, changed_at = now();
	RETURN CASE WHEN sealed_text IS NULL THEN 'stored as HA1' ELSE 'stored sealed' END;
END $$;
COMMENT ON FUNCTION sbc.set_trunk_password(text, text, text, text) IS
	'Stores what a trunk''s challenges are answered with: sealed for authd, or as HA1 where authd has no key yet and the digest realm is named';

CREATE FUNCTION sbc.add_trunk_registration(name text, host text, username text, password text,
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
		register_expires_s = expires_s WHERE id = new_id;
	PERFORM sbc.set_trunk_password(name, username, password, digest_realm);
	RETURN new_id;
END $$;
COMMENT ON FUNCTION sbc.add_trunk_registration(text, text, text, text, text, text, text, integer, text, cidr[], cidr[], integer, text, text) IS
	'Adds a trunk where the SBC registers with user name and password';

CREATE FUNCTION sbc.add_number_rule(trunk text, scope text, match text, replace text,
		regex boolean DEFAULT false, priority integer DEFAULT 100) RETURNS integer
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.number_rule (trunk, scope, match, replace, regex, priority)
	VALUES (sbc.trunk_id(trunk), scope, match, replace, regex, priority) RETURNING id
$$;
COMMENT ON FUNCTION sbc.add_number_rule(text, text, text, text, boolean, integer) IS
	'Rewrites numbers of a trunk; scope in_called, in_caller, out_called or out_caller: SELECT sbc.add_number_rule(''itsp'', ''in_called'', ''0'', ''+49'')';

CREATE FUNCTION sbc.delete_trunk(name text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	gone integer := sbc.trunk_id(name);
	used text;
BEGIN
	SELECT string_agg(r.name, ', ' ORDER BY r.name) INTO used
	FROM sbc.route r JOIN sbc.route_target t ON t.route = r.id WHERE t.trunk = gone;
	IF used IS NOT NULL THEN
		RAISE EXCEPTION 'trunk "%" is a target of route(s) %', name, used
			USING HINT = 'Delete them first with sbc.delete_route(), or take the trunk out of sbc.route_target.',
				ERRCODE = 'foreign_key_violation';
	END IF;
	DELETE FROM sbc.trunk t WHERE t.id = gone;
	RETURN format('trunk %s is deleted', name);
END $$;
COMMENT ON FUNCTION sbc.delete_trunk(text) IS 'Deletes a trunk that no route leads to';

-- -------------------------------------------------------------------- routes

CREATE FUNCTION sbc.add_route(name text, called text DEFAULT '',
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
			INSERT INTO sbc.route_target (route, trunk, priority)
			VALUES (new_id, sbc.trunk_id(one), n * 100);
		END LOOP;
		IF n = 0 THEN
			RAISE EXCEPTION 'route "%" has no target', name
				USING HINT = 'Name trunks, ''{extension}'' or ''{reject}''.',
					ERRCODE = 'check_violation';
		END IF;
	END IF;
	RETURN new_id;
END $$;
COMMENT ON FUNCTION sbc.add_route(text, text, text[], text, integer, boolean, text, integer, boolean) IS
	'Adds a route: calls from source (any, phones or a trunk) to numbers that begin with called go to target: {extension}, {reject} or trunks in the order in which they are tried';

CREATE FUNCTION sbc.add_emergency(number text, VARIADIC trunks text[]) RETURNS integer
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	SELECT sbc.add_route('emergency-' || regexp_replace(number, '[^0-9]', '', 'g'),
		regexp_replace(number, '([+*])', '[\1]', 'g'), trunks, 'any', 0, true, '', 403, true)
$$;
COMMENT ON FUNCTION sbc.add_emergency(text, text[]) IS
	'Makes a number an emergency number: exactly this number, before all other routes and past all limits, by the trunks in this order';

CREATE FUNCTION sbc.delete_route(name text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	DELETE FROM sbc.route r WHERE r.name = delete_route.name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no route "%"', name
			USING HINT = coalesce('The routes are: '
				|| (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM sbc.route r) || '.',
				'Make one with sbc.add_route().'), ERRCODE = 'no_data_found';
	END IF;
	RETURN format('route %s is deleted', name);
END $$;
COMMENT ON FUNCTION sbc.delete_route(text) IS 'Deletes a route';

CREATE FUNCTION sbc.block_caller(number text, trunk text DEFAULT NULL, note text DEFAULT '')
	RETURNS integer LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.blocked_caller (match, anonymous, trunk, note)
	VALUES (CASE WHEN number = 'anonymous' THEN '' ELSE number END, number = 'anonymous',
		CASE WHEN trunk IS NOT NULL THEN sbc.trunk_id(trunk) END, note)
	RETURNING id
$$;
COMMENT ON FUNCTION sbc.block_caller(text, text, text) IS
	'Refuses callers whose number begins with this, or the word anonymous; from one trunk or from all';

-- -------------------------------------------------------------------- phones

CREATE TYPE sbc.phone_login AS (
	extension text,
	username text,
	password text,
	digest_realm text,
	domain text
);
COMMENT ON TYPE sbc.phone_login IS 'What a phone needs to register; the password is shown this once and stored nowhere';

CREATE FUNCTION sbc.phone_domain(realm_number integer) RETURNS text
	LANGUAGE sql STABLE SET search_path = sbc, public, pg_temp AS $$
	SELECT coalesce(r.domains[1],
		(SELECT coalesce(a.advertised_sip, CASE family(a.address) WHEN 4 THEN host(a.address)
				ELSE '[' || host(a.address) || ']' END
			|| CASE a.port WHEN 5060 THEN '' ELSE ':' || a.port END)
		FROM sbc.realm_address a WHERE a.realm = r.id ORDER BY a.id LIMIT 1), '')
	FROM sbc.realm r WHERE r.id = realm_number
$$;
COMMENT ON FUNCTION sbc.phone_domain(integer) IS 'Domain or address that phones of a realm register at';

-- Stores the hashes of one password for accounts of one call.
CREATE FUNCTION sbc.store_password(account_number bigint, password text) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.account_secret AS s (account, algorithm, digest_realm, ha1)
	SELECT a.id, g.algorithm, r.digest_realm,
		sbc.ha1(g.algorithm, a.username, r.digest_realm, password)
	FROM sbc.account a JOIN sbc.realm r ON r.id = a.realm,
		unnest('{MD5,SHA-256,SHA-512-256}'::text[]) AS g (algorithm)
	WHERE a.id = account_number
	ON CONFLICT (account, algorithm) DO UPDATE SET digest_realm = excluded.digest_realm,
		ha1 = excluded.ha1, changed_at = now()
$$;
COMMENT ON FUNCTION sbc.store_password(bigint, text) IS 'Stores the HA1 values of a password; used by functions only';

CREATE FUNCTION sbc.add_phone(extension text, display_name text DEFAULT '',
		numbers text[] DEFAULT '{}', realm text DEFAULT NULL,
		caller_number text DEFAULT NULL, nat text DEFAULT 'auto',
		srtp text DEFAULT 'none', codec_list text DEFAULT NULL,
		max_calls integer DEFAULT 0)
	RETURNS sbc.phone_login LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = sbc, public, pg_temp AS $$
DECLARE
	login sbc.phone_login;
	realm_number integer;
	new_id bigint;
BEGIN
	IF realm IS NOT NULL THEN
		realm_number := sbc.realm_id(realm);
	ELSIF (SELECT count(*) FROM sbc.realm r WHERE r.phones) = 1 THEN
		SELECT r.id INTO realm_number FROM sbc.realm r WHERE r.phones;
	ELSE
		RAISE EXCEPTION 'which realm is the phone in?'
			USING HINT = coalesce('Name one of: ' || (SELECT string_agg(r.name, ', ' ORDER BY r.name)
				FROM sbc.realm r WHERE r.phones) || ', as realm => ''...''.',
				'Make a realm for phones first: sbc.add_realm(''outside'', ''outside'', ''192.0.2.1'').'),
				ERRCODE = 'check_violation';
	END IF;
	login.extension := extension;
	login.password := sbc.random_password();
	FOR try IN 1..5 LOOP
		login.username := sbc.random_username();
		EXIT WHEN NOT EXISTS (SELECT FROM sbc.account a WHERE a.username = login.username);
	END LOOP;
	INSERT INTO sbc.account (username, extension, display_name, realm, caller_number, nat,
		srtp, codec_list, max_calls)
	VALUES (login.username, add_phone.extension, add_phone.display_name, realm_number,
		add_phone.caller_number, add_phone.nat, add_phone.srtp,
		sbc.codec_list_id(add_phone.codec_list), add_phone.max_calls)
	RETURNING id INTO new_id;
	INSERT INTO sbc.account_number SELECT n, new_id FROM unnest(numbers) n;
	PERFORM sbc.store_password(new_id, login.password);
	SELECT r.digest_realm, sbc.phone_domain(r.id) INTO login.digest_realm, login.domain
	FROM sbc.realm r WHERE r.id = realm_number;
	RETURN login;
END $$;
COMMENT ON FUNCTION sbc.add_phone(text, text, text[], text, text, text, text, text, integer) IS
	'Adds a phone and returns its login, once: SELECT * FROM sbc.add_phone(''101'', ''Anna'', ''{+49301234567}'')';

CREATE FUNCTION sbc.new_password(extension text) RETURNS sbc.phone_login
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	login sbc.phone_login;
	account_number bigint := sbc.account_id(extension);
BEGIN
	login.password := sbc.random_password();
	PERFORM sbc.store_password(account_number, login.password);
	SELECT a.extension, a.username, r.digest_realm, sbc.phone_domain(r.id)
	INTO login.extension, login.username, login.digest_realm, login.domain
	FROM sbc.account a JOIN sbc.realm r ON r.id = a.realm WHERE a.id = account_number;
	RETURN login;
END $$;
COMMENT ON FUNCTION sbc.new_password(text) IS 'Gives a phone a new password and returns it, once; the old one is dead at once';

CREATE FUNCTION sbc.disable_phone(extension text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	UPDATE sbc.account SET enabled = false WHERE id = sbc.account_id(disable_phone.extension);
	RETURN format('phone %s is disabled', extension);
END $$;
COMMENT ON FUNCTION sbc.disable_phone(text) IS 'Disables a phone: it can neither register nor call nor be called';

CREATE FUNCTION sbc.enable_phone(extension text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	UPDATE sbc.account SET enabled = true WHERE id = sbc.account_id(enable_phone.extension);
	RETURN format('phone %s is enabled', extension);
END $$;
COMMENT ON FUNCTION sbc.enable_phone(text) IS 'Enables a phone again';

CREATE FUNCTION sbc.move_extension(from_extension text, to_extension text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	UPDATE sbc.account SET extension = to_extension WHERE id = sbc.account_id(from_extension);
	RETURN format('phone %s has extension %s now; its login stays', from_extension, to_extension);
END $$;
COMMENT ON FUNCTION sbc.move_extension(text, text) IS 'Gives a phone another extension; its user name and password stay';

CREATE FUNCTION sbc.delete_phone(extension text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	DELETE FROM sbc.account WHERE id = sbc.account_id(delete_phone.extension);
	RETURN format('phone %s is deleted', extension);
END $$;
COMMENT ON FUNCTION sbc.delete_phone(text) IS 'Deletes a phone with its numbers and registrations';

CREATE FUNCTION sbc.add_number(extension text, number text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	INSERT INTO sbc.account_number VALUES (number, sbc.account_id(extension));
	RETURN format('number %s rings phone %s', number, extension);
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION 'the number % rings phone % already', number,
			(SELECT a.extension FROM sbc.account_number n JOIN sbc.account a ON a.id = n.account
			WHERE n.number = add_number.number)
		USING HINT = 'Take it away there first: sbc.remove_number().', ERRCODE = 'unique_violation';
END $$;
COMMENT ON FUNCTION sbc.add_number(text, text) IS 'Lets a telephone number (E.164) ring a phone';

CREATE FUNCTION sbc.remove_number(number text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	DELETE FROM sbc.account_number n WHERE n.number = remove_number.number;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no phone has the number %', number USING ERRCODE = 'no_data_found';
	END IF;
	RETURN format('number %s rings no phone', number);
END $$;
COMMENT ON FUNCTION sbc.remove_number(text) IS 'Takes a telephone number away from its phone';

-- Bulk: COPY sbc.phone_import (extension, display_name, number) FROM ...;
-- then SELECT * FROM sbc.import_phones(). One statement per table, so that a
-- hundred thousand phones take seconds and one notification.
CREATE TABLE sbc.phone_import (
	extension text NOT NULL,
	display_name text NOT NULL DEFAULT '',
	number text,
	realm text
);
COMMENT ON TABLE sbc.phone_import IS 'Waiting room of sbc.import_phones(): COPY phones in here, then call it';
COMMENT ON COLUMN sbc.phone_import.extension IS 'Extension';
COMMENT ON COLUMN sbc.phone_import.display_name IS 'Name that called phones show';
COMMENT ON COLUMN sbc.phone_import.number IS 'Telephone number in E.164; empty = none';
COMMENT ON COLUMN sbc.phone_import.realm IS 'Realm; empty = the one for phones';

CREATE FUNCTION sbc.import_phones() RETURNS SETOF sbc.phone_login
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	only_realm integer;
	problem text;
BEGIN
	IF (SELECT count(*) FROM sbc.realm r WHERE r.phones) = 1 THEN
		SELECT r.id INTO only_realm FROM sbc.realm r WHERE r.phones;
	END IF;
	SELECT format('line with extension %s: %s', i.extension,
		CASE WHEN i.realm IS NULL THEN 'which realm?' ELSE 'no realm ' || i.realm END)
	INTO problem FROM sbc.phone_import i LEFT JOIN sbc.realm r ON r.name = i.realm
	WHERE coalesce(r.id, CASE WHEN i.realm IS NULL THEN only_realm END) IS NULL LIMIT 1;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem USING HINT = 'Nothing was imported.', ERRCODE = 'check_violation';
	END IF;
	CREATE TEMP TABLE import_login ON COMMIT DROP AS
	SELECT i.extension, i.display_name, i.number, coalesce(r.id, only_realm) AS realm,
		sbc.random_username() AS username, sbc.random_password() AS password
	FROM sbc.phone_import i LEFT JOIN sbc.realm r ON r.name = i.realm;
	INSERT INTO sbc.account (username, extension, display_name, realm)
	SELECT l.username, l.extension, l.display_name, l.realm FROM import_login l;
	INSERT INTO sbc.account_number (number, account)
	SELECT l.number, a.id FROM import_login l JOIN sbc.account a ON a.username = l.username
	WHERE l.number IS NOT NULL;
	INSERT INTO sbc.account_secret (account, algorithm, digest_realm, ha1)
	SELECT a.id, g.algorithm, r.digest_realm,
		sbc.ha1(g.algorithm, l.username, r.digest_realm, l.password)
	FROM import_login l JOIN sbc.account a ON a.username = l.username
		JOIN sbc.realm r ON r.id = l.realm,
		unnest('{MD5,SHA-256,SHA-512-256}'::text[]) AS g (algorithm);
	DELETE FROM sbc.phone_import;
	RETURN QUERY SELECT l.extension, l.username, l.password, r.digest_realm,
		sbc.phone_domain(r.id)
	FROM import_login l JOIN sbc.realm r ON r.id = l.realm ORDER BY l.extension;
	DROP TABLE import_login;
END $$;
COMMENT ON FUNCTION sbc.import_phones() IS
	'Adds all phones of sbc.phone_import at once, empties it, and returns their logins, once';

-- ---------------------------------------------------------------------- bans

CREATE FUNCTION sbc.ban_lift(source inet) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n integer;
BEGIN
	UPDATE sbc.ban SET lifted_at = now(), lifted_by = session_user
	WHERE (host >>= source OR host <<= source) AND until > now() AND lifted_at IS NULL;
	GET DIAGNOSTICS n = ROW_COUNT;
	IF n = 0 THEN
		RAISE EXCEPTION '% is not banned', host(source)
			USING HINT = 'SELECT * FROM sbc.ban_list shows who is.', ERRCODE = 'no_data_found';
	END IF;
	RETURN format('the ban of %s is lifted', host(source));
END $$;
COMMENT ON FUNCTION sbc.ban_lift(inet) IS 'Lifts the ban of a source at once';
