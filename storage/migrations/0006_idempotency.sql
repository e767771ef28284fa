-- The workers delete answers to creates that are older than anybody is promised. Goes before the code.
GRANT SELECT (tenant_id, user_id, key, created_at), UPDATE (created_at), DELETE ON idempotency_keys
    TO waypost_aggregator;
