-- Annotations: run as waypost_app, in the profile's tenant.

-- name: count
-- Count the annotations of a profile.
SELECT count(*) FROM annotations WHERE tenant_id = $1 AND profile_id = $2;

-- name: create
-- Create a annotation.
INSERT INTO annotations (tenant_id, profile_id, created_by, at, text) VALUES ($1, $2, $3, $4, $5)
RETURNING id, profile_id, version, created_by, created_at, updated_at, at, text;

-- name: list
-- List the annotations of a profile in the order of their ids.
SELECT id, profile_id, version, created_by, created_at, updated_at, at, text
FROM annotations WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: item
-- Read one annotation.
SELECT id, profile_id, version, created_by, created_at, updated_at, at, text
FROM annotations WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;

-- name: lock
-- Read one annotation and lock it until the transaction ends.
SELECT id, profile_id, version, created_by, created_at, updated_at, at, text
FROM annotations WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 FOR NO KEY UPDATE;

-- name: update
-- Change a locked annotation, as its next version.
UPDATE annotations SET at = $4, text = $5, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3
RETURNING id, profile_id, version, created_by, created_at, updated_at, at, text;

-- name: delete
-- Delete a annotation.
DELETE FROM annotations WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;
