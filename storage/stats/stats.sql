-- name: limits
-- For one transaction: its longest statement, and plans made for the values asked with.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: counts
-- Sums by row of the answer ($7 has their starts), and by link ($12) and value ($13) if asked, of both sides:
-- quarters of an hour that are not compacted, and months, days and parts of days that are. With dimension 0,
-- rollups has the counts that dimension_counts has not.
SELECT CASE WHEN $12 THEN link_id END AS link, CASE WHEN $13 THEN value END AS value, row,
    sum(clicks)::bigint AS clicks, sum(views)::bigint AS views, sum(bots)::bigint AS bots,
    sum(visitors)::bigint AS visitors
FROM (
    SELECT link_id, value, width_bucket(bucket, $7::timestamptz[]) AS row,
        clicks, views, bots, 0::bigint AS visitors
    FROM dimension_counts
    WHERE tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3::bigint[]) AND dimension = $4
        AND bucket >= $5 AND bucket < $6 AND $4 <> 0
    UNION ALL
    SELECT NULL, '', width_bucket(bucket, $7::timestamptz[]), clicks, views, bots, 0
    FROM (
        SELECT bucket, sum(clicks)::bigint AS clicks, sum(views)::bigint AS views,
            sum(bots)::bigint AS bots
        FROM rollups
        WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $5 AND bucket < $6 AND $4 = 0
            AND (-1 = ANY($3) OR link_id = ANY($3))
        GROUP BY bucket
    ) AS plain
    UNION ALL
    SELECT link_id, value, width_bucket(month::timestamptz, $7::timestamptz[]),
        clicks, views, bots, visitors
    FROM unnest($14::date[], $15::date[]) AS whole (first, next) JOIN dimension_months ON
        tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3) AND dimension = $4
        AND month >= first AND month < next
    UNION ALL
    SELECT link_id, value, width_bucket(day::timestamptz, $7::timestamptz[]),
        clicks, views, bots, visitors
    FROM unnest($16::date[], $17::date[]) AS whole (first, next)
    CROSS JOIN LATERAL (
        SELECT * FROM dimension_days
        WHERE tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3) AND dimension = $4
            AND day >= first AND day < next
        -- Range by range: a join would hold every week's against every day of the year.
        OFFSET 0
    ) AS days
    UNION ALL
    SELECT link_id, value, part.row,
        CASE WHEN before < last THEN clicks[last] - coalesce(clicks[before], 0) ELSE 0 END,
        CASE WHEN before < last THEN views[last] - coalesce(views[before], 0) ELSE 0 END,
        CASE WHEN before < last THEN bots[last] - coalesce(bots[before], 0) ELSE 0 END,
        CASE
            WHEN before >= last THEN 0
            WHEN part.first = 0 THEN visitors_before[last]
            WHEN part.next = 96 THEN visitors_after[before + 1]
            ELSE 0
        END
    FROM unnest($18::date[], $19::int[], $20::int[], $21::int[]) AS part (day, first, next, row)
    JOIN dimension_quarters AS q ON
        tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3) AND dimension = $4
        AND q.day = part.day
        AND q.day BETWEEN ($5 AT TIME ZONE 'UTC')::date AND ($6 AT TIME ZONE 'UTC')::date
    CROSS JOIN LATERAL (
        SELECT width_bucket(part.first - 1, q.at) AS before, width_bucket(part.next - 1, q.at) AS last
        OFFSET 0
    ) AS place
) AS found
WHERE ($8::text IS NULL OR value = $8)
    AND ($9::text[] IS NULL OR value <> ALL($9))
    AND ($10::text[] IS NULL OR
        NOT EXISTS (SELECT FROM unnest($10) AS part WHERE strpos(lower(value), part) = 0))
    AND ($11::text[] IS NULL OR value = ANY($11))
GROUP BY 1, 2, 3
HAVING sum(clicks) + sum(views) + sum(bots) > 0
ORDER BY
    CASE $22::text
        WHEN 'clicks' THEN sum(clicks) WHEN 'views' THEN sum(views) WHEN 'bots' THEN sum(bots)
        WHEN 'visitors' THEN sum(visitors)
        WHEN 'click_rate' THEN sum(clicks) / nullif(sum(views), 0)
    END * CASE WHEN $23 THEN -1 ELSE 1 END NULLS LAST,
    CASE WHEN $22 = 'value' AND $23 THEN CASE WHEN $13 THEN value END END DESC,
    CASE WHEN $22 = 'value' AND $23 THEN CASE WHEN $12 THEN link_id END END DESC,
    2, 1, 3
