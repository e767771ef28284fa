"""Schemathesis against `/openapi.json` of a real engine, with all checks: no 5xx, nothing undocumented."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.kit.engines import Engine, environment

pytestmark = pytest.mark.skipif(
    find_spec("schemathesis") is None, reason="needs schemathesis: pip install '.[dev]'"
)

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# Schemathesis must not revoke the key that it uses.
SPARED = "revokeKey"
# Each of these has a hundred combinations of parameters, which take two minutes: on demand only.
MANIFOLD = (
    "readStats",
    "readStatsOfProfiles",
    "exportStats",
    "exportClicks",
    "watchClicks",
    "planExperiment",
    "explainExperiment",
    "explainLink",
    "listLinks",
    "changeLinks",
    "updateLink",
    "putLinkByExternalId",
    "updateExperiment",
    # Other methods of its path are those of a link with this id.
    "lookUpLink",
    "reportEvents",
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    # Without rate limits: they are tested elsewhere.
    unlimited = {"WAYPOST_API_READS_PER_MINUTE": "0", "WAYPOST_API_WRITES_PER_MINUTE": "0"}
    running = Engine(tmp_path / "data", "--demo=links", **unlimited)
    yield running
    running.kill()


def run(
    engine: Engine, folder: Path, *arguments: str, limit_s: float, without: tuple[str, ...] = ()
) -> int:
    """Run Schemathesis and return its number of requests. The output of a failure contains the seed."""
    spared = (SPARED, *without)
    # One worker: Python 3.11's parser, which schemathesis uses, errs in threads now and then.
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION),
        "run", f"{engine.console}/openapi.json", "--checks", "all",
        "-H", f"Authorization: Bearer {engine.owner['api_key']}",
        *(word for name in spared for word in ("--exclude-operation-id", name)),
        "--warnings", "off", *arguments,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=limit_s,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-8000:]}{done.stderr[-2000:]}{engine.output()}"
    selected = re.search(r"Selected: (\d+)/(\d+)", done.stdout)
    generated = re.search(r"(\d+) generated", done.stdout)
    assert selected is not None, done.stdout
    assert generated is not None, done.stdout
    assert int(selected[1]) == int(selected[2]) - len(spared)
    return int(generated[1])


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_few_requests_of_every_kind(engine: Engine, tmp_path: Path) -> None:
    always = ("--seed", "1", "--no-shrink")
    examples = run(engine, tmp_path, "--phases", "examples", *always, limit_s=90)
    covering = run(engine, tmp_path, "--phases", "coverage", *always, limit_s=150, without=MANIFOLD)
    assert examples + covering > 500


@pytest.mark.large
@pytest.mark.timeout(3600)
def test_many_requests_and_sequences_of_them(engine: Engine, tmp_path: Path) -> None:
    requests = run(engine, tmp_path, "--max-examples", "100", limit_s=3500)
    assert requests > 4_000
