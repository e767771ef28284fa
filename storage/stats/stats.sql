-- name: limits
-- Limit the longest statement of this transaction, and plan for the actual values.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: counts
-- Sum counts by row of the answer, and by link and value if the statement is by them: stored ones, and the sums of
-- packed clicks, which have their visitors elsewhere (storage/stats/reader.py). storage/stats/reading/statements.py fills in
-- the parts in braces: `rows` is a union of the queries below.
SELECT link, value, row,
    sum(clicks)::bigint AS clicks, sum(views)::bigint AS views, sum(bots)::bigint AS bots,
    sum(visitors)::bigint AS visitors
FROM (
    SELECT {link} AS link, {value} AS value, row, clicks, views, bots, visitors
    FROM (
        {rows}
    ) AS stored
    WHERE {passes}
    UNION ALL
    SELECT link, value COLLATE "C", row, clicks, views, bots, 0
    FROM unnest(:packed_links::bigint[], :packed_values::text[], :packed_rows::int[], :packed_clicks::bigint[],
        :packed_views::bigint[], :packed_bots::bigint[]) AS packed (link, value, row, clicks, views, bots)
) AS counts
GROUP BY 1, 2, 3
HAVING sum(clicks) + sum(views) + sum(bots) > 0 {after}
ORDER BY {order}
LIMIT :limit;

-- name: passes
-- Choose rows by their value: one of `values`, none of `unequal`, and of `contained` one of each number of
-- `contained_by` in it (ignoring the case of A to Z). The brace is filled with the value, or with it in lower case.
(:values::text[] IS NULL OR {operand} = ANY(:values))
    AND (:unequal::text[] IS NULL OR {operand} <> ALL(:unequal))
    AND (:contained::text[] IS NULL OR NOT EXISTS (
        SELECT FROM unnest(:contained, :contained_by::int[]) AS part (text, number)
        GROUP BY number HAVING bool_and(strpos(lower(stored.value), text) = 0)));

-- name: after
-- Choose groups behind a cursor's: those of a lower (or higher) metric, then those of the same and a higher value.
AND ({number} {sign} {last}
    OR ({number} IS NOT DISTINCT FROM {last} AND ({value}, {link}) > (:after_value, :after_link))
    OR ({number} IS NULL AND {last} IS NOT NULL));

-- name: rollups
-- Read rollups that are not compacted.
SELECT NULL::bigint AS link_id, '' COLLATE "C" AS value, width_bucket(bucket, :starts::timestamptz[]) AS row,
    clicks, views, bots, 0::bigint AS visitors
FROM rollups
WHERE tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
    AND bucket >= :from AND bucket < :to;

-- name: live_dimensions
-- Read dimension counts that are not compacted.
SELECT link_id, value, width_bucket(bucket, :starts::timestamptz[]) AS row,
    clicks, views, bots, 0::bigint AS visitors
FROM dimension_counts
WHERE tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
    AND dimension = :dimension AND bucket >= :from AND bucket < :to;

-- name: months
-- Read whole UTC months in `months`.
SELECT link_id, value, width_bucket(month::timestamptz, :starts::timestamptz[]) AS row,
    clicks, views, bots, visitors
FROM unnest(:month_firsts::date[], :month_ends::date[]) AS whole (first, next)
JOIN dimension_months ON tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
    AND dimension = :dimension AND month >= first AND month < next;

-- name: days
-- Read whole UTC days.
SELECT link_id, value, width_bucket(day::timestamptz, :starts::timestamptz[]) AS row,
    clicks, views, bots, visitors
FROM unnest(:day_firsts::date[], :day_ends::date[]) AS whole (first, next)
CROSS JOIN LATERAL (
    SELECT * FROM dimension_days
    WHERE tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
        AND dimension = :dimension AND day >= first AND day < next
    -- Range by range: a join would hold every week's against every day of the year.
    OFFSET 0
) AS days;

-- name: day_parts
-- Read parts of UTC days, by the prefix sums of their quarters.
SELECT link_id, value, part.row,
    CASE WHEN before < last THEN clicks[last] - coalesce(clicks[before], 0) ELSE 0 END AS clicks,
    CASE WHEN before < last THEN views[last] - coalesce(views[before], 0) ELSE 0 END AS views,
    CASE WHEN before < last THEN bots[last] - coalesce(bots[before], 0) ELSE 0 END AS bots,
    CASE
        WHEN before >= last THEN 0
        WHEN part.first = 0 THEN visitors_before[last]
        WHEN part.next = 96 THEN visitors_after[before + 1]
        ELSE 0
    END AS visitors
FROM unnest(:part_days::date[], :part_firsts::int[], :part_ends::int[], :part_rows::int[])
    AS part (day, first, next, row)
JOIN dimension_quarters AS q ON
    tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
    AND dimension = :dimension AND q.day = part.day
    AND q.day BETWEEN (:from AT TIME ZONE 'UTC')::date AND (:to AT TIME ZONE 'UTC')::date
CROSS JOIN LATERAL (
    SELECT width_bucket(part.first - 1, q.at) AS before, width_bucket(part.next - 1, q.at) AS last
    OFFSET 0
) AS place;

