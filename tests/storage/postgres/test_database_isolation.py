"""Isolation: every object of the schema × each verb × two tenants, out of pg_catalog.

Tests name their tenant and user honestly, as storage/postgres/database.py does, and may run any other SQL. No
row of the other tenant may be read or changed, and no error may reveal that it exists.
"""

import random
import re
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
import trio

from engine.accounts.access import Caller
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.isolation import (
    ONE,
    PAIRS,
    REFUSED,
    TWO,
    VERBS,
    act_as,
    case_of,
    columns,
    in_filled,
    nameable,
    outcome,
    rows_of,
    undone,
)
from tests.kit.isolation_cases import TABLES
from tests.kit.isolation_functions import FUNCTIONS
from tests.kit.pg_catalog import (
    ROLES,
    UNIQUE_ACROSS_TENANTS,
    Relation,
    complaints,
    functions,
    relations,
)
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


async def test_every_object_has_a_case(database_url: str) -> None:
    async def work(connection: Connection) -> None:
        all_relations = await relations(connection)
        assert {r.name for r in all_relations if r.kind not in ("r", "p")} == set()
        assert {r.name for r in all_relations if r.parent == "clicks"} >= {"clicks_default"}
        assert len([r for r in all_relations if case_of(r) is TABLES["clicks_*"]]) == 4
        days = re.compile(r"clicks_\d{8}")
        plain = {r.name for r in all_relations if not days.fullmatch(r.name)}
        assert plain == TABLES.keys() - {"clicks_*"}
        executes = await functions(connection)
        assert executes.keys() == FUNCTIONS.keys()
        for name, roles in executes.items():
            assert roles == set(FUNCTIONS[name].executes.split()), name
        for role in ROLES:
            for relation in all_relations:
                granted = [
                    initial
                    for initial, verb in VERBS.items()
                    if await columns(connection, relation.name, role, verb)
                    or await connection.fetchval(
                        "SELECT has_table_privilege($1::text, $2::text, $3)",
                        role,
                        relation.name,
                        verb,
                    )
                ]
                assert "".join(granted) == case_of(relation).grants()[role], (role, relation.name)

    await in_filled(database_url)(work)


async def test_the_schema_has_no_complaints(database_url: str) -> None:
    async def work(connection: Connection) -> None:
        assert await complaints(connection) == []
        names = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'waypost'::regnamespace AND relkind = 'i'"
        )
        assert UNIQUE_ACROSS_TENANTS.keys() <= {row[0] for row in names}

    await in_filled(database_url)(work)


NOTES = "CREATE TABLE notes (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id)); "
FORCED = "ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (NOTES + "GRANT SELECT ON notes TO waypost_app", "notes: row-level security is not"),
        (NOTES + "ALTER TABLE notes ENABLE ROW LEVEL SECURITY", "notes: row-level security is not"),
        (NOTES + FORCED + "CREATE POLICY p ON notes USING (true)", "notes: the policy p does not"),
        (NOTES + FORCED + "CREATE POLICY p ON notes FOR INSERT TO waypost_app WITH CHECK (id > 0)",
         "notes: the policy p does not"),
        (NOTES + FORCED + "CREATE UNIQUE INDEX u ON notes (id)", "notes: the unique index u lacks"),
        ("ALTER TABLE api_keys ADD UNIQUE (tenant_id, id, user_id); CREATE UNIQUE INDEX u ON users (id);"
         "ALTER TABLE api_keys ADD CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users (id)",
         "api_keys: the foreign key f lacks"),
        ("CREATE VIEW all_links AS SELECT * FROM links", "all_links: a view that is not"),
        ("CREATE MATERIALIZED VIEW all_links AS SELECT 1", "all_links: rows of its kind (m)"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
         "f(): SECURITY DEFINER without a fixed search_path"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER "
         "SET search_path = pg_catalog, pg_temp RETURN 1", "f(): SECURITY DEFINER that PUBLIC may"),
        ("SET ROLE NONE; ALTER ROLE waypost_app BYPASSRLS", "waypost_app: may do more"),
        ("SET ROLE NONE; ALTER ROLE waypost_edge LOGIN", "waypost_edge: may do more"),
        ("SET ROLE NONE; GRANT pg_read_all_data TO waypost_app", "waypost_app: is a member of"),
        ("SET ROLE NONE; ALTER TABLE links OWNER TO waypost_edge", "links: is not owned by"),
        ("SET ROLE NONE; CREATE TABLE public.x (); ALTER TABLE public.x OWNER TO waypost_app",
         "waypost_app: owns something"),
        ("GRANT SELECT ON links TO PUBLIC", "links: SELECT is granted to PUBLIC"),
        ("GRANT INSERT ON users TO waypost_app", "users: waypost_app may choose ids"),
        ("GRANT TRUNCATE ON links TO waypost_app", "links: TRUNCATE is granted to waypost_app"),
    ],
)  # fmt: skip
async def test_a_careless_addition_to_the_schema_is_caught(
    database_url: str, statement: str, complaint: str
) -> None:
    async def work(connection: Connection) -> None:
        async with undone(connection):
            await connection.execute("SET LOCAL ROLE waypost_owner")
            await connection.execute(statement)
            await connection.execute("SET LOCAL ROLE NONE")
            problems = await complaints(connection)
            assert any(line.startswith(complaint) for line in problems), problems

    await in_filled(database_url)(work)


