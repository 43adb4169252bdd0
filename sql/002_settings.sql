-- SPDX-License-Identifier: Apache-2.0
-- What sbc works by: codecs, realms, trunks, routes, block list, settings.
-- authd reads all of it in one transaction and hands it to sbc as one set.

-- ------------------------------------------------------------------ codecs

CREATE TABLE sbc.codec (
	name text NOT NULL,
	clock integer NOT NULL,
	channels integer NOT NULL DEFAULT 1,
	description text NOT NULL,
	PRIMARY KEY (name, clock)
);
COMMENT ON TABLE sbc.codec IS 'Audio codecs that this version can carry; filled by the schema, not by hand';
COMMENT ON COLUMN sbc.codec.name IS 'Name as in SDP rtpmap';
COMMENT ON COLUMN sbc.codec.clock IS 'RTP clock in Hz';
COMMENT ON COLUMN sbc.codec.channels IS 'Channels as in rtpmap';
COMMENT ON COLUMN sbc.codec.description IS 'What it is';

INSERT INTO sbc.codec (name, clock, channels, description) VALUES
	('PCMA', 8000, 1, 'G.711 A-law'),
	('PCMU', 8000, 1, 'G.711 mu-law'),
	('G722', 8000, 1, 'G.722 wideband (its RTP clock is 8000 by RFC 3551)'),
	('G729', 8000, 1, 'G.729 and its annexes'),
	('GSM', 8000, 1, 'GSM 06.10 full rate'),
	('iLBC', 8000, 1, 'iLBC (RFC 3952)'),
	('AMR', 8000, 1, 'AMR narrowband (RFC 4867)'),
	('AMR-WB', 16000, 1, 'AMR wideband (RFC 4867)'),
	('speex', 8000, 1, 'Speex narrowband'),
	('speex', 16000, 1, 'Speex wideband'),
	('opus', 48000, 2, 'Opus (RFC 7587)'),
	('CN', 8000, 1, 'Comfort noise (RFC 3389)'),
	('telephone-event', 8000, 1, 'Digits (RFC 4733)'),
	('telephone-event', 48000, 1, 'Digits beside Opus (RFC 4733)');

CREATE TABLE sbc.codec_list (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name sbc.name NOT NULL UNIQUE
);
COMMENT ON TABLE sbc.codec_list IS 'Named lists of allowed codecs; realms, trunks and accounts name one';
COMMENT ON COLUMN sbc.codec_list.id IS 'Number used between the processes';
COMMENT ON COLUMN sbc.codec_list.name IS 'Name used by people';

CREATE TABLE sbc.codec_list_entry (
	codec_list integer NOT NULL REFERENCES sbc.codec_list ON DELETE CASCADE,
	position integer NOT NULL
		CONSTRAINT "a codec list has 1 to 32 entries" CHECK (position BETWEEN 1 AND 32),
	codec text NOT NULL,
	clock integer NOT NULL,
	PRIMARY KEY (codec_list, position),
	CONSTRAINT "a codec stands in a list only once" UNIQUE (codec_list, codec, clock),
	CONSTRAINT "the codec must be one of the table sbc.codec"
		FOREIGN KEY (codec, clock) REFERENCES sbc.codec (name, clock)
);
COMMENT ON TABLE sbc.codec_list_entry IS 'Codecs of a list in order of preference; use sbc.set_codec_list()';
COMMENT ON COLUMN sbc.codec_list_entry.codec_list IS 'The list';
COMMENT ON COLUMN sbc.codec_list_entry.position IS '1 is the most preferred';
COMMENT ON COLUMN sbc.codec_list_entry.codec IS 'Codec name';
COMMENT ON COLUMN sbc.codec_list_entry.clock IS 'RTP clock in Hz';

-- ------------------------------------------------------------------ realms

