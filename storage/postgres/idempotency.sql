-- Answers to creates that named an Idempotency-Key: run as waypost_app, the first two and the last with
-- the caller's own tenant set; purge_expired runs as waypost_aggregator.

-- name: claim_key
-- Take a key that is new or was taken long ago; no row when it is in use. Whoever claims the same one at
-- the same time waits here for the end of this transaction.
INSERT INTO idempotency_keys AS k (tenant_id, user_id, key, request_sha256, created_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (tenant_id, user_id, key) DO UPDATE
SET request_sha256 = excluded.request_sha256, created_at = excluded.created_at,
    status = NULL, headers = NULL, body = NULL
WHERE k.created_at <= clock_timestamp() - $5::interval
RETURNING true;

-- name: kept_answer
-- What was answered to the request that has a key.
SELECT request_sha256, status, headers, body FROM idempotency_keys
WHERE tenant_id = $1 AND user_id = $2 AND key = $3;

-- name: return_home
-- Act in the caller's own tenant again.
SELECT set_config('waypost.tenant', $1, true);

-- name: keep_answer
-- The answer, for whoever sends the request again.
UPDATE idempotency_keys SET status = $4, headers = $5, body = $6
WHERE tenant_id = $1 AND user_id = $2 AND key = $3;

-- name: purge_expired
-- Drop answers that are older than anybody is promised, a bounded number at once.
DELETE FROM idempotency_keys WHERE (tenant_id, user_id, key) IN (
    SELECT tenant_id, user_id, key FROM idempotency_keys
    WHERE created_at <= statement_timestamp() - $1::interval
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED);
