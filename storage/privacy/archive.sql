-- All that is kept of a profile: run as waypost_app, in the profile's tenant.

-- name: tables
-- Where something of a profile may stand, and its columns that may be read, as a list to select. Left out are
-- bytes (hashes, secrets and sketches) and who visitors were. Ids are texts, as JSON's numbers cannot hold them.
SELECT c.relname AS of_table,
    string_agg(CASE WHEN a.atttypid = 'bigint'::regtype AND a.attname ~ '(^|_)id$'
        THEN format('%1$I::text AS %1$I', a.attname) ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'waypost'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND (c.relname = 'profiles' OR EXISTS (
        SELECT FROM pg_attribute AS p WHERE p.attrelid = c.oid AND p.attname = 'profile_id'
            AND NOT p.attisdropped AND has_column_privilege(c.oid, p.attnum, 'SELECT')))
    AND a.atttypid NOT IN ('bytea'::regtype, 'bytea[]'::regtype)
    AND a.attname NOT IN ('tenant_id', 'visitor', 'home_tenant_id')
    AND has_column_privilege(c.oid, a.attnum, 'SELECT')
GROUP BY c.relname ORDER BY c.relname <> 'profiles', c.relname;
