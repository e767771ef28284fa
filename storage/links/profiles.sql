-- Profiles and links, as the console changes them: run as waypost_app with the tenant set.
--
-- A change of a profile or of its links first bumps the profile (the row lock lets such changes take
-- turns), then writes its own rows with the new version as their revision.

-- name: create_profile
-- Create a profile of version 1, and announce it.
WITH created AS (
    INSERT INTO profiles (tenant_id, handle, title, raw_retention_days) VALUES ($1, $2, $3, $4) RETURNING *
), announced AS (
    INSERT INTO profile_changes (profile_id, tenant_id, version)
    SELECT id, tenant_id, version FROM created
)
SELECT id, tenant_id, handle, title, raw_retention_days, version, created_at, updated_at FROM created;

-- name: profile
-- Read one profile.
SELECT id, tenant_id, handle, title, raw_retention_days, version, created_at, updated_at
FROM profiles WHERE tenant_id = $1 AND id = $2;

-- name: lock_profile
-- Read one profile and lock it until the transaction ends.
SELECT id, tenant_id, handle, title, raw_retention_days, version, created_at, updated_at
FROM profiles WHERE tenant_id = $1 AND id = $2
FOR NO KEY UPDATE;

-- name: list_profiles
-- List the profiles that the caller is a member of, in the order of their ids; with a handle ($3), that one.
SELECT id, tenant_id, handle, title, raw_retention_days, version, created_at, updated_at, role
FROM my_profiles($1, $2, $3);

-- name: update_profile
-- Update a locked profile, as its next version, and announce it.
WITH bumped AS (
    UPDATE profiles SET handle = $3, title = $4, raw_retention_days = $5, version = version + 1, updated_at = now()
    WHERE tenant_id = $1 AND id = $2
    RETURNING *
), announced AS (
    UPDATE profile_changes AS c SET version = b.version, xid = DEFAULT
    FROM bumped AS b WHERE c.profile_id = b.id
)
SELECT id, tenant_id, handle, title, raw_retention_days, version, created_at, updated_at FROM bumped;

-- name: bump_profile
-- Bump a profile's version and announce it: the first statement of every change of its links.
WITH bumped AS (
    UPDATE profiles SET version = version + 1, updated_at = now()
    WHERE tenant_id = $1 AND id = $2
    RETURNING id, version
), announced AS (
    UPDATE profile_changes AS c SET version = b.version, xid = DEFAULT
    FROM bumped AS b WHERE c.profile_id = b.id
)
SELECT version FROM bumped;

-- name: delete_profile
-- Delete a locked profile with its links, and announce that it is gone.
WITH deleted AS (
    DELETE FROM profiles WHERE tenant_id = $1 AND id = $2 RETURNING *
), announced AS (
    UPDATE profile_changes AS c SET version = d.version + 1, deleted = true, xid = DEFAULT
    FROM deleted AS d WHERE c.profile_id = d.id
)
SELECT id, tenant_id, handle, title, raw_retention_days, version + 1 AS version, created_at, now() AS updated_at
FROM deleted;

-- name: create_link
-- Create a link of a profile that has just been bumped to version $3.
INSERT INTO links
    (tenant_id, profile_id, revision, slug, target, title, status, kind, passthrough, click_id, external_id,
    tags, folder, notes, hidden, password_hash, opening_clicks, options, position)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18::text::jsonb, coalesce($19,
    (SELECT max(position) FROM links WHERE tenant_id = $1 AND profile_id = $2), 0))
RETURNING id, position, created_at, updated_at;

