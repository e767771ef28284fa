-- Users: run as waypost_app; all but the first with the caller set.

-- name: login_of
-- What a login by this address is checked against.
SELECT tenant_id, user_id, password_hash FROM login_of($1);

-- name: user
-- One user.
SELECT id, tenant_id, email, name, version, created_at, updated_at
FROM users WHERE tenant_id = $1 AND id = $2;

-- name: lock_user
-- One user, held against changes until the transaction ends.
SELECT id, tenant_id, email, name, version, created_at, updated_at
FROM users WHERE tenant_id = $1 AND id = $2
FOR NO KEY UPDATE;

-- name: lock_password
-- A user whose password is still this one, held so until the transaction ends.
SELECT id, tenant_id, email, name, version, created_at, updated_at
FROM users WHERE tenant_id = $1 AND id = $2 AND password_hash = $3
FOR NO KEY UPDATE;

-- name: password_hash
-- What a user's password is checked against.
SELECT password_hash FROM users WHERE tenant_id = $1 AND id = $2;

-- name: rename
-- Another name for a user who is locked, as their next version.
UPDATE users SET name = $3, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2
RETURNING id, tenant_id, email, name, version, created_at, updated_at;

-- name: set_password
-- Another hash for a user who is locked.
UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2;
