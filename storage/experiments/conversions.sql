-- Conversions: run as waypost_app with the tenant set.

-- name: windows
-- Read the attribution windows, in hours, of experiments ($2) of a tenant.
SELECT id, coalesce((definition ->> 'attribution_hours')::int, 168) FROM experiments
WHERE tenant_id = $1 AND id = ANY ($2::bigint[]);

-- name: insert
-- Insert conversions in the order of name, order and click, or two transactions could deadlock; existing ones
-- stay as they are.
INSERT INTO conversions (tenant_id, profile_id, click, name, order_id, at, clicked_at, link_id, value, currency,
    source, attribution, experiment_id, phase, variant, day, visitor, click_visitor, dimensions_due, claimed_order)
SELECT $1, $2, * FROM unnest($3::bytea[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
    $8::bigint[], $9::numeric[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::int[],
    $15::smallint[], $16::date[], $17::bigint[], $18::bigint[], $19::timestamptz[], $20::text[])
ON CONFLICT DO NOTHING
RETURNING click, name, order_id;

-- name: existing
-- Read how existing conversions were attributed.
SELECT c.click, c.name, c.order_id, c.attribution FROM conversions AS c
JOIN unnest($2::bytea[], $3::text[], $4::text[]) AS k (click, name, order_id)
    ON (c.click, c.name, c.order_id) = (k.click, k.name, k.order_id)
WHERE c.tenant_id = $1;

-- name: existing_orders
-- Read how orders of profile $2 were attributed that another click has already. $3: the keys.
SELECT k.click, c.name, c.order_id, c.attribution FROM conversions AS c
JOIN unnest($3::bytea[], $4::text[], $5::text[]) AS k (click, name, order_id)
    ON (c.name, c.claimed_order) = (k.name, k.order_id) AND c.click <> k.click
WHERE c.tenant_id = $1 AND c.profile_id = $2;

-- name: replace_script
-- Replace the value of conversions that so far the script alone has reported: anybody can do that. Orders that
-- another click has already stay theirs.
UPDATE conversions AS c SET value = k.value, currency = k.currency, source = $3,
    claimed_order = nullif(c.order_id, '')
FROM unnest($4::bytea[], $5::text[], $6::text[], $7::numeric[], $8::text[])
    AS k (click, name, order_id, value, currency)
WHERE c.tenant_id = $1 AND (c.click, c.name, c.order_id) = (k.click, k.name, k.order_id) AND c.source = 'script'
    AND NOT EXISTS (
        SELECT FROM conversions AS o WHERE o.tenant_id = $1 AND o.profile_id = $2 AND o.name = c.name
            AND o.claimed_order = c.order_id);

-- name: insert_refunds
-- Insert refunds in the order of the key; existing ones stay as they are.
INSERT INTO refunds (tenant_id, profile_id, name, order_id, refund_id, kind, value, currency, at)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::text[],
    $9::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING refund_id;

-- name: lock_experiments
-- Serialise the conversions of experiments whose visitors' rows are purged.
SELECT pg_advisory_xact_lock(hashtextextended('waypost.conversions', id)) FROM unnest($1::bigint[]) AS e (id)
ORDER BY id;

-- name: converted_before
-- Read which visitors, by experiment, phase and day, had converted before this transaction's conversions ($6
-- keys).
SELECT DISTINCT c.experiment_id, c.phase, c.day, c.visitor FROM conversions AS c
JOIN unnest($2::bigint[], $3::int[], $4::date[], $5::bigint[]) AS v (experiment_id, phase, day, visitor)
    ON (c.experiment_id, c.phase, c.day, c.visitor) = (v.experiment_id, v.phase, v.day, v.visitor)
WHERE c.tenant_id = $1 AND c.attribution = 'attributed' AND NOT EXISTS (
    SELECT FROM unnest($6::bytea[], $7::text[], $8::text[]) AS n (click, name, order_id)
    WHERE (c.click, c.name, c.order_id) = (n.click, n.name, n.order_id));

-- name: add_late
-- Add first conversions of visitors whose rows are purged: only sums count them.
INSERT INTO experiment_sums AS s (tenant_id, experiment_id, phase, bucket, variant, outcomes, converted)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::timestamptz[], $5::smallint[], $6::bigint[],
    $7::bigint[]) AS a (tenant_id, experiment_id, phase, bucket, variant, outcomes, converted)
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (tenant_id, experiment_id, phase, bucket, variant) DO UPDATE SET
    outcomes = s.outcomes + excluded.outcomes, converted = s.converted + excluded.converted;

-- name: open_days
-- Return the first UTC day whose visitors' rows are still kept.
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - $1::int;

-- name: list
-- List conversions of a profile with ids below $3 (0: from the newest), newest first.
SELECT id, name, order_id, at, received_at, clicked_at, link_id, value, currency, source, attribution,
    experiment_id, phase, variant
FROM conversions WHERE tenant_id = $1 AND profile_id = $2 AND ($3::bigint = 0 OR id < $3::bigint)
ORDER BY id DESC LIMIT $4;

-- name: click_id_secret
-- Read the secret that seals click ids.
SELECT click_id_secret();
