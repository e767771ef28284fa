-- Experiments that run, of all tenants: run as waypost_aggregator.

-- name: running
-- At most $2 of ids above $1.
SELECT tenant_id, id, profile_id, version, created_at, updated_at, state, link_id, block_id, definition, phase,
    winner, seed, started_at, ended_at, mismatch_at
FROM experiments WHERE state = 'running' AND id > $1 ORDER BY id LIMIT $2;

-- name: lock_profile
-- Its next version; changes of one profile take turns.
UPDATE profiles SET version = version + 1, updated_at = now() WHERE tenant_id = $1 AND id = $2
RETURNING version;

-- name: announce
-- The news of a profile's version.
UPDATE profile_changes SET version = $2, xid = DEFAULT WHERE profile_id = $1;

-- name: write
-- An experiment as it is to be, if it is still as it was read.
UPDATE experiments SET version = version + 1, updated_at = now(), state = $4, definition = $5::jsonb, phase = $6,
    winner = $7, ended_at = CASE WHEN $4 = 'decided' THEN now() END
WHERE tenant_id = $1 AND id = $2 AND version = $3
RETURNING version;

-- name: note_mismatch
-- That its visitors were not shared out as they were to be.
UPDATE experiments SET version = version + 1, updated_at = now(), mismatch_at = now()
WHERE tenant_id = $1 AND id = $2 AND version = $3
RETURNING version;
