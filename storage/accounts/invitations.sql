-- Invitations: run as waypost_app. Those that name a tenant run in the tenant of the profile.

-- name: invitation_of
-- The invitation with a token of this SHA-256.
SELECT profile_id, handle, title, email, role, expires_at, expired, accepted
FROM invitation_of($1);

-- name: accept_invitation
-- Let the caller join by the invitation with a token of this SHA-256.
SELECT outcome, profile_id, role FROM accept_invitation($1);

-- name: new_tenant_id
-- The id of a tenant that is about to be made, and act in it from here on.
SELECT id, set_config('waypost.tenant', id::text, true), set_config('waypost.request', $1, true)
FROM new_id() AS id;

-- name: create_tenant
-- The tenant in which a new user is at home.
INSERT INTO tenants (id, name) VALUES ($1, $2);

-- name: create_user
-- The user; a violation of users_email when the address has an account.
INSERT INTO users (tenant_id, email, password_hash, name) VALUES ($1, $2, $3, $4)
RETURNING id, tenant_id, email, name, version, created_at, updated_at;

-- name: become
-- Act as the user from here on.
SELECT set_config('waypost.user', $1, true);

-- name: count_open
-- How many invitations of a profile are open.
SELECT count(*) FROM invitations
WHERE tenant_id = $1 AND profile_id = $2 AND accepted_at IS NULL AND expires_at > clock_timestamp();

-- name: has_member
-- Whether somebody with this address is a member.
SELECT EXISTS (SELECT FROM profile_members($1) WHERE lower(email) = lower($2));

-- name: invite
-- An invitation that is open for $7 days.
INSERT INTO invitations (tenant_id, profile_id, email, role, token_sha256, invited_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(days => $7))
RETURNING id, profile_id, email, role, invited_by, created_at, expires_at;

-- name: list_invitations
-- A profile's open invitations in the order of their ids.
SELECT id, profile_id, email, role, invited_by, created_at, expires_at
FROM invitations
WHERE tenant_id = $1 AND profile_id = $2 AND id > $3
    AND accepted_at IS NULL AND expires_at > clock_timestamp()
ORDER BY id LIMIT $4;

-- name: withdraw
-- Take back an invitation that nobody has accepted.
DELETE FROM invitations
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 AND accepted_at IS NULL
RETURNING id;
