-- name: partition_days
-- UTC days with a partition of raw clicks.
SELECT click_partition_days();

-- name: limits
-- Before which UTC day nobody keeps raw clicks any more, and before which somebody does not.
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - coalesce(max(raw_retention_days), 90)::int AS all_gone,
    (clock_timestamp() AT TIME ZONE 'UTC')::date - coalesce(min(raw_retention_days), 90)::int AS some_gone
FROM profiles;

-- name: ended
-- Profiles that keep raw clicks of this UTC day no longer and still may have some: they are noted, so that
-- nobody counts the day anew.
INSERT INTO raw_click_retention AS k (tenant_id, profile_id, since)
SELECT p.tenant_id, p.id, $1::date + 1 FROM profiles AS p
    LEFT JOIN raw_click_retention AS h ON h.tenant_id = p.tenant_id AND h.profile_id = p.id
WHERE (clock_timestamp() AT TIME ZONE 'UTC')::date - p.raw_retention_days::int > $1::date
    AND (h.since IS NULL OR h.since <= $1)
ORDER BY 1, 2
ON CONFLICT (tenant_id, profile_id) DO UPDATE SET since = greatest(k.since, excluded.since)
RETURNING tenant_id, profile_id;

-- name: delete_raw
-- Raw clicks of these profiles and a UTC day.
DELETE FROM clicks AS c USING unnest($2::bigint[], $3::bigint[]) AS u (tenant_id, profile_id)
WHERE c.tenant_id = u.tenant_id AND c.profile_id = u.profile_id
    AND c.at >= $1::date::timestamp AT TIME ZONE 'UTC' AND c.at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC';

-- name: delete_old
-- What has no partition of its own, of days that nobody keeps.
DELETE FROM clicks WHERE at < $1::date::timestamp AT TIME ZONE 'UTC';

-- name: all_ended
-- Nobody has raw clicks of days before this one any more, also who keeps them for longer from now on.
INSERT INTO raw_click_retention AS k (tenant_id, profile_id, since) VALUES (0, 0, $1)
ON CONFLICT (tenant_id, profile_id) DO UPDATE SET since = greatest(k.since, excluded.since);

-- name: delete_agents
-- Texts of user agents that were last seen by clicks which nobody keeps, and some time after that day
-- (storage/clicks/ledger.py).
DELETE FROM user_agents WHERE seen < $1::date - 1;

-- name: drop_partitions
-- Of days that nobody keeps; how many.
SELECT drop_click_partitions($1);

-- name: index_partition
-- The next day that is over and has no index yet, or nothing.
SELECT index_click_partition();

-- name: no_time_limit
-- This may take longer than a question may.
SET LOCAL statement_timeout = '20min';
