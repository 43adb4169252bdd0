-- SPDX-License-Identifier: Apache-2.0
-- News for authd and history for people. PostgreSQL sends equal notifications
-- of one transaction once and only after it committed, so statement triggers
-- may name the same one as often as they like.

CREATE FUNCTION sbc.notify_config() RETURNS trigger
	LANGUAGE plpgsql AS $$
BEGIN
	NOTIFY sbc_config;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.notify_config() IS 'Tells authd that settings changed';

-- One notification per account, but a transaction that touches more than a
-- few hundred says "all" once. The count lives in a setting of the transaction.
CREATE FUNCTION sbc.notify_accounts(ids bigint[]) RETURNS void
	LANGUAGE plpgsql AS $$
DECLARE
	told integer := coalesce(nullif(current_setting('sbc.accounts_told', true), ''), '0')::integer;
	one bigint;
BEGIN
	IF ids IS NULL OR told > 300 THEN
		RETURN;
	END IF;
	told := told + cardinality(ids);
	PERFORM set_config('sbc.accounts_told', told::text, true);
	IF told > 300 THEN
		PERFORM pg_notify('sbc_account', 'all');
		RETURN;
	END IF;
	FOREACH one IN ARRAY ids LOOP
		PERFORM pg_notify('sbc_account', one::text);
	END LOOP;
END $$;
COMMENT ON FUNCTION sbc.notify_accounts(bigint[]) IS 'Tells authd which accounts changed; "all" after some hundred in one transaction';

CREATE FUNCTION sbc.notify_account_new() RETURNS trigger
	LANGUAGE plpgsql AS $$
BEGIN
	IF TG_ARGV[0] = 'id' THEN
		PERFORM sbc.notify_accounts((SELECT array_agg(id) FROM (SELECT id FROM new_rows LIMIT 301) x));
	ELSE
		PERFORM sbc.notify_accounts((SELECT array_agg(DISTINCT account)
			FROM (SELECT account FROM new_rows LIMIT 901) x));
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.notify_account_new() IS 'Statement trigger: accounts of inserted or updated rows';

CREATE FUNCTION sbc.notify_account_old() RETURNS trigger
	LANGUAGE plpgsql AS $$
BEGIN
	IF TG_ARGV[0] = 'id' THEN
		PERFORM sbc.notify_accounts((SELECT array_agg(id) FROM (SELECT id FROM old_rows LIMIT 301) x));
	ELSE
		PERFORM sbc.notify_accounts((SELECT array_agg(DISTINCT account)
			FROM (SELECT account FROM old_rows LIMIT 901) x));
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.notify_account_old() IS 'Statement trigger: accounts of updated or deleted rows';

CREATE FUNCTION sbc.notify_ban() RETURNS trigger
	LANGUAGE plpgsql AS $$
BEGIN
	NOTIFY sbc_ban;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.notify_ban() IS 'Tells authd that a ban was lifted';
CREATE TRIGGER notify_ban AFTER UPDATE OR DELETE ON sbc.ban
	FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_ban();

-- Columns that must never be copied anywhere.
CREATE FUNCTION sbc.history_write() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	secret text[] := '{ha1,sealed,ha1_md5,ha1_sha256,ha1_sha512_256}';
	before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - secret END;
	after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - secret END;
BEGIN
	IF before IS DISTINCT FROM after THEN
		INSERT INTO sbc.history (table_name, action, old, new)
		VALUES (TG_TABLE_NAME, lower(TG_OP), before, after);
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.history_write() IS 'Writes a row of sbc.history, without secrets';

DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['codec_list', 'codec_list_entry', 'realm', 'realm_address',
			'realm_acl', 'trunk', 'trunk_source', 'trunk_target', 'trunk_media_network',
			'number_rule', 'header_rule', 'trunk_credential', 'route', 'route_target',
			'blocked_caller', 'setting'] LOOP
		EXECUTE format('CREATE TRIGGER notify_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
			ON sbc.%I FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_config()', t);
	END LOOP;
	FOREACH t IN ARRAY ARRAY['account', 'account_number', 'account_acl', 'account_secret'] LOOP
		EXECUTE format('CREATE TRIGGER notify_insert AFTER INSERT ON sbc.%I
			REFERENCING NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_new(%L)', t,
			CASE t WHEN 'account' THEN 'id' ELSE 'account' END);
		EXECUTE format('CREATE TRIGGER notify_update AFTER UPDATE ON sbc.%I
			REFERENCING NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_new(%L)', t,
			CASE t WHEN 'account' THEN 'id' ELSE 'account' END);
		EXECUTE format('CREATE TRIGGER notify_update_old AFTER UPDATE ON sbc.%I
			REFERENCING OLD TABLE AS old_rows
			FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_old(%L)', t,
			CASE t WHEN 'account' THEN 'id' ELSE 'account' END);
		EXECUTE format('CREATE TRIGGER notify_delete AFTER DELETE ON sbc.%I
			REFERENCING OLD TABLE AS old_rows
			FOR EACH STATEMENT EXECUTE FUNCTION sbc.notify_account_old(%L)', t,
			CASE t WHEN 'account' THEN 'id' ELSE 'account' END);
	END LOOP;
	FOREACH t IN ARRAY ARRAY['codec_list', 'codec_list_entry', 'realm', 'realm_address',
			'realm_acl', 'trunk', 'trunk_source', 'trunk_target', 'trunk_media_network',
			'number_rule', 'header_rule', 'trunk_credential', 'route', 'route_target',
			'blocked_caller', 'setting', 'account', 'account_number', 'account_acl',
			'account_secret'] LOOP
		EXECUTE format('CREATE TRIGGER history AFTER INSERT OR UPDATE OR DELETE
			ON sbc.%I FOR EACH ROW EXECUTE FUNCTION sbc.history_write()', t);
	END LOOP;
END $$;
