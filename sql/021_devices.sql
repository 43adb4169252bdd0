-- SPDX-License-Identifier: Apache-2.0
-- Realms on network devices: an interface, a VLAN or a VRF to which the sockets
-- of an address are bound. What Geolocation may carry.

CREATE FUNCTION sbc.is_device(name text) RETURNS boolean
	LANGUAGE sql IMMUTABLE AS $$
	SELECT name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$' AND name ~ '[A-Za-z]'
$$;
COMMENT ON FUNCTION sbc.is_device(text) IS 'Is this the name of a network device, such as eth1 or eth1.20?';

ALTER TABLE sbc.realm_address
	ADD COLUMN device text
		CONSTRAINT "a device has a name of 1 to 15 letters, digits, _ . -, such as eth1.20"
		CHECK (sbc.is_device(device)),
	ADD COLUMN media_device text
		CONSTRAINT "a device for media has a name of 1 to 15 letters, digits, _ . -"
		CHECK (sbc.is_device(media_device));
COMMENT ON COLUMN sbc.realm_address.device IS 'Network device (interface, VLAN or VRF) that the sockets are bound to: what arrives by another one is not heard; empty = any. Use sbc.set_device()';
COMMENT ON COLUMN sbc.realm_address.media_device IS 'The same for media, where its address is on another device; empty = device';

-- A media address is one place, whichever rows name it. Deferred: the rows of a
-- realm may be changed one after the other.
CREATE FUNCTION sbc.realm_address_device() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	other record;
BEGIN
	SELECT a.media, coalesce(a.media_device, a.device, 'any') AS one,
			coalesce(b.media_device, b.device, 'any') AS two
		INTO other
		FROM sbc.realm_address a JOIN sbc.realm_address b ON b.media = a.media
		WHERE a.id = NEW.id AND coalesce(b.media_device, b.device, '')
			<> coalesce(a.media_device, a.device, '')
		LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'media address % would be on two devices: % and %', host(other.media),
				other.one, other.two
			USING HINT = 'Set the device for all rows with this address: SELECT sbc.set_device(realm, device).',
				ERRCODE = 'check_violation';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION sbc.realm_address_device() IS 'Refuses one media address on two devices';
CREATE CONSTRAINT TRIGGER one_device AFTER INSERT OR UPDATE ON sbc.realm_address
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sbc.realm_address_device();

CREATE FUNCTION sbc.set_device(realm text, device text, address inet DEFAULT NULL)
	RETURNS integer LANGUAGE plpgsql SET search_path = sbc, public, pg_temp AS $$
DECLARE
	n integer;
BEGIN
	UPDATE sbc.realm_address a SET device = nullif(set_device.device, '')
	WHERE a.realm = sbc.realm_id(set_device.realm)
		AND (set_device.address IS NULL OR a.address = set_device.address);
	GET DIAGNOSTICS n = ROW_COUNT;
	IF n = 0 THEN
		RAISE EXCEPTION 'realm % has no address %', set_device.realm,
				coalesce(host(set_device.address), 'at all')
			USING HINT = 'SELECT * FROM sbc.realm_address;', ERRCODE = 'no_data_found';
	END IF;
	RETURN n;
END $$;
COMMENT ON FUNCTION sbc.set_device(text, text, inet) IS
	'Binds a realm, or one of its addresses, to a network device: SELECT sbc.set_device(''outside'', ''eth1''). NULL = any device. Returns how many rows';

CREATE OR REPLACE VIEW sbc.authd_realm_address AS
SELECT realm, sbc.address_port(address, port) AS listen, transport,
	coalesce(advertised_sip, '') AS advertised_sip, host(media) AS media,
	coalesce(host(advertised_media), '') AS advertised_media,
	array_to_string(certificates, ' ') AS certificates, client_ca,
	coalesce(device, '') AS device,
	coalesce(media_device, device, '') AS media_device
FROM sbc.realm_address ORDER BY realm, id;

REVOKE ALL ON FUNCTION sbc.is_device(text), sbc.realm_address_device(),
	sbc.set_device(text, text, inet) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.is_device(text), sbc.set_device(text, text, inet) TO sbc_admin;

-- ----------------------------------------------------------------- headers

COMMENT ON COLUMN sbc.header_rule.action IS
	'add, set, remove; carry: let User-to-User, P-Early-Media, Identity, History-Info or (in emergency calls: the location in the body, and https, sips and pres URIs that name nothing of the inside) Geolocation through, which stop here otherwise';

-- ------------------------------------------------------------------ dry run

ALTER FUNCTION sbc.check_config() RENAME TO check_config_trunks;
COMMENT ON FUNCTION sbc.check_config_trunks() IS 'Part of sbc.check_config()';

CREATE FUNCTION sbc.check_config() RETURNS TABLE (severity text, what text, problem text, hint text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
	SELECT * FROM sbc.check_config_trunks()
	UNION ALL
	SELECT 'error', 'realm ' || r.name,
		format('%s is a link-local address and has no device', host(a.address)),
		format('SELECT sbc.set_device(%L, ''eth1'', %L);', r.name, host(a.address))
	FROM sbc.realm_address a JOIN sbc.realm r ON r.id = a.realm
	WHERE a.device IS NULL AND a.address <<= 'fe80::/10'
	UNION ALL
	SELECT 'warning', 'realm ' || r.name,
		format('on %s SIP is bound to device %s and media to %s', host(a.address),
			coalesce(min(a.device), 'any'), coalesce(min(a.media_device), min(a.device), 'any')),
		format('SELECT sbc.set_device(%L, %L); or clear media_device', r.name, min(a.device))
	FROM sbc.realm_address a JOIN sbc.realm r ON r.id = a.realm
	WHERE a.address = a.media
		AND coalesce(a.device, '') <> coalesce(a.media_device, a.device, '')
	GROUP BY r.name, a.address
	UNION ALL
	SELECT 'warning', 'realm ' || r.name,
		format('it is bound to a device with %s only', string_agg(DISTINCT host(a.address), ', ')),
		'An address without a device answers what arrives on any: SELECT sbc.set_device(realm, device).'
	FROM sbc.realm_address a JOIN sbc.realm r ON r.id = a.realm
	WHERE a.device IS NOT NULL AND EXISTS (SELECT FROM sbc.realm_address b
		WHERE b.realm = a.realm AND b.device IS NULL)
	GROUP BY r.name
	UNION ALL
	SELECT 'warning', format('realm %s', r.name),
		format('it is on device %s, where realm %s is, too: the two are told apart by addresses only',
			min(a.device), s.name),
		'Give each realm a device of its own, or keep the networks apart by access lists.'
	FROM sbc.realm_address a JOIN sbc.realm r ON r.id = a.realm
		JOIN sbc.realm_address b ON b.device = a.device
		JOIN sbc.realm s ON s.id = b.realm AND s.id > r.id
	WHERE r.zone <> s.zone
	GROUP BY r.name, s.name
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION sbc.check_config() IS
	'Dry run: every problem of the settings with a hint; works inside a transaction before COMMIT. No row = all is well';
REVOKE ALL ON FUNCTION sbc.check_config() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sbc.check_config() TO sbc_authd, sbc_viewer, sbc_admin;