LIMIT $24;

-- name: quarters
-- The same where rows are shorter than a day: by each quarter of an hour. `visitors` is of that quarter alone.
SELECT CASE WHEN $12 THEN link_id END AS link, CASE WHEN $13 THEN value END AS value,
    width_bucket(bucket, $7::timestamptz[]) AS row,
    sum(clicks)::bigint AS clicks, sum(views)::bigint AS views, sum(bots)::bigint AS bots,
    sum(visitors)::bigint AS visitors
FROM (
    SELECT link_id, value, bucket, clicks, views, bots, 0::bigint AS visitors
    FROM dimension_counts
    WHERE tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3::bigint[]) AND dimension = $4
        AND bucket >= $5 AND bucket < $6 AND $4 <> 0
    UNION ALL
    SELECT NULL, '', bucket, sum(clicks)::bigint, sum(views)::bigint, sum(bots)::bigint, 0
    FROM rollups
    WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $5 AND bucket < $6 AND $4 = 0
        AND (-1 = ANY($3) OR link_id = ANY($3))
    GROUP BY bucket
    UNION ALL
    SELECT link_id, value, bucket,
        u.clicks - lag(u.clicks, 1, 0::bigint) OVER same_day,
        u.views - lag(u.views, 1, 0::bigint) OVER same_day,
        u.bots - lag(u.bots, 1, 0::bigint) OVER same_day,
        u.visitors
    FROM dimension_quarters AS q
    CROSS JOIN LATERAL unnest(q.at, q.clicks, q.views, q.bots, q.visitors)
        AS u (at, clicks, views, bots, visitors)
    CROSS JOIN LATERAL (SELECT q.day::timestamptz + u.at * interval '15 minutes' AS bucket) AS b
    WHERE tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3) AND dimension = $4
        AND day >= ($5 AT TIME ZONE 'UTC')::date AND day <= ($6 AT TIME ZONE 'UTC')::date
    WINDOW same_day AS (PARTITION BY link_id, day, value ORDER BY u.at)
) AS found
WHERE bucket >= $5 AND bucket < $6
    AND ($8::text IS NULL OR value = $8)
    AND ($9::text[] IS NULL OR value <> ALL($9))
    AND ($10::text[] IS NULL OR
        NOT EXISTS (SELECT FROM unnest($10) AS part WHERE strpos(lower(value), part) = 0))
    AND ($11::text[] IS NULL OR value = ANY($11))
GROUP BY 1, 2, 3
HAVING sum(clicks) + sum(views) + sum(bots) > 0
ORDER BY 3, 2, 1;

-- name: sketches
-- What visitors must be merged of: quarters that are not compacted, and those of parts in the midst of a day.
SELECT CASE WHEN $12 THEN link_id END AS link, value, row, day, array_agg(visitors) AS sketches
FROM (
    SELECT link_id, value, width_bucket(bucket, $7::timestamptz[]) AS row,
        (bucket AT TIME ZONE 'UTC')::date AS day, visitors
    FROM dimension_counts
    WHERE tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3::bigint[]) AND dimension = $4
        AND bucket >= $5 AND bucket < $6 AND visitors IS NOT NULL
    UNION ALL
    SELECT link_id, value,
        width_bucket(q.day::timestamptz + u.at * interval '15 minutes', $7::timestamptz[]), q.day, u.sketch
    FROM unnest($13::date[], $14::int[], $15::int[]) AS part (day, first, next)
    JOIN dimension_quarters AS q ON
        tenant_id = $1 AND profile_id = $2 AND link_id = ANY($3) AND dimension = $4
        AND q.day = part.day
        AND q.day BETWEEN ($5 AT TIME ZONE 'UTC')::date AND ($6 AT TIME ZONE 'UTC')::date
    CROSS JOIN LATERAL unnest(q.at, q.sketches) AS u (at, sketch)
    WHERE u.at >= part.first AND u.at < part.next AND u.sketch IS NOT NULL
) AS found
WHERE ($8::text IS NULL OR value = $8)
    AND ($9::text[] IS NULL OR value <> ALL($9))
    AND ($10::text[] IS NULL OR
        NOT EXISTS (SELECT FROM unnest($10) AS part WHERE strpos(lower(value), part) = 0))
    AND ($11::text[] IS NULL OR value = ANY($11))
GROUP BY link_id, value, row, day;

-- name: as_of
-- When the last fold was committed.
SELECT max(committed_at) FROM journals;

