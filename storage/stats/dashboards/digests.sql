-- Digests: the settings run as waypost_app, in the profile's tenant; the rest as waypost_aggregator.

-- name: settings
-- Read a member's settings.
SELECT weekly, monthly, tz FROM digests WHERE tenant_id = $1 AND profile_id = $2 AND user_id = $3;

-- name: store_settings
-- Store a member's settings.
INSERT INTO digests (tenant_id, profile_id, user_id, weekly, monthly, tz) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, profile_id, user_id)
DO UPDATE SET weekly = excluded.weekly, monthly = excluded.monthly, tz = excluded.tz, updated_at = now();

-- name: enqueue_mails
-- Enqueue a job (kind $3) for each member who gets the digests of cadence $1 that are due at $2: five a second.
INSERT INTO jobs (tenant_id, profile_id, queue, kind, payload, unique_key, max_attempts, run_at)
SELECT d.tenant_id, d.profile_id, $4, $3,
    jsonb_build_object('cadence', $1::text, 'due', $2::text, 'user_id', d.user_id::text),
    concat_ws(':', $1::text, $2::text, d.profile_id, d.user_id), $5,
    clock_timestamp() + (row_number() OVER (ORDER BY d.tenant_id, d.id)) * interval '0.2 seconds'
FROM digests AS d WHERE CASE $1::text WHEN 'weekly' THEN d.weekly ELSE d.monthly END
ON CONFLICT (tenant_id, kind, unique_key) WHERE finished_at IS NULL DO NOTHING;

-- name: enqueue_events
-- Enqueue a job (kind $3) for each profile with a webhook that subscribes to the event of cadence $1.
INSERT INTO jobs (tenant_id, profile_id, queue, kind, payload, unique_key, max_attempts, run_at)
SELECT w.tenant_id, w.profile_id, $4, $3, jsonb_build_object('cadence', $1::text, 'due', $2::text),
    concat_ws(':', $1::text, $2::text, w.profile_id), $5,
    clock_timestamp() + (row_number() OVER (ORDER BY w.tenant_id, w.profile_id)) * interval '0.2 seconds'
FROM (
    SELECT DISTINCT tenant_id, profile_id FROM webhooks
    WHERE enabled AND event_types && event_names('digest.' || $1::text)
) AS w
ON CONFLICT (tenant_id, kind, unique_key) WHERE finished_at IS NULL DO NOTHING;

-- name: recipient
-- Read who gets a digest of cadence $4, unless they have turned it off.
SELECT u.email, d.tz, p.handle, p.title
FROM digests AS d
JOIN members AS m ON m.tenant_id = d.tenant_id AND m.profile_id = d.profile_id AND m.user_id = d.user_id
JOIN users AS u ON u.tenant_id = m.home_tenant_id AND u.id = m.user_id
JOIN profiles AS p ON p.tenant_id = d.tenant_id AND p.id = d.profile_id
WHERE d.tenant_id = $1 AND d.profile_id = $2 AND d.user_id = $3
    AND CASE $4::text WHEN 'weekly' THEN d.weekly ELSE d.monthly END;

-- name: names
-- Read a profile's names.
SELECT handle, title FROM profiles WHERE tenant_id = $1 AND id = $2;
