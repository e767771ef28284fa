-- Tenants, their users, keys, profiles and links, and the roles that see them. Goes before the code.
--
-- Every table has row-level security enabled and forced, also for its owner: who has no policy sees
-- nothing. waypost_app sees the tenant that `waypost.tenant` names and no other; waypost_edge reads
-- what visitors may know of everybody. The tenant is part of every key, so that no foreign key can
-- cross from one to another; only names that are public in URLs (and e-mail addresses) are unique
-- across tenants.
--
-- Roles belong to the whole cluster, so migrations of two databases can meet here.
DO $$
DECLARE
    role text;
    member text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role IN ARRAY ARRAY['waypost_owner', 'waypost_app', 'waypost_edge', 'waypost_aggregator'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
                -- COPY FROM is refused under row-level security. Who migrates may not be allowed to
                -- grant this; then an administrator has to.
                IF role = 'waypost_aggregator' THEN
                    ALTER ROLE waypost_aggregator BYPASSRLS;
                END IF;
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                IF role <> 'waypost_aggregator' THEN
                    RAISE;
                END IF;
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END;
        BEGIN
            IF NOT pg_has_role(current_user, role, member) THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', role);
            END IF;
        EXCEPTION
            WHEN unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;

CREATE SCHEMA waypost AUTHORIZATION waypost_owner;
SET LOCAL ROLE waypost_owner;
GRANT USAGE ON SCHEMA waypost TO waypost_app, waypost_edge, waypost_aggregator;

CREATE TABLE waypost_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE waypost_migrations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON waypost_migrations TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY everybody_reads ON waypost_migrations FOR SELECT USING (true);
GRANT SELECT ON waypost_migrations TO waypost_app, waypost_edge, waypost_aggregator;

-- Ids are ordered by time and unique, and say nothing of how many there are: milliseconds since 2026,
-- then 20 bits of a sequence.
CREATE SEQUENCE ids AS bigint CYCLE;
GRANT USAGE ON SEQUENCE ids TO waypost_app;

CREATE FUNCTION new_id() RETURNS bigint
LANGUAGE sql VOLATILE
RETURN ((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1767225600000 << 20)
    | (nextval('waypost.ids') & 1048575);
REVOKE ALL ON FUNCTION new_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION new_id() TO waypost_app;

CREATE FUNCTION current_tenant() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('waypost.tenant', true), '')::bigint;

CREATE TABLE tenants (
    id bigint PRIMARY KEY DEFAULT new_id(),
    name text NOT NULL CHECK (length(name) <= 200),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT new_id(),
    email text NOT NULL CHECK (email ~ '^[^@[:cntrl:]]+@[^@[:cntrl:]]+$' AND length(email) <= 254),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE api_keys (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT new_id(),
    key_sha256 bytea NOT NULL CHECK (length(key_sha256) = 32),
    label text NOT NULL DEFAULT '' CHECK (length(label) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (key_sha256);

-- `version` grows by one with every change of the profile or of any of its links. The update of this
-- row comes first in such a transaction: its lock lets changes of one profile take turns.
CREATE TABLE profiles (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT new_id(),
    handle text COLLATE "C" NOT NULL CHECK (handle ~ '^[a-z0-9][a-z0-9_.-]*$' AND length(handle) <= 32),
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 120),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX profiles_handle ON profiles (handle);

-- The checks of `target` are the second line: what stands here is written into a Location header as it
-- is. `version` counts changes of the link, `revision` is the profile's version at the last of them.
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
    kind text NOT NULL DEFAULT 'url' CHECK (kind IN ('url', 'mailto', 'tel')),
    slug text COLLATE "C" NOT NULL CHECK (slug ~ '^[^/[:cntrl:]]+$' AND length(slug) <= 64),
    target text COLLATE "C" NOT NULL CHECK (target ~ '^[\x21-\x7e]+$' AND length(target) <= 2048),
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
-- The profile stands first and not the tenant: a query by profile and slug alone can then use this index
-- only. Among several with the same prefix the planner, before it has statistics, picks any, and would
-- read a whole profile for each slug.
CREATE UNIQUE INDEX links_slug ON links (profile_id, slug, tenant_id);
CREATE UNIQUE INDEX links_listing ON links (tenant_id, profile_id, id);
CREATE INDEX links_page ON links (tenant_id, profile_id, position, id);
CREATE INDEX links_revision ON links (tenant_id, profile_id, revision);

-- Who owns `/{slug}` on the default domain: always a link with that slug, first come, first served.
CREATE TABLE short_slugs (
    slug text COLLATE "C" PRIMARY KEY,
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    link_id bigint NOT NULL,
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
);
CREATE UNIQUE INDEX short_slugs_link ON short_slugs (tenant_id, link_id);

-- Tombstones, by which edges that hold an older version of the profile drop the link.
CREATE TABLE removed_links (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    revision bigint NOT NULL,
    link_id bigint NOT NULL,
    PRIMARY KEY (tenant_id, profile_id, revision, link_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);

-- The last change of each profile, for polling. It outlives the profile. Transactions commit in another
-- order than they start, so a poll compares `xid` with the snapshot of the one before: no sequence or
-- clock could tell what was not visible then.
CREATE TABLE profile_changes (
    profile_id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 80);
CREATE INDEX profile_changes_xid ON profile_changes (xid);

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE short_slugs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE removed_links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE profile_changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON tenants TO waypost_app
    USING (id = current_tenant()) WITH CHECK (id = current_tenant());
CREATE POLICY tenant ON users TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON api_keys TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON profiles TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON links TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON short_slugs TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON removed_links TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON profile_changes TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());

GRANT SELECT, INSERT, UPDATE, DELETE
    ON tenants, users, api_keys, profiles, links, short_slugs, removed_links, profile_changes
    TO waypost_app;

CREATE POLICY visitors ON profiles FOR SELECT TO waypost_edge USING (true);
CREATE POLICY visitors ON links FOR SELECT TO waypost_edge USING (true);
CREATE POLICY visitors ON short_slugs FOR SELECT TO waypost_edge USING (true);
CREATE POLICY visitors ON removed_links FOR SELECT TO waypost_edge USING (true);
CREATE POLICY visitors ON profile_changes FOR SELECT TO waypost_edge USING (true);

GRANT SELECT ON profiles, links, short_slugs, removed_links, profile_changes TO waypost_edge;

-- Before a request's key is known, no tenant is either: these two look past the policies of the app,
-- and answer no more than ids.
CREATE POLICY definer ON tenants FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer ON api_keys FOR SELECT TO waypost_owner USING (true);

CREATE FUNCTION authenticate(sha256 bytea) RETURNS TABLE (key_id bigint, tenant_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.id, k.tenant_id FROM waypost.api_keys AS k WHERE k.key_sha256 = sha256
$$;

CREATE FUNCTION first_tenant() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT id FROM waypost.tenants ORDER BY id LIMIT 1
$$;

REVOKE ALL ON FUNCTION authenticate(bytea), first_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authenticate(bytea), first_tenant() TO waypost_app;
