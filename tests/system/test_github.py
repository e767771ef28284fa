"""Synchronisation with a GitHub server on the loopback while workers of a real engine are killed."""

import os
import signal
from pathlib import Path

import pytest

from tests.kit.engines import Engine, eventually
from tests.kit.github_server import HangError, serving_in_thread

pytestmark = pytest.mark.large
TOKEN = "github_pat_secret"


def test_a_synchronisation_goes_on_after_its_workers_are_killed(tmp_path: Path) -> None:
    with serving_in_thread(TOKEN) as hub:
        hub.add("trio/trio", stars=7, release="v1")
        engine = Engine(
            tmp_path / "data", WAYPOST_GITHUB_URL=hub.url, WAYPOST_GITHUB_TOKEN=TOKEN,
            WAYPOST_CHECK_LINKS="off",
        )  # fmt: skip
        try:
            with engine.api() as client:
                profile = client.post("/v1/profiles", json={"handle": "ada"}).json()
                body = {"slug": "t", "target": "https://github.com/trio/trio"}
                link = client.post(f"/v1/profiles/{profile['id']}/links", json=body).json()
                path = f"/v1/links/{link['id']}/github-sync"
                hub.faults.append(HangError())
                assert client.post(path).status_code == 202
                eventually(lambda: hub.requests)
                assert client.get(path).json()["state"] == "running"
                assert client.post(path).status_code == 409
                (pid,) = engine.pids("workers")
                os.kill(pid, signal.SIGKILL)
                eventually(lambda: client.get(path).json()["state"] == "synced")
                assert client.get(f"/v1/links/{link['id']}").json()["github"]["stars"] == 7
                assert client.post(path).status_code == 429
            repo, latest = "/repos/trio/trio", "/repos/trio/trio/releases/latest"
            assert hub.requests == [(repo, 0), (repo, 200), (latest, 200)]
            assert engine.stop() == 0
            assert TOKEN not in engine.output()
        finally:
            engine.kill()
