"""A real `waypost up` on a temporary data folder, used through command line, HTTP and /proc.

Its settings are the defaults: WAYPOST_ variables, DATABASE_URL and REDIS_URL of the caller's environment are
not passed on. So results are comparable, and the caller's database is not filled with links. Only
WAYPOST_VISITOR_CORE is: it chooses what is measured.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink, to_csv
from bench.kit.report import progress
from bench.load.client import Client
from bench.load.processes import BackgroundProcess
from storage.visits.daily_keys import delete_key_stores

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0
COMMIT_LIMIT_S = 300.0
POLL_S = 0.05
CORE = "WAYPOST_VISITOR_CORE"
_ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"^ready visitors=(\S+) console=(\S+)$", re.MULTILINE)


class EngineProcess:
    """An engine as a context manager. Entering waits for `ready`; leaving stops it and removes its folder.

    Raises BenchError when it does not start.
    """

    def __init__(self, edges: int = 1, settings: Mapping[str, str] | None = None) -> None:
        self.edges = edges
        self.visitors_url = self.console_url = self.api_key = ""
        self.folder = Path(tempfile.mkdtemp(prefix="waypost-bench-"))
        self._settings = dict(settings or {})
        self._child: BackgroundProcess | None = None
        self._console: Client | None = None

    def __enter__(self) -> "EngineProcess":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def console(self) -> Client:
        """Return a client of the console with the owner's API key."""
        if self._console is None:
            raise BenchError("the engine has not started")
        return self._console

    def close(self) -> None:
        try:
            if self._console is not None:
                self._console.close()
            if self._child is not None and not self._child.stop(STOP_LIMIT_S):
                progress(f"the engine did not stop within {STOP_LIMIT_S:g} s and was killed")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            delete_key_stores(self.folder)

    # ---- starting -------------------------------------------------------------------------------

    def _start(self) -> None:
        command = _waypost(
            "up", "--data", str(self.data), "--visitors-port", "0", "--console-port", "0",
            "--edges", str(self.edges),
        )  # fmt: skip
        self._child = child = BackgroundProcess(
            command, self.folder / "log", _environment(self._settings)
        )
        self.visitors_url, self.console_url = self._urls(child)
        self.api_key = json.loads((self.data / "owner.json").read_text())["api_key"]
        self._console = Client(self.console_url, self.api_key)

    def _urls(self, child: BackgroundProcess) -> tuple[str, str]:
        """Wait for the line `ready`. Returns the URLs of (visitors' port, console)."""
        match = self._wait_ready(child, _READY)
        return match[1], match[2]

    def _wait_ready(self, child: BackgroundProcess, ready: re.Pattern[str]) -> re.Match[str]:
        """Wait for a line of the child's output. Returns its match."""
        until = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < until:
            running = child.running()
            match = ready.search(child.log.read_text(errors="replace"))
            if match is not None:
                return match
            if not running:
                raise BenchError(f"the engine did not start: {child.last_lines()}")
            time.sleep(POLL_S)
        raise BenchError(
            f"the engine was not ready within {READY_LIMIT_S:g} s: {child.last_lines()}"
        )

    # ---- links ----------------------------------------------------------------------------------

    def fill(self, links: Sequence[SampleLink]) -> None:
        """Create the links and their profiles with `waypost import`. Raises BenchError."""
        file = self.folder / "links.csv"
        file.write_text(to_csv(links))
        process = subprocess.run(
            _waypost("import", str(file), "--data", str(self.data)),
            env=_environment(self._settings),
            capture_output=True,
            text=True,
            process_group=0,
        )
        if process.returncode != 0:
            raise BenchError(f"waypost import failed: {process.stderr.strip()[-300:]}")

    def profile_ids(self) -> list[str]:
        ids: list[str] = []
        cursor = ""
        while True:
            page = self.console.get(f"/v1/profiles?limit=100{cursor}")
            ids += [profile["id"] for profile in page["items"]]
            if not page.get("next_cursor"):
                return ids
            cursor = f"&cursor={page['next_cursor']}"

    # ---- metrics and counts ---------------------------------------------------------------------

    def pids(self, role: str) -> list[int]:
        """Return the pids of a role, such as `edge`."""
        samples = self.console.metrics().get("waypost_process_info", [])
        return [int(labels["pid"]) for labels, _ in samples if labels.get("role") == role]

    def metrics(self) -> dict[str, float]:
        """Return the metrics by name, summed over labels."""
        return {
            name: sum(value for _, value in samples)
            for name, samples in self.console.metrics().items()
        }

    def wait_committed(self) -> float:
        """Wait until every answered click is in Postgres. Returns the seconds that it took.

        No click may be pending at two readings in a row, without a redirect between them. Raises BenchError.
        """
        started = time.monotonic()
        redirects_before = -1.0
        while time.monotonic() < started + COMMIT_LIMIT_S:
            metrics = self.metrics()
            # An edge that is too busy to answer the console in time is in no metric.
            redirects = metrics.get("waypost_redirects_total", -1.0)
            pending = metrics.get("waypost_journal_pending_clicks", -1.0)
            if pending == 0 and redirects == redirects_before >= 0:
                return time.monotonic() - started
            redirects_before = redirects if pending == 0 else -1.0
            time.sleep(POLL_S)
        raise BenchError(f"clicks were not committed within {COMMIT_LIMIT_S:g} s")

    def clicks(self, profile_ids: Sequence[str]) -> int:
        """Return the clicks in the API's stats, summed over profiles."""
        responses = (self.console.get(f"/v1/profiles/{id_}/stats") for id_ in profile_ids)
        return sum(int(response["totals"]["clicks"]) for response in responses)


def _waypost(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "api.command", *arguments]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith("WAYPOST_") or name == CORE)
        and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return inherited | {"PYTHONPATH": str(_ROOT)} | dict(settings)
