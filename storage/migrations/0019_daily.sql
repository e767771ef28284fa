-- How far back raw clicks are kept, and what the daily aggregation does to partitions. Goes before the code.

-- Raw clicks of a profile before this UTC day have been deleted, so its days before that cannot be counted
-- anew. No row: none have been yet.
CREATE TABLE raw_click_retention (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    since date NOT NULL,
    PRIMARY KEY (tenant_id, profile_id)
);
ALTER TABLE raw_click_retention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON raw_click_retention TO waypost_aggregator;
GRANT SELECT (tenant_id, id, created_at, raw_retention_days) ON profiles TO waypost_aggregator;

-- Days that have a partition.
CREATE FUNCTION click_partition_days() RETURNS SETOF date
LANGUAGE sql STABLE
SET search_path = pg_catalog, waypost, pg_temp
AS $$
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD')
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'waypost.clicks'::regclass AND c.relname ~ '^clicks_[0-9]{8}$'
    ORDER BY 1
$$;

-- Drop the partitions of UTC days before `before`, which may not be in the last two days; how many.
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

-- Index one UTC day that is over by profile and time, for questions of raw clicks; the day, or nothing when
-- all are indexed. Not while clicks come in masses: that would cost a third of the fold's speed.
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
REVOKE ALL ON FUNCTION
    click_partition_days(), drop_click_partitions(date), index_click_partition() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    click_partition_days(), drop_click_partitions(date), index_click_partition() TO waypost_aggregator;
