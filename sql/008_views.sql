-- SPDX-License-Identifier: Apache-2.0
-- What people look at, and the dry run.

CREATE VIEW sbc.registration AS
SELECT a.extension, a.display_name, a.username, r.name AS realm, b.contact, b.source,
	b.transport, b.behind_nat, b.user_agent, b.registered_at, b.expires_at,
	greatest(0, extract(epoch FROM b.expires_at - now()))::integer AS remaining_s,
	b.account
FROM sbc.binding b JOIN sbc.account a ON a.id = b.account LEFT JOIN sbc.realm r ON r.id = b.realm
WHERE b.expires_at > now() ORDER BY a.extension, b.position;
COMMENT ON VIEW sbc.registration IS 'Phones that are registered now';

CREATE VIEW sbc.ban_list AS
SELECT b.host, b.since, b.until, b.failures, b.last_user, r.text AS reason,
	r.sentence AS explanation,
	greatest(0, extract(epoch FROM b.until - now()))::integer AS remaining_s
FROM sbc.ban b LEFT JOIN sbc.reason r ON r.number = b.reason
WHERE b.until > now() AND b.lifted_at IS NULL ORDER BY b.since;
COMMENT ON VIEW sbc.ban_list IS 'Sources that are banned now, and why';

CREATE VIEW sbc.event_log AS
SELECT e.at, r.text AS event, e.source, a.extension, t.name AS trunk, e.call, e.data,
	r.sentence AS explanation
FROM sbc.event e LEFT JOIN sbc.reason r ON r.number = e.reason
	LEFT JOIN sbc.account a ON a.id = e.account LEFT JOIN sbc.trunk t ON t.id = e.trunk
ORDER BY e.at;
COMMENT ON VIEW sbc.event_log IS 'Events in plain words';

CREATE VIEW sbc.security_event AS
SELECT e.at, r.text AS event, e.source, e.account, e.data, r.sentence AS explanation
FROM sbc.event e LEFT JOIN sbc.reason r ON r.number = e.reason
WHERE e.reason BETWEEN 100 AND 299 OR e.reason BETWEEN 900 AND 999 ORDER BY e.at;
COMMENT ON VIEW sbc.security_event IS 'Refused requests, wrong credentials, bans, limits';

CREATE VIEW sbc.call_log AS
SELECT c.call, c.started_at, c.rang_at, c.answered_at, c.ended_at,
	round(c.duration_us / 1000000.0, 3) AS duration_s, c.caller, c.called,
	coalesce(i.trunk_name, i.extension, i.kind) AS came_from,
	coalesce(o.trunk_name, o.extension, o.kind) AS went_to, c.sip_status, r.text AS reason,
	c.hangup_side, i.codec AS caller_codec, o.codec AS called_codec, i.mos AS caller_mos,
	o.mos AS called_mos, i.rx_lost AS caller_lost, o.rx_lost AS called_lost,
	r.sentence AS explanation
FROM sbc.cdr c
	LEFT JOIN sbc.cdr_leg i ON i.call = c.call AND i.side = 'caller'
	LEFT JOIN sbc.cdr_leg o ON o.call = c.call AND o.side = 'called'
	LEFT JOIN sbc.reason r ON r.number = c.reason
ORDER BY c.started_at;
COMMENT ON VIEW sbc.call_log IS 'Calls, one line each';

CREATE VIEW sbc.calls_per_hour AS
SELECT l.trunk_name AS trunk, date_trunc('hour', c.started_at) AS hour,
	count(*) FILTER (WHERE l.side = 'caller') AS calls_in,
	count(*) FILTER (WHERE l.side = 'called') AS calls_out,
	count(c.answered_at) AS answered,
	round(100.0 * count(c.answered_at) / count(*), 1) AS answered_percent,
	round(coalesce(sum(c.duration_us), 0) / 60000000.0, 1) AS minutes,
	round(avg(l.mos), 2) AS mos_average, min(l.mos) AS mos_minimum,
	round(100.0 * sum(l.rx_lost) / nullif(sum(l.rx_expected), 0), 2) AS lost_percent,
	round(avg(l.rx_jitter_us) / 1000.0, 1) AS jitter_ms
FROM sbc.cdr c JOIN sbc.cdr_leg l ON l.call = c.call WHERE l.trunk IS NOT NULL
GROUP BY l.trunk_name, date_trunc('hour', c.started_at)
ORDER BY hour, trunk;
COMMENT ON VIEW sbc.calls_per_hour IS 'Calls per trunk and hour with their quality';

CREATE VIEW sbc.call_explain AS
SELECT c.call, d.n AS step, sbc.from_us((d.row->>'wall_us')::numeric) AS at, r.text AS reason,
	coalesce(r.sentence, 'Reason ' || (d.row->>'reason') || '.') AS explanation,
	d.row->>'data' AS data
