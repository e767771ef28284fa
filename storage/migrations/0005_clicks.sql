-- Raw clicks, their daily partitions, and how far each journal is counted. Goes before the code.
--
-- The aggregator folds all tenants' clicks and COPY is refused under row-level security, so its role bypasses
-- it and is bounded by its grants instead.

-- ---- classification and trigger ------------------------------------------------------------------------
-- The class of a click's client is in the four low bits of `classification` (VisitorClass in
-- engine/clicks/click.py). Each function is one immutable expression, by which the planner replaces its call.

CREATE FUNCTION is_counted(classification smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (classification & 15) IN (0, 1, 6, 7);

CREATE FUNCTION is_bot(classification smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (classification & 15) IN (2, 3, 4, 8);

-- Prefetches and HEAD requests: classified by the request itself, whatever its user agent is.
CREATE FUNCTION is_set_by_request(classification smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (classification & 15) IN (4, 5);

-- The value of the dimension `kind`.
CREATE FUNCTION visitor_kind(classification smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE classification & 15
    WHEN 2 THEN 'bot' WHEN 3 THEN 'preview' WHEN 4 THEN 'prefetch' WHEN 5 THEN 'head' WHEN 6 THEN 'tool'
    WHEN 7 THEN 'app' WHEN 8 THEN 'monitor'
    ELSE 'human' END;

-- The value of the dimension `trigger`.
CREATE FUNCTION trigger_name(trigger smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE trigger WHEN 1 THEN 'page' WHEN 2 THEN 'qr' ELSE 'link' END;

-- ---- raw clicks ----------------------------------------------------------------------------------------

-- Raw clicks, one partition a UTC day. No unique index, on purpose: a click is stored exactly once because its
-- rows and the move of its journal's watermark are one transaction, and the fold pays for no look-up. A click
-- without a partition of its day (a wrong clock, a day long past) goes to clicks_default. The fold parses texts
-- once, so that stats queries of raw clicks need no join; classifying them anew (waypost reclassify) is an update.
CREATE TABLE clicks (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    user_agent_id bigint,
    visitor bigint,
    journal_id uuid NOT NULL,
    kind smallint NOT NULL,
    classification smallint NOT NULL,
    rule smallint NOT NULL DEFAULT 0,
    trigger smallint NOT NULL DEFAULT 0,
    referrer text,
    language text,
    browser text,
    os text,
    device text,
    referrer_host text,
    source text,
    locale text,
    continent text,
    country text,
    region text,
    city text,
    domain text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    exposures bytea,
    outcomes bytea,
    event text
) PARTITION BY RANGE (at);
COMMENT ON COLUMN clicks.link_id IS '0: a view of the profile''s page';
COMMENT ON COLUMN clicks.visitor IS 'a pseudonym for one UTC day, under a key that is never stored';
COMMENT ON COLUMN clicks.kind IS '1: click, 2: view, 3: own event';
COMMENT ON COLUMN clicks.event IS 'an own event''s name and its properties, each behind a 0x1F (engine/clicks/own_event.py)';
COMMENT ON COLUMN clicks.rule IS 'the version of the classification''s rules; 0: not classified';
COMMENT ON COLUMN clicks.trigger IS '0: the link, 1: the profile''s page, 2: a QR code';

-- BRIN costs next to nothing. A btree (tenant_id, profile_id, at) costs a third of the fold's speed and 48
-- bytes a click, and no query of raw clicks reads less than most of a day.
CREATE INDEX clicks_at ON clicks USING brin (at);

CREATE TABLE clicks_default PARTITION OF clicks DEFAULT;

ALTER TABLE clicks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE clicks_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON clicks FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON clicks_default FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
GRANT SELECT ON clicks TO waypost_app;
-- Updates and deletes (classification anew, retention, erasure) go through the table, never a partition.
GRANT SELECT, INSERT, UPDATE, DELETE ON clicks TO waypost_aggregator;

-- Texts of user agents, keyed by their hash (engine/clicks/copy_rows.py): a fold writes without reading back.
CREATE TABLE user_agents (
    id bigint PRIMARY KEY,
    text text NOT NULL,
    seen date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date
);
COMMENT ON COLUMN user_agents.seen IS 'the UTC day of the last click; the text is deleted with its last raw clicks';
ALTER TABLE user_agents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (seen), DELETE ON user_agents TO waypost_aggregator;

-- The UTC day from which on a profile has raw clicks; days before it cannot be counted anew. No row: none were
-- deleted. The row of tenant 0 and profile 0 holds for all profiles: days before it were dropped whole.
CREATE TABLE raw_click_retention (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    since date NOT NULL,
    PRIMARY KEY (tenant_id, profile_id)
);
ALTER TABLE raw_click_retention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON raw_click_retention FOR SELECT TO waypost_app USING (tenant_id IN (0, current_tenant()));
GRANT SELECT ON raw_click_retention TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON raw_click_retention TO waypost_aggregator;

-- ---- partitions ----------------------------------------------------------------------------------------

CREATE FUNCTION click_partition(day date) RETURNS text
LANGUAGE sql STABLE
RETURN 'clicks_' || to_char(day, 'YYYYMMDD');

-- Called by ensure_click_partitions() only. An owner is not above forced row-level security, so it is lifted
-- from the default partition while its rows move; the partition is locked until the transaction ends, so
-- nobody can look in between.
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

-- Make the missing partitions of the UTC days from yesterday to `days_ahead` days from now. Returns how many it
-- made. A lock serialises callers. Rows of such a day that went to clicks_default move to their own partition.
-- Folds go on meanwhile: attaching locks out neither writers nor readers of the other partitions.
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

-- Return the UTC days that have a partition.
CREATE FUNCTION click_partition_days() RETURNS SETOF date
LANGUAGE sql STABLE
SET search_path = pg_catalog, waypost, pg_temp
AS $$
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD')
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'waypost.clicks'::regclass AND c.relname ~ '^clicks_[0-9]{8}$'
    ORDER BY 1
$$;

-- Drop the partitions of UTC days before `before`, but never the last two days. Returns how many.
CREATE FUNCTION drop_click_partitions(before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    day date;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('waypost.ensure_click_partitions'));
    FOR day IN SELECT d FROM waypost.click_partition_days() AS d
        WHERE d < before AND d < current_date - 1
    LOOP
        EXECUTE format('DROP TABLE waypost.%I', waypost.click_partition(day));
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- Index one finished UTC day by profile and time, for stats queries of raw clicks. Returns the day, or NULL when
-- all are indexed. Not while its clicks are folded: that would cost a third of the fold's speed.
CREATE FUNCTION index_click_partition() RETURNS date
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    day date;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('waypost.ensure_click_partitions'));
    FOR day IN SELECT d FROM waypost.click_partition_days() AS d WHERE d < current_date LOOP
        name := waypost.click_partition(day);
        IF to_regclass('waypost.' || name || '_profile') IS NULL THEN
            EXECUTE format('CREATE INDEX %I ON waypost.%I (tenant_id, profile_id, at)', name || '_profile', name);
            RETURN day;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION click_partition(date), make_click_partition(date), ensure_click_partitions(integer),
    click_partition_days(), drop_click_partitions(date), index_click_partition() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_click_partitions(integer), click_partition_days(), drop_click_partitions(date),
    index_click_partition() TO waypost_aggregator;

-- ---- journals ------------------------------------------------------------------------------------------

-- One row for each journal: its watermark `folded`, the sequence up to which its clicks are counted, and the lease
-- of the aggregator that folds it. Redis and the journal may forget what it has passed. `fencing_token` grows
-- whenever the lease changes hands; a commit names watermark and token, or is refused. An edge retires its journal
-- once all of it is committed and its files are to be deleted. `last_sequence` is where a journal ended whose edge has:
-- it is not leased while the watermark is there, and leased again if the database goes back. `recounted_at` is set on any journal when counts
-- change that no fold has made, so that polls see it.
CREATE TABLE journals (
    journal_id uuid PRIMARY KEY,
    folded bigint NOT NULL DEFAULT 0,
    committed_at timestamptz,
    recounted_at timestamptz,
    lease_owner text,
    fencing_token bigint NOT NULL DEFAULT 0,
    lease_ttl interval,
    lease_expires timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_sequence bigint,
    retired_at timestamptz
) WITH (fillfactor = 50);

-- Journals belong to edges, not to tenants; the grants say which columns each role may use.
ALTER TABLE journals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY freshness ON journals FOR SELECT TO waypost_app USING (true);
CREATE POLICY edge_reads ON journals FOR SELECT TO waypost_edge USING (true);
CREATE POLICY edge_registers ON journals FOR INSERT TO waypost_edge WITH CHECK (folded = 0);
CREATE POLICY edge_retires ON journals FOR UPDATE TO waypost_edge USING (true);
GRANT SELECT (committed_at, recounted_at) ON journals TO waypost_app;
GRANT SELECT (journal_id, folded, last_sequence, retired_at), INSERT (journal_id), UPDATE (last_sequence, retired_at)
    ON journals TO waypost_edge;
GRANT SELECT, INSERT, UPDATE, DELETE ON journals TO waypost_aggregator;

-- The aggregators that live, until each one's time expires, so that each knows its share of the journals.
CREATE TABLE aggregators (
    owner text PRIMARY KEY,
    expires timestamptz NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE aggregators ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON aggregators TO waypost_aggregator;

-- Dead letters: batches that could not be folded, whole, for the operator to look at.
CREATE TABLE dead_letter_batches (
    journal_id uuid NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (journal_id, last)
);
ALTER TABLE dead_letter_batches ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- An erasure cuts the clicks of its profile out of the payload.
GRANT SELECT, INSERT, UPDATE (payload), DELETE ON dead_letter_batches TO waypost_aggregator;