async def test_an_object_without_a_case_is_caught(database_url: str) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(NOTES + "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1")
        (notes,) = [r for r in await relations(connection) if r.name == "notes"]
        with pytest.raises(KeyError):
            case_of(notes)
        assert "f()" in (await functions(connection)).keys() - FUNCTIONS.keys()

    await in_filled(database_url)(work)


@PAIRS
@pytest.mark.parametrize("with_tenant", [True, False], ids=["tenant", "no tenant"])
async def test_the_app_reads_and_changes_no_foreign_row(
    database_url: str, mine: dict[str, int], theirs: dict[str, int], with_tenant: bool
) -> None:
    caller = mine if with_tenant else None

    async def work(connection: Connection) -> None:
        all_relations = await relations(connection)
        rows_before = await rows_of(connection, all_relations, theirs["t"])
        for relation in (r for r in all_relations if r.tenant_column):
            assert rows_before[relation.name], f"{relation.name} has no row of tenant {theirs['t']}"
            for verb in VERBS.values():
                where = f"{relation.tenant_column} = {theirs['t']}"
                granted = await nameable(connection, relation.name, "waypost_app", verb)
                async with undone(connection):
                    await act_as(connection, "waypost_app", caller)
                    outcomes = [
                        await outcome(connection, query, keep=True)
                        for query in attempts(relation.name, verb, granted, where, theirs["t"])
                    ]
                    await act_as(connection, None, None)
                    assert await rows_of(connection, all_relations, theirs["t"]) == rows_before, (
                        outcomes
                    )
                    assert outcomes[0][0] in (f"{verb} 0", REFUSED.sqlstate), (relation.name, verb)
                    # Without a tenant, no row is visible.
                    if not with_tenant:
                        assert outcomes[-1][0] in (f"{verb} 0", "INSERT 0 0", REFUSED.sqlstate), (
                            relation.name,
                            verb,
                        )

    await in_filled(database_url)(work)


def attempts(table: str, verb: str, granted: list[str], where: str, foreign: int) -> list[str]:
    """Return two statements: one for the foreign tenant's rows, one for all rows."""
    match verb:
        case "SELECT":
            names = ", ".join(granted)
            return [f"SELECT {names} FROM {table} WHERE {where}", f"SELECT {names} FROM {table}"]
        case "INSERT":
            column = where.split(" ")[0]
            into = f"INSERT INTO {table} ({column})"
            return [f"{into} VALUES ({foreign})", f"{into} SELECT NULL WHERE false"]
        case "UPDATE":
            assignments = ", ".join(f"{name} = {name}" for name in granted)
            return [
                f"UPDATE {table} SET {assignments} WHERE {where}",
                f"UPDATE {table} SET {assignments}",
            ]
        case _:
            return [f"DELETE FROM {table} WHERE {where}", f"DELETE FROM {table}"]


