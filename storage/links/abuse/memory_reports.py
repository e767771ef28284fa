"""Reports of links in memory: the twin of storage/links/abuse/reports.py."""

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import trio

from engine.accounts.access import Caller
from engine.common.errors import LostUpdateError, NotFoundError
from engine.common.list_page import ListPage
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.abuse.report import MAX_REPORTS, MAX_SHOWN_DETAILS, LinkReport, ReportedLink
from engine.links.link import Link
from engine.links.options import options_of
from storage.links.memory_profiles import MemoryProfiles


def _now() -> datetime:
    return datetime.now(UTC)


class _KeptReport(msgspec.Struct):
    """A report and its reporter."""

    report: LinkReport
    details: str


class MemoryReports:
    """ReportSink and ReportStore without a server, over the links of another twin. Tenant 1 is the first."""

    def __init__(
        self,
        profiles: MemoryProfiles,
        now: Callable[[], datetime] = _now,
        quarantine_from: int = 0,
    ) -> None:
        self._profiles = profiles
        self._now = now
        self.quarantine_from = quarantine_from
        self._ids = itertools.count(1)
        self._reports: dict[int, dict[bytes, _KeptReport]] = {}
        self._reviews: dict[int, tuple[object, ...]] = {}

    async def report(
        self, tenant_id: int, link_id: int, reporter: bytes, category: str, details: str
    ) -> bool:
        await trio.lowlevel.checkpoint()
        link = self._link(link_id)
        reports = self._reports.setdefault(link_id, {})
        if link is None or link[0] != tenant_id or len(reports) >= MAX_REPORTS:
            return False
        if reporter in reports:
            return True
        now = self._now()
        report = LinkReport(
            id=next(self._ids),
            category=category,  # type: ignore[arg-type]  # one of CATEGORIES
            reported_at=now,
            reviewed_at=None,
        )
        reports[reporter] = _KeptReport(report, details)
        today = [
            each for each in self._open(link_id) if each.report.reported_at.date() == now.date()
        ]
        is_due = 0 < self.quarantine_from <= len(today) and link[1].engine_quarantine is None
        if is_due and self._reviews.get(link_id) != _targets(link[1]):
            reason = f"{len(today)} visitors reported it within a day"
            self._set(link_id, EngineQuarantine(rule="reports", reason=reason, since=now))
        return True

    async def list_reports(self, caller: Caller, link_id: int, after: int, limit: int) -> ListPage:
        await self._profiles.link(caller, link_id)
        reports = [each.report for each in self._reports.get(link_id, {}).values()]
        return ListPage.of([each for each in reports if each.id > after], limit)

    async def reported_links(self, caller: Caller, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        ids = sorted(id_ for id_ in self._reports if id_ > after and self._open(id_))
        links = [self._reported(id_) for id_ in ids if caller.tenant_id == 1]
        return ListPage.of([link for link in links if link is not None], limit)

    async def review(
        self, caller: Caller, link_id: int, reason: str | None, if_version: int | None = None
    ) -> None:
        await trio.lowlevel.checkpoint()
        link = self._link(link_id)
        if link is None or caller.tenant_id != 1:
            raise NotFoundError.of("link")
        if if_version not in (None, link[1].version):
            raise LostUpdateError(link[1].version)
        now = self._now()
        quarantine = EngineQuarantine(rule="operator", reason=reason, since=now) if reason else None
        self._set(link_id, quarantine)
        for each in self._open(link_id):
            each.report = msgspec.structs.replace(each.report, reviewed_at=now)
        self._reviews.pop(link_id, None)
        if reason is None:
            self._reviews[link_id] = _targets(link[1])

    def _set(self, link_id: int, quarantine: EngineQuarantine | None) -> None:
        self._profiles.set_quarantine(link_id, quarantine)

    def _open(self, link_id: int) -> list[_KeptReport]:
        reports = self._reports.get(link_id, {}).values()
        return [each for each in reports if each.report.reviewed_at is None]

    def _link(self, link_id: int) -> tuple[int, Link] | None:
        links = self._profiles.all_links()
        return next((each for each in links if each[1].id == link_id), None)

    def _reported(self, link_id: int) -> ReportedLink | None:
        found = self._link(link_id)
        team = None if found is None else self._profiles.team_of(found[1].profile_id)
        if found is None or team is None:
            return None
        link, reports = found[1], self._open(link_id)
        details = [each.details for each in reversed(reports) if each.details]
        return ReportedLink(
            id=link.id,
            version=link.version,
            profile_id=link.profile_id,
            handle=team[0].handle,
            slug=link.slug,
            target=link.target,
            engine_quarantine=link.engine_quarantine,
            reports=len(reports),
            categories=dict(Counter(each.report.category for each in reports)),
            details=tuple(details[:MAX_SHOWN_DETAILS]),
            last_reported_at=max(each.report.reported_at for each in reports),
        )


def _targets(link: Link) -> tuple[object, ...]:
    return link.target, options_of(link)
