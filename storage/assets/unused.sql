-- Files that no asset has: run as waypost_aggregator.

-- name: claim
-- Claim files that no asset has and no upload may be writing, for $2 seconds; none while a backup is made
-- (storage/operations/backup_snapshot.sql).
UPDATE asset_files AS f SET claimed_until = clock_timestamp() + make_interval(secs => $2)
WHERE (f.tenant_id, f.hash) IN (
    SELECT u.tenant_id, u.hash FROM asset_files AS u
    WHERE (SELECT pg_try_advisory_xact_lock(hashtextextended('waypost.asset_files', 0)))
        AND u.unused_since IS NOT NULL AND u.writable_until <= clock_timestamp()
        AND (u.claimed_until IS NULL OR u.claimed_until <= clock_timestamp())
        AND NOT EXISTS (SELECT FROM assets AS a WHERE a.tenant_id = u.tenant_id AND a.address = u.hash)
        AND NOT EXISTS (SELECT FROM page_cards AS c WHERE c.tenant_id = u.tenant_id AND c.address = u.hash)
        AND NOT EXISTS (SELECT FROM link_cards AS c WHERE c.tenant_id = u.tenant_id AND c.address = u.hash)
    ORDER BY u.unused_since LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING f.tenant_id, f.hash;

-- name: forget
-- Forget files that are deleted.
DELETE FROM asset_files WHERE claimed_until IS NOT NULL
    AND (tenant_id, hash) IN (SELECT * FROM unnest($1::bigint[], $2::text[]));
