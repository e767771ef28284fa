-- Profiles, their links and short slugs, their changes, and the health of targets. Goes before the code.

-- ---- profiles ------------------------------------------------------------------------------------------

-- `version` grows by one with every change of the profile or of any of its links. A transaction that changes
-- one of them updates this row first: its lock serialises the changes of a profile.
CREATE TABLE profiles (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT new_id(),
    handle text COLLATE "C" NOT NULL CHECK (handle ~ '^[a-z0-9][a-z0-9_.-]*$' AND length(handle) <= 32),
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 120),
    raw_retention_days smallint NOT NULL DEFAULT 90 CHECK (raw_retention_days BETWEEN 1 AND 3650),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80);
COMMENT ON COLUMN profiles.raw_retention_days IS 'how long raw clicks are kept; counts stay';
CREATE UNIQUE INDEX profiles_handle ON profiles (handle);

ALTER TABLE profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON profiles TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON profiles FOR SELECT TO waypost_edge USING (true);
CREATE POLICY definer ON profiles FOR SELECT TO waypost_owner USING (true);
-- A row lock is an update to row-level security.
CREATE POLICY definer_locks ON profiles FOR UPDATE TO waypost_owner USING (true);

-- The app neither gives nor changes ids: an id means the same profile in every tenant (members, visitors'
-- look-ups), so a row under another profile's id would stand for that one.
GRANT SELECT, DELETE,
    INSERT (tenant_id, handle, title, raw_retention_days, version, created_at, updated_at),
    UPDATE (handle, title, raw_retention_days, version, created_at, updated_at)
    ON profiles TO waypost_app;
GRANT SELECT ON profiles TO waypost_edge;
GRANT SELECT (tenant_id, id, handle, title, raw_retention_days, version, created_at, updated_at),
    UPDATE (version, updated_at)
    ON profiles TO waypost_aggregator;

-- ---- links ---------------------------------------------------------------------------------------------

-- The checks of `target` are the second line of defence: its text is written into a Location header as it is.
-- `version` counts the changes of the link, `revision` is the profile's version at the last of them.
CREATE TABLE links (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    revision bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    position integer NOT NULL DEFAULT 0,
    status smallint NOT NULL DEFAULT 302 CHECK (status IN (301, 302, 307, 308)),
    passthrough boolean NOT NULL DEFAULT false,
    click_id boolean NOT NULL DEFAULT false,
    kind text NOT NULL DEFAULT 'url' 
        CHECK (kind IN ('url', 'mailto', 'tel', 'sms', 'magnet', 'app', 'github')),
    slug text COLLATE "C" NOT NULL CHECK (slug ~ '^[^[:cntrl:]]+$' AND length(slug) <= 200),
    target text COLLATE "C" NOT NULL CHECK (target ~ '^[\x21-\x7e]+$' AND length(target) <= 32768),
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    hidden boolean NOT NULL DEFAULT false,
    external_id text NOT NULL DEFAULT '' CHECK (length(external_id) <= 100),
    folder text NOT NULL DEFAULT '' CHECK (length(folder) <= 100),
    notes text NOT NULL DEFAULT '' CHECK (length(notes) <= 2000),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    options jsonb CHECK (pg_column_size(options) <= 196608),
    engine_quarantine jsonb CHECK (engine_quarantine IS NULL OR coalesce(
        engine_quarantine ->> 'rule' IN ('blocklist', 'lookalike', 'reports', 'operator')
        AND length(engine_quarantine ->> 'reason') BETWEEN 1 AND 200
        AND engine_quarantine ->> 'since' <> '', false)),
    password_hash text CHECK (length(password_hash) <= 200),
    opening_clicks bigint NOT NULL DEFAULT 0 CHECK (opening_clicks >= 0),
    counts_offset bigint NOT NULL DEFAULT 0 CHECK (counts_offset >= 0),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
COMMENT ON COLUMN links.options IS 'engine/links/options.py; NULL: a plain redirect';
COMMENT ON COLUMN links.engine_quarantine IS 'set by set_quarantine() alone: rule, reason, since';
COMMENT ON COLUMN links.counts_offset IS 'its clicks when its counts were reset: the total has those after';
COMMENT ON COLUMN links.click_id IS 'whether the target gets a sealed click id, which conversions name';
-- The profile stands first and not the tenant: a query by profile and slug alone can then use this index
-- only. Among several with the same prefix the planner, before it has statistics, picks any, and would
-- read a whole profile for each slug.
CREATE UNIQUE INDEX links_slug ON links (profile_id, slug, tenant_id);
CREATE UNIQUE INDEX links_listing ON links (tenant_id, profile_id, id);
CREATE INDEX links_page ON links (tenant_id, profile_id, position, id);
CREATE UNIQUE INDEX links_external_id ON links (tenant_id, profile_id, external_id) WHERE external_id <> '';
CREATE INDEX links_revision ON links (tenant_id, profile_id, revision);

ALTER TABLE links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON links TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON links FOR SELECT TO waypost_edge USING (true);
CREATE POLICY definer ON links FOR SELECT TO waypost_owner USING (true);
-- For set_quarantine().
CREATE POLICY definer_quarantines ON links FOR UPDATE TO waypost_owner USING (true);
-- The app has every column but `engine_quarantine`, which no member can change.
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, id, revision, version, created_at, updated_at, position, status, passthrough,
        click_id, kind, slug, target, title, hidden, external_id, folder, notes, tags, options, password_hash,
        opening_clicks, counts_offset),
    UPDATE (revision, version, updated_at, position, status, passthrough, click_id, kind, slug, target, title, hidden,
        external_id, folder, notes, tags, options, password_hash, opening_clicks, counts_offset, created_at)
    ON links TO waypost_app;
