-- A profile's members: run as waypost_app in the tenant of the profile.

-- name: lock_team
-- Serialise the changes of one profile's team.
SELECT id FROM profiles WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: list_members
-- List a profile's members in the order of their users' ids.
SELECT user_id, email, name, role, version, created_at, updated_at
FROM profile_members($1) WHERE user_id > $2
ORDER BY user_id LIMIT $3;

-- name: member
-- Read one member of a profile.
SELECT user_id, email, name, role, version, created_at, updated_at
FROM profile_members($1) WHERE user_id = $2;

-- name: set_role
-- Give a member another role, as their next version.
UPDATE members SET role = $4, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND profile_id = $2 AND user_id = $3;

-- name: remove_member
-- Remove a member from the team.
DELETE FROM members WHERE tenant_id = $1 AND profile_id = $2 AND user_id = $3;
