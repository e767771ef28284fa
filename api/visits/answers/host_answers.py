"""Answers by host: the part of a visitor server that knows profiles' domains."""

from typing import Final

from actors.visits.hosts import Hosts
from api.visits.connection import VisitorConnection
from api.visits.pages.asset_answers import AssetAnswers
from api.visits.pages.fixed_files import FixedFiles
from api.visits.responses import redirect_tail
from engine.assets.address import asset_file
from engine.visits.paths.ruled_path import path_at_domain
from engine.visits.request import VisitRequest

_FOUND: Final = 302


class HostAnswers(AssetAnswers):
    """The part of a visitor server that answers for hosts."""

    _files: FixedFiles

    def __init__(self) -> None:
        super().__init__()
        self.hosts = Hosts()  # the edge's own takes its place; this one knows no domain

    def _answer_host(self, connection: VisitorConnection, request: VisitRequest) -> bool:
        """Give a request on a domain the path that it has without one, or answer it.

        Returns whether it is answered.
        """
        hosts, host = self.hosts, request.host
        domain = hosts.domains.get(host)
        if domain is None:
            if hosts.is_own(host) or (hosts.known and not hosts.strict):
                return False
            hosts.counts["host"] += 1
            status, close = 404 if hosts.known else 503, not request.keep_alive
            self._refuse(connection, status, request.head_only, close=close)
            return True
        request.path_at_domain = request.path
        if asset_file(request.path) is not None:
            return False
        if self._files.response(request.path, self._now_us) is not None:
            return False
        if request.path == b"/" and domain.root_target:
            hosts.counts["root"] += 1
            hosts.orphans.note(host, request.path)
            self._lead(connection, request, domain.root_target)
            return True
        path = path_at_domain(domain.handle, domain.slugs, request.path)
        if path is None:
            self._answer_nowhere(connection, request)
            return True
        request.path = path
        return False

    def _answer_nowhere(self, connection: VisitorConnection, request: VisitRequest) -> None:
        """Answer a request whose path leads nowhere."""
        domain = self.hosts.domains.get(request.host)
        if domain is not None:
            self.hosts.counts["path"] += 1
            self.hosts.orphans.note(request.host, request.path_at_domain)
            if domain.not_found_target:
                self._lead(connection, request, domain.not_found_target)
                return
        self._refuse(connection, 404, request.head_only, close=not request.keep_alive)

    def _lead(self, connection: VisitorConnection, request: VisitRequest, target: bytes) -> None:
        tail = redirect_tail(_FOUND, target)
        self._respond(connection, _FOUND, tail, request.head_only, close=not request.keep_alive)
