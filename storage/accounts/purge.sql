-- Expired rows of accounts: run as waypost_aggregator, a bounded number of rows at once.

-- name: purge_sessions
-- Purge expired sessions.
DELETE FROM sessions WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM sessions WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1);

-- name: purge_recovery_tokens
-- Purge expired recovery tokens.
DELETE FROM recovery_tokens WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM recovery_tokens
    WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1);

-- name: purge_keys
-- Purge API keys that expired or were revoked 30 days ago.
DELETE FROM api_keys WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM api_keys
    WHERE least(revoked_at, expires_at) <= statement_timestamp() - interval '30 days' LIMIT $1);

-- name: purge_invitations
-- Purge invitations that expired or were accepted 30 days ago.
DELETE FROM invitations WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM invitations
    WHERE least(accepted_at, expires_at) <= statement_timestamp() - interval '30 days' LIMIT $1);
