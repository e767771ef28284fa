-- name: deltas
-- Read the deltas of profiles' days, each with its place.
SELECT d.ctid::text AS place, d.tenant_id, d.profile_id, d.day, d.data
FROM unnest($1::bigint[], $2::bigint[], $3::date[]) AS u (tenant_id, profile_id, day)
JOIN click_deltas AS d USING (tenant_id, profile_id, day);

-- name: set_aside
-- Move the deltas at these places to the damaged ones.
WITH damaged AS (
    DELETE FROM click_deltas AS d USING unnest($1::text[], $2::text[]) AS u (place, reason)
    WHERE d.ctid = u.place::tid RETURNING d.*, u.reason
)
INSERT INTO damaged_deltas (tenant_id, profile_id, day, clicks, data, reason)
SELECT tenant_id, profile_id, day, clicks, data, reason FROM damaged;