CREATE TABLE sbc.realm (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name sbc.name NOT NULL UNIQUE,
	zone text NOT NULL
		CONSTRAINT "a zone is outside or inside" CHECK (zone IN ('outside', 'inside')),
	phones boolean NOT NULL DEFAULT false,
	strangers_invite boolean NOT NULL DEFAULT false,
	domains text[] NOT NULL DEFAULT '{}'
		CONSTRAINT "served domains are lower-case host names or addresses"
		CHECK (sbc.all_hosts(domains) AND cardinality(domains) <= 64),
	digest_realm text
		CONSTRAINT "a digest realm is 1 to 100 characters without quotes"
		CHECK (digest_realm ~ '^[A-Za-z0-9 ._@:-]{1,100}$'),
	digest text[] NOT NULL DEFAULT '{MD5}'
		CONSTRAINT "digest: MD5, SHA-256 or SHA-512-256, each [/auth-int]"
		CHECK (sbc.is_digest_list(digest)),
	codec_list integer NOT NULL REFERENCES sbc.codec_list,
	media_port_min sbc.port NOT NULL DEFAULT 16384,
	media_port_max sbc.port NOT NULL DEFAULT 32767,
	event_packages text[] NOT NULL DEFAULT '{}'
		CONSTRAINT "event packages are plain words" CHECK (sbc.all_words(event_packages)),
	allow_message boolean NOT NULL DEFAULT false,
	expires_min_s integer NOT NULL DEFAULT 60,
	expires_max_s integer NOT NULL DEFAULT 3600,
	expires_default_s integer NOT NULL DEFAULT 600,
	srtp sbc.srtp_policy NOT NULL DEFAULT 'none',
	srtp_insecure_signaling boolean NOT NULL DEFAULT false,
	max_contacts integer NOT NULL DEFAULT 5
		CONSTRAINT "1 to 20 contacts per account" CHECK (max_contacts BETWEEN 1 AND 20),
	CONSTRAINT "the media port range has at least 4 ports, lowest first"
		CHECK (media_port_max - media_port_min >= 3 AND media_port_min >= 1024),
	CONSTRAINT "expiry: 1 <= minimum <= default <= maximum <= 86400 s"
		CHECK (1 <= expires_min_s AND expires_min_s <= expires_default_s
			AND expires_default_s <= expires_max_s AND expires_max_s <= 86400),
	CONSTRAINT "a realm with phones needs a digest realm"
		CHECK (NOT phones OR digest_realm IS NOT NULL)
);
COMMENT ON TABLE sbc.realm IS 'Networks that the SBC stands in; use sbc.add_realm()';
COMMENT ON COLUMN sbc.realm.id IS 'Number used between the processes';
COMMENT ON COLUMN sbc.realm.name IS 'Name used by people';
COMMENT ON COLUMN sbc.realm.zone IS 'outside (public) or inside (PBX); topology is hidden between the two';
COMMENT ON COLUMN sbc.realm.phones IS 'Accounts may register here';
COMMENT ON COLUMN sbc.realm.strangers_invite IS 'An INVITE of an unknown source to a served domain is challenged instead of left unanswered';
COMMENT ON COLUMN sbc.realm.domains IS 'Domains that this realm serves, lower case; empty = the addresses of the realm';
COMMENT ON COLUMN sbc.realm.digest_realm IS 'Realm in the challenges; part of every stored HA1, so fixed once accounts exist';
COMMENT ON COLUMN sbc.realm.digest IS 'Challenges that a 401 carries, in this order; one is the compatible choice';
COMMENT ON COLUMN sbc.realm.codec_list IS 'Allowed codecs where trunk or account name no list of their own';
COMMENT ON COLUMN sbc.realm.media_port_min IS 'Lowest media port';
COMMENT ON COLUMN sbc.realm.media_port_max IS 'Highest media port';
COMMENT ON COLUMN sbc.realm.event_packages IS 'Packages that phones may subscribe to';
COMMENT ON COLUMN sbc.realm.allow_message IS 'MESSAGE requests are carried';
COMMENT ON COLUMN sbc.realm.expires_min_s IS 'Shortest registration in seconds; shorter ones get 423';
COMMENT ON COLUMN sbc.realm.expires_max_s IS 'Longest registration in seconds; longer ones are cut';
COMMENT ON COLUMN sbc.realm.expires_default_s IS 'Registration in seconds where the phone names none';
COMMENT ON COLUMN sbc.realm.srtp IS 'Media encryption of phones here: none, optional or required';
COMMENT ON COLUMN sbc.realm.srtp_insecure_signaling IS 'Media keys may travel over plain UDP or TCP (not recommended)';
COMMENT ON COLUMN sbc.realm.max_contacts IS 'Phones that may be registered for one account, where the account has no number of its own';

