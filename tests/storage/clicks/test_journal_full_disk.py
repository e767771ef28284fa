"""A disk that is really full: a small tmpfs with the journals on it, filled to its last byte.

Mounting needs root, or a user and mount namespace of one's own: there pytest runs this file once more.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from storage.clicks.recovery import orphans
from tests.kit.engines import ROOT, Engine, eventually, total_clicks
from tests.kit.recorded_journal import Recorder, recovered

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
SEGMENT_BYTES = 2 * MIB
IN_NAMESPACE = "WAYPOST_TEST_IN_NAMESPACE"


def mount(folder: Path, size: int) -> str:
    """Mount a tmpfs. Returns the error's text if that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or "mount failed"


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Yield the folder of a file system of `size` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    if refused := mount(folder, size):
        pytest.skip(f"a tmpfs cannot be mounted here: {refused}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], timeout=20, check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to its last byte, and return the file that does."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(folder).free == 0
    return filler


@pytest.mark.skipif(os.geteuid() == 0, reason="root mounts in this namespace")
def test_in_its_own_namespace(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no user namespace here: {tried.stderr.strip()}")
    done = subprocess.run(
        [*inside, sys.executable, "-m", "pytest", "-q", "-k", "a_journal_on", "-p", "no:cacheprovider",
         "--basetemp", str(tmp_path / "inside"), str(Path(__file__))],
        env=os.environ | {IN_NAMESPACE: "1"}, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


async def test_a_journal_on_a_full_disk(tmp_path: Path) -> None:
    """Preallocated space is still used; then each click is refused and counted, until there is space."""
    with small_disk(tmp_path / "disk", 5 * MIB) as disk:
        recorder = Recorder(disk, segment_bytes=SEGMENT_BYTES)
        journal = recorder.journal
        journal.open()
        assert recorder.append(40)
        filler = fill(disk)
        while recorder.append(200):
            recorder.check_accounts()
        assert len(recorder.recorded) > 10_000
        assert await journal.sync()
        for _ in range(3):
            recorder.clock.now += 2
            assert not recorder.append(7)
            assert await journal.sync()
        assert journal.synced == journal.appended  # recorded clicks are synced meanwhile
        assert journal.failed == "full"
        assert journal.unrecorded == {"full": 200 + 3 * 7}
        recorder.check_accounts()

        filler.unlink()
        recorder.clock.now += 2
        assert await journal.sync()  # without a visitor
        assert not journal.failed
        assert recorder.append(200)
        assert await journal.sync()
        assert recorder.read_all(max_bytes=MIB) == recorder.recorded
        journal.close(remove=False)
        recovered_clicks, _ = recovered(journal.folder, max_bytes=MIB)
        assert list(recovered_clicks.values()) == recorder.recorded


@pytest.mark.skipif(os.environ.get(IN_NAMESPACE) == "1", reason="needs root's own namespace")
def test_an_engine_with_a_full_disk(tmp_path: Path) -> None:
    """Redirects go on; each is counted in Postgres or as unrecorded; meanwhile `/readyz` answers 503."""
    folder = tmp_path / "data"
    settings = {"WAYPOST_JOURNAL_SEGMENT_BYTES": str(SEGMENT_BYTES)}
    # The database is elsewhere: only the journal's disk is full.
    with small_disk(folder / "journals", 5 * MIB) as disk:
        engine = Engine(folder, **settings)
        try:
            with engine.api() as console:
                check_engine(engine, console, disk)
        finally:
            engine.kill()


def redirects(url: str, path: str, count: int) -> int:
    """Send `count` visits on one connection, pipelined, and return the number of redirects."""
    place = urlsplit(url)
    agent = "x" * 4000
    request = f"GET {path} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\n"
    data = b""
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        for at in range(1, count + 1):
            end = "Connection: close\r\n\r\n" if at == count else "\r\n"
            connection.sendall((request + end).encode())
        while received := connection.recv(65536):
            data += received
    return data.count(b"HTTP/1.1 302 ")


def check_engine(engine: Engine, console: httpx.Client, disk: Path) -> None:
    profile = console.post("/v1/profiles", json={"handle": "ada", "title": "Ada"}).json()["id"]
    link = {"slug": "spring", "target": "https://example.com/"}
    assert console.post(f"/v1/profiles/{profile}/links", json=link).status_code == 201
    sent = 0

    def visit(count: int) -> None:
        nonlocal sent
        redirected = redirects(engine.visitors, "/ada/spring", count)
        assert redirected == count
        sent += redirected

    def unrecorded() -> dict[str, float]:
        metrics = {name: value for name, value in engine.metrics().items() if value}
        prefix = "waypost_clicks_unrecorded_total{"
        return {name: value for name, value in metrics.items() if name.startswith(prefix)}

    visit(1)
    filler = fill(disk)
    while not unrecorded():
        visit(200)
    visit(50)
    (name,) = unrecorded()
    assert 'reason="full"' in name
    state = httpx.get(f"{engine.console}/readyz")
    assert state.status_code == 503
    journal = state.json()["components"]["edge-0/journal"]
    assert not journal["ready"]
    assert journal["reason"].startswith("clicks are not recorded: full; ")
    eventually(lambda: "journal is not ready" in engine.output())
    assert engine.output().count("ERROR edge-0 waypost.readiness: edge-0/journal") == 1

    filler.unlink()
    eventually(lambda: httpx.get(f"{engine.console}/readyz").status_code == 200)
    (missing,) = unrecorded().values()
    visit(50)
    engine.wait_committed()
    assert unrecorded() == {name: missing}
    eventually(lambda: "journal is ready again" in engine.output())
    (line,) = [row for row in engine.output().splitlines() if "journal is ready again" in row]
    assert line.endswith(f" s: {missing:,.0f} clicks were not recorded since the start")
    assert total_clicks(console, profile) == sent - missing
    assert len(orphans(disk)) == 1
