-- People, their teams, and the log of what they do. Goes before the code.
--
-- A user is at home in one tenant, where the profiles that they create live. A profile has up to ten
-- members, of its own tenant or of others: whoever is a member may act in the profile's tenant, on that
-- profile. `waypost.user` names who acts, `waypost.key` and `waypost.request` with what; they are set in
-- each transaction, as `waypost.tenant` is. Before the tenant is known, functions that act as the owner
-- of the tables say which one it is, and answer for `waypost.user` alone.
CREATE FUNCTION current_user_id() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('waypost.user', true), '')::bigint;

ALTER TABLE users
    ADD COLUMN name text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- A key acts for its user, and never for more than its scopes. One without a user (of an earlier
-- version) acts for the tenant's first.
ALTER TABLE api_keys
    ADD COLUMN user_id bigint,
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,write,admin}'
        CHECK (scopes <@ '{read,write,admin}' AND cardinality(scopes) BETWEEN 1 AND 3),
    ADD COLUMN prefix text NOT NULL DEFAULT '' CHECK (length(prefix) <= 16),
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN revoked_at timestamptz;
-- Checking that a foreign key holds reads as the owner, who is not above forced row-level security.
CREATE POLICY definer ON users FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer_touches ON api_keys FOR UPDATE TO waypost_owner USING (true);
UPDATE api_keys AS k SET user_id = (SELECT min(id) FROM users AS u WHERE u.tenant_id = k.tenant_id);
ALTER TABLE api_keys
    ALTER COLUMN user_id SET NOT NULL,
    ADD FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE;
CREATE INDEX api_keys_user ON api_keys (tenant_id, user_id);

