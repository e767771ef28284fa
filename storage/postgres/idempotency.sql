-- Responses to creates that named an Idempotency-Key: run as waypost_app, the first two and the last with the
-- caller's own tenant set; purge_expired runs as waypost_aggregator.

-- name: claim_key
-- Claim a key that is new or expired; no row when it is in use. A concurrent claim of the same key waits here
-- for the end of this transaction.
INSERT INTO idempotency_keys AS k (tenant_id, user_id, key, request_sha256, created_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (tenant_id, user_id, key) DO UPDATE
SET request_sha256 = excluded.request_sha256, created_at = excluded.created_at,
    status = NULL, headers = NULL, body = NULL, holds_secret = false, about_profile = NULL
WHERE k.created_at <= clock_timestamp() - $5::interval
RETURNING true;

-- name: kept_answer
-- Read the stored response of a key.
SELECT request_sha256, status, headers, body, holds_secret FROM idempotency_keys
WHERE tenant_id = $1 AND user_id = $2 AND key = $3;

-- name: return_home
-- Act in the caller's own tenant again.
SELECT set_config('waypost.tenant', $1, true);

-- name: keep_answer
-- Store the response, for a repetition of the request.
UPDATE idempotency_keys SET status = $4, headers = $5, body = $6, holds_secret = $7, about_profile = $8
WHERE tenant_id = $1 AND user_id = $2 AND key = $3;

-- name: purge_expired
-- Purge responses that are older than the API promises to keep them, a bounded number at once.
DELETE FROM idempotency_keys WHERE (tenant_id, user_id, key) IN (
    SELECT tenant_id, user_id, key FROM idempotency_keys
    WHERE created_at <= statement_timestamp() - $1::interval
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED);
