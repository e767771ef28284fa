-- name: ensure_partitions
-- Make the missing day partitions from yesterday on. Returns how many.
SELECT waypost.ensure_click_partitions($1);
