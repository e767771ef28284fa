-- Looks at the records of domains, for all tenants: run as waypost_aggregator.

-- name: claim
-- Claim due domains, the longest due first; other workers skip their rows. Each is due again in ten minutes, should
-- this worker die.
UPDATE domain_looks AS l SET next_at = clock_timestamp() + interval '10 minutes'
FROM (
    SELECT tenant_id, domain_id FROM domain_looks WHERE next_at <= statement_timestamp()
    ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
) AS due JOIN domains AS d ON d.tenant_id = due.tenant_id AND d.id = due.domain_id
WHERE l.tenant_id = due.tenant_id AND l.domain_id = due.domain_id
RETURNING d.tenant_id, d.id, d.host, d.token, CASE d.state WHEN 'failed' THEN 'pending' ELSE d.state END AS state,
    l.failures;

-- name: holder
-- Have another tenant's verified domain of a host looked at. Returns its id; no row if there is none.
UPDATE domain_looks AS l SET next_at = clock_timestamp()
FROM domains AS d
WHERE d.host = $2 AND d.state = 'verified' AND d.tenant_id <> $1
    AND l.tenant_id = d.tenant_id AND l.domain_id = d.id
RETURNING d.id;

-- name: set_state
-- Move a domain to another state.
UPDATE domains SET state = $3, version = version + 1, updated_at = clock_timestamp(),
    verified_at = CASE WHEN $3 = 'verified' THEN clock_timestamp() ELSE verified_at END
WHERE tenant_id = $1 AND id = $2 AND state <> $3;

-- name: record_look
-- Record a look at a domain's record.
UPDATE domain_looks SET failures = $3, reason = $4, checked_at = clock_timestamp(),
    next_at = clock_timestamp() + $5::interval
WHERE tenant_id = $1 AND domain_id = $2;
