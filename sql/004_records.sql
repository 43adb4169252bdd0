-- SPDX-License-Identifier: Apache-2.0
-- What the daemons write: bans, bindings, CDRs, events, what became of a change
-- of settings; and who changed what. No foreign keys to settings: a record
-- outlives the trunk or phone that it speaks of.

CREATE TABLE sbc.reason (
	number integer PRIMARY KEY,
	text text NOT NULL,
	sentence text NOT NULL
);
COMMENT ON TABLE sbc.reason IS 'Why things were decided: the program''s own table, written by authd at its start';
COMMENT ON COLUMN sbc.reason.number IS 'Number in CDRs and events; never changes';
COMMENT ON COLUMN sbc.reason.text IS 'The word used in logs and metrics';
COMMENT ON COLUMN sbc.reason.sentence IS 'The sentence for humans';

CREATE TABLE sbc.ban (
	key text PRIMARY KEY,
	host inet NOT NULL,
	since timestamptz NOT NULL,
	until timestamptz NOT NULL,
	reason integer NOT NULL,
	failures integer NOT NULL DEFAULT 0,
	last_user text NOT NULL DEFAULT '',
	lifted_at timestamptz,
	lifted_by text
);
COMMENT ON TABLE sbc.ban IS 'Sources that gave wrong credentials too often; sbc drops them unread. Use sbc.ban_list and sbc.ban_lift()';
COMMENT ON COLUMN sbc.ban.key IS 'authd''s own key of the record';
COMMENT ON COLUMN sbc.ban.host IS 'Address, or /64 network for IPv6';
COMMENT ON COLUMN sbc.ban.since IS 'Begin';
COMMENT ON COLUMN sbc.ban.until IS 'End';
COMMENT ON COLUMN sbc.ban.reason IS 'Number in sbc.reason';
COMMENT ON COLUMN sbc.ban.failures IS 'Wrong answers that led to it';
COMMENT ON COLUMN sbc.ban.last_user IS 'User name of the last one, as the source sent it';
COMMENT ON COLUMN sbc.ban.lifted_at IS 'When an administrator lifted it';
COMMENT ON COLUMN sbc.ban.lifted_by IS 'Who lifted it';
CREATE INDEX ban_until ON sbc.ban (until);

CREATE TABLE sbc.binding (
	account bigint NOT NULL REFERENCES sbc.account ON DELETE CASCADE,
	position integer NOT NULL,
	realm integer NOT NULL,
	contact text NOT NULL,
	source text NOT NULL,
	local text NOT NULL,
	transport text NOT NULL,
	expires_at timestamptz NOT NULL,
	registered_at timestamptz NOT NULL,
	q_permille integer NOT NULL DEFAULT 1000,
	call_id text NOT NULL DEFAULT '',
	cseq bigint NOT NULL DEFAULT 0,
	instance text NOT NULL DEFAULT '',
	reg_id integer NOT NULL DEFAULT 0,
	path text[] NOT NULL DEFAULT '{}',
	user_agent text NOT NULL DEFAULT '',
	flow numeric NOT NULL DEFAULT 0,
	behind_nat boolean NOT NULL DEFAULT false,
	PRIMARY KEY (account, position)
);
COMMENT ON TABLE sbc.binding IS 'Registered contacts, as the SBC last reported them; look at sbc.registration';
COMMENT ON COLUMN sbc.binding.account IS 'The account';
COMMENT ON COLUMN sbc.binding.position IS 'Number of the contact within the account';
COMMENT ON COLUMN sbc.binding.realm IS 'Realm that it registered in';
COMMENT ON COLUMN sbc.binding.contact IS 'Contact URI as registered';
COMMENT ON COLUMN sbc.binding.source IS 'Address that requests to it go to';
COMMENT ON COLUMN sbc.binding.local IS 'Our address that it registered at';
COMMENT ON COLUMN sbc.binding.transport IS 'udp, tcp, tls, ws or wss';
COMMENT ON COLUMN sbc.binding.expires_at IS 'End of the registration';
COMMENT ON COLUMN sbc.binding.registered_at IS 'Last REGISTER';
COMMENT ON COLUMN sbc.binding.q_permille IS 'Preference of the contact, 0 to 1000';
COMMENT ON COLUMN sbc.binding.call_id IS 'Call-ID of the REGISTER';
COMMENT ON COLUMN sbc.binding.cseq IS 'CSeq of the REGISTER';
COMMENT ON COLUMN sbc.binding.instance IS '+sip.instance (RFC 5626)';
COMMENT ON COLUMN sbc.binding.reg_id IS 'reg-id (RFC 5626)';
COMMENT ON COLUMN sbc.binding.path IS 'Path (RFC 3327)';
COMMENT ON COLUMN sbc.binding.user_agent IS 'User-Agent of the phone';
COMMENT ON COLUMN sbc.binding.flow IS 'Connection number; 0 = datagrams';
COMMENT ON COLUMN sbc.binding.behind_nat IS 'A NAT was found between phone and SBC';

