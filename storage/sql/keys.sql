-- Who may call: run as waypost_app.

-- name: authenticate
-- Whose key has this SHA-256.
SELECT tenant_id, user_id, key_id, scopes, expired FROM authenticate($1);

-- name: first_owner
-- The oldest tenant's first user.
SELECT tenant_id, user_id FROM first_owner();

-- name: lock_owner
-- Let first starts of several processes take turns.
SELECT pg_advisory_xact_lock(hashtext('waypost.ensure_owner'));

-- name: new_tenant_id
-- An id, and act as that tenant from here on.
SELECT id, set_config('waypost.tenant', id::text, true) FROM new_id() AS id;

-- name: create_tenant
-- A tenant.
INSERT INTO tenants (id, name) VALUES ($1, $2);

-- name: create_user
-- A user who may log in.
INSERT INTO users (tenant_id, email, password_hash) VALUES ($1, $2, $3) RETURNING id;

-- name: create_key
-- An API key, of which only the SHA-256 and the first characters are known.
INSERT INTO api_keys (tenant_id, user_id, key_sha256, label, prefix) VALUES ($1, $2, $3, $4, $5);
