-- SPDX-License-Identifier: Apache-2.0
-- What authd reads and writes: views and functions with one row format, so that
-- tables may change behind them while the previous authd still runs. Lists are
-- words with a blank between; their members have none (see the checks).

CREATE VIEW sbc.authd_realm AS
SELECT id, name, zone, phones, strangers_invite, array_to_string(domains, ' ') AS domains,
	coalesce(digest_realm, '') AS digest_realm, array_to_string(digest, ' ') AS digest,
	codec_list, media_port_min, media_port_max,
	array_to_string(event_packages, ' ') AS event_packages, allow_message, expires_min_s,
	expires_max_s, expires_default_s, srtp, srtp_insecure_signaling, max_contacts,
	coalesce((SELECT string_agg(network::text, ' ' ORDER BY network) FROM sbc.realm_acl a
		WHERE a.realm = r.id), '') AS acl
FROM sbc.realm r ORDER BY id;
COMMENT ON VIEW sbc.authd_realm IS 'For authd: realms';

CREATE FUNCTION sbc.address_port(address inet, port integer) RETURNS text
	LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN address IS NULL THEN ''
		WHEN family(address) = 4 THEN host(address) || coalesce(':' || port, '')
		ELSE '[' || host(address) || ']' || coalesce(':' || port, '') END
$$;
COMMENT ON FUNCTION sbc.address_port(inet, integer) IS 'Address and port as one text';

CREATE VIEW sbc.authd_realm_address AS
SELECT realm, sbc.address_port(address, port) AS listen, transport,
	coalesce(advertised_sip, '') AS advertised_sip, host(media) AS media,
	coalesce(host(advertised_media), '') AS advertised_media
FROM sbc.realm_address ORDER BY realm, id;
COMMENT ON VIEW sbc.authd_realm_address IS 'For authd: addresses of realms';

CREATE VIEW sbc.authd_trunk AS
SELECT id, name, realm, enabled, coalesce(codec_list, 0) AS codec_list, srtp, max_calls,
	max_calls_per_s, coalesce(host, '') AS host, coalesce(domain, '') AS domain, called_from,
	caller_from, caller_to, registers, coalesce(register_user, '') AS register_user,
	register_expires_s, options_interval_s, max_duration_s, session_expires_s,
	ring_timeout_s, follow_redirects, array_to_string(groups, ' ') AS groups,
	coalesce((SELECT string_agg(network::text, ' ' ORDER BY network)
		FROM sbc.trunk_media_network m WHERE m.trunk = t.id), '') AS media_networks
FROM sbc.trunk t ORDER BY id;
COMMENT ON VIEW sbc.authd_trunk IS 'For authd: trunks';

CREATE VIEW sbc.authd_trunk_source AS
SELECT trunk, network::text AS network, sbc.address_port(local_address, local_port) AS listen,
	transport
FROM sbc.trunk_source ORDER BY trunk, id;
COMMENT ON VIEW sbc.authd_trunk_source IS 'For authd: sources of trunks';

CREATE VIEW sbc.authd_trunk_target AS
SELECT trunk, host, port, transport, priority, weight
FROM sbc.trunk_target ORDER BY trunk, priority, id;
COMMENT ON VIEW sbc.authd_trunk_target IS 'For authd: targets of trunks';

CREATE VIEW sbc.authd_number_rule AS
SELECT trunk, scope, regex, match, replace, priority
FROM sbc.number_rule ORDER BY trunk, scope, priority, id;
COMMENT ON VIEW sbc.authd_number_rule IS 'For authd: number rules of trunks';

CREATE VIEW sbc.authd_header_rule AS
SELECT trunk, direction, action, name, value FROM sbc.header_rule ORDER BY trunk, id;
COMMENT ON VIEW sbc.authd_header_rule IS 'For authd: header rules of trunks';

CREATE VIEW sbc.authd_route AS
SELECT id, name, priority, source, coalesce(source_trunk, 0) AS source_trunk, called_regex,
	called_match, caller_match, action,
	array_to_string(failover_causes, ' ') AS failover_causes, timeout_s, reject_code, emergency
