-- Recovery tokens: run as waypost_app; all queries but the first two in the tenant of the user.

-- name: first_owner
-- Find the first user of the oldest tenant.
SELECT tenant_id, user_id FROM first_owner();

-- name: token_user
-- Find the user of a working token by its SHA-256.
SELECT tenant_id, user_id FROM recovery_token_of($1, $2);

-- name: user_at
-- Find the user of an address.
SELECT tenant_id, user_id FROM login_of($1);

-- name: become
-- Act as the user, in their tenant, from here on.
SELECT set_config('waypost.tenant', $1, true), set_config('waypost.user', $2, true),
    set_config('waypost.request', $3, true);

-- name: email
-- Read the address of a user.
SELECT email FROM users WHERE tenant_id = $1 AND id = $2;

-- name: enqueue_mail
-- Enqueue the job (kind $3) that makes a token and mails it, unless one is queued or running.
INSERT INTO jobs (tenant_id, kind, payload, unique_key, max_attempts)
VALUES ($1, $3, jsonb_build_object('user_id', $2::bigint::text), $2::bigint::text, $4)
ON CONFLICT (tenant_id, kind, unique_key) WHERE finished_at IS NULL DO NOTHING;

-- name: lock_user
-- Lock a user until the transaction ends, so that their tokens are used one after another.
SELECT id FROM users WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: delete_old
-- Delete a user's expired tokens of a purpose, and of the others all but the newest $4.
DELETE FROM recovery_tokens WHERE tenant_id = $1 AND user_id = $2 AND purpose = $3
    AND (expires_at <= clock_timestamp() OR id NOT IN (
        SELECT id FROM recovery_tokens WHERE tenant_id = $1 AND user_id = $2 AND purpose = $3
        ORDER BY id DESC LIMIT $4));

-- name: issue
-- Store the SHA-256 of a new token.
INSERT INTO recovery_tokens (tenant_id, user_id, purpose, token_sha256, expires_at)
VALUES ($1, $2, $3, $4, now() + $5)
RETURNING expires_at;

-- name: use
-- Delete a working token of a user. No row if another transaction has used it.
DELETE FROM recovery_tokens WHERE tenant_id = $1 AND user_id = $2 AND purpose = $3 AND token_sha256 = $4
    AND expires_at > clock_timestamp()
RETURNING id;

-- name: delete_all
-- Delete all tokens of a user: each was for a password that they have forgotten or never had.
DELETE FROM recovery_tokens WHERE tenant_id = $1 AND user_id = $2;

-- name: set_password
-- Store another password's hash.
UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2;

-- name: set_up
-- Give an account a name, an address and a password, as its next version. A violation of users_email if another
-- account has the address.
UPDATE users SET name = $3, email = $4, password_hash = $5, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2
RETURNING id, tenant_id, email, name, version, created_at, updated_at;
