"""The schema as pg_catalog describes it, and its violations of the rules for every table."""

from typing import NamedTuple

from storage.postgres.database import Connection

OWNER = "waypost_owner"
ROLES = ("waypost_app", "waypost_edge", "waypost_aggregator")
BYPASSES = "waypost_aggregator"  # COPY is refused under row-level security

# Unique without the tenant, so that a collision reveals that the value exists. Nothing else may be.
UNIQUE_ACROSS_TENANTS = {
    "tenants_pkey": "the tenant itself",
    "users_email": "an e-mail address has one account, and a visitor who signs up with it learns of that",
    "profiles_handle": "a handle is public: it is in the URL of the profile's page",
    "short_slugs_pkey": "a short slug is public: it is a URL of the default domain",
    "domains_verified": "a verified host is public: its links answer there",
    "api_keys_sha256": "only who holds the 256-bit secret can collide with its hash",
    "sessions_token": "only who holds the 256-bit secret can collide with its hash",
    "conversion_hooks_token": "only who holds the 256-bit secret can collide with its hash",
    "recovery_tokens_token": "only who holds the 256-bit secret can collide with its hash",
    "shares_token": "only who holds the 256-bit secret can collide with its hash",
    "invitations_token": "only who holds the 256-bit secret can collide with its hash",
    "profile_changes_pkey": "the policy own_profiles refuses foreign ids before the key is looked at",
    "waypost_migrations_pkey": "not of tenants",
    "user_agents_pkey": "not of tenants, and the aggregator's only",
    "journals_pkey": "not of tenants",
    "blocklists_pkey": "not of tenants, and the workers write it only",
    "shared_secrets_pkey": "not of tenants, and the owner's only",
    "periodic_jobs_pkey": "not of tenants, and the workers' only",
    "github_request_lease_pkey": "not of tenants, and the aggregator's only",
    "aggregators_pkey": "not of tenants, and the aggregator's only",
    "dead_letter_batches_pkey": "not of tenants, and the aggregator's only",
}
# Policies that do not compare the tenant, of roles that act for one.
OPEN_POLICIES = {
    ("blocklists", "everybody_reads"): "lists of the operator, of no tenant",
    ("waypost_migrations", "everybody_reads"): "which migrations are applied is no secret",
    ("journals", "freshness"): "when counts were last committed, granted by the column",
}


class Relation(NamedTuple):
    """A table. `tenant_column` is empty where rows belong to no tenant; `parent` names a partition's table."""

    name: str
    kind: str
    tenant_column: str
    parent: str


async def relations(connection: Connection) -> list[Relation]:
    """Return all relations that have rows, with partitions, in the order of their names."""
    rows = await connection.fetch(
        """
        SELECT c.relname, c.relkind::text, coalesce(a.attname, ''), coalesce(p.relname, '')
        FROM pg_class AS c
        LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped
            AND a.attname = CASE c.relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END
        LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
        LEFT JOIN pg_class AS p ON p.oid = i.inhparent
        WHERE c.relnamespace = 'waypost'::regnamespace AND c.relkind NOT IN ('i', 'I', 'S', 'c', 't')
        ORDER BY c.relname
        """
    )
    return [Relation(*row) for row in rows]


async def functions(connection: Connection) -> dict[str, set[str]]:
    """Return the roles that may execute each function, by its signature."""
    rows = await connection.fetch(
        """
        SELECT replace(p.oid::regprocedure::text, 'waypost.', '') AS signature,
            EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                WHERE grantee = 0) AS public,
            ARRAY(SELECT r FROM unnest($1::text[]) AS r
                WHERE has_function_privilege(r, p.oid, 'EXECUTE')) AS roles
        FROM pg_proc AS p WHERE p.pronamespace = 'waypost'::regnamespace
        """,
        list(ROLES),
    )
    return {r["signature"]: {"PUBLIC"} if r["public"] else set(r["roles"]) for r in rows}


async def complaints(connection: Connection) -> list[str]:
    """Return a line for everything in the schema that could show a tenant's rows to another tenant."""
    lines: list[str] = []
    for query, arguments in _RULES:
        lines += [row[0] for row in await connection.fetch(query, *arguments)]
    return lines