FROM sbc.route WHERE enabled ORDER BY priority, id;
COMMENT ON VIEW sbc.authd_route IS 'For authd: routes in force';

CREATE VIEW sbc.authd_route_target AS
SELECT t.route, t.trunk, t.priority, t.weight
FROM sbc.route_target t JOIN sbc.route r ON r.id = t.route WHERE r.enabled
ORDER BY t.route, t.priority, t.trunk;
COMMENT ON VIEW sbc.authd_route_target IS 'For authd: trunks of routes in force';

CREATE VIEW sbc.authd_codec AS
SELECT l.id, l.name, coalesce(c.name, '') AS codec, coalesce(c.clock, 0) AS clock,
	coalesce(c.channels, 0) AS channels
FROM sbc.codec_list l
	LEFT JOIN sbc.codec_list_entry e ON e.codec_list = l.id
	LEFT JOIN sbc.codec c ON c.name = e.codec AND c.clock = e.clock
ORDER BY l.id, e.position;
COMMENT ON VIEW sbc.authd_codec IS 'For authd: codec lists and their codecs';

CREATE VIEW sbc.authd_blocked_caller AS
SELECT match, anonymous, coalesce(trunk, 0) AS trunk FROM sbc.blocked_caller ORDER BY id;
COMMENT ON VIEW sbc.authd_blocked_caller IS 'For authd: blocked callers';

CREATE VIEW sbc.authd_setting AS
SELECT name, value FROM sbc.setting ORDER BY name;
COMMENT ON VIEW sbc.authd_setting IS 'For authd: settings';

-- Which lists of challenges accounts of a realm have of their own, and how
-- many: an unknown user name gets one of them by the same shares.
CREATE VIEW sbc.authd_digest_list AS
SELECT realm, array_to_string(digest, ' ') AS digest, count(*) AS accounts
FROM sbc.account WHERE digest IS NOT NULL GROUP BY realm, digest ORDER BY realm, digest;
COMMENT ON VIEW sbc.authd_digest_list IS 'For authd: challenges that accounts have of their own';

CREATE VIEW sbc.authd_account AS
SELECT a.id, a.username, a.extension, a.display_name,
	coalesce((SELECT string_agg(n.number, ' ' ORDER BY n.number)
		FROM sbc.account_number n WHERE n.account = a.id), '') AS numbers,
	coalesce(a.caller_number, (SELECT min(n.number::text) FROM sbc.account_number n
		WHERE n.account = a.id), '') AS caller_number,
	a.realm, a.enabled, a.nat, a.srtp, coalesce(a.codec_list, 0) AS codec_list,
	a.max_contacts, a.max_calls, a.max_calls_per_hour, a.max_minutes_per_day,
	array_to_string(a.destination_classes, ' ') AS destination_classes, a.max_duration_s,
	coalesce((SELECT string_agg(c.network::text, ' ' ORDER BY c.network)
		FROM sbc.account_acl c WHERE c.account = a.id), '') AS acl,
	a.keepalive_s, coalesce(a.surrogate_trunk, 0) AS surrogate_trunk, a.expires_max_s,
	coalesce(array_to_string(a.digest, ' '), '') AS digest,
	coalesce((SELECT min(s.digest_realm) FROM sbc.account_secret s
		WHERE s.account = a.id), '') AS digest_realm,
	coalesce((SELECT encode(s.ha1, 'hex') FROM sbc.account_secret s
		WHERE s.account = a.id AND s.algorithm = 'MD5'), '') AS ha1_md5,
	coalesce((SELECT encode(s.ha1, 'hex') FROM sbc.account_secret s
		WHERE s.account = a.id AND s.algorithm = 'SHA-256'), '') AS ha1_sha256,
	coalesce((SELECT encode(s.ha1, 'hex') FROM sbc.account_secret s
		WHERE s.account = a.id AND s.algorithm = 'SHA-512-256'), '') AS ha1_sha512_256
