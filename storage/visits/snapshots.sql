-- Snapshots and changes of all tenants, for edges: run as waypost_edge, each group in one read-only database
-- snapshot.

-- name: profiles
-- Read the profiles behind short slugs ($1 numbers, $2), pages ($3 numbers, $4 handles) and profiles' own links ($5
-- numbers, $6 handles, $7 slugs), and those with the ids $8: each as one row, with the numbers of its paths and the
-- requested links. A profile that has at most $9 links, of at most $10 bytes together, comes whole: with all its links,
-- in any order, and its published page. With OFFSET 0 each part is looked up by its index as often as written: the planner,
-- which takes profiles for small, would measure a profile for each of its links and read all short slugs.
WITH answers AS MATERIALIZED (
    SELECT asked.n, p.*, s.link_id
    FROM unnest($1::int[], $2::text[]) AS asked (n, slug)
    CROSS JOIN LATERAL (SELECT * FROM short_slugs AS s WHERE s.slug = asked.slug OFFSET 0) AS s
    CROSS JOIN LATERAL (
        SELECT * FROM profiles AS p WHERE (p.tenant_id, p.id) = (s.tenant_id, s.profile_id) OFFSET 0
    ) AS p
    UNION ALL
    SELECT asked.n, p.*, NULL
    FROM unnest($3::int[], $4::text[]) AS asked (n, handle)
    CROSS JOIN LATERAL (SELECT * FROM profiles AS p WHERE p.handle = asked.handle OFFSET 0) AS p
    UNION ALL
    SELECT asked.n, p.*, l.id
    FROM unnest($5::int[], $6::text[], $7::text[]) AS asked (n, handle, slug)
    CROSS JOIN LATERAL (SELECT * FROM profiles AS p WHERE p.handle = asked.handle OFFSET 0) AS p
    CROSS JOIN LATERAL (
        SELECT l.id FROM links AS l WHERE (l.profile_id, l.slug) = (p.id, asked.slug) OFFSET 0
    ) AS l
    UNION ALL
    SELECT NULL, p.*, NULL
    FROM unnest($8::bigint[]) AS asked (id)
    CROSS JOIN LATERAL (
        SELECT c.tenant_id FROM profile_changes AS c WHERE c.profile_id = asked.id AND NOT c.deleted OFFSET 0
    ) AS c
    CROSS JOIN LATERAL (
        SELECT * FROM profiles AS p WHERE (p.tenant_id, p.id) = (c.tenant_id, asked.id) OFFSET 0
    ) AS p
), p AS MATERIALIZED (
    SELECT tenant_id, id, handle, title, version, array_agg(n) AS numbers, array_agg(link_id) AS link_ids
    FROM answers GROUP BY tenant_id, id, handle, title, version
)
SELECT p.*, size.whole, l.links, v.*, e.experiments
FROM p
CROSS JOIN LATERAL (
    SELECT count(*) <= $9
        AND coalesce(sum(octet_length(l.target) + coalesce(octet_length(l.options::text), 0)), 0) <= $10 AS whole
    FROM (
        SELECT target, options FROM links AS l
        WHERE (l.tenant_id, l.profile_id) = (p.tenant_id, p.id) LIMIT $9::int + 1
    ) AS l
    OFFSET 0
) AS size
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(json_build_array(l.id, l.slug, l.target, l.status, l.passthrough,
        s.short IS NOT NULL, l.click_id, edge_options(l.options, l.engine_quarantine)::json, l.password_hash),
        l.title, l.kind, l.position, l.hidden, l.revision)) AS links
    FROM links AS l
    LEFT JOIN LATERAL (
        SELECT true AS short FROM short_slugs AS s
        WHERE (s.tenant_id, s.link_id) = (l.tenant_id, l.id) OFFSET 0
    ) AS s ON true
    WHERE size.whole AND (l.tenant_id, l.profile_id) = (p.tenant_id, p.id)
    OFFSET 0
) AS l
LEFT JOIN LATERAL (
    SELECT v.number, v.page::text, v.pictures::text, (
        SELECT coalesce(json_agg(json_build_object('slug', l.slug, 'title', l.title, 'target', l.target,
            'kind', l.kind, 'id', l.id, 'facts', g.facts, 'synced_at', g.synced_at)), '[]')::text
        FROM links AS l
        LEFT JOIN github_syncs AS g ON (g.tenant_id, g.link_id, g.target) = (l.tenant_id, l.id, l.target)
            AND g.synced_at IS NOT NULL
        WHERE l.tenant_id = v.tenant_id AND l.id = ANY(v.link_ids) AND NOT l.hidden
    ) AS page_links
    FROM page_versions AS v
    WHERE size.whole AND (v.tenant_id, v.profile_id) = (p.tenant_id, p.id)
    ORDER BY v.number DESC LIMIT 1
) AS v ON true
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object('id', e.id, 'state', e.state, 'link_id', e.link_id, 'block_id', e.block_id,
        'definition', e.definition, 'phase', e.phase, 'winner', e.winner, 'seed', e.seed,
        'secret', encode(e.secret, 'base64'), 'namespace_secret', encode(n.secret, 'base64'))
        ORDER BY e.id) AS experiments
    FROM experiments AS e
    LEFT JOIN namespaces AS n
        ON (n.tenant_id, n.profile_id, n.name) = (e.tenant_id, e.profile_id, e.namespace)
    WHERE (e.tenant_id, e.profile_id) = (p.tenant_id, p.id) AND e.state <> 'archived'
    OFFSET 0
) AS e;

