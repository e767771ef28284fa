-- Clicks, their sums, and how far each journal is folded. Goes before the code.
--
-- Every table has row-level security enabled and forced: who has no policy here sees nothing. The
-- aggregator folds all tenants' clicks and COPY is refused under row-level security, so its role
-- bypasses it (0001) and is bounded by its grants instead.

-- Raw clicks, one partition a UTC day. No unique index, on purpose: a click is stored exactly once
-- because its rows and the move of its journal's watermark are one transaction, and the fold pays for no
-- look-up. What no day's partition takes (a clock that was wrong, a day long past) goes to clicks_default.
CREATE TABLE clicks (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    user_agent_id bigint,
    journal_id uuid NOT NULL,
    kind smallint NOT NULL,
    classification smallint NOT NULL,
    referrer text,
    language text
) PARTITION BY RANGE (at);
COMMENT ON COLUMN clicks.link_id IS '0: a view of the profile''s page';

-- Next to free to keep. A btree (tenant_id, profile_id, at) costs a third of the fold's speed and 48 bytes
-- a click, and no question is asked of raw clicks that reads less than most of a day.
CREATE INDEX clicks_at ON clicks USING brin (at);

CREATE TABLE clicks_default PARTITION OF clicks DEFAULT;

-- By the hash of the text (engine/clicks/copy_rows.py), so that writing needs no reading back.
CREATE TABLE user_agents (
    id bigint PRIMARY KEY,
    text text NOT NULL
);

-- Counts per 15 minutes; upserted in the order of the primary key, so that no two folds can deadlock.
-- A row of the current quarter of an hour is updated with every fold: the free space and the index
-- without the counts let Postgres do that in place (HOT, nine in ten), without touching any index.
CREATE TABLE rollups (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    views bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, profile_id, link_id, bucket)
) WITH (fillfactor = 70);
CREATE INDEX rollups_profile ON rollups (tenant_id, profile_id, bucket);

-- One row a journal: `folded` is the sequence of its last click that is counted, and who folds it at present.
-- `fencing_token` grows whenever the lease changes hands; a commit names position and token, or is refused.
-- A journal is retired by its edge once all of it is committed and its files are to be deleted.
CREATE TABLE journals (
    journal_id uuid PRIMARY KEY,
    folded bigint NOT NULL DEFAULT 0,
    committed_at timestamptz,
    lease_owner text,
    fencing_token bigint NOT NULL DEFAULT 0,
    lease_ttl interval,
    lease_expires timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
) WITH (fillfactor = 50);

-- Batches that could not be folded, whole, for somebody to look at.
CREATE TABLE dead_letter_batches (
    journal_id uuid NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (journal_id, last)
);

ALTER TABLE clicks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE clicks_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE user_agents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE rollups ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE journals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE dead_letter_batches ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON clicks FOR SELECT TO waypost_app
    USING (tenant_id = current_tenant());
CREATE POLICY tenant ON clicks_default FOR SELECT TO waypost_app
    USING (tenant_id = current_tenant());
CREATE POLICY tenant ON rollups FOR SELECT TO waypost_app
    USING (tenant_id = current_tenant());
-- Journals belong to edges, not to tenants; the grants below say which columns are whose.
CREATE POLICY freshness ON journals FOR SELECT TO waypost_app USING (true);
CREATE POLICY edge_reads ON journals FOR SELECT TO waypost_edge USING (true);
CREATE POLICY edge_registers ON journals FOR INSERT TO waypost_edge WITH CHECK (folded = 0);

GRANT SELECT ON clicks, rollups TO waypost_app;
GRANT SELECT (committed_at) ON journals TO waypost_app;
CREATE POLICY edge_retires ON journals FOR UPDATE TO waypost_edge USING (true);
GRANT SELECT (journal_id, folded, retired_at), INSERT (journal_id), UPDATE (retired_at)
    ON journals TO waypost_edge;
GRANT SELECT, INSERT ON clicks, user_agents TO waypost_aggregator;
GRANT SELECT, INSERT, UPDATE ON rollups TO waypost_aggregator;
GRANT SELECT, INSERT, UPDATE, DELETE ON journals TO waypost_aggregator;
GRANT SELECT, INSERT, DELETE ON dead_letter_batches TO waypost_aggregator;

-- Make the partition of each UTC day from yesterday to `days_ahead` days from now that has none yet;
-- the number made. Callers at the same time take turns. Rows of such a day that went to clicks_default
-- move to their own partition. Folds go on meanwhile: attaching locks out neither writers nor readers of
-- the other partitions.
CREATE FUNCTION ensure_click_partitions(days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    today date := current_date;
    day date;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('waypost.ensure_click_partitions'));
    FOR day IN SELECT today + n FROM generate_series(-1, days_ahead) AS n LOOP
        IF to_regclass('waypost.' || waypost.click_partition(day)) IS NULL THEN
            PERFORM waypost.make_click_partition(day);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;

CREATE FUNCTION click_partition(day date) RETURNS text
LANGUAGE sql STABLE
RETURN 'clicks_' || to_char(day, 'YYYYMMDD');

-- Called by ensure_click_partitions only. An owner is not above forced row-level security, so it is
-- lifted from the default partition while its rows move; nobody can look in between, as the partition is
-- locked until the transaction ends.
CREATE FUNCTION make_click_partition(day date) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    name text := waypost.click_partition(day);
    first timestamptz := day::timestamptz;
    next timestamptz := (day + 1)::timestamptz;
BEGIN
    EXECUTE format('CREATE TABLE waypost.%I (LIKE waypost.clicks INCLUDING DEFAULTS)', name);
    LOCK TABLE waypost.clicks_default IN ACCESS EXCLUSIVE MODE;
    ALTER TABLE waypost.clicks_default NO FORCE ROW LEVEL SECURITY;
    EXECUTE format(
        'WITH moved AS (DELETE FROM waypost.clicks_default WHERE at >= $1 AND at < $2 RETURNING *) '
        'INSERT INTO waypost.%I SELECT * FROM moved', name) USING first, next;
    ALTER TABLE waypost.clicks_default FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE waypost.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY tenant ON waypost.%I FOR SELECT TO waypost_app '
        'USING (tenant_id = waypost.current_tenant())', name);
    EXECUTE format('GRANT SELECT ON waypost.%I TO waypost_app', name);
    EXECUTE format('GRANT SELECT, INSERT ON waypost.%I TO waypost_aggregator', name);
    EXECUTE format(
        'ALTER TABLE waypost.clicks ATTACH PARTITION waypost.%I FOR VALUES FROM (%L) TO (%L)',
        name, first, next);
END
$$;

REVOKE ALL ON FUNCTION
    ensure_click_partitions(integer), make_click_partition(date), click_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_click_partitions(integer) TO waypost_aggregator;
