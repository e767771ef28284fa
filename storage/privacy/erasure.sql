-- Erasing a profile. The first runs as waypost_app in the transaction that deletes the profile, the others as
-- waypost_aggregator.

-- name: request
-- From now on, whatever is found of the profile may be erased.
INSERT INTO erasures (tenant_id, profile_id) VALUES ($1, $2);

-- name: mine
-- Those of the caller's tenant, newest first.
SELECT profile_id, requested_at, swept_at, sweeps, rows FROM erasures
WHERE tenant_id = $1 AND profile_id < $2 ORDER BY profile_id DESC LIMIT $3;

-- name: due
-- Whose next sweep's time has come: the first soon after the request, others so long after the one before.
SELECT tenant_id, profile_id, sweeps FROM erasures
WHERE sweeps <= cardinality($1::float8[]) AND clock_timestamp() >= coalesce(
    swept_at + make_interval(secs => ($1::float8[])[sweeps]), requested_at + make_interval(secs => $2))
ORDER BY requested_at LIMIT 100;

-- name: owner_of
-- A profile by its handle, and the first of its owners.
SELECT p.tenant_id, p.id AS profile_id, m.home_tenant_id, m.user_id
FROM profiles AS p JOIN members AS m ON m.tenant_id = p.tenant_id AND m.profile_id = p.id
WHERE p.handle = $1 AND m.role = 'owner' ORDER BY m.slot LIMIT 1;

-- name: exists
-- Whether there still is such a profile.
SELECT EXISTS (SELECT FROM profiles WHERE tenant_id = $1 AND id = $2);

-- name: tables
-- Where something of it may be left, and whether it may be erased there.
SELECT of_table, erasable FROM tables_of_profiles();

-- name: delete_stored_responses
-- Answers to creates that show it.
SELECT delete_stored_responses($1);

-- name: dead_letters_with
-- Batches that could not be folded and have these bytes in them, behind $2 and $3.
SELECT journal_id, first, last, payload FROM dead_letter_batches
WHERE position($1::bytea IN payload) > 0 AND (journal_id, last) > ($2::uuid, $3::bigint)
ORDER BY journal_id, last LIMIT 20;

-- name: replace_dead_letter
-- One batch with other bytes.
UPDATE dead_letter_batches SET payload = $3 WHERE journal_id = $1 AND last = $2;

-- name: delete_dead_letter
-- One batch.
DELETE FROM dead_letter_batches WHERE journal_id = $1 AND last = $2;

-- name: swept
-- One sweep more is done.
UPDATE erasures SET swept_at = clock_timestamp(), sweeps = sweeps + 1, rows = rows + $3
WHERE tenant_id = $1 AND profile_id = $2;
