"""Which visitor server an edge runs: the one with the compiled core, or the one in Python alone."""

from typing import Final, NamedTuple

from api.visits.compiled.build import VISITOR_CORE
from api.visits.server import VisitorServer
from engine.common.errors import SettingsError
from engine.operations.metrics import Metric, Sample

COMPILED: Final = "compiled"
PYTHON: Final = "python"
AUTO: Final = "auto"

CORE: Final = Metric(
    "waypost_visitor_core_info",
    "Edges, by what answers plain visits: the compiled core, or Python",
    ("core",),
)


class SelectedServer(NamedTuple):
    """The class of the visitor server; `core` names it, `reason` says why it is not the compiled one."""

    server: type[VisitorServer]
    core: str
    reason: str

    def samples(self) -> list[Sample]:
        return [CORE.sample(1, self.core)]


def select_server(wanted: str) -> SelectedServer:
    """Return the server to run. Raises SettingsError if the compiled one is wanted and cannot be used."""
    if wanted == PYTHON:
        return SelectedServer(VisitorServer, PYTHON, "WAYPOST_VISITOR_CORE is python")
    reason = VISITOR_CORE.problem()
    if not reason:
        from api.visits.compiled.server import CompiledVisitorServer

        return SelectedServer(CompiledVisitorServer, COMPILED, "")
    if wanted == COMPILED:
        raise SettingsError(
            f"WAYPOST_VISITOR_CORE is compiled, but the core cannot be used: {reason}"
        )
    return SelectedServer(VisitorServer, PYTHON, reason)
