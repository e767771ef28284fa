-- Queries of a restore's connection, which has no role of Waypost's and no search_path.

-- name: target
-- Return the server's version, and the comment of the schema, empty without one.
SELECT current_setting('server_version_num')::int AS server_version,
    coalesce(obj_description(to_regnamespace('waypost'), 'pg_namespace'), '') AS comment;

-- name: has_schema
-- Whether the database was ever migrated.
SELECT to_regnamespace('waypost') IS NOT NULL;

-- name: has_rows
-- Whether an engine has ever used the database.
SELECT EXISTS (SELECT FROM waypost.tenants) OR EXISTS (SELECT FROM waypost.journals);
