"""Rules of links: normalised, or refused with the number of the rule and the name of the condition."""

from typing import Any

import msgspec
import pytest

from engine.links.rules import MAX_RULES, LinkRule, normalised_rules

TARGET = "https://a.example/"


def rule(when: dict[str, Any], target: str = TARGET) -> LinkRule:
    return msgspec.convert({"when": when, "target": target}, LinkRule)


def test_values_are_normalised() -> None:
    when = {
        "device": ["Phone", "phone"], "language": ["pt_BR"], "country": ["de"], "continent": ["eu"],
        "ip": ["203.0.113.7/24", "2001:db8::1"], "os": [" iOS "],
    }  # fmt: skip
    (normalised,), errors = normalised_rules((rule(when, "https://A.example"),), True)
    assert errors == []
    assert normalised.target == "https://a.example/"
    conditions = normalised.when
    assert (conditions.device, conditions.language) == (("phone",), ("pt-br",))
    assert (conditions.country, conditions.continent) == (("DE",), ("EU",))
    assert (conditions.ip, conditions.os) == (("203.0.113.0/24", "2001:db8::1/128"), ("iOS",))
    assert normalised_rules((normalised,), True) == ((normalised,), [])


@pytest.mark.parametrize(
    ("when", "field"),
    [
        ({}, "rules[0].when"),
        ({"device": ["fridge"]}, "rules[0].when.device"),
        ({"country": ["XX"]}, "rules[0].when.country"),
        ({"country": ["Germany"]}, "rules[0].when.country"),
        ({"continent": ["Europe"]}, "rules[0].when.continent"),
        ({"language": ["german!"]}, "rules[0].when.language"),
        ({"ip": ["203.0.113.0/33"]}, "rules[0].when.ip"),
        ({"ip": ["localhost"]}, "rules[0].when.ip"),
        ({"os": [""]}, "rules[0].when.os"),
        ({"city": ["a\u202eb"]}, "rules[0].when.city"),
        ({"city": ["x"] * 101}, "rules[0].when.city"),
        ({"query": {"": ["x"]}}, "rules[0].when.query"),
        ({"query": {"a": ["x\n"]}}, "rules[0].when.query"),
        ({"query": {str(n): [] for n in range(11)}}, "rules[0].when.query"),
        ({"time": {"zone": "Mars/Base"}}, "rules[0].when.time.zone"),
        ({"time": {"zone": "../etc/passwd"}}, "rules[0].when.time.zone"),
        ({"time": {"weekdays": ["monday"]}}, "rules[0].when.time.weekdays"),
        ({"time": {"since": "24:00"}}, "rules[0].when.time.since"),
        ({"time": {"until": "9:00"}}, "rules[0].when.time.until"),
        ({"percentage": 0}, "rules[0].when.percentage"),
        ({"percentage": 100}, "rules[0].when.percentage"),
    ],
)
def test_bad_conditions_are_named(when: dict[str, Any], field: str) -> None:
    _, errors = normalised_rules((rule(when),), True)
    assert {error.field for error in errors} == {field}


def test_targets_and_numbers_are_bounded() -> None:
    _, errors = normalised_rules(
        (rule({"os": ["iOS"]}), rule({"os": ["iOS"]}, "javascript:x")), True
    )
    assert [error.field for error in errors] == ["rules[1].target"]
    _, errors = normalised_rules((rule({"os": ["iOS"]}, "http://10.0.0.1/"),), False)
    assert [error.field for error in errors] == ["rules[0].target"]
    _, errors = normalised_rules((rule({"os": ["iOS"]}),) * (MAX_RULES + 1), True)
    assert [error.field for error in errors] == ["rules"]


@pytest.mark.parametrize(
    "when", [{"colour": ["red"]}, {"device": "phone"}, {"time": {"zona": "UTC"}}]
)
def test_conditions_of_other_forms_are_refused(when: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        rule(when)