-- name: quarters
-- Read each quarter of an hour of compacted days. `visitors` are of this quarter alone.
SELECT link_id, value, width_bucket(bucket, :starts::timestamptz[]) AS row, clicks, views, bots, visitors
FROM (
    SELECT link_id, value, bucket,
        u.clicks - lag(u.clicks, 1, 0::bigint) OVER same_day AS clicks,
        u.views - lag(u.views, 1, 0::bigint) OVER same_day AS views,
        u.bots - lag(u.bots, 1, 0::bigint) OVER same_day AS bots,
        u.visitors
    FROM dimension_quarters AS q
    CROSS JOIN LATERAL unnest(q.at, q.clicks, q.views, q.bots, q.visitors)
        AS u (at, clicks, views, bots, visitors)
    CROSS JOIN LATERAL (SELECT q.day::timestamptz + u.at * interval '15 minutes' AS bucket) AS b
    WHERE tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
        AND dimension = :dimension
        AND day >= (:from AT TIME ZONE 'UTC')::date AND day <= (:to AT TIME ZONE 'UTC')::date
    WINDOW same_day AS (PARTITION BY link_id, day, value ORDER BY u.at)
) AS each_quarter
WHERE bucket >= :from AND bucket < :to;

-- name: live_sketches
-- Read sketches of time buckets that are not compacted, together by link, value and UTC day, with the numbers of their
-- quarters since 1970. The braces are filled with the query `passes`.
SELECT link_id, value, (bucket AT TIME ZONE 'UTC')::date AS day, array_agg(date_part('epoch', bucket)::bigint / 900),
    array_agg(visitors)
FROM dimension_counts AS stored
WHERE tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
    AND dimension = :dimension AND bucket >= :from AND bucket < :to AND visitors IS NOT NULL AND {passes}
GROUP BY 1, 2, 3;

-- name: quarter_sketches
-- Read sketches of some quarters of compacted days. The braces are filled with the query `passes`.
SELECT link_id, value, stored.day, array_agg((stored.day - date '1970-01-01')::bigint * 96 + u.at), array_agg(u.sketch)
FROM unnest(:sketch_days::date[], :sketch_firsts::int[], :sketch_ends::int[]) AS part (day, first, next)
JOIN dimension_quarters AS stored ON
    tenant_id = :tenant_id AND profile_id = :profile_id AND link_id = ANY(:links::bigint[])
    AND dimension = :dimension AND stored.day = part.day
    AND stored.day BETWEEN (:from AT TIME ZONE 'UTC')::date AND (:to AT TIME ZONE 'UTC')::date
CROSS JOIN LATERAL unnest(stored.at, stored.sketches) AS u (at, sketch)
WHERE u.at >= part.first AND u.at < part.next AND u.sketch IS NOT NULL AND {passes}
GROUP BY 1, 2, 3;

-- name: first_day
-- Return the first UTC day of a profile with counts; NULL: there is none.
SELECT least(
    (SELECT min(day) FROM click_deltas WHERE tenant_id = $1 AND profile_id = $2),
    (SELECT min(day) FROM click_segments WHERE tenant_id = $1 AND profile_id = $2),
    (SELECT min(bucket AT TIME ZONE 'UTC')::date FROM rollups WHERE tenant_id = $1 AND profile_id = $2),
    (SELECT min(day) FROM profile_days WHERE tenant_id = $1 AND profile_id = $2 AND hot)
) AS day;

-- name: link_names
-- Return the names of a profile's links $3; of 0, its page.
SELECT links.id, handle, slug, links.title
FROM profiles JOIN links ON links.tenant_id = profiles.tenant_id AND links.profile_id = profiles.id
WHERE profiles.tenant_id = $1 AND profiles.id = $2 AND links.id = ANY($3::bigint[])
UNION ALL
SELECT 0, handle, NULL, title FROM profiles WHERE tenant_id = $1 AND id = $2 AND 0 = ANY($3::bigint[]);

-- name: stats_versions
-- Return the versions of some profiles' counts.
SELECT tenant_id, profile_id, version FROM stats_versions($1, $2);

-- name: tables_only_since
-- Return the first UTC day from which on packed clicks of the profile's hot days are kept; NULL: no such profile.
SELECT greatest((now() AT TIME ZONE 'UTC')::date - raw_retention_days::int, (
    SELECT max(since) FROM raw_click_retention WHERE (tenant_id, profile_id) IN (($1, $2), (0, 0))
)) AS since
FROM profiles WHERE tenant_id = $1 AND id = $2;

-- name: few_since
-- Return the UTC day from which on the pieces of days until $4 have at most $5 clicks; those from $3 on have more.
SELECT max(last) + 1 FROM (
    SELECT last, sum(clicks) OVER (ORDER BY last DESC) AS clicks
    FROM (
        SELECT day AS last, clicks FROM click_deltas
        WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN $3 AND $4
        UNION ALL
        SELECT day + days - 1, clicks FROM click_segments
        WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN greatest($3::date, '0002-01-01') - 31 AND $4
            AND day + days > $3
    ) AS pieces
) AS since WHERE clicks > $5;

-- name: has_hot_days
-- Return whether a profile has hot days from $3 on, before $4.
SELECT EXISTS (SELECT FROM profile_days
    WHERE tenant_id = $1 AND profile_id = $2 AND day >= $3 AND day < $4 AND hot);

-- name: export
-- Read raw clicks in the columns of CLICK_COLUMNS (engine/stats/ports.py), day by day; no pseudonym of a visitor.
-- The braces are filled with the columns of TEXT_COLUMNS (engine/clicks/dimension.py).
SELECT at AS time, link_id::text, CASE kind WHEN 1 THEN 'click' WHEN 2 THEN 'view' ELSE 'event' END,
    visitor_kind(classification), {texts}, trigger_name(trigger), split_part(event, E'\x1f', 1),
    replace(nullif(substr(event, strpos(event || E'\x1f', E'\x1f') + 1), ''), E'\x1f', ', ')
FROM clicks
WHERE tenant_id = $1 AND profile_id = $2 AND at >= $3 AND at < $4;
