"""Groups of tests that run on one worker; all other files go to the first free worker."""

from xdist.scheduler import LoadScopeScheduling

# These put the machine under load and measure it, so no two of them may run at once.
LOADS = ("tests/bench/", "tests/system/chaos/")
# These use one engine that runs for the session (tests/kit/running_engine.py).
ENGINE = ("tests/api/command/remote/", "tests/system/test_imports.py", "tests/waypost_client/")
# These share a fixture that each worker creates once: an engine, filled databases, a cluster, parsed sources.
SHARED = (
    "tests/api/dashboard/",
    "tests/architecture/",
    "tests/storage/embedded/test_servers.py",
    "tests/storage/stats/test_reader_dimensions.py",
    "tests/storage/stats/test_reader_zones.py",
    "tests/system/test_operator.py",
    "tests/system/test_up.py",
)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A scheduler that hands out the largest scope first: the loads to one worker, the rest to the others.

    It goes by name, because xdist 3.8 loses groups by mark (`--dist loadgroup`) with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(LOADS):
            return "loads"
        if nodeid.startswith(ENGINE):
            return "engine"
        return next((scope for scope in SHARED if nodeid.startswith(scope)), nodeid)
