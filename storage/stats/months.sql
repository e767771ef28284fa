-- name: no_time_limit
-- Allow the transaction 20 minutes, as all months of all profiles are looked through.
SET LOCAL statement_timeout = '20min';

-- name: finished_months
-- List profiles' months before $1 that have more than one delta or segment of whole days, and at most $2 clicks in
-- them, hot days left out: at most $3, after the key ($4, $5, $6).
SELECT tenant_id, profile_id, month FROM (
    SELECT d.tenant_id, d.profile_id, date_trunc('month', d.day)::date AS month, d.clicks
    FROM click_deltas AS d LEFT JOIN profile_days AS p USING (tenant_id, profile_id, day)
    WHERE d.day < $1 AND p.hot IS NOT TRUE
    UNION ALL
    SELECT s.tenant_id, s.profile_id, date_trunc('month', s.day)::date, s.clicks
    FROM click_segments AS s LEFT JOIN profile_days AS p USING (tenant_id, profile_id, day)
    WHERE s.day < $1 AND NOT s.in_tables AND (p.hot IS NOT TRUE OR s.days > 1)
) AS pieces
WHERE (tenant_id, profile_id, month) > ($4, $5, $6)
GROUP BY 1, 2, 3 HAVING count(*) > 1 AND sum(clicks) <= $2
ORDER BY 1, 2, 3 LIMIT $3;

-- name: days
-- List the days of a profile's month that have deltas or segments, hot days left out.
SELECT days.day FROM (
    SELECT DISTINCT day FROM click_deltas
    WHERE tenant_id = $1 AND profile_id = $2 AND day >= $3 AND day < $3::date + interval '1 month'
    UNION
    SELECT day FROM click_segments
    WHERE tenant_id = $1 AND profile_id = $2 AND day >= $3 AND day < $3::date + interval '1 month'
        AND days = 1 AND NOT in_tables
) AS days LEFT JOIN profile_days AS p ON p.tenant_id = $1 AND p.profile_id = $2 AND p.day = days.day
WHERE p.hot IS NOT TRUE ORDER BY 1;

-- name: take_segments
-- Take the segments of days of a profile, those in tables left out, and that of the whole month, $4.
DELETE FROM click_segments
WHERE tenant_id = $1 AND profile_id = $2 AND NOT in_tables
    AND (day = ANY($3::date[]) AND days = 1 OR day = $4 AND days > 1)
RETURNING *;

-- name: forget_days
-- Delete the rows of days of a profile, which hold no more than the lock.
DELETE FROM profile_days WHERE tenant_id = $1 AND profile_id = $2 AND day = ANY($3::date[]) AND NOT hot;
