-- Verified domains, as edges answer at them: run as waypost_edge.

-- name: version
-- Tell whether anything has changed: a hash of all that edges know of domains.
SELECT count(*) || ':' || coalesce(sum(hashtextextended(
    jsonb_build_array(d.host, p.handle, d.root_target, d.not_found_target, d.slugs, d.blocked_targets)::text, 0)), 0)
FROM domains AS d JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.state = 'verified';

-- name: domains
-- Read the oldest verified domains. Where a target is blocked, visitors get what they get without one.
SELECT d.host, p.handle, CASE WHEN d.root_target = ANY (d.blocked_targets) THEN '' ELSE coalesce(d.root_target, '') END AS root_target,
    CASE WHEN d.not_found_target = ANY (d.blocked_targets) THEN '' ELSE coalesce(d.not_found_target, '') END AS not_found_target, d.slugs
FROM domains AS d JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.state = 'verified' ORDER BY d.id LIMIT $1;