FROM sbc.cdr c, jsonb_array_elements(c.decisions) WITH ORDINALITY AS d (row, n)
	LEFT JOIN sbc.reason r ON r.number = (d.row->>'reason')::int
UNION ALL
SELECT c.call, 10000, c.ended_at, r.text,
	coalesce(r.sentence, 'Reason ' || c.reason || '.'),
	concat_ws(', ', nullif('answer to the caller ' || c.sip_status, 'answer to the caller 0'),
		nullif('answer of the called side ' || c.far_status, 'answer of the called side 0'),
		nullif('ended by ' || c.hangup_side, 'ended by '))
FROM sbc.cdr c LEFT JOIN sbc.reason r ON r.number = c.reason
ORDER BY 1, 2;
COMMENT ON VIEW sbc.call_explain IS
	'Why a call went as it went, step by step: SELECT * FROM sbc.call_explain WHERE call = ''...''';

CREATE VIEW sbc.config_state AS
SELECT s.at, s.state, s.version, s.problem, r.sentence AS explanation
FROM sbc.config_status s LEFT JOIN sbc.reason r ON r.number = s.reason
ORDER BY s.at DESC LIMIT 1;
COMMENT ON VIEW sbc.config_state IS 'Whether the last change of settings is in force';

CREATE FUNCTION sbc.list_phones() RETURNS TABLE (extension text, display_name text,
		numbers text, username text, realm text, enabled boolean, registered integer,
		password_changed_at timestamptz)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	SELECT a.extension, a.display_name,
		(SELECT string_agg(n.number, ' ' ORDER BY n.number) FROM sbc.account_number n
			WHERE n.account = a.id),
		a.username, r.name, a.enabled,
		(SELECT count(*)::integer FROM sbc.binding b
			WHERE b.account = a.id AND b.expires_at > now()),
		(SELECT max(s.changed_at) FROM sbc.account_secret s WHERE s.account = a.id)
	FROM sbc.account a JOIN sbc.realm r ON r.id = a.realm ORDER BY a.extension
$$;
COMMENT ON FUNCTION sbc.list_phones() IS 'Phones with their numbers and registrations';

-- ------------------------------------------------------------------ dry run

