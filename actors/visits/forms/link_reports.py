"""Reports of links by visitors: checked, limited, and kept off the hot path."""

import hmac
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio

from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.links.abuse.report import ReportForm, ReportSink, parse_form
from engine.operations.metrics import Metric, Sample
from engine.visits.forms.reporter import form_token, reporter_of, wide_network
from engine.visits.request import Visit

MAX_WAITING: Final = 64
REPORTS_OF_CLIENT: Final = Rate("link-report-client", units=10, period_s=3600)
REPORTS_OF_LINK: Final = Rate("link-report-link", units=60, period_s=60)
MAX_SUBJECTS: Final = 20_000

REPORTS: Final = Metric(
    "waypost_link_reports_total",
    "Reports of links by visitors, by result (full: the link has no room)",
    ("result",),
)
Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]


class _WaitingReport(NamedTuple):
    """A report to be kept. `waiter` and `route` go back to the visitor server."""

    waiter: Any
    route: Any
    visit: Visit
    reporter: bytes
    form: ReportForm


class LinkReports:
    """The reports of one edge. Run `run` as a task; `monotonic` is the clock of the limits."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._of_client = LocalRateLimiter(REPORTS_OF_CLIENT, MAX_SUBJECTS, "deny")
        self._of_link = LocalRateLimiter(REPORTS_OF_LINK, MAX_SUBJECTS, "deny")
        self._waiting: deque[_WaitingReport] = deque()
        self._event = trio.Event()
        self.results = dict.fromkeys(("kept", "invalid", "full", "limited", "refused"), 0)

    def wait(self, waiter: Any, route: Any, visit: Visit) -> int:
        """Have a visitor's report of the route's link kept; run() then delivers the waiter with its route.

        Returns 0 if the visitor has to wait, 200 if the request's `form_outcome` says the outcome already, or
        the status to refuse the request with: 429 after too many reports, 503 while too many wait or no key of
        the day is known.
        """
        network, link_id = visit.client.network, route.link_id
        if visit.pseudonymiser is None:
            self.results["refused"] += 1
            return 503
        form = parse_form(visit.request.form)
        token = form_token(visit.pseudonymiser, link_id, network)
        if form is None or not hmac.compare_digest(form.token.encode(), token.encode()):
            self.results["invalid"] += 1
            visit.request.form_outcome = "invalid"
            return 200
        now_us = int(self._monotonic() * 1_000_000)
        if not (
            self._of_client.decide(wide_network(network), now_us).allowed
            and self._of_link.decide(link_id, now_us).allowed
        ):
            self.results["limited"] += 1
            return 429
        if len(self._waiting) >= MAX_WAITING:
            self.results["refused"] += 1
            return 503
        reporter = reporter_of(visit.pseudonymiser, link_id, network)
        self._waiting.append(_WaitingReport(waiter, route, visit, reporter, form))
        self._event.set()
        return 0

    async def run(self, sink: ReportSink, deliver: Deliver) -> None:
        """Keep reports, one after the other, for ever."""
        while True:
            while not self._waiting:
                self._event = trio.Event()
                await self._event.wait()
            report = self._waiting.popleft()
            route, form = report.route, report.form
            try:
                is_kept = await sink.report(
                    route.actor.tenant_id,
                    route.link_id,
                    report.reporter,
                    form.category,
                    form.details,
                )
            except UnavailableError:
                self.results["refused"] += 1
                deliver([([report.waiter], None)], False)
                continue
            outcome = "kept" if is_kept else "full"
            self.results[outcome] += 1
            report.visit.request.form_outcome = outcome
            deliver([([report.waiter], route)], True)

    def samples(self) -> list[Sample]:
        return REPORTS.by_label(self.results)