-- name: watermark
-- Another text after each commit: the latest alone would not tell of one that began before it and ended after.
SELECT concat_ws(' ', count(*), max(committed_at), sum(extract(epoch FROM committed_at)),
    sum(extract(epoch FROM dimension_counted_at)))
FROM journals;

-- name: crossable
-- Since when raw clicks are kept, and how many there are in the period, of a link or ($5 NULL) of all.
SELECT greatest(now() - raw_retention_days * interval '1 day', (
    SELECT max(since)::timestamptz FROM raw_click_retention WHERE (tenant_id, profile_id) IN (($1, $2), (0, 0))
)) AS since, (
    SELECT coalesce(sum(clicks + views + bots), 0)::bigint FROM (
        SELECT clicks, views, bots FROM rollups
        WHERE tenant_id = $1 AND profile_id = $2 AND bucket >= $3 AND bucket < $4
            AND ($5::bigint IS NULL OR link_id = $5)
        UNION ALL
        SELECT clicks, views, bots FROM dimension_days
        WHERE tenant_id = $1 AND profile_id = $2 AND link_id = coalesce($5, -1) AND dimension = 0
            AND day > ($3 AT TIME ZONE 'UTC')::date AND day < ($4 AT TIME ZONE 'UTC')::date
        UNION ALL
        SELECT clicks[last] - coalesce(clicks[before], 0), views[last] - coalesce(views[before], 0),
            bots[last] - coalesce(bots[before], 0)
        FROM dimension_quarters AS q
        CROSS JOIN LATERAL (SELECT
            CASE WHEN $3 > day::timestamptz THEN extract(epoch FROM $3 - day::timestamptz)::int / 900 ELSE 0 END AS first,
            CASE WHEN $4 < (day + 1)::timestamptz
                THEN (extract(epoch FROM $4 - day::timestamptz)::int + 899) / 900 ELSE 96 END AS next
        ) AS part
        CROSS JOIN LATERAL (
            SELECT width_bucket(part.first - 1, q.at) AS before, width_bucket(part.next - 1, q.at) AS last
            OFFSET 0
        ) AS place
        WHERE tenant_id = $1 AND profile_id = $2 AND link_id = coalesce($5, -1) AND dimension = 0
            AND day IN (($3 AT TIME ZONE 'UTC')::date, ($4 AT TIME ZONE 'UTC')::date) AND before < last
    ) AS sums
) AS clicks
FROM profiles WHERE tenant_id = $1 AND id = $2;

-- name: crossed
-- From raw clicks, by two values, row and UTC day. What stands behind the marks is a column's expression, or conditions
-- on such, of storage/stats/crossed.py. `people` are the visitors' pseudonyms, 8 bytes each, as often as they came:
-- to find the different ones takes the caller a tenth of the time.
SELECT /*first*/''::text AS first, /*second*/''::text AS second, /*row*/1 AS row,
    /*day*/NULL::timestamptz AS day,
    count(*) FILTER (WHERE classification & 7 IN (0, 1, 6) AND kind = 1) AS clicks,
    count(*) FILTER (WHERE classification & 7 IN (0, 1, 6) AND kind = 2) AS views,
    count(*) FILTER (WHERE classification & 7 IN (2, 3, 4)) AS bots,
    string_agg(int8send(/*visitor*/NULL), ''::bytea) FILTER (WHERE classification & 7 IN (0, 1, 6)) AS people
FROM clicks
WHERE tenant_id = $1 AND profile_id = $2 AND at >= $3 AND at < $4
    AND /*filters*/cardinality($5::timestamptz[]) > 0
GROUP BY first, second, row, day
HAVING count(*) FILTER (WHERE classification & 7 IN (0, 1, 2, 3, 4, 6)) > 0
LIMIT /*limit*/$6;

-- name: export
-- Raw clicks in the columns of CLICK_COLUMNS (engine/stats/ports.py), day by day; no pseudonym of a visitor.
SELECT at AS time, link_id::text, CASE kind WHEN 1 THEN 'click' ELSE 'view' END,
    CASE classification & 7
        WHEN 2 THEN 'bot' WHEN 3 THEN 'preview' WHEN 4 THEN 'prefetch' WHEN 5 THEN 'head' WHEN 6 THEN 'tool'
        ELSE 'human'
    END,
    continent, country, region, city, browser, os, device, referrer_host, source, utm_source, utm_medium,
    utm_campaign, utm_term, utm_content, locale, domain,
    CASE trigger WHEN 1 THEN 'page' WHEN 2 THEN 'qr' ELSE 'link' END
FROM clicks
WHERE tenant_id = $1 AND profile_id = $2 AND at >= $3 AND at < $4;
