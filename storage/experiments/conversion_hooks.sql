-- Conversion hooks: run as waypost_app with the tenant set, but for hook_of.

-- name: create_hook
-- Create a hook, of whose token only the SHA-256 is stored.
INSERT INTO conversion_hooks (tenant_id, profile_id, token_sha256, label, name, shop, fields, value_factor,
    signing_secrets)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id, profile_id, label, name, shop, fields, value_factor, cardinality(signing_secrets) AS secrets,
    created_at;

-- name: count_hooks
-- Count the hooks of a profile.
SELECT count(*) FROM conversion_hooks WHERE tenant_id = $1 AND profile_id = $2;

-- name: list_hooks
-- List the hooks of a profile in the order of their ids.
SELECT id, profile_id, label, name, shop, fields, value_factor, cardinality(signing_secrets) AS secrets, created_at
FROM conversion_hooks WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: lock_hook
-- Read a hook as its draft, and lock it.
SELECT label, name, shop, fields, value_factor, signing_secrets FROM conversion_hooks
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 FOR UPDATE;

-- name: update_hook
-- Change a hook.
UPDATE conversion_hooks SET label = $4, name = $5, shop = $6, fields = $7, value_factor = $8,
    signing_secrets = $9, secrets_changed_at = CASE
        WHEN signing_secrets = $9 THEN secrets_changed_at ELSE clock_timestamp() END
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3
RETURNING id, profile_id, label, name, shop, fields, value_factor, cardinality(signing_secrets) AS secrets,
    created_at;

-- name: delete_hook
-- Delete a hook; its URL stops working.
DELETE FROM conversion_hooks WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 RETURNING id;

-- name: hook_of
-- Find a hook by the SHA-256 of its token.
SELECT tenant_id, profile_id, name, shop, fields, value_factor, signing_secrets FROM conversion_hook_of($1);
