-- Security events: run as waypost_app.

-- name: act_as
-- Write as this tenant from here on; '' means no tenant.
SELECT set_config('waypost.tenant', $1, true);

-- name: write_events
-- Write events of the tenant ($1): kinds ($2), users ($3), keys ($4), requests ($5), times ($6), how often ($7),
-- details ($8).
INSERT INTO security_events (tenant_id, kind, user_id, key_id, request_id, at, times, detail)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[],
    $7::bigint[], $8::jsonb[]);

-- name: events
-- Read at most $3 events of the tenant ($1) with ids below $2, newest first.
SELECT id, kind, tenant_id, user_id, key_id, request_id, at, times, detail FROM security_events
WHERE tenant_id = $1 AND id < $2
ORDER BY id DESC LIMIT $3;

-- name: events_of_key
-- Read at most $3 events of an API key ($4) of the tenant ($1) with ids below $2, newest first.
SELECT id, kind, tenant_id, user_id, key_id, request_id, at, times, detail FROM security_events
WHERE tenant_id = $1 AND id < $2 AND key_id = $4
ORDER BY id DESC LIMIT $3;