CREATE TABLE sbc.realm_address (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	realm integer NOT NULL REFERENCES sbc.realm ON DELETE CASCADE,
	address sbc.ip NOT NULL,
	port sbc.port NOT NULL DEFAULT 5060,
	transport sbc.transport NOT NULL DEFAULT 'udp',
	advertised_sip text
		CONSTRAINT "the advertised SIP address is a host or host:port"
		CHECK (sbc.is_host_port(advertised_sip)),
	media sbc.ip NOT NULL,
	advertised_media sbc.ip,
	CONSTRAINT "address, port and transport are already in use"
		UNIQUE (address, port, transport),
	CONSTRAINT "bind to a real address of this host, not to 0.0.0.0 or ::"
		CHECK (host(address) NOT IN ('0.0.0.0', '::') AND host(media) NOT IN ('0.0.0.0', '::')),
	CONSTRAINT "media and advertised media are of one address family"
		CHECK (advertised_media IS NULL OR family(media) = family(advertised_media))
);
COMMENT ON TABLE sbc.realm_address IS 'Addresses that a realm listens on; use sbc.add_realm_address()';
COMMENT ON COLUMN sbc.realm_address.id IS 'Row number';
COMMENT ON COLUMN sbc.realm_address.realm IS 'The realm';
COMMENT ON COLUMN sbc.realm_address.address IS 'Local address for SIP';
COMMENT ON COLUMN sbc.realm_address.port IS 'Local port for SIP';
COMMENT ON COLUMN sbc.realm_address.transport IS 'udp, tcp, tls, ws or wss';
COMMENT ON COLUMN sbc.realm_address.advertised_sip IS 'Host or host:port in Via and Contact, where a NAT stands before the SBC; empty = the local one';
COMMENT ON COLUMN sbc.realm_address.media IS 'Local address for media';
COMMENT ON COLUMN sbc.realm_address.advertised_media IS 'Address in SDP, where a NAT stands before the SBC; empty = the local one';

CREATE TABLE sbc.realm_acl (
	realm integer NOT NULL REFERENCES sbc.realm ON DELETE CASCADE,
	network cidr NOT NULL,
	PRIMARY KEY (realm, network)
);
COMMENT ON TABLE sbc.realm_acl IS 'Networks that may talk to a realm; no row = everybody. Use sbc.add_acl()';
COMMENT ON COLUMN sbc.realm_acl.realm IS 'The realm';
COMMENT ON COLUMN sbc.realm_acl.network IS 'Allowed network';

-- ------------------------------------------------------------------ trunks

