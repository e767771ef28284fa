-- The dimensions of conversions' clicks: run as waypost_aggregator, which sees every tenant.

-- name: due
-- Claim at most $1 conversions whose click is to be looked for; those of another worker are left to it.
SELECT tenant_id, click, name, order_id, link_id, clicked_at, click_visitor FROM conversions
WHERE dimensions_due <= clock_timestamp() ORDER BY dimensions_due LIMIT $1 FOR UPDATE SKIP LOCKED;

-- name: clicks
-- Find raw clicks from $1 to $2, the first of the earliest to the last of the latest conversion.
SELECT DISTINCT ON (k.number) k.number, {columns}, visitor_kind(c.classification) AS kind,
    trigger_name(c.trigger) AS trigger, c.exposures, c.outcomes
FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bigint[])
    AS k (number, tenant_id, link_id, at, visitor)
JOIN clicks AS c ON c.tenant_id = k.tenant_id AND c.link_id = k.link_id AND c.at = k.at
    AND (k.visitor IS NULL OR c.visitor = k.visitor)
WHERE c.at BETWEEN $1 AND $2 AND c.kind = 1
ORDER BY k.number, c.sequence;

-- name: copy
-- Note the dimensions of conversions whose click was found.
UPDATE conversions AS c SET dimensions = k.dimensions::jsonb, dimensions_due = NULL, click_visitor = NULL
FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[])
    AS k (tenant_id, click, name, order_id, dimensions)
WHERE (c.tenant_id, c.click, c.name, c.order_id) = (k.tenant_id, k.click, k.name, k.order_id);

-- name: wait
-- Look for the clicks of other conversions later: after as long as they have waited, for $5 days at most.
UPDATE conversions AS c SET
    dimensions_due = CASE WHEN c.received_at > clock_timestamp() - make_interval(days => $5)
        THEN clock_timestamp() + greatest(clock_timestamp() - c.received_at, interval '1 second') END,
    click_visitor = CASE WHEN c.received_at > clock_timestamp() - make_interval(days => $5)
        THEN c.click_visitor END
FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[]) AS k (tenant_id, click, name, order_id)
WHERE (c.tenant_id, c.click, c.name, c.order_id) = (k.tenant_id, k.click, k.name, k.order_id)
RETURNING c.dimensions_due IS NULL;
