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
-- Sum all clicks of some links that are counted in tables: of compacted days, and of the rest.
SELECT l.link_id, coalesce((SELECT sum(r.clicks) FROM rollups AS r WHERE r.tenant_id = l.tenant_id
        AND r.profile_id = l.profile_id AND r.link_id = l.link_id), 0)::bigint
    + coalesce((SELECT sum(m.clicks) FROM dimension_months AS m WHERE m.tenant_id = l.tenant_id
        AND m.profile_id = l.profile_id AND m.link_id = l.link_id AND m.dimension = 0 AND m.value = ''), 0)::bigint
    AS clicks
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS l (tenant_id, profile_id, link_id);
