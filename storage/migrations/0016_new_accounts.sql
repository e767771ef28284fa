-- Limits of new accounts: what they create a day. Goes before the code.
--
-- The app sets `waypost.new_accounts` for each transaction, if the operator's settings limit new accounts: the days for
-- which an account is new, and how many links, domains and imports it may create on each (UTC). Triggers count, so
-- that no way of creating passes them by; the lock of the count's row makes the limit exact. Users of the first tenant
-- are not limited.

CREATE INDEX users_id ON users (id);

-- What a new account has created on a day. What it deletes stays counted.
CREATE TABLE new_account_creations (
    tenant_id bigint NOT NULL,
    user_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('links', 'domains', 'imports')),
    day date NOT NULL,
    created bigint NOT NULL CHECK (created >= 0),
    PRIMARY KEY (tenant_id, user_id, kind),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
) WITH (fillfactor = 80);
ALTER TABLE new_account_creations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY definer ON new_account_creations TO waypost_owner USING (true) WITH CHECK (true);

-- Count the rows of a statement, and refuse those above the limit of a new account. The error's detail is the number
-- of seconds until the next day.
CREATE FUNCTION limit_new_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    limits jsonb := nullif(current_setting('waypost.new_accounts', true), '')::jsonb;
    account record;
    added bigint;
    total bigint;
BEGIN
    IF limits IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT u.tenant_id, u.id, u.created_at + make_interval(days => (limits ->> 'days')::integer) AS until INTO account
    FROM users AS u WHERE u.id = current_user_id()
        AND u.created_at > now() - make_interval(days => (limits ->> 'days')::integer)
        AND u.tenant_id <> (SELECT o.tenant_id FROM users AS o ORDER BY o.tenant_id LIMIT 1);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO added FROM new_rows;
    IF added = 0 THEN
        RETURN NULL;
    END IF;
    INSERT INTO new_account_creations AS c (tenant_id, user_id, kind, day, created)
    VALUES (account.tenant_id, account.id, TG_ARGV[0], current_date, added)
    ON CONFLICT (tenant_id, user_id, kind) DO UPDATE SET day = current_date,
        created = CASE WHEN c.day = current_date THEN c.created ELSE 0 END + excluded.created
    RETURNING created INTO total;
    IF total > (limits ->> TG_ARGV[0])::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'WPNEW',
            MESSAGE = format('a new account creates at most %s %s a day (UTC), until %s; try again tomorrow',
                limits ->> TG_ARGV[0], TG_ARGV[0], to_char(account.until, 'YYYY-MM-DD HH24:MI"Z"')),
            DETAIL = ceil(extract(epoch FROM current_date + 1 - now()::timestamp))::text;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION limit_new_accounts() FROM PUBLIC;

CREATE TRIGGER limit_new_accounts AFTER INSERT ON links REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION limit_new_accounts('links');
CREATE TRIGGER limit_new_accounts AFTER INSERT ON domains REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION limit_new_accounts('domains');
CREATE TRIGGER limit_new_accounts AFTER INSERT ON link_imports REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION limit_new_accounts('imports');
