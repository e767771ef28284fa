-- Deliveries as couriers work on them: run as waypost_aggregator.

-- name: lock_fan_out
-- Allow one fan-out at a time, so that ordered webhooks receive events in the order of their ids.
SELECT pg_try_advisory_xact_lock(hashtext('waypost.fan_out'));

-- name: fan_out
-- Make a delivery of each new event for every webhook that subscribes to it. Returns how many events.
WITH taken AS (
    SELECT tenant_id, id, profile_id, type FROM events
    WHERE pending ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), wanted AS (
    -- Locked, so that none of the webhooks is deleted before its deliveries refer to it.
    SELECT t.tenant_id, w.id AS webhook_id, t.id AS event_id FROM taken AS t JOIN webhooks AS w
        ON w.tenant_id = t.tenant_id AND w.profile_id = t.profile_id AND w.enabled
        AND w.event_types && event_names(t.type)
    FOR KEY SHARE OF w
), made AS (
    INSERT INTO deliveries (tenant_id, webhook_id, event_id) SELECT * FROM wanted
    ON CONFLICT (tenant_id, webhook_id, event_id) DO NOTHING
), done AS (
    UPDATE events AS e SET pending = false FROM taken AS t
    WHERE e.tenant_id = t.tenant_id AND e.id = t.id
)
SELECT count(*) FROM taken;

-- name: renew
-- Renew the leases of webhooks with deliveries in flight.
UPDATE webhook_states SET lease_until = now() + make_interval(secs => $2)
WHERE lease_owner = $1 AND lease_until < now() + make_interval(secs => $2) / 2
    AND (tenant_id, webhook_id) IN (SELECT * FROM unnest($3::bigint[], $4::bigint[]));

