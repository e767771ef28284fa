-- Visits at domains that led to no link.

-- name: add
-- Add visits of hosts ($1), by path ($2, $3 numbers), to today's: run as waypost_edge.
SELECT count_orphan_visits($1, $2, $3);

-- name: orphans
-- List the $4 paths of a domain with the most visits of the last $3 days: run as waypost_app, with the tenant set.
SELECT path, sum(visits)::bigint AS visits, max(day) AS last_day FROM orphan_visits
WHERE tenant_id = $1 AND domain_id = $2 AND day > (now() AT TIME ZONE 'UTC')::date - $3::integer
GROUP BY path ORDER BY visits DESC, path LIMIT $4;

-- name: purge
-- Delete $2 rows of days before the last $1: run as waypost_aggregator.
DELETE FROM orphan_visits WHERE (tenant_id, domain_id, day, path) IN (
    SELECT tenant_id, domain_id, day, path FROM orphan_visits
    WHERE day <= (now() AT TIME ZONE 'UTC')::date - $1::integer LIMIT $2);
