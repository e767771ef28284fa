-- Pages as the console changes them: run as waypost_app, with the profile's tenant set.

-- name: draft
-- Read the draft of a page, and the version that visitors get; one row for each profile.
SELECT d.version, d.page::text, d.digest, d.updated_at, v.number AS published, v.digest AS published_digest
FROM profiles AS p
LEFT JOIN page_drafts AS d ON (d.tenant_id, d.profile_id) = (p.tenant_id, p.id)
LEFT JOIN LATERAL (
    SELECT number, digest FROM page_versions AS v WHERE (v.tenant_id, v.profile_id) = (p.tenant_id, p.id)
    ORDER BY number DESC LIMIT 1
) AS v ON true
WHERE p.tenant_id = $1 AND p.id = $2;

-- name: shown_links
-- List the ids of the first $3 links of a profile that are not hidden, in the page's order.
SELECT id FROM links WHERE tenant_id = $1 AND profile_id = $2 AND NOT hidden
ORDER BY position, id LIMIT $3;

-- name: known_links
-- List those of the ids $3 that are a profile's links.
SELECT id FROM links WHERE tenant_id = $1 AND profile_id = $2 AND id = ANY($3::bigint[]);

-- name: pictures
-- Read those of the assets $3 that are a profile's, with their renditions.
SELECT a.id, f.hash, f.width, f.height, f.renditions::text
FROM assets AS a JOIN asset_files AS f ON f.tenant_id = a.tenant_id AND f.hash = a.address
WHERE a.tenant_id = $1 AND a.profile_id = $2 AND a.id = ANY($3::bigint[]);

-- name: put_draft
-- Write the draft of a locked profile.
INSERT INTO page_drafts (tenant_id, profile_id, page, digest) VALUES ($1, $2, $3::text::jsonb, $4)
ON CONFLICT (tenant_id, profile_id) DO UPDATE SET page = EXCLUDED.page, digest = EXCLUDED.digest,
    version = page_drafts.version + 1, updated_at = clock_timestamp();

-- name: publish
-- Write the next version of a page, of a locked profile.
INSERT INTO page_versions (tenant_id, profile_id, number, page, digest, pictures, link_ids, published_by)
SELECT $1, $2, coalesce(max(number), 0) + 1, $3::text::jsonb, $4, $5::text::jsonb, $6, $7
FROM page_versions WHERE tenant_id = $1 AND profile_id = $2
RETURNING number;

-- name: forget_versions
-- Delete the versions of a page up to number $3.
DELETE FROM page_versions WHERE tenant_id = $1 AND profile_id = $2 AND number <= $3;

-- name: versions
-- List versions with numbers below $3, the newest first.
SELECT profile_id, number, page::text, published_by AS user_id, published_at
FROM page_versions WHERE tenant_id = $1 AND profile_id = $2 AND number < $3
ORDER BY number DESC LIMIT $4;

-- name: version
-- Read one version.
SELECT profile_id, number, page::text, published_by AS user_id, published_at
FROM page_versions WHERE tenant_id = $1 AND profile_id = $2 AND number = $3;

-- name: page_links
-- Read those of the links $3 of a profile that are not hidden, as JSON, with handle and title of the profile.
SELECT p.handle, p.title, (
    SELECT coalesce(jsonb_agg(jsonb_build_object('slug', l.slug, 'title', l.title, 'target', l.target,
        'kind', l.kind, 'id', l.id, 'facts', g.facts, 'synced_at', g.synced_at)), '[]')::text
    FROM links AS l
    LEFT JOIN github_syncs AS g ON (g.tenant_id, g.link_id, g.target) = (l.tenant_id, l.id, l.target)
        AND g.synced_at IS NOT NULL
    WHERE l.tenant_id = p.tenant_id AND l.profile_id = p.id AND l.id = ANY($3::bigint[]) AND NOT l.hidden
) AS links
FROM profiles AS p WHERE p.tenant_id = $1 AND p.id = $2;