@PAIRS
async def test_a_collision_with_a_foreign_row_is_not_revealed(
    database_url: str, mine: dict[str, int], theirs: dict[str, int]
) -> None:
    """A row with the keys of a foreign row has the same outcome as a row with unused keys."""

    async def work(connection: Connection) -> None:
        for relation in [r for r in await relations(connection) if r.tenant_column]:
            name, own = relation.name, {relation.tenant_column: mine["t"]}
            keys = await key_columns(connection, name) - {relation.tenant_column}
            exempt = await exempt_columns(connection, name)
            foreign = await row_of(connection, relation, theirs["t"])
            ghost = foreign | await fresh(connection, name, keys)
            colliding = foreign | {key: ghost[key] for key in exempt}
            assert (colliding == ghost) == (keys <= exempt), name
            for verb in ("INSERT", "UPDATE"):
                granted = set(await columns(connection, name, "waypost_app", verb))
                async with undone(connection):
                    await act_as(connection, "waypost_app", mine)
                    outcomes = [
                        await outcome(connection, *written(name, verb, row | own, granted))
                        for row in (ghost, colliding)
                    ]
                    assert outcomes[0] == outcomes[1], (verb, name)
                async with undone(connection):
                    await act_as(connection, "waypost_app", mine)
                    query = written(name, verb, foreign | own, granted)
                    state, constraint = await outcome(connection, *query)
                    assert (state, constraint) == outcomes[0] or constraint in UNIQUE_ACROSS_TENANTS
                if relation.tenant_column in granted:
                    nobody = {relation.tenant_column: 999_999}
                    async with undone(connection):
                        await act_as(connection, "waypost_app", mine)
                        outcomes = [
                            await outcome(connection, *written(name, verb, row, granted))
                            for row in (foreign, ghost | nobody)
                        ]
                        assert [state for state, _ in outcomes] == [REFUSED.sqlstate] * 2, (
                            verb,
                            name,
                        )

    await in_filled(database_url)(work)


async def key_columns(connection: Connection, table: str) -> set[str]:
    """Return the columns of unique indexes and foreign keys."""
    rows = await connection.fetch(
        "SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND ("
        "EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique "
        "AND (a.attnum = ANY (i.indkey) OR pg_get_indexdef(i.indexrelid) ~ format('\\m%s\\M', a.attname))) "
        "OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = a.attrelid AND k.contype = 'f' "
        "AND a.attnum = ANY (k.conkey)))",
        table,
    )
    return {row[0] for row in rows}


async def exempt_columns(connection: Connection, table: str) -> set[str]:
    """Return the columns that are unique across tenants, by the catalogue of exceptions."""
    rows = await connection.fetch(
        "SELECT a.attname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
        "JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum > 0 AND (a.attnum = ANY (i.indkey) "
        "OR 0 = ANY (i.indkey) AND pg_get_indexdef(c.oid) ~ format('\\m%s\\M', a.attname)) "
        "WHERE i.indrelid = $1::text::regclass AND c.relname = ANY ($2::text[]) "
        "AND c.relname NOT IN ('tenants_pkey', 'profile_changes_pkey')",
        table,
        list(UNIQUE_ACROSS_TENANTS),
    )
    return {row[0] for row in rows}


async def row_of(connection: Connection, relation: Relation, tenant: int) -> dict[str, Any]:
    row = await connection.fetchrow(
        f"SELECT * FROM {relation.name} WHERE {relation.tenant_column} = $1 LIMIT 1", tenant
    )
    assert row is not None
    return dict(row)