-- name: create_generated_links
-- Create links of a profile that has just been bumped to version $3, under slugs that were made ($4), if they are free
-- in the profile and, where they are to be claimed ($5), on the default domain. Tags ($13) have commas between them.
-- Ids grow in the order of the rows. Returns the rows that were created.
WITH asked AS MATERIALIZED (
    SELECT new_id() AS id, u.*
    FROM unnest($4::text[], $5::boolean[], $6::text[], $7::text[], $8::smallint[], $9::text[], $10::boolean[],
        $11::boolean[], $12::text[], $13::text[], $14::text[], $15::text[], $16::boolean[], $17::text[],
        $18::bigint[], $19::text[], $20::integer[])
        AS u (slug, short, target, title, status, kind, passthrough, click_id, external_id, tags, folder, notes,
            hidden, password_hash, opening_clicks, options, position)
    WHERE NOT EXISTS (
        SELECT FROM links AS l WHERE (l.profile_id, l.slug, l.tenant_id) = ($2, u.slug, $1)
    )
), claimed AS (
    INSERT INTO short_slugs (slug, tenant_id, profile_id, link_id)
    SELECT slug, $1, $2, id FROM asked WHERE short ORDER BY slug
    ON CONFLICT (slug) DO NOTHING
    RETURNING slug
), last AS MATERIALIZED (
    SELECT max(position) AS position FROM links WHERE tenant_id = $1 AND profile_id = $2
), created AS (
    INSERT INTO links
        (id, tenant_id, profile_id, revision, slug, target, title, status, kind, passthrough, click_id, external_id,
        tags, folder, notes, hidden, password_hash, opening_clicks, options, position)
    SELECT a.id, $1, $2, $3, a.slug, a.target, a.title, a.status, a.kind, a.passthrough, a.click_id, a.external_id,
        coalesce(string_to_array(nullif(a.tags, ''), ','), '{}'), a.folder, a.notes, a.hidden, a.password_hash,
        a.opening_clicks, a.options::jsonb, coalesce(a.position, last.position, 0)
    FROM asked AS a CROSS JOIN last
    WHERE NOT a.short OR a.slug IN (SELECT slug FROM claimed)
    RETURNING id, slug, position, created_at, updated_at
)
SELECT c.*, a.short FROM created AS c JOIN asked AS a USING (id);

-- name: link
-- Read one link.
SELECT l.id, l.profile_id, l.slug, l.target, l.title, l.status, l.kind, l.passthrough, l.click_id,
    l.external_id, l.tags, l.folder, l.notes, l.hidden, l.password_hash AS password,
    l.opening_clicks, l.counts_offset, l.options::text, l.engine_quarantine::text, l.position,
    s.link_id IS NOT NULL AS short, l.version, l.created_at, l.updated_at,
    (SELECT to_jsonb(g)::text FROM github_syncs AS g
        WHERE g.tenant_id = l.tenant_id AND g.link_id = l.id AND g.target = l.target) AS github,
    (SELECT to_jsonb(h)::text FROM link_health AS h WHERE h.tenant_id = l.tenant_id AND h.link_id = l.id
        AND h.target = l.target AND h.checked_at IS NOT NULL) AS health
FROM links AS l LEFT JOIN short_slugs AS s
    ON (s.tenant_id, s.link_id) = (l.tenant_id, l.id)
WHERE l.tenant_id = $1 AND l.id = $2;

-- name: list_links
-- List a profile's links. The marks are replaced by a join with their clicks, and by further conditions and the order
-- (storage/links/listing.py).
SELECT l.id, l.profile_id, l.slug, l.target, l.title, l.status, l.kind, l.passthrough, l.click_id,
    l.external_id, l.tags, l.folder, l.notes, l.hidden, l.password_hash AS password,
    l.opening_clicks, l.counts_offset, l.options::text, l.engine_quarantine::text, l.position,
    s.link_id IS NOT NULL AS short, l.version, l.created_at, l.updated_at,
    (SELECT to_jsonb(g)::text FROM github_syncs AS g
        WHERE g.tenant_id = l.tenant_id AND g.link_id = l.id AND g.target = l.target) AS github,
    (SELECT to_jsonb(h)::text FROM link_health AS h WHERE h.tenant_id = l.tenant_id AND h.link_id = l.id
        AND h.target = l.target AND h.checked_at IS NOT NULL) AS health
FROM links AS l LEFT JOIN short_slugs AS s
    ON (s.tenant_id, s.link_id) = (l.tenant_id, l.id) /* clicks */
WHERE l.tenant_id = $1 AND l.profile_id = $2 /* conditions, order */;

-- name: read_in_index_order
-- Follow an index for the rest of the transaction where one has the requested order. Without statistics, or for
-- a profile far larger than most, the planner would read it whole and sort.
SET LOCAL enable_sort = off;

-- name: lock_profile_of_link
-- Read id and version of a link's profile, and lock it until the transaction ends.
SELECT id, version FROM profiles
WHERE tenant_id = $1 AND id = (SELECT profile_id FROM links WHERE tenant_id = $1 AND id = $2)
FOR NO KEY UPDATE;

