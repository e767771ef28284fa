"""Access to a profile, for its members only: the check, and the change to the profile's tenant.

Each operation on a profile begins here, inside its own transaction. So an operation of a member who is
removed at the same moment either happens before the removal or is refused.
"""

from typing import Final, NamedTuple

from engine.accounts.access import Action, Caller, require
from engine.common.errors import NotFoundError
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("accounts/access")
MAX_ID: Final = 2**63 - 1


class ProfileAccess(NamedTuple):
    """The tenant of a profile, and the caller's member role in it."""

    tenant_id: int
    profile_id: int
    role: str


async def enter_profile(
    connection: Connection, caller: Caller, profile_id: int, action: Action
) -> ProfileAccess:
    """Act in the profile's tenant for the rest of the transaction.

    Raises NotFoundError unless the caller is a member, and ForbiddenError if their role or the scopes of
    their API key do not allow `action`.
    """
    row = await connection.fetchrow(_SQL["enter_profile"], validate_id(profile_id, "profile"))
    if row is None:
        raise NotFoundError.of("profile")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], profile_id, row["role"])


async def enter_link(
    connection: Connection, caller: Caller, link_id: int, action: Action
) -> ProfileAccess:
    """Like enter_profile(), for the profile of a link."""
    row = await connection.fetchrow(_SQL["enter_link"], validate_id(link_id, "link"))
    if row is None:
        raise NotFoundError.of("link")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def enter_job(
    connection: Connection, caller: Caller, job_id: int, action: Action
) -> ProfileAccess:
    """Like enter_profile(), for the profile that a job belongs to."""
    row = await connection.fetchrow(_SQL["enter_job"], validate_id(job_id, "job"))
    if row is None:
        raise NotFoundError.of("job")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def enter_experiment(
    connection: Connection, caller: Caller, experiment_id: int, action: Action
) -> ProfileAccess:
    """Like enter_profile(), for the profile of an experiment."""
    id_ = validate_id(experiment_id, "experiment")
    row = await connection.fetchrow(_SQL["enter_experiment"], id_)
    if row is None:
        raise NotFoundError.of("experiment")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


def validate_id(number: int, kind: str) -> int:
    """Return an id. Raises NotFoundError if a bigint cannot hold it: such an id cannot exist."""
    if not 0 < number <= MAX_ID:
        raise NotFoundError.of(kind)
    return number
