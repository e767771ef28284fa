-- Saved questions: run as waypost_app, in the profile's tenant.

-- name: count
-- Count the saved questions of a profile.
SELECT count(*) FROM saved_questions WHERE tenant_id = $1 AND profile_id = $2;

-- name: create
-- Create a saved question.
INSERT INTO saved_questions (tenant_id, profile_id, created_by, name, query) VALUES ($1, $2, $3, $4, $5)
RETURNING id, profile_id, version, created_by, created_at, updated_at, name, query;

-- name: list
-- List the saved questions of a profile in the order of their ids.
SELECT id, profile_id, version, created_by, created_at, updated_at, name, query
FROM saved_questions WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: item
-- Read one saved question.
SELECT id, profile_id, version, created_by, created_at, updated_at, name, query
FROM saved_questions WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;

-- name: lock
-- Read one saved question and lock it until the transaction ends.
SELECT id, profile_id, version, created_by, created_at, updated_at, name, query
FROM saved_questions WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 FOR NO KEY UPDATE;

-- name: update
-- Change a locked saved question, as its next version.
UPDATE saved_questions SET name = $4, query = $5, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3
RETURNING id, profile_id, version, created_by, created_at, updated_at, name, query;

-- name: delete
-- Delete a saved question.
DELETE FROM saved_questions WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;
