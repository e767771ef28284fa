-- Addresses of visitors: the first two run as waypost_app with the profile's tenant set, `subscribe` to `unsubscribe`
-- as waypost_edge, `unconfirmed` and `purge` as waypost_aggregator, `secret` as both.

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

-- name: request
-- Have a visitor's address confirmed by mail.
SELECT request_subscription($1, $2, $3, $4);

-- name: confirm
-- Put the address of a request on the list.
SELECT confirm_subscription($1, $2, $3);

-- name: unsubscribe
-- Take the address of a request off the list.
SELECT unsubscribe($1, $2, $3);

-- name: secret
-- Read what links of mails are signed with.
SELECT subscription_secret();

-- name: unconfirmed
-- Read the address of a request that is not confirmed.
SELECT r.email, p.handle
FROM subscription_requests AS r JOIN profiles AS p ON p.tenant_id = r.tenant_id AND p.id = r.profile_id
WHERE r.tenant_id = $1 AND r.profile_id = $2 AND r.id = $3;

-- name: purge
-- Delete addresses that were not confirmed for $1 seconds.
DELETE FROM subscription_requests WHERE requested_at < clock_timestamp() - make_interval(secs => $1);