GRANT SELECT ON links TO waypost_edge;
-- Workers check, screen and synchronise targets.
GRANT SELECT (tenant_id, id, version, profile_id, target, kind, options, engine_quarantine) ON links TO waypost_aggregator;

-- Options as edges obey them: a link that the engine has quarantined is quarantined.
CREATE FUNCTION edge_options(options jsonb, engine_quarantine jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (CASE WHEN engine_quarantine IS NULL THEN options
    ELSE coalesce(options, '{}') || '{"quarantined": true}' END)::text;

-- The owner of `/{slug}` on the default domain: always a link with that slug, first come, first served.
CREATE TABLE short_slugs (
    slug text COLLATE "C" PRIMARY KEY,
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
);
CREATE UNIQUE INDEX short_slugs_link ON short_slugs (tenant_id, link_id);

ALTER TABLE short_slugs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON short_slugs TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON short_slugs FOR SELECT TO waypost_owner USING (true);
CREATE POLICY visitors ON short_slugs FOR SELECT TO waypost_edge USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON short_slugs TO waypost_app;
GRANT SELECT ON short_slugs TO waypost_edge;

-- Tombstones, by which edges that hold an older version of the profile drop the link.
CREATE TABLE removed_links (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    revision bigint NOT NULL,
    link_id bigint NOT NULL,
    PRIMARY KEY (tenant_id, profile_id, revision, link_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);

ALTER TABLE removed_links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON removed_links TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON removed_links FOR SELECT TO waypost_edge USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON removed_links TO waypost_app;
GRANT SELECT ON removed_links TO waypost_edge;

-- ---- limits of clicks -----------------------------------------------------------------------------------

-- Clicks of links with a limit that edges have leased (engine/visits/click_quota.py).
CREATE TABLE click_quotas (
    tenant_id bigint NOT NULL,
    link_id bigint NOT NULL,
    leased bigint NOT NULL DEFAULT 0 CHECK (leased >= 0),
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
);

ALTER TABLE click_quotas ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON click_quotas FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON click_quotas TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT ON click_quotas TO waypost_app;

-- Lease clicks of links: a sixteenth of what is left of each limit, from 1 to 64. Returns 0 where none is left, and 64
-- for a link without a limit.
CREATE FUNCTION lease_clicks(of_tenants bigint[], of_links bigint[])
RETURNS TABLE (link_id bigint, granted integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    asked record;
    unleased bigint;
BEGIN
    FOR asked IN
        SELECT l.tenant_id, l.id, (l.options ->> 'click_limit')::bigint AS click_limit
        FROM unnest(of_tenants, of_links) AS u (tenant_id, id) JOIN links AS l USING (tenant_id, id)
        ORDER BY l.id
    LOOP
        link_id := asked.id;
        granted := 64;
        IF asked.click_limit IS NOT NULL THEN
            INSERT INTO click_quotas AS q (tenant_id, link_id) VALUES (asked.tenant_id, asked.id)
            ON CONFLICT DO NOTHING;
            -- In a statement of its own, which sees what was committed during the wait for the row.
            SELECT greatest(0, asked.click_limit - q.leased) INTO STRICT unleased
            FROM click_quotas AS q WHERE q.tenant_id = asked.tenant_id AND q.link_id = asked.id FOR UPDATE;
            granted := least(unleased, 64, greatest(1, unleased / 16));
            UPDATE click_quotas AS q SET leased = q.leased + granted
            WHERE q.tenant_id = asked.tenant_id AND q.link_id = asked.id AND granted > 0;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Give back clicks that were leased and not used.
CREATE FUNCTION give_back_clicks(of_tenants bigint[], of_links bigint[], counts bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
    UPDATE click_quotas AS q SET leased = greatest(0, q.leased - u.n)
    FROM unnest(of_tenants, of_links, counts) AS u (tenant_id, link_id, n)
    WHERE q.tenant_id = u.tenant_id AND q.link_id = u.link_id
$$;
REVOKE ALL ON FUNCTION lease_clicks(bigint[], bigint[]), give_back_clicks(bigint[], bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lease_clicks(bigint[], bigint[]), give_back_clicks(bigint[], bigint[], bigint[])
    TO waypost_edge;

-- ---- changes -------------------------------------------------------------------------------------------

-- The last change of each profile, for edges that poll. It outlives the profile. Transactions commit in
-- another order than they start, so a poll compares `xid` with the snapshot of the poll before: no sequence
-- or clock could name what was not visible then.
CREATE TABLE profile_changes (
    profile_id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 80);
CREATE INDEX profile_changes_xid ON profile_changes (xid);

-- The key of profile_changes is the profile's id alone, which would reveal whether another tenant has it: the
-- policy refuses another tenant's ids before the key is looked at. Volatile, to see a profile that the same
-- statement has made.
CREATE FUNCTION owns_profile(of_tenant bigint, of_profile bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM waypost.profiles WHERE tenant_id = of_tenant AND id = of_profile);
END
$$;
REVOKE ALL ON FUNCTION owns_profile(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION owns_profile(bigint, bigint) TO waypost_app;

ALTER TABLE profile_changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON profile_changes TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY own_profiles ON profile_changes AS RESTRICTIVE FOR INSERT TO waypost_app
    WITH CHECK (owns_profile(tenant_id, profile_id));
CREATE POLICY visitors ON profile_changes FOR SELECT TO waypost_edge USING (true);
CREATE POLICY definer_reads ON profile_changes FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer_writes ON profile_changes FOR UPDATE TO waypost_owner USING (true);
GRANT SELECT, INSERT (profile_id, tenant_id, version), UPDATE (version, deleted, xid)
    ON profile_changes TO waypost_app;
GRANT SELECT ON profile_changes TO waypost_edge;
-- Workers announce the changes that they make: a winner, a bandit's weights.
GRANT SELECT (profile_id, tenant_id, version, xid), UPDATE (version, xid) ON profile_changes TO waypost_aggregator;

-- ---- health of targets ---------------------------------------------------------------------------------

-- One row for each link whose target can be checked. `target` is the link's when the row was written: a row
-- of another target says nothing any more. Rows of one tenant and target change together.
CREATE TABLE link_health (
    tenant_id bigint NOT NULL,
    link_id bigint NOT NULL,
    target text COLLATE "C" NOT NULL CHECK (length(target) <= 32768),
    state text NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'ok', 'broken')),
    status smallint,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 200),
    failures smallint NOT NULL DEFAULT 0,
    checked_at timestamptz,
    since timestamptz,
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX link_health_due ON link_health (next_at);
CREATE INDEX link_health_target ON link_health (tenant_id, md5(target));

ALTER TABLE link_health ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link_health FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
GRANT SELECT ON link_health TO waypost_app;
GRANT SELECT, INSERT, UPDATE ON link_health TO waypost_aggregator;

-- ---- domains -------------------------------------------------------------------------------------------

-- Hosts of a profile's own. Any tenant may have a host while it is not verified; once it is, that one alone.
-- Columns that only workers write are in domain_looks, so that the audit log has members' changes and a
-- domain's state, and no look at its record.
CREATE TABLE domains (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    host text COLLATE "C" NOT NULL CHECK (host ~ '^[a-z0-9.-]+$' AND length(host) <= 253),
    root_target text COLLATE "C" CHECK (root_target ~ '^[\x21-\x7e]+$' AND length(root_target) <= 2048),
    not_found_target text COLLATE "C"
        CHECK (not_found_target ~ '^[\x21-\x7e]+$' AND length(not_found_target) <= 2048),
    slugs text[] NOT NULL DEFAULT '{}' CHECK (slugs <@ '{case_sensitive,slashes,dots,emoji}'),
    blocked_targets text[] NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'verified', 'failed')),
    token text COLLATE "C" NOT NULL CHECK (token ~ '^[a-z0-9]{32}$'),
    verified_at timestamptz,
    slot smallint NOT NULL CHECK (slot BETWEEN 1 AND 20),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    UNIQUE (tenant_id, host),
    -- Twenty a profile: as a key, the limit holds against any number of concurrent creates.
    UNIQUE (tenant_id, profile_id, slot)
);
COMMENT ON COLUMN domains.slugs IS 'what slugs may have at the domain: engine/links/slugs/slug_rules.py';
CREATE UNIQUE INDEX domains_verified ON domains (host) WHERE state = 'verified';

ALTER TABLE domains ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON domains TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON domains FOR SELECT TO waypost_edge USING (state = 'verified');
CREATE POLICY definer ON domains FOR SELECT TO waypost_owner USING (true);
-- Only workers verify.
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, host, root_target, not_found_target, slugs, token, slot),
    UPDATE (root_target, not_found_target, slugs, version, updated_at)
    ON domains TO waypost_app;
GRANT SELECT (tenant_id, profile_id, id, host, root_target, not_found_target, slugs, blocked_targets, state)
    ON domains TO waypost_edge;
GRANT SELECT, UPDATE (state, verified_at, blocked_targets, version, updated_at)
    ON domains TO waypost_aggregator;

-- Looks at the records of domains. `next_at` NULL: only on request.
CREATE TABLE domain_looks (
    tenant_id bigint NOT NULL,
    domain_id bigint NOT NULL,
    failures smallint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 500),
    checked_at timestamptz,
    next_at timestamptz DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, domain_id),
    FOREIGN KEY (tenant_id, domain_id) REFERENCES domains ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX domain_looks_due ON domain_looks (next_at);

