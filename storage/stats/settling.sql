-- name: no_time_limit
-- Allow the transaction 20 minutes, as all finished days of all profiles are looked through.
SET LOCAL statement_timeout = '20min';

-- name: add_days
-- Add the rows of profiles' days that have none, in the order of the key, or two jobs could deadlock.
INSERT INTO profile_days (tenant_id, profile_id, day)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::date[]) ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING;

-- name: lock_days
-- Lock the rows of profiles' days until the transaction ends. Those that another job has locked are left out.
SELECT p.tenant_id, p.profile_id, p.day, p.hot
FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
JOIN profile_days AS p USING (tenant_id, profile_id, day)
ORDER BY 1, 2, 3
FOR UPDATE OF p SKIP LOCKED;

-- name: wait_for_days
-- Lock the same, and wait for those that another job has locked.
SELECT p.day FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
JOIN profile_days AS p USING (tenant_id, profile_id, day)
ORDER BY p.tenant_id, p.profile_id, p.day
FOR UPDATE OF p;

-- name: take_deltas
-- Take deltas of profiles' days that are locked, until they have $4 clicks.
DELETE FROM click_deltas WHERE ctid = ANY (ARRAY(
    SELECT place FROM (
        SELECT d.ctid AS place, sum(d.clicks) OVER (ORDER BY d.tenant_id, d.profile_id, d.day, d.ctid) - d.clicks AS before
        FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
        JOIN click_deltas AS d USING (tenant_id, profile_id, day)
    ) AS deltas WHERE before < $4
))
RETURNING tenant_id, profile_id, day, data;

-- name: packed_clicks
-- Count the clicks in segments of profiles' days that are in no table, and the segments.
SELECT s.tenant_id, s.profile_id, s.day, sum(s.clicks)::bigint AS clicks, count(*) AS segments
FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
JOIN click_segments AS s USING (tenant_id, profile_id, day)
WHERE s.days = 1 AND NOT s.in_tables
GROUP BY 1, 2, 3;

-- name: days_of_packed_months
-- List those of profiles' days whose month is one segment.
SELECT u.* FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
WHERE EXISTS (SELECT FROM click_segments AS s WHERE s.tenant_id = u.tenant_id AND s.profile_id = u.profile_id
    AND s.day = date_trunc('month', u.day)::date AND s.days > 1);

-- name: thin_clicks
-- Count the clicks in segments of days of profiles that are in no table and have more than $3 clicks each.
SELECT s.tenant_id, s.profile_id, sum(s.clicks)::bigint AS clicks
FROM unnest($1::bigint[], $2::bigint[]) AS u (tenant_id, profile_id)
JOIN click_segments AS s USING (tenant_id, profile_id)
WHERE s.days = 1 AND NOT s.in_tables AND s.clicks > $3
GROUP BY 1, 2;

-- name: take_segments
-- Take the segments of profiles' days that are in no table; those of months stay.
DELETE FROM click_segments AS s USING unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
WHERE s.tenant_id = u.tenant_id AND s.profile_id = u.profile_id AND s.day = u.day AND s.days = 1 AND NOT s.in_tables
RETURNING s.*;

-- name: make_hot
-- Make profiles' days hot.
UPDATE profile_days AS p SET hot = true
FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
WHERE p.tenant_id = u.tenant_id AND p.profile_id = u.profile_id AND p.day = u.day;

-- name: parts
-- List the segments of a profile's day that are in tables, or in none ($4), the latest first, with their clicks.
SELECT part, clicks FROM click_segments
WHERE tenant_id = $1 AND profile_id = $2 AND day = $3 AND days = 1 AND in_tables = $4 ORDER BY part DESC;

-- name: take_parts
-- Take these segments from the part $5 on.
DELETE FROM click_segments
WHERE tenant_id = $1 AND profile_id = $2 AND day = $3 AND days = 1 AND in_tables = $4 AND part >= $5
RETURNING *;

-- name: today
-- Return the UTC day by the clock of the database.
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date;

-- name: add_to_rollups
-- Add counts of hot days.
INSERT INTO rollups AS r (tenant_id, profile_id, link_id, bucket, clicks, views, bots)
SELECT $1, $2, link_id, timestamptz 'epoch' + quarter * interval '15 minutes', clicks, views, bots
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS u (link_id, quarter, clicks, views, bots)
ORDER BY 3, 4
ON CONFLICT (tenant_id, profile_id, link_id, bucket) DO UPDATE
SET clicks = r.clicks + excluded.clicks, views = r.views + excluded.views, bots = r.bots + excluded.bots;

-- name: busy_days
-- List profiles' days with so many deltas, or clicks in them, that they should be settled: at most $3, the busiest
-- first.
SELECT d.tenant_id, d.profile_id, d.day FROM click_deltas AS d
GROUP BY 1, 2, 3 HAVING count(*) > $1 OR sum(d.clicks) > $2
ORDER BY count(*) DESC LIMIT $3;

-- name: finished_days
-- List profiles' days before today, UTC, after the key ($1, $2, $3), with more than one delta, or $5 clicks or more
-- in deltas, or that are hot and have one, or with more than one segment that is in no table: at most $4.
SELECT tenant_id, profile_id, day FROM (
    SELECT d.tenant_id, d.profile_id, d.day FROM click_deltas AS d
        LEFT JOIN profile_days AS p USING (tenant_id, profile_id, day)
    GROUP BY 1, 2, 3 HAVING count(*) > 1 OR sum(d.clicks) >= $5 OR bool_or(p.hot)
    UNION
    SELECT s.tenant_id, s.profile_id, s.day FROM click_segments AS s
    WHERE s.days = 1 AND NOT s.in_tables
    GROUP BY 1, 2, 3 HAVING count(*) > 1
) AS days
WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date AND (tenant_id, profile_id, day) > ($1, $2, $3)
ORDER BY 1, 2, 3 LIMIT $4;

-- name: expired_days
-- List profiles' days with deltas whose raw clicks have ended, after the key ($1, $2, $3): at most $4.
SELECT DISTINCT d.tenant_id, d.profile_id, d.day
FROM click_deltas AS d JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.day < (clock_timestamp() AT TIME ZONE 'UTC')::date - p.raw_retention_days::int
    AND (d.tenant_id, d.profile_id, d.day) > ($1, $2, $3)
ORDER BY 1, 2, 3 LIMIT $4;
