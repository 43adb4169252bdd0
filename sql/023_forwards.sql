-- SPDX-License-Identifier: Apache-2.0
-- What a phone's own call forwarding does, and which accounts may use texts.

ALTER TABLE sbc.account
	ADD COLUMN forwards text NOT NULL DEFAULT 'auto'
		CONSTRAINT "forwards is auto, pbx, follow or refuse"
		CHECK (forwards IN ('auto', 'pbx', 'follow', 'refuse')),
	ADD COLUMN allow_message boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN sbc.account.forwards IS 'A phone that forwards its calls by itself (302): pbx = a PBX that called is told where, other calls are refused; follow = the call goes on there with the rights and limits of the account; auto = pbx for calls from a PBX, follow for others; refuse';
COMMENT ON COLUMN sbc.account.allow_message IS 'It may send and get texts (MESSAGE), where both realms allow them';

-- At the end of whatever columns the view has by now.
DO $$
DECLARE
	old text := pg_get_viewdef('sbc.authd_account'::regclass);
	new text := regexp_replace(old, '\s+FROM\s+(sbc\.)?account a;\s*$',
		', a.forwards, a.allow_message FROM sbc.account a');
BEGIN
	IF new = old THEN
		RAISE EXCEPTION 'sbc.authd_account is not a view of sbc.account a';
	END IF;
	EXECUTE 'CREATE OR REPLACE VIEW sbc.authd_account AS ' || new;
END $$;

CREATE FUNCTION sbc.set_phone_forwards(extension text, forwards text DEFAULT 'auto')
	RETURNS text LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.account a SET forwards = set_phone_forwards.forwards
	WHERE a.id = sbc.account_id(set_phone_forwards.extension) RETURNING a.forwards
$$;
COMMENT ON FUNCTION sbc.set_phone_forwards(text, text) IS
	'What a phone''s own call forwarding does: SELECT sbc.set_phone_forwards(''101'', ''follow''); auto, pbx, follow or refuse';

CREATE FUNCTION sbc.allow_phone_messages(extension text, allow boolean DEFAULT true)
	RETURNS boolean LANGUAGE sql SET search_path = sbc, public, pg_temp AS $$
	UPDATE sbc.account a SET allow_message = allow
	WHERE a.id = sbc.account_id(allow_phone_messages.extension) RETURNING a.allow_message
$$;
COMMENT ON FUNCTION sbc.allow_phone_messages(text, boolean) IS
	'Lets a phone send and get texts, or not: SELECT sbc.allow_phone_messages(''101'', false); its realm has to allow them too';

REVOKE ALL ON FUNCTION sbc.set_phone_forwards(text, text),
	sbc.allow_phone_messages(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.set_phone_forwards(text, text),
	sbc.allow_phone_messages(text, boolean) TO sbc_admin;
