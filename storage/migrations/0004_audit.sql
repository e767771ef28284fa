-- The audit log: every change, by whom, in the change's transaction; and security events. Goes before the code.

-- One row for each change, for ever. Rows of one profile are a chain: each hash covers the row and the hash
-- before it. Profile 0 is the tenant itself. No foreign key: the log outlives the objects that it names.
CREATE TABLE audit_log (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    user_id bigint,
    key_id bigint,
    request_id text,
    action text NOT NULL,
    object_type text NOT NULL,
    object_id bigint NOT NULL,
    before jsonb,
    after jsonb,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, profile_id, seq)
);
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY definer_reads ON audit_log FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer_writes ON audit_log FOR INSERT TO waypost_owner WITH CHECK (true);
GRANT SELECT ON audit_log TO waypost_app;

-- The newest entry of each chain: without it, the end of a chain could be cut off unnoticed.
CREATE TABLE audit_log_heads (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, profile_id)
) WITH (fillfactor = 50);
ALTER TABLE audit_log_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON audit_log_heads TO waypost_owner USING (true) WITH CHECK (true);

-- Security events change nothing: logins, denials, limits, use of keys. `times` counts events of one kind in a
-- row. Tenant 0: the client was not recognised.
CREATE TABLE security_events (
    tenant_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CHECK (length(kind) <= 64),
    user_id bigint,
    key_id bigint,
    request_id text,
    times bigint NOT NULL DEFAULT 1,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX security_events_key ON security_events (tenant_id, key_id, id) WHERE key_id IS NOT NULL;
ALTER TABLE security_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON security_events FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY report ON security_events FOR INSERT TO waypost_app
    WITH CHECK (tenant_id = coalesce(current_tenant(), 0));
GRANT SELECT, INSERT ON security_events TO waypost_app;

-- Append-only, for the owner of the tables too. Deletions from audit_log are refused in the domain privacy,
-- which lets the chain of an erased profile go.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON security_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---- entries -------------------------------------------------------------------------------------------

-- Readers get the text that a hash covers as it stands, and recompute it anywhere: ids are texts and times
-- microseconds since 1970, which every reader of JSON keeps exactly.
CREATE FUNCTION audit_log_hash(previous bytea, entry audit_log) RETURNS bytea
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN sha256(previous || convert_to(jsonb_build_array(
    entry.profile_id::text, entry.seq, (extract(epoch FROM entry.at) * 1000000)::bigint,
    entry.user_id::text, entry.key_id::text, entry.request_id, entry.action, entry.object_type,
    entry.object_id::text, entry.before, entry.after)::text, 'UTF8'));

-- Append entries to the chain of one profile, with one write of its head: an import changes thousands of
-- links in a transaction, and each write of a row walks past all its earlier versions of the same
-- transaction. The head's row is locked until the transaction ends. `changes` is an array of [object_id,
-- before, after] or [object_id, before, after, action].
CREATE FUNCTION append_to_audit_log(
    of_tenant bigint, of_profile bigint, object_type text, changes jsonb[]
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    head audit_log_heads;
    entry audit_log;
    change jsonb;
    entries audit_log[] := '{}';
BEGIN
    INSERT INTO audit_log_heads (tenant_id, profile_id) VALUES (of_tenant, of_profile)
    ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM audit_log_heads
    WHERE tenant_id = of_tenant AND profile_id = of_profile FOR UPDATE;
    FOREACH change IN ARRAY changes LOOP
        head.seq := head.seq + 1;
        entry := ROW(of_tenant, of_profile, head.seq, clock_timestamp(), current_user_id(),
            nullif(current_setting('waypost.key', true), '')::bigint,
            nullif(current_setting('waypost.request', true), ''),
            coalesce(change ->> 3, object_type || CASE
                WHEN change -> 1 = 'null' THEN '.created'
                WHEN change -> 2 = 'null' THEN '.deleted'
                ELSE '.updated' END),
            object_type, (change ->> 0)::bigint,
            nullif(change -> 1, 'null'), nullif(change -> 2, 'null'), NULL);
        entry.hash := audit_log_hash(head.hash, entry);
        head.hash := entry.hash;
        entries := entries || entry;
    END LOOP;
    INSERT INTO audit_log SELECT * FROM unnest(entries);
    UPDATE audit_log_heads SET seq = head.seq, hash = head.hash
    WHERE tenant_id = of_tenant AND profile_id = of_profile;
END
$$;

-- Return the expression of a row as the log shows it, in SQL: without columns that are no change (its versions
-- and times), without secrets, and without pages, of which a digest stands beside them. So that a change of a link's
-- password is one, a few digits of a digest of its hash, which has salt, stand for it.
CREATE FUNCTION audit_log_expression(of_table oid, row_alias text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, waypost, pg_temp
RETURN (
    SELECT format('jsonb_build_object(%s)', string_agg(CASE
        WHEN a.attname = 'password_hash' THEN format(
            '%L, left(encode(sha256(convert_to(%I.password_hash, %L)), %L), 8)', 'password', row_alias, 'UTF8', 'hex')
        ELSE format('%L, %s', a.attname, json_expression(row_alias, a.attname, a.atttypid)) END, ', '))
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE a.attrelid = of_table AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (ARRAY[
        'tenant_id', 'profile_id', 'home_tenant_id', 'slot', 'version', 'revision', 'created_at',
        'updated_at', 'last_used_at', 'accepted_at', 'accepted_by', 'key_sha256', 'token_sha256', 'secret',
        'signing_secrets', 'page'])
    AND (a.attname <> 'password_hash' OR c.relname = 'links'));

-- ---- triggers ------------------------------------------------------------------------------------------

-- One trigger for each table and event, once a statement. Its arguments: the word for the object, the column
-- with its id, and the column with its profile's ('' for the tenant itself).
-- A deletion that cascades is one change, that of the greater object; its parts are not logged. The greater
-- object is gone by the time its parts are deleted, and so it is recognised: a cascade's triggers fire at the
-- same depth as others. A member whose user is deleted leaves a profile that stays, maybe another tenant's: it
-- is logged there.
CREATE FUNCTION log_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    chain record;
    old_row text := audit_log_expression(TG_RELID, 'o');
    new_row text := audit_log_expression(TG_RELID, 'n');
    -- The columns of `pairs` before its rows; %s is the alias of a row.
    ids text := format('SELECT %%1$s.tenant_id AS tenant, %s AS profile, %%1$s.%I AS object',
        CASE TG_ARGV[2] WHEN '' THEN '0::bigint' ELSE format('%%1$s.%I', TG_ARGV[2]) END, TG_ARGV[1]);
    pairs text := CASE TG_OP
        WHEN 'INSERT' THEN format(ids, 'n') ||
            format(', NULL::jsonb AS old, %s AS new FROM new_rows AS n', new_row)
        WHEN 'DELETE' THEN format(ids, 'o') ||
            format(', %s AS old, NULL::jsonb AS new FROM old_rows AS o', old_row) || CASE
                WHEN TG_ARGV[0] = 'key' THEN ' WHERE EXISTS (SELECT FROM users AS u '
                    'WHERE u.tenant_id = o.tenant_id AND u.id = o.user_id)'
                WHEN TG_ARGV[2] <> '' AND TG_ARGV[0] <> 'profile' THEN format(' WHERE EXISTS (SELECT FROM profiles '
                    'AS p WHERE p.tenant_id = o.tenant_id AND p.id = o.%I)', TG_ARGV[2])
                ELSE '' END
        ELSE format(ids, 'n') || format(', %s AS old, %s AS new FROM old_rows AS o '
            'JOIN new_rows AS n ON n.tenant_id = o.tenant_id AND n.%3$I = o.%3$I%4$s', old_row, new_row,
            TG_ARGV[1], CASE WHEN TG_ARGV[0] = 'member' THEN ' AND n.profile_id = o.profile_id' ELSE '' END) END;
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    FOR chain IN EXECUTE
        'SELECT tenant, profile, array_agg(jsonb_build_array(object, old, new) ORDER BY object) AS changes '
        'FROM (' || pairs || ') AS pairs WHERE old IS DISTINCT FROM new GROUP BY 1, 2 ORDER BY 1, 2'
    LOOP
        PERFORM append_to_audit_log(chain.tenant, chain.profile, TG_ARGV[0], chain.changes);
    END LOOP;
    RETURN NULL;
END
$$;

-- Log every change of a table. The file that makes a table of a profile's things calls this.
CREATE FUNCTION audit_changes_of(of_table regclass, object text, id_column text, profile_column text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    call text := format('FOR EACH STATEMENT EXECUTE FUNCTION waypost.log_changes(%L, %L, %L)',
        object, id_column, profile_column);
BEGIN
    EXECUTE format('CREATE TRIGGER log_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows %s',
        of_table, call);
    EXECUTE format('CREATE TRIGGER log_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows %s',
        of_table, call);
    EXECUTE format('CREATE TRIGGER log_update AFTER UPDATE ON %s '
        'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows %s', of_table, call);
END
$$;

SELECT audit_changes_of('profiles', 'profile', 'id', 'id');
SELECT audit_changes_of('links', 'link', 'id', 'profile_id');
SELECT audit_changes_of('domains', 'domain', 'id', 'profile_id');
SELECT audit_changes_of('members', 'member', 'user_id', 'profile_id');
SELECT audit_changes_of('invitations', 'invitation', 'id', 'profile_id');
SELECT audit_changes_of('users', 'user', 'id', '');
SELECT audit_changes_of('api_keys', 'key', 'id', '');

-- A short slug that is claimed with its new link, or renamed with it, is part of that change. A slug that is
-- claimed or released alone is a change of its own.
CREATE FUNCTION log_short_slugs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    short record;
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    FOR short IN EXECUTE format(
        'SELECT s.tenant_id, s.profile_id, s.link_id, s.slug FROM %s AS s JOIN links AS l '
        'ON l.tenant_id = s.tenant_id AND l.id = s.link_id AND l.created_at < now()',
        CASE TG_OP WHEN 'INSERT' THEN 'new_rows' ELSE 'old_rows' END)
    LOOP
        PERFORM append_to_audit_log(short.tenant_id, short.profile_id, 'link', ARRAY[jsonb_build_array(
            short.link_id,
            CASE TG_OP WHEN 'DELETE' THEN jsonb_build_object('short', short.slug) END,
            CASE TG_OP WHEN 'INSERT' THEN jsonb_build_object('short', short.slug) END,
            CASE TG_OP WHEN 'INSERT' THEN 'link.short_claimed' ELSE 'link.short_released' END)]);
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER log_insert AFTER INSERT ON short_slugs
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_short_slugs();
CREATE TRIGGER log_delete AFTER DELETE ON short_slugs
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_short_slugs();

REVOKE ALL ON FUNCTION refuse_change(), audit_log_hash(bytea, audit_log),
    append_to_audit_log(bigint, bigint, text, jsonb[]), audit_log_expression(oid, text), log_changes(),
    audit_changes_of(regclass, text, text, text), log_short_slugs() FROM PUBLIC;
