"""Rights of the engine's four roles in Postgres: what they need, what they lack, and the SQL that mends it.

A lack is silent: row-level security hides rows from a role that should bypass it, so an aggregator without
BYPASSRLS finds no journal and counts nothing. The rights needed are the GRANTs of
storage/migrations/schema.sql.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

import asyncpg

from engine.common.errors import UnavailableError, WaypostError
from storage.bridge import in_asyncio
from storage.postgres import queries
from storage.postgres.connect import CONNECT_S, connect
from storage.postgres.database import Connection

OWNER: Final = "waypost_owner"
AGGREGATOR: Final = "waypost_aggregator"
ROLES: Final = (OWNER, "waypost_app", "waypost_edge", AGGREGATOR)
# The roles of each kind of process. Workers import files as their members.
ROLES_OF_PROCESS: Final = {
    "edge": ("waypost_edge",),
    "api": ("waypost_app",),
    "workers": (AGGREGATOR, "waypost_app"),
}

_SQL: Final = queries.load("operations/rights")
_GRANT: Final = re.compile(
    r"^GRANT (.+?) ON (TABLE|FUNCTION|SEQUENCE|SCHEMA) (.+) TO (\w+);$", re.M
)
_PRIVILEGE: Final = re.compile(r'(\w+)(?:\("?(\w+)"?\))?')


class RightsError(WaypostError):
    """A role that lacks a right. The message names the role, the right and the SQL that grants it."""


class Right(NamedTuple):
    """A right that a role needs. `column` is empty if it is about the whole object."""

    role: str
    privilege: str
    kind: str
    object: str
    column: str

    @property
    def flaw(self) -> "Flaw":
        """The lack of this right."""
        column = f" ({self.column})" if self.column else ""
        what = f"{self.privilege}{column} on {self.kind.lower()} {self.object}"
        sql = f"GRANT {self.privilege}{column} ON {self.kind} {self.object} TO {self.role}"
        return Flaw(self.role, f"lacks {what}", sql)


class Flaw(NamedTuple):
    """A flaw of a role, and the SQL that mends it."""

    role: str
    what: str
    sql: str

    def __str__(self) -> str:
        return f"role {self.role} {self.what}: run {self.sql}"


@cache
def needed_rights() -> tuple[Right, ...]:
    """Return the rights that schema.sql grants."""
    text = (resources.files("storage.migrations") / "schema.sql").read_text("utf-8")
    return tuple(
        Right(role, "EXECUTE" if kind == "FUNCTION" else privilege, kind, name, column)
        for privileges, kind, name, role in _GRANT.findall(text)
        for privilege, column in _PRIVILEGE.findall(privileges)
    )


async def require_rights(url: str, roles: Sequence[str] = ROLES) -> None:
    """Check the roles in the migrated database at `url`. Raises UnavailableError, and RightsError with the
    first flaw."""
    flaws = await find_flaws(url, roles)
    if flaws:
        more = f" (and {len(flaws) - 1} more: waypost doctor lists them)" if len(flaws) > 1 else ""
        raise RightsError(f"{flaws[0]}{more}")


async def find_flaws(url: str, roles: Sequence[str] = ROLES) -> list[Flaw]:
    """Return the flaws of the roles in the migrated database at `url`. Raises UnavailableError."""

    async def run() -> list[Flaw]:
        connection = await connect(url, "waypost rights")
        try:
            return await flaws_of(connection, roles)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise UnavailableError(f"Postgres does not answer: {error}") from error
        finally:
            await connection.close(timeout=CONNECT_S)

    return await in_asyncio(run)


async def flaws_of(connection: Connection, roles: Sequence[str]) -> list[Flaw]:
    """Return the flaws of the roles, on asyncio: missing roles and attributes first, then rights."""
    rows = await connection.fetch(_SQL["roles"], list(roles))
    known = {row["role"]: row for row in rows}
    flaws = [Flaw(role, "does not exist", _creation(role)) for role in roles if role not in known]
    for role, row in known.items():
        flaws += _attribute_flaws(role, row)
    flaws += [
        Flaw(
            row["member"], f"may act as {row['role']}", f"REVOKE {row['role']} FROM {row['member']}"
        )
        for row in await connection.fetch(_SQL["memberships"], list(ROLES))
        if row["member"] in roles
    ]
    needed = [right for right in needed_rights() if right.role in known]
    columns = [list(column) for column in zip(*needed, strict=True)] or [[]] * len(Right._fields)
    missing = await connection.fetch(_SQL["missing"], *columns)
    flaws += [needed[row["number"]].flaw for row in missing]
    return flaws + (await _owner_flaws(connection) if OWNER in known else [])


def _creation(role: str) -> str:
    return f"CREATE ROLE {role} NOLOGIN" + (" BYPASSRLS" if role == AGGREGATOR else "")


def _attribute_flaws(role: str, row: asyncpg.Record) -> list[Flaw]:
    flaws = []
    if row["super"]:
        flaws.append(
            Flaw(role, "is a superuser, whom no policy binds", f"ALTER ROLE {role} NOSUPERUSER")
        )
    elif role == AGGREGATOR and not row["bypasses"]:
        flaws.append(
            Flaw(
                role,
                "lacks BYPASSRLS, without which it sees no journal and counts no click",
                f"ALTER ROLE {role} BYPASSRLS as an administrator",
            )
        )
    elif role != AGGREGATOR and row["bypasses"]:
        flaws.append(
            Flaw(
                role,
                "has BYPASSRLS, with which a tenant can read another's rows",
                f"ALTER ROLE {role} NOBYPASSRLS",
            )
        )
    if not row["usable"]:
        flaws.append(
            Flaw(
                role,
                "is not granted to the user of DATABASE_URL",
                f"GRANT {role} TO that user as an administrator",
            )
        )
    return flaws


async def _owner_flaws(connection: Connection) -> list[Flaw]:
    """Return what waypost_owner must own and does not, and the tables that are not under its policies."""
    owned = await connection.fetch(_SQL["foreign_objects"])
    tables = await connection.fetch(_SQL["open_tables"])
    return [
        *(
            Flaw(
                OWNER,
                f"does not own {kind.lower()} {name}",
                f"ALTER {kind} {name} OWNER TO {OWNER}",
            )
            for kind, name in owned
        ),
        *(
            Flaw(
                OWNER,
                f"is not bound by policies on {name}",
                f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            )
            for (name,) in tables
        ),
    ]
