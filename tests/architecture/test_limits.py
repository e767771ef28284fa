"""docs/limits.md says what the code does: each figure stands in its row."""

import re
from importlib import import_module

import pytest

from engine.limits.rate import Rate
from engine.operations.setting import declared_settings
from engine.operations.settings import Settings
from tests.architecture.sources import ROOT

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in (ROOT / "docs" / "limits.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| bound", "| path"))
]
CONSTANT = re.compile(r"`([\w/]+)\.py` `(\w+)`")
SETTING = re.compile(r"`(WAYPOST_\w+)`")
DEFAULTS = {setting.variable: setting.default for setting in declared_settings(Settings)}


def value_of(set_by: str) -> int:
    """Return the value that the last cell of a row names."""
    if match := CONSTANT.fullmatch(set_by):
        value = getattr(import_module(match[1].replace("/", ".")), match[2])
        return value.units if isinstance(value, Rate) else int(value)
    match = SETTING.fullmatch(set_by)
    assert match is not None, f"names no setting and no constant: {set_by}"
    return int(DEFAULTS[match[1]])


@pytest.mark.parametrize("row", [row for row in ROWS if row[-1]], ids=lambda row: row[-1])
def test_a_limit_is_documented_as_it_is(row: tuple[str, ...]) -> None:
    bound = row[1] if row[0].startswith(("every ", "`POST ")) else row[0]
    assert re.match(r"[0-9,]+", bound), row
    assert re.match(r"[0-9,]+", bound)[0] == f"{value_of(row[-1]):,}"  # type: ignore[index]


def test_every_bound_of_clients_in_the_settings_is_documented() -> None:
    documented = {match for row in ROWS for match in SETTING.findall(row[-1])}
    bounds = {
        variable for variable in DEFAULTS
        if re.search(r"_PER_|_MAX_|_TIMEOUT_", variable) and "JOURNAL" not in variable
    }  # fmt: skip
    assert bounds - documented == {"WAYPOST_DRAIN_TIMEOUT_MS"}
