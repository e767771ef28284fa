-- name: buckets
-- Plain 15-minute buckets.
SELECT bucket, sum(clicks)::bigint AS clicks, sum(views)::bigint AS views,
    sum(bots)::bigint AS bots
FROM rollups
WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $3 AND bucket < $4
    AND ($5::bigint IS NULL OR link_id = $5)
GROUP BY bucket ORDER BY bucket;

-- name: hours
-- By hour of the zone's clock; an hour that comes twice when clocks go back stays two.
SELECT date_trunc('hour', bucket, $6) AS start,
    sum(clicks)::bigint AS clicks, sum(views)::bigint AS views,
    sum(bots)::bigint AS bots
FROM rollups
WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $3 AND bucket < $4
    AND ($5::bigint IS NULL OR link_id = $5)
GROUP BY start ORDER BY start;

-- name: dates
-- By the zone's calendar; $7 is day, week (from Monday) or month. A midnight of the wall clock.
SELECT date_trunc($7, bucket AT TIME ZONE $6) AS start,
    sum(clicks)::bigint AS clicks, sum(views)::bigint AS views,
    sum(bots)::bigint AS bots
FROM rollups
WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $3 AND bucket < $4
    AND ($5::bigint IS NULL OR link_id = $5)
GROUP BY start ORDER BY start;

-- name: as_of
-- When the last fold was committed.
SELECT max(committed_at) FROM journal_watermark;