CREATE TABLE sbc.trunk (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name sbc.name NOT NULL UNIQUE,
	realm integer NOT NULL REFERENCES sbc.realm,
	enabled boolean NOT NULL DEFAULT true,
	codec_list integer REFERENCES sbc.codec_list,
	srtp sbc.srtp_policy NOT NULL DEFAULT 'none',
	max_calls sbc.amount NOT NULL DEFAULT 0,
	max_calls_per_s sbc.amount NOT NULL DEFAULT 0,
	host text CONSTRAINT "the trunk's host is a host or host:port"
		CHECK (sbc.is_host_port(host)),
	domain text CONSTRAINT "the trunk's domain is a host name or an address"
		CHECK (sbc.is_host(domain)),
	called_from text NOT NULL DEFAULT 'request_uri'
		CONSTRAINT "called_from: request_uri, to, p_called_party_id or diversion"
		CHECK (called_from IN ('request_uri', 'to', 'p_called_party_id', 'diversion')),
	caller_from text NOT NULL DEFAULT 'from'
		CONSTRAINT "caller_from: from, p_asserted_identity, p_preferred_identity"
		CHECK (caller_from IN ('from', 'p_asserted_identity', 'p_preferred_identity')),
	caller_to text NOT NULL DEFAULT 'from'
		CONSTRAINT "caller_to: from, p_asserted_identity or p_preferred_identity"
		CHECK (caller_to IN ('from', 'p_asserted_identity', 'p_preferred_identity')),
	registers boolean NOT NULL DEFAULT false,
	register_user text
		CONSTRAINT "a user name is 1 to 100 characters of a SIP user part"
		CHECK (register_user ~ '^[A-Za-z0-9._~!*''()&=+$,;?/%-]{1,100}$'),
	register_expires_s integer NOT NULL DEFAULT 600
		CONSTRAINT "a registration lasts 30 to 86400 seconds"
		CHECK (register_expires_s BETWEEN 30 AND 86400),
	options_interval_s integer NOT NULL DEFAULT 0
		CONSTRAINT "the probe interval is 0 (none) or 5 to 3600 seconds"
		CHECK (options_interval_s = 0 OR options_interval_s BETWEEN 5 AND 3600),
	max_duration_s sbc.amount NOT NULL DEFAULT 0,
	session_expires_s integer NOT NULL DEFAULT 1800
		CONSTRAINT "the session timer is 0 (off) or 90 to 86400 seconds (RFC 4028)"
		CHECK (session_expires_s = 0 OR session_expires_s BETWEEN 90 AND 86400),
	ring_timeout_s integer NOT NULL DEFAULT 120
		CONSTRAINT "ringing lasts 5 to 600 seconds" CHECK (ring_timeout_s BETWEEN 5 AND 600),
	follow_redirects boolean NOT NULL DEFAULT false,
	groups integer[] NOT NULL DEFAULT '{}',
	CONSTRAINT "a trunk that registers needs a register_user"
		CHECK (NOT registers OR register_user IS NOT NULL)
);
COMMENT ON TABLE sbc.trunk IS 'ITSPs, and PBXs (trunks of an inside realm); use sbc.add_trunk() or sbc.add_trunk_registration()';
COMMENT ON COLUMN sbc.trunk.id IS 'Number used between the processes';
COMMENT ON COLUMN sbc.trunk.name IS 'Name used by people';
COMMENT ON COLUMN sbc.trunk.realm IS 'Realm whose addresses it is reached from';
COMMENT ON COLUMN sbc.trunk.enabled IS 'false: no calls either way';
COMMENT ON COLUMN sbc.trunk.codec_list IS 'Allowed codecs; empty = the realm''s list';
COMMENT ON COLUMN sbc.trunk.srtp IS 'Media encryption: none, optional or required';
COMMENT ON COLUMN sbc.trunk.max_calls IS 'Calls in progress; 0 = no limit';
COMMENT ON COLUMN sbc.trunk.max_calls_per_s IS 'New calls per second; 0 = no limit';
COMMENT ON COLUMN sbc.trunk.host IS 'Our host in Contact, Via, From and OPTIONS; empty = the realm''s advertised address';
COMMENT ON COLUMN sbc.trunk.domain IS 'Domain in From and To of our requests; empty = host';
COMMENT ON COLUMN sbc.trunk.called_from IS 'Where the called number of its calls stands';
COMMENT ON COLUMN sbc.trunk.caller_from IS 'Where the caller''s number of its calls stands';
COMMENT ON COLUMN sbc.trunk.caller_to IS 'Where we put our callers'' numbers';
COMMENT ON COLUMN sbc.trunk.registers IS 'The SBC registers at this trunk; authd has the password';
COMMENT ON COLUMN sbc.trunk.register_user IS 'User part of our address of record there';
COMMENT ON COLUMN sbc.trunk.register_expires_s IS 'Registration in seconds that we ask for';
COMMENT ON COLUMN sbc.trunk.options_interval_s IS 'Seconds between health probes (OPTIONS); 0 = none';
COMMENT ON COLUMN sbc.trunk.max_duration_s IS 'Longest call in seconds; 0 = no limit';
COMMENT ON COLUMN sbc.trunk.session_expires_s IS 'Session timer in seconds; 0 = off';
COMMENT ON COLUMN sbc.trunk.ring_timeout_s IS 'Seconds until a ringing call is given up';
COMMENT ON COLUMN sbc.trunk.follow_redirects IS '3xx answers are followed, within the trunk''s own targets';
COMMENT ON COLUMN sbc.trunk.groups IS 'Numbers of the trunk groups that it belongs to';

CREATE TABLE sbc.trunk_source (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	trunk integer NOT NULL REFERENCES sbc.trunk ON DELETE CASCADE,
	network cidr NOT NULL,
	local_address sbc.ip,
	local_port sbc.port,
	transport sbc.transport NOT NULL DEFAULT 'udp',
	CONSTRAINT "the trunk has this source already"
		UNIQUE NULLS NOT DISTINCT (trunk, network, local_address, local_port, transport),
	CONSTRAINT "a local port needs a local address"
		CHECK (local_port IS NULL OR local_address IS NOT NULL),
	CONSTRAINT "a source is at least /8 (IPv4) or /32 (IPv6)"
		CHECK (masklen(network) >= CASE family(network) WHEN 4 THEN 8 ELSE 32 END)
);
COMMENT ON TABLE sbc.trunk_source IS 'Where a trunk''s requests may come from: its identity is its source, never a header';
COMMENT ON COLUMN sbc.trunk_source.id IS 'Row number';
COMMENT ON COLUMN sbc.trunk_source.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.trunk_source.network IS 'Network or single address';
COMMENT ON COLUMN sbc.trunk_source.local_address IS 'Only on this local address; empty = any of the realm';
COMMENT ON COLUMN sbc.trunk_source.local_port IS 'Only on this local port; empty = any';
COMMENT ON COLUMN sbc.trunk_source.transport IS 'udp, tcp, tls, ws or wss';