-- name: some_links
-- Read links by tenant ($1) and id ($2), in any order.
SELECT l.profile_id, l.id, l.slug, l.target, l.status, l.passthrough, l.click_id,
    s.link_id IS NOT NULL AS short, edge_options(l.options, l.engine_quarantine) AS options,
    l.password_hash
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, id)
CROSS JOIN LATERAL (
    SELECT * FROM links AS l WHERE (l.tenant_id, l.id) = (asked.tenant_id, asked.id) OFFSET 0
) AS l
LEFT JOIN LATERAL (
    SELECT * FROM short_slugs AS s WHERE (s.tenant_id, s.link_id) = (l.tenant_id, l.id) OFFSET 0
) AS s ON true;

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
    SELECT coalesce(json_agg(json_build_object('slug', l.slug, 'title', l.title, 'target', l.target,
        'kind', l.kind, 'id', l.id, 'facts', g.facts, 'synced_at', g.synced_at)), '[]')::text
    FROM links AS l
    LEFT JOIN github_syncs AS g ON (g.tenant_id, g.link_id, g.target) = (l.tenant_id, l.id, l.target)
        AND g.synced_at IS NOT NULL
    WHERE l.tenant_id = v.tenant_id AND l.id = ANY(v.link_ids) AND NOT l.hidden
) AS page_links
FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, profile_id)
CROSS JOIN LATERAL (
    SELECT * FROM page_versions AS v WHERE (v.tenant_id, v.profile_id) = (asked.tenant_id, asked.profile_id)
    ORDER BY v.number DESC LIMIT 1
) AS v;

-- name: pictures
-- Read assets of profiles by tenant ($1), profile ($2) and id ($3), with their renditions.
SELECT a.profile_id, a.id, f.hash, f.width, f.height, f.renditions::text
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS asked (tenant_id, profile_id, id)
CROSS JOIN LATERAL (
    SELECT tenant_id, profile_id, id, address FROM assets AS a
    WHERE (a.tenant_id, a.profile_id, a.id) = (asked.tenant_id, asked.profile_id, asked.id) OFFSET 0
) AS a
CROSS JOIN LATERAL (
    SELECT hash, width, height, renditions FROM asset_files AS f
    WHERE (f.tenant_id, f.hash) = (a.tenant_id, a.address) OFFSET 0
) AS f;

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
