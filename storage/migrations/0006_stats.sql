-- Counts of clicks: packed as deltas and segments, and those of hot days in tables. Goes before the code.
--
-- Every click that is counted is in exactly one delta or segment, own events too, which are in no table. Those of a hot day that are counted in the tables
-- below as well say so, `in_tables`: a sum is of the tables, and of what is not in them.

-- ---- packed clicks (engine/stats/packed/packed_clicks.py) -----------------------------------------------------

-- The state of a profile's UTC day: jobs lock its row while they move the day's clicks. A hot day has so many clicks
-- that they are counted in tables.
CREATE TABLE profile_days (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    day date NOT NULL,
    hot boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, profile_id, day)
);

-- The clicks of one profile's UTC day from one fold, or from several that were merged. A fold appends them in the
-- transaction that moves the journal's watermark, and changes no other row.
CREATE TABLE click_deltas (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    day date NOT NULL,
    clicks integer NOT NULL,
    data bytea NOT NULL
);
CREATE INDEX click_deltas_day ON click_deltas (tenant_id, profile_id, day);
ALTER TABLE click_deltas ALTER COLUMN data SET STORAGE EXTERNAL;

-- The packed clicks of `days` UTC days from `day` on, a column each, so that a question reads the columns it needs.
-- A day of many clicks has several parts.
CREATE TABLE click_segments (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    day date NOT NULL,
    part integer NOT NULL DEFAULT 0,
    days smallint NOT NULL DEFAULT 1,
    in_tables boolean NOT NULL DEFAULT false,
    clicks integer NOT NULL,
    quarters bytea NOT NULL,
    links bytea NOT NULL,
    agents bytea NOT NULL,
    referrers bytea NOT NULL,
    sources bytea NOT NULL,
    languages bytea NOT NULL,
    places bytea NOT NULL,
    campaigns bytea NOT NULL,
    kinds bytea NOT NULL,
    variants bytea NOT NULL,
    events bytea NOT NULL,
    visitors bytea NOT NULL,
    pseudonyms bytea,
    sums bytea,
    PRIMARY KEY (tenant_id, profile_id, day, part)
);
COMMENT ON COLUMN click_segments.sums IS 'of a day by value of each dimension, where it is counted nowhere else';
COMMENT ON COLUMN click_segments.pseudonyms IS 'of the visitors; deleted with the raw clicks of these days';
ALTER TABLE click_segments
    ALTER COLUMN quarters SET STORAGE EXTERNAL,
    ALTER COLUMN links SET STORAGE EXTERNAL,
    ALTER COLUMN agents SET STORAGE EXTERNAL,
    ALTER COLUMN referrers SET STORAGE EXTERNAL,
    ALTER COLUMN sources SET STORAGE EXTERNAL,
    ALTER COLUMN languages SET STORAGE EXTERNAL,
    ALTER COLUMN places SET STORAGE EXTERNAL,
    ALTER COLUMN campaigns SET STORAGE EXTERNAL,
    ALTER COLUMN kinds SET STORAGE EXTERNAL,
    ALTER COLUMN variants SET STORAGE EXTERNAL,
    ALTER COLUMN events SET STORAGE EXTERNAL,
    ALTER COLUMN visitors SET STORAGE EXTERNAL,
    ALTER COLUMN pseudonyms SET STORAGE EXTERNAL,
    ALTER COLUMN sums SET STORAGE EXTERNAL;

