-- Quarantines by the engine and its operator, and reports of visitors. Goes before the code.
--
-- `links.engine_quarantine` is set by set_quarantine() alone: no member can change it. An edge shows a warning instead
-- of the redirect, as for a link that a member has quarantined (`options`).

-- Whether the caller is a user of the first tenant.
CREATE FUNCTION is_operator() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
RETURN EXISTS (
    SELECT FROM waypost.users AS u WHERE u.id = waypost.current_user_id()
        AND u.tenant_id = (SELECT o.tenant_id FROM waypost.users AS o ORDER BY o.tenant_id LIMIT 1));

-- The targets that a link has by its own settings, as a hash: a review holds for these.
CREATE FUNCTION targets_hash(target text, options jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN md5(target || coalesce(options::text, ''));

-- ---- quarantines ---------------------------------------------------------------------------------------

-- Set or replace a link's quarantine; without a rule, release it. Returns whether that changed anything. The profile's
-- row is locked first, as by every change of its links.
CREATE FUNCTION set_quarantine(of_tenant bigint, of_link bigint, new_rule text, new_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    of_profile bigint;
    before jsonb;
    event_type text := CASE WHEN new_rule IS NULL THEN 'link.released' ELSE 'link.quarantined' END;
BEGIN
    SELECT p.id INTO of_profile FROM profiles AS p
    WHERE p.tenant_id = of_tenant
        AND p.id = (SELECT l.profile_id FROM links AS l WHERE l.tenant_id = of_tenant AND l.id = of_link)
    FOR NO KEY UPDATE;
    SELECT l.engine_quarantine INTO before FROM links AS l
    WHERE l.tenant_id = of_tenant AND l.id = of_link AND l.profile_id = of_profile;
    IF NOT FOUND OR (before ->> 'rule', before ->> 'reason') IS NOT DISTINCT FROM (new_rule, new_reason) THEN
        RETURN false;
    END IF;
    WITH bumped AS (
        UPDATE profiles SET version = version + 1, updated_at = now()
        WHERE tenant_id = of_tenant AND id = of_profile RETURNING version
    ), announced AS (
        UPDATE profile_changes AS c SET version = b.version, xid = DEFAULT
        FROM bumped AS b WHERE c.profile_id = of_profile
    )
    UPDATE links AS l SET version = l.version + 1, revision = b.version, updated_at = now(),
        engine_quarantine = CASE WHEN new_rule IS NOT NULL THEN
            jsonb_build_object('rule', new_rule, 'reason', new_reason, 'since', utc_text(now())) END
    FROM bumped AS b WHERE l.tenant_id = of_tenant AND l.id = of_link;
    INSERT INTO events (tenant_id, profile_id, type, data)
    SELECT of_tenant, of_profile, event_type, jsonb_build_object('profile_id', of_profile::text,
        'link_id', of_link::text, 'rule', coalesce(new_rule, before ->> 'rule'),
        'reason', coalesce(new_reason, before ->> 'reason'))
    WHERE EXISTS (SELECT FROM webhooks AS w WHERE w.tenant_id = of_tenant AND w.profile_id = of_profile
        AND w.event_types && event_names(event_type));
    RETURN true;
END
$$;

-- What the operator has seen and released: rules leave the link alone for as long as it leads there.
CREATE TABLE link_reviews (
    tenant_id bigint NOT NULL,
    link_id bigint NOT NULL,
    targets text NOT NULL CHECK (length(targets) = 32),
    reviewed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
);
ALTER TABLE link_reviews ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON link_reviews TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT ON link_reviews TO waypost_aggregator;

-- Change a link's quarantine as a rule of the screening wants it, which read the link at `of_version`. Returns whether
-- that changed anything: not if the link has changed since, or was reviewed. The profile's row is locked first, as by
-- every change of its links and every review.
CREATE FUNCTION screen_link(of_tenant bigint, of_link bigint, of_version bigint, new_rule text, new_reason text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    PERFORM FROM profiles AS p WHERE p.tenant_id = of_tenant
        AND p.id = (SELECT l.profile_id FROM links AS l WHERE l.tenant_id = of_tenant AND l.id = of_link)
    FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT FROM links AS l WHERE l.tenant_id = of_tenant AND l.id = of_link AND l.version = of_version
            AND NOT EXISTS (SELECT FROM link_reviews AS v WHERE v.tenant_id = l.tenant_id AND v.link_id = l.id
                AND v.targets = targets_hash(l.target, l.options))) THEN
        RETURN false;
    END IF;
    RETURN set_quarantine(of_tenant, of_link, new_rule, new_reason);
END
$$;

-- ---- reports -------------------------------------------------------------------------------------------

-- Reports of links by visitors. `reporter` is a pseudonym of the visitor's network on a day, under a key that is on no
-- disk. Members see that their link was reported and for what, the operator also the visitor's words.
CREATE TABLE link_reports (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    reporter bytea NOT NULL CHECK (length(reporter) = 8),
    category text NOT NULL CHECK (category IN ('phishing', 'malware', 'spam', 'illegal', 'other')),
    details text NOT NULL DEFAULT '' CHECK (length(details) <= 500),
    reported_at timestamptz NOT NULL DEFAULT now(),
    reviewed_at timestamptz,
    PRIMARY KEY (tenant_id, link_id, reporter),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
);
CREATE UNIQUE INDEX link_reports_listing ON link_reports (tenant_id, link_id, id);
CREATE INDEX link_reports_open ON link_reports (link_id, tenant_id) WHERE reviewed_at IS NULL;
CREATE INDEX link_reports_age ON link_reports (reported_at);
ALTER TABLE link_reports ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link_reports FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON link_reports TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, profile_id, link_id, id, category, reported_at, reviewed_at) ON link_reports TO waypost_app;
-- Workers delete those that are old.
GRANT SELECT (tenant_id, link_id, reporter, reported_at), DELETE ON link_reports TO waypost_aggregator;

-- Keep a visitor's report; one that comes again changes nothing. From `quarantine_from` reporters of a day (UTC) on the
-- link is quarantined, unless the operator has reviewed it (0: never). Returns false, and keeps nothing, when the link
-- is gone or has 1,000 reports. Reports of one link take turns, so that each counts all before it.
CREATE FUNCTION report_link(of_tenant bigint, of_link bigint, by_reporter bytea, of_category text, of_details text,
    quarantine_from integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    link links;
    reporters bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('waypost.report_link'), hashint8(of_link));
    SELECT * INTO link FROM links AS l WHERE l.tenant_id = of_tenant AND l.id = of_link;
    IF NOT FOUND OR EXISTS (SELECT FROM link_reports AS r
            WHERE r.tenant_id = of_tenant AND r.link_id = of_link OFFSET 999) THEN
        RETURN false;
    END IF;
    INSERT INTO link_reports (tenant_id, profile_id, link_id, reporter, category, details)
    VALUES (of_tenant, link.profile_id, of_link, by_reporter, of_category, of_details)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    INSERT INTO events (tenant_id, profile_id, type, data)
    SELECT of_tenant, link.profile_id, 'report.created', jsonb_build_object(
        'profile_id', link.profile_id::text, 'link_id', of_link::text, 'category', of_category)
    WHERE EXISTS (SELECT FROM webhooks AS w WHERE w.tenant_id = of_tenant AND w.profile_id = link.profile_id
        AND w.event_types && event_names('report.created'));
    SELECT count(*) INTO reporters FROM link_reports AS r WHERE r.tenant_id = of_tenant AND r.link_id = of_link
        AND r.reviewed_at IS NULL AND r.reported_at >= current_date;
    IF quarantine_from > 0 AND reporters >= quarantine_from AND link.engine_quarantine IS NULL
            AND NOT EXISTS (SELECT FROM link_reviews AS v WHERE v.tenant_id = of_tenant AND v.link_id = of_link
                AND v.targets = targets_hash(link.target, link.options)) THEN
        PERFORM set_quarantine(of_tenant, of_link, 'reports', format('%s visitors reported it within a day', reporters));
    END IF;
    RETURN true;
END
$$;

-- ---- blocklists by URL ---------------------------------------------------------------------------------

-- The last good copy of each blocklist that the operator's settings name by URL: workers fetch it, every process reads
-- it. `version` grows with each copy; `body` is compressed.
CREATE TABLE blocklists (
    url text COLLATE "C" PRIMARY KEY CHECK (length(url) <= 2048),
    version bigint NOT NULL DEFAULT 0,
    tag text NOT NULL DEFAULT '' CHECK (length(tag) <= 200),
    body bytea CHECK (length(body) <= 33554432),
    fetched_at timestamptz,
    checked_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 500)
);
ALTER TABLE blocklists ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON blocklists FOR SELECT TO waypost_app USING (true);
GRANT SELECT ON blocklists TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON blocklists TO waypost_aggregator;

