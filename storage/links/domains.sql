-- Domains as the console changes them: run as waypost_app, with the tenant of the profile set, but for is_verified.

-- name: enter_domain
-- Enter the profile of a domain: its tenant and id, and the caller's role; moves on to that tenant.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM domain_access($1);

-- name: lock_profile
-- Serialise the changes of a profile's domains, and of its links' slugs.
SELECT id FROM profiles WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: create_domain
-- Create a domain in the first free of twenty slots; no row when there is none.
INSERT INTO domains (tenant_id, profile_id, host, root_target, not_found_target, slugs, token, slot)
SELECT $1, $2, $3, $4, $5, $6, $7, min(n) FROM generate_series(1, 20) AS n
WHERE n NOT IN (SELECT slot FROM domains WHERE tenant_id = $1 AND profile_id = $2)
HAVING min(n) IS NOT NULL
RETURNING id;

-- name: create_look
-- Have a new domain looked at.
INSERT INTO domain_looks (tenant_id, domain_id) VALUES ($1, $2);

-- name: domain
-- Read one domain.
SELECT d.id, d.profile_id, d.host, d.root_target, d.not_found_target, d.slugs, d.blocked_targets, d.state, d.token, l.reason,
    d.verified_at,
    l.checked_at, l.next_at AS next_check_at, d.version, d.created_at, d.updated_at
FROM domains AS d JOIN domain_looks AS l ON l.tenant_id = d.tenant_id AND l.domain_id = d.id
WHERE d.tenant_id = $1 AND d.id = $2;

-- name: list_domains
-- List a profile's domains in the order of their ids.
SELECT d.id, d.profile_id, d.host, d.root_target, d.not_found_target, d.slugs, d.blocked_targets, d.state, d.token, l.reason,
    d.verified_at,
    l.checked_at, l.next_at AS next_check_at, d.version, d.created_at, d.updated_at
FROM domains AS d JOIN domain_looks AS l ON l.tenant_id = d.tenant_id AND l.domain_id = d.id
WHERE d.tenant_id = $1 AND d.profile_id = $2 AND d.id > $3 ORDER BY d.id LIMIT $4;

-- name: lock_domain
-- Serialise the changes of one domain.
SELECT id FROM domains WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: update_domain
-- Update a domain.
UPDATE domains SET root_target = $3, not_found_target = $4, slugs = $5, version = version + 1,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2;

-- name: allowed_slugs
-- Read what the other domains of a profile allow slugs to have.
SELECT slugs FROM domains WHERE tenant_id = $1 AND profile_id = $2 AND id <> $3;

-- name: delete_domain
-- Delete a domain.
DELETE FROM domains WHERE tenant_id = $1 AND id = $2;

-- name: look_again
-- Have a domain looked at in the next run; the looks that failed are forgotten.
UPDATE domain_looks SET failures = 0, next_at = clock_timestamp() WHERE tenant_id = $1 AND domain_id = $2;

-- name: domain_at
-- Read the handle of the profile of a verified host, and what slugs may have there, for its members.
SELECT handle, slugs FROM domain_at($1);

-- name: is_verified
-- Tell whether a host is verified.
SELECT is_verified_domain($1);