-- Deltas that cannot be unpacked, as they were found. Their day is counted again from raw clicks by `waypost rebuild`.
CREATE TABLE damaged_deltas (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    day date NOT NULL,
    clicks integer NOT NULL,
    data bytea NOT NULL,
    reason text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX damaged_deltas_day ON damaged_deltas (tenant_id, profile_id, day);

ALTER TABLE damaged_deltas ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, DELETE ON damaged_deltas TO waypost_aggregator;

ALTER TABLE profile_days ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE click_deltas ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE click_segments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON profile_days FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON click_deltas FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON click_segments FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
GRANT SELECT ON profile_days, click_deltas, click_segments TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON profile_days, click_deltas, click_segments TO waypost_aggregator;

-- The stats versions of some profiles: other texts after each fold of their clicks. Every click is in exactly one delta
-- or segment, so their sum grows with each fold, and settling does not change it. What changes counts otherwise moves a
-- journal's `recounted_at`.
CREATE POLICY definer ON profile_days FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer ON click_deltas FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer ON click_segments FOR SELECT TO waypost_owner USING (true);
CREATE FUNCTION stats_versions(tenants bigint[], profiles bigint[])
RETURNS TABLE (tenant_id bigint, profile_id bigint, version text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
    SELECT p.tenant_id, p.profile_id, md5(concat_ws(' ', recounted.at, hot.days, deltas.clicks + segments.clicks))
    FROM unnest(tenants, profiles) AS p (tenant_id, profile_id)
    CROSS JOIN (SELECT sum(extract(epoch FROM recounted_at)) AS at FROM journals) AS recounted
    CROSS JOIN LATERAL (SELECT count(*) AS days FROM profile_days AS d
        WHERE d.tenant_id = p.tenant_id AND d.profile_id = p.profile_id AND d.hot) AS hot
    CROSS JOIN LATERAL (SELECT coalesce(sum(d.clicks), 0) AS clicks FROM click_deltas AS d
        WHERE d.tenant_id = p.tenant_id AND d.profile_id = p.profile_id) AS deltas
    CROSS JOIN LATERAL (SELECT coalesce(sum(s.clicks), 0) AS clicks FROM click_segments AS s
        WHERE s.tenant_id = p.tenant_id AND s.profile_id = p.profile_id) AS segments
$$;
REVOKE EXECUTE ON FUNCTION stats_versions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stats_versions TO waypost_app;

-- ---- hot days: rollups ---------------------------------------------------------------------------------

-- Counts of hot days per time bucket of 15 minutes. Each settling of a hot day updates the rows of the current bucket:
-- the free space and the index without the counts let Postgres do that in place (HOT, nine in ten), without touching
-- any index.
CREATE TABLE rollups (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    views bigint NOT NULL DEFAULT 0,
    bots bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, profile_id, link_id, bucket)
) WITH (fillfactor = 70);

ALTER TABLE rollups ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rollups FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
GRANT SELECT ON rollups TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON rollups TO waypost_aggregator;

-- ---- hot days: dimension counts ------------------------------------------------------------------------

-- Live counts per 15 minutes and value of a dimension (engine/clicks/dimension.py has the numbers), of one link
-- (0: the page) or of the whole profile (-1). `visitors` is a sketch of the visitors that are counted: mergeable
-- within a UTC day, as the same person is another visitor on the next. Dimension 0, value '', is everything:
-- it has the sketch only, as the counts are in rollups. Value '' of another dimension: not known. Values beyond a
-- cap in one bucket are counted together under '(other)'. Upserted in the order of the key.
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

-- Finished UTC days, compacted out of rollups and dimension_counts by the daily job. Here dimension 0 has the
-- counts too. Clicks that come late are in the live tables again, so a sum is always of both; the next
-- compaction adds them to the day. Visitors of different UTC days are different, so they add up: whole days and
-- months need no sketch.
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

-- The quarters of an hour of a compacted day, so that any zone's hours and days stay exact: `at` are the quarters
-- (0 to 95, UTC, ascending) with clicks, the other arrays stand beside it.
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

-- Storage (Postgres 15 knows no STORAGE in CREATE TABLE). A stats query takes one element of several arrays of
-- many rows. An array stored plain costs it 50 ns; one that was compressed, or is kept apart, 5 µs. A row is
-- 5 kB at most, so that it always fits a page. Sketches are large, seldom read and as random as hashes:
-- they stand apart, and compressing them is lost work.
ALTER TABLE dimension_quarters
    ALTER COLUMN at SET STORAGE PLAIN,
    ALTER COLUMN clicks SET STORAGE PLAIN,
    ALTER COLUMN views SET STORAGE PLAIN,
    ALTER COLUMN bots SET STORAGE PLAIN,
    ALTER COLUMN visitors SET STORAGE PLAIN,
    ALTER COLUMN visitors_before SET STORAGE PLAIN,
    ALTER COLUMN visitors_after SET STORAGE PLAIN,
    ALTER COLUMN sketches SET STORAGE EXTERNAL;
ALTER TABLE dimension_counts ALTER COLUMN visitors SET STORAGE EXTERNAL;

ALTER TABLE dimension_counts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE dimension_days ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE dimension_months ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE dimension_quarters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON dimension_counts FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON dimension_days FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON dimension_months FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON dimension_quarters FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
GRANT SELECT ON dimension_counts, dimension_days, dimension_months, dimension_quarters TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON dimension_counts, dimension_days, dimension_months, dimension_quarters TO waypost_aggregator;

-- ---- shares ----------------------------------------------------------------------------------------------

-- A read-only token for some metrics and dimensions of a profile's stats in [starts_at, ends_at).
CREATE TABLE shares (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    label text NOT NULL CHECK (length(label) <= 200),
    metrics text[] NOT NULL CHECK (cardinality(metrics) BETWEEN 1 AND 50),
    dimensions text[] NOT NULL CHECK (cardinality(dimensions) <= 100),
    starts_at timestamptz,
    ends_at timestamptz,
    origins text[] NOT NULL DEFAULT '{}' CHECK (cardinality(origins) <= 10),
    prefix text NOT NULL,
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE UNIQUE INDEX shares_token ON shares (token_sha256);
-- For share_allows_origin(), which knows no tenant.
CREATE INDEX shares_origins ON shares USING gin (origins) WHERE origins <> '{}';
CREATE INDEX shares_profile ON shares (tenant_id, profile_id, id);

ALTER TABLE shares ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON shares TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON shares FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, label, metrics, dimensions, starts_at, ends_at, origins, prefix, token_sha256,
        expires_at)
    ON shares TO waypost_app;
SELECT audit_changes_of('shares', 'share', 'id', 'profile_id');

-- A share and its profile, to a caller that has its token. `expired` tells an expired token from an unknown one.
CREATE FUNCTION share_of(sha256 bytea)
RETURNS TABLE (id bigint, profile_id bigint, prefix text, label text, metrics text[], dimensions text[],
    starts_at timestamptz, ends_at timestamptz, origins text[], created_at timestamptz, expires_at timestamptz,
    expired boolean, tenant_id bigint, handle text, title text, raw_retention_days smallint, version bigint,
    profile_created_at timestamptz, profile_updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.profile_id, s.prefix, s.label, s.metrics, s.dimensions, s.starts_at, s.ends_at, s.origins,
        s.created_at, s.expires_at, coalesce(s.expires_at <= clock_timestamp(), false), p.tenant_id, p.handle,
        p.title, p.raw_retention_days, p.version, p.created_at, p.updated_at
    FROM waypost.shares AS s JOIN waypost.profiles AS p ON p.tenant_id = s.tenant_id AND p.id = s.profile_id
    WHERE s.token_sha256 = sha256 AND s.tenant_id = coalesce(waypost.current_tenant(), s.tenant_id)
$$;
-- Whether a working share allows pages of an origin, as key_allows_origin.
CREATE FUNCTION share_allows_origin(origin text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM waypost.shares AS s WHERE s.origins <> '{}' AND s.origins @> ARRAY[origin]
        AND coalesce(s.expires_at > clock_timestamp(), true)
        AND s.tenant_id = coalesce(waypost.current_tenant(), s.tenant_id))
$$;
REVOKE ALL ON FUNCTION share_of(bytea), share_allows_origin(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION share_of(bytea), share_allows_origin(text) TO waypost_app;

-- ---- annotations and saved questions ---------------------------------------------------------------------

-- A text at a day or a moment, which charts show. No foreign key of `created_by`: a member may leave.
CREATE TABLE annotations (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    at text NOT NULL CHECK (at ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$'),
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 200),
    version bigint NOT NULL DEFAULT 1,
    created_by bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE INDEX annotations_profile ON annotations (tenant_id, profile_id, id);
ALTER TABLE annotations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON annotations TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, DELETE, INSERT (tenant_id, profile_id, at, text, created_by),
    UPDATE (at, text, version, updated_at) ON annotations TO waypost_app;
SELECT audit_changes_of('annotations', 'annotation', 'id', 'profile_id');

-- A query string of stats, by a name.
CREATE TABLE saved_questions (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    query text NOT NULL CHECK (length(query) <= 2000),
    version bigint NOT NULL DEFAULT 1,
    created_by bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE INDEX saved_questions_profile ON saved_questions (tenant_id, profile_id, id);
ALTER TABLE saved_questions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON saved_questions TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, DELETE, INSERT (tenant_id, profile_id, name, query, created_by),
    UPDATE (name, query, version, updated_at) ON saved_questions TO waypost_app;
SELECT audit_changes_of('saved_questions', 'saved_question', 'id', 'profile_id');

-- ---- goals -----------------------------------------------------------------------------------------------

-- A goal: an own event, if it has a property with that alone, or a click on a link; '' for what it is not. No
-- foreign key of `link`: a deleted link has its counts still.
CREATE TABLE goals (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    event text NOT NULL CHECK (length(event) <= 40),
    property text NOT NULL CHECK (length(property) <= 161),
    link text NOT NULL CHECK (link ~ '^([1-9][0-9]{0,18})?$'),
    version bigint NOT NULL DEFAULT 1,
    created_by bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    CHECK ((event = '') <> (link = ''))
);
CREATE INDEX goals_profile ON goals (tenant_id, profile_id, id);
ALTER TABLE goals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON goals TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, DELETE, INSERT (tenant_id, profile_id, name, event, property, link, created_by),
    UPDATE (name, event, property, link, version, updated_at) ON goals TO waypost_app;
SELECT audit_changes_of('goals', 'goal', 'id', 'profile_id');

-- ---- digests ---------------------------------------------------------------------------------------------

-- The digests of a profile that a member gets by mail. They end when the member leaves.
CREATE TABLE digests (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    user_id bigint NOT NULL,
    weekly boolean NOT NULL,
    monthly boolean NOT NULL,
    tz text NOT NULL CHECK (length(tz) <= 64),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, profile_id, user_id),
    FOREIGN KEY (tenant_id, profile_id, user_id) REFERENCES members ON DELETE CASCADE
);
ALTER TABLE digests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON digests TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT (tenant_id, profile_id, user_id, weekly, monthly, tz),
    UPDATE (weekly, monthly, tz, updated_at) ON digests TO waypost_app;
GRANT SELECT, DELETE ON digests TO waypost_aggregator;
SELECT audit_changes_of('digests', 'digest', 'id', 'profile_id');
