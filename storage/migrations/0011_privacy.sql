-- Erasing a profile for good: its counts, its log and all other rows. Goes before the code.

-- What is left of an erased profile is one row here, of numbers only: clicks of a machine that was off may still
-- arrive, and are erased by the sweeps that follow. The tenant's own audit log says that a profile of that number
-- was erased.
CREATE TABLE erasures (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    profile_id bigint NOT NULL CHECK (profile_id > 0),
    requested_at timestamptz NOT NULL DEFAULT now(),
    swept_at timestamptz,
    sweeps integer NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, profile_id)
);
ALTER TABLE erasures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON erasures TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON erasures FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, INSERT (tenant_id, profile_id) ON erasures TO waypost_app;
GRANT SELECT, UPDATE ON erasures TO waypost_aggregator;
GRANT SELECT (tenant_id, profile_id), DELETE ON audit_log, audit_log_heads, profile_changes TO waypost_aggregator;

-- An erasure is logged by its tenant, as the profile's own log goes.
CREATE FUNCTION log_erasure() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    PERFORM append_to_audit_log(NEW.tenant_id, 0, 'profile', ARRAY[jsonb_build_array(
        NEW.profile_id, NULL, NULL, 'profile.erased')]);
    RETURN NULL;
END
$$;
CREATE TRIGGER log_insert AFTER INSERT ON erasures FOR EACH ROW EXECUTE FUNCTION log_erasure();

-- The audit log is append-only but for this: the chain of an erased profile goes as a whole. No statement of the
-- app's gets here, as it may not delete from the log at all.
CREATE FUNCTION refuse_unless_erased() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM erasures WHERE tenant_id = OLD.tenant_id AND profile_id = OLD.profile_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only but for profiles that are erased', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;
CREATE TRIGGER only_erased BEFORE DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_unless_erased();
CREATE TRIGGER only_erased BEFORE DELETE ON audit_log_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_unless_erased();

-- The tables that may keep rows of a deleted profile: they have its number, and no foreign key empties them.
-- `erasable` is false where a DELETE for workers was forgotten.
CREATE FUNCTION tables_of_profiles() RETURNS TABLE (of_table text, erasable boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT quote_ident(c.relname), has_table_privilege('waypost_aggregator', c.oid, 'DELETE')
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'profile_id' AND NOT a.attisdropped
    WHERE c.relnamespace = 'waypost'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND c.relname <> 'erasures'
        AND NOT EXISTS (
            SELECT FROM pg_constraint AS f WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confdeltype = 'c'
                AND f.confrelid IN ('waypost.profiles'::regclass, 'waypost.links'::regclass))
    ORDER BY c.relname
$$;

-- Delete the stored responses to creates that show a profile or its links. Returns how many.
CREATE FUNCTION delete_stored_responses(of_profile bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH deleted AS (
        DELETE FROM waypost.idempotency_keys
        WHERE about_profile = of_profile
            OR position(convert_to('"' || of_profile || '"', 'UTF8') IN body) > 0 RETURNING 1
    )
    SELECT count(*) FROM deleted
$$;

REVOKE ALL ON FUNCTION log_erasure(), refuse_unless_erased(), tables_of_profiles(), delete_stored_responses(bigint)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tables_of_profiles(), delete_stored_responses(bigint) TO waypost_aggregator;
