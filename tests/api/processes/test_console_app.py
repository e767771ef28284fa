"""The console's app is made quickly, and its rules are whole."""

from typing import NoReturn

import pytest
from werkzeug.routing import Rule

from tests.kit.consoles import Console


async def test_the_app_is_made_without_functions_that_it_never_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(rule: Rule, append_unknown: bool = True) -> NoReturn:
        raise AssertionError(f"a function is compiled that builds URLs of {rule.rule}")

    monkeypatch.setattr(Rule, "_compile_builder", refuse)
    Console()


async def test_a_rule_builds_its_url_when_one_is_wanted() -> None:
    urls = Console().app.url_map.bind("")
    built = urls.build(
        "GET /v1/profiles/<profile_id>/links", {"profile_id": "7", "q": "a b"}, method="GET"
    )
    assert built == "/v1/profiles/7/links?q=a+b"
