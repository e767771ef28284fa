"""A real `waypost up` as a child process, for tests that use it as operators and visitors do."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 100.0  # of a machine with much other work
WAIT_S = 30.0
CORE = "WAYPOST_VISITOR_CORE"


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without settings of Waypost, so that tests do not depend on it: but for
    the core, as they all run over either."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith("WAYPOST_") or name == CORE)
        and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | settings


def waypost(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the engine to its end."""
    return subprocess.run(
        [sys.executable, "-m", "api.command", *arguments],
        env=environment(**settings), capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
    )  # fmt: skip


class Engine:
    """One running engine. Its output so far is in `output()`."""

    def __init__(self, folder: Path, *arguments: str, command: str = "up", **settings: str) -> None:
        self.folder = folder
        self._log = folder.parent / f"{folder.name}.log"
        # An earlier engine on this folder wrote here too.
        self._from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.command", command, "--data", str(folder),
                 "--visitors-port", "0", "--console-port", "0", *arguments],
                env=environment(**settings), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def output(self) -> str:
        return self._log.read_text()[self._from :]

    def _wait_ready(self) -> None:
        def ready() -> "re.Match[str] | None":
            assert self.process.poll() is None, self.output()
            return re.search(r"^ready visitors=(\S+) console=(\S+)$", self.output(), re.MULTILINE)

        match = eventually(ready, START_LIMIT_S)
        assert match is not None
        self.visitors, self.console = match[1], match[2]

    @property
    def owner(self) -> dict[str, str]:
        content: dict[str, str] = json.loads((self.folder / "owner.json").read_text())
        return content

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        headers = {"Authorization": f"Bearer {self.owner['api_key']}"}
        with httpx.Client(base_url=self.console, headers=headers, timeout=10) as client:
            yield client

    def metrics(self) -> dict[str, float]:
        """Return the metrics' values by name with labels."""
        text = httpx.get(f"{self.console}/metrics", timeout=10).text
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def pids(self, role: str) -> list[int]:
        pattern = re.compile(rf'waypost_process_info{{role="{role}",pid="(\d+)"}}')
        return [int(m[1]) for name in self.metrics() if (m := pattern.match(name))]

    def wait_committed(self) -> None:
        eventually(lambda: self.metrics().get("waypost_journal_pending_clicks") == 0)

    def stop(self) -> int:
        """Send SIGTERM. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        """Send SIGKILL to the launcher; its children end with it."""
        self.process.kill()
        self.process.wait(WAIT_S)


def eventually(check: Any, limit_s: float = WAIT_S) -> Any:
    """Return the first true result of `check`; fail after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if answer := check():
                return answer
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def total_clicks(client: httpx.Client, profile_id: str) -> int:
    answer = client.get(f"/v1/profiles/{profile_id}/stats", params={"interval": "day"})
    assert answer.status_code == 200, answer.text
    clicks: int = answer.json()["totals"]["clicks"]
    return clicks