-- name: acquire_leases
-- Acquire free leases of webhooks with due deliveries. The index leads from one webhook with a pending delivery
-- to the next, so the cost grows with the webhooks and not with the deliveries.
WITH RECURSIVE waiting AS (
    (SELECT tenant_id, webhook_id FROM deliveries WHERE state = 'pending'
    ORDER BY tenant_id, webhook_id LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.webhook_id FROM waiting AS w CROSS JOIN LATERAL (
        SELECT d.tenant_id, d.webhook_id FROM deliveries AS d
        WHERE d.state = 'pending' AND (d.tenant_id, d.webhook_id) > (w.tenant_id, w.webhook_id)
        ORDER BY d.tenant_id, d.webhook_id LIMIT 1) AS n
), free AS (
    SELECT s.tenant_id, s.webhook_id FROM waiting AS w
    JOIN webhook_states AS s ON s.tenant_id = w.tenant_id AND s.webhook_id = w.webhook_id
    JOIN webhooks AS h ON h.tenant_id = w.tenant_id AND h.id = w.webhook_id AND h.enabled
    WHERE (s.lease_owner IS NULL OR s.lease_until <= now()
            OR s.lease_owner = $1 AND s.lease_until < now() + make_interval(secs => $2) / 2)
        AND EXISTS (SELECT FROM deliveries AS d WHERE d.tenant_id = w.tenant_id
            AND d.webhook_id = w.webhook_id AND d.state = 'pending' AND d.next_attempt_at <= now())
    ORDER BY s.tenant_id, s.webhook_id LIMIT $3 FOR UPDATE OF s SKIP LOCKED
)
UPDATE webhook_states AS s
SET lease_owner = $1, lease_until = now() + make_interval(secs => $2),
    fencing_token = s.fencing_token + CASE WHEN s.lease_owner = $1 THEN 0 ELSE 1 END
FROM free WHERE s.tenant_id = free.tenant_id AND s.webhook_id = free.webhook_id;

-- name: claim
-- Claim due deliveries of the webhooks that the owner leases, round-robin over webhooks. $2 and $3 are the most
-- in all and of one webhook; $4 to $6 the deliveries in flight, $7 and $8 the webhooks whose circuit breaker is
-- open.
WITH flying AS (
    SELECT * FROM unnest($4::bigint[], $5::bigint[], $6::bigint[]) AS f (tenant_id, webhook_id, event_id)
), busy AS (
    SELECT tenant_id, webhook_id, count(*) AS count FROM flying GROUP BY 1, 2
), chosen AS (
    SELECT d.tenant_id, d.webhook_id, d.event_id, d.tries, d.attempts, d.next_attempt_at, d.place,
        s.fencing_token, w.profile_id, w.url, w.ordered, w.max_concurrency, w.max_rate
    FROM webhook_states AS s
    JOIN webhooks AS w ON w.tenant_id = s.tenant_id AND w.id = s.webhook_id AND w.enabled
    LEFT JOIN busy AS b ON b.tenant_id = s.tenant_id AND b.webhook_id = s.webhook_id
    CROSS JOIN LATERAL (
        SELECT p.*, row_number() OVER (ORDER BY p.next_attempt_at, p.event_id) AS place FROM (
            (SELECT f.* FROM deliveries AS f
            WHERE NOT w.ordered AND f.tenant_id = s.tenant_id AND f.webhook_id = s.webhook_id
                AND f.state = 'pending' AND f.next_attempt_at <= now()
                AND (f.tenant_id, f.webhook_id, f.event_id) NOT IN (SELECT * FROM flying)
            ORDER BY f.next_attempt_at, f.event_id
            LIMIT greatest(least($3, w.max_concurrency) - coalesce(b.count, 0), 0))
            UNION ALL
            SELECT o.* FROM (
                SELECT f.* FROM deliveries AS f
                WHERE w.ordered AND b.count IS NULL AND f.tenant_id = s.tenant_id
                    AND f.webhook_id = s.webhook_id AND f.state = 'pending'
                ORDER BY f.event_id LIMIT 1) AS o
            WHERE o.next_attempt_at <= now()) AS p) AS d
    WHERE s.lease_owner = $1 AND s.lease_until > now()
        AND (s.tenant_id, s.webhook_id) NOT IN (SELECT * FROM unnest($7::bigint[], $8::bigint[]))
    ORDER BY d.place, d.next_attempt_at LIMIT $2
)
SELECT c.tenant_id, c.profile_id, c.webhook_id, c.event_id, c.fencing_token AS token, c.tries,
    c.attempts + 1 AS number, c.url, c.ordered, c.max_concurrency, c.max_rate,
    ARRAY(SELECT k.secret FROM webhook_secrets AS k
        WHERE k.tenant_id = c.tenant_id AND k.webhook_id = c.webhook_id
            AND (k.expires_at IS NULL OR k.expires_at > now())
        ORDER BY k.created_at DESC) AS secrets,
    e.type, e.at, e.data
FROM chosen AS c JOIN events AS e ON e.tenant_id = c.tenant_id AND e.id = c.event_id
ORDER BY c.place, c.next_attempt_at;

-- name: lock_leased
-- Lock the reported webhooks whose lease is still the one that was worked under, until this is committed.
SELECT s.tenant_id, s.webhook_id, s.fencing_token FROM webhook_states AS s
JOIN (SELECT DISTINCT * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[])
    AS u (tenant_id, webhook_id, token)) AS u
    ON u.tenant_id = s.tenant_id AND u.webhook_id = s.webhook_id AND u.token = s.fencing_token
WHERE s.lease_owner = $1
ORDER BY 1, 2 FOR UPDATE OF s;

-- name: record_results
-- Record the result of each delivery and when the next attempt is due. Returns the deliveries that still exist.
-- One that was replayed meanwhile has fewer tries than the attempt began with: it stays as it is, unless it was
-- delivered.
UPDATE deliveries AS d
SET attempts = greatest(d.attempts, u.number),
    state = CASE WHEN u.state <> 'delivered' AND d.tries < u.tries - 1 THEN d.state ELSE u.state END,
    tries = CASE WHEN u.state <> 'delivered' AND d.tries < u.tries - 1 THEN d.tries ELSE u.tries END,
    next_attempt_at = CASE WHEN u.state <> 'delivered' AND d.tries < u.tries - 1 THEN d.next_attempt_at
        ELSE now() + make_interval(secs => coalesce(u.delay_s, 0)) END,
    finished_at = CASE WHEN u.state <> 'delivered' AND d.tries < u.tries - 1 THEN d.finished_at
        WHEN u.state <> 'pending' THEN now() END
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::integer[],
    $7::float8[]) AS u (tenant_id, webhook_id, event_id, number, state, tries, delay_s)
