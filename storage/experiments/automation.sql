-- Running experiments of all tenants: run as waypost_aggregator.

-- name: running
-- Read at most $2 running experiments with ids above $1.
SELECT tenant_id, id, profile_id, version, created_at, updated_at, state, link_id, block_id, definition, phase,
    winner, seed, started_at, ended_at, mismatch_at
FROM experiments WHERE state = 'running' AND id > $1 ORDER BY id LIMIT $2;

-- name: lock_profile
-- Lock a profile as its next version; this serialises the changes of one profile.
UPDATE profiles SET version = version + 1, updated_at = now() WHERE tenant_id = $1 AND id = $2
RETURNING version;

-- name: announce
-- Announce a profile's version to the edges that poll.
UPDATE profile_changes SET version = $2, xid = DEFAULT WHERE profile_id = $1;

-- name: write
-- Write an experiment if it is still the version that was read.
UPDATE experiments SET version = version + 1, updated_at = now(), state = $4, definition = $5::jsonb, phase = $6,
    winner = $7, ended_at = CASE WHEN $4 = 'decided' THEN now() END
WHERE tenant_id = $1 AND id = $2 AND version = $3
RETURNING version;

-- name: note_mismatch
-- Note the first sample-ratio mismatch of an experiment.
UPDATE experiments SET version = version + 1, updated_at = now(), mismatch_at = now()
WHERE tenant_id = $1 AND id = $2 AND version = $3
RETURNING version;
