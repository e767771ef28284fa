-- Shares of stats: run as waypost_app with the tenant set, but for share_of and allows_origin.

-- name: count_shares
-- Count the shares of a profile, expired ones included.
SELECT count(*) FROM shares WHERE tenant_id = $1 AND profile_id = $2;

-- name: create_share
-- Create a share, of whose token only the SHA-256 and the first characters are stored.
INSERT INTO shares (tenant_id, profile_id, token_sha256, prefix, label, metrics, dimensions, starts_at, ends_at,
    origins, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING id, profile_id, prefix, label, metrics, dimensions, starts_at, ends_at, origins, created_at, expires_at;

-- name: list_shares
-- List the shares of a profile in the order of their ids.
SELECT id, profile_id, prefix, label, metrics, dimensions, starts_at, ends_at, origins, created_at, expires_at
FROM shares WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: revoke_share
-- Delete a share; its token stops working.
DELETE FROM shares WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 RETURNING id;

-- name: share_of
-- Find a share and its profile by the SHA-256 of its token.
SELECT id, profile_id, prefix, label, metrics, dimensions, starts_at, ends_at, origins, created_at, expires_at,
    expired, tenant_id, handle, title, raw_retention_days, version, profile_created_at, profile_updated_at
FROM share_of($1);

-- name: allows_origin
-- Find out whether a working share of any tenant allows an origin.
SELECT share_allows_origin($1);