async def fresh(connection: Connection, table: str, names: set[str]) -> dict[str, Any]:
    """Return a value for each column that no row has."""
    types = await connection.fetch(
        "SELECT attname, atttypid::regtype::text AS type FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attname = ANY ($2::text[])",
        table,
        sorted(names),
    )
    values = {
        "bigint": 888_888,
        "smallint": 9,
        "integer": 888_888,
        "text": "ghost@example.com" if table == "users" else "ghost",
        "bytea": b"g" * 32,
        "timestamp with time zone": datetime(2026, 6, 1, tzinfo=UTC),
        "date": date(2026, 6, 1),
    }
    fresh_values = {row["attname"]: values.get(row["type"]) for row in types}
    assert None not in fresh_values.values(), (table, fresh_values)
    return fresh_values


def written(
    table: str, verb: str, row: dict[str, Any], granted: set[str]
) -> tuple[str, *tuple[Any, ...]]:
    """Return a statement and its values that write the granted columns of `row`."""
    names = [name for name in row if name in granted] or list(row)
    values = [row[name] for name in names]
    placeholders = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    if verb == "INSERT":
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({placeholders})", *values
    return f"UPDATE {table} SET ({', '.join(names)}) = ROW ({placeholders})", *values


@PAIRS
async def test_no_function_reveals_rows_of_another_tenant(
    database_url: str, mine: dict[str, int], theirs: dict[str, int]
) -> None:
    async def work(connection: Connection) -> None:
        all_relations = await relations(connection)
        rows_before = await rows_of(connection, all_relations, theirs["t"])
        for name, function in FUNCTIONS.items():
            for call, expected in function.calls:
                async with undone(connection):
                    await act_as(connection, "waypost_app", mine)
                    rows = await connection.fetch(call.format(**theirs))
                    assert [tuple(row) for row in rows] == expected, (name, rows)
                    await act_as(connection, None, None)
                    assert await rows_of(connection, all_relations, theirs["t"]) == rows_before, (
                        name
                    )

    await in_filled(database_url)(work)


async def test_the_calls_of_functions_find_rows_of_the_own_tenant(database_url: str) -> None:
    """Without rows of the own tenant, the calls above would prove nothing."""

    async def work(connection: Connection) -> None:
        for name, function in FUNCTIONS.items():
            for call, expected in function.calls:
                if "{" in call and expected not in ([("unknown",)], [(None,)], [("unknown", 0)]):
                    async with undone(connection):
                        await act_as(connection, "waypost_app", ONE)
                        rows = await connection.fetch(call.format(**ONE))
                        assert [tuple(row) for row in rows] != expected, name

    await in_filled(database_url)(work)


@pytest.mark.parametrize("role", ["waypost_edge", "waypost_aggregator"])
async def test_other_roles_are_limited_to_their_grants(database_url: str, role: str) -> None:
    async def work(connection: Connection) -> None:
        for relation in await relations(connection):
            granted = case_of(relation).grants()[role]
            for initial, verb in VERBS.items():
                granted_columns = await nameable(connection, relation.name, role, verb)
                async with undone(connection):
                    await act_as(connection, role, ONE)
                    condition = f"{relation.tenant_column or granted_columns[0]} = NULL"
                    statement = attempts(relation.name, verb, granted_columns, condition, 1)[-1]
                    if verb == "UPDATE":  # a role may write columns that it may not read
                        nulls = ", ".join(f"{column} = NULL" for column in granted_columns)
                        statement = f"UPDATE {relation.name} SET {nulls} WHERE false"
                    result = await outcome(connection, statement)
                    refused = result[0] == REFUSED.sqlstate
                    assert refused == (initial not in granted), (relation.name, verb, result)
        for name, function in FUNCTIONS.items():
            if not {"PUBLIC", role} & set(function.executes.split()):
                nothing = ", ".join("NULL" for _ in name.split("(")[1].strip(")").split(",") if _)
                async with undone(connection):
                    await act_as(connection, role, ONE)
                    result = await outcome(connection, f"SELECT {name.split('(')[0]}({nothing})")
                    assert result[0] == REFUSED.sqlstate, name

    await in_filled(database_url)(work)


