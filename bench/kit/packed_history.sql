-- name: no_counts
-- Delete all counts.
TRUNCATE waypost.click_segments, waypost.click_deltas, waypost.profile_days, waypost.rollups,
    waypost.dimension_counts, waypost.dimension_days, waypost.dimension_months, waypost.dimension_quarters;

-- name: tenant
-- Return the tenant of a profile.
SELECT tenant_id FROM waypost.profiles WHERE id = $1;

-- name: links
-- List the links of a profile.
SELECT id FROM waypost.links WHERE profile_id = $1 ORDER BY id;

-- name: others
-- List all profiles but one.
SELECT id FROM waypost.profiles WHERE id <> $1 ORDER BY id;

-- name: copy_segments
-- Give all profiles but $2 the segments of the profile $1. The braces are filled with the other columns.
INSERT INTO waypost.click_segments (tenant_id, profile_id, {columns})
SELECT p.tenant_id, p.id, {columns}
FROM (SELECT tenant_id, id FROM waypost.profiles WHERE id NOT IN ($1, $2)) AS p
CROSS JOIN (SELECT {columns} FROM waypost.click_segments WHERE profile_id = $1) AS s;

-- name: columns
-- List the columns of click_segments but those of its profile.
SELECT attname FROM pg_attribute WHERE attrelid = 'waypost.click_segments'::regclass AND attnum > 0
    AND NOT attisdropped AND attname NOT IN ('tenant_id', 'profile_id');

-- name: counted
-- Note that something was counted.
UPDATE waypost.journals SET committed_at = $1, recounted_at = clock_timestamp();
