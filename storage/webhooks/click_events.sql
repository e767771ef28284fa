-- Events of clicks: run as waypost_aggregator, in the transaction that counts them.

-- name: wanted
-- Return which of some profiles have a webhook that subscribes to events of clicks, or of milestones.
SELECT w.tenant_id, w.profile_id, bool_or('link.clicked' = ANY (w.event_types)) AS clicked,
    bool_or(w.event_types && event_names('link.milestone')) AS milestone
FROM unnest($1::bigint[], $2::bigint[]) AS p (tenant_id, profile_id)
JOIN webhooks AS w ON w.tenant_id = p.tenant_id AND w.profile_id = p.profile_id
WHERE 'link.clicked' = ANY (w.event_types) OR w.event_types && event_names('link.milestone')
GROUP BY 1, 2;

-- name: totals
-- Read the clicks of some links, for all time: those that tables count (`clicks`), and the packed clicks of their
-- profiles, a row for each piece. In one statement, as clicks move from one to the other meanwhile. Pieces are read of
-- the profiles with the fewest clicks, until they have $4 clicks; links of other profiles are not `known`.
WITH wanted (tenant_id, profile_id, link_id) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])),
profiles_of AS (SELECT DISTINCT tenant_id, profile_id FROM wanted),
pieces AS (
    SELECT d.tenant_id, d.profile_id, d.day, d.clicks, d.data, NULL::bytea AS quarters, NULL::bytea AS links,
        NULL::bytea AS kinds
    FROM profiles_of JOIN click_deltas AS d USING (tenant_id, profile_id)
    UNION ALL
    SELECT s.tenant_id, s.profile_id, s.day, s.clicks, NULL, s.quarters, s.links, s.kinds
    FROM profiles_of JOIN click_segments AS s USING (tenant_id, profile_id) WHERE NOT s.in_tables
),
sizes AS (
    SELECT tenant_id, profile_id, sum(clicks) OVER (ORDER BY clicks, tenant_id, profile_id) <= $4 AS known
    FROM (SELECT tenant_id, profile_id, sum(clicks) AS clicks FROM pieces GROUP BY 1, 2) AS profile_sizes
)
SELECT tenant_id, profile_id, link_id, coalesce(known, true) AS known,
    coalesce((SELECT sum(r.clicks) FROM rollups AS r WHERE r.tenant_id = l.tenant_id
        AND r.profile_id = l.profile_id AND r.link_id = l.link_id), 0)::bigint
    + coalesce((SELECT sum(m.clicks) FROM dimension_months AS m WHERE m.tenant_id = l.tenant_id
        AND m.profile_id = l.profile_id AND m.link_id = l.link_id AND m.dimension = 0 AND m.value = ''), 0)::bigint
    AS clicks, NULL::date AS day, NULL::bytea AS data, NULL::bytea AS quarters, NULL::bytea AS links, NULL::bytea AS kinds
FROM wanted AS l LEFT JOIN sizes USING (tenant_id, profile_id)
UNION ALL
SELECT tenant_id, profile_id, NULL, true, clicks, day, data, quarters, links, kinds
FROM pieces JOIN sizes USING (tenant_id, profile_id) WHERE known;
