-- Who may call: run as waypost_app.

-- name: authenticate
-- Whose key has this SHA-256.
SELECT key_id, tenant_id FROM authenticate($1);

-- name: first_tenant
-- The oldest tenant.
SELECT first_tenant();

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
INSERT INTO users (tenant_id, email, password_hash) VALUES ($1, $2, $3);

-- name: create_key
-- An API key, of which only the SHA-256 is known.
INSERT INTO api_keys (tenant_id, key_sha256, label) VALUES ($1, $2, $3);
