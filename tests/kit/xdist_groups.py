"""Which tests stay together when a run is spread over workers; all others go to whoever is free."""

from xdist.scheduler import LoadScopeScheduling

# These put the machine under load and watch what becomes of it, so that no two of them may meet.
LOADS = ("tests/bench/", "tests/system/chaos/")
# These share what is made once a worker: an engine, filled databases, a cluster, the parsed sources.
TOGETHER = (
    "tests/architecture/",
    "tests/storage/embedded/test_servers.py",
    "tests/storage/stats/test_reader_dimensions.py",
    "tests/storage/stats/test_reader_zones.py",
    "tests/system/test_operator.py",
    "tests/system/test_up.py",
)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives out the largest scope first: the loads to one worker, while the other does the rest.

    By name, as groups by mark (`--dist loadgroup`) are lost between xdist 3.8 and pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(LOADS):
            return "loads"
        return next((scope for scope in TOGETHER if nodeid.startswith(scope)), nodeid)
