-- name: no_time_limit
-- Allow the transaction 20 minutes, because it reads all live counts.
SET LOCAL statement_timeout = '20min';

-- name: profile_days
-- List profiles and UTC days before $1 with live counts, oldest days first.
SELECT DISTINCT tenant_id, profile_id, (bucket AT TIME ZONE 'UTC')::date AS day FROM rollups
WHERE bucket < $1::date::timestamp AT TIME ZONE 'UTC'
UNION
SELECT DISTINCT tenant_id, profile_id, (bucket AT TIME ZONE 'UTC')::date FROM dimension_counts
WHERE bucket < $1::date::timestamp AT TIME ZONE 'UTC'
ORDER BY day, tenant_id, profile_id;

-- name: today
-- Return the UTC day by the clock of the database.
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date;

-- name: take_rollups
-- Take up to $4 rollups of a profile's day. By key, so that a row is taken with the counts that
-- a settling job adds meanwhile.
DELETE FROM rollups AS r USING (
    SELECT link_id, bucket FROM rollups
    WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $3::date::timestamp AT TIME ZONE 'UTC'
        AND bucket < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
    ORDER BY link_id, bucket LIMIT $4
) AS some_of
WHERE r.tenant_id = $1 AND r.profile_id = $2 AND r.link_id = some_of.link_id AND r.bucket = some_of.bucket
RETURNING r.link_id, extract(epoch FROM r.bucket)::bigint % 86400 / 900 AS at, r.clicks, r.views, r.bots;

-- name: groups
-- List the links and dimensions of a profile's day in dimension_counts, with their numbers of rows.
SELECT link_id, dimension, count(*) AS rows FROM dimension_counts
WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $3::date::timestamp AT TIME ZONE 'UTC'
    AND bucket < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
GROUP BY link_id, dimension ORDER BY link_id, dimension;

-- name: take_dimensions
-- Take up to $6 dimension counts of some links and dimensions of a profile's day, those of one value together.
-- lock_profiles (storage/stats/dimension_counts.py) keeps other writers out.
DELETE FROM dimension_counts WHERE ctid = ANY(ARRAY(
    SELECT r.ctid FROM unnest($4::bigint[], $5::smallint[]) AS u (link_id, dimension)
    JOIN dimension_counts AS r ON r.tenant_id = $1 AND r.profile_id = $2 AND r.link_id = u.link_id
        AND r.dimension = u.dimension AND r.bucket >= $3::date::timestamp AT TIME ZONE 'UTC'
        AND r.bucket < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
    ORDER BY r.link_id, r.dimension, r.value LIMIT $6
))
RETURNING link_id, dimension, value, extract(epoch FROM bucket)::bigint % 86400 / 900 AS at, clicks, views,
    bots, visitors;

-- name: compacted
-- Read the compacted quarters of these values of a profile's day, by number from 1.
SELECT u.number, q.at, q.clicks, q.views, q.bots, q.visitors, q.visitors_before, q.visitors_after, q.sketches
FROM unnest($4::bigint[], $5::smallint[], $6::text[]) WITH ORDINALITY AS u (link_id, dimension, value, number)
JOIN dimension_quarters AS q ON q.tenant_id = $1 AND q.profile_id = $2 AND q.link_id = u.link_id
    AND q.dimension = u.dimension AND q.day = $3 AND q.value = u.value;

-- name: store_quarters
-- Write the compacted quarters of one value's day.
INSERT INTO dimension_quarters (tenant_id, profile_id, day, link_id, dimension, value, at, clicks, views, bots,
    visitors, visitors_before, visitors_after, sketches)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (tenant_id, profile_id, link_id, dimension, day, value) DO UPDATE SET
    at = excluded.at, clicks = excluded.clicks, views = excluded.views, bots = excluded.bots,
    visitors = excluded.visitors, visitors_before = excluded.visitors_before,
    visitors_after = excluded.visitors_after, sketches = excluded.sketches;

-- name: add_to_days
-- Add to the counts of values of a profile's day.
INSERT INTO dimension_days AS d (tenant_id, profile_id, day, link_id, dimension, value, clicks, views, bots,
    visitors)
SELECT $1, $2, $3, * FROM unnest($4::bigint[], $5::smallint[], $6::text[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[])
ON CONFLICT (tenant_id, profile_id, link_id, dimension, day, value) DO UPDATE SET
    clicks = d.clicks + excluded.clicks, views = d.views + excluded.views, bots = d.bots + excluded.bots,
    visitors = d.visitors + excluded.visitors;

-- name: add_to_months
-- Add to the counts of values of the day's month.
INSERT INTO dimension_months AS m (tenant_id, profile_id, month, link_id, dimension, value, clicks, views, bots,
    visitors)
SELECT $1, $2, date_trunc('month', $3::date)::date, * FROM unnest($4::bigint[], $5::smallint[], $6::text[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
ON CONFLICT (tenant_id, profile_id, link_id, dimension, month, value) DO UPDATE SET
    clicks = m.clicks + excluded.clicks, views = m.views + excluded.views, bots = m.bots + excluded.bots,
    visitors = m.visitors + excluded.visitors;
