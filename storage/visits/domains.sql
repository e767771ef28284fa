-- Verified domains, as edges answer at them: run as waypost_edge.

-- name: version
-- Tell whether anything has changed: a hash of all that edges know of domains.
SELECT count(*) || ':' || coalesce(sum(hashtextextended(
    jsonb_build_array(d.host, p.handle, d.root_target, d.not_found_target, d.slugs)::text, 0)), 0)
FROM domains AS d JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.state = 'verified';

-- name: domains
-- Read the oldest verified domains.
SELECT d.host, p.handle, coalesce(d.root_target, '') AS root_target,
    coalesce(d.not_found_target, '') AS not_found_target, d.slugs
FROM domains AS d JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.state = 'verified' ORDER BY d.id LIMIT $1;
