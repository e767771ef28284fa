-- Assets as the console changes them: run as waypost_app, with the tenant of the profile set.

-- name: lock_profile
-- Serialise the creation of a profile's assets.
SELECT id FROM profiles WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: room
-- Count the assets of a profile and their bytes.
SELECT count(*) AS assets, coalesce(sum(bytes), 0)::bigint AS bytes FROM assets
WHERE tenant_id = $1 AND profile_id = $2;

-- name: begin
-- Note that files are about to be written: for $7 seconds nobody deletes them. Returns whether they are written; no
-- row while the collector deletes them.
INSERT INTO asset_files AS f (tenant_id, hash, source, width, height, renditions, writable_until)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))
ON CONFLICT (tenant_id, hash) DO UPDATE SET writable_until = greatest(f.writable_until, excluded.writable_until)
WHERE f.claimed_until IS NULL
RETURNING written;

-- name: stored
-- Read what is known of files that are written already, and keep them for $3 seconds.
UPDATE asset_files SET writable_until = greatest(writable_until, clock_timestamp() + make_interval(secs => $3))
WHERE tenant_id = $1 AND hash = $2 AND written AND claimed_until IS NULL
RETURNING source, width, height, renditions;

-- name: used
-- Note that files are written, and that an asset is about to have them; no row when they were deleted.
UPDATE asset_files SET written = true, unused_since = NULL
WHERE tenant_id = $1 AND hash = $2 AND writable_until > clock_timestamp() AND claimed_until IS NULL
RETURNING hash;

-- name: create
-- Create an asset.
INSERT INTO assets (tenant_id, profile_id, address, name, content_type, bytes) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id;

-- name: by_hash
-- Read the asset of a profile that has a hash.
SELECT a.id, a.profile_id, a.address AS hash, a.name, a.content_type, f.width, f.height, a.bytes, f.renditions, a.created_at,
    ARRAY(SELECT p.page_version FROM page_assets AS p WHERE p.tenant_id = a.tenant_id AND p.profile_id = a.profile_id
        AND p.asset_id = a.id ORDER BY 1) AS page_versions
FROM assets AS a JOIN asset_files AS f ON f.tenant_id = a.tenant_id AND f.hash = a.address
WHERE a.tenant_id = $1 AND a.profile_id = $2 AND a.address = $3;

-- name: asset
-- Read one asset of a profile.
SELECT a.id, a.profile_id, a.address AS hash, a.name, a.content_type, f.width, f.height, a.bytes, f.renditions, a.created_at,
    ARRAY(SELECT p.page_version FROM page_assets AS p WHERE p.tenant_id = a.tenant_id AND p.profile_id = a.profile_id
        AND p.asset_id = a.id ORDER BY 1) AS page_versions
FROM assets AS a JOIN asset_files AS f ON f.tenant_id = a.tenant_id AND f.hash = a.address
WHERE a.tenant_id = $1 AND a.profile_id = $2 AND a.id = $3;

-- name: list
-- List a profile's assets, the newest first.
SELECT a.id, a.profile_id, a.address AS hash, a.name, a.content_type, f.width, f.height, a.bytes, f.renditions, a.created_at,
    ARRAY(SELECT p.page_version FROM page_assets AS p WHERE p.tenant_id = a.tenant_id AND p.profile_id = a.profile_id
        AND p.asset_id = a.id ORDER BY 1) AS page_versions
FROM assets AS a JOIN asset_files AS f ON f.tenant_id = a.tenant_id AND f.hash = a.address
WHERE a.tenant_id = $1 AND a.profile_id = $2 AND a.id < $3 ORDER BY a.id DESC LIMIT $4;

-- name: delete
-- Delete an asset.
DELETE FROM assets WHERE tenant_id = $1 AND profile_id = $2 AND id = $3 RETURNING id;

-- name: forget_page
-- Let a version of a profile's page keep no asset.
DELETE FROM page_assets WHERE tenant_id = $1 AND profile_id = $2 AND page_version = $3;

-- name: keep_page
-- Let a version of a profile's page keep those of these assets that exist. Returns their ids.
INSERT INTO page_assets (tenant_id, profile_id, page_version, asset_id)
SELECT $1, $2, $3, id FROM assets WHERE tenant_id = $1 AND profile_id = $2 AND id = ANY ($4::bigint[])
RETURNING asset_id;
