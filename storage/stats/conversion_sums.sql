-- name: sums
-- Sum conversions and movements of value of a profile in [$3, $4) by group, row and currency. $5: starts of
-- rows; $6: the attribution window; $7: how many sums at most. An order that the script reports counts once, and
-- not beside a hook's or the API's. What an order gave back by a time is as in engine/experiments/refund.py.
WITH orders AS NOT MATERIALIZED (
    SELECT c.id, c.name, c.order_id, c.at, c.link_id, c.dimensions, c.value, c.currency
    FROM conversions AS c
    WHERE c.tenant_id = $1 AND c.profile_id = $2 AND c.link_id IS NOT NULL AND c.at <= c.clicked_at + $6::interval
        AND (c.source <> 'script' OR c.order_id = '' OR NOT EXISTS (
            SELECT FROM conversions AS o WHERE o.tenant_id = $1 AND o.profile_id = $2 AND o.name = c.name
                AND o.order_id = c.order_id AND o.order_id <> '' AND o.link_id IS NOT NULL
                AND (o.claimed_order IS NOT NULL OR o.id < c.id)))
), refunded AS (
    SELECT DISTINCT name, order_id FROM refunds
    WHERE tenant_id = $1 AND profile_id = $2 AND at >= $3 AND at < $4
), given_back AS (
    SELECT o.id, o.link_id, o.dimensions, o.currency, r.at, r.refund_id, r.kind, CASE
        WHEN bool_or(r.kind = 'void') OVER earlier THEN o.value
        ELSE least(o.value, greatest(0,
            coalesce(sum(r.value) FILTER (WHERE r.kind = 'amount' AND r.currency = o.currency) OVER earlier, 0),
            coalesce(max(r.value) FILTER (WHERE r.kind = 'total' AND r.currency = o.currency) OVER earlier, 0)))
        END AS value
    FROM refunded AS f
    JOIN orders AS o ON o.name = f.name AND o.order_id = f.order_id AND o.order_id <> '' AND o.value IS NOT NULL
    JOIN refunds AS r ON r.tenant_id = $1 AND r.profile_id = $2 AND r.name = o.name AND r.order_id = o.order_id
    WINDOW earlier AS (PARTITION BY o.id ORDER BY r.at, r.refund_id, r.kind ROWS UNBOUNDED PRECEDING)
), movements AS (
    SELECT link_id, dimensions, at, 1 AS conversions, value, currency FROM orders WHERE at >= $3 AND at < $4
    UNION ALL
    SELECT link_id, dimensions, at, 0, value, currency FROM (
        SELECT g.*, lag(g.value, 1, 0) OVER (PARTITION BY g.id ORDER BY g.at, g.refund_id, g.kind) - g.value AS moved
        FROM given_back AS g
    ) AS g (id, link_id, dimensions, currency, at, refund_id, kind, given_back, value)
    WHERE at >= $3 AND at < $4 AND value <> 0
)
SELECT ARRAY[{groups}]::text[] AS groups, width_bucket(m.at, $5::timestamptz[]) + 1 AS row, m.currency,
    sum(m.conversions)::bigint AS conversions, sum(m.value) AS value
FROM movements AS m {variants}
WHERE {conditions}
GROUP BY 1, 2, 3 LIMIT $7
