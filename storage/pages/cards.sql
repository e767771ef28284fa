-- Cards of published pages and of links: run as waypost_aggregator.

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

-- name: due_links
-- Read links whose card may have changed, profile by profile in turn, with their page: it is large, so the limit is
-- within.
SELECT c.tenant_id, c.profile_id, c.link_id, c.due_since, c.is_secret, c.address, p.handle, l.slug, l.target,
    coalesce(l.options #>> '{preview,title}', '') AS title, v.page::text, v.pictures::text
FROM (
    SELECT *, row_number() OVER (PARTITION BY d.tenant_id, d.profile_id ORDER BY d.due_since) AS turn
    FROM link_cards AS d WHERE d.due ORDER BY turn, d.due_since LIMIT $1
) AS c
JOIN links AS l ON l.tenant_id = c.tenant_id AND l.id = c.link_id
JOIN profiles AS p ON p.tenant_id = c.tenant_id AND p.id = c.profile_id
LEFT JOIN LATERAL (
    SELECT v.page, v.pictures FROM page_versions AS v
    WHERE v.tenant_id = c.tenant_id AND v.profile_id = c.profile_id ORDER BY v.number DESC LIMIT 1
) AS v ON true
ORDER BY c.turn, c.due_since;

-- name: keep_link
-- Let a link have this card, whose file is written; due again if it has changed since it was read. Changes nothing
-- when the link is gone, or the file was deleted.
WITH card AS (
    SELECT FROM link_cards WHERE tenant_id = $1 AND link_id = $2 FOR UPDATE
), used AS (
    UPDATE asset_files SET written = true, unused_since = NULL
    WHERE tenant_id = $1 AND hash = $3 AND writable_until > clock_timestamp() AND claimed_until IS NULL
        AND EXISTS (SELECT FROM card)
    RETURNING hash
)
UPDATE link_cards SET address = $3, due = due_since <> $4
WHERE tenant_id = $1 AND link_id = $2 AND EXISTS (SELECT FROM used);

-- name: done_link
-- Note that the card of a link is right, or cannot be drawn, unless the link has changed since it was read.
UPDATE link_cards SET due = false WHERE tenant_id = $1 AND link_id = $2 AND due_since = $3;
