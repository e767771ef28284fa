-- Checks of links' targets, for all tenants: run as waypost_aggregator.

-- name: discover
-- Look at $3 links after the key ($1, $2), in the order of their keys. New links and changed targets get a row,
-- with what is known of the tenant's other links to the same target. Returns the last key, and how many links.
WITH looked AS MATERIALIZED (
    SELECT tenant_id, id, kind, target FROM links WHERE (tenant_id, id) > ($1::bigint, $2::bigint)
    ORDER BY tenant_id, id LIMIT $3
), written AS (
    INSERT INTO link_health AS h
        (tenant_id, link_id, target, state, status, reason, failures, checked_at, since, next_at)
    SELECT l.tenant_id, l.id, l.target, coalesce(k.state, 'unknown'), k.status, coalesce(k.reason, ''),
        coalesce(k.failures, 0), k.checked_at, k.since, coalesce(k.next_at, clock_timestamp())
    FROM looked AS l
    LEFT JOIN link_health AS own ON own.tenant_id = l.tenant_id AND own.link_id = l.id
    LEFT JOIN LATERAL (
        SELECT * FROM link_health AS o
        WHERE o.tenant_id = l.tenant_id AND md5(o.target) = md5(l.target) AND o.target = l.target LIMIT 1
    ) AS k ON true
    -- A target with arguments (engine/links/targets/extra_path.py) is no address.
    WHERE l.kind IN ('url', 'github') AND l.target !~ '\{[1-9][:}]' AND own.target IS DISTINCT FROM l.target
    ON CONFLICT (tenant_id, link_id) DO UPDATE SET target = excluded.target, state = excluded.state,
        status = excluded.status, reason = excluded.reason, failures = excluded.failures,
        checked_at = excluded.checked_at, since = excluded.since, next_at = excluded.next_at
)
SELECT tenant_id, id, count(*) OVER () AS looked FROM looked ORDER BY tenant_id DESC, id DESC LIMIT 1;

-- name: due
-- Claim due targets, the longest due first; other workers skip their rows. Each is due again in an hour, should
-- this worker die.
UPDATE link_health AS h SET next_at = clock_timestamp() + interval '1 hour'
FROM (
    SELECT d.tenant_id, d.link_id FROM link_health AS d
    JOIN links AS l ON l.tenant_id = d.tenant_id AND l.id = d.link_id AND l.target = d.target
    WHERE d.next_at <= statement_timestamp()
    ORDER BY d.next_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED
) AS d
WHERE h.tenant_id = d.tenant_id AND h.link_id = d.link_id
RETURNING h.tenant_id, h.target, h.state, h.failures;

-- name: write
-- Write the results of checks to all links of the tenant to the target.
UPDATE link_health AS h SET state = c.state, status = c.status, reason = c.reason, failures = c.failures,
    next_at = c.next_at, checked_at = now(),
    since = CASE WHEN h.state = c.state AND h.since IS NOT NULL THEN h.since ELSE now() END
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::smallint[],
    $7::timestamptz[]) AS c (tenant_id, target, state, status, reason, failures, next_at)
WHERE h.tenant_id = c.tenant_id AND md5(h.target) = md5(c.target) AND h.target = c.target;

-- name: put_back
-- Make targets due again that there was no time for.
UPDATE link_health AS h SET next_at = clock_timestamp()
FROM unnest($1::bigint[], $2::text[]) AS c (tenant_id, target)
WHERE h.tenant_id = c.tenant_id AND md5(h.target) = md5(c.target) AND h.target = c.target;

-- name: now
-- Read the clock that decides.
SELECT clock_timestamp();
