-- SPDX-License-Identifier: Apache-2.0
-- What authd stores is found by its key, whatever a table held when the plan
-- was made: authd's sessions keep their plans.

-- Each ended call was looked for among all: with thousands of calls in
-- progress that took longer than all else.
CREATE OR REPLACE FUNCTION sbc.live_call_store(news jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = sbc, public, pg_temp
	SET enable_seqscan = off AS $$
DECLARE
	from_worker integer := (news->>'worker')::integer;
BEGIN
	IF (news->>'reset')::boolean THEN
		DELETE FROM sbc.live_call WHERE worker = from_worker;
	END IF;
	DELETE FROM sbc.live_call WHERE worker = from_worker
		AND call = ANY (ARRAY(SELECT jsonb_array_elements_text(news->'ended')));
	INSERT INTO sbc.live_call (worker, call, state, started_at, answered_at, caller, called,
		caller_kind, caller_name, caller_peer, called_kind, called_name, called_peer)
	SELECT from_worker, c.call, c.state, sbc.from_us(c.wall_start_us),
		sbc.from_us(c.wall_answer_us), c.caller, c.called, c.caller_kind, c.caller_name,
		c.caller_peer, c.called_kind, c.called_name, c.called_peer
	FROM jsonb_to_recordset(news->'calls') AS c (call text, state text, wall_start_us numeric,
		wall_answer_us numeric, caller text, called text, caller_kind text,
		caller_name text, caller_peer text, called_kind text, called_name text,
		called_peer text)
	ON CONFLICT (worker, call) DO UPDATE SET state = excluded.state,
		answered_at = excluded.answered_at, caller = excluded.caller,
		called = excluded.called, called_kind = excluded.called_kind,
		called_name = excluded.called_name, called_peer = excluded.called_peer,
		caller_peer = excluded.caller_peer, reported_at = now();
END $$;

ALTER FUNCTION sbc.records_store(json, json, json, json) SET enable_seqscan = off;
ALTER FUNCTION sbc.bindings_store(bigint[], integer[], json) SET enable_seqscan = off;
