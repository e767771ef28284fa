"""`waypost doctor` on the geo file and the daily keys."""

from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from api.processes.fold_selection import select_fold
from api.visits.compiled.selection import select_server
from tests.kit.engines import waypost

pytestmark = pytest.mark.slow


def test_the_whole_geo_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "my places.mmdb"
    writer = MMDBWriter(database_type="Test-Country")
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "DE"}})
    writer.to_db_file(str(file))
    passing = waypost("doctor", "--data", str(tmp_path), WAYPOST_GEO_FILE=str(file))
    assert passing.returncode == 0, passing.stderr
    assert "Test-Country, 1 networks, 0 days old" in passing.stdout
    assert "keys" in passing.stdout
    core = select_server("auto").core
    fold = select_fold("auto").core
    assert f"fold      clicks are folded by {fold} code" in passing.stdout
    assert f"core      plain visits are answered by {core} code" in passing.stdout

    file.write_bytes(file.read_bytes().replace(b"\x42DE", b"\xffDE"))
    failing = waypost("doctor", "--data", str(tmp_path), WAYPOST_GEO_FILE=str(file))
    assert failing.returncode == 1, failing.stdout
    (line,) = [line for line in failing.stdout.splitlines() if line.startswith("fail")]
    assert str(file) in line
    assert "broken" in line

    without_file = waypost("doctor", "--data", str(tmp_path))
    assert "countries only" in without_file.stdout