CREATE TABLE sbc.cdr (
	call text PRIMARY KEY,
	started_at timestamptz NOT NULL,
	rang_at timestamptz,
	answered_at timestamptz,
	ended_at timestamptz NOT NULL,
	duration_us bigint NOT NULL DEFAULT 0,
	caller text NOT NULL DEFAULT '',
	caller_name text NOT NULL DEFAULT '',
	called text NOT NULL DEFAULT '',
	sip_status integer NOT NULL DEFAULT 0,
	far_status integer NOT NULL DEFAULT 0,
	reason integer NOT NULL DEFAULT 0,
	hangup_side text NOT NULL DEFAULT '',
	route integer,
	route_name text,
	attempts integer NOT NULL DEFAULT 0,
	decisions jsonb NOT NULL DEFAULT '[]',
	stored_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sbc.cdr IS 'One row per call, also for calls that failed';
COMMENT ON COLUMN sbc.cdr.call IS 'Our call ID, the same in log, messages and JSON';
COMMENT ON COLUMN sbc.cdr.started_at IS 'INVITE received';
COMMENT ON COLUMN sbc.cdr.rang_at IS 'First ringing; empty = it never rang';
COMMENT ON COLUMN sbc.cdr.answered_at IS 'Answer; empty = not answered';
COMMENT ON COLUMN sbc.cdr.ended_at IS 'End';
COMMENT ON COLUMN sbc.cdr.duration_us IS 'Answer to end, by the monotonic clock';
COMMENT ON COLUMN sbc.cdr.caller IS 'Caller''s number or extension';
COMMENT ON COLUMN sbc.cdr.caller_name IS 'Caller''s display name';
COMMENT ON COLUMN sbc.cdr.called IS 'Called number';
COMMENT ON COLUMN sbc.cdr.sip_status IS 'Final answer to the caller';
COMMENT ON COLUMN sbc.cdr.far_status IS 'Final answer of the called side';
COMMENT ON COLUMN sbc.cdr.reason IS 'How and why it ended; number in sbc.reason';
COMMENT ON COLUMN sbc.cdr.hangup_side IS 'caller, called or sbc';
COMMENT ON COLUMN sbc.cdr.route IS 'Route that was used';
COMMENT ON COLUMN sbc.cdr.route_name IS 'Its name when the row was stored';
COMMENT ON COLUMN sbc.cdr.attempts IS 'Targets that were tried';
COMMENT ON COLUMN sbc.cdr.decisions IS 'Decisions in order, for sbc.call_explain';
COMMENT ON COLUMN sbc.cdr.stored_at IS 'When this row was written';
CREATE INDEX cdr_started_at ON sbc.cdr (started_at);

CREATE TABLE sbc.cdr_leg (
	call text NOT NULL REFERENCES sbc.cdr ON DELETE CASCADE,
	side text NOT NULL CHECK (side IN ('caller', 'called')),
	kind text NOT NULL DEFAULT '',
	trunk integer,
	trunk_name text,
	account bigint,
	extension text,
	realm integer,
	peer text NOT NULL DEFAULT '',
	local text NOT NULL DEFAULT '',
	call_id text NOT NULL DEFAULT '',
	user_agent text NOT NULL DEFAULT '',
	codec text NOT NULL DEFAULT '',
	srtp text NOT NULL DEFAULT '',
	rx_packets bigint NOT NULL DEFAULT 0,
	rx_octets bigint NOT NULL DEFAULT 0,
	rx_expected bigint NOT NULL DEFAULT 0,
	rx_lost bigint NOT NULL DEFAULT 0,
	rx_jitter_us bigint NOT NULL DEFAULT 0,
	rx_gap_max_us bigint NOT NULL DEFAULT 0,
	tx_packets bigint NOT NULL DEFAULT 0,
	tx_octets bigint NOT NULL DEFAULT 0,
	rtt_us bigint,
	mos numeric(3,2),
	media_codec text NOT NULL DEFAULT '',
	media_first_at timestamptz,
	media_last_at timestamptz,
	media_source text NOT NULL DEFAULT '',
	media_source_reason integer NOT NULL DEFAULT 0,
	media_refused_source text NOT NULL DEFAULT '',
	rtcp_rx bigint NOT NULL DEFAULT 0,
	rtcp_tx bigint NOT NULL DEFAULT 0,
	peer_lost bigint NOT NULL DEFAULT 0,
	peer_jitter_us bigint NOT NULL DEFAULT 0,
	drops jsonb NOT NULL DEFAULT '[]',
	PRIMARY KEY (call, side)
);
COMMENT ON TABLE sbc.cdr_leg IS 'The two sides of a call with what was measured on their media; rx is from the peer to the SBC';
COMMENT ON COLUMN sbc.cdr_leg.call IS 'The call';
COMMENT ON COLUMN sbc.cdr_leg.side IS 'caller or called';
COMMENT ON COLUMN sbc.cdr_leg.kind IS 'trunk, pbx or phone';
COMMENT ON COLUMN sbc.cdr_leg.trunk IS 'The trunk';
COMMENT ON COLUMN sbc.cdr_leg.trunk_name IS 'Its name when the row was stored';
COMMENT ON COLUMN sbc.cdr_leg.account IS 'The account';
COMMENT ON COLUMN sbc.cdr_leg.extension IS 'Its extension when the row was stored';
COMMENT ON COLUMN sbc.cdr_leg.realm IS 'Realm of this side';
COMMENT ON COLUMN sbc.cdr_leg.peer IS 'Signaling address of the peer';
COMMENT ON COLUMN sbc.cdr_leg.local IS 'Our signaling address';
COMMENT ON COLUMN sbc.cdr_leg.call_id IS 'Call-ID of this dialog';
COMMENT ON COLUMN sbc.cdr_leg.user_agent IS 'User-Agent of the peer';
COMMENT ON COLUMN sbc.cdr_leg.codec IS 'Codec that was agreed on';
COMMENT ON COLUMN sbc.cdr_leg.srtp IS 'Encryption suite; empty = plain';
COMMENT ON COLUMN sbc.cdr_leg.rx_packets IS 'RTP packets received';
COMMENT ON COLUMN sbc.cdr_leg.rx_octets IS 'Payload bytes received';
COMMENT ON COLUMN sbc.cdr_leg.rx_expected IS 'RTP packets that sequence numbers say were sent';
COMMENT ON COLUMN sbc.cdr_leg.rx_lost IS 'RTP packets that never came';
COMMENT ON COLUMN sbc.cdr_leg.rx_jitter_us IS 'Jitter (RFC 3550) in microseconds';
COMMENT ON COLUMN sbc.cdr_leg.rx_gap_max_us IS 'Longest silence between packets in microseconds';
COMMENT ON COLUMN sbc.cdr_leg.tx_packets IS 'RTP packets sent';
COMMENT ON COLUMN sbc.cdr_leg.tx_octets IS 'Payload bytes sent';
COMMENT ON COLUMN sbc.cdr_leg.rtt_us IS 'Round trip in microseconds; empty = unknown';
COMMENT ON COLUMN sbc.cdr_leg.mos IS 'Estimated quality, 1.00 to 5.00; empty = unknown';
COMMENT ON COLUMN sbc.cdr_leg.media_codec IS 'Codec of the packets that came';
COMMENT ON COLUMN sbc.cdr_leg.media_first_at IS 'First packet';
COMMENT ON COLUMN sbc.cdr_leg.media_last_at IS 'Last packet';
COMMENT ON COLUMN sbc.cdr_leg.media_source IS 'Address that media came from';
COMMENT ON COLUMN sbc.cdr_leg.media_source_reason IS 'Why it was accepted; number in sbc.reason';
COMMENT ON COLUMN sbc.cdr_leg.media_refused_source IS 'Last address that was refused';
COMMENT ON COLUMN sbc.cdr_leg.rtcp_rx IS 'RTCP packets received';
COMMENT ON COLUMN sbc.cdr_leg.rtcp_tx IS 'RTCP packets sent';
COMMENT ON COLUMN sbc.cdr_leg.peer_lost IS 'Loss that the peer reports';
COMMENT ON COLUMN sbc.cdr_leg.peer_jitter_us IS 'Jitter that the peer reports, in microseconds';
COMMENT ON COLUMN sbc.cdr_leg.drops IS 'Packets dropped, per reason';
CREATE INDEX cdr_leg_trunk ON sbc.cdr_leg (trunk) WHERE trunk IS NOT NULL;
CREATE INDEX cdr_leg_account ON sbc.cdr_leg (account) WHERE account IS NOT NULL;

CREATE TABLE sbc.event (
	key text PRIMARY KEY,
	at timestamptz NOT NULL,
	reason integer NOT NULL,
	source text NOT NULL DEFAULT '',
	account bigint,
	trunk integer,
	call text,
	data text NOT NULL DEFAULT ''
);
COMMENT ON TABLE sbc.event IS 'What happened: registrations, trunks up and down, bans, refusals; look at sbc.event_log';
COMMENT ON COLUMN sbc.event.key IS 'authd''s own key of the record: it is stored once';
COMMENT ON COLUMN sbc.event.at IS 'When';
COMMENT ON COLUMN sbc.event.reason IS 'What; number in sbc.reason';
COMMENT ON COLUMN sbc.event.source IS 'Address that it came from';
COMMENT ON COLUMN sbc.event.account IS 'Account that it is about';
COMMENT ON COLUMN sbc.event.trunk IS 'Trunk that it is about';
COMMENT ON COLUMN sbc.event.call IS 'Call that it is about';
COMMENT ON COLUMN sbc.event.data IS 'Details';
CREATE INDEX event_at ON sbc.event (at);

CREATE TABLE sbc.config_status (
	version numeric PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	state text NOT NULL CHECK (state IN ('accepted', 'refused')),
	reason integer NOT NULL,
	problem text NOT NULL DEFAULT ''
);
COMMENT ON TABLE sbc.config_status IS 'What became of each change of settings: in force, or refused and why';
COMMENT ON COLUMN sbc.config_status.version IS 'Version of the snapshot';
COMMENT ON COLUMN sbc.config_status.at IS 'When it was judged';
COMMENT ON COLUMN sbc.config_status.state IS 'accepted (in force) or refused (the one before stays in force)';
COMMENT ON COLUMN sbc.config_status.reason IS 'Number in sbc.reason';
COMMENT ON COLUMN sbc.config_status.problem IS 'Which row, and why';

CREATE TABLE sbc.history (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	transaction bigint NOT NULL DEFAULT txid_current(),
	who text NOT NULL DEFAULT session_user,
	table_name text NOT NULL,
	action text NOT NULL,
	old jsonb,
	new jsonb
);
COMMENT ON TABLE sbc.history IS 'Who changed which setting or account, and when; secrets are never in it';
COMMENT ON COLUMN sbc.history.id IS 'Row number';
COMMENT ON COLUMN sbc.history.at IS 'When';
COMMENT ON COLUMN sbc.history.transaction IS 'Rows of one transaction have the same number';
COMMENT ON COLUMN sbc.history.who IS 'Database user';
COMMENT ON COLUMN sbc.history.table_name IS 'Table';
COMMENT ON COLUMN sbc.history.action IS 'insert, update or delete';
COMMENT ON COLUMN sbc.history.old IS 'The row before';
COMMENT ON COLUMN sbc.history.new IS 'The row after';
CREATE INDEX history_at ON sbc.history (at);
