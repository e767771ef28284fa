-- What is kept no longer: run as waypost_aggregator, a bounded number of rows at once.

-- name: purge_sessions
-- Sessions that open nothing any more.
DELETE FROM sessions WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM sessions WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1);

-- name: purge_keys
-- API keys that have opened nothing for 30 days.
DELETE FROM api_keys WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM api_keys
    WHERE least(revoked_at, expires_at) <= statement_timestamp() - interval '30 days' LIMIT $1);

-- name: purge_invitations
-- Invitations that nobody could accept any more for 30 days.
DELETE FROM invitations WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM invitations
    WHERE least(accepted_at, expires_at) <= statement_timestamp() - interval '30 days' LIMIT $1);
