-- The outbox: run as waypost_app or waypost_aggregator, in the transaction of the change.

-- name: append_to_outbox
-- Write the events that one of their profile's webhooks subscribes to. An event that may happen only once is
-- left out the next time.
INSERT INTO events (tenant_id, profile_id, type, once, data)
SELECT e.tenant_id, e.profile_id, e.type, e.once, e.data::jsonb
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
    WITH ORDINALITY AS e (tenant_id, profile_id, type, once, data, n)
WHERE EXISTS (SELECT FROM webhooks AS w WHERE w.tenant_id = e.tenant_id
    AND w.profile_id = e.profile_id AND w.event_types && event_names(e.type))
ORDER BY e.n
ON CONFLICT (tenant_id, profile_id, once) WHERE once IS NOT NULL DO NOTHING;
