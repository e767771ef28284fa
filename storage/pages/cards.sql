-- Cards of published pages: run as waypost_aggregator.

-- name: due
-- Read versions whose card is not drawn, of each profile the newest; the first published first.
SELECT v.tenant_id, v.profile_id, v.number, v.page::text, v.pictures::text, p.handle, p.title
FROM page_versions AS v JOIN profiles AS p ON p.tenant_id = v.tenant_id AND p.id = v.profile_id
WHERE v.card_due AND NOT EXISTS (SELECT FROM page_versions AS n
    WHERE n.tenant_id = v.tenant_id AND n.profile_id = v.profile_id AND n.number > v.number)
ORDER BY v.published_at LIMIT $1;

-- name: begin
-- Note that a card's file is about to be written: for $3 seconds nobody deletes it.
INSERT INTO asset_files AS f (tenant_id, hash, source, width, height, renditions, writable_until)
VALUES ($1, $2, 'png', $4, $5, '[]', clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (tenant_id, hash) DO UPDATE SET writable_until = greatest(f.writable_until, excluded.writable_until)
WHERE f.claimed_until IS NULL;

-- name: used
-- Note that the file is written, and that a page has it; no row when it was deleted.
UPDATE asset_files SET written = true, unused_since = NULL
WHERE tenant_id = $1 AND hash = $2 AND writable_until > clock_timestamp() AND claimed_until IS NULL
RETURNING hash;

-- name: keep
-- Let a profile have a card.
INSERT INTO page_cards (tenant_id, profile_id, address) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: forget_others
-- Let a profile have no other card.
DELETE FROM page_cards WHERE tenant_id = $1 AND profile_id = $2 AND address <> $3;

-- name: done
-- Note that no version of a profile up to number $3 has a card to be drawn.
UPDATE page_versions SET card_due = false WHERE tenant_id = $1 AND profile_id = $2 AND number <= $3 AND card_due;
