-- Leases of clicks of limited links: run as waypost_edge.

-- name: lease
-- Lease clicks of links by tenant ($1) and id ($2).
SELECT link_id, granted FROM lease_clicks($1, $2);

-- name: give_back
-- Give back clicks ($3) of links by tenant ($1) and id ($2).
SELECT give_back_clicks($1, $2, $3);
