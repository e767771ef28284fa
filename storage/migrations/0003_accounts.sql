-- Users, their keys and sessions, members of profiles, and who may act where. Goes before the code.
--
-- A user is at home in one tenant, where the profiles that they create live. A profile has up to ten members,
-- of its own tenant or of others: a member may act in the profile's tenant, on that profile. Before the tenant
-- of a request is known, functions that act as the owner of the tables find it, for `waypost.user` alone.

-- ---- users ---------------------------------------------------------------------------------------------

CREATE TABLE users (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT new_id(),
    email text NOT NULL CHECK (email ~ '^[^@[:cntrl:]]+@[^@[:cntrl:]]+$' AND length(email) <= 254),
    name text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    password_hash text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON users TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON users FOR SELECT TO waypost_owner USING (true);
-- The app neither gives nor changes ids, as of profiles.
GRANT SELECT, DELETE,
    INSERT (tenant_id, email, name, password_hash, version, created_at, updated_at),
    UPDATE (email, name, password_hash, version, created_at, updated_at)
    ON users TO waypost_app;
-- Workers send mail to users.
GRANT SELECT (tenant_id, id, email, name) ON users TO waypost_aggregator;

-- An API key acts for its user, and never for more than its scopes.
CREATE TABLE api_keys (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT new_id(),
    user_id bigint NOT NULL,
    key_sha256 bytea NOT NULL CHECK (length(key_sha256) = 32),
    prefix text NOT NULL DEFAULT '' CHECK (length(prefix) <= 16),
    label text NOT NULL DEFAULT '' CHECK (length(label) <= 200),
    scopes text[] NOT NULL DEFAULT '{read,write,admin}'
        CHECK (scopes <@ '{read,write,admin}' AND cardinality(scopes) BETWEEN 1 AND 3),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at timestamptz,
    revoked_at timestamptz,
    origins text[] NOT NULL DEFAULT '{}' CHECK (cardinality(origins) <= 10),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (key_sha256);
CREATE INDEX api_keys_user ON api_keys (tenant_id, user_id);
-- For key_allows_origin(), which knows no tenant.
CREATE INDEX api_keys_origins ON api_keys USING gin (origins) WHERE origins <> '{}';
-- For record_last_used(), which knows no tenant.
CREATE INDEX api_keys_id ON api_keys (id);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON api_keys FOR SELECT TO waypost_owner USING (true);
CREATE POLICY definer_touches ON api_keys FOR UPDATE TO waypost_owner USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO waypost_app;
-- Workers delete keys, sessions and invitations that ended (storage/accounts/purge.py).
GRANT SELECT (tenant_id, id, expires_at, revoked_at), DELETE ON api_keys TO waypost_aggregator;

-- A session of the dashboard. Of its cookie only the SHA-256 is stored.
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
CREATE INDEX sessions_id ON sessions (id);

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sessions TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON sessions TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO waypost_app;
GRANT SELECT (tenant_id, id, expires_at), DELETE ON sessions TO waypost_aggregator;

-- A one-time token that gives its user a new password. Of it only the SHA-256 is stored.
CREATE TABLE recovery_tokens (
    tenant_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    user_id bigint NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('reset', 'setup')),
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX recovery_tokens_token ON recovery_tokens (token_sha256);
CREATE INDEX recovery_tokens_user ON recovery_tokens (tenant_id, user_id);
CREATE INDEX recovery_tokens_expiry ON recovery_tokens (expires_at);

ALTER TABLE recovery_tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON recovery_tokens TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON recovery_tokens FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, INSERT, DELETE ON recovery_tokens TO waypost_app;
-- Workers make the tokens that they mail, and delete those that have expired.
GRANT SELECT, INSERT, DELETE ON recovery_tokens TO waypost_aggregator;

-- The response to a create that named an Idempotency-Key, written in the transaction of that create. One that
-- holds a secret is sealed (engine/common/response_seal.py): of its headers only the location is in clear, and
-- `about_profile` says which erasure deletes it.
CREATE TABLE idempotency_keys (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id bigint NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 bytea NOT NULL CHECK (length(request_sha256) = 32),
    status smallint,
    headers jsonb,
    body bytea,
    holds_secret boolean NOT NULL DEFAULT false,
    about_profile bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON idempotency_keys TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO waypost_app;
-- Workers delete the responses that are older than the API promises to keep them, and read none.
GRANT SELECT (tenant_id, user_id, key, created_at), UPDATE (created_at), DELETE
    ON idempotency_keys TO waypost_aggregator;

-- ---- members -------------------------------------------------------------------------------------------

-- `home_tenant_id` is the user's tenant, `tenant_id` the profile's. Ten slots a profile: as a key, the limit
-- holds against any number of concurrent joins.
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

ALTER TABLE members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON members TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON members TO waypost_owner USING (true) WITH CHECK (true);
-- The app inserts no member: a trigger adds the first owner, accept_invitation() everybody else.
GRANT SELECT, DELETE, UPDATE (role, version, updated_at) ON members TO waypost_app;
GRANT SELECT (tenant_id, profile_id, user_id, home_tenant_id, role, slot) ON members TO waypost_aggregator;

-- Of an invitation's token only the SHA-256 is stored; one user can use it once.
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

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON invitations TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON invitations TO waypost_app;
GRANT SELECT (tenant_id, id, expires_at, accepted_at), DELETE ON invitations TO waypost_aggregator;

-- The user who creates a profile owns it.
CREATE FUNCTION add_first_owners() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO members (tenant_id, profile_id, user_id, home_tenant_id, role, slot)
    SELECT n.tenant_id, n.id, u.id, u.tenant_id, 'owner', 1
    FROM new_rows AS n JOIN users AS u ON u.tenant_id = n.tenant_id AND u.id = current_user_id();
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added <> (SELECT count(*) FROM new_rows) THEN
        RAISE EXCEPTION 'a profile needs an owner'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_owner';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER first_owner AFTER INSERT ON profiles
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION add_first_owners();

-- Checked when the transaction commits, so that ownership can be handed over in two statements. The lock
-- serialises two owners that leave at the same time.
CREATE FUNCTION require_an_owner() RETURNS trigger
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
CREATE CONSTRAINT TRIGGER require_an_owner AFTER UPDATE OR DELETE ON members
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION require_an_owner();

REVOKE ALL ON FUNCTION add_first_owners(), require_an_owner() FROM PUBLIC;

-- ---- authentication ------------------------------------------------------------------------------------
-- Called before a tenant is known. Where one is set, they answer for that one alone.

-- The user of an API key, unless it is revoked. `expired` tells an expired key from an unknown one.
CREATE FUNCTION authenticate(sha256 bytea)
RETURNS TABLE (tenant_id bigint, user_id bigint, key_id bigint, scopes text[], expired boolean,
    origins text[])
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.tenant_id, k.user_id, k.id, k.scopes, coalesce(k.expires_at <= clock_timestamp(), false),
        k.origins
    FROM waypost.api_keys AS k WHERE k.key_sha256 = sha256 AND k.revoked_at IS NULL
        AND k.tenant_id = coalesce(waypost.current_tenant(), k.tenant_id)
$$;

-- Whether a working key allows pages of an origin: a preflight, which has no key, is answered by it.
CREATE FUNCTION key_allows_origin(origin text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM waypost.api_keys AS k WHERE k.origins <> '{}' AND k.origins @> ARRAY[origin]
        AND k.revoked_at IS NULL AND coalesce(k.expires_at > clock_timestamp(), true)
        AND k.tenant_id = coalesce(waypost.current_tenant(), k.tenant_id))
$$;

-- The first user of the oldest tenant: the command line acts for them.
CREATE FUNCTION first_owner() RETURNS TABLE (tenant_id bigint, user_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.tenant_id, u.id FROM waypost.users AS u
    WHERE u.tenant_id = coalesce(waypost.current_tenant(), u.tenant_id)
    ORDER BY u.tenant_id, u.id LIMIT 1
$$;

-- The user of a session, until it expires.
CREATE FUNCTION session_user_of(sha256 bytea)
RETURNS TABLE (tenant_id bigint, user_id bigint, session_id bigint, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.tenant_id, s.user_id, s.id, s.expires_at
    FROM waypost.sessions AS s WHERE s.token_sha256 = sha256 AND s.expires_at > clock_timestamp()
        AND s.tenant_id = coalesce(waypost.current_tenant(), s.tenant_id)
$$;

-- The user of a one-time token, until it expires.
CREATE FUNCTION recovery_token_of(sha256 bytea, of_purpose text)
RETURNS TABLE (tenant_id bigint, user_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.tenant_id, t.user_id FROM waypost.recovery_tokens AS t
    WHERE t.token_sha256 = sha256 AND t.purpose = of_purpose AND t.expires_at > clock_timestamp()
        AND t.tenant_id = coalesce(waypost.current_tenant(), t.tenant_id)
$$;

-- The password's hash that a login is compared with.
CREATE FUNCTION login_of(login_email text)
RETURNS TABLE (tenant_id bigint, user_id bigint, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.tenant_id, u.id, u.password_hash
    FROM waypost.users AS u WHERE lower(u.email) = lower(login_email)
        AND u.tenant_id = coalesce(waypost.current_tenant(), u.tenant_id)
$$;

-- Record that keys and sessions, of any tenant, were used now: once a minute each, however many processes
-- report it. A caller could only claim that something was used now.
CREATE FUNCTION record_last_used(keys bigint[], sessions bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE waypost.api_keys SET last_used_at = clock_timestamp()
    WHERE id = ANY (record_last_used.keys) AND tenant_id = coalesce(waypost.current_tenant(), tenant_id)
        AND coalesce(last_used_at < clock_timestamp() - interval '1 minute', true);
    UPDATE waypost.sessions SET last_used_at = clock_timestamp()
    WHERE id = ANY (record_last_used.sessions)
        AND tenant_id = coalesce(waypost.current_tenant(), tenant_id)
        AND last_used_at < clock_timestamp() - interval '1 minute'
$$;

REVOKE ALL ON FUNCTION authenticate(bytea), key_allows_origin(text), first_owner(), session_user_of(bytea),
    recovery_token_of(bytea, text), login_of(text), record_last_used(bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authenticate(bytea), key_allows_origin(text), first_owner(), session_user_of(bytea),
    recovery_token_of(bytea, text), login_of(text), record_last_used(bigint[], bigint[]) TO waypost_app;

-- ---- access of the current user ------------------------------------------------------------------------

-- The tenant of a profile, and the current user's role there; no row unless they are a member.
CREATE FUNCTION profile_access(of_profile bigint) RETURNS TABLE (tenant_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.tenant_id, m.role FROM waypost.members AS m
    WHERE m.user_id = waypost.current_user_id() AND m.profile_id = of_profile
$$;

-- The tenant and profile of a link, and the current user's role there; no row unless they are a member. Two
-- tenants may have a link of the same id: the answer is the one that the user can reach, their own tenant's
-- first.
CREATE FUNCTION link_access(of_link bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.tenant_id, l.profile_id, m.role
    FROM (
        SELECT n.tenant_id, n.home_tenant_id FROM waypost.members AS n
        WHERE n.user_id = waypost.current_user_id() GROUP BY 1, 2
    ) AS t
    JOIN waypost.links AS l ON l.tenant_id = t.tenant_id AND l.id = of_link
    JOIN waypost.members AS m ON m.tenant_id = l.tenant_id AND m.profile_id = l.profile_id
        AND m.user_id = waypost.current_user_id()
    ORDER BY t.tenant_id <> t.home_tenant_id LIMIT 1
$$;

-- The tenant and profile of a domain, and the current user's role there; as link_access().
CREATE FUNCTION domain_access(of_domain bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.tenant_id, d.profile_id, m.role
    FROM (
        SELECT n.tenant_id, n.home_tenant_id FROM waypost.members AS n
        WHERE n.user_id = waypost.current_user_id() GROUP BY 1, 2
    ) AS t
    JOIN waypost.domains AS d ON d.tenant_id = t.tenant_id AND d.id = of_domain
    JOIN waypost.members AS m ON m.tenant_id = d.tenant_id AND m.profile_id = d.profile_id
        AND m.user_id = waypost.current_user_id()
    ORDER BY t.tenant_id <> t.home_tenant_id LIMIT 1
$$;

-- The profiles, of any tenant, that the current user is a member of, in the order of their ids.
CREATE FUNCTION my_profiles(after bigint, max_rows integer, of_handle text DEFAULT NULL)
RETURNS TABLE (id bigint, tenant_id bigint, handle text, title text, raw_retention_days smallint,
    version bigint, created_at timestamptz, updated_at timestamptz, role text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.id, p.tenant_id, p.handle, p.title, p.raw_retention_days, p.version, p.created_at,
        p.updated_at, m.role
    FROM waypost.members AS m JOIN waypost.profiles AS p
        ON p.tenant_id = m.tenant_id AND p.id = m.profile_id
    WHERE m.user_id = waypost.current_user_id() AND m.profile_id > after
        AND (of_handle IS NULL OR p.handle = of_handle)
    ORDER BY m.profile_id LIMIT max_rows
$$;

-- The ids of links at an address of visitors, of profiles that the current user is a member of: the owner of a slug
-- on the default domain without a handle, a profile's own with one.
CREATE FUNCTION links_at(of_handle text, of_slug text) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.id FROM waypost.links AS l
        JOIN waypost.members AS m ON m.tenant_id = l.tenant_id AND m.profile_id = l.profile_id
        LEFT JOIN waypost.profiles AS p ON p.tenant_id = l.tenant_id AND p.id = l.profile_id
    WHERE m.user_id = waypost.current_user_id() AND l.slug = of_slug AND CASE WHEN of_handle = ''
        THEN EXISTS (SELECT FROM waypost.short_slugs AS s WHERE s.tenant_id = l.tenant_id AND s.link_id = l.id)
        ELSE p.handle = of_handle END
$$;

-- The handle of the profile that a verified host is a domain of, and what slugs may have there, if the current user
-- is a member of it.
CREATE FUNCTION domain_at(of_host text) RETURNS TABLE (handle text, slugs text[])
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.handle, d.slugs FROM waypost.domains AS d
        JOIN waypost.members AS m ON m.tenant_id = d.tenant_id AND m.profile_id = d.profile_id
        JOIN waypost.profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
    WHERE d.host = of_host AND d.state = 'verified' AND m.user_id = waypost.current_user_id()
$$;

-- The members of a profile that the current user is a member of, with names from their home tenants.
CREATE FUNCTION profile_members(of_profile bigint)
RETURNS TABLE (user_id bigint, email text, name text, role text, version bigint,
    created_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.user_id, u.email, u.name, m.role, m.version, m.created_at, m.updated_at
    FROM waypost.profile_access(of_profile) AS a
    JOIN waypost.members AS m ON m.tenant_id = a.tenant_id AND m.profile_id = of_profile
    JOIN waypost.users AS u ON u.tenant_id = m.home_tenant_id AND u.id = m.user_id
    ORDER BY m.slot
$$;

-- ---- joining -------------------------------------------------------------------------------------------

-- An invitation by its token, with the profile that it is for, and the name or address of the member who made it
-- ('' if they have left). No row when there is none.
CREATE FUNCTION invitation_of(sha256 bytea)
RETURNS TABLE (id bigint, tenant_id bigint, profile_id bigint, handle text, title text, email text,
    role text, inviter text, expires_at timestamptz, expired boolean, accepted boolean)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.id, i.tenant_id, i.profile_id, p.handle, p.title, i.email, i.role,
        coalesce(nullif(u.name, ''), u.email, ''), i.expires_at, i.expires_at <= clock_timestamp(),
        i.accepted_at IS NOT NULL
    FROM waypost.invitations AS i
    JOIN waypost.profiles AS p ON p.tenant_id = i.tenant_id AND p.id = i.profile_id
    LEFT JOIN waypost.members AS m ON m.tenant_id = i.tenant_id AND m.profile_id = i.profile_id
        AND m.user_id = i.invited_by
    LEFT JOIN waypost.users AS u ON u.tenant_id = m.home_tenant_id AND u.id = m.user_id
    WHERE i.token_sha256 = sha256
$$;

-- Let the current user join by an invitation's token. `outcome` is 'joined', or why they did not: 'unknown',
-- 'used', 'expired', 'member', 'full'. The lock on the profile's row serialises joins.
CREATE FUNCTION accept_invitation(sha256 bytea)
RETURNS TABLE (outcome text, tenant_id bigint, profile_id bigint, role text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    invitation invitations;
    me users;
    free smallint;
BEGIN
    SELECT * INTO me FROM users AS u WHERE u.id = current_user_id() AND u.tenant_id = current_tenant();
    SELECT * INTO invitation FROM invitations AS i WHERE i.token_sha256 = sha256;
    IF me.id IS NULL OR invitation.id IS NULL THEN
        RETURN QUERY SELECT 'unknown', 0::bigint, 0::bigint, '';
        RETURN;
    END IF;
    PERFORM FROM profiles AS p WHERE p.tenant_id = invitation.tenant_id AND p.id = invitation.profile_id
        FOR NO KEY UPDATE;
    SELECT * INTO invitation FROM invitations AS i WHERE i.token_sha256 = sha256 FOR UPDATE;
    SELECT min(n) INTO free FROM generate_series(1, 10) AS n WHERE n NOT IN (
        SELECT slot FROM members AS m
        WHERE m.tenant_id = invitation.tenant_id AND m.profile_id = invitation.profile_id);
    outcome := CASE
        WHEN invitation.id IS NULL THEN 'unknown'
        WHEN invitation.accepted_at IS NOT NULL THEN 'used'
        WHEN invitation.expires_at <= clock_timestamp() THEN 'expired'
        WHEN EXISTS (SELECT FROM members AS m WHERE m.tenant_id = invitation.tenant_id
            AND m.profile_id = invitation.profile_id AND m.user_id = me.id) THEN 'member'
        WHEN free IS NULL THEN 'full'
        ELSE 'joined' END;
    IF outcome = 'joined' THEN
        INSERT INTO members (tenant_id, profile_id, user_id, home_tenant_id, role, slot)
        VALUES (invitation.tenant_id, invitation.profile_id, me.id, me.tenant_id, invitation.role, free);
        UPDATE invitations AS i SET accepted_at = clock_timestamp(), accepted_by = me.id
        WHERE i.tenant_id = invitation.tenant_id AND i.id = invitation.id;
    END IF;
    RETURN QUERY SELECT outcome, invitation.tenant_id, invitation.profile_id, invitation.role;
END
$$;

-- The stored response to an acceptance that made an account, by the invitation's token: who repeats it has no
-- credentials yet.
CREATE FUNCTION response_to_acceptance(sha256 bytea, of_key text, kept interval)
RETURNS TABLE (request_sha256 bytea, status smallint, headers jsonb, body bytea, holds_secret boolean)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.request_sha256, k.status, k.headers, k.body, k.holds_secret
    FROM waypost.invitations AS i
    JOIN waypost.members AS m ON m.tenant_id = i.tenant_id AND m.profile_id = i.profile_id
        AND m.user_id = i.accepted_by
    JOIN waypost.idempotency_keys AS k ON k.tenant_id = m.home_tenant_id AND k.user_id = m.user_id
        AND k.key = of_key AND k.created_at > clock_timestamp() - kept
    WHERE i.token_sha256 = sha256
$$;

REVOKE ALL ON FUNCTION profile_access(bigint), link_access(bigint), domain_access(bigint),
    my_profiles(bigint, integer, text), links_at(text, text), domain_at(text), profile_members(bigint),
    invitation_of(bytea), accept_invitation(bytea),
    response_to_acceptance(bytea, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION profile_access(bigint), link_access(bigint), domain_access(bigint),
    my_profiles(bigint, integer, text), links_at(text, text), domain_at(text), profile_members(bigint),
    invitation_of(bytea), accept_invitation(bytea),
    response_to_acceptance(bytea, text, interval) TO waypost_app;
