-- SPDX-License-Identifier: Apache-2.0
-- Which class of destinations a route leads to, so that an account's list of
-- classes means something: it may use the routes of its classes.

ALTER TABLE sbc.route ADD COLUMN destination_class text NOT NULL DEFAULT ''
	CONSTRAINT "a destination class is one plain word"
	CHECK (destination_class = '' OR destination_class ~ '^[A-Za-z0-9._+-]{1,64}$');
COMMENT ON COLUMN sbc.route.destination_class IS
	'Class of the destinations that it leads to, for example national; accounts with a list of classes use routes of these only';
COMMENT ON COLUMN sbc.account.destination_classes IS
	'Classes of destinations (sbc.route.destination_class) that it may call through trunks; empty = all. Emergency numbers are never refused';

CREATE OR REPLACE VIEW sbc.authd_route AS
SELECT id, name, priority, source, coalesce(source_trunk, 0) AS source_trunk, called_regex,
	called_match, caller_match, action,
	array_to_string(failover_causes, ' ') AS failover_causes, timeout_s, reject_code, emergency,
	destination_class
FROM sbc.route WHERE enabled ORDER BY priority, id;

CREATE FUNCTION sbc.set_route_class(route text, class text) RETURNS text
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	UPDATE sbc.route r SET destination_class = class WHERE r.name = set_route_class.route;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no route "%"', route
			USING HINT = coalesce('The routes are: ' || (SELECT string_agg(r.name, ', '
				ORDER BY r.name) FROM sbc.route r) || '.', 'Make one with sbc.add_route().'),
				ERRCODE = 'no_data_found';
	END IF;
	RETURN class;
END $$;
COMMENT ON FUNCTION sbc.set_route_class(text, text) IS
	'Says which class of destinations a route leads to: SELECT sbc.set_route_class(''out'', ''national'')';

CREATE FUNCTION sbc.allow_classes(extension text, VARIADIC classes text[]) RETURNS text[]
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.account SET destination_classes = classes
	WHERE id = sbc.account_id(extension) RETURNING destination_classes
$$;
COMMENT ON FUNCTION sbc.allow_classes(text, text[]) IS
	'Lets a phone call destinations of these classes only: SELECT sbc.allow_classes(''101'', ''national'', ''mobile''); with VARIADIC ''{}'' all';
REVOKE ALL ON FUNCTION sbc.set_route_class(text, text), sbc.allow_classes(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.set_route_class(text, text), sbc.allow_classes(text, text[]) TO sbc_admin;

ALTER FUNCTION sbc.check_config() RENAME TO check_config_rules;
COMMENT ON FUNCTION sbc.check_config_rules() IS 'Part of sbc.check_config()';
CREATE FUNCTION sbc.check_config() RETURNS TABLE (severity text, what text, problem text, hint text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	SELECT * FROM sbc.check_config_rules()
	UNION ALL
	SELECT 'warning', 'account ' || a.extension, format('no route has the class %s', c),
		format('SELECT sbc.set_route_class(''...'', %L);', c)
	FROM sbc.account a, unnest(a.destination_classes) c
	WHERE a.enabled AND NOT EXISTS
		(SELECT FROM sbc.route r WHERE r.destination_class = c AND r.enabled)
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION sbc.check_config() IS
	'Dry run: every problem of the settings with a hint; works inside a transaction before COMMIT. No row = all is well';
REVOKE ALL ON FUNCTION sbc.check_config() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.check_config() TO sbc_authd, sbc_viewer, sbc_admin;
