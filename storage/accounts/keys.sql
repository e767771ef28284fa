-- API keys and the first owner: run as waypost_app.

-- name: authenticate
-- Find the caller by the SHA-256 of their key.
SELECT tenant_id, user_id, key_id, scopes, expired, origins FROM authenticate($1);

-- name: first_owner
-- Find the first user of the oldest tenant.
SELECT tenant_id, user_id FROM first_owner();

-- name: lock_owner
-- Serialise the first starts of several processes.
SELECT pg_advisory_xact_lock(hashtext('waypost.ensure_owner'));

-- name: new_tenant_id
-- Draw an id and act as that tenant from here on.
SELECT id, set_config('waypost.tenant', id::text, true) FROM new_id() AS id;

-- name: create_tenant
-- Create a tenant.
INSERT INTO tenants (id, name) VALUES ($1, $2);

-- name: create_user
-- Create a user who may log in.
INSERT INTO users (tenant_id, email, password_hash) VALUES ($1, $2, $3) RETURNING id;

-- name: create_key
-- Create an API key, of which only the SHA-256 and the first characters are stored.
INSERT INTO api_keys (tenant_id, user_id, key_sha256, label, prefix) VALUES ($1, $2, $3, $4, $5);

-- name: lock_keys_of
-- Serialise the creation of a user's keys.
SELECT id FROM users WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: count_keys
-- Count a user's keys that work.
SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > clock_timestamp());

-- name: create_scoped_key
-- Create a key with scopes, which may expire.
INSERT INTO api_keys (tenant_id, user_id, key_sha256, label, prefix, scopes, expires_at, origins)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id, prefix, label, scopes, created_at, last_used_at, expires_at, origins;

-- name: list_keys
-- List a user's keys that are not revoked, in the order of their ids.
SELECT id, prefix, label, scopes, created_at, last_used_at, expires_at, origins
FROM api_keys WHERE tenant_id = $1 AND user_id = $2 AND id > $3 AND revoked_at IS NULL
ORDER BY id LIMIT $4;

-- name: revoke_key
-- Revoke a key for ever.
UPDATE api_keys SET revoked_at = clock_timestamp()
WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND revoked_at IS NULL
RETURNING id;

-- name: allows_origin
-- Find out whether a working key of any tenant allows an origin.
SELECT key_allows_origin($1);

-- name: record_last_used
-- Record that keys and sessions were used now.
SELECT record_last_used($1, $2);
