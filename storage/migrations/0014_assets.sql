-- Assets: pictures that members upload, and the files that are made of them. Goes before the code.

-- Files of a tenant's pictures, one row for each hash, written before the first of its files is: so every file that
-- is ever stored can be found and deleted. Nobody deletes them before `writable_until`, as an upload may be writing
-- them, nor while an asset has them. `unused_since` is NULL while one has. Once the collector has claimed them, no
-- upload uses them: it waits until the row is gone.
CREATE TABLE asset_files (
    tenant_id bigint NOT NULL,
    hash text COLLATE "C" NOT NULL CHECK (length(hash) <= 64),
    source text NOT NULL CHECK (source IN ('jpeg', 'png', 'webp', 'gif', 'avif', 'heif')),
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    renditions jsonb NOT NULL CHECK (length(renditions::text) <= 8192),
    written boolean NOT NULL DEFAULT false,
    writable_until timestamptz NOT NULL,
    unused_since timestamptz DEFAULT clock_timestamp(),
    claimed_until timestamptz,
    PRIMARY KEY (tenant_id, hash)
);
CREATE INDEX asset_files_unused ON asset_files (unused_since) WHERE unused_since IS NOT NULL;
ALTER TABLE asset_files ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON asset_files TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON asset_files TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT (tenant_id, hash, source, width, height, renditions, writable_until),
    UPDATE (written, writable_until, unused_since) ON asset_files TO waypost_app;
GRANT SELECT, DELETE, UPDATE (claimed_until) ON asset_files TO waypost_aggregator;
-- Edges show pictures of experiments' variants.
CREATE POLICY visitors ON asset_files FOR SELECT TO waypost_edge USING (true);
GRANT SELECT (tenant_id, hash, width, height, renditions) ON asset_files TO waypost_edge;

-- `address` is the hash of its files, and part of their URLs.
CREATE TABLE assets (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    address text COLLATE "C" NOT NULL,
    name text NOT NULL DEFAULT '' CHECK (length(name) <= 120),
    content_type text NOT NULL CHECK (length(content_type) <= 32),
    bytes bigint NOT NULL CHECK (bytes > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, profile_id, id),
    -- A picture that is uploaded again is the asset that it was.
    UNIQUE (tenant_id, profile_id, address),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, address) REFERENCES asset_files
);
CREATE INDEX assets_address ON assets (tenant_id, address);
ALTER TABLE assets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON assets TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON assets FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, DELETE, INSERT (tenant_id, profile_id, address, name, content_type, bytes) ON assets TO waypost_app;
GRANT SELECT (tenant_id, address) ON assets TO waypost_aggregator;
CREATE POLICY visitors ON assets FOR SELECT TO waypost_edge USING (true);
GRANT SELECT (tenant_id, profile_id, id, address) ON assets TO waypost_edge;
SELECT audit_changes_of('assets', 'asset', 'id', 'profile_id');

-- Assets of the draft of a profile's page (version 0) and of the versions that are kept. An asset that stands here
-- cannot be deleted.
CREATE TABLE page_assets (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    page_version bigint NOT NULL CHECK (page_version >= 0),
    asset_id bigint NOT NULL,
    PRIMARY KEY (tenant_id, profile_id, page_version, asset_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, profile_id, asset_id) REFERENCES assets (tenant_id, profile_id, id)
);
CREATE INDEX page_assets_asset ON page_assets (tenant_id, profile_id, asset_id);
ALTER TABLE page_assets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_assets TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, DELETE ON page_assets TO waypost_app;

-- Cards of published pages (engine/pages/sharing/card.py): `address` is the hash of the card's file.
CREATE TABLE page_cards (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    address text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, profile_id, address),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, address) REFERENCES asset_files
);
CREATE INDEX page_cards_address ON page_cards (tenant_id, address);
ALTER TABLE page_cards ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON page_cards FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, INSERT, DELETE ON page_cards TO waypost_aggregator;
GRANT INSERT (tenant_id, hash, source, width, height, renditions, writable_until),
    UPDATE (written, writable_until, unused_since) ON asset_files TO waypost_aggregator;

