-- SPDX-License-Identifier: Apache-2.0
-- Accounts (one per extension), their numbers and their secrets. A password is
-- never stored: only HA1 = H(user:realm:password), one per algorithm, each with
-- the digest realm that it was made for.

CREATE TABLE sbc.account (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	username text NOT NULL
		CONSTRAINT "the user name is already in use" UNIQUE
		CONSTRAINT "a user name contains no digit, so no extension and no number"
		CHECK (username ~ '^[a-z][a-z._-]{7,63}$'),
	extension text NOT NULL
		CONSTRAINT "the extension is already in use" UNIQUE
		CONSTRAINT "an extension is 1 to 15 of 0-9 * #"
		CHECK (extension ~ '^[0-9*#]{1,15}$'),
	display_name sbc.label NOT NULL DEFAULT '',
	caller_number sbc.e164,
	realm integer NOT NULL REFERENCES sbc.realm,
	enabled boolean NOT NULL DEFAULT true,
	nat text NOT NULL DEFAULT 'auto'
		CONSTRAINT "nat is auto, always or never" CHECK (nat IN ('auto', 'always', 'never')),
	srtp sbc.srtp_policy NOT NULL DEFAULT 'none',
	digest text[]
		CONSTRAINT "digest: MD5, SHA-256 or SHA-512-256, each [/auth-int]"
		CHECK (sbc.is_digest_list(digest)),
	codec_list integer REFERENCES sbc.codec_list,
	max_contacts integer NOT NULL DEFAULT 0
		CONSTRAINT "0 (the realm's) to 20 contacts" CHECK (max_contacts BETWEEN 0 AND 20),
	max_calls sbc.amount NOT NULL DEFAULT 0,
	max_calls_per_hour sbc.amount NOT NULL DEFAULT 0,
	max_minutes_per_day sbc.amount NOT NULL DEFAULT 0,
	destination_classes text[] NOT NULL DEFAULT '{}'
		CONSTRAINT "destination classes are plain words"
		CHECK (sbc.all_words(destination_classes) AND cardinality(destination_classes) <= 32),
	max_duration_s sbc.amount NOT NULL DEFAULT 0,
	expires_max_s sbc.amount NOT NULL DEFAULT 0,
	keepalive_s integer NOT NULL DEFAULT 0
		CONSTRAINT "keep-alive is 0 (none) or 10 to 300 seconds"
		CHECK (keepalive_s = 0 OR keepalive_s BETWEEN 10 AND 300),
	surrogate_trunk integer REFERENCES sbc.trunk,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sbc.account IS 'Phones: one account per extension; use sbc.add_phone()';
COMMENT ON COLUMN sbc.account.id IS 'Number used between the processes and in CDRs';
COMMENT ON COLUMN sbc.account.username IS 'Digest user name; random, and says nothing about extension or number';
COMMENT ON COLUMN sbc.account.extension IS 'Short number inside the house';
COMMENT ON COLUMN sbc.account.display_name IS 'Name that called phones show';
COMMENT ON COLUMN sbc.account.caller_number IS 'Number shown to trunks; empty = the account''s first number';
COMMENT ON COLUMN sbc.account.realm IS 'Realm that it registers in';
COMMENT ON COLUMN sbc.account.enabled IS 'false: it can neither register nor call nor be called';
COMMENT ON COLUMN sbc.account.nat IS 'auto (find out per registration), always or never';
COMMENT ON COLUMN sbc.account.srtp IS 'Media encryption: none, optional or required';
COMMENT ON COLUMN sbc.account.digest IS 'Challenges for this account; empty = the realm''s';
COMMENT ON COLUMN sbc.account.codec_list IS 'Allowed codecs; empty = the realm''s list';
COMMENT ON COLUMN sbc.account.max_contacts IS 'Phones registered at once; 0 = the realm''s number';
COMMENT ON COLUMN sbc.account.max_calls IS 'Calls in progress; 0 = no limit';
COMMENT ON COLUMN sbc.account.max_calls_per_hour IS 'Calls begun per hour; 0 = no limit';
COMMENT ON COLUMN sbc.account.max_minutes_per_day IS 'Minutes talked per day; 0 = no limit';
COMMENT ON COLUMN sbc.account.destination_classes IS 'Classes of destinations that it may call; empty = all';
COMMENT ON COLUMN sbc.account.max_duration_s IS 'Longest call in seconds; 0 = no limit';
COMMENT ON COLUMN sbc.account.expires_max_s IS 'Longest registration in seconds; 0 = the realm''s';
COMMENT ON COLUMN sbc.account.keepalive_s IS 'Seconds between keep-alives to a phone behind NAT; 0 = as the SBC decides';
COMMENT ON COLUMN sbc.account.surrogate_trunk IS 'PBX where the SBC registers the extension while the phone is registered here; empty = none';
COMMENT ON COLUMN sbc.account.created_at IS 'When it was added';
CREATE INDEX account_realm ON sbc.account (realm);
CREATE INDEX account_own_digest ON sbc.account (realm, digest) WHERE digest IS NOT NULL;

CREATE TABLE sbc.account_number (
	number sbc.e164 PRIMARY KEY,
	account bigint NOT NULL REFERENCES sbc.account ON DELETE CASCADE
);
COMMENT ON TABLE sbc.account_number IS 'Telephone numbers (DIDs) that ring an account; use sbc.add_number()';
COMMENT ON COLUMN sbc.account_number.number IS 'Number in E.164';
COMMENT ON COLUMN sbc.account_number.account IS 'The account';
CREATE INDEX account_number_account ON sbc.account_number (account);

CREATE TABLE sbc.account_acl (
	account bigint NOT NULL REFERENCES sbc.account ON DELETE CASCADE,
	network cidr NOT NULL,
	PRIMARY KEY (account, network)
);
COMMENT ON TABLE sbc.account_acl IS 'Networks that an account may be used from; no row = everywhere';
COMMENT ON COLUMN sbc.account_acl.account IS 'The account';
COMMENT ON COLUMN sbc.account_acl.network IS 'Allowed network';

CREATE TABLE sbc.account_secret (
	account bigint NOT NULL REFERENCES sbc.account ON DELETE CASCADE,
	algorithm text NOT NULL
		CONSTRAINT "an algorithm is MD5, SHA-256 or SHA-512-256"
		CHECK (algorithm IN ('MD5', 'SHA-256', 'SHA-512-256')),
	digest_realm text NOT NULL,
	ha1 bytea NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (account, algorithm),
	CONSTRAINT "an HA1 has the length of its hash"
		CHECK (length(ha1) = CASE algorithm WHEN 'MD5' THEN 16 ELSE 32 END)
);
COMMENT ON TABLE sbc.account_secret IS 'HA1 values, readable by authd alone; use sbc.new_password()';
COMMENT ON COLUMN sbc.account_secret.account IS 'The account';
COMMENT ON COLUMN sbc.account_secret.algorithm IS 'MD5, SHA-256 or SHA-512-256';
COMMENT ON COLUMN sbc.account_secret.digest_realm IS 'Realm that the HA1 was made for';
COMMENT ON COLUMN sbc.account_secret.ha1 IS 'H(user:realm:password)';
COMMENT ON COLUMN sbc.account_secret.changed_at IS 'When the password was made';
CREATE INDEX account_secret_realm ON sbc.account_secret (digest_realm);

-- -------------------------------------------- a user name betrays no number

CREATE FUNCTION sbc.account_check() RETURNS trigger
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
BEGIN
	IF NEW.username ~ '[0-9*#]' THEN
		RAISE EXCEPTION 'the user name "%" contains a digit, * or #', left(NEW.username, 64)
			USING HINT = 'A user name must not contain an extension or a number: who knows a telephone number must not know a login. Leave the name to sbc.add_phone(), which makes a random one.',
				ERRCODE = 'check_violation';
	END IF;
	IF NOT (SELECT phones FROM sbc.realm WHERE id = NEW.realm) THEN
		RAISE EXCEPTION 'realm % takes no phones', (SELECT name FROM sbc.realm WHERE id = NEW.realm)
			USING HINT = 'UPDATE sbc.realm SET phones = true, digest_realm = ''...'' for it, or name another realm.',
				ERRCODE = 'check_violation';
	END IF;
	IF TG_OP = 'UPDATE' AND (NEW.username <> OLD.username
			OR (SELECT digest_realm FROM sbc.realm WHERE id = NEW.realm)
			IS DISTINCT FROM (SELECT digest_realm FROM sbc.realm WHERE id = OLD.realm))
			AND EXISTS (SELECT FROM sbc.account_secret WHERE account = NEW.id) THEN
		RAISE EXCEPTION 'the user name and the digest realm of an account are part of its password''s hash'
			USING HINT = 'Delete the phone and add it again: it gets a new password.',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.account_check() IS 'Refuses user names that could contain an extension or number, and changes that would break a stored HA1';
CREATE TRIGGER account_check BEFORE INSERT OR UPDATE OF username, extension, realm ON sbc.account
	FOR EACH ROW EXECUTE FUNCTION sbc.account_check();

-- -------------------------------------------- a digest realm in use is fixed

CREATE FUNCTION sbc.realm_check() RETURNS trigger
	LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n bigint;
BEGIN
	SELECT count(*) INTO n FROM sbc.account WHERE realm = OLD.id;
	IF n > 0 AND (NEW.digest_realm IS DISTINCT FROM OLD.digest_realm OR NOT NEW.phones) THEN
		RAISE EXCEPTION 'the digest realm "%" of realm % is in use by % account(s)',
				OLD.digest_realm, OLD.name, n
			USING HINT = 'It is part of every stored password hash. Make a new realm and add the phones there, or delete them first.',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.realm_check() IS 'Keeps the digest realm of a realm with accounts';
CREATE TRIGGER realm_check BEFORE UPDATE OF digest_realm, phones ON sbc.realm
	FOR EACH ROW EXECUTE FUNCTION sbc.realm_check();