CREATE TABLE sbc.trunk_target (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	trunk integer NOT NULL REFERENCES sbc.trunk ON DELETE CASCADE,
	host text NOT NULL
		CONSTRAINT "a target is an address or a lower-case host name" CHECK (sbc.is_host(host)),
	port integer NOT NULL DEFAULT 0
		CONSTRAINT "a target port is 0 (by DNS) or 1 to 65535" CHECK (port BETWEEN 0 AND 65535),
	transport sbc.transport NOT NULL DEFAULT 'udp',
	priority sbc.amount NOT NULL DEFAULT 100,
	weight sbc.amount NOT NULL DEFAULT 1,
	CONSTRAINT "the trunk has this target already" UNIQUE (trunk, host, port, transport)
);
COMMENT ON TABLE sbc.trunk_target IS 'Where calls to a trunk are sent';
COMMENT ON COLUMN sbc.trunk_target.id IS 'Row number';
COMMENT ON COLUMN sbc.trunk_target.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.trunk_target.host IS 'Address or host name';
COMMENT ON COLUMN sbc.trunk_target.port IS 'Port; 0 = by RFC 3263 (SRV records, or the default port)';
COMMENT ON COLUMN sbc.trunk_target.transport IS 'udp, tcp, tls, ws or wss';
COMMENT ON COLUMN sbc.trunk_target.priority IS 'Lower ones are tried first';
COMMENT ON COLUMN sbc.trunk_target.weight IS 'Share among targets of one priority';

CREATE TABLE sbc.trunk_media_network (
	trunk integer NOT NULL REFERENCES sbc.trunk ON DELETE CASCADE,
	network cidr NOT NULL,
	PRIMARY KEY (trunk, network)
);
COMMENT ON TABLE sbc.trunk_media_network IS 'Networks that a trunk''s media may come from besides the address in its SDP';
COMMENT ON COLUMN sbc.trunk_media_network.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.trunk_media_network.network IS 'Network';

CREATE TABLE sbc.number_rule (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	trunk integer NOT NULL REFERENCES sbc.trunk ON DELETE CASCADE,
	scope text NOT NULL
		CONSTRAINT "scope: in_called, in_caller, out_called or out_caller"
		CHECK (scope IN ('in_called', 'in_caller', 'out_called', 'out_caller')),
	regex boolean NOT NULL DEFAULT false,
	match text NOT NULL DEFAULT '',
	replace text NOT NULL DEFAULT '',
	priority sbc.amount NOT NULL DEFAULT 100,
	CONSTRAINT "match is a prefix of + * # 0-9, or a regular expression"
		CHECK (CASE WHEN regex THEN sbc.is_regex(match) ELSE match ~ '^[+*#0-9]{0,32}$' END),
	CONSTRAINT "replace has + * # 0-9 only; with regex also \0 to \9"
		CHECK (length(replace) <= 64
			AND CASE WHEN regex THEN replace ~ '^([+*#0-9]|\\[0-9])*$'
				ELSE replace ~ '^[+*#0-9]*$' END)
);
COMMENT ON TABLE sbc.number_rule IS 'Rewrites numbers from (in) and to (out) a trunk; the first rule of a scope that matches is used';
COMMENT ON COLUMN sbc.number_rule.id IS 'Row number';
COMMENT ON COLUMN sbc.number_rule.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.number_rule.scope IS 'in_called, in_caller (normalise to E.164), out_called, out_caller (format for the trunk)';
COMMENT ON COLUMN sbc.number_rule.regex IS 'match is a POSIX extended regular expression, anchored at both ends; else a prefix';
COMMENT ON COLUMN sbc.number_rule.match IS 'What the rule looks for';
COMMENT ON COLUMN sbc.number_rule.replace IS 'Put in place of the prefix; with regex \0 to \9 are the groups';
COMMENT ON COLUMN sbc.number_rule.priority IS 'Lower ones are tried first';

