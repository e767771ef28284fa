-- Webhooks as the console changes them: run as waypost_app, with the tenant of the profile set.

-- name: enter_webhook
-- Enter the profile of a webhook: its tenant and id, and the caller's role; moves on to that tenant.
SELECT tenant_id, profile_id, role, set_config('waypost.tenant', tenant_id::text, true)
FROM webhook_access($1);

-- name: lock_profile
-- Serialise the creation of a profile's webhooks.
SELECT id FROM profiles WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: create_webhook
-- Create a webhook in the first free of twenty slots; no row when there is none.
INSERT INTO webhooks (tenant_id, profile_id, url, description, event_types, ordered, max_concurrency, max_rate,
    enabled, signature, slot)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, min(n) FROM generate_series(1, 20) AS n
WHERE n NOT IN (SELECT slot FROM webhooks WHERE tenant_id = $1 AND profile_id = $2)
HAVING min(n) IS NOT NULL
RETURNING id;

-- name: create_state
-- Create the state that workers keep of a webhook.
INSERT INTO webhook_states (tenant_id, webhook_id) VALUES ($1, $2);

-- name: add_secret
-- Add the secret that signs from now on.
INSERT INTO webhook_secrets (tenant_id, webhook_id, secret, public_key) VALUES ($1, $2, $3, $4);

-- name: webhook
-- Read one webhook.
SELECT w.id, w.profile_id, w.url, w.description, w.event_types, w.ordered, w.max_concurrency,
    w.max_rate, w.enabled, w.signature, w.disabled_reason, (SELECT k.public_key FROM webhook_secrets AS k
        WHERE k.tenant_id = w.tenant_id AND k.webhook_id = w.id AND k.expires_at IS NULL
        ORDER BY k.created_at DESC LIMIT 1) AS public_key,
    w.secret_changed_at, w.version, w.created_at, w.updated_at, s.failing_since, coalesce(s.failures, 0) AS failures,
    CASE WHEN s.rests_until > clock_timestamp() THEN s.rests_until END AS rests_until
FROM webhooks AS w LEFT JOIN webhook_states AS s ON s.tenant_id = w.tenant_id AND s.webhook_id = w.id
WHERE w.tenant_id = $1 AND w.id = $2;

-- name: list_webhooks
-- List a profile's webhooks in the order of their ids.
SELECT w.id, w.profile_id, w.url, w.description, w.event_types, w.ordered, w.max_concurrency,
    w.max_rate, w.enabled, w.signature, w.disabled_reason, (SELECT k.public_key FROM webhook_secrets AS k
        WHERE k.tenant_id = w.tenant_id AND k.webhook_id = w.id AND k.expires_at IS NULL
        ORDER BY k.created_at DESC LIMIT 1) AS public_key,
    w.secret_changed_at, w.version, w.created_at, w.updated_at, s.failing_since, coalesce(s.failures, 0) AS failures,
    CASE WHEN s.rests_until > clock_timestamp() THEN s.rests_until END AS rests_until
FROM webhooks AS w LEFT JOIN webhook_states AS s ON s.tenant_id = w.tenant_id AND s.webhook_id = w.id
WHERE w.tenant_id = $1 AND w.profile_id = $2 AND w.id > $3 ORDER BY w.id LIMIT $4;

-- name: lock_webhook
-- Serialise the changes of one webhook.
SELECT id FROM webhooks WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: update_webhook
-- Update a webhook. One that is enabled again, or gets another URL, starts afresh.
UPDATE webhooks SET url = $3, description = $4, event_types = $5, ordered = $6,
    max_concurrency = $7, max_rate = $8,
    enabled_at = CASE WHEN $9 AND NOT enabled OR url <> $3 THEN clock_timestamp() ELSE enabled_at END,
    disabled_reason = CASE WHEN $9 THEN NULL ELSE disabled_reason END,
    enabled = $9, version = version + 1, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2;

-- name: delete_deliveries
-- Delete some deliveries of a webhook that is to be deleted.
DELETE FROM deliveries WHERE (tenant_id, webhook_id, event_id) IN (
    SELECT tenant_id, webhook_id, event_id FROM deliveries
    WHERE tenant_id = $1 AND webhook_id = $2 LIMIT $3 FOR UPDATE SKIP LOCKED);

-- name: delete_webhook
-- Delete a webhook with the rest of its deliveries.
DELETE FROM webhooks WHERE tenant_id = $1 AND id = $2;

-- name: expire_secrets
-- Let the secrets that sign expire in so many hours; older ones keep their end.
UPDATE webhook_secrets SET expires_at = clock_timestamp() + make_interval(hours => $3)
WHERE tenant_id = $1 AND webhook_id = $2 AND expires_at IS NULL;

-- name: forget_secrets
-- Delete expired secrets, and the oldest of too many.
DELETE FROM webhook_secrets WHERE tenant_id = $1 AND webhook_id = $2 AND (
    expires_at <= clock_timestamp() OR created_at NOT IN (
        SELECT k.created_at FROM webhook_secrets AS k
        WHERE k.tenant_id = $1 AND k.webhook_id = $2 ORDER BY k.created_at DESC LIMIT $3));

-- name: note_rotation
-- Note that the webhook has another secret.
UPDATE webhooks SET secret_changed_at = clock_timestamp(), version = version + 1,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2;

