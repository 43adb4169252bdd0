-- SPDX-License-Identifier: Apache-2.0
-- How long records are kept (setting record_keep_days), and a narrower reason
-- to read the settings again: of an account only its own list of challenges is
-- part of them.

CREATE FUNCTION sbc.records_purge(keep_days integer) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n bigint := 0;
	m bigint;
	-- Portions, so that a first purge of years of records holds no lock long.
	portion integer := 5000;
BEGIN
	DELETE FROM sbc.binding WHERE expires_at < now() - interval '1 hour';
	DELETE FROM sbc.config_status WHERE version NOT IN
		(SELECT s.version FROM sbc.config_status s ORDER BY s.version DESC LIMIT 1000);
	IF keep_days <= 0 THEN
		RETURN 0;
	END IF;
	DELETE FROM sbc.cdr WHERE call IN (SELECT c.call FROM sbc.cdr c
		WHERE c.started_at < now() - make_interval(days => keep_days) LIMIT portion);
	GET DIAGNOSTICS m = ROW_COUNT;
	n := n + m;
	DELETE FROM sbc.event WHERE key IN (SELECT e.key FROM sbc.event e
		WHERE e.at < now() - make_interval(days => keep_days) LIMIT portion);
	GET DIAGNOSTICS m = ROW_COUNT;
	n := n + m;
	DELETE FROM sbc.ban WHERE key IN (SELECT b.key FROM sbc.ban b
		WHERE b.until < now() - make_interval(days => keep_days) LIMIT portion);
	GET DIAGNOSTICS m = ROW_COUNT;
	RETURN n + m;
END $$;
COMMENT ON FUNCTION sbc.records_purge(integer) IS
	'For authd: deletes CDRs, events and bans that are older than this many days (0 = none), a portion at a time';
REVOKE ALL ON FUNCTION sbc.records_purge(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.records_purge(integer) TO sbc_authd;

CREATE TRIGGER notify_digest_insert AFTER INSERT ON sbc.account
	FOR EACH ROW WHEN (NEW.digest IS NOT NULL) EXECUTE FUNCTION sbc.notify_config();
CREATE TRIGGER notify_digest_update AFTER UPDATE OF digest, realm ON sbc.account
	FOR EACH ROW WHEN (OLD.digest IS DISTINCT FROM NEW.digest OR OLD.realm <> NEW.realm)
	EXECUTE FUNCTION sbc.notify_config();
CREATE TRIGGER notify_digest_delete AFTER DELETE ON sbc.account
	FOR EACH ROW WHEN (OLD.digest IS NOT NULL) EXECUTE FUNCTION sbc.notify_config();
