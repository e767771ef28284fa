-- name: sees_all_rows
-- Whether row-level security does not apply to the login user.
SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user;

-- Queries of a backup's connection, which has no role of Waypost's and no search_path.

-- name: begin
-- Begin the transaction whose first query takes the snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: lift_limits
-- Let the transaction last as long as the copying does; only locks must come in time. Takes no snapshot.
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '30s';

-- name: lock_partitions
-- Keep partitions from being dropped while they are read. LOCK takes no snapshot, so the one below is later.
LOCK TABLE waypost.clicks IN ACCESS SHARE MODE;

-- name: export
-- Take the snapshot. The moment is just before it: all that was committed until then is visible.
SELECT pg_export_snapshot() AS id, statement_timestamp() AS moment,
    current_setting('server_version_num')::int AS server_version;

-- name: keep_pictures
-- Keep the collector from deleting pictures' files until this session ends (storage/assets/unused.sql).
SELECT pg_advisory_lock_shared(hashtextextended('waypost.asset_files', 0));

-- name: pictures
-- List the hashes of the files that assets, pages and links have.
SELECT hash FROM waypost.asset_files WHERE written AND unused_since IS NULL ORDER BY hash;

-- name: journals
-- Read the watermarks of all journals.
SELECT journal_id, folded, retired_at IS NOT NULL AS retired FROM waypost.journals;

-- name: tables
-- List the tables, partitions among them, in the order of their names.
SELECT relname AS name FROM pg_class
WHERE relnamespace = 'waypost'::regnamespace AND relkind = 'r' AND relname ~ '^[a-z][a-z0-9_]*$'
ORDER BY relname;
