-- Access of the caller: run as waypost_app with the caller set. Each query moves on to the tenant that it
-- finds.

-- name: enter_profile
-- Enter a profile: its tenant, and the caller's role in it; no row unless they are a member.
SELECT tenant_id, role, set_config('waypost.tenant', tenant_id::text, true) FROM profile_access($1);

-- name: enter_link
-- Enter the profile of a link: its tenant and id, and the caller's role; no row unless they are a member.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM link_access($1);

-- name: enter_job
-- Enter the profile of a job, as enter_link.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM job_access($1);

-- name: enter_experiment
-- Enter the profile of an experiment, as enter_link.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM experiment_access($1);