FROM sbc.account a;
COMMENT ON VIEW sbc.authd_account IS 'For authd alone: an account with its numbers, networks and HA1 values';

CREATE VIEW sbc.authd_number AS
SELECT number::text AS number, account FROM sbc.account_number;
COMMENT ON VIEW sbc.authd_number IS 'For authd: whose a telephone number is';

CREATE VIEW sbc.authd_trunk_credential AS
SELECT trunk, username, coalesce(digest_realm, '') AS digest_realm,
	coalesce(encode(sealed, 'hex'), '') AS sealed,
	coalesce(encode(ha1_md5, 'hex'), '') AS ha1_md5,
	coalesce(encode(ha1_sha256, 'hex'), '') AS ha1_sha256,
	coalesce(encode(ha1_sha512_256, 'hex'), '') AS ha1_sha512_256
FROM sbc.trunk_credential ORDER BY trunk;
COMMENT ON VIEW sbc.authd_trunk_credential IS 'For authd alone: what trunks'' challenges are answered with';

CREATE VIEW sbc.authd_ban AS
SELECT host(host) || CASE family(host) WHEN 4 THEN '' ELSE '/' || masklen(host) END AS host,
	reason, (extract(epoch FROM until) * 1000000)::bigint AS until_us
FROM sbc.ban WHERE until > now() AND lifted_at IS NULL ORDER BY since;
COMMENT ON VIEW sbc.authd_ban IS 'For authd: bans in force';

CREATE FUNCTION sbc.from_us(us numeric) RETURNS timestamptz
	LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN us > 0 AND us < 253402300800000000
		THEN timestamptz 'epoch' + (us::bigint / 1000000) * interval '1 second'
			+ (us::bigint % 1000000) * interval '1 microsecond' END
$$;
COMMENT ON FUNCTION sbc.from_us(numeric) IS 'Time of microseconds since 1970 UTC; 0 is NULL';

-- One CDR, exactly once: the call ID is the key, and a second copy changes
-- nothing. Unknown members are ignored and missing ones are empty, so that
-- authd and schema need not be of one version.
CREATE FUNCTION sbc.cdr_store(doc jsonb) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	one text;
	leg jsonb;
	media jsonb;
