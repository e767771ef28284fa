-- Erasure of profiles. The first query runs as waypost_app in the transaction that deletes the profile, the
-- others as waypost_aggregator.

-- name: request
-- Request the erasure: from now on the workers erase all rows of the profile.
INSERT INTO erasures (tenant_id, profile_id) VALUES ($1, $2);

-- name: list_erasures
-- List the erasures of the caller's tenant, newest first.
SELECT profile_id, requested_at, swept_at, sweeps, rows FROM erasures
WHERE tenant_id = $1 AND profile_id < $2 ORDER BY profile_id DESC LIMIT $3;

-- name: due
-- List erasures whose next sweep is due: the first $2 seconds after the request, each other one $1[n] seconds
-- after the one before.
SELECT tenant_id, profile_id, sweeps FROM erasures
WHERE sweeps <= cardinality($1::float8[]) AND clock_timestamp() >= coalesce(
    swept_at + make_interval(secs => ($1::float8[])[sweeps]), requested_at + make_interval(secs => $2))
ORDER BY requested_at LIMIT 100;

-- name: owner_of
-- Find a profile by its handle, and the first of its owners.
SELECT p.tenant_id, p.id AS profile_id, m.home_tenant_id, m.user_id
FROM profiles AS p JOIN members AS m ON m.tenant_id = p.tenant_id AND m.profile_id = p.id
WHERE p.handle = $1 AND m.role = 'owner' ORDER BY m.slot LIMIT 1;

-- name: exists
-- Return whether the profile still exists.
SELECT EXISTS (SELECT FROM profiles WHERE tenant_id = $1 AND id = $2);

-- name: tables
-- List the tables that may keep rows of a deleted profile, and whether workers may delete there.
SELECT of_table, erasable FROM tables_of_profiles();

-- name: delete_stored_responses
-- Delete the stored responses that show the profile.
SELECT delete_stored_responses($1);

-- name: dead_letters_with
-- Read dead letters that contain these bytes, after the key ($2, $3).
SELECT journal_id, first, last, payload FROM dead_letter_batches
WHERE position($1::bytea IN payload) > 0 AND (journal_id, last) > ($2::uuid, $3::bigint)
ORDER BY journal_id, last LIMIT 20;

-- name: replace_dead_letter
-- Replace the payload of a dead letter.
UPDATE dead_letter_batches SET payload = $3 WHERE journal_id = $1 AND last = $2;

-- name: delete_dead_letter
-- Delete a dead letter.
DELETE FROM dead_letter_batches WHERE journal_id = $1 AND last = $2;

-- name: swept
-- Record that a sweep is done.
UPDATE erasures SET swept_at = clock_timestamp(), sweeps = sweeps + 1, rows = rows + $3
WHERE tenant_id = $1 AND profile_id = $2;
