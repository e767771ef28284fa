-- Imports of many links at once: run as waypost_app with the tenant set, in this order, in one
-- transaction. Rows are found through the index that ON CONFLICT names or by lists of keys: a join is
-- planned badly while the tables grow faster than their statistics.

-- name: create_profiles
-- Create profiles of version 0 for the handles ($2, sorted) that are free; the import bumps them.
WITH created AS (
    INSERT INTO profiles (tenant_id, handle, version)
    SELECT $1, handle, 0 FROM unnest($2::text[]) AS handle
    ON CONFLICT (handle) DO NOTHING
    RETURNING id, tenant_id, version
)
INSERT INTO profile_changes (profile_id, tenant_id, version)
SELECT id, tenant_id, version FROM created;

-- name: lock_profiles
-- Lock the tenant's profiles of these handles in which the user ($3) has one of the roles ($4), in an order
-- that all imports share.
SELECT p.id, p.handle, p.version FROM unnest($2::text[]) AS asked (handle)
JOIN profiles AS p ON p.handle = asked.handle AND p.tenant_id = $1
WHERE EXISTS (
    SELECT FROM members AS m
    WHERE m.tenant_id = $1 AND m.profile_id = p.id AND m.user_id = $3 AND m.role = ANY ($4::text[])
)
ORDER BY p.handle
FOR NO KEY UPDATE OF p;

-- name: write_links
-- Create or update links of locked profiles ($2 ids, $3 their next versions, $4 slugs, $5 targets, $6 titles,
-- $7 kinds). Returns the rows that have changed. An empty title keeps the existing one.
INSERT INTO links AS l (tenant_id, profile_id, revision, slug, target, title, kind)
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (tenant_id, profile_id, slug) DO UPDATE
SET target = excluded.target, kind = excluded.kind, title = coalesce(nullif(excluded.title, ''), l.title),
    version = l.version + 1, revision = excluded.revision, updated_at = now()
WHERE l.target <> excluded.target OR l.kind <> excluded.kind OR excluded.title NOT IN ('', l.title)
RETURNING id, profile_id, slug, version = 1 AS created;

-- name: claim_free_shorts
-- Claim the slugs ($2, sorted) that are free on the default domain for links ($3 profiles, $4 ids).
INSERT INTO short_slugs (tenant_id, slug, profile_id, link_id)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (slug) DO NOTHING;

-- name: bump_profiles
-- Bump the versions of the profiles ($2) whose links were written, and announce them.
WITH bumped AS (
    UPDATE profiles SET version = version + 1, updated_at = now()
    WHERE tenant_id = $1 AND id = ANY ($2::bigint[])
    RETURNING tenant_id, id, version
)
INSERT INTO profile_changes AS c (tenant_id, profile_id, version)
SELECT * FROM bumped
ON CONFLICT (profile_id) DO UPDATE SET version = excluded.version, xid = DEFAULT
RETURNING c.profile_id, c.version;