-- For the screening, which looks at quarantined links more often than at all.
CREATE INDEX links_quarantined ON links (tenant_id, id) WHERE engine_quarantine IS NOT NULL;

-- ---- the operator --------------------------------------------------------------------------------------
-- These functions answer for the operator alone (a user of the first tenant), and for links of any tenant.

-- The links with reports that nobody has reviewed, in the order of their ids.
CREATE FUNCTION reported_links(after_link bigint, most integer)
RETURNS TABLE (link_id bigint, version bigint, profile_id bigint, handle text, slug text, target text,
    engine_quarantine jsonb, reports bigint, categories jsonb, details text[], last_reported_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
    SELECT l.id, l.version, l.profile_id, p.handle, l.slug, l.target, l.engine_quarantine, r.reports, r.categories, r.details,
        r.last_reported_at
    FROM (
        SELECT r.link_id, r.tenant_id FROM link_reports AS r
        WHERE r.reviewed_at IS NULL AND r.link_id > after_link AND (SELECT is_operator())
        GROUP BY 1, 2 ORDER BY 1 LIMIT most
    ) AS open
    JOIN links AS l ON l.tenant_id = open.tenant_id AND l.id = open.link_id
    JOIN profiles AS p ON p.tenant_id = l.tenant_id AND p.id = l.profile_id
    CROSS JOIN LATERAL (
        SELECT sum(c.n)::bigint AS reports, jsonb_object_agg(c.category, c.n) AS categories,
            max(c.last) AS last_reported_at,
            ARRAY(SELECT d.details FROM link_reports AS d WHERE d.tenant_id = l.tenant_id AND d.link_id = l.id
                AND d.reviewed_at IS NULL AND d.details <> '' ORDER BY d.id DESC LIMIT 10) AS details
        FROM (SELECT r.category, count(*) AS n, max(r.reported_at) AS last FROM link_reports AS r
            WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id AND r.reviewed_at IS NULL GROUP BY 1) AS c
    ) AS r
    ORDER BY l.id
$$;

-- Quarantine a link for a reason, or without one release it and note that its targets were reviewed; its reports are
-- reviewed by either. Returns the version that the link had, null for one that does not exist; nothing is changed of a
-- link of another version than `of_version`. The profile's row is locked first, as by every change of its links.
CREATE FUNCTION review_link(of_link bigint, new_reason text, of_version bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    link links;
BEGIN
    -- One look-up in the index for each tenant, as no index has a link's id alone.
    SELECT one.* INTO link FROM tenants AS t
    CROSS JOIN LATERAL (SELECT * FROM links AS l WHERE l.tenant_id = t.id AND l.id = of_link OFFSET 0) AS one
    WHERE (SELECT is_operator());
    PERFORM FROM profiles AS p WHERE p.tenant_id = link.tenant_id AND p.id = link.profile_id FOR NO KEY UPDATE;
    SELECT * INTO link FROM links AS l WHERE l.tenant_id = link.tenant_id AND l.id = of_link;
    IF NOT FOUND OR link.version <> of_version THEN
        RETURN link.version;
    END IF;
    PERFORM set_quarantine(link.tenant_id, of_link, CASE WHEN new_reason IS NOT NULL THEN 'operator' END, new_reason);
    UPDATE link_reports AS r SET reviewed_at = now()
    WHERE r.tenant_id = link.tenant_id AND r.link_id = of_link AND r.reviewed_at IS NULL;
    IF new_reason IS NULL THEN
        INSERT INTO link_reviews AS v (tenant_id, link_id, targets)
        VALUES (link.tenant_id, of_link, targets_hash(link.target, link.options))
        ON CONFLICT (tenant_id, link_id) DO UPDATE SET targets = excluded.targets, reviewed_at = now();
    ELSE
        DELETE FROM link_reviews AS v WHERE v.tenant_id = link.tenant_id AND v.link_id = of_link;
    END IF;
    RETURN link.version;
END
$$;

REVOKE ALL ON FUNCTION is_operator(), set_quarantine(bigint, bigint, text, text),
    screen_link(bigint, bigint, bigint, text, text), report_link(bigint, bigint, bytea, text, text, integer),
    reported_links(bigint, integer), review_link(bigint, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION screen_link(bigint, bigint, bigint, text, text) TO waypost_aggregator;
GRANT EXECUTE ON FUNCTION report_link(bigint, bigint, bytea, text, text, integer) TO waypost_edge;
GRANT EXECUTE ON FUNCTION is_operator(), reported_links(bigint, integer), review_link(bigint, text, bigint) TO waypost_app;
