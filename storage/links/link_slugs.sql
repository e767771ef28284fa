-- Slugs of links, and what domains allow them to have: run as waypost_app with the tenant set.

-- name: rules
-- Read the handle of a profile, once for each of its domains with what it allows slugs to have, or once without any.
SELECT p.handle, coalesce(d.slugs, '{}') AS slugs
FROM profiles AS p LEFT JOIN domains AS d ON d.tenant_id = p.tenant_id AND d.profile_id = p.id
WHERE p.tenant_id = $1 AND p.id = $2;

-- name: rules_by_handle
-- Read what each domain of profiles ($2 handles) allows slugs to have.
SELECT p.handle, d.slugs
FROM profiles AS p JOIN domains AS d ON d.tenant_id = p.tenant_id AND d.profile_id = p.id
WHERE p.tenant_id = $1 AND p.handle = ANY ($2::text[]);

-- name: other_slugs
-- Read the next slugs of a profile, behind the link $3, that are perhaps not plain.
SELECT id, slug FROM links WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 AND slug ~ '[^a-z0-9_-]'
ORDER BY id LIMIT 5000;

-- name: slug_below
-- Find a slug of a profile that begins with a name ($3) and a slash.
SELECT slug FROM links WHERE tenant_id = $1 AND profile_id = $2 AND starts_with(lower(slug), $3 || '/') LIMIT 1;