ALTER TABLE domain_looks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON domain_looks TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT (tenant_id, domain_id), UPDATE (failures, next_at) ON domain_looks TO waypost_app;
GRANT SELECT, UPDATE ON domain_looks TO waypost_aggregator;

-- Whether a host is a verified domain: of any tenant, or of the one that is set.
CREATE FUNCTION is_verified_domain(of_host text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM waypost.domains WHERE host = of_host AND state = 'verified'
        AND tenant_id = coalesce(waypost.current_tenant(), tenant_id))
$$;
REVOKE ALL ON FUNCTION is_verified_domain(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_verified_domain(text) TO waypost_app;

-- Visits at domains that led to no link, by day (UTC) and path (engine/links/orphan_visits.py).
CREATE TABLE orphan_visits (
    tenant_id bigint NOT NULL,
    domain_id bigint NOT NULL,
    day date NOT NULL,
    path text COLLATE "C" NOT NULL CHECK (length(path) <= 200),
    visits bigint NOT NULL CHECK (visits > 0),
    PRIMARY KEY (tenant_id, domain_id, day, path),
    FOREIGN KEY (tenant_id, domain_id) REFERENCES domains ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX orphan_visits_day ON orphan_visits (day);

ALTER TABLE orphan_visits ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orphan_visits FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON orphan_visits TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT ON orphan_visits TO waypost_app;
GRANT SELECT, DELETE ON orphan_visits TO waypost_aggregator;

-- Add visits to today's. A domain's day has at most 500 paths, those with the most visits first, and '(other)' for
-- further ones. Edges take turns, so that two of them do not exceed the bound together.
CREATE FUNCTION count_orphan_visits(of_hosts text[], of_paths text[], counts bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('waypost.count_orphan_visits'));
    WITH named AS (
        SELECT d.tenant_id, d.id AS domain_id, u.path, sum(u.visits) AS visits,
            EXISTS (
                SELECT FROM orphan_visits AS o
                WHERE (o.tenant_id, o.domain_id, o.day, o.path) = (d.tenant_id, d.id, current_date, u.path)
            ) AS listed
        FROM unnest(of_hosts, of_paths, counts) AS u (host, path, visits)
        JOIN domains AS d ON d.host = u.host AND d.state = 'verified'
        GROUP BY d.tenant_id, d.id, u.path
    ), ranked AS (
        SELECT n.*, row_number() OVER (PARTITION BY n.tenant_id, n.domain_id, n.listed ORDER BY n.visits DESC, n.path)
            + (SELECT count(*) FROM orphan_visits AS o WHERE (o.tenant_id, o.domain_id, o.day)
                = (n.tenant_id, n.domain_id, current_date) AND o.path <> '(other)') AS place
        FROM named AS n
    )
    INSERT INTO orphan_visits AS o (tenant_id, domain_id, day, path, visits)
    SELECT tenant_id, domain_id, current_date,
        CASE WHEN listed OR place <= 500 THEN path ELSE '(other)' END AS name, sum(visits)
    FROM ranked GROUP BY tenant_id, domain_id, name
    ON CONFLICT (tenant_id, domain_id, day, path) DO UPDATE SET visits = o.visits + excluded.visits;
END
$$;
REVOKE ALL ON FUNCTION count_orphan_visits(text[], text[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_orphan_visits(text[], text[], bigint[]) TO waypost_edge;
