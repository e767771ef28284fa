-- Invitations: run as waypost_app. Queries that name a tenant run in the tenant of the profile.

-- name: invitation_of
-- Read the invitation by the SHA-256 of its token.
SELECT profile_id, handle, title, email, role, inviter, expires_at, expired, accepted
FROM invitation_of($1);

-- name: accept_invitation
-- Let the caller join by the SHA-256 of an invitation's token.
SELECT outcome, profile_id, role FROM accept_invitation($1);

-- name: response_to_acceptance
-- Read the stored response to an acceptance by the SHA-256 of its token and its idempotency key ($2), while it
-- is kept ($3).
SELECT request_sha256, status, headers, body, holds_secret FROM response_to_acceptance($1, $2, $3);

-- name: new_tenant_id
-- Draw the id of a new tenant and act in that tenant from here on.
SELECT id, set_config('waypost.tenant', id::text, true), set_config('waypost.request', $1, true)
FROM new_id() AS id;

-- name: create_tenant
-- Create the home tenant of a new user.
INSERT INTO tenants (id, name) VALUES ($1, $2);

-- name: create_user
-- Create the user; a violation of users_email when the address has an account.
INSERT INTO users (tenant_id, email, password_hash, name) VALUES ($1, $2, $3, $4)
RETURNING id, tenant_id, email, name, version, created_at, updated_at;

-- name: become
-- Act as the user from here on.
SELECT set_config('waypost.user', $1, true);

-- name: count_open
-- Count the open invitations of a profile.
SELECT count(*) FROM invitations
WHERE tenant_id = $1 AND profile_id = $2 AND accepted_at IS NULL AND expires_at > clock_timestamp();

-- name: has_member
-- Return whether a member of the profile has this address.
SELECT EXISTS (SELECT FROM profile_members($1) WHERE lower(email) = lower($2));

-- name: invite
-- Create an invitation that is open for $7 days.
INSERT INTO invitations (tenant_id, profile_id, email, role, token_sha256, invited_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(days => $7))
RETURNING id, profile_id, email, role, invited_by, created_at, expires_at;

-- name: list_invitations
-- List a profile's open invitations in the order of their ids.
SELECT id, profile_id, email, role, invited_by, created_at, expires_at
FROM invitations
WHERE tenant_id = $1 AND profile_id = $2 AND id > $3
    AND accepted_at IS NULL AND expires_at > clock_timestamp()
ORDER BY id LIMIT $4;

-- name: withdraw
-- Delete an invitation that is not accepted.
DELETE FROM invitations
WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 AND accepted_at IS NULL
RETURNING id;