CREATE FUNCTION sbc.check_config() RETURNS TABLE (severity text, what text, problem text, hint text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	SELECT 'error', 'realms', 'there is no realm',
		'SELECT sbc.add_realm(''outside'', ''outside'', ''192.0.2.1'');'
	WHERE NOT EXISTS (SELECT FROM sbc.realm)
	UNION ALL
	SELECT 'error', 'realm ' || r.name, 'it has no address',
		format('SELECT sbc.add_realm_address(%L, ''192.0.2.1'');', r.name)
	FROM sbc.realm r WHERE NOT EXISTS (SELECT FROM sbc.realm_address a WHERE a.realm = r.id)
	UNION ALL
	SELECT 'error', 'codec list ' || l.name, 'it is empty',
		format('SELECT sbc.set_codec_list(%L, ''PCMA'', ''telephone-event'');', l.name)
	FROM sbc.codec_list l
	WHERE NOT EXISTS (SELECT FROM sbc.codec_list_entry e WHERE e.codec_list = l.id)
	UNION ALL
	SELECT 'error', format('realms %s and %s', r.name, s.name),
		format('their media ports overlap on %s', host(a.media)),
		'Give each realm a port range of its own (media_port_min, media_port_max).'
	FROM sbc.realm r JOIN sbc.realm_address a ON a.realm = r.id
		JOIN sbc.realm_address b ON b.media = a.media
		JOIN sbc.realm s ON s.id = b.realm AND s.id > r.id
	WHERE r.media_port_min <= s.media_port_max AND s.media_port_min <= r.media_port_max
	GROUP BY r.name, s.name, a.media
	UNION ALL
	SELECT 'error', format('realm %s', r.name),
		format('SIP port %s lies in a media port range on %s', a.port, host(a.address)),
		'Move the range or the SIP port.'
	FROM sbc.realm_address a JOIN sbc.realm r ON r.id = a.realm
		JOIN sbc.realm_address b ON b.media = a.address
		JOIN sbc.realm s ON s.id = b.realm
	WHERE a.port BETWEEN s.media_port_min AND s.media_port_max
	GROUP BY r.name, a.port, a.address
	UNION ALL
	SELECT 'error', format('trunks %s and %s', t.name, u.name),
		format('both may send from %s', s.network),
		'A source belongs to one trunk: make the networks different, or bind each to a local address.'
	FROM sbc.trunk_source s JOIN sbc.trunk t ON t.id = s.trunk
		JOIN sbc.trunk_source o ON o.network = s.network AND o.transport = s.transport
			AND o.local_address IS NOT DISTINCT FROM s.local_address
			AND o.local_port IS NOT DISTINCT FROM s.local_port
		JOIN sbc.trunk u ON u.id = o.trunk AND u.id > t.id AND u.realm = t.realm
	WHERE t.enabled AND u.enabled
	UNION ALL
	SELECT 'warning', 'trunk ' || t.name, 'no call can come from it: it has no source',
		format('SELECT sbc.add_trunk_source(%L, ''192.0.2.0/24'');', t.name)
	FROM sbc.trunk t WHERE NOT EXISTS (SELECT FROM sbc.trunk_source s WHERE s.trunk = t.id)
	UNION ALL
	SELECT 'error', 'trunk ' || t.name, 'no call can go to it: it has no target',
		format('SELECT sbc.add_trunk_target(%L, ''sip.example.net'');', t.name)
	FROM sbc.trunk t WHERE NOT EXISTS (SELECT FROM sbc.trunk_target g WHERE g.trunk = t.id)
		AND (t.registers OR EXISTS (SELECT FROM sbc.route_target rt WHERE rt.trunk = t.id))
	UNION ALL
	SELECT 'error', 'trunk ' || t.name, 'it registers, but has no credentials',
		format('SELECT sbc.set_trunk_password(%L, ''user'', ''password'');', t.name)
	FROM sbc.trunk t WHERE t.registers
		AND NOT EXISTS (SELECT FROM sbc.trunk_credential c WHERE c.trunk = t.id)
	UNION ALL
	SELECT 'error', 'trunk ' || t.name,
		format('no address of realm %s speaks %s', r.name, g.transport),
		format('SELECT sbc.add_realm_address(%L, ''192.0.2.1'', transport => %L);', r.name, g.transport)
	FROM sbc.trunk t JOIN sbc.realm r ON r.id = t.realm JOIN sbc.trunk_target g ON g.trunk = t.id
	WHERE EXISTS (SELECT FROM sbc.realm_address a WHERE a.realm = r.id)
		AND NOT EXISTS (SELECT FROM sbc.realm_address a
			WHERE a.realm = r.id AND a.transport = g.transport)
	UNION ALL
	SELECT 'error', 'route ' || r.name, 'it leads to a trunk, but names none',
		'Add a row to sbc.route_target, or delete the route.'
	FROM sbc.route r WHERE r.enabled AND r.action = 'trunk'
		AND NOT EXISTS (SELECT FROM sbc.route_target t WHERE t.route = r.id)
	UNION ALL
	SELECT 'warning', 'route ' || r.name, format('all its trunks are disabled'),
		'Enable one, or add another.'
	FROM sbc.route r JOIN sbc.route_target rt ON rt.route = r.id
		JOIN sbc.trunk t ON t.id = rt.trunk
	WHERE r.enabled AND r.action = 'trunk'
	GROUP BY r.name HAVING NOT bool_or(t.enabled)
	UNION ALL
	SELECT 'warning', 'routes', 'there is no route: no call gets anywhere',
		'SELECT sbc.add_route(''to-phones'');'
	WHERE NOT EXISTS (SELECT FROM sbc.route WHERE enabled)
	UNION ALL
	SELECT 'warning', 'route ' || later.name,
		format('it is never used: route %s takes every call before', earlier.name),
		'Change the priorities.'
	FROM sbc.route later JOIN sbc.route earlier
		ON (earlier.priority, earlier.id) < (later.priority, later.id)
	WHERE later.enabled AND earlier.enabled AND earlier.called_match = ''
		AND NOT earlier.called_regex AND earlier.caller_match = ''
		AND (earlier.source = 'any' OR (earlier.source = later.source
			AND earlier.source_trunk IS NOT DISTINCT FROM later.source_trunk))
	UNION ALL
	SELECT 'warning', 'account ' || a.extension, 'it has no password for its digest list',
		format('SELECT * FROM sbc.new_password(%L);', a.extension)
	FROM sbc.account a WHERE a.enabled
		AND NOT EXISTS (SELECT FROM sbc.account_secret s WHERE s.account = a.id)
	UNION ALL
	SELECT 'warning', 'trunk ' || t.name, 'its password is not sealed',
		format('Set it again now that authd has published its key: SELECT sbc.set_trunk_password(%L, ...);', t.name)
	FROM sbc.trunk_credential c JOIN sbc.trunk t ON t.id = c.trunk
	WHERE c.sealed IS NULL AND EXISTS (SELECT FROM sbc.seal_key)
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION sbc.check_config() IS
	'Dry run: every problem of the settings with a hint; works inside a transaction before COMMIT. No row = all is well';
