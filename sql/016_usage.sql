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

-- ---------------------------------------------------------- a fast bulk import
-- 100,000 phones took most of a minute: half a million rows of history one by
-- one, and functions with settings of their own that nothing can inline.

SET LOCAL search_path = sbc, public, pg_temp;

-- 14 of 16 letters: 56 bits, no digit, hence no number ever in it.
CREATE OR REPLACE FUNCTION sbc.random_username() RETURNS text LANGUAGE sql VOLATILE
	RETURN translate(encode(gen_random_bytes(7), 'hex'), '0123456789abcdef',
		'abcdefghjkmnpqrs');
-- 24 of 32 characters: 120 bits. Each stands for two of base64's, so that none
-- is likelier than another.
CREATE OR REPLACE FUNCTION sbc.random_password() RETURNS text LANGUAGE sql VOLATILE
	RETURN translate(encode(gen_random_bytes(18), 'base64'),
		'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
		'abcdefghjkmnpqrstuvwxyz23456789Rabcdefghjkmnpqrstuvwxyz23456789R');
CREATE OR REPLACE FUNCTION sbc.ha1(algorithm text, username text, digest_realm text,
		password text) RETURNS bytea LANGUAGE sql IMMUTABLE
	RETURN digest(convert_to(username || ':' || digest_realm || ':' || password, 'UTF8'),
		CASE algorithm WHEN 'MD5' THEN 'md5' WHEN 'SHA-256' THEN 'sha256'
			WHEN 'SHA-512-256' THEN 'sha512-256' END);

CREATE FUNCTION sbc.history_insert() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	INSERT INTO sbc.history (table_name, action, new)
	SELECT TG_TABLE_NAME, 'insert', to_jsonb(n)
		- '{ha1,sealed,ha1_md5,ha1_sha256,ha1_sha512_256}'::text[]
	FROM new_rows n;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.history_insert() IS 'Writes the rows that a statement inserted to sbc.history, without secrets';
REVOKE ALL ON FUNCTION sbc.history_insert() FROM PUBLIC;

DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['account', 'account_number', 'account_acl', 'account_secret'] LOOP
		EXECUTE format('DROP TRIGGER history ON sbc.%I', t);
		EXECUTE format('CREATE TRIGGER history AFTER UPDATE OR DELETE
			ON sbc.%I FOR EACH ROW EXECUTE FUNCTION sbc.history_write()', t);
		EXECUTE format('CREATE TRIGGER history_insert AFTER INSERT ON sbc.%I
			REFERENCING NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION sbc.history_insert()', t);
	END LOOP;
END $$;
RESET search_path;