-- A session of the dashboard; its cookie is known by its SHA-256 only.
CREATE TABLE sessions (
    tenant_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    user_id bigint NOT NULL,
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    user_agent text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 200),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX sessions_token ON sessions (token_sha256);
CREATE INDEX sessions_user ON sessions (tenant_id, user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- `home_tenant_id` is where the user is at home, `tenant_id` where the profile lives. Ten slots a
-- profile: the limit holds against any number of concurrent joins, since it is a key.
CREATE TABLE members (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    user_id bigint NOT NULL,
    home_tenant_id bigint NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'viewer')),
    slot smallint NOT NULL CHECK (slot BETWEEN 1 AND 10),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id, user_id),
    UNIQUE (tenant_id, profile_id, slot),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (home_tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX members_user ON members (user_id, profile_id);

-- An invitation is known by the SHA-256 of its token, and good for one person once.
CREATE TABLE invitations (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    email text NOT NULL CHECK (email ~ '^[^@[:cntrl:]]+@[^@[:cntrl:]]+$' AND length(email) <= 254),
    role text NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    invited_by bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by bigint,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE UNIQUE INDEX invitations_token ON invitations (token_sha256);
CREATE INDEX invitations_profile ON invitations (tenant_id, profile_id, id);

-- The answer to a create that named an Idempotency-Key, written in the transaction of that create.
CREATE TABLE idempotency_keys (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id bigint NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 bytea NOT NULL CHECK (length(request_sha256) = 32),
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- What was changed, by whom: one row a change, in the transaction of the change, for ever. Rows of one
-- profile are a chain: each hash covers the row and the hash before it. Profile 0 is the tenant itself.
-- No foreign key: the log outlives what it tells of.
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

CREATE TABLE audit_log_heads (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, profile_id)
) WITH (fillfactor = 50);

-- What concerns safety and changes nothing: logins, denials, limits, use of keys. `times` says how often
-- it happened in a row. Tenant 0: nobody was recognised.
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

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_log_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE security_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON sessions TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON members TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON invitations TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON idempotency_keys TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON audit_log FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON security_events FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY report ON security_events FOR INSERT TO waypost_app
    WITH CHECK (tenant_id = coalesce(current_tenant(), 0));

GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, invitations, idempotency_keys TO waypost_app;
-- Joining goes through accept_invitation, the first owner comes with the profile.
GRANT SELECT, DELETE, UPDATE (role, version, updated_at) ON members TO waypost_app;
GRANT SELECT ON audit_log TO waypost_app;
GRANT SELECT, INSERT ON security_events TO waypost_app;

-- The key of profile_changes is the profile's id alone, which would tell whether another tenant has it:
-- the policy refuses ids that are not one's own before the key is looked at. Volatile, to see a profile
-- that the same statement has made.
CREATE FUNCTION owns_profile(of_tenant bigint, of_profile bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM waypost.profiles WHERE tenant_id = of_tenant AND id = of_profile);
END
$$;
CREATE POLICY own_profiles ON profile_changes AS RESTRICTIVE FOR INSERT TO waypost_app
    WITH CHECK (owns_profile(tenant_id, profile_id));
REVOKE INSERT, UPDATE, DELETE ON profile_changes FROM waypost_app;
GRANT INSERT (profile_id, tenant_id, version), UPDATE (version, deleted, xid)
    ON profile_changes TO waypost_app;

-- Functions and triggers of the owner's, below, do what the app may not.
CREATE POLICY definer ON sessions TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON profiles FOR SELECT TO waypost_owner USING (true);
-- A row lock is an update to row-level security.
CREATE POLICY definer_locks ON profiles FOR UPDATE TO waypost_owner USING (true);
CREATE POLICY definer ON links FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer ON members TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON invitations TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON idempotency_keys TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer_reads ON audit_log FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer_writes ON audit_log FOR INSERT TO waypost_owner WITH CHECK (true);
CREATE POLICY definer ON audit_log_heads TO waypost_owner USING (true) WITH CHECK (true);

-- ---- members -----------------------------------------------------------------------------------------

-- Who makes a profile owns it.
CREATE FUNCTION add_first_owners() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO members (tenant_id, profile_id, user_id, home_tenant_id, role, slot)
    SELECT n.tenant_id, n.id, u.id, u.tenant_id, 'owner', 1
    FROM new_rows AS n JOIN users AS u ON u.tenant_id = n.tenant_id AND u.id = current_user_id();
    GET DIAGNOSTICS made = ROW_COUNT;
    IF made <> (SELECT count(*) FROM new_rows) THEN
        RAISE EXCEPTION 'a profile needs an owner'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_owner';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER first_owner AFTER INSERT ON profiles
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION add_first_owners();

-- Checked when the transaction commits, so that ownership can be handed over in two statements. The lock
-- lets two owners that leave at the same time take turns.
CREATE FUNCTION keep_an_owner() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    PERFORM FROM profiles WHERE tenant_id = OLD.tenant_id AND id = OLD.profile_id FOR NO KEY UPDATE;
    IF FOUND AND NOT EXISTS (
        SELECT FROM members
        WHERE tenant_id = OLD.tenant_id AND profile_id = OLD.profile_id AND role = 'owner'
    ) THEN
        RAISE EXCEPTION 'a profile needs an owner'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_owner';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER keep_an_owner AFTER UPDATE OR DELETE ON members
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION keep_an_owner();

-- Profiles that exist already get their tenant's first user as owner.
INSERT INTO members (tenant_id, profile_id, user_id, home_tenant_id, role, slot)
SELECT p.tenant_id, p.id, u.id, u.tenant_id, 'owner', 1
FROM profiles AS p JOIN users AS u ON u.tenant_id = p.tenant_id
    AND u.id = (SELECT min(f.id) FROM users AS f WHERE f.tenant_id = p.tenant_id);

-- ---- what waypost.user may enter -----------------------------------------------------------------------

-- The tenant of a profile, and the role there, of the user who acts; no row unless a member.
CREATE FUNCTION profile_access(asked_profile bigint) RETURNS TABLE (tenant_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.tenant_id, m.role FROM waypost.members AS m
    WHERE m.user_id = waypost.current_user_id() AND m.profile_id = asked_profile
$$;

-- The same of a link's profile. Two tenants may have a link of the same id; a user is told of the one
-- that they can reach, their own tenant's first.
CREATE FUNCTION link_access(asked_link bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.tenant_id, l.profile_id, m.role
    FROM (
        SELECT n.tenant_id, n.home_tenant_id FROM waypost.members AS n
        WHERE n.user_id = waypost.current_user_id() GROUP BY 1, 2
    ) AS t
    JOIN waypost.links AS l ON l.tenant_id = t.tenant_id AND l.id = asked_link
    JOIN waypost.members AS m ON m.tenant_id = l.tenant_id AND m.profile_id = l.profile_id
        AND m.user_id = waypost.current_user_id()
    ORDER BY t.tenant_id <> t.home_tenant_id LIMIT 1
$$;

-- The profiles that the user who acts is a member of, in whatever tenant, in the order of their ids.
CREATE FUNCTION my_profiles(after bigint, most integer)
RETURNS TABLE (id bigint, tenant_id bigint, handle text, title text, version bigint,
    created_at timestamptz, updated_at timestamptz, role text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.id, p.tenant_id, p.handle, p.title, p.version, p.created_at, p.updated_at, m.role
    FROM waypost.members AS m JOIN waypost.profiles AS p
        ON p.tenant_id = m.tenant_id AND p.id = m.profile_id
    WHERE m.user_id = waypost.current_user_id() AND m.profile_id > after
    ORDER BY m.profile_id LIMIT most
$$;

-- The members of a profile that the user who acts is a member of, with names from wherever they are at
-- home.
CREATE FUNCTION profile_members(asked_profile bigint)
RETURNS TABLE (user_id bigint, email text, name text, role text, version bigint,
    created_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.user_id, u.email, u.name, m.role, m.version, m.created_at, m.updated_at
    FROM waypost.profile_access(asked_profile) AS a
    JOIN waypost.members AS m ON m.tenant_id = a.tenant_id AND m.profile_id = asked_profile
    JOIN waypost.users AS u ON u.tenant_id = m.home_tenant_id AND u.id = m.user_id
    ORDER BY m.slot
$$;

-- ---- who asks ------------------------------------------------------------------------------------------
-- These are asked before a tenant is known. Where one is set, they answer for that one alone.

DROP FUNCTION authenticate(bytea);
-- Whose key this is, unless it is revoked or has expired; `expired` tells the two from an unknown one.
CREATE FUNCTION authenticate(sha256 bytea)
RETURNS TABLE (tenant_id bigint, user_id bigint, key_id bigint, scopes text[], expired boolean)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.tenant_id, k.user_id, k.id, k.scopes, coalesce(k.expires_at <= clock_timestamp(), false)
    FROM waypost.api_keys AS k WHERE k.key_sha256 = sha256 AND k.revoked_at IS NULL
        AND k.tenant_id = coalesce(waypost.current_tenant(), k.tenant_id)
$$;

DROP FUNCTION first_tenant();
-- The first user of the oldest tenant: whom the command line acts for.
CREATE FUNCTION first_owner() RETURNS TABLE (tenant_id bigint, user_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.tenant_id, u.id FROM waypost.users AS u
    WHERE u.tenant_id = coalesce(waypost.current_tenant(), u.tenant_id)
    ORDER BY u.tenant_id, u.id LIMIT 1
$$;

-- Whose session this is, while it lasts.
CREATE FUNCTION session_user_of(sha256 bytea)
RETURNS TABLE (tenant_id bigint, user_id bigint, session_id bigint, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.tenant_id, s.user_id, s.id, s.expires_at
    FROM waypost.sessions AS s WHERE s.token_sha256 = sha256 AND s.expires_at > clock_timestamp()
        AND s.tenant_id = coalesce(waypost.current_tenant(), s.tenant_id)
$$;

-- What a login is checked against.
CREATE FUNCTION login_of(asked_email text)
RETURNS TABLE (tenant_id bigint, user_id bigint, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.tenant_id, u.id, u.password_hash
    FROM waypost.users AS u WHERE lower(u.email) = lower(asked_email)
        AND u.tenant_id = coalesce(waypost.current_tenant(), u.tenant_id)
$$;

-- An invitation by its token: for whom, to what. No row when there is none.
CREATE FUNCTION invitation_of(sha256 bytea)
RETURNS TABLE (id bigint, tenant_id bigint, profile_id bigint, handle text, title text, email text,
    role text, expires_at timestamptz, expired boolean, accepted boolean)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.id, i.tenant_id, i.profile_id, p.handle, p.title, i.email, i.role, i.expires_at,
        i.expires_at <= clock_timestamp(), i.accepted_at IS NOT NULL
    FROM waypost.invitations AS i JOIN waypost.profiles AS p
        ON p.tenant_id = i.tenant_id AND p.id = i.profile_id
    WHERE i.token_sha256 = sha256
$$;

-- Let the user who acts join by an invitation's token: 'joined', or why not: 'unknown', 'used',
-- 'expired', 'member', 'full'. The profile's row is locked, so joins take turns.
CREATE FUNCTION accept_invitation(sha256 bytea)
RETURNS TABLE (outcome text, tenant_id bigint, profile_id bigint, role text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    asked invitations;
    me users;
    free smallint;
BEGIN
    SELECT * INTO me FROM users AS u WHERE u.id = current_user_id() AND u.tenant_id = current_tenant();
    SELECT * INTO asked FROM invitations AS i WHERE i.token_sha256 = sha256;
    IF me.id IS NULL OR asked.id IS NULL THEN
        RETURN QUERY SELECT 'unknown', 0::bigint, 0::bigint, '';
        RETURN;
    END IF;
    PERFORM FROM profiles AS p WHERE p.tenant_id = asked.tenant_id AND p.id = asked.profile_id
        FOR NO KEY UPDATE;
    SELECT * INTO asked FROM invitations AS i WHERE i.token_sha256 = sha256 FOR UPDATE;
    SELECT min(n) INTO free FROM generate_series(1, 10) AS n WHERE n NOT IN (
        SELECT slot FROM members AS m
        WHERE m.tenant_id = asked.tenant_id AND m.profile_id = asked.profile_id);
    outcome := CASE
        WHEN asked.id IS NULL THEN 'unknown'
        WHEN asked.accepted_at IS NOT NULL THEN 'used'
        WHEN asked.expires_at <= clock_timestamp() THEN 'expired'
        WHEN EXISTS (SELECT FROM members AS m WHERE m.tenant_id = asked.tenant_id
            AND m.profile_id = asked.profile_id AND m.user_id = me.id) THEN 'member'
        WHEN free IS NULL THEN 'full'
        ELSE 'joined' END;
    IF outcome = 'joined' THEN
        INSERT INTO members (tenant_id, profile_id, user_id, home_tenant_id, role, slot)
        VALUES (asked.tenant_id, asked.profile_id, me.id, me.tenant_id, asked.role, free);
        UPDATE invitations AS i SET accepted_at = clock_timestamp(), accepted_by = me.id
        WHERE i.tenant_id = asked.tenant_id AND i.id = asked.id;
    END IF;
    RETURN QUERY SELECT outcome, asked.tenant_id, asked.profile_id, asked.role;
END
$$;

-- ---- the log -------------------------------------------------------------------------------------------

CREATE FUNCTION audit_log_hash(previous bytea, entry audit_log) RETURNS bytea
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN sha256(previous || convert_to(jsonb_build_array(
    entry.tenant_id, entry.profile_id, entry.seq, (extract(epoch FROM entry.at) * 1000000)::bigint,
    entry.user_id, entry.key_id, entry.request_id, entry.action, entry.object_type, entry.object_id,
    entry.before, entry.after)::text, 'UTF8'));

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

-- A row as the log shows it: without what no change is (its versions and times) and what nobody may read.
CREATE FUNCTION audit_log_row(entry jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN entry - '{tenant_id,profile_id,version,revision,created_at,updated_at,last_used_at,accepted_at,accepted_by,slot,password_hash,key_sha256,token_sha256,home_tenant_id,secret}'::text[];

-- One trigger a table and event, once a statement. Its arguments: the word for the object, the column
-- that has its id, and the column that has its profile's ('' for the tenant itself).
-- What a deletion of something greater takes with it is not told apart: that deletion is the change. By then
-- the greater thing is gone (a cascade's triggers fire at the same depth as others, so that tells nothing).
-- A member whose user is deleted leaves a profile that stays, maybe another tenant's: it is told there.
CREATE FUNCTION log_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    one record;
    pairs text := CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT NULL::jsonb AS old, to_jsonb(n) AS new FROM new_rows AS n'
        WHEN 'DELETE' THEN 'SELECT to_jsonb(o) AS old, NULL::jsonb AS new FROM old_rows AS o' ||
            CASE
                WHEN TG_ARGV[0] = 'key' THEN ' WHERE EXISTS (SELECT FROM users AS u '
                    'WHERE u.tenant_id = o.tenant_id AND u.id = o.user_id)'
                WHEN TG_ARGV[2] NOT IN ('', TG_ARGV[1]) THEN format(' WHERE EXISTS (SELECT FROM profiles '
                    'AS p WHERE p.tenant_id = o.tenant_id AND p.id = o.%I)', TG_ARGV[2])
                ELSE '' END
        ELSE format('SELECT to_jsonb(o) AS old, to_jsonb(n) AS new FROM old_rows AS o '
            'JOIN new_rows AS n ON n.tenant_id = o.tenant_id AND n.%1$I = o.%1$I%2$s', TG_ARGV[1],
            CASE WHEN TG_ARGV[0] = 'member' THEN ' AND n.profile_id = o.profile_id' ELSE '' END) END;
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    FOR one IN EXECUTE format(
        'SELECT (coalesce(new, old) ->> ''tenant_id'')::bigint AS tenant, '
        'coalesce((coalesce(new, old) ->> %L)::bigint, 0) AS profile, '
        'array_agg(jsonb_build_array((coalesce(new, old) ->> %L)::bigint, audit_log_row(old), '
        'audit_log_row(new)) ORDER BY (coalesce(new, old) ->> %2$L)::bigint) AS changes '
        'FROM (%s) AS pairs WHERE audit_log_row(old) IS DISTINCT FROM audit_log_row(new) '
        'GROUP BY 1, 2 ORDER BY 1, 2', TG_ARGV[2], TG_ARGV[1], pairs)
    LOOP
        PERFORM append_to_audit_log(one.tenant, one.profile, TG_ARGV[0], one.changes);
    END LOOP;
    RETURN NULL;
END
$$;

-- Log every change of a table. New tables of a profile's things call this.
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
SELECT audit_changes_of('members', 'member', 'user_id', 'profile_id');
SELECT audit_changes_of('invitations', 'invitation', 'id', 'profile_id');
SELECT audit_changes_of('users', 'user', 'id', '');
SELECT audit_changes_of('api_keys', 'key', 'id', '');

-- A short slug that is claimed with its new link, or renamed with it, is part of that change; only what
-- happens to it alone is one of its own.
CREATE FUNCTION log_shorts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    FOR one IN EXECUTE format(
        'SELECT s.tenant_id, s.profile_id, s.link_id, s.slug FROM %s AS s JOIN links AS l '
        'ON l.tenant_id = s.tenant_id AND l.id = s.link_id AND l.created_at < now()',
        CASE TG_OP WHEN 'INSERT' THEN 'new_rows' ELSE 'old_rows' END)
    LOOP
        PERFORM append_to_audit_log(one.tenant_id, one.profile_id, 'link', ARRAY[jsonb_build_array(
            one.link_id,
            CASE TG_OP WHEN 'DELETE' THEN jsonb_build_object('short', one.slug) END,
            CASE TG_OP WHEN 'INSERT' THEN jsonb_build_object('short', one.slug) END,
            CASE TG_OP WHEN 'INSERT' THEN 'link.short_claimed' ELSE 'link.short_released' END)]);
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER log_insert AFTER INSERT ON short_slugs
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_shorts();
CREATE TRIGGER log_delete AFTER DELETE ON short_slugs
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_shorts();

-- Append only, for the owner of the tables too.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON security_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

REVOKE ALL ON FUNCTION
    owns_profile(bigint, bigint), add_first_owners(), keep_an_owner(), profile_access(bigint), link_access(bigint),
    my_profiles(bigint, integer), profile_members(bigint), authenticate(bytea), first_owner(),
    session_user_of(bytea), login_of(text), invitation_of(bytea), accept_invitation(bytea), audit_log_hash(bytea, audit_log),
    append_to_audit_log(bigint, bigint, text, jsonb[]), audit_log_row(jsonb), log_changes(), log_shorts(),
    audit_changes_of(regclass, text, text, text), refuse_change() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    owns_profile(bigint, bigint), profile_access(bigint), link_access(bigint), my_profiles(bigint, integer), profile_members(bigint),
    authenticate(bytea), first_owner(), session_user_of(bytea), login_of(text), invitation_of(bytea),
    accept_invitation(bytea) TO waypost_app;
