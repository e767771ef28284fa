-- name: active_visitors
-- Count the known visitors of a profile with a click or view since $5, of the classes $4 (under the mask $3).
SELECT count(DISTINCT visitor) FROM clicks
WHERE tenant_id = $1 AND profile_id = $2 AND at >= $5 AND kind <> 3 AND classification & $3 = ANY($4::int[])
    AND visitor <> 0;

-- name: latest
-- Read the latest $7 clicks and views of a profile, of the classes $4 (under the mask $3), in the periods of length $6
-- that begin at $5, with the names of their links. The braces are filled with columns of live dimensions.
SELECT latest.at, latest.link_id, profiles.handle, links.slug, coalesce(links.title, profiles.title),
    visitor_kind(classification), trigger_name(trigger), {texts}
FROM (
    SELECT clicks.* FROM unnest($5::timestamptz[]) AS period (start)
    CROSS JOIN LATERAL (
        SELECT * FROM clicks
        WHERE tenant_id = $1 AND profile_id = $2 AND at >= start AND at < start + $6::interval
            AND kind <> 3 AND classification & $3 = ANY($4::int[])
        ORDER BY at DESC LIMIT $7
    ) AS clicks
    ORDER BY at DESC LIMIT $7
) AS latest
JOIN profiles ON profiles.tenant_id = $1 AND profiles.id = $2
LEFT JOIN links ON links.tenant_id = $1 AND links.id = latest.link_id AND links.profile_id = $2
ORDER BY latest.at DESC;