CREATE TABLE sbc.header_rule (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	trunk integer NOT NULL REFERENCES sbc.trunk ON DELETE CASCADE,
	direction text NOT NULL
		CONSTRAINT "a header rule's direction is in or out" CHECK (direction IN ('in', 'out')),
	action text NOT NULL
		CONSTRAINT "a header rule's action is add, set or remove"
		CHECK (action IN ('add', 'set', 'remove')),
	name text NOT NULL
		CONSTRAINT "a header name is a token of up to 64 characters"
		CHECK (name ~ '^[A-Za-z0-9.!%*_+`''~-]{1,64}$'),
	value text NOT NULL DEFAULT ''
		CONSTRAINT "a header value is one line of up to 500 characters"
		CHECK (length(value) <= 500 AND value !~ '[[:cntrl:]]'),
	CONSTRAINT "this header belongs to the SBC and has no rule"
		CHECK (lower(name) NOT IN ('via', 'v', 'from', 'f', 'to', 't', 'call-id', 'i', 'cseq',
			'contact', 'm', 'route', 'record-route', 'max-forwards', 'content-length', 'l',
			'content-type', 'c', 'authorization', 'proxy-authorization',
			'www-authenticate', 'proxy-authenticate', 'require', 'proxy-require',
			'session-expires', 'x', 'min-se', 'path', 'service-route'))
);
COMMENT ON TABLE sbc.header_rule IS 'Adds, sets or removes a header of a trunk''s requests';
COMMENT ON COLUMN sbc.header_rule.id IS 'Row number; rules are applied in this order';
COMMENT ON COLUMN sbc.header_rule.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.header_rule.direction IS 'in: from the trunk to us; out: towards the trunk';
COMMENT ON COLUMN sbc.header_rule.action IS 'add, set or remove';
COMMENT ON COLUMN sbc.header_rule.name IS 'Header name';
COMMENT ON COLUMN sbc.header_rule.value IS 'Header value; ignored for remove';

CREATE TABLE sbc.trunk_credential (
	trunk integer PRIMARY KEY REFERENCES sbc.trunk ON DELETE CASCADE,
	username text NOT NULL
		CONSTRAINT "a credential's user name is 1 to 128 characters"
		CHECK (length(username) BETWEEN 1 AND 128 AND username !~ '["[:cntrl:]]'),
	digest_realm text
		CONSTRAINT "a credential's realm is up to 128 characters, no quotes"
		CHECK (length(digest_realm) BETWEEN 1 AND 128 AND digest_realm !~ '["[:cntrl:]]'),
	sealed bytea,
	ha1_md5 bytea,
	ha1_sha256 bytea,
	ha1_sha512_256 bytea,
	changed_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT "a credential is sealed, or its digest realm is known"
		CHECK (sealed IS NOT NULL OR (digest_realm IS NOT NULL AND ha1_md5 IS NOT NULL)),
	CONSTRAINT "an HA1 has the length of its hash"
		CHECK (length(ha1_md5) = 16 AND length(ha1_sha256) = 32 AND length(ha1_sha512_256) = 32)
);
COMMENT ON TABLE sbc.trunk_credential IS 'What authd answers a trunk''s challenge with; written by functions only';
COMMENT ON COLUMN sbc.trunk_credential.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.trunk_credential.username IS 'Digest user name';
COMMENT ON COLUMN sbc.trunk_credential.digest_realm IS 'Only challenges of this realm are answered; empty = any realm that the trunk''s own addresses name';
COMMENT ON COLUMN sbc.trunk_credential.sealed IS 'The password, encrypted for authd''s key: nobody else can read it';
COMMENT ON COLUMN sbc.trunk_credential.ha1_md5 IS 'HA1 by MD5, where the realm is known';
COMMENT ON COLUMN sbc.trunk_credential.ha1_sha256 IS 'HA1 by SHA-256, where the realm is known';
COMMENT ON COLUMN sbc.trunk_credential.ha1_sha512_256 IS 'HA1 by SHA-512/256, where the realm is known';
COMMENT ON COLUMN sbc.trunk_credential.changed_at IS 'When it was set';

