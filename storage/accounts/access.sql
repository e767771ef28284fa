-- Who may act where: run as waypost_app with the caller set. All move on to the tenant they find.

-- name: enter_profile
-- The tenant of a profile and the caller's role in it; no row unless a member.
SELECT tenant_id, role, set_config('waypost.tenant', tenant_id::text, true) FROM profile_access($1);

-- name: enter_link
-- The same by a link.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM link_access($1);

-- name: enter_job
-- The same by a job of a profile.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM job_access($1);

-- name: enter_experiment
-- The same by an experiment.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM experiment_access($1);
