-- name: ensure_partitions
-- Day partitions from yesterday on; the number made.
SELECT waypost.ensure_click_partitions($1);
