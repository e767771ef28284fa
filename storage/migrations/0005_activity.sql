-- Ids that nobody chooses, and reading the log by its filters. Goes before the code.
--
-- Ids of profiles and users mean the same in every tenant (members, visitors' look-ups): a row of one's own
-- under somebody else's id would stand for theirs. So the app neither gives nor changes them. A migration
-- that adds a column to these two grants it to the app, too.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT attrelid::regclass AS of_table,
            string_agg(quote_ident(attname), ', ') FILTER (WHERE attname <> 'id') AS given,
            string_agg(quote_ident(attname), ', ') FILTER (WHERE attname NOT IN ('id', 'tenant_id')) AS changed
        FROM pg_attribute
        WHERE attrelid IN ('profiles'::regclass, 'users'::regclass) AND attnum > 0 AND NOT attisdropped
        GROUP BY attrelid
    LOOP
        EXECUTE format('REVOKE INSERT, UPDATE ON %s FROM waypost_app', one.of_table);
        EXECUTE format('GRANT INSERT (%s), UPDATE (%s) ON %s TO waypost_app',
            one.given, one.changed, one.of_table);
    END LOOP;
END
$$;
