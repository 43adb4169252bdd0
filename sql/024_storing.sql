-- SPDX-License-Identifier: Apache-2.0
-- What phones and calls cost the database: records and bindings are stored by
-- one statement per table and batch, accounts are read without what most of
-- them do not have, and a number that is nobody's tells which others are not.

-- ------------------------------------------------------------------- accounts

-- Read in its order, so that nothing has to be sorted.
DROP INDEX sbc.account_number_account;
CREATE INDEX account_number_account ON sbc.account_number (account, number);
-- In the order of bytes, which authd knows: what lies between two neighbours.
CREATE INDEX account_number_bytes ON sbc.account_number (number COLLATE "C");

-- A call of a function is nothing where it is not made; a subselect is set up
-- with every statement. That no secret shows up here, the views see to.
CREATE FUNCTION sbc.account_usage_hour(of_account bigint) RETURNS bigint
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	RETURN (SELECT count(*) FROM sbc.authd_usage u
		WHERE u.account = of_account AND u.started_at >= u.hour);
END $$;
COMMENT ON FUNCTION sbc.account_usage_hour(bigint) IS
	'For sbc.authd_account: calls that count for the limit per hour';

CREATE FUNCTION sbc.account_usage_day(of_account bigint) RETURNS bigint
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(sum(least(u.duration_us,
			(extract(epoch FROM u.ended_at - u.day) * 1000000)::bigint)), 0)::bigint
		FROM sbc.authd_usage u WHERE u.account = of_account AND u.answered_at IS NOT NULL);
END $$;
COMMENT ON FUNCTION sbc.account_usage_day(bigint) IS
	'For sbc.authd_account: microseconds talked that count for the limit per day';