CREATE TABLE sbc.seal_key (
	id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
	public_key bytea NOT NULL,
	published_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sbc.seal_key IS 'authd''s public key (OpenPGP): trunk passwords are encrypted with it before they are stored';
COMMENT ON COLUMN sbc.seal_key.id IS 'Always 1';
COMMENT ON COLUMN sbc.seal_key.public_key IS 'OpenPGP public key; the private half is in authd''s key file';
COMMENT ON COLUMN sbc.seal_key.published_at IS 'When authd wrote it';

-- ------------------------------------------------------------------ routes

CREATE TABLE sbc.route (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name sbc.name NOT NULL UNIQUE,
	priority sbc.amount NOT NULL DEFAULT 100,
	enabled boolean NOT NULL DEFAULT true,
	source text NOT NULL DEFAULT 'any'
		CONSTRAINT "a route's source is any, phones or trunk"
		CHECK (source IN ('any', 'phones', 'trunk')),
	source_trunk integer REFERENCES sbc.trunk ON DELETE CASCADE,
	called_regex boolean NOT NULL DEFAULT false,
	called_match text NOT NULL DEFAULT '',
	caller_match text NOT NULL DEFAULT ''
		CONSTRAINT "caller_match is a prefix of + * # 0-9"
		CHECK (caller_match ~ '^[+*#0-9]{0,32}$'),
	action text NOT NULL
		CONSTRAINT "a route's action is trunk, extension or reject"
		CHECK (action IN ('trunk', 'extension', 'reject')),
	failover_causes integer[] NOT NULL DEFAULT '{408,500,502,503,504}'
		CONSTRAINT "failover causes are SIP codes from 300 to 699"
		CHECK (sbc.all_sip_codes(failover_causes) AND cardinality(failover_causes) <= 64),
	timeout_s integer NOT NULL DEFAULT 8
		CONSTRAINT "a target gets 1 to 60 seconds for its first answer"
		CHECK (timeout_s BETWEEN 1 AND 60),
	reject_code integer NOT NULL DEFAULT 403
		CONSTRAINT "a reject code is a SIP code from 400 to 699"
		CHECK (reject_code BETWEEN 400 AND 699),
	emergency boolean NOT NULL DEFAULT false,
	CONSTRAINT "called_match is a prefix of + * # 0-9, or with regex an expression"
		CHECK (CASE WHEN called_regex THEN sbc.is_regex(called_match)
			ELSE called_match ~ '^[+*#0-9]{0,32}$' END),
	CONSTRAINT "a route from a trunk names it, others name none"
		CHECK ((source = 'trunk') = (source_trunk IS NOT NULL)),
	CONSTRAINT "an emergency route leads to a trunk"
		CHECK (NOT emergency OR action = 'trunk')
);
COMMENT ON TABLE sbc.route IS 'Where calls go: rows are tried by priority, the first that matches decides. Use sbc.add_route()';
COMMENT ON COLUMN sbc.route.id IS 'Number used between the processes';
COMMENT ON COLUMN sbc.route.name IS 'Name used by people';
COMMENT ON COLUMN sbc.route.priority IS 'Lower ones are tried first';
COMMENT ON COLUMN sbc.route.enabled IS 'false: as if the row were not there';
COMMENT ON COLUMN sbc.route.source IS 'any, phones (any phone) or trunk (source_trunk)';
COMMENT ON COLUMN sbc.route.source_trunk IS 'Only calls from this trunk';
COMMENT ON COLUMN sbc.route.called_regex IS 'called_match is a POSIX extended regular expression, anchored at both ends; else a prefix';
COMMENT ON COLUMN sbc.route.called_match IS 'Called number after normalisation; empty = all';
COMMENT ON COLUMN sbc.route.caller_match IS 'Prefix of the caller''s number; empty = all';
COMMENT ON COLUMN sbc.route.action IS 'trunk (see sbc.route_target), extension (the account with the called number or extension) or reject';
COMMENT ON COLUMN sbc.route.failover_causes IS 'SIP codes after which the next target is tried';
COMMENT ON COLUMN sbc.route.timeout_s IS 'Seconds that a target has for its first answer';
COMMENT ON COLUMN sbc.route.reject_code IS 'SIP code for action reject';
COMMENT ON COLUMN sbc.route.emergency IS 'Emergency call: passes all limits';

CREATE TABLE sbc.route_target (
	route integer NOT NULL REFERENCES sbc.route ON DELETE CASCADE,
	trunk integer NOT NULL REFERENCES sbc.trunk,
	priority sbc.amount NOT NULL DEFAULT 100,
	weight sbc.amount NOT NULL DEFAULT 1,
	PRIMARY KEY (route, trunk)
);
COMMENT ON TABLE sbc.route_target IS 'Trunks of a route';
COMMENT ON COLUMN sbc.route_target.route IS 'The route';
COMMENT ON COLUMN sbc.route_target.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.route_target.priority IS 'Lower ones are tried first';
COMMENT ON COLUMN sbc.route_target.weight IS 'Share among trunks of one priority';

CREATE TABLE sbc.blocked_caller (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	match text NOT NULL DEFAULT ''
		CONSTRAINT "a blocked caller is a prefix of + and 0-9"
		CHECK (match ~ '^\+?[0-9]{0,15}$'),
	anonymous boolean NOT NULL DEFAULT false,
	trunk integer REFERENCES sbc.trunk ON DELETE CASCADE,
	note sbc.label NOT NULL DEFAULT '',
	CONSTRAINT "a block names a number or anonymous callers, not both"
		CHECK ((match <> '') <> anonymous)
);
COMMENT ON TABLE sbc.blocked_caller IS 'Callers that are refused';
COMMENT ON COLUMN sbc.blocked_caller.id IS 'Row number';
COMMENT ON COLUMN sbc.blocked_caller.match IS 'Prefix of the caller''s number in E.164';
COMMENT ON COLUMN sbc.blocked_caller.anonymous IS 'Callers without a number';
COMMENT ON COLUMN sbc.blocked_caller.trunk IS 'Only from this trunk; empty = from all';
COMMENT ON COLUMN sbc.blocked_caller.note IS 'Why';

-- ---------------------------------------------------------------- settings

CREATE TABLE sbc.setting (
	name text PRIMARY KEY,
	value text NOT NULL,
	default_value text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('number', 'bool', 'text')),
	minimum bigint,
	maximum bigint,
	unit text NOT NULL DEFAULT '',
	description text NOT NULL
);
COMMENT ON TABLE sbc.setting IS 'Timers and limits: UPDATE sbc.setting SET value = ''...'' WHERE name = ''...''';
COMMENT ON COLUMN sbc.setting.name IS 'Name';
COMMENT ON COLUMN sbc.setting.value IS 'Value in force';
COMMENT ON COLUMN sbc.setting.default_value IS 'Value as shipped';
COMMENT ON COLUMN sbc.setting.kind IS 'number, bool or text';
COMMENT ON COLUMN sbc.setting.minimum IS 'Smallest number, or shortest text';
COMMENT ON COLUMN sbc.setting.maximum IS 'Largest number, or longest text';
COMMENT ON COLUMN sbc.setting.unit IS 'Unit of the value';
COMMENT ON COLUMN sbc.setting.description IS 'What it does';

