-- Profiles' pages: drafts, versions, and addresses that visitors leave in their forms. Goes before the code.

-- The draft of a page (engine/pages/page.py). `digest` is of its JSON: by it the audit log tells that the draft
-- changed, without a copy of it in each entry.
CREATE TABLE page_drafts (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    page jsonb NOT NULL CHECK (length(page::text) <= 262144),
    digest text COLLATE "C" NOT NULL CHECK (digest ~ '^[0-9a-f]{32}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
) WITH (fillfactor = 70);

ALTER TABLE page_drafts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_drafts TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT (tenant_id, profile_id, page, digest), UPDATE (version, page, digest, updated_at)
    ON page_drafts TO waypost_app;

-- Published versions, of which visitors get the one with the highest number. `pictures` has what the renderer needs of
-- each asset that the page names; `link_ids` are the links that it names.
CREATE TABLE page_versions (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    page jsonb NOT NULL CHECK (length(page::text) <= 262144),
    digest text COLLATE "C" NOT NULL CHECK (digest ~ '^[0-9a-f]{32}$'),
    pictures jsonb NOT NULL DEFAULT '{}' CHECK (length(pictures::text) <= 262144),
    link_ids bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(link_ids) <= 200),
    published_by bigint,
    published_at timestamptz NOT NULL DEFAULT now(),
    card_due boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, profile_id, number),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE INDEX page_versions_card_due ON page_versions (published_at) WHERE card_due;

ALTER TABLE page_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_versions TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON page_versions FOR SELECT TO waypost_edge USING (true);
GRANT SELECT, INSERT, DELETE ON page_versions TO waypost_app;
GRANT SELECT ON page_versions TO waypost_edge;
-- Workers announce a page anew when GitHub's facts of one of its links have changed.
GRANT SELECT (tenant_id, profile_id, number, link_ids) ON page_versions TO waypost_aggregator;
-- And they draw its card (engine/pages/card.py), which `card_due` is until then.
GRANT SELECT (page, pictures, published_at, card_due), UPDATE (card_due) ON page_versions TO waypost_aggregator;
-- Edges show them.
CREATE POLICY visitors ON github_syncs FOR SELECT TO waypost_edge USING (true);
GRANT SELECT (tenant_id, link_id, target, facts, synced_at) ON github_syncs TO waypost_edge;

SELECT audit_changes_of('page_drafts', 'page', 'profile_id', 'profile_id');

-- That a version was published is a change of the page; that old ones go is none.
CREATE FUNCTION log_publication() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    PERFORM append_to_audit_log(NEW.tenant_id, NEW.profile_id, 'page', ARRAY[jsonb_build_array(
        NEW.profile_id, NULL, jsonb_build_object('number', NEW.number, 'digest', NEW.digest),
        'page.published')]);
    RETURN NULL;
END
$$;
CREATE TRIGGER log_insert AFTER INSERT ON page_versions FOR EACH ROW EXECUTE FUNCTION log_publication();

-- ---- addresses of visitors -----------------------------------------------------------------------------

-- What visitors enter into the e-mail forms of a page: apart from all that is counted of them.
CREATE TABLE page_subscribers (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    block text COLLATE "C" NOT NULL CHECK (length(block) <= 32),
    email text COLLATE "C" NOT NULL CHECK (length(email) <= 254),
    subscribed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id, block, email),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE UNIQUE INDEX page_subscribers_listing ON page_subscribers (tenant_id, profile_id, id);

ALTER TABLE page_subscribers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_subscribers TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON page_subscribers TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, DELETE ON page_subscribers TO waypost_app;

-- Note a visitor's address; once more changes nothing. Returns false, and keeps nothing, when the profile is gone or
-- has 50,000 addresses already.
CREATE FUNCTION subscribe(of_tenant bigint, of_profile bigint, of_block text, address text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM page_subscribers AS s
               WHERE s.tenant_id = of_tenant AND s.profile_id = of_profile OFFSET 49999) THEN
        RETURN EXISTS (SELECT FROM page_subscribers AS s WHERE s.tenant_id = of_tenant
            AND s.profile_id = of_profile AND s.block = of_block AND s.email = address);
    END IF;
    INSERT INTO page_subscribers (tenant_id, profile_id, block, email)
    SELECT p.tenant_id, p.id, of_block, address FROM profiles AS p
    WHERE p.tenant_id = of_tenant AND p.id = of_profile
    ON CONFLICT DO NOTHING;
    RETURN EXISTS (SELECT FROM page_subscribers AS s WHERE s.tenant_id = of_tenant
        AND s.profile_id = of_profile AND s.block = of_block AND s.email = address);
END
$$;

-- The log says that a member deleted an address, and not which one: entries of the log stay.
CREATE FUNCTION log_unsubscription() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM profiles AS p WHERE p.tenant_id = OLD.tenant_id AND p.id = OLD.profile_id) THEN
        PERFORM append_to_audit_log(OLD.tenant_id, OLD.profile_id, 'subscriber', ARRAY[jsonb_build_array(
            OLD.id, NULL, NULL, 'subscriber.deleted')]);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER log_delete AFTER DELETE ON page_subscribers
    FOR EACH ROW EXECUTE FUNCTION log_unsubscription();

REVOKE ALL ON FUNCTION log_publication(), log_unsubscription(), subscribe(bigint, bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION subscribe(bigint, bigint, text, text) TO waypost_edge;
