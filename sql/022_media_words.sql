-- SPDX-License-Identifier: Apache-2.0
-- What a peer says of the sound that it gets from us (RTCP XR, RFC 3611), and
-- how many keys it pressed (RFC 4733).

ALTER TABLE sbc.cdr_leg
	ADD COLUMN rx_digits bigint NOT NULL DEFAULT 0,
	ADD COLUMN peer_mos numeric(3,2),
	ADD COLUMN peer_discarded_permille integer,
	ADD COLUMN peer_buffer_ms integer;
COMMENT ON COLUMN sbc.cdr_leg.rx_digits IS 'Keys that the peer pressed (telephone-event); which ones is not kept';
COMMENT ON COLUMN sbc.cdr_leg.peer_mos IS 'Quality that the peer reports, 1.00 to 5.00; empty = it did not';
COMMENT ON COLUMN sbc.cdr_leg.peer_discarded_permille IS 'Of 1000 of our packets so many came too late for the peer; empty = it did not say';
COMMENT ON COLUMN sbc.cdr_leg.peer_buffer_ms IS 'Jitter buffer of the peer in milliseconds; empty = it did not say';

CREATE OR REPLACE FUNCTION sbc.cdr_store(doc jsonb) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp AS $$
DECLARE
	one text;
	leg jsonb;
	media jsonb;
BEGIN
	INSERT INTO sbc.cdr (call, started_at, rang_at, answered_at, ended_at, duration_us, caller,
		caller_name, called, sip_status, far_status, reason, hangup_side, route, route_name,
		attempts, decisions)
	VALUES (doc->>'call', coalesce(sbc.from_us((doc->>'wall_start_us')::numeric), now()),
		sbc.from_us((doc->>'wall_ring_us')::numeric),
		sbc.from_us((doc->>'wall_answer_us')::numeric),
		coalesce(sbc.from_us((doc->>'wall_end_us')::numeric), now()),
		coalesce((doc->>'duration_us')::bigint, 0), coalesce(doc->>'caller', ''),
		coalesce(doc->>'caller_name', ''), coalesce(doc->>'called', ''),
		coalesce((doc->>'sip_status')::int, 0), coalesce((doc->>'far_status')::int, 0),
		coalesce((doc->>'reason')::int, 0), coalesce(doc->>'hangup_side', ''),
		nullif((doc->>'route')::int, 0),
		(SELECT name FROM sbc.route WHERE id = (doc->>'route')::int),
		coalesce((doc->>'attempts')::int, 0), coalesce(doc->'decisions', '[]'))
	ON CONFLICT (call) DO NOTHING;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	FOREACH one IN ARRAY '{caller,called}'::text[] LOOP
		leg := doc->(one || '_leg');
		CONTINUE WHEN leg IS NULL;
		media := coalesce(leg->'media', '{}');
		INSERT INTO sbc.cdr_leg (call, side, kind, trunk, trunk_name, account, extension, realm,
			peer, local, call_id, user_agent, codec, srtp, rx_packets, rx_octets, rx_expected,
			rx_lost, rx_jitter_us, rx_gap_max_us, tx_packets, tx_octets, rtt_us, mos, media_codec,
			media_first_at, media_last_at, media_source, media_source_reason,
			media_refused_source, rtcp_rx, rtcp_tx, peer_lost, peer_jitter_us, rx_digits, peer_mos,
			peer_discarded_permille, peer_buffer_ms, drops)
		VALUES (doc->>'call', one, coalesce(leg->>'kind', ''),
			nullif((leg->>'trunk')::int, 0),
			(SELECT name FROM sbc.trunk WHERE id = (leg->>'trunk')::int),
			nullif((leg->>'account')::bigint, 0),
			(SELECT extension FROM sbc.account WHERE id = (leg->>'account')::bigint),
			nullif((leg->>'realm')::int, 0), coalesce(leg->>'peer', ''),
			coalesce(leg->>'local', ''), coalesce(leg->>'call_id', ''),
			coalesce(leg->>'user_agent', ''), coalesce(leg->>'codec', ''),
			coalesce(leg->>'srtp', ''), coalesce((media->>'rx_packets')::bigint, 0),
			coalesce((media->>'rx_octets')::bigint, 0),
			coalesce((media->>'rx_expected')::bigint, 0),
			coalesce((media->>'rx_lost')::bigint, 0),
			coalesce((media->>'rx_jitter_us')::bigint, 0),
			coalesce((media->>'rx_gap_max_us')::bigint, 0),
			coalesce((media->>'tx_packets')::bigint, 0),
			coalesce((media->>'tx_octets')::bigint, 0),
			nullif((media->>'rtt_us')::bigint, 0),
			nullif(least((media->>'mos_centi')::int, 500), 0) / 100.0,
			coalesce(media->>'codec', ''),
			sbc.from_us((media->>'wall_first_us')::numeric),
			sbc.from_us((media->>'wall_last_us')::numeric),
			coalesce(media->>'learned', ''), coalesce((media->>'learn_reason')::int, 0),
			coalesce(media->>'refused_source', ''), coalesce((media->>'rtcp_rx')::bigint, 0),
			coalesce((media->>'rtcp_tx')::bigint, 0),
			coalesce((media->>'peer_lost')::bigint, 0),
			coalesce((media->>'peer_jitter_us')::bigint, 0),
			coalesce((media->>'rx_digits')::bigint, 0),
			nullif(least(coalesce((media->>'peer_mos_centi')::int, 0), 500), 0) / 100.0,
			(media->>'peer_discarded_permille')::int, (media->>'peer_buffer_ms')::int,
			coalesce(media->'drops', '[]'));
	END LOOP;
	RETURN true;
END $$;