-- name: deliveries
-- List deliveries of one webhook, newest event first, with ids below $3 and from $8; of one state or type, or of events
-- from a time ($6) to before another ($7), if given.
SELECT d.event_id, e.type, e.at, d.state, d.attempts,
    CASE d.state WHEN 'pending' THEN d.next_attempt_at END AS next_attempt_at, d.finished_at, e.data
FROM deliveries AS d JOIN events AS e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND d.event_id < $3
    AND ($6::timestamptz IS NULL OR e.at >= $6) AND ($7::timestamptz IS NULL OR e.at < $7) AND d.event_id >= $8
    AND ($4::text IS NULL OR d.state = $4) AND ($5::text IS NULL OR e.type = $5)
ORDER BY d.event_id DESC LIMIT $9;

-- name: attempts
-- Read the newest attempt of each of some deliveries.
SELECT a.event_id, a.number, a.at, a.duration_ms, a.status, coalesce(a.error, '') AS error,
    coalesce(a.response, '') AS response
FROM unnest($3::bigint[]) AS d (event_id) CROSS JOIN LATERAL (
    SELECT * FROM delivery_attempts AS m
    WHERE m.tenant_id = $1 AND m.webhook_id = $2 AND m.event_id = d.event_id
    ORDER BY m.number DESC LIMIT $4) AS a
ORDER BY a.event_id, a.number;

-- name: replay
-- Replay one delivery now, as if for the first time.
UPDATE deliveries SET state = 'pending', tries = 0, next_attempt_at = clock_timestamp(), finished_at = NULL
WHERE tenant_id = $1 AND webhook_id = $2 AND event_id = $3
RETURNING event_id;

-- name: replay_since
-- Replay all events that the webhook subscribes to since a time, oldest first; also those that happened while
-- it was disabled. $4: only events that were not delivered; $6: only count them.
WITH wanted AS (
    SELECT e.id, e.at FROM webhooks AS w JOIN events AS e
        ON e.tenant_id = w.tenant_id AND e.profile_id = w.profile_id
    LEFT JOIN deliveries AS d ON d.tenant_id = e.tenant_id AND d.webhook_id = w.id AND d.event_id = e.id
    WHERE w.tenant_id = $1 AND w.id = $2 AND e.at >= $3 AND NOT e.pending
        -- By the key, which begins with the time (less an hour): the index on `at` is of all tenants.
        AND e.id >= (extract(epoch FROM least(greatest($3, '2026-01-01Z'::timestamptz), now()))::bigint
            - 1767225600 - 3600) * 1000 << 20
        AND CASE WHEN e.webhook_id IS NULL THEN w.event_types && event_names(e.type)
            ELSE e.webhook_id = w.id END
        AND NOT ($4 AND coalesce(d.state, '') = 'delivered')
    ORDER BY e.at, e.id LIMIT $5
), again AS (
    INSERT INTO deliveries AS d (tenant_id, webhook_id, event_id) SELECT $1, $2, id FROM wanted WHERE NOT $6
    ON CONFLICT (tenant_id, webhook_id, event_id) DO UPDATE
    SET state = 'pending', tries = 0, next_attempt_at = clock_timestamp(), finished_at = NULL
)
SELECT count(*) AS count, max(at) AS last FROM wanted;

-- name: make_test
-- Write a test event, for this webhook alone.
INSERT INTO events (tenant_id, profile_id, webhook_id, pending, type, data)
VALUES ($1, $2, $3, false, 'endpoint.test', $4::text::jsonb) RETURNING id;

-- name: make_delivery
-- Make its delivery.
INSERT INTO deliveries (tenant_id, webhook_id, event_id) VALUES ($1, $2, $3);

-- name: today
-- Read today's date in UTC.
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date;

-- name: summary
-- Count the newest $4 deliveries of one webhook with ids from $3 by the UTC day of their event: ids begin with the time.
WITH newest AS (
    SELECT event_id, state, attempts FROM deliveries
    WHERE tenant_id = $1 AND webhook_id = $2 AND event_id >= $3 ORDER BY event_id DESC LIMIT $4
)
SELECT ((timestamptz '2026-01-01Z' + make_interval(secs => (event_id >> 20) / 1000.0)) AT TIME ZONE 'UTC')::date AS day,
    count(*) FILTER (WHERE state = 'delivered') AS delivered, count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'pending') AS pending, sum(attempts)::bigint AS attempts,
    min(event_id) FILTER (WHERE state = 'pending') AS oldest_pending,
    min(event_id) FILTER (WHERE state = 'failed') AS oldest_failed
FROM newest GROUP BY 1 ORDER BY 1;

-- name: answer_times
-- Read how long receivers took to respond: the median and the 95th percentile, of the newest $4 deliveries' attempts.
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY a.duration_ms) AS p50_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY a.duration_ms) AS p95_ms
FROM (
    SELECT event_id FROM deliveries
    WHERE tenant_id = $1 AND webhook_id = $2 AND event_id >= $3 ORDER BY event_id DESC LIMIT $4
) AS newest JOIN delivery_attempts AS a ON a.tenant_id = $1 AND a.webhook_id = $2 AND a.event_id = newest.event_id
WHERE a.status IS NOT NULL;

-- name: event_times
-- Read when some events happened.
SELECT id, at FROM events WHERE tenant_id = $1 AND id = ANY ($2::bigint[]);
