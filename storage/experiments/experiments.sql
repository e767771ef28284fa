-- Experiments, as the console changes and reads them: run as waypost_app with the tenant set, the profile
-- locked before every change.

-- name: create_namespace
-- Create a group of experiments that exclude each other, when it is first named; its secret is drawn then.
INSERT INTO namespaces (tenant_id, profile_id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: create_experiment
-- Create a draft.
INSERT INTO experiments (tenant_id, profile_id, link_id, block_id, namespace, definition)
VALUES ($1, $2, $3, $4, $5::jsonb -> 'namespace' ->> 'id', $5::jsonb)
RETURNING id, profile_id, version, created_at, updated_at, state, link_id, block_id, definition, phase, winner,
    seed, started_at, ended_at, mismatch_at;

-- name: experiment
-- Read one experiment.
SELECT id, profile_id, version, created_at, updated_at, state, link_id, block_id, definition, phase, winner,
    seed, started_at, ended_at, mismatch_at
FROM experiments WHERE tenant_id = $1 AND id = $2;

-- name: list_experiments
-- List a profile's experiments in the order of their ids.
SELECT id, profile_id, version, created_at, updated_at, state, link_id, block_id, definition, phase, winner,
    seed, started_at, ended_at, mismatch_at
FROM experiments WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: open_experiments
-- Read a profile's experiments that are not archived.
SELECT id, state, link_id, block_id, definition, phase, winner, seed
FROM experiments WHERE tenant_id = $1 AND profile_id = $2 AND state <> 'archived' ORDER BY id;

-- name: update_experiment
-- Write an experiment as its next version.
UPDATE experiments SET version = version + 1, updated_at = now(), state = $3, link_id = $4, block_id = $5,
    definition = $6::jsonb,
    namespace = $6::jsonb -> 'namespace' ->> 'id', phase = $7, winner = $8,
    started_at = CASE WHEN $3 = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
    ended_at = CASE WHEN $3 IN ('decided', 'archived') THEN coalesce(ended_at, now()) END
WHERE tenant_id = $1 AND id = $2
RETURNING id, profile_id, version, created_at, updated_at, state, link_id, block_id, definition, phase, winner,
    seed, started_at, ended_at, mismatch_at;

-- name: begin_phase
-- Write the variants of a phase that begins.
INSERT INTO experiment_phases (tenant_id, experiment_id, phase, reason, variants)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- name: delete_experiment
-- Delete an experiment. Its counts, maybe millions of rows, are deleted by a job (counts.sql, `gone`).
DELETE FROM experiments WHERE tenant_id = $1 AND id = $2;

-- name: known_assets
-- List those of the ids $3 that are assets of a profile.
SELECT id FROM assets WHERE tenant_id = $1 AND profile_id = $2 AND id = ANY($3::bigint[]);

-- name: has_block
-- Return whether the published page of a profile has a block with the id $3.
SELECT jsonb_path_exists(v.page, '$.blocks[*] ? (@.id == $id)', jsonb_build_object('id', $3::text))
FROM page_versions AS v WHERE v.tenant_id = $1 AND v.profile_id = $2 ORDER BY v.number DESC LIMIT 1;

-- name: has_link
-- Return whether a link belongs to the profile.
SELECT EXISTS (SELECT FROM links WHERE tenant_id = $1 AND profile_id = $2 AND id = $3);

-- name: secrets
-- Read the secrets of an experiment and of its namespace.
SELECT e.secret, n.secret AS namespace_secret
FROM experiments AS e LEFT JOIN namespaces AS n
    ON (n.tenant_id, n.profile_id, n.name) = (e.tenant_id, e.profile_id, e.namespace)
WHERE e.tenant_id = $1 AND e.id = $2;

-- name: phases
-- Read an experiment's phases, oldest first.
SELECT phase, started_at, reason, variants FROM experiment_phases
WHERE tenant_id = $1 AND experiment_id = $2 ORDER BY phase;

-- name: sums
-- Sum an experiment's counts by phase and variant.
SELECT phase, variant, sum(exposures)::bigint, sum(outcomes)::bigint, sum(visitors)::bigint, sum(converted)::bigint,
    sum(multiple_exposures)::bigint
FROM experiment_sums WHERE tenant_id = $1 AND experiment_id = $2 GROUP BY phase, variant;

-- name: values
-- Sum the values of a phase's conversions by variant and currency.
SELECT variant, currency, count(*), sum(value)::text FROM conversions
WHERE tenant_id = $1 AND experiment_id = $2 AND phase = $3 AND attribution = 'attributed'
    AND value IS NOT NULL AND currency IS NOT NULL
GROUP BY variant, currency ORDER BY variant, currency;

-- name: unattributed
-- Count conversions of an experiment's clicks that are not attributed to it.
SELECT count(*) FROM conversions
WHERE tenant_id = $1 AND experiment_id = $2 AND attribution <> 'attributed';

-- name: extent
-- Return the first and the last time bucket of a phase.
SELECT min(bucket), max(bucket) FROM experiment_sums
WHERE tenant_id = $1 AND experiment_id = $2 AND phase = $3;

-- name: series
-- Sum a phase's counts by intervals of $5 seconds from $4 on.
SELECT floor(extract(epoch FROM bucket - $4) / $5)::bigint AS stretch, variant,
    sum(exposures)::bigint, sum(outcomes)::bigint, sum(visitors)::bigint, sum(converted)::bigint,
    sum(multiple_exposures)::bigint
FROM experiment_sums WHERE tenant_id = $1 AND experiment_id = $2 AND phase = $3
GROUP BY 1, 2 ORDER BY 1, 2;
