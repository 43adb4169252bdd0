-- SPDX-License-Identifier: Apache-2.0
-- Calls in progress as sbc reports them; the same limits on rules that sbc has,
-- refused where they are written and in words; header rules that let a header
-- through (carry); and what the dry run did not see yet.
--
-- New constraints are NOT VALID: rows of before stay, check_config() names them.

-- ---------------------------------------------------------- calls in progress

-- Lost with a crash of the server, like the news that it is.
CREATE UNLOGGED TABLE sbc.live_call (
	worker integer NOT NULL,
	call text NOT NULL,
	state text NOT NULL,
	started_at timestamptz NOT NULL,
	answered_at timestamptz,
	caller text NOT NULL DEFAULT '',
	called text NOT NULL DEFAULT '',
	caller_kind text NOT NULL DEFAULT '',
	caller_name text NOT NULL DEFAULT '',
	caller_peer text NOT NULL DEFAULT '',
	called_kind text NOT NULL DEFAULT '',
	called_name text NOT NULL DEFAULT '',
	called_peer text NOT NULL DEFAULT '',
	reported_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (worker, call)
);
COMMENT ON TABLE sbc.live_call IS 'Calls in progress, as last reported; look at sbc.active_call';
COMMENT ON COLUMN sbc.live_call.worker IS 'Number of the signaling process';
COMMENT ON COLUMN sbc.live_call.call IS 'Our call ID';
COMMENT ON COLUMN sbc.live_call.state IS 'State of the call';
COMMENT ON COLUMN sbc.live_call.started_at IS 'INVITE received';
COMMENT ON COLUMN sbc.live_call.answered_at IS 'Answer; empty = not answered yet';
COMMENT ON COLUMN sbc.live_call.caller IS 'Caller''s number or extension';
COMMENT ON COLUMN sbc.live_call.called IS 'Called number';
COMMENT ON COLUMN sbc.live_call.caller_kind IS 'trunk, pbx or phone';
COMMENT ON COLUMN sbc.live_call.caller_name IS 'Trunk, or extension of the phone';
COMMENT ON COLUMN sbc.live_call.caller_peer IS 'Signaling address of the caller''s side';
COMMENT ON COLUMN sbc.live_call.called_kind IS 'trunk, pbx or phone; empty = nobody was tried yet';
COMMENT ON COLUMN sbc.live_call.called_name IS 'Trunk, or extension of the phone';
COMMENT ON COLUMN sbc.live_call.called_peer IS 'Signaling address of the called side';
COMMENT ON COLUMN sbc.live_call.reported_at IS 'When this was reported';

CREATE VIEW sbc.active_call AS
SELECT call, state, started_at, answered_at,
	extract(epoch FROM now() - started_at)::integer AS age_s,
	extract(epoch FROM now() - answered_at)::integer AS talk_s,
	caller, called, concat_ws(' ', nullif(caller_kind, ''), caller_name) AS came_from,
	concat_ws(' ', nullif(called_kind, ''), called_name) AS went_to,
	caller_peer, called_peer, reported_at
FROM sbc.live_call ORDER BY started_at, call;
COMMENT ON VIEW sbc.active_call IS 'Calls in progress, two seconds old at most while authd is connected';

