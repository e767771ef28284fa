-- Jobs. `enqueue` and `active_job` run in any transaction, as waypost_app or waypost_aggregator; the listing,
-- retry and cancel as waypost_app for a tenant or as waypost_aggregator for the operator; all others as
-- waypost_aggregator. Only the database's clock decides.

-- name: enqueue
-- Enqueue a job, unless one with its unique key is queued or running.
INSERT INTO jobs (tenant_id, profile_id, queue, kind, payload, priority, unique_key, max_attempts, run_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8,
    coalesce($10, clock_timestamp() + make_interval(secs => $9)))
ON CONFLICT (tenant_id, kind, unique_key) WHERE finished_at IS NULL DO NOTHING
RETURNING id;

-- name: enqueue_many
-- Enqueue jobs that have no unique key. Returns their ids in any order.
INSERT INTO jobs (tenant_id, profile_id, queue, kind, payload, priority, max_attempts, run_at)
SELECT tenant_id, profile_id, queue, kind, payload::jsonb, priority, max_attempts,
    coalesce(run_at, clock_timestamp() + make_interval(secs => delay_s))
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::smallint[],
    $8::float8[], $9::timestamptz[])
    AS d (tenant_id, profile_id, queue, kind, payload, priority, max_attempts, delay_s, run_at);

-- name: active_job
-- Find the queued or running job that has a unique key.
SELECT id FROM jobs WHERE tenant_id = $1 AND kind = $2 AND unique_key = $3 AND finished_at IS NULL;

-- name: claim
-- Claim due jobs, of each queue as many as it has free slots, by priority and then by time. Each priority is a
-- search of its own in the index, which later jobs of a higher priority do not slow down; only a time that is
-- the same for the whole statement can bound it.
WITH chosen AS MATERIALIZED (
    SELECT found.tenant_id, found.id
    FROM unnest($2::text[], $3::integer[]) AS q (queue, free)
    CROSS JOIN LATERAL (
        SELECT ready.tenant_id, ready.id
        FROM unnest(ARRAY[2, 1, 0, -1, -2]::smallint[]) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT j.tenant_id, j.id FROM jobs AS j
            WHERE j.state = 'queued' AND j.queue = q.queue AND j.priority = p.priority
                AND j.run_at <= statement_timestamp() AND j.kind = ANY ($4::text[])
            ORDER BY j.run_at, j.id LIMIT q.free
            FOR UPDATE SKIP LOCKED
        ) AS ready
        LIMIT q.free
    ) AS found
)
UPDATE jobs AS j
SET state = 'running', attempt = j.attempt + 1, worker = $1, started_at = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => $5), progress_done = NULL, progress_total = NULL
FROM chosen WHERE j.tenant_id = chosen.tenant_id AND j.id = chosen.id
RETURNING j.*;

-- name: heartbeat
-- Renew the leases that are still held. Returns them, and whether a user asked the job to stop.
WITH held AS MATERIALIZED (
    SELECT j.tenant_id, j.id, b.done, b.total
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::timestamptz[], $5::bigint[], $6::bigint[])
        AS b (tenant_id, id, attempt, started_at, done, total)
    JOIN jobs AS j ON j.tenant_id = b.tenant_id AND j.id = b.id AND j.attempt = b.attempt
        AND j.started_at = b.started_at
    WHERE j.state = 'running'
    ORDER BY j.tenant_id, j.id FOR UPDATE OF j
)
UPDATE jobs AS j
SET lease_until = clock_timestamp() + make_interval(secs => $7),
    progress_done = held.done, progress_total = held.total
FROM held WHERE j.tenant_id = held.tenant_id AND j.id = held.id
RETURNING j.tenant_id, j.id, j.attempt, j.started_at, j.cancel_requested;

-- name: finish
-- End an attempt that succeeded, if it still runs under this attempt; otherwise no row.
UPDATE jobs SET state = 'succeeded', finished_at = clock_timestamp(), lease_until = NULL
WHERE tenant_id = $1 AND id = $2 AND attempt = $3 AND started_at = $4 AND state = 'running'
RETURNING id;

-- name: end
-- Record how attempts ended (the rule is state_after() in engine/jobs/job.py), if they still hold the lease.
-- Returns the attempts that did.
WITH held AS MATERIALIZED (
    SELECT j.tenant_id, j.id, e.outcome, e.delay_s, e.error,
        j.failures + (e.outcome IN ('failed', 'dead'))::integer AS failures
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::timestamptz[], $5::text[], $6::float8[],
        $7::text[]) AS e (tenant_id, id, attempt, started_at, outcome, delay_s, error)
    JOIN jobs AS j ON j.tenant_id = e.tenant_id AND j.id = e.id AND j.attempt = e.attempt
        AND j.started_at = e.started_at
    WHERE j.state = 'running'
    ORDER BY j.tenant_id, j.id FOR UPDATE OF j
), judged AS (
    SELECT held.*, CASE
        WHEN held.outcome = 'succeeded' THEN 'succeeded'
        WHEN held.outcome = 'cancelled' OR j.cancel_requested THEN 'cancelled'
        WHEN held.outcome = 'dead' OR held.outcome = 'failed' AND held.failures >= j.max_attempts THEN 'dead'
        ELSE 'queued' END AS state
    FROM held JOIN jobs AS j ON j.tenant_id = held.tenant_id AND j.id = held.id
)
UPDATE jobs AS j
SET state = judged.state, failures = judged.failures, lease_until = NULL,
    last_error = CASE WHEN judged.error = '' THEN j.last_error ELSE judged.error END,
    run_at = CASE WHEN judged.state <> 'queued' OR judged.outcome = 'returned' THEN j.run_at
        ELSE clock_timestamp() + make_interval(secs => judged.delay_s) END,
    finished_at = CASE WHEN judged.state <> 'queued' THEN clock_timestamp() END
