"""Declarations of settings: one field has variable, default, parser and help."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import pytest

from engine.common.errors import SettingsError
from engine.operations.setting import (
    Setting,
    declared_settings,
    milliseconds,
    one_of,
    setting,
    switch,
    whole,
)
from engine.operations.settings import SETTINGS, Settings, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    wait_ms: int = setting(250, milliseconds, "time to wait")
    loud: bool = setting(False, switch, "whether to say so", variable="LOUD", secret=True)
    other: str = "no setting"


def test_a_field_declares_all_of_a_setting() -> None:
    wait, loud = declared_settings(Example)
    assert wait[:3] == ("WAYPOST_WAIT_MS", "wait_ms", 250)
    assert (wait.parse("10"), wait.help, wait.secret) == (10, "time to wait", False)
    assert (loud.variable, loud.default, loud.secret) == ("LOUD", False, True)
    assert repr(Example()) == "Example(wait_ms=250, other='no setting')"


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (whole(1, 9), "x", "must be a whole number"),
        (whole(1, 9), "0", "must be between 1 and 9"),
        (whole(1, 9), "10", "must be between 1 and 9"),
        (one_of("a", "b"), "A", "must be one of a, b"),
        (switch, "perhaps", "must be one of 1, 0"),
    ],
)
def test_a_parser_refuses_other_texts(
    parse: Callable[[str], object], text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_every_field_is_a_setting_of_its_own() -> None:
    assert [declared.field for declared in SETTINGS] == [field.name for field in fields(Settings)]
    assert len({declared.variable for declared in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("declared", SETTINGS, ids=lambda declared: declared.variable)
def test_a_default_is_a_valid_value_of_the_variable(declared: Setting) -> None:
    text = {True: "1", False: "0"}.get(declared.default, str(declared.default))
    assert not text or declared.parse(text) == declared.default
    assert declared.help == declared.help.strip()
    assert "\n" not in declared.help


def test_the_environment_overrides_defaults_and_an_override_both() -> None:
    environment = {"WAYPOST_VISITORS_PORT": "9000", "WAYPOST_CONSOLE_PORT": "9001"}
    settings = read(environment, console_port=7, visitors_port=None)
    assert (settings.visitors_port, settings.console_port, settings.log_format) == (9000, 7, "text")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"WAYPOST_JOURNAL_SINC_MS": "5"}, "is not a setting of Waypost"),
        ({"WAYPOST_REDIS_POOL": "1"}, r"WAYPOST_REDIS_POOL must be between .* \(it is '1'\)"),
        ({"REDIS_URL": "redis://h"}, "REDIS_URL is set, DATABASE_URL is missing"),
        ({"WAYPOST_JOURNAL_MAX_BYTES": str(100 * 1024**2)}, "at least twice"),
    ],
)
def test_an_invalid_environment_is_refused(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read(environment)
