-- SPDX-License-Identifier: Apache-2.0
-- What a newcomer need not say: one codec list and the settings with the values
-- that fit most.

SELECT sbc.set_codec_list('default', 'PCMA', 'PCMU', 'G722', 'opus', 'telephone-event/8000',
	'telephone-event/48000');

INSERT INTO sbc.setting (name, value, default_value, kind, minimum, maximum, unit, description) VALUES
	('max_calls', '0', '0', 'number', 0, 1000000, '', 'Calls in progress on the whole SBC; 0 = no limit'),
	('nonce_lifetime_s', '300', '300', 'number', 10, 86400, 's', 'How long a digest nonce is good'),
	('ban_failures', '3', '3', 'number', 1, 1000, '', 'Wrong answers from one source that lead to a ban'),
	('ban_s', '600', '600', 'number', 1, 604800, 's', 'How long a ban lasts'),
	('ban_window_s', '600', '600', 'number', 1, 604800, 's', 'Time in which the wrong answers are counted'),
	('media_timeout_s', '30', '30', 'number', 2, 3600, 's', 'A side that must send audio and sends none for so long ends the call; 0 is not possible'),
	('media_lease_ms', '10000', '10000', 'number', 1000, 600000, 'ms', 'Media sessions that nobody claims are closed after this'),
	('media_quarantine_ms', '5000', '5000', 'number', 0, 600000, 'ms', 'A media port rests so long after a call'),
	('media_coalesce_us', '500', '500', 'number', 0, 1000, 'us', 'How long the media process gathers packets: 0, 500 or 1000'),
	('rtcp_interval_ms', '5000', '5000', 'number', 500, 60000, 'ms', 'Time between RTCP reports'),
	('sip_t1_ms', '500', '500', 'number', 50, 5000, 'ms', 'SIP timer T1'),
	('sip_t2_ms', '4000', '4000', 'number', 100, 60000, 'ms', 'SIP timer T2'),
	('sip_t4_ms', '5000', '5000', 'number', 100, 60000, 'ms', 'SIP timer T4'),
	('setup_timeout_s', '180', '180', 'number', 5, 3600, 's', 'A call that is not answered by then ends'),
	('ring_timeout_s', '120', '120', 'number', 5, 3600, 's', 'How long a phone rings'),
	('max_duration_s', '0', '0', 'number', 0, 604800, 's', 'Longest call; 0 = no limit'),
	('session_expires_s', '1800', '1800', 'number', 0, 86400, 's', 'Session timer with phones; 0 = off'),
	('unknown_rate', '200', '200', 'number', 1, 100000, '1/s', 'Messages of unknown sources together'),
	('source_rate', '50', '50', 'number', 1, 100000, '1/s', 'Messages of one unknown or challenged source'),
	('trusted_rate', '100', '100', 'number', 1, 100000, '1/s', 'Messages of one registered phone'),
	('trunk_rate', '2000', '2000', 'number', 1, 1000000, '1/s', 'Messages of one trunk'),
	('keepalive_s', '25', '25', 'number', 10, 300, 's', 'Time between keep-alives to phones behind NAT'),
	('retry_after_s', '5', '5', 'number', 1, 600, 's', 'Retry-After in 503 answers'),
	('record_keep_days', '0', '0', 'number', 0, 36500, 'days', 'CDRs and events older than this are deleted; 0 = never');
