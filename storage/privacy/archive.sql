-- Archives of profiles: run as waypost_app, in the profile's tenant.

-- name: tables
-- List the tables that may hold rows of a profile: each one's name, its name in the archive, and its readable
-- columns as a select list. Bytes (hashes, secrets, sketches) and visitors' pseudonyms are left out. An archive
-- has the names of its format, not of the schema. Tables of packed clicks are left out: see packed_clicks.
WITH published (of_table, of_column, name) AS (VALUES
    ('audit_log', '', 'activity'),
    ('clicks', 'classification', 'verdict'),
    ('conversions', 'variant', 'arm'),
    ('dimension_counts', '', 'dimension_rollups'),
    ('raw_click_retention', '', 'raw_clicks_kept')
)
SELECT c.relname AS of_table, coalesce(t.name, c.relname) AS archived_as,
    string_agg(format('%s AS %I', json_expression(c.relname, a.attname, a.atttypid),
        coalesce(n.name, a.attname)), ', ' ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN published AS t ON t.of_table = c.relname AND t.of_column = ''
    LEFT JOIN published AS n ON n.of_table = c.relname AND n.of_column = a.attname
WHERE c.relnamespace = 'waypost'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname NOT IN ('profile_days', 'click_deltas', 'click_segments')
    AND (c.relname = 'profiles' OR EXISTS (
        SELECT FROM pg_attribute AS p WHERE p.attrelid = c.oid AND p.attname = 'profile_id'
            AND NOT p.attisdropped AND has_column_privilege(c.oid, p.attnum, 'SELECT')))
    AND a.atttypid NOT IN ('bytea'::regtype, 'bytea[]'::regtype)
    AND a.attname NOT IN ('tenant_id', 'visitor', 'click_visitor', 'home_tenant_id', 'password_hash',
        'signing_secrets')
    AND has_column_privilege(c.oid, a.attnum, 'SELECT')
GROUP BY c.relname, t.name ORDER BY c.relname <> 'profiles', archived_as;

-- name: packed_clicks
-- Read the deltas and segments of a profile whose clicks are not counted in tables as well.
SELECT day, clicks, data, NULL::bytea AS quarters, NULL::bytea AS links, NULL::bytea AS agents,
    NULL::bytea AS referrers, NULL::bytea AS sources, NULL::bytea AS languages, NULL::bytea AS places,
    NULL::bytea AS campaigns, NULL::bytea AS kinds, NULL::bytea AS variants, NULL::bytea AS events
FROM click_deltas WHERE tenant_id = $1 AND profile_id = $2
UNION ALL
SELECT day, clicks, NULL, quarters, links, agents, referrers, sources, languages, places, campaigns, kinds, variants,
    events
FROM click_segments WHERE tenant_id = $1 AND profile_id = $2 AND NOT in_tables
ORDER BY day;