-- Cards of links that have a preview without an image of its own. `address` is the hash of the card's file, NULL
-- before one is drawn; `due`: the link, the look of its page or the handle has changed since. `is_secret`: the card
-- must not tell where the link leads.
CREATE TABLE link_cards (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    address text COLLATE "C",
    is_secret boolean NOT NULL,
    due boolean NOT NULL DEFAULT true,
    due_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, address) REFERENCES asset_files
);
CREATE INDEX link_cards_address ON link_cards (tenant_id, address);
CREATE INDEX link_cards_profile ON link_cards (tenant_id, profile_id);
CREATE INDEX link_cards_due ON link_cards (due_since) WHERE due;
ALTER TABLE link_cards ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON link_cards TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (address, due) ON link_cards TO waypost_aggregator;
GRANT SELECT (slug, options) ON links TO waypost_aggregator;

CREATE FUNCTION note_link_card() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.options ? 'preview' AND NOT NEW.options -> 'preview' ? 'image' THEN
        INSERT INTO waypost.link_cards (tenant_id, profile_id, link_id, is_secret)
        VALUES (NEW.tenant_id, NEW.profile_id, NEW.id, NEW.password_hash IS NOT NULL OR NEW.options ? 'click_limit')
        ON CONFLICT (tenant_id, link_id) DO UPDATE
            SET due = true, due_since = clock_timestamp(), is_secret = excluded.is_secret;
    ELSE
        DELETE FROM waypost.link_cards AS c WHERE c.tenant_id = NEW.tenant_id AND c.link_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_card_of_new AFTER INSERT ON links
    FOR EACH ROW WHEN (NEW.options ? 'preview') EXECUTE FUNCTION note_link_card();
CREATE TRIGGER note_card AFTER UPDATE OF slug, target, options, password_hash ON links
    FOR EACH ROW WHEN (OLD.options ? 'preview' OR NEW.options ? 'preview') EXECUTE FUNCTION note_link_card();

-- Let the links' cards of a profile be drawn anew, as its handle changed, or the look of its page.
CREATE FUNCTION note_handle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE waypost.link_cards AS c SET due = true, due_since = clock_timestamp()
    WHERE c.tenant_id = NEW.tenant_id AND c.profile_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_handle AFTER UPDATE OF handle ON profiles
    FOR EACH ROW WHEN (OLD.handle <> NEW.handle) EXECUTE FUNCTION note_handle();

CREATE POLICY definer ON page_versions FOR SELECT TO waypost_owner USING (true);
CREATE FUNCTION note_page_look() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE waypost.link_cards AS c SET due = true, due_since = clock_timestamp()
    WHERE c.tenant_id = NEW.tenant_id AND c.profile_id = NEW.profile_id AND NOT EXISTS (
        SELECT FROM waypost.page_versions AS v
        WHERE v.tenant_id = NEW.tenant_id AND v.profile_id = NEW.profile_id AND v.number = NEW.number - 1
            AND (v.page -> 'theme', v.page -> 'scheme', v.page -> 'accent', v.page -> 'background',
                v.page -> 'picture') IS NOT DISTINCT FROM (NEW.page -> 'theme', NEW.page -> 'scheme',
                NEW.page -> 'accent', NEW.page -> 'background', NEW.page -> 'picture'));
    RETURN NULL;
END
$$;
CREATE TRIGGER note_look AFTER INSERT ON page_versions FOR EACH ROW EXECUTE FUNCTION note_page_look();

-- Note the files that no asset, no page and no link has any more.
CREATE FUNCTION note_unused_files() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE waypost.asset_files AS f SET unused_since = clock_timestamp()
    FROM old_rows AS o WHERE f.tenant_id = o.tenant_id AND f.hash = o.address
        AND NOT EXISTS (SELECT FROM waypost.assets AS a WHERE a.tenant_id = f.tenant_id AND a.address = f.hash)
        AND NOT EXISTS (SELECT FROM waypost.page_cards AS c WHERE c.tenant_id = f.tenant_id AND c.address = f.hash)
        AND NOT EXISTS (SELECT FROM waypost.link_cards AS c WHERE c.tenant_id = f.tenant_id AND c.address = f.hash);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION note_unused_files(), note_link_card(), note_handle(), note_page_look() FROM PUBLIC;
CREATE TRIGGER note_unused AFTER DELETE ON assets
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_unused_files();
CREATE TRIGGER note_unused AFTER DELETE ON page_cards
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_unused_files();
CREATE TRIGGER note_unused AFTER DELETE ON link_cards
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_unused_files();
CREATE TRIGGER note_replaced AFTER UPDATE ON link_cards
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_unused_files();
