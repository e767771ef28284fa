"""`waypost doctor` on what visitors' places and keys need."""

from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from tests.kit.engines import waypost

pytestmark = pytest.mark.slow


def test_a_geo_file_is_read_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "my places.mmdb"
    writer = MMDBWriter(database_type="Test-Country")
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "DE"}})
    writer.to_db_file(str(file))
    good = waypost("doctor", "--data", str(tmp_path), WAYPOST_GEO_FILE=str(file))
    assert good.returncode == 0, good.stderr
    assert "Test-Country, 1 networks, 0 days old" in good.stdout
    assert "keys" in good.stdout

    file.write_bytes(file.read_bytes().replace(b"\x42DE", b"\xffDE"))
    broken = waypost("doctor", "--data", str(tmp_path), WAYPOST_GEO_FILE=str(file))
    assert broken.returncode == 1, broken.stdout
    (line,) = [line for line in broken.stdout.splitlines() if line.startswith("fail")]
    assert str(file) in line
    assert "broken" in line

    none = waypost("doctor", "--data", str(tmp_path))
    assert "countries only" in none.stdout
