-- Synchronisation with GitHub, as workers do it: run as waypost_aggregator, for all tenants.

-- name: due
-- Claim links that are due; other workers skip their rows. Each is due again in ten minutes, in case this
-- worker dies.
UPDATE github_syncs AS s SET next_at = clock_timestamp() + interval '10 minutes', state = 'queued',
    version = s.version + 1
FROM (
    SELECT tenant_id, link_id FROM github_syncs WHERE next_at <= statement_timestamp()
    ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
) AS d JOIN links AS l ON l.tenant_id = d.tenant_id AND l.id = d.link_id
WHERE s.tenant_id = d.tenant_id AND s.link_id = d.link_id
RETURNING s.tenant_id, l.profile_id, s.link_id;

-- name: begin
-- Begin a synchronisation: read the link and the facts that are known of it.
UPDATE github_syncs AS s SET state = 'running', tried_at = clock_timestamp(),
    next_at = clock_timestamp() + interval '10 minutes', version = s.version + 1
FROM links AS l
WHERE s.tenant_id = $1 AND s.link_id = $2 AND l.tenant_id = s.tenant_id AND l.id = s.link_id
    AND l.target = s.target
RETURNING s.target, l.kind, l.profile_id, s.failures, s.facts::text AS facts, s.etag, s.release_etag,
    s.release_due, s.named_at;

-- name: sibling
-- Read the facts that another link of the tenant to the same repository has got since $4, if any.
SELECT state, reason, facts::text AS facts, etag, release_etag, release_due, named_at, tried_at
FROM github_syncs
WHERE tenant_id = $1 AND repository = $3 AND link_id <> $2 AND state IN ('synced', 'failed')
    AND failures = 0 AND tried_at >= $4
ORDER BY tried_at DESC LIMIT 1;

-- name: announce_page
-- Make a new version of the profile of a link that its page shows, if GitHub's facts ($4) differ from the stored ones,
-- or once in two days with what is as it was ($5: it was synchronised): edges tell by it how old the facts are.
-- Called before `finish`, as every change of a profile locks its row first.
WITH bumped AS (
    UPDATE profiles AS p SET version = p.version + 1, updated_at = now()
    FROM github_syncs AS g JOIN links AS l ON l.tenant_id = g.tenant_id AND l.id = g.link_id
    WHERE g.tenant_id = $1 AND g.link_id = $2 AND g.target = $3
        AND (g.facts IS DISTINCT FROM $4::jsonb OR ($5 AND g.synced_at IS NOT NULL
            AND floor(extract(epoch FROM g.synced_at) / 172800) <
                floor(extract(epoch FROM clock_timestamp()) / 172800)))
        AND p.tenant_id = l.tenant_id AND p.id = l.profile_id
        AND l.id = ANY((
            SELECT v.link_ids FROM page_versions AS v
            WHERE v.tenant_id = l.tenant_id AND v.profile_id = l.profile_id ORDER BY v.number DESC LIMIT 1
        )::bigint[])
    RETURNING p.id, p.version
)
UPDATE profile_changes AS c SET version = b.version, xid = DEFAULT FROM bumped AS b WHERE c.profile_id = b.id;

-- name: finish
-- Write the result of a synchronisation, and when the link is due again ($13; NULL: never).
UPDATE github_syncs SET repository = $4, state = $5, reason = $6, failures = $7, facts = $8::jsonb,
    etag = $9, release_etag = $10, release_due = $11, named_at = $12, next_at = $13,
    synced_at = CASE WHEN $5 = 'synced' THEN clock_timestamp() ELSE synced_at END, version = version + 1
WHERE tenant_id = $1 AND link_id = $2 AND target = $3;

-- name: postpone
-- Postpone a synchronisation by $3 seconds, while no requests may be sent.
UPDATE github_syncs SET state = 'queued', reason = $4, version = version + 1,
    next_at = clock_timestamp() + make_interval(secs => $3)
WHERE tenant_id = $1 AND link_id = $2;

-- name: forget
-- Delete the synchronisation of a link.
DELETE FROM github_syncs WHERE tenant_id = $1 AND link_id = $2;

-- name: create_lease_row
-- Make the lease's row of this API and token, if it is missing.
INSERT INTO github_request_lease (id) VALUES ($1) ON CONFLICT (id) DO NOTHING;

-- name: acquire_lease
-- Acquire or renew the lease on sending requests for the holder ($2), for at most $3 seconds; no row while
-- another worker holds it or a pause is in force.
UPDATE github_request_lease SET holder = $2, held_until = clock_timestamp() + make_interval(secs => $3)
WHERE id = $1 AND (holder IS NULL OR holder = $2 OR held_until <= clock_timestamp())
    AND (paused_until IS NULL OR paused_until <= clock_timestamp())
RETURNING clock_timestamp() AS now, in_a_row;

-- name: paused
-- Return for how many seconds no requests may be sent, and why; no row when there is no pause.
SELECT extract(epoch FROM paused_until - clock_timestamp())::float8 AS wait_s, reason
FROM github_request_lease WHERE id = $1 AND paused_until > clock_timestamp();

-- name: pause
-- Send no requests for $2 seconds; no pause shortens another one. The lease does not matter: GitHub's answer
-- holds for every worker.
UPDATE github_request_lease SET
    paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => $2)),
    reason = $3, in_a_row = $4
WHERE id = $1;

-- name: reset_pauses
-- Reset the number of consecutive pauses, because GitHub answers again.
UPDATE github_request_lease SET in_a_row = 0 WHERE id = $1 AND in_a_row > 0;

-- name: release_lease
-- Release the lease.
UPDATE github_request_lease SET holder = NULL, held_until = NULL WHERE id = $1 AND holder = $2;
