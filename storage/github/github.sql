-- Links that are synchronised with GitHub, as members see and change them: run as waypost_app in the profile's
-- tenant.

-- name: start_sync
-- Begin the synchronisation of a link, due now.
INSERT INTO github_syncs (tenant_id, link_id, target, next_at)
VALUES ($1, $2, $3, clock_timestamp()) RETURNING next_at;

-- name: stop_sync
-- Stop the synchronisation of a link and delete its facts.
DELETE FROM github_syncs WHERE tenant_id = $1 AND link_id = $2;

-- name: target
-- Read a link's target.
SELECT target FROM links WHERE tenant_id = $1 AND id = $2;

-- name: lock_target
-- Read a link's target and lock the link until the transaction ends.
SELECT target FROM links WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: sync
-- Read the facts of a link with this target ($3), and how many seconds ago a member last requested a
-- synchronisation.
SELECT to_jsonb(g)::text AS sync, extract(epoch FROM clock_timestamp() - asked_at)::float8 AS asked_s
FROM github_syncs AS g WHERE tenant_id = $1 AND link_id = $2 AND target = $3;

-- name: request_sync
-- Record a member's request. The link is due again in ten minutes if no worker has claimed it by then.
INSERT INTO github_syncs (tenant_id, link_id, target, asked_at, next_at)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + interval '10 minutes')
ON CONFLICT (tenant_id, link_id) DO UPDATE SET state = 'queued', asked_at = clock_timestamp(),
    next_at = clock_timestamp() + interval '10 minutes', version = github_syncs.version + 1
RETURNING to_jsonb(github_syncs)::text;

-- name: job
-- Read the job that was enqueued.
SELECT * FROM jobs WHERE tenant_id = $1 AND id = $2;