BEGIN
	INSERT INTO sbc.cdr (call, started_at, rang_at, answered_at, ended_at, duration_us, caller,
		caller_name, called, sip_status, far_status, reason, hangup_side, route, route_name,
		attempts, decisions)
	VALUES (doc->>'call', coalesce(sbc.from_us((doc->>'wall_start_us')::numeric), now()),
		sbc.from_us((doc->>'wall_ring_us')::numeric),
		sbc.from_us((doc->>'wall_answer_us')::numeric),
		coalesce(sbc.from_us((doc->>'wall_end_us')::numeric), now()),
		coalesce((doc->>'duration_us')::bigint, 0), coalesce(doc->>'caller', ''),
		coalesce(doc->>'caller_name', ''), coalesce(doc->>'called', ''),
		coalesce((doc->>'sip_status')::int, 0), coalesce((doc->>'far_status')::int, 0),
		coalesce((doc->>'reason')::int, 0), coalesce(doc->>'hangup_side', ''),
		nullif((doc->>'route')::int, 0),
		(SELECT name FROM sbc.route WHERE id = (doc->>'route')::int),
		coalesce((doc->>'attempts')::int, 0), coalesce(doc->'decisions', '[]'))
	ON CONFLICT (call) DO NOTHING;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	FOREACH one IN ARRAY '{caller,called}'::text[] LOOP
		leg := doc->(one || '_leg');
		CONTINUE WHEN leg IS NULL;
		media := coalesce(leg->'media', '{}');
		INSERT INTO sbc.cdr_leg (call, side, kind, trunk, trunk_name, account, extension, realm,
			peer, local, call_id, user_agent, codec, srtp, rx_packets, rx_octets, rx_expected,
			rx_lost, rx_jitter_us, rx_gap_max_us, tx_packets, tx_octets, rtt_us, mos, media_codec,
			media_first_at, media_last_at, media_source, media_source_reason,
			media_refused_source, rtcp_rx, rtcp_tx, peer_lost, peer_jitter_us, drops)
		VALUES (doc->>'call', one, coalesce(leg->>'kind', ''),
			nullif((leg->>'trunk')::int, 0),
			(SELECT name FROM sbc.trunk WHERE id = (leg->>'trunk')::int),
			nullif((leg->>'account')::bigint, 0),
			(SELECT extension FROM sbc.account WHERE id = (leg->>'account')::bigint),
			nullif((leg->>'realm')::int, 0), coalesce(leg->>'peer', ''),
			coalesce(leg->>'local', ''), coalesce(leg->>'call_id', ''),
			coalesce(leg->>'user_agent', ''), coalesce(leg->>'codec', ''),
			coalesce(leg->>'srtp', ''), coalesce((media->>'rx_packets')::bigint, 0),
			coalesce((media->>'rx_octets')::bigint, 0),
			coalesce((media->>'rx_expected')::bigint, 0),
			coalesce((media->>'rx_lost')::bigint, 0),
			coalesce((media->>'rx_jitter_us')::bigint, 0),
			coalesce((media->>'rx_gap_max_us')::bigint, 0),
			coalesce((media->>'tx_packets')::bigint, 0),
			coalesce((media->>'tx_octets')::bigint, 0),
			nullif((media->>'rtt_us')::bigint, 0),
			nullif(least((media->>'mos_centi')::int, 500), 0) / 100.0,
			coalesce(media->>'codec', ''),
			sbc.from_us((media->>'wall_first_us')::numeric),
			sbc.from_us((media->>'wall_last_us')::numeric),
			coalesce(media->>'learned', ''), coalesce((media->>'learn_reason')::int, 0),
			coalesce(media->>'refused_source', ''), coalesce((media->>'rtcp_rx')::bigint, 0),
			coalesce((media->>'rtcp_tx')::bigint, 0),
			coalesce((media->>'peer_lost')::bigint, 0),
			coalesce((media->>'peer_jitter_us')::bigint, 0), coalesce(media->'drops', '[]'));
	END LOOP;
	RETURN true;
END $$;
COMMENT ON FUNCTION sbc.cdr_store(jsonb) IS 'For authd: writes one CDR once';

CREATE FUNCTION sbc.event_store(doc jsonb) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	INSERT INTO sbc.event (key, at, reason, source, account, trunk, call, data)
	VALUES (doc->>'key', coalesce(sbc.from_us((doc->>'wall_us')::numeric), now()),
		coalesce((doc->>'reason')::int, 0), coalesce(doc->>'source', ''),
		nullif((doc->>'account')::bigint, 0), nullif((doc->>'trunk')::int, 0),
		nullif(doc->>'call', ''), coalesce(doc->>'data', ''))
	ON CONFLICT (key) DO NOTHING;
	RETURN FOUND;
END $$;
COMMENT ON FUNCTION sbc.event_store(jsonb) IS 'For authd: writes one event once';

CREATE FUNCTION sbc.ban_store(doc jsonb) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	INSERT INTO sbc.ban (key, host, since, until, reason, failures, last_user)
	VALUES (doc->>'key', (doc->>'host')::inet, sbc.from_us((doc->>'wall_us')::numeric),
		sbc.from_us((doc->>'wall_until_us')::numeric), (doc->>'reason')::int,
		coalesce((doc->>'failures')::int, 0), coalesce(doc->>'last_user', ''))
	ON CONFLICT (key) DO NOTHING;
	RETURN FOUND;
END $$;
COMMENT ON FUNCTION sbc.ban_store(jsonb) IS 'For authd: writes one ban once';

CREATE FUNCTION sbc.ban_store_lift(source inet) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n integer;
BEGIN
	UPDATE sbc.ban SET lifted_at = now(), lifted_by = 'sbcctl'
	WHERE (host >>= source OR host <<= source) AND until > now() AND lifted_at IS NULL;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;
