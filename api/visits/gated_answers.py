"""Answers to visits of links with a gate: closed ones, those with a limit, and those with a password."""

from abc import abstractmethod
from typing import Final

from actors.visits.link_gate import UNDECIDED, ClosedResponse
from actors.visits.registry import Registry
from actors.visits.route import VisitRoute
from api.visits.connection import VisitorConnection
from api.visits.counters import VisitCounters
from api.visits.pages.report_pages import report_answer
from api.visits.pages.subscription_pages import subscription_answer
from engine.visits.paths.side_path import side_path
from engine.visits.request import ClientInfo, Visit, VisitRequest

WAIT_LIMIT_S: Final = 5.0


class GatedAnswers(VisitCounters):
    """The part of a visitor server that answers for gates."""

    _now: float
    _now_us: int
    _registry: Registry
    _records: list[bytes]

    @abstractmethod
    def _visit_of(self, request: VisitRequest, client: ClientInfo) -> Visit:
        """Return the visit of a request at this wake-up."""

    @abstractmethod
    def _refuse(
        self, connection: VisitorConnection, status: int, head_only: bool, *, close: bool
    ) -> None:
        """Send the page of an error."""

    @abstractmethod
    def _respond(
        self,
        connection: VisitorConnection,
        status: int,
        tail: bytes,
        head_only: bool,
        *,
        close: bool,
    ) -> bool:
        """Send what is no visit's response. Returns whether it is the connection's last."""

    @abstractmethod
    def _resolve_client(self, connection: VisitorConnection, request: VisitRequest) -> ClientInfo:
        """Return the client of a request whose connection does not know it."""

    def _answer_closed(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        closed: ClosedResponse,
    ) -> None:
        """Answer a visit to a link that leads nowhere, or let it wait for a click of the link's limit."""
        if closed is UNDECIDED:
            assert route.gate is not None
            self._let_wait(connection, request, waits=route.gate.wait(connection, route))
            return
        if closed.recorded:
            client = connection.client or self._resolve_client(connection, request)
            _, record = route.actor.visit(route, self._visit_of(request, client))
            self._records.append(record)
            self.previews += 1
        else:
            self.closed += 1
        self._respond(
            connection, closed.status, closed.tail, request.head_only, close=not request.keep_alive
        )

    def _answer_form(
        self, connection: VisitorConnection, request: VisitRequest, route: VisitRoute
    ) -> None:
        """Have a form's password checked, or refuse a form that nothing asked for."""
        client = connection.client or self._resolve_client(connection, request)
        status, side = 405, side_path(request.path)
        if side is not None and side.side == "destination":
            self._answer_report(connection, request, route, client)
            return
        if side is not None and side.side == "subscribe":
            self._answer_subscription(connection, request, route, client)
            return
        if route.gate is not None and side is None:
            status = route.gate.check_password(connection, route, request, client)
        if status:
            self._refuse(connection, status, False, close=True)
        else:
            self._let_wait(connection, request, waits=True)

    def _answer_report(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        client: ClientInfo,
    ) -> None:
        """Have a report of a link kept, or say what became of it."""
        status = 200 if route.link_id else 405
        if route.link_id and not request.form_outcome:
            visit = self._visit_of(request, client)
            status = self._registry.reports.wait(connection, route, visit)
        if not status:
            self._let_wait(connection, request, waits=True)
        elif status != 200:
            self._refuse(connection, status, False, close=True)
        else:
            status, tail = report_answer(request.form_outcome)
            self._respond(connection, status, tail, False, close=True)

    def _answer_subscription(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        client: ClientInfo,
    ) -> None:
        """Have what a form about an address says carried out, or say what became of it."""
        status = 200
        if not request.form_outcome:
            subscriptions = self._registry.subscriptions
            status = subscriptions.wait(connection, route, request, client, self._now_us)
        if not status:
            self._let_wait(connection, request, waits=True)
        elif status != 200:
            self._refuse(connection, status, False, close=True)
        else:
            status, tail = subscription_answer(request.form_outcome, route.path)
            self._respond(connection, status, tail, False, close=True)

    def _let_wait_for_page(
        self, connection: VisitorConnection, route: VisitRoute, visit: Visit
    ) -> None:
        """Have the page that a view wants rendered."""
        waits = self._registry.page_renders.wait(connection, route, visit.wanted_page)
        self._let_wait(connection, visit.request, waits=waits)

    def _let_wait(
        self, connection: VisitorConnection, request: VisitRequest, *, waits: bool
    ) -> None:
        """Keep a request until deliver(), or refuse it as too many wait."""
        if waits:
            connection.waiting = request
            connection.deadline = self._now + WAIT_LIMIT_S
        else:
            self._refuse(connection, 503, request.head_only, close=not request.keep_alive)
