-- The chains of the audit log, as `waypost doctor --audit` verifies them: run as waypost_owner.

-- name: entries
-- Read all entries with the text that their hash covers, chain by chain.
SELECT tenant_id, profile_id, seq, hash, jsonb_build_array(
    profile_id::text, seq, (extract(epoch FROM at) * 1000000)::bigint, user_id::text, key_id::text, request_id,
    action, object_type, object_id::text, before, after)::text AS hashed
FROM audit_log ORDER BY tenant_id, profile_id, seq;

-- name: heads
-- Read the head of each chain.
SELECT tenant_id, profile_id, seq, hash FROM audit_log_heads ORDER BY tenant_id, profile_id;

-- name: estimated
-- Estimate the number of entries; -1 before the first ANALYZE.
SELECT reltuples::bigint FROM pg_class WHERE oid = 'audit_log'::regclass;