COMMENT ON FUNCTION sbc.ban_store_lift(inet) IS 'For authd: sbcctl lifted a ban';

-- A list of {"account":1,"bindings":[...]}: the bindings of each account are
-- replaced. Accounts that were deleted meanwhile are left out.
CREATE FUNCTION sbc.binding_store(doc jsonb) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n integer;
BEGIN
	DELETE FROM sbc.binding b USING jsonb_array_elements(doc) d
	WHERE b.account = (d->>'account')::bigint;
	INSERT INTO sbc.binding (account, position, realm, contact, source, local, transport,
		expires_at, registered_at, q_permille, call_id, cseq, instance, reg_id, path,
		user_agent, flow, behind_nat)
	SELECT (d->>'account')::bigint, b.n, (b.row->>'realm')::int, b.row->>'contact',
		b.row->>'source', b.row->>'local', b.row->>'transport',
		coalesce(sbc.from_us((b.row->>'wall_expires_us')::numeric), now()),
		coalesce(sbc.from_us((b.row->>'wall_registered_us')::numeric), now()),
		(b.row->>'q_permille')::int, b.row->>'call_id', (b.row->>'cseq')::bigint,
		b.row->>'instance', (b.row->>'reg_id')::int,
		ARRAY(SELECT jsonb_array_elements_text(b.row->'path')), b.row->>'user_agent',
		(b.row->>'flow')::numeric, (b.row->>'behind_nat')::boolean
	FROM jsonb_array_elements(doc) d
		JOIN sbc.account a ON a.id = (d->>'account')::bigint,
		jsonb_array_elements(d->'bindings') WITH ORDINALITY AS b (row, n);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;
COMMENT ON FUNCTION sbc.binding_store(jsonb) IS 'For authd: replaces the bindings of accounts';

CREATE VIEW sbc.authd_binding AS
SELECT account, realm, contact, source, local, transport,
	(extract(epoch FROM expires_at) * 1000000)::bigint AS wall_expires_us,
	q_permille, call_id, cseq, instance, reg_id, array_to_string(path, E'\n') AS path,
	user_agent, flow, behind_nat,
	(extract(epoch FROM registered_at) * 1000000)::bigint AS wall_registered_us
FROM sbc.binding WHERE expires_at > now() ORDER BY account, position;
COMMENT ON VIEW sbc.authd_binding IS 'For authd: bindings in force';

CREATE FUNCTION sbc.reason_store(doc jsonb) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n integer;
BEGIN
	INSERT INTO sbc.reason AS r (number, text, sentence)
	SELECT (d->>'number')::int, d->>'text', d->>'sentence' FROM jsonb_array_elements(doc) d
	ON CONFLICT (number) DO UPDATE SET text = excluded.text, sentence = excluded.sentence
	WHERE (r.text, r.sentence) IS DISTINCT FROM (excluded.text, excluded.sentence);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;
COMMENT ON FUNCTION sbc.reason_store(jsonb) IS 'For authd: brings sbc.reason up to date';

CREATE FUNCTION sbc.config_status_store(new_version numeric, new_state text, new_reason integer,
		new_problem text) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.config_status (version, state, reason, problem)
	VALUES (new_version, new_state, new_reason, new_problem)
	ON CONFLICT (version) DO UPDATE SET at = now(), state = excluded.state,
		reason = excluded.reason, problem = excluded.problem
	WHERE (sbc.config_status.state, sbc.config_status.problem)
		IS DISTINCT FROM (excluded.state, excluded.problem)
$$;
COMMENT ON FUNCTION sbc.config_status_store(numeric, text, integer, text) IS
	'For authd: says what became of a snapshot';

CREATE FUNCTION sbc.seal_key_store(new_key bytea) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.seal_key AS k (public_key) VALUES (new_key)
	ON CONFLICT (id) DO UPDATE SET public_key = excluded.public_key, published_at = now()
	WHERE k.public_key <> excluded.public_key
$$;
COMMENT ON FUNCTION sbc.seal_key_store(bytea) IS 'For authd: publishes its public key';
