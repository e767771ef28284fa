-- Clicks of a profile's links that tables of hot days count; packed ones are read by storage/stats/pieces.py.

-- name: limit
-- Limit the longest statement of this transaction, and plan for the actual values.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: in_tables
-- Sum the clicks of links ($5; NULL: of all) in the UTC days $3 to $4, with the number since 1970 of the last quarter of
-- an hour that has one: days that are compacted, and days that are not.
SELECT link_id, sum(clicks)::bigint AS clicks, max(quarter)::bigint AS quarter
FROM (
    SELECT link_id, sum(clicks) AS clicks, (extract(epoch FROM max(bucket)) / 900)::bigint AS quarter
    FROM rollups
    WHERE tenant_id = $1 AND profile_id = $2 AND link_id > 0 AND clicks > 0
        AND ($5::bigint[] IS NULL OR link_id = ANY ($5::bigint[]))
        AND bucket >= $3::date::timestamp AT TIME ZONE 'UTC' AND bucket < ($4::date + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY link_id
    UNION ALL
    SELECT d.link_id, d.clicks, (
        -- Counts of quarters are cumulated: the first one with the day's sum has the last click.
        SELECT (d.last - date '1970-01-01') * 96 + q.at[array_position(q.clicks, q.clicks[cardinality(q.clicks)])]
        FROM dimension_quarters AS q
        WHERE q.tenant_id = $1 AND q.profile_id = $2 AND q.link_id = d.link_id AND q.dimension = 0 AND q.day = d.last
            AND q.value = ''
    )
    FROM (
        SELECT link_id, sum(clicks) AS clicks, max(day) AS last
        FROM dimension_days
        WHERE tenant_id = $1 AND profile_id = $2 AND link_id > 0 AND dimension = 0 AND value = '' AND clicks > 0
            AND ($5::bigint[] IS NULL OR link_id = ANY ($5::bigint[])) AND day BETWEEN $3 AND $4
        GROUP BY link_id
    ) AS d
) AS counted
GROUP BY link_id;
