-- Webhooks: the outbox of events, the webhooks that subscribe, and their deliveries. Goes before the code.
--
-- An event is written in the transaction of its change: changes of a profile's things by a trigger on the audit
-- log, everything else by storage/webhooks/outbox.py. Both write nothing unless one of the profile's webhooks
-- subscribes to the event. A worker then makes one delivery of it for each such webhook.

-- ---- webhooks ------------------------------------------------------------------------------------------

-- A webhook outlives its profile until that profile's end is delivered (`closing`); no member can reach it by
-- then. Columns that only workers write are in webhook_states, so that the audit log has members' changes and a
-- webhook's being disabled, and no delivery. `max_concurrency` and `max_rate` lower the operator's limits to what
-- the receiver can take.
CREATE TABLE webhooks (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    url text COLLATE "C" NOT NULL CHECK (url ~ '^https?://[\x21-\x7e]+$' AND length(url) <= 2048),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
    event_types text[] NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 50),
    ordered boolean NOT NULL DEFAULT false,
    max_concurrency smallint CHECK (max_concurrency BETWEEN 1 AND 100),
    max_rate smallint CHECK (max_rate BETWEEN 1 AND 10000),
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
    -- Twenty a profile: as a key, the limit holds against any number of concurrent creates.
    UNIQUE (tenant_id, profile_id, slot)
);
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhooks TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY own_profiles ON webhooks AS RESTRICTIVE FOR INSERT TO waypost_app
    WITH CHECK (owns_profile(tenant_id, profile_id));
CREATE POLICY definer ON webhooks TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, url, description, event_types, ordered, max_concurrency, max_rate, signature,
        enabled, slot),
    UPDATE (url, description, event_types, ordered, max_concurrency, max_rate, enabled, disabled_reason, enabled_at,
        secret_changed_at, version, updated_at)
    ON webhooks TO waypost_app;
GRANT SELECT, DELETE, UPDATE (enabled, disabled_reason, version, updated_at) ON webhooks TO waypost_aggregator;
SELECT audit_changes_of('webhooks', 'webhook', 'id', 'profile_id');

-- The newest secret signs; a replaced one signs beside it until it expires. The console never reads them.
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
ALTER TABLE webhook_secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_secrets TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON webhook_secrets TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, webhook_id, created_at, expires_at, public_key), DELETE,
    INSERT (tenant_id, webhook_id, secret, public_key), UPDATE (expires_at)
    ON webhook_secrets TO waypost_app;
GRANT SELECT, DELETE ON webhook_secrets TO waypost_aggregator;

-- The courier's lease on a webhook's deliveries, since when none of them has succeeded, and what its circuit breaker
-- has counted: failures in a row, and until when it rests. The fencing token grows whenever the lease changes hands; a
-- report under an older one is refused.
CREATE TABLE webhook_states (
    tenant_id bigint NOT NULL,
    webhook_id bigint NOT NULL,
    lease_owner text,
    fencing_token bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    failing_since timestamptz,
    failures integer NOT NULL DEFAULT 0,
    rests_until timestamptz,
    PRIMARY KEY (tenant_id, webhook_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX webhook_states_owner ON webhook_states (lease_owner);
ALTER TABLE webhook_states ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_states TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON webhook_states TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, webhook_id, failing_since, failures, rests_until), INSERT (tenant_id, webhook_id)
    ON webhook_states TO waypost_app;
GRANT SELECT, UPDATE (lease_owner, fencing_token, lease_until, failing_since, failures, rests_until)
    ON webhook_states TO waypost_aggregator;

-- The tenant and profile of a webhook, and the current user's role there; as link_access().
CREATE FUNCTION webhook_access(of_webhook bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.tenant_id, w.profile_id, m.role
    FROM (
        SELECT n.tenant_id, n.home_tenant_id FROM waypost.members AS n
        WHERE n.user_id = waypost.current_user_id() GROUP BY 1, 2
    ) AS t
    JOIN waypost.webhooks AS w ON w.tenant_id = t.tenant_id AND w.id = of_webhook
    JOIN waypost.members AS m ON m.tenant_id = w.tenant_id AND m.profile_id = w.profile_id
        AND m.user_id = waypost.current_user_id()
    ORDER BY t.tenant_id <> t.home_tenant_id LIMIT 1
$$;
REVOKE ALL ON FUNCTION webhook_access(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_access(bigint) TO waypost_app;

-- ---- events --------------------------------------------------------------------------------------------

-- The outbox. `webhook_id` is set when the event is for that webhook alone (a test). `once` names an event that
-- may happen only once. Ids are made as new_id() makes them, by a sequence of their own, which workers may use.
CREATE SEQUENCE event_ids AS bigint CYCLE;
GRANT USAGE ON SEQUENCE event_ids TO waypost_app, waypost_aggregator;
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
ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON events TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON events TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT (tenant_id, profile_id, webhook_id, pending, type, once, data) ON events TO waypost_app;
GRANT SELECT, INSERT (tenant_id, profile_id, type, once, data), UPDATE (pending), DELETE
    ON events TO waypost_aggregator;

-- The names by which a webhook subscribes to events of a type. Events of clicks are many, so no wildcard covers
-- them. A test event goes to the webhook that it is for, whatever that subscribes to.
CREATE FUNCTION event_names(of_type text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE of_type WHEN 'link.clicked' THEN ARRAY[of_type]
    ELSE ARRAY[of_type, split_part(of_type, '.', 1) || '.*', '*'] END;

-- Make events of the audit log's new entries, for the webhooks of their profile. Entries of one profile are
-- written under a lock that lasts until the transaction ends, so their events' ids are in the order of commits.
CREATE FUNCTION events_of_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    INSERT INTO events (tenant_id, profile_id, at, type, data)
    SELECT a.tenant_id, a.profile_id, a.at, a.action, jsonb_build_object('id', a.object_id::text,
        'profile_id', a.profile_id::text, 'user_id', a.user_id::text, 'before', a.before, 'after', a.after)
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
REVOKE ALL ON FUNCTION events_of_audit_log() FROM PUBLIC;
CREATE TRIGGER events AFTER INSERT ON audit_log
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION events_of_audit_log();

-- ---- deliveries ----------------------------------------------------------------------------------------

-- One event on its way to one webhook. `tries` counts attempts since the delivery was made or last replayed,
-- `attempts` all of them.
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
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON deliveries TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON deliveries TO waypost_owner USING (true) WITH CHECK (true);
-- Deliveries of a webhook that is deleted go a bounded number at a time.
GRANT SELECT, INSERT (tenant_id, webhook_id, event_id),
    UPDATE (state, tries, next_attempt_at, finished_at), DELETE ON deliveries TO waypost_app;
GRANT SELECT, INSERT (tenant_id, webhook_id, event_id),
    UPDATE (state, tries, attempts, next_attempt_at, finished_at), DELETE ON deliveries TO waypost_aggregator;

-- Every attempt: the response's status, or why there was none, and the first 4 kB of the response.
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
ALTER TABLE delivery_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON delivery_attempts FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON delivery_attempts TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT ON delivery_attempts TO waypost_app;
GRANT SELECT, INSERT ON delivery_attempts TO waypost_aggregator;
