-- name: register_journal
-- Register a journal, before its edge records the first click, or before another edge ships what that one has
-- left: that may be more than it knew when it ended.
INSERT INTO journals (journal_id) VALUES ($1)
ON CONFLICT (journal_id) DO UPDATE SET last_sequence = NULL;

-- name: watermark
-- Read how far a journal is committed in all counts (`committed`), and in raw rows and rollups (`folded`).
SELECT least(folded, dimension_counted) AS committed, folded FROM journals WHERE journal_id = $1;

-- name: watermarks
-- Read the same of several journals.
SELECT journal_id, least(folded, dimension_counted), folded FROM journals WHERE journal_id = ANY ($1::uuid[]);

-- name: complete
-- Note where a journal ended; no aggregator leases it while both watermarks are there.
UPDATE journals SET last_sequence = $2 WHERE journal_id = $1;

-- name: retire
-- Retire a journal that is wholly committed; no aggregator leases it any more.
UPDATE journals SET retired_at = clock_timestamp() WHERE journal_id = $1;

-- name: purge_retired
-- Purge journals that were retired more than a day ago; the newest stays, as it says how fresh the counts are.
DELETE FROM journals
WHERE retired_at < clock_timestamp() - interval '1 day'
    AND committed_at IS DISTINCT FROM (SELECT max(committed_at) FROM journals);

-- name: renew_leases
-- Renew the owner's leases. A row that is locked by the owner's own commit right now is renewed by that.
WITH mine AS (
    SELECT journal_id FROM journals
    WHERE lease_owner = $1 AND retired_at IS NULL
        AND (last_sequence IS NULL OR least(folded, dimension_counted) < last_sequence)
    ORDER BY journal_id LIMIT $2
), unlocked AS (
    SELECT journal_id FROM journals
    WHERE lease_owner = $1 AND journal_id IN (SELECT journal_id FROM mine)
    FOR UPDATE SKIP LOCKED
), renewed AS (
    UPDATE journals AS w
    SET lease_ttl = make_interval(secs => $3),
        lease_expires = clock_timestamp() + make_interval(secs => $3)
    FROM unlocked WHERE w.journal_id = unlocked.journal_id
    RETURNING w.journal_id, w.folded, w.fencing_token, w.dimension_counted
)
SELECT journal_id, folded, fencing_token, dimension_counted FROM renewed
UNION ALL
SELECT journal_id, folded, fencing_token, dimension_counted FROM journals
WHERE journal_id IN (SELECT journal_id FROM mine)
    AND journal_id NOT IN (SELECT journal_id FROM unlocked)
    AND lease_owner = $1 AND lease_expires > clock_timestamp();

-- name: acquire_leases
-- Acquire free or expired leases, longest free first; rows that another aggregator has locked are left to it.
-- The fencing token is a time, because a counter would go back with the database and be given twice.
WITH free AS (
    SELECT journal_id FROM journals
    WHERE retired_at IS NULL
        AND (last_sequence IS NULL OR least(folded, dimension_counted) < last_sequence)
        AND (lease_owner IS NULL OR (lease_owner <> $1 AND lease_expires <= clock_timestamp()))
    ORDER BY lease_expires NULLS FIRST, journal_id LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE journals AS w
SET lease_owner = $1,
    fencing_token = greatest(w.fencing_token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
    lease_ttl = make_interval(secs => $3),
    lease_expires = clock_timestamp() + make_interval(secs => $3)
FROM free WHERE w.journal_id = free.journal_id
RETURNING w.journal_id, w.folded, w.fencing_token, w.dimension_counted;

-- name: release_leases
-- Release all leases of the owner, so that no aggregator has to wait until they expire.
UPDATE journals SET lease_owner = NULL, lease_expires = NULL WHERE lease_owner = $1;

-- name: advance_watermark
-- Move the watermark by compare-and-set on position and fencing token. Returns since when this server runs; no
-- row: another aggregator has moved it or acquired the lease.
UPDATE journals
SET folded = $4, committed_at = clock_timestamp(),
    lease_expires = CASE WHEN lease_owner IS NOT NULL THEN clock_timestamp() + lease_ttl END
WHERE journal_id = $1 AND folded = $2 AND fencing_token = $3
RETURNING pg_postmaster_start_time();

-- name: advance_past_dead_letter
-- Move both watermarks past a dead letter, as advance_watermark; all before it must be in the dimension counts.
UPDATE journals
SET folded = $4, dimension_counted = $4, committed_at = clock_timestamp(), dimension_counted_at = clock_timestamp(),
    lease_expires = CASE WHEN lease_owner IS NOT NULL THEN clock_timestamp() + lease_ttl END
WHERE journal_id = $1 AND folded = $2 AND dimension_counted = $2 AND fencing_token = $3
RETURNING pg_postmaster_start_time();

-- name: store_user_agents
-- Store texts of user agents in the order of their ids, and the day on which known ones were seen.
INSERT INTO user_agents AS a (id, text)
SELECT id, text FROM unnest($1::bigint[], $2::text[]) AS u (id, text) ORDER BY id
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen WHERE a.seen < excluded.seen;

-- name: add_to_rollups
-- Add counts in the order of the conflict key, or two folds could deadlock.
INSERT INTO rollups AS r (tenant_id, profile_id, link_id, bucket, clicks, views, bots)
SELECT tenant_id, profile_id, link_id,
    timestamptz 'epoch' + bucket_s * interval '1 second', clicks, views, bots
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[]) AS u (tenant_id, profile_id, link_id, bucket_s, clicks, views, bots)
ORDER BY 1, 2, 3, 4
ON CONFLICT (tenant_id, profile_id, link_id, bucket)
DO UPDATE SET clicks = r.clicks + excluded.clicks, views = r.views + excluded.views,
    bots = r.bots + excluded.bots;

-- name: dead_letter
-- Keep a batch that cannot be folded, whole, with the reason.
INSERT INTO dead_letter_batches (journal_id, first, last, payload, reason)
VALUES ($1, $2, $3, $4, $5);
