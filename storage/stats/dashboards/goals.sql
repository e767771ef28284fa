-- Goals: run as waypost_app, in the profile's tenant.

-- name: count
-- Count the goals of a profile.
SELECT count(*) FROM goals WHERE tenant_id = $1 AND profile_id = $2;

-- name: create
-- Create a goal.
INSERT INTO goals (tenant_id, profile_id, created_by, name, event, property, link) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, profile_id, version, created_by, created_at, updated_at, name, event, property, link;

-- name: list
-- List the goals of a profile in the order of their ids.
SELECT id, profile_id, version, created_by, created_at, updated_at, name, event, property, link
FROM goals WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: item
-- Read one goal.
SELECT id, profile_id, version, created_by, created_at, updated_at, name, event, property, link
FROM goals WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;

-- name: lock
-- Read one goal and lock it until the transaction ends.
SELECT id, profile_id, version, created_by, created_at, updated_at, name, event, property, link
FROM goals WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 FOR NO KEY UPDATE;

-- name: update
-- Change a locked goal, as its next version.
UPDATE goals SET name = $4, event = $5, property = $6, link = $7, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3
RETURNING id, profile_id, version, created_by, created_at, updated_at, name, event, property, link;

-- name: delete
-- Delete a goal.
DELETE FROM goals WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;
