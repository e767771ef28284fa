"""A machine with edges only: its operations port tells what is pending, and it creates no owner."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.engines import ROOT, environment, eventually, waypost

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def samples(url: str) -> dict[tuple[str, ...], float]:
    """Return the metrics' values by name and labels."""
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_machine_with_edges_only(tmp_path: Path, database_url: str, redis_url: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "WAYPOST_OPERATIONS_PORT": str(port),
    }
    folder, log = tmp_path / "edges", tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.command", "serve", "--roles", "edge", "--visitors-port", "0",
             "--data", str(folder)],
            env=environment(**settings), stdout=output, stderr=subprocess.STDOUT, cwd=ROOT,
        )  # fmt: skip
    try:
        eventually(lambda: re.search(r"^ready visitors=\S+$", log.read_text(), re.MULTILINE))
        ready = httpx.get(f"{url}/readyz")
        assert ready.status_code == 200, ready.text
        assert {"edge-0", "edge-0/journal", "launcher/postgres", "launcher/redis"} <= set(
            ready.json()["components"]
        )
        before = samples(url)
        assert before["waypost_journal_pending_clicks",] == 0
        assert before["waypost_clicks_unrecorded_total", "disk"] == 0
        assert before["waypost_restarts_total", "edge", "process"] == 0
        assert not list(folder.glob("owner.json*"))

        (pid,) = [name[2] for name in before if name[0] == "waypost_process_info"]
        os.kill(int(pid), signal.SIGKILL)
        eventually(lambda: samples(url)["waypost_restarts_total", "edge", "process"] == 1)
        eventually(lambda: httpx.get(f"{url}/readyz").status_code == 200)

        # The owner is made where an operator asks for it.
        done = waypost("migrate", "--data", str(tmp_path / "console"), **settings)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "console" / "owner.json").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)
