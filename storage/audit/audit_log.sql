-- The audit log, as members and tenants read it: run as waypost_app with the caller set.

-- name: entries
-- Read at most $4 entries of a chain ($1 tenant, $2 profile) before seq $3 that pass the filters, newest first.
SELECT seq, at, user_id, key_id, request_id, action, object_type, object_id, before, after, hash,
    jsonb_build_array(
        profile_id::text, seq, (extract(epoch FROM at) * 1000000)::bigint, user_id::text, key_id::text, request_id,
        action, object_type, object_id::text, before, after)::text AS hashed
FROM audit_log
WHERE tenant_id = $1 AND profile_id = $2 AND seq < $3
    AND ($5::text IS NULL OR action = $5) AND ($6::text IS NULL OR object_type = $6)
    AND ($7::bigint IS NULL OR object_id = $7) AND ($8::bigint IS NULL OR user_id = $8)
    AND ($9::timestamptz IS NULL OR at >= $9) AND ($10::timestamptz IS NULL OR at < $10)
    AND ($11::bigint IS NULL OR key_id = $11)
ORDER BY seq DESC LIMIT $4;

-- name: has_chain
-- Return whether the tenant's ($1) log has entries of a profile ($2).
SELECT EXISTS (SELECT FROM audit_log WHERE tenant_id = $1 AND profile_id = $2);

-- name: is_there
-- Return whether the profile still exists.
SELECT EXISTS (SELECT FROM profiles WHERE tenant_id = $1 AND id = $2);

-- name: members_emails
-- Read the addresses of those users ($2) that are members of the profile ($1).
SELECT user_id, email FROM profile_members($1) WHERE user_id = ANY ($2::bigint[]);

-- name: users_emails
-- Read the addresses of those users ($2) that belong to the tenant ($1).
SELECT id, email FROM users WHERE tenant_id = $1 AND id = ANY ($2::bigint[]);
