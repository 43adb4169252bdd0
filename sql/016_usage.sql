-- SPDX-License-Identifier: Apache-2.0
-- What an account has used of its calls per hour and minutes per day, from the
-- CDRs: sbc counts for itself, and asks when it has nothing of its own (after a
-- reboot, or a limit that is new). Hours and days are those of UTC. Only calls
-- that the account began count, and no emergency calls; calls that one of these
-- limits refused were not begun.

-- The legs of calls that ended today and count.
CREATE VIEW sbc.authd_usage AS
SELECT l.account, c.started_at, c.ended_at, c.answered_at, c.duration_us,
	date_trunc('hour', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour,
	date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS day
FROM sbc.cdr_leg l JOIN sbc.cdr c ON c.call = l.call
WHERE l.side = 'caller'
	AND c.ended_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
	AND (c.answered_at IS NOT NULL OR c.reason NOT IN (902, 903, 904))
	AND NOT EXISTS (SELECT FROM sbc.route r WHERE r.id = c.route AND r.emergency);
COMMENT ON VIEW sbc.authd_usage IS 'For sbc.authd_account and sbc.phone_usage: calls that count for limits per hour and day';

-- Facts are scalar subselects: only these are worked out for the rows that are
-- asked for, however the view is joined. The first number is an aggregate:
-- min() may walk the whole index of numbers.
CREATE OR REPLACE VIEW sbc.authd_account AS
SELECT a.id, a.username, a.extension, a.display_name,
	coalesce((SELECT string_agg(n.number, ' ' ORDER BY n.number)
		FROM sbc.account_number n WHERE n.account = a.id), '') AS numbers,
	coalesce(a.caller_number, (SELECT (array_agg(n.number::text ORDER BY n.number::text))[1]
		FROM sbc.account_number n WHERE n.account = a.id), '') AS caller_number,
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
		WHERE s.account = a.id AND s.algorithm = 'SHA-512-256'), '') AS ha1_sha512_256,
	CASE WHEN a.max_calls_per_hour <> 0 OR a.max_minutes_per_day <> 0
		THEN (extract(epoch FROM now()) * 1000000)::bigint ELSE 0 END AS usage_at_us,
	CASE WHEN a.max_calls_per_hour <> 0 THEN (SELECT count(*) FROM sbc.authd_usage u
		WHERE u.account = a.id AND u.started_at >= u.hour) ELSE 0 END AS usage_hour_calls,
	CASE WHEN a.max_minutes_per_day <> 0 THEN (SELECT coalesce(sum(least(u.duration_us,
		(extract(epoch FROM u.ended_at - u.day) * 1000000)::bigint)), 0)::bigint
		FROM sbc.authd_usage u WHERE u.account = a.id AND u.answered_at IS NOT NULL)
		ELSE 0 END AS usage_day_us
FROM sbc.account a;

CREATE VIEW sbc.phone_usage AS
SELECT a.extension, a.display_name, a.max_calls,
	(SELECT count(*) FROM sbc.authd_usage u
		WHERE u.account = a.id AND u.started_at >= u.hour) AS calls_this_hour,
	a.max_calls_per_hour,
	(SELECT round(coalesce(sum(least(u.duration_us / 1000000.0,
		extract(epoch FROM u.ended_at - u.day))), 0) / 60, 1) FROM sbc.authd_usage u
		WHERE u.account = a.id AND u.answered_at IS NOT NULL) AS minutes_today,
	a.max_minutes_per_day
FROM sbc.account a
WHERE a.max_calls_per_hour <> 0 OR a.max_minutes_per_day <> 0 ORDER BY a.extension;
COMMENT ON VIEW sbc.phone_usage IS 'What phones with limits per hour or day have used of them, as the CDRs say (hours and days of UTC)';
GRANT SELECT ON sbc.phone_usage TO sbc_viewer, sbc_admin;

COMMENT ON COLUMN sbc.account.max_calls_per_hour IS 'Calls begun per hour (of UTC), answered or not; 0 = no limit. Emergency numbers are never refused';
COMMENT ON COLUMN sbc.account.max_minutes_per_day IS 'Minutes talked per day (of UTC) in calls that it began; 0 = no limit. A call that uses them up is ended; emergency numbers are never refused';

CREATE FUNCTION sbc.limit_phone(extension text, max_calls integer DEFAULT NULL,
		max_calls_per_hour integer DEFAULT NULL, max_minutes_per_day integer DEFAULT NULL)
	RETURNS text LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	row sbc.account;
BEGIN
	UPDATE sbc.account a SET max_calls = coalesce(limit_phone.max_calls, a.max_calls),
		max_calls_per_hour = coalesce(limit_phone.max_calls_per_hour, a.max_calls_per_hour),
		max_minutes_per_day = coalesce(limit_phone.max_minutes_per_day, a.max_minutes_per_day)
	WHERE a.id = sbc.account_id(limit_phone.extension) RETURNING * INTO row;
	RETURN format('phone %s: calls at once %s, calls per hour %s, minutes per day %s (0 = no limit)',
		row.extension, row.max_calls, row.max_calls_per_hour, row.max_minutes_per_day);
END $$;
COMMENT ON FUNCTION sbc.limit_phone(text, integer, integer, integer) IS
	'Limits a phone: SELECT sbc.limit_phone(''101'', max_calls_per_hour => 20, max_minutes_per_day => 120); 0 = no limit, what is not named stays';
REVOKE ALL ON FUNCTION sbc.limit_phone(text, integer, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.limit_phone(text, integer, integer, integer) TO sbc_admin;
