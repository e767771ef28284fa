-- Screening of links and domains of all tenants: run as waypost_aggregator.

-- name: links
-- Read $3 links behind the key ($1, $2) in the order of their keys, with the targets of their experiments.
SELECT l.tenant_id, l.id, l.version, l.target, l.options::text, l.engine_quarantine ->> 'rule' AS rule,
    coalesce(l.engine_quarantine ->> 'reason', '') AS reason,
    ARRAY(SELECT v ->> 'target' FROM experiments AS e, jsonb_array_elements(e.definition -> 'variants') AS v
        WHERE e.tenant_id = l.tenant_id AND e.link_id = l.id AND e.state <> 'archived' AND v ->> 'target' <> ''
    ) AS variant_targets,
    EXISTS (SELECT FROM link_reviews AS r WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id
        AND r.targets = targets_hash(l.target, l.options)) AS reviewed
FROM links AS l WHERE (l.tenant_id, l.id) > ($1::bigint, $2::bigint)
ORDER BY l.tenant_id, l.id LIMIT $3;

-- name: quarantined_links
-- Like links, of those alone that are quarantined by the engine.
SELECT l.tenant_id, l.id, l.version, l.target, l.options::text, l.engine_quarantine ->> 'rule' AS rule,
    coalesce(l.engine_quarantine ->> 'reason', '') AS reason,
    ARRAY(SELECT v ->> 'target' FROM experiments AS e, jsonb_array_elements(e.definition -> 'variants') AS v
        WHERE e.tenant_id = l.tenant_id AND e.link_id = l.id AND e.state <> 'archived' AND v ->> 'target' <> ''
    ) AS variant_targets,
    EXISTS (SELECT FROM link_reviews AS r WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id
        AND r.targets = targets_hash(l.target, l.options)) AS reviewed
FROM links AS l WHERE (l.tenant_id, l.id) > ($1::bigint, $2::bigint) AND l.engine_quarantine IS NOT NULL
ORDER BY l.tenant_id, l.id LIMIT $3;

-- name: quarantine
-- Set or release the quarantine of a link that still has the version $3.
SELECT screen_link($1, $2, $3, $4, $5);

-- name: domains
-- Read $3 domains with targets behind the key ($1, $2).
SELECT tenant_id, id, array_remove(ARRAY[root_target, not_found_target], NULL) AS targets, blocked_targets
FROM domains WHERE (tenant_id, id) > ($1::bigint, $2::bigint)
    AND (root_target IS NOT NULL OR not_found_target IS NOT NULL OR blocked_targets <> '{}')
ORDER BY tenant_id, id LIMIT $3;

-- name: block
-- Set which targets of a domain are blocked.
UPDATE domains SET blocked_targets = $3, version = version + 1, updated_at = now() WHERE tenant_id = $1 AND id = $2;
