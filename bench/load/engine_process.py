"""A real `waypost up` on a temporary data folder, seen from outside: command line, HTTP, /proc.

It has the settings' defaults: WAYPOST_ variables, DATABASE_URL and REDIS_URL of the caller's
environment are not passed on, so that figures compare and nobody's database is filled with links.
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
from bench.kit.link_set import SampleLink, written
from bench.kit.report import progress
from bench.load.client import Client
from bench.load.processes import BackgroundProcess

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0
COMMIT_LIMIT_S = 300.0
POLL_S = 0.05
_ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"^ready visitors=(\S+) console=(\S+)$", re.MULTILINE)


class EngineProcess:
    """Used as a context manager: entering waits for `ready`, leaving stops it and removes its
    folder. Raises BenchError when it does not start."""

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
        """The console, as the owner."""
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
        """Those of the line `ready`."""
        until = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < until:
            running = child.running()
            found = _READY.search(child.log.read_text(errors="replace"))
            if found is not None:
                return found[1], found[2]
            if not running:
                raise BenchError(f"the engine did not start: {child.last_lines()}")
            time.sleep(POLL_S)
        raise BenchError(
            f"the engine was not ready within {READY_LIMIT_S:g} s: {child.last_lines()}"
        )

    # ---- links ----------------------------------------------------------------------------------

    def fill(self, links: Sequence[SampleLink]) -> None:
        """Make the links and their profiles with `waypost import`. Raises BenchError."""
        file = self.folder / "links.csv"
        file.write_text(written(links))
        done = subprocess.run(
            _waypost("import", str(file), "--data", str(self.data)),
            env=_environment(self._settings),
            capture_output=True,
            text=True,
            process_group=0,
        )
        if done.returncode != 0:
            raise BenchError(f"waypost import failed: {done.stderr.strip()[-300:]}")

    def profile_ids(self) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = self.console.get(f"/v1/profiles?limit=100{cursor}")
            found += [profile["id"] for profile in page["items"]]
            if not page.get("next_cursor"):
                return found
            cursor = f"&cursor={page['next_cursor']}"

    # ---- figures --------------------------------------------------------------------------------

    def pids(self, role: str) -> list[int]:
        """The processes of a role, such as `edge`."""
        samples = self.console.metrics().get("waypost_process_info", [])
        return [int(labels["pid"]) for labels, _ in samples if labels.get("role") == role]

    def metrics(self) -> dict[str, float]:
        """By name, summed over labels."""
        return {
            name: sum(value for _, value in samples)
            for name, samples in self.console.metrics().items()
        }

    def wait_committed(self) -> float:
        """Until every click answered is in Postgres: nothing pending, twice in a row, while no
        redirect came in between. The seconds that it took."""
        started = time.monotonic()
        before = -1.0
        while time.monotonic() < started + COMMIT_LIMIT_S:
            found = self.metrics()
            redirects = found["waypost_redirects_total"]
            if found["waypost_journal_pending_clicks"] == 0 and redirects == before:
                return time.monotonic() - started
            before = redirects if found["waypost_journal_pending_clicks"] == 0 else -1.0
            time.sleep(POLL_S)
        raise BenchError(f"clicks were not committed within {COMMIT_LIMIT_S:g} s")

    def clicks(self, profile_ids: Sequence[str]) -> int:
        """What the API's stats say, summed over profiles."""
        answers = (self.console.get(f"/v1/profiles/{id_}/stats") for id_ in profile_ids)
        return sum(int(answer["totals"]["clicks"]) for answer in answers)


def _waypost(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "api.command", *arguments]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WAYPOST_") and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return kept | {"PYTHONPATH": str(_ROOT)} | dict(settings)
