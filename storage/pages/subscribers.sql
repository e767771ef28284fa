-- Addresses of visitors: run as waypost_app with the profile's tenant set, and `subscribe` as waypost_edge.

-- name: subscribers
-- List the addresses of a profile in the order of their ids.
SELECT id, block, email, subscribed_at FROM page_subscribers
WHERE tenant_id = $1 AND profile_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: delete
-- Delete an address.
DELETE FROM page_subscribers WHERE tenant_id = $1 AND profile_id = $2 AND id = $3;

-- name: subscribe
-- Keep a visitor's address.
SELECT subscribe($1, $2, $3, $4);
