-- name: lock_profiles
-- Serialise the writers of dimension counts of the same profiles: reading a sketch, adding to it and writing it
-- back would lose a concurrent addition. In the order of the slots.
SELECT pg_advisory_xact_lock(7501, slot) FROM (SELECT slot FROM unnest($1::int[]) AS u (slot) ORDER BY slot) AS s;

-- name: existing
-- Read which of these rows exist, by number from 1, and their sketches.
SELECT u.number, r.visitors
FROM unnest($1::text::bigint[], $2::text::bigint[], $3::text::bigint[], $4::text::smallint[],
    $5::text::bigint[], $6::text[]) WITH ORDINALITY
    AS u (tenant_id, profile_id, link_id, dimension, bucket_s, value, number)
JOIN dimension_counts AS r ON r.tenant_id = u.tenant_id AND r.profile_id = u.profile_id
    AND r.link_id = u.link_id AND r.dimension = u.dimension
    AND r.bucket = timestamptz 'epoch' + u.bucket_s * interval '1 second' AND r.value = u.value;

-- name: values
-- Count the values in these time buckets of dimensions, up to $6.
SELECT (
    SELECT count(*) FROM (
        SELECT FROM dimension_counts AS r
        WHERE r.tenant_id = u.tenant_id AND r.profile_id = u.profile_id AND r.link_id = u.link_id
            AND r.dimension = u.dimension AND r.bucket = timestamptz 'epoch' + u.bucket_s * interval '1 second'
            AND r.value NOT IN ('', '(other)')
        LIMIT $6
    ) AS few
)
FROM unnest($1::text::bigint[], $2::text::bigint[], $3::text::bigint[], $4::text::smallint[], $5::text::bigint[])
    WITH ORDINALITY AS u (tenant_id, profile_id, link_id, dimension, bucket_s, number)
ORDER BY u.number;

-- name: add
-- Add rows in the order of the key, which is also their order in the index. Without a sketch the existing one
-- stays.
INSERT INTO dimension_counts AS r
    (tenant_id, profile_id, link_id, dimension, bucket, value, clicks, views, bots, visitors)
SELECT tenant_id, profile_id, link_id, dimension,
    timestamptz 'epoch' + bucket_s * interval '1 second', value, clicks, views, bots, visitors
FROM unnest($1::text::bigint[], $2::text::bigint[], $3::text::bigint[], $4::text::smallint[],
    $5::text::bigint[], $6::text[], $7::text::bigint[], $8::text::bigint[], $9::text::bigint[], $10::bytea[])
    AS u (tenant_id, profile_id, link_id, dimension, bucket_s, value, clicks, views, bots, visitors)
ORDER BY 1, 2, 3, 4, 5, value COLLATE "C"
ON CONFLICT (tenant_id, profile_id, link_id, dimension, bucket, value)
DO UPDATE SET clicks = r.clicks + excluded.clicks, views = r.views + excluded.views,
    bots = r.bots + excluded.bots, visitors = coalesce(excluded.visitors, r.visitors);
