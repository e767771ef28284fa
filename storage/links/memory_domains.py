"""Domains in memory: the twin of storage.links.domains and storage.links.domain_looks."""

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.domain import (
    MAX_DOMAINS,
    Domain,
    DomainAddress,
    DomainDraft,
    DomainLook,
    DueDomain,
    NewDomainDraft,
)
from engine.links.slugs.slug_rules import Features, SlugFeature, has_another_door
from storage.links.domain_looks import held
from storage.links.domains import (
    columns,
    domain_limit_error,
    host_taken,
    new_token,
    slugs_still_needed,
)
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency

_CLAIM = timedelta(minutes=10)


def _now() -> datetime:
    return datetime.now(UTC)


class _Stored(NamedTuple):
    domain: Domain
    failures: int = 0


class MemoryDomains:
    """DomainStore and DomainLookStore without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        self._domains: dict[int, _Stored] = {}
        profiles.slugs_of_domains = self._allowed

    async def create_domain(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewDomainDraft,
        once: IdempotentRequest[Domain] | None = None,
    ) -> Domain:
        await trio.lowlevel.checkpoint()
        return self._idempotency.run_once(
            caller, once, lambda: self._create(caller, profile_id, draft)
        )

    def _create(self, caller: Caller, profile_id: int, draft: NewDomainDraft) -> Domain:
        self._profiles.team(caller, profile_id, Action.MANAGE_DOMAINS)
        tenant, domains = self._tenant(profile_id), self._live()
        if any(d.host == draft.host and self._tenant(d.profile_id) == tenant for d in domains):
            raise host_taken()
        if sum(d.profile_id == profile_id for d in domains) >= MAX_DOMAINS:
            raise domain_limit_error()
        now = self._now()
        domain = Domain(
            id=next(self._ids), profile_id=profile_id, host=draft.host, state="pending",
            root_target=draft.root_target, not_found_target=draft.not_found_target, slugs=draft.slugs,
            token=new_token(), reason="", verified_at=None, checked_at=None, next_check_at=now,
            version=1, created_at=now, updated_at=now,
        )  # fmt: skip
        self._domains[domain.id] = _Stored(domain)
        return domain

    async def domain(self, caller: Caller, domain_id: int) -> Domain:
        await trio.lowlevel.checkpoint()
        return self._enter(caller, domain_id, Action.READ)

    async def list_domains(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        domains = [d for d in self._live() if d.profile_id == profile_id and d.id > after]
        return ListPage.of(domains, limit)

    async def update_domain(
        self,
        caller: Caller,
        domain_id: int,
        draft: Change[DomainDraft, Domain],
        if_version: int | None = None,
    ) -> Domain:
        await trio.lowlevel.checkpoint()
        stored = self._enter(caller, domain_id, Action.MANAGE_DOMAINS)
        require_version(stored.version, if_version)
        wanted = draft_after(draft, stored)
        if columns(wanted) == columns(stored):
            return stored
        self._require_reachable(stored, wanted.slugs)
        root_target, not_found_target, slugs = columns(wanted)
        return self._replace(
            stored, root_target=root_target, not_found_target=not_found_target, slugs=slugs,
            version=stored.version + 1, updated_at=self._now(),
        )  # fmt: skip

    async def delete_domain(
        self, caller: Caller, domain_id: int, if_version: int | None = None
    ) -> None:
        await trio.lowlevel.checkpoint()
        stored = self._enter(caller, domain_id, Action.MANAGE_DOMAINS)
        require_version(stored.version, if_version)
        self._require_reachable(stored, ())
        del self._domains[domain_id]

    async def look_again(self, caller: Caller, domain_id: int) -> Domain:
        await trio.lowlevel.checkpoint()
        stored = self._enter(caller, domain_id, Action.MANAGE_DOMAINS)
        self._domains[domain_id] = _Stored(stored)
        return self._replace(stored, next_check_at=self._now())

    async def domain_at(self, caller: Caller, host: str) -> DomainAddress:
        await trio.lowlevel.checkpoint()
        for domain in self._live():
            team = self._profiles.team_of(domain.profile_id)
            if (domain.host, domain.state) == (host, "verified") and team is not None:
                profile, roles = team
                if caller.user_id in roles:
                    return DomainAddress(profile.handle, frozenset(domain.slugs))
        raise NotFoundError.of("domain")

    async def is_verified(self, host: str) -> bool:
        await trio.lowlevel.checkpoint()
        return any(d.host == host and d.state == "verified" for d in self._live())

    # Looks

    async def claim(self, limit: int) -> list[DueDomain]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        due = [d for d in self._live() if d.next_check_at is not None and d.next_check_at <= now]
        for domain in due[:limit]:
            self._replace(domain, next_check_at=now + _CLAIM)
        return [
            DueDomain(
                self._tenant(d.profile_id), d.id, d.host, d.token,
                "pending" if d.state == "failed" else d.state, self._domains[d.id].failures,
            )
            for d in due[:limit]
        ]  # fmt: skip

    async def record(self, looks: Sequence[DomainLook]) -> None:
        await trio.lowlevel.checkpoint()
        for look in looks:
            if look.domain.id in self._domains:
                self._record(look)

    def _record(self, look: DomainLook) -> None:
        stored, now = self._domains[look.domain.id].domain, self._now()
        if look.state == "verified" != look.domain.state:
            for other in self._live():
                if (other.host, other.state) == (stored.host, "verified"):
                    self._replace(other, next_check_at=now)
                    look = held(look)
        if look.state != stored.state:
            verified_at = now if look.state == "verified" else stored.verified_at
            stored = self._replace(
                stored, state=look.state, version=stored.version + 1, updated_at=now,
                verified_at=verified_at,
            )  # fmt: skip
        next_at = None if look.wait is None else now + look.wait
        domain = self._replace(stored, reason=look.reason, checked_at=now, next_check_at=next_at)
        self._domains[domain.id] = _Stored(domain, look.failures)

    def _allowed(self, profile_id: int, without: int = 0) -> list[Features]:
        """Return what each domain of a profile allows slugs to have, but for the domain `without`."""
        domains = (each.domain for each in self._domains.values() if each.domain.id != without)
        return [frozenset(d.slugs) for d in domains if d.profile_id == profile_id]

    def _require_reachable(self, domain: Domain, slugs: tuple[SlugFeature, ...]) -> None:
        if set(domain.slugs) <= set(slugs):
            return
        allowed = [frozenset(slugs), *self._allowed(domain.profile_id, domain.id)]
        links = self._profiles.slugs_of(domain.profile_id)
        lost = [slug for slug in links if not has_another_door(slug, allowed)]
        if lost:
            raise slugs_still_needed(lost)

    def _live(self) -> list[Domain]:
        return [
            stored.domain
            for stored in self._domains.values()
            if self._profiles.team_of(stored.domain.profile_id) is not None
        ]

    def _tenant(self, profile_id: int) -> int:
        team = self._profiles.team_of(profile_id)
        assert team is not None
        return team[0].tenant_id

    def _enter(self, caller: Caller, domain_id: int, action: Action) -> Domain:
        stored = self._domains.get(domain_id)
        try:
            if stored is not None:
                self._profiles.team(caller, stored.domain.profile_id, action)
                return stored.domain
        except NotFoundError:
            pass
        raise NotFoundError.of("domain")

    def _replace(self, domain: Domain, **fields: object) -> Domain:
        changed = msgspec.structs.replace(domain, **fields)
        self._domains[domain.id] = self._domains[domain.id]._replace(domain=changed)
        return changed
