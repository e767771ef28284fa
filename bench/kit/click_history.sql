-- name: scratch
-- Inputs: proportions of values, clicks of days, sketches to choose from.
CREATE TEMPORARY TABLE bench_values (link_id bigint, dimension smallint, value text COLLATE "C", share float8);
CREATE TEMPORARY TABLE bench_days (day date, clicks float8);
CREATE TEMPORARY TABLE bench_pool (rank integer, pick integer, sketch bytea);

-- name: quarters_of_a_day
-- Cumulative proportion of a day's clicks at the end of each time bucket: few at night, most in the evening.
CREATE TEMPORARY TABLE bench_quarters AS
SELECT q, sum(weight) OVER (ORDER BY q) / sum(weight) OVER () AS cumulative
FROM (SELECT q, 1.05 + sin((q - 36) * pi() / 48) AS weight FROM generate_series(0, 95) AS q) AS w;

-- name: sums
-- For each day and dimension value, its number n of clicks, views and bots together.
CREATE TEMPORARY TABLE bench_sums AS
SELECT link_id, dimension, day, value, round(clicks * share)::bigint AS n
FROM bench_values, bench_days WHERE round(clicks * share) > 0;

-- name: shapes
-- The arrays of a day with n events, by n. Eight in ten are clicks, one in twenty bots. Storage is plain, because
-- a compressed array would stay compressed in the table that it is copied to.
CREATE TEMPORARY TABLE bench_shapes (
    n bigint,
    at integer[] STORAGE PLAIN,
    clicks bigint[] STORAGE PLAIN,
    views bigint[] STORAGE PLAIN,
    bots bigint[] STORAGE PLAIN,
    visitors bigint[] STORAGE PLAIN,
    visitors_before bigint[] STORAGE PLAIN,
    visitors_after bigint[] STORAGE PLAIN,
    nothing bytea[]
);
INSERT INTO bench_shapes
SELECT n, array_agg(q ORDER BY q) AS at,
    array_agg(so_far * 16 / 20 ORDER BY q) AS clicks,
    array_agg(so_far - so_far * 16 / 20 - so_far / 20 ORDER BY q) AS views,
    array_agg(so_far / 20 ORDER BY q) AS bots,
    array_agg(greatest(1, added * 17 / 20) ORDER BY q) AS visitors,
    array_agg(greatest(1, so_far * 14 / 20) ORDER BY q) AS visitors_before,
    array_agg(greatest(1, (n - so_far + added) * 14 / 20) ORDER BY q) AS visitors_after,
    array_agg(NULL::bytea) AS nothing
FROM (
    SELECT n, q, so_far, so_far - lag(so_far, 1, 0::bigint) OVER (PARTITION BY n ORDER BY q) AS added
    FROM (
        SELECT n, q, round(n * cumulative)::bigint AS so_far
        FROM (SELECT DISTINCT n FROM bench_sums) AS counts, bench_quarters
    ) AS cumulated
) AS steps
WHERE added > 0 GROUP BY n;
CREATE UNIQUE INDEX ON bench_shapes (n);
ANALYZE bench_shapes;
ANALYZE bench_sums;

-- name: quarters
-- Days from $4 on get sketches. Rows are sorted before the arrays are joined, because the arrays are gigabytes.
INSERT INTO waypost.dimension_quarters
SELECT $1::bigint, $2::bigint, link_id, dimension, day, value,
    at, clicks, views, bots, visitors, visitors_before, visitors_after,
    CASE WHEN day < $4::date THEN nothing ELSE (
        SELECT array_agg(sketch ORDER BY u.at)
        FROM unnest(s.at, s.visitors) AS u (at, visitors) JOIN bench_pool
            ON rank = width_bucket(least(u.visitors, 12000) - 1, $5::bigint[]) AND pick = u.at % 8
    ) END
FROM (
    SELECT * FROM bench_sums WHERE day < $3::date ORDER BY link_id, dimension, day, value
) AS sums
CROSS JOIN LATERAL (SELECT * FROM bench_shapes WHERE n = sums.n OFFSET 0) AS s;

-- name: days
-- Counts of whole days.
INSERT INTO waypost.dimension_days
SELECT $1::bigint, $2::bigint, link_id, dimension, day, value,
    clicks[cardinality(at)], views[cardinality(at)], bots[cardinality(at)], visitors_before[cardinality(at)]
FROM bench_sums JOIN bench_shapes USING (n)
WHERE day < $3::date
ORDER BY link_id, dimension, day, value;

-- name: months
-- Counts of months, summed over days.
INSERT INTO waypost.dimension_months
SELECT tenant_id, profile_id, link_id, dimension, date_trunc('month', day)::date, value,
    sum(clicks), sum(views), sum(bots), sum(visitors)