-- name: reset_counts
-- Let a link's total begin anew behind its clicks so far ($4), of a profile that has just been bumped to version $3.
UPDATE links SET counts_offset = $4, opening_clicks = 0, version = version + 1, revision = $3, updated_at = now()
WHERE tenant_id = $1 AND id = $2;

-- name: update_link
-- Update a link, as its next version, of a profile that has just been bumped to version $3.
UPDATE links SET slug = $4, target = $5, title = $6, status = $7, kind = $8, passthrough = $9,
    click_id = $10, external_id = $11, tags = $12, folder = $13, notes = $14, hidden = $15, password_hash = $16,
    opening_clicks = $17, options = $18::text::jsonb, position = coalesce($19, position),
    version = version + 1, revision = $3, updated_at = now()
WHERE tenant_id = $1 AND id = $2
RETURNING position, version, updated_at;

-- name: delete_link
-- Delete a link of a profile that has just been bumped to version $3, and leave a tombstone.
WITH deleted AS (
    DELETE FROM links WHERE tenant_id = $1 AND id = $2 RETURNING *
)
INSERT INTO removed_links (tenant_id, profile_id, revision, link_id)
SELECT tenant_id, profile_id, $3, id FROM deleted;

-- name: forget_removed
-- Delete the tombstones of a profile up to revision $3, which no edge needs.
DELETE FROM removed_links WHERE tenant_id = $1 AND profile_id = $2 AND revision <= $3;

-- name: claim_short
-- Claim a slug on the default domain; a violation of short_slugs_pkey when it is taken.
INSERT INTO short_slugs (slug, tenant_id, profile_id, link_id) VALUES ($4, $1, $2, $3);

-- name: claim_free_short
-- Claim a slug on the default domain when it is free.
INSERT INTO short_slugs (slug, tenant_id, profile_id, link_id) VALUES ($4, $1, $2, $3)
ON CONFLICT (slug) DO NOTHING
RETURNING slug;

-- name: rename_short
-- Rename a link's short slug as its slug; a violation of short_slugs_pkey when it is taken.
UPDATE short_slugs SET slug = $3 WHERE tenant_id = $1 AND link_id = $2 RETURNING slug;

-- name: rename_free_short
-- Rename a link's short slug as its slug when the new one is free.
UPDATE short_slugs SET slug = $3 WHERE tenant_id = $1 AND link_id = $2
    AND NOT EXISTS (SELECT FROM short_slugs AS taken WHERE taken.slug = $3)
RETURNING slug;

-- name: release_short
-- Release a link's short slug on the default domain.
DELETE FROM short_slugs WHERE tenant_id = $1 AND link_id = $2;

-- name: link_with_external_id
-- Find a profile's link by its id of another system.
SELECT id FROM links WHERE tenant_id = $1 AND profile_id = $2 AND external_id = $3;

-- name: link_with_slug
-- Find a profile's link by its slug.
SELECT id FROM links WHERE tenant_id = $1 AND profile_id = $2 AND slug = $3;

-- name: link_with_target
-- Find a profile's oldest link to a target.
SELECT id FROM links WHERE tenant_id = $1 AND profile_id = $2 AND target = $3 ORDER BY id LIMIT 1;

-- name: order_links
-- Place links of a profile that has just been bumped to version $3 in this order ($4 ids), before all its others.
-- Returns their number.
WITH base AS (
    SELECT coalesce(min(position), cardinality($4::bigint[])) - cardinality($4::bigint[]) AS position
    FROM links WHERE tenant_id = $1 AND profile_id = $2 AND id <> ALL ($4)
), moved AS (
    UPDATE links AS l SET position = base.position + o.place - 1, version = l.version + 1, revision = $3,
        updated_at = now()
    FROM base, unnest($4::bigint[]) WITH ORDINALITY AS o (id, place)
    WHERE l.tenant_id = $1 AND l.profile_id = $2 AND l.id = o.id AND l.position <> base.position + o.place - 1
)
SELECT count(*) FROM links WHERE tenant_id = $1 AND profile_id = $2 AND id = ANY ($4);

-- name: links_at
-- Find the link of the caller's profiles at an address: a handle or an empty text, and a slug.
SELECT * FROM links_at($1, $2) LIMIT 1;
