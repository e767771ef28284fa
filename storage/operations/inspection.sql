-- name: facts
-- Read what PostgresFacts tells, and the server's time in seconds.
SELECT current_setting('server_version_num')::int / 10000 AS major,
    current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() AS standby,
    current_setting('transaction_read_only')::bool AS read_only,
    current_setting('fsync')::bool AS fsync,
    current_setting('full_page_writes')::bool AS full_page_writes,
    current_setting('synchronous_commit') <> 'off' AS synchronous_commit,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS usable_connections,
    coalesce(datcollversion, '') AS collation,
    coalesce(pg_database_collation_actual_version(oid), '') AS collation_now,
    extract(epoch FROM clock_timestamp())::float8 AS server_s
FROM pg_database WHERE datname = current_database();
