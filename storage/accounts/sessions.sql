-- Sessions of the dashboard: run as waypost_app; all queries but the first with the caller set.

-- name: session_user_of
-- Find the user of a session by the SHA-256 of its token, until it expires.
SELECT tenant_id, user_id, session_id, expires_at FROM session_user_of($1);

-- name: delete_old
-- Delete a user's expired sessions, and of the others all but the newest $3.
DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND (expires_at <= clock_timestamp() OR id NOT IN (
    SELECT id FROM sessions WHERE tenant_id = $1 AND user_id = $2 ORDER BY id DESC LIMIT $3));

-- name: begin_session
-- Create a session that lasts $4 seconds.
INSERT INTO sessions (tenant_id, user_id, token_sha256, expires_at, user_agent)
VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5)
RETURNING id, user_agent, created_at, last_used_at, expires_at;

-- name: list_sessions
-- List a user's unexpired sessions in the order of their ids.
SELECT id, user_agent, created_at, last_used_at, expires_at
FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND id > $3 AND expires_at > clock_timestamp()
ORDER BY id LIMIT $4;

-- name: end_session
-- Delete one of a user's sessions.
DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND id = $3 RETURNING id;

-- name: end_other_sessions
-- Delete all of a user's sessions but one.
DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND id <> $3;
