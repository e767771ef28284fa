"""Answers to paths that are no route as they are spelt: the part of a visitor server that looks them up."""

from abc import abstractmethod

from actors.visits.registry import Registry
from actors.visits.route import VisitRoute
from api.visits.answers.host_answers import HostAnswers
from api.visits.connection import VisitorConnection
from engine.assets.address import PREFIX, asset_file
from engine.links.name import canonical_path
from engine.visits.paths.readings import readings
from engine.visits.paths.ruled_path import ruled_readings
from engine.visits.paths.side_path import side_path
from engine.visits.request import VisitRequest


class ColdAnswers(HostAnswers):
    """The part of a visitor server that finds the route of a path, or says that it leads nowhere."""

    _registry: Registry

    @abstractmethod
    def _answer_route(
        self, connection: VisitorConnection, request: VisitRequest, route: VisitRoute
    ) -> None:
        """Answer a visit."""

    def _answer_found(
        self, connection: VisitorConnection, request: VisitRequest, route: VisitRoute
    ) -> None:
        """Answer a path that was looked up: a visit of the route, or what stands at its address."""
        if request.extra and not (route.gate is not None and route.gate.takes_extra):
            self._answer_miss(connection, request)
        elif request.form_bytes and request.password_is_right is None:
            self._answer_form(connection, request, route)
        elif (side := side_path(request.path)) is None:
            self._answer_route(connection, request, route)
        else:
            self._answer_side(connection, request, route, side)

    def _answer_cold(self, connection: VisitorConnection, request: VisitRequest) -> None:
        """Answer a path that is no route as it is spelt, or let the request wait for the registry."""
        side = side_path(request.path)
        path = canonical_path(request.path if side is None else side.subject)
        if path is None or path.startswith(PREFIX):  # no handle is `a`
            self._answer_miss(connection, request)
            return
        route = self._registry.paths.get(path)
        if route is not None:
            self._answer_found(connection, request, route)
        elif (file := self._files.response(path, self._now_us)) is not None:
            close = not request.keep_alive
            self._respond(connection, 200, file, request.head_only, close=close)
        elif self._registry.is_unknown(path):
            self._answer_miss(connection, request)
        else:
            self._let_wait(connection, request, waits=self._registry.wait(path, connection))

    def _answer_miss(self, connection: VisitorConnection, request: VisitRequest) -> None:
        """Answer for a file of an asset, look the next reading of a path that leads nowhere up, or say that it
        leads nowhere."""
        if (asset := asset_file(request.path)) is not None:
            self._answer_asset(connection, request, asset)
            return
        if request.readings is None:
            request.readings = self._readings(request)
        if not request.readings:
            self._answer_nowhere(connection, request)
            return
        request.path, request.extra = request.readings.pop(0)
        self._answer_cold(connection, request)

    def _readings(self, request: VisitRequest) -> list[tuple[bytes, bytes]]:
        domain = self.hosts.domains.get(request.host)
        if domain is not None and domain.slugs:
            return ruled_readings(domain.handle, domain.slugs, request.path_at_domain)
        return readings(request.path, with_short=domain is None)
