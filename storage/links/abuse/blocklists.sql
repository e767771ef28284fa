-- Copies of blocklists: read by all processes, written by workers (waypost_aggregator).

-- name: states
-- Read the states of lists.
SELECT url, version, tag, fetched_at, reason FROM blocklists WHERE url = ANY ($1::text[]);

-- name: body
-- Read the copy of a list.
SELECT body FROM blocklists WHERE url = $1;

-- name: replace
-- Keep a new copy of a list.
INSERT INTO blocklists AS b (url, version, tag, body, fetched_at) VALUES ($1, 1, $2, $3, now())
ON CONFLICT (url) DO UPDATE SET version = b.version + 1, tag = excluded.tag, body = excluded.body,
    fetched_at = now(), checked_at = now(), reason = '';

-- name: confirm
-- Note that the copy of a list is the current one.
UPDATE blocklists SET fetched_at = now(), checked_at = now(), reason = '' WHERE url = $1;

-- name: fail
-- Note why a list could not be fetched; its copy stays.
INSERT INTO blocklists (url, reason) VALUES ($1, $2)
ON CONFLICT (url) DO UPDATE SET checked_at = now(), reason = excluded.reason;

-- name: forget
-- Delete the copies of other lists.
DELETE FROM blocklists WHERE url <> ALL ($1::text[]);
