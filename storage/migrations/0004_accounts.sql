-- Versions of users, the use of keys and sessions, and secrets that processes share. Goes before the code.
ALTER TABLE users ADD COLUMN version bigint NOT NULL DEFAULT 1;

-- Keys and sessions of whatever tenant were used. Each is noted once a minute, however many processes
-- say so. Whoever may ask could only claim that something was used now.
CREATE FUNCTION note_uses(keys bigint[], sessions bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE waypost.api_keys SET last_used_at = clock_timestamp()
    WHERE id = ANY (note_uses.keys) AND tenant_id = coalesce(waypost.current_tenant(), tenant_id)
        AND coalesce(last_used_at < clock_timestamp() - interval '1 minute', true);
    UPDATE waypost.sessions SET last_used_at = clock_timestamp()
    WHERE id = ANY (note_uses.sessions)
        AND tenant_id = coalesce(waypost.current_tenant(), tenant_id)
        AND last_used_at < clock_timestamp() - interval '1 minute'
$$;
-- By id alone, as their tenants are not known here.
CREATE INDEX api_keys_id ON api_keys (id);
CREATE INDEX sessions_id ON sessions (id);

REVOKE ALL ON FUNCTION note_uses(bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_uses(bigint[], bigint[]) TO waypost_app;

-- What processes must agree on and nobody else may know: made by whoever asks first. Nobody but the
-- function sees the table.
CREATE TABLE shared_secrets (
    name text PRIMARY KEY CHECK (name ~ '^[a-z-]{1,40}$'),
    value bytea NOT NULL CHECK (length(value) = 32)
);
ALTER TABLE shared_secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON shared_secrets TO waypost_owner USING (true) WITH CHECK (true);

CREATE FUNCTION shared_secret(asked text) RETURNS bytea
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO waypost.shared_secrets (name, value)
    VALUES (asked, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
    ON CONFLICT DO NOTHING;
    SELECT value FROM waypost.shared_secrets WHERE name = asked
$$;
REVOKE ALL ON FUNCTION shared_secret(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shared_secret(text) TO waypost_app;
