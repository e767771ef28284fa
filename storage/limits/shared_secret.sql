-- Secrets that processes share: run as waypost_app.

-- name: rate_secret
-- Under what rate limits hash their subjects.
SELECT shared_secret('rate');
