-- Snapshots and changes of all tenants, for edges: run as waypost_edge, each group in one read-only database
-- snapshot.

-- name: resolve
-- Find the profiles, and the requested links, behind short slugs ($1 numbers, $2), pages ($3 numbers, $4
-- handles) and profiles' own links ($5 numbers, $6 handles, $7 slugs). Each slug is looked up in the index by its
-- profile: OFFSET 0 keeps the planner from reading whole profiles, which it takes for small.
SELECT n, p.tenant_id, p.id, p.handle, p.title, p.version, s.link_id
FROM unnest($1::int[], $2::text[]) AS asked (n, slug)
JOIN short_slugs AS s USING (slug)
JOIN profiles AS p ON (p.tenant_id, p.id) = (s.tenant_id, s.profile_id)
UNION ALL
SELECT n, p.tenant_id, p.id, p.handle, p.title, p.version, NULL
FROM unnest($3::int[], $4::text[]) AS asked (n, handle) JOIN profiles AS p USING (handle)
UNION ALL
SELECT n, p.tenant_id, p.id, p.handle, p.title, p.version, l.id
FROM unnest($5::int[], $6::text[], $7::text[]) AS asked (n, handle, slug)
JOIN profiles AS p USING (handle)
CROSS JOIN LATERAL (
    SELECT l.id FROM links AS l WHERE (l.profile_id, l.slug) = (p.id, asked.slug) OFFSET 0
) AS l;

-- name: profile
-- Read a profile by tenant ($1) and id ($2), and whether it has at most $3 links of at most $4 bytes.
SELECT p.tenant_id, p.id, p.handle, p.title, p.version, NOT EXISTS (
    SELECT FROM links AS l WHERE (l.tenant_id, l.profile_id) = (p.tenant_id, p.id) OFFSET $3
) AND (
    SELECT coalesce(sum(octet_length(l.target) + coalesce(octet_length(l.options::text), 0)), 0) <= $4
    FROM (
        SELECT target, options FROM links AS l
        WHERE (l.tenant_id, l.profile_id) = (p.tenant_id, p.id) LIMIT $3
    ) AS l
) AS whole
FROM profiles AS p WHERE (p.tenant_id, p.id) = ($1, $2);

-- name: whole_profiles
-- Read every link, in any order, of the profiles given by tenant ($1) and id ($2) that have at most $3, of at most $4
-- bytes together. A profile without links, and a larger one, comes as one row without a link.
-- With OFFSET 0 each part is looked up by its index as often as written: the planner, which does not know that
-- whole profiles are small, would measure a profile for each of its links and read all short slugs.
SELECT asked.profile_id, size.whole, l.id, l.slug, l.target, l.status, l.passthrough, l.click_id,
    s.short IS NOT NULL AS short, edge_options(l.options, l.engine_quarantine) AS options,
    l.password_hash, l.title, l.kind, l.position, l.hidden
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, profile_id)
CROSS JOIN LATERAL (
    SELECT NOT EXISTS (
        SELECT FROM links AS l
        WHERE (l.tenant_id, l.profile_id) = (asked.tenant_id, asked.profile_id) OFFSET $3
    ) AND (
        SELECT coalesce(sum(octet_length(l.target) + coalesce(octet_length(l.options::text), 0)), 0) <= $4
        FROM (
            SELECT target, options FROM links AS l
            WHERE (l.tenant_id, l.profile_id) = (asked.tenant_id, asked.profile_id) LIMIT $3
        ) AS l
    ) AS whole OFFSET 0
) AS size
LEFT JOIN LATERAL (
    SELECT * FROM links AS l
    WHERE size.whole AND (l.tenant_id, l.profile_id) = (asked.tenant_id, asked.profile_id) OFFSET 0
) AS l ON true
LEFT JOIN LATERAL (
    SELECT true AS short FROM short_slugs AS s
    WHERE (s.tenant_id, s.link_id) = (l.tenant_id, l.id) OFFSET 0
) AS s ON true;

-- name: some_links
-- Read links by tenant ($1) and id ($2), in any order.
SELECT l.profile_id, l.id, l.slug, l.target, l.status, l.passthrough, l.click_id,
    s.link_id IS NOT NULL AS short, edge_options(l.options, l.engine_quarantine) AS options,
    l.password_hash
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, id)
JOIN links AS l USING (tenant_id, id)
LEFT JOIN short_slugs AS s
    ON (s.tenant_id, s.link_id) = (l.tenant_id, l.id);

-- name: read_in_index_order
-- Follow an index for the rest of the transaction where one has the requested order. Without statistics, or for
-- a profile far larger than most, the planner would read it whole and sort.
SET LOCAL enable_sort = off;

-- name: pages
-- Read the first $3 links in the page's order, returned in any order, of each profile by tenant ($1) and id
-- ($2).
SELECT l.profile_id, l.slug, l.title, l.target, l.kind, l.position, l.id
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, profile_id)
CROSS JOIN LATERAL (
    SELECT * FROM links AS l
    WHERE (l.tenant_id, l.profile_id) = (asked.tenant_id, asked.profile_id) AND NOT l.hidden
    ORDER BY l.position, l.id LIMIT $3
) AS l;