# Each query returns its complaints.
_RULES: tuple[tuple[str, tuple[object, ...]], ...] = (
    (
        """
        SELECT format('%s: row-level security is not enabled and forced', relname) FROM pg_class
        WHERE relnamespace = 'waypost'::regnamespace AND relkind IN ('r', 'p')
            AND NOT (relrowsecurity AND relforcerowsecurity)
        """,
        (),
    ),
    (
        """
        SELECT format('%s: a view that is not security_invoker', relname) FROM pg_class
        WHERE relnamespace = 'waypost'::regnamespace AND relkind = 'v'
            AND NOT coalesce(reloptions && '{security_invoker=true,security_invoker=on}', false)
        """,
        (),
    ),
    (
        """
        SELECT format('%s: rows of its kind (%s) have no row-level security', relname, relkind)
        FROM pg_class
        WHERE relnamespace = 'waypost'::regnamespace AND relkind NOT IN ('r', 'p', 'v', 'i', 'I', 'S', 'c')
        """,
        (),
    ),
    (
        """
        SELECT format('%s: is not owned by %s', relname, $1::text) FROM pg_class
        WHERE relnamespace = 'waypost'::regnamespace AND relowner <> $1::text::regrole
        UNION ALL
        SELECT format('%s: is not owned by %s', oid::regprocedure, $1::text) FROM pg_proc
        WHERE pronamespace = 'waypost'::regnamespace AND proowner <> $1::text::regrole
        """,
        (OWNER,),
    ),
    (
        """
        SELECT format('%s: the policy %s does not compare the tenant', p.tablename, p.policyname)
        FROM pg_policies AS p
        WHERE p.schemaname = 'waypost' AND p.roles && '{public,waypost_app}'
            AND p.permissive = 'PERMISSIVE'
            AND NOT (coalesce(p.qual, 'current_tenant()') LIKE '%current_tenant()%'
                AND coalesce(p.with_check, 'current_tenant()') LIKE '%current_tenant()%')
            AND NOT format('%s.%s', p.tablename, p.policyname) = ANY ($1::text[])
        """,
        ([".".join(key) for key in OPEN_POLICIES],),
    ),
    (
        """
        SELECT format('%s: the unique index %s lacks the tenant', i.indrelid::regclass,
            i.indexrelid::regclass)
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'waypost'::regnamespace AND i.indisunique
            AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = i.indrelid
                AND a.attname = 'tenant_id' AND a.attnum = ANY (i.indkey))
            AND NOT c.relname = ANY ($1::text[])
        """,
        (list(UNIQUE_ACROSS_TENANTS),),
    ),
    (
        """
        SELECT format('%s: the foreign key %s lacks the tenant', k.conrelid::regclass, k.conname)
        FROM pg_constraint AS k
        WHERE k.connamespace = 'waypost'::regnamespace AND k.contype = 'f'
            AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = k.confrelid
                AND a.attnum = ANY (k.confkey)
                AND a.attname = CASE k.confrelid::regclass::text
                    WHEN 'waypost.tenants' THEN 'id' WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END)
        """,
        (),
    ),
    (
        """
        SELECT format('%s: SECURITY DEFINER without a fixed search_path', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = 'waypost'::regnamespace AND prosecdef AND NOT EXISTS (
            SELECT FROM unnest(proconfig) AS setting
            WHERE setting ~ '^search_path=pg_catalog(, waypost)?, pg_temp$')
        UNION ALL
        SELECT format('%s: SECURITY DEFINER that PUBLIC may execute', p.oid::regprocedure)
        FROM pg_proc AS p WHERE pronamespace = 'waypost'::regnamespace AND prosecdef AND EXISTS (
            SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
            WHERE grantee = 0)
        """,
        (),
    ),
    (
        """
        SELECT format('%s: may do more than its grants say', rolname) FROM pg_roles
        WHERE rolname LIKE 'waypost\\_%' AND rolname = ANY ($1::text[]) AND (
            rolsuper OR rolcanlogin OR rolcreaterole OR rolcreatedb OR rolreplication
            OR rolbypassrls <> (rolname = $2))
        UNION ALL
        SELECT format('%s: is a member of %s', m.member::regrole, m.roleid::regrole)
        FROM pg_auth_members AS m WHERE m.member::regrole::text = ANY ($1::text[])
        UNION ALL
        SELECT format('%s: owns something', refobjid::regrole) FROM pg_shdepend
        WHERE deptype = 'o' AND refobjid <> $3::text::regrole
            AND refobjid::regrole::text = ANY ($1::text[])
        """,
        ([*ROLES, OWNER], BYPASSES, OWNER),
    ),
    (
        """
        SELECT format('%s: %s is granted to %s', c.relname, g.privilege_type,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
        FROM pg_class AS c, aclexplode(c.relacl) AS g
        WHERE c.relnamespace = 'waypost'::regnamespace AND g.grantee <> c.relowner
            AND (g.grantee = 0 OR NOT g.grantee::regrole::text = ANY ($1::text[])
                OR g.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') OR g.is_grantable)
        """,
        (list(ROLES),),
    ),
    (
        """
        SELECT format('%s: %s may choose ids, which are the same in all tenants', c.oid::regclass, r)
        FROM pg_class AS c, unnest($1::text[]) AS r
        WHERE c.oid IN ('waypost.profiles'::regclass, 'waypost.users'::regclass)
            AND (has_column_privilege(r, c.oid, 'id', 'INSERT')
                OR has_column_privilege(r, c.oid, 'id', 'UPDATE'))
        """,
        (list(ROLES),),
    ),
)
