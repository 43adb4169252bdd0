-- SPDX-License-Identifier: Apache-2.0
-- Limits of what is told about the sound of a call while it runs, and how long
-- a direction may be without packets.

INSERT INTO sbc.setting (name, value, default_value, kind, minimum, maximum, unit, description) VALUES
	('media_silence_ms', '5000', '5000', 'number', 500, 600000, 'ms', 'A side that has to send audio and was not heard for so long is told of: sound in one direction only, or none'),
	('media_keepalive_s', '15', '15', 'number', 1, 300, 's', 'A direction of audio without packets gets one so often, to keep the address translation of a router open'),
	('media_mos_min_centi', '300', '300', 'number', 0, 450, '1/100', 'Worse estimated quality (MOS times 100) over five seconds is told of; 0 = never');
