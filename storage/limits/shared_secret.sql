-- Secrets that processes share: run as waypost_app.

-- name: rate_secret
-- Read the secret that rate limits hash their subjects with.
SELECT shared_secret('rate');