-- name: published_pages
-- Read the published page of each profile by tenant ($1) and id ($2), with the links that it names as JSON.
SELECT v.profile_id, v.number, v.page::text, v.pictures::text, (
    SELECT coalesce(jsonb_agg(jsonb_build_object('slug', l.slug, 'title', l.title, 'target', l.target,
        'kind', l.kind, 'id', l.id, 'facts', g.facts, 'synced_at', g.synced_at)), '[]')::text
    FROM links AS l
    LEFT JOIN github_syncs AS g ON (g.tenant_id, g.link_id, g.target) = (l.tenant_id, l.id, l.target)
        AND g.synced_at IS NOT NULL
    WHERE l.tenant_id = v.tenant_id AND l.id = ANY(v.link_ids) AND NOT l.hidden
) AS links
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, profile_id)
CROSS JOIN LATERAL (
    SELECT * FROM page_versions AS v WHERE (v.tenant_id, v.profile_id) = (asked.tenant_id, asked.profile_id)
    ORDER BY v.number DESC LIMIT 1
) AS v;

-- name: pictures
-- Read assets of profiles by profile ($1) and id ($2), with their renditions.
SELECT a.profile_id, a.id, f.hash, f.width, f.height, f.renditions::text
FROM unnest($1::bigint[], $2::bigint[]) AS asked (profile_id, id)
JOIN assets AS a USING (profile_id, id)
JOIN asset_files AS f ON f.tenant_id = a.tenant_id AND f.hash = a.address;

-- name: experiments
-- Read experiments that are not archived, with their secrets, of profiles by tenant ($1) and id ($2).
SELECT e.profile_id, e.id, e.state, e.link_id, e.block_id, e.definition, e.phase, e.winner, e.seed, e.secret,
    n.secret AS namespace_secret
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, profile_id)
JOIN experiments AS e USING (tenant_id, profile_id)
LEFT JOIN namespaces AS n
    ON (n.tenant_id, n.profile_id, n.name) = (e.tenant_id, e.profile_id, e.namespace)
WHERE e.state <> 'archived' ORDER BY e.profile_id, e.id;

-- name: tenant
-- Find the tenant of a profile.
SELECT tenant_id FROM profile_changes WHERE profile_id = $1 AND NOT deleted;

-- name: changed_links
-- Read at most $4 of the profile's links that changed after version $3.
SELECT l.profile_id, l.id, l.slug, l.target, l.status, l.passthrough, l.click_id,
    s.link_id IS NOT NULL AS short, edge_options(l.options, l.engine_quarantine) AS options,
    l.password_hash
FROM links AS l LEFT JOIN short_slugs AS s
    ON (s.tenant_id, s.link_id) = (l.tenant_id, l.id)
WHERE l.tenant_id = $1 AND l.profile_id = $2 AND l.revision > $3
ORDER BY l.revision LIMIT $4;

-- name: removed_links
-- Read at most $4 ids of links that the profile lost after version $3.
SELECT link_id FROM removed_links
WHERE tenant_id = $1 AND profile_id = $2 AND revision > $3
ORDER BY revision, link_id LIMIT $4;

-- name: following_links
-- Read the first $4 links of a profile ($1 tenant, $2 id) with ids above $3, in the order of their ids.
SELECT p.version AS profile_version, l.id, l.slug, l.target, l.status, l.passthrough, l.click_id,
    s.link_id IS NOT NULL AS short, edge_options(l.options, l.engine_quarantine) AS options,
    l.password_hash
FROM profiles AS p
CROSS JOIN LATERAL (
    SELECT * FROM links AS l
    WHERE (l.tenant_id, l.profile_id) = (p.tenant_id, p.id) AND l.id > $3
    ORDER BY l.id LIMIT $4
) AS l
LEFT JOIN short_slugs AS s
    ON (s.tenant_id, s.link_id) = (l.tenant_id, l.id)
WHERE p.tenant_id = $1 AND p.id = $2
ORDER BY l.id;

-- name: now
-- Return this transaction's snapshot as the cursor: the next changes are those that it does not see. A standby
-- does not list running transactions, so there everything from xmin on counts as not seen.
SELECT CASE
    WHEN pg_is_in_recovery()
    THEN format('%1$s:%1$s:', pg_snapshot_xmin(pg_current_snapshot()))
    ELSE pg_current_snapshot()::text
END;

-- name: history
-- Return the history that this server's transactions belong to: its cluster, its timeline, which a standby's
-- promotion and a recovery to a point in time make anew, and its table of changes, which a load of a dump does.
SELECT format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()),
    CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id::text FROM pg_control_checkpoint())
        ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
    'profile_changes'::regclass::oid);

-- name: is_behind
-- Return whether this server is behind the snapshot $1: it was restored from a backup since. Of several standbys
-- one may be a little behind another.
SELECT pg_snapshot_xmax(pg_current_snapshot()) < CASE
    WHEN pg_is_in_recovery() THEN pg_snapshot_xmin($1::text::pg_snapshot)
    ELSE pg_snapshot_xmax($1::text::pg_snapshot)
END;

-- name: changes
-- Read at most $2 changes that the snapshot $1 does not see and this one does.
SELECT profile_id, version, deleted FROM profile_changes
WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
LIMIT $2;
