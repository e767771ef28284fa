"""Which tests stay together when a run is spread over workers; all others go to whoever is free."""

from xdist.scheduler import LoadScopeScheduling

# These put the machine under load and watch what becomes of it, so that no two of them may meet.
LOADS = ("tests/bench/", "tests/system/chaos/")
# These share an engine.
TOGETHER = ("tests/system/test_up.py",)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives out the largest scope first: the loads to one worker, while the other does the rest.

    By name, as groups by mark (`--dist loadgroup`) are lost between xdist 3.8 and pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(LOADS):
            return "loads"
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid
