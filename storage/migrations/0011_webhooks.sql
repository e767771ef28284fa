-- Webhooks: events, who wants to hear of them, and what became of telling them. Goes before the code.
--
-- An event is written in the transaction of the change that it tells of: changes of a profile's things by a
-- trigger on the log of changes, everything else by storage/webhooks/outbox.py. Both write nothing unless one of the
-- profile's webhooks wants the event. A worker then makes one delivery of it for each such webhook.

-- A webhook outlives its profile for as long as it takes to tell of that profile's end (`closing`); no
-- member can reach it by then. What only the worker writes is in webhook_states, so that the log of changes tells of
-- people's changes and of a webhook's being disabled, and of no delivery.
CREATE TABLE webhooks (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    url text COLLATE "C" NOT NULL CHECK (url ~ '^https?://[\x21-\x7e]+$' AND length(url) <= 2048),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
    event_types text[] NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 50),
    ordered boolean NOT NULL DEFAULT false,
    signature text NOT NULL DEFAULT 'v1' CHECK (signature IN ('v1', 'v1a')),
    enabled boolean NOT NULL DEFAULT true,
    disabled_reason text CHECK (length(disabled_reason) <= 500),
    enabled_at timestamptz NOT NULL DEFAULT now(),
    secret_changed_at timestamptz NOT NULL DEFAULT now(),
    closing boolean NOT NULL DEFAULT false,
    slot smallint NOT NULL CHECK (slot BETWEEN 1 AND 20),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    -- Twenty a profile: the limit holds against any number of concurrent creates, since it is a key.
    UNIQUE (tenant_id, profile_id, slot)
);

-- The newest signs; one that was replaced signs beside it until it expires. Never read by the console.
CREATE TABLE webhook_secrets (
    tenant_id bigint NOT NULL,
    webhook_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    secret text NOT NULL CHECK (secret ~ '^(whsec|whsk)_[A-Za-z0-9+/=]{1,120}$'),
    public_key text,
    PRIMARY KEY (tenant_id, webhook_id, created_at),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE
);

-- Whose work a webhook's deliveries are at present, and since when nothing of it has succeeded. The token
-- grows whenever the lease changes hands; what is reported under an older one is refused.
CREATE TABLE webhook_states (
    tenant_id bigint NOT NULL,
    webhook_id bigint NOT NULL,
    lease_owner text,
    fencing_token bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    failing_since timestamptz,
    PRIMARY KEY (tenant_id, webhook_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX webhook_states_owner ON webhook_states (lease_owner);

-- What happened. `webhook_id` is there when the event is for that one alone (a test). `once` names what may
-- be told of only once. Ids are made as new_id() makes them, by a sequence of their own, as the worker
-- makes events too.
CREATE SEQUENCE event_ids AS bigint CYCLE;
CREATE TABLE events (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id bigint NOT NULL DEFAULT
        ((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1767225600000 << 20)
        | (nextval('waypost.event_ids') & 1048575),
    profile_id bigint NOT NULL,
    webhook_id bigint,
    pending boolean NOT NULL DEFAULT true,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    type text NOT NULL CHECK (type ~ '^[a-z_]+\.[a-z_]+$' AND length(type) <= 64),
    once text CHECK (length(once) <= 200),
    data jsonb NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX events_pending ON events (id) WHERE pending;
CREATE INDEX events_age ON events (at);
CREATE UNIQUE INDEX events_once ON events (tenant_id, profile_id, once) WHERE once IS NOT NULL;

-- One event on its way to one webhook. `tries` counts since it was made or last replayed, `attempts` all.
CREATE TABLE deliveries (
    tenant_id bigint NOT NULL,
    webhook_id bigint NOT NULL,
    event_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    tries smallint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, webhook_id, event_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, event_id) REFERENCES events ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX deliveries_due ON deliveries (tenant_id, webhook_id, next_attempt_at, event_id)
    WHERE state = 'pending';
CREATE INDEX deliveries_order ON deliveries (tenant_id, webhook_id, event_id) WHERE state = 'pending';
CREATE INDEX deliveries_event ON deliveries (tenant_id, event_id);

-- Every attempt: the status that was answered, or why there was none, and the first 4 kB of the answer.
CREATE TABLE delivery_attempts (
    tenant_id bigint NOT NULL,
    webhook_id bigint NOT NULL,
    event_id bigint NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status smallint,
    error text CHECK (length(error) <= 500),
    response bytea CHECK (length(response) <= 4096),
    PRIMARY KEY (tenant_id, webhook_id, event_id, number),
    FOREIGN KEY (tenant_id, webhook_id, event_id) REFERENCES deliveries ON DELETE CASCADE
);

ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE webhook_secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE webhook_states ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE delivery_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON webhooks TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY own_profiles ON webhooks AS RESTRICTIVE FOR INSERT TO waypost_app
    WITH CHECK (owns_profile(tenant_id, profile_id));
CREATE POLICY tenant ON webhook_secrets TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON webhook_states TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON events TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON deliveries TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON delivery_attempts FOR SELECT TO waypost_app
    USING (tenant_id = current_tenant());

GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, url, description, event_types, ordered, signature, enabled, slot),
    UPDATE (url, description, event_types, ordered, enabled, disabled_reason, enabled_at,
        secret_changed_at, version, updated_at)
    ON webhooks TO waypost_app;
GRANT SELECT (tenant_id, webhook_id, created_at, expires_at, public_key), DELETE,
    INSERT (tenant_id, webhook_id, secret, public_key), UPDATE (expires_at)
    ON webhook_secrets TO waypost_app;
GRANT INSERT (tenant_id, webhook_id) ON webhook_states TO waypost_app;
GRANT SELECT, INSERT (tenant_id, profile_id, webhook_id, pending, type, once, data)
    ON events TO waypost_app;
GRANT SELECT, INSERT (tenant_id, webhook_id, event_id),
    UPDATE (state, tries, next_attempt_at, finished_at) ON deliveries TO waypost_app;
GRANT SELECT ON delivery_attempts TO waypost_app;
GRANT USAGE ON SEQUENCE event_ids TO waypost_app, waypost_aggregator;

GRANT SELECT, DELETE, UPDATE (enabled, disabled_reason, version, updated_at) ON webhooks TO waypost_aggregator;
GRANT SELECT, DELETE ON webhook_secrets TO waypost_aggregator;
GRANT SELECT, UPDATE (lease_owner, fencing_token, lease_until, failing_since)
    ON webhook_states TO waypost_aggregator;
GRANT SELECT, INSERT (tenant_id, profile_id, type, once, data), UPDATE (pending), DELETE
    ON events TO waypost_aggregator;
GRANT SELECT, INSERT (tenant_id, webhook_id, event_id),
    UPDATE (state, tries, attempts, next_attempt_at, finished_at) ON deliveries TO waypost_aggregator;
GRANT SELECT, INSERT ON delivery_attempts TO waypost_aggregator;

-- Foreign keys and the functions below act as the owner.
CREATE POLICY definer ON webhooks TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON webhook_secrets TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON webhook_states TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON events TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON deliveries TO waypost_owner USING (true) WITH CHECK (true);
CREATE POLICY definer ON delivery_attempts TO waypost_owner USING (true) WITH CHECK (true);

-- The tenant and profile of a webhook, and the role there, of the user who acts; no row unless a member.
-- Two tenants may have a webhook of the same id; a user is told of the one that they can reach, their own
-- tenant's first.
CREATE FUNCTION webhook_access(asked_webhook bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.tenant_id, w.profile_id, m.role
    FROM (
        SELECT n.tenant_id, n.home_tenant_id FROM waypost.members AS n
        WHERE n.user_id = waypost.current_user_id() GROUP BY 1, 2
    ) AS t
    JOIN waypost.webhooks AS w ON w.tenant_id = t.tenant_id AND w.id = asked_webhook
    JOIN waypost.members AS m ON m.tenant_id = w.tenant_id AND m.profile_id = w.profile_id
        AND m.user_id = waypost.current_user_id()
    ORDER BY t.tenant_id <> t.home_tenant_id LIMIT 1
$$;

-- What a webhook may name to hear of events of a type. Those of clicks are many, so they are named or not
-- had; a test goes to the webhook that it is for.
CREATE FUNCTION event_names(of_type text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE of_type WHEN 'link.clicked' THEN ARRAY[of_type]
    ELSE ARRAY[of_type, split_part(of_type, '.', 1) || '.*', '*'] END;

-- Feeds the log's entries to the webhooks of their profile. Entries of one profile are written under a lock
-- that lasts until the transaction ends, so their events' ids are in the order of commits.
CREATE FUNCTION events_of_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    INSERT INTO events (tenant_id, profile_id, at, type, data)
    SELECT a.tenant_id, a.profile_id, a.at, a.action, jsonb_build_object('id', a.object_id,
        'profile_id', a.profile_id, 'user_id', a.user_id, 'before', a.before, 'after', a.after)
    FROM new_rows AS a
    WHERE a.profile_id <> 0 AND a.action ~ '^(link|profile|member|asset)\.(created|updated|deleted)$'
        AND EXISTS (SELECT FROM webhooks AS w WHERE w.tenant_id = a.tenant_id
            AND w.profile_id = a.profile_id AND w.event_types && event_names(a.action))
    ORDER BY a.tenant_id, a.profile_id, a.seq;
    UPDATE webhooks AS w SET closing = true FROM new_rows AS a
    WHERE a.action = 'profile.deleted' AND w.tenant_id = a.tenant_id AND w.profile_id = a.profile_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER events AFTER INSERT ON audit_log
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION events_of_audit_log();

SELECT audit_changes_of('webhooks', 'webhook', 'id', 'profile_id');

REVOKE ALL ON FUNCTION webhook_access(bigint), events_of_audit_log() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_access(bigint) TO waypost_app;
