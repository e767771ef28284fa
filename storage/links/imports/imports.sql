-- Imports of files. Those of members and the steps run as waypost_app in the profile's tenant, `end`,
-- `drop_chunks` and the sweeps as waypost_aggregator.

-- name: lock_tenant
-- Let imports of a tenant begin one after the other, so that each sees the others.
SELECT pg_advisory_xact_lock(hashtextextended('link_imports ' || $1::bigint, 0));

-- name: count_open
-- Count the tenant's imports that arrive, wait or run.
SELECT count(*) FROM link_imports AS i LEFT JOIN jobs AS j ON (j.tenant_id, j.id) = (i.tenant_id, i.job_id)
WHERE i.tenant_id = $1 AND j.finished_at IS NULL AND (i.job_id IS NOT NULL OR i.created_at > now() - interval '1 hour');

-- name: begin
-- Begin an import.
INSERT INTO link_imports (tenant_id, profile_id, wishes) VALUES ($1, $2, $3::jsonb) RETURNING id, created_at;

-- name: add_chunk
-- Add a chunk of an import's file.
INSERT INTO link_import_chunks (tenant_id, import_id, number, data) VALUES ($1, $2, $3, $4);

-- name: start
-- Note the job that carries out an import, whose file has arrived.
UPDATE link_imports SET job_id = $3, size = $4, chunks = $5 WHERE tenant_id = $1 AND id = $2 AND job_id IS NULL;

-- name: discard
-- Delete an import that has not started.
DELETE FROM link_imports WHERE tenant_id = $1 AND id = $2 AND job_id IS NULL;

-- name: import
-- Read an import with its job's state.
SELECT i.*, i.wishes::text AS wishes_text, j.state, j.last_error, j.finished_at
FROM link_imports AS i JOIN jobs AS j ON (j.tenant_id, j.id) = (i.tenant_id, i.job_id)
WHERE i.tenant_id = $1 AND i.profile_id = $2 AND i.id = $3;

-- name: list
-- List a profile's imports, newest first.
SELECT i.*, i.wishes::text AS wishes_text, j.state, j.last_error, j.finished_at
FROM link_imports AS i JOIN jobs AS j ON (j.tenant_id, j.id) = (i.tenant_id, i.job_id)
WHERE i.tenant_id = $1 AND i.profile_id = $2 AND i.id < $3 ORDER BY i.id DESC LIMIT $4;

-- name: list_rejects
-- List rejected rows of an import.
SELECT line, reason, first_line FROM link_import_rejects
WHERE tenant_id = $1 AND import_id = $2 AND line > $3 ORDER BY line LIMIT $4;

-- name: cancel
-- Cancel an import's job, or ask a running one to stop. Returns its state; no row if it has ended.
UPDATE jobs
SET cancel_requested = state = 'running',
    finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE tenant_id = $1 AND state IN ('queued', 'running')
    AND id = (SELECT job_id FROM link_imports WHERE tenant_id = $1 AND profile_id = $2 AND id = $3)
RETURNING state;

-- name: delete_chunks
-- Delete an import's file.
DELETE FROM link_import_chunks WHERE tenant_id = $1 AND import_id = $2;

-- name: earlier_runs
-- Return whether an earlier import of the tenant runs than that of a job.
SELECT EXISTS (SELECT FROM jobs WHERE tenant_id = $1 AND id < $2 AND kind = $3 AND state = 'running');

-- name: open
-- Let an attempt of a job write an import's steps; a dry run, which keeps nothing, begins anew. No row if another
-- attempt or none may.
UPDATE link_imports SET attempt = $3,
    created = CASE WHEN $4 THEN 0 ELSE created END, updated = CASE WHEN $4 THEN 0 ELSE updated END,
    unchanged = CASE WHEN $4 THEN 0 ELSE unchanged END, rejected = CASE WHEN $4 THEN 0 ELSE rejected END,
    line = CASE WHEN $4 THEN 0 ELSE line END
WHERE tenant_id = $1 AND id = $2 AND attempt <= $3;

-- name: of_job
-- Read the import of a job, and its profile's handle.
SELECT i.*, i.wishes::text AS wishes_text, 'running' AS state, '' AS last_error, NULL::timestamptz AS finished_at, p.handle
FROM link_imports AS i JOIN profiles AS p ON (p.tenant_id, p.id) = (i.tenant_id, i.profile_id)
WHERE i.tenant_id = $1 AND i.id = $2;

-- name: delete_rejects
-- Delete the rejected rows of a dry run that begins anew.
DELETE FROM link_import_rejects WHERE tenant_id = $1 AND import_id = $2;

-- name: rejected_lines
-- Read the lines of an import's rejected rows.
SELECT line FROM link_import_rejects WHERE tenant_id = $1 AND import_id = $2;

-- name: chunk
-- Read a chunk.
SELECT data FROM link_import_chunks WHERE tenant_id = $1 AND import_id = $2 AND number = $3;

-- name: write_step
-- Write the counts after a batch, unless another attempt ($3) writes by now.
UPDATE link_imports SET created = $4, updated = $5, unchanged = $6, rejected = $7, line = $8, total = $9
WHERE tenant_id = $1 AND id = $2 AND attempt = $3;

-- name: add_rejects
-- Add rejected rows, while fewer than $6 are kept.
INSERT INTO link_import_rejects (tenant_id, import_id, line, reason, first_line)
SELECT $1, $2, u.line, u.reason, u.first_line
FROM unnest($3::integer[], $4::text[], $5::integer[]) AS u (line, reason, first_line)
ORDER BY u.line
LIMIT greatest(0, $6 - (SELECT count(*) FROM link_import_rejects WHERE tenant_id = $1 AND import_id = $2))
ON CONFLICT DO NOTHING;

-- name: end
-- Note how an import ended.
UPDATE link_imports SET unread = $3, error = $4 WHERE tenant_id = $1 AND id = $2;

-- name: sweep_files
-- Delete the files of imports that ended without their worker: cancelled ones, and those that were given up.
DELETE FROM link_import_chunks AS c USING link_imports AS i, jobs AS j
WHERE (i.tenant_id, i.id) = (c.tenant_id, c.import_id) AND (j.tenant_id, j.id) = (i.tenant_id, i.job_id)
    AND j.finished_at < statement_timestamp();

-- name: sweep_unsent
-- Delete imports whose file did not arrive.
DELETE FROM link_imports WHERE job_id IS NULL AND created_at < statement_timestamp() - interval '1 hour';
