-- name: change_stats_version
-- Change the stats version, because no fold does it.
UPDATE journals SET recounted_at = clock_timestamp() WHERE journal_id = (
    SELECT journal_id FROM journals ORDER BY committed_at DESC NULLS LAST, journal_id LIMIT 1);

-- name: no_time_limit
-- Allow the statements 20 minutes, as a day of a large profile takes longer than a stats query may; locks are
-- not waited for that long.
SET LOCAL statement_timeout = '20min';

-- name: no_idle_limit
-- Keep the transaction while another connection does the work.
SET LOCAL idle_in_transaction_session_timeout = '20min';

-- name: kept_since
-- Return the first UTC day whose raw clicks the profile still has; NULL: no such profile.
SELECT greatest((clock_timestamp() AT TIME ZONE 'UTC')::date - raw_retention_days::int,
    (SELECT max(since) FROM raw_click_retention WHERE (tenant_id, profile_id) IN (($1, $2), (0, 0))))
FROM profiles WHERE tenant_id = $1 AND id = $2;

-- name: profiles_of
-- List existing profiles with raw clicks or counts of a UTC day; all, or the one with a handle or id.
SELECT p.tenant_id, p.id FROM profiles AS p
WHERE ($2::text IS NULL OR p.handle = $2 OR p.id::text = $2) AND (
    (p.tenant_id, p.id) IN (
        SELECT tenant_id, profile_id FROM clicks
        WHERE at >= $1::date::timestamp AT TIME ZONE 'UTC' AND at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
        UNION
        SELECT tenant_id, profile_id FROM profile_days WHERE day = $1
        UNION
        SELECT tenant_id, profile_id FROM click_segments WHERE day BETWEEN $1::date - 31 AND $1 AND day + days > $1)
    OR EXISTS (SELECT FROM dimension_days AS d WHERE d.tenant_id = p.tenant_id AND d.profile_id = p.id
        AND d.link_id = -1 AND d.dimension = 0 AND d.day = $1))
ORDER BY p.tenant_id, p.id;

-- name: profile
-- Return whether there is a profile with this handle or id.
SELECT EXISTS (SELECT FROM profiles WHERE handle = $1 OR id::text = $1);

-- name: subtract_from_months
-- Subtract a profile's day from its month.
UPDATE dimension_months AS m
SET clicks = m.clicks - d.clicks, views = m.views - d.views, bots = m.bots - d.bots,
    visitors = m.visitors - d.visitors
FROM dimension_days AS d
WHERE d.tenant_id = $1 AND d.profile_id = $2 AND d.day = $3 AND m.tenant_id = $1 AND m.profile_id = $2
    AND m.link_id = d.link_id AND m.dimension = d.dimension AND m.value = d.value
    AND m.month = date_trunc('month', $3::date)::date;

-- name: delete_empty_months
-- Delete the month's values that are left without counts.
DELETE FROM dimension_months
WHERE tenant_id = $1 AND profile_id = $2 AND month = date_trunc('month', $3::date)::date
    AND clicks = 0 AND views = 0 AND bots = 0 AND visitors = 0;

-- name: delete_days
-- Delete the day's counts of a profile.
DELETE FROM dimension_days WHERE tenant_id = $1 AND profile_id = $2 AND day = $3;

-- name: delete_quarters
-- Delete the day's compacted quarters of a profile.
DELETE FROM dimension_quarters WHERE tenant_id = $1 AND profile_id = $2 AND day = $3;

-- name: delete_rollups
-- Delete the day's rollups of a profile.
DELETE FROM rollups WHERE tenant_id = $1 AND profile_id = $2
    AND bucket >= $3::date::timestamp AT TIME ZONE 'UTC' AND bucket < ($3::date + 1)::timestamp AT TIME ZONE 'UTC';

-- name: delete_dimension_counts
-- Delete the day's live dimension counts of a profile.
DELETE FROM dimension_counts WHERE tenant_id = $1 AND profile_id = $2
    AND bucket >= $3::date::timestamp AT TIME ZONE 'UTC' AND bucket < ($3::date + 1)::timestamp AT TIME ZONE 'UTC';

-- name: delete_deltas
-- Delete the day's deltas of a profile.
DELETE FROM click_deltas WHERE tenant_id = $1 AND profile_id = $2 AND day = $3;

-- name: delete_damaged_deltas
-- Delete the day's deltas of a profile that could not be unpacked.
DELETE FROM damaged_deltas WHERE tenant_id = $1 AND profile_id = $2 AND day = $3;

-- name: take_segments
-- Take the segments of a profile that touch the day.
DELETE FROM click_segments
WHERE tenant_id = $1 AND profile_id = $2 AND day BETWEEN $3::date - 31 AND $3 AND day + days > $3
RETURNING *;

-- name: raw
-- Read raw clicks that are counted. The mark is replaced by the columns of TEXT_COLUMNS (engine/clicks/dimension.py).
SELECT c.link_id, floor(extract(epoch FROM c.at))::bigint % 86400 / 900, c.kind, c.classification, c.visitor, c.trigger,
    c.exposures, c.outcomes, c.event, /*texts*/NULL::text AS texts
FROM clicks AS c
WHERE c.tenant_id = $1 AND c.profile_id = $2 AND c.at >= $3::date::timestamp AT TIME ZONE 'UTC'
    AND c.at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
    AND (is_counted(c.classification) OR is_bot(c.classification) AND c.kind <> 3)
ORDER BY c.at, c.journal_id, c.sequence;

-- name: texts
-- Read the distinct texts of a profile's raw clicks of a day that were classified by a rule before $4.
SELECT DISTINCT c.user_agent_id, u.text AS user_agent, c.referrer, c.language, c.utm_source
FROM clicks AS c LEFT JOIN user_agents AS u ON u.id = c.user_agent_id
WHERE c.tenant_id = $1 AND c.profile_id = $2 AND c.at >= $3::date::timestamp AT TIME ZONE 'UTC'
    AND c.at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC' AND c.rule < $4;

-- name: join_by_hash
-- Forbid nested loops: without statistics, Postgres would search thousands of texts for each click of the day.
SET LOCAL enable_nestloop = off;

-- name: join_as_usual
-- Allow nested loops again, for the statements that follow.
SET LOCAL enable_nestloop = on;

-- name: classify
-- Classify these clicks again by their texts. Classes that the request itself set (a prefetch, a HEAD) stay, and those of
-- clicks whose user agent was not kept.
UPDATE clicks AS c
SET classification = CASE WHEN is_set_by_request(c.classification) THEN c.classification
        ELSE coalesce(u.classification, c.classification) END,
    rule = $5, browser = u.browser, os = u.os, device = u.device, referrer_host = u.referrer_host, source = u.source,
    locale = u.locale
FROM (
    SELECT * FROM unnest($6::bigint[], $7::text[], $8::text[], $9::text[], $10::smallint[], $11::text[],
        $12::text[], $13::text[], $14::text[], $15::text[], $16::text[])
        AS t (user_agent_id, referrer, language, utm_source, classification, browser, os, device, referrer_host,
            source, locale)
) AS u
WHERE c.tenant_id = $1 AND c.profile_id = $2 AND c.at >= $3::date::timestamp AT TIME ZONE 'UTC'
    AND c.at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC' AND c.rule < $4
    AND coalesce(c.user_agent_id, 0) = coalesce(u.user_agent_id, 0)
    AND coalesce(c.referrer, '') = coalesce(u.referrer, '')
    AND coalesce(c.language, '') = coalesce(u.language, '')
    AND coalesce(c.utm_source, '') = coalesce(u.utm_source, '');
