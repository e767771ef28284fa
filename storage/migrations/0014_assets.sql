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

-- Note the files that no asset and no page has any more.
CREATE FUNCTION note_unused_files() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE waypost.asset_files AS f SET unused_since = clock_timestamp()
    FROM old_rows AS o WHERE f.tenant_id = o.tenant_id AND f.hash = o.address
        AND NOT EXISTS (SELECT FROM waypost.assets AS a WHERE a.tenant_id = f.tenant_id AND a.address = f.hash)
        AND NOT EXISTS (SELECT FROM waypost.page_cards AS c WHERE c.tenant_id = f.tenant_id AND c.address = f.hash);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION note_unused_files() FROM PUBLIC;
CREATE TRIGGER note_unused AFTER DELETE ON assets
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_unused_files();
CREATE TRIGGER note_unused AFTER DELETE ON page_cards
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_unused_files();