FROM waypost.dimension_days WHERE tenant_id = $1 AND profile_id = $2
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6;

-- name: live
-- Today's time buckets. For the total (dimension 0) only sketches, because its counts are in rollups.
INSERT INTO waypost.dimension_counts
SELECT $1::bigint, $2::bigint, link_id, dimension, $3::date::timestamptz + u.at * interval '15 minutes', value,
    CASE WHEN dimension = 0 THEN 0 ELSE u.clicks - lag(u.clicks, 1, 0::bigint) OVER w END,
    CASE WHEN dimension = 0 THEN 0 ELSE u.views - lag(u.views, 1, 0::bigint) OVER w END,
    CASE WHEN dimension = 0 THEN 0 ELSE u.bots - lag(u.bots, 1, 0::bigint) OVER w END,
    (SELECT sketch FROM bench_pool
     WHERE rank = width_bucket(least(u.visitors, 12000) - 1, $5::bigint[]) AND pick = u.at % 8)
FROM bench_sums JOIN bench_shapes AS s USING (n)
CROSS JOIN LATERAL unnest(s.at, s.clicks, s.views, s.bots, s.visitors)
    AS u (at, clicks, views, bots, visitors)
WHERE day = $3::date AND $3::date::timestamptz + u.at * interval '15 minutes' <= $4::timestamptz
WINDOW w AS (PARTITION BY link_id, dimension, value ORDER BY u.at)
ORDER BY link_id, dimension, u.at, value;

-- name: live_rollups
-- Today's rollups of each link and of the profile.
INSERT INTO waypost.rollups
SELECT $1::bigint, $2::bigint, link_id, $3::date::timestamptz + u.at * interval '15 minutes',
    u.clicks - lag(u.clicks, 1, 0::bigint) OVER w, u.views - lag(u.views, 1, 0::bigint) OVER w,
    u.bots - lag(u.bots, 1, 0::bigint) OVER w
FROM bench_sums JOIN bench_shapes AS s USING (n)
CROSS JOIN LATERAL unnest(s.at, s.clicks, s.views, s.bots) AS u (at, clicks, views, bots)
WHERE day = $3::date AND dimension = 0
    AND $3::date::timestamptz + u.at * interval '15 minutes' <= $4::timestamptz
WINDOW w AS (PARTITION BY link_id ORDER BY u.at)
ORDER BY link_id, u.at;

-- name: hot_days
-- Make all days of the profile hot, as their counts are in tables.
INSERT INTO waypost.profile_days (tenant_id, profile_id, day, hot)
SELECT $1::bigint, $2::bigint, $3::date - n, true FROM generate_series(0, $4::int) AS n
ON CONFLICT (tenant_id, profile_id, day) DO UPDATE SET hot = true;

-- name: raw
-- $4 raw clicks of the last $3 days, distributed like the counts. Each visitor has five clicks.
INSERT INTO waypost.clicks (
    tenant_id, profile_id, link_id, at, sequence, journal_id, kind, classification, rule, visitor, browser, os, device,
    referrer_host, source, locale, continent, country, city, domain, utm_source, utm_campaign)
SELECT $1::bigint, $2::bigint, links[1 + floor(r1 * r1 * r1 * cardinality(links))::int],
    $5::timestamptz - r2 * $3::int * interval '1 day', n, '00000000-0000-0000-0000-000000000001',
    CASE WHEN r4 < 0.8 THEN 1 ELSE 2 END, CASE WHEN r4 > 0.95 THEN 2 ELSE 1 END, 1,
    floor(r3 * $4 / 5)::bigint + 1,
    'browser ' || 1 + floor(r3 * r3 * 18), 'os ' || 1 + floor(r3 * r3 * 12), 'device ' || 1 + floor(r3 * 5),
    CASE WHEN r1 > 0.4 THEN 'referrer ' || 1 + floor(r1 * r1 * 150) END,
    CASE WHEN r1 > 0.5 THEN 'source ' || 1 + floor(r1 * r1 * 14) END, 'language ' || 1 + floor(r3 * r3 * 30),
    'continent 1', chr(65 + floor(r3 * r3 * 4)::int) || chr(65 + floor(r3 * r3 * 25)::int),
    'city ' || 1 + floor(r3 * r3 * 300), 'domain 1',
    CASE WHEN r4 < 0.3 THEN 'utm_source ' || 1 + floor(r1 * 12) END,
    CASE WHEN r4 < 0.3 THEN 'utm_campaign ' || 1 + floor(r1 * 40) END
FROM (
    SELECT n, random() AS r1, random() AS r2, random() AS r3, random() AS r4
    FROM generate_series(1, $4::bigint) AS n
) AS dice, (SELECT array_agg(id ORDER BY id) AS links FROM waypost.links WHERE profile_id = $2) AS l;
