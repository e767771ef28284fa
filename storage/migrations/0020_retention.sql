-- How long raw clicks are kept is the profile's to say. Goes before the code.
GRANT INSERT (raw_retention_days), UPDATE (raw_retention_days) ON profiles TO waypost_app;

DROP FUNCTION my_profiles(bigint, integer);
-- The profiles that the user who acts is a member of, in whatever tenant, in the order of their ids.
CREATE FUNCTION my_profiles(after bigint, most integer)
RETURNS TABLE (id bigint, tenant_id bigint, handle text, title text, raw_retention_days smallint,
    version bigint, created_at timestamptz, updated_at timestamptz, role text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.id, p.tenant_id, p.handle, p.title, p.raw_retention_days, p.version, p.created_at,
        p.updated_at, m.role
    FROM waypost.members AS m JOIN waypost.profiles AS p
        ON p.tenant_id = m.tenant_id AND p.id = m.profile_id
    WHERE m.user_id = waypost.current_user_id() AND m.profile_id > after
    ORDER BY m.profile_id LIMIT most
$$;
REVOKE ALL ON FUNCTION my_profiles(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION my_profiles(bigint, integer) TO waypost_app;
