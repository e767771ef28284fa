-- name: pieces
-- Read the pieces of a profile's UTC days $3 to $4: its deltas, and the segments that touch the days (those whose clicks
-- are in tables as well if $5), with their columns if those have at most $6 clicks in all. Of a segment that has its day,
-- one of $7, for itself, only the parts $8 of its sums are read (engine/stats/packed/day_sums.py says where they stand). A
-- row without a `day` has no piece. The braces are filled with the names of columns (storage/stats/pieces.py).
WITH pieces AS (
    SELECT d.day, 1 AS days, d.clicks, coalesce(p.hot, false) AS hot, false AS in_tables, d.data, NULL::bytea AS sums,
        NULL::bytea AS quarters, {nothing}
    FROM click_deltas AS d LEFT JOIN profile_days AS p USING (tenant_id, profile_id, day)
    WHERE d.tenant_id = $1 AND d.profile_id = $2 AND d.day BETWEEN $3 AND $4
    UNION ALL
    SELECT day, days, clicks, false, in_tables, NULL, sums, quarters, {columns}
    FROM click_segments
    WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN greatest($3::date, '0002-01-01') - 31 AND $4
        AND day + days > $3 AND ($5 OR NOT in_tables)
), chosen AS (
    SELECT *, sums IS NOT NULL AND day = ANY($7::date[]) AND count(*) OVER (PARTITION BY day) = 1
        AND NOT EXISTS (SELECT FROM pieces AS m WHERE m.days > 1 AND p.day BETWEEN m.day AND m.day + m.days - 1) AS summed
    FROM pieces AS p
)
SELECT facts.*, day, clicks, hot, in_tables, summed, data,
    CASE WHEN summed THEN ARRAY(
        SELECT substring(sums FROM 1 + start FOR greatest(0, ends - start))
        FROM unnest($8::int[]) WITH ORDINALITY AS part(number, position),
            LATERAL (SELECT
                ('x' || encode(substring(sums FROM 1 + 4 * number FOR 4), 'hex'))::bit(32)::int AS start,
                ('x' || encode(substring(sums FROM 5 + 4 * number FOR 4), 'hex'))::bit(32)::int AS ends
            ) AS place
        ORDER BY position
    ) END AS sums,
    CASE WHEN NOT summed THEN quarters END AS quarters, {chosen}
FROM (
    SELECT (SELECT max(committed_at) FROM journals) AS as_of,
        (SELECT coalesce(sum(clicks), 0)::bigint FROM chosen WHERE NOT summed) AS all_clicks,
        EXISTS (SELECT FROM profile_days
            WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN $3 AND $4 AND hot) AS has_tables
) AS facts
LEFT JOIN chosen ON all_clicks <= $6;
