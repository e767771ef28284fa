"""Fixtures of the tests of embedded servers."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.embedded import EmbeddedServers
from tests.kit.embedded_servers import write


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped folder with a note in both servers, to be copied: faster than to make a new one."""
    folder = tmp_path_factory.mktemp("embedded") / "data"
    with EmbeddedServers(folder, durable=False) as servers:
        write(servers.database_url, servers.redis_url)
    return folder


@pytest.fixture
def data(cluster: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cluster, tmp_path / "data"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="waypost-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
