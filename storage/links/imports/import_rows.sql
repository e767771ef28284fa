-- Imports of many links at once: run as waypost_app with the tenant set, in this order, in one
-- transaction. Rows are found through the index that ON CONFLICT names or by lists of keys: a join is
-- planned badly while the tables grow faster than their statistics.

-- name: case_sensitive_handles
-- Read the handles of the tenant's profiles that have a case-sensitive domain.
SELECT DISTINCT p.handle
FROM domains AS d JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.tenant_id = $1 AND 'case_sensitive' = ANY (d.slugs);

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

-- name: join_by_hash
-- Read each profile once in the next queries. Without statistics, as while a table grows, the planner takes a
-- profile for one link, and would read it whole for each of the addresses; so does the plan for any parameters that
-- a connection makes after five imports.
SELECT set_config('enable_nestloop', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: join_as_usual
-- Let the rest of the transaction be planned as usual.
SELECT set_config('enable_nestloop', 'on', true), set_config('plan_cache_mode', 'auto', true);

-- name: stored_links
-- Read the links at addresses ($2 ids of locked profiles, $3 slugs); of those that have more bytes of target, notes and
-- options than $4, not these three.
SELECT l.id, l.profile_id, l.slug, CASE WHEN is_small THEN l.target END AS target, l.title, l.status, l.kind,
    l.passthrough, l.click_id, l.external_id, l.tags, l.folder, CASE WHEN is_small THEN l.notes END AS notes, l.hidden,
    l.password_hash AS password, l.opening_clicks, CASE WHEN is_small THEN l.options::text END AS options,
    l.engine_quarantine::text, l.position,
    EXISTS (SELECT FROM short_slugs AS s WHERE (s.tenant_id, s.link_id) = (l.tenant_id, l.id) OFFSET 0) AS short,
    l.version, l.created_at, l.updated_at, NULL::text AS github, NULL::text AS health, chars
FROM (SELECT DISTINCT * FROM unnest($2::bigint[], $3::text[]) AS asked (profile_id, slug)) AS asked
JOIN links AS l USING (profile_id, slug)
CROSS JOIN LATERAL (
    SELECT octet_length(l.target) + octet_length(l.notes) + coalesce(octet_length(l.options::text), 0) AS chars
) AS size
CROSS JOIN LATERAL (SELECT chars <= $4 AS is_small) AS judged
WHERE l.tenant_id = $1 AND l.profile_id = ANY ($2::bigint[]);

-- name: large_texts
-- Read target, notes and options of links ($2).
SELECT id, target, notes, options::text FROM links WHERE tenant_id = $1 AND id = ANY ($2::bigint[]);

-- name: external_ids
-- Read the slugs of the links with ids of another system ($2 ids of locked profiles, $3 external ids).
SELECT profile_id, external_id, l.slug
FROM (SELECT DISTINCT * FROM unnest($2::bigint[], $3::text[]) AS asked (profile_id, external_id)) AS asked
JOIN links AS l USING (profile_id, external_id)
WHERE l.tenant_id = $1 AND l.profile_id = ANY ($2::bigint[]) AND l.external_id <> '';

-- name: write_links
-- Create or update links of locked profiles ($2 ids, $3 their next versions). Tags ($12) have commas between them.
-- A link without a position ($19) goes behind the last, which is looked for once for each profile: for each row, it
-- would pass all rows that this statement has added so far. Ids grow in the order of the rows, so that links of one
-- position stay in their order on the page. Returns the rows.
WITH last AS MATERIALIZED (
    SELECT ids.profile_id,
        (SELECT max(position) FROM links WHERE tenant_id = $1 AND links.profile_id = ids.profile_id) AS position
    FROM (SELECT DISTINCT * FROM unnest($2::bigint[]) AS ids (profile_id)) AS ids
)
INSERT INTO links AS l (tenant_id, profile_id, revision, slug, target, title, status, kind, passthrough, click_id,
    external_id, tags, folder, notes, hidden, password_hash, opening_clicks, options, position, created_at)
SELECT $1, u.profile_id, u.revision, u.slug, u.target, u.title, u.status, u.kind, u.passthrough, u.click_id,
    u.external_id, coalesce(string_to_array(nullif(u.tags, ''), ','), '{}'), u.folder, u.notes, u.hidden,
    u.password_hash, u.opening_clicks, u.options::jsonb,
    coalesce(u.position, last.position, 0),
    coalesce(u.created_at, now())
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[],
    $9::boolean[], $10::boolean[], $11::text[], $12::text[], $13::text[], $14::text[], $15::boolean[], $16::text[],
    $17::bigint[], $18::text[], $19::integer[], $20::timestamptz[]) WITH ORDINALITY
    AS u (profile_id, revision, slug, target, title, status, kind, passthrough, click_id, external_id, tags, folder,
        notes, hidden, password_hash, opening_clicks, options, position, created_at, number)
JOIN last ON last.profile_id = u.profile_id
ORDER BY u.number
ON CONFLICT (tenant_id, profile_id, slug) DO UPDATE
SET target = excluded.target, title = excluded.title, status = excluded.status, kind = excluded.kind,
    passthrough = excluded.passthrough, click_id = excluded.click_id, external_id = excluded.external_id,
    tags = excluded.tags, folder = excluded.folder, notes = excluded.notes, hidden = excluded.hidden,
    password_hash = excluded.password_hash, opening_clicks = excluded.opening_clicks, options = excluded.options,
    position = excluded.position, created_at = excluded.created_at,
    version = l.version + 1, revision = excluded.revision, updated_at = now()
RETURNING id, profile_id, slug;

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
