"""`waypost up --demo` as a newcomer meets it: pictures, running experiments, two months of counts."""

from pathlib import Path

import httpx
import pytest

from api.processes.demo.show import VISITORS
from tests.kit.engines import Engine, eventually

pytestmark = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_demo_fills_itself_and_only_once(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "data", "--demo", "--edges", "1")
    try:
        eventually(lambda: "visitors came" in engine.output(), limit_s=120)
        assert "could not be filled" not in engine.output()
        page = httpx.get(f"{engine.visitors}/@demo", timeout=10).text
        assert page.count("<picture") >= 3
        assert "Seed swap at the river" in page
        engine.wait_committed()
        with engine.api() as client:
            (profile,) = client.get("/v1/profiles").json()["items"]
            of_profile = f"/v1/profiles/{profile['id']}"
            stats = client.get(f"{of_profile}/stats", params={"period": "60d", "group": "country"})
            assert stats.json()["totals"]["clicks"] > 5_000
            assert len(stats.json()["rows"]) > 10
            experiments = client.get(f"{of_profile}/experiments").json()["items"]
            assert [each["state"] for each in experiments] == ["running"] * 3
            results = client.get(f"/v1/experiments/{experiments[1]['id']}/results").json()
            assert sum(each["visitors"] for each in results["variants"]) > VISITORS // 2
    finally:
        engine.stop()
    again = Engine(tmp_path / "data", "--demo", "--edges", "1")
    try:
        assert "the demo's page is published" not in again.output()
    finally:
        again.kill()
