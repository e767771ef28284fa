"""Into the tenant where a profile lives, if who acts is one of its members.

Everything that concerns one profile starts here: in the transaction of what it does, so that a member who
is removed at the same time either still was one, or no longer can.
"""

from typing import Final, NamedTuple

from engine.accounts.access import Action, Caller, require
from engine.common.errors import NotFoundError
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("accounts/access")
MAX_ID: Final = 2**63 - 1


class ProfileAccess(NamedTuple):
    """Where a profile lives, and what the caller is in it."""

    tenant_id: int
    profile_id: int
    role: str


async def enter_profile(
    connection: Connection, caller: Caller, profile_id: int, action: Action
) -> ProfileAccess:
    """Act in the profile's tenant for the rest of the transaction.

    Raises NotFoundError unless the caller is a member, ForbiddenError when their role or key does not
    suffice.
    """
    row = await connection.fetchrow(_SQL["enter_profile"], validate_id(profile_id, "profile"))
    if row is None:
        raise NotFoundError.of("profile")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], profile_id, row["role"])


async def enter_link(
    connection: Connection, caller: Caller, link_id: int, action: Action
) -> ProfileAccess:
    """The same by one of the profile's links."""
    row = await connection.fetchrow(_SQL["enter_link"], validate_id(link_id, "link"))
    if row is None:
        raise NotFoundError.of("link")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def enter_job(
    connection: Connection, caller: Caller, job_id: int, action: Action
) -> ProfileAccess:
    """The same by a job that belongs to a profile."""
    row = await connection.fetchrow(_SQL["enter_job"], validate_id(job_id, "job"))
    if row is None:
        raise NotFoundError.of("job")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def enter_experiment(
    connection: Connection, caller: Caller, experiment_id: int, action: Action
) -> ProfileAccess:
    """The same by one of the profile's experiments."""
    id_ = validate_id(experiment_id, "experiment")
    row = await connection.fetchrow(_SQL["enter_experiment"], id_)
    if row is None:
        raise NotFoundError.of("experiment")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


def validate_id(number: int, kind: str) -> int:
    """An id that a bigint can hold; no other one exists."""
    if not 0 < number <= MAX_ID:
        raise NotFoundError.of(kind)
    return number