async def test_planner_statistics_reveal_no_foreign_values(database_url: str) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("ANALYZE")
        assert await connection.fetchval(
            "SELECT count(*) FROM pg_stats WHERE schemaname = 'waypost'"
        )
        for role in ("waypost_app", "waypost_edge"):
            await act_as(connection, role, ONE)
            visible = await connection.fetch(
                "SELECT tablename, attname FROM pg_stats WHERE schemaname = 'waypost'"
            )
            assert visible == [], role

    await in_filled(database_url)(work)


async def test_a_deleted_user_leaves_other_tenants_profiles_and_their_log_has_it(
    database_url: str,
) -> None:
    async def work(connection: Connection) -> None:
        all_relations = await relations(connection)
        await connection.execute(
            "INSERT INTO members (tenant_id, profile_id, user_id, home_tenant_id, role, slot) "
            "VALUES ($1, $2, $3, $4, 'editor', 2)", TWO["t"], TWO["p"], ONE["u"], ONE["t"],
        )  # fmt: skip
        rows_before = await rows_of(connection, all_relations, TWO["t"])
        await act_as(connection, "waypost_app", ONE)
        await connection.execute("DELETE FROM members WHERE user_id = $1", TWO["u"])
        # A profile needs an owner, so the tenant's own profile is deleted first.
        await connection.execute("DELETE FROM profiles")
        await connection.execute("DELETE FROM users")
        await act_as(connection, None, None)
        rows_after = await rows_of(connection, all_relations, TWO["t"])
        changed = {name for name in rows_after if rows_after[name] != rows_before[name]}
        assert changed == {"members", "audit_log", "audit_log_heads", "events"}
        entry = await connection.fetchrow(
            "SELECT action, object_id, user_id FROM audit_log WHERE tenant_id = $1 "
            "ORDER BY at DESC LIMIT 1", TWO["t"],
        )  # fmt: skip
        assert entry is not None
        assert tuple(entry) == ("member.deleted", ONE["u"], ONE["u"])

    await in_filled(database_url)(work)


SETTINGS = "SELECT " + ", ".join(
    f"coalesce(current_setting('waypost.{name}', true), '')"
    for name in ("tenant", "user", "key", "request")
)


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_setting_outlives_a_transaction_that_is_cancelled(
    open_database: OpenDatabase, seed: int
) -> None:
    app, dice = await open_database("waypost_app", size=4), random.Random(seed)
    ends = {"whole": 0, "cancelled": 0, "failed": 0}

    async def work(connection: Connection) -> None:
        for _ in range(3):
            row = await connection.fetchrow(SETTINGS)
            assert row is not None
            assert row[0] == row[1] == row[2] == row[3] != "", "another caller's"
            await connection.execute("SELECT set_config('waypost.tenant', $1, true)", row[0])
            await connection.execute("SELECT pg_sleep(0.0005)")
        assert row is not None
        if int(row[0]) % 5 == 0:
            await connection.execute("SELECT 1 / 0")

    async def client() -> None:
        for _ in range(40):
            number = dice.randrange(1, 1_000_000)
            caller = Caller(number, number, number, request_id=str(number))
            # Some calls have all the time that a loaded machine needs.
            limit_s = dice.choice((dice.uniform(0, 0.02), 60))
            with trio.move_on_after(limit_s) as scope:
                try:
                    await app.transaction(work, caller=caller)
                    ends["whole"] += 1
                except asyncpg.DivisionByZeroError:
                    ends["failed"] += 1
            ends["cancelled"] += scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(client)
    assert min(ends.values()) > 0, ends
    settings: dict[int, tuple[str, ...]] = {}

    async def look(connection: Connection) -> None:
        """Hold the connection until all of the pool are held, so that each one is read."""
        row = await connection.fetchrow(SETTINGS)
        assert row is not None
        settings[await connection.fetchval("SELECT pg_backend_pid()")] = tuple(row)
        while len(settings) < 4:
            await connection.execute("SELECT pg_sleep(0.001)")

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(app.transaction, look)
    assert set(settings.values()) == {("", "", "", "")}
