-- name: deltas
-- Read the deltas of a profile's UTC days $3 to $4, and whether the day is hot.
SELECT d.day, d.data, coalesce(p.hot, false) AS hot
FROM click_deltas AS d LEFT JOIN profile_days AS p USING (tenant_id, profile_id, day)
WHERE d.tenant_id = $1 AND d.profile_id = $2 AND d.day BETWEEN $3 AND $4;

-- name: segments
-- Read columns of the segments that touch a profile's UTC days $3 to $4; those whose clicks are in tables as well if
-- $5. The braces are filled with the names of columns (storage/stats/pieces.py).
SELECT day, clicks, in_tables, quarters, {columns}
FROM click_segments
WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN greatest($3::date, '0002-01-01') - 31 AND $4 AND day + days > $3
    AND ($5 OR NOT in_tables)
ORDER BY day, part;

-- name: clicks
-- Count the packed clicks of a profile's UTC days $3 to $4.
SELECT coalesce((SELECT sum(clicks) FROM click_deltas
        WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN $3 AND $4), 0)::bigint
    + coalesce((SELECT sum(clicks) FROM click_segments
        WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN $3::date - 31 AND $4 AND day + days > $3), 0)::bigint;
