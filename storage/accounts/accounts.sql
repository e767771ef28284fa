-- Users: run as waypost_app; all queries but the first with the caller set.

-- name: login_of
-- Read the password's hash that a login by this address is compared with.
SELECT tenant_id, user_id, password_hash FROM login_of($1);

-- name: user
-- Read one user.
SELECT id, tenant_id, email, name, version, created_at, updated_at
FROM users WHERE tenant_id = $1 AND id = $2;

-- name: lock_user
-- Read one user and lock them until the transaction ends.
SELECT id, tenant_id, email, name, version, created_at, updated_at
FROM users WHERE tenant_id = $1 AND id = $2
FOR NO KEY UPDATE;

-- name: lock_password
-- Lock a user until the transaction ends, if their password's hash is still this one.
SELECT id, tenant_id, email, name, version, created_at, updated_at
FROM users WHERE tenant_id = $1 AND id = $2 AND password_hash = $3
FOR NO KEY UPDATE;

-- name: password_hash
-- Read the hash that a user's password is compared with.
SELECT password_hash FROM users WHERE tenant_id = $1 AND id = $2;

-- name: rename
-- Rename a locked user, as their next version.
UPDATE users SET name = $3, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2
RETURNING id, tenant_id, email, name, version, created_at, updated_at;

-- name: set_password
-- Store another hash for a locked user.
UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2;
