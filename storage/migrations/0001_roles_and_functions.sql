-- Roles, the schema, ids, tenants, and what one request acts for. Goes before the code.
--
-- Rules of every file of this folder:
-- - Every table has row-level security enabled and forced, for its owner too: a role without a policy sees no
--   row. waypost_app sees the tenant that `waypost.tenant` names and no other; waypost_edge reads what visitors
--   may know of all tenants; waypost_aggregator bypasses row-level security and is bounded by its grants.
-- - The tenant is part of every key, so that no foreign key can cross from one tenant to another. Only names
--   that are public in URLs, e-mail addresses and hashes of secrets are unique across tenants.
-- - A function that acts as the owner (SECURITY DEFINER) fixes its search_path and is executable by the roles
--   that need it only. The policies named `definer` let these functions, and checks of foreign keys, read.
-- - Domains come in the order of their foreign keys; each file has the tables, functions and grants of its own.
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
                -- COPY FROM is refused under row-level security. The login user may not be allowed to grant
                -- this; then an administrator has to.
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

-- ---- ids -----------------------------------------------------------------------------------------------

-- Ids are unique and ordered by time, and do not reveal how many there are: milliseconds since 2026, then 20
-- bits of a sequence.
CREATE SEQUENCE ids AS bigint CYCLE;
GRANT USAGE ON SEQUENCE ids TO waypost_app, waypost_aggregator;

CREATE FUNCTION new_id() RETURNS bigint
LANGUAGE sql VOLATILE
RETURN ((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1767225600000 << 20)
    | (nextval('waypost.ids') & 1048575);
REVOKE ALL ON FUNCTION new_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION new_id() TO waypost_app, waypost_aggregator;

-- ---- rows as JSON --------------------------------------------------------------------------------------
-- JSON that leaves Waypost has ids as texts, because JavaScript's numbers cannot hold them, and times in UTC
-- with `Z`. In Python, engine/common/json_forms.py holds the same rule.

CREATE FUNCTION utc_text(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (to_jsonb(at AT TIME ZONE 'UTC') #>> '{}') || 'Z';

-- Return the expression of a column's value in JSON, in SQL. `row_alias` names the table or row.
CREATE FUNCTION json_expression(row_alias text, of_column name, of_type oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format(CASE
    WHEN of_type = 'bigint'::regtype AND of_column ~ '(^id|_id|_by)$' THEN '%I.%I::text'
    WHEN of_type = 'bigint[]'::regtype AND of_column ~ '_ids$' THEN '%I.%I::text[]'
    WHEN of_type = 'timestamptz'::regtype THEN 'waypost.utc_text(%I.%I)'
    ELSE '%I.%I' END, row_alias, of_column);

-- ---- the transaction's caller --------------------------------------------------------------------------
-- Each transaction of the app sets `waypost.tenant` and `waypost.user`, which name the caller, and
-- `waypost.key` and `waypost.request`, which the audit log notes.

CREATE FUNCTION current_tenant() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('waypost.tenant', true), '')::bigint;

CREATE FUNCTION current_user_id() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('waypost.user', true), '')::bigint;

-- ---- tenants -------------------------------------------------------------------------------------------

CREATE TABLE tenants (
    id bigint PRIMARY KEY DEFAULT new_id(),
    name text NOT NULL CHECK (length(name) <= 200),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants TO waypost_app USING (id = current_tenant()) WITH CHECK (id = current_tenant());
CREATE POLICY definer ON tenants FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO waypost_app;

-- ---- secrets of the processes --------------------------------------------------------------------------

-- Secrets that all processes share. The first process that asks for a secret makes it; only the function
-- reads the table.
CREATE TABLE shared_secrets (
    name text PRIMARY KEY CHECK (name ~ '^[a-z-]{1,40}$'),
    value bytea NOT NULL CHECK (length(value) = 32)
);
ALTER TABLE shared_secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON shared_secrets TO waypost_owner USING (true) WITH CHECK (true);

CREATE FUNCTION shared_secret(secret_name text) RETURNS bytea
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO waypost.shared_secrets (name, value)
    VALUES (secret_name, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
    ON CONFLICT DO NOTHING;
    SELECT value FROM waypost.shared_secrets WHERE name = secret_name
$$;
REVOKE ALL ON FUNCTION shared_secret(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shared_secret(text) TO waypost_app;