CREATE FUNCTION sbc.live_call_store(news jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	from_worker integer := (news->>'worker')::integer;
BEGIN
	IF (news->>'reset')::boolean THEN
		DELETE FROM sbc.live_call WHERE worker = from_worker;
	END IF;
	DELETE FROM sbc.live_call WHERE worker = from_worker
		AND call IN (SELECT jsonb_array_elements_text(news->'ended'));
	INSERT INTO sbc.live_call (worker, call, state, started_at, answered_at, caller, called,
		caller_kind, caller_name, caller_peer, called_kind, called_name, called_peer)
	SELECT from_worker, c.call, c.state, sbc.from_us(c.wall_start_us),
		CASE WHEN c.wall_answer_us > 0 THEN sbc.from_us(c.wall_answer_us) END,
		c.caller, c.called, c.caller_kind, c.caller_name, c.caller_peer, c.called_kind,
		c.called_name, c.called_peer
	FROM jsonb_to_recordset(news->'calls') AS c (call text, state text, wall_start_us numeric,
		wall_answer_us numeric, caller text, called text, caller_kind text,
		caller_name text, caller_peer text, called_kind text, called_name text,
		called_peer text)
	ON CONFLICT (worker, call) DO UPDATE SET state = excluded.state,
		answered_at = excluded.answered_at, caller = excluded.caller,
		called = excluded.called, called_kind = excluded.called_kind,
		called_name = excluded.called_name, called_peer = excluded.called_peer,
		caller_peer = excluded.caller_peer, reported_at = now();
END $$;
COMMENT ON FUNCTION sbc.live_call_store(jsonb) IS 'For authd: what changed among the calls in progress';

REVOKE ALL ON sbc.live_call, sbc.active_call FROM PUBLIC;
REVOKE ALL ON FUNCTION sbc.live_call_store(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.live_call_store(jsonb) TO sbc_authd;
GRANT SELECT ON sbc.live_call, sbc.active_call TO sbc_viewer, sbc_admin;

-- ------------------------------------------------------- regular expressions

-- Walks over the expression as sbc does (sbc/pattern.c): a repetition inside a
-- repetition can take minutes to match, bounds are copied when it is compiled.
CREATE FUNCTION sbc.regex_problem(pattern text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
	i integer := 1;
	n integer := length(pattern);
	c text;
	depth integer := 0;
	repeats boolean[] := array_fill(false, ARRAY[18]);
	atom boolean := false;
	atom_repeats boolean := false;
	bound text;
	total integer := 0;
	j integer;
BEGIN
	IF n = 0 THEN
		RETURN 'it is empty';
	ELSIF n > 200 THEN
		RETURN 'it has more than 200 characters';
	ELSIF pattern ~ '[^ -~]' THEN
		RETURN 'it has a character that is not printable ASCII';
	END IF;
	WHILE i <= n LOOP
		c := substr(pattern, i, 1);
		IF c = '(' THEN
			IF depth = 16 THEN
				RETURN 'its groups are nested too deeply';
			END IF;
			depth := depth + 1;
			repeats[depth + 1] := false;
			atom := false;
		ELSIF c = ')' THEN
			IF depth = 0 THEN
				RETURN 'a group ends that never began';
			END IF;
			atom_repeats := repeats[depth + 1];
			depth := depth - 1;
			repeats[depth + 1] := repeats[depth + 1] OR atom_repeats;
			atom := true;
		ELSIF c IN ('*', '+', '?', '{') THEN
			IF NOT atom THEN
				RETURN 'it repeats nothing (a ' || c || ' without something before it)';
			END IF;
			IF c = '{' THEN
				bound := substring(substr(pattern, i) FROM '^\{([0-9]{1,2}(,[0-9]{0,2})?)\}');
				IF bound IS NULL OR split_part(bound, ',', 1)::integer > 64
						OR coalesce(nullif(split_part(bound, ',', 2), ''), '0')::integer > 64 THEN
					RETURN 'a { starts no bound such as {2} or {2,5}, of at most 64';
				END IF;
				total := total + greatest(split_part(bound, ',', 1)::integer,
					coalesce(nullif(split_part(bound, ',', 2), ''), '0')::integer);
				IF total > 256 THEN
					RETURN 'it has too many bounded repetitions';
				END IF;
				i := i + length(bound) + 1;
			END IF;
			IF atom_repeats AND c <> '?' THEN
				RETURN 'it has a repetition inside a repetition, which can take minutes to match';
			END IF;
			repeats[depth + 1] := true;
			atom := false;
		ELSIF c IN ('|', '^', '$') THEN
			atom := false;
		ELSE
			IF c = '[' THEN
				j := i + 1;
				IF substr(pattern, j, 1) = '^' THEN
					j := j + 1;
				END IF;
				IF substr(pattern, j, 1) = ']' THEN
					j := j + 1;
				END IF;
				WHILE j <= n AND substr(pattern, j, 1) <> ']' LOOP
					IF substr(pattern, j, 2) IN ('[:', '[.', '[=') THEN
						c := substr(pattern, j + 1, 1) || ']';
						j := j + 2;
						WHILE j <= n AND substr(pattern, j, 2) <> c LOOP
							j := j + 1;
						END LOOP;
						j := j + 1;
					END IF;
					j := j + 1;
				END LOOP;
				IF j > n THEN
					RETURN 'a [ has no end';
				END IF;
				i := j;
			ELSIF c = '\' THEN
				i := i + 1;
				IF i > n OR substr(pattern, i, 1) !~ '[^A-Za-z0-9<>`'']' THEN
					RETURN 'it has a \ before a letter, a digit or the end; write [0-9] for \d';
				END IF;
			END IF;
			atom := true;
			atom_repeats := false;
		END IF;
		i := i + 1;
	END LOOP;
	IF depth > 0 THEN
		RETURN 'a group has no end';
	END IF;
	PERFORM '' ~ pattern;
	RETURN NULL;
EXCEPTION WHEN invalid_regular_expression THEN
	RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION sbc.regex_problem(text) IS 'What is wrong with a regular expression, or NULL';

CREATE OR REPLACE FUNCTION sbc.is_regex(text) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT sbc.regex_problem($1) IS NULL
$$;
COMMENT ON FUNCTION sbc.is_regex(text) IS
	'True for a POSIX extended regular expression that is safe to match; sbc.regex_problem() says why not';

CREATE FUNCTION sbc.regex_groups(pattern text) RETURNS integer
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT length(regexp_replace(regexp_replace(pattern, '\\.', '', 'g'), '\[\^?\]?(\[[:.=][^]]*[:.=]\]|[^]])*\]|[^(]', '', 'g'))
$$;
COMMENT ON FUNCTION sbc.regex_groups(text) IS 'How many groups a regular expression has';

CREATE FUNCTION sbc.regex_highest_group(replacement text) RETURNS integer
	LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT coalesce(max(m[1]::integer), 0) FROM regexp_matches($1, '\\([0-9])', 'g') m
$$;
COMMENT ON FUNCTION sbc.regex_highest_group(text) IS 'Highest group that a replacement names';

ALTER TABLE sbc.number_rule
	ADD CONSTRAINT "replace names a group that match does not have"
	CHECK (NOT regex OR sbc.regex_highest_group(replace) <= sbc.regex_groups(match)) NOT VALID;

ALTER TABLE sbc.route
	ADD CONSTRAINT "an emergency route names a number"
	CHECK (NOT emergency OR called_match <> '') NOT VALID;

-- A constraint only has its name for a message; these say what is wrong.
CREATE FUNCTION sbc.rule_check() RETURNS trigger
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	pattern text;
	problem text;
BEGIN
	IF TG_TABLE_NAME = 'route' THEN
		pattern := CASE WHEN NEW.called_regex THEN NEW.called_match END;
	ELSE
		pattern := CASE WHEN NEW.regex THEN NEW.match END;
	END IF;
	problem := sbc.regex_problem(pattern);
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '% is no regular expression that can be used: %',
				CASE TG_TABLE_NAME WHEN 'route' THEN 'called_match is a prefix of + * # 0-9, or with regex an expression; this'
					ELSE 'match is a prefix of + * # 0-9, or a regular expression; this' END, problem
			USING HINT = 'For example ^\+49(30[0-9]+)$ with groups, sets such as [0-9] and simple repetitions.',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.rule_check() IS 'Says what is wrong with the expression of a number rule or route';
CREATE TRIGGER rule_check BEFORE INSERT OR UPDATE ON sbc.number_rule
	FOR EACH ROW EXECUTE FUNCTION sbc.rule_check();
CREATE TRIGGER rule_check BEFORE INSERT OR UPDATE ON sbc.route
	FOR EACH ROW EXECUTE FUNCTION sbc.rule_check();

-- ------------------------------------------------------------- header rules

-- The same lists as sbc's table of headers (sbc/hdr_table.c); a test compares.
CREATE FUNCTION sbc.header_rule_problem(action text, name text, value text) RETURNS text
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
	policy text[] := '{identity,user-to-user,p-early-media}';
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
COMMENT ON FUNCTION sbc.header_rule_problem(text, text, text) IS 'What is wrong with a header rule, or NULL';

ALTER TABLE sbc.header_rule
	DROP CONSTRAINT "a header rule's action is add, set or remove",
	ADD CONSTRAINT "a header rule's action is add, set, remove or carry"
		CHECK (action IN ('add', 'set', 'remove', 'carry')),
	ADD CONSTRAINT "a header rule must be one that the SBC can follow"
		CHECK (sbc.header_rule_problem(action, name, value) IS NULL) NOT VALID;
COMMENT ON TABLE sbc.header_rule IS 'Adds, sets, removes or lets through a header of a trunk''s requests';
COMMENT ON COLUMN sbc.header_rule.action IS
	'add, set, remove; carry: let User-to-User, P-Early-Media or Identity through, which stop here otherwise';
COMMENT ON COLUMN sbc.header_rule.value IS
	'Header value, in which {caller} is the caller''s number and {host} our host; empty for remove and carry';

CREATE FUNCTION sbc.header_rule_check() RETURNS trigger
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	problem text := sbc.header_rule_problem(NEW.action, NEW.name, NEW.value);
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem
			USING HINT = 'Carry is for User-to-User, P-Early-Media and Identity; add, set and remove are for headers that are not the SBC''s own.',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.header_rule_check() IS 'Says what is wrong with a header rule';
CREATE TRIGGER header_rule_check BEFORE INSERT OR UPDATE ON sbc.header_rule
	FOR EACH ROW EXECUTE FUNCTION sbc.header_rule_check();

CREATE FUNCTION sbc.set_header(trunk text, direction text, action text, name text,
		value text DEFAULT '') RETURNS integer
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	INSERT INTO sbc.header_rule (trunk, direction, action, name, value)
	VALUES (sbc.trunk_id(trunk), direction, action, name, value) RETURNING id
$$;
COMMENT ON FUNCTION sbc.set_header(text, text, text, text, text) IS
	'Adds a header rule to a trunk: SELECT sbc.set_header(''itsp'', ''in'', ''carry'', ''User-to-User'')';
REVOKE ALL ON FUNCTION sbc.set_header(text, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.set_header(text, text, text, text, text) TO sbc_admin;

-- ------------------------------------------------------------ other limits

-- A host that stands for no host.
CREATE FUNCTION sbc.is_one_host(text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
	IF NOT sbc.is_address($1) THEN
		RETURN true;
	END IF;
	RETURN NOT ($1::inet <<= '224.0.0.0/4' OR $1::inet <<= 'ff00::/8'
		OR $1::inet IN ('0.0.0.0', '::'));
END $$;
COMMENT ON FUNCTION sbc.is_one_host(text) IS 'True unless it is a multicast address, 0.0.0.0 or ::';

ALTER TABLE sbc.trunk_target ADD CONSTRAINT "a target is no multicast address and not 0.0.0.0"
	CHECK (sbc.is_one_host(host)) NOT VALID;
ALTER TABLE sbc.realm_address ADD CONSTRAINT "no address of a realm is a multicast address"
	CHECK (sbc.is_one_host(host(address)) AND sbc.is_one_host(host(media))
		AND (advertised_media IS NULL OR sbc.is_one_host(host(advertised_media)))) NOT VALID;

CREATE FUNCTION sbc.limit_rows() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	owner_id bigint := (to_jsonb(NEW)->>TG_ARGV[0])::bigint;
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM sbc.%I WHERE %I = $1', TG_TABLE_NAME, TG_ARGV[0])
		INTO n USING owner_id;
	IF n > TG_ARGV[1]::bigint THEN
		RAISE EXCEPTION 'a % has at most % rows in sbc.%', TG_ARGV[0], TG_ARGV[1], TG_TABLE_NAME
			USING HINT = 'Join some: a shorter prefix, a larger network, or an expression.',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.limit_rows() IS 'Refuses more rows for one trunk or route than the SBC takes';

DO $$
DECLARE
	t text[];
BEGIN
	FOREACH t SLICE 1 IN ARRAY ARRAY[['number_rule', 'trunk', '256'], ['header_rule', 'trunk', '32'],
			['trunk_target', 'trunk', '64'], ['trunk_source', 'trunk', '1024'],
			['route_target', 'route', '16']] LOOP
		EXECUTE format('CREATE TRIGGER limit_rows AFTER INSERT ON sbc.%I FOR EACH ROW
			EXECUTE FUNCTION sbc.limit_rows(%L, %L)', t[1], t[2], t[3]);
	END LOOP;
END $$;

REVOKE ALL ON FUNCTION sbc.regex_problem(text), sbc.regex_groups(text),
	sbc.regex_highest_group(text), sbc.rule_check(),
	sbc.header_rule_problem(text, text, text), sbc.header_rule_check(), sbc.is_one_host(text),
	sbc.limit_rows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.regex_problem(text), sbc.regex_groups(text),
	sbc.regex_highest_group(text), sbc.header_rule_problem(text, text, text), sbc.is_one_host(text)
	TO sbc_admin, sbc_viewer, sbc_authd;

-- ------------------------------------------------------------------ dry run

ALTER FUNCTION sbc.check_config() RENAME TO check_config_basic;
COMMENT ON FUNCTION sbc.check_config_basic() IS 'Part of sbc.check_config()';

CREATE FUNCTION sbc.check_config() RETURNS TABLE (severity text, what text, problem text, hint text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	SELECT * FROM sbc.check_config_basic()
	UNION ALL
	SELECT 'error', 'codec list ' || l.name, 'none of its codecs carries speech',
		format('SELECT sbc.set_codec_list(%L, ''PCMA'', ''telephone-event'');', l.name)
	FROM sbc.codec_list l JOIN sbc.codec_list_entry e ON e.codec_list = l.id
	GROUP BY l.name HAVING bool_and(e.codec IN ('telephone-event', 'CN'))
	UNION ALL
	SELECT 'error', 'trunk ' || t.name,
		format('its source %s is bound to %s, which is no address of realm %s with %s',
			s.network, sbc.address_port(s.local_address, s.local_port), r.name, s.transport),
		format('SELECT sbc.add_realm_address(%L, %L, transport => %L);', r.name,
			host(s.local_address), s.transport)
	FROM sbc.trunk_source s JOIN sbc.trunk t ON t.id = s.trunk JOIN sbc.realm r ON r.id = t.realm
	WHERE s.local_address IS NOT NULL AND NOT EXISTS (SELECT FROM sbc.realm_address a
		WHERE a.realm = r.id AND a.address = s.local_address AND a.transport = s.transport
			AND (s.local_port IS NULL OR a.port = s.local_port))
	UNION ALL
	SELECT 'error', format('header rule %s of trunk %s', h.id, t.name),
		sbc.header_rule_problem(h.action, h.name, h.value),
		format('DELETE FROM sbc.header_rule WHERE id = %s;', h.id)
	FROM sbc.header_rule h JOIN sbc.trunk t ON t.id = h.trunk
	WHERE sbc.header_rule_problem(h.action, h.name, h.value) IS NOT NULL
	UNION ALL
	SELECT 'error', format('number rule %s of trunk %s', n.id, t.name),
		coalesce(sbc.regex_problem(n.match), 'replace names a group that match does not have'),
		format('UPDATE sbc.number_rule SET match = ''...'' WHERE id = %s;', n.id)
	FROM sbc.number_rule n JOIN sbc.trunk t ON t.id = n.trunk
	WHERE n.regex AND (sbc.regex_problem(n.match) IS NOT NULL
		OR sbc.regex_highest_group(n.replace) > sbc.regex_groups(n.match))
	UNION ALL
	SELECT 'error', 'route ' || r.name,
		coalesce(sbc.regex_problem(CASE WHEN r.called_regex THEN r.called_match END),
			'it is for emergencies and names no number'),
		format('UPDATE sbc.route SET called_match = ''...'' WHERE name = %L;', r.name)
	FROM sbc.route r WHERE r.enabled
		AND (sbc.regex_problem(CASE WHEN r.called_regex THEN r.called_match END) IS NOT NULL
			OR (r.emergency AND r.called_match = ''))
	UNION ALL
	SELECT 'warning', 'realm ' || r.name, 'phones can register, but it serves no domain by name',
		format('Fine where phones use the address; else UPDATE sbc.realm SET domains = ''{sip.example.net}'' WHERE name = %L;', r.name)
	FROM sbc.realm r WHERE r.phones AND r.strangers_invite AND r.domains = '{}'
	UNION ALL
	SELECT 'warning', 'account ' || a.extension,
		format('its challenges (%s) need a password hash that it does not have', array_to_string(d, ', ')),
		format('SELECT * FROM sbc.new_password(%L);', a.extension)
	FROM sbc.account a JOIN sbc.realm r ON r.id = a.realm, LATERAL (SELECT coalesce(a.digest, r.digest)) l (d)
	WHERE a.enabled AND EXISTS (SELECT FROM sbc.account_secret s WHERE s.account = a.id)
		AND EXISTS (SELECT FROM unnest(l.d) o WHERE NOT EXISTS (SELECT FROM sbc.account_secret s
			WHERE s.account = a.id AND s.algorithm = split_part(o, '/', 1)
				AND s.digest_realm = r.digest_realm))
	UNION ALL
	SELECT 'warning', format('realms %s', r.name), 'its digest list has SHA-256 or SHA-512-256 first: phones that know MD5 only can not register',
		'Give such phones a list of their own: UPDATE sbc.account SET digest = ''{MD5}'' WHERE extension = ''...'';'
	FROM sbc.realm r WHERE r.phones AND NOT EXISTS (SELECT FROM unnest(r.digest) o WHERE o = 'MD5')
	UNION ALL
	SELECT 'warning', 'settings', format('the last change was refused: %s', s.problem),
		'Correct it; the settings before it are in force.'
	FROM (SELECT c.state, c.problem FROM sbc.config_status c ORDER BY c.at DESC LIMIT 1) s
	WHERE s.state = 'refused'
	UNION ALL
	SELECT 'warning', 'emergency', 'there are phones, but no emergency number leads anywhere',
		'SELECT sbc.add_emergency(''112'', ''trunk'');'
	WHERE EXISTS (SELECT FROM sbc.account) AND NOT EXISTS
		(SELECT FROM sbc.route WHERE emergency AND enabled)
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION sbc.check_config() IS
	'Dry run: every problem of the settings with a hint; works inside a transaction before COMMIT. No row = all is well';
REVOKE ALL ON FUNCTION sbc.check_config() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.check_config() TO sbc_authd, sbc_viewer, sbc_admin;
