-- Jobs, and when each periodic one was last due. Goes before the code.
--
-- Jobs of tenant 0 are the engine's own. The app enqueues and sees its tenant's jobs; workers act as
-- waypost_aggregator, which row-level security does not bound, and which enqueues for any tenant.

-- `attempt` is the fencing token of a lease; the attempt that ends a job sets `finished_at`. No index has a
-- column that a heartbeat changes, so that it is updated in place (HOT).
CREATE TABLE jobs (
    tenant_id bigint NOT NULL DEFAULT 0,
    id bigint NOT NULL DEFAULT new_id(),
    profile_id bigint,
    queue text COLLATE "C" NOT NULL DEFAULT 'default' CHECK (queue ~ '^[a-z][a-z0-9_.-]*$' AND length(queue) <= 64),
    kind text COLLATE "C" NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_.-]*$' AND length(kind) <= 64),
    payload jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object' AND pg_column_size(payload) <= 65536),
    priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -2 AND 2),
    unique_key text COLLATE "C" CHECK (length(unique_key) BETWEEN 1 AND 200),
    state text COLLATE "C" NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'dead', 'cancelled')),
    attempt integer NOT NULL DEFAULT 0,
    failures smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 10 CHECK (max_attempts BETWEEN 1 AND 100),
    run_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    worker text NOT NULL DEFAULT '',
    lease_until timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    progress_done bigint,
    progress_total bigint,
    last_error text NOT NULL DEFAULT '' CHECK (length(last_error) <= 1000),
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX jobs_next ON jobs (queue, priority, run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (worker) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_dead ON jobs (finished_at) WHERE state = 'dead';
CREATE UNIQUE INDEX jobs_unique ON jobs (tenant_id, kind, unique_key) WHERE finished_at IS NULL;

ALTER TABLE jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON jobs TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON jobs FOR SELECT TO waypost_owner USING (true);
GRANT SELECT,
    INSERT (tenant_id, profile_id, queue, kind, payload, priority, unique_key, run_at, max_attempts),
    UPDATE (state, failures, run_at, finished_at, cancel_requested, progress_done, progress_total)
    ON jobs TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO waypost_aggregator;

-- One row for each periodic kind: when its newest job was due. A scheduler moves `due` on and enqueues that job
-- in one transaction: so each is enqueued once, however many schedulers there are.
CREATE TABLE periodic_jobs (
    kind text PRIMARY KEY,
    due timestamptz NOT NULL
);
ALTER TABLE periodic_jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON periodic_jobs TO waypost_aggregator;

-- The tenant and profile of a job, and the current user's role there; no row unless they are a member.
CREATE FUNCTION job_access(of_job bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.tenant_id, j.profile_id, m.role
    FROM waypost.members AS m
    JOIN waypost.jobs AS j ON j.tenant_id = m.tenant_id AND j.id = of_job AND j.profile_id = m.profile_id
    WHERE m.user_id = waypost.current_user_id()
$$;
REVOKE ALL ON FUNCTION job_access(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION job_access(bigint) TO waypost_app;