CREATE FUNCTION sbc.setting_check() RETURNS trigger
	LANGUAGE plpgsql AS $$
DECLARE
	fits boolean;
BEGIN
	IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NEW.name <> OLD.name) THEN
		RAISE EXCEPTION 'the settings'' names are fixed'
			USING HINT = 'Only the column value can be changed.',
				ERRCODE = 'check_violation';
	END IF;
	fits := CASE NEW.kind
		WHEN 'number' THEN NEW.value ~ '^[0-9]{1,10}$'
			AND NEW.value::bigint BETWEEN NEW.minimum AND NEW.maximum
		WHEN 'bool' THEN NEW.value IN ('true', 'false')
		ELSE length(NEW.value) BETWEEN NEW.minimum AND NEW.maximum
			AND NEW.value !~ '[[:cntrl:]]' END;
	IF NOT fits THEN
		RAISE EXCEPTION 'setting %: the value "%" does not fit', NEW.name, left(NEW.value, 40)
			USING HINT = CASE NEW.kind
				WHEN 'number' THEN format('It is a number from %s to %s%s.',
					NEW.minimum, NEW.maximum, rtrim(' ' || NEW.unit))
				WHEN 'bool' THEN 'It is true or false.'
				ELSE format('It is a text of %s to %s characters.',
					NEW.minimum, NEW.maximum) END,
				ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION sbc.setting_check() IS 'Refuses a setting that does not fit its kind and range';
CREATE TRIGGER setting_check BEFORE INSERT OR UPDATE OR DELETE ON sbc.setting
	FOR EACH ROW EXECUTE FUNCTION sbc.setting_check();
