-- SPDX-License-Identifier: Apache-2.0
-- Times of dialogs that were fixed so far.

INSERT INTO sbc.setting (name, value, default_value, kind, minimum, maximum, unit, description) VALUES
	('session_min_se_s', '90', '90', 'number', 5, 3600, 's', 'Shortest session interval that peers may ask for (RFC 4028 forbids less than 90 towards the world)'),
	('ring_serial_s', '15', '15', 'number', 1, 600, 's', 'How long phones ring before those of the same account with a lower q value do');
