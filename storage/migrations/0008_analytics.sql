-- What a click knows, and counts by it, in quarters of an hour, days and months. Goes before the code.
--
-- Texts are parsed once, by whoever folds, and stand in the raw row as they were judged then: questions of
-- raw clicks need no join, and judging them anew (waypost rejudge) is an update.
ALTER TABLE clicks
    ADD COLUMN visitor bigint,
    ADD COLUMN trigger smallint NOT NULL DEFAULT 0,
    ADD COLUMN browser text,
    ADD COLUMN os text,
    ADD COLUMN device text,
    ADD COLUMN referrer_host text,
    ADD COLUMN source text,
    ADD COLUMN locale text,
    ADD COLUMN continent text,
    ADD COLUMN country text,
    ADD COLUMN region text,
    ADD COLUMN city text,
    ADD COLUMN domain text,
    ADD COLUMN utm_source text,
    ADD COLUMN utm_medium text,
    ADD COLUMN utm_campaign text,
    ADD COLUMN utm_term text,
    ADD COLUMN utm_content text,
    ADD COLUMN exposures bytea,
    ADD COLUMN outcomes bytea;
COMMENT ON COLUMN clicks.visitor IS 'a pseudonym for one UTC day, under a key that is never stored';
COMMENT ON COLUMN clicks.trigger IS '0: the link, 1: the profile''s page, 2: a QR code';

-- How long raw clicks are kept. Rollups stay.
ALTER TABLE profiles ADD COLUMN raw_retention_days smallint NOT NULL DEFAULT 90
    CHECK (raw_retention_days BETWEEN 1 AND 3650);

-- Counts by dimension follow the plain ones (rollups) within a second or two, in transactions of their own:
-- `dimension_counted` is the sequence up to which a journal's clicks are in them. What Redis and the journal may
-- forget is what both have passed.
ALTER TABLE journals
    ADD COLUMN dimension_counted bigint NOT NULL DEFAULT 0,
    ADD COLUMN dimension_counted_at timestamptz;
UPDATE journals SET dimension_counted = folded;

-- Clicks per 15 minutes and value of a dimension (engine/clicks/dimension.py has the numbers), of one link (0: the
-- page) or of the whole profile (-1). `visitors` is a sketch of the visitors that are counted: mergeable
-- within a UTC day, as the same person is another visitor on the next. Dimension 0, value '', is everything:
-- it has the sketch only, as the counts are in rollups. Value '' of another dimension: not known. Beyond a
-- cap of values in one bucket the rest is together under '(other)'. Upserted in the order of the key.
CREATE TABLE dimension_counts (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    dimension smallint NOT NULL,
    bucket timestamptz NOT NULL,
    value text COLLATE "C" NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    views bigint NOT NULL DEFAULT 0,
    bots bigint NOT NULL DEFAULT 0,
    visitors bytea,
    PRIMARY KEY (tenant_id, profile_id, link_id, dimension, bucket, value)
) WITH (fillfactor = 70);

-- UTC days that are over, compacted out of rollups and dimension_counts by the daily aggregation. Here
-- dimension 0 has the counts too. Clicks that come late are in those tables again, so a sum is always of
-- both; the next compaction adds them to the day. Visitors of different UTC days are different, so they add
-- up: whole days and months need no sketch.
CREATE TABLE dimension_days (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    dimension smallint NOT NULL,
    day date NOT NULL,
    value text COLLATE "C" NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    views bigint NOT NULL DEFAULT 0,
    bots bigint NOT NULL DEFAULT 0,
    visitors bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, profile_id, link_id, dimension, day, value)
);

-- Sums of dimension_days over UTC months, kept in the same transactions.
CREATE TABLE dimension_months (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    dimension smallint NOT NULL,
    month date NOT NULL,
    value text COLLATE "C" NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    views bigint NOT NULL DEFAULT 0,
    bots bigint NOT NULL DEFAULT 0,
    visitors bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, profile_id, link_id, dimension, month, value)
);

-- The quarters of an hour of a compacted day, so that any zone's hours and days stay exact: `at` are those
-- (0 to 95, UTC, ascending) in which something happened, the other arrays stand beside it.
--   clicks, views, bots      counts from the day's start to the end of that quarter
--   visitors                 of that quarter alone
--   visitors_before          of the day from its start to the end of that quarter
--   visitors_after           of the day from the start of that quarter to its end
--   sketches                 of that quarter, for periods that lie inside a day
-- With q = width_bucket(s - 1, at), clicks[q] is the count before quarter s (none where q = 0).
CREATE TABLE dimension_quarters (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    dimension smallint NOT NULL,
    day date NOT NULL,
    value text COLLATE "C" NOT NULL,
    at integer[] NOT NULL,
    clicks bigint[] NOT NULL,
    views bigint[] NOT NULL,
    bots bigint[] NOT NULL,
    visitors bigint[] NOT NULL,
    visitors_before bigint[] NOT NULL,
    visitors_after bigint[] NOT NULL,
    sketches bytea[] NOT NULL,
    PRIMARY KEY (tenant_id, profile_id, link_id, dimension, day, value)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['dimension_counts', 'dimension_days', 'dimension_months', 'dimension_quarters'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I FOR SELECT TO waypost_app USING (tenant_id = current_tenant())', name);
        EXECUTE format('GRANT SELECT ON %I TO waypost_app', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO waypost_aggregator', name);
    END LOOP;
END
$$;
-- Judging anew, retention and erasure; of partitions, only by way of the table.
GRANT UPDATE, DELETE ON clicks TO waypost_aggregator;
GRANT DELETE ON rollups TO waypost_aggregator;
GRANT SELECT (dimension_counted_at) ON journals TO waypost_app;
GRANT SELECT (dimension_counted) ON journals TO waypost_edge;
