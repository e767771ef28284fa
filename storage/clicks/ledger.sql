-- name: register_journal
-- Register a journal, before its edge records the first click, or before another edge ships what that one has
-- left: that may be more than it knew when it ended.
INSERT INTO journals (journal_id) VALUES ($1)
ON CONFLICT (journal_id) DO UPDATE SET last_sequence = NULL;

-- name: watermark
-- Read how far a journal is committed.
SELECT folded FROM journals WHERE journal_id = $1;

-- name: watermarks
-- Read the same of several journals.
SELECT journal_id, folded FROM journals WHERE journal_id = ANY ($1::uuid[]);

-- name: complete
-- Note where a journal ended; no aggregator leases it while the watermark is there.
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
-- Renew those of the owner's leases of which half is over, and list all. A row that is locked by the owner's own
-- commit right now is renewed by that.
WITH mine AS (
    SELECT journal_id FROM journals
    WHERE lease_owner = $1 AND retired_at IS NULL
        AND (last_sequence IS NULL OR folded < last_sequence)
    ORDER BY journal_id LIMIT $2
), unlocked AS (
    SELECT journal_id FROM journals
    WHERE lease_owner = $1 AND journal_id IN (SELECT journal_id FROM mine)
        AND lease_expires < clock_timestamp() + make_interval(secs => $3 / 2)
    FOR UPDATE SKIP LOCKED
), renewed AS (
    UPDATE journals AS w
    SET lease_ttl = make_interval(secs => $3),
        lease_expires = clock_timestamp() + make_interval(secs => $3)
    FROM unlocked WHERE w.journal_id = unlocked.journal_id
    RETURNING w.journal_id, w.folded, w.fencing_token
)
SELECT journal_id, folded, fencing_token FROM renewed
UNION ALL
SELECT journal_id, folded, fencing_token FROM journals
WHERE journal_id IN (SELECT journal_id FROM mine)
    AND journal_id NOT IN (SELECT journal_id FROM unlocked)
    AND lease_owner = $1 AND lease_expires > clock_timestamp();

-- name: acquire_leases
-- Acquire free or expired leases, longest free first; rows that another aggregator has locked are left to it.
-- The fencing token is a time, because a counter would go back with the database and be given twice.
WITH free AS (
    SELECT journal_id FROM journals
    WHERE retired_at IS NULL
        AND (last_sequence IS NULL OR folded < last_sequence)
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
RETURNING w.journal_id, w.folded, w.fencing_token;

-- name: note_aggregator
-- Note that an aggregator lives, and for how long it counts as one that shares the journals.
INSERT INTO aggregators (owner, expires) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (owner) DO UPDATE SET expires = excluded.expires;

-- name: hand_over_leases
-- Release some leases of the owner, whose commits have ended.
UPDATE journals SET lease_owner = NULL, lease_expires = NULL
WHERE lease_owner = $1 AND journal_id = ANY($2::uuid[]);

-- name: count_leases
-- Count the leases of each live aggregator. The row without an owner counts all journals, and those that are free.
WITH leasable AS (
    SELECT lease_owner,
        lease_owner IS NULL OR (lease_owner <> $1 AND lease_expires <= clock_timestamp()) AS free
    FROM journals
    WHERE retired_at IS NULL AND (last_sequence IS NULL OR folded < last_sequence)
)
SELECT a.owner, count(l.lease_owner) AS journals, 0 AS free
FROM aggregators AS a LEFT JOIN leasable AS l ON l.lease_owner = a.owner
WHERE a.owner = $1 OR a.expires > clock_timestamp()
GROUP BY a.owner
UNION ALL
SELECT NULL, count(*), count(*) FILTER (WHERE free) FROM leasable;

-- name: purge_aggregators
-- Purge aggregators that ended without releasing their leases more than a day ago.
DELETE FROM aggregators WHERE expires < clock_timestamp() - interval '1 day';

-- name: forget_aggregator
-- Forget an aggregator that ends: the others share its journals at once.
DELETE FROM aggregators WHERE owner = $1;

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

-- name: store_user_agents
-- Store texts of user agents in the order of their ids, and the day on which known ones were seen.
INSERT INTO user_agents AS a (id, text)
SELECT id, text FROM unnest($1::bigint[], $2::text[]) AS u (id, text) ORDER BY id
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen WHERE a.seen < excluded.seen;

-- name: dead_letter
-- Keep a batch that cannot be folded, whole, with the reason.
INSERT INTO dead_letter_batches (journal_id, first, last, payload, reason)
VALUES ($1, $2, $3, $4, $5);
