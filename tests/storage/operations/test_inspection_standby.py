"""A real standby in DATABASE_URL is noticed: it answers every question and takes no click."""

from pathlib import Path

import pytest

from bench.load.standby import Standby
from engine.operations.server_conditions import postgres_conditions
from storage.embedded import EmbeddedServers
from storage.embedded.folder import layout
from storage.operations.inspection import postgres_facts
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.large


def test_a_standby_is_no_server_to_write_to(tmp_path: Path) -> None:
    primary, copy = tmp_path / "primary", tmp_path / "standby"
    with EmbeddedServers(primary, durable=False), Standby(layout(primary), copy):
        host = layout(copy).run
        url = f"postgresql://waypost@/waypost?host={host}&port=5432"
        facts = hosted_run(lambda: postgres_facts(url))
    conditions = [c.text for c in postgres_conditions(facts, 1) if c.fails]
    assert (facts.standby, len(conditions)) == (True, 1)
    assert conditions[0].startswith("is a standby")