REVOKE ALL ON FUNCTION sbc.account_usage_hour(bigint), sbc.account_usage_day(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.account_usage_hour(bigint), sbc.account_usage_day(bigint) TO sbc_authd;

-- Only what can not turn the accounts' own index away from its use: subselects,
-- and one aggregate per account that nothing can be joined past.
CREATE OR REPLACE VIEW sbc.authd_account AS
SELECT a.id, a.username, a.extension, a.display_name,
	array_to_string(n.numbers, ' ') AS numbers,
	coalesce(a.caller_number::text, n.numbers[1]::text, '') AS caller_number,
	a.realm, a.enabled, a.nat, a.srtp, coalesce(a.codec_list, 0) AS codec_list,
	a.max_contacts, a.max_calls, a.max_calls_per_hour, a.max_minutes_per_day,
	array_to_string(a.destination_classes, ' ') AS destination_classes, a.max_duration_s,
	array_to_string(ARRAY(SELECT c.network FROM sbc.account_acl c
		WHERE c.account = a.id ORDER BY c.network), ' ') AS acl,
	a.keepalive_s, coalesce(a.surrogate_trunk, 0) AS surrogate_trunk, a.expires_max_s,
	coalesce(array_to_string(a.digest, ' '), '') AS digest,
	coalesce(s.digest_realm, '') AS digest_realm,
	coalesce(s.ha1_md5, '') AS ha1_md5,
	coalesce(s.ha1_sha256, '') AS ha1_sha256,
	coalesce(s.ha1_sha512_256, '') AS ha1_sha512_256,
	CASE WHEN a.max_calls_per_hour <> 0 OR a.max_minutes_per_day <> 0
		THEN (extract(epoch FROM now()) * 1000000)::bigint ELSE 0 END AS usage_at_us,
	CASE WHEN a.max_calls_per_hour <> 0 THEN sbc.account_usage_hour(a.id) ELSE 0 END
		AS usage_hour_calls,
	CASE WHEN a.max_minutes_per_day <> 0 THEN sbc.account_usage_day(a.id) ELSE 0 END
		AS usage_day_us,
	a.forwards, a.allow_message
FROM sbc.account a
	CROSS JOIN LATERAL (SELECT ARRAY(SELECT x.number FROM sbc.account_number x
		WHERE x.account = a.id ORDER BY x.number) AS numbers OFFSET 0) n
	CROSS JOIN LATERAL (SELECT min(x.digest_realm) AS digest_realm,
		max(encode(x.ha1, 'hex')) FILTER (WHERE x.algorithm = 'MD5') AS ha1_md5,
		max(encode(x.ha1, 'hex')) FILTER (WHERE x.algorithm = 'SHA-256') AS ha1_sha256,
		max(encode(x.ha1, 'hex')) FILTER (WHERE x.algorithm = 'SHA-512-256')
			AS ha1_sha512_256
		FROM sbc.account_secret x WHERE x.account = a.id) s;

-- -------------------------------------------------------------------- records

-- The same times as before, from an expression that is immutable all through:
-- only such a one is put in place of the call.
CREATE OR REPLACE FUNCTION sbc.from_us(us numeric) RETURNS timestamptz
	LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN us > 0 AND us < 253402300800000000
		THEN (timestamp 'epoch' + (us::bigint / 1000000) * interval '1 second'
			+ (us::bigint % 1000000) * interval '1 microsecond') AT TIME ZONE 'UTC' END
$$;

-- Lists of objects as authd/records_json.c writes them. Unknown members are
-- ignored and missing ones are empty. Each record once: its key decides, and a
-- second copy changes nothing. The sides of a call are stored with it only; a
-- call that comes twice in one list breaks their key, and authd sends what was
-- refused once more, one by one.
CREATE FUNCTION sbc.records_store(cdrs json, legs json, events json, bans json) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	IF cdrs IS NOT NULL THEN
		WITH new AS (
			INSERT INTO sbc.cdr (call, started_at, rang_at, answered_at, ended_at, duration_us,
				caller, caller_name, called, sip_status, far_status, reason, hangup_side, route,
				route_name, attempts, decisions)
			SELECT d.call, coalesce(sbc.from_us(d.wall_start_us), now()),
				sbc.from_us(d.wall_ring_us), sbc.from_us(d.wall_answer_us),
				coalesce(sbc.from_us(d.wall_end_us), now()), coalesce(d.duration_us, 0),
				coalesce(d.caller, ''), coalesce(d.caller_name, ''), coalesce(d.called, ''),
				coalesce(d.sip_status, 0), coalesce(d.far_status, 0), coalesce(d.reason, 0),
				coalesce(d.hangup_side, ''), nullif(d.route, 0),
				(SELECT r.name FROM sbc.route r WHERE r.id = d.route),
				coalesce(d.attempts, 0), coalesce(d.decisions, '[]')
			FROM json_to_recordset(cdrs) AS d (call text, wall_start_us numeric,
				wall_ring_us numeric, wall_answer_us numeric, wall_end_us numeric,
				duration_us bigint, caller text, caller_name text, called text,
				sip_status integer, far_status integer, reason integer, hangup_side text,
				route integer, attempts integer, decisions jsonb)
			ON CONFLICT (call) DO NOTHING RETURNING call)
		INSERT INTO sbc.cdr_leg (call, side, kind, trunk, trunk_name, account, extension, realm,
			peer, local, call_id, user_agent, codec, srtp, rx_packets, rx_octets, rx_expected,
			rx_lost, rx_jitter_us, rx_gap_max_us, tx_packets, tx_octets, rtt_us, mos, media_codec,
			media_first_at, media_last_at, media_source, media_source_reason,
			media_refused_source, rtcp_rx, rtcp_tx, peer_lost, peer_jitter_us, rx_digits, peer_mos,
			peer_discarded_permille, peer_buffer_ms, drops)
		SELECT l.call, l.side, coalesce(l.kind, ''), nullif(l.trunk, 0),
			(SELECT t.name FROM sbc.trunk t WHERE t.id = l.trunk), nullif(l.account, 0),
			(SELECT a.extension FROM sbc.account a WHERE a.id = l.account), nullif(l.realm, 0),
			coalesce(l.peer, ''), coalesce(l.local, ''), coalesce(l.call_id, ''),
			coalesce(l.user_agent, ''), coalesce(l.codec, ''), coalesce(l.srtp, ''),
			coalesce(l.rx_packets, 0), coalesce(l.rx_octets, 0), coalesce(l.rx_expected, 0),
			coalesce(l.rx_lost, 0), coalesce(l.rx_jitter_us, 0), coalesce(l.rx_gap_max_us, 0),
			coalesce(l.tx_packets, 0), coalesce(l.tx_octets, 0), nullif(l.rtt_us, 0),
			nullif(least(coalesce(l.mos_centi, 0), 500), 0) / 100.0, coalesce(l.media_codec, ''),
			sbc.from_us(l.wall_first_us), sbc.from_us(l.wall_last_us), coalesce(l.learned, ''),
			coalesce(l.learn_reason, 0), coalesce(l.refused_source, ''), coalesce(l.rtcp_rx, 0),
			coalesce(l.rtcp_tx, 0), coalesce(l.peer_lost, 0), coalesce(l.peer_jitter_us, 0),
			coalesce(l.rx_digits, 0), nullif(least(coalesce(l.peer_mos_centi, 0), 500), 0) / 100.0,
			l.peer_discarded_permille, l.peer_buffer_ms, coalesce(l.drops, '[]')
		FROM new JOIN json_to_recordset(legs) AS l (call text, side text, kind text,
			trunk integer, account bigint, realm integer, peer text, local text, call_id text,
			user_agent text, codec text, srtp text, rx_packets bigint, rx_octets bigint,
			rx_expected bigint, rx_lost bigint, rx_jitter_us bigint, rx_gap_max_us bigint,
			tx_packets bigint, tx_octets bigint, rtt_us bigint, mos_centi integer,
			media_codec text, wall_first_us numeric, wall_last_us numeric, learned text,
			learn_reason integer, refused_source text, rtcp_rx bigint, rtcp_tx bigint,
			peer_lost bigint, peer_jitter_us bigint, rx_digits bigint, peer_mos_centi integer,
			peer_discarded_permille integer, peer_buffer_ms integer, drops jsonb)
			ON l.call = new.call;
	END IF;
	IF events IS NOT NULL THEN
		INSERT INTO sbc.event (key, at, reason, source, account, trunk, call, data)
		SELECT d.key, coalesce(sbc.from_us(d.wall_us), now()), coalesce(d.reason, 0),
			coalesce(d.source, ''), nullif(d.account, 0), nullif(d.trunk, 0),
			nullif(d.call, ''), coalesce(d.data, '')
		FROM json_to_recordset(events) AS d (key text, wall_us numeric, reason integer,
			source text, account bigint, trunk integer, call text, data text)
		ON CONFLICT (key) DO NOTHING;
	END IF;
	IF bans IS NOT NULL THEN
		INSERT INTO sbc.ban (key, host, since, until, reason, failures, last_user)
		SELECT d.key, d.host, sbc.from_us(d.wall_us), sbc.from_us(d.wall_until_us), d.reason,
			coalesce(d.failures, 0), coalesce(d.last_user, '')
		FROM json_to_recordset(bans) AS d (key text, host inet, wall_us numeric,
			wall_until_us numeric, reason integer, failures integer, last_user text)
		ON CONFLICT (key) DO NOTHING;
	END IF;
END $$;
COMMENT ON FUNCTION sbc.records_store(json, json, json, json) IS
	'For authd: writes CDRs, the sides of their calls, events and bans, each once';
DROP FUNCTION sbc.cdr_store(jsonb), sbc.event_store(jsonb), sbc.ban_store(jsonb);

-- ------------------------------------------------------------------- bindings

-- A refreshed registration is written over in its page.
ALTER TABLE sbc.binding SET (fillfactor = 70);

-- counts[i] bindings of accounts[i] are what it has now; accounts that were
-- deleted meanwhile are left out. No commit waits for the disk: what a crash of
-- the server loses authd writes again when it is back, because authd itself
-- has it.
CREATE FUNCTION sbc.bindings_store(accounts bigint[], counts integer[], bindings json)
	RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	PERFORM set_config('synchronous_commit', 'off', true);
	DELETE FROM sbc.binding b USING unnest(accounts, counts) AS d (account, n)
	WHERE b.account = d.account AND b.position > d.n;
	-- One look-up for each, however few accounts there are.
	INSERT INTO sbc.binding (account, position, realm, contact, source, local, transport,
		expires_at, registered_at, q_permille, call_id, cseq, instance, reg_id, path,
		user_agent, flow, behind_nat)
	SELECT d.account, d.position, coalesce(d.realm, 0), coalesce(d.contact, ''),
		coalesce(d.source, ''), coalesce(d.local, ''), coalesce(d.transport, ''),
		coalesce(sbc.from_us(d.wall_expires_us), now()),
		coalesce(sbc.from_us(d.wall_registered_us), now()), coalesce(d.q_permille, 0),
		coalesce(d.call_id, ''), coalesce(d.cseq, 0), coalesce(d.instance, ''),
		coalesce(d.reg_id, 0), coalesce(d.path, '{}'), coalesce(d.user_agent, ''),
		coalesce(d.flow, 0), coalesce(d.behind_nat, false)
	FROM json_to_recordset(bindings) AS d (account bigint, position integer, realm integer,
		contact text, source text, local text, transport text, wall_expires_us numeric,
		wall_registered_us numeric, q_permille integer, call_id text, cseq bigint,
		instance text, reg_id integer, path text[], user_agent text, flow numeric,
		behind_nat boolean)
	WHERE (SELECT true FROM sbc.account a WHERE a.id = d.account)
	ON CONFLICT (account, position) DO UPDATE SET (realm, contact, source, local, transport,
		expires_at, registered_at, q_permille, call_id, cseq, instance, reg_id, path,
		user_agent, flow, behind_nat) = (excluded.realm, excluded.contact, excluded.source,
		excluded.local, excluded.transport, excluded.expires_at, excluded.registered_at,
		excluded.q_permille, excluded.call_id, excluded.cseq, excluded.instance,
		excluded.reg_id, excluded.path, excluded.user_agent, excluded.flow,
		excluded.behind_nat);
END $$;
COMMENT ON FUNCTION sbc.bindings_store(bigint[], integer[], json) IS
	'For authd: replaces the bindings of accounts';
DROP FUNCTION sbc.binding_store(jsonb);

REVOKE ALL ON FUNCTION sbc.records_store(json, json, json, json),
	sbc.bindings_store(bigint[], integer[], json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.records_store(json, json, json, json),
	sbc.bindings_store(bigint[], integer[], json) TO sbc_authd;