WHERE d.tenant_id = u.tenant_id AND d.webhook_id = u.webhook_id AND d.event_id = u.event_id
RETURNING d.tenant_id, d.webhook_id, d.event_id;

-- name: note_attempts
-- Write the attempts of deliveries that this transaction has locked.
INSERT INTO delivery_attempts
    (tenant_id, webhook_id, event_id, number, at, duration_ms, status, error, response)
SELECT a.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::timestamptz[],
    $6::integer[], $7::smallint[], $8::text[], $9::bytea[])
    AS a (tenant_id, webhook_id, event_id, number, at, duration_ms, status, error, response)
ON CONFLICT DO NOTHING;

-- name: note_health
-- Set or clear since when no delivery has succeeded, and what the circuit breaker has counted: failures in a row, and
-- for how many seconds it rests.
UPDATE webhook_states AS s
SET failing_since = CASE WHEN u.good THEN NULL ELSE coalesce(s.failing_since, now()) END, failures = u.failures,
    rests_until = CASE WHEN u.rest_s > 0 THEN now() + make_interval(secs => u.rest_s) END
FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::integer[], $5::float8[])
    AS u (tenant_id, webhook_id, good, failures, rest_s)
WHERE s.tenant_id = u.tenant_id AND s.webhook_id = u.webhook_id
    AND ((s.failing_since IS NULL) <> u.good OR s.failures <> u.failures OR u.rest_s > 0);

-- name: disable
-- Disable webhooks whose URL is gone ($3 to $5), or with no success for $6 seconds since they were enabled. A
-- webhook that has got another URL meanwhile is not gone.
WITH gone AS (
    SELECT * FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS g (tenant_id, webhook_id, url)
)
UPDATE webhooks AS w
SET enabled = false, version = version + 1, updated_at = now(), disabled_reason = CASE
    WHEN (w.tenant_id, w.id, w.url) IN (SELECT * FROM gone) THEN 'it answered 410 Gone'
    ELSE format('nothing has succeeded since %s UTC',
        to_char(greatest(s.failing_since, w.enabled_at), 'YYYY-MM-DD HH24:MI')) END
FROM unnest($1::bigint[], $2::bigint[]) AS u (tenant_id, webhook_id)
JOIN webhook_states AS s ON s.tenant_id = u.tenant_id AND s.webhook_id = u.webhook_id
WHERE w.tenant_id = u.tenant_id AND w.id = u.webhook_id AND w.enabled
    AND ((w.tenant_id, w.id, w.url) IN (SELECT * FROM gone)
        OR greatest(s.failing_since, w.enabled_at) < now() - make_interval(secs => $6)
            AND s.failing_since IS NOT NULL)
RETURNING w.tenant_id, w.profile_id, w.id, w.url, w.disabled_reason;

-- name: release
-- Release all leases of the owner.
UPDATE webhook_states SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $1;

-- name: purge_events
-- Purge events older than $1 days with their deliveries, a bounded number at once.
DELETE FROM events WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM events WHERE at < now() - make_interval(days => $1)
    ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED);

-- name: purge_deliveries
-- Purge finished or undeliverable deliveries of webhooks whose profile is gone, a bounded number at once.
DELETE FROM deliveries WHERE (tenant_id, webhook_id, event_id) IN (
    SELECT d.tenant_id, d.webhook_id, d.event_id FROM webhooks AS w
    JOIN deliveries AS d ON d.tenant_id = w.tenant_id AND d.webhook_id = w.id
    WHERE w.closing AND (d.state <> 'pending' OR NOT w.enabled) LIMIT $1 FOR UPDATE OF d SKIP LOCKED);

-- name: purge_webhooks
-- Delete webhooks whose profile is gone, once all its events are delivered.
DELETE FROM webhooks AS w WHERE closing
    AND NOT EXISTS (SELECT FROM events AS e
        WHERE e.tenant_id = w.tenant_id AND e.profile_id = w.profile_id AND e.pending)
    AND NOT EXISTS (SELECT FROM deliveries AS d
        WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.id AND d.state = 'pending' AND w.enabled);

-- name: purge_secrets
-- Purge expired secrets.
DELETE FROM webhook_secrets WHERE expires_at < now();
