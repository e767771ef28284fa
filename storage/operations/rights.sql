-- name: roles
-- Read the roles and their attributes; `usable`: whether the login user may act as the role.
SELECT rolname AS role, rolsuper AS super, rolbypassrls AS bypasses,
    pg_has_role(session_user, oid,
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) AS usable
FROM pg_roles WHERE rolname = ANY ($1::text[]);

-- name: memberships
-- Find the roles that are members of one of the others, and may so act as it.
SELECT member.rolname AS member, role.rolname AS role
FROM pg_roles AS member JOIN pg_roles AS role ON role.oid <> member.oid
WHERE member.rolname = ANY ($1::text[]) AND role.rolname = ANY ($1::text[])
    AND NOT member.rolsuper AND pg_has_role(member.oid, role.oid, 'MEMBER')
ORDER BY 1, 2;

-- name: missing
-- Find the rights that the roles lack, of (role, privilege, kind, object, column).
SELECT r.ordinality::int - 1 AS number
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    WITH ORDINALITY AS r(role, privilege, kind, object, of_column)
LEFT JOIN pg_namespace AS n ON n.nspname = 'waypost'
LEFT JOIN pg_class AS c ON kind IN ('TABLE', 'SEQUENCE') AND c.relnamespace = n.oid
    AND format('waypost.%s', c.relname) = object
LEFT JOIN pg_proc AS p ON kind = 'FUNCTION' AND p.pronamespace = n.oid
    AND format('waypost.%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) = object
WHERE NOT coalesce(CASE
    WHEN kind = 'SCHEMA' THEN has_schema_privilege(role, n.oid, privilege)
    WHEN kind = 'SEQUENCE' THEN has_sequence_privilege(role, c.oid, privilege)
    WHEN kind = 'FUNCTION' THEN has_function_privilege(role, p.oid, privilege)
    WHEN of_column = '' THEN has_table_privilege(role, c.oid, privilege)
    ELSE has_column_privilege(role, c.oid, of_column, privilege)
END, false)
ORDER BY 1;

-- name: foreign_objects
-- Find what another role than waypost_owner owns: functions act with the rights of their owner.
SELECT 'SCHEMA' AS kind, nspname::text AS object FROM pg_namespace
WHERE nspname = 'waypost' AND nspowner <> 'waypost_owner'::regrole
UNION ALL
SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, format('waypost.%I', relname)
FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'waypost') AND relkind IN ('r', 'p', 'v', 'S')
    AND relowner <> 'waypost_owner'::regrole
UNION ALL
SELECT CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
    format('waypost.%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid))
FROM pg_proc AS p WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'waypost') AND proowner <> 'waypost_owner'::regrole
ORDER BY 1 DESC, 2;

-- name: open_tables
-- Find the tables without forced row-level security.
SELECT format('waypost.%I', relname) AS object FROM pg_class
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'waypost') AND relkind IN ('r', 'p')
    AND NOT (relrowsecurity AND relforcerowsecurity)
ORDER BY 1;
