-- SPDX-License-Identifier: Apache-2.0
-- Event packages and messages: which packages phones of a realm may subscribe
-- to, which PBX serves them, and which texts pass.

CREATE FUNCTION sbc.are_event_packages(packages text[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE AS $$
	SELECT packages <@ ARRAY['message-summary', 'dialog', 'presence', 'check-sync']
		AND cardinality(packages) = (SELECT count(DISTINCT p) FROM unnest(packages) p)
$$;
COMMENT ON FUNCTION sbc.are_event_packages(text[]) IS
	'Does a list name only packages that the SBC can check, each once?';

-- What an earlier version took for a package name and did nothing with.
UPDATE sbc.realm SET event_packages = ARRAY(SELECT DISTINCT p FROM unnest(event_packages) p
		WHERE p IN ('message-summary', 'dialog', 'presence', 'check-sync'))
	WHERE NOT sbc.are_event_packages(event_packages);
UPDATE sbc.realm SET event_packages = '{message-summary,dialog,check-sync}'
	WHERE phones AND event_packages = '{}';
ALTER TABLE sbc.realm
	DROP CONSTRAINT "event packages are plain words",
	ADD CONSTRAINT "packages: message-summary, dialog, presence, check-sync"
		CHECK (sbc.are_event_packages(event_packages)),
	ALTER COLUMN event_packages DROP DEFAULT,
	ADD COLUMN event_trunk integer REFERENCES sbc.trunk ON DELETE SET NULL,
	ADD COLUMN message_types text[] NOT NULL DEFAULT '{text/plain}'
		CONSTRAINT "message types: text/plain, text/html"
		CHECK (message_types <@ ARRAY['text/plain', 'text/html']
			AND cardinality(message_types) BETWEEN 1 AND 2);
COMMENT ON COLUMN sbc.realm.event_packages IS 'Event packages of phones here: message-summary, dialog, presence, check-sync; all but presence where phones register. In a realm of trunks: what an ITSP may tell without being asked';
COMMENT ON COLUMN sbc.realm.event_trunk IS 'The PBX that serves the subscriptions of phones here; empty = by their surrogate registration, by routes, or the only PBX there is';
COMMENT ON COLUMN sbc.realm.allow_message IS 'MESSAGE requests (texts) are carried from and to this realm';
COMMENT ON COLUMN sbc.realm.message_types IS 'What a text may be: text/plain, text/html';

CREATE FUNCTION sbc.realm_events() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
BEGIN
	IF NEW.event_packages IS NULL THEN
		NEW.event_packages := CASE WHEN NEW.phones
			THEN '{message-summary,dialog,check-sync}'::text[] ELSE '{}' END;
	END IF;
	IF NEW.event_trunk IS NOT NULL AND NOT EXISTS (SELECT FROM sbc.trunk t
			JOIN sbc.realm r ON r.id = t.realm
			WHERE t.id = NEW.event_trunk AND r.zone = 'inside') THEN
		RAISE EXCEPTION 'the event trunk of realm "%" is no PBX', NEW.name
			USING HINT = 'A PBX is a trunk of an inside realm.', ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.realm_events() IS
	'Fills in the usual event packages; the event trunk has to be a PBX';
CREATE TRIGGER realm_events BEFORE INSERT OR UPDATE OF event_packages, event_trunk ON sbc.realm
	FOR EACH ROW EXECUTE FUNCTION sbc.realm_events();

CREATE VIEW sbc.authd_realm_event AS
SELECT id AS realm, coalesce(event_trunk, 0) AS event_trunk,
	array_to_string(message_types, ' ') AS message_types
FROM sbc.realm ORDER BY id;
COMMENT ON VIEW sbc.authd_realm_event IS 'For authd: events and texts of realms';
GRANT SELECT ON sbc.authd_realm_event TO sbc_authd;

CREATE FUNCTION sbc.allow_events(realm text, VARIADIC packages text[]) RETURNS text[]
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.realm SET event_packages = packages
	WHERE id = sbc.realm_id(allow_events.realm)
	RETURNING event_packages
$$;
COMMENT ON FUNCTION sbc.allow_events(text, text[]) IS
	'Lets phones of a realm use these event packages only: SELECT sbc.allow_events(''phones'', ''message-summary'', ''dialog''); with VARIADIC ''{}'' none';

CREATE FUNCTION sbc.set_event_trunk(realm text, trunk text DEFAULT NULL) RETURNS text
	LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.realm SET event_trunk = CASE WHEN set_event_trunk.trunk IS NOT NULL
		THEN sbc.trunk_id(set_event_trunk.trunk) END
	WHERE id = sbc.realm_id(set_event_trunk.realm)
	RETURNING set_event_trunk.trunk
$$;
COMMENT ON FUNCTION sbc.set_event_trunk(text, text) IS
	'Names the PBX that serves the subscriptions of a realm''s phones: SELECT sbc.set_event_trunk(''phones'', ''pbx''); without a name it is found by itself';

CREATE FUNCTION sbc.allow_messages(realm text, allow boolean DEFAULT true,
		types text[] DEFAULT '{text/plain}')
	RETURNS boolean LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.realm SET allow_message = allow, message_types = types
	WHERE id = sbc.realm_id(allow_messages.realm) RETURNING allow_message
$$;
COMMENT ON FUNCTION sbc.allow_messages(text, boolean, text[]) IS
	'Lets texts pass from and to a realm: SELECT sbc.allow_messages(''phones''); both sides of a text have to allow it';

REVOKE ALL ON FUNCTION sbc.are_event_packages(text[]), sbc.realm_events(),
	sbc.allow_events(text, text[]), sbc.set_event_trunk(text, text),
	sbc.allow_messages(text, boolean, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.are_event_packages(text[]), sbc.allow_events(text, text[]),
	sbc.set_event_trunk(text, text), sbc.allow_messages(text, boolean, text[]) TO sbc_admin;

INSERT INTO sbc.setting (name, value, default_value, kind, minimum, maximum, unit, description) VALUES
	('max_subscriptions', '20000', '20000', 'number', 0, 1000000, '', 'Event subscriptions of all phones'),
	('max_subscriptions_per_account', '200', '200', 'number', 1, 10000, '', 'Event subscriptions of one account'),
	('event_expires_min_s', '60', '60', 'number', 1, 3600, 's', 'Shortest event subscription; shorter ones get 423'),
	('event_expires_max_s', '3600', '3600', 'number', 60, 86400, 's', 'Longest event subscription; longer ones are cut'),
	('message_max_bytes', '1300', '1300', 'number', 1, 8000, 'octets', 'Largest text that a MESSAGE carries');