FROM judged WHERE j.tenant_id = judged.tenant_id AND j.id = judged.id
RETURNING j.tenant_id, j.id, j.attempt, j.started_at;

-- name: rescue
-- Requeue attempts whose heartbeat has ended: their worker is dead, or was stopped for too long. A row that its
-- worker has locked is skipped.
WITH lost AS MATERIALIZED (
    SELECT tenant_id, id FROM jobs
    WHERE state = 'running' AND lease_until < clock_timestamp()
    ORDER BY tenant_id, id LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE jobs AS j
SET state = CASE WHEN j.cancel_requested THEN 'cancelled'
        WHEN j.failures + 1 >= j.max_attempts THEN 'dead' ELSE 'queued' END,
    failures = j.failures + 1, lease_until = NULL, last_error = $2,
    finished_at = CASE WHEN j.cancel_requested OR j.failures + 1 >= j.max_attempts THEN clock_timestamp() END
FROM lost WHERE j.tenant_id = lost.tenant_id AND j.id = lost.id;

-- name: release
-- Requeue all attempts of a worker that is dead ($2 = 1) or gives them back ($2 = 0), as rescue.
WITH lost AS MATERIALIZED (
    SELECT tenant_id, id FROM jobs WHERE state = 'running' AND worker = $1
    ORDER BY tenant_id, id FOR UPDATE
)
UPDATE jobs AS j
SET state = CASE WHEN j.cancel_requested THEN 'cancelled'
        WHEN $2 > 0 AND j.failures + $2 >= j.max_attempts THEN 'dead' ELSE 'queued' END,
    failures = j.failures + $2, lease_until = NULL,
    last_error = CASE WHEN $2 > 0 THEN $3 ELSE j.last_error END,
    finished_at = CASE WHEN j.cancel_requested OR $2 > 0 AND j.failures + $2 >= j.max_attempts
        THEN clock_timestamp() END
FROM lost WHERE j.tenant_id = lost.tenant_id AND j.id = lost.id;

-- name: now
-- Read the clock that decides.
SELECT clock_timestamp();

-- name: dues
-- Read when each periodic kind was last due.
SELECT kind, due FROM periodic_jobs;

-- name: move_due
-- Move a kind's due time on; no row when another scheduler has done so.
INSERT INTO periodic_jobs AS t (kind, due) VALUES ($1, $2)
ON CONFLICT (kind) DO UPDATE SET due = excluded.due WHERE t.due < excluded.due
RETURNING true;

-- name: queue_metrics
-- Count jobs for each queue: ready, queued, running, and how many seconds the first ready one has waited.
SELECT queue,
    count(*) FILTER (WHERE state = 'queued' AND run_at <= clock_timestamp()) AS ready,
    count(*) FILTER (WHERE state = 'queued') AS queued,
    count(*) FILTER (WHERE state = 'running') AS running,
    coalesce(extract(epoch FROM clock_timestamp() - min(run_at)
        FILTER (WHERE state = 'queued' AND run_at <= clock_timestamp())), 0)::float8 AS oldest_s
FROM jobs WHERE state IN ('queued', 'running') GROUP BY queue ORDER BY queue;

-- name: dead
-- Count the jobs that were given up.
SELECT count(*) FROM jobs WHERE state = 'dead';

-- name: purge
-- Purge jobs that ended long ago, a bounded number at once; dead ones are kept four times as long.
DELETE FROM jobs WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM jobs
    WHERE finished_at < statement_timestamp() - make_interval(days => $1)
        AND (state <> 'dead' OR finished_at < clock_timestamp() - make_interval(days => 4 * $1))
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED);

-- name: list
-- List jobs, newest first; of one tenant, or of all for the operator.
SELECT * FROM jobs
WHERE ($1::bigint IS NULL OR tenant_id = $1) AND id < $2
    AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR kind = $4)
    AND ($5::bigint IS NULL OR profile_id = $5)
ORDER BY id DESC LIMIT $6;

-- name: job
-- Read one job.
SELECT * FROM jobs WHERE ($1::bigint IS NULL OR tenant_id = $1) AND id = $2;

-- name: cancel
-- Cancel a queued job at once, or ask a running one to stop. Others stay as they are.
UPDATE jobs
SET cancel_requested = state = 'running',
    finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE ($1::bigint IS NULL OR tenant_id = $1) AND id = $2 AND state IN ('queued', 'running')
RETURNING *;

-- name: retry
-- Start a job afresh that was given up or cancelled, or let one that waits for its next attempt run now.
UPDATE jobs
SET state = 'queued', failures = 0, run_at = clock_timestamp(), finished_at = NULL,
    cancel_requested = false, progress_done = NULL, progress_total = NULL
WHERE ($1::bigint IS NULL OR tenant_id = $1) AND id = $2
    AND (state IN ('dead', 'cancelled') OR state = 'queued' AND failures > 0)
RETURNING *;
