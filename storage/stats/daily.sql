-- name: partition_days
-- List the UTC days with a partition of raw clicks.
SELECT click_partition_days();

-- name: limits
-- Return the UTC days before which no profile keeps raw clicks (`all_gone`), and before which some do not
-- (`some_gone`).
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - coalesce(max(raw_retention_days), 90)::int AS all_gone,
    (clock_timestamp() AT TIME ZONE 'UTC')::date - coalesce(min(raw_retention_days), 90)::int AS some_gone
FROM profiles;

-- name: record_ended
-- Return the profiles whose retention of this UTC day has ended and that may still have raw clicks of it, and
-- record this, so that the day cannot be rebuilt.
INSERT INTO raw_click_retention AS k (tenant_id, profile_id, since)
SELECT p.tenant_id, p.id, $1::date + 1 FROM profiles AS p
    LEFT JOIN raw_click_retention AS h ON h.tenant_id = p.tenant_id AND h.profile_id = p.id
WHERE (clock_timestamp() AT TIME ZONE 'UTC')::date - p.raw_retention_days::int > $1::date
    AND (h.since IS NULL OR h.since <= $1)
ORDER BY 1, 2
ON CONFLICT (tenant_id, profile_id) DO UPDATE SET since = greatest(k.since, excluded.since)
RETURNING tenant_id, profile_id;

-- name: delete_raw
-- Delete the raw clicks of these profiles and a UTC day.
DELETE FROM clicks AS c USING unnest($2::bigint[], $3::bigint[]) AS u (tenant_id, profile_id)
WHERE c.tenant_id = u.tenant_id AND c.profile_id = u.profile_id
    AND c.at >= $1::date::timestamp AT TIME ZONE 'UTC' AND c.at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC';

-- name: delete_old
-- Delete raw clicks without a partition of their own, of days that no profile keeps.
DELETE FROM clicks WHERE at < $1::date::timestamp AT TIME ZONE 'UTC';

-- name: record_all_ended
-- Record that no profile has raw clicks before this day, whatever its retention will be.
INSERT INTO raw_click_retention AS k (tenant_id, profile_id, since) VALUES (0, 0, $1)
ON CONFLICT (tenant_id, profile_id) DO UPDATE SET since = greatest(k.since, excluded.since);

-- name: delete_agents
-- Purge texts of user agents whose last clicks are purged, with a day to spare (storage/clicks/ledger.py).
DELETE FROM user_agents WHERE seen < $1::date - 1;

-- name: drop_partitions
-- Drop the partitions of days that no profile keeps. Returns how many.
SELECT drop_click_partitions($1);

-- name: index_partition
-- Index the next finished day. Returns it, or NULL when all are indexed.
SELECT index_click_partition();

-- name: no_time_limit
-- Allow the transaction 20 minutes, which is more than a stats query gets.
SET LOCAL statement_timeout = '20min';

-- name: today
-- Return the UTC day by the clock of the database.
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date;

-- name: change_stats_versions
-- Change all stats versions, because counts of visitors are others when days are compacted, and no fold says so.
UPDATE journals SET recounted_at = clock_timestamp() WHERE journal_id = (
    SELECT journal_id FROM journals ORDER BY committed_at DESC NULLS LAST, journal_id LIMIT 1);

-- name: forget_pseudonyms
-- Delete the pseudonyms of segments from the day on which the first of their raw clicks have ended; visitors stay apart
-- by their numbers.
UPDATE click_segments AS s SET pseudonyms = NULL
FROM profiles AS p
WHERE p.tenant_id = s.tenant_id AND p.id = s.profile_id AND s.pseudonyms IS NOT NULL
    AND s.day < (clock_timestamp() AT TIME ZONE 'UTC')::date - p.raw_retention_days::int;

-- name: delete_packed_of_hot_days
-- Delete the packed clicks of hot days whose raw clicks have ended; their counts are in tables.
DELETE FROM click_segments AS s USING profiles AS p
WHERE p.tenant_id = s.tenant_id AND p.id = s.profile_id AND s.in_tables
    AND s.day + s.days <= (clock_timestamp() AT TIME ZONE 'UTC')::date - p.raw_retention_days::int;

-- name: delete_damaged
-- Delete damaged deltas whose raw clicks have ended: their days cannot be rebuilt.
DELETE FROM damaged_deltas AS d USING profiles AS p
WHERE p.tenant_id = d.tenant_id AND p.id = d.profile_id
    AND d.day < (clock_timestamp() AT TIME ZONE 'UTC')::date - p.raw_retention_days::int;
