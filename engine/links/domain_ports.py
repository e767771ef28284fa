"""Ports of domains. engine/links/ports.py says what holds for all ports."""

from collections.abc import Sequence
from typing import Protocol

from engine.accounts.access import Caller
from engine.common.drafts import Change
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.links.domain import (
    Domain,
    DomainDraft,
    DomainLook,
    DueDomain,
    NewDomainDraft,
    TxtAnswer,
)


class DomainStore(Protocol):
    """Store of profiles' domains, for members; errors as in ProfileStore. Drafts are valid already."""

    async def create_domain(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewDomainDraft,
        once: IdempotentRequest[Domain] | None = None,
    ) -> Domain:
        """Create a pending domain, which is looked at within a minute.

        Raises ConflictError("host", …) if the tenant has that host, ConflictError("domains", …) if the
        profile has MAX_DOMAINS.
        """

    async def domain(self, caller: Caller, domain_id: int) -> Domain: ...

    async def list_domains(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_domain(
        self,
        caller: Caller,
        domain_id: int,
        draft: Change[DomainDraft, Domain],
        if_version: int | None = None,
    ) -> Domain: ...

    async def delete_domain(
        self, caller: Caller, domain_id: int, if_version: int | None = None
    ) -> None: ...

    async def look_again(self, caller: Caller, domain_id: int) -> Domain:
        """Have the domain's record looked at within a minute; a failed one is pending again."""

    async def is_verified(self, host: str) -> bool:
        """Return whether a canonical host is a verified domain, of whichever tenant."""


class DomainLookStore(Protocol):
    """Domains of all tenants whose records are to be looked at."""

    async def claim(self, limit: int) -> list[DueDomain]:
        """Claim at most `limit` due domains for ten minutes."""

    async def record(self, looks: Sequence[DomainLook]) -> None:
        """Record looks, but those of domains that were changed or deleted meanwhile.

        A host has one verified domain. If another tenant's has it, the domain stays pending with that as its
        reason, and the other is looked at at once: it loses the host when its record is gone.
        """


class TxtRecords(Protocol):
    """A resolver of TXT records."""

    async def texts(self, name: str) -> TxtAnswer:
        """Return the texts of a name's TXT records. Bounded in time. Failures are answers, not errors."""
