-- The chains of the log of changes, as `waypost doctor --audit` walks along them: run as waypost_owner.

-- name: entries
-- All entries with the text that their hash covers, chain by chain.
SELECT tenant_id, profile_id, seq, hash, jsonb_build_array(
    tenant_id, profile_id, seq, (extract(epoch FROM at) * 1000000)::bigint, user_id, key_id, request_id,
    action, object_type, object_id, before, after)::text AS covered
FROM audit_log ORDER BY tenant_id, profile_id, seq;

-- name: heads
-- Where each chain ends.
SELECT tenant_id, profile_id, seq, hash FROM audit_log_heads ORDER BY tenant_id, profile_id;

-- name: estimated
-- About how many entries there are; -1 when nobody knows.
SELECT reltuples::bigint FROM pg_class WHERE oid = 'audit_log'::regclass;
