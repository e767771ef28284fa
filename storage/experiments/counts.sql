-- Counts of experiments: written by the fold (waypost_aggregator) in its transaction, and by conversions
-- (waypost_app, with the tenant set).

-- name: observe
-- Add visitors by key, with their variant, exposures and outcomes ($1 to $11), and all exposures and outcomes
-- by variant and time ($12 to $18). First rows, then sums, each in the order of their keys, or two folds could
-- deadlock. Experiments that were deleted are left out. A row keeps its state before the last write, so that
-- the sums change by the difference.
WITH seen AS (
    SELECT s.* FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::date[], $5::bigint[], $6::smallint[],
        $7::boolean[], $8::int[], $9::int[], $10::timestamptz[], $11::timestamptz[])
        AS s (tenant_id, experiment_id, phase, day, visitor, variant, multiple_exposures, exposures, outcomes,
            exposed_at, converted_at)
    JOIN experiments AS e ON e.tenant_id = s.tenant_id AND e.id = s.experiment_id
    ORDER BY 1, 2, 3, 4, 5
), written AS (
    INSERT INTO experiment_visitors AS v (tenant_id, experiment_id, phase, day, visitor, variant,
        multiple_exposures, exposures, outcomes, exposed_at, converted_at)
    SELECT * FROM seen
    ON CONFLICT (tenant_id, experiment_id, phase, day, visitor) DO UPDATE SET
        was_counted = v.exposed_at IS NOT NULL AND NOT v.multiple_exposures,
        was_converted = v.exposed_at IS NOT NULL AND v.converted_at IS NOT NULL AND NOT v.multiple_exposures,
        had_multiple_exposures = v.multiple_exposures,
        multiple_exposures = v.multiple_exposures OR excluded.multiple_exposures OR v.variant <> excluded.variant,
        exposures = v.exposures + excluded.exposures,
        outcomes = v.outcomes + excluded.outcomes,
        exposed_at = coalesce(v.exposed_at, excluded.exposed_at),
        converted_at = coalesce(v.converted_at, excluded.converted_at)
    RETURNING v.*
), changed AS (
    SELECT tenant_id, experiment_id, phase, variant, date_bin('15 minutes', exposed_at, 'epoch') AS bucket,
        0::bigint AS exposures, 0::bigint AS outcomes,
        (NOT multiple_exposures)::int - was_counted::int AS visitors, 0 AS converted, 0 AS multiple_exposures
    FROM written WHERE exposed_at IS NOT NULL
    UNION ALL
    SELECT tenant_id, experiment_id, phase, variant, date_bin('15 minutes', converted_at, 'epoch'),
        0, 0, 0, (NOT multiple_exposures)::int - was_converted::int, 0
    FROM written WHERE exposed_at IS NOT NULL AND converted_at IS NOT NULL
    UNION ALL
    SELECT tenant_id, experiment_id, phase, variant,
        date_bin('15 minutes', coalesce(exposed_at, converted_at), 'epoch'), 0, 0, 0, 0, 1
    FROM written WHERE multiple_exposures AND NOT had_multiple_exposures
    UNION ALL
    SELECT a.tenant_id, a.experiment_id, a.phase, a.variant, a.bucket, a.exposures, a.outcomes, 0, 0, 0
    FROM unnest($12::bigint[], $13::bigint[], $14::int[], $15::timestamptz[], $16::smallint[], $17::bigint[],
        $18::bigint[]) AS a (tenant_id, experiment_id, phase, bucket, variant, exposures, outcomes)
    JOIN experiments AS e ON e.tenant_id = a.tenant_id AND e.id = a.experiment_id
)
INSERT INTO experiment_sums AS s (tenant_id, experiment_id, phase, bucket, variant, exposures, outcomes, visitors,
    converted, multiple_exposures)
SELECT tenant_id, experiment_id, phase, bucket, variant, sum(exposures), sum(outcomes), sum(visitors), sum(converted),
    sum(multiple_exposures)
FROM changed GROUP BY 1, 2, 3, 4, 5
HAVING sum(exposures) <> 0 OR sum(outcomes) <> 0 OR sum(visitors) <> 0 OR sum(converted) <> 0
    OR sum(multiple_exposures) <> 0
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (tenant_id, experiment_id, phase, bucket, variant) DO UPDATE SET
    exposures = s.exposures + excluded.exposures, outcomes = s.outcomes + excluded.outcomes,
    visitors = s.visitors + excluded.visitors, converted = s.converted + excluded.converted,
    multiple_exposures = s.multiple_exposures + excluded.multiple_exposures;

-- name: forget_visitors
-- Purge at most $2 visitors of days before $1, whose keys are gone. Visitors with a cookie stay until their
-- experiment has ended.
DELETE FROM experiment_visitors WHERE ctid = ANY (ARRAY(
    SELECT v.ctid FROM experiment_visitors AS v
    WHERE v.day < $1 AND (v.day <> '1970-01-01' OR NOT EXISTS (
        SELECT FROM experiments AS e WHERE e.tenant_id = v.tenant_id AND e.id = v.experiment_id
            AND (e.ended_at IS NULL OR e.ended_at > now() - interval '31 days')))
    LIMIT $2));

-- name: gone
-- List deleted experiments that left rows of visitors or sums. One step of the index for each experiment that
-- has any, however many rows it has.
WITH RECURSIVE visited AS (
    (SELECT tenant_id, experiment_id FROM experiment_visitors ORDER BY 1, 2 LIMIT 1)
    UNION ALL
    SELECT n.* FROM visited AS v CROSS JOIN LATERAL (
        SELECT x.tenant_id, x.experiment_id FROM experiment_visitors AS x
        WHERE (x.tenant_id, x.experiment_id) > (v.tenant_id, v.experiment_id) ORDER BY 1, 2 LIMIT 1) AS n
), summed AS (
    (SELECT tenant_id, experiment_id FROM experiment_sums ORDER BY 1, 2 LIMIT 1)
    UNION ALL
    SELECT n.* FROM summed AS s CROSS JOIN LATERAL (
        SELECT x.tenant_id, x.experiment_id FROM experiment_sums AS x
        WHERE (x.tenant_id, x.experiment_id) > (s.tenant_id, s.experiment_id) ORDER BY 1, 2 LIMIT 1) AS n
)
SELECT tenant_id, experiment_id FROM (SELECT * FROM visited UNION SELECT * FROM summed) AS found
WHERE NOT EXISTS (
    SELECT FROM experiments AS e WHERE e.tenant_id = found.tenant_id AND e.id = found.experiment_id);

-- name: forget_gone_visitors
-- Delete at most $3 visitors of a deleted experiment.
DELETE FROM experiment_visitors WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM experiment_visitors WHERE tenant_id = $1 AND experiment_id = $2 LIMIT $3));

-- name: forget_gone_sums
-- Delete at most $3 sums of a deleted experiment.
DELETE FROM experiment_sums WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM experiment_sums WHERE tenant_id = $1 AND experiment_id = $2 LIMIT $3));

-- name: forget_converted
-- Forget at most $1 visitors of conversions whose attribution window, of any length, has been over for a day.
UPDATE conversions SET visitor = NULL WHERE ctid = ANY (ARRAY(
    SELECT c.ctid FROM conversions AS c
    WHERE c.visitor IS NOT NULL AND c.clicked_at < now() - interval '31 days' LIMIT $1));
